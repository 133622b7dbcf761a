"""A VBA project: the compound file ``vbaProject.bin``, read as far as its signatures cover it.

Source: Microsoft, "[MS-OVBA]: Office VBA File Format Structure", 2.3.1 (the stream PROJECT, a text), 2.3.4.2 (the
stream dir, records in a fixed order) and 2.3.4.3 (a stream for each module, whose text stands packed behind what the
compiler left there). Here the order is held to, and every size against the others, so that no octet of dir can be read
in two ways.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Iterator
from typing import Final

import msgspec

from privyseal.errors import MalformedCode
from privyseal.formats import cfb, cfb_directory
from privyseal.formats.cfb import Compound
from privyseal.formats.cfb_directory import STORAGE, STREAM, Entry
from privyseal.formats.protocol import Source
from privyseal.formats.vba_compression import decompressed

MAX_DIR: Final = 4 << 20
"""Octets of dir, unpacked; a project of 100 modules and 20 references has 15 KiB."""
MAX_RECORDS: Final = 1 << 16
"""Records of dir; each module has some ten, and a count of 16 bits."""
MAX_TEXT: Final = 8 << 20
"""Octets of all modules' texts together; a large add-in has some 500 KiB."""
MAX_LINES: Final = 1 << 20
"""Lines of one of them; the VBA editor takes 65,534."""
MAX_PROPERTIES: Final = 1 << 20
"""Octets of the stream PROJECT: one line for each module, some 30 octets."""

SYSKIND, COMPATVERSION, LCID, LCIDINVOKE, CODEPAGE, NAME = 0x01, 0x4A, 0x02, 0x14, 0x03, 0x04
DOCSTRING, DOCSTRING_WIDE, HELP_1, HELP_2, HELPCONTEXT, LIBFLAGS = 0x05, 0x40, 0x06, 0x3D, 0x07, 0x08
VERSION, CONSTANTS, CONSTANTS_WIDE = 0x09, 0x0C, 0x3C
REFERENCE, REFERENCE_WIDE, ORIGINAL, CONTROL, CONTROL_EXTENDED = 0x16, 0x3E, 0x33, 0x2F, 0x30
REGISTERED, PROJECT = 0x0D, 0x0E
MODULES, COOKIE, MODULE, MODULE_WIDE, STREAM_NAME, STREAM_NAME_WIDE = 0x0F, 0x13, 0x19, 0x47, 0x1A, 0x32
MODULE_DOC, MODULE_DOC_WIDE, OFFSET, MODULE_HELP, MODULE_COOKIE = 0x1C, 0x48, 0x31, 0x1E, 0x2C
PROCEDURAL, CLASS, READ_ONLY, PRIVATE, MODULE_END, END = 0x21, 0x22, 0x25, 0x28, 0x2B, 0x10
"""Records of dir (MS-OVBA 2.3.4.2), much by the names that the document has for them."""

_CODE_PAGES: Final = frozenset({437, 850, 852, 866, 874, 932, 936, 949, 950, *range(1250, 1259), 65001})
_ENCODINGS: Final = {936: "gbk", 65001: "utf-8"}


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record of dir: what it is, the size that it states, and what it holds."""

    kind: int
    stated: int
    octets: bytes

    @property
    def head(self) -> bytes:
        """Return the record without what it holds."""
        return struct.pack("<HI", self.kind, self.stated)

    @property
    def whole(self) -> bytes:
        """Return the record as it stands."""
        return self.head + self.octets


class Module(msgspec.Struct, frozen=True):
    """One module: its records by their kinds, and its text."""

    records: dict[int, Record]
    lines: tuple[bytes, ...]
    """Of its text, without their ends, in the project's code page."""


