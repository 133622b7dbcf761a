"""An archive has one form: what we write is read back, any ZIP program opens it, and nothing else is taken for one."""

from __future__ import annotations

import io
import random
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from privyseal.cli import report_archive
from privyseal.cli.report_archive import members, octets_of, pieces_of, write
from privyseal.errors import BadInput, PrivySealError, TooLarge, VerificationFailed

CONTENTS = {
    "a.json": b"{}\n",
    "log/checkpoint": b"head" * 50,
    "log/empty": b"",
    "statements/000000000002.json": b"x" * 999,
}


def _archive(contents: dict[str, bytes] | None = None) -> bytes:
    file = io.BytesIO()
    write(file, contents or CONTENTS)
    return file.getvalue()


def _read(octets: bytes) -> dict[str, bytes]:
    file = io.BytesIO(octets)
    return {each.name: octets_of(file, each, 1 << 20) for each in members(file)}


def test_what_is_written_is_read_back_and_is_a_zip_archive(tmp_path: Path) -> None:
    """Also from a file; in the order of names, whatever order they came in; the same octets twice."""
    content = tmp_path / "document"
    content.write_bytes(b"d" * 3_000_000)
    one, two = io.BytesIO(), io.BytesIO()
    write(one, {**CONTENTS, "documents/ab": content})
    write(two, {"documents/ab": b"d" * 3_000_000, **dict(reversed(CONTENTS.items()))})
    assert one.getvalue() == two.getvalue()
    with zipfile.ZipFile(one) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == sorted([*CONTENTS, "documents/ab"])
        assert {name: archive.read(name) for name in CONTENTS} == CONTENTS
    assert _read(_archive()) == CONTENTS


def test_no_octet_can_be_changed() -> None:
    """Each octet of the archive, headers and all, with one bit flipped."""
    whole, chance = _archive(), random.Random(4)
    for at in range(len(whole)):
        altered = bytearray(whole)
        altered[at] ^= 1 << chance.randrange(8)
        with pytest.raises(PrivySealError):
            _read(bytes(altered))


def test_no_octet_can_be_added_or_taken_away() -> None:
    """In front, behind, and at any cut."""
    whole = _archive()
    for altered in (b"x" + whole, whole + b"x", whole + whole, *(whole[:at] for at in range(len(whole)))):
        with pytest.raises(PrivySealError):
            _read(altered)


def _zip(build: Callable[[zipfile.ZipFile], None], compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        build(archive)
    return file.getvalue()


def _info(name: str, compression: int = zipfile.ZIP_STORED) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr, info.compress_type = 3, 0o100644 << 16, compression
    return info


def test_our_form_can_be_made_by_others() -> None:
    """What the refusals below have in common is not that somebody else packed it."""
    assert _read(_zip(lambda z: z.writestr(_info("a.json"), b"{}"))) == {"a.json": b"{}"}


@pytest.mark.parametrize("name", [
    "../a.json", "/a.json", "a/../../b", "a//b", "./a", "C:\\a", "a\\b", ".hidden", "a/.b", "ä.json", "a\nb", "-a",
    "a b", "a/b/c/d/e", "x" * 201,
])  # fmt: skip
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(VerificationFailed, match="form"):
        _read(_zip(lambda z: z.writestr(_info(name), b"x")))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice_is_refused() -> None:
    def twice(archive: zipfile.ZipFile) -> None:
        archive.writestr(_info("a.json"), b"good")
        archive.writestr(_info("a.json"), b"evil")

    with pytest.raises(VerificationFailed, match=r"a\.json comes after a\.json"):
        _read(_zip(twice))


def test_a_bomb_is_not_inflated() -> None:
    """A gigabyte of zeros in a megabyte; compressed members are none of ours, so nothing is inflated at all."""
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = b"".join(packed.compress(bytes(1 << 20)) for _ in range(64)) + packed.flush()
    assert len(bomb) < 100_000

    def build(archive: zipfile.ZipFile) -> None:
        archive.writestr(_info("a.json", zipfile.ZIP_DEFLATED), bytes(10_000_000))

    with pytest.raises(VerificationFailed, match="compressed"):
        _read(_zip(build))


def test_sizes_are_believed_only_as_far_as_there_are_octets() -> None:
    """A header that promises four gigabytes is refused before anything is read for it."""
    whole = bytearray(_archive())
    whole[18:26] = b"\xff" * 8
    with pytest.raises(VerificationFailed, match="cut short"):
        members(io.BytesIO(bytes(whole)))


def test_a_file_that_is_too_large_is_not_read() -> None:
    file = io.BytesIO(_archive())
    largest = max(members(file), key=lambda each: each.size)
    with pytest.raises(VerificationFailed, match="998 is the most"):
        octets_of(file, largest, 998)
    assert b"".join(pieces_of(file, largest)) == CONTENTS[largest.name]


@pytest.mark.parametrize("octets", [b"", b"PK", b"PK\3\4", b"PK\5\6" + bytes(18), b"%PDF-1.7", bytes(1000)])
def test_what_is_no_archive(octets: bytes) -> None:
    with pytest.raises((BadInput, VerificationFailed)):
        members(io.BytesIO(octets))


def test_more_files_than_a_report_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_archive, "MOST_MEMBERS", 3)
    with pytest.raises(TooLarge, match="4 files"):
        _archive()
    monkeypatch.undo()
    whole = _archive()
    monkeypatch.setattr(report_archive, "MOST_MEMBERS", 3)
    with pytest.raises(VerificationFailed, match="more than 3 files"):
        members(io.BytesIO(whole))
