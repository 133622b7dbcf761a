"""Windows Installer: msi, msp, msm, mst.

What is hashed stands in ``msi_layout``; the blob is the stream ``\\5DigitalSignature`` of the root. Further signatures
are nested in the first, as in programs.

The plain signature covers neither the names of streams nor where one ends and the next begins, so a stream can be
renamed under it. The *extended* one covers a digest of the metadata besides, in a stream of its own
(``\\5MsiDigitalSignatureEx``); signtool writes it, and so do we unless it is not wished. Windows only hashes what
that stream holds and never looks whether it fits the metadata (found by jsign's author, osslsigncode issue 262), so we
do. A signature that is added follows the first one: were there an extended signature now and not before, or another,
the first would be over something else. That a signature is extended stands in itself as well, as the version 2 that
signtool writes: were the stream renamed, its digest would still come first, and an extended signature pass for a plain
one.

Between streams there is room that no signature covers (``cfb_tidy``). Signing makes it zero, and in a file that carries
a signature of this house, told by its signing-certificate-v2, everything there is a problem. In files that others
signed it is none, for Windows leaves there what was in its memory. The five things that ``cfb_tidy`` leaves out are
bound by nothing, and no reader heeds them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from privyseal.errors import BadInput, MalformedCode
from privyseal.formats import (
    authenticode,
    authenticode_blob,
    authenticode_later,
    cfb,
    cfb_changes,
    cfb_tidy,
    content,
    fitting,
    msi_layout,
)
from privyseal.formats.cfb_directory import STREAM
from privyseal.formats.msi_layout import EXTENDED, SIGNATURE, MsiLayout
from privyseal.formats.protocol import (
    Copy,
    EmbeddedSignature,
    Identity,
    Layout,
    Operation,
    PatchPlan,
    Prepared,
    Problem,
    Source,
    Summary,
)
from privyseal.terms.signatures import (
    DIGEST_SIZES,
    Described,
    DigestAlgorithm,
    Options,
    Signature,
    TimestampToken,
    ToBeSigned,
)

_PLAIN, _EXTENDED = authenticode.SUBJECTS["msi"], authenticode.SUBJECTS["msi-extended"]
_EXTENSIONS = (".msi", ".msp", ".msm", ".mst")
_SHOWN = 64
"""Streams that a summary names, the largest first."""
_BY_SIZE = {20: "sha1", **{size: name for name, size in DIGEST_SIZES.items()}}
"""Algorithm of an extended signature, by its size; SHA-1 only to be told from a wrong one."""


class MsiFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a description of an installer says beside digest and size."""

    kind: Literal["installer", "patch", "transform"]
    extended: bool


