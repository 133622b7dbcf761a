"""Signature algorithms (CSBR 7.1.3.2): RSA, ECDSA and DSA with SHA-2, and what is left of SHA-1.

The checks ask of a subject only its ``signature`` (:class:`~privyseal.pki.key_facts.SignatureFacts`).
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import partial

from privyseal.compliance.certificate import JudgedCertificate, Role
from privyseal.compliance.outcome import Outcome, judgement, met, not_applicable, not_met
from privyseal.compliance.requirement import (
    Asked,
    DatedBy,
    EnforcedBy,
    InForce,
    Kind,
    Obligation,
    Party,
    Requirement,
    Scope,
    Severity,
    Source,
)

SHA2 = ("sha256", "sha384", "sha512")
"""Digests that RSA and ECDSA go with (CSBR 7.1.3.2)."""
SHA1_ENDS = date(2021, 6, 1)
"""From this day no code signing certificate is signed with SHA-1 (CSBR 7.1.3.2, CSC-4)."""
SHA1_TIMESTAMP_ENDS = datetime(2022, 4, 30, 23, 59, 59, tzinfo=UTC)
"""Last notBefore of a timestamp certificate that may be signed with SHA-1 (CSBR 7.1.3.2, CSC-4)."""

_MEND = "sign with SHA-256, SHA-384 or SHA-512"
_FAMILIES = ("rsa", "rsa-pss", "ecdsa", "dsa")


def _leftover(certificate: JudgedCertificate) -> bool:
    """Tell whether SHA-1 was still tolerated in this certificate."""
    if certificate.role is Role.LEAF and certificate.scopes == {Scope.TIMESTAMP}:
        return certificate.not_before <= SHA1_TIMESTAMP_ENDS
    return False


def _with(certificate: JudgedCertificate, digests: tuple[str, ...]) -> Outcome:
    signature = certificate.signature
    if signature.digest == "sha1":
        if _leftover(certificate):
            return not_applicable("SHA-1 was still tolerated in a timestamp certificate of that time.")
        if (certificate.issued or certificate.not_before).date() < SHA1_ENDS:
            return judgement(
                "It is signed with SHA-1, which the Requirements ended by dates of their own: see 7.1.3.2-05."
            )
    if signature.digest not in digests or signature.mask_digest not in ("", signature.digest):
        return not_met(f"It is signed by {signature}, which is not among the algorithms allowed.", _MEND)
    return met(f"It is signed by {signature}.")


def _rsa(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    signature = certificate.signature
    if signature.family not in _FAMILIES:
        return not_met(f"It is signed by {signature}, which is not among the algorithms allowed.", _MEND)
    if signature.family not in ("rsa", "rsa-pss"):
        return not_applicable(f"It speaks of RSA; this is signed by {signature}.")
    if signature.family == "rsa-pss" and not signature.mask_digest:
        return not_met("Its RSASSA-PSS parameters cannot be read, or use no MGF1.", "use MGF1 with the same digest")
    return _with(certificate, SHA2)


def _ecdsa(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    if certificate.signature.family != "ecdsa":
        return not_applicable(f"It speaks of ECDSA; this is signed by {certificate.signature}.")
    return _with(certificate, SHA2)


def _dsa(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    if certificate.signature.family != "dsa":
        return not_applicable(f"It speaks of DSA; this is signed by {certificate.signature}.")
    return _with(certificate, ("sha256",))


def _no_sha1(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    if certificate.role is not Role.LEAF:
        return not_applicable("It speaks of code signing certificates.")
    if certificate.signature.digest == "sha1":
        return not_met(f"It is signed by {certificate.signature}.", _MEND)
    return met("It is not signed with SHA-1.")


def _sha1_leftover(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    if certificate.signature.digest != "sha1" or not _leftover(certificate):
        return not_applicable("It makes no use of this permission.")
    return met("It is a timestamp certificate signed with SHA-1, which was tolerated for its notBefore.")


_entry = partial(
    Requirement,
    clause="7.1.3.2",
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
    source=Source("CSC-1", "1.2"),
    in_force=InForce(date(2019, 8, 13)),
    dated_by=DatedBy.ISSUANCE,
    kinds=(Kind.CERTIFICATE,),
    severity=Severity.CRITICAL,
    enforced_by=(EnforcedBy.REVOCATION, EnforcedBy.AUDIT),
)

RSA = _entry(
    id="CSBR-7.1.3.2-01",
    title="RSA signatures with SHA-2",
    text="An RSA signature is PKCS#1 v1.5 or PSS with SHA-256, SHA-384 or SHA-512.",
    check=_rsa,
    notes=("An algorithm that is neither RSA, ECDSA nor DSA is reported here, for the list has no place for it.",),
)
SHA1_LEFTOVER = _entry(
    id="CSBR-7.1.3.2-02",
    title="What is left of SHA-1",
    text="SHA-1 may still be in CRLs and OCSP responses, and in timestamp certificates and tokens until April 2022.",
    obligation=Obligation.MAY,
    binds=(Party.CA, Party.TIMESTAMP_AUTHORITY),
    source=Source("CSC-4", "2.1"),
    in_force=InForce(date(2020, 11, 7)),
    severity=Severity.NOTICE,
    enforced_by=(EnforcedBy.NOBODY,),
    check=_sha1_leftover,
)
ECDSA = _entry(
    id="CSBR-7.1.3.2-03",
    title="ECDSA signatures with SHA-2",
    text="An ECDSA signature is with SHA-256, SHA-384 or SHA-512.",
    check=_ecdsa,
)
DSA = _entry(
    id="CSBR-7.1.3.2-04",
    title="DSA signatures with SHA-256",
    text="A DSA signature is with SHA-256.",
    source=Source("CSC-2..CSC-14", "2.0..3.0", "window"),
    in_force=InForce(date(2022, 6, 29)),
    check=_dsa,
)
NO_SHA1 = _entry(
    id="CSBR-7.1.3.2-05",
    title="No SHA-1 in code signing certificates",
    text="Since 1 June 2021 no code signing certificate is signed with SHA-1.",
    obligation=Obligation.SHALL_NOT,
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-4", "2.1"),
    in_force=InForce(SHA1_ENDS),
    check=_no_sha1,
)

REQUIREMENTS = (RSA, SHA1_LEFTOVER, ECDSA, DSA, NO_SHA1)
