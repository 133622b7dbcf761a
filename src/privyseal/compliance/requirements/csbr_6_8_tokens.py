"""The Timestamp Authority's digests (CSBR 6.8), seen from a token that it gave."""

from __future__ import annotations

from datetime import date

from privyseal.compliance.outcome import Outcome, met, not_evidenced, not_met
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


def _imprint(token: Token, asked: Asked) -> Outcome:
    if token.imprint_algorithm == "sha1":
        if token.flaw:
            return not_evidenced(f"The token's imprint is SHA-1, but nobody signed for it: {token.flaw}")
        return not_met("A request with a SHA-1 imprint was answered with this token.", "reject such requests (badAlg)")
    return met(f"The imprint of this token is made with {token.imprint_algorithm}, not SHA-1.")


def _same_digest(token: Token, asked: Asked) -> Outcome:
    if token.flaw:
        return not_evidenced(f"The token proves nothing of its key: {token.flaw}", "give a token whose signature holds")
    if token.authority is None:
        return not_evidenced("The token carries no certificate of its key.", "ask with certReq for a token that does")
    wanted = token.authority.signature_digest
    if not wanted:
        return not_evidenced("The digest under the timestamp certificate's own signature is not known here.")
    said = f"The token is signed with {token.digest_algorithm}, its certificate with {wanted}"
    if token.digest_algorithm == wanted:
        return met(f"{said}.")
    return not_met(f"{said}; the same was expected.", f"sign tokens with {wanted}, or certify the key with the other")


NO_SHA1 = Requirement(
    id="CSBR-6.8-07",
    clause="6.8",
    title="A SHA-1 imprint is not timestamped",
    text="A timestamp request whose imprint is a SHA-1 digest is rejected.",
    obligation=Obligation.SHALL,
    binds=(Party.TIMESTAMP_AUTHORITY,),
    applies_to=(Scope.TIMESTAMP,),
    source=Source("CSC-26", "3.9"),
    in_force=InForce(date(2024, 8, 1)),
    dated_by=DatedBy.GEN_TIME,
    kinds=(Kind.TIMESTAMP_TOKEN,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.AUDIT,),
    check=_imprint,
    notes=(
        "A token can only show that one such request was not rejected; that all are, a probe of the service shows.",
    ),
)

SAME_DIGEST = Requirement(
    id="CSBR-6.8-08",
    clause="6.8",
    title="Tokens and timestamp certificate share a digest",
    text="A token is signed with the digest with which the timestamp certificate is signed.",
    obligation=Obligation.SHALL,
    binds=(Party.TIMESTAMP_AUTHORITY,),
    applies_to=(Scope.TIMESTAMP,),
    source=Source("CSC-1", "1.2"),
    in_force=InForce(date(2019, 8, 13)),
    dated_by=DatedBy.GEN_TIME,
    kinds=(Kind.TIMESTAMP_TOKEN,),
    severity=Severity.MEDIUM,
    enforced_by=(EnforcedBy.AUDIT,),
    check=_same_digest,
)

REQUIREMENTS = (NO_SHA1, SAME_DIGEST)
