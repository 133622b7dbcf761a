"""Sections 1 to 4 of the Requirements, those that no signed object shows, against a list made apart from the code."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from privyseal.compliance.catalogue import BY_ID
from privyseal.compliance.evaluate import evaluate
from privyseal.compliance.outcome import Verdict
from privyseal.compliance.requirement import (
    Asked,
    DatedBy,
    EnforcedBy,
    Kind,
    Nature,
    Obligation,
    Requirement,
    Scope,
    Severity,
)

# id: obligation, ballot, the first day, the last day
FACTS: dict[str, tuple[str, str, str, str | None]] = {
    "CSBR-1.3.2-01": ("MAY", "CSC-1", "2019-08-13", None),
    "CSBR-1.3.2-02": ("SHALL", "CSC-1", "2019-08-13", None),
    "CSBR-1.3.2-03": ("SHALL", "CSC-21", "2024-02-28", None),
    "CSBR-1.3.2-90": ("SHALL", "CSC-1", "2019-08-13", "2024-02-27"),
    "CSBR-1.3.2.1.1-01": ("SHALL", "CSC-25", "2024-08-01", None),
    "CSBR-1.3.2.1.2-01": ("SHALL", "CSC-25", "2024-08-01", None),
    "CSBR-1.3.2.1.2-02": ("MAY", "CSC-25", "2024-08-01", None),
    "CSBR-1.3.2.1.3-01": ("SHALL", "CSC-25", "2024-08-01", None),
    "CSBR-1.3.5-01": ("SHALL", "CSC-21", "2024-02-28", None),
    "CSBR-1.3.5-02": ("MAY", "CSC-21", "2024-02-28", None),
    "CSBR-1.6.1-01": ("SHALL", "CSC-21", "2024-02-28", None),
    "CSBR-1.6.1-02": ("SHALL", "CSC-18", "2023-06-29", None),
    "CSBR-1.6.1-03": ("SHALL", "CSC-21", "2024-02-28", None),
    "CSBR-1.6.1-90": ("SHALL", "CSC-1", "2019-08-13", "2024-02-27"),
    "CSBR-2-01": ("SHALL", "CSC-19", "2023-09-05", None),
    "CSBR-2.1-01": ("SHALL", "CSC-1", "2019-08-13", None),
    "CSBR-2.2-01": ("SHALL", "CSC-2..CSC-9", "2021-09-08", None),
    "CSBR-2.2-02": ("SHALL", "CSC-1", "2019-08-13", None),
    "CSBR-2.2-03": ("SHALL", "CSC-1", "2019-08-13", None),
    "CSBR-2.4-01": ("SHALL", "CSC-19", "2023-09-05", None),
    "CSBR-3.2.2-01": ("SHALL", "CSC-19", "2023-09-05", None),
    "CSBR-3.2.2.1-01": ("SHALL", "CSC-1", "2019-08-13", None),
    "CSBR-3.2.2.1-02": ("SHALL", "CSC-1", "2019-08-13", None),
    "CSBR-3.2.2.1.1-01": ("SHALL", "CSC-19", "2023-09-05", None),
    "CSBR-3.2.2.1.2-01": ("SHALL", "CSC-19", "2023-09-05", None),
    "CSBR-3.2.2.2-01": ("SHALL", "CSC-25", "2024-08-01", None),
    "CSBR-3.2.2.2.7-01": ("SHALL", "CSC-25", "2024-08-01", None),
    "CSBR-3.2.2.2.8-01": ("SHALL", "CSC-25", "2024-08-01", None),
    "CSBR-3.2.3-01": ("SHALL", "CSC-1", "2019-08-13", None),
    "CSBR-3.2.3.2-01": ("SHALL", "CSC-1", "2019-08-13", None),
    "CSBR-3.2.5-01": ("SHALL", "CSC-19", "2023-09-05", None),
    "CSBR-3.2.5-02": ("SHALL", "CSC-19", "2023-09-05", None),
    "CSBR-3.2.6-01": ("SHOULD", "CSC-2..CSC-9", "2021-09-08", None),
    "CSBR-3.2.7-01": ("SHALL", "CSC-19", "2023-09-05", None),
    "CSBR-3.2.8-01": ("SHALL", "CSC-25", "2024-08-01", None),
    "CSBR-3.2.9-01": ("SHALL", "CSC-25", "2024-08-01", None),
    "CSBR-3.2.10-01": ("SHALL", "CSC-25", "2025-03-15", None),
    "CSBR-4.1.1-02": ("SHALL", "CSC-25", "2024-08-01", None),
    "CSBR-4.1.2-01": ("SHALL", "CSC-1", "2019-08-13", None),
    "CSBR-4.1.2-90": ("SHALL", "CSC-1", "2019-08-13", "2024-02-27"),
    "CSBR-4.2.1-01": ("SHALL", "CSC-1", "2019-08-13", None),
    "CSBR-4.2.1-02": ("SHOULD", "CSC-1", "2019-08-13", None),
    "CSBR-4.2.1-03": ("SHALL", "CSC-1", "2019-08-13", None),
    "CSBR-4.2.1-04": ("MAY", "CSC-13", "2022-05-06", None),
    "CSBR-4.2.1-05": ("SHALL", "CSC-2..CSC-9", "2021-09-08", None),
    "CSBR-4.2.1-90": ("SHALL", "CSC-1", "2019-08-13", "2024-02-27"),
    "CSBR-4.2.1.1.3-01": ("SHALL", "CSC-25", "2024-08-01", None),
    "CSBR-4.2.2-01": ("SHALL NOT", "CSC-1", "2019-08-13", None),
    "CSBR-4.2.2-02": ("SHALL", "CSC-1", "2019-08-13", None),
    "CSBR-4.2.2-03": ("MAY", "CSC-21", "2024-02-28", None),
    "CSBR-4.2.2-04": ("SHALL NOT", "CSC-1", "2019-08-13", None),
    "CSBR-4.2.2-90": ("SHALL", "CSC-1", "2019-08-13", "2024-02-27"),
    "CSBR-4.3.1-01": ("SHALL", "CSC-1", "2019-08-13", None),
    "CSBR-4.9-01": ("SHALL", "CSC-18", "2024-04-15", None),
    "CSBR-4.9.1.1-01": ("SHALL", "CSC-18", "2024-04-15", None),
    "CSBR-4.9.1.1-02": ("SHALL", "CSC-18", "2024-04-15", None),
    "CSBR-4.9.1.1-03": ("SHALL", "CSC-18", "2024-04-15", None),
    "CSBR-4.9.1.1-05": ("SHALL", "CSC-18", "2024-04-15", None),
    "CSBR-4.9.1.1-06": ("SHALL", "CSC-18", "2024-04-15", None),
    "CSBR-4.9.1.1-07": ("SHALL", "CSC-18", "2024-04-15", None),
    "CSBR-4.9.1.1-08": ("SHALL", "CSC-18", "2024-04-15", None),
    "CSBR-4.9.1.1-09": ("SHALL", "CSC-18", "2024-04-15", None),
    "CSBR-4.9.1.1-10": ("SHALL", "CSC-18", "2024-04-15", None),
    "CSBR-4.9.1.1-11": ("SHALL", "CSC-18", "2024-04-15", None),
    "CSBR-4.9.1.1-12": ("SHALL", "CSC-18", "2024-04-15", None),
    "CSBR-4.9.1.1-13": ("SHALL", "CSC-18", "2024-04-15", None),
    "CSBR-4.9.1.1-14": ("SHALL", "CSC-18", "2024-04-15", None),
    "CSBR-4.9.1.1-15": ("MAY", "CSC-18", "2024-04-15", None),
    "CSBR-4.9.1.1-90": ("SHALL", "CSC-1", "2019-08-13", "2024-04-14"),
    "CSBR-4.9.1.1-91": ("SHALL", "CSC-1", "2019-08-13", "2024-04-14"),
    "CSBR-4.9.1.1-92": ("SHALL", "CSC-1", "2019-08-13", "2024-04-14"),
    "CSBR-4.9.1.2-01": ("SHALL", "CSC-18", "2024-04-15", None),
    "CSBR-4.9.2-01": ("SHALL", "CSC-1", "2019-08-13", None),
    "CSBR-4.9.3-01": ("SHALL", "CSC-19", "2023-09-05", None),
    "CSBR-4.9.5-01": ("SHALL", "CSC-1", "2019-08-13", None),
    "CSBR-4.9.5-02": ("SHALL", "CSC-1", "2019-08-13", None),
    "CSBR-4.9.5-03": ("SHALL", "CSC-1", "2019-08-13", None),
    "CSBR-4.9.5-04": ("SHOULD", "CSC-1", "2019-08-13", None),
    "CSBR-4.9.10-01": ("SHALL", "CSC-1", "2019-08-13", None),
    "CSBR-4.9.10-04": ("SHALL NOT", "CSC-19", "2023-09-05", None),
    "CSBR-4.9.10-05": ("MAY", "CSC-8", "2021-05-02", None),
    "CSBR-4.9.11-01": ("SHALL", "CSC-1", "2019-08-13", None),
    "CSBR-4.10.2-01": ("SHALL", "CSC-19", "2023-09-05", None),
}

CATALOGUE = Path(__file__).parents[4] / "shared" / "reference" / "csbr.yaml"


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


@pytest.mark.parametrize("name", FACTS)
def test_it_is_there_with_its_word_its_ballot_and_its_days(name: str) -> None:
    obligation, ballot, since, until = FACTS[name]
    each = BY_ID[name]
    assert each.obligation == obligation
    assert each.source.ballot == ballot
    assert each.in_force.since == _day(since)
    assert each.in_force.until == _day(until)
    assert f"CSBR-{each.clause}" == name.rpartition("-")[0]


def test_a_permission_breaks_nothing() -> None:
    for each in (BY_ID[name] for name in FACTS):
        if each.obligation is Obligation.MAY:
            assert each.severity is Severity.NOTICE, each.id
        if each.severity in (Severity.CRITICAL, Severity.HIGH):
            assert EnforcedBy.NOBODY not in each.enforced_by, each.id


def test_none_of_them_waits_for_ever_for_a_date() -> None:
    """An organisation has no date of its own, so only the day asked can govern what is judged on it."""
    for each in (BY_ID[name] for name in FACTS):
        assert (Kind.ORGANISATION in each.kinds) == (each.dated_by is DatedBy.DAY), each.id


class _Case(msgspec.Struct, frozen=True):
    kind: Kind
    at: datetime | None = None
    label: str = "case"
    scopes: frozenset[Scope] = frozenset({Scope.EV, Scope.NON_EV})

    def when(self, clock: DatedBy) -> datetime | None:
        return self.at


def _bound(case: _Case, asked: datetime, clauses: str) -> set[str]:
    mine: list[Requirement] = [BY_ID[name] for name in FACTS if BY_ID[name].clause == clauses]
    return {each.requirement for each in evaluate(case, mine, Asked(asked))}


def test_the_new_revocation_timetable_binds_from_the_fifteenth_of_april() -> None:
    now = datetime(2026, 11, 25, tzinfo=UTC)
    before = _bound(_Case(Kind.INCIDENT, datetime(2024, 4, 14, 23, 59, 59, tzinfo=UTC)), now, "4.9.1.1")
    after = _bound(_Case(Kind.INCIDENT, datetime(2024, 4, 15, tzinfo=UTC)), now, "4.9.1.1")
    assert before == {f"CSBR-4.9.1.1-{number}" for number in (90, 91, 92)}
    assert after == {f"CSBR-4.9.1.1-{number:02d}" for number in (1, 2, 3, *range(5, 16))}


def test_on_the_day_of_the_minutes_a_signing_service_was_one_by_the_act_of_signing() -> None:
    service = _Case(Kind.ORGANISATION, scopes=frozenset())
    assert _bound(service, datetime(2023, 10, 19, 12, tzinfo=UTC), "1.6.1") == {"CSBR-1.6.1-90"}
    assert _bound(service, datetime(2024, 2, 27, 23, 59, 59, tzinfo=UTC), "1.6.1") == {"CSBR-1.6.1-90"}
    assert _bound(service, datetime(2024, 2, 28, tzinfo=UTC), "1.6.1") == {"CSBR-1.6.1-01"}


def test_an_older_key_may_have_been_imported() -> None:
    generated = datetime(2024, 2, 27, 23, 59, 59, tzinfo=UTC)
    now = datetime(2026, 11, 25, tzinfo=UTC)
    assert not _bound(_Case(Kind.KEY_PAIR, generated), now, "1.3.5")
    assert _bound(_Case(Kind.KEY_PAIR, datetime(2024, 2, 28, tzinfo=UTC)), now, "1.3.5") == {"CSBR-1.3.5-01"}


def test_ev_vetting_does_not_speak_of_non_ev() -> None:
    subscriber = _Case(Kind.SUBSCRIBER, datetime(2026, 1, 1, tzinfo=UTC), scopes=frozenset({Scope.NON_EV}))
    bound = {each.requirement for each in evaluate(subscriber, BY_ID.values(), Asked(datetime(2026, 1, 2, tzinfo=UTC)))}
    assert {"CSBR-3.2.2.1-01", "CSBR-4.2.1-05"} <= bound
    assert not bound & {"CSBR-3.2.2.2-01", "CSBR-3.2.8-01", "CSBR-3.2.9-01", "CSBR-3.2.10-01", "CSBR-4.2.1.1.3-01"}


def test_only_a_person_says_what_is_suspect_code() -> None:
    incident = _Case(Kind.INCIDENT, datetime(2026, 1, 1, tzinfo=UTC))
    (finding,) = evaluate(incident, [BY_ID["CSBR-1.6.1-02"]], Asked(datetime(2026, 1, 2, tzinfo=UTC)))
    assert finding.verdict is Verdict.JUDGEMENT


@pytest.mark.parametrize(
    ("name", "default", "other"),
    [("CSBR-4.2.1-04", "proofs", "printed"), ("CSBR-4.2.2-04", "key-protection", "printed")],
)
def test_slips_of_the_text_carry_both_readings(name: str, default: str, other: str) -> None:
    conflict = BY_ID[name].conflict
    assert conflict is not None
    assert conflict.default == default
    assert {each.name for each in conflict.readings} == {default, other}
    assert BY_ID[name].nature is Nature.INTERPRETATION


PARTIES = {"tsa": "timestamp-authority"}


def _words(words: list[str]) -> set[str]:
    return {PARTIES.get(word, word.replace("_", "-")) for word in words}


def _listed() -> dict[str, Any]:
    if not CATALOGUE.is_file():
        pytest.skip("The folder with the catalogue of facts is not here, so nothing was compared with it.")
    yaml = pytest.importorskip("yaml", reason="There is no YAML reader here, so nothing was compared with the list.")
    listed = yaml.safe_load(CATALOGUE.read_text(encoding="utf-8"))["requirements"]
    return {each["id"]: each for each in listed if each["id"].partition("-")[2][0] in "1234" and "artifact" not in each}


def test_they_are_the_entries_of_the_list_with_all_their_facts() -> None:
    listed = _listed()
    assert set(listed) == set(FACTS)
    for name, facts in listed.items():
        each = BY_ID[name]
        brought = facts["introduced_by"]
        assert each.obligation == facts["level"], name
        assert set(each.binds) == _words(facts["binds"]), name
        assert set(each.applies_to) == _words(facts["applies_to"]), name
        assert (each.source.ballot, each.source.version) == (brought["ballot"], brought["version"]), name
        assert each.source.certainty == brought["confidence"], name
        assert each.in_force.since == _day(facts["effective_from"]), name
        assert each.in_force.until == _day(facts.get("effective_to")), name
        assert each.superseded_by == facts.get("superseded_by"), name
        assert str(facts["section"]).partition(" / ")[0] == each.clause, name
