"""The table of ballots, what of it was known when, and votes rehearsed by the rules."""

from __future__ import annotations

from datetime import date

import pytest

from privyseal.compliance import proposal_text, voting
from privyseal.compliance.ballots import (
    Ballot,
    Category,
    Event,
    Period,
    Phrase,
    Status,
    TakesForce,
    Votes,
    counts_since,
    parse_table,
    table,
)
from privyseal.compliance.catalogue import BY_ID
from privyseal.compliance.outcome import Verdict
from privyseal.compliance.requirement import (
    DatedBy,
    EnforcedBy,
    InForce,
    Kind,
    Nature,
    Obligation,
    Party,
    Requirement,
    Scope,
    Severity,
    Source,
    Wants,
)
from privyseal.compliance.runway import business_days_after, runway
from privyseal.compliance.timeline import Mark, Row, happenings, timeline
from privyseal.compliance.timeline_svg import draw
from privyseal.compliance.voting import Facts, Guideline, Result, held, result, rules
from privyseal.errors import BadInput, NotFound, TooLarge

MINUTES = date(2023, 10, 19)

# Number, the version that it made, the day: the table of revisions (CSBR 1.2.1) and the ballots' pages.
ADOPTIONS = """
CSC-1 1.2 2019-08-13
CSC-2 2.0 2020-09-02
CSC-4 2.1 2020-11-07
CSC-7 2.2 2021-03-08
CSC-8 2.3 2021-05-02
CSC-9 2.4 2021-09-08
CSC-10 2.5 2021-09-12
CSC-11 2.6 2021-11-03
CSC-12 2.7 2021-12-03
CSC-13 2.8 2022-05-06
CSC-14 3.0 2022-06-29
CSC-15 3.1 2022-09-19
CSC-17 3.2 2022-10-28
CSC-18 3.3 2023-06-29
CSC-19 3.4 2023-09-05
CSC-20 3.5 2023-12-07
CSC-21 3.6 2024-02-28
CSC-22 3.7 2024-02-28
CSC-23 1.5 2024-03-26
CSC-25 3.8 2024-08-01
CSC-26 3.9 2024-08-01
CSC-31 3.10 2025-11-17
CSC-32 3.11 2026-06-16
"""

OTHERS = """CSC-3 CSC-5/CSC-6 CSC-16 CSC-24 CSC-27 CSC-28 CSC-29 CSC-30 FORUM-20v2
FB-01 FB-02 FB-03 FB-04 FB-05 FB-06 FB-07 FB-08 FB-09 FB-10 FB-11 FB-12 FB-13 FB-14"""

