"""Silverlight applications: ``.xap``, of browsers and of the first phones with Windows.

A XAP is a ZIP archive; the signature stands behind it, between a header and a trailer that each say how long it is.
What is hashed is the archive, octet for octet. Microsoft documents none of this; relic found it out (``lib/signxap``).

There is no verifier on Linux but relic, which was not run here: the tests write its rules down again.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NoReturn

from privyseal.errors import BadInput, MalformedCode
from privyseal.formats import authenticode, authenticode_blob, authenticode_later, content, zipdir
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
from privyseal.formats.zipdir import Archive
from privyseal.terms.signatures import (
    DIGEST_SIZES,
    Described,
    DigestAlgorithm,
    Options,
    Signature,
    TimestampToken,
    ToBeSigned,
)

NAME: Final = "xap"
MANIFEST: Final = b"AppManifest.xaml"
MAX_SIGNATURE: Final = 8 << 20
"""Octets of a signature, as of the certificate table of a PE file."""

_SUBJECT = authenticode.SUBJECTS[NAME]
_HEADER = struct.Struct("<HHI")  # 1, 1, octets of the signature
_TRAILER = struct.Struct("<4sHI")  # XapS, 1, octets of header and signature
_MAGIC = b"XapS"
_MANIFESTS = (MANIFEST, b"WMAppManifest.xml")
"""Of Silverlight, and of Windows Phone besides."""


class XapLayout(Layout, frozen=True, kw_only=True):
    """Where things are in one application."""

    archive: Archive
    end: int
    """Where the archive ends, and the signature's header begins if there is one."""

    @property
    def carries_signature(self) -> bool:
        """Tell whether there is a signature, good or not."""
        return self.size > self.end


class SilverlightApplication:
    """The format ``xap``."""

    name = NAME
    title = "Silverlight application (XAP)"
    cannot: Mapping[Operation, str] = {
        "append": "A Silverlight application carries one signature, as far as is known: replace it instead."
    }

    # -- the file side -------------------------------------------------------------------------------------------------
    def recognises(self, head: bytes, tail: bytes, filename: str) -> int:
        """Score 85 for an archive with the trailer, or with a manifest of its own; the name adds 5."""
        if not head.startswith(zipdir.LOCAL):
            return 0
        named = filename.lower().endswith(".xap")
        marked = tail[-_TRAILER.size :].startswith(_MAGIC) or any(one in head or one in tail for one in _MANIFESTS)
        return 85 + 5 * named if marked else 20 * named

    def inspect(self, code: Source) -> XapLayout:
        """Read what stands around the signature, and the archive; MalformedCode with one sentence where it is wrong."""
        end = _end(code)
        archive = zipdir.read(code, 0, end)
        if not any(entry.name in _MANIFESTS for entry in archive.entries):
            _refuse(code, f"it has no {MANIFEST.decode()}")
        return XapLayout(format=NAME, size=code.size, archive=archive, end=end)

    def prepare(
        self, code: Source, layout: Layout, identity: Identity, options: Options, digest: DigestAlgorithm
    ) -> Prepared:
        """Hash the archive."""
        layout = _of_xap(layout)
        described = Described(
            format=NAME,
            filename=code.filename,
            digest_algorithm=digest,
            digest=_digests(code, layout, (digest,))[digest],
            size=layout.end,
        )
        return Prepared((described,), layout)

    def apply(self, code: Source, prepared: Prepared, options: Options, blobs: Sequence[bytes]) -> PatchPlan:
        """Plan the signed application; BadInput unless there is one blob."""
        if len(blobs) != 1:
            raise BadInput(f"A Silverlight application takes one signature; {len(blobs)} came.")
        return _signed(_of_xap(prepared.layout), blobs[0])

    def remove(self, code: Source, layout: Layout) -> PatchPlan:
        """Plan the very file that was signed."""
        return PatchPlan((Copy(0, _of_xap(layout).end),))

    def timestamped(self, code: Source, layout: Layout, tokens: Mapping[int, TimestampToken]) -> PatchPlan:
        """Plan the application with a token in its signature."""
        layout = _of_xap(layout)
        (blob,) = authenticode_later.timestamped(_blobs(code, layout), tokens)
        return _signed(layout, blob)

    def signatures(self, code: Source, layout: Layout) -> Iterable[EmbeddedSignature]:
        """Judge the signature; none where the application is not signed."""
        layout = _of_xap(layout)
        found = list(authenticode_blob.walk(_blobs(code, layout)))
        named = {one.blob.digest_algorithm for one in found if one.blob is not None}
        digests = _digests(code, layout, tuple(name for name in DIGEST_SIZES if name in named))
        for index, one in enumerate(found):
            yield authenticode_blob.judge(one, index, NAME, _SUBJECT, digests)

    def canonical(self, code: Source, layout: Layout, known: Prepared | None = None) -> Iterable[Problem]:
        """Say which octets of a signature no signature covers and nothing else fixes; nothing for others."""
        for one in authenticode_blob.walk(_blobs(code, _of_xap(layout))):
            if one.blob is None:
                yield Problem("malformed-signature", one.error)
                continue
            if one.depth > 0:
                yield Problem("nesting", "A signature is nested where nobody is known to look for it.")
            yield from authenticode_blob.loose(one.blob)

    def summarise(self, code: Source, layout: Layout) -> Summary:
        """Say how much is in it."""
        return Summary(f"Silverlight application with {len(_of_xap(layout).archive.entries)} entries")

    # -- the key side: never sees the file -----------------------------------------------------------------------------
    def to_be_signed(
        self, described: Described, identity: Identity, options: Options, enclosed: bytes = b""
    ) -> Sequence[ToBeSigned]:
        """Build the signed attributes; BadInput for a description that ``prepare`` would not have made."""
        _check(described, options)
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
        _check(described, options)
        if len(signed) != 1 or len(tokens) > 1:
            raise BadInput(
                f"An application takes one signature and at most one timestamp; {len(signed)} and {len(tokens)} came."
            )
        return authenticode.finish(_SUBJECT, described, identity, options, signed[0], tokens[0] if tokens else None)


