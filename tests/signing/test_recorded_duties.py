"""What is due by a service's own records: only what somebody stated, and nothing from silence."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from privyseal.compliance.clocks import dues
from privyseal.compliance.due import Due, State
from privyseal.compliance.duty_facts import DutyFacts, LogState
from privyseal.compliance.statements import (
    AuditPeriod,
    Choice,
    Document,
    Matter,
    ModuleCertificate,
    Own,
    Review,
    Said,
    Stated,
)
from privyseal.compliance.statements_of_timestamps import TimestampKeyRemoved, TimestampKeyUsed
from privyseal.signing.recorded_duties import facts_from

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def stated(*matters: Matter | Own, at: datetime = NOW) -> list[Stated]:
    """Return what one administrator stated, in this order."""
    found = []
    for entry, matter in enumerate(matters):
        said = Said(subscriber="demo", by="M-1", at=at, number=0, matter=matter)
        found.append(Stated(said=said, octets=b"", salt=b"", entry=entry))
    return found


def a_document(number: int, kind: str, day: date | None, *requirements: str, about: str = "service") -> Document:
    name = {"sha256": f"{number:064x}", "size": 1, "filename": "x", "issuer": "Checkers"}
    return Document(**name, kind=kind, about=about, valid_from=day, requirements=requirements)  # type: ignore[arg-type]


def facts(*matters: Matter, at: datetime = NOW) -> DutyFacts:
    return facts_from(stated(*matters), "Acme", at)


def duty(found: DutyFacts, requirement: str, at: datetime = NOW) -> Due:
    (one,) = [each for each in dues(found, at) if each.requirement == requirement]
    return one


def test_nothing_stated_is_nothing_known() -> None:
    """No clock starts from silence, and none is in time."""
    found = facts()
    assert found == DutyFacts(name="Acme")
    assert {each.state for each in dues(found, NOW)} == {State.UNKNOWN}


def test_the_newest_test_counts_on_the_day_from_which_it_speaks() -> None:
    """Not one of another kind, nor one without a day, nor one about a Subscriber, nor one that is still to come."""
    found = facts(
        a_document(1, "pentest-report", date(2025, 11, 26)),
        a_document(2, "pentest-report", date(2024, 1, 1)),
        a_document(3, "pentest-report", None),
        a_document(4, "vulnerability-scan", date(2026, 11, 1)),
        a_document(5, "pentest-report", date(2026, 11, 2), about="subscriber:demo"),
        a_document(6, "pentest-report", date(2026, 11, 26)),
    )
    assert found.network.penetration_tested_on == date(2025, 11, 26)
    assert duty(found, "NSR-4.2.1.1-01").state is State.WARNING
    late = datetime(2026, 11, 27, tzinfo=UTC)
    assert duty(found, "NSR-4.2.1.1-01", late).state is State.BREACHED


@pytest.mark.parametrize(("verdict", "counts"), [("met", True), ("not-met", False), ("not-evidenced", False)])
def test_what_a_person_rejected_is_not_there(verdict: str, counts: bool) -> None:
    """And only for the requirement on which they judged."""
    report = a_document(1, "pentest-report", date(2026, 11, 1))
    review = Review(document=report.sha256, requirement="NSR-4.2.1.1-01", verdict=verdict, note="x")  # type: ignore[arg-type]
    other = Review(document=report.sha256, requirement="NSR-1-01", verdict="not-met", note="x")
    assert (facts(report, review, other).network.penetration_tested_on is not None) is counts


def test_a_review_counts_for_what_it_names() -> None:
    """A record of a review that names nothing could be of anything; a clause names its requirements."""
    day = date(2026, 11, 1)
    unnamed = facts(a_document(1, "review-record", day)).network
    assert (unnamed.accounts_reviewed_on, unnamed.change_process_reviewed_on) == (None, None)
    named = facts(a_document(1, "review-record", day, "NSR 2.2.1.4")).network
    assert (named.accounts_reviewed_on, named.change_process_reviewed_on) == (day, None)
    changes = facts(a_document(1, "review-record", day, "NSR-1.3-01")).network
    assert (changes.accounts_reviewed_on, changes.change_process_reviewed_on) == (None, day)
    assert facts(a_document(1, "inventory", day)).network.inventory_on == day


def test_a_log_that_was_found_damaged_is_not_excused_by_an_older_check() -> None:
    """The newest check counts, whatever it found."""
    good = a_document(1, "review-record", date(2026, 11, 10), "NSR-3.1.2-01")
    newer = a_document(2, "review-record", date(2026, 11, 20), "NSR-3.1.2-01")
    assert duty(facts(good), "NSR-3.1.2-01").state is State.IN_TIME
    bad = Review(document=newer.sha256, requirement="NSR-3.1.2-01", verdict="not-met", note="Bundle 7 is gone.")
    assert duty(facts(good, newer, bad), "NSR-3.1.2-01").state is State.BREACHED
    unsure = Review(document=newer.sha256, requirement="NSR-3.1.2-01", verdict="not-evidenced", note="?")
    assert facts(good, newer, unsure).log == LogState()


def test_audit_periods_and_readings_are_as_they_were_stated_last() -> None:
    """A period that was stated again with its report is one period; the reading decides which clause it is under."""
    period = AuditPeriod(scheme="WebTrust", start=date(2025, 7, 1), end=date(2026, 6, 30), auditor="Checkers")
    late = duty(facts(period), "CSBR-8.6-01")
    assert (late.state, late.due) == (State.BREACHED, datetime(2026, 9, 30, 23, 59, 59, tzinfo=UTC))
    told = AuditPeriod(
        scheme="WebTrust", start=period.start, end=period.end, auditor="Checkers", published=date(2026, 9, 1)
    )
    chosen = Choice(requirement="CSBR-8.4.2-01", reading="table", note="Agreed.")
    found = facts(period, told, chosen)
    assert duty(found, "CSBR-8.6-01").state is State.DONE
    assert found.choices == {"CSBR-8.4.2-01": "table"}
    assert len(found.audits) == 1


@pytest.mark.parametrize(
    ("until", "state"),
    [
        (None, State.UNKNOWN),
        (date(2028, 1, 1), State.IN_TIME),
        (date(2027, 1, 1), State.WARNING),
        (date(2026, 11, 25), State.WARNING),
        (date(2026, 11, 24), State.LAPSED),
    ],
)
def test_a_modules_certificate_shows_its_level_until_its_last_day(until: date | None, state: State) -> None:
    """Its last day included; without one nobody knows. Before it was stated there is none."""
    module = ModuleCertificate(module="Box 7", scheme="FIPS 140-2 Level 3", number="4711", valid_until=until)
    one = duty(facts(module), "CSBR-6.2.7.3-04")
    assert (one.state, one.whom) == (state, "Box 7 (FIPS 140-2 Level 3 4711)")
    assert facts(module, at=datetime(2026, 11, 24, tzinfo=UTC)).modules == ()


def test_a_module_is_relied_on_since_it_was_stated_first() -> None:
    """Stating it again with another last day does not begin anew."""
    first = ModuleCertificate(module="Box 7", scheme="FIPS", number="1", valid_until=date(2027, 1, 1))
    again = ModuleCertificate(module="Box 7", scheme="FIPS", number="1", valid_until=date(2028, 1, 1))
    said = stated(first, at=datetime(2025, 1, 1, tzinfo=UTC)) + stated(first, again)[1:]
    (found,) = facts_from(said, "Acme", NOW).modules
    assert (found.held_since, found.valid_until) == (date(2025, 1, 1), date(2028, 1, 1))


def test_timestamp_keys_are_followed_and_removed_as_the_records_have_it() -> None:
    """A key is followed when the next one was first stated to be used, and gone by its ceremony's record."""
    issued, then = datetime(2025, 3, 1, tzinfo=UTC), datetime(2026, 5, 2, tzinfo=UTC)
    first = TimestampKeyUsed(
        key_id="a" * 64, certificate="b" * 64, issued=issued, until=datetime(2036, 3, 1, tzinfo=UTC),
        used_until=datetime(2026, 6, 1, tzinfo=UTC),
    )  # fmt: skip
    second = TimestampKeyUsed(
        key_id="c" * 64, certificate="d" * 64, issued=then, until=datetime(2036, 5, 1, tzinfo=UTC),
        used_until=datetime(2027, 8, 2, tzinfo=UTC),
    )  # fmt: skip
    removed = TimestampKeyRemoved(
        key_id="a" * 64, certificate="b" * 64, issued=issued, removed=datetime(2026, 8, 1, tzinfo=UTC),
        record="e" * 64, witnesses=("Wim", "Xenia"), by="console",
    )  # fmt: skip
    listed = [*stated(first, at=issued), *stated(second, at=then), *stated(removed)]
    found = dues(facts_from(listed, "Acme", NOW), NOW)
    told = {(each.requirement, each.whom[-16:]): each.state for each in found if each.clause == "CSBR 6.3.2"}
    assert told == {
        ("CSBR-6.3.2-04", "a" * 16): State.DONE,
        ("CSBR-6.3.2-05", "a" * 16): State.DONE,
        ("CSBR-6.3.2-04", "c" * 16): State.IN_TIME,
        ("CSBR-6.3.2-05", "c" * 16): State.IN_TIME,
    }
    before = facts_from(listed, "Acme", datetime(2026, 4, 30, tzinfo=UTC))
    assert [each.followed_at for each in before.timestamp_keys] == [None]
