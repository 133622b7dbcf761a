"""NuGet packages: ``.nupkg`` and ``.snupkg``, signed by their author, a repository, or both.

What is hashed is the package as it was before it was signed, octet for octet: every entry, the central directory and
its end, without the entry ``.signature.p7s``. That entry stands last and is stored as it is. So taking a signature off
gives the very file that was signed. A package has one signature, by its author or by a repository, which may also
counter-sign an author's (``nuget_counter``); replacing one takes all of it away. ZIP64 is refused, as NuGet does.

Judges of what we write: NuGet's own client (``nuget.exe verify -Signatures`` under mono), Microsoft's SignedCms with
NuGet's classes for counter-signatures, and openssl for the message.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NoReturn

from privyseal.errors import BadInput, Impossible, MalformedCode
from privyseal.formats import content, fitting, markup, nuget_blob, nuget_counter, nuget_facts, zipdir, zipdir_writing
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

NAME: Final = nuget_facts.NAME
SIGNATURE: Final = b".signature.p7s"
MAX_SIGNATURE: Final = 1 << 20
"""Octets of a signature, as NuGet reads them."""
_TIME = 0x00210000
"""1 January 1980, the first day of MS-DOS: no clock is read here."""


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


class NugetPackage:
    """The format ``nuget``."""

    name = NAME
    title = "NuGet package (nupkg, snupkg)"
    cannot: Mapping[Operation, str] = {}

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
        """Hash the package as it is without a signature, or the author's signature where that is counter-signed."""
        layout = _of_nuget(layout)
        if options.mode == "append":
            return Prepared((_described_counter(code, layout, options, digest),), layout)
        plan = _bare(layout)
        described = Described(
            format=NAME,
            filename=code.filename,
            digest_algorithm=digest,
            digest=_digest(code, plan, digest),
            size=plan.size,
            facts=_facts(layout),
        )
        return Prepared((described,), layout)

    def apply(self, code: Source, prepared: Prepared, options: Options, blobs: Sequence[bytes]) -> PatchPlan:
        """Plan the signed package; BadInput unless there is one blob, MalformedCode where it would need ZIP64."""
        layout = _of_nuget(prepared.layout)
        if len(blobs) != 1:
            raise BadInput(f"A NuGet package takes one signature; {len(blobs)} came.")
        if options.mode != "append":
            return _signed(layout, blobs[0])
        try:
            return _signed(layout, nuget_blob.countersigned(_blob(code, layout), blobs[0]))
        except BadInput as error:
            raise _no_counter(error) from None

    def remove(self, code: Source, layout: Layout) -> PatchPlan:
        """Plan the very file that was signed."""
        layout = _of_nuget(layout)
        return PatchPlan((Copy(0, code.size),)) if layout.signature is None else _bare(layout)

    def timestamped(self, code: Source, layout: Layout, tokens: Mapping[int, TimestampToken]) -> PatchPlan:
        """Plan the package with a token in its signature, in a repository's counter-signature, or in both."""
        layout = _of_nuget(layout)
        there = [one.index for one in self.signatures(code, layout)]
        missing = [number for number in tokens if number not in there]
        if missing or not there:
            raise BadInput(f"The file carries {len(there)} signatures; there is no number {min(missing, default=0)}.")
        try:
            return _signed(layout, _stamped(nuget_blob.read(_blob(code, layout)), tokens))
        except BadInput as error:
            raise MalformedCode(f"Signature {min(tokens)} cannot take a timestamp: {error.detail}") from None

    def signatures(self, code: Source, layout: Layout) -> Iterable[EmbeddedSignature]:
        """Judge the signature, then the repository's in it; none where the package is not signed."""
        layout = _of_nuget(layout)
        if layout.signature is None:
            return
        octets = _blob(code, layout)
        try:
            blob = nuget_blob.read(octets)
            counters = nuget_blob.counters(blob)
            alone = nuget_blob.alone(blob) if counters else octets
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
            blob=alone,
            index=0,
            nested=False,
            digest_algorithm=blob.digest_algorithm,
            digest=blob.digest,
            signature_value=blob.signer.signature,
            signer=cms.signer_certificate(blob.signed, blob.signer),
            certificates=cms.parse(alone).certificates if counters else blob.signed.certificates,
            timestamp=blob.timestamps[0] if blob.timestamps else None,
            program_url=nuget_counter.index_of(blob.signer) if blob.repository else None,
            problems=tuple(nuget_blob.problems(blob, digest)),
        )
        digests = {name: hashlib.new(name, blob.signer.signature).digest() for name in DIGEST_SIZES}
        for number, found in enumerate(counters, 1):
            yield nuget_counter.judge(found, number, NAME, digests)

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
        return (nuget_blob.to_be_signed(described, identity, nuget_facts.check(described, options)),)

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
        said = nuget_facts.check(described, options)
        signature, token = fitting.one_signature(signed, tokens, "a NuGet package")
        return nuget_blob.finish(described, identity, said, signature, token)