def _refuse(code: Source, why: str) -> NoReturn:
    raise MalformedCode(f"{code.filename} is no Silverlight application that can be signed: {why}.")


def _of_xap(layout: Layout) -> XapLayout:
    if not isinstance(layout, XapLayout):
        raise BadInput(f"A layout of the format {layout.format} was given where one of {NAME} was expected.")
    return layout


def _end(code: Source) -> int:
    """Return where the archive ends; what follows it has to be a signature, whole, or nothing."""
    least = _HEADER.size + _TRAILER.size
    if code.size < least:
        return code.size
    magic, one, size = _TRAILER.unpack(code.pread(code.size - _TRAILER.size, _TRAILER.size))
    if magic != _MAGIC:
        return code.size
    end = code.size - _TRAILER.size - int(size)
    if one != 1 or not _HEADER.size < size <= MAX_SIGNATURE + _HEADER.size or end < 0:
        _refuse(code, f"its trailer states a signature of {size} octets, which no application has")
    if _HEADER.unpack(code.pread(end, _HEADER.size)) != (1, 1, size - _HEADER.size):
        _refuse(code, "its trailer and the header before its signature contradict each other")
    return end


def _digests(code: Source, layout: XapLayout, algorithms: tuple[DigestAlgorithm, ...]) -> dict[str, bytes]:
    """Return what the archive hashes to, by algorithm, reading it once."""
    return content.digests(code, algorithms, [(0, layout.end)])


def _blobs(code: Source, layout: XapLayout) -> list[bytes]:
    """Return the signature, as a list of one or none."""
    start, end = layout.end + _HEADER.size, layout.size - _TRAILER.size
    return [code.pread(start, end - start)] if layout.carries_signature else []


def _signed(layout: XapLayout, blob: bytes) -> PatchPlan:
    if len(blob) > MAX_SIGNATURE:
        raise MalformedCode(f"The signature would have {len(blob)} octets; an application takes {MAX_SIGNATURE}.")
    header = _HEADER.pack(1, 1, len(blob))
    trailer = _TRAILER.pack(_MAGIC, 1, _HEADER.size + len(blob))
    return PatchPlan((Copy(0, layout.end), Insert(header + blob + trailer)))


def _check(described: Described, options: Options) -> None:
    """Refuse a description that no application gives, and options that it cannot have."""
    if described.format != NAME:
        raise BadInput(f"This description is of the format {described.format}; {NAME} was expected.")
    if described.facts or described.size <= zipdir.LAST.size:
        raise BadInput(f"No application is described here: a signature cannot cover {described.size} octets.")
    if options.mode == "append":
        raise BadInput(SilverlightApplication.cannot["append"])
