"""Apps of Business Central: ``.app`` files that begin with NAVX.

A header of 40 octets says how long the content is; the signature stands behind it, between two marks. What is hashed is
header and content. Microsoft documents none of this; jsign found it out (``NAVXFile``, held against Business Central).

There is no verifier on Linux but jsign, which was not run here: the tests write its rules down again.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NoReturn

from privyseal.errors import BadInput, MalformedCode
from privyseal.formats import authenticode, authenticode_blob, authenticode_later, content
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
from privyseal.terms.signatures import (
    DIGEST_SIZES,
    Described,
    DigestAlgorithm,
    Options,
    Signature,
    TimestampToken,
    ToBeSigned,
)

NAME: Final = "navx"
MAX_CONTENT: Final = 0x7FFFFFFF - 40
"""Octets of content: the signature says by 32 bits where it begins."""
MAX_SIGNATURE: Final = 8 << 20
"""Octets of a signature, as of the certificate table of a PE file."""

_SUBJECT = authenticode.SUBJECTS["navx"]
_HEADER = struct.Struct("<4s24sQ4s")  # NAVX, its version and identifier, octets of content, NAVX
_MAGIC, _MARK = b"NAVX", b"NXSB"
_AROUND = 12
"""Octets around a signature: a mark before it; where that begins, and the mark again, behind it."""


class NavxLayout(Layout, frozen=True, kw_only=True):
    """Where things are in one app."""

    end: int
    """Where the content ends, and the signature begins if there is one."""

    @property
    def carries_signature(self) -> bool:
        """Tell whether there is a signature, good or not."""
        return self.end != self.size


class NavxApp:
    """The format ``navx``."""

    name = NAME
    title = "Business Central app (NAVX)"
    cannot: Mapping[Operation, str] = {
        "append": "A Business Central app carries one signature, as far as is known: replace it instead."
    }

    # -- the file side -------------------------------------------------------------------------------------------------
    def recognises(self, head: bytes, tail: bytes, filename: str) -> int:
        """Score 90 for the two marks in the header; the name adds 5."""
        return (90 + 5 * filename.lower().endswith(".app")) * (head[:4] == _MAGIC == head[36:40])

    def inspect(self, code: Source) -> NavxLayout:
        """Read the header and what stands around the signature; MalformedCode with one sentence where it is wrong."""
        if code.size < _HEADER.size:
            _refuse(code, f"it has {code.size} octets, and its header alone has {_HEADER.size}")
        magic, _, size, again = _HEADER.unpack(code.pread(0, _HEADER.size))
        end = _HEADER.size + size
        if magic != _MAGIC or again != _MAGIC or size > MAX_CONTENT or end > code.size:
            _refuse(code, f"its header states {size} octets of content, and {code.size - _HEADER.size} follow it")
        rest = code.size - end
        if rest and not _AROUND < rest <= MAX_SIGNATURE + _AROUND:
            _refuse(code, f"{rest} octets follow its content, which are no signature")
        if rest and (code.pread(end, 4), code.pread(code.size - 8, 8)) != (_MARK, struct.pack("<I", end) + _MARK):
            _refuse(code, f"{rest} octets follow its content that are not marked as a signature")
        return NavxLayout(format=NAME, size=code.size, end=end)

    def prepare(
        self, code: Source, layout: Layout, identity: Identity, options: Options, digest: DigestAlgorithm
    ) -> Prepared:
        """Hash header and content."""
        layout = _of_navx(layout)
        described = Described(
            format=NAME,
            filename=code.filename,
            digest_algorithm=digest,
            digest=_digests(code, layout, (digest,))[digest],
            size=layout.end,
        )
        return Prepared((described,), layout)

    def apply(self, code: Source, prepared: Prepared, options: Options, blobs: Sequence[bytes]) -> PatchPlan:
        """Plan the signed app; BadInput unless there is one blob."""
        if len(blobs) != 1:
            raise BadInput(f"A Business Central app takes one signature; {len(blobs)} came.")
        return _signed(_of_navx(prepared.layout), blobs[0])

    def remove(self, code: Source, layout: Layout) -> PatchPlan:
        """Plan the very file that was signed."""
        return PatchPlan((Copy(0, _of_navx(layout).end),))

    def timestamped(self, code: Source, layout: Layout, tokens: Mapping[int, TimestampToken]) -> PatchPlan:
        """Plan the app with a token in its signature."""
        layout = _of_navx(layout)
        (blob,) = authenticode_later.timestamped(_blobs(code, layout), tokens)
        return _signed(layout, blob)

    def signatures(self, code: Source, layout: Layout) -> Iterable[EmbeddedSignature]:
        """Judge the signature; none where the app is not signed."""
        layout = _of_navx(layout)
        found = list(authenticode_blob.walk(_blobs(code, layout)))
        named = {one.blob.digest_algorithm for one in found if one.blob is not None}
        digests = _digests(code, layout, tuple(name for name in DIGEST_SIZES if name in named))
        for index, one in enumerate(found):
            yield authenticode_blob.judge(one, index, NAME, _SUBJECT, digests)

    def canonical(self, code: Source, layout: Layout, known: Prepared | None = None) -> Iterable[Problem]:
        """Say which octets of a signature no signature covers and nothing else fixes; nothing for others."""
        for one in authenticode_blob.walk(_blobs(code, _of_navx(layout))):
            if one.blob is None:
                yield Problem("malformed-signature", one.error)
                continue
            if one.depth > 0:
                yield Problem("nesting", "A signature is nested where nobody is known to look for it.")
            yield from authenticode_blob.loose(one.blob)

    def summarise(self, code: Source, layout: Layout) -> Summary:
        """Say how large it is."""
        return Summary(f"Business Central app with {_of_navx(layout).end - _HEADER.size} octets of content")

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
                f"An app takes one signature and at most one timestamp; {len(signed)} and {len(tokens)} came."
            )
        return authenticode.finish(_SUBJECT, described, identity, options, signed[0], tokens[0] if tokens else None)


def _refuse(code: Source, why: str) -> NoReturn:
    raise MalformedCode(f"{code.filename} is no Business Central app that can be signed: {why}.")


def _of_navx(layout: Layout) -> NavxLayout:
    if not isinstance(layout, NavxLayout):
        raise BadInput(f"A layout of the format {layout.format} was given where one of {NAME} was expected.")
    return layout


def _digests(code: Source, layout: NavxLayout, algorithms: tuple[DigestAlgorithm, ...]) -> dict[str, bytes]:
    """Return what header and content hash to, by algorithm, reading them once."""
    return content.digests(code, algorithms, [(0, layout.end)])


def _blobs(code: Source, layout: NavxLayout) -> list[bytes]:
    """Return the signature, as a list of one or none."""
    rest = layout.size - layout.end
    return [code.pread(layout.end + 4, rest - _AROUND)] if rest else []


def _signed(layout: NavxLayout, blob: bytes) -> PatchPlan:
    if len(blob) > MAX_SIGNATURE:
        raise MalformedCode(f"The signature would have {len(blob)} octets; an app takes {MAX_SIGNATURE}.")
    return PatchPlan((Copy(0, layout.end), Insert(_MARK + blob + struct.pack("<I", layout.end) + _MARK)))


def _check(described: Described, options: Options) -> None:
    """Refuse a description that no app gives, and options that it cannot have."""
    if described.format != NAME:
        raise BadInput(f"This description is of the format {described.format}; {NAME} was expected.")
    if described.facts or not _HEADER.size <= described.size <= MAX_CONTENT + _HEADER.size:
        raise BadInput(f"No Business Central app is described here: a signature cannot cover {described.size} octets.")
    if options.mode == "append":
        raise BadInput(NavxApp.cannot["append"])
