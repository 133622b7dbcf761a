"""Incidents, proofs and records, and what holds of all clocks: the day before, the day, one second too late."""

from __future__ import annotations

import re
import tomllib
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.compliance.picked import AUDITOR, COMPROMISE, SECOND, facts, moment, states, the

from privyseal.compliance.catalogue import BY_ID
from privyseal.compliance.clocks import dues, gauges
from privyseal.compliance.clocks_incidents import REVOKED_WITHIN
from privyseal.compliance.clocks_records import KEPT_BY
from privyseal.compliance.due import URGENCY, State
from privyseal.compliance.duty_facts import DutyFacts, Reason, RecordOf, duty_facts_of
from privyseal.compliance.requirement import Nature
from privyseal.errors import BadInput


def test_a_compromise_warns_at_once_and_is_a_breach_after_24_hours() -> None:
    """The last second of the 24 hours is in time, the next is not (CSBR 9.6.5)."""
    seen = [
        the(COMPROMISE, at, "CSBR-9.6.5-02", "A", "tell").state.value
        for at in ("2026-03-01T10:00:00", "2026-03-02T10:00:00", "2026-03-02T10:00:01")
    ]
    assert seen == ["warning", "warning", "breached"]
    due = the(COMPROMISE, "2026-03-01T11:00", "CSBR-9.6.5-02", "A", "tell")
    assert (due.nature, due.clause, due.due) == (Nature.TEXT, "CSBR 9.6.5", moment("2026-03-02T10:00"))
    assert "a@example.org" in due.text
    assert (
        "No address for problem reports of B" in the(COMPROMISE, "2026-03-01T11:00", "CSBR-9.6.5-02", "B", "tell").text
    )


def test_only_the_ca_that_issued_counts() -> None:
    """A notice to another CA is said and stops no clock; each issuing CA has a clock of its own."""
    told = COMPROMISE + 'notices = [{ca = "C", at = 2026-03-01T11:00:00Z}, {ca = "B", at = 2026-03-01T12:00:00Z}]'
    open_ = the(told, "2026-03-02T10:00:01", "CSBR-9.6.5-02", "A", "tell")
    assert open_.state is State.BREACHED
    assert "C was told, which did not issue" in open_.text
    assert the(told, "2026-03-02T10:00:01", "CSBR-9.6.5-02", "B", "tell").state is State.DONE
    assert the(told, "2026-03-01T11:59", "CSBR-9.6.5-02", "B", "tell").state is State.WARNING  # not told yet then


def test_a_late_notice_stays_a_breach_and_has_the_ca_revoke() -> None:
    """One second more than 24 hours is late; 24 hours are not."""
    late = COMPROMISE + 'notices = [{ca = "A", at = 2026-03-02T10:00:01Z}, {ca = "B", at = 2026-03-02T10:00:00Z}]'
    due = the(late, "2026-04-01", "CSBR-9.6.5-02", "A", "tell")
    assert due.state is State.BREACHED
    assert "CSBR-9.6.5-03" in due.text
    assert the(late, "2026-04-01", "CSBR-9.6.5-02", "B", "tell").state is State.DONE


def test_revocation_is_asked_for_as_well() -> None:
    """The clause has both; the request's hours are a house rule."""
    due = the(COMPROMISE, "2026-03-02T10:00:01", "CSBR-9.6.5-02", "A", "ask")
    assert (due.state, due.nature) == (State.BREACHED, Nature.HOUSE_RULE)
    asked = COMPROMISE + 'revocations_asked = [{ca = "A", at = 2026-03-01T11:00:00Z}]'
    assert the(asked, "2026-03-02T10:00:01", "CSBR-9.6.5-02", "A", "ask").state is State.DONE


def test_suspect_code_has_the_same_hours_as_a_house_rule() -> None:
    """No text gives hours; half of the time is no warning yet."""
    suspect = COMPROMISE.replace("compromise", "suspect-code").replace(', "B"', "")
    seen = states(
        suspect,
        "CSBR-9.6.5-01",
        "tell",
        "2026-03-01T21:59:59",
        "2026-03-01T22:00",
        "2026-03-02T10:00",
        "2026-03-02T10:00:01",
    )
    assert seen == ["in-time", "warning", "warning", "breached"]
    assert the(suspect, "2026-03-01T11:00", "CSBR-9.6.5-01").nature is Nature.HOUSE_RULE