class WindowsInstaller:
    """The format ``msi``."""

    name = msi_layout.NAME
    title = "Windows Installer package (MSI)"
    cannot: Mapping[Operation, str] = {}

    # -- the file side -------------------------------------------------------------------------------------------------
    def recognises(self, head: bytes, tail: bytes, filename: str) -> int:
        """Score 90 for a root of Windows Installer, 50 for a compound file whose root is beyond ``head``, else 5."""
        if head[:8] != cfb.MAGIC:
            return 0
        root = int.from_bytes(head[48:52], "little") + 1 << (12 if head[26:27] == b"\4" else 9)
        if root + 96 > len(head):
            score = 50
        else:
            score = 90 if head[root + 80 : root + 96] in msi_layout.KINDS else 5
        return score + 5 * filename.lower().endswith(_EXTENSIONS)

    def inspect(self, code: Source) -> MsiLayout:
        """Read the structure; MalformedCode with one sentence that names what is wrong."""
        return msi_layout.read_layout(code)

    def prepare(
        self, code: Source, layout: Layout, identity: Identity, options: Options, digest: DigestAlgorithm
    ) -> Prepared:
        """Hash metadata and content; BadInput where a signature is to be added that cannot stand beside the first."""
        layout = _of_msi(layout)
        metadata = _to_be_extended(layout, options, digest)
        hashed = content.digests(code, (digest,), msi_layout.covered(layout, metadata))
        described = Described(
            format=self.name,
            filename=code.filename,
            digest_algorithm=digest,
            digest=hashed[digest],
            size=layout.covered,
            facts={"kind": layout.kind, "extended": metadata is not None},
        )
        return Prepared((described,), msgspec.structs.replace(layout, metadata=metadata))

    def apply(self, code: Source, prepared: Prepared, options: Options, blobs: Sequence[bytes]) -> PatchPlan:
        """Plan the signed file: its structure changed in place, the streams of the signature behind its end.

        MalformedCode where a signature is to be added to one that cannot be read, or the outcome would be too large.
        """
        layout = _of_msi(prepared.layout)
        if len(blobs) != 1:
            raise BadInput(f"A Windows Installer file takes one signature; {len(blobs)} came.")
        blob = blobs[0]
        if options.mode == "append" and layout.signature is not None:
            blob = authenticode_later.nest(_blob(code, layout), blob)
        return _with_signature(code, layout, blob, layout.metadata)

    def remove(self, code: Source, layout: Layout) -> PatchPlan:
        """Plan the file without both streams of the signature.

        What was signed here comes back octet for octet, but for the room between streams that held leftovers. A
        signature that another tool put in the midst leaves zeros there.
        """
        layout = _of_msi(layout)
        if layout.signature is None and layout.extended is None:
            return PatchPlan((Copy(0, code.size),))
        return _with_signature(code, layout, None, None)

    def timestamped(self, code: Source, layout: Layout, tokens: Mapping[int, TimestampToken]) -> PatchPlan:
        """Plan the file with a token in each signature named; what is signed keeps its octets."""
        layout = _of_msi(layout)
        there = [_blob(code, layout)] if layout.signature is not None else []
        (blob,) = authenticode_later.timestamped(there, tokens)
        return _with_signature(code, layout, blob, layout.extended)

    def signatures(self, code: Source, layout: Layout) -> Iterable[EmbeddedSignature]:
        """Judge every signature, nested ones behind the one that holds them; none where the file is not signed."""
        layout = _of_msi(layout)
        found = list(_found(code, layout))
        algorithms = authenticode_blob.algorithms_of(found)
        digests = content.digests(code, algorithms, msi_layout.covered(layout, layout.extended)) if algorithms else {}
        for index, one in enumerate(found):
            judged = authenticode_blob.judge(one, index, self.name, _PLAIN, digests)
            if layout.extended is None and one.blob is not None and one.blob.subject == _EXTENDED:
                text = "The signature is an extended one, and the stream with the digest of the metadata is not there."
                problems = (*judged.problems, Problem("extended-signature", text))
                judged = msgspec.structs.replace(judged, problems=problems)
            yield judged

    def canonical(self, code: Source, layout: Layout, known: Prepared | None = None) -> Iterable[Problem]:
        """Say whether the extended signature fits, and what else no signature covers and nothing else fixes."""
        layout = _of_msi(layout)
        if layout.signature is None and layout.extended is None:
            return
        yield from _extended_problems(layout)
        yield from _stream_problems(layout)
        strict = False
        for one in _found(code, layout):
            if one.blob is None:
                yield Problem("malformed-signature", one.error)
                continue
            strict = strict or one.blob.bound is not None
            if one.depth > 1:
                yield Problem("nesting", "A signature is nested where Windows does not look for it.")
            yield from authenticode_blob.loose(one.blob)
        if strict:
            for text in cfb_tidy.untidy(code, layout.compound):
                yield Problem("loose-octets", text)

    def summarise(self, code: Source, layout: Layout) -> Summary:
        """Name what kind of file it is and its largest streams."""
        layout = _of_msi(layout)
        streams = [one for one in layout.compound.entries.values() if one.kind == STREAM]
        largest = sorted(streams, key=lambda one: (-one.size, one.name))[:_SHOWN]
        extended = "" if layout.signature is None else f", {'extended' if layout.extended else 'plain'} signature"
        return Summary(
            f"{layout.kind}, {len(streams)} streams in sectors of {layout.compound.header.sector}{extended}",
            tuple((msi_layout.readable(one.name), one.size) for one in largest),
        )

    # -- the key side: never sees the file -----------------------------------------------------------------------------
    def to_be_signed(
        self, described: Described, identity: Identity, options: Options, enclosed: bytes = b""
    ) -> Sequence[ToBeSigned]:
        """Build the signed attributes; BadInput for a description that ``prepare`` would not have made."""
        subject = _subject(described)
        return (authenticode.to_be_signed(subject, described, identity, options),)

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
        subject = _subject(described)
        signature, token = fitting.one_signature(signed, tokens, "a Windows Installer file")
        return authenticode.finish(subject, described, identity, options, signature, token)


