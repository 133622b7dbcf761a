"""Octets in, findings out: what kind of object it is, by its content, and what the clauses say of it.

One file may hold several objects: one in DER, or any number in PEM, whose labels nobody believes. What is in one
file stands by each other (``beside.py``): a certificate and its issuer's, one CRL and the next. Pure; the caller reads
files.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from privyseal.compliance import certificate, crl, ocsp, pkix, pkix_status, request, rfc_rules, token
from privyseal.compliance.beside import stand_together
from privyseal.compliance.catalogue import BY_ID, REQUIREMENTS
from privyseal.compliance.certificate import JudgedCertificate
from privyseal.compliance.crl import Covers, RevocationList
from privyseal.compliance.evaluate import evaluate
from privyseal.compliance.outcome import Finding, Verdict
from privyseal.compliance.requirement import Asked, DatedBy, Kind, Requirement
from privyseal.compliance.token import Authority, Token
from privyseal.errors import BadInput

MAX_INPUT_OCTETS = 24 << 20
"""Octets of one file: the PEM of the 16 MiB that ``pki/der.py`` reads of one object. The largest CRLs have 10 MiB."""
MAX_OBJECTS = 1000
"""Objects in one PEM file, as ``pki/certificates.py`` has it."""

ITS_CERTIFICATE = ", its certificate"
"""Stands behind the name of a token in that of the certificate with which it was signed."""

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----([^-]*)-----END \1-----")


class Reader(msgspec.Struct, frozen=True):
    """How one kind of object is told by its content, read, and judged by others' rules beside ours."""

    kind: Kind
    recognise: Callable[[bytes], bool]
    """Tells from DER alone whether it has the outer shape; never raises."""
    read: Callable[[bytes, str], Any]
    """Gives the subject from DER and its label; BadInput where it is not well formed."""
    others: Callable[[Any], Iterable[Finding]]
    """Gives the findings of validators that are not ours."""


def _crl_findings(listed: RevocationList) -> Iterator[Finding]:
    yield from pkix_status.crl_findings(listed)
    yield rfc_rules.crl_signature(listed)


READERS: tuple[Reader, ...] = (
    Reader(Kind.CERTIFICATE, certificate.recognise, certificate.read, pkix.certificate_findings),
    Reader(Kind.CERTIFICATE_REQUEST, request.recognise, request.read, rfc_rules.request_findings),
    Reader(Kind.CRL, crl.recognise, crl.read, _crl_findings),
    Reader(Kind.OCSP_RESPONSE, ocsp.recognise, ocsp.read, pkix_status.ocsp_findings),
    Reader(Kind.TIMESTAMP_TOKEN, token.recognise, token.read, rfc_rules.token_findings),
)
"""Every kind of object that is judged; the first that recognises it reads it."""


class DatedFinding(Finding, frozen=True):
    """A finding, and which moment decided in words, so that each says whether its date is evidenced."""

    dated: str = ""


class Linted(msgspec.Struct, frozen=True, kw_only=True):
    """One object and what was found of it."""

    label: str
    """The file, and which object of it where there are several: ``chain.pem#2``."""
    kind: Kind
    title: str
    """Which one it is, in few words from its content."""
    dated: str
    """Which moment decided which clauses were in force, in words."""
    findings: tuple[DatedFinding, ...]


def lint(
    octets: bytes,
    label: str,
    asked: Asked,
    *,
    issuers: Sequence[bytes] = (),
    covers: Covers | None = None,
    everything: bool = False,
) -> list[Linted]:
    """Judge every object in a file's octets; ``issuers`` are DER certificates that may have issued them.

    ``covers`` says about which certificates its CRLs and OCSP responses speak, where they do not say so themselves.

    BadInput where the file, or one object in it, is of no kind that is judged or cannot be read.
    """
    try:
        found = der_objects(octets)
    except BadInput as error:
        raise error.about(label) from None
    subjects = [_read(each, label if len(found) == 1 else f"{label}#{at}") for at, each in enumerate(found, 1)]
    known = [certificate.read(each, "an issuer") for each in issuers]
    known += [each for _, each in subjects if isinstance(each, JudgedCertificate)]
    linted: list[Linted] = []
    together = stand_together([each for _, each in subjects], known, asked.at, covers)
    for (reader, _), subject in zip(subjects, together, strict=True):
        linted.append(_judged(reader, subject, asked, everything=everything))
        if isinstance(subject, Token) and subject.authority is not None:
            linted.append(_authority(subject.label, subject.authority, known, asked, everything=everything))
    return linted


