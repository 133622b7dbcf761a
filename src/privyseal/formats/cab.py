"""Cabinets: ``.cab``, whole ones; one of a set is refused.

What is hashed: the header of the *signed* cabinet without its checksum, without its number in a set and without where
its signature is, then folders, files and data. So an unsigned one is hashed with the 24 octets of reserve that it will
get (or with those that it has, if they are enough) and with every offset moved by as many. ([MS-CAB] does not say so;
osslsigncode, relic and jsign agree.) The signature stands behind the cabinet, filled up with zeros to a multiple of 8;
further ones are nested in it.

Judges of what we write: osslsigncode for cabinets that reserved nothing, cabextract and 7z for the structure of all.
For a reserve of another size than 20 octets none is in Debian: osslsigncode refuses such a cabinet, relic cuts the
reserve, jsign keeps it, as is done here. jsign was run by hand and agreed with ours; the tests keep what it said.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from privyseal.errors import BadInput, MalformedCode
from privyseal.formats import authenticode, authenticode_blob, authenticode_later, cab_layout, content, fitting
from privyseal.formats.cab_layout import CabLayout
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
from privyseal.pki import der
from privyseal.terms.signatures import (
    Described,
    DigestAlgorithm,
    Options,
    Signature,
    TimestampToken,
    ToBeSigned,
)

_SUBJECT = authenticode.SUBJECTS["cab"]
_OURS = 4 + cab_layout.POINTER
"""Octets of the reserve that signing puts into a cabinet that has none."""


class CabFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a description of a cabinet says beside digest and size."""

    files: int
    folders: int


class Cabinet:
    """The format ``cab``."""

    name = cab_layout.NAME
    title = "cabinet (CAB)"
    cannot: Mapping[Operation, str] = {}

    # -- the file side -------------------------------------------------------------------------------------------------
    def recognises(self, head: bytes, tail: bytes, filename: str) -> int:
        """Score 90 for the four octets a cabinet begins with; the name adds 5."""
        return (90 + 5 * filename.lower().endswith(".cab")) * head.startswith(cab_layout.MAGIC)

    def inspect(self, code: Source) -> CabLayout:
        """Read headers and folders; MalformedCode with one sentence that names what is wrong."""
        return cab_layout.read_layout(code)

    def prepare(
        self, code: Source, layout: Layout, identity: Identity, options: Options, digest: DigestAlgorithm
    ) -> Prepared:
        """Hash the cabinet as it will be when it is signed."""
        layout = _of_cab(layout)
        described = Described(
            format=self.name,
            filename=code.filename,
            digest_algorithm=digest,
            digest=_digests(code, layout, (digest,))[digest],
            size=_covered(layout),
            facts={"files": layout.files, "folders": layout.folders},
        )
        return Prepared((described,), layout)

    def apply(self, code: Source, prepared: Prepared, options: Options, blobs: Sequence[bytes]) -> PatchPlan:
        """Plan the signed cabinet; MalformedCode where it would pass 4 GiB or its signature cannot take another."""
        layout = _of_cab(prepared.layout)
        if len(blobs) != 1:
            raise BadInput(f"A cabinet takes one signature; {len(blobs)} came.")
        blob = blobs[0]
        if options.mode == "append" and layout.signature is not None:
            blob = authenticode_later.nest(_blob(code, layout), blob)
        return _with_signature(code, layout, blob)

    def remove(self, code: Source, layout: Layout) -> PatchPlan:
        """Plan the cabinet without its signature, and without the reserve where signing alone has put one there.

        A reserve of exactly 20 octets that the maker of a cabinet left free cannot be told from that, and goes too.
        """
        layout = _of_cab(layout)
        if layout.signature is None:
            return PatchPlan((Copy(0, code.size),))
        if layout.reserve != _OURS:
            reserve: int | None = layout.reserve
        else:
            reserve = 0 if layout.folder_reserve or layout.block_reserve else None
        head = cab_layout.headers(code, layout, reserve, b"")
        return PatchPlan((Insert(head), Copy(layout.files_at, layout.end - layout.files_at)))

    def timestamped(self, code: Source, layout: Layout, tokens: Mapping[int, TimestampToken]) -> PatchPlan:
        """Plan the cabinet with a token in each signature named; the others keep their octets."""
        layout = _of_cab(layout)
        blobs = [] if layout.signature is None else [_blob(code, layout)]
        (blob,) = authenticode_later.timestamped(blobs, tokens)
        return _with_signature(code, layout, blob)

    def signatures(self, code: Source, layout: Layout) -> Iterable[EmbeddedSignature]:
        """Judge every signature, nested ones behind the one that holds them; none where it is not signed."""
        layout = _of_cab(layout)
        found = list(_found(code, layout))
        digests = _digests(code, layout, authenticode_blob.algorithms_of(found))
        for index, one in enumerate(found):
            yield authenticode_blob.judge(one, index, self.name, _SUBJECT, digests)

    def canonical(self, code: Source, layout: Layout, known: Prepared | None = None) -> Iterable[Problem]:
        """Say which octets of a signed cabinet no signature covers and nothing else fixes; nothing for others."""
        layout = _of_cab(layout)
        if layout.signature is None:
            return
        at, size = layout.signature
        blob = _blob(code, layout)
        if at != layout.end:
            yield Problem("signature-place", "The signature stands in the header's reserve and not behind the cabinet.")
        elif size not in (len(blob), len(blob) + -len(blob) % 8) or any(code.pread(at + len(blob), size - len(blob))):
            yield Problem("padding", "More than zeros up to a multiple of 8 follows the signature.")
        yield from authenticode_blob.unbound(authenticode_blob.walk([blob]))

    def summarise(self, code: Source, layout: Layout) -> Summary:
        """Count the files."""
        return Summary(cab_layout.words(_of_cab(layout)))

    # -- the key side: never sees the file -----------------------------------------------------------------------------
    def to_be_signed(
        self, described: Described, identity: Identity, options: Options, enclosed: bytes = b""
    ) -> Sequence[ToBeSigned]:
        """Build the signed attributes; BadInput for a description that ``prepare`` would not have made."""
        _check(described)
        return (authenticode.to_be_signed(_SUBJECT, described, identity, options),)

    def finish(
        self,
        described: Described,
        identity: Identity,
        options: Options,
        signed: Sequence[Signature],
        tokens: Sequence[TimestampToken],
        enclosed: bytes = b"",
    ) -> bytes:
        """Build the PKCS#7 blob; BadInput unless there is one signature, over these octets, and at most one token."""
        _check(described)
        signature, token = fitting.one_signature(signed, tokens, "a cabinet")
        return authenticode.finish(_SUBJECT, described, identity, options, signature, token)


