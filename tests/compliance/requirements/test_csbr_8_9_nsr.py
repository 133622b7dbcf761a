"""Sections 8 and 9 of the Code Signing Requirements, NetSec, and our house rules, against tables of the test's own."""

from datetime import UTC, date, datetime
from pathlib import Path

import msgspec
import pytest

from privyseal.compliance.catalogue import BY_ID, REQUIREMENTS
from privyseal.compliance.evaluate import evaluate
from privyseal.compliance.requirement import Asked, DatedBy, EnforcedBy, Kind, Nature, Obligation, Requirement, Scope
from privyseal.compliance.requirements import csbr_8_4

FACTS = Path(__file__).parents[4] / "shared" / "reference" / "csbr.yaml"
"""The facts of all clauses, where somebody has them: not part of this repository."""

TABLE = """
CSBR-8-01 SHALL 2019-08-13 -
CSBR-8-02 SHALL 2019-08-13 -
CSBR-8.1-01 SHALL 2021-09-08 -
CSBR-8.1-02 SHALL 2021-09-08 -
CSBR-8.1-03 SHALL 2019-08-13 -
CSBR-8.1-04 SHALL 2024-02-28 -
CSBR-8.1-05 SHALL-NOT 2019-08-13 -
CSBR-8.1-90 SHALL 2019-08-13 2024-02-27
CSBR-8.2-01 SHALL 2023-09-05 -
CSBR-8.4.1-01 SHALL 2024-02-28 -
CSBR-8.4.2-01 SHALL 2024-07-01 -
CSBR-8.4.2-02 SHALL 2024-07-01 -
CSBR-8.4.2-03 SHALL 2024-07-01 -
CSBR-8.4.3-01 SHALL 2024-02-28 -
CSBR-8.6-01 SHALL 2023-09-05 -
CSBR-8.6-02 SHALL 2023-09-05 -
CSBR-8.6-03 SHALL 2023-09-05 -
CSBR-8.6-04 SHALL 2023-09-05 -
CSBR-8.6-05 MAY 2024-02-28 -
CSBR-8.7-01 SHALL 2021-09-08 -
CSBR-8.7-02 SHALL 2021-09-08 -
CSBR-9.2.1-01 SHALL 2024-08-01 -
CSBR-9.6.1-01 SHALL 2024-02-28 -
CSBR-9.6.1-02 SHALL 2019-08-13 -
CSBR-9.6.1-03 SHALL 2024-02-28 -
CSBR-9.6.3-01 SHALL 2019-08-13 -
CSBR-9.6.3-02 SHALL 2019-08-13 -
CSBR-9.6.3-03 SHALL 2019-08-13 -
CSBR-9.6.3-04 SHALL 2019-08-13 -
CSBR-9.6.3-05 SHALL 2019-08-13 -
CSBR-9.6.3-06 SHALL 2019-08-13 -
CSBR-9.6.3-07 SHALL 2019-08-13 -
CSBR-9.6.3-08 SHALL 2019-08-13 -
CSBR-9.6.3-09 SHALL 2019-08-13 -
CSBR-9.6.3-10 SHALL 2019-08-13 -
CSBR-9.6.3-11 SHALL 2019-08-13 -
CSBR-9.6.3-12 SHALL 2021-09-08 -
CSBR-9.6.3-13 SHALL 2019-08-13 -
CSBR-9.6.3-14 SHALL 2019-08-13 -
CSBR-9.6.3-15 SHALL 2019-08-13 -
CSBR-9.6.5-01 SHALL 2019-08-13 -
CSBR-9.6.5-02 SHALL 2024-02-28 -
CSBR-9.6.5-03 SHALL 2019-08-13 -
CSBR-9.6.5-04 SHALL 2019-08-13 -
CSBR-9.6.5-05 SHALL 2019-08-13 -
CSBR-9.6.5-06 SHALL 2019-08-13 -
CSBR-9.6.5-90 SHALL 2019-08-13 2024-02-27
CSBR-9.8-01 SHALL 2021-09-08 -
CSBR-9.8-02 SHALL-NOT 2021-09-08 -
CSBR-9.16.3-01 SHALL 2019-08-13 -
NSR-1-01 SHALL 2025-11-12 -
NSR-1.1.1-01 SHALL 2025-11-12 -
NSR-1.2.1-01 SHALL 2025-11-12 -
NSR-1.2.2-01 SHALL 2025-11-12 -
NSR-1.2.2-02 SHOULD 2025-11-12 -
NSR-1.2.3-01 SHALL 2025-11-12 -
NSR-1.3-01 SHALL 2025-11-12 -
NSR-2.1-01 SHALL 2025-11-12 -
NSR-2.1.1-01 SHALL 2025-11-12 -
NSR-2.2.1-01 SHALL 2025-11-12 -
NSR-2.2.1.1-01 SHALL 2025-11-12 -
NSR-2.2.1.2-01 SHALL 2025-11-12 -
NSR-2.2.1.3-01 SHALL 2025-11-12 -
NSR-2.2.1.4-01 SHALL 2025-11-12 -
NSR-2.2.1.5-01 SHALL 2025-11-12 -
NSR-2.2.2-01 SHALL 2025-11-12 -
NSR-2.2.3-01 SHALL 2025-11-12 -
NSR-2.2.4-01 SHALL 2025-11-12 -
NSR-2.2.5-01 SHOULD 2025-11-12 -
NSR-2.2.6-01 SHALL 2025-11-12 -
NSR-3.1.1-01 SHALL 2025-11-12 -
NSR-3.1.1.2-01 SHALL 2025-11-12 -
NSR-3.1.2-01 SHALL 2025-11-12 -
NSR-3.1.2.1-01 SHALL 2025-11-12 -
NSR-3.2.1-01 SHALL 2025-11-12 -
NSR-3.2.2-01 SHALL 2025-11-12 -
NSR-3.2.3-01 SHALL 2025-11-12 -
NSR-4-01 SHALL 2025-11-12 -
NSR-4.1-01 SHALL 2025-11-12 -
NSR-4.2-01 SHALL 2025-11-12 -
NSR-4.2.1.1-01 SHALL 2025-11-12 -
NSR-4.3-01 SHALL 2025-11-12 -
"""
"""Id, word, first day, last day: made by a script from the facts, not from the catalogue."""