def _judged(reader: Reader, subject: Any, asked: Asked, *, everything: bool) -> Linted:
    judged = (*evaluate(subject, _asked_of(subject), asked, everything=everything), *reader.others(subject))
    findings = tuple(_dated(each, subject.dated) for each in judged)
    return Linted(label=subject.label, kind=reader.kind, title=subject.title, dated=subject.dated, findings=findings)


def _authority(
    label: str, own: Authority, known: Sequence[JudgedCertificate], asked: Asked, *, everything: bool
) -> Linted:
    """Judge the certificate with which a token was signed, by the day of its own issuance; its name says whose it is.

    What the token carries beside it, as far as it can be read, may be its issuer's.
    """
    reader, name = READERS[0], f"{label}{ITS_CERTIFICATE}"
    try:
        subject = certificate.read(own.certificate, name)
    except BadInput as error:
        text = f"The certificate that the token carries cannot be read: {error.detail}"
        found = DatedFinding("PKIX-tsp.certificate", "RFC 5652 10.2.2", "", name, Verdict.NOT_MET, text)
        return Linted(label=name, kind=reader.kind, title="", dated="nothing", findings=(found,))
    above: list[JudgedCertificate] = []
    for each in own.above:
        with suppress(BadInput):
            above.append(certificate.read(each, "in the token"))
    return _judged(reader, certificate.with_issuer(subject, [*known, *above]), asked, everything=everything)


def der_objects(octets: bytes) -> list[bytes]:
    """Return the DER of every object in a file, in order; BadInput where it is neither DER nor PEM."""
    if len(octets) > MAX_INPUT_OCTETS:
        raise BadInput(f"The file has {len(octets)} octets; at most {MAX_INPUT_OCTETS} are read.")
    if octets[:1] == b"\x30":
        return [octets]
    found: list[bytes] = []
    for block in _BLOCK.finditer(octets):
        if len(found) == MAX_OBJECTS:
            raise BadInput(f"The file holds more than {MAX_OBJECTS} objects; that many are read.")
        try:
            found.append(base64.b64decode(b"".join(block[2].split()), validate=True))
        except binascii.Error:
            raise BadInput(f"Object {len(found) + 1} of the file is not base64.") from None
    if not found:
        raise BadInput("The file is neither DER nor PEM.", hint=f"expected {_kinds()}")
    return found


def _read(octets: bytes, label: str) -> tuple[Reader, Any]:
    reader = next((each for each in READERS if each.recognise(octets)), None)
    if reader is None:
        raise BadInput(f"{label}: This is none of the things that are judged.", hint=f"expected {_kinds()}")
    try:
        return reader, reader.read(octets, label)
    except BadInput as error:
        raise error.about(label) from None


def _asked_of(subject: Any) -> tuple[Requirement, ...]:
    """Choose the requirements; of a certificate that no code signing can rest on, only the one about the scope."""
    judged = _BY_KIND.get(subject.kind, ())
    if isinstance(subject, JudgedCertificate) and not subject.covered:
        return tuple(each for each in judged if each.id == "CSBR-1.1-01")
    return judged


def _dated(finding: Finding, words: str) -> DatedFinding:
    requirement = BY_ID.get(finding.requirement)
    by_day = requirement is not None and requirement.dated_by is DatedBy.DAY
    return DatedFinding(**msgspec.structs.asdict(finding), dated="the day asked" if by_day else words)


def _kinds() -> str:
    return "a " + ", a ".join(each.kind.replace("-", " ") for each in READERS) + " in DER or PEM"


_BY_KIND: dict[Kind, tuple[Requirement, ...]] = {
    reader.kind: tuple(each for each in REQUIREMENTS if reader.kind in each.kinds) for reader in READERS
}
