"""Remote Desktop's connection files: ``.rdp``, signed over the settings that decide where and as what one connects.

The signature stands in two lines, ``signscope`` and ``signature``, over the text of :mod:`rdp_settings`. That text
is short, so the whole of it is in the description: who approves sees the very lines that are signed.

``rdpsign.exe`` adds an *alternate full address* where there is none, for otherwise whoever passes the file on could add
one, and Windows would connect there. So does this, in capitals, so that ``remove`` knows it for its own.

There is no verifier outside Windows: the tests rebuild the text by the rules written down again, and openssl judges the
PKCS#7 message over it. Microsoft's own sample, in [MS-RDWR] 4.2, is signed over the text that is signed here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from privyseal.errors import BadInput, MalformedCode
from privyseal.formats import fitting, rdp_blob, rdp_settings
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
from privyseal.formats.rdp_settings import RdpLayout
from privyseal.pki import cms
from privyseal.terms.signatures import Described, DigestAlgorithm, Options, Signature, TimestampToken, ToBeSigned

NAME: Final = "rdp"
"""The format's name in requests."""

_FIRST = re.compile(rb"\s*[!-9;-~][ -9;-~]*:[sib]:")


class RdpFile:
    """The format ``rdp``."""

    name = NAME
    title = "Remote Desktop connection (RDP)"
    cannot: Mapping[Operation, str] = {
        "append": "An RDP file carries one signature, and Windows looks for no other: replace it instead."
    }

    # -- the file side -------------------------------------------------------------------------------------------------
    def recognises(self, head: bytes, tail: bytes, filename: str) -> int:
        """Score 80 for text that begins with a setting and has an address; the name stands for the address."""
        if head.startswith(b"\xff\xfe"):
            head, tail = head[2::2], tail.replace(b"\0", b"")
        if _FIRST.match(head.removeprefix(b"\xef\xbb\xbf")) is None:
            return 0
        named = filename.lower().endswith(".rdp")
        return 90 * named or 80 * (b"full address:s:" in head.lower() or b"full address:s:" in tail.lower())

    def inspect(self, code: Source) -> RdpLayout:
        """Cut it into lines; MalformedCode with one sentence that names what is wrong."""
        return rdp_settings.read(code, NAME)

    def prepare(
        self, code: Source, layout: Layout, identity: Identity, options: Options, digest: DigestAlgorithm
    ) -> Prepared:
        """Collect the settings that are signed."""
        layout = _of_rdp(layout)
        lines = rdp_settings.to_sign(code, layout)
        text = rdp_settings.text(lines)
        described = Described(
            format=NAME,
            filename=code.filename,
            digest_algorithm=digest,
            digest=hashlib.new(digest, text).digest(),
            size=len(text),
            facts=dict(lines),
        )
        return Prepared((described,), layout)

    def apply(self, code: Source, prepared: Prepared, options: Options, blobs: Sequence[bytes]) -> PatchPlan:
        """Plan the signed file; BadInput unless there is one blob."""
        layout = _of_rdp(prepared.layout)
        if len(blobs) != 1:
            raise BadInput(f"An RDP file takes one signature; {len(blobs)} came.")
        lines = rdp_settings.to_sign(code, layout)
        ours = {line.start for line in layout.made}
        address = next(
            (one for one in layout.lines if one.name == "alternate full address" and one.start not in ours), None
        )
        added = [] if address is not None else [lines[rdp_settings.ALTERNATE]]
        added.append(rdp_settings.scope_line([name for name in rdp_settings.SIGNED if name in lines]))
        return _with(layout, code, [*added, _signature_line(blobs[0])])

    def remove(self, code: Source, layout: Layout) -> PatchPlan:
        """Plan the file without the lines that signing added: the octets that were there before."""
        layout = _of_rdp(layout)
        return _with(layout, code, []) if layout.made else PatchPlan((Copy(0, code.size),))

    def timestamped(self, code: Source, layout: Layout, tokens: Mapping[int, TimestampToken]) -> PatchPlan:
        """Plan the file with a token in its signature; every other line stays."""
        layout = _of_rdp(layout)
        line = layout.find(rdp_settings.SIGNATURE)
        if line is None or set(tokens) - {0}:
            missing = min(set(tokens) - {0}, default=0)
            raise BadInput(f"The file carries {int(line is not None)} signatures; there is no number {missing}.")
        if 0 not in tokens:
            return PatchPlan((Copy(0, code.size),))
        try:
            blob = rdp_blob.timestamped(rdp_blob.of_line(line.value), tokens[0])
        except BadInput as error:
            raise MalformedCode(f"Signature 0 cannot take a timestamp: {error.detail}") from None
        name = line.text[: len(rdp_settings.SIGNATURE)]
        text = _encoded(name + _signature_line(blob)[len(name) :], layout)
        end = line.start + len(_encoded(line.text, layout))
        return PatchPlan((Copy(0, line.start), Insert(text), Copy(end, code.size - end)))

    def signatures(self, code: Source, layout: Layout) -> Iterable[EmbeddedSignature]:
        """Judge the signature; none where the file is not signed."""
        layout = _of_rdp(layout)
        line = layout.find(rdp_settings.SIGNATURE)
        if line is None:
            return
        octets = b""
        try:
            octets = rdp_blob.of_line(line.value)
            blob, text = rdp_blob.read(octets), rdp_settings.signed_text(layout)
        except BadInput as error:
            yield EmbeddedSignature(
                format=NAME, blob=octets, index=0, nested=False, digest_algorithm="", digest=b"", signature_value=b"",
                signer=None, certificates=(), timestamp=None,
                problems=(Problem("malformed-signature", error.detail),),
            )  # fmt: skip
            return
        yield EmbeddedSignature(
            format=NAME,
            blob=octets,
            index=0,
            nested=False,
            digest_algorithm=blob.signer.digest_algorithm,
            digest=rdp_blob.digest_of(blob, text),
            signature_value=blob.signer.signature,
            signer=cms.signer_certificate(blob.signed, blob.signer),
            certificates=blob.signed.certificates,
            timestamp=blob.timestamps[0] if blob.timestamps else None,
            problems=tuple(rdp_blob.problems(blob, text)),
        )

    def canonical(self, code: Source, layout: Layout, known: Prepared | None = None) -> Iterable[Problem]:
        """Say which settings and octets ought to be covered and are not; nothing of files that are not signed."""
        layout = _of_rdp(layout)
        line = layout.find(rdp_settings.SIGNATURE)
        if line is None:
            if layout.find(rdp_settings.SCOPE) is not None:
                yield Problem("scope", "The file says what is signed in it, and has no signature.")
            return
        for name in rdp_settings.uncovered(layout):
            yield Problem("unsigned-setting", f"The signature does not cover the setting {name!r}.")
        if layout.find(rdp_settings.ALTERNATE) is None:
            text = "The file has no alternate full address, so one could be added that no signature covers."
            yield Problem("unsigned-setting", text)
        try:
            octets = rdp_blob.of_line(line.value)
            if not rdp_blob.as_written(layout, octets):
                yield Problem("signature-line", "The line of the signature is not as it would be written.")
            yield from rdp_blob.loose(rdp_blob.read(octets))
        except BadInput as error:
            yield Problem("malformed-signature", error.detail)

    def summarise(self, code: Source, layout: Layout) -> Summary:
        """Say where it connects to."""
        layout = _of_rdp(layout)
        full = layout.find(rdp_settings.FULL)
        words = {"ascii": "without byte order mark", "utf-8": "in UTF-8", "utf-16-le": "in UTF-16"}
        where = "nowhere" if full is None else full.value[:200]
        return Summary(f"connection to {where}, {len(layout.lines)} lines {words[layout.encoding]}")

    # -- the key side: never sees the file -----------------------------------------------------------------------------
    def to_be_signed(
        self, described: Described, identity: Identity, options: Options, enclosed: bytes = b""
    ) -> Sequence[ToBeSigned]:
        """Build the signed text; BadInput for a description that ``prepare`` would not have made."""
        return (rdp_blob.to_be_signed(_check(described, options), described.digest_algorithm, identity),)

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
        (expected,) = self.to_be_signed(described, identity, options)
        signature, token = fitting.one_signature(signed, tokens, "an RDP file")
        return rdp_blob.finish(expected, identity, signature, token)


