"""What a signature of a VBA project covers: two of the three hashes that Office knows.

Source: Microsoft, "[MS-OVBA]" 2.4.2. *Agile* (2.4.2.4) covers the project's name, its constants, a part of its
references, every line of code that does not begin with "attribute", and the streams of its forms. *V3* (2.4.2.7) covers
references whole, modules' kinds, all attributes but those that every sheet of Excel has, and the stream PROJECT but for
identifiers, passwords and protection. The third, of before 2016, is the first part of Agile, and always by MD5; it is
neither made nor judged here.

None covers what the compiler left: the streams ``_VBA_PROJECT`` and ``__SRP_*``, and each module's before its text.

Where the document can be read in two ways, that reading stands here by which the digests of a workbook that Excel
signed come out the same; where that workbook says nothing, the project is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Literal

from privyseal.formats import cfb
from privyseal.formats import vba_project as p
from privyseal.formats.cfb_directory import STREAM, Entry
from privyseal.formats.vba_project import Module, Project, Record, shown, unsettled
from privyseal.terms.signatures import DigestAlgorithm

Kind = Literal["v3", "agile"]
"""Which of Office's hashes."""

KINDS: Final[tuple[Kind, ...]] = ("v3", "agile")
"""In the order in which they are described and signed: first the one that covers most."""

_BLOCK: Final = 1023
"""Octets that the streams of forms are filled up to a multiple of (2.4.2.2)."""
_DEFAULTS: Final = frozenset(
    {
        b'Attribute VB_Base = "0{00020820-0000-0000-C000-000000000046}"',
        b"Attribute VB_GlobalNameSpace = False",
        b"Attribute VB_Creatable = False",
        b"Attribute VB_PredeclaredId = True",
        b"Attribute VB_Exposed = True",
        b"Attribute VB_TemplateDerived = False",
        b"Attribute VB_Customizable = True",
    }
)
"""Attributes that V3 leaves out (2.4.2.5)."""
_LOWER_DEFAULTS: Final = frozenset(one.lower() for one in _DEFAULTS)
_NAME: Final = b"Attribute VB_Name = "
_LEFT_OUT: Final = frozenset({b"ID", b"Document", b"CMG", b"DPB", b"GC"})
"""Properties of PROJECT that V3 leaves out (2.4.2.6)."""
_HEADS: Final = frozenset({p.SYSKIND, p.CODEPAGE, p.DOCSTRING, p.DOCSTRING_WIDE, p.HELP_1, p.HELP_2, p.HELPCONTEXT})
"""Records of which V3 covers kind and size only (2.4.2.5)."""


def digest(project: Project, kind: Kind, algorithm: DigestAlgorithm) -> tuple[bytes, int]:
    """Return one of the hashes, and of how many octets it is."""
    hashed, size = hashlib.new(algorithm), 0
    for octets in covered(project, kind):
        hashed.update(octets)
        size += len(octets)
    return hashed.digest(), size


def covered(project: Project, kind: Kind) -> Iterator[bytes]:
    """Yield what is hashed, piece by piece; MalformedCode where the document does not settle what that is."""
    return _COVERED[kind](project)


# -- Agile -------------------------------------------------------------------------------------------------------------
def contents(project: Project) -> Iterator[bytes]:
    """Yield the normalised content (2.4.2.1), which is also what the oldest of the three hashes is over."""
    yield from (one.octets for one in project.head if one.kind in (p.NAME, p.CONSTANTS))
    for one in project.references:
        if one.kind == p.REGISTERED:
            yield b"{"
        elif one.kind == p.PROJECT:
            yield one.octets.partition(b"\0")[0]  # as the document has it: up to the first octet that is zero
    for module in project.modules:
        yield from (line for line in module.lines if line[:9].lower() != b"attribute")


def _agile(project: Project) -> Iterator[bytes]:
    yield from contents(project)
    for name, value in project.properties:
        if name == b"BaseClass":
            yield from _form(project, value)


