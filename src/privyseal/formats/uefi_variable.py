"""UEFI's authenticated variables: signature lists for PK, KEK, db, dbx, and others; what comes out is .auth.

A signed file is EFI_VARIABLE_AUTHENTICATION_2 (UEFI specification 2.10, 8.2.2), which is a time and a PKCS#7 message
without a ContentInfo, and behind it the content. Name, vendor and attributes of the variable are signed and stand
nowhere in it: they are told by the file's name, or found by trying Secure Boot's. The octets come out as efitools and
sbsigntool make them.

Judges of what we write: efitools (``sign-efi-sig-list``) and sbsigntool (``sbvarsign``), which make the same signature,
and openssl. No program outside firmware verifies such a file.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from privyseal.errors import BadInput, Impossible, MalformedCode
from privyseal.formats import bound_certificates, fitting, uefi_blob, uefi_facts, uefi_lists
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
from privyseal.pki import cms
from privyseal.terms.signatures import (
    Described,
    DigestAlgorithm,
    Options,
    Signature,
    TimestampToken,
    ToBeSigned,
)

NAME: Final = uefi_facts.NAME
"""What the format is called."""
_TIME = 16
"""Octets of EFI_TIME, which the certificate's header follows."""
_HEAD = _TIME + uefi_blob.CERTIFICATE.size


class VariableLayout(Layout, frozen=True, kw_only=True):
    """Where things are in one file."""

    at: int
    """Where the content begins: 0 where it is not signed."""
    time: bytes
    """EFI_TIME."""
    variable: tuple[str, str] | None
    """Name and vendor's GUID, where the file's name tells them."""

    @property
    def carries_signature(self) -> bool:
        """Tell whether a signature stands before the content."""
        return self.at > 0


class Purpose(msgspec.Struct, frozen=True):
    """What a signature turned out to be for."""

    variable: tuple[str, str]
    attributes: int