class Project(msgspec.Struct, frozen=True):
    """A project as its signatures cover it."""

    code: Source
    compound: Compound
    forms: dict[bytes, Entry]
    """What is in the root, by the names as PROJECT has them."""
    head: tuple[Record, ...]
    """From SYSKIND to the constants."""
    references: tuple[Record, ...]
    count: tuple[Record, Record]
    """Before the modules: how many there are, and a cookie."""
    modules: tuple[Module, ...]
    end: Record
    properties: tuple[tuple[bytes, bytes], ...]
    """Names and values of PROJECT, in its order, without the quotation marks around a value."""
    extenders: tuple[bytes, ...]
    """The lines under [Host Extender Info]."""

    def record(self, kind: int) -> Record:
        """Return a record of the head."""
        return next(one for one in self.head if one.kind == kind)

    @property
    def name(self) -> str:
        """Return what the project is called, as far as it can be shown."""
        text = self.text(self.record(NAME).octets) or self.record(NAME).octets.decode("latin-1")
        return "".join(one if one.isprintable() else "?" for one in text[:128])

    def text(self, octets: bytes) -> str | None:
        """Decode what is in the project's code page; None where that cannot be known."""
        if octets.isascii():
            return octets.decode("ascii")
        page = int.from_bytes(self.record(CODEPAGE).octets, "little")
        if page not in _CODE_PAGES:
            return None
        try:
            return octets.decode(_ENCODINGS.get(page, f"cp{page}"))
        except (UnicodeDecodeError, LookupError):
            return None


# -- reading -----------------------------------------------------------------------------------------------------------
def read(code: Source) -> Project:
    """Read a project; MalformedCode with one sentence that names what is wrong, or not settled by the document."""
    compound = cfb.read(code)
    root = _Names(code, compound, 0)
    names = _Names(code, compound, root.find("VBA", STORAGE).number)
    packed = cfb.stream(code, compound, names.find("dir", STREAM), MAX_DIR)
    records = _Records(code, tuple(_records(code, decompressed(packed, MAX_DIR, f"The stream dir of {code.filename}"))))
    head, references = tuple(_head(records)), tuple(_references(records))
    count = records.take(MODULES, 2), records.take(COOKIE, 2)
    described = [_module(records) for _ in range(int.from_bytes(count[0].octets, "little"))]
    end = records.take(END, 0)
    records.finish()
    modules, room = [], MAX_TEXT
    for one in described:
        text = _text(names, one, room)
        room -= len(text)
        modules.append(Module(one, _lines(code, text, shown(one[MODULE].octets))))
    text = cfb.stream(code, compound, root.find("PROJECT", STREAM), MAX_PROPERTIES)
    properties, extenders = _properties(code, text)
    found = Project(
        code=code, compound=compound, forms={}, head=head, references=references, count=count, modules=tuple(modules),
        end=end, properties=properties, extenders=extenders,
    )  # fmt: skip
    for name, value in properties:
        if name == b"BaseClass":
            found.forms[value] = root.find(found.text(value) or "", STORAGE)
    return found


def refusal(code: Source, why: str) -> MalformedCode:
    """Return the error that a project cannot be signed or judged."""
    return MalformedCode(f"{code.filename} holds no VBA project that can be signed: {why}.")


def unsettled(code: Source, why: str) -> MalformedCode:
    """Return the error that the document leaves open what Office would hash of a project."""
    return MalformedCode(
        f"{code.filename} holds a VBA project of which it is not settled what Office hashes: {why}.",
        hint="opening it in Office, changing a line of code and saving it may write it anew",
    )


def shown(octets: bytes) -> str:
    """Return a name for a sentence."""
    text = octets.decode("ascii", "backslashreplace")[:80]
    return "".join(one if one.isprintable() else "?" for one in text)


class _Names:
    """What is in a storage by its names, whose case does not count (MS-CFB 2.6.4); each is found once."""

    def __init__(self, code: Source, compound: Compound, storage: int) -> None:
        self.code = code
        self.compound = compound
        hanging = (compound.entries[number] for number in compound.children[storage])
        self._entries = {_rank(one.name): one for one in hanging}
        self._found: set[int] = set()

    def find(self, name: str, kind: int) -> Entry:
        """Return the stream or storage of a name; MalformedCode where there is none, or it was found before."""
        found = self._entries.get(_rank(name.encode("utf-16-le", "replace")))
        if found is None or found.kind != kind or found.number in self._found:
            what = "storage" if kind == STORAGE else "stream"
            why = "twice the same" if found is not None and found.number in self._found else "no"
            raise refusal(self.code, f"it names {why} {what} {shown(name.encode('utf-8', 'replace'))}")
        self._found.add(found.number)
        return found


