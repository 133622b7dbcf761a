"""XML inside packages, looked at and not built: elements with their attributes and where they stand, under limits.

Expat reads it, as a stream. What could make a small document large or reach out of it is refused at the first sign: a
document type, and with it every entity of one's own (XML 1.0, 2.8 and 4.2).
"""

from __future__ import annotations

from typing import Final, NoReturn
from xml.parsers import expat

import msgspec

from privyseal.errors import MalformedCode

MAX_OCTETS: Final = 8 << 20
"""Octets of one document; the manifest of the largest bundle has some 100 KiB."""
MAX_DEPTH: Final = 64
"""Elements in each other; manifests have 8."""
MAX_ELEMENTS: Final = 1 << 17
"""Elements that are handed back, as many as an archive has entries."""


class Element(msgspec.Struct, frozen=True, gc=False):
    """One element near the root."""

    namespace: str
    name: str
    prefix: str
    depth: int
    """0 for the root, 1 for what is in it."""
    attributes: dict[str, str]
    """By name; one of another namespace as ``namespace name``."""
    start: int
    """Where its first tag begins."""
    close: int = -1
    """Where its last tag begins; the end of the first one where that closes itself."""


def scan(octets: bytes, what: str, depth: int = 1) -> list[Element]:
    """Return the root and the elements at most ``depth`` below it, in their order; ``what`` names the document.

    MalformedCode where it is no well-formed XML in UTF-8 or UTF-16, has a document type or passes a limit.
    """
    if len(octets) > MAX_OCTETS:
        _refuse(what, f"has {len(octets)} octets; at most {MAX_OCTETS} are read")
    reader = _Reader(what, depth)
    reader.feed(octets, final=True)
    return reader.found


def below(elements: list[Element], name: str) -> list[Element]:
    """Return what stands directly in the one element of that name below the root; nothing where there are several.

    ``elements`` come from :func:`scan` with a depth of 2 or more. An element of a depth alone may stand in another.
    """
    found: list[Element] = []
    inside = False
    for one in elements:
        if one.depth == 1:
            inside = one.name == name
        elif inside and one.depth == 2:
            found.append(one)
    return found if sum((one.depth, one.name) == (1, name) for one in elements) == 1 else []


def root_of(octets: bytes, what: str) -> Element:
    """Return the root of a document that begins with these octets; it need not be whole. Raises as :func:`scan`."""
    reader = _Reader(what, 0)
    reader.feed(octets, final=False)
    if not reader.found:
        _refuse(what, f"has no element within its first {len(octets)} octets")
    return reader.found[0]


def _refuse(what: str, why: str) -> NoReturn:
    raise MalformedCode(f"{what} {why}.")


class _Reader:
    """Expat's handlers, with what they have found."""

    def __init__(self, what: str, depth: int) -> None:
        self.found: list[Element] = []
        self._what = what
        self._deepest = depth
        self._depth = 0
        self._open: list[int] = []
        self._parser = expat.ParserCreate(namespace_separator="\n")
        self._parser.namespace_prefixes = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.EntityDeclHandler = self._doctype

    def feed(self, octets: bytes, *, final: bool) -> None:
        try:
            self._parser.Parse(octets, final)
        except (expat.ExpatError, ValueError, LookupError) as error:
            why = expat.errors.messages.get(getattr(error, "code", 0), "its encoding is not known")
            _refuse(self._what, f"is no well-formed XML: {why}")

    def _doctype(self, *_: object) -> None:
        _refuse(self._what, "has a document type, which could hold entities; none is read")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if self._depth >= MAX_DEPTH:
            _refuse(self._what, f"has elements {self._depth} deep; at most {MAX_DEPTH} are read")
        if self._depth <= self._deepest:
            if len(self.found) >= MAX_ELEMENTS:
                _refuse(self._what, f"has more than {MAX_ELEMENTS} elements")
            parts = name.split("\n")
            namespace, local = (parts[0], parts[1]) if len(parts) > 1 else ("", name)
            prefix = parts[2] if len(parts) > 2 else ""
            plain = {" ".join(key.split("\n")[:2]): value for key, value in attributes.items()}
            self._open.append(len(self.found))
            at = self._parser.CurrentByteIndex
            self.found.append(Element(namespace, local, prefix, self._depth, plain, at))
        self._depth += 1

    def _end(self, _: str) -> None:
        self._depth -= 1
        if self._depth <= self._deepest:
            number = self._open.pop()
            self.found[number] = msgspec.structs.replace(self.found[number], close=self._parser.CurrentByteIndex)
