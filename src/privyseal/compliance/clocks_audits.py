"""The clocks of audits: periods without a gap and of a year at most, reports within three months, qualified auditors.

An audit period is under the clauses that bound on its first day (8.1 before 8.4.2). The text asks it of a CA that its
periods leave no day out (8.1); for a Signing Service and a Timestamp Authority that follows from the definition of an
audit period (1.6.1), and is an interpretation. So is the publication of their reports within three months (8.6).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

from msgspec.structs import replace

from privyseal.compliance import spans
from privyseal.compliance.catalogue import BY_ID
from privyseal.compliance.due import Clock
from privyseal.compliance.duty_facts import Audited, Auditor, AuditPeriod, DutyFacts
from privyseal.compliance.requirement import Nature

REPORT_MONTHS = 3
"""CSBR 8.6."""
NEXT_PERIOD_WARNING = timedelta(days=90)
"""House rule: an auditor has to be engaged before a period ends."""
REPORT_WARNING = timedelta(days=30)
"""House rule."""
QUALIFICATION_WARNING = timedelta(days=60)
"""House rule."""
LEAST_INSURANCE = 1_000_000
"""US dollars (CSBR 8.2)."""

_ONE_DAY = timedelta(days=1)
_BY_FIRST_DAY: dict[Audited, tuple[str, ...]] = {
    Audited.CA: ("CSBR-8.1-02",),
    Audited.SIGNING_SERVICE: ("CSBR-8.4.2-01", "CSBR-8.1-04", "CSBR-8.1-90"),
    Audited.TIMESTAMP_AUTHORITY: ("CSBR-8.4.3-01", "CSBR-8.1-04"),
}
"""Who is audited by which entry; the first that bound on the period's first day."""


def of_audits(facts: DutyFacts, at: datetime) -> Iterator[Clock]:
    """Yield the clocks of all audit periods, their reports and their auditors."""
    for party in Audited:
        periods = sorted((each for each in facts.audits if each.of is party), key=lambda each: each.first_day)
        begun = [each for each in periods if spans.beginning(each.first_day) <= at]
        for period in begun:
            yield _length(period, facts)
            if spans.end(period.last_day) <= at:
                yield _report(period)
        for before, period in pairwise(periods):
            if spans.beginning(before.first_day) <= at:
                yield _seam(before, period, facts)
        if begun:
            yield _next(periods, facts)
    if not any(each.of is Audited.SIGNING_SERVICE for each in facts.audits):
        yield from _first_period(facts, at)
    audited: dict[str | None, list[AuditPeriod]] = {}
    for period in facts.audits:
        audited.setdefault(period.auditor, []).append(period)
    for auditor in facts.auditors:
        yield _qualification(auditor, audited.get(auditor.name, []), at)


def _entry(party: Audited, first_day: date, facts: DutyFacts) -> str:
    of_party = _BY_FIRST_DAY[party]
    bound = (each for each in of_party if BY_ID[each].binding_since(facts.choices).on(first_day))
    return next(bound, of_party[-1])


def _nature(party: Audited) -> Nature:
    return Nature.TEXT if party is Audited.CA else Nature.INTERPRETATION


def _named(period: AuditPeriod) -> str:
    return f"{period.of} {period.first_day}/{period.last_day}"


def _length(period: AuditPeriod, facts: DutyFacts) -> Clock:
    longest = spans.last_day_of_year_from(period.first_day)
    days = (period.last_day - longest).days
    return Clock(
        requirement=_entry(period.of, period.first_day, facts),
        what="end the audit period within a year",
        whom=_named(period),
        nature=_nature(period.of),
        starts=spans.beginning(period.first_day),
        warning=spans.beginning(period.first_day) if days > 0 else None,
        due=spans.end(longest),
        done=spans.end(period.last_day),
        note=f"It is {_days(days)} longer than a year." if days > 0 else "",
        governed=period.first_day,
    )


def _report(period: AuditPeriod) -> Clock:
    published = min((each for each in (period.published_on, period.explained_on) if each), default=None)
    due = spans.months_later(period.last_day, REPORT_MONTHS)
    return Clock(
        requirement="CSBR-8.6-01",
        what="publish the audit report",
        whom=_named(period),
        nature=_nature(period.of),
        starts=spans.end(period.last_day),
        warning=spans.beginning(due - REPORT_WARNING),
        due=spans.end(due),
        done=None if published is None else spans.end(published),
        note="" if published else "If it is late, a letter of explanation that the auditor signed has to be out.",
        governed=period.first_day,
    )


