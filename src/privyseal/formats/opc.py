"""OPC packages: extensions of Visual Studio (``.vsix``), documents (``.xps``, ``.oxps``), test results (``.hlkx``).

What is signed is a list of parts, each with its content type and the digest of its octets, unpacked; the description's
digest is that of the list. In a VSIX the list has all parts, those with relationships too, as VSIXSignTool writes it:
so there is room for one signature. In other packages relationships are listed without the one to signatures, which OPC
has a transform for, and more signatures can come.

OPC wants a time of signing under the signature, and no clock is read here: what is stated is the earliest moment at
which the package can have been signed, when its newest entry was made, or the certificate became valid if that was
later. So signing twice gives the same octets.

How ZIP packs a part and what else it says of it, such as times and attributes, is bound by nothing: readers do not heed
it. The same holds for content types that belong to no part.

Judges of what we write: xmlsec1 and mono's SignedXml for the document, mono's System.IO.Packaging for the package;
which parts there are and what they hash to, the tests work out a second time with Python's zipfile. .NET's
PackageDigitalSignatureManager, which Visual Studio uses, runs on Windows only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from privyseal.errors import BadInput, MalformedCode
from privyseal.formats import (
    fitting,
    markup,
    opc_blob,
    opc_layout,
    opc_parts,
    opc_signature,
    opc_writing,
    xml_canonical,
    zipdir,
)
from privyseal.formats.comparing import Comparing
from privyseal.formats.opc_blob import Parsed
from privyseal.formats.opc_layout import OpcLayout, Signed
from privyseal.formats.protocol import (
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
from privyseal.pki import certificates
from privyseal.terms.signatures import (
    DIGEST_SIZES,
    Described,
    DigestAlgorithm,
    Options,
    Signature,
    TimestampToken,
    ToBeSigned,
)

MAX_WORD: Final = 512
"""Characters of identifier and version of an extension."""
MAX_MANIFEST: Final = 7 << 20
"""Octets of the list of parts: certificates and timestamp have to fit into the same document."""
_WRITTEN = "%Y-%m-%dT%H:%M:%SZ"
_OFFICE = tuple(
    f"application/vnd.{one}"
    for one in ("openxmlformats-officedocument.", "ms-word", "ms-excel", "ms-powerpoint", "ms-visio")
)


class OpcFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a description of a package says beside digest and size."""

    package: str
    """Identifier and version of an extension, else empty."""
    parts: int
    time: str
    """What the signature states, as RFC 3339 writes it."""