HOUSE_RULES = {
    "HOUSE-1.6.1-01": "CSBR-1.6.1-01",
    "HOUSE-4.9.1-01": "CSBR-4.9.1-01",
    "HOUSE-4.9.5-01": "CSBR-4.9.5-04",
    "HOUSE-6.1.2-01": "CSBR-6.1.2-04",
    "HOUSE-6.2.7.3-01": "CSBR-6.2.7.3-01",
    "HOUSE-6.2.7.3-02": "CSBR-6.2.7.3-02",
    "HOUSE-6.2.7.3-03": "CSBR-6.2.7.3-03",
    "HOUSE-6.2.7.3-04": "CSBR-6.2.7.3-01",
    "HOUSE-9.6.3-01": "CSBR-9.6.3-11",
    "HOUSE-9.6.3-02": "CSBR-9.6.3-01",
    "HOUSE-9.6.3-03": "CSBR-9.6.3-01",
    "HOUSE-9.6.5-01": "CSBR-9.6.5-01",
}
"""Each house rule that stands in no family's file, and the entry that it supports."""

AUDITED = ("CSBR-8.1-90", "CSBR-8.1-04", "CSBR-8.4.2-01", "CSBR-8.4.2-02", "CSBR-8.4.2-03")
"""What has a Signing Service audited, in the order in which it came."""


class _Period(msgspec.Struct, frozen=True):
    """An audit period of a Signing Service, of which only the first day is known."""

    start: date
    scopes: frozenset[Scope] = frozenset({Scope.NON_EV})
    kind: Kind = Kind.AUDIT_PERIOD
    label: str = "period"

    def when(self, clock: DatedBy) -> datetime | None:
        assert clock is DatedBy.AUDIT_PERIOD_START
        return datetime(self.start.year, self.start.month, self.start.day, tzinfo=UTC)


def _ours(document: str, *sections: str) -> dict[str, Requirement]:
    return {
        each.id: each
        for each in REQUIREMENTS
        if each.document == document and (not sections or each.clause.partition(".")[0] in sections)
    }


def _facts() -> list[dict[str, object]]:
    if not FACTS.is_file():
        pytest.skip("The folder with the facts of all clauses is not here, so the catalogue was not held against them.")
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed, so the facts could not be read.")
    read = yaml.safe_load(FACTS.read_text(encoding="utf-8"))
    sections = [each for each in read["requirements"] if each["section"].partition(".")[0] in ("8", "9")]
    return sections + read["netsec_requirements"]  # type: ignore[no-any-return]


def _days(found: Requirement) -> tuple[str, str]:
    until = found.in_force.until
    return found.in_force.since.isoformat(), "-" if until is None else until.isoformat()


