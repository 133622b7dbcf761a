"""The structure of an OPC package: parts in a ZIP archive, their content types, and relationships between them.

Source: ECMA-376 part 2, "Open Packaging Conventions" (parts 9, relationships 9.3, content types 10.1.2, signatures 13).
An entry of the archive is a part if its name is that of one and a content type is known for it; ``[Content_Types].xml``
is none. What belongs to signatures is found as readers find it: from the package's relationships to the origin, from
there to the signatures, from each to certificates.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from typing import Any, Final, NoReturn

import msgspec

from privyseal.errors import MalformedCode
from privyseal.formats import xml_canonical, zipdir
from privyseal.formats.protocol import Layout, Source
from privyseal.formats.xml_canonical import Document, Element
from privyseal.formats.zipdir import Archive, Entry

TYPES: Final = "[Content_Types].xml"
ROOT_RELATIONSHIPS: Final = "_rels/.rels"
SIGNATURES: Final = "package/services/digital-signature"
"""Where the parts of signatures are put; others may put theirs elsewhere."""
ORIGIN: Final = f"{SIGNATURES}/origin.psdor"
MAX_SIGNATURES: Final = 16
"""Signatures in one package; documents have as many as people who sign."""
MAX_RELATIONSHIPS: Final = 1 << 14
"""Relationships of one source."""
MAX_UNPACKED: Final = 1 << 30
MAX_RATIO: Final = 100
"""Octets of all parts, unpacked: as many as the first says in any package, and as often as the second its own size.
Real ones unpack to four times their size."""
MAX_SIGNED: Final = 8 << 20
"""Octets of all signatures together; one that names 25,000 parts has as many."""
MAX_CERTIFICATES: Final = 64
"""Certificates of one signature that are parts of their own, as in any other signature."""
MAX_CERTIFICATE: Final = 1 << 16
"""Octets of a certificate that is a part of its own, and of the relationships that lead to it."""
MAX_EDITED: Final = 1 << 20
"""Octets of content types and of the package's relationships, which signing changes; the largest have some 50 KiB."""

RELATIONSHIPS_TYPE: Final = "application/vnd.openxmlformats-package.relationships+xml"
"""The content type of relationships."""
ORIGIN_TYPE: Final = "application/vnd.openxmlformats-package.digital-signature-origin"
"""The content type of the origin of signatures."""
SIGNATURE_TYPE: Final = "application/vnd.openxmlformats-package.digital-signature-xmlsignature+xml"
"""The content type of a signature."""
TO_ORIGIN: Final = "http://schemas.openxmlformats.org/package/2006/relationships/digital-signature/origin"
"""The type of the relationship from the package to the origin."""
TO_SIGNATURE: Final = "http://schemas.openxmlformats.org/package/2006/relationships/digital-signature/signature"
"""Of one from the origin to a signature."""
TO_CERTIFICATE: Final = "http://schemas.openxmlformats.org/package/2006/relationships/digital-signature/certificate"
"""Of one from a signature to a certificate."""
RELATIONSHIPS: Final = "http://schemas.openxmlformats.org/package/2006/relationships"
"""The namespace of relationships."""
CONTENT_TYPES: Final = "http://schemas.openxmlformats.org/package/2006/content-types"
"""The namespace of content types."""

_PART = re.compile(r"(?:/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})*[A-Za-z0-9\-_~!$&'()*+,;=:@%])+", re.ASCII)
"""A part's name (OPC 9.1.1.1): segments of URI characters, none empty, none that ends with a dot."""


class Relationship(msgspec.Struct, frozen=True):
    """One relationship, as it is written."""

    identifier: str
    kind: str
    target: str
    external: bool
    start: int
    """Where its element begins."""
    end: int
    """Where it ends, its last tag included."""


class ContentTypes(msgspec.Struct, frozen=True):
    """What ``[Content_Types].xml`` says, and the element of each statement."""

    by_extension: dict[str, tuple[str, Element]]
    """By extension in lower case."""
    by_name: dict[str, tuple[str, Element]]
    """By a part's name in lower case, the slash at its beginning included."""

    def of(self, name: str) -> str | None:
        """Return the content type of the entry of that name, None where none is stated (OPC 10.1.2.4)."""
        folded = "/" + name.lower()
        stated = self.by_name.get(folded)
        if stated is None:
            last = folded.rpartition("/")[2]
            stated = self.by_extension.get(last.rpartition(".")[2]) if "." in last else None
        return None if stated is None else stated[0]


class Signed(msgspec.Struct, frozen=True):
    """One signature's part, and the certificates that it names as parts of their own."""

    entry: Entry
    certificates: tuple[Entry, ...]