def _of_msi(layout: Layout) -> MsiLayout:
    return fitting.layout_of(layout, MsiLayout, "Windows Installer")


def _to_be_extended(layout: MsiLayout, options: Options, digest: DigestAlgorithm) -> bytes | None:
    """Return the digest of the metadata that goes before the content; None for a plain signature."""
    if options.mode != "append" or layout.signature is None:
        return msi_layout.metadata_digest(layout, digest) if options.extended else None
    if layout.extended is None:
        return None
    if len(layout.extended) != DIGEST_SIZES[digest]:
        raise BadInput(
            f"The file's extended signature is by {_BY_SIZE.get(len(layout.extended), 'an unknown algorithm')}, and a "
            f"second signature must be by the same; {digest} was asked for.",
            hint="name its digest algorithm, or replace the signature",
        )
    if layout.extended != msi_layout.metadata_digest(layout, digest):
        raise MalformedCode(
            "The file's extended signature does not fit its streams, so none is added to it.",
            hint="replace the signature",
        )
    return layout.extended


def _with_signature(code: Source, layout: MsiLayout, blob: bytes | None, extended: bytes | None) -> PatchPlan:
    """Plan the file with these two streams; both are written anew, so that removing them leaves no hole."""
    return cfb_changes.change(code, layout.compound, {EXTENDED: extended, SIGNATURE: blob})


def _blob(code: Source, layout: MsiLayout) -> bytes:
    if layout.signature is None:
        return b""
    return cfb.stream(code, layout.compound, layout.signature, msi_layout.MAX_SIGNATURE)


def _found(code: Source, layout: MsiLayout) -> Iterator[authenticode_blob.Found]:
    return authenticode_blob.walk([_blob(code, layout)] if layout.signature is not None else [])


def _extended_problems(layout: MsiLayout) -> Iterator[Problem]:
    if layout.extended is None:
        return
    algorithm = _BY_SIZE.get(len(layout.extended))
    if algorithm is None:
        yield Problem("extended-signature", f"The extended signature has {len(layout.extended)} octets, as no digest.")
    elif layout.extended != msi_layout.metadata_digest(layout, algorithm):
        yield Problem(
            "extended-signature",
            "A name, size, time or other property of a stream has changed since the extended signature was made.",
        )
    if layout.signature is None:
        yield Problem("extended-signature", "There is an extended signature without the signature that covers it.")


def _stream_problems(layout: MsiLayout) -> Iterator[Problem]:
    """Say what of the signature's own streams is not as it is written: nothing covers their entries."""
    for name in (SIGNATURE, EXTENDED):
        one = layout.compound.named(name)
        if one is not None and (any(one.state) or any(one.times)):
            yield Problem("signature-stream", f"The stream {one.text} has flags or times, which no signature covers.")


def _subject(described: Described) -> authenticode.Subject:
    """Return what the signature is about; BadInput for a description that no Windows Installer file gives."""
    facts = fitting.facts_of(described, msi_layout.NAME, MsiFacts, "a Windows Installer file")
    if not 16 <= described.size <= cfb.MAX_SECTORS << 12:
        raise BadInput(f"No Windows Installer file is described here: it cannot have {described.size} octets.")
    return _EXTENDED if facts.extended else _PLAIN