def test_an_incident_without_a_ca_or_a_time_is_not_in_time() -> None:
    """What is unknown is said, and asks to be found out."""
    nobody = the('[[incidents]]\nid = "I"\nkind = "compromise"\ncas = "unknown"', "2026-03-01", "CSBR-9.6.5-02")
    assert nobody.state is State.UNKNOWN
    assert "which CA issued" in nobody.text


def test_before_the_clause_there_is_no_clock() -> None:
    """Until 2024-02-28 it was the service's own key that the notice was about (CSC-21)."""
    early = COMPROMISE.replace("2026-03-01", "2024-02-27")
    assert not [each for each in dues(facts(early), moment("2026-03-01")) if each.requirement == "CSBR-9.6.5-02"]
    on_the_day = COMPROMISE.replace("2026-03-01", "2024-02-28")
    assert [each for each in dues(facts(on_the_day), moment("2026-03-01")) if each.requirement == "CSBR-9.6.5-02"]


@pytest.mark.parametrize("reason", Reason)
def test_a_ca_revokes_from_its_own_assurance(reason: Reason) -> None:
    """24 hours, five days or seven, to the second (CSBR 4.9.1.1, 4.9.1.2)."""
    first = {"requested", "not-authorised", "key-compromise", "key-computable", "flawed-key", "suspect-code"}
    days = 1 if reason in first else 7 if reason == "subordinate-ca" else 5
    given_ = f'[[revocations]]\ncertificate = "X"\nreason = "{reason}"\nassured_at = 2026-03-01T10:00:00+01:00\n'
    requirement = REVOKED_WITHIN[reason][0]
    last = moment("2026-03-01T09:00") + timedelta(days=days)
    assert the(given_, last, requirement).state is State.WARNING
    assert the(given_, last + SECOND, requirement).state is State.BREACHED
    assert the(given_, "2026-03-01T09:00:01", requirement).state is State.IN_TIME
    assert the(given_ + "revoked_at = 2026-03-01T10:00:00Z", last, requirement).state is State.DONE


def test_a_supplier_can_ask_to_wait() -> None:
    """Then the day it named counts (CSBR 4.9.1.1), and nobody else can postpone."""
    given_ = (
        '[[revocations]]\ncertificate = "X"\nreason = "key-compromise"\nassured_at = 2026-03-01T10:00:00Z\n'
        "postponed_to = 2026-03-10T10:00:00Z\n"
    )
    asked = given_ + 'supplier = "P"'
    assert the(asked, "2026-03-10T10:00", "CSBR-4.9.1.1-03").state is State.WARNING
    assert the(asked, "2026-03-10T10:00:01", "CSBR-4.9.1.1-03").state is State.BREACHED
    with pytest.raises(BadInput, match="no supplier asked"):
        facts(given_)


@pytest.mark.parametrize(
    ("validated", "last", "next_"),
    [
        ("2025-01-31", "2026-02-28", "2026-03-01"),
        ("2024-02-29", "2025-03-29", "2025-03-30"),
        ("2024-11-30", "2025-12-30", "2025-12-31"),
        ("2023-01-31", "2024-02-29", "2024-03-01"),
        ("2025-12-15", "2027-01-15", "2027-01-16"),
    ],
)
def test_a_proof_serves_for_13_months(validated: str, last: str, next_: str) -> None:
    """Its last day is included; then it has lapsed, and an issuance on that day was a breach (CSBR 4.2.1)."""
    given_ = f'[[proofs]]\nsubscriber = "S"\nmethod = "it-audit"\nvalidated_on = {validated}\n'
    assert the(given_, f"{last}T23:59:59", "CSBR-4.2.1-04").state is State.WARNING
    assert the(given_, f"{next_}T00:00", "CSBR-4.2.1-04").state is State.LAPSED
    used = f"{given_}last_issued_on = {last}"
    assert the(used, "2028-01-01", "CSBR-4.2.1-04").state is State.LAPSED
    late = f"{given_}last_issued_on = {next_}"
    assert the(late, "2028-01-01", "CSBR-4.2.1-04").state is State.BREACHED
    assert not [
        each
        for each in dues(facts(given_.replace("it-audit", "other")), moment("2026-01-01"))
        if each.requirement == "CSBR-4.2.1-04"
    ]


