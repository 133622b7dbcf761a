"""Signed scripts: what PowerShell's formats and those of Windows Script Host have in common.

A script is told by the ending of its name, for so Windows tells it: the same text is hashed as one language and as
another by different rules, and a block in the comments of another language is no signature to Windows. Only where the
name says nothing does the block tell.

The signature covers the text, so text that is stored in another encoding afterwards still fits it; octets that are no
text, and text behind the block, are refused (``textblock.py``). Further signatures are nested in the first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from privyseal.errors import BadInput, MalformedCode
from privyseal.formats import authenticode, authenticode_blob, authenticode_later, content, fitting, textblock
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
from privyseal.formats.textblock import Dialect, TextLayout
from privyseal.terms.signatures import (
    Described,
    DigestAlgorithm,
    Options,
    Signature,
    TimestampToken,
    ToBeSigned,
)

_TELLS = ("utf-8", "utf-16-le", "utf-16-be")
"""Encodings in which the end of a block is looked for."""
_WORDS = {
    "ascii": "in ASCII",
    "utf-8": "in UTF-8 without a byte order mark",
    "utf-8-bom": "in UTF-8",
    "utf-16-le": "in UTF-16",
    "utf-16-be": "in UTF-16, big endian",
    "windows-1252": "in a code page of Windows, taken for 1252",
}


class ScriptFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a description of a script says beside digest and size."""

    encoding: str


class Widened(msgspec.Struct, frozen=True):
    """Makes sinks of UTF-16LE take text of another encoding (``content.Through``)."""

    encoding: str

    def __call__(self, sinks: tuple[content.Sink, ...], /) -> content.Sink:
        """Return the sink that converts."""
        return textblock.Utf16(self.encoding, sinks)


