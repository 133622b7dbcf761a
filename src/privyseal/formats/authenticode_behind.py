"""Formats that put an Authenticode blob behind the content, in an envelope of their own.

What is hashed is everything before the envelope, octet for octet, so that to take the signature off is to cut the file
there. Such a file carries one signature, as far as is known, and nobody is known to look for one that is nested in it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Final

from privyseal.errors import BadInput, MalformedCode
from privyseal.formats import authenticode, authenticode_blob, authenticode_later, content, fitting
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
from privyseal.terms.signatures import Described, DigestAlgorithm, Options, Signature, TimestampToken, ToBeSigned

MAX_SIGNATURE: Final = 8 << 20
"""Octets of a signature, as of the certificate table of a PE file."""


class BehindLayout(Layout, frozen=True, kw_only=True):
    """Where things are in one file."""

    end: int
    """Where the content ends, and the signature's envelope begins if there is one."""
    holds: str
    """How much is in it, in words, such as ``12 entries``."""

    @property
    def carries_signature(self) -> bool:
        """Tell whether there is a signature, good or not."""
        return self.size > self.end


class SignedBehind(ABC):
    """One format whose signature stands behind the content; what it says itself is below, the rest is the same."""

    name: str
    title: str
    cannot: Mapping[Operation, str]
    noun: ClassVar[str]
    """Its kind of file as a sentence has it, without its article, which is ``a``."""
    subject: ClassVar[authenticode.Subject]
    sizes: ClassVar[range]
    """How many octets the content may have."""
    around: ClassVar[tuple[int, int]]
    """Octets of the envelope before and behind the blob."""

    # -- the file side -------------------------------------------------------------------------------------------------
    @abstractmethod
    def recognises(self, head: bytes, tail: bytes, filename: str) -> int:
        """Score the content, as every format does."""

    @abstractmethod
    def inspect(self, code: Source) -> BehindLayout:
        """Read structure and envelope; MalformedCode with one sentence where it is wrong."""

    @abstractmethod
    def enveloped(self, end: int, blob: bytes) -> bytes:
        """Return a blob in its envelope, as it stands behind content of ``end`` octets."""

    def prepare(
        self, code: Source, layout: Layout, identity: Identity, options: Options, digest: DigestAlgorithm
    ) -> Prepared:
        """Hash the content."""
        layout = self._of(layout)
        described = Described(
            format=self.name,
            filename=code.filename,
            digest_algorithm=digest,
            digest=content.digests(code, (digest,), [(0, layout.end)])[digest],
            size=layout.end,
        )
        return Prepared((described,), layout)

    def apply(self, code: Source, prepared: Prepared, options: Options, blobs: Sequence[bytes]) -> PatchPlan:
        """Plan the signed file; BadInput unless there is one blob."""
        if len(blobs) != 1:
            raise BadInput(f"A {self.noun} takes one signature; {len(blobs)} came.")
        return self._signed(self._of(prepared.layout), blobs[0])

    def remove(self, code: Source, layout: Layout) -> PatchPlan:
        """Plan the very file that was signed."""
        return PatchPlan((Copy(0, self._of(layout).end),))

    def timestamped(self, code: Source, layout: Layout, tokens: Mapping[int, TimestampToken]) -> PatchPlan:
        """Plan the file with a token in its signature."""
        layout = self._of(layout)
        (blob,) = authenticode_later.timestamped(self._blobs(code, layout), tokens)
        return self._signed(layout, blob)

    def signatures(self, code: Source, layout: Layout) -> Iterable[EmbeddedSignature]:
        """Judge the signature; none where the file is not signed."""
        layout = self._of(layout)
        found = list(authenticode_blob.walk(self._blobs(code, layout)))
        digests = content.digests(code, authenticode_blob.algorithms_of(found), [(0, layout.end)])
        for index, one in enumerate(found):
            yield authenticode_blob.judge(one, index, self.name, self.subject, digests)

    def canonical(self, code: Source, layout: Layout, known: Prepared | None = None) -> Iterable[Problem]:
        """Say which octets of a signature no signature covers and nothing else fixes; nothing for others."""
        found = authenticode_blob.walk(self._blobs(code, self._of(layout)))
        return authenticode_blob.unbound(found, 0, "nobody is known to")

    def summarise(self, code: Source, layout: Layout) -> Summary:
        """Say how much is in it."""
        return Summary(f"{self.noun} with {self._of(layout).holds}")

    # -- the key side: never sees the file -----------------------------------------------------------------------------
    def to_be_signed(
        self, described: Described, identity: Identity, options: Options, enclosed: bytes = b""
    ) -> Sequence[ToBeSigned]:
        """Build the signed attributes; BadInput for a description that ``prepare`` would not have made."""
        self._check(described, options)
        return (authenticode.to_be_signed(self.subject, described, identity, options),)

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
        self._check(described, options)
        signature, token = fitting.one_signature(signed, tokens, f"a {self.noun}")
        return authenticode.finish(self.subject, described, identity, options, signature, token)

    def _check(self, described: Described, options: Options) -> None:
        """Refuse a description that no such file gives, and options that it cannot have."""
        fitting.require_format(described, self.name)
        if described.facts or described.size not in self.sizes:
            raise BadInput(f"No {self.noun} is described here: a signature cannot cover {described.size} octets.")
        if options.mode == "append":
            raise BadInput(self.cannot["append"])

    # -- the pieces ----------------------------------------------------------------------------------------------------
    def _of(self, layout: Layout) -> BehindLayout:
        return fitting.layout_of(layout, BehindLayout, f"a {self.noun}", self.name)

    def _blobs(self, code: Source, layout: BehindLayout) -> list[bytes]:
        """Return the signature, as a list of one or none."""
        before, behind = self.around
        start, end = layout.end + before, layout.size - behind
        return [code.pread(start, end - start)] if layout.carries_signature else []

    def _signed(self, layout: BehindLayout, blob: bytes) -> PatchPlan:
        if len(blob) > MAX_SIGNATURE:
            raise MalformedCode(f"The signature would have {len(blob)} octets; a {self.noun} takes {MAX_SIGNATURE}.")
        return PatchPlan((Copy(0, layout.end), Insert(self.enveloped(layout.end, blob))))