KNOWN = (
    "CSBR-1.1-01 CSBR-1.3.2-01 CSBR-1.3.2-02 CSBR-1.3.2-03 CSBR-1.3.2-90 CSBR-1.3.2.1.1-01 CSBR-1.3.2.1.2-01",
    "CSBR-1.3.2.1.2-02 CSBR-1.3.2.1.3-01 CSBR-1.3.5-01 CSBR-1.3.5-02 CSBR-1.6.1-01 CSBR-1.6.1-02 CSBR-1.6.1-03",
    "CSBR-1.6.4-01 CSBR-2-01 CSBR-2.1-01 CSBR-2.2-01 CSBR-2.2-02 CSBR-2.2-03 CSBR-2.4-01 CSBR-3.2.2-01",
    "CSBR-3.2.2.1-01 CSBR-3.2.2.1-02 CSBR-3.2.2.1.1-01 CSBR-3.2.2.1.2-01 CSBR-3.2.2.2-01 CSBR-3.2.2.2.6-01",
    "CSBR-3.2.2.2.7-01 CSBR-3.2.2.2.8-01 CSBR-3.2.3-01 CSBR-3.2.3.2-01 CSBR-3.2.5-01 CSBR-3.2.5-02 CSBR-3.2.6-01",
    "CSBR-3.2.7-01 CSBR-3.2.8-01 CSBR-3.2.9-01 CSBR-3.2.10-01 CSBR-4.1.1-01 CSBR-4.1.1-02 CSBR-4.1.2-01",
    "CSBR-4.1.2-90 CSBR-4.2.1-01 CSBR-4.2.1-02 CSBR-4.2.1-03 CSBR-4.2.1-04 CSBR-4.2.1-05 CSBR-4.2.1.1.3-01",
    "CSBR-4.2.1.1.2-01 CSBR-4.2.2-01 CSBR-4.2.2-02 CSBR-4.2.2-03 CSBR-4.2.2-04 CSBR-4.2.2-90 CSBR-4.2.1-90",
    "CSBR-4.3.1-01 CSBR-4.9-01 CSBR-4.9.1-01 CSBR-4.9.1.1-01 CSBR-4.9.1.1-02 CSBR-4.9.1.1-03 CSBR-4.9.1.1-04",
    "CSBR-4.9.1.1-05 CSBR-4.9.1.1-06 CSBR-4.9.1.1-07 CSBR-4.9.1.1-08 CSBR-4.9.1.1-09 CSBR-4.9.1.1-10",
    "CSBR-4.9.1.1-11 CSBR-4.9.1.1-12 CSBR-4.9.1.1-13 CSBR-4.9.1.1-14 CSBR-4.9.1.1-15 CSBR-4.9.1.1-90",
    "CSBR-4.9.1.1-91 CSBR-4.9.1.1-92 CSBR-4.9.1.2-01 CSBR-4.9.2-01 CSBR-4.9.3-01 CSBR-4.9.5-01 CSBR-4.9.5-02",
    "CSBR-4.9.5-03 CSBR-4.9.5-04 CSBR-4.9.6-01 CSBR-4.9.7-01 CSBR-4.9.7-02 CSBR-4.9.7-03 CSBR-4.9.9-01",
    "CSBR-4.9.10-01 CSBR-4.9.10-02 CSBR-4.9.10-03 CSBR-4.9.10-04 CSBR-4.9.10-05 CSBR-4.9.11-01 CSBR-4.9.13-01",
    "CSBR-4.10.1-01 CSBR-4.10.2-01 CSBR-5-01 CSBR-5-02 CSBR-5-03 CSBR-5.2.2-01 CSBR-5.2.4-01 CSBR-5.3.1-01",
    "CSBR-5.3.2-01 CSBR-5.3.3-01 CSBR-5.3.4-01 CSBR-5.3.7-01 CSBR-5.4.1.1-01 CSBR-5.4.1.1-02 CSBR-5.4.1.1-03",
    "CSBR-5.4.1.1-04 CSBR-5.4.1.1-05 CSBR-5.4.1.1-06 CSBR-5.4.1.1-07 CSBR-5.4.1.1-08 CSBR-5.4.1.1-09",
    "CSBR-5.4.1.1-10 CSBR-5.4.1.1-11 CSBR-5.4.1.1-12 CSBR-5.4.1.1-13 CSBR-5.4.1.2-01 CSBR-5.4.1.2-02",
    "CSBR-5.4.1.2-03 CSBR-5.4.1.2-04 CSBR-5.4.1.2-05 CSBR-5.4.1.2-06 CSBR-5.4.1.2-07 CSBR-5.4.1.2-90",
    "CSBR-5.4.3-01 CSBR-5.4.3-02 CSBR-5.4.3-03 CSBR-5.4.3-04 CSBR-5.5.1-01 CSBR-5.5.2-01 CSBR-5.7.1-01",
    "CSBR-5.8-01 CSBR-6.1.1.1-01 CSBR-6.1.1.1-02 CSBR-6.1.1.1-03 CSBR-6.1.1.3-01 CSBR-6.1.2-01 CSBR-6.1.2-02",
    "CSBR-6.1.2-03 CSBR-6.1.2-04 CSBR-6.1.5.1-01 CSBR-6.1.5.1-02 CSBR-6.1.5.1-03 CSBR-6.1.5.2-01 CSBR-6.1.5.2-02",
    "CSBR-6.1.5.2-03 CSBR-6.1.5.2-90 CSBR-6.1.6-01 CSBR-6.1.6-02 CSBR-6.1.6-03 CSBR-6.1.7-01 CSBR-6.2-01",
    "CSBR-6.2.5-01 CSBR-6.2.6-01 CSBR-6.2.6-02 CSBR-6.2.7.1-01 CSBR-6.2.7.2-01 CSBR-6.2.7.2-02 CSBR-6.2.7.2-90",
    "CSBR-6.2.7.3-01 CSBR-6.2.7.3-02 CSBR-6.2.7.3-90 CSBR-6.2.7.3-03 CSBR-6.2.7.3-91 CSBR-6.2.7.3-04",
    "CSBR-6.2.7.3-05 CSBR-6.2.7.3-06 CSBR-6.2.7.3-92 CSBR-6.2.7.3-93 CSBR-6.2.7.3-94 CSBR-6.2.7.4.1-01",
    "CSBR-6.2.7.4.1-07 CSBR-6.2.7.4.1-08 CSBR-6.2.7.4.1-09 CSBR-6.2.7.4.1-90 CSBR-6.2.7.4.1-91 CSBR-6.2.7.4.2-01",
    "CSBR-6.2.7.4.2-02 CSBR-6.2.7.4.2-03 CSBR-6.2.7.4.2-04 CSBR-6.2.7.4.2-05 CSBR-6.2.7.4.2-06 CSBR-6.2.7.4.2-07",
    "CSBR-6.2.7.4.2-08 CSBR-6.2.7.4.2-90 CSBR-6.3.2-01 CSBR-6.3.2-90 CSBR-6.3.2-02 CSBR-6.3.2-03 CSBR-6.3.2-04",
    "CSBR-6.3.2-05 CSBR-6.3.2-06 CSBR-6.3.2-07 CSBR-6.3.2-08 CSBR-6.3.2-09 CSBR-6.3.2-10 CSBR-6.5.1-01",
    "CSBR-6.7-01 CSBR-6.8-01 CSBR-6.8-02 CSBR-6.8-03 CSBR-6.8-04 CSBR-6.8-05 CSBR-6.8-06 CSBR-6.8-07 CSBR-6.8-08",
    "CSBR-7.1-01 CSBR-7.1.1-01 CSBR-7.1.2.1-01 CSBR-7.1.2.1-02 CSBR-7.1.2.1-03 CSBR-7.1.2.1-04 CSBR-7.1.2.1-05",
    "CSBR-7.1.2.2-01 CSBR-7.1.2.2-02 CSBR-7.1.2.2-03 CSBR-7.1.2.2-04 CSBR-7.1.2.2-05 CSBR-7.1.2.2-06",
    "CSBR-7.1.2.2-07 CSBR-7.1.2.2-08 CSBR-7.1.2.2-09 CSBR-7.1.2.2-10 CSBR-7.1.2.2-11 CSBR-7.1.2.2-12",
    "CSBR-7.1.2.2-13 CSBR-7.1.2.3-01 CSBR-7.1.2.3-02 CSBR-7.1.2.3-03 CSBR-7.1.2.3-04 CSBR-7.1.2.3-05",
    "CSBR-7.1.2.3-06 CSBR-7.1.2.3-07 CSBR-7.1.2.3-08 CSBR-7.1.2.3-09 CSBR-7.1.2.3-10 CSBR-7.1.2.3-11",
    "CSBR-7.1.2.3-12 CSBR-7.1.2.3-13 CSBR-7.1.2.3-14 CSBR-7.1.2.3-15 CSBR-7.1.2.4-01 CSBR-7.1.3.2-01",
    "CSBR-7.1.3.2-02 CSBR-7.1.3.2-03 CSBR-7.1.3.2-04 CSBR-7.1.3.2-05 CSBR-7.1.4.1-01 CSBR-7.1.4.2.2-01",
    "CSBR-7.1.4.2.2-02 CSBR-7.1.4.2.2-03 CSBR-7.1.4.2.2-04 CSBR-7.1.4.2.3-01 CSBR-7.1.4.2.3-02 CSBR-7.1.4.2.3-03",
    "CSBR-7.1.4.2.3-04 CSBR-7.1.4.2.3-05 CSBR-7.1.4.2.4-01 CSBR-7.1.4.2.4-02 CSBR-7.1.4.2.4-03 CSBR-7.1.4.2.4-04",
    "CSBR-7.1.4.2.4-05 CSBR-7.1.4.2.4-06 CSBR-7.1.4.2.4-07 CSBR-7.1.6.1-01 CSBR-7.1.6.3-01 CSBR-7.1.6.3-02",
    "CSBR-7.1.6.3-03 CSBR-7.1.6.3-04 CSBR-7.1.6.4-90 CSBR-7.1.6.4-01 CSBR-7.1.6.4-02 CSBR-7.2-01 CSBR-7.2-02",
    "CSBR-7.2-03 CSBR-7.2.2-01 CSBR-8-01 CSBR-8-02 CSBR-8.1-01 CSBR-8.1-02 CSBR-8.1-03 CSBR-8.1-04 CSBR-8.1-05",
    "CSBR-8.2-01 CSBR-8.4.1-01 CSBR-8.4.2-01 CSBR-8.4.2-02 CSBR-8.4.2-03 CSBR-8.4.3-01 CSBR-8.6-01 CSBR-8.6-02",
    "CSBR-8.6-03 CSBR-8.6-04 CSBR-8.6-05 CSBR-8.7-01 CSBR-8.7-02 CSBR-9.2.1-01 CSBR-9.6.1-01 CSBR-9.6.1-02",
    "CSBR-9.6.1-03 CSBR-9.6.3-01 CSBR-9.6.3-02 CSBR-9.6.3-03 CSBR-9.6.3-04 CSBR-9.6.3-05 CSBR-9.6.3-06",
    "CSBR-9.6.3-07 CSBR-9.6.3-08 CSBR-9.6.3-09 CSBR-9.6.3-10 CSBR-9.6.3-11 CSBR-9.6.3-12 CSBR-9.6.3-13",
    "CSBR-9.6.3-14 CSBR-9.6.3-15 CSBR-9.6.5-01 CSBR-9.6.5-02 CSBR-9.6.5-03 CSBR-9.6.5-04 CSBR-9.6.5-05",
    "CSBR-9.6.5-06 CSBR-9.8-01 CSBR-9.8-02 CSBR-9.16.3-01 CSBR-1.6.1-90 CSBR-8.1-90 CSBR-9.6.5-90 NSR-1-01",
    "NSR-1.1.1-01 NSR-1.2.1-01 NSR-1.2.2-01 NSR-1.2.2-02 NSR-1.2.3-01 NSR-1.3-01 NSR-2.1-01 NSR-2.1.1-01",
    "NSR-2.2.1-01 NSR-2.2.1.1-01 NSR-2.2.1.2-01 NSR-2.2.1.3-01 NSR-2.2.1.4-01 NSR-2.2.1.5-01 NSR-2.2.2-01",
    "NSR-2.2.3-01 NSR-2.2.4-01 NSR-2.2.5-01 NSR-2.2.6-01 NSR-3.1.1-01 NSR-3.1.1.2-01 NSR-3.1.2-01 NSR-3.1.2.1-01",
    "NSR-3.2.1-01 NSR-3.2.2-01 NSR-3.2.3-01 NSR-4-01 NSR-4.1-01 NSR-4.2-01 NSR-4.2.1.1-01 NSR-4.3-01",
)
"""Every id of the catalogue as the specification has it; the catalogue of the program may still lack some."""


