"""What an OPC package becomes with a signature more or with none: entries to be written, and those that go.

Signatures stand where VSIXSignTool puts them: the origin, an empty part that the package has a relationship to; its
relationships, one to each signature; the signatures. Content types announce their kinds. Text is put into content types
and relationships that are there, and taken out again; all else in them keeps its octets.
"""

from __future__ import annotations

from typing import Final

import msgspec

from privyseal.errors import MalformedCode
from privyseal.formats import opc_layout, zipdir, zipdir_writing
from privyseal.formats.opc_layout import OpcLayout, Relationship
from privyseal.formats.protocol import Copy, Insert, PatchPlan, Source
from privyseal.formats.xml_canonical import Element, read
from privyseal.formats.zipdir_writing import Placed

_DECLARATION = '<?xml version="1.0" encoding="utf-8"?>'
_KINDS: Final = (
    ("rels", opc_layout.RELATIONSHIPS_TYPE),
    ("psdor", opc_layout.ORIGIN_TYPE),
    ("psdsxs", opc_layout.SIGNATURE_TYPE),
)


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """What signing makes of a package, but for the signature itself."""

    origin: str
    """The name of the origin."""
    signature: str
    """The name of the signature's part."""
    new: dict[str, bytes]
    """Entries that are written anew, by name: content types, relationships, the origin. Those that keep their octets
    are not among them."""
    gone: frozenset[str]
    """Entries of older signatures."""


def signed(layout: OpcLayout, *, append: bool) -> Changed:
    """Return what the package becomes with one signature more if ``append`` and it has some, else with one alone."""
    kept = layout if append and layout.signed else None
    if kept is not None:
        number = next(n for n in range(1, 1 << 16) if _signature_name(n) not in _names(layout))
        name, origin = _signature_name(number), layout.origin
        beside = opc_layout.relationships_of(origin)
        identifier = _free("R", [one.identifier for one in layout.lists])
        listed = _with_link(layout.listed, identifier, opc_layout.TO_SIGNATURE, name)
        return Changed(
            origin=origin, signature=name, gone=frozenset(),
            new={beside: listed, **_announced(layout, layout.types, (name,))},
        )  # fmt: skip
    name, origin = _signature_name(1), opc_layout.ORIGIN
    beside = opc_layout.relationships_of(origin)
    for each in (name, origin, beside):
        if each in _names(layout) - layout.own:
            raise MalformedCode(f"The package has a part of its own where a signature would stand: {each!r}.")
    root = _bare_root(layout)
    identifier = _free("R", [one.identifier for one in layout.links if one.kind != opc_layout.TO_ORIGIN])
    linked = _with_link(root, identifier, opc_layout.TO_ORIGIN, origin)
    new = {origin: b"", beside: _with_link(b"", "R1", opc_layout.TO_SIGNATURE, name)}
    new |= _announced(layout, layout.types, (origin, beside, name, opc_layout.ROOT_RELATIONSHIPS))
    if linked != layout.root:
        new[opc_layout.ROOT_RELATIONSHIPS] = linked
    return Changed(origin=origin, signature=name, new=new, gone=layout.own - new.keys())


def bare(layout: OpcLayout) -> dict[str, bytes | None]:
    """Return what the package is without signatures: entries to be written anew, None for those that go."""
    changes: dict[str, bytes | None] = dict.fromkeys(layout.own)
    root = _bare_root(layout)
    if root != layout.root:
        changes[opc_layout.ROOT_RELATIONSHIPS] = root or None
    gone = {name for name, octets in changes.items() if octets is None}
    types = _unannounced(layout, gone)
    if types != layout.types:
        changes[opc_layout.TYPES] = types
    return changes


def placed(layout: OpcLayout, changes: dict[str, bytes | None]) -> list[Placed]:
    """Return the entries in their order, changed as said; those that are new come last."""
    time = next(one.time for one in layout.archive.entries if opc_layout.text(one) == opc_layout.TYPES)
    found = []
    for one in zipdir_writing.in_order(layout.archive):
        name = opc_layout.text(one.entry)
        octets = changes.get(name)
        if octets is not None:
            found.append(zipdir_writing.new(one.entry.name, octets, zipdir.DEFLATED, one.entry.time))
        elif name not in changes:
            found.append(one)
    there = _names(layout)
    for name, octets in changes.items():
        if name not in there and octets is not None:
            found.append(zipdir_writing.new(name.encode(), octets, zipdir.DEFLATED, time))
    return found


def plan(layout: OpcLayout, entries: list[Placed]) -> PatchPlan:
    """Return the plan of a package of these entries."""
    return PatchPlan((*zipdir_writing.steps(entries), Insert(zipdir_writing.directory(layout.archive, entries))))


def plan_of(layout: OpcLayout, changed: Changed, signature: bytes = b"") -> PatchPlan:
    """Return the plan of a package that was changed so, with this signature."""
    changes: dict[str, bytes | None] = dict.fromkeys(changed.gone)
    return plan(layout, placed(layout, {**changes, **changed.new, changed.signature: signature}))


def unchanged(code: Source) -> PatchPlan:
    """Return the plan of the file as it is."""
    return PatchPlan((Copy(0, code.size),))


