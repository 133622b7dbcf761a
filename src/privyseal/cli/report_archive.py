"""The one form that a report's archive has: a ZIP file whose every octet follows from the names and contents in it.

Members are sorted, stored and not compressed, all of 1980-01-01, without comments or extra fields; any ZIP program
opens it. So a report that is made again is the same to the octet, and reading is strict: whatever is not of that form
(a name twice, a path that leads out, something compressed that inflates without end, octets between members) is refused
before anything is believed, and no library's leniency has a say in it.
"""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from msgspec import Struct

from privyseal.cli.output import printable
from privyseal.errors import BadInput, TooLarge, VerificationFailed

MOST_MEMBERS = 50_000
"""Members of an archive: two for each statement. ZIP itself ends at 65,535."""
LARGEST_ARCHIVE = 0x7FFFFFFF
"""Octets of an archive: what ZIP programs of every age open, without Zip64."""
PIECE = 1 << 20
"""Octets read at a time."""
_LONGEST_NAME = 200
_NAME = re.compile(r"[a-z0-9][a-zA-Z0-9._-]*(/[a-z0-9][a-zA-Z0-9._-]*){0,3}")
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL = struct.Struct("<4sBBHHHHHIIIHHHHHII")
_END = struct.Struct("<4sHHHHIIH")
_VERSION, _UNIX, _DATE, _MODE = 20, 3, 0x21, 0o100644 << 16


class Member(Struct, frozen=True):
    """One file of an archive: its name, where its octets are, how many, and their CRC-32 as the archive has it."""

    name: str
    offset: int
    size: int
    crc: int


Content = bytes | Path
"""Octets, or a file that holds them."""


def write(file: IO[bytes], contents: Mapping[str, Content]) -> None:
    """Write an archive of these files; TooLarge where it would be larger than every program can open."""
    if len(contents) > MOST_MEMBERS:
        raise TooLarge(
            f"A report of {len(contents)} files was to be made; {MOST_MEMBERS} is the most that one can hold."
        )
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=False) as archive:
        for name in sorted(contents):
            content = contents[name]
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = _UNIX, _MODE
            info.file_size = len(content) if isinstance(content, bytes) else content.stat().st_size
            if file.tell() + info.file_size > LARGEST_ARCHIVE - (1 << 24):
                raise TooLarge("The report would be larger than 2 GiB.", hint="leave the documents out")
            with archive.open(info, "w") as member:
                for octets in _pieces(content):
                    member.write(octets)


def _pieces(content: Content) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as opened:
        while octets := opened.read(PIECE):
            yield octets


def members(file: IO[bytes]) -> list[Member]:
    """List the files in an archive, all of its octets accounted for; VerificationFailed where it is not of our form."""
    size = file.seek(0, 2)
    if size > LARGEST_ARCHIVE:
        raise TooLarge(f"An archive of {size} octets was given, and {LARGEST_ARCHIVE} is the most that one has.")
    found: list[Member] = []
    at = 0
    while _at(file, at, 4) == b"PK\3\4":
        if len(found) == MOST_MEMBERS:
            raise _other_form(f"it has more than {MOST_MEMBERS} files", at)
        member = _member(file, at, size)
        if found and member.name <= found[-1].name:
            raise _other_form(f"{printable(member.name)} comes after {printable(found[-1].name)}", at)
        found.append(member)
        at = member.offset + member.size
    if not found:
        raise BadInput("This is no report: a ZIP archive of one was expected.")
    directory = _directory(found)
    if size != at + len(directory) or _at(file, at, len(directory)) != directory:
        raise _other_form("its list of files is not the one of the files before it", at)
    return found


def octets_of(file: IO[bytes], member: Member, limit: int) -> bytes:
    """Read a file of an archive whole; VerificationFailed where it has more than ``limit`` octets, or another CRC."""
    if member.size > limit:
        raise VerificationFailed(
            f"{member.name} has {member.size} octets, and {limit} is the most that a report's has."
        )
    return b"".join(pieces_of(file, member))


def pieces_of(file: IO[bytes], member: Member) -> Iterator[bytes]:
    """Yield a file of an archive piece by piece; VerificationFailed at its end where its CRC is another."""
    at, end, crc = member.offset, member.offset + member.size, 0
    while at < end:
        octets = _at(file, at, min(PIECE, end - at))
        if not octets:
            raise VerificationFailed(f"{member.name} is cut short.")
        crc = zlib.crc32(octets, crc)
        at += len(octets)
        yield octets
    if crc != member.crc:
        raise VerificationFailed(f"{member.name} was altered: its CRC-32 is not the one that the archive gives.")


def _member(file: IO[bytes], at: int, size: int) -> Member:
    """Read the header of one file; it must be, octet for octet, the one that we would write."""
    header = _at(file, at, _LOCAL.size)
    if len(header) < _LOCAL.size:
        raise _other_form("it is cut short", at)
    *_, crc, packed, plain, length, _ = _LOCAL.unpack(header)
    if not 0 < length <= _LONGEST_NAME:
        raise _other_form(f"a file's name has {length} octets", at)
    octets = _at(file, at + _LOCAL.size, length)
    name = octets.decode("ascii", "replace")
    if not _NAME.fullmatch(name):
        raise _other_form(f"no file of a report is called {printable(name)}", at)
    if header != _local(name, plain, crc) or packed != plain:
        raise _other_form(f"{name} is compressed, encrypted or described otherwise than our files are", at)
    offset = at + _LOCAL.size + length
    if plain > size - offset:
        raise _other_form(f"{name} is cut short", at)
    return Member(name, offset, plain, crc)


def _local(name: str, size: int, crc: int) -> bytes:
    return _LOCAL.pack(b"PK\3\4", _VERSION, 0, 0, 0, _DATE, crc, size, size, len(name), 0)


def _directory(found: list[Member]) -> bytes:
    """Return what an archive of these files ends with."""
    entries = []
    for each in found:
        start = each.offset - _LOCAL.size - len(each.name)
        fields = (_VERSION, _UNIX, _VERSION, 0, 0, 0, _DATE, each.crc, each.size, each.size, len(each.name))
        entries.append(_CENTRAL.pack(b"PK\1\2", *fields, 0, 0, 0, 0, _MODE, start) + each.name.encode("ascii"))
    records = b"".join(entries)
    begin = found[-1].offset + found[-1].size
    return records + _END.pack(b"PK\5\6", 0, 0, len(found), len(found), len(records), begin, 0)


def _at(file: IO[bytes], at: int, count: int) -> bytes:
    file.seek(at)
    return file.read(count)


def _other_form(why: str, at: int) -> VerificationFailed:
    return VerificationFailed(
        f"The archive is not of the form that reports have: {why} (at octet {at}).",
        hint="was it altered, or packed anew?",
    )