class Script:
    """One format of scripts."""

    cannot: Mapping[Operation, str] = {}

    # Each argument is one thing in which the languages differ.
    def __init__(
        self,
        name: str,
        title: str,
        subject: authenticode.Subject,
        dialect: Dialect,
        endings: tuple[str, ...],
        *,
        hashes_place: bool = False,
    ) -> None:
        """Sign scripts whose names have one of ``endings``.

        ``hashes_place``: the byte order mark is not hashed, and where the block stands is, behind the text.
        """
        self.name, self.title = name, title
        self._subject, self._dialect, self._endings = subject, dialect, endings
        self._hashes_place = hashes_place
        self._tells = tuple(f"\n{dialect.end}".encode(encoding) for encoding in _TELLS)
        self._opens = tuple(f"\n{dialect.open}".encode(encoding) for encoding in _TELLS)

    # -- the file side -------------------------------------------------------------------------------------------------
    def recognises(self, head: bytes, tail: bytes, filename: str) -> int:
        """Score 85 for text of such a name, 80 for text that ends in such a block, whatever its name."""
        wide = head[:2] in textblock.MARKS
        if not head or (not wide and (b"\0" in head or b"\0" in tail)):
            return 0
        if filename.lower().endswith(self._endings):
            return 85
        return 80 * any(end in tail and line in tail for end, line in zip(self._tells, self._opens, strict=True))

    def inspect(self, code: Source) -> TextLayout:
        """Find encoding and block; MalformedCode with one sentence that names what is wrong."""
        return textblock.read_layout(code, self.name, self._dialect)

    def prepare(
        self, code: Source, layout: Layout, identity: Identity, options: Options, digest: DigestAlgorithm
    ) -> Prepared:
        """Hash the text."""
        layout = _of_text(layout)
        described = Described(
            format=self.name,
            filename=code.filename,
            digest_algorithm=digest,
            digest=self._digests(code, layout, (digest,))[digest],
            size=layout.covered,
            facts={"encoding": layout.encoding},
        )
        return Prepared((described,), layout)

    def apply(self, code: Source, prepared: Prepared, options: Options, blobs: Sequence[bytes]) -> PatchPlan:
        """Plan the signed script; MalformedCode where a signature is to be added to one that cannot take it."""
        layout = _of_text(prepared.layout)
        if len(blobs) != 1:
            raise BadInput(f"A script takes one signature; {len(blobs)} came.")
        blob = blobs[0]
        if options.mode == "append" and layout.block:
            blob = authenticode_later.nest(self._first(code, layout), blob)
        return self._with_block(code, layout, blob)

    def remove(self, code: Source, layout: Layout) -> PatchPlan:
        """Plan the script without its block: the octets that were there before it was signed."""
        return _with(code, _of_text(layout), b"")

    def timestamped(self, code: Source, layout: Layout, tokens: Mapping[int, TimestampToken]) -> PatchPlan:
        """Plan the script with a token in each signature named; the others keep their octets."""
        layout = _of_text(layout)
        blobs = [self._first(code, layout)] if layout.block else []
        (blob,) = authenticode_later.timestamped(blobs, tokens)
        return self._with_block(code, layout, blob)

    def signatures(self, code: Source, layout: Layout) -> Iterable[EmbeddedSignature]:
        """Judge every signature, nested ones behind the one that holds them; none where there is no block."""
        layout = _of_text(layout)
        found = list(self._found(code, layout))
        digests = self._digests(code, layout, authenticode_blob.algorithms_of(found))
        for index, one in enumerate(found):
            yield authenticode_blob.judge(one, index, self.name, self._subject, digests)

    def canonical(self, code: Source, layout: Layout, known: Prepared | None = None) -> Iterable[Problem]:
        """Say which octets of a signed script no signature covers and nothing else fixes; nothing for others."""
        layout = _of_text(layout)
        if not layout.block:
            return
        for one in self._found(code, layout):
            if one.blob is None:
                yield Problem("malformed-signature", one.error)
                continue
            if one.depth == 0 and (why := self._loose_block(code, layout, one.octets)):
                yield Problem("signature-block", why)
            if one.depth > 1:
                yield Problem("nesting", "A signature is nested where Windows does not look for it.")
            yield from authenticode_blob.loose(one.blob)

    def summarise(self, code: Source, layout: Layout) -> Summary:
        """Name the encoding."""
        return Summary(f"text {_WORDS[_of_text(layout).encoding]}")

    # -- the key side: never sees the file -----------------------------------------------------------------------------
    def to_be_signed(
        self, described: Described, identity: Identity, options: Options, enclosed: bytes = b""
    ) -> Sequence[ToBeSigned]:
        """Build the signed attributes; BadInput for a description that ``prepare`` would not have made."""
        self._check(described)
        return (authenticode.to_be_signed(self._subject, described, identity, options),)

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
        self._check(described)
        signature, token = fitting.one_signature(signed, tokens, "a script")
        return authenticode.finish(self._subject, described, identity, options, signature, token)

    def _check(self, described: Described) -> None:
        """Refuse a description that no script of this format gives."""
        facts = fitting.facts_of(described, self.name, ScriptFacts, "a script")
        guesses = self._dialect.guess != "never"
        if facts.encoding not in textblock.ENCODINGS or (facts.encoding == "utf-8" and not guesses):
            raise BadInput(f"No {self.title} is described here: none is in {facts.encoding[:40]!r}.")
        if not 1 <= described.size <= textblock.MAX_TEXT:
            raise BadInput(f"No script is described here: a signature cannot cover {described.size} octets of one.")

    # -- the pieces ----------------------------------------------------------------------------------------------------
    def _digests(self, code: Source, layout: TextLayout, algorithms: tuple[DigestAlgorithm, ...]) -> dict[str, bytes]:
        """Return what the text hashes to, by algorithm, reading it once."""
        if not self._hashes_place:
            mark: list[content.Part] = ["\ufeff".encode("utf-16-le")] if layout.bom else []
            text_at = ((layout.bom, layout.at), (layout.at + layout.block, code.size))
            parts = [*mark, *((start, end) for start, end in text_at if start < end)]
            return content.digests(code, algorithms, parts, through=Widened(layout.encoding))
        hashes = {name: hashlib.new(name) for name in algorithms}
        text = textblock.Utf16(layout.encoding, tuple(each.update for each in hashes.values()))
        if hashes:
            content.feed(code, layout.bom, layout.at, [text])
            place = text.units.to_bytes(4, "little")
            content.feed(code, layout.at + layout.block, code.size, [text])
            for each in hashes.values():
                each.update(place)
        return {name: each.digest() for name, each in hashes.items()}

    def _found(self, code: Source, layout: TextLayout) -> Iterator[authenticode_blob.Found]:
        if not layout.block:
            return
        try:
            blob = textblock.blob_of(code, layout, self._dialect)
        except BadInput as error:
            yield authenticode_blob.Found(b"", 0, None, error.detail)
            return
        yield from authenticode_blob.walk([blob])

    def _first(self, code: Source, layout: TextLayout) -> bytes:
        try:
            return textblock.blob_of(code, layout, self._dialect)
        except BadInput as error:
            raise MalformedCode(
                f"The signature that {code.filename} carries cannot be added to: {error.detail}",
                hint="replace it instead",
            ) from None

    def _with_block(self, code: Source, layout: TextLayout, blob: bytes) -> PatchPlan:
        if len(blob) > textblock.MAX_BLOB:
            raise MalformedCode(
                f"{code.filename} would have a signature of {len(blob)} octets; it may have {textblock.MAX_BLOB}."
            )
        return _with(code, layout, textblock.encode(self._dialect.forms(blob)[0], layout.encoding))

    def _loose_block(self, code: Source, layout: TextLayout, blob: bytes) -> str:
        """Say why a block is not as it would be written, or nothing."""
        there = textblock.octets_of_block(code, layout)
        forms = self._dialect.forms(blob)
        if there in [textblock.encode(form, layout.encoding) for form in forms]:
            return ""
        if there in [textblock.encode(form.replace("\r\n", "\n"), layout.encoding) for form in forms]:
            return "The lines of the signature block end in LF; Windows looks for CRLF and so sees no signature."
        return "The signature block is not written as signing tools write it, so octets of it are loose."


def _of_text(layout: Layout) -> TextLayout:
    return fitting.layout_of(layout, TextLayout, "a script")


def _with(code: Source, layout: TextLayout, block: bytes) -> PatchPlan:
    """Plan the script with this block in place of the one that is there, if any."""
    after = layout.at + layout.block
    steps = (Copy(0, layout.at), Insert(block), Copy(after, code.size - after))
    return PatchPlan(tuple(step for step in steps if (step.count if isinstance(step, Copy) else step.octets)))