def test_every_ballot_is_there_with_its_version_and_day() -> None:
    said = {each.number: (each.result, str(each.effective)) for each in table().ballots if each.effective}
    expected = {line.split()[0]: (line.split()[1], line.split()[2]) for line in ADOPTIONS.split("\n") if line}
    assert said == expected
    assert {each.number for each in table().ballots} == set(expected) | set(OTHERS.split())


def test_what_is_unknown_stays_unknown() -> None:
    for number in ("CSC-5", "CSC-6", "CSC-27"):
        one = table().named(number)
        assert one.status is Status.UNKNOWN
        assert one.title is None and one.votes is None and one.result is None and one.history == ()
    assert table().named("CSC-20").votes is None
    assert table().named("CSC-25").proposer is None


@pytest.mark.parametrize(
    ("number", "yes", "abstain"),
    [
        ("CSC-21", 6, ("Sectigo",)),
        ("CSC-22", 7, ()),
        ("CSC-25", 6, ()),
        ("CSC-26", 8, ()),
        ("CSC-31", 7, ("Actalis", "GlobalSign")),
        ("CSC-32", 7, ()),
    ],
)
def test_votes_by_category(number: str, yes: int, abstain: tuple[str, ...]) -> None:
    votes = table().named(number).votes
    assert votes is not None
    assert len(votes.issuers.yes) == yes
    assert votes.issuers.abstain == abstain
    assert votes.consumers.yes == ("Microsoft",)