class UefiVariable:
    """The format ``uefi-variable``."""

    name = NAME
    title = "UEFI authenticated variable (esl, auth)"
    cannot: Mapping[Operation, str] = {
        "append": "A UEFI variable carries one signature: replace it instead.",
        "timestamp": "Firmware reads no timestamp in the signature of a variable, whose time is signed already.",
    }

    # -- the file side -------------------------------------------------------------------------------------------------
    def recognises(self, head: bytes, tail: bytes, filename: str) -> int:
        """Score 90 for a signed variable, 80 for a signature list, which a name tells where it is empty; else by name.

        A name that says NAME-GUID makes a variable of anything that is nothing else.
        """
        told = uefi_facts.told_by(filename)
        named = 5 * (told is not None)
        if uefi_blob.is_header(head[_TIME:_HEAD]):
            return 90 + named
        if uefi_lists.is_one(head):
            return 80 + named
        if told is None:
            return 0
        known = uefi_facts.KNOWN.get(told[0]) == told[1]
        return 15 * (not known or (not head and filename.lower().endswith((".esl", ".auth"))))

    def inspect(self, code: Source) -> VariableLayout:
        """Read what stands before the content, and the content; MalformedCode with one sentence if it is wrong."""
        most = _HEAD + uefi_blob.MAX_SIGNATURE + uefi_lists.MAX_OCTETS
        if code.size > most:
            raise _malformed(code, f"it has {code.size} octets, and at most {most} are read")
        head = code.pread(0, min(_HEAD, code.size))
        at, time = 0, uefi_facts.NO_TIME
        if uefi_blob.is_header(head[_TIME:]):
            length = int.from_bytes(head[_TIME : _TIME + 4], "little")
            at, time = _TIME + length, head[:_TIME]
            if not uefi_blob.CERTIFICATE.size < length <= uefi_blob.CERTIFICATE.size + uefi_blob.MAX_SIGNATURE:
                raise _malformed(code, f"its signature has {length} octets")
            if at > code.size:
                raise _malformed(code, f"its signature would end at {at}, and the file ends at {code.size}")
        layout = VariableLayout(
            format=NAME, size=code.size, at=at, time=time, variable=uefi_facts.told_by(code.filename)
        )
        if layout.variable is not None:
            _holds(code, layout, layout.variable)
        else:
            _lists(code, layout)
        return layout

    def prepare(
        self, code: Source, layout: Layout, identity: Identity, options: Options, digest: DigestAlgorithm
    ) -> Prepared:
        """Describe the content, for which variable it is, and since when; MalformedCode where that is not known.

        Under no certificate nothing is signed, and the digest is that of the content, which is the same whatever is
        said of it.
        """
        layout = _of_variable(layout)
        if not identity.chain:
            alone = _content(code, layout)
            found = hashlib.new(digest, alone).digest()
            bare = Described(
                format=NAME, filename=code.filename, digest_algorithm=digest, digest=found, size=len(alone)
            )
            return Prepared((bare,), layout)
        known = next(_purposes(code, layout), None) if layout.carries_signature else None
        variable = layout.variable if known is None else known.variable
        if options.efi_variable is not None:
            variable = uefi_facts.variable_of(options.efi_variable)
        if variable is None:
            raise MalformedCode(
                f"For which variable {code.filename} is, its name does not tell.",
                hint=f"--efi-variable, with one of {', '.join(uefi_facts.KNOWN)} or NAME-GUID",
            )
        attributes = known.attributes if known is not None else uefi_facts.USUAL
        time = layout.time if options.efi_time is None else uefi_facts.efi_time(options.efi_time)
        if uefi_facts.time_of(time) is None:
            raise MalformedCode(
                f"Since when {code.filename} holds has to be said: firmware takes only what is newer than what it has.",
                hint="--efi-time now, or a time such as 2026-12-01T08:00:00Z",
            )
        attributes = attributes if options.efi_attributes is None else options.efi_attributes
        holds, content = _holds(code, layout, variable), _content(code, layout)
        signed = uefi_facts.octets(variable, attributes, time, content)
        facts: dict[str, str | int | bool] = {
            "variable": variable[0],
            "vendor": variable[1],
            "attributes": attributes,
            "time": uefi_facts.time_of(time) or "",
            "holds": holds,
            "content": base64.b64encode(content).decode(),
        }
        described = Described(
            format=NAME,
            filename=code.filename,
            digest_algorithm=digest,
            digest=hashlib.new(digest, signed).digest(),
            size=len(signed),
            facts=facts,
        )
        return Prepared((described,), layout)

    def apply(self, code: Source, prepared: Prepared, options: Options, blobs: Sequence[bytes]) -> PatchPlan:
        """Plan time, signature and content; BadInput unless there is one blob."""
        layout = _of_variable(prepared.layout)
        if len(blobs) != 1:
            raise BadInput(f"A UEFI variable takes one signature; {len(blobs)} came.")
        time = uefi_facts.efi_time(str(prepared.described[0].facts.get("time")))
        return PatchPlan((Insert(time + uefi_blob.wrap(blobs[0])), Copy(layout.at, layout.size - layout.at)))

    def remove(self, code: Source, layout: Layout) -> PatchPlan:
        """Plan the content alone."""
        layout = _of_variable(layout)
        return PatchPlan((Copy(layout.at, layout.size - layout.at),))

    def timestamped(self, code: Source, layout: Layout, tokens: Mapping[int, TimestampToken]) -> PatchPlan:
        """Refuse with Impossible: there is no place for a timestamp."""
        raise Impossible(self.cannot["timestamp"])

    def signatures(self, code: Source, layout: Layout) -> Iterable[EmbeddedSignature]:
        """Judge the signature; none where there is none."""
        layout = _of_variable(layout)
        if not layout.carries_signature:
            return
        blob = _blob(code, layout)
        try:
            signed = uefi_blob.read(blob)
            (signer,) = signed.signers
            certificate = cms.signer_certificate(signed, signer)
            purpose = next(_purposes(code, layout), None)
            octets = _octets(code, layout, purpose or _guess(layout))
            problems = [Problem(flaw.code, flaw.text) for flaw in cms.flaws(signed, signer, content=octets)]
            problems += uefi_blob.family_problems(signed)
            if purpose is None and layout.variable is None:
                problems.append(Problem("variable", "It is for none of Secure Boot's; name the file NAME-GUID.auth."))
            if signer.digest_algorithm != "sha256":
                problems.append(Problem("weak-digest", f"It is by {signer.digest_algorithm}; firmware takes SHA-256."))
        except BadInput as error:
            yield EmbeddedSignature(
                format=NAME, blob=blob, index=0, nested=False, digest_algorithm="", digest=b"", signature_value=b"",
                signer=None, certificates=(), timestamp=None,
                problems=(Problem("malformed-signature", error.detail),),
            )  # fmt: skip
            return
        yield EmbeddedSignature(
            format=NAME,
            blob=blob,
            index=0,
            nested=False,
            digest_algorithm="sha256",
            digest=hashlib.sha256(octets).digest(),
            signature_value=signer.signature,
            signer=certificate,
            certificates=signed.certificates,
            timestamp=None,
            problems=tuple(problems),
        )

    def canonical(self, code: Source, layout: Layout, known: Prepared | None = None) -> Iterable[Problem]:
        """Say which octets of a signed variable no signature covers and nothing else fixes."""
        layout = _of_variable(layout)
        if not layout.carries_signature:
            return
        if uefi_facts.time_of(layout.time) is None:
            yield Problem("time", "Its time is none, or has a zone or parts of a second, which firmware refuses.")
        blob = _blob(code, layout)
        try:
            signed = uefi_blob.read(blob)
            yield from uefi_blob.loose(blob, signed)
            yield from uefi_blob.unrelated(signed)
        except BadInput as error:
            yield Problem("malformed-signature", error.detail)

    def summarise(self, code: Source, layout: Layout) -> Summary:
        """Say for which variable it is, what it holds, and since when."""
        layout = _of_variable(layout)
        purpose = next(_purposes(code, layout), None) if layout.carries_signature else None
        variable = layout.variable if purpose is None else purpose.variable
        holds = _lists(code, layout) if variable is None else _holds(code, layout, variable)
        said = "UEFI variable" if variable is None else f"UEFI variable {variable[0]}"
        said += f" with {holds or f'{layout.size - layout.at} octets'}"
        if purpose is not None:
            said += f", {'added' if purpose.attributes & uefi_facts.APPEND else 'in its place'} as of "
            said += uefi_facts.time_of(layout.time) or "no time"
        return Summary(said)

    # -- the key side: never sees the file -----------------------------------------------------------------------------
    def to_be_signed(
        self, described: Described, identity: Identity, options: Options, enclosed: bytes = b""
    ) -> Sequence[ToBeSigned]:
        """Build the octets from the content in the description; BadInput for one that ``prepare`` would not make."""
        octets = uefi_facts.check(described, options)
        if options.mode == "append":
            raise BadInput(self.cannot["append"])
        bound_certificates.require_rsa(identity.chain, identity.scheme, "UEFI")
        return (ToBeSigned(octets, "sha256"),)

    def finish(
        self,
        described: Described,
        identity: Identity,
        options: Options,
        signed: Sequence[Signature],
        tokens: Sequence[TimestampToken],
        enclosed: bytes = b"",
    ) -> bytes:
        """Build the PKCS#7 message; BadInput unless there is one signature, over these octets, and no token."""
        wanted = self.to_be_signed(described, identity, options, enclosed)
        if tokens:
            raise BadInput(self.cannot["timestamp"])
        if [one.to_be_signed for one in signed] != list(wanted):
            raise BadInput("A UEFI variable takes one signature, over the octets that this description makes.")
        return uefi_blob.build(identity, "sha256", signed[0], bare=True)