def test_each_entry_has_the_word_and_the_days_of_the_table() -> None:
    expected = {row.split()[0]: tuple(row.split()[1:]) for row in TABLE.split("\n") if row}
    found = _ours("CSBR", "8", "9") | _ours("NSR")
    assert {name: (each.obligation.replace(" ", "-"), *_days(each)) for name, each in found.items()} == expected
    assert len(expected) == 82


def test_each_entry_is_as_the_facts_have_it() -> None:
    names = {"tsa": "timestamp-authority"}
    for fact in _facts():
        name = str(fact["id"])
        found, by = BY_ID[name], fact["introduced_by"]
        assert isinstance(by, dict)
        assert found.clause == fact["section"], name
        assert found.obligation == fact["level"], name
        assert list(found.binds) == [names.get(each, each.replace("_", "-")) for each in fact["binds"]], name  # type: ignore[attr-defined]
        assert list(found.applies_to) == [each.replace("_", "-") for each in fact["applies_to"]], name  # type: ignore[attr-defined]
        assert (found.source.ballot, found.source.version) == (by["ballot"], by["version"]), name
        assert found.source.certainty == by["confidence"], name
        assert _days(found) == (fact["effective_from"], fact.get("effective_to", "-")), name
        assert found.superseded_by == fact.get("superseded_by"), name


def test_no_sentence_of_the_catalogue_is_one_of_the_facts() -> None:
    for fact in _facts():
        found = BY_ID[str(fact["id"])]
        assert found.text != fact["paraphrase"]
        assert not set(found.notes) & {fact.get("notes")}


@pytest.mark.parametrize(
    ("start", "audited"),
    [
        (date(2020, 1, 1), ["CSBR-8.1-90"]),
        (date(2024, 2, 27), ["CSBR-8.1-90"]),
        (date(2024, 2, 28), ["CSBR-8.1-04"]),
        (date(2024, 6, 14), ["CSBR-8.1-04"]),
        (date(2024, 6, 15), ["CSBR-8.1-04"]),
        (date(2024, 6, 30), ["CSBR-8.1-04"]),
        (date(2024, 7, 1), ["CSBR-8.1-04", "CSBR-8.4.2-01", "CSBR-8.4.2-02", "CSBR-8.4.2-03"]),
    ],
)
def test_before_the_first_period_of_its_own_a_service_is_audited_by_8_1(start: date, audited: list[str]) -> None:
    asked = Asked(datetime(2026, 11, 25, tzinfo=UTC))
    found = evaluate(_Period(start), (BY_ID[each] for each in AUDITED), asked)
    assert [each.requirement for each in found] == audited


@pytest.mark.parametrize(("start", "number"), [(date(2024, 6, 14), 0), (date(2024, 6, 15), 3), (date(2024, 7, 1), 3)])
def test_whoever_reads_the_table_of_dates_begins_a_fortnight_earlier(start: date, number: int) -> None:
    asked = Asked(datetime(2026, 11, 25, tzinfo=UTC), dict.fromkeys(AUDITED[2:], "table"))
    assert len(list(evaluate(_Period(start), (BY_ID[each] for each in AUDITED[2:]), asked))) == number


def test_the_two_readings_of_the_first_day_are_kept_with_each_entry_that_they_concern() -> None:
    concerned = [each for each in REQUIREMENTS if each.conflict is csbr_8_4.FIRST_DAY]
    assert [each.id for each in concerned] == list(AUDITED[2:])
    assert {each.name: each.since for each in csbr_8_4.FIRST_DAY.readings} == {
        "text": date(2024, 7, 1),
        "table": date(2024, 6, 15),
    }
    assert csbr_8_4.FIRST_DAY.default == "text"


def test_each_house_rule_is_marked_as_ours_and_names_what_it_supports() -> None:
    for name, supported in HOUSE_RULES.items():
        found = BY_ID[name]
        assert supported.rpartition("-")[0] == f"CSBR-{found.clause}"
        assert f"Supports {supported}" in found.notes[0]
        assert found.source.ballot == "none"
        assert found.obligation is Obligation.SHOULD


def test_only_house_rules_are_called_house_rules() -> None:
    for each in REQUIREMENTS:
        assert (each.nature is Nature.HOUSE_RULE) == (each.document == "HOUSE"), each.id


def test_no_auditor_is_said_to_enforce_a_house_rule() -> None:
    for name in HOUSE_RULES:
        assert EnforcedBy.AUDIT not in BY_ID[name].enforced_by