def test_a_ballot_says_from_when_it_binds_in_its_own_phrase() -> None:
    audits = next(each for each in table().named("CSC-21").takes_force if each.requirements)
    assert audits.phrase is Phrase.AUDIT_PERIODS_STARTING_AFTER
    assert (audits.day, audits.first_day) == (date(2024, 6, 30), date(2024, 7, 1))
    assert audits.requirements == ("CSBR-8.4.2-01", "CSBR-8.4.2-02", "CSBR-8.4.2-03")
    days = [(each.phrase, each.first_day) for each in table().named("CSC-31").takes_force]
    assert days == [(Phrase.FROM_DATE, date(2025, 11, 17)), (Phrase.ISSUED_ON_OR_AFTER, date(2026, 3, 1))]


def test_every_requirement_that_a_ballot_names_exists() -> None:
    known = set(" ".join(KNOWN).split())
    assert len(known) == 364
    named: set[str] = set()
    for each in table().ballots:
        named |= set(each.changes.all)
        named |= {name for force in each.takes_force for name in force.requirements}
        named |= {name for sketch in each.sketches for name in sketch.requirements}
    named |= {name for each in happenings() for name in each.requirements}
    assert named - known == set()
    missing = sorted(named - set(BY_ID))
    if missing:  # the catalogue grows clause by clause; this says how far it is
        print(f"{len(missing)} of {len(named)} are not in the catalogue yet: {' '.join(missing)}")


def test_what_takes_force_later_is_among_the_changes() -> None:
    for each in table().ballots:
        later = {name for force in each.takes_force for name in force.requirements}
        assert later <= set(each.changes.all), each.number


@pytest.mark.parametrize(
    ("number", "status", "title", "waits_for"),
    [
        ("CSC-19", Status.ADOPTED, "Remove SSL BR references", ""),
        ("CSC-20", Status.PASSED, "Restore version reference to EV Guidelines", "the review period"),
        ("CSC-21", Status.IN_DISCUSSION, "Signing Service Update", ""),
        ("CSC-22", Status.DRAFT, "Proposed Ballot High Risk", "CSC-21"),
        (
            "CSC-25",
            Status.DRAFT,
            "Proposed ballot Remove EV Guideline References",
            "the notes of the face-to-face meeting",
        ),
        ("FORUM-20v2", Status.DRAFT, "Proposed ballot CSCWG Charter Update", "an update by its author"),
    ],
)
def test_on_the_day_of_the_minutes_it_stood_as_they_record(
    number: str, status: Status, title: str, waits_for: str
) -> None:
    then = table().named(number).as_of(MINUTES)
    assert then is not None
    assert (then.status, then.title, then.history[-1].waits_for) == (status, title, waits_for)


