"""App packages and bundles: ``.appx``, ``.msix``, ``.appxbundle``, ``.msixbundle``.

What is signed is not one digest but a list of them: AXPC, of every entry as it stands but the signature's; AXCD, of the
central directory and the end records without it; AXCT, AXBM and AXCI, of the content types, the block map and, where
there is one, the code integrity catalogue, unpacked. The algorithm is the block map's, whatever is asked for. The list
travels as facts; the description's digest is that of the list.

Signing writes what signtool does: the content types announce the signature and get sizes in their header, the
directory loses ZIP64 fields that it does not need, and the signature comes last. Then whoever hashes the directory as
it stands, and whoever writes it anew first, as Windows does, hash the same. A package that was made with such fields
therefore does not come back octet for octet when the signature is removed; every other entry does.

Judges of what we write: osslsigncode, which writes the directory anew, and openssl for the structure. For packages
with ZIP64 fields that osslsigncode or jsign signed, and left them in, no oracle on Linux is certain; the reference is
a package that signtool signed, whose fields are gone. Octets of CodeIntegrity.cat are signed as they are found: it is a
catalogue, with a signature of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from privyseal.errors import BadInput, MalformedCode
from privyseal.formats import (
    appx_digests,
    appx_layout,
    authenticode,
    authenticode_blob,
    authenticode_later,
    fitting,
    publisher_name,
    zipdir,
    zipdir_writing,
)
from privyseal.formats.appx_layout import AppxLayout
from privyseal.formats.comparing import Comparing
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
from privyseal.formats.zipdir_writing import Placed
from privyseal.terms.signatures import (
    DIGEST_SIZES,
    Described,
    DigestAlgorithm,
    Options,
    Signature,
    TimestampToken,
    ToBeSigned,
)

_ENDS = (".appx", ".msix", ".appxbundle", ".msixbundle")


class AppxFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a description of an app package says: whose it is, and the digests that are signed, in hex."""

    bundle: bool
    publisher: str
    package: str
    entries: int
    axpc: str
    axcd: str
    axct: str
    axbm: str
    axci: str
    """Empty where the package has no code integrity catalogue."""


