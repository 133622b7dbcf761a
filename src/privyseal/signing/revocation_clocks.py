"""What was stated of revocations starts and stops the clocks of duties: the CA's, and those of an incident.

The CA's clock runs from when it had the request, and that it had it is known from its answer alone. A request that
nobody answered leaves the clock unknown, which is never in time.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection

from privyseal.compliance.duty_facts import Notice, Reason, Revocation
from privyseal.compliance.incidents import Case
from privyseal.compliance.statements import Stated
from privyseal.compliance.statements_of_certificates import RevocationAsked
from privyseal.errors import BadInput
from privyseal.pki import certificates
from privyseal.records import evidence
from privyseal.terms import certificates as terms

_REASONS: dict[terms.Reason, Reason] = {
    "keyCompromise": Reason.KEY_COMPROMISE,
    "affiliationChanged": Reason.INFORMATION_CHANGED,
}
"""Which clause of CSBR 4.9.1.1 a reason of RFC 5280 comes under; for all others it is that the Subscriber asked."""


def facts(stated: Sequence[Stated], at: datetime) -> tuple[Revocation, ...]:
    """Return each certificate whose CA was asked to revoke it, as far as the CA's answers tell."""
    asked: dict[str, list[tuple[datetime, RevocationAsked]]] = {}
    for each in stated:
        matter = each.said.matter
        if isinstance(matter, RevocationAsked) and each.said.at <= at:
            asked.setdefault(matter.fingerprint, []).append((each.said.at, matter))
    return tuple(_fact(fingerprint, some) for fingerprint, some in asked.items())


def _fact(fingerprint: str, some: Sequence[tuple[datetime, RevocationAsked]]) -> Revocation:
    heard = min((when for when, one in some if one.answered != "asked"), default=None)
    revoked = min((when for when, one in some if one.answered == "revoked"), default=None)
    last = some[-1][1]
    reason = _REASONS.get(last.reason, Reason.REQUESTED)
    return Revocation(
        certificate=f"{fingerprint[:16]} at {last.authority}"[:200],
        reason=reason,
        assured_at=heard,
        revoked_at=revoked,
    )


def with_requests(connection: Connection, cases: Sequence[Case], stated: Sequence[Stated]) -> list[Case]:
    """Add to each case which CAs were asked to revoke its certificates: asking by ``cert revoke`` is asking.

    A request from before the report counts as made with it, for nobody asks of a CA twice what it did already.
    """
    asked: dict[str, datetime] = {}
    for each in stated:
        matter = each.said.matter
        if isinstance(matter, RevocationAsked) and matter.answered != "asked":
            asked.setdefault(matter.fingerprint, each.said.at)
    concerned = {name for case in cases for name in case.certificates if name in asked}
    issuers = _issuers(connection, concerned) if concerned else {}
    return [_with(case, asked, issuers) for case in cases]


def _with(case: Case, asked: dict[str, datetime], issuers: dict[str, str]) -> Case:
    known = {each.ca for each in case.revocations_asked}
    more: dict[str, datetime] = {}
    for name in case.certificates:
        ca = issuers.get(name)
        if ca is not None and ca in case.cas and ca not in known:
            more[ca] = max(asked[name], case.reported_at, more.get(ca, asked[name]))
    notices = tuple(Notice(ca=ca, at=when) for ca, when in more.items())
    return msgspec.structs.replace(case, revocations_asked=(*case.revocations_asked, *notices)) if more else case


def _issuers(connection: Connection, fingerprints: set[str]) -> dict[str, str]:
    """Return who issued each of these certificates, as incidents name CAs."""
    found: dict[str, str] = {}
    for portion in evidence.chains_of_all_subscribers(connection, only=fingerprints):
        for _, fingerprint, chain in portion:
            try:
                found[fingerprint] = certificates.read(chain[0]).issuer[:200]
            except BadInput:
                continue
    return found