def test_nothing_of_the_future_is_known_on_the_day_of_the_minutes() -> None:
    then = {each.number: each for each in table().as_of(MINUTES)}
    assert not {"CSC-23", "CSC-24", "CSC-26", "CSC-31", "CSC-32", "FB-07", "FB-01"} & set(then)
    for number in ("CSC-20", "CSC-21", "CSC-22", "CSC-25"):
        one = then[number]
        assert one.result is None and one.effective is None and one.votes is None
        assert one.changes.all == () and one.takes_force == () and one.notes == () and one.review is None
        assert all(each.day <= MINUTES for each in one.history)
    assert table().named("CSC-21").as_of(date(2024, 2, 28)) == table().named("CSC-21")
    before = table().named("CSC-21").as_of(date(2024, 2, 27))
    assert before is not None and before.status is Status.PASSED and before.votes is not None


def test_the_minutes_left_items_open_and_each_has_its_outcome() -> None:
    items = table().items_of("CSC-21", MINUTES)
    assert {"definition", "runway", "netsec", "unaudited-resellers", "flow-down", "unaffiliated"} <= {
        each.name for each in items
    }
    assert all(each.settled == date(2024, 2, 28) for each in items)
    assert table().items_of("CSC-21", date(2023, 10, 18)) == ()


def test_csc_32_counts_as_the_operator_chooses() -> None:
    one = table().named("csc-32")
    assert one.status is Status.ADOPTED_UNSEEN
    assert counts_since(one, {}) == date(2026, 6, 16)
    assert counts_since(one, {"CSC-32": "when-read"}) is None
    with pytest.raises(BadInput, match="no reading is named 'never'"):
        counts_since(one, {"CSC-32": "never"})
    with pytest.raises(BadInput, match="leaves nothing to choose"):
        counts_since(table().named("CSC-31"), {"CSC-31": "when-read"})
    with pytest.raises(NotFound, match="no ballot 'CSC-99'"):
        table().named("CSC-99")


BALLOT = 'known_until = 2026-01-01\n[[ballot]]\nnumber = "X-1"\nsummary = "x"\nsource = "x"\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (BALLOT + 'votes_of = "many"\n', "unknown field `votes_of`"),
        (BALLOT + "discussion = { start = 2026-02-01, end = 2026-01-01 }\n", "ends \\(2026-01-01\\) before it starts"),
        (
            BALLOT + "discussion = { start = 2026-01-01, end = 2026-01-10 }\nvoting = { start = 2026-01-09 }\n",
            "two periods overlap",
        ),
        (BALLOT + "voting = { start = 2026-01-09 }\nreview = { start = 2026-01-08 }\n", "two periods overlap"),
        (BALLOT + "effective = 2026-01-01T00:00:00Z\n", "Expected `date"),
        (BALLOT + 'votes.issuers = { yes = ["A"], no = ["a"] }\nvotes.consumers = {}\n', "a voted twice"),
        (
            BALLOT
            + '[[ballot.history]]\ndate = 2026-01-02\nstatus = "draft"\n'
            + '[[ballot.history]]\ndate = 2026-01-01\nstatus = "draft"\n',
            "not in the order of its dates",
        ),
        (BALLOT + BALLOT.partition("\n")[2], "X-1 stands twice"),
        (BALLOT + '[[ballot.history]]\ndate = 2026-01-02\nstatus = "won"\n', "Invalid enum value 'won'"),
        ("= 1", "is not TOML"),
        ("x = " + "[" * 5000 + "]" * 5000, "nested too deeply"),
        ("x" + ".x" * 5000 + " = 1", "nested more than 12 deep"),
        ("x = " + "1" * 5000, "a number too long"),
        ("x = [" + "1," * 1001 + "]", "list of 1001 entries"),
        (f'x = "{"y" * 4001}"', "text of 4001 characters"),
        (
            BALLOT
            + '[[open_item]]\nname="n"\nballot="X-2"\nraised=2026-01-01\nasked="?"\nsettled=2026-01-01\noutcome="!"',
            "no ballot",
        ),
    ],
)
def test_a_table_that_is_not_right_is_one_sentence(text: str, says: str) -> None:
    with pytest.raises(BadInput, match=says) as refused:
        parse_table(text.encode(), "t.toml")
    assert refused.value.detail.startswith("t.toml")
    assert "\n" not in refused.value.detail and refused.value.detail.endswith(".")


def test_octets_that_are_no_text_and_too_many_of_them() -> None:
    with pytest.raises(BadInput, match="not UTF-8"):
        parse_table(b"\xff\xfe", "t.toml")
    with pytest.raises(TooLarge, match="more than 1048576 octets"):
        parse_table(b"#" * (proposal_text.MAX_OCTETS + 1), "t.toml")


# ---- rehearsing a vote

