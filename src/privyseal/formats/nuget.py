"""NuGet packages: ``.nupkg`` and ``.snupkg``, signed by their author.

What is hashed is the package as it was before it was signed, octet for octet: every entry, the central directory and
its end, without the entry ``.signature.p7s``. That entry stands last and is stored as it is. So taking a signature off
gives the very file that was signed. A package has one signature, by its author or by a repository; replacing one takes
all of it away, a repository's counter-signature too. ZIP64 is refused, as NuGet does.

Judge of what we write: NuGet's own client (``nuget.exe verify -Signatures`` under mono), and openssl for the message.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NoReturn

import msgspec

from privyseal.errors import BadInput, MalformedCode
from privyseal.formats import content, markup, nuget_blob, zipdir, zipdir_writing
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
from privyseal.formats.zipdir import Archive, Entry
from privyseal.formats.zipdir_writing import Placed
from privyseal.pki import cms
from privyseal.terms.signatures import (
    DIGEST_SIZES,
    Described,
    DigestAlgorithm,
    Options,
    Signature,
    TimestampToken,
    ToBeSigned,
)

NAME: Final = "nuget"
SIGNATURE: Final = b".signature.p7s"
MAX_SIGNATURE: Final = 1 << 20
"""Octets of a signature, as NuGet reads them."""
MAX_WORD: Final = 256
"""Characters of a package's identifier and version; nuget.org allows 128 and 64."""
_TIME = 0x00210000
"""1 January 1980, the first day of MS-DOS: no clock is read here."""
_WRITTEN = "%Y-%m-%dT%H:%M:%SZ"
_LATEST = datetime(2049, 12, 31, tzinfo=UTC)
"""What a UTCTime holds (RFC 5652 11.3)."""


class NugetLayout(Layout, frozen=True, kw_only=True):
    """Where things are in one package."""

    archive: Archive
    package: str
    version: str
    complete: str
    """The time of the newest entry but the signature."""

    @property
    def carries_signature(self) -> bool:
        """Tell whether there is a signature, good or not."""
        return self.signature is not None

    @property
    def signature(self) -> Entry | None:
        """Return the entry of the signature, None where there is none."""
        return self.archive.find(SIGNATURE)


class NugetFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a description of a package says beside digest and size."""

    package: str
    version: str
    entries: int
    complete: str
    """The time of the newest entry, as RFC 3339 writes it; MS-DOS times have no zone and are taken for UTC."""


class NugetPackage:
    """The format ``nuget``."""

    name = NAME
    title = "NuGet package (nupkg, snupkg)"
    cannot: Mapping[Operation, str] = {"append": "A NuGet package carries one author's signature: replace it instead."}

    # -- the file side -------------------------------------------------------------------------------------------------
    def recognises(self, head: bytes, tail: bytes, filename: str) -> int:
        """Score 80 for an archive with a package's description near its ends; the name adds 5, or stands for it."""
        if not head.startswith(zipdir.LOCAL):
            return 0
        named = filename.lower().endswith((".nupkg", ".snupkg"))
        found = any(mark in tail for mark in (SIGNATURE, b".nuspec", b".psmdcp")) or b".nuspec" in head
        return 80 + 5 * named if found else 20 * named

    def inspect(self, code: Source) -> NugetLayout:
        """Read directory and description; MalformedCode with one sentence that names what is wrong."""
        archive = zipdir.read(code)
        if archive.zip64:
            _refuse(code, "it has ZIP64 records, and NuGet signs no such package")
        signature = archive.find(SIGNATURE)
        if signature is not None and (signature.method != zipdir.STORED or signature.size > MAX_SIGNATURE):
            _refuse(code, f"its signature is packed, or has more than {MAX_SIGNATURE} octets")
        described = [
            entry for entry in archive.entries if entry.name.lower().endswith(b".nuspec") and b"/" not in entry.name
        ]
        if len(described) != 1:
            _refuse(code, f"it has {len(described)} descriptions (.nuspec) at its root, and 1 was expected")
        package, version = _described(code, described[0])
        return NugetLayout(
            format=NAME, size=code.size, archive=archive, package=package, version=version, complete=_complete(archive)
        )

    def prepare(
        self, code: Source, layout: Layout, identity: Identity, options: Options, digest: DigestAlgorithm
    ) -> Prepared:
        """Hash the package as it is without a signature."""
        layout = _of_nuget(layout)
        plan = _bare(layout)
        described = Described(
            format=NAME,
            filename=code.filename,
            digest_algorithm=digest,
            digest=_digest(code, plan, digest),
            size=plan.size,
            facts={
                "package": layout.package,
                "version": layout.version,
                "entries": len(layout.archive.entries) - (layout.signature is not None),
                "complete": layout.complete,
            },
        )
        return Prepared((described,), layout)

    def apply(self, code: Source, prepared: Prepared, options: Options, blobs: Sequence[bytes]) -> PatchPlan:
        """Plan the signed package; BadInput unless there is one blob, MalformedCode where it would need ZIP64."""
        layout = _of_nuget(prepared.layout)
        if len(blobs) != 1:
            raise BadInput(f"A NuGet package takes one signature; {len(blobs)} came.")
        return _signed(layout, blobs[0])

    def remove(self, code: Source, layout: Layout) -> PatchPlan:
        """Plan the very file that was signed."""
        layout = _of_nuget(layout)
        return PatchPlan((Copy(0, code.size),)) if layout.signature is None else _bare(layout)

    def timestamped(self, code: Source, layout: Layout, tokens: Mapping[int, TimestampToken]) -> PatchPlan:
        """Plan the package with a token in its signature; a counter-signature stays."""
        layout = _of_nuget(layout)
        there = layout.signature is not None
        if not there or set(tokens) - {0}:
            missing = min(set(tokens) - {0}, default=0)
            raise BadInput(f"The file carries {int(there)} signatures; there is no number {missing}.")
        octets = _blob(code, layout)
        if 0 in tokens:
            try:
                blob = nuget_blob.read(octets)
                if blob.signed.ber:
                    raise BadInput("It is not in DER.")
                unsigned = {**blob.signer.unsigned, nuget_blob.ID_TIMESTAMP: (tokens[0].der,)}
                octets = nuget_blob.with_unsigned(blob, unsigned)
            except BadInput as error:
                raise MalformedCode(f"Signature 0 cannot take a timestamp: {error.detail}") from None
        return _signed(layout, octets)

    def signatures(self, code: Source, layout: Layout) -> Iterable[EmbeddedSignature]:
        """Judge the signature; none where the package is not signed."""
        layout = _of_nuget(layout)
        if layout.signature is None:
            return
        octets = _blob(code, layout)
        try:
            blob = nuget_blob.read(octets)
        except BadInput as error:
            yield EmbeddedSignature(
                format=NAME, blob=octets, index=0, nested=False, digest_algorithm="", digest=b"", signature_value=b"",
                signer=None, certificates=(), timestamp=None,
                problems=(Problem("malformed-signature", error.detail),),
            )  # fmt: skip
            return
        digest = _digest(code, _bare(layout), blob.digest_algorithm)
        yield EmbeddedSignature(
            format=NAME,
            blob=octets,
            index=0,
            nested=False,
            digest_algorithm=blob.digest_algorithm,
            digest=blob.digest,
            signature_value=blob.signer.signature,
            signer=cms.signer_certificate(blob.signed, blob.signer),
            certificates=blob.signed.certificates,
            timestamp=blob.timestamps[0] if blob.timestamps else None,
            problems=tuple(nuget_blob.problems(blob, digest)),
        )

    def canonical(self, code: Source, layout: Layout, known: Prepared | None = None) -> Iterable[Problem]:
        """Say which octets of a signed package no signature covers and nothing else fixes; nothing for others."""
        layout = _of_nuget(layout)
        entry = layout.signature
        if entry is None:
            return
        octets = _blob(code, layout)
        at_end = zipdir_writing.in_order(layout.archive)[-1].entry.name == SIGNATURE == layout.archive.entries[-1].name
        if not at_end or not zipdir_writing.plain(entry, code.pread(entry.at, entry.end - entry.at)):
            yield Problem("signature-entry", "The signature does not stand in the package as it would be written.")
        try:
            yield from nuget_blob.loose(nuget_blob.read(octets))
        except BadInput as error:
            yield Problem("malformed-signature", error.detail)

    def summarise(self, code: Source, layout: Layout) -> Summary:
        """Say which package it is and how much is in it."""
        layout = _of_nuget(layout)
        return Summary(f"NuGet package {layout.package} {layout.version}, {len(layout.archive.entries)} entries")

    # -- the key side: never sees the file -----------------------------------------------------------------------------
    def to_be_signed(
        self, described: Described, identity: Identity, options: Options, enclosed: bytes = b""
    ) -> Sequence[ToBeSigned]:
        """Build the signed attributes; BadInput for a description that ``prepare`` would not have made."""
        return (nuget_blob.to_be_signed(described, identity, _check(described, options)),)

    def finish(
        self,
        described: Described,
        identity: Identity,
        options: Options,
        signed: Sequence[Signature],
        tokens: Sequence[TimestampToken],
        enclosed: bytes = b"",
    ) -> bytes:
        """Build the CMS message; BadInput unless there is one signature, over these octets, and at most one token."""
        complete = _check(described, options)
        if len(signed) != 1 or len(tokens) > 1:
            raise BadInput(
                f"A NuGet package takes one signature and at most one timestamp; {len(signed)} and {len(tokens)} came."
            )
        return nuget_blob.finish(described, identity, complete, signed[0], tokens[0] if tokens else None)


def _of_nuget(layout: Layout) -> NugetLayout:
    if not isinstance(layout, NugetLayout):
        raise BadInput(f"A layout of the format {layout.format} was given where one of a NuGet package was expected.")
    return layout