def _seam(before: AuditPeriod, period: AuditPeriod, facts: DutyFacts) -> Clock:
    expected = before.last_day + _ONE_DAY
    gap = (period.first_day - expected).days
    begun = spans.beginning(before.first_day)
    return Clock(
        requirement=_entry(period.of, period.first_day, facts),
        what="leave no day between two periods",
        whom=f"{period.of} {before.last_day}, {period.first_day}",
        nature=_nature(period.of),
        starts=begun,
        warning=begun if gap > 0 else None,
        due=spans.end(expected) if gap >= 0 else None,
        done=spans.beginning(period.first_day),
        note=f"No audit covers {_days(gap)}, from {expected} on." if gap > 0 else "",
        unknown=f"The two overlap by {_days(-gap)}: find out which report speaks for those days.",
        governed=period.first_day,
    )


def _next(periods: Sequence[AuditPeriod], facts: DutyFacts) -> Clock:
    last = max(periods, key=lambda each: each.last_day)
    first_day = last.last_day + _ONE_DAY
    return Clock(
        requirement=_entry(last.of, first_day, facts),
        what="begin the next audit period",
        whom=f"{last.of} after {last.last_day}",
        nature=_nature(last.of),
        starts=spans.beginning(periods[0].first_day),
        warning=spans.beginning(first_day - NEXT_PERIOD_WARNING),
        due=spans.end(first_day),
        note=f"It has to begin on {first_day} and to end on {spans.last_day_of_year_from(first_day)} at the latest.",
        governed=first_day,
    )


def _first_period(facts: DutyFacts, at: datetime) -> Iterator[Clock]:
    """Yield the clock of the first period under 8.4.2, where no period of a Signing Service is known."""
    first_day = BY_ID["CSBR-8.4.2-01"].binding_since(facts.choices).since
    since = facts.signing_service_since
    if since is None:
        yield Clock(
            requirement="CSBR-8.4.2-01",
            what="begin the first audit period",
            whom="signing-service",
            nature=Nature.INTERPRETATION,
            unknown="No audit period of a Signing Service is known, nor since when it is one (signing_service_since).",
        )
        return
    running = since < first_day
    due = spans.kept_for_months(first_day, 12) if running else spans.last_day_of_year_from(since)
    yield Clock(
        requirement="CSBR-8.4.2-01",
        what="begin the first period under 8.4.2" if running else "end the first audit period within a year",
        whom="signing-service",
        nature=Nature.INTERPRETATION,
        starts=spans.beginning(max(since, first_day)),
        warning=spans.beginning(due - NEXT_PERIOD_WARNING),
        due=spans.end(due),
        note=(
            f"A period that began before {first_day} was under 8.1, and lasted a year at most."
            if running
            else f"It begins on {since}, with the first day of the service."
        ),
    )


def _qualification(auditor: Auditor, mine: Sequence[AuditPeriod], at: datetime) -> Clock:
    """Return the clock of what is on record of an auditor; its end is a lapse, and a report after it a breach.

    ``mine`` are the periods that this auditor audits.
    """
    begun = spans.beginning(min([at.astimezone(UTC).date(), *(each.first_day for each in mine)]))
    record = Clock(requirement="CSBR-8.2-01", what="have a qualified auditor on record", whom=auditor.name)
    if auditor.insurance_usd is not None and auditor.insurance_usd < LEAST_INSURANCE and not auditor.government:
        note = f"The insurance is for {auditor.insurance_usd} US dollars; {LEAST_INSURANCE} were expected."
        return replace(record, starts=begun, due=begun - timedelta(seconds=1), note=note)
    missing = _missing(auditor)
    until = min((each for each in (auditor.accredited_until, auditor.insured_until) if each is not None), default=None)
    if missing or until is None:
        return replace(record, unknown=f"Not on record: {', '.join(missing)}.")
    last = max((each.published_on or each.last_day for each in mine), default=until)
    return replace(
        record,
        starts=min(begun, spans.beginning(until)),
        warning=spans.beginning(until) - QUALIFICATION_WARNING,
        due=spans.end(until),
        done=spans.end(last) if last > until else None,
        note=f"A report of {last} needs a renewed one." if last > until else "Renew it before a later report.",
        permission=True,
    )


def _missing(auditor: Auditor) -> list[str]:
    found = []
    if auditor.accredited_until is None:
        found.append("a licence or accreditation (accredited_until)")
    if not auditor.government and (auditor.insured_until is None or auditor.insurance_usd is None):
        found.append("an insurance (insured_until, insurance_usd)")
    if not auditor.independent:
        found.append("a declaration of independence (independent)")
    return found


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"
