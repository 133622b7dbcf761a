"""ClickOnce and Visual Studio Tools for Office: ``.application``, ``.manifest`` and ``.vsto``.

Signing makes the manifest say who signs it, and puts two signatures behind that (:mod:`clickonce_blob`). What is hashed
is the manifest with the signer's names and without a signature, in exclusive canonical form, so its digest depends on
the certificate. Comments, and how the XML is written, are under no signature; no XML signature covers them.

The files that a manifest names are not looked at here: it holds their hashes (:mod:`clickonce_files`), and who signs
has them come first.

Judge of what we write: a program of ours under mono, whose SignedXml is told Microsoft's names of the algorithms and
checks both signatures, and which holds strong name, hash and identity against each other as ``mansign2.cs`` does.
Whether Windows accepts it was not tried; a manifest that Visual Studio signed verified here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from privyseal.errors import BadInput, MalformedCode
from privyseal.formats import clickonce_blob, clickonce_judging, clickonce_manifest, fitting, markup, xml_canonical
from privyseal.formats.clickonce_manifest import ClickOnceLayout
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

NAME: Final = "clickonce"
MAX_SIGNATURE: Final = 1 << 20
"""Octets of a signature as it stands in the manifest; usual ones have 15 KiB."""

_KINDS = ("deployment", "application")
_IDENTITY = "assemblyIdentity "
"""What the facts that are attributes of the manifest's identity begin with."""


class ClickOnceManifest:
    """The format ``clickonce``."""

    name = NAME
    title = "ClickOnce manifest (application, manifest, vsto)"
    cannot: Mapping[Operation, str] = {
        "append": "A ClickOnce manifest carries one pair of signatures, and says whose they are: replace them instead."
    }

    # -- the file side -------------------------------------------------------------------------------------------------
    def recognises(self, head: bytes, tail: bytes, filename: str) -> int:
        """Score 80 for XML whose root is an assembly; the name adds 5, or stands for it where the XML is broken."""
        plain = head.replace(b"\0", b"") if head[:2] in (b"\xff\xfe", b"\xfe\xff") else head
        if clickonce_manifest.ASM1.encode() not in plain or b"assembly" not in plain:
            return 0
        named = filename.lower().endswith((".application", ".manifest", ".vsto"))
        try:
            root = markup.root_of(head, filename)
        except MalformedCode:  # what is wrong with it, ``inspect`` says
            return 40 * named
        return (80 + 5 * named) * ((root.namespace, root.name) == (clickonce_manifest.ASM1, "assembly"))

    def inspect(self, code: Source) -> ClickOnceLayout:
        """Read the document; MalformedCode with one sentence that names what is wrong."""
        return clickonce_manifest.read(code, NAME)

    def prepare(
        self, code: Source, layout: Layout, identity: Identity, options: Options, digest: DigestAlgorithm
    ) -> Prepared:
        """Hash the manifest as it will say who signs it, and without a certificate as it says that of nobody.

        BadInput for another hash than SHA-256, or where the certificate cannot sign it.
        """
        layout = _of_clickonce(layout)
        _require_sha256(digest)
        edits = clickonce_manifest.dressed(layout, identity) if identity.chain else clickonce_manifest.bare(layout)
        held = clickonce_manifest.of_octets(code, clickonce_manifest.changed(layout, edits), NAME)
        canonical = xml_canonical.canonical(held.document, exclusive=True)
        facts: dict[str, str | int | bool] = {"kind": layout.kind}
        facts |= {_IDENTITY + name: value for name, value in clickonce_manifest.identity_of(held).items()}
        described = Described(
            format=NAME,
            filename=code.filename,
            digest_algorithm=digest,
            digest=hashlib.new(digest, canonical).digest(),
            size=len(canonical),
            facts=facts,
        )
        return Prepared((described,), layout)

    def apply(self, code: Source, prepared: Prepared, options: Options, blobs: Sequence[bytes]) -> PatchPlan:
        """Plan the signed manifest; BadInput unless there is one blob."""
        layout = _of_clickonce(prepared.layout)
        if len(blobs) != 1:
            raise BadInput(f"A ClickOnce manifest takes one pair of signatures; {len(blobs)} came.")
        if len(blobs[0]) > MAX_SIGNATURE:
            raise MalformedCode(f"The signatures would have {len(blobs[0])} octets; a manifest takes {MAX_SIGNATURE}.")
        at = layout.document.root.close
        edits = clickonce_manifest.dressed(layout, clickonce_judging.identity_in(blobs[0]))
        return clickonce_manifest.plan(layout, [*edits, (at, at, blobs[0])])

    def remove(self, code: Source, layout: Layout) -> PatchPlan:
        """Plan the manifest without signatures and publisher, its strong name zeros: as mage makes a new one."""
        layout = _of_clickonce(layout)
        if layout.signature is None:
            return PatchPlan((Copy(0, code.size),))
        return clickonce_manifest.plan(layout, clickonce_manifest.bare(layout))

    def timestamped(self, code: Source, layout: Layout, tokens: Mapping[int, TimestampToken]) -> PatchPlan:
        """Plan the manifest with a token in its inner signature."""
        layout = _of_clickonce(layout)
        element = layout.signature
        if element is None or set(tokens) - {0}:
            missing = min(set(tokens) - {0}, default=0)
            raise BadInput(f"The file carries {int(element is not None)} signatures; there is no number {missing}.")
        if 0 not in tokens:
            return PatchPlan((Copy(0, code.size),))
        try:
            blob = clickonce_blob.read(element)
            if not clickonce_blob.as_written(blob):
                raise BadInput("It is written in another way than it would be here.")
            octets = clickonce_blob.with_timestamp(blob, tokens[0].der)
        except BadInput as error:
            raise MalformedCode(f"Signature 0 cannot take a timestamp: {error.detail}") from None
        end = clickonce_manifest.end_of(element, layout.octets)
        return clickonce_manifest.plan(layout, [(element.start, end, octets)])

    def signatures(self, code: Source, layout: Layout) -> Iterable[EmbeddedSignature]:
        """Judge the pair as one; none where the manifest is not signed."""
        layout = _of_clickonce(layout)
        if layout.signature is not None:
            yield clickonce_judging.judge(layout, layout.signature, NAME)

    def canonical(self, code: Source, layout: Layout, known: Prepared | None = None) -> Iterable[Problem]:
        """Say what of a signed manifest no signature covers, comments and the way of writing left out."""
        layout = _of_clickonce(layout)
        if layout.signature is not None:
            yield from clickonce_judging.loose(layout, layout.signature)

    def summarise(self, code: Source, layout: Layout) -> Summary:
        """Say what it identifies."""
        layout = _of_clickonce(layout)
        identity = clickonce_manifest.identity_of(layout)
        return Summary(f"{layout.kind} manifest of {identity['name'][:200]} {identity['version'][:40]}")

    # -- the key side: never sees the file -----------------------------------------------------------------------------
    def to_be_signed(
        self, described: Described, identity: Identity, options: Options, enclosed: bytes = b""
    ) -> Sequence[ToBeSigned]:
        """Build both signed infos; BadInput for a description that ``prepare`` would not have made."""
        return clickonce_blob.to_be_signed(_check(described, identity, options), identity)

    def finish(
        self,
        described: Described,
        identity: Identity,
        options: Options,
        signed: Sequence[Signature],
        tokens: Sequence[TimestampToken],
        enclosed: bytes = b"",
    ) -> bytes:
        """Build the signature; BadInput unless there are two, over these octets, and at most one token."""
        what = _check(described, identity, options)
        if len(signed) != 2 or len(tokens) > 1:
            raise BadInput(
                f"A ClickOnce manifest takes two signatures and at most one timestamp; {len(signed)} and {len(tokens)} "
                "came."
            )
        return clickonce_blob.finish(what, identity, signed, tokens[0].der if tokens else None)


