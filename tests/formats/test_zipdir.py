"""ZIP archives: read where all of them agrees, refused in one sentence where not, changed without moving the rest."""

from __future__ import annotations

import io
import itertools
import os
import random
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.formats import zip_builder
from tests.formats.test_pe_layout import Held
from tests.formats.zip_builder import File, Form, archive, ends

from privyseal.errors import MalformedCode
from privyseal.formats import zipdir, zipdir_writing
from privyseal.formats.protocol import Insert, PatchPlan, Source
from privyseal.formats.source import FileSource

FILES = [File(b"a.txt", b"one" * 99), File(b"dir/b.bin", b"two", packed=False), File(b"empty", b"", packed=False)]
FORMS: tuple[Form, ...] = ("none", "32", "64", "bare32", "bare64")
SIZE = 1 << 20


def read(octets: bytes) -> zipdir.Archive:
    return zipdir.read(Held(octets))


def refusal(octets: bytes) -> str:
    with pytest.raises(MalformedCode) as refused:
        zipdir.read(Held(octets))
    assert refused.value.detail.endswith(".") and "\n" not in refused.value.detail
    return refused.value.detail


def written(code: Source, plan: PatchPlan) -> bytes:
    return b"".join(
        step.octets if isinstance(step, Insert) else code.pread(step.offset, step.count) for step in plan.steps
    )