class OpcPackage:
    """The formats ``vsix`` and ``opc``."""

    def __init__(
        self, name: str, title: str, marks: tuple[bytes, ...], ends: tuple[str, ...], cannot: Mapping[Operation, str]
    ) -> None:
        """Make the format of the packages whose ends show one of ``marks``, and whose names have these ``ends``."""
        self.name = name
        self.title = title
        self.cannot = cannot
        self._marks = marks
        self._ends = ends

    # -- the file side -------------------------------------------------------------------------------------------------
    def recognises(self, head: bytes, tail: bytes, filename: str) -> int:
        """Score an archive that shows its marks: 85 for an extension, 40 for any package; the name adds 5."""
        if not head.startswith(zipdir.LOCAL):
            return 0
        named = filename.lower().endswith(self._ends)
        if not all(mark in head or mark in tail for mark in self._marks):
            return 20 * named
        return (85 if self.name == VSIX.name else 40) + 5 * named

    def inspect(self, code: Source) -> OpcLayout:
        """Read directory, content types and relationships; MalformedCode with one sentence that says what is wrong."""
        layout = opc_layout.read(code, self.name)
        opc_layout.check_size(code, layout)
        if self.name == VSIX.name:
            return msgspec.structs.replace(layout, package=_extension(code, layout))
        kinds = [kind for kind, _ in (*layout.stated.by_name.values(), *layout.stated.by_extension.values())]
        if any(kind.lower().startswith(_OFFICE) for kind in kinds):
            opc_layout.refuse(code, "it is a document of Office, which looks for signatures of another kind")
        return layout

    def prepare(
        self, code: Source, layout: Layout, identity: Identity, options: Options, digest: DigestAlgorithm
    ) -> Prepared:
        """Hash every part once; the list of them travels in the layout."""
        layout = self._of(layout)
        append = options.mode == "append"
        if append:
            _check_room(code, layout)
        changed = opc_writing.signed(layout, append=append)
        comparing: Comparing | None = getattr(code, "comparing", None)
        if comparing is not None:
            comparing.move(opc_writing.plan_of(layout, changed))
        time = zipdir.newest(one for one in layout.archive.entries if opc_layout.text(one) not in layout.own)
        if identity.chain:
            time = max(time, certificates.read(identity.chain[0]).not_before)
        written = time.strftime(_WRITTEN)
        references = opc_parts.listed(code, layout, changed.new, digest, raw=self.name == VSIX.name)
        manifest = opc_signature.package_object(references, digest, written)
        if len(manifest) > MAX_MANIFEST:
            opc_layout.refuse(code, f"a list of its parts would have {len(manifest)} octets, and {MAX_MANIFEST} fit")
        described = Described(
            format=self.name,
            filename=code.filename,
            digest_algorithm=digest,
            digest=opc_signature.digest_of_object(manifest, digest),
            size=_size(layout),
            facts={"package": layout.package, "parts": len(references), "time": written},
        )
        return Prepared((described,), msgspec.structs.replace(layout, manifest=manifest))

    def apply(self, code: Source, prepared: Prepared, options: Options, blobs: Sequence[bytes]) -> PatchPlan:
        """Plan the signed package; BadInput unless there is one blob, MalformedCode where the parts have changed."""
        layout = self._of(prepared.layout)
        if len(blobs) != 1 or len(prepared.described) != 1:
            raise BadInput(f"A package takes one signature at a time; {len(blobs)} came.")
        described = prepared.described[0]
        changed = opc_writing.signed(layout, append=options.mode == "append")
        manifest = layout.manifest
        if not manifest:  # in the service, which has read the file in another process
            facts = _check(described, options, self)
            algorithm = described.digest_algorithm
            references = opc_parts.listed(code, layout, changed.new, algorithm, raw=self.name == VSIX.name)
            manifest = opc_signature.package_object(references, algorithm, facts.time)
        if opc_signature.digest_of_object(manifest, described.digest_algorithm) != described.digest:
            raise MalformedCode(
                f"{code.filename} has other parts than were described.", hint="was it changed meanwhile?"
            )
        return opc_writing.plan_of(layout, changed, opc_signature.whole(blobs[0], manifest))

    def remove(self, code: Source, layout: Layout) -> PatchPlan:
        """Plan the package without signatures, and without what leads to them."""
        layout = self._of(layout)
        if not layout.origin:
            return opc_writing.unchanged(code)
        return opc_writing.plan(layout, opc_writing.placed(layout, opc_writing.bare(layout)))

    def timestamped(self, code: Source, layout: Layout, tokens: Mapping[int, TimestampToken]) -> PatchPlan:
        """Plan the package with tokens in its signatures; every other part keeps its octets."""
        layout = self._of(layout)
        missing = [number for number in tokens if not 0 <= number < len(layout.signed)]
        if missing or not layout.signed:
            raise BadInput(
                f"The file carries {len(layout.signed)} signatures; there is no number {min(missing, default=0)}."
            )
        changes: dict[str, bytes | None] = {}
        for number, token in tokens.items():
            entry = layout.signed[number].entry
            octets = zipdir.whole(code, entry, xml_canonical.MAX_OCTETS)
            try:
                octets = opc_blob.timestamped(octets, opc_blob.read(octets), token)
            except BadInput as error:
                raise MalformedCode(f"Signature {number} cannot take a timestamp: {error.detail}") from None
            changes[opc_layout.text(entry)] = octets
        return opc_writing.plan(layout, opc_writing.placed(layout, changes))

    def signatures(self, code: Source, layout: Layout) -> Iterable[EmbeddedSignature]:
        """Judge every signature that the package leads to; each part is read once."""
        layout = self._of(layout)
        documents = [_document(code, layout, one, keep=True) for one in layout.signed]
        held = opc_parts.Held(code, layout, [one.references for _, one in documents if isinstance(one, Parsed)])
        for index, (signed, (octets, one)) in enumerate(zip(layout.signed, documents, strict=True)):
            if not isinstance(one, Parsed):
                yield EmbeddedSignature(
                    format=self.name, blob=octets, index=index, nested=False, digest_algorithm="", digest=b"",
                    signature_value=b"", signer=None, certificates=(), timestamp=None, problems=(one,),
                )  # fmt: skip
                continue
            beside = [zipdir.whole(code, each, opc_layout.MAX_CERTIFICATE) for each in signed.certificates]
            carried = (*beside, *one.certificates)
            problems = [*opc_blob.problems(one, carried), *held.problems(one.references)]
            start, end = one.package.start, opc_layout.end_of(one.package, octets)
            yield EmbeddedSignature(
                format=self.name,
                blob=octets[:start] + octets[end:],
                index=index,
                nested=False,
                digest_algorithm=one.algorithm,
                digest=one.digest,
                signature_value=one.value,
                signer=carried[0] if carried else None,
                certificates=carried,
                timestamp=one.timestamps[0] if one.timestamps else None,
                problems=tuple(problems),
            )

    def canonical(self, code: Source, layout: Layout, known: Prepared | None = None) -> Iterable[Problem]:
        """Say what of a signature made here, and of the way to it, is not as it would be written."""
        layout = self._of(layout)
        ours = 0
        for one in layout.signed:
            octets, parsed = _document(code, layout, one, keep=False)
            if not isinstance(parsed, Parsed) or parsed.bound is None:
                continue
            ours += 1
            yield from opc_blob.loose(octets, parsed)
        if layout.signed:
            yield from _kind_problems(layout)
        names = [opc_layout.text(one.entry) for one in layout.signed]
        if ours and ours == len(names) and layout.listed != opc_writing.plain_list(names):
            yield Problem("signature-list", "The list of signatures is not written as it would be.")

    def summarise(self, code: Source, layout: Layout) -> Summary:
        """Say which package it is and how much is in it."""
        layout = self._of(layout)
        kind = f"Visual Studio extension {layout.package}" if self.name == VSIX.name else "OPC package"
        return Summary(f"{kind.strip()}, {len(layout.parts())} parts")

    # -- the key side: never sees the file -----------------------------------------------------------------------------
    def to_be_signed(
        self, described: Described, identity: Identity, options: Options, enclosed: bytes = b""
    ) -> Sequence[ToBeSigned]:
        """Build SignedInfo; BadInput for a description that ``prepare`` would not have made."""
        _check(described, options, self)
        return (opc_signature.to_be_signed(described, identity),)

    def finish(
        self,
        described: Described,
        identity: Identity,
        options: Options,
        signed: Sequence[Signature],
        tokens: Sequence[TimestampToken],
        enclosed: bytes = b"",
    ) -> bytes:
        """Build the document without its list; BadInput unless there is one signature, and at most one token."""
        _check(described, options, self)
        signature, token = fitting.one_signature(signed, tokens, "a package")
        return opc_signature.finish(described, identity, signature, token)

    def _of(self, layout: Layout) -> OpcLayout:
        return fitting.layout_of(layout, OpcLayout, self.name, self.name)


