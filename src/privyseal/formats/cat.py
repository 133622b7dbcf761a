"""Windows catalogues: ``.cat``, the signed lists of what belongs to a driver or an update.

A catalogue is a PKCS#7 SignedData itself, whose content is a certificate trust list that names its members by their
hashes. Signing puts a signer and certificates beside that list; what is hashed are the list's value octets. As the key
side never sees the list, the blob that it makes, and that the log binds, is the SignedData without its content; the
file side puts the list in. A further signature is nested in the first and carries the list once more.

The signature is always through signed attributes. relic signs catalogues without them; signify does not accept that,
jsign fails to show it (formats of both held against what signtool writes), and so here it is a named problem.

Judges of what we write: osslsigncode, which hashes the list, openssl for the structure, and by hand signify. Whether
the members are what the list says is not looked at: they are other files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from privyseal.errors import BadInput, MalformedCode
from privyseal.formats import authenticode, authenticode_blob, authenticode_later, fitting
from privyseal.formats.protocol import (
    Copy,
    EmbeddedSignature,
    Identity,
    Insert,
    Layout,
    Operation,
    PatchPlan,
    Prepared,
    Problem,
    Source,
    Summary,
)
from privyseal.pki import cms, der
from privyseal.terms.signatures import (
    Described,
    DigestAlgorithm,
    Options,
    Signature,
    TimestampToken,
    ToBeSigned,
)

NAME: Final = "cat"
ID_CATALOGUE: Final = "1.3.6.1.4.1.311.12.1.1"
"""What a trust list is used for that is a catalogue (szOID_CATALOG_LIST)."""
MAX_FILE: Final = der.MAX_OCTETS
"""Octets of a catalogue, signatures included. Windows' own largest, of cumulative updates, have 6 MiB."""
MAX_MEMBERS: Final = 1 << 17
"""Members of one catalogue; the largest of Windows have some 20,000."""

_LIST = authenticode.ID_TRUST_LIST
_SUBJECT = authenticode.Subject(_LIST, b"")
_MARKS = tuple(der.oid(one) for one in (cms.ID_SIGNED_DATA, _LIST, ID_CATALOGUE))


class CatLayout(Layout, frozen=True, kw_only=True):
    """Where the trust list is in one catalogue."""

    at: int
    value_at: int
    end: int
    """Where the list begins, where its value octets do, and where it ends."""
    members: int
    signed: bool

    @property
    def carries_signature(self) -> bool:
        """Tell whether there is a signature, good or not."""
        return self.signed


class CatFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a description of a catalogue says beside digest and size."""

    members: int


class Catalogue:
    """The format ``cat``."""

    name = NAME
    title = "catalogue (CAT)"
    cannot: Mapping[Operation, str] = {}

    # -- the file side -------------------------------------------------------------------------------------------------
    def recognises(self, head: bytes, tail: bytes, filename: str) -> int:
        """Score 90 for a SignedData over a trust list of the catalogue kind; the name adds 5."""
        found = [head.find(mark, 0, 256) for mark in _MARKS]
        if head[:1] != b"\x30" or found[0] < 0 or not found[0] < found[1] < found[2]:
            return 0
        return 90 + 5 * filename.lower().endswith(".cat")

    def inspect(self, code: Source) -> CatLayout:
        """Read the structure; MalformedCode with one sentence that names what is wrong."""
        octets = _whole(code)
        try:
            signed = cms.parse(octets)
            if signed.ber:
                raise BadInput("It is not in DER.")
            if signed.content_type != _LIST or signed.content is None:
                raise BadInput("Its content is no certificate trust list.")
            at, value_at, end = _content(octets)
            members = _members(octets, at)
        except BadInput as error:
            raise _malformed(code, error.detail) from None
        return CatLayout(
            format=NAME,
            size=code.size,
            at=at,
            value_at=value_at,
            end=end,
            members=members,
            signed=bool(signed.signers),
        )

    def prepare(
        self, code: Source, layout: Layout, identity: Identity, options: Options, digest: DigestAlgorithm
    ) -> Prepared:
        """Hash the list."""
        layout = _of_cat(layout)
        described = Described(
            format=NAME,
            filename=code.filename,
            digest_algorithm=digest,
            digest=hashlib.new(digest, code.pread(layout.value_at, layout.end - layout.value_at)).digest(),
            size=layout.end - layout.value_at,
            facts={"members": layout.members},
        )
        return Prepared((described,), layout)

    def apply(self, code: Source, prepared: Prepared, options: Options, blobs: Sequence[bytes]) -> PatchPlan:
        """Plan the signed catalogue; MalformedCode where its signature cannot take another."""
        layout = _of_cat(prepared.layout)
        if len(blobs) != 1:
            raise BadInput(f"A catalogue takes one signature; {len(blobs)} came.")
        whole = _attached(blobs[0], code.pread(layout.at, layout.end - layout.at))
        if options.mode == "append" and layout.signed:
            whole = authenticode_later.nest(_whole(code), whole, _LIST)
        return _plan(code, layout, whole)

    def remove(self, code: Source, layout: Layout) -> PatchPlan:
        """Plan the catalogue as makecat writes it: no signer, no certificates and no digest algorithms."""
        layout = _of_cat(layout)
        if not layout.signed:
            return PatchPlan((Copy(0, code.size),))
        kind, (version, _, content, *_) = _parts(_whole(code))
        bare = der.sequence(version, der.set_of(), content, der.set_of())
        return _plan(code, layout, der.sequence(kind, der.explicit(0, bare)))

    def timestamped(self, code: Source, layout: Layout, tokens: Mapping[int, TimestampToken]) -> PatchPlan:
        """Plan the catalogue with a token in each signature named; the others keep their octets."""
        layout = _of_cat(layout)
        (whole,) = authenticode_later.timestamped([_whole(code)] if layout.signed else [], tokens, _LIST)
        return _plan(code, layout, whole)

    def signatures(self, code: Source, layout: Layout) -> Iterable[EmbeddedSignature]:
        """Judge every signature, nested ones behind the one that holds them; none where it is not signed."""
        layout = _of_cat(layout)
        found = list(_found(code, layout))
        value = code.pread(layout.value_at, layout.end - layout.value_at)
        digests: dict[str, bytes] = {
            name: hashlib.new(name, value).digest() for name in authenticode_blob.algorithms_of(found)
        }
        for index, one in enumerate(found):
            judged = authenticode_blob.judge(one, index, NAME, _SUBJECT, digests)
            yield judged if one.blob is None else msgspec.structs.replace(judged, blob=_detached(judged.blob))

    def canonical(self, code: Source, layout: Layout, known: Prepared | None = None) -> Iterable[Problem]:
        """Say which octets of a signed catalogue no signature covers and nothing else fixes; nothing for others."""
        yield from authenticode_blob.unbound(_found(code, _of_cat(layout)))

    def summarise(self, code: Source, layout: Layout) -> Summary:
        """Count the members."""
        members = _of_cat(layout).members
        return Summary(f"catalogue of {members} member{'s' * (members != 1)}")

    # -- the key side: never sees the file -----------------------------------------------------------------------------
    def to_be_signed(
        self, described: Described, identity: Identity, options: Options, enclosed: bytes = b""
    ) -> Sequence[ToBeSigned]:
        """Build the signed attributes; BadInput for a description that ``prepare`` would not have made."""
        _check(described)
        return (authenticode.to_be_signed_list(described, identity, options),)

    def finish(
        self,
        described: Described,
        identity: Identity,
        options: Options,
        signed: Sequence[Signature],
        tokens: Sequence[TimestampToken],
        enclosed: bytes = b"",
    ) -> bytes:
        """Build the SignedData without its content; BadInput unless there is one signature, over these octets."""
        _check(described)
        signature, token = fitting.one_signature(signed, tokens, "a catalogue")
        return authenticode.finish_list(described, identity, options, signature, token)


def _malformed(code: Source, why: str) -> MalformedCode:
    return MalformedCode(f"{code.filename} is no catalogue that can be signed: {why[:1].lower()}{why[1:].rstrip('.')}.")


def _of_cat(layout: Layout) -> CatLayout:
    return fitting.layout_of(layout, CatLayout, "a catalogue")


def _whole(code: Source) -> bytes:
    if code.size > MAX_FILE:
        raise _malformed(code, f"it has {code.size} octets, and at most {MAX_FILE} are read")
    return code.pread(0, code.size)


def _content(octets: bytes) -> tuple[int, int, int]:
    """Return where the content of a SignedData in DER begins, where its value octets do, and where it ends."""

    def inside(at: int) -> int:
        return der.extent(octets, at)[0]

    def behind(at: int) -> int:
        return der.extent(octets, at)[1]

    signed = inside(inside(behind(inside(0))))  # ContentInfo, its type, [0], SignedData
    encapsulated = behind(behind(signed))  # version, digest algorithms
    at = inside(behind(inside(encapsulated)))  # its type, [0]
    return at, *der.extent(octets, at)


def _members(octets: bytes, at: int) -> int:
    """Count the members of the trust list at ``at``; BadInput where it is of another kind, or none."""
    start, end = der.extent(octets, at)
    fields = list(_row(octets, start, end)) if octets[at] == der.SEQUENCE else []
    lists = [field for field in fields if octets[field[0]] == der.SEQUENCE]
    if not fields or fields[:1] != lists[:1] or octets[slice(*fields[0][1:])] != der.oid(ID_CATALOGUE):
        raise BadInput("Its content is of another kind than a catalogue's list.")
    # Use; identifier, number and dates; algorithm; then the members, if there are any.
    return sum(1 for _ in _row(octets, *lists[2][1:])) if len(lists) > 2 else 0


def _row(octets: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield where each element of a row begins, where its value octets do, and where it ends."""
    count = 0
    while at < end:
        start, stop = der.extent(octets, at)
        count += 1
        if stop > end or count > MAX_MEMBERS:
            raise BadInput(
                f"It has more than {MAX_MEMBERS} members."
                if stop <= end
                else f"An element at {at} passes its list's end."
            )
        yield at, start, stop
        at = stop