def _form(project: Project, name: bytes) -> Iterator[bytes]:
    """Yield the streams of a form, each filled up (2.4.2.2).

    Of the programs that implement this some go through storages in the order of the names in them, and some through
    the whole of a form in the order of the directory. A form of which these are two orders is refused.
    """
    streams = list(_streams(project, project.forms[name]))
    numbers = [one.number for one in streams]
    if numbers != sorted(numbers):
        raise unsettled(project.code, f"what is in storages of the form {shown(name)} was put there later than others")
    for one in streams:
        octets = cfb.stream(project.code, project.compound, one, project.code.size)
        yield octets + bytes(-len(octets) % _BLOCK)


def _streams(project: Project, storage: Entry) -> Iterator[Entry]:
    """Yield the streams of a storage and of those in it; the document does not say in which order of two."""
    numbers = project.compound.children[storage.number]
    if list(numbers) != sorted(numbers):
        raise unsettled(
            project.code, f"what is in the storage {storage.text} was not put there in the order of its names"
        )
    for number in numbers:
        one = project.compound.entries[number]
        if one.kind == STREAM:
            yield one
        else:
            yield from _streams(project, one)


# -- V3 ----------------------------------------------------------------------------------------------------------------
def _v3(project: Project) -> Iterator[bytes]:
    yield from (_in_head(one) for one in project.head if one.kind != p.COMPATVERSION)
    yield from (_reference(project, one) for one in project.references)
    yield from (one.head for one in project.count)
    for module in project.modules:
        yield from _module(project, module)
    yield project.end.whole
    for name, value in project.properties:
        if name == b"BaseClass":
            yield from _form(project, value)
        if name not in _LEFT_OUT:
            yield name + value
    if project.extenders:
        yield b"Host Extender Info" + b"".join(project.extenders)


def _in_head(one: Record) -> bytes:
    return one.head if one.kind in _HEADS else one.whole


def _reference(project: Project, one: Record) -> bytes:
    """Return a record of a reference: the sizes within stand for its own, and a library's name becomes UTF-16."""
    if one.kind not in (p.REGISTERED, p.PROJECT, p.CONTROL, p.CONTROL_EXTENDED):
        return one.whole
    octets = one.octets
    if one.kind == p.REGISTERED:
        end = 4 + int.from_bytes(octets[:4], "little")
        text = project.text(octets[4:end])
        if text is None:
            why = f"the name of the library {shown(octets[4:end])} cannot be read in the project's code page"
            raise unsettled(project.code, why)
        octets = octets[:4] + text.encode("utf-16-le") + octets[end:]
    return one.head[:2] + octets


def _module(project: Project, module: Module) -> Iterator[bytes]:
    for kind in (p.PROCEDURAL, p.READ_ONLY, p.PRIVATE):
        if kind in module.records:
            yield module.records[kind].whole
    some = False
    for line in module.lines:
        if _counts(project, module, line):
            some = True
            yield line + b"\n"
    if some:
        yield module.records.get(p.MODULE_WIDE, module.records[p.MODULE]).octets + b"\n"


def _counts(project: Project, module: Module, line: bytes) -> bool:
    """Tell whether V3 covers a line; case counts for the document in one place, and in another it does not say."""
    lower = line.lower()
    if not lower.startswith(b"attribute"):
        return True
    if line.startswith(_NAME) or line in _DEFAULTS:
        return False
    if lower.startswith(_NAME.lower()) or lower in _LOWER_DEFAULTS:
        name = shown(module.records[p.MODULE].octets)
        raise unsettled(
            project.code, f"an attribute of the module {name} is in other letters than Office's, {shown(line)}"
        )
    return True


_COVERED: Final[Mapping[Kind, Callable[[Project], Iterator[bytes]]]] = {"v3": _v3, "agile": _agile}
