"""XML as one signs it: read under limits into a small tree, and written in canonical form.

Sources: W3C, "Canonical XML 1.0" (2001), "Exclusive XML Canonicalization 1.0" (2002), "Namespaces in XML 1.0". Expat
reads; a document type, and with it every entity of one's own and every default attribute, is refused at the first sign.
So nothing in a document can grow, reach out of it, or mean one thing here and another elsewhere.

The tree holds all that the canonical form needs: prefixes as they were written, and in what order nothing matters.
Where an element stands in the document is kept too, for those who add to it.
Reading and writing stand in one file, longer than others, because each is the other's proof and they share the tree.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, NoReturn
from xml.parsers import expat

import msgspec

from privyseal.errors import MalformedCode

MAX_OCTETS: Final = 8 << 20
"""Octets of one document, as of markup; the largest signed manifests have some 2 MiB."""
MAX_DEPTH: Final = 64
"""Elements in each other; signatures have 9."""
MAX_NODES: Final = 1 << 18
"""Elements, attributes, declarations, texts and whatever else a tree consists of: one for 32 octets of the largest."""
MAX_SCOPE: Final = 128
"""Namespaces in scope anywhere; those of Office declare some 40."""

_XML = "http://www.w3.org/XML/1998/namespace"
_XMLNS = "http://www.w3.org/2000/xmlns/"
_IN_TEXT = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;", ord("\r"): "&#xD;"}
_IN_VALUE = {
    ord("&"): "&amp;", ord("<"): "&lt;", ord('"'): "&quot;",
    ord("\t"): "&#x9;", ord("\n"): "&#xA;", ord("\r"): "&#xD;",
}  # fmt: skip
_SPECIAL = re.compile('[&<>\r\n\t"]')
_NO_START = "-.0123456789\u00b7"
_MOST_ALIKE = 64
"""Lists of attributes that are remembered while a document is read, so that equal ones are one."""
_PARTS = 1 << 12
"""Texts that the output consists of before they are put together: each takes some 100 octets more than it has."""
_NOTHING: Mapping[str, str] = {}
"""What the output says around the element that it begins with."""


class Attribute(msgspec.Struct, frozen=True, gc=False):
    """One attribute that is no declaration of a namespace."""

    namespace: str
    """Empty where the name has no prefix (Namespaces 6.2)."""
    prefix: str
    name: str
    value: str
    """As XML normalises it (XML 1.0, 3.3.3)."""


class Instruction(msgspec.Struct, frozen=True, gc=False):
    """A processing instruction."""

    target: str
    data: str


class Comment(msgspec.Struct, frozen=True, gc=False):
    """A comment."""

    text: str


class Element(msgspec.Struct, eq=False, kw_only=True):
    """One element, with all that is in it. Equal only to itself."""

    namespace: str
    prefix: str
    name: str
    attributes: tuple[Attribute, ...]
    declared: dict[str, str]
    """The namespaces that its own tag declares, by prefix; the default one under the empty prefix."""
    parent: Element | None
    children: Sequence[Element | str | Instruction | Comment] = ()
    start: int
    """Where in the document its first tag begins, in octets."""
    close: int = -1
    """Where its last tag begins; the end of the first one where that closes itself."""

    def __repr__(self) -> str:
        return f"<{self.name} at {self.start}>"

    @property
    def elements(self) -> list[Element]:
        """Return the elements directly in it, in their order."""
        return [one for one in self.children if isinstance(one, Element)]

    @property
    def text(self) -> str:
        """Return the characters directly in it; those of elements in it are not among them."""
        return "".join(one for one in self.children if isinstance(one, str))

    def get(self, name: str, namespace: str = "") -> str | None:
        """Return the value of one attribute, None where it has none of that name."""
        return next((one.value for one in self.attributes if (one.namespace, one.name) == (namespace, name)), None)

    def called(self, namespace: str, name: str) -> list[Element]:
        """Return the elements directly in it that have that name, in their order."""
        return [one for one in self.elements if (one.namespace, one.name) == (namespace, name)]

    def walk(self) -> Iterator[Element]:
        """Yield the element itself and all in it, in the order of the document."""
        yield self
        for one in self.elements:
            yield from one.walk()


class Document(msgspec.Struct, eq=False):
    """A whole document."""

    root: Element
    before: list[Instruction | Comment]
    """What stands before the root, the XML declaration left out."""
    after: list[Instruction | Comment]


# -- reading -----------------------------------------------------------------------------------------------------------
def read(octets: bytes, what: str) -> Document:
    """Read a document; ``what`` names it in the sentence where it is refused.

    MalformedCode where it is no well-formed XML with namespaces in UTF-8 or UTF-16, has a document type or passes a
    limit.
    """
    if len(octets) > MAX_OCTETS:
        _refuse(what, f"has {len(octets)} octets; at most {MAX_OCTETS} are read")
    return _Reader(what).read(octets)


def _refuse(what: str, why: str) -> NoReturn:
    raise MalformedCode(f"{what} {why}.")


class _Reader:
    """Expat's handlers, and the tree as far as it has grown. Namespaces are resolved here, so that prefixes stay."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._nodes = 0
        self._root: Element | None = None
        self._open: list[Element] = []
        self._within: list[list[Element | str | Instruction | Comment]] = []
        """Of each that is open, what is in it so far."""
        self._scopes: list[dict[str, str]] = [{"xml": _XML, "": ""}]
        self._before: list[Instruction | Comment] = []
        self._after: list[Instruction | Comment] = []
        self._texts: list[str] = []
        self._none: dict[str, str] = {}
        """What elements without declarations declare."""
        self._known: dict[str, tuple[str, str]] = {}
        """Names that came before, cut up: a list of ten thousand parts has thirty thousand elements of three names."""
        self._alike: dict[tuple[str, ...], tuple[Attribute, ...]] = {}
        """Attributes without prefixes that came before: as many digests are by one algorithm."""
        parser = expat.ParserCreate()
        parser.ordered_attributes = True
        parser.buffer_text = True
        parser.XmlDeclHandler = self._declaration
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.CommentHandler = self._comment
        parser.ProcessingInstructionHandler = self._instruction
        parser.StartDoctypeDeclHandler = self._doctype
        parser.EntityDeclHandler = self._doctype
        self._parser = parser

    def read(self, octets: bytes) -> Document:
        try:
            self._parser.Parse(octets, True)
        except (expat.ExpatError, ValueError, LookupError) as error:
            why = expat.errors.messages.get(getattr(error, "code", 0), "its encoding is not known")
            _refuse(self._what, f"is no well-formed XML: {why}")
        if self._root is None:  # expat would have said so
            _refuse(self._what, "is no well-formed XML: it has no element")
        return Document(self._root, self._before, self._after)

    def _count(self, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            _refuse(self._what, f"has more than {MAX_NODES} elements, attributes and texts")

    def _doctype(self, *_: object) -> None:
        _refuse(self._what, "has a document type, which could hold entities; none is read")

    def _declaration(self, version: str, encoding: str | None, _: int) -> None:
        if version != "1.0" or (encoding or "utf-8").lower() not in ("utf-8", "utf-16"):
            _refuse(self._what, "is not in XML 1.0 and UTF-8 or UTF-16")

    def _start(self, name: str, listed: list[str]) -> None:
        self._flush()
        if len(self._open) >= MAX_DEPTH:
            _refuse(self._what, f"has elements {len(self._open)} deep; at most {MAX_DEPTH} are read")
        self._count(1 + len(listed) // 2)
        pairs = list(zip(listed[::2], listed[1::2], strict=True))
        declared = {self._declares(key): value for key, value in pairs if key == "xmlns" or key.startswith("xmlns:")}
        declared = declared or self._none
        for prefix, namespace in declared.items():
            self._check_declaration(prefix, namespace)
        scope = {**self._scopes[-1], **declared} if declared else self._scopes[-1]
        if len(scope) > MAX_SCOPE:
            _refuse(self._what, f"declares {len(scope)} namespaces; at most {MAX_SCOPE} are read")
        self._scopes.append(scope)
        prefix, local = self._split(name)
        element_attributes = self._alike.get(told := tuple(listed))
        if element_attributes is None:
            element_attributes = self._attributes(scope, pairs)
            if not declared and ":" not in "".join(listed[::2]) and len(self._alike) < _MOST_ALIKE:
                self._alike[told] = element_attributes
        element = Element(
            namespace=self._namespace(scope, prefix), prefix=prefix, name=local, attributes=element_attributes,
            declared=declared, parent=self._open[-1] if self._open else None,
            start=self._parser.CurrentByteIndex,
        )  # fmt: skip
        if self._open:
            self._within[-1].append(element)
        else:
            self._root = element
        self._open.append(element)
        self._within.append([])

    def _attributes(self, scope: dict[str, str], pairs: list[tuple[str, str]]) -> tuple[Attribute, ...]:
        attributes = []
        for key, value in pairs:
            if key != "xmlns" and not key.startswith("xmlns:"):
                its, plain = self._split(key)
                attributes.append(Attribute(self._namespace(scope, its) if its else "", its, plain, value))
        if len({(one.namespace, one.name) for one in attributes}) != len(attributes):
            _refuse(self._what, "has two attributes of one name at an element")
        return tuple(attributes)

    def _end(self, _: str) -> None:
        self._flush()
        self._scopes.pop()
        ended = self._open.pop()
        ended.close = self._parser.CurrentByteIndex
        ended.children = tuple(self._within.pop())

    def _characters(self, text: str) -> None:
        self._texts.append(text)

    def _flush(self) -> None:
        if self._texts:
            self._count(1)
            self._within[-1].append("".join(self._texts))
            self._texts.clear()

    def _comment(self, text: str) -> None:
        self._put(Comment(text))

    def _instruction(self, target: str, data: str) -> None:
        if ":" in target:
            _refuse(self._what, "has a processing instruction whose name has a colon")
        self._put(Instruction(target, data))

    def _put(self, node: Comment | Instruction) -> None:
        self._count(1)
        if self._open:
            self._flush()
            self._within[-1].append(node)
        else:
            (self._before if self._root is None else self._after).append(node)

    @staticmethod
    def _declares(key: str) -> str:
        return key[6:]  # of "xmlns" nothing is left

    def _check_declaration(self, prefix: str, namespace: str) -> None:
        """Refuse what no declaration may say (Namespaces 3 and 5)."""
        self._split(prefix or "x")
        reserved = prefix == "xmlns" or (prefix == "xml") != (namespace == _XML) or namespace == _XMLNS
        if reserved or (prefix and not namespace):
            _refuse(self._what, f"declares a namespace as none may be declared: {prefix[:40]!r}")

    def _split(self, name: str) -> tuple[str, str]:
        if (known := self._known.get(name)) is not None:
            return known
        prefix, colon, local = name.partition(":")
        if colon and (not prefix or not local or ":" in local or local[0] in _NO_START):
            _refuse(self._what, f"has a name that is none with namespaces: {name[:40]!r}")
        return self._known.setdefault(name, (prefix, local) if colon else ("", name))

    def _namespace(self, scope: Mapping[str, str], prefix: str) -> str:
        namespace = scope.get(prefix)
        if namespace is None:
            _refuse(self._what, f"has a name whose prefix is not declared: {prefix[:40]!r}")
        return namespace


# -- writing -----------------------------------------------------------------------------------------------------------
def canonical(
    node: Element | Document,
    *,
    exclusive: bool = False,
    inclusive_prefixes: Collection[str] = (),
    comments: bool = False,
    without: Collection[Element] = (),
) -> bytes:
    """Return the canonical form, UTF-8, of a whole document or of an element with all that is in it.

    An element of a larger document brings along the namespaces that are in scope and, where the form is not exclusive,
    the attributes ``xml:...`` of those around it (Canonical XML 2.4). ``inclusive_prefixes`` are those that exclusive
    form treats as the other one does, the default namespace named by the empty text. ``without`` is left out with all
    that is in it, as the enveloped signature is.
    """
    prefixes = frozenset(inclusive_prefixes) if exclusive else None
    writer = _Writer(prefixes, comments, without)
    if isinstance(node, Document):
        writer.parts += [f"{one}\n" for one in writer.outside(node.before)]
        writer.element(node.root, {}, _NOTHING, ())
        writer.parts += [f"\n{one}" for one in writer.outside(node.after)]
    else:
        writer.element(node, _scope(node.parent), _NOTHING, () if exclusive else _inherited(node))
    return writer.octets()


def quoted(value: str) -> str:
    """Return a text as it stands between the quotes of an attribute's value in canonical form."""
    return value.translate(_IN_VALUE) if _SPECIAL.search(value) else value


def _scope(element: Element | None) -> dict[str, str]:
    """Return the namespaces in scope within an element, by prefix."""
    ways: list[Element] = []
    while element is not None:
        ways.append(element)
        element = element.parent
    scope: dict[str, str] = {}
    for one in reversed(ways):
        scope.update(one.declared)
    return scope


def _inherited(element: Element) -> tuple[Attribute, ...]:
    """Return the attributes of the namespace ``xml`` that an element has only from those around it, nearest first."""
    found: dict[str, Attribute] = {}
    own = {one.name for one in element.attributes if one.namespace == _XML}
    around = element.parent
    while around is not None:
        for one in around.attributes:
            if one.namespace == _XML and one.name not in own:
                found.setdefault(one.name, one)
        around = around.parent
    return tuple(found.values())


class _Writer:
    """The output as far as it is written, and the texts that come next."""

    def __init__(self, prefixes: frozenset[str] | None, comments: bool, without: Collection[Element]) -> None:
        self.parts: list[str] = []
        self._written = bytearray()
        self._prefixes = prefixes
        self._comments = comments
        self._without = frozenset(map(id, without))

    def octets(self) -> bytes:
        """Return all that was written."""
        self._settle()
        return bytes(self._written)

    def _settle(self) -> None:
        self._written += "".join(self.parts).encode()
        self.parts.clear()

    def outside(self, nodes: Sequence[Instruction | Comment]) -> list[str]:
        """Return what stands outside the root, each without a line end."""
        return [self._plain(one) for one in nodes if self._comments or isinstance(one, Instruction)]

    def _plain(self, node: Instruction | Comment) -> str:
        if isinstance(node, Comment):
            return f"<!--{node.text}-->"
        data = node.data.replace("\r", "&#xD;")
        return f"<?{node.target} {data}?>" if data else f"<?{node.target}?>"

    def element(
        self, element: Element, outer: Mapping[str, str], rendered: Mapping[str, str], inherited: Sequence[Attribute]
    ) -> None:
        """Write an element; ``outer`` is in scope around it, and ``rendered`` what the output says there."""
        if id(element) in self._without:
            return
        scope = {**outer, **element.declared} if element.declared else outer
        attributes = (*element.attributes, *inherited)
        rendered = self._open(element, scope, rendered, attributes)
        for child in element.children:
            if isinstance(child, str):
                self.parts.append(child.translate(_IN_TEXT) if _SPECIAL.search(child) else child)
            elif isinstance(child, Element):
                self.element(child, scope, rendered, ())
            elif self._comments or isinstance(child, Instruction):
                self.parts.append(self._plain(child))
        self.parts.append(f"</{element.prefix}:{element.name}>" if element.prefix else f"</{element.name}>")
        if len(self.parts) > _PARTS:
            self._settle()

    def _open(
        self, element: Element, scope: Mapping[str, str], rendered: Mapping[str, str], attributes: Sequence[Attribute]
    ) -> Mapping[str, str]:
        """Write the first tag and return what is rendered within."""
        said = self._declarations(element, scope, rendered, attributes)
        self.parts.append(f"<{element.prefix}:{element.name}" if element.prefix else f"<{element.name}")
        for prefix in sorted(said):
            name = f"xmlns:{prefix}" if prefix else "xmlns"
            self.parts.append(f' {name}="{quoted(said[prefix])}"')
        for one in sorted(attributes, key=lambda each: (each.namespace, each.name)):
            name = f"{one.prefix}:{one.name}" if one.prefix else one.name
            self.parts.append(f' {name}="{quoted(one.value)}"')
        self.parts.append(">")
        return {**rendered, **said}

    def _declarations(
        self, element: Element, scope: Mapping[str, str], rendered: Mapping[str, str], attributes: Sequence[Attribute]
    ) -> dict[str, str]:
        """Return the declarations that this tag needs: those in scope that the output does not say around it."""
        wanted: Collection[str] = element.declared if rendered is not _NOTHING else scope
        if self._prefixes is not None:
            visible = {element.prefix, *(one.prefix for one in attributes if one.prefix)}
            wanted = visible | self._prefixes.intersection(scope)
        found = {}
        for prefix in wanted:
            namespace = scope.get(prefix, "")
            if prefix != "xml" and rendered.get(prefix, "") != namespace:
                found[prefix] = namespace
        return found
