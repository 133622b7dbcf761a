"""Documents never pass by being there: without one nothing is shown, with one a person judges, and that is repeated."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from privyseal.compliance.catalogue import BY_ID
from privyseal.compliance.evaluate import evaluate
from privyseal.compliance.held import Held, Review
from privyseal.compliance.outcome import Finding
from privyseal.compliance.requirement import Asked
from privyseal.compliance.subjects import OrganisationRecord, SubscriberRecord

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
PAPER = BY_ID["CSBR-6.7-01"]  # wants an audit report, and any of that will do
PERSON = BY_ID["CSBR-6.2.7.3-01"]  # a person judges, whatever documents there are
EITHER = BY_ID["CSBR-9.6.3-02"]  # a Subscriber Agreement, or Terms of Use


def review(of: str, verdict: Any = "met", at: datetime = NOW - timedelta(days=30), who: str = "Ada Example") -> Review:
    return Review(requirement=of, verdict=verdict, who=who, at=at)


def held(kind: str, *reviews: Review, **given: Any) -> Held:
    return Held(kind=kind, sha256="0" * 64, reviews=reviews, **given)


def found(rule: Any, *documents: Held) -> Finding:
    kind = OrganisationRecord if rule is not EITHER else SubscriberRecord
    [finding] = evaluate(kind(label="Acme", at=NOW, evidence=documents), (rule,), Asked(NOW))
    return finding


def test_without_a_document_nothing_is_shown() -> None:
    finding = found(PAPER)
    assert finding.verdict == "not-evidenced"
    assert "No audit-report is held." in finding.text
    assert finding.mend == "add evidence: audit-report"


def test_a_document_that_nobody_has_judged_is_for_a_person() -> None:
    assert found(PAPER, held("audit-report")).verdict == "judgement"


@pytest.mark.parametrize(("verdict", "expected"), [("met", "met"), ("not-met", "not-met"), ("not-evidenced",) * 2])
def test_what_a_person_judged_is_repeated_with_its_name_and_day(verdict: str, expected: str) -> None:
    finding = found(PAPER, held("audit-report", review(PAPER.id, verdict)))
    assert finding.verdict == expected
    assert "Ada Example" in finding.text
    assert "2026-10-26" in finding.text


@pytest.mark.parametrize(
    ("until", "expected"), [(date(2026, 11, 25), "met"), (date(2026, 11, 24), "not-evidenced")], ids=["last", "past"]
)
def test_a_document_speaks_until_its_last_day(until: date, expected: str) -> None:
    finding = found(PAPER, held("audit-report", review(PAPER.id), valid_until=until))
    assert finding.verdict == expected
    assert expected == "met" or "2026-11-24" in finding.text


def test_a_document_that_is_not_valid_yet_shows_nothing() -> None:
    finding = found(PAPER, held("audit-report", review(PAPER.id), valid_from=date(2026, 11, 26)))
    assert finding.verdict == "not-evidenced"
    assert "2026-11-26" in finding.text


def test_the_newest_review_counts_and_one_of_tomorrow_does_not() -> None:
    early, late = NOW - timedelta(days=20), NOW - timedelta(days=10)
    both = (review(PAPER.id, "met", early), review(PAPER.id, "not-met", late))
    assert found(PAPER, held("audit-report", *both)).verdict == "not-met"
    assert found(PAPER, held("audit-report", *both[::-1])).verdict == "not-met"
    later = review(PAPER.id, "met", NOW + timedelta(seconds=1))
    assert found(PAPER, held("audit-report", *both, later)).verdict == "not-met"


def test_a_review_of_another_requirement_says_nothing() -> None:
    assert found(PAPER, held("audit-report", review("CSBR-8.4.2-01"))).verdict == "judgement"


@pytest.mark.parametrize(
    ("clauses", "expected"),
    [(("CSBR-6.7-01",), "judgement"), (("CSBR 6.7",), "judgement"), (("CSBR 8.4.2",), "not-evidenced")],
)
def test_a_document_is_for_what_it_names(clauses: tuple[str, ...], expected: str) -> None:
    assert found(PAPER, held("audit-report", clauses=clauses)).verdict == expected


def test_every_kind_that_is_wanted_has_to_be_there() -> None:
    kinds = PERSON.wants.evidence if PERSON.wants else ()
    assert len(kinds) > 1
    some = [held(each, review(PERSON.id)) for each in kinds]
    assert found(PERSON, *some[:-1]).verdict == "judgement"
    assert f"No {kinds[-1]} is held." in found(PERSON, *some[:-1]).text
    assert found(PERSON, *some).verdict == "met"


def test_what_a_person_judges_stays_judgement_without_documents() -> None:
    assert found(PERSON).verdict == "judgement"


@pytest.mark.parametrize("kind", ["subscriber-agreement", "terms-of-use"])
def test_terms_of_use_do_instead_of_an_agreement(kind: str) -> None:
    assert found(EITHER, held(kind, review(EITHER.id))).verdict == "met"