def _malformed(code: Source, why: str) -> MalformedCode:
    return MalformedCode(f"{code.filename} is no UEFI variable that can be signed: {why}.")


def _of_variable(layout: Layout) -> VariableLayout:
    return fitting.layout_of(layout, VariableLayout, NAME)


def _content(code: Source, layout: VariableLayout) -> bytes:
    return code.pread(layout.at, layout.size - layout.at)


def _blob(code: Source, layout: VariableLayout) -> bytes:
    return code.pread(_HEAD, layout.at - _HEAD)


def _holds(code: Source, layout: VariableLayout, variable: tuple[str, str]) -> str:
    try:
        return uefi_facts.check_content(variable, _content(code, layout))
    except BadInput as error:
        raise _malformed(code, error.detail) from None


def _lists(code: Source, layout: VariableLayout) -> str:
    """Say what the lists of a file hold whose name does not tell which variable it is; MalformedCode if it has none."""
    try:
        return uefi_lists.words(_content(code, layout))
    except BadInput as error:
        why = f"{error.detail}, and the file is not called NAME-GUID.auth as other variables than Secure Boot's are"
        raise _malformed(code, why) from None


def _octets(code: Source, layout: VariableLayout, purpose: Purpose) -> bytes:
    return uefi_facts.octets(purpose.variable, purpose.attributes, layout.time, _content(code, layout))


def _guess(layout: VariableLayout) -> Purpose:
    """Return what a signature that holds for nothing is judged as."""
    return Purpose(layout.variable or ("db", uefi_facts.KNOWN["db"]), uefi_facts.USUAL)


def _purposes(code: Source, layout: VariableLayout) -> Iterator[Purpose]:
    """Yield for which variable, and with which attributes, the signature of a file holds."""
    try:
        signed = uefi_blob.read(_blob(code, layout))
        for variable in (layout.variable,) if layout.variable else uefi_facts.KNOWN.items():
            for attributes in uefi_facts.ATTRIBUTES:
                purpose = Purpose(variable, attributes)
                if not cms.flaws(signed, signed.signers[0], content=_octets(code, layout, purpose)):
                    yield purpose
    except BadInput:
        return
