"""Audit periods, their reports and their auditors: the day before, the day, and one second too late."""

from __future__ import annotations

import pytest
from tests.compliance.picked import AUDITOR, SECOND, audits, facts, moment, states, the

from privyseal.compliance.clocks import dues
from privyseal.compliance.due import State
from privyseal.compliance.requirement import Nature


@pytest.mark.parametrize(
    ("first", "last", "state"),
    [
        ("2024-07-01", "2025-06-30", "done"),
        ("2024-07-01", "2025-07-01", "breached"),
        ("2024-01-01", "2024-12-31", "done"),
        ("2024-02-29", "2025-02-28", "done"),
        ("2024-02-29", "2025-03-01", "breached"),
    ],
)
def test_a_period_is_a_year_at_most(first: str, last: str, state: str) -> None:
    """Both days count; one day more is too long, and that is a warning from its first day on (CSBR 8.1)."""
    given_ = audits((first, last), of="ca")
    assert states(given_, "CSBR-8.1-02", "within a year", "2026-01-01") == [state]
    early = states(given_, "CSBR-8.1-02", "within a year", f"{first}T12:00")
    assert early == ["warning" if state == "breached" else "in-time"]


@pytest.mark.parametrize(
    ("second", "state", "words"),
    [
        ("2025-07-01", State.DONE, "in time"),
        ("2025-07-02", State.BREACHED, "No audit covers 1 day, from 2025-07-01 on"),
        ("2025-07-05", State.BREACHED, "No audit covers 4 days"),
        ("2025-06-30", State.UNKNOWN, "overlap by 1 day"),
    ],
)
def test_periods_leave_no_day_out(second: str, state: State, words: str) -> None:
    """The next begins on the day after; a gap is a breach, an overlap a question (CSBR 8.1, 8.4.2)."""
    due = the(
        audits(("2024-07-01", "2025-06-30"), (second, "2026-06-29")), "2026-01-01", "CSBR-8.4.2-01", what="no day"
    )
    assert (due.state, words in due.text) == (state, True), due
    assert due.nature is Nature.INTERPRETATION


def test_the_next_period_begins_on_the_day_after() -> None:
    """Its day is in time, and on the next a day is lost. A period that is only planned raises no alarm."""
    given_ = audits(("2024-07-01", "2025-06-30"))
    seen = states(
        given_, "CSBR-8.4.2-01", "next", "2025-04-01", "2025-04-02", "2025-07-01T23:59:59", "2025-07-02T00:00"
    )
    assert seen == ["in-time", "warning", "warning", "breached"]
    planned = audits(("2024-07-01", "2025-06-30"), ("2025-07-01", "2026-06-30"))
    assert State.CLOCK_SET_BACK not in {each.state for each in dues(facts(planned), moment("2025-05-01"))}
    assert the(planned, "2025-07-02", "CSBR-8.4.2-01", what="next").due == moment("2026-07-01T23:59:59")


def test_a_signing_services_period_is_under_the_clause_of_its_first_day() -> None:
    """Before 2024-07-01 that is 8.1, or by the reading of the table 2024-06-15 (CSBR 8.4.2)."""
    june = audits(("2024-06-20", "2025-06-19"))
    assert the(june, "2025-01-01", "CSBR-8.1-04", what="within a year").clause == "CSBR 8.1"
    table = '[choices]\n"CSBR-8.4.2-01" = "table"\n' + june
    assert the(table, "2025-01-01", "CSBR-8.4.2-01", what="within a year").clause == "CSBR 8.4.2"
    older = audits(("2024-01-01", "2024-12-31"))
    assert the(older, "2024-06-01", "CSBR-8.1-90", what="within a year")


@pytest.mark.parametrize(
    ("since", "last"),
    [("2026-01-10", "2027-01-09"), ("2024-07-01", "2025-06-30"), ("2020-01-01", "2025-07-01")],
)
def test_the_first_period_of_a_signing_service(since: str, last: str) -> None:
    """A new service's first period ends within a year; an old one's began when the last under 8.1 had ended."""
    given_ = f"signing_service_since = {since}"
    at = moment(f"{last}T23:59:59")
    assert the(given_, at, "CSBR-8.4.2-01", what="first").state is State.WARNING
    assert the(given_, at + SECOND, "CSBR-8.4.2-01", what="first").state is State.BREACHED
    assert the("", at, "CSBR-8.4.2-01", what="first").state is State.UNKNOWN


@pytest.mark.parametrize(("last", "due"), [("2025-11-30", "2026-02-28"), ("2025-12-31", "2026-03-31")])
def test_a_report_is_out_within_three_months(last: str, due: str) -> None:
    """Or a letter that the auditor signed is; what the text asks of a CA is read for the others too (CSBR 8.6)."""
    first = f"{int(last[:4])}-01-01"
    given_ = audits((first, last), of="ca")
    assert the(given_, f"{due}T23:59:59", "CSBR-8.6-01").state is State.WARNING
    assert the(given_, moment(f"{due}T23:59:59") + SECOND, "CSBR-8.6-01").state is State.BREACHED
    for way in ("published_on", "explained_on"):
        assert the(given_ + f"{way} = {due}", "2027-01-01", "CSBR-8.6-01").state is State.DONE
    service = audits((first, last))
    assert the(service, "2027-01-01", "CSBR-8.6-01").nature is Nature.INTERPRETATION
    assert not [each for each in dues(facts(given_), moment(f"{last}T12:00")) if each.requirement == "CSBR-8.6-01"]


def test_an_auditor_is_qualified_on_the_day_of_the_report() -> None:
    """The last day counts; a report of the day after is a breach, and without one the record only lapses (CSBR 8.2)."""
    seen = states(AUDITOR, "CSBR-8.2-01", "", "2026-04-30T23:59:59", "2026-05-01", "2026-06-30T23:59:59", "2026-07-01")
    assert seen == ["in-time", "warning", "warning", "lapsed"]
    period = audits(("2025-04-01", "2026-03-31"), more='auditor = "Q"\npublished_on = 2026-06-30\n')
    assert states(AUDITOR + period, "CSBR-8.2-01", "", "2027-01-01") == ["lapsed"]
    late = period.replace("2026-06-30", "2026-07-01")
    assert states(AUDITOR + late, "CSBR-8.2-01", "", "2027-01-01") == ["breached"]


def test_an_auditors_record_is_whole() -> None:
    """A dollar too little is a breach, nothing on record is unknown, and a government's auditors need no insurance."""
    poor = AUDITOR.replace("1000000", "999999")
    assert states(poor, "CSBR-8.2-01", "", "2026-03-01T12:00") == ["breached"]
    assert states(poor + "government = true", "CSBR-8.2-01", "", "2026-03-01T12:00") == ["in-time"]
    for line in ("accredited_until = 2026-06-30", "insured_until = 2026-12-31", "independent = true"):
        assert states(AUDITOR.replace(line, ""), "CSBR-8.2-01", "", "2026-03-01T12:00") == ["unknown"]
