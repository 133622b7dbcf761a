"""An Office document with macros: where in its package the VBA project is, and where its signatures go.

Source: ECMA-376 part 2, "Open Packaging Conventions" (parts, relationships, content types), and Microsoft,
"[MS-OFFMACRO2]" 2.1 and "[MS-XLSB]" 2.1.7 for the project and its signatures; the relationship of the second kind and
the parts' names are taken from a workbook that Excel signed. Office finds each part by its relationship and never by
its name, and so do we, from the package's root: exactly one document, one project, and of each signature one at most.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NoReturn

import msgspec

from privyseal.errors import MalformedCode
from privyseal.formats import markup, vba_blob, zipdir, zipdir_writing
from privyseal.formats.markup import Element
from privyseal.formats.protocol import Layout, Source
from privyseal.formats.zipdir import Archive, Entry
from privyseal.formats.zipdir_writing import Placed

NAME: Final = "vba"
ENDS: Final = (
    ".xlsm", ".xltm", ".xlam", ".xlsb", ".docm", ".dotm", ".pptm", ".potm", ".ppsm", ".ppam", ".sldm",
    ".vsdm", ".vstm", ".vssm",
)  # fmt: skip
"""What documents with macros are called."""
MAX_PROJECT: Final = 32 << 20
"""Octets of ``vbaProject.bin``; xlwings' add-in, with 280 KB of code, has 480 KB, and forms with pictures some MiB."""

_MICROSOFT: Final = "http://schemas.microsoft.com/office/"
_PROJECT: Final = _MICROSOFT + "2006/relationships/vbaProject"
_DOCUMENTS: Final = (
    "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument",
    "http://purl.oclc.org/ooxml/officeDocument/relationships/officeDocument",
    "http://schemas.microsoft.com/visio/2010/relationships/document",
)
_SIGNED_WHOLE: Final = "http://schemas.openxmlformats.org/package/2006/relationships/digital-signature/origin"
_RELATIONSHIPS_NAMESPACE: Final = "http://schemas.openxmlformats.org/package/2006/relationships"
_TYPES_NAMESPACE: Final = "http://schemas.openxmlformats.org/package/2006/content-types"
_TYPES: Final = b"[Content_Types].xml"
_NONE: Final = (
    f'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\r\n<Relationships xmlns="{_RELATIONSHIPS_NAMESPACE}">'
    "</Relationships>"
).encode()

FILES: Final[Mapping[str, str]] = {
    "legacy": "vbaProjectSignature.bin",
    "agile": "vbaProjectSignatureAgile.bin",
    "v3": "vbaProjectSignatureV3.bin",
}
"""How Office calls the part of each kind of signature; all stand beside the project."""
_RELATIONSHIPS: Final[Mapping[str, str]] = {
    _MICROSOFT + "2006/relationships/vbaProjectSignature": "legacy",
    _MICROSOFT + "2014/relationships/vbaProjectSignatureAgile": "agile",
    _MICROSOFT + "2020/07/relationships/vbaProjectSignatureV3": "v3",
}
_CONTENT: Final = "application/vnd.ms-office."


class VbaLayout(Layout, frozen=True, kw_only=True):
    """Where things are in one document with macros."""

    archive: Archive
    document: str
    """The part that is the document itself."""
    project: Entry
    signatures: dict[str, Entry]
    """The parts of the signatures by their kind, a key of FILES."""
    types: bytes
    """The list of content types, unpacked, as it is without the signatures; and where more can be put."""
    types_at: int
    types_prefix: str
    relations: bytes
    """The project's relationships likewise."""
    relations_at: int
    relations_prefix: str
    relations_left: int
    """How many there are but those to signatures."""
    ids: frozenset[str]
    """By which these are known."""
    signed_whole: bool
    """The document is signed itself, by an XML signature that covers the parts that are to change."""

    @property
    def carries_signature(self) -> bool:
        """Tell whether there is a signature, good or not."""
        return bool(self.signatures)

    @property
    def folder(self) -> str:
        """Return the folder of project and signatures, with the slash behind it."""
        return posixpath.join(posixpath.dirname(self.project.name.decode("utf-8", "replace")), "")

    @property
    def relations_name(self) -> bytes:
        """Return the name of the part with the project's relationships."""
        return _relations_of(self.project.name.decode("utf-8", "replace")).encode()


# -- reading -----------------------------------------------------------------------------------------------------------
def read_layout(code: Source) -> VbaLayout:
    """Follow the relationships to project and signatures; MalformedCode with one sentence that names what is wrong."""
    archive = zipdir.read(code)
    names = {entry.name.lower(): entry for entry in archive.entries}

    def part(name: str) -> Entry | None:
        return names.get(name.lower().encode())

    roots, _ = _relationships(code, part("_rels/.rels"), "")
    documents = [target for kind, target, _ in roots if kind in _DOCUMENTS]
    if len(documents) != 1:
        _refuse(code, f"its package names {len(documents)} documents, and 1 was expected")
    document = part(documents[0])
    if document is None:
        _refuse(code, "its document is not in it")
    name = document.name.decode("utf-8", "replace")
    targets = [
        target for kind, target, _ in _relationships(code, part(_relations_of(name)), name)[0] if kind == _PROJECT
    ]
    if not targets:
        raise MalformedCode(
            f"{code.filename} has no macros: its document names no VBA project, and only that is signed.",
            hint="documents themselves are signed in Office",
        )
    project = part(targets[0])
    if len(targets) != 1 or project is None:
        _refuse(code, f"its document names {len(targets)} VBA projects; 1, and one that is there, was expected")
    return _with_signatures(code, archive, document, project, any(kind == _SIGNED_WHOLE for kind, _, _ in roots))


