"""Reading compound files: what is in them, and one sentence for each way in which one can lie."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.formats.cfb_builder import Tree, build, tables
from tests.formats.test_pe_layout import Held

from privyseal.errors import MalformedCode
from privyseal.formats import cfb, cfb_directory, cfb_table, cfb_tidy
from privyseal.formats.source import FileSource

NESTED: Tree = {**tables(), "Inner": {"x": b"inner" * 10, "Deeper": {"deep": b"d" * 5000, "empty": b""}}}
WAYS = {
    "v3": {"major": 3},
    "v4": {"major": 4},
    "v3-scattered": {"major": 3, "scatter": 1},
    "v4-scattered": {"major": 4, "scatter": 2},
}


def contents(found: cfb.Compound, code: Held | FileSource, storage: int = 0) -> Tree:
    """Return everything that is in a compound file, as the builder takes it."""
    tree: Tree = {}
    for number in found.children[storage]:
        one = found.entries[number]
        name = one.name.decode("utf-16-le")
        inner = number in found.children
        tree[name] = contents(found, code, number) if inner else cfb.stream(code, found, one, 1 << 24)
    return tree


@pytest.mark.parametrize("way", WAYS)
def test_everything_is_read(tmp_path: Path, way: str):
    """Small streams and large ones, empty ones, storages in storages; and the file is tidy."""
    with FileSource.open(build(tmp_path / "f", NESTED, **WAYS[way])) as code:
        found = cfb.read(code)
        assert contents(found, code) == NESTED
        assert list(cfb_tidy.untidy(code, found)) == []


@pytest.mark.parametrize("way", WAYS)
def test_7z_reads_the_same(tmp_path: Path, way: str):
    """The builder is no friend of ours only: a stranger finds the same streams in its files."""
    plain = {name: octets for name, octets in NESTED.items() if name.isascii() and name.isprintable()}
    path = build(tmp_path / "f", plain, **WAYS[way])
    subprocess.run(["7z", "x", f"-o{tmp_path / 'out'}", path], check=True, capture_output=True, timeout=60)
    assert (tmp_path / "out" / "Data").read_bytes() == plain["Data"]
    assert (tmp_path / "out" / "Inner" / "Deeper" / "deep").read_bytes() == b"d" * 5000


@pytest.mark.parametrize("scatter", [None, 3])
def test_a_file_with_difat_sectors(tmp_path: Path, scatter: int | None):
    """8 MB in sectors of 512 need more FAT sectors than the header has room for."""
    with FileSource.open(build(tmp_path / "f", {"Big": 8_000_000, **tables()}, major=3, scatter=scatter)) as code:
        found = cfb.read(code)
        assert len(found.difat_at) == 1 and len(found.fat_at) > cfb.IN_HEADER
        assert contents(found, code) == {"Big": bytes(8_000_000), **tables()}
        assert list(cfb_tidy.untidy(code, found)) == []


def test_a_file_over_the_range_lock(tmp_path: Path):
    """Beyond 2 GiB one sector is kept for locking; streams go on behind it (MS-CFB 2.8)."""
    with FileSource.open(build(tmp_path / "f", {"Big": (1 << 31) + 5000, "Data": b"d" * 9000})) as code:
        found = cfb.read(code)
        big, data = found.named("Big"), found.named("Data")
        assert big is not None and data is not None
        assert len(list(cfb.pieces(found, big))) == 2
        assert all(not at <= cfb.LOCK_AT < at + count for at, count in cfb.pieces(found, big))
        assert cfb.stream(code, found, data, 1 << 20) == b"d" * 9000
        assert list(cfb_tidy.untidy(code, found)) == []


def test_runs_of_every_length(tmp_path: Path):
    """Links are compared a thousand at a time: chains that break one before, at and after that are told apart."""

    def refuse(why: str) -> MalformedCode:
        return MalformedCode(f"{why}.")

    for broken in (1, 2, 1023, 1024, 1025, 2047, 2048, 2049, 2999):
        links = cfb_table.numbers()
        links.extend(range(1, 3001))
        links[2999] = cfb_table.END_OF_CHAIN
        links[broken - 1] = cfb_table.END_OF_CHAIN
        table = cfb_table.Table(links, 3000, refuse)
        assert list(table.walk(0, 1, "it")) == [0, broken]
        assert sum(table.owned) == broken


# -- lies --------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return build(tmp_path_factory.mktemp("cfb") / "f", NESTED, major=3).read_bytes()


def entry_of(octets: bytes | bytearray, number: int) -> int:
    """Return where a directory entry is, following the chain as little as the builder needs."""
    return (int.from_bytes(octets[48:52], "little") + 1) * 512 + number * 128


def fat_of(octets: bytes | bytearray) -> int:
    return (int.from_bytes(octets[76:80], "little") + 1) * 512


def put(at: int, value: int, size: int = 4) -> Callable[[bytearray], None]:
    return lambda octets: struct.pack_into({2: "<H", 4: "<I", 8: "<Q"}[size], octets, at, value)


def in_entry(number: int, at: int, value: int, size: int = 4) -> Callable[[bytearray], None]:
    return lambda octets: put(entry_of(octets, number) + at, value, size)(octets)


def in_fat(sector: int, value: int) -> Callable[[bytearray], None]:
    return lambda octets: put(fat_of(octets) + 4 * sector, value)(octets)


# The large stream Data is entry 14 and has sectors 0 to 19; deep, entry 18, follows in 20 to 29.
LIES: dict[str, tuple[Callable[[bytearray], None], str]] = {
    "no magic": (put(0, 1), "does not begin as one"),
    "version 5": (put(26, 5, 2), "of version 5"),
    "sectors of 64 KiB": (put(30, 16, 2), r"sectors of 2\^16"),
    "sectors of version 4": (put(30, 12, 2), "of version 3 with sectors"),
    "mini sectors of 32": (put(32, 5, 2), r"mini sectors of 2\^5"),
    "another cutoff": (put(56, 8192), "limit of 8192"),
    "big-endian": (put(28, 0xFEFF, 2), "version 3"),
    "no FAT": (put(44, 0), "0 FAT sectors"),
    "FAT without end": (put(44, 0x7FFFFFFF), "2147483647 FAT sectors"),
    "FAT beyond the end": (put(76, 0x10000), "FAT is said to be in sector 65536"),
    "FAT in nowhere": (put(44, 2), "sector 4294967295"),
    "DIFAT out of nothing": (put(72, 1), "DIFAT is said to be in sector"),
    "DIFAT without end": (put(72, 0xFFFFFFFF), "4294967295 DIFAT sectors"),
    "directory beyond the end": (put(48, 0x10000), "directory goes on at sector 0x10000"),
    "directory in the FAT": (lambda octets: put(48, int.from_bytes(octets[76:80], "little"))(octets), "passed before"),
    "directory without a root": (in_entry(0, 66, 0x0102, 2), "does not begin with a root"),
    "child that is not there": (in_entry(0, 76, 500), "leads to entry 500"),
    "root its own child": (in_entry(0, 76, 0), "entry 0 twice"),
    "child that is not used": (in_entry(19, 66, 0, 2), "entry 19 of its directory is of kind 0"),
    "sibling loop": (in_entry(1, 68, 1), "entry 1 twice"),
    "storage in itself": (in_entry(15, 76, 15), "entry 15 twice"),
    "stream with children": (in_entry(14, 76, 19), "has children"),
    "name of no octets": (in_entry(14, 64, 0, 2), "have 0 octets"),
    "name of 66 octets": (in_entry(14, 64, 66, 2), "have 66 octets"),
    "name of 7 octets": (in_entry(14, 64, 7, 2), "have 7 octets"),
    "name without end": (in_entry(14, 64, 8, 2), "does not end where"),
    "stream beyond the end": (in_entry(14, 116, 0x10000), "stream Data goes on at sector 0x10000"),
    "stream in another": (in_entry(14, 116, 25), "has 5 sectors, and 20 were expected"),
    "size beyond the file": (in_entry(14, 120, 0x7FFFFFFF, 8), "said to have 2147483647 octets"),
    "size beyond the chain": (in_entry(14, 120, 12000, 8), "has 20 sectors, and 24 were expected"),
    "small where it was large": (in_entry(14, 120, 100, 8), "sector 0, which a chain has passed before"),
    "mini stream that is too short": (in_entry(0, 120, 64, 8), "goes on at sector"),
    "mini stream beyond the file": (in_entry(0, 120, 0x7FFFFFFF, 8), "mini stream has"),
    "FAT loop of one": (in_fat(3, 3), "passed before"),
    "FAT loop": (in_fat(19, 0), "passed before"),
    "two chains meet": (in_fat(19, 25), "passed before"),
    "chain ends early": (in_fat(5, 0xFFFFFFFE), "has 6 sectors, and 20 were expected"),
    "chain ends in a free sector": (in_fat(5, 0xFFFFFFFF), "goes on at sector 0xffffffff"),
    "chain leaves the file": (in_fat(5, 0x1000), "goes on at sector 0x1000"),
}


@pytest.mark.parametrize("lie", LIES)
def test_one_sentence_for_each_lie(plain: bytes, lie: str):
    """Loops, cycles, sizes and numbers out of range: refused for what they are, in one sentence."""
    octets = bytearray(plain)
    LIES[lie][0](octets)
    with pytest.raises(MalformedCode, match=LIES[lie][1]) as refused:
        cfb.read(Held(bytes(octets)))
    assert refused.value.detail.endswith(".") and "\n" not in refused.value.detail


def test_difat_cycle(tmp_path: Path):
    """A DIFAT sector that names itself as its follower, and a count that says there are two."""
    octets = bytearray(build(tmp_path / "f", {"Big": 8_000_000}, major=3).read_bytes())
    first = int.from_bytes(octets[68:72], "little")
    struct.pack_into("<I", octets, (first + 2) * 512 - 4, first)
    code = Held(bytes(octets))
    assert any("DIFAT" in text for text in cfb_tidy.untidy(code, cfb.read(code)))
    struct.pack_into("<I", octets, 72, 2)
    with pytest.raises(MalformedCode, match="belongs to something else"):
        cfb.read(Held(bytes(octets)))


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Storages too deep, two streams of one name, a directory that is too large to be held in memory."""
    tree: Tree = {}
    for _ in range(cfb_directory.MAX_DEPTH + 2):
        tree = {"in": tree}
    with FileSource.open(build(tmp_path / "deep", tree)) as code, pytest.raises(MalformedCode, match="32 deep"):
        cfb.read(code)
    octets = bytearray(build(tmp_path / "two", {"a": b"1", "b": b"2"}).read_bytes())
    octets[octets.index(b"b\0\0\0")] = ord("a")
    with pytest.raises(MalformedCode, match="the same name"):
        cfb.read(Held(bytes(octets)))
    monkeypatch.setattr(cfb_directory, "MAX_ENTRIES", 64)
    many = build(tmp_path / "many", {f"{number:06}": b"" for number in range(64)})
    with FileSource.open(many) as code, pytest.raises(MalformedCode, match="more than 64 entries"):
        cfb.read(code)


def test_cut_short_everywhere(plain: bytes):
    """At no length does a piece of a file pass for the whole, but where only unused room is missing."""
    for size in range(0, len(plain), 96):
        with pytest.raises(MalformedCode):
            code = Held(plain[:size])
            found = cfb.read(code)
            contents(found, code)