def _of_clickonce(layout: Layout) -> ClickOnceLayout:
    return fitting.layout_of(layout, ClickOnceLayout, NAME)


def _require_sha256(digest: DigestAlgorithm) -> None:
    if digest != "sha256":
        raise BadInput(f"ClickOnce has no name for {digest}; SHA-256 is the only hash that it and we know.")


def _check(described: Described, identity: Identity, options: Options) -> clickonce_blob.Content:
    """Return what a description and an identity make; BadInput where no manifest gives it."""
    facts = fitting.facts_of(described, NAME, dict[str, str], "a ClickOnce manifest")
    _require_sha256(described.digest_algorithm)
    if facts.pop("kind", "") not in _KINDS or not all(name.startswith(_IDENTITY) for name in facts):
        raise BadInput("The facts of this description are not those of a ClickOnce manifest.")
    if (
        len(described.digest) != DIGEST_SIZES[described.digest_algorithm]
        or not 0 < described.size <= 8 * clickonce_manifest.MAX_FILE
    ):
        raise BadInput("The digest or the size of this description is not that of a ClickOnce manifest.")
    if options.mode == "append":
        raise BadInput(ClickOnceManifest.cannot["append"])
    attributes = {name.removeprefix(_IDENTITY): facts[name] for name in facts}
    what = clickonce_blob.content(described.digest, attributes, options, identity.chain)
    clickonce_manifest.check_signer(attributes, identity.chain[0])
    return what
