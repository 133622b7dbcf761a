"""What a code format is: two sides that meet only through :class:`~privyseal.terms.signatures.Described`.

The *file side* runs where the file is: on the developer's machine, or over the service's spool. The *key side* runs in
the service and in the signer and never sees the file; it builds the octets to be signed itself. That one file of code
serves both modes is the test that this protocol is right. A format is stateless and sees no tenant, key, database, log
or clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from privyseal.terms.signatures import (
    Described,
    DigestAlgorithm,
    Options,
    Signature,
    TimestampToken,
    ToBeSigned,
)


class Source(Protocol):
    """Code that can be read at an offset; never more than ``size`` octets, never the whole of it at once."""

    @property
    def size(self) -> int:
        """How many octets there are."""
        ...

    @property
    def filename(self) -> str:
        """What people call it: the last path element."""
        ...

    def pread(self, offset: int, count: int) -> bytes:
        """Return exactly ``count`` octets from ``offset``; raise MalformedCode where they would pass the end."""
        ...

    def readinto(self, offset: int, buffer: memoryview) -> int:
        """Fill as much of ``buffer`` as the source has from ``offset`` and return the count; 0 at the end."""
        ...


class Identity(msgspec.Struct, frozen=True):
    """The public side of the signer. Half of the formats hash it, so it comes before the hash."""

    chain: tuple[bytes, ...]
    """Certificates, DER, the signer's own first, each followed by its issuer; the self-signed root may be left out."""
    scheme: str
    """A name in ``terms.signatures.SCHEMES``."""


class Layout(msgspec.Struct, frozen=True):
    """Where things are in one file; each format extends it. Building it reads structure, not content."""

    format: str
    size: int


class Prepared(msgspec.Struct, frozen=True):
    """What one reading of the content gave."""

    described: tuple[Described, ...]
    layout: Layout


class Copy(msgspec.Struct, frozen=True):
    """Take ``count`` octets of the source from ``offset``."""

    offset: int
    count: int


class Insert(msgspec.Struct, frozen=True):
    """Put these octets."""

    octets: bytes


class PatchPlan(msgspec.Struct, frozen=True):
    """The signed file as an ordered list of copies from the source and inserts; ``formats/patch.py`` carries it out."""

    steps: tuple[Copy | Insert, ...]

    @property
    def size(self) -> int:
        """How many octets the outcome has."""
        return sum(step.count if isinstance(step, Copy) else len(step.octets) for step in self.steps)


class Problem(msgspec.Struct, frozen=True):
    """One thing wrong with a signature or a file: a stable slug and a sentence."""

    code: str
    text: str


class EmbeddedSignature(msgspec.Struct, frozen=True, kw_only=True):
    """One signature found in a file, judged as far as the file alone allows.

    ``problems`` holds what is wrong with the signature itself: digest of the content, signed attributes, signature
    value, layout. Whom its certificate chains to, when, and whether a log knows it is for ``verify.py`` to say.
    """

    format: str
    blob: bytes
    """What ``finish`` returned for it: the octets a completion in the log binds (for PE the PKCS#7 DER)."""
    index: int
    """0 for the first, then the others in their order, nested ones included."""
    nested: bool
    digest_algorithm: str
    digest: bytes
    """What the signature says the content hashes to."""
    signature_value: bytes
    signer: bytes | None
    """The signer's certificate, DER, or None where the signature does not carry it."""
    certificates: tuple[bytes, ...]
    """Every certificate it carries, DER, in its order."""
    timestamp: bytes | None
    """RFC 3161 token, DER ContentInfo, not yet verified."""
    program_name: str | None = None
    program_url: str | None = None
    problems: tuple[Problem, ...] = ()


class CodeFormat(Protocol):
    """One code format; the catalogue holds one instance of each."""

    name: str
    title: str

    # -- the file side -------------------------------------------------------------------------------------------------
    def recognises(self, head: bytes, tail: bytes, filename: str) -> int:
        """Score the content from 0 (not mine) to 100 by its first and last 4096 octets; the name only breaks ties."""
        ...

    def inspect(self, code: Source) -> Layout:
        """Read the structure under hard limits; raise MalformedCode with one sentence that names what is wrong."""
        ...

    def prepare(
        self, code: Source, layout: Layout, identity: Identity, options: Options, digest: DigestAlgorithm
    ) -> Prepared:
        """Read the content exactly once and describe it."""
        ...

    def apply(self, code: Source, prepared: Prepared, options: Options, blobs: Sequence[bytes]) -> PatchPlan:
        """Plan the signed file from the source and one blob for each ``Described``, in constant memory."""
        ...

    def signatures(self, code: Source, layout: Layout) -> Iterable[EmbeddedSignature]:
        """Find and check every signature the file carries; reads the content once per digest algorithm in use."""
        ...

    def timestamped(self, code: Source, layout: Layout, tokens: Mapping[int, TimestampToken]) -> PatchPlan:
        """Plan the file with a token in each signature that ``tokens`` names by its ``EmbeddedSignature.index``.

        A token takes the place of one that is there, of any kind; what is signed keeps its octets. Whether a token is
        over that signature's value is for the caller to check. BadInput where there is no such signature or the format
        cannot, MalformedCode where the signature cannot take one.
        """
        ...

    def canonical(self, code: Source, layout: Layout, known: Prepared | None = None) -> Iterable[Problem]:
        """Say what is not as this format's ``apply`` would have written it, so that no octet is left unbound.

        ``known`` is what an earlier reading of the same content gave, handed in only by who has just found its digest
        again: then what follows from the content need not be computed anew.
        """
        ...

    # -- the key side: never sees the file -----------------------------------------------------------------------------
    def to_be_signed(self, described: Described, identity: Identity, options: Options) -> Sequence[ToBeSigned]:
        """Build the octets a key signs; refuse with BadInput a description this format would not have made."""
        ...

    def finish(
        self,
        described: Described,
        identity: Identity,
        options: Options,
        signed: Sequence[Signature],
        tokens: Sequence[TimestampToken],
    ) -> bytes:
        """Build the signature blob; ``tokens`` is empty or has one token for each signature value."""
        ...
