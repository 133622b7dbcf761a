"""Evaluation: dates, scopes, broken checks; requirements and subjects of the test's own."""

from datetime import UTC, date, datetime

import msgspec
import pytest

from privyseal.compliance.evaluate import evaluate
from privyseal.compliance.outcome import Finding, Outcome, Verdict, met, not_met
from privyseal.compliance.requirement import (
    Asked,
    Conflict,
    DatedBy,
    EnforcedBy,
    InForce,
    Kind,
    Obligation,
    Party,
    Reading,
    Requirement,
    Scope,
    Severity,
    Source,
    Wants,
)

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


class _Thing(msgspec.Struct, frozen=True):
    dates: dict[DatedBy, datetime]
    scopes: frozenset[Scope] = frozenset({Scope.NON_EV})
    kind: Kind = Kind.CERTIFICATE
    label: str = "thing"

    def when(self, clock: DatedBy) -> datetime | None:
        return self.dates.get(clock)


def _requirement(**changes: object) -> Requirement:
    fields: dict[str, object] = {
        "id": "CSBR-9.9-01",
        "clause": "9.9",
        "title": "A rule",
        "text": "Something is so.",
        "obligation": Obligation.SHALL,
        "binds": (Party.CA,),
        "applies_to": (Scope.NON_EV,),
        "source": Source("CSC-1", "1.2"),
        "in_force": InForce(date(2026, 3, 1)),
        "dated_by": DatedBy.ISSUANCE,
        "kinds": (Kind.CERTIFICATE,),
        "severity": Severity.HIGH,
        "enforced_by": (EnforcedBy.AUDIT,),
        "check": lambda subject, asked: met("So it is."),
    }
    return Requirement(**(fields | changes))  # type: ignore[arg-type]


def _issued(*at: int) -> _Thing:
    return _Thing({DatedBy.ISSUANCE: datetime(*at, tzinfo=UTC)})  # type: ignore[misc]


def _found(thing: _Thing, *requirements: Requirement, everything: bool = False) -> list[Finding]:
    return list(evaluate(thing, requirements, Asked(NOW), everything=everything))


@pytest.mark.parametrize(
    ("issued", "verdict"),
    [
        ((2026, 2, 28, 23, 59, 59), Verdict.NOT_APPLICABLE),
        ((2026, 3, 1), Verdict.MET),
        ((2026, 3, 31, 23, 59, 59), Verdict.MET),
        ((2026, 4, 1), Verdict.NOT_APPLICABLE),
    ],
)
def test_a_text_binds_from_its_first_day_to_its_last(issued: tuple[int, ...], verdict: Verdict) -> None:
    rule = _requirement(in_force=InForce(date(2026, 3, 1), date(2026, 3, 31)))
    [finding] = _found(_issued(*issued), rule, everything=True)
    assert finding.verdict is verdict
    assert finding.governed == date(*issued[:3])


def test_what_does_not_bind_is_left_out_unless_asked_for() -> None:
    assert _found(_issued(2020, 1, 1), _requirement()) == []


def test_each_requirement_has_its_own_clock() -> None:
    thing = _Thing({DatedBy.ISSUANCE: datetime(2020, 1, 1, tzinfo=UTC), DatedBy.SIGNING: NOW})
    by_signing = _requirement(dated_by=DatedBy.SIGNING)
    by_day = _requirement(dated_by=DatedBy.DAY)
    assert [each.verdict for each in _found(thing, _requirement(), by_signing, by_day)] == [Verdict.MET, Verdict.MET]


def test_an_unknown_date_is_not_evidenced_and_never_met() -> None:
    [finding] = _found(_Thing({}), _requirement())
    assert finding.verdict is Verdict.NOT_EVIDENCED
    assert finding.governed is None


def test_a_requirement_for_others_does_not_apply() -> None:
    [finding] = _found(_issued(2026, 5, 1), _requirement(applies_to=(Scope.TIMESTAMP,)), everything=True)
    assert finding.verdict is Verdict.NOT_APPLICABLE
    assert finding.text == "It speaks of timestamp certificates only."


def test_a_subject_of_unknown_scope_is_held_against_everything() -> None:
    thing = _Thing({DatedBy.ISSUANCE: NOW}, frozenset())
    assert [each.verdict for each in _found(thing, _requirement(applies_to=(Scope.EV,)))] == [Verdict.MET]


def test_a_check_that_fails_is_broken_and_the_rest_is_judged() -> None:
    def fails(subject: object, asked: Asked) -> Outcome:
        raise RuntimeError("secret")

    found = _found(_issued(2026, 5, 1), _requirement(check=fails), _requirement(id="CSBR-9.9-02"))
    assert [each.verdict for each in found] == [Verdict.BROKEN, Verdict.MET]
    assert "secret" not in found[0].text


def test_a_check_that_says_nothing_is_broken() -> None:
    [finding] = _found(_issued(2026, 5, 1), _requirement(check=lambda subject, asked: []))
    assert finding.verdict is Verdict.BROKEN


def test_a_check_may_find_several_things() -> None:
    several = _requirement(check=lambda subject, asked: iter([met("One."), not_met("Two.", "change it")]))
    found = _found(_issued(2026, 5, 1), several)
    assert [(each.verdict, each.mend) for each in found] == [(Verdict.MET, ""), (Verdict.NOT_MET, "change it")]


def test_without_a_check_it_is_said_what_would_tell() -> None:
    paper = _requirement(check=None, wants=Wants("A report.", ("audit-report",)))
    person = _requirement(check=None, wants=Wants("Somebody has to look.", judgement=True))
    found = _found(_issued(2026, 5, 1), paper, person)
    assert [each.verdict for each in found] == [Verdict.NOT_EVIDENCED, Verdict.JUDGEMENT]
    assert found[0].mend == "add evidence: audit-report"


def test_the_operators_reading_of_a_contradiction_decides_the_date() -> None:
    table, text = Reading("table", "15 June.", date(2024, 6, 15)), Reading("text", "After 30 June.", date(2024, 7, 1))
    rule = _requirement(
        in_force=InForce(date(2024, 7, 1)), conflict=Conflict("The table and the text differ.", (table, text), "text")
    )
    thing = _issued(2024, 6, 20)
    assert _found(thing, rule) == []
    chosen = list(evaluate(thing, (rule,), Asked(NOW, {"CSBR-9.9-01": "table"})))
    assert [each.verdict for each in chosen] == [Verdict.MET]


def test_a_record_without_check_and_wants_is_refused() -> None:
    with pytest.raises(ValueError, match="either a check or what it wants"):
        _requirement(check=None)
    with pytest.raises(ValueError, match="none of the readings"):
        _requirement(conflict=Conflict("x", (Reading("a", "A."),), "b"))