@pytest.mark.parametrize("of", RecordOf)
def test_records_stay_for_two_years(of: RecordOf) -> None:
    """Deleted a second early is a breach for good; then they may go, and before the end nothing may (5.4.3)."""
    given_ = f'[[records]]\nof = "{of}"\nlabel = "L"\nended_at = 2024-02-29T10:00:00Z\n'
    requirement = KEPT_BY[of]
    assert the(given_, "2026-03-01T09:59:59", requirement).state is State.IN_TIME
    assert the(given_, "2026-03-01T10:00", requirement).state is State.DONE
    early = given_ + "deleted_at = 2026-03-01T09:59:59Z"
    assert the(early, "2030-01-01", requirement).state is State.BREACHED
    assert the(early, "2025-01-01", requirement).state is State.IN_TIME
    assert the(given_ + "deleted_at = 2026-03-01T10:00:00Z", "2030-01-01", requirement).state is State.DONE
    alive = f'[[records]]\nof = "{of}"\nlabel = "L"\n'
    assert the(alive, "2026-01-01", requirement).state is State.UNKNOWN
    assert the(alive + "deleted_at = 2025-01-01T00:00:00Z", "2026-01-01", requirement).state is State.BREACHED


def test_by_the_printed_reading_no_such_proof_serves_again() -> None:
    """Then the numbers 4, 5 and 7 mean no proofs at all, and nothing is in time (CSBR 4.2.1)."""
    proof = '[[proofs]]\nsubscriber = "S"\nmethod = "it-audit"\nvalidated_on = 2026-01-01'
    given_ = f'[choices]\n"CSBR-4.2.1-04" = "printed"\n{proof}'
    due = the(given_, "2026-01-02", "CSBR-4.2.1-04")
    assert (due.state, "never serves again" in due.text) == (State.UNKNOWN, True)


def test_all_times_are_in_utc() -> None:
    """Whatever zone the facts have."""
    due = the(COMPROMISE.replace("10:00:00Z", "10:00:00+02:00"), "2026-03-01T12:00", "CSBR-9.6.5-02", "A", "tell")
    assert [str(each) for each in (due.starts, due.due)] == ["2026-03-01 08:00:00+00:00", "2026-03-02 08:00:00+00:00"]


def test_a_clock_that_was_set_back_says_so() -> None:
    """Nothing is in time that starts in the future."""
    due = the(COMPROMISE, "2026-03-01T09:59:59", "CSBR-9.6.5-02", "A", "tell")
    assert due.state is State.CLOCK_SET_BACK
    assert "a clock was set back" in due.text


def test_the_page_about_duties_says_what_the_code_does() -> None:
    """Its example is read, and has every fact that there is; the entries that it names exist."""
    page = (Path(__file__).parents[2] / "docs" / "reference" / "duties.md").read_text(encoding="utf-8")
    document = tomllib.loads(page.partition("```toml\n")[2].partition("```")[0])
    assert set(document) == set(DutyFacts.__struct_fields__)
    known = duty_facts_of(document)
    commented = {"postponed_to", "supplier", "explained_on"}  # they exclude what the example has
    for kind, entries in document.items():
        if isinstance(entries, list) and entries:
            fields = set(type(getattr(known, kind)[0]).__struct_fields__)
            assert fields - commented <= set(entries[0])
    assert {name for name in commented if name not in page} == set()
    named = set(re.findall(r"(?:CSBR|NSR|HOUSE)-[\d.]+-\d\d", page))
    assert len(named) > 15
    assert named <= set(BY_ID)
    reached = {each.requirement for each in dues(known, moment("2026-12-01"))}
    assert reached >= {"CSBR-9.6.5-02", "CSBR-4.2.1-04", "CSBR-8.4.2-01", "CSBR-8.2-01", "NSR-4.3-01"}
    assert all(reason in page for reason in Reason)


def test_every_clock_belongs_to_an_entry() -> None:
    """No id is made up."""
    named = {each[0] for each in REVOKED_WITHIN.values()} | set(KEPT_BY.values())
    assert named <= set(BY_ID)
    assert set(REVOKED_WITHIN) == set(Reason)
    assert set(KEPT_BY) == set(RecordOf)