class OpcLayout(Layout, frozen=True, kw_only=True):
    """What one package has, beyond entries."""

    archive: Archive
    package: str
    """Identifier and version of an extension of Visual Studio, else empty."""
    types: bytes
    """The content types, unpacked."""
    stated: ContentTypes
    root: bytes
    """The package's relationships, unpacked; empty where there is no such part."""
    links: tuple[Relationship, ...]
    """The same, read."""
    origin: str
    """The name of the origin of signatures; empty where none is named."""
    listed: bytes
    """The relationships of the origin, unpacked; empty where there are none."""
    lists: tuple[Relationship, ...]
    """The same, read."""
    signed: tuple[Signed, ...]
    own: frozenset[str]
    """Names of all entries that belong to signatures: the origin, its relationships, signatures and certificates."""
    manifest: bytes = b""
    """The list of parts that was prepared, so that it need not be made again; empty where none was."""
    documents: dict[str, tuple[bytes, Any]] = msgspec.field(default_factory=dict)
    """Signatures that were read, by name, until they are asked for again: one of ten thousand parts is a large tree."""

    @property
    def shift(self) -> None:
        """Return None: content types and relationships may stand before the rest, and what they become is not known."""
        return

    @property
    def carries_signature(self) -> bool:
        """Tell whether there is a signature, good or not."""
        return bool(self.signed)

    def parts(self) -> list[Entry]:
        """Return the entries that are content, in the order of the directory: what a signature should cover."""
        return [one for one in self.archive.entries if self.is_content(one)]

    def is_content(self, entry: Entry) -> bool:
        """Tell whether an entry is more than a folder and belongs neither to the archive nor to a signature."""
        name = text(entry)
        return name not in self.own and name != TYPES and not (name.endswith("/") and entry.size == 0)


def text(entry: Entry) -> str:
    """Return an entry's name as text."""
    return entry.name.decode("utf-8", "surrogateescape")


def is_part(name: str) -> bool:
    """Tell whether an entry of that name can be a part."""
    return _PART.fullmatch("/" + name) is not None and len(name) <= zipdir.MAX_NAME


def relationships_of(source: str) -> str:
    """Return the name of the part with the relationships of ``source``, empty for the package's (OPC 9.3.3)."""
    folder, _, last = source.rpartition("/")
    return f"{folder}/_rels/{last}.rels" if folder else f"_rels/{last}.rels"


def is_relationships(name: str) -> bool:
    """Tell whether an entry of that name holds relationships."""
    folder, _, last = name.lower().rpartition("/")
    return last.endswith(".rels") and folder.rpartition("/")[2] == "_rels"


# -- reading -----------------------------------------------------------------------------------------------------------
def read(code: Source, format_name: str) -> OpcLayout:
    """Read the archive and what is said in it; MalformedCode with one sentence that names what is wrong."""
    archive = zipdir.read(code)
    names = {text(entry): entry for entry in archive.entries}
    if TYPES not in names:
        refuse(code, f"it has no {TYPES}")
    types = zipdir.whole(code, names[TYPES], MAX_EDITED)
    stated = content_types(code, types)
    root = zipdir.whole(code, names[ROOT_RELATIONSHIPS], MAX_EDITED) if ROOT_RELATIONSHIPS in names else b""
    links = relationships(code, root, ROOT_RELATIONSHIPS) if root else ()
    origins = [one for one in links if one.kind == TO_ORIGIN]
    if len(origins) > 1:
        refuse(code, f"it names {len(origins)} origins of signatures, and one is allowed")
    origin = _target(code, "", origins[0], names) if origins else ""
    listed = b""
    lists: tuple[Relationship, ...] = ()
    signed: tuple[Signed, ...] = ()
    own = {origin, relationships_of(origin)} if origin and names[origin].size == 0 else set()
    if origin and (beside := names.get(relationships_of(origin))) is not None:
        listed = zipdir.whole(code, beside, MAX_EDITED)
        lists = relationships(code, listed, text(beside))
        signed = tuple(_signatures(code, origin, lists, names))
    for entry in archive.entries:
        if entry.size == 0 and (text(entry) == origin or text(entry).endswith("/")):
            zipdir.whole(code, entry, 0)  # nothing else would look at what is packed there
    for one in signed:
        own |= {text(one.entry), relationships_of(text(one.entry)), *map(text, one.certificates)}
    return OpcLayout(
        format=format_name, size=code.size, archive=archive, package="", types=types, stated=stated, root=root,
        links=links, origin=origin, listed=listed, lists=lists, signed=signed, own=frozenset(own & names.keys()),
    )  # fmt: skip


def check_size(code: Source, layout: OpcLayout) -> None:
    """Refuse a package whose parts would be unpacked to far more than it has; all of them are read."""
    unpacked = sum(one.size for one in layout.archive.entries)
    if unpacked > max(MAX_UNPACKED, MAX_RATIO * code.size):
        refuse(code, f"its {code.size} octets would be unpacked to {unpacked}")


