"""The parts of an OPC package, hashed as signatures list them, and held against what a signature lists.

Source: ECMA-376 part 2, 13.2.4: a part is hashed as its octets, in canonical form, or, where it holds relationships,
as those of them that are named (13.2.4.24).
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from privyseal.errors import MalformedCode
from privyseal.formats import content, opc_layout, xml_canonical, zipdir
from privyseal.formats.comparing import Comparing
from privyseal.formats.opc_layout import OpcLayout, Relationship
from privyseal.formats.opc_signature import C14N, COMMENTED, RELATIONSHIP_TRANSFORM, Reference
from privyseal.formats.protocol import Problem, Source
from privyseal.formats.xml_canonical import canonical, quoted
from privyseal.formats.zipdir import Entry
from privyseal.terms.signatures import DIGEST_SIZES, DigestAlgorithm

LARGE: Final = 8 << 20
"""Octets of all parts from which a second thread is worth it."""
MAX_PARSED: Final = 8 << 20
"""Octets of XML that are parsed because a part is not hashed as it is; a large document has 1 MiB of relationships."""
_KEPT = 1 << 16
"""Octets of a packed part from which its digest is kept for the outcome, so that ever so many small ones take no
memory."""
_WORTH = 1 << 14
"""Octets that a part has on an average where it is: with smaller ones the threads wait for the interpreter."""
_ALLOWED = ((), (C14N,), (COMMENTED,), (RELATIONSHIP_TRANSFORM, C14N), (RELATIONSHIP_TRANSFORM, COMMENTED))


# -- hashing -----------------------------------------------------------------------------------------------------------
class _Unpacked(msgspec.Struct, frozen=True):
    """What was held against the octets that came out of packed ones."""

    size: int
    crc: int


def digests(code: Source, entry: Entry, algorithms: Collection[str]) -> dict[str, bytes]:
    """Return what a part hashes to, by algorithm; it is unpacked on the way and held against its checksum.

    Of a part of ``_KEPT`` octets or more that is hashed again in the outcome, ``content.digests`` says what is known.
    """
    names, parts = tuple(algorithms), [(entry.data_at, entry.data_at + entry.packed)]
    if entry.method == zipdir.STORED:
        found = content.digests(code, (*names, content.CRC), parts)
        if found[content.CRC] != entry.crc.to_bytes(4, "little"):
            raise MalformedCode(f"{code.filename} has octets in {entry.shown} that are not those of its checksum.")
        return {name: found[name] for name in names}
    large = entry.packed >= _KEPT
    ask: content.Hashed | None = getattr(code, "hashed", None) if large else None
    comparing: Comparing | None = getattr(code, "comparing", None) if large else None
    how = _Unpacked(entry.size, entry.crc)
    if ask is not None and (known := ask(names, list(parts), how)) is not None:
        return known
    hashes = {name: hashlib.new(name) for name in names}
    source = code if comparing is None else comparing.beside(code, entry.data_at)
    for piece in zipdir.unpacked(source, entry, entry.size):
        for each in hashes.values():
            each.update(piece)
    found = {name: each.digest() for name, each in hashes.items()}
    if comparing is not None:
        comparing.keep(parts, how, found)
    return found


def of_all(code: Source, wanted: Mapping[str, tuple[Entry, Collection[str]]]) -> dict[tuple[str, str], bytes]:
    """Return the digests of several parts, by the names they are given and algorithm; they are read as they stand.

    Two of them at a time where they are large: unpacking and hashing let go of the interpreter lock, so the second core
    does half of it.
    """
    found: dict[tuple[str, str], bytes] = {}
    in_place = sorted(wanted.items(), key=lambda one: one[1][0].at)
    waiting, turn = iter(in_place), threading.Lock()

    def work() -> None:
        try:
            while True:
                with turn:
                    one = next(waiting, None)
                if one is None:
                    return
                name, (entry, algorithms) = one
                for algorithm, digest in digests(code, entry, algorithms).items():
                    found[name, algorithm] = digest
        except BaseException:
            with turn:
                for _ in waiting:  # nobody begins another
                    pass
            raise

    total = sum(entry.size for entry, _ in wanted.values())
    if len(wanted) < 2 or total < max(LARGE, _WORTH * len(wanted)):
        work()
        return found
    from concurrent.futures import ThreadPoolExecutor  # 5 ms, and small packages go without

    with ThreadPoolExecutor(1, "parts") as pool:
        beside = pool.submit(work)
        work()
        beside.result()
    return found


def chosen(links: Iterable[Relationship], identifiers: Collection[str], kinds: Collection[str]) -> bytes:
    """Return the relationships that are named, by Id or by type, as the relationship transform writes them."""
    taken = sorted(
        (one for one in links if one.identifier in identifiers or one.kind in kinds), key=lambda one: one.identifier
    )
    listed = "".join(
        f'<Relationship Id="{quoted(one.identifier)}" Target="{quoted(one.target)}" '
        f'TargetMode="{"External" if one.external else "Internal"}" Type="{quoted(one.kind)}"></Relationship>'
        for one in taken
    )
    return f'<Relationships xmlns="{opc_layout.RELATIONSHIPS}">{listed}</Relationships>'.encode()


class _Xml:
    """The parts of one package that have to be parsed: relationships each once, and of all only so much."""

    def __init__(self, code: Source) -> None:
        self._code = code
        self._room = MAX_PARSED
        self._links: dict[str, tuple[Relationship, ...]] = {}

    def links(self, entry: Entry) -> tuple[Relationship, ...]:
        """Return the relationships in a part; MalformedCode where it holds none, or too much was parsed."""
        name = opc_layout.text(entry)
        if name not in self._links:
            octets = self._octets(entry, opc_layout.MAX_EDITED)
            self._links[name] = opc_layout.relationships(self._code, octets, name)
        return self._links[name]

    def canonical(self, entry: Entry, *, comments: bool) -> bytes:
        """Return a part in canonical form; MalformedCode where it is no XML, or too much was parsed."""
        octets = self._octets(entry, xml_canonical.MAX_OCTETS)
        document = xml_canonical.read(octets, f"{entry.shown} in {self._code.filename}")
        return canonical(document, comments=comments)

    def _octets(self, entry: Entry, most: int) -> bytes:
        self._room -= entry.size
        if self._room < 0:
            opc_layout.refuse(self._code, f"more than {MAX_PARSED} octets of XML would have to be parsed")
        return zipdir.whole(self._code, entry, most)


# -- listing -----------------------------------------------------------------------------------------------------------
def listed(
    code: Source, layout: OpcLayout, written: dict[str, bytes], algorithm: DigestAlgorithm, *, raw: bool
) -> list[Reference]:
    """Return a reference to each part, in the order of their names; the entries in ``written`` have those octets.

    ``raw``: relationships are parts as all others, those to signatures too, as VSIXSignTool has it. Otherwise they are
    hashed without those to signatures, so that more of them can come. MalformedCode for an entry that can be no part.
    """
    entries = {opc_layout.text(one): one for one in layout.parts()}
    names = entries.keys() | (written.keys() - {opc_layout.TYPES} if raw else set())
    types = written.get(opc_layout.TYPES)
    stated = layout.stated if types is None else opc_layout.content_types(code, types)
    for name in sorted(names):
        if not opc_layout.is_part(name):
            opc_layout.refuse(code, f"its entry {name[:80]!r} is not named as a part has to be")
        if not stated.of(name):
            opc_layout.refuse(code, f"its {opc_layout.TYPES} says nothing of {name[:80]!r}, so it is no part")
    plain = [name for name in entries if name not in written and (raw or not opc_layout.is_relationships(name))]
    read = of_all(code, {name: (entries[name], (algorithm,)) for name in plain})
    xml, found = _Xml(code), []
    for name in sorted(names):
        kind = stated.of(name) or ""
        if raw or not opc_layout.is_relationships(name):
            octets = written.get(name)
            digest = read[name, algorithm] if octets is None else hashlib.new(algorithm, octets).digest()
            found.append(Reference(name, kind, algorithm, digest))
            continue
        links = [one for one in xml.links(entries[name]) if one.kind != opc_layout.TO_ORIGIN]
        if links:
            taken = frozenset(one.identifier for one in links)
            digest = hashlib.new(algorithm, chosen(links, taken, ())).digest()
            found.append(Reference(name, kind, algorithm, digest, (RELATIONSHIP_TRANSFORM, C14N), taken))
    if not found:
        opc_layout.refuse(code, "it has no parts")
    return found


# -- judging -----------------------------------------------------------------------------------------------------------
class Held:
    """The parts of one package, each hashed at most once for each algorithm that its signatures use.

    What is not hashed as it is, is looked at once for each signature, however often one names it.
    """

    def __init__(self, code: Source, layout: OpcLayout, lists: Sequence[Sequence[Reference]]) -> None:
        """Look at the parts that ``lists`` name; nothing is read yet."""
        self._code = code
        self._xml = _Xml(code)
        self._layout = layout
        self._folded = {opc_layout.text(one).lower(): one for one in layout.archive.entries}
        self._wanted: dict[str, tuple[str, ...]] = {}
        self._digests: dict[tuple[str, str], bytes] | None = None
        same: dict[tuple[str, ...], tuple[str, ...]] = {}
        for one in (each for references in lists for each in references):
            if not one.transforms and one.algorithm in DIGEST_SIZES:
                folded = one.name.lower()
                both = {*self._wanted.get(folded, ()), one.algorithm}
                named = tuple(name for name in DIGEST_SIZES if name in both)
                self._wanted[folded] = same.setdefault(named, named)  # thousands of parts, few combinations

    def problems(self, references: Sequence[Reference]) -> Iterator[Problem]:
        """Say which parts are not what is listed, and which are not listed at all; one problem of a kind."""
        wrong: dict[str, list[str]] = {}
        covered: dict[str, Reference] = {}
        for one in references:
            if one.name.lower() in covered:
                wrong.setdefault("twice", []).append(one.name)
                continue
            covered[one.name.lower()] = one
            if (flaw := self._flaw(one)) is not None:
                wrong.setdefault(flaw, []).append(one.name)
        for entry in self._layout.parts():
            name = opc_layout.text(entry)
            if not self._covers(entry, covered.get(name.lower())):
                wrong.setdefault("uncovered-part", []).append(name)
        for code, names in wrong.items():
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            yield Problem(code, _SENTENCES[code].format(f"{names[0][:80]!r}{more}"))

    def _flaw(self, one: Reference) -> str | None:
        """Return the slug of what is wrong with one part."""
        entry = self._folded.get(folded := one.name.lower())
        if entry is None or (name := opc_layout.text(entry)) == opc_layout.TYPES:
            return "missing-part"
        if (self._layout.stated.of(name) or "").lower() != one.content_type.lower():
            return "content-type"
        if one.algorithm not in DIGEST_SIZES:
            return "weak-digest"
        if one.transforms not in _ALLOWED:
            return "transform"
        if not one.transforms:
            return None if self._read()[folded, one.algorithm] == one.digest else "digest-mismatch"
        try:
            octets = self._transformed(entry, one)
        except MalformedCode:
            return "transform"
        return None if hashlib.new(one.algorithm, octets).digest() == one.digest else "digest-mismatch"

    def _read(self) -> dict[tuple[str, str], bytes]:
        """Return the digests of all parts that any signature names as they are; they are read when first asked for."""
        if self._digests is None:
            self._digests = of_all(
                self._code,
                {
                    folded: (entry, self._wanted[folded])
                    for folded, entry in self._folded.items()
                    if folded in self._wanted and opc_layout.text(entry) != opc_layout.TYPES
                },
            )
        return self._digests

    def _transformed(self, entry: Entry, one: Reference) -> bytes:
        if one.transforms[0] == RELATIONSHIP_TRANSFORM:
            return chosen(self._xml.links(entry), one.identifiers, one.kinds)
        return self._xml.canonical(entry, comments=COMMENTED in one.transforms)

    def _covers(self, entry: Entry, one: Reference | None) -> bool:
        """Tell whether all of a part is under the signature, but for the relationship to signatures."""
        if not opc_layout.is_relationships(opc_layout.text(entry)) or (one is not None and not one.transforms):
            return one is not None
        try:
            links = self._xml.links(entry)
        except MalformedCode:
            return False
        taken, kinds = (one.identifiers, one.kinds) if one is not None else ((), ())
        return all(
            each.kind == opc_layout.TO_ORIGIN or each.identifier in taken or each.kind in kinds for each in links
        )


_SENTENCES = {
    "missing-part": "The signature covers {}, which the package does not have.",
    "content-type": "The content type of {} is another than the signature says.",
    "weak-digest": "The digest of {} is by another algorithm than SHA-2 of 256 bits or more.",
    "transform": "The signature covers {} transformed in a way that cannot be followed.",
    "digest-mismatch": "The content has changed since it was signed: {}.",
    "twice": "The signature covers {} twice.",
    "uncovered-part": "The signature does not cover {}.",
}