def _parts(blob: bytes) -> tuple[bytes, list[bytes]]:
    """Return the type of a ContentInfo, and the fields of the SignedData in it, all of them complete elements."""
    outer = der.Fields(der.read(blob), "A CMS ContentInfo")
    kind = outer.take(der.OID)
    fields = der.children(der.Fields(outer.take(0xA0), "The content of a ContentInfo", 0xA0).take(der.SEQUENCE))
    if len(fields) < 4:
        raise BadInput(f"A SignedData has {len(fields)} fields; at least 4 were expected.")
    return kind.raw, [field.raw for field in fields]


def _attached(blob: bytes, content: bytes) -> bytes:
    """Return the SignedData that the key side made with its content in it."""
    kind, fields = _parts(blob)
    fields[2] = der.sequence(der.oid(_LIST), der.explicit(0, content))
    return der.sequence(kind, der.explicit(0, der.sequence(*fields)))


def _detached(whole: bytes) -> bytes:
    """Return a SignedData without its content: the octets that the key side made."""
    kind, fields = _parts(whole)
    fields[2] = der.sequence(der.oid(_LIST))
    return der.sequence(kind, der.explicit(0, der.sequence(*fields)))


def _found(code: Source, layout: CatLayout) -> Iterator[authenticode_blob.Found]:
    if layout.signed:
        yield from authenticode_blob.walk([_whole(code)], _LIST)


def _plan(code: Source, layout: CatLayout, whole: bytes) -> PatchPlan:
    """Plan ``whole`` with the list copied out of the file that it stands in already."""
    if len(whole) > MAX_FILE:
        raise MalformedCode(f"{code.filename} would have {len(whole)} octets; a catalogue may have {MAX_FILE}.")
    at, _, end = _content(whole)
    return PatchPlan((Insert(whole[:at]), Copy(layout.at, layout.end - layout.at), Insert(whole[end:])))


def _check(described: Described) -> None:
    """Refuse a description that no catalogue gives."""
    facts = fitting.facts_of(described, NAME, CatFacts, "a catalogue")
    if not 0 <= facts.members <= MAX_MEMBERS:
        raise BadInput(f"No catalogue is described here: it would have {facts.members} members.")
    if not 12 <= described.size <= MAX_FILE:
        raise BadInput(f"No catalogue is described here: a signature cannot cover {described.size} octets of one.")