class AppPackage:
    """The format ``appx``."""

    name = appx_layout.NAME
    title = "app package (APPX, MSIX and bundles)"
    cannot: Mapping[Operation, str] = {
        "append": "An app package carries one signature, and Windows looks for no other: replace it instead."
    }

    # -- the file side -------------------------------------------------------------------------------------------------
    def recognises(self, head: bytes, tail: bytes, filename: str) -> int:
        """Score 90 for an archive whose directory ends with a block map near; the name adds 5, or stands for it."""
        if not head.startswith(zipdir.LOCAL):
            return 0
        named = filename.lower().endswith(_ENDS)
        return 90 + 5 * named if appx_layout.BLOCK_MAP in tail else 20 * named

    def inspect(self, code: Source) -> AppxLayout:
        """Read directory, manifest and content types; MalformedCode with one sentence that names what is wrong."""
        return appx_layout.read_layout(code)

    def prepare(
        self, code: Source, layout: Layout, identity: Identity, options: Options, digest: DigestAlgorithm
    ) -> Prepared:
        """Hash the package as it will be when it is signed, by the algorithm of its block map.

        BadInput where the publisher is not the subject of the identity's certificate.
        """
        layout = _of_appx(layout)
        if identity.chain:
            _check_publisher(layout.publisher, identity.chain[0])
        placed = _to_be_signed(layout)
        directory = zipdir_writing.normal_directory(layout.archive, placed, layout.wide)
        comparing: Comparing | None = getattr(code, "comparing", None)
        if comparing is not None:
            comparing.move(_plan(placed, directory))
        algorithm = layout.algorithm
        digests = appx_digests.of(code, layout, placed, directory, layout.marked_types, (algorithm,))[algorithm]
        described = Described(
            format=self.name,
            filename=code.filename,
            digest_algorithm=algorithm,
            digest=hashlib.new(algorithm, appx_digests.imprint(digests)).digest(),
            size=PatchPlan(tuple(zipdir_writing.steps(placed))).size + len(directory),
            facts={
                "bundle": layout.bundle,
                "publisher": layout.publisher,
                "package": layout.package,
                "entries": len(placed),
                **{name: one.hex() for name, one in digests.items()},
            },
        )
        return Prepared((described,), layout)

    def apply(self, code: Source, prepared: Prepared, options: Options, blobs: Sequence[bytes]) -> PatchPlan:
        """Plan the signed package; BadInput unless there is one blob, MalformedCode where it is too large."""
        layout = _of_appx(prepared.layout)
        if len(blobs) != 1:
            raise BadInput(f"An app package takes one signature; {len(blobs)} came.")
        placed = [*_to_be_signed(layout), _signature(layout, blobs[0])]
        return _plan(placed, zipdir_writing.normal_directory(layout.archive, placed, layout.wide))

    def remove(self, code: Source, layout: Layout) -> PatchPlan:
        """Plan the package without its signature, and its content types without the announcement of one."""
        layout = _of_appx(layout)
        if layout.signature is None:
            return PatchPlan((Copy(0, code.size),))
        placed = _with_types(layout, layout.bare_types)
        return _plan(placed, zipdir_writing.normal_directory(layout.archive, placed, bool(layout.archive.zip64)))

    def timestamped(self, code: Source, layout: Layout, tokens: Mapping[int, TimestampToken]) -> PatchPlan:
        """Plan the package with a token in its signature; all else, the directory's records too, keeps its octets."""
        layout = _of_appx(layout)
        (blob,) = authenticode_later.timestamped(_blobs(code, layout), tokens)
        placed = [*_without_signature(layout), _signature(layout, blob)]
        return _plan(placed, zipdir_writing.directory(layout.archive, placed))

    def signatures(self, code: Source, layout: Layout) -> Iterable[EmbeddedSignature]:
        """Judge the signature, over the directory as it stands; none where the package is not signed."""
        layout = _of_appx(layout)
        found = list(authenticode_blob.walk(_blobs(code, layout)))
        named = {one.blob.digest_algorithm for one in found if one.blob is not None}
        placed = _without_signature(layout)
        directory = zipdir_writing.directory(layout.archive, placed) if named else b""
        digests = appx_digests.of(
            code, layout, placed, directory, layout.types, tuple(name for name in DIGEST_SIZES if name in named)
        )
        imprints = {algorithm: appx_digests.imprint(each) for algorithm, each in digests.items()}
        subject = _subject(layout.bundle)
        for index, one in enumerate(found):
            judged = authenticode_blob.judge(one, index, self.name, subject, imprints)
            problems = (*judged.problems, *_publisher_problems(layout.publisher, judged.signer))
            known = judged.digest_algorithm in DIGEST_SIZES
            digest = hashlib.new(judged.digest_algorithm, judged.digest).digest() if known else judged.digest
            yield msgspec.structs.replace(judged, digest=digest, problems=problems)

    def canonical(self, code: Source, layout: Layout, known: Prepared | None = None) -> Iterable[Problem]:
        """Say which octets of a signed package no signature covers and nothing else fixes; nothing for others."""
        layout = _of_appx(layout)
        entry = layout.signature
        if entry is None:
            return
        placed = zipdir_writing.in_order(layout.archive)
        try:
            expected = zipdir_writing.normal_directory(layout.archive, placed, bool(layout.archive.zip64))
        except MalformedCode:
            expected = b""
        ends_at = layout.archive.at
        if len(expected) != code.size - ends_at or expected != code.pread(ends_at, code.size - ends_at):
            text = (
                "The central directory is not as signtool writes it, so Windows may hash other octets than stand here."
            )
            yield Problem("directory", text)
        if placed[-1].entry.name != appx_layout.SIGNATURE or not _plain(code, layout, entry):
            yield Problem("signature-entry", "The signature does not stand in the package as it would be written.")
        for blob in _blobs(code, layout):
            for one in authenticode_blob.walk([blob]):
                if one.blob is None:
                    yield Problem("malformed-signature", one.error)
                    continue
                if one.depth > 0:
                    yield Problem("nesting", "A signature is nested where Windows does not look for it.")
                if one.blob.digest_algorithm != layout.algorithm:
                    text = (
                        f"It is signed by {one.blob.digest_algorithm}, and the block map hashes by {layout.algorithm}."
                    )
                    yield Problem("other-digest", text)
                yield from authenticode_blob.loose(one.blob)

    def summarise(self, code: Source, layout: Layout) -> Summary:
        """Say which package it is, whose, and how much is in it."""
        layout = _of_appx(layout)
        count = len(layout.archive.entries)
        kind = "bundle" if layout.bundle else "app package"
        return Summary(f"{kind} {layout.package} of {layout.publisher}, {count} entries")

    # -- the key side: never sees the file -----------------------------------------------------------------------------
    def to_be_signed(
        self, described: Described, identity: Identity, options: Options, enclosed: bytes = b""
    ) -> Sequence[ToBeSigned]:
        """Build the signed attributes; BadInput for a description that ``prepare`` would not have made."""
        facts, imprint = _check(described, identity, options)
        return (authenticode.to_be_signed(_subject(facts.bundle), described, identity, options, imprint),)

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
        facts, imprint = _check(described, identity, options)
        signature, token = fitting.one_signature(signed, tokens, "an app package")
        return authenticode.finish(_subject(facts.bundle), described, identity, options, signature, token, imprint)