def _of_nuget(layout: Layout) -> NugetLayout:
    return fitting.layout_of(layout, NugetLayout, "a NuGet package")


def _refuse(code: Source, why: str) -> NoReturn:
    raise MalformedCode(f"{code.filename} is no NuGet package that can be signed: {why}.")


def _described(code: Source, entry: Entry) -> tuple[str, str]:
    """Return the identifier and version that a package's description states, as far as they are simple texts."""
    octets = zipdir.whole(code, entry, markup.MAX_OCTETS)
    elements = markup.scan(octets, f"{entry.shown} in {code.filename}", depth=2)
    if elements[0].name != "package" or not any((one.depth, one.name) == (1, "metadata") for one in elements):
        _refuse(code, "its description is none of a package")
    codec = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}.get(octets[:2], "utf-8")
    said = markup.below(elements, "metadata")
    found = []
    for wanted in ("id", "version"):
        named = [one for one in said if one.name == wanted]
        text = octets[named[0].start : named[0].close].decode(codec, "replace") if len(named) == 1 else ""
        word = text.partition(">")[2].strip()
        plain = word.isprintable() and not set(word) & set("<>&")  # else other readers make something else of it
        if not 0 < len(word) <= nuget_facts.MAX_WORD or not plain:
            _refuse(code, f"its description states no {wanted} of at most {nuget_facts.MAX_WORD} printable characters")
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
    parts: list[content.Part] = [
        step.octets if isinstance(step, Insert) else (step.offset, step.offset + step.count) for step in plan.steps
    ]
    return content.digests(code, (algorithm,), parts)[algorithm]


def _complete(archive: Archive) -> str:
    """Return when the newest entry but the signature is from, as far as a UTCTime can say it."""
    newest = zipdir.newest(one for one in archive.entries if one.name != SIGNATURE)
    return min(newest, nuget_facts.LATEST).strftime(nuget_facts.WRITTEN)


def _facts(layout: NugetLayout) -> dict[str, str | int | bool]:
    return {
        "package": layout.package,
        "version": layout.version,
        "entries": len(layout.archive.entries) - (layout.signature is not None),
        "complete": layout.complete,
    }


def _no_counter(error: BadInput) -> MalformedCode:
    return MalformedCode(f"The signature that the package carries cannot be counter-signed: {error.detail}")


def _described_counter(code: Source, layout: NugetLayout, options: Options, digest: DigestAlgorithm) -> Described:
    """Describe the author's signature; MalformedCode where it cannot be counter-signed, Impossible for an author."""
    if nuget_counter.of_options(options) is None:
        raise Impossible(nuget_facts.ONE_AUTHOR, hint="a repository signs beside an author with --nuget-repository URL")
    try:
        blob = nuget_blob.read(_blob(code, layout))
        if blob.repository or nuget_blob.counters(blob):
            raise BadInput("a repository has signed it already, and NuGet takes one.")
        author = cms.signer_certificate(blob.signed, blob.signer)
        found = [
            *nuget_blob.problems(blob, _digest(code, _bare(layout), blob.digest_algorithm)),
            *nuget_blob.loose(blob),
        ]
        if found or author is None:
            raise BadInput(found[0].text if found else "it lacks its certificate.")
    except BadInput as error:
        raise _no_counter(error) from None
    value = blob.signer.signature
    return Described(
        format=NAME,
        filename=code.filename,
        digest_algorithm=digest,
        digest=hashlib.new(digest, value).digest(),
        size=len(value),
        facts={**_facts(layout), "author": hashlib.sha256(author).hexdigest()},
    )


def _stamped(blob: nuget_blob.Blob, tokens: Mapping[int, TimestampToken]) -> bytes:
    """Return a message with tokens in it, by the numbers of its signatures."""
    if blob.signed.ber:
        raise BadInput("It is not in DER.")
    unsigned = dict(blob.signer.unsigned)
    if 0 in tokens:
        unsigned[nuget_counter.ID_TIMESTAMP] = (tokens[0].der,)
    counters = [
        nuget_counter.stamped(found, tokens[number].der) if number in tokens else found.signer.raw
        for number, found in enumerate(nuget_blob.counters(blob), 1)
    ]
    if counters:
        unsigned[nuget_counter.ID_COUNTER_SIGNATURE] = tuple(counters)
    return nuget_blob.with_unsigned(blob, unsigned)