def _rank(name: bytes) -> tuple[int, ...]:
    size, units = cfb_directory.rank(name)
    return (size, *units)


# -- the stream dir ----------------------------------------------------------------------------------------------------
def _records(code: Source, octets: bytes) -> Iterator[Record]:
    at = count = 0
    while at < len(octets):
        count += 1
        if len(octets) - at < 6 or count > MAX_RECORDS:
            raise refusal(code, f"its stream dir has {len(octets) - at} octets after {count - 1} records")
        kind, stated = struct.unpack_from("<HI", octets, at)
        size = stated + 2 * (kind == VERSION)  # the minor version is not counted (MS-OVBA 2.3.4.2.1.11)
        at += 6
        if size > len(octets) - at:
            raise refusal(code, f"a record of its stream dir would have {size} octets, and {len(octets) - at} follow")
        yield Record(kind, stated, octets[at : at + size])
        at += size


class _Records:
    """The records of dir, taken one after the other in the order that they must have."""

    def __init__(self, code: Source, records: tuple[Record, ...]) -> None:
        self._code = code
        self._records = records
        self._at = 0

    def maybe(self, *kinds: int) -> Record | None:
        """Take the next record if it is one of these."""
        if self._at < len(self._records) and self._records[self._at].kind in kinds:
            self._at += 1
            return self._records[self._at - 1]
        return None

    def take(self, kind: int, size: int | None = None) -> Record:
        """Take the next record, which must be of this kind, and of this size if it has one."""
        at, found = self._at, self.maybe(kind)
        if found is None or size not in (None, found.stated):
            there = f"a record {self._records[at].kind:#x}" if at < len(self._records) else "no record"
            raise self.refuse(f"its stream dir has {there} where {kind:#x} was expected")
        return found

    def finish(self) -> None:
        """Refuse what follows the last record."""
        if self._at != len(self._records):
            raise refusal(self._code, f"its stream dir has {len(self._records) - self._at} records behind its end")

    def refuse(self, why: str) -> MalformedCode:
        """Return the error that dir is not as it must be."""
        return refusal(self._code, why)


def _head(records: _Records) -> Iterator[Record]:
    yield records.take(SYSKIND, 4)
    if (version := records.maybe(COMPATVERSION)) is not None:
        yield version
    for kind, size in (
        (LCID, 4), (LCIDINVOKE, 4), (CODEPAGE, 2), (NAME, None), (DOCSTRING, None), (DOCSTRING_WIDE, None),
        (HELP_1, None), (HELP_2, None), (HELPCONTEXT, 4), (LIBFLAGS, 4), (VERSION, 4),
    ):  # fmt: skip
        yield records.take(kind, size)
    if (constants := records.maybe(CONSTANTS)) is not None:
        yield constants
        yield records.take(CONSTANTS_WIDE)


def _references(records: _Records) -> Iterator[Record]:
    """Yield the records of all references: a name, if there is one, and one of four kinds (MS-OVBA 2.3.4.2.2)."""
    while (one := records.maybe(REFERENCE, ORIGINAL, CONTROL, REGISTERED, PROJECT)) is not None:
        yield one
        if one.kind == REFERENCE:
            if (wide := records.maybe(REFERENCE_WIDE)) is not None:
                yield wide
            if (one := records.maybe(ORIGINAL, CONTROL, REGISTERED, PROJECT)) is None:
                raise records.refuse("its stream dir has the name of a reference without the reference")
            yield one
        if one.kind == ORIGINAL:
            yield (one := records.take(CONTROL))
        _check_reference(records, one)
        if one.kind == CONTROL:
            if (name := records.maybe(REFERENCE)) is not None:
                yield name
                if (wide := records.maybe(REFERENCE_WIDE)) is not None:
                    yield wide
            yield (extended := records.take(CONTROL_EXTENDED))
            _check_reference(records, extended)


_BEHIND = {REGISTERED: 6, CONTROL: 6, CONTROL_EXTENDED: 26, PROJECT: 6}
"""Octets of a reference behind the names in it."""