YES = Category(yes=("A", "B", "C", "D"), no=("E", "F"))
ONE = Category(yes=("P",))


def _ballot(**changes: object) -> Ballot:
    fields: dict[str, object] = {
        "number": "X-1",
        "summary": "x",
        "source": "x",
        "proposer": "A",
        "endorsers": ("B", "P"),
        "discussion": Period(date(2026, 1, 5), date(2026, 1, 12)),
        "voting": Period(date(2026, 1, 12), date(2026, 1, 19)),
        "votes": Votes(YES, ONE),
    }
    return Ballot(**(fields | changes))  # type: ignore[arg-type]


FACTS = Facts(participants=(13, 13, 13))


def _held(ballot: Ballot, facts: Facts = FACTS) -> dict[str, Verdict]:
    return {step.rule: step.verdict for step in held(ballot, facts, rules(), date(2026, 2, 1))}


def _result(ballot: Ballot, facts: Facts = FACTS) -> Result:
    return result(held(ballot, facts, rules(), date(2026, 2, 1)))


def test_two_thirds_of_the_issuers_are_enough_and_one_less_is_not() -> None:
    assert _result(_ballot()) is Result.ADOPTED
    less = _ballot(votes=Votes(Category(yes=("A", "B", "C"), no=("E", "F"), abstain=("G",)), ONE))
    assert _held(less)["Certificate Issuers"] is Verdict.NOT_MET
    assert _result(less) is Result.FAILS


def test_abstentions_count_for_the_quorum_and_for_nothing_else() -> None:
    votes = Votes(Category(yes=("A",), abstain=("B", "C", "D", "E")), Category(yes=("P",), abstain=("Q",)))
    assert _result(_ballot(votes=votes)) is Result.ADOPTED  # 7 take part, and half of 13 is 6.5
    assert _held(_ballot(votes=votes))["Certificate Issuers"] is Verdict.MET


def test_half_of_the_consumers_are_not_enough_and_none_is_never() -> None:
    half = _ballot(votes=Votes(YES, Category(yes=("P",), no=("Q",))))
    assert _held(half)["Certificate Consumers"] is Verdict.NOT_MET
    nobody = _ballot(votes=Votes(YES, Category(abstain=("P",))))
    assert _held(nobody)["Certificate Consumers"] is Verdict.NOT_MET
    silent = _ballot(votes=Votes(Category(abstain=("A", "B")), ONE))
    assert _held(silent)["Certificate Issuers"] is Verdict.NOT_MET
    most = _ballot(votes=Votes(YES, Category(yes=("P", "Q"), no=("R",))))
    assert _held(most)["Certificate Consumers"] is Verdict.MET


@pytest.mark.parametrize(
    ("participants", "verdict"),
    [((13, 13, 13), Verdict.MET), ((14, 14, 14), Verdict.NOT_MET), ((13, 14, 14), Verdict.MET)],
)
def test_more_than_half_of_the_average_of_three_meetings_take_part(
    participants: tuple[int, ...], verdict: Verdict
) -> None:
    """Seven take part; half of 14 is seven, and more is needed."""
    assert _held(_ballot(), Facts(participants=participants))["quorum (bylaws)"] is verdict


def test_the_charter_counts_the_quorum_otherwise_and_gives_way() -> None:
    steps = {step.rule: step for step in held(_ballot(), FACTS, rules())}
    assert steps["quorum (charter)"].verdict is Verdict.NOT_APPLICABLE
    assert "For comparison only: not-met." in steps["quorum (charter)"].text
    assert steps["quorum (charter)"].source == "charter 5.1"


@pytest.mark.parametrize(
    "changes",
    [{"endorsers": None}, {"discussion": None}, {"voting": None}, {"votes": None}],
)
def test_a_fact_that_is_not_known_leaves_the_outcome_open(changes: dict[str, object]) -> None:
    assert _result(_ballot(**changes)) is Result.UNKNOWN


def test_unknown_meetings_leave_the_quorum_open_and_two_are_not_three() -> None:
    assert _held(_ballot(), Facts())["quorum (bylaws)"] is Verdict.NOT_EVIDENCED
    assert _held(_ballot(), Facts(participants=(9, 9)))["quorum (bylaws)"] is Verdict.NOT_EVIDENCED


def test_the_proposer_is_no_endorser() -> None:
    assert _result(_ballot(endorsers=("A", "B"))) is Result.FAILS


@pytest.mark.parametrize(
    ("discussion", "voting_", "rule"),
    [
        (Period(date(2026, 1, 6), date(2026, 1, 12)), None, "discussion"),
        (None, Period(date(2026, 1, 12), date(2026, 1, 18)), "voting"),
        (None, Period(date(2026, 1, 12), date(2026, 1, 20)), "voting"),
    ],
)
def test_a_day_too_short_or_too_long(discussion: Period | None, voting_: Period | None, rule: str) -> None:
    one = _ballot(**({"discussion": discussion} if discussion else {}), **({"voting": voting_} if voting_ else {}))
    assert _held(one)[rule] is Verdict.NOT_MET
    assert _result(one) is Result.FAILS