def _refuse(code: Source, why: str) -> NoReturn:
    raise MalformedCode(f"{code.filename} is no NuGet package that can be signed: {why}.")


def _described(code: Source, entry: Entry) -> tuple[str, str]:
    """Return the identifier and version that a package's description states, as far as they are simple texts."""
    octets = zipdir.whole(code, entry, markup.MAX_OCTETS)
    elements = markup.scan(octets, f"{entry.shown} in {code.filename}", depth=2)
    if elements[0].name != "package" or not any((one.depth, one.name) == (1, "metadata") for one in elements):
        _refuse(code, "its description is none of a package")
    codec = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}.get(octets[:2], "utf-8")
    found = []
    for wanted in ("id", "version"):
        element = next((one for one in elements if (one.depth, one.name) == (2, wanted)), None)
        text = "" if element is None else octets[element.start : element.close].decode(codec, "replace")
        word = text.partition(">")[2].strip()
        if not 0 < len(word) <= MAX_WORD or not word.isprintable():
            _refuse(code, f"its description states no {wanted} of at most {MAX_WORD} printable characters")
        found.append(word)
    return found[0], found[1]


def _without_signature(layout: NugetLayout) -> list[Placed]:
    return [one for one in zipdir_writing.in_order(layout.archive) if one.entry.name != SIGNATURE]


def _bare(layout: NugetLayout) -> PatchPlan:
    """Plan the package without its signature: what is hashed."""
    placed = _without_signature(layout)
    return PatchPlan((*zipdir_writing.steps(placed), Insert(zipdir_writing.directory(layout.archive, placed))))


def _signed(layout: NugetLayout, blob: bytes) -> PatchPlan:
    if len(blob) > MAX_SIGNATURE:
        raise MalformedCode(f"The signature would have {len(blob)} octets; one in a package may have {MAX_SIGNATURE}.")
    placed = [*_without_signature(layout), zipdir_writing.new(SIGNATURE, blob, zipdir.STORED, _TIME)]
    return PatchPlan((*zipdir_writing.steps(placed), Insert(zipdir_writing.directory(layout.archive, placed))))


def _blob(code: Source, layout: NugetLayout) -> bytes:
    return b"" if layout.signature is None else zipdir.whole(code, layout.signature, MAX_SIGNATURE)


def _digest(code: Source, plan: PatchPlan, algorithm: DigestAlgorithm) -> bytes:
    """Hash what a plan would write."""
    hashed = hashlib.new(algorithm)
    for step in plan.steps:
        if isinstance(step, Insert):
            hashed.update(step.octets)
        else:
            content.feed(code, step.offset, step.offset + step.count, [hashed.update])
    return hashed.digest()


def _complete(archive: Archive) -> str:
    """Return when the newest entry is from, 1 January 1980 where none says so sensibly."""
    newest = datetime(1980, 1, 1, tzinfo=UTC)
    for entry in archive.entries:
        date, clock = entry.time >> 16, entry.time & 0xFFFF
        fields = (1980 + (date >> 9), date >> 5 & 15, date & 31, clock >> 11, clock >> 5 & 63, 2 * (clock & 31))
        with contextlib.suppress(ValueError):
            newest = newest if entry.name == SIGNATURE else max(newest, datetime(*fields, tzinfo=UTC))
    return min(newest, _LATEST).strftime(_WRITTEN)


def _check(described: Described, options: Options) -> datetime:
    """Return when the package was complete; refuse a description that none gives, and options that NuGet has not."""
    if described.format != NAME:
        raise BadInput(f"This description is of the format {described.format}; {NAME} was expected.")
    try:
        facts = msgspec.convert(described.facts, NugetFacts, strict=True)
    except msgspec.ValidationError as error:
        raise BadInput(f"The facts of this description are not those of a NuGet package: {error}.") from None
    words = (facts.package, facts.version)
    if not all(0 < len(word) <= MAX_WORD and word.isprintable() for word in words):
        raise BadInput(
            f"No NuGet package is described here: identifier and version have from 1 to {MAX_WORD} characters."
        )
    if not 1 <= facts.entries <= zipdir.FULL16 or not zipdir.LAST.size < described.size <= zipdir.FULL32:
        raise BadInput(f"No NuGet package is described here: {facts.entries} entries in {described.size} octets.")
    if len(described.digest) != DIGEST_SIZES[described.digest_algorithm]:
        raise BadInput("The digest of this description has not the size of its algorithm.")
    if options.mode == "append":
        raise BadInput(NugetPackage.cannot["append"])
    try:
        complete = datetime.strptime(facts.complete, _WRITTEN).replace(tzinfo=UTC)
    except ValueError:
        complete = datetime.max.replace(tzinfo=UTC)
    if not 1980 <= complete.year <= _LATEST.year or complete.strftime(_WRITTEN) != facts.complete:
        raise BadInput(f"No NuGet package is described here: it was never complete, at {facts.complete[:40]!r}.")
    return complete