def _names(layout: OpcLayout) -> set[str]:
    return set(map(opc_layout.text, layout.archive.entries))


def _signature_name(number: int) -> str:
    return f"{opc_layout.SIGNATURES}/xml-signature/signature{number}.psdsxs"


def _free(letter: str, taken: list[str]) -> str:
    """Return the first identifier of its kind that is not taken, the case of letters not heeded."""
    folded = {one.lower() for one in taken}
    return next(f"{letter}{n}" for n in range(1, len(folded) + 2) if f"{letter}{n}".lower() not in folded)


# -- relationships -----------------------------------------------------------------------------------------------------
def _with_link(octets: bytes, identifier: str, kind: str, target: str) -> bytes:
    """Return relationships with one more at their end, from none at all too."""
    if not octets:
        octets = f'{_DECLARATION}<Relationships xmlns="{opc_layout.RELATIONSHIPS}"></Relationships>'.encode()
    root = read(octets, "The relationships").root
    name = f"{root.prefix}:Relationship" if root.prefix else "Relationship"
    return _put(octets, root, f'<{name} Id="{identifier}" Type="{kind}" Target="/{target}"/>')


def _without(octets: bytes, links: list[Relationship]) -> bytes:
    for one in reversed(links):
        octets = octets[: one.start] + octets[one.end :]
    return octets


def _bare_root(layout: OpcLayout) -> bytes:
    """Return the package's relationships without that to signatures; nothing where no other was ever there."""
    ours = [one for one in layout.links if one.kind == opc_layout.TO_ORIGIN]
    if not ours:
        return layout.root
    _check_utf8(layout.root)
    rest = _without(layout.root, ours)
    alone = f'{_DECLARATION}<Relationships xmlns="{opc_layout.RELATIONSHIPS}"></Relationships>'.encode()
    return b"" if rest == alone else rest


def plain_list(names: list[str]) -> bytes:
    """Return the relationships of the origin to signatures of these names, as they are written here."""
    octets = b""
    for number, name in enumerate(names, 1):
        octets = _with_link(octets, f"R{number}", opc_layout.TO_SIGNATURE, name)
    return octets


# -- content types -----------------------------------------------------------------------------------------------------
def _announced(layout: OpcLayout, types: bytes, names: tuple[str, ...]) -> dict[str, bytes]:
    """Return the content types with those of these parts; nothing where they say so already."""
    root, added = read(types, opc_layout.TYPES).root, ""
    prefix = f"{root.prefix}:" if root.prefix else ""
    extensions = {one.rpartition(".")[2] for one in names}
    for extension, kind in _KINDS:
        if extension in extensions and extension not in layout.stated.by_extension:
            added += f'<{prefix}Default Extension="{extension}" ContentType="{kind}"/>'
    for name in names:
        extension = name.rpartition(".")[2]
        other = layout.stated.by_extension.get(extension, (dict(_KINDS)[extension],))[0]
        if layout.stated.by_name.get("/" + name.lower(), (other,))[0] != dict(_KINDS)[extension]:
            if "/" + name.lower() in layout.stated.by_name or name in _names(layout) - layout.own:
                raise MalformedCode(f"The content types say that {name!r} is something else than it has to be.")
            added += f'<{prefix}Override PartName="/{name}" ContentType="{dict(_KINDS)[extension]}"/>'
    return {opc_layout.TYPES: _put(types, root, added)} if added else {}


def _unannounced(layout: OpcLayout, gone: set[str]) -> bytes:
    """Return the content types without those of signatures.

    That of relationships goes too where it was put there with them and none are left.
    """
    octets, wanted = layout.types, dict(_KINDS)
    found = {
        extension: element
        for extension, (kind, element) in layout.stated.by_extension.items()
        if wanted.get(extension) == kind and not element.children
    }
    rels, psdor = found.pop("rels", None), found.get("psdor")
    elements = list(found.values())
    relationships = any(opc_layout.is_relationships(one) for one in _names(layout) - gone)
    if rels and psdor and not relationships and opc_layout.end_of(rels, octets) == psdor.start:
        elements.append(rels)
    folded = {"/" + one.lower() for one in gone}
    elements += [element for name, (_, element) in layout.stated.by_name.items() if name in folded]
    if elements:
        _check_utf8(octets)
    for one in sorted(elements, key=lambda each: each.start, reverse=True):
        octets = octets[: one.start] + octets[opc_layout.end_of(one, octets) :]
    return octets


def _put(octets: bytes, root: Element, added: str) -> bytes:
    """Return a document with text before the last tag of its root, which gets one where it closed itself."""
    _check_utf8(octets)
    if octets[root.close : root.close + 2] == b"</":
        return octets[: root.close] + added.encode() + octets[root.close :]
    name = f"{root.prefix}:{root.name}" if root.prefix else root.name
    return octets[: root.close - 2] + f">{added}</{name}>".encode() + octets[root.close :]


def _check_utf8(octets: bytes) -> None:
    if octets[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise MalformedCode("The package's content types or relationships are in UTF-16; UTF-8 was expected.")