def refuse(code: Source, why: str) -> NoReturn:
    """Raise MalformedCode: the file is no package that can be signed."""
    raise MalformedCode(f"{code.filename} is no OPC package that can be signed: {why}.")


def tree(code: Source, octets: bytes, name: str, root: tuple[str, str]) -> Document:
    """Read the XML of an entry whose root has this namespace and name."""
    document = xml_canonical.read(octets, f"{name!r} in {code.filename}")
    if (document.root.namespace, document.root.name) != root:
        refuse(code, f"its {name} has another root than {root[1]}")
    return document


def end_of(element: Element, octets: bytes) -> int:
    """Return where an element ends in its document, which is in UTF-8; one that closes itself has nothing in it."""
    closes_itself = not element.children and octets[element.close - 2 : element.close] == b"/>"
    return element.close if closes_itself else octets.find(b">", element.close) + 1


def content_types(code: Source, octets: bytes) -> ContentTypes:
    """Read the content types; MalformedCode where they are none, or contradict each other."""
    by_extension: dict[str, tuple[str, Element]] = {}
    by_name: dict[str, tuple[str, Element]] = {}
    for one in tree(code, octets, TYPES, (CONTENT_TYPES, "Types")).root.elements:
        if one.namespace != CONTENT_TYPES:
            continue
        kind = one.get("ContentType") or ""
        key = one.get("Extension") if one.name == "Default" else one.get("PartName")
        into = by_extension if one.name == "Default" else by_name
        if not key or one.name not in ("Default", "Override"):
            refuse(code, f"its {TYPES} has a statement that names no part and no extension")
        if key.lower() in into:
            refuse(code, f"its {TYPES} names {key[:80]!r} twice")
        into[key.lower()] = (kind, one)
    return ContentTypes(by_extension, by_name)


def relationships(code: Source, octets: bytes, name: str) -> tuple[Relationship, ...]:
    """Read the relationships in the entry of that name; MalformedCode where they are none."""
    found = []
    for one in tree(code, octets, name, (RELATIONSHIPS, "Relationships")).root.called(RELATIONSHIPS, "Relationship"):
        identifier, kind, target = (one.get(key) for key in ("Id", "Type", "Target"))
        if identifier is None or kind is None or target is None:
            refuse(code, f"its {name} has a relationship without Id, Type or Target")
        external = one.get("TargetMode") == "External"
        found.append(Relationship(identifier, kind, target, external, one.start, end_of(one, octets)))
    if len(found) > MAX_RELATIONSHIPS or len({one.identifier for one in found}) != len(found):
        refuse(code, f"its {name} has two relationships of one Id, or more than {MAX_RELATIONSHIPS}")
    return tuple(found)


def _target(code: Source, source: str, link: Relationship, names: dict[str, Entry]) -> str:
    """Return the name of the entry that a relationship leads to."""
    name = posixpath.normpath(posixpath.join("/", posixpath.dirname(source), link.target)).lstrip("/")
    if link.external or name not in names:
        refuse(code, f"its relationship {link.identifier[:40]!r} leads to {link.target[:80]!r}, which is no part of it")
    return name


def _signatures(code: Source, origin: str, lists: Sequence[Relationship], names: dict[str, Entry]) -> list[Signed]:
    leading = [_target(code, origin, link, names) for link in lists if link.kind == TO_SIGNATURE]
    if len(leading) > MAX_SIGNATURES or len(set(leading)) != len(leading):
        refuse(code, f"it names {len(leading)} signatures; at most {MAX_SIGNATURES}, each once, are read")
    if (size := sum(names[name].size for name in leading)) > MAX_SIGNED:
        refuse(code, f"its signatures have {size} octets; {MAX_SIGNED} are read")
    return [Signed(names[name], tuple(_certificates(code, name, names))) for name in leading]


def _certificates(code: Source, name: str, names: dict[str, Entry]) -> list[Entry]:
    """Return the parts with the certificates of one signature."""
    beside = names.get(relationships_of(name))
    if beside is None:
        return []
    if beside.size > MAX_CERTIFICATE:
        refuse(code, f"its signature {name} names certificates in more than {MAX_CERTIFICATE} octets")
    links = relationships(code, zipdir.whole(code, beside, MAX_CERTIFICATE), text(beside))
    found = [names[_target(code, name, one, names)] for one in links if one.kind == TO_CERTIFICATE]
    if len(found) > MAX_CERTIFICATES:
        refuse(code, f"its signature {name} names {len(found)} certificates; {MAX_CERTIFICATES} are read")
    if any(one.size > MAX_CERTIFICATE for one in found):
        refuse(code, f"its signature {name} names a certificate of more than {MAX_CERTIFICATE} octets")
    return found