def _check_reference(records: _Records, one: Record) -> None:
    """Hold the sizes in a reference against its own; only those within it are covered by a signature."""
    at = 0
    for _ in range(2 if one.kind == PROJECT else 1):
        size = int.from_bytes(one.octets[at : at + 4], "little") if at + 4 <= len(one.octets) else len(one.octets)
        at += 4 + size
    if at + _BEHIND[one.kind] != len(one.octets):
        raise records.refuse(f"a reference of {len(one.octets)} octets in its stream dir states other sizes within")


def _module(records: _Records) -> dict[int, Record]:
    """Take the records of one module (MS-OVBA 2.3.4.2.3.2)."""
    found = [records.take(MODULE)]
    found += [one for one in (records.maybe(MODULE_WIDE),) if one is not None]
    found += [records.take(kind) for kind in (STREAM_NAME, STREAM_NAME_WIDE, MODULE_DOC, MODULE_DOC_WIDE)]
    found += [records.take(OFFSET, 4), records.take(MODULE_HELP, 4), records.take(MODULE_COOKIE, 2)]
    kind = records.maybe(PROCEDURAL)
    found += [kind if kind is not None else records.take(CLASS)]
    found += [one for one in (records.maybe(READ_ONLY), records.maybe(PRIVATE)) if one is not None]
    found += [records.take(MODULE_END)]
    if any(one.octets for one in found if one.kind in (PROCEDURAL, CLASS, READ_ONLY, PRIVATE, MODULE_END)):
        raise records.refuse(f"a mark of the module {shown(found[0].octets)} holds something")
    return {one.kind: one for one in found}


# -- modules -----------------------------------------------------------------------------------------------------------
def _text(names: _Names, module: dict[int, Record], room: int) -> bytes:
    """Return a module's text, unpacked; what the compiler left before it is not looked at."""
    found = names.find(module[STREAM_NAME_WIDE].octets.decode("utf-16-le", "replace"), STREAM)
    octets = cfb.stream(names.code, names.compound, found, names.code.size)
    at = int.from_bytes(module[OFFSET].octets, "little")
    what = f"The module {shown(module[MODULE].octets)} of {names.code.filename}"
    return decompressed(octets[at:], room, what)


def _lines(code: Source, text: bytes, name: str) -> tuple[bytes, ...]:
    """Cut a text into its lines. Each that Office writes ends with CRLF; what it hashes of others is not known."""
    if text.count(b"\n") > MAX_LINES:
        raise refusal(code, f"the module {name} has more than {MAX_LINES} lines")
    *lines, rest = text.split(b"\r\n")
    if rest or any(b"\r" in line or b"\n" in line for line in lines):
        raise unsettled(code, f"a line of the module {name} does not end with CRLF")
    return tuple(lines)


# -- the stream PROJECT ------------------------------------------------------------------------------------------------
_EXTENDERS = b"[Host Extender Info]"


def _properties(code: Source, text: bytes) -> tuple[tuple[tuple[bytes, bytes], ...], tuple[bytes, ...]]:
    """Return what PROJECT says before its first heading, and the lines under that of the host's extenders."""
    properties: list[tuple[bytes, bytes]] = []
    extenders: list[bytes] = []
    heading = b""
    for line in text.split(b"\r\n"):
        if b"\r" in line or b"\n" in line or b"\0" in line:
            raise refusal(code, "a line of its stream PROJECT does not end with CRLF, or holds a NUL")
        if line.startswith(b"["):
            if line == _EXTENDERS and extenders:
                raise refusal(code, "its stream PROJECT names the host's extenders twice")
            heading = line
        elif not line:
            continue
        elif heading == _EXTENDERS:
            extenders.append(line)
        elif not heading:
            name, equals, value = line.partition(b"=")
            plain = value[1:-1] if len(value) > 1 and value[:1] == value[-1:] == b'"' else value
            if not equals or b'"' in plain:
                raise unsettled(code, f"a line of its stream PROJECT is not as the document has it, {shown(line)}")
            properties.append((name, plain))
    return tuple(properties), tuple(extenders)


for _page in _CODE_PAGES:  # a page that this Python had not would be found out here, and not in the middle of a file
    codecs.lookup(_ENCODINGS.get(_page, f"cp{_page}"))