def test_a_ballot_lapses_without_a_vote_within_21_days_of_its_last_version() -> None:
    long = {"discussion": Period(date(2025, 12, 1)), "voting": Period(date(2026, 1, 12), date(2026, 1, 19))}
    assert _held(_ballot(**long), Facts(last_version=date(2025, 12, 21)))["discussion"] is Verdict.NOT_MET
    assert _held(_ballot(**long), Facts(last_version=date(2025, 12, 22)))["discussion"] is Verdict.MET
    assert _held(_ballot(**long), Facts())["discussion"] is Verdict.NOT_EVIDENCED


def test_a_discussion_to_come_is_not_held_against_the_ballot() -> None:
    ahead = _ballot(discussion=Period(date(2026, 3, 1)), voting=None)
    assert _held(ahead)["discussion"] is Verdict.NOT_EVIDENCED
    begun = _ballot(discussion=Period(date(2026, 1, 29)), voting=None)
    assert _held(begun)["discussion"] is Verdict.NOT_EVIDENCED


def test_every_rule_names_its_source() -> None:
    assert all(step.source for step in held(_ballot(), FACTS, rules()))


def test_the_votes_of_adopted_ballots_meet_the_rules_that_can_be_told() -> None:
    for each in table().ballots:
        if each.votes is not None:
            found = {step.rule: step.verdict for step in held(each, Facts(), rules())}
            assert found["Certificate Issuers"] is Verdict.MET, each.number
            assert found["Certificate Consumers"] is Verdict.MET, each.number
            assert result(held(each, Facts(), rules())) is Result.UNKNOWN, each.number


# ---- dates


def test_dates_follow_from_the_first_day_of_discussion() -> None:
    """Thursday 1 January 2026 + 7 + 7 + 30; announced and reviewed within 3 + 3 business days at the latest."""
    one = _ballot(discussion=Period(date(2026, 1, 1)), voting=None, votes=None)
    days = {each.name: (each.earliest, each.latest) for each in runway(one, Facts(runway_days=100), rules()).milestones}
    assert days == {
        "vote begins": (date(2026, 1, 8), None),
        "vote ends": (date(2026, 1, 15), None),
        "review begins": (date(2026, 1, 15), date(2026, 1, 23)),
        "review ends": (date(2026, 2, 14), date(2026, 2, 22)),
        "adopted": (date(2026, 2, 14), date(2026, 2, 22)),
        "binds": (date(2026, 5, 25), date(2026, 6, 2)),
    }


def test_a_final_guideline_is_reviewed_for_60_days() -> None:
    one = _ballot(discussion=Period(date(2026, 1, 1)), voting=None, votes=None)
    ends = runway(one, Facts(guideline=Guideline.FINAL), rules()).named("review ends")
    assert ends is not None and ends.earliest == date(2026, 3, 16)


def test_runway_is_counted_and_a_date_before_adoption_is_a_problem() -> None:
    force = (
        TakesForce(Phrase.FROM_DATE, date(2026, 2, 17)),
        TakesForce(Phrase.AUDIT_PERIODS_STARTING_AFTER, date(2026, 6, 30)),
    )
    one = _ballot(takes_force=force)
    found = runway(one, Facts(runway_days=150), rules())
    assert [(each.first_day, each.runway_days) for each in found.bindings] == [
        (date(2026, 2, 17), -1),
        (date(2026, 7, 1), 133),
    ]
    assert found.problems == (
        "It would bind on 2026-02-17, 1 days before it can be adopted.",
        "2026-07-01 leaves 133 days; 150 were promised.",
    )


def test_without_a_date_nothing_is_computed() -> None:
    found = runway(_ballot(discussion=None, voting=None), Facts(), rules())
    assert found.milestones == () and found.bindings == ()
    assert found.problems


def test_dates_beyond_the_calendar_are_a_sentence() -> None:
    one = _ballot(discussion=Period(date(9999, 12, 30)), voting=None)
    assert runway(one, Facts(), rules()).problems == ("Its dates lead beyond the year 9999.",)
    last = (TakesForce(Phrase.AUDIT_PERIODS_STARTING_AFTER, date(9999, 12, 31)),)
    assert runway(_ballot(takes_force=last), Facts(), rules()).problems == ("Its dates lead beyond the year 9999.",)


def test_business_days_leave_out_the_weekend() -> None:
    assert business_days_after(date(2026, 1, 16), 1) == date(2026, 1, 19)
    assert business_days_after(date(2026, 1, 14), 3) == date(2026, 1, 19)


def test_the_runway_of_the_audit_was_four_months() -> None:
    found = runway(table().named("CSC-21"), Facts(), rules())
    assert [(each.first_day, each.runway_days) for each in found.bindings] == [
        (date(2024, 2, 28), 0),
        (date(2024, 7, 1), 124),
    ]