def _extension(code: Source, layout: OpcLayout) -> str:
    """Return identifier and version of an extension, empty where its manifest states none of them plainly."""
    entry = next((one for one in layout.archive.entries if one.name.lower() == b"extension.vsixmanifest"), None)
    if entry is None:
        opc_layout.refuse(code, "it has no extension.vsixmanifest")
    octets = zipdir.whole(code, entry, opc_layout.MAX_EDITED)
    elements = markup.scan(octets, f"{entry.shown} in {code.filename}", depth=2)
    named = [one.attributes for one in markup.below(elements, "Metadata") if one.name == "Identity"]
    found = named[0] if len(named) == 1 else {}
    words = " ".join(found[key] for key in ("Id", "Version") if key in found)
    return words if len(words) <= MAX_WORD and words.isprintable() else ""


def _size(layout: OpcLayout) -> int:
    """Return how many octets the parts have, but for the package's relationships, which signing changes."""
    return sum(one.size for one in layout.parts() if opc_layout.text(one) != opc_layout.ROOT_RELATIONSHIPS)


def _document(code: Source, layout: OpcLayout, signed: Signed, *, keep: bool) -> tuple[bytes, Parsed | Problem]:
    """Return a signature's document and what is in it; if ``keep``, the next who asks need not read it again."""
    name = opc_layout.text(signed.entry)
    if (there := layout.documents.pop(name, None)) is None:
        octets = zipdir.whole(code, signed.entry, xml_canonical.MAX_OCTETS)
        try:
            there = octets, opc_blob.read(octets)
        except BadInput as error:
            there = octets, Problem("malformed-signature", error.detail)
    if keep:
        layout.documents[name] = there
    return there


