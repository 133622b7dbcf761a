"""What a code format is: two sides that meet only through :class:`~privyseal.terms.signatures.Described`.

The *file side* runs where the file is: on the developer's machine, or over the service's spool. The *key side* runs in
the service and in the signer and never sees the file; it builds the octets to be signed itself. That one file of code
serves both modes is the test that this protocol is right. A format is stateless and sees no tenant, key, database, log
or clock.

Every format signs, replaces, verifies and is inspected. What else one cannot do (a second signature, taking
signatures off, a timestamp later) stands in its ``cannot`` with a sentence why; ``formats/operations.py`` turns that
into an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from privyseal.terms.signatures import (
    Described,
    DigestAlgorithm,
    Options,
    Signature,
    TimestampToken,
    ToBeSigned,
)

Operation = Literal["sign", "append", "replace", "remove", "timestamp", "verify"]
"""What can be done with a file; ``timestamp`` means one that comes later than its signature."""

MAX_ENCLOSED = 8 << 20
"""Octets that travel beside one description; the page hashes of 900 MiB of code need as many."""

ENCLOSED = "enclosed"
"""The fact, of a description that something travels beside, which holds the SHA-256 of that: lower-case hex. The one
name that is the same in all formats, so that who carries requests finds it without knowing the format."""


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


class Identity(msgspec.Struct, frozen=True, cache_hash=True):
    """The public side of the signer. Half of the formats hash it, so it comes before the hash."""

    chain: tuple[bytes, ...]
    """Certificates, DER, the signer's own first, each followed by its issuer; the self-signed root may be left out."""
    scheme: str
    """A name in ``terms.signatures.SCHEMES``."""


class Layout(msgspec.Struct, frozen=True):
    """Where things are in one file; each format extends it. Building it reads structure, not content."""

    format: str
    size: int

    @property
    def shift(self) -> int | None:
        """Return by how many octets the content moves when the file is signed: 0 in most formats.

        None where that depends on what is written before it; then ``prepare`` says so before it hashes, to the
        ``comparing`` of a source that has one (``Comparing.move``).
        """
        return 0

    @property
    def carries_signature(self) -> bool | None:
        """Tell whether there is a signature, good or not; None where the structure alone does not say."""
        return None


class Summary(msgspec.Struct, frozen=True):
    """What a file's structure says in a few words, for ``inspect``."""

    kind: str
    """Such as ``PE32+ for x64, for the console``."""
    parts: tuple[tuple[str, int], ...] = ()
    """Sections, streams or entries: what each is called and how many octets it has; as many as are worth showing."""


class Prepared(msgspec.Struct, frozen=True):
    """What one reading of the content gave."""

    described: tuple[Described, ...]
    layout: Layout
    enclosed: tuple[bytes, ...] = ()
    """What travels beside each description, where the key side needs more than fits into one: a table of page hashes,
    a list. Empty, or one for each description; at most MAX_ENCLOSED octets. The description holds its SHA-256 as the
    fact ENCLOSED, so that what was approved is what is signed."""


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
    bare: bytes | None = None
    """The blob without its timestamp, of a blob that is no CMS message. Its timestamp is in it as base64, once."""


class CodeFormat(Protocol):
    """One code format; the catalogue holds one instance of each."""

    name: str
    title: str
    cannot: Mapping[Operation, str]
    """What it cannot do, each with one sentence why; empty where it can do everything."""

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

    def remove(self, code: Source, layout: Layout) -> PatchPlan:
        """Plan the file without its signatures; one that has none stays as it is.

        What comes out has the digest that was signed, and the octets that were there before it was signed wherever
        signing loses none. Impossible where the format cannot, MalformedCode where it cannot be done to this file.
        """
        ...

    def timestamped(self, code: Source, layout: Layout, tokens: Mapping[int, TimestampToken]) -> PatchPlan:
        """Plan the file with a token in each signature that ``tokens`` names by its ``EmbeddedSignature.index``.

        A token takes the place of one that is there; what is signed keeps its octets. Whether a token is over that
        signature's value is for the caller to check. Impossible where the format cannot, BadInput where there is no
        such signature, MalformedCode where it cannot take one.
        """
        ...

    def summarise(self, code: Source, layout: Layout) -> Summary:
        """Say in a few words what the structure says; reads no content."""
        ...

    def canonical(self, code: Source, layout: Layout, known: Prepared | None = None) -> Iterable[Problem]:
        """Say what is not as this format's ``apply`` would have written it, so that no octet is left unbound.

        ``known`` is what an earlier reading of the same content gave, handed in only by who has just found its digest
        again: then what follows from the content need not be computed anew.
        """
        ...

    # -- the key side: never sees the file -----------------------------------------------------------------------------
    def to_be_signed(
        self, described: Described, identity: Identity, options: Options, enclosed: bytes = b""
    ) -> Sequence[ToBeSigned]:
        """Build the octets a key signs; refuse with BadInput a description this format would not have made.

        ``enclosed`` is what travelled beside the description; its digest is held against the description's.
        """
        ...

    def finish(
        self,
        described: Described,
        identity: Identity,
        options: Options,
        signed: Sequence[Signature],
        tokens: Sequence[TimestampToken],
        enclosed: bytes = b"",
    ) -> bytes:
        """Build the signature blob; ``tokens`` is empty or has one token for each value that is ``stamped``."""
        ...