def _of_cab(layout: Layout) -> CabLayout:
    return fitting.layout_of(layout, CabLayout, "a cabinet")


def _covered(layout: CabLayout) -> int:
    """Return how many octets the signed cabinet has without its signature: the same before and after it is signed."""
    return layout.end + layout.shift


def _digests(code: Source, layout: CabLayout, algorithms: tuple[DigestAlgorithm, ...]) -> dict[str, bytes]:
    """Return what the cabinet hashes to, by algorithm, reading it once."""
    if not algorithms:
        return {}
    head = cab_layout.headers(code, layout, layout.room, bytes(cab_layout.POINTER))
    fixed, folders = head[: cab_layout.FIXED], head[cab_layout.FIXED + 4 + layout.room :]
    # Without checksum (4 to 8); number in the set (34 to 36, which is 0) and the first structure are in.
    covered = fixed[:4] + fixed[8:] + struct.pack("<H", len(layout.other)) + layout.other + folders
    return content.digests(code, algorithms, [covered, (layout.files_at, layout.end)])


def _blob(code: Source, layout: CabLayout) -> bytes:
    """Return the signature without what fills it up."""
    at, size = layout.signature or (0, 0)
    octets = code.pread(at, size)
    try:
        return octets[: der.extent(octets)[1]]
    except BadInput:
        return octets


def _found(code: Source, layout: CabLayout) -> Iterator[authenticode_blob.Found]:
    if layout.signature is not None:
        yield from authenticode_blob.walk([_blob(code, layout)])


def _with_signature(code: Source, layout: CabLayout, blob: bytes) -> PatchPlan:
    filled = blob + bytes(-len(blob) % 8)
    end = _covered(layout)
    if len(filled) > cab_layout.MAX_SIGNATURE or end + len(filled) > cab_layout.MAX_FILE:
        raise MalformedCode(
            f"{code.filename} would have a signature of {len(filled)} octets at {end}; it may have "
            f"{cab_layout.MAX_SIGNATURE}, and end before 4 GiB."
        )
    pointer = struct.pack("<II8x", end, len(filled))
    head = cab_layout.headers(code, layout, layout.room, pointer)
    return PatchPlan((Insert(head), Copy(layout.files_at, layout.end - layout.files_at), Insert(filled)))


def _check(described: Described) -> None:
    """Refuse a description that no cabinet gives."""
    facts = fitting.facts_of(described, cab_layout.NAME, CabFacts, "a cabinet")
    if not (0 <= facts.files <= 0xFFFF and 0 <= facts.folders <= 0xFFFF):
        raise BadInput("No cabinet is described here: files and folders are counted in 16 bits.")
    smallest = cab_layout.FIXED + 4 + _OURS + 8 * facts.folders
    if not smallest <= described.size <= cab_layout.MAX_FILE:
        raise BadInput(f"No cabinet is described here: a signature cannot cover {described.size} octets of one.")
