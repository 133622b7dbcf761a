"""Changing compound files: what was there stays, what is added can be taken away without a trace."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest
from tests.formats.cfb_builder import Tree, build, tables
from tests.formats.test_cfb import NESTED, WAYS, contents
from tests.formats.test_pe_layout import Held

from privyseal.errors import MalformedCode
from privyseal.formats import cfb, cfb_changes, cfb_directory, cfb_tidy
from privyseal.formats.protocol import Copy, Insert, PatchPlan
from privyseal.formats.source import FileSource

SIZES = (0, 1, 64, 65, 4095, 4096, 4097, 70_000)


def carried_out(plan: PatchPlan, octets: bytes) -> bytes:
    return b"".join(
        octets[step.offset : step.offset + step.count] if isinstance(step, Copy) else step.octets for step in plan.steps
    )


def changed(octets: bytes, streams: dict[str, bytes | None]) -> bytes:
    """Return the changed file, which must be tidy and of the size that was planned."""
    code = Held(octets)
    plan = cfb_changes.change(code, cfb.read(code), streams)
    made = carried_out(plan, octets)
    assert len(made) == plan.size
    again = Held(made)
    assert list(cfb_tidy.untidy(again, cfb.read(again))) == []
    return made


def tree_of(octets: bytes) -> Tree:
    code = Held(octets)
    return contents(cfb.read(code), code)


def random_octets(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@pytest.mark.parametrize("way", WAYS)
def test_add_replace_remove(tmp_path: Path, way: str):
    """Every size on either side of every limit: the rest stays, and removing gives the file that there was."""
    original = build(tmp_path / "f", NESTED, **WAYS[way]).read_bytes()
    for first in SIZES:
        for second in (0, 32, 5000):
            one, other = random_octets(first), random_octets(second)
            added = changed(original, {"\5One": one, "\5Other": other})
            assert tree_of(added) == {**NESTED, "\5One": one, "\5Other": other}
            replaced = changed(added, {"\5One": random_octets(first + 3000), "\5Other": other})
            assert tree_of(replaced) == {**NESTED, "\5One": random_octets(first + 3000), "\5Other": other}
            assert changed(replaced, {"\5One": None, "\5Other": None}) == original
            assert changed(added, {"\5One": None, "\5Other": None}) == original


@pytest.mark.parametrize("spare", range(-4, 5))
@pytest.mark.parametrize("fat_sectors", [1, 109])
def test_where_the_fat_is_full(tmp_path: Path, fat_sectors: int, spare: int):
    """Around the last place in a FAT sector, and around the last number of one that the header holds."""
    octets = (fat_sectors * 128 - fat_sectors - spare - 20) * 512
    original = build(tmp_path / "f", {"Big": octets, "small": b"s"}, major=3).read_bytes()
    for size in (9000, 12_000, 140_000):
        added = changed(original, {"\5One": random_octets(size)})
        assert tree_of(added)["\5One"] == random_octets(size)
        assert changed(added, {"\5One": None}) == original


def test_difat_grows(tmp_path: Path):
    """What does not fit into the header goes into a DIFAT sector, and that goes when it is not needed any more."""
    original = build(tmp_path / "f", {"Big": 7_000_000}, major=3).read_bytes()
    added = changed(original, {"\5One": random_octets(300_000)})
    code = Held(added)
    assert not cfb.read(Held(original)).difat_at and len(cfb.read(code).difat_at) == 1
    assert changed(added, {"\5One": None}) == original


def test_7z_reads_what_was_changed(tmp_path: Path):
    """A stranger finds what was added, and what was there, in files of both versions."""
    for major in (3, 4):
        path, out = tmp_path / f"v{major}", tmp_path / f"out{major}"
        tree: Tree = {"Data": bytes(range(251)) * 40, "small": b"small" * 9}
        original = build(path, tree, major=major, scatter=major).read_bytes()
        path.write_bytes(changed(original, {"Added": random_octets(70_000), "Little": b"little"}))
        subprocess.run(["7z", "x", f"-o{out}", path], check=True, capture_output=True, timeout=60)
        assert {one.name: one.read_bytes() for one in out.iterdir()} == {
            **tree,
            "Added": random_octets(70_000),
            "Little": b"little",
        }


class Planned:
    """The outcome of a plan, without its being written: 2 GiB of zeros are no file to copy in a test."""

    def __init__(self, plan: PatchPlan, code: FileSource) -> None:
        self.plan, self.code = plan, code
        self.size, self.filename = plan.size, code.filename

    def pread(self, offset: int, count: int) -> bytes:
        made, at = b"", 0
        for step in self.plan.steps:
            there = step.count if isinstance(step, Copy) else len(step.octets)
            start, end = max(offset, at) - at, min(offset + count, at + there) - at
            if start < end:
                copied = isinstance(step, Copy)
                made += self.code.pread(step.offset + start, end - start) if copied else step.octets[start:end]
            at += there
        return made

    def readinto(self, offset: int, buffer: memoryview) -> int:
        made = self.pread(offset, min(len(buffer), self.size - offset))
        buffer[: len(made)] = made
        return len(made)


def test_over_the_range_lock(tmp_path: Path):
    """A file that grows over 2 GiB keeps the sector there free for locking, and gives it back."""
    added = random_octets(3 << 20)
    with FileSource.open(build(tmp_path / "f", {"Big": (1 << 31) - (521 << 12)})) as code:
        before = cfb.read(code)
        grown = Planned(cfb_changes.change(code, before, {"\5One": added}), code)
        found = cfb.read(grown)
        one = found.named("\5One")
        assert one is not None and cfb.stream(grown, found, one, 1 << 24) == added
        assert all(not at <= cfb.LOCK_AT < at + count for at, count in cfb.pieces(found, one))
        assert len(list(cfb.pieces(found, one))) == 2 and grown.size > 1 << 31
        assert list(cfb_tidy.untidy(grown, found)) == []
        shrunk = Planned(cfb_changes.change(grown, found, {"\5One": None}), grown)  # type: ignore[arg-type]
        assert shrunk.size == code.size and list(cfb_tidy.untidy(shrunk, cfb.read(shrunk))) == []
        for at in (0, *((sector + 1) << 12 for sector in (*before.fat_at, *before.directory_runs[::2]))):
            assert shrunk.pread(at, 4096) == code.pread(at, 4096)


def test_version_3_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """There is no sector for more than 2 GiB, so it is refused before a file is made that nobody opens."""
    octets = build(tmp_path / "f", tables(), major=3).read_bytes()
    monkeypatch.setattr(cfb, "MAX_FILE_3", len(octets) + 4096)
    changed(octets, {"\5One": bytes(3000)})
    with pytest.raises(MalformedCode, match="more than a compound file of version 3 may have"):
        changed(octets, {"\5One": bytes(5000)})
    monkeypatch.setattr(cfb, "MAX_FILE_3", len(octets) - 1)
    with pytest.raises(MalformedCode, match="are read"):
        changed(octets, {"\5One": b"1"})


@pytest.mark.parametrize("major", [3, 4])
def test_leftovers_are_wiped(tmp_path: Path, major: int):
    """What stood behind the ends of streams, in free sectors and in unused fields is zero after the first change."""
    octets = bytearray(build(tmp_path / "f", tables(), major=major, leftovers=b"secret").read_bytes())
    octets[8:24] = b"class of header."
    code = Held(bytes(octets))
    assert b"secret" in octets and len(list(cfb_tidy.untidy(code, cfb.read(code)))) == 2
    made = changed(bytes(octets), {"\5One": b"one"})
    assert b"secret" not in made and b"class" not in made
    assert changed(changed(made, {"\5Two": b"2"}), {"\5Two": None}) == made


def test_a_hole_is_wiped_and_not_used(tmp_path: Path):
    """What is removed from the midst leaves zeros: nothing that stays is moved, nothing is put there."""
    tree: Tree = {"First": b"1" * 9000, "Hole": b"hole" * 3000, "Last": b"3" * 9000, "Small": b"hole" * 9, "Tiny": b"t"}
    original = build(tmp_path / "f", tree, major=3).read_bytes()
    made = changed(original, {"Hole": None, "Small": None})
    assert len(made) == len(original) and b"hole" not in made
    assert tree_of(made) == {name: tree[name] for name in ("First", "Last", "Tiny")}
    assert tree_of(changed(made, {"New": b"new" * 4000}))["New"] == b"new" * 4000


def test_trees_of_every_shape():
    """Hanging up and taking down in any order keeps the order of names, and no red one hangs below a red one."""
    chance = random.Random(7)
    for _ in range(80):
        names = [f"{number:x}" * chance.choice((1, 2, 3)) for number in chance.sample(range(10, 500), 24)]
        directory = bytearray(cfb_directory.EMPTY * 32)
        directory[66] = cfb_directory.ROOT
        places: dict[str, int] = {}
        for name in names:
            place = cfb_directory.free_place(directory)
            assert place is not None
            at = place * cfb_directory.SIZE
            directory[at : at + cfb_directory.SIZE] = cfb_directory.written(name, 0, 0)
            if places.keys() and chance.random() < 0.4:
                before = bytes(directory)
                cfb_directory.hang(directory, place, 0)
                cfb_directory.take_down(directory, place, 0)
                assert directory[:at] == before[:at] and directory[at + 128 :] == before[at + 128 :]
                directory[at : at + cfb_directory.SIZE] = cfb_directory.written(name, 0, 0)
            cfb_directory.hang(directory, place, 0)
            places[name] = place
        for place in places.values():  # colours as another writer may have them: some red leaves
            entry = cfb_directory.entry_at(directory, place, 4)
            if entry.left == entry.right == cfb_directory.NOBODY and chance.random() < 0.5:
                directory[place * 128 + 67] = cfb_directory.RED
        for name in chance.sample(names, 20):
            cfb_directory.take_down(directory, places.pop(name), 0)
            _check_tree(bytes(directory), places)


def _check_tree(directory: bytes, places: dict[str, int]) -> None:
    def refuse(why: str) -> MalformedCode:
        return MalformedCode(why)

    entries, children = cfb_directory.read_tree(directory, 4, refuse)
    assert set(children[0]) == set(places.values())
    ranks = [cfb_directory.rank(entries[number].name) for number in children[0]]
    assert ranks == sorted(ranks)
    for number in children[0]:
        one = entries[number]
        for side in (one.left, one.right):
            if side != cfb_directory.NOBODY:
                assert cfb_directory.RED not in (one.colour, entries[side].colour) or one.colour != entries[side].colour


def test_later_patches_lie_over_earlier_ones():
    """Against the plain way: write one after the other into a row of octets."""
    chance = random.Random(1)
    for _ in range(300):
        row = bytearray(60)
        patches = []
        for number in range(chance.randrange(12)):
            at, octets = chance.randrange(70), bytes([number + 1]) * chance.randrange(20)
            patches.append((at, octets))
            row[at : at + len(octets)] = octets
            row = row[:60] if len(row) > 60 else row + bytes(60 - len(row))
        made = bytearray(60)
        ordered = cfb_changes.layered(patches, 60)
        for (at, octets), follows in zip(ordered, [*ordered, (60, b"")][1:], strict=True):
            assert octets and at + len(octets) <= follows[0]
            made[at : at + len(octets)] = octets
        assert made == row


def test_nothing_large_is_inserted(tmp_path: Path):
    """A plan holds what is new and what is zero, not what stays; a hundred MB of strangers' sectors are one MB."""
    path = build(tmp_path / "f", {"Big": 100 << 20, "Hole": b"x" * 5000})
    with path.open("r+b") as out:
        out.seek(5 << 20)
        out.write(b"content")
    with FileSource.open(path) as code:
        plan = cfb_changes.change(code, cfb.read(code), {"\5One": b"1" * 9000})
    assert sum(len(step.octets) for step in plan.steps if isinstance(step, Insert)) < 200_000
