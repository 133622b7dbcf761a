"""How long a timestamp key signs (CSBR 6.3.2), seen from the tokens that it signed."""

from __future__ import annotations

from datetime import date

from privyseal.compliance.outcome import Outcome, met, not_evidenced, not_met
from privyseal.compliance.periods import months_after
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

USE_MONTHS = 15
"""For how long after its certificate's notBefore a timestamp key signs (CSBR 6.3.2)."""


def _in_time(token: Token, asked: Asked) -> Outcome:
    if token.flaw:
        return not_evidenced(f"The token proves nothing of its key: {token.flaw}", "give a token whose signature holds")
    if token.authority is None or token.unverified:
        return not_evidenced(f"The signature was not verified: {token.unverified}", "ask with certReq, and for SHA-2")
    last = months_after(token.authority.not_before, USE_MONTHS)
    said = (
        f"The key signed at {token.gen_time:%Y-%m-%dT%H:%M:%SZ}; {last:%Y-%m-%dT%H:%M:%SZ} was the last moment for it."
    )
    return met(said) if token.gen_time <= last else not_met(said, "issue a new timestamp certificate for a new key")


USE = Requirement(
    id="CSBR-6.3.2-04",
    clause="6.3.2",
    title="A timestamp key signs for 15 months",
    text="The private key of a timestamp certificate is not used later than 15 months after its notBefore.",
    obligation=Obligation.SHALL_NOT,
    binds=(Party.TIMESTAMP_AUTHORITY, Party.CA),
    applies_to=(Scope.TIMESTAMP,),
    source=Source("CSC-26", "3.9"),
    in_force=InForce(date(2024, 8, 1)),
    dated_by=DatedBy.GEN_TIME,
    kinds=(Kind.TIMESTAMP_TOKEN,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.AUDIT,),
    check=_in_time,
    notes=("From version 1.2 to 3.8 it read: a new certificate for a new key at least every 15 months.",),
)

REQUIREMENTS = (USE,)
