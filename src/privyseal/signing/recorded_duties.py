"""The facts of duties that a service's own records hold: what people stated, as far as the log has it.

Nothing is concluded from silence. That there is no record of an incident, a leaver or a change says nothing, so no
clock starts for one that was not recorded; that nobody stated when accounts were last reviewed leaves that duty
unknown, and unknown is never in time. What a person has judged not to show it counts as if it were not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from itertools import zip_longest

import msgspec
from sqlalchemy import Connection

from privyseal.compliance import statements as stated_as
from privyseal.compliance import statements_of_parties as of_parties
from privyseal.compliance.catalogue import BY_ID
from privyseal.compliance.duty_facts import (
    Audited,
    AuditPeriod,
    DutyFacts,
    Incident,
    IncidentKind,
    IssuingCA,
    Leaver,
    LogState,
    ModuleCertificate,
    Network,
    Notice,
    TimestampKey,
)
from privyseal.compliance.held import Held
from privyseal.compliance.incidents import believed
from privyseal.compliance.incidents import facts as incidents_facts
from privyseal.compliance.known import SERVICE, Known
from privyseal.compliance.spans import beginning
from privyseal.compliance.statements import Stated, current, of_kind
from privyseal.compliance.statements_of_timestamps import TimestampKeyRemoved, TimestampKeyUsed
from privyseal.records import evidence, incidents, statements
from privyseal.signing import renewals, revocation_clocks
from privyseal.signing.known import TOPICS, known_from

MOST_TEXT = 200
"""Characters of what a fact is called."""


def facts_of_all_subscribers(connection: Connection, name: str, at: datetime) -> DutyFacts:
    """Return what the records of the service called ``name`` hold of its duties, up to the moment asked about."""
    checks = [each for each in evidence.log_checks_of_all_subscribers(connection) if each <= at]
    stated = statements.stated_of_all_subscribers(connection, TOPICS)
    facts = facts_from(stated, name, at, max(checks, default=None))
    cases = [each.case for each in incidents.cases_of_all_subscribers(connection)]
    cases = revocation_clocks.with_requests(connection, cases, stated)
    found, cas = incidents_facts(cases, at)
    named = {each.name for each in facts.cas}
    known = msgspec.structs.replace(known_from(stated), believed=believed(cases))
    return msgspec.structs.replace(
        facts,
        incidents=(*facts.incidents, *found),
        cas=(*facts.cas, *(each for each in cas if each.name not in named)),
        renewals=renewals.facts_of_all_subscribers(connection, known, at),
        revocations=revocation_clocks.facts(stated, at),
    )


def facts_from(stated: list[Stated], name: str, at: datetime, checked: datetime | None = None) -> DutyFacts:
    """Return the facts in statements; all that nobody stated is None, and no list has what was not recorded.

    ``checked`` is when the service itself checked its whole log last and found it sound.
    """
    known = known_from(stated)
    audits = {
        each.slot: AuditPeriod(
            of=Audited.SIGNING_SERVICE if each.of is msgspec.UNSET else Audited.TIMESTAMP_AUTHORITY,
            first_day=each.start,
            last_day=each.end,
            auditor=each.auditor,
            published_on=each.published,
        )
        for each in of_kind(stated, stated_as.AuditPeriod)
    }
    return DutyFacts(
        name=name[:MOST_TEXT],
        choices=known.choices,
        network=_network(known, at),
        log=_log(known, at, checked),
        incidents=_incidents(stated, at),
        cas=_cas(stated),
        leavers=_leavers(stated, at),
        audits=tuple(audits.values()),
        modules=_modules(stated, at),
        timestamp_keys=_timestamp_keys(stated, at),
    )


def _timestamp_keys(stated: Sequence[Stated], at: datetime) -> tuple[TimestampKey, ...]:
    """Return the keys that signed timestamps, in the order of their first use, each with what became of it."""
    used: dict[str, Stated] = {}
    removed: dict[str, datetime] = {}
    for each in stated:
        matter = each.said.matter
        if isinstance(matter, TimestampKeyUsed) and each.said.at <= at:
            used.setdefault(matter.key_id, each)
        elif isinstance(matter, TimestampKeyRemoved) and matter.removed <= at:
            removed.setdefault(matter.key_id, matter.removed)
    first = list(used.values())
    return tuple(
        TimestampKey(
            key=f"timestamp key {matter.key_id[:16]}",
            issued_at=matter.issued,
            ends_at=matter.until,
            followed_at=None if later is None else later.said.at,
            removed_at=removed.get(matter.key_id),
        )
        for each, later in zip_longest(first, first[1:])
        if isinstance(matter := each.said.matter, TimestampKeyUsed)
    )


def _leavers(stated: Sequence[Stated], at: datetime) -> tuple[Leaver, ...]:
    """Return everybody who left, whoever's member they were: each account is one of this service."""
    return tuple(
        Leaver(member=f"{each.said.subscriber}: {matter.member}", left_at=matter.left, disabled_at=matter.ended)
        for each in stated
        if isinstance(matter := each.said.matter, of_parties.Left) and matter.left <= at
    )