@pytest.mark.parametrize("text", ["at_least = [1, 2]\nmore_than = [1, 2]", ""])
def test_a_threshold_is_one_share(text: str) -> None:
    with pytest.raises(BadInput, match="either at_least or more_than"):
        proposal_text.read_toml(f'source = "x"\n{text}'.encode(), voting.Threshold, "rules")


# ---- the timeline


def _rows(as_of: date | None = None, choices: dict[str, str] | None = None) -> tuple[Row, ...]:
    return timeline((), table(), happenings(), as_of, choices)


def test_the_timeline_is_in_order_and_has_every_adoption() -> None:
    rows = _rows()
    assert [row.day for row in rows] == sorted(row.day for row in rows)
    adopted = {row.ballot: str(row.day) for row in rows if row.mark is Mark.BALLOT}
    assert adopted == {line.split()[0]: line.split()[2] for line in ADOPTIONS.split("\n") if line}


def test_on_the_day_of_the_minutes_only_adopted_dates_lie_ahead() -> None:
    ahead = [(str(row.day), row.ballot) for row in _rows(MINUTES) if row.day > MINUTES]
    assert ahead == [("2024-04-15", "CSC-18")]


def test_dates_that_contradict_themselves_and_open_ones_are_marked() -> None:
    marked = {str(row.day): (row.conflict, row.open) for row in _rows() if row.conflict or row.open}
    assert marked == {"2024-06-15": (True, False), "2025-11-07": (True, False), "2027-03-15": (False, True)}
    chosen = {str(row.day) for row in _rows(choices={"CSC-32": "when-read"}) if row.open}
    assert chosen == {"2026-06-16", "2027-03-15"}


def test_requirements_are_gathered_by_day_and_ballot_and_house_rules_apart() -> None:
    fields = {"clause": "6.7", "title": "T", "text": "T.", "obligation": Obligation.SHALL, "binds": (Party.CA,)}
    fields |= {"applies_to": (Scope.EV,), "dated_by": DatedBy.DAY, "kinds": (Kind.ORGANISATION,)}
    fields |= {"severity": Severity.LOW, "enforced_by": (EnforcedBy.AUDIT,), "wants": Wants("T.", judgement=True)}
    day, last = date(2024, 2, 28), date(2025, 1, 1)
    catalogue = [
        Requirement(id="CSBR-6.7-01", source=Source("CSC-21", "3.6"), in_force=InForce(day), **fields),  # type: ignore[arg-type]
        Requirement(id="CSBR-6.7-02", source=Source("CSC-21", "3.6"), in_force=InForce(day, last), **fields),  # type: ignore[arg-type]
        Requirement(
            id="HOUSE-6.7-01", source=Source("none", ""), in_force=InForce(day), nature=Nature.HOUSE_RULE, **fields
        ),  # type: ignore[arg-type]
    ]
    rows = timeline(catalogue, table(), ())
    texts = [(row.day, row.text, row.requirements) for row in rows if row.mark in (Mark.REQUIREMENTS, Mark.ENDS)]
    assert texts == [
        (day, "1 house rule of ours begins", ("HOUSE-6.7-01",)),
        (day, "2 requirements bind by CSC-21", ("CSBR-6.7-01", "CSBR-6.7-02")),
        (last, "1 older text binds for the last day", ("CSBR-6.7-02",)),
    ]
    then = timeline(catalogue, table(), (), MINUTES)
    assert not [row for row in then if row.mark is not Mark.BALLOT]


def test_the_picture_is_one_document_without_script_for_both_grounds() -> None:
    from xml.etree import ElementTree  # our own document; nothing of it came from outside

    odd = Row(date(2026, 1, 1), Mark.EVENT, '<script>alert("&")</script>' + "x" * 200)
    text = draw((*_rows(), odd), date(2026, 11, 25))
    tree = ElementTree.fromstring(text)  # noqa: S314 - our own
    tags = [each.tag.rpartition("}")[2] for each in tree.iter()]
    assert tags.count("title") == 1 and tags.count("desc") == 1 and "script" not in tags
    assert tree.get("role") == "img"
    assert "prefers-color-scheme: dark" in text and "http://www.w3.org/2000/svg" in text
    assert text.count("http") == 1  # nothing is fetched
    shown = [each.text for each in tree.iter() if each.tag.endswith("text")]
    assert {"13 Aug", "2019", "2026-11-25"} <= set(shown)
    years = {row.day.year for row in (*_rows(), odd)}
    assert tags.count("g") == len(_rows()) + 1 + len(years) + 1 + 1  # the rows twice 2026, and the line of today


def test_an_empty_timeline_can_be_drawn() -> None:
    assert "no year" in draw((), date(2026, 1, 1))


def test_a_history_entry_needs_no_text() -> None:
    assert Event(date(2026, 1, 1), Status.IDEA).text == ""