def test_the_worst_comes_first_and_gauges_count_all() -> None:
    """The order is that of the states, and no state of a requirement is left out of the gauges."""
    found = dues(facts(COMPROMISE + AUDITOR), moment("2026-03-02T10:00:01"))
    urgencies = [URGENCY[each.state] for each in found]
    assert urgencies == sorted(urgencies)
    assert found[0].state is State.BREACHED
    counted = gauges(found)
    assert counted["CSBR-9.6.5-02", "breached"] == 4
    assert counted["CSBR-9.6.5-02", "done"] == 0
    assert sum(counted.values()) == len(found)


@given(
    st.integers(0, 2_000_000_000).map(lambda seconds: moment("2024-03-01") + timedelta(seconds=seconds)),
    st.timedeltas(timedelta(0), timedelta(days=40)),
    st.one_of(st.none(), st.timedeltas(timedelta(0), timedelta(days=3))),
)
def test_a_breach_never_heals(found: datetime, later: timedelta, told: timedelta | None) -> None:
    """Whatever happens afterwards: once breached, always breached; once done, always done."""
    notices = [] if told is None else [{"ca": "A", "at": found + told}]
    document = {"incidents": [{"id": "I", "kind": "compromise", "found_at": found, "cas": ["A"], "notices": notices}]}
    known = duty_facts_of(document)

    def state(at: datetime) -> State:
        return next(each.state for each in dues(known, at) if each.what.startswith("tell"))

    now, then = state(found + later), state(found + later + timedelta(days=1))
    if now in (State.BREACHED, State.DONE):
        assert then is now
    late = later >= timedelta(hours=24, seconds=1) and (told is None or told >= timedelta(hours=24, seconds=1))
    assert (now is State.BREACHED) == late


@pytest.mark.parametrize(
    ("toml", "sentence"),
    [
        ("nmae = 'x'", "unknown field `nmae`"),
        ("[[incidents]]\nid = 'I'\nkind = 'theft'", "Invalid enum value 'theft'"),
        ("[[incidents]]\nid = 'I'\nkind = 'compromise'\nfound_at = 2026-03-01T10:00:00", "timezone"),
        ("[[incidents]]\nid = 'I'\nkind = 'compromise'\nfound_at = 5", "Expected `datetime . null`, got `int`"),
        ("[[incidents]]\nid = ''\nkind = 'compromise'", "length >= 1"),
        ("signing_service_since = 1999-12-31", "not in the years"),
        (
            "[[leavers]]\nmember='x'\nleft_at=2026-01-02T00:00:00Z\ndisabled_at=2026-01-01T00:00:00Z",
            "is before left_at",
        ),
        ("[[audits]]\nof='ca'\nfirst_day=2026-01-02\nlast_day=2026-01-01", "is before first_day"),
        (
            "[[audits]]\nof='ca'\nfirst_day=2026-01-02\nlast_day=2026-02-01\npublished_on=2026-01-31",
            "is before last_day",
        ),
        ("[[cas]]\nname='A'\n[[cas]]\nname='A'", "A stands twice among the cas"),
        ("[network]\nmending_hours = {x = 0}", "Expected `int` >= 1"),
        (COMPROMISE + "notices = [{ca = 'A', at = 2026-03-01T09:59:59Z}]", "A was told before it was found"),
        ("[choices]\n'CSBR-8.4.2-01' = 1", "Expected `str`"),
        ("[choices]\n'CSBR-8.4.2-01' = 'later'", "'later' cannot be chosen for CSBR-8.4.2-01: .* text, table"),
        ("[choices]\n'CSBR-8.6-01' = 'text'", "it is no text with two readings"),
    ],
)
def test_facts_that_cannot_be_are_refused(toml: str, sentence: str) -> None:
    """One sentence each, and never a duty."""
    with pytest.raises(BadInput, match=sentence.replace("(", r"\(")):
        facts(toml)


def test_a_list_without_end_is_refused() -> None:
    """10,000 of a kind are read and no more, and 100 parts of one."""
    with pytest.raises(BadInput, match="length <= 100"):
        duty_facts_of({"incidents": [{"id": "I", "kind": "compromise", "cas": [str(n) for n in range(101)]}]})
    with pytest.raises(BadInput, match="10001 entries"):
        duty_facts_of({"cas": [{"name": str(n)} for n in range(10_001)]})
