"""What things that are handed in together say of each other: who issued whom, what followed what.

A CRL of a subordinate CA that may issue no further CA (path length 0) covers what that CA's purpose says; a root's
covers subordinate CAs (CSBR 6.1.7 lets it sign nothing else that is listed). Of any other CA it is not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from privyseal.compliance import certificate, crl, ocsp
from privyseal.compliance.certificate import CODE_SIGNING, TIME_STAMPING, JudgedCertificate, Role
from privyseal.compliance.crl import Covers, RevocationList, Signed
from privyseal.compliance.ocsp import StatusResponse
from privyseal.compliance.request import CertificateRequest
from privyseal.errors import BadInput
from privyseal.pki import extensions
from privyseal.pki.extensions import BasicConstraints

LIFETIME_SIGNING = "1.3.6.1.4.1.311.10.3.13"
"""The purpose with which a certificate's signatures end at its expiry, timestamped or not (CSBR 7.2)."""


def stand_together(
    subjects: Sequence[Any], known: Sequence[JudgedCertificate], at: datetime, covers: Covers | None = None
) -> list[Any]:
    """Return the subjects, in order, each with what the others and the ``known`` certificates say of it.

    ``covers`` is what the asker says of CRLs and OCSP responses whose coverage is not known otherwise. A request counts
    as received at ``at``, the moment for which is asked: no earlier law holds for what it may become.
    """
    lists = crl.in_succession(_listed(each, known, covers) for each in subjects if isinstance(each, RevocationList))
    answers = ocsp.in_succession(
        ocsp.beside_lists(_answered(each, known, covers), lists)
        for each in subjects
        if isinstance(each, StatusResponse)
    )
    followed: dict[str, Any] = {each.label: each for each in lists} | {each.label: each for each in answers}
    found: list[Any] = []
    for each in subjects:
        if isinstance(each, JudgedCertificate):
            found.append(certificate.with_issuer(each, known))
        elif isinstance(each, RevocationList | StatusResponse):
            found.append(followed[each.label])
        elif isinstance(each, CertificateRequest) and each.received is None:
            found.append(msgspec.structs.replace(each, received=at))
        else:
            found.append(each)
    return found


def coverage(issuer: JudgedCertificate) -> Covers | None:
    """Tell which certificates a CA issues, by its own; None where that leaves a choice."""
    if issuer.role is Role.ROOT:
        return Covers.SUBORDINATE_CA
    constraints, purposes = issuer.constraints, issuer.purposes
    if not isinstance(constraints, BasicConstraints) or constraints.path_length != 0:
        return None
    if not isinstance(purposes, tuple) or (CODE_SIGNING in purposes) == (TIME_STAMPING in purposes):
        return None
    return Covers.CODE_SIGNING if CODE_SIGNING in purposes else Covers.TIMESTAMP


def _listed(listed: RevocationList, known: Sequence[JudgedCertificate], covers: Covers | None) -> RevocationList:
    issuer = next((each for each in known if each.subject_octets == listed.issuer and _is_ca(each)), None)
    issued = [each for each in known if each.issuer_octets == listed.issuer]
    kept = [each for each in issued if isinstance(each.purposes, tuple) and LIFETIME_SIGNING in each.purposes]
    beside = msgspec.structs.replace(
        listed.beside,
        covers=listed.beside.covers or (None if issuer is None else coverage(issuer)) or covers,
        expiries={each.serial: each.not_after for each in issued} | listed.beside.expiries,
        lifetime=listed.beside.lifetime | {each.serial for each in kept},
        signed=_signed(listed, known),
    )
    return msgspec.structs.replace(listed, beside=beside)


def _signed(listed: RevocationList, known: Sequence[JudgedCertificate]) -> Signed:
    """Tell whose signature a list bears: an issuer may have several certificates, and by a changed key several keys.

    A certificate of that name whose key identifier is not the one that the list names is another key's, and tells
    nothing.
    """
    found = Signed.UNPROVEN
    for each in known:
        if each.subject_octets != listed.issuer or not _is_ca(each) or not _may_be(each, listed.issuer_key):
            continue
        verified = crl.signed_by(listed.octets, each.spki)
        if verified:
            usage = each.key_usage
            fit = usage is None or (isinstance(usage, frozenset) and "cRLSign" in usage)
            if fit:
                return Signed.ISSUER
            found = Signed.UNFIT
        elif found is not Signed.UNFIT:
            found = Signed.FORGED if verified is False or found is Signed.FORGED else Signed.UNKNOWN
    return found


def _may_be(each: JudgedCertificate, key: bytes | None) -> bool:
    own = each.value(extensions.SUBJECT_KEY_IDENTIFIER, extensions.subject_key_of)
    return key is None or not isinstance(own, bytes) or own == key


def _answered(response: StatusResponse, known: Sequence[JudgedCertificate], covers: Covers | None) -> StatusResponse:
    for each in known:
        if _is_ca(each) and ocsp.is_issuer(each.octets, response.singles[0]):
            of = response.beside.covers or coverage(each) or covers
            beside = msgspec.structs.replace(response.beside, issuer=each.octets, covers=of)
            try:
                return ocsp.read(response.octets, response.label, beside)
            except BadInput:  # a certificate that we can judge and `cryptography` cannot load
                break
    beside = msgspec.structs.replace(response.beside, covers=response.beside.covers or covers)
    return msgspec.structs.replace(response, beside=beside)


def _is_ca(each: JudgedCertificate) -> bool:
    return each.role is not Role.LEAF
