"""Macros in Office documents: the VBA project of xlsm, xlam, xlsb, docm, dotm, pptm, ppam and their like.

A signature covers the project and nothing else of the document, which stays free to change. Office knows three, each a
part of its own beside ``vbaProject.bin`` (``vba_package``), and looks at the newest that it understands: the one of
before 2016, over an MD5 hash; *Agile* since 2016; *V3* since 2020 (``vba_hash`` says what each covers). The last two
are made, of one description each, V3 first; the first is taken away where it is found, as is every other. What is
signed is Authenticode's PKCS#7 message with another content (``vba_blob``).

There is no verifier on Linux, and none but Office itself is known that judges all of it. What stands here was held
against a workbook that Excel signed (a test file of EPPlus, with forms, controls and every kind of reference): all
three hashes come out as Excel has them. The tests write the rules down a second time; openssl judges the messages.

The signatures cover source, and not what the compiler left of it in the project. Microsoft's document asks Office to
ignore that, and nothing else keeps it honest. So the description holds the SHA-256 of the whole project too: it is what
was approved, and in the log.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from privyseal.errors import BadInput, MalformedCode
from privyseal.formats import (
    authenticode,
    authenticode_blob,
    authenticode_later,
    fitting,
    vba_blob,
    vba_hash,
    vba_package,
    vba_project,
    zipdir,
    zipdir_writing,
)
from privyseal.formats.authenticode_blob import Found
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
from privyseal.formats.vba_hash import KINDS, Kind
from privyseal.formats.vba_package import VbaLayout
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

NAME: Final = vba_package.NAME
MAX_NAME: Final = 128
"""Characters of a project's name (MS-OVBA 2.3.4.2.1.6)."""

_SUBJECT, _LEGACY = authenticode.SUBJECTS["vba"], authenticode.SUBJECTS["vba-legacy"]
_ORDER: Final = (*KINDS, "legacy")
"""Of the signatures that are found."""
_PROGRAMS: Final = {"xl": "Excel", "word": "Word", "ppt": "PowerPoint", "visio": "Visio"}


class VbaFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a description of macros says beside digest and size."""

    hash: Kind
    """Which of the hashes the digest is."""
    project: str
    """SHA-256 of the whole of ``vbaProject.bin``, lower-case hex: what is compiled in it is under no other hash."""
    name: str
    modules: int


class VbaMacros:
    """The format ``vba``."""

    name = NAME
    title = "Office macros (VBA project of xlsm, docm, pptm and their like)"
    cannot: Mapping[Operation, str] = {
        "append": "Macros carry one signature of each kind, and Office looks for no other: replace them instead."
    }

    # -- the file side -------------------------------------------------------------------------------------------------
    def recognises(self, head: bytes, tail: bytes, filename: str) -> int:
        """Score 75 for an archive whose directory ends with a VBA project near, 60 for one by its name; together 80.

        By its name it must be more than any package of its kind (``opc``), which all documents of Office are too.
        """
        if not head.startswith(zipdir.LOCAL):
            return 0
        named = filename.lower().endswith(vba_package.ENDS)
        return 75 + 5 * named if b"/vbaProject.bin" in tail else 60 * named

    def inspect(self, code: Source) -> VbaLayout:
        """Follow the relationships to project and signatures; MalformedCode where there are no macros."""
        return vba_package.read_layout(code)

    def prepare(
        self, code: Source, layout: Layout, identity: Identity, options: Options, digest: DigestAlgorithm
    ) -> Prepared:
        """Hash the project in both ways; MalformedCode where it is not settled what Office would hash."""
        layout = _of_vba(layout)
        if layout.signed_whole:
            raise MalformedCode(
                f"{code.filename} is signed as a document, and a signature of its macros would break that one.",
                hint="sign the macros first, then the document",
            )
        unpacked = vba_package.opened(code, layout)
        project = vba_project.read(unpacked)
        whole = hashlib.sha256(unpacked.octets).hexdigest()
        described = []
        for kind in KINDS:
            hashed, size = vba_hash.digest(project, kind, digest)
            described.append(
                Described(
                    format=NAME,
                    filename=code.filename,
                    digest_algorithm=digest,
                    digest=hashed,
                    size=size,
                    facts={"hash": kind, "project": whole, "name": project.name, "modules": len(project.modules)},
                )
            )
        return Prepared(tuple(described), layout)

    def apply(self, code: Source, prepared: Prepared, options: Options, blobs: Sequence[bytes]) -> PatchPlan:
        """Plan the document with both signatures and no others; BadInput unless there is one blob for each."""
        if len(blobs) != len(KINDS):
            raise BadInput(f"Macros take {len(KINDS)} signatures; {len(blobs)} came.")
        return _plan(_of_vba(prepared.layout), {kind: _part(blob) for kind, blob in zip(KINDS, blobs, strict=True)})

    def remove(self, code: Source, layout: Layout) -> PatchPlan:
        """Plan the document without signatures of its macros; relationships and types are as they were."""
        layout = _of_vba(layout)
        return _plan(layout, {}) if layout.signatures else PatchPlan((Copy(0, code.size),))

    def timestamped(self, code: Source, layout: Layout, tokens: Mapping[int, TimestampToken]) -> PatchPlan:
        """Plan the document with a token in each signature named; what is signed keeps its octets."""
        layout = _of_vba(layout)
        parts = _parts(code, layout)
        before = [_message(part) for part in parts.values()]
        after = authenticode_later.timestamped(before, tokens)
        for kind, old, new in zip(list(parts), before, after, strict=True):
            if new != old:
                parts[kind] = _part(new)
        return _plan(layout, parts)

    def signatures(self, code: Source, layout: Layout) -> Iterable[EmbeddedSignature]:
        """Judge every signature: V3, Agile, the one of before 2016; none where the macros are not signed."""
        layout = _of_vba(layout)
        found = list(_found(code, layout))
        wanted = {
            (kind, name)
            for kind in KINDS
            for which, one in found
            for name in DIGEST_SIZES
            if which == kind and one.blob is not None and one.blob.digest_algorithm == name
        }
        digests: dict[tuple[str, str], bytes] = {}
        if wanted:
            project = vba_project.read(vba_package.opened(code, layout))
            digests |= {(kind, name): vba_hash.digest(project, kind, name)[0] for kind, name in wanted}
        judged = [
            _judged_legacy(one, index) if kind == "legacy" else _judged(one, index, kind, digests)
            for index, (kind, one) in enumerate(found)
        ]
        ours = [index for index, (_, one) in enumerate(found) if one.blob is not None and one.blob.bound is not None]
        broken = any(judged[index].problems for index in ours)
        for index, each in enumerate(judged):
            if broken and index in ours and not each.problems:  # then it is not done with keeping this one
                text = "The macros were signed in two ways together, and the other signature does not hold."
                each = _with(each, each.digest, Problem("other-signature", text))
            yield each

    def canonical(self, code: Source, layout: Layout, known: Prepared | None = None) -> Iterable[Problem]:
        """Say what of the signatures no signature covers and nothing else fixes; of others' parts, only the messages.

        Office leaves what was in its memory around a message.
        """
        layout = _of_vba(layout)
        parts = _parts(code, layout)
        ours: set[bytes] = set()
        for kind, one in _found(code, layout):
            if one.blob is None:
                yield Problem("malformed-signature", one.error)
                continue
            if one.depth > 0:
                yield Problem("nesting", "A signature is nested where nobody is known to look for it.")
            yield from authenticode_blob.loose(one.blob)
            if one.blob.bound is None or one.depth > 0:
                continue
            certificate = cms.signer_certificate(one.blob.signed, one.blob.signer)
            ours.add(certificate or b"")
            if parts[kind] != vba_blob.around(one.blob.whole, certificate or b""):
                yield Problem("signature-part", "What stands around a signature is not as it would be written.")
        if ours and (set(parts) != set(KINDS) or len(ours) > 1):
            text = "The macros do not carry both signatures, V3 and Agile, by one signer, as they are signed here."
            yield Problem("several-signers", text)

    def summarise(self, code: Source, layout: Layout) -> Summary:
        """Say whose document it is, and how its macros are signed."""
        layout = _of_vba(layout)
        program = _PROGRAMS.get(layout.document.partition("/")[0], "Office")
        kinds = [kind for kind in _ORDER if kind in layout.signatures]
        parts = [layout.project, *(layout.signatures[kind] for kind in kinds)]
        said = f"macros of {program}, {', '.join(kinds) + ' signature' if kinds else 'not signed'}"
        return Summary(said, tuple((one.name.decode("utf-8", "replace"), one.size) for one in parts))

    # -- the key side: never sees the file -----------------------------------------------------------------------------
    def to_be_signed(
        self, described: Described, identity: Identity, options: Options, enclosed: bytes = b""
    ) -> Sequence[ToBeSigned]:
        """Build the signed attributes; BadInput for a description that ``prepare`` would not have made."""
        return (authenticode.to_be_signed(_SUBJECT, described, identity, options, _imprint(described, options)),)

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
        imprint = _imprint(described, options)
        signature, token = fitting.one_signature(signed, tokens, "a hash of macros")
        return authenticode.finish(_SUBJECT, described, identity, options, signature, token, imprint)


def _of_vba(layout: Layout) -> VbaLayout:
    return fitting.layout_of(layout, VbaLayout, "macros")


def _imprint(described: Described, options: Options) -> bytes:
    """Return the hash as it is signed; refuse a description that no macros give, and options that they cannot have."""
    facts = fitting.facts_of(described, NAME, VbaFacts, "macros")
    plain = len(facts.project) == 64 and not facts.project.strip("0123456789abcdef")
    most = vba_package.MAX_PROJECT + vba_project.MAX_TEXT
    if (
        not plain
        or len(facts.name) > MAX_NAME
        or not 0 <= facts.modules <= 0xFFFF
        or not 0 < described.size <= 2 * most
    ):
        raise BadInput(f"No macros are described here: {facts.modules} modules in {described.size} octets.")
    if options.mode == "append":
        raise BadInput(VbaMacros.cannot["append"])
    return vba_blob.source_hash(described.digest_algorithm, described.digest)


# -- parts -------------------------------------------------------------------------------------------------------------
def _part(message: bytes) -> bytes:
    """Return the part that carries a message."""
    blob = authenticode_blob.read(message)
    part = vba_blob.around(message, cms.signer_certificate(blob.signed, blob.signer) or b"")
    if len(part) > vba_blob.MAX_PART:
        raise MalformedCode(f"The signature would have {len(part)} octets; macros take {vba_blob.MAX_PART}.")
    return part


def _parts(code: Source, layout: VbaLayout) -> dict[str, bytes]:
    """Return the parts of the signatures by their kinds, in their order."""
    return {
        kind: zipdir.whole(code, layout.signatures[kind], vba_blob.MAX_PART)
        for kind in _ORDER
        if kind in layout.signatures
    }


def _message(part: bytes) -> bytes:
    try:
        return vba_blob.within(part)
    except BadInput:
        return b""


def _plan(layout: VbaLayout, parts: Mapping[str, bytes]) -> PatchPlan:
    placed = vba_package.with_signatures(layout, parts)
    return PatchPlan((*zipdir_writing.steps(placed), Insert(zipdir_writing.directory(layout.archive, placed))))


# -- judging -----------------------------------------------------------------------------------------------------------
def _found(code: Source, layout: VbaLayout) -> Iterator[tuple[str, Found]]:
    """Yield each signature with the kind of its part, those nested in one behind it."""
    for kind, part in _parts(code, layout).items():
        try:
            message = vba_blob.within(part)
        except BadInput as error:
            yield kind, Found(part, 0, None, error.detail)
            continue
        yield from ((kind, one) for one in authenticode_blob.walk([message]))


def _judged(one: Found, index: int, kind: str, digests: Mapping[tuple[str, str], bytes]) -> EmbeddedSignature:
    """Judge a signature whose digest holds the hash of the source."""
    if one.blob is None:
        return authenticode_blob.judge(one, index, NAME, _SUBJECT, {})
    algorithm, signed = one.blob.digest_algorithm, one.blob.digest
    content = digests.get((kind, algorithm), b"")
    try:
        stated = vba_blob.read_hash(signed)
        expected = vba_blob.read_hash(vba_blob.source_hash(_known(algorithm), content)) if content else stated
    except BadInput as error:
        judged = authenticode_blob.judge(one, index, NAME, _SUBJECT, {algorithm: signed})
        return _with(judged, b"", Problem("malformed-signature", error.detail))
    judged = authenticode_blob.judge(one, index, NAME, _SUBJECT, {algorithm: signed})
    problems = []
    if one.blob.subject.value != _SUBJECT.value:
        problems.append(Problem("other-format", "The signature is about another kind of file."))
    if content and (stated.algorithm, stated.source) != (expected.algorithm, expected.source):
        text = (
            f"The content has changed since it was signed: it hashes to {content.hex()}, and {stated.source.hex()} is "
            "signed."
        )
        problems.append(Problem("digest-mismatch", text))
    return _with(judged, stated.source, *problems)


def _known(algorithm: str) -> DigestAlgorithm:
    return next(name for name in DIGEST_SIZES if name == algorithm)


def _judged_legacy(one: Found, index: int) -> EmbeddedSignature:
    """Judge a signature of before 2016 as far as that is done: its hash is always by MD5, whatever it says."""
    digests = {} if one.blob is None else {one.blob.digest_algorithm: one.blob.digest}
    judged = authenticode_blob.judge(one, index, NAME, _LEGACY, digests)
    if one.blob is None or any(each.code == "weak-digest" for each in judged.problems):
        return judged
    text = "The signature is of the kind of before 2016, whose hash is by MD5; SHA-256 or stronger was expected."
    return _with(judged, judged.digest, Problem("weak-digest", text))


def _with(judged: EmbeddedSignature, digest: bytes, *more: Problem) -> EmbeddedSignature:
    return msgspec.structs.replace(judged, digest=digest, problems=(*judged.problems, *more))
