"""The clocks that an incident starts: notices to the CA, and the CA's own revocation (CSBR 9.6.5, 4.9.1.1, 4.9.1.2).

A Signing Service tells the CA *at once* of a compromise, and a CA that learns that it took more than 24 hours revokes:
so it is a warning from the first second, and a breach after 24 hours. For Suspect Code no text gives hours; ours are
the same 24. The CA counts from its own assurance, whenever the service knew.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from privyseal.compliance.due import Clock
from privyseal.compliance.duty_facts import DutyFacts, Incident, IncidentKind, Notice, Reason, Revocation
from privyseal.compliance.requirement import Nature

NOTICE = timedelta(hours=24)
"""CSBR 9.6.5: how late a notice of a compromise is late; for Suspect Code a house rule."""
SUSPECT_CODE_WARNING = timedelta(hours=12)
"""House rule: half of the time is gone."""
REVOCATION_WARNING = timedelta(hours=20)
"""House rule: four hours are left to publish a CRL."""

DAY, FIVE_DAYS, SEVEN_DAYS = timedelta(hours=24), timedelta(days=5), timedelta(days=7)
"""The times that CSBR 4.9.1 gives a CA to revoke."""

REVOKED_WITHIN: dict[Reason, tuple[str, timedelta]] = {
    Reason.REQUESTED: ("CSBR-4.9.1.1-01", DAY),
    Reason.NOT_AUTHORISED: ("CSBR-4.9.1.1-02", DAY),
    Reason.KEY_COMPROMISE: ("CSBR-4.9.1.1-03", DAY),
    Reason.KEY_COMPUTABLE: ("CSBR-4.9.1.1-04", DAY),
    Reason.FLAWED_KEY: ("CSBR-4.9.1.1-05", DAY),
    Reason.SUSPECT_CODE: ("CSBR-4.9.1.1-06", DAY),
    Reason.KEY_SIZE: ("CSBR-4.9.1.1-07", FIVE_DAYS),
    Reason.MISUSE: ("CSBR-4.9.1.1-08", FIVE_DAYS),
    Reason.AGREEMENT_BROKEN: ("CSBR-4.9.1.1-09", FIVE_DAYS),
    Reason.INFORMATION_CHANGED: ("CSBR-4.9.1.1-10", FIVE_DAYS),
    Reason.MISISSUED: ("CSBR-4.9.1.1-11", FIVE_DAYS),
    Reason.INACCURATE: ("CSBR-4.9.1.1-12", FIVE_DAYS),
    Reason.RIGHT_LOST: ("CSBR-4.9.1.1-13", FIVE_DAYS),
    Reason.POLICY: ("CSBR-4.9.1.1-14", FIVE_DAYS),
    Reason.SUBORDINATE_CA: ("CSBR-4.9.1.2-01", SEVEN_DAYS),
}
"""Each reason: its clause, and how long the CA has (CSBR 4.9.1.1, 4.9.1.2)."""


def of_incidents(facts: DutyFacts, at: datetime) -> Iterator[Clock]:
    """Yield the clocks of each incident, for each CA that issued, and those of the CAs' revocations."""
    addresses = {each.name: each.report_to for each in facts.cas}
    for incident in facts.incidents:
        if not incident.cas:
            yield _notice(incident, None, at, "")
        for ca in dict.fromkeys(incident.cas):
            address = addresses.get(ca)
            where = f"Report to {address}." if address else f"No address for problem reports of {ca} is on record."
            yield _notice(incident, ca, at, where)
            if incident.kind is IncidentKind.COMPROMISE:
                yield _revocation_asked(incident, ca)
    yield from map(_revocation, facts.revocations)


def _notice(incident: Incident, ca: str | None, at: datetime, where: str) -> Clock:
    compromise = incident.kind is IncidentKind.COMPROMISE
    found = incident.found_at
    done = _first(incident.notices, ca)
    wrong = [each.ca for each in incident.notices if each.ca not in incident.cas and each.at <= at]
    note = "" if done is not None and done <= at else where
    if wrong and incident.cas:
        note = f"{', '.join(dict.fromkeys(wrong))} was told, which did not issue the certificate. {note}".strip()
    if done is not None and found is not None and done - found > NOTICE and compromise and done <= at:
        note = f"The CA has to revoke for that alone (CSBR-9.6.5-03). {note}".strip()
    return Clock(
        requirement="CSBR-9.6.5-02" if compromise else "CSBR-9.6.5-01",
        what="tell the issuing CA of a compromise" if compromise else "tell the issuing CA of Suspect Code",
        whom=f"{incident.id}, {ca or 'CA unknown'}",
        nature=Nature.TEXT if compromise else Nature.HOUSE_RULE,
        starts=found,
        warning=None if found is None else found if compromise else found + SUSPECT_CODE_WARNING,
        due=None if found is None else found + NOTICE,
        done=done,
        note=note if ca else "Find out which CA issued the certificate: only that one counts.",
    )


def _revocation_asked(incident: Incident, ca: str) -> Clock:
    found = incident.found_at
    return Clock(
        requirement="CSBR-9.6.5-02",
        what="ask the issuing CA to revoke",
        whom=f"{incident.id}, {ca}",
        nature=Nature.HOUSE_RULE,
        starts=found,
        warning=found,
        due=None if found is None else found + NOTICE,
        done=_first(incident.revocations_asked, ca),
        note="The clause names no hours for the request; it goes with the notice.",
    )


def _first(notices: tuple[Notice, ...], ca: str | None) -> datetime | None:
    return min((each.at for each in notices if each.ca == ca), default=None)


def _revocation(revocation: Revocation) -> Clock:
    requirement, span = REVOKED_WITHIN[revocation.reason]
    assured = revocation.assured_at
    due = None if assured is None else assured + span
    note = "Within 24 hours would have been better (SHOULD)." if span == FIVE_DAYS else ""
    if revocation.postponed_to is not None and due is not None and revocation.postponed_to > due:
        due = revocation.postponed_to
        note = f"{revocation.supplier} asked to wait until then (CSBR-4.9.1.1-15)."
    early = REVOCATION_WARNING if span != SEVEN_DAYS else SEVEN_DAYS - DAY
    return Clock(
        requirement=requirement,
        what=f"revoke ({revocation.reason})",
        whom=revocation.certificate,
        starts=assured,
        warning=None if assured is None else assured + early,
        due=due,
        done=revocation.revoked_at,
        note=note,
        unknown="It is not known when the CA had the request or its assurance.",
    )