def _with_signatures(code: Source, archive: Archive, document: Entry, project: Entry, whole: bool) -> VbaLayout:
    names = {entry.name.lower(): entry for entry in archive.entries}
    name = project.name.decode("utf-8", "replace")
    entry = names.get(_relations_of(name).lower().encode())
    relations, octets = _relationships(code, entry, name)
    signatures: dict[str, Entry] = {}
    spans: list[tuple[int, int]] = []
    for kind, target, element in relations:
        which = _RELATIONSHIPS.get(kind)
        if which is None:
            if "vbaprojectsignature" in kind.lower():
                _refuse(code, f"its VBA project has a signature of a kind that is not known, {kind[:120]!r}")
            continue
        found = names.get(target.lower().encode())
        expected = posixpath.join(posixpath.dirname(name), FILES[which])
        if which in signatures or found is None or target.lower() != expected.lower():
            _refuse(code, f"its VBA project has a signature where Office puts none, {target[:120]!r}")
        if found.size > vba_blob.MAX_PART:
            _refuse(code, f"a signature would have {found.size} octets, and at most {vba_blob.MAX_PART} are read")
        signatures[which] = found
        spans.append(_span(octets, element))
    types_entry = names.get(_TYPES.lower())
    if types_entry is None:
        _refuse(code, "it has no list of content types")
    types = zipdir.whole(code, types_entry, markup.MAX_OCTETS)
    bare_types, types_at, types_prefix = _bare_types(code, types, _folder_of(name))
    bare = _without(octets, spans)
    root = _scanned(code, bare, entry.shown if entry else "relationships", "Relationships", _RELATIONSHIPS_NAMESPACE)[0]
    return VbaLayout(
        format=NAME, size=code.size, archive=archive, document=document.name.decode("utf-8", "replace"),
        project=project, signatures=signatures, types=bare_types, types_at=types_at, types_prefix=types_prefix,
        relations=bare, relations_at=root.close, relations_prefix=root.prefix,
        relations_left=len(relations) - len(spans),
        ids=frozenset(one.attributes.get("Id", "") for kind, _, one in relations if kind not in _RELATIONSHIPS),
        signed_whole=whole,
    )  # fmt: skip


def _refuse(code: Source, why: str) -> NoReturn:
    raise MalformedCode(f"{code.filename} is no Office document whose macros can be signed: {why}.")


def _relations_of(name: str) -> str:
    folder, last = posixpath.split(name)
    return posixpath.join(folder, "_rels", last + ".rels")


def _folder_of(name: str) -> str:
    return posixpath.join(posixpath.dirname(name), "")


def _relationships(code: Source, entry: Entry | None, source: str) -> tuple[list[tuple[str, str, Element]], bytes]:
    """Return type, target and element of each relationship of a part, and the octets they stand in."""
    if entry is None:
        return [], _NONE
    octets = zipdir.whole(code, entry, markup.MAX_OCTETS)
    found = []
    for one in _scanned(code, octets, entry.shown, "Relationships", _RELATIONSHIPS_NAMESPACE)[1:]:
        kind, target = one.attributes.get("Type", ""), one.attributes.get("Target", "")
        if (one.namespace, one.name) != (_RELATIONSHIPS_NAMESPACE, "Relationship"):
            _refuse(code, f"its {entry.shown} has something else than relationships")
        if one.attributes.get("TargetMode", "Internal") != "Internal":
            if kind in (_PROJECT, *_DOCUMENTS, *_RELATIONSHIPS):
                _refuse(code, "its document or macros are not in it")
            continue
        path = posixpath.normpath(posixpath.join("/", posixpath.dirname(source), target)).lstrip("/")
        found.append((kind, path, one))
    return found, octets