def _of_appx(layout: Layout) -> AppxLayout:
    return fitting.layout_of(layout, AppxLayout, "an app package")


def _subject(bundle: bool) -> authenticode.Subject:
    return authenticode.SUBJECTS["appxbundle" if bundle else "appx"]


# -- entries -----------------------------------------------------------------------------------------------------------
def _without_signature(layout: AppxLayout) -> list[Placed]:
    return [one for one in zipdir_writing.in_order(layout.archive) if one.entry.name != appx_layout.SIGNATURE]


def _with_types(layout: AppxLayout, types: bytes) -> list[Placed]:
    """Return every entry but the signature, the content types with these octets; unchanged they keep theirs."""
    placed = _without_signature(layout)
    if types == layout.types:
        return placed
    return [
        zipdir_writing.new(appx_layout.TYPES, types, zipdir.DEFLATED, one.entry.time)
        if one.entry.name == appx_layout.TYPES
        else one
        for one in placed
    ]


def _to_be_signed(layout: AppxLayout) -> list[Placed]:
    """Return every entry of the signed package but the signature."""
    return _with_types(layout, layout.marked_types)


def _signature(layout: AppxLayout, blob: bytes) -> Placed:
    """Return the signature's entry; it gets the time of the content types, as no clock is read here."""
    octets = appx_layout.MAGIC + blob
    if len(octets) > appx_layout.MAX_SIGNATURE:
        raise MalformedCode(
            f"The signature would have {len(octets)} octets; an app package takes {appx_layout.MAX_SIGNATURE}."
        )
    types = layout.archive.find(appx_layout.TYPES)
    return zipdir_writing.new(appx_layout.SIGNATURE, octets, zipdir.DEFLATED, types.time if types else 0)


def _plan(placed: Sequence[Placed], directory: bytes) -> PatchPlan:
    return PatchPlan((*zipdir_writing.steps(placed), Insert(directory)))


def _blobs(code: Source, layout: AppxLayout) -> list[bytes]:
    """Return the signature, as a list of one or none."""
    if layout.signature is None:
        return []
    octets = zipdir.whole(code, layout.signature, appx_layout.MAX_SIGNATURE)
    magic = appx_layout.MAGIC
    return [octets[len(magic) :] if octets.startswith(magic) else b""]


def _plain(code: Source, layout: AppxLayout, entry: zipdir.Entry) -> bool:
    """Tell whether a signature's entry is what we write, or what others do who pack it or leave it as it is."""
    (blob,) = _blobs(code, layout)
    stands, ours = code.pread(entry.at, entry.end - entry.at), _signature(layout, blob)
    if stands == ours.octets:
        return zipdir_writing.same_but_for_place(entry, ours.entry)
    packed = entry.method == zipdir.STORED or entry.packed < entry.size
    return packed and zipdir_writing.plain(entry, stands)


# -- descriptions ------------------------------------------------------------------------------------------------------
def _check(described: Described, identity: Identity, options: Options) -> tuple[AppxFacts, bytes]:
    """Return the facts of a description, and the list of digests in them; refuse what no app package gives."""
    facts = fitting.facts_of(described, appx_layout.NAME, AppxFacts, "an app package")
    try:
        digests = {name: bytes.fromhex(getattr(facts, name)) for name in appx_digests.PARTS}
    except ValueError as error:
        raise BadInput(f"The facts of this description are not those of an app package: {error}.") from None
    size = DIGEST_SIZES[described.digest_algorithm]
    if any(len(one) != size for name, one in digests.items() if one or name != "axci"):
        raise BadInput(f"No app package is described here: each of its digests has {size} octets.")
    imprint = appx_digests.imprint(digests)
    if hashlib.new(described.digest_algorithm, imprint).digest() != described.digest:
        raise BadInput("The digest of this description is not that of the digests among its facts.")
    if not 3 <= facts.entries <= zipdir.MAX_ENTRIES or described.size < zipdir.LAST.size:
        raise BadInput(f"No app package is described here: {facts.entries} entries in {described.size} octets.")
    if options.mode == "append":
        raise BadInput(AppPackage.cannot["append"])
    if identity.chain:
        _check_publisher(facts.publisher, identity.chain[0])
    return facts, imprint


def _check_publisher(publisher: str, certificate: bytes) -> None:
    if (why := publisher_name.mismatch(publisher, certificate)) is not None:
        expected = publisher_name.of_certificate(certificate)
        raise BadInput(why, hint=f'set Publisher="{expected}" in the manifest, or sign with another certificate')


def _publisher_problems(publisher: str, signer: bytes | None) -> Iterator[Problem]:
    try:
        why = None if signer is None else publisher_name.mismatch(publisher, signer)
    except BadInput as error:
        why = error.detail
    if why is not None:
        yield Problem("publisher", why)