def _incidents(stated: Sequence[Stated], at: datetime) -> tuple[Incident, ...]:
    """Return of what CAs are to be told; the notices to several CAs of one thing are one incident."""
    found: dict[str, list[of_parties.CaToTell]] = {}
    for each in of_kind(list(stated), of_parties.CaToTell):
        if each.known <= at:
            found.setdefault(f"{each.subscriber} {each.what} {each.known:%Y-%m-%d %H:%M:%SZ}", []).append(each)
    return tuple(
        Incident(
            id=name,
            kind=IncidentKind.COMPROMISE if some[0].what == "compromise" else IncidentKind.SUSPECT_CODE,
            found_at=some[0].known,
            cas=tuple(each.ca for each in some),
            notices=tuple(Notice(ca=each.ca, at=each.told) for each in some if each.told is not None),
        )
        for name, some in found.items()
    )


def _cas(stated: Sequence[Stated]) -> tuple[IssuingCA, ...]:
    parties = of_kind(list(stated), of_parties.PartyStands)
    return tuple(IssuingCA(name=each.name, report_to=each.report_to or None) for each in parties if each.kind == "ca")


def _network(known: Known, at: datetime) -> Network:
    return Network(
        inventory_on=_last(known, at, "inventory", "NSR-1-01"),
        change_process_reviewed_on=_last(known, at, "review-record", "NSR-1.3-01", named=True),
        accounts_reviewed_on=_last(known, at, "review-record", "NSR-2.2.1.4-01", named=True),
        penetration_tested_on=_last(known, at, "pentest-report", "NSR-4.2.1.1-01"),
    )


def _log(known: Known, at: datetime, checked: datetime | None) -> LogState:
    """Return when the log was last checked, by a person or by the service itself.

    A check of which somebody says that it shows the log damaged is not passed over for another one.
    """
    own = LogState() if checked is None else LogState(checked_at=checked, continuous=False, intact=True)
    found = _dated(known, at, "review-record", "NSR-3.1.2-01", named=True)
    if not found:
        return own
    day, newest = max(found, key=lambda each: each[0])
    verdict, began = _judged(newest, "NSR-3.1.2-01", at), beginning(day)
    if verdict == "not-evidenced" or (verdict != "not-met" and checked is not None and checked > began):
        return own
    return LogState(checked_at=began, continuous=False, intact=verdict != "not-met")


def _last(known: Known, at: datetime, kind: str, requirement: str, *, named: bool = False) -> date | None:
    """Return the newest day on which something was done by documents that nobody rejected; None where none says it."""
    found = _dated(known, at, kind, requirement, named=named)
    return max((day for day, each in found if _judged(each, requirement, at) in (None, "met")), default=None)


def _dated(known: Known, at: datetime, kind: str, requirement: str, *, named: bool) -> list[tuple[date, Held]]:
    """Return the documents about the service for one requirement, with the day from which each speaks.

    A record of a review can be of anything, so it counts only where it is ``named`` for the requirement.
    """
    return [
        (each.valid_from, each)
        for each in known.documents(SERVICE)
        if each.kind == kind
        and each.valid_from is not None
        and beginning(each.valid_from) <= at
        and (each.clauses or not named)
        and each.speaks_of(BY_ID[requirement])
    ]


def _judged(document: Held, requirement: str, at: datetime) -> str | None:
    """Return the newest verdict of a person on what a document shows of a requirement; None where nobody gave one."""
    reviews = [each for each in document.reviews if each.requirement == requirement and each.at <= at]
    return max(reviews, key=lambda each: each.at).verdict if reviews else None


def _modules(stated: Sequence[Stated], at: datetime) -> tuple[ModuleCertificate, ...]:
    found: dict[str, ModuleCertificate] = {}
    first: dict[str, date] = {}
    for each in stated:  # since when it is relied on, the first statement tells, and everything else the last one
        if isinstance(each.said.matter, stated_as.ModuleCertificate):
            first.setdefault(each.said.matter.slot, each.said.at.astimezone(UTC).date())
    for each in current(list(stated)):
        matter = each.said.matter
        if isinstance(matter, stated_as.ModuleCertificate) and beginning(first[matter.slot]) <= at:
            found[matter.slot] = ModuleCertificate(
                module=matter.module,
                certificate=f"{matter.scheme} {matter.number}"[:MOST_TEXT],
                held_since=first[matter.slot],
                valid_until=matter.valid_until,
            )
    return tuple(found.values())