def _scanned(code: Source, octets: bytes, name: str, root: str, namespace: str) -> list[Element]:
    if octets[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in octets:
        _refuse(code, f"its {name} is in UTF-16, and UTF-8 was expected")
    elements = markup.scan(octets, f"{name} in {code.filename}")
    if (elements[0].namespace, elements[0].name) != (namespace, root):
        _refuse(code, f"its {name} is not what it should be")
    if octets[elements[0].close : elements[0].close + 2] != b"</":
        _refuse(code, f"its {name} is empty")
    return elements


def _span(octets: bytes, one: Element) -> tuple[int, int]:
    """Return where an element begins and ends."""
    return one.start, one.close if octets[one.close - 2 : one.close] == b"/>" else octets.find(b">", one.close) + 1


def _without(octets: bytes, spans: Sequence[tuple[int, int]]) -> bytes:
    ordered = sorted(spans)
    starts, ends = [0, *(end for _, end in ordered)], [*(start for start, _ in ordered), len(octets)]
    return b"".join(octets[start:end] for start, end in zip(starts, ends, strict=True))


def _bare_types(code: Source, types: bytes, folder: str) -> tuple[bytes, int, str]:
    """Return the content types without those of the signatures, where one more goes, and the prefix of their names."""
    elements = _scanned(code, types, _TYPES.decode(), "Types", _TYPES_NAMESPACE)
    wanted = {f"/{folder}{file}".lower() for file in FILES.values()}
    spans = [_span(types, one) for one in elements[1:] if one.attributes.get("PartName", "").lower() in wanted]
    bare = _without(types, spans)
    root = _scanned(code, bare, _TYPES.decode(), "Types", _TYPES_NAMESPACE)[0]
    return bare, root.close, root.prefix


# -- writing -----------------------------------------------------------------------------------------------------------
def with_signatures(layout: VbaLayout, parts: Mapping[str, bytes]) -> list[Placed]:
    """Return the entries of the document with these parts of signatures, by kind, and no others."""
    time = layout.project.time
    folder = layout.folder.encode()
    gone = {folder.lower() + file.lower().encode() for file in FILES.values()}
    new = {_TYPES: _types_with(layout, parts), layout.relations_name: _relations_with(layout, parts)}
    placed = []
    for one in zipdir_writing.in_order(layout.archive):
        name = one.entry.name.lower()
        if name in gone:
            continue
        changed = next((key for key in new if key.lower() == name), None)
        octets = new.pop(changed) if changed is not None else None
        if changed is None:
            placed.append(one)
        elif octets:
            placed.append(zipdir_writing.new(one.entry.name, octets, zipdir.DEFLATED, one.entry.time))
    placed += [zipdir_writing.new(name, octets, zipdir.DEFLATED, time) for name, octets in new.items() if octets]
    placed += [
        zipdir_writing.new(folder + FILES[which].encode(), octets, zipdir.DEFLATED, time)
        for which, octets in parts.items()
    ]
    return placed


def _types_with(layout: VbaLayout, parts: Mapping[str, bytes]) -> bytes:
    from xml.sax.saxutils import quoteattr  # 18 ms, for it brings an HTTP client along

    prefix = f"{layout.types_prefix}:" if layout.types_prefix else ""
    added = "".join(
        f"<{prefix}Override PartName={quoteattr(f'/{layout.folder}{FILES[which]}')} "
        f'ContentType="{_CONTENT}{FILES[which].removesuffix(".bin")}"/>'
        for which in parts
    )
    return layout.types[: layout.types_at] + added.encode() + layout.types[layout.types_at :]


def _relations_with(layout: VbaLayout, parts: Mapping[str, bytes]) -> bytes:
    """Return the project's relationships; empty where none is left, for then the part goes."""
    if not parts and not layout.relations_left:
        return b""
    prefix = f"{layout.relations_prefix}:" if layout.relations_prefix else ""
    kinds = {which: kind for kind, which in _RELATIONSHIPS.items()}
    free = _free_ids(layout.ids)
    added = "".join(
        f'<{prefix}Relationship Id="{next(free)}" Type="{kinds[which]}" Target="{FILES[which]}"/>' for which in parts
    )
    return layout.relations[: layout.relations_at] + added.encode() + layout.relations[layout.relations_at :]


def _free_ids(taken: frozenset[str]) -> Iterator[str]:
    """Yield identifiers that no relationship has, in the way of Office."""
    return (f"rId{number}" for number in range(1, markup.MAX_ELEMENTS * 2) if f"rId{number}" not in taken)


def opened(code: Source, layout: VbaLayout) -> Unpacked:
    """Return the project, unpacked; MalformedCode where it is too large or not what its entry says."""
    return Unpacked(zipdir.whole(code, layout.project, MAX_PROJECT), code.filename)


class Unpacked(msgspec.Struct, frozen=True):
    """A part that was unpacked, as a source."""

    octets: bytes
    filename: str

    @property
    def size(self) -> int:
        """How many octets there are."""
        return len(self.octets)

    def pread(self, offset: int, count: int) -> bytes:
        """Return exactly ``count`` octets from ``offset``; MalformedCode where they would pass the end."""
        if offset < 0 or count < 0 or offset + count > self.size:
            raise MalformedCode(f"The VBA project of {self.filename} ends at {self.size}, before what is looked for.")
        return self.octets[offset : offset + count]

    def readinto(self, offset: int, buffer: memoryview) -> int:
        """Fill as much of ``buffer`` as there is from ``offset`` and return the count; 0 at the end."""
        octets = self.octets[offset : offset + len(buffer)]
        buffer[: len(octets)] = octets
        return len(octets)
