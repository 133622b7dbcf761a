"""Signature algorithms (CSBR 7.1.3.2): RSA, ECDSA and DSA with SHA-2, and what is left of SHA-1.

The checks ask of a subject only its ``signature`` (:class:`~privyseal.pki.key_facts.SignatureFacts`).
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import partial

from privyseal.compliance.certificate import JudgedCertificate, Role
from privyseal.compliance.crl import RevocationList
from privyseal.compliance.ocsp import StatusResponse
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
from privyseal.compliance.token import Token

SHA2 = ("sha256", "sha384", "sha512")
"""Digests that RSA and ECDSA go with (CSBR 7.1.3.2)."""
SHA1_ENDS = date(2021, 6, 1)
"""From this day no code signing certificate is signed with SHA-1 (CSBR 7.1.3.2, CSC-4)."""
SHA1_TIMESTAMP_ENDS = datetime(2022, 4, 30, 23, 59, 59, tzinfo=UTC)
"""Last notBefore of a timestamp certificate, and last genTime of a token, with SHA-1 (CSBR 7.1.3.2, CSC-4)."""

_MEND = "sign with SHA-256, SHA-384 or SHA-512"
_FAMILIES = ("rsa", "rsa-pss", "ecdsa", "dsa")


Signed = JudgedCertificate | RevocationList | StatusResponse | Token
"""What section 7.1.3.2 speaks of: certificates, CRLs, OCSP responses and the SignedData of timestamp tokens."""


def _leftover(signed: Signed) -> str | None:
    """Name the thing in which SHA-1, with RSA or DSA, was still tolerated; None where it was not."""
    if signed.signature.family not in ("rsa", "dsa"):
        return None
    if isinstance(signed, RevocationList | StatusResponse):
        return "a CRL" if isinstance(signed, RevocationList) else "an OCSP response"
    if isinstance(signed, Token):
        return "a token of that time" if signed.gen_time <= SHA1_TIMESTAMP_ENDS else None
    if signed.role is Role.LEAF and signed.scopes == {Scope.TIMESTAMP} and signed.not_before <= SHA1_TIMESTAMP_ENDS:
        return "a timestamp certificate of that time"
    return None


def _with(signed: Signed, digests: tuple[str, ...]) -> Outcome:
    signature = signed.signature
    if signature.digest == "sha1":
        if where := _leftover(signed):
            return not_applicable(f"SHA-1 was still tolerated in {where}.")
        made = signed.when(DatedBy.ISSUANCE)
        if isinstance(signed, JudgedCertificate) and made is not None and made.date() < SHA1_ENDS:
            return judgement(
                "It is signed with SHA-1, which the Requirements ended by dates of their own: see 7.1.3.2-05."
            )
    if signature.digest not in digests or signature.mask_digest not in ("", signature.digest):
        return not_met(f"It is signed by {signature}, which is not among the algorithms allowed.", _MEND)
    return met(f"It is signed by {signature}.")


def _rsa(signed: Signed, _asked: Asked) -> Outcome:
    signature = signed.signature
    if signature.family not in _FAMILIES:
        return not_met(f"It is signed by {signature}, which is not among the algorithms allowed.", _MEND)
    if signature.family not in ("rsa", "rsa-pss"):
        return not_applicable(f"It speaks of RSA; this is signed by {signature}.")
    if signature.family == "rsa-pss" and not signature.mask_digest:
        return not_met("Its RSASSA-PSS parameters cannot be read, or use no MGF1.", "use MGF1 with the same digest")
    return _with(signed, SHA2)


def _ecdsa(signed: Signed, _asked: Asked) -> Outcome:
    if signed.signature.family != "ecdsa":
        return not_applicable(f"It speaks of ECDSA; this is signed by {signed.signature}.")
    return _with(signed, SHA2)


def _dsa(signed: Signed, _asked: Asked) -> Outcome:
    if signed.signature.family != "dsa":
        return not_applicable(f"It speaks of DSA; this is signed by {signed.signature}.")
    return _with(signed, ("sha256",))


def _no_sha1(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    if certificate.role is not Role.LEAF:
        return not_applicable("It speaks of code signing certificates.")
    if certificate.signature.digest == "sha1":
        return not_met(f"It is signed by {certificate.signature}.", _MEND)
    return met("It is not signed with SHA-1.")


def _sha1_leftover(signed: Signed, _asked: Asked) -> Outcome:
    where = _leftover(signed)
    if signed.signature.digest != "sha1" or where is None:
        return not_applicable("It makes no use of this permission.")
    return met(f"It is signed with SHA-1, which was tolerated in {where}.")


_entry = partial(
    Requirement,
    clause="7.1.3.2",
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
    source=Source("CSC-1", "1.2"),
    in_force=InForce(date(2019, 8, 13)),
    dated_by=DatedBy.ISSUANCE,
    kinds=(Kind.CERTIFICATE, Kind.CRL, Kind.OCSP_RESPONSE, Kind.TIMESTAMP_TOKEN),
    severity=Severity.CRITICAL,
    enforced_by=(EnforcedBy.REVOCATION, EnforcedBy.AUDIT),
)

RSA = _entry(
    id="CSBR-7.1.3.2-01",
    title="RSA signatures with SHA-2",
    text="Whoever signs with RSA does so by PKCS#1 v1.5 or by PSS, and with one of three SHA-2 digests.",
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
    title="The end of SHA-1 for code signing",
    text="Since 1 June 2021 no code signing certificate is signed with SHA-1.",
    obligation=Obligation.SHALL_NOT,
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-4", "2.1"),
    in_force=InForce(SHA1_ENDS),
    kinds=(Kind.CERTIFICATE,),
    check=_no_sha1,
)

REQUIREMENTS = (RSA, SHA1_LEFTOVER, ECDSA, DSA, NO_SHA1)