def _kind_problems(layout: OpcLayout) -> Iterable[Problem]:
    """Say which of the parts that lead to signatures, or are some, have another content type than OPC gives them."""
    expected = {
        layout.origin: opc_layout.ORIGIN_TYPE,
        opc_layout.relationships_of(layout.origin): opc_layout.RELATIONSHIPS_TYPE,
        **{opc_layout.text(one.entry): opc_layout.SIGNATURE_TYPE for one in layout.signed},
    }
    for name, kind in expected.items():
        if (stated := layout.stated.of(name) or "").lower() != kind:
            yield Problem("content-type", f"The content type of {name!r} is {stated[:80]!r}; {kind} was expected.")


def _check_room(code: Source, layout: OpcLayout) -> None:
    """Refuse to add a signature where one that is there covers the list of them, and would break."""
    beside = opc_layout.relationships_of(layout.origin).lower()
    for one in layout.signed:
        _, parsed = _document(code, layout, one, keep=False)
        for each in parsed.references if isinstance(parsed, Parsed) else ():
            if each.name.lower() == beside and (not each.transforms or opc_layout.TO_SIGNATURE in each.kinds):
                raise MalformedCode(
                    f"A signature in {code.filename} covers the list of signatures, so one more would break it.",
                    hint="replace it instead",
                )


def _check(described: Described, options: Options, code_format: OpcPackage) -> OpcFacts:
    """Return the facts of a description; refuse what no package gives, and options that it cannot have."""
    facts = fitting.facts_of(described, code_format.name, OpcFacts, "a package")
    try:
        time = datetime.strptime(facts.time, _WRITTEN)  # noqa: DTZ007 - it is written anew and compared
    except ValueError as error:
        raise BadInput(f"The facts of this description are not those of a package: {error}.") from None
    if time.strftime(_WRITTEN) != facts.time or time.year < 1980:
        raise BadInput(f"No package is described here: it states the time {facts.time[:40]!r}.")
    if len(facts.package) > MAX_WORD or not (facts.package == "" or facts.package.isprintable()):
        raise BadInput(f"No package is described here: its name has more than {MAX_WORD} printable characters.")
    if not 1 <= facts.parts <= opc_blob.MAX_REFERENCES or described.size < 0:
        raise BadInput(f"No package is described here: {facts.parts} parts of {described.size} octets.")
    if len(described.digest) != DIGEST_SIZES[described.digest_algorithm]:
        raise BadInput("The digest of this description has not the size of its algorithm.")
    if options.mode == "append" and "append" in code_format.cannot:
        raise BadInput(code_format.cannot["append"])
    return facts


VSIX = OpcPackage(
    "vsix",
    "Visual Studio extension (VSIX)",
    (b".vsixmanifest",),
    (".vsix",),
    {"append": "The signature of an extension covers the list of signatures, so there is one: replace it instead."},
)
"""The format ``vsix``."""
OPC = OpcPackage(
    "opc",
    "OPC package (XPS, HLKX and others)",
    (b"[Content_Types].xml", b"_rels/.rels"),
    (".xps", ".oxps", ".hlkx", ".hckx"),
    {},
)
"""The format ``opc``: every other package that is none of Office."""