def rewritten(octets: bytes, drop: bytes = b"", *added: zipdir_writing.Placed, normal: bool = False) -> bytes:
    code = Held(octets)
    found = zipdir.read(code)
    placed = [one for one in zipdir_writing.in_order(found) if one.entry.name != drop]
    placed += added
    if normal:
        directory = zipdir_writing.normal_directory(found, placed, bool(found.zip64))
    else:
        directory = zipdir_writing.directory(found, placed)
    return written(code, PatchPlan((*zipdir_writing.steps(placed), Insert(directory))))


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("zip64", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_every_dialect(form: Form, zip64: bool, wide: bool):
    """Descriptors of four forms or none, ZIP64 where it is not needed: read, unpacked and written again as it was."""
    extra = b"\x55\x54\x05\x00\x01\0\0\0\0"
    files = [File(one.name, one.octets, one.packed, form, wide, extra, b"note") for one in FILES]
    octets = archive(files, zip64=zip64, comment=b"a comment")
    found = read(octets)
    code = Held(octets)
    assert [one.name for one in found.entries] == [one.name for one in FILES]
    assert [zipdir.whole(code, one, SIZE) for one in found.entries] == [one.octets for one in FILES]
    assert rewritten(octets) == octets
    with zipfile.ZipFile(io.BytesIO(octets)) as other:
        assert other.testzip() is None and [one.encode() for one in other.namelist()] == [one.name for one in FILES]


@pytest.mark.parametrize("zip64", [False, True])
@pytest.mark.parametrize("wide", [False, True])
def test_an_entry_comes_and_goes(zip64: bool, wide: bool):
    """Another reader finds it; taken out again the archive is what it was, also if it stood in the middle."""
    octets = archive([File(one.name, one.octets, one.packed, "64", wide) for one in FILES], zip64=zip64)
    added = zipdir_writing.new(b"new", b"content" * 20_000, zipdir.DEFLATED, 0x21_0000)
    larger = rewritten(octets, b"", added)
    with zipfile.ZipFile(io.BytesIO(larger)) as other:
        assert other.testzip() is None and other.read("new") == b"content" * 20_000
    assert rewritten(larger, b"new") == octets
    shorter = rewritten(octets, b"dir/b.bin")
    with zipfile.ZipFile(io.BytesIO(shorter)) as other:
        assert other.testzip() is None and other.namelist() == ["a.txt", "empty"]
    assert shorter == archive([File(one.name, one.octets, one.packed, "64", wide) for one in FILES[::2]], zip64=zip64)


def test_normal_directories_have_no_more_than_is_needed():
    """Extra fields and disk numbers go, comments stay; the order is that of the entries. Twice is once."""
    files = [File(one.name, one.octets, one.packed, "64", True, b"", b"note") for one in FILES]
    once = rewritten(archive(files, zip64=True, disks=0xFFFF), normal=True)
    plain = [File(one.name, one.octets, one.packed, "64", False, b"", b"note") for one in FILES]
    assert once == archive(plain, zip64=True) == rewritten(once, normal=True)


def test_more_than_four_gib(tmp_path: Path):
    """Offsets and sizes beyond 32 bits, in a file with a hole; the ZIP64 field appears where it is needed."""
    size = (4 << 30) + 5
    path = tmp_path / "large.zip"
    tail = b"small"
    crc = 0x12345678  # nobody reads the large entry
    with path.open("wb") as file:
        name = b"large.bin"
        wide = struct.pack("<HHQQ", 1, 16, size, size)
        file.write(struct.pack("<4sHHHIIIIHH", b"PK\3\4", 45, 0, 0, 0, crc, *(0xFFFFFFFF,) * 2, len(name), len(wide)))
        file.write(name + wide)
        file.seek(size, os.SEEK_CUR)
        second = file.tell()
        file.write(struct.pack("<4sHHHIIIIHH", b"PK\3\4", 20, 0, 0, 0, zlib.crc32(tail), 5, 5, 5, 0) + b"b.txt" + tail)
        at = file.tell()
        full = (0xFFFFFFFF, 0xFFFFFFFF)
        one = struct.pack("<4sHHHHIIIIHHHHHII", b"PK\1\2", 45, 45, 0, 0, 0, crc, *full, len(name), 20, 0, 0, 0, 0, 0)
        one += name + wide
        other = (zlib.crc32(tail), 5, 5, 5, 12, 0, 0, 0, 0, 0xFFFFFFFF)
        two = struct.pack("<4sHHHHIIIIHHHHHII", b"PK\1\2", 45, 20, 0, 0, 0, *other) + b"b.txt"
        two += struct.pack("<HHQ", 1, 8, second)
        file.write(ends(one + two, 2, at, zip64=True))
    with FileSource.open(path) as code:
        found = zipdir.read(code)
        assert [one.size for one in found.entries] == [size, 5] and found.entries[1].at == second
        assert zipdir.whole(code, found.entries[1], 10) == tail
        placed = zipdir_writing.in_order(found)
        ends_at = code.size - found.at
        expected = code.pread(found.at, ends_at)
        assert zipdir_writing.directory(found, placed) == expected
        assert zipdir_writing.normal_directory(found, placed, True) == expected
        added = zipdir_writing.new(b"c", b"c", zipdir.STORED, 0)
        directory = zipdir_writing.directory(found, [*placed, added])
        assert len(zipdir_writing.steps([*placed, added])) == 2
        assert struct.pack("<HHQ", 1, 8, found.at) in directory  # where the added one begins


def _patched(at: int, value: bytes) -> Callable[[bytes], bytes]:
    return lambda octets: octets[:at] + value + octets[at + len(value) :]


def _in_directory(at: int, value: bytes) -> Callable[[bytes], bytes]:
    def change(octets: bytes) -> bytes:
        return _patched(octets.index(b"PK\1\2") + at, value)(octets)

    return change


def _in_end(at: int, value: bytes) -> Callable[[bytes], bytes]:
    def change(octets: bytes) -> bytes:
        return _patched(octets.rindex(b"PK\5\6") + at, value)(octets)

    return change


PLAIN = archive(FILES)
WIDE = archive(FILES, zip64=True)
STREAMED = archive([File(b"a", b"12345", False, "32"), File(b"b", b"6", False)])
GAP = archive([File(b"a", b"x"), File(b"b", b"y", gap=b"gap"), File(b"c", b"z")])
BROKEN: dict[str, tuple[bytes, str]] = {
    "no end": (PLAIN[:-30], "no end of a central directory"),
    "empty": (b"", "no end of a central directory"),
    "cut": (PLAIN[10:], "end records begin at"),
    "more behind": (PLAIN + b"x", "octets behind the end"),
    "two ends": (PLAIN + PLAIN[PLAIN.index(b"PK\5\6") :], "end records begin at"),
    "a second end in the comment": (archive(FILES, comment=b"PK\5\6" + bytes(18)), "end records begin at"),
    "an archive in the comment": (archive(FILES, comment=archive(FILES[:1])), "end records begin at"),
    "octets before": (archive(FILES, before=b"MZ"), "end records begin at"),
    "no entries, but octets": (b"abc" + ends(b"", 0, 3), "octets before its central directory"),
    "another volume": (_in_end(4, b"\1\0")(PLAIN), "several volumes"),
    "entries on disk": (_in_end(8, b"\1\0")(PLAIN), "several volumes"),
    "more entries": (_in_end(8, b"\4\0\4\0")(PLAIN), "fewer in its central directory"),
    "fewer entries": (_in_end(8, b"\2\0\2\0")(PLAIN), "more in its central directory"),
    "directory elsewhere": (_in_end(16, b"\1\0")(PLAIN), "end records begin at"),
    "ZIP64 not there": (_in_end(16, b"\xff" * 4)(PLAIN), "has none where it belongs"),
    "ZIP64 contradicts": (_in_end(10, b"\1\0")(WIDE), "contradict each other"),
    "ZIP64 locator leads elsewhere": (_patched(WIDE.index(b"PK\6\7") + 8, b"\1")(WIDE), "locator that does not lead"),
    "ZIP64 record of another size": (WIDE.replace(b"PK\6\6\x2c", b"PK\6\6\x2d"), "locator that does not lead"),
    "overlap": (_in_directory(46 + 5 + 42, b"\1")(PLAIN), "overlaps|reaches into"),
    "same place": (_in_directory(46 + 5 + 42, b"\0\0\0\0")(PLAIN), "overlaps|reaches into"),
    "own size differs": (_patched(18, b"\1")(PLAIN), "own header says other things"),
    "own name differs": (_patched(30, b"b")(PLAIN), "own header says other things"),
    "own method differs": (_patched(8, b"\0")(PLAIN), "own header says other things"),
    "own checksum differs": (_patched(14, b"\1")(PLAIN), "own header says other things"),
    "no header": (_patched(0, b"XX")(PLAIN), "own header says other things"),
    "data reach on": (_in_directory(20, b"\xff\xff")(PLAIN), "overlaps the next"),
    "no descriptor": (STREAMED.replace(b"PK\7\x08", b"PK\7\x09"), "behind the data"),
    "descriptor lies": (STREAMED.replace(b"\5\0\0\0\5\0\0\0PK\3\4", b"\5\0\0\0\6\0\0\0PK\3\4"), "behind the data"),
    "gap": (GAP, "behind the data"),
    "gap before the first": (archive(FILES, before=b"MZ", counted=True), "octets before it"),
    "encrypted": (_in_directory(8, b"\1")(_patched(6, b"\1")(PLAIN)), "encrypted"),
    "another method": (_in_directory(10, b"\x09")(_patched(8, b"\x09")(PLAIN)), "method 9"),
    "stored in fewer": (archive([File(b"a", b"12345", False)]).replace(b"\5\0\0\0\1\0", b"\4\0\0\0\1\0"), "stores 4"),
    "no name": (archive([File(b"", b"x")]), "name has 0 octets"),
    "long name": (archive([File(b"n" * 5000, b"x")]), "name has 5000 octets"),
    "twice": (archive([File(b"a", b"x"), File(b"a", b"y")]), "two entries of one name"),
    "twice on Windows": (archive([File(b"A.txt", b"x"), File(b"a.TXT", b"y")]), "two entries of one name"),
    "twice, escaped": (archive([File(b"a%20b", b"x"), File(b"a b", b"y")]), "two entries of one name"),
    "extra fields end early": (archive([File(b"a", b"x", extra=b"\1\2\3")]), "extra fields"),
    "extra field too long": (archive([File(b"a", b"x", extra=b"\1\2\xff\0")]), "extra fields"),
    "ZIP64 field without need": (archive([File(b"a", b"x", extra=b"\1\0\x08\0" + bytes(8))]), "ZIP64 field"),
    "two ZIP64 fields": (archive([File(b"a", b"x", wide=True, extra=b"\1\0\0\0")]), "2 ZIP64 fields"),
    "own sizes full without a field": (
        _patched(18, b"\xff" * 8)(archive([File(b"a", b"x", wide=True)])),
        "own header says other things",
    ),
    "own extra fields longer": (_patched(28, b"\xff")(PLAIN), "overlaps the next|extra fields|says other things"),
    "sizes full without a field": (_in_directory(20, b"\xff" * 8)(PLAIN), "ZIP64 field"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_what_contradicts_itself_is_refused(how: str):
    """One sentence each, which says what."""
    octets, why = BROKEN[how]
    assert any(one in refusal(octets) for one in why.split("|")), refusal(octets)


class Counted(Held):
    """Octets in memory, with how often and how much was read."""

    def __init__(self, octets: bytes) -> None:
        super().__init__(octets)
        self.readings = self.octets_read = 0

    def pread(self, offset: int, count: int) -> bytes:
        self.readings += 1
        self.octets_read += count
        return super().pread(offset, count)


@pytest.mark.parametrize("form", FORMS)
def test_headers_that_stand_close_together_are_read_at_once(form: Form):
    """Two thousand of them; where their contents are large, those are not read to come to the next."""
    code = Counted(archive([File(b"%d" % number, b"octets", descriptor=form) for number in range(2000)]))
    assert [one.name for one in zipdir.read(code).entries] == [b"%d" % number for number in range(2000)]
    assert code.readings < 20 and code.octets_read < 2 * code.size
    large = [File(b"%d" % number, bytes(100_000), packed=False, descriptor=form) for number in range(20)]
    code = Counted(archive(large))
    assert all(zipdir.whole(code, one, 100_000) == bytes(100_000) for one in zipdir.read(code).entries)
    code = Counted(archive(large))
    assert len(zipdir.read(code).entries) == 20
    assert code.octets_read < 100_000


OUTSIDE = (
    b"../x",
    b"a/../../x",
    b"..",
    b"/etc/x",
    b"\\x",
    b"a\\..\\x",
    b"C:/x",
    b"c:x",
    b"a\0b",
    b"%2e%2e/x",
    b"a/%2E./x",
)


@pytest.mark.parametrize("name", OUTSIDE)
def test_names_that_lead_out_are_refused(name: bytes):
    """With either slash, escaped or not, and with a drive."""
    assert "leads out of it" in refusal(archive([File(name, b"x")]))


def test_names_with_dots_are_names():
    assert (
        len(read(archive([File(b"a..b/..c", b"x"), File(b".hidden", b"y"), File(b"a/", b"", packed=False)])).entries)
        == 3
    )


def test_bombs_are_stopped_where_they_pass_what_they_state():
    """A GiB in a MiB: refused by its stated size; with a small one stated, at the first octet too many."""
    octets = archive([File(b"bomb", bytes(64 << 20))])
    entry = read(octets).entries[0]
    with pytest.raises(MalformedCode, match="at most 1048576 are read"):
        zipdir.whole(Held(octets), entry, SIZE)
    small = struct.pack("<I", 1000)
    lies = octets.replace(struct.pack("<I", 64 << 20), small)
    entry = read(lies).entries[0]
    taken = 0
    with pytest.raises(MalformedCode, match="than the 1000 that it states"):
        for piece in zipdir.unpacked(Held(lies), entry, SIZE):
            taken += len(piece)
    assert taken == 0


def _inner(octets: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Return an archive of one entry whose packed octets were changed to others of the same number."""
    at = octets.index(b"name") + 4
    end = octets.index(b"PK\1\2")
    changed = change(octets[at:end])
    assert len(changed) == end - at
    return octets[:at] + changed + octets[end:]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda octets: b"\xff" + octets[1:], "cannot be unpacked"),
        (lambda octets: octets[:-1] + b"\0", "end where|checksum|unpacked"),
        (lambda octets: b"\3\0" + octets[2:], "end where they should"),
    ],
)
def test_packed_octets_have_to_be_what_they_should(change: Callable[[bytes], bytes], why: str):
    octets = _inner(archive([File(b"name", bytes(range(200)))]), change)
    entry = read(octets).entries[0]
    with pytest.raises(MalformedCode, match=why):
        zipdir.whole(Held(octets), entry, SIZE)


def _raw(content: bytes, level: int) -> bytes:
    packing = zlib.compressobj(level, zlib.DEFLATED, -15)
    return packing.compress(content) + packing.flush()


@pytest.mark.parametrize(
    "packed",
    [
        pytest.param(_raw(b"a" * 8000, 9), id="before the end of what was read, in the second go"),
        pytest.param(_raw(b"a" * 1000, 9), id="before the end of what was read, in the first go"),
        pytest.param(_raw(b"a" * 4091, 0), id="where the first piece that is read does"),
    ],
)
def test_nothing_stands_behind_where_packed_octets_end(packed: bytes):
    """zlib tells of what is left in more than one way, and in one of them it would be unpacked for ever."""
    content = random.Random(7).randbytes(9000)
    octets = _inner(archive([File(b"name", content)]), lambda whole: packed + whole[len(packed) :])
    entry = read(octets).entries[0]
    with pytest.raises(MalformedCode, match="end where they should"):
        for _ in itertools.islice(zipdir.unpacked(Held(octets), entry, SIZE), 100):
            pass


def test_stored_octets_have_to_fit_their_checksum():
    octets = archive([File(b"name", b"content", packed=False)]).replace(b"content", b"c0ntent")
    with pytest.raises(MalformedCode, match="checksum"):
        zipdir.whole(Held(octets), read(octets).entries[0], SIZE)


def test_counts_are_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(zipdir, "MAX_ENTRIES", 2)
    assert "has 3 entries" in refusal(PLAIN)


def test_no_zip64_appears_unasked():
    """An archive without ZIP64 that would need it is refused: whoever reads it may know only the old records."""
    found = read(archive([File(b"%05d" % number, b"", packed=False) for number in range(65534)]))
    placed = [*zipdir_writing.in_order(found), zipdir_writing.new(b"one", b"", zipdir.STORED, 0)]
    with pytest.raises(MalformedCode, match="needs ZIP64"):
        zipdir_writing.directory(found, placed)
    with pytest.raises(MalformedCode, match="needs ZIP64"):
        zipdir_writing.normal_directory(found, placed, False)
    assert b"PK\6\6" in zipdir_writing.normal_directory(found, placed, True)


@pytest.mark.parametrize("size", [10, 4096, 4339, 70_000])
@pytest.mark.parametrize("behind", [1, 1839, 70_000])
def test_octets_behind_the_end_of_what_is_packed(monkeypatch: pytest.MonkeyPatch, size: int, behind: int):
    """They are refused, whatever the size; Python's zlib would be asked for the rest for ever."""
    packed = zip_builder._deflated
    monkeypatch.setattr(zip_builder, "_deflated", lambda octets: packed(octets) + random.Random(1).randbytes(behind))
    code = Held(archive([File(b"name", bytes(random.Random(2).choices(b"abcd", k=size)))]))
    (entry,) = zipdir.read(code).entries
    with pytest.raises(MalformedCode, match=r"do not end where they should|more octets"):
        zipdir.whole(code, entry, 1 << 20)


def test_octets_behind_the_end_of_what_is_packed_are_refused_and_not_read_for_ever():
    """zlib keeps the tail that it had before the end, so a loop until it is used up would have none."""
    octets = bytes(10_000)  # more than the first piece may become, so there is a tail when the end is met
    raw = zlib.compress(octets, wbits=-15) + b"behind the end"
    told = (zipdir.CENTRAL, 45, 20, 0, zipdir.DEFLATED, 0, zlib.crc32(octets), len(raw), len(octets), 1)
    entry = zipdir.Entry(
        name=b"a", packed=len(raw), size=len(octets), at=0, data_at=0, end=len(raw),
        record=zipdir.RECORD.pack(*told, 0, 0, 0, 0, 0, 0) + b"a",
    )  # fmt: skip
    pieces = zipdir.unpacked(Held(raw), entry, SIZE)
    assert sum(len(next(pieces)) for _ in range(2)) == len(octets)
    with pytest.raises(MalformedCode, match="do not end where they should"):
        next(pieces)


def test_an_entry_takes_little_memory():
    """There may be 131,072, and those of the source and of the outcome at the same time."""
    names = [f"folder{number % 50}/file-{number:026}.bin".encode() for number in range(4000)]
    octets = archive([File(name, b"content") for name in names])
    tracemalloc.start()
    try:
        found = zipdir.read(Held(octets))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found.entries) == len(names) and taken < 400 * len(names)