def _of_rdp(layout: Layout) -> RdpLayout:
    return fitting.layout_of(layout, RdpLayout, NAME)


def _signature_line(blob: bytes) -> str:
    if len(blob) > rdp_blob.MAX_SIGNATURE:
        raise MalformedCode(f"The signature would have {len(blob)} octets; one may have {rdp_blob.MAX_SIGNATURE}.")
    return f"{rdp_settings.SIGNATURE}:s:{rdp_blob.value(blob)}"


def _encoded(text: str, layout: RdpLayout) -> bytes:
    return text.encode("latin-1" if layout.encoding == "ascii" else layout.encoding)


def _with(layout: RdpLayout, code: Source, added: Sequence[str]) -> PatchPlan:
    """Plan the file with these lines at its end in place of those that signing added before.

    Where the last line has no line end, none of theirs has, so that taking them off again gives what was there.
    """
    gone = layout.made
    kept = [line for line in layout.lines if line not in gone]
    steps: list[Copy | Insert] = []
    at = 0
    for line in gone:
        steps.append(Copy(at, line.start - at))
        at = line.end
    steps.append(Copy(at, code.size - at))
    closed = not layout.lines or code.pread(code.size - 2, 2).endswith((b"\n", b"\n\0"))
    if gone and gone[-1] == layout.lines[-1] and not closed and kept:
        tail = kept[-1]
        steps = _cut(steps, tail.start + len(_encoded(tail.text, layout)), tail.end)
    ends = ("\r\n".join(added) + "\r\n") if closed else "".join("\r\n" + one for one in added)
    steps.append(Insert(_encoded(ends if added else "", layout)))
    return PatchPlan(tuple(one for one in steps if not isinstance(one, Copy) or one.count))


def _cut(steps: Sequence[Copy | Insert], start: int, end: int) -> list[Copy | Insert]:
    """Leave the octets from ``start`` to ``end`` of the file out of copies."""
    found: list[Copy | Insert] = []
    for step in steps:
        if isinstance(step, Insert):
            found.append(step)
            continue
        last = step.offset + step.count
        found.append(Copy(step.offset, max(0, min(last, start) - step.offset)))
        first = max(step.offset, end)
        found.append(Copy(first, max(0, last - first)))
    return found


def _check(described: Described, options: Options) -> bytes:
    """Return the text that a description is of; BadInput for one that no file gives, and options without a place."""
    lines = fitting.facts_of(described, NAME, dict[str, str], "an RDP file")
    text = rdp_settings.text(lines)
    if (described.size, described.digest) != (len(text), hashlib.new(described.digest_algorithm, text).digest()):
        raise BadInput("This description's digest is not that of the settings in it.")
    if options.mode == "append":
        raise BadInput(RdpFile.cannot["append"])
    if options.program_name is not None or options.program_url is not None:
        raise BadInput("A signature of an RDP file has no place for a program's name or address.")
    return text
