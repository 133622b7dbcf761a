"""What a ballot would change: catalogues and subjects of the test's own, days on both sides of each date."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from importlib import resources
from pathlib import Path

import msgspec
import pytest

from privyseal.compliance import what_if as asking
from privyseal.compliance.ballots import table
from privyseal.compliance.classify import ServiceRole
from privyseal.compliance.evaluate import evaluate
from privyseal.compliance.limit import Limit
from privyseal.compliance.outcome import Verdict, met
from privyseal.compliance.proposal import Proposal, applied, parse_proposal, undone
from privyseal.compliance.requirement import (
    Asked,
    DatedBy,
    EnforcedBy,
    InForce,
    Kind,
    Obligation,
    Party,
    Requirement,
    Scope,
    Severity,
    Source,
    Wants,
)
from privyseal.compliance.scenarios import covers, roles, scenarios
from privyseal.compliance.what_if import WhatIf, of_ballot, of_proposal
from privyseal.errors import BadInput, TooLarge

TODAY = date(2026, 11, 25)


def _requirement(name: str, **changes: object) -> Requirement:
    fields: dict[str, object] = {
        "id": name,
        "clause": name.rpartition("-")[0].partition("-")[2],
        "title": "A rule",
        "text": "Something is so.",
        "obligation": Obligation.SHALL,
        "binds": (Party.SIGNING_SERVICE,),
        "applies_to": (Scope.EV, Scope.NON_EV),
        "source": Source("CSC-21", "3.6"),
        "in_force": InForce(date(2024, 7, 1)),
        "dated_by": DatedBy.AUDIT_PERIOD_START,
        "kinds": (Kind.AUDIT_PERIOD,),
        "severity": Severity.HIGH,
        "enforced_by": (EnforcedBy.AUDIT,),
        "wants": Wants("A report.", ("audit-report",)),
    }
    return Requirement(**(fields | changes))  # type: ignore[arg-type]


AUDITS = tuple(_requirement(f"CSBR-8.4.2-0{number}") for number in (1, 2, 3))
OLD_AUDIT = _requirement(
    "CSBR-8.1-90",
    source=Source("CSC-1", "1.2"),
    in_force=InForce(date(2019, 8, 13), date(2024, 2, 27)),
    superseded_by="CSBR-8.4.2-01",
)
LIFE = _requirement(
    "CSBR-6.3.2-01",
    binds=(Party.CA,),
    source=Source("CSC-31", "3.10"),
    in_force=InForce(date(2026, 3, 1)),
    dated_by=DatedBy.ISSUANCE,
    kinds=(Kind.CERTIFICATE,),
    check=Limit("validity", at_most=460).judge,
    wants=None,
)
LIFE_BEFORE = _requirement(
    "CSBR-6.3.2-90",
    binds=(Party.CA,),
    source=Source("CSC-1", "1.2"),
    in_force=InForce(date(2019, 8, 13), date(2026, 2, 28)),
    dated_by=DatedBy.ISSUANCE,
    kinds=(Kind.CERTIFICATE,),
    check=lambda subject, asked: met("39 months."),
    wants=None,
    superseded_by="CSBR-6.3.2-01",
)
CATALOGUE = (*AUDITS, OLD_AUDIT, LIFE, LIFE_BEFORE)


class _Thing(msgspec.Struct, frozen=True):
    kind: Kind
    label: str
    dates: dict[DatedBy, datetime]
    validity: timedelta | None = None
    scopes: frozenset[Scope] = frozenset({Scope.NON_EV})

    def when(self, clock: DatedBy) -> datetime | None:
        return self.dates.get(clock)


def _certificate(issued: date, days: int | None = 400) -> _Thing:
    at = datetime(issued.year, issued.month, issued.day, 12, tzinfo=UTC)
    life = None if days is None else timedelta(days=days)
    return _Thing(Kind.CERTIFICATE, "cert", {DatedBy.ISSUANCE: at}, life)


def _period(start: date) -> _Thing:
    return _Thing(
        Kind.AUDIT_PERIOD, "period", {DatedBy.AUDIT_PERIOD_START: datetime(*start.timetuple()[:3], tzinfo=UTC)}
    )


HEAD = '[ballot]\nnumber = "P-1"\nsummary = "A try."\nsource = "a test"\n'


def _proposal(text: str) -> Proposal:
    return parse_proposal((HEAD + text).encode(), "p.toml", CATALOGUE)


def _ask(proposal: Proposal, on: date, *things: _Thing, role: ServiceRole | None = None) -> WhatIf:
    asked = Asked(datetime(on.year, on.month, on.day, 23, tzinfo=UTC))
    return asking.what_if(of_proposal(proposal, CATALOGUE), asked, TODAY, things, scenarios(), role)


def _standing(found: WhatIf, requirement: str) -> dict[str, str]:
    return {
        each.scenario: standing.words
        for each in found.exposures
        for standing in each.standings
        if standing.requirement == requirement
    }


# ---- changing, adding, dropping

SHORTER = '[[change]]\nrequirement = "CSBR-6.3.2-01"\nfrom = 2027-03-01\nlimit = { fact = "validity", at_most = 200 }\n'


@pytest.mark.parametrize(
    ("issued", "days", "short"),
    [
        (date(2027, 2, 28), 400, False),
        (date(2027, 3, 1), 200, False),
        (date(2027, 3, 1), 201, True),
        (date(2027, 3, 1), 400, True),
    ],
)
def test_a_shorter_life_catches_what_is_issued_from_its_day_on(issued: date, days: int, short: bool) -> None:
    found = _ask(_proposal(SHORTER), date(2027, 6, 1), _certificate(issued, days))
    assert [each.verdict for each in found.shortfalls] == ([Verdict.NOT_MET] if short else [])
    if short:
        [each] = found.shortfalls
        assert each.due == date(2027, 3, 1)
        assert each.runway_days == 96
        assert "at most 200 was expected" in each.text


def test_a_text_that_changes_stands_twice_and_never_for_one_day() -> None:
    made = [each for each in applied(_proposal(SHORTER), CATALOGUE) if each.id == "CSBR-6.3.2-01"]
    assert [(each.in_force.since, each.in_force.until) for each in made] == [
        (date(2026, 3, 1), date(2027, 2, 28)),
        (date(2027, 3, 1), None),
    ]


def test_a_new_limit_is_said_where_the_proposal_has_no_text() -> None:
    [duty] = _ask(_proposal(SHORTER), date(2027, 6, 1)).duties
    assert duty.text == "Something is so; as proposed, validity is at most 200."
    said = SHORTER + 'text = "A certificate lives 200 days."\n'
    assert _ask(_proposal(said), date(2027, 6, 1)).duties[0].text == "A certificate lives 200 days."


def test_what_fell_short_before_is_not_new() -> None:
    found = _ask(_proposal(SHORTER), date(2027, 6, 1), _certificate(date(2026, 5, 1), 500))
    assert found.shortfalls == () and found.relieved == ()


def test_a_fact_that_nobody_knows_is_never_met() -> None:
    text = SHORTER.replace("validity", "colour")
    found = _ask(_proposal(text), date(2027, 6, 1), _certificate(date(2027, 5, 1)))
    assert [each.verdict for each in found.shortfalls] == [Verdict.NOT_EVIDENCED]


def test_a_longer_life_relieves() -> None:
    text = '[[change]]\nrequirement = "CSBR-6.3.2-01"\nlimit = { fact = "validity", at_most = 600 }\n'
    found = _ask(_proposal(text), date(2026, 12, 1), _certificate(date(2026, 5, 1), 500))
    assert [each.requirement for each in found.relieved] == ["CSBR-6.3.2-01"]
    assert found.shortfalls == ()


def test_moving_a_date_moves_what_is_judged() -> None:
    later = _proposal('[[change]]\nrequirement = "CSBR-8.4.2-01"\nsince = 2027-01-01\n')
    found = _ask(later, date(2027, 6, 1), _period(date(2026, 12, 31)))
    assert [each.requirement for each in found.relieved] == ["CSBR-8.4.2-01"]
    assert _ask(later, date(2027, 6, 1), _period(date(2027, 1, 1))).relieved == ()
    [duty] = found.duties
    assert (duty.requirement, duty.due, duty.runway_days) == ("CSBR-8.4.2-01", date(2027, 1, 1), 37)


def test_a_dropped_requirement_binds_until_the_day_before() -> None:
    dropped = _proposal('[[drop]]\nrequirements = ["CSBR-8.4.2-*"]\nfrom = 2027-07-01\n')
    assert _ask(dropped, date(2027, 8, 1), _period(date(2027, 6, 30))).relieved == ()
    found = _ask(dropped, date(2027, 8, 1), _period(date(2027, 7, 1)))
    assert [each.requirement for each in found.relieved] == [each.id for each in AUDITS]
    assert [each.requirement for each in found.ended] == [each.id for each in AUDITS]
    assert _ask(dropped, date(2027, 6, 30)).ended == ()


def test_a_requirement_dropped_before_it_binds_never_does() -> None:
    never = _proposal('[[drop]]\nrequirements = ["CSBR-8.4.2-01"]\nfrom = 2024-07-01\n')
    assert "CSBR-8.4.2-01" not in {each.id for each in applied(never, CATALOGUE)}


ADDED = """
[[add]]
id = "PROPOSED-8.4.2-01"
title = "A second look"
text = "Somebody looks twice."
since = 2027-07-01
binds = ["signing-service"]
kinds = ["audit-period"]
dated_by = "audit-period-start"
enforced_by = ["contract"]
wants = "A second report."
evidence = ["audit-report"]
"""


def test_an_addition_is_asked_from_its_day_on_and_says_what_would_show_it() -> None:
    added = _proposal(ADDED)
    assert _ask(added, date(2028, 1, 1), _period(date(2027, 6, 30))).shortfalls == ()
    [short] = _ask(added, date(2028, 1, 1), _period(date(2027, 7, 1))).shortfalls
    assert (short.clause, short.verdict) == ("PROPOSED 8.4.2", Verdict.NOT_EVIDENCED)
    assert short.mend == "add evidence: audit-report"
    assert (short.due, short.runway_days) == (date(2027, 7, 1), 218)
    assert _standing(_ask(added, date(2028, 1, 1)), "PROPOSED-8.4.2-01") == {
        "A": "newly bound",
        "B": "newly bound",
        "C": "newly bound",
        "D": "not bound",
        "E": "not bound",
    }


def test_a_permission_binds_nobody() -> None:
    allowed = _ask(_proposal(ADDED + 'obligation = "MAY"\n'), date(2028, 1, 1))
    assert _standing(allowed, "PROPOSED-8.4.2-01")["A"] == "newly allowed"
    assert _standing(allowed, "PROPOSED-8.4.2-01")["D"] == "does not bind"
    asked = _ask(_proposal(ADDED), date(2028, 1, 1))
    assert [a.bound - b.bound for a, b in zip(asked.exposures, allowed.exposures, strict=True)] == [1, 1, 1, 0, 0]


def test_a_check_that_breaks_is_listed_and_not_passed() -> None:
    broken = _proposal(SHORTER.replace("at_most = 200", 'one_of = ["x"], at_most = 200').replace("validity", "label"))
    found = _ask(broken, date(2027, 6, 1), _certificate(date(2027, 5, 1)))
    assert [each.verdict for each in found.shortfalls] == [Verdict.NOT_MET]
    typed = _proposal(SHORTER.replace("validity", "label"))
    found = _ask(typed, date(2027, 6, 1), _certificate(date(2027, 5, 1)))
    assert [each.verdict for each in found.shortfalls] == [Verdict.BROKEN]


# ---- roles

FOR_SOME = '[[drop]]\nrequirements = ["CSBR-8.4.2-*"]\nfrom = 2027-07-01\nroles = ["signing-service-unaffiliated"]\n'


def test_who_is_not_known_to_have_a_role_is_not_let_off() -> None:
    thing = _period(date(2027, 7, 1))
    assert _ask(_proposal(FOR_SOME), date(2027, 8, 1), thing).relieved == ()
    assert _ask(_proposal(FOR_SOME), date(2027, 8, 1), thing, role=ServiceRole.PARTNER_OF_CA).relieved == ()
    assert len(_ask(_proposal(FOR_SOME), date(2027, 8, 1), thing, role=ServiceRole.UNAFFILIATED).relieved) == 3


def test_the_same_requirement_may_change_for_other_roles() -> None:
    other = FOR_SOME.replace("signing-service-unaffiliated", "signing-service-partner-of-ca").replace("07-01", "08-01")
    assert len(_proposal(FOR_SOME + other).drop) == 2


# ---- the examples that the program comes with: the minutes' own alternatives


def _example(name: str) -> WhatIf:
    octets = resources.files("privyseal.compliance").joinpath("proposals", f"{name}.toml").read_bytes()
    return _ask(parse_proposal(octets, name, CATALOGUE), date(2027, 12, 1))


def test_without_the_audit_of_unaffiliated_services_only_these_escape() -> None:
    found = _example("drop-audit-of-unaffiliated")
    assert _standing(found, "CSBR-8.4.2-01") == {
        "A": "stays bound",
        "B": "stays bound",
        "C": "escapes",
        "D": "not bound",
        "E": "not bound",
    }
    assert found.ended == ()  # it still binds somebody


def test_a_prohibition_of_unaudited_resellers_has_teeth_where_there_was_paper() -> None:
    found = _example("prohibit-unaudited-resellers")
    assert _standing(found, "CSBR-8.4.2-01")["C"] == "now enforced"
    assert _standing(found, "PROPOSED-8.4.2-01")["C"] == "newly bound"
    assert _standing(found, "PROPOSED-8.4.2-01")["D"] == "not bound"
    who = {each.scenario: s.who for each in found.exposures for s in each.standings if "6.2.7.4.2" in s.requirement}
    assert who["C"] == (Party.CA,)
    assert _standing(found, "PROPOSED-6.2.7.4.2-01")["E"] == "not bound"


def test_an_agreement_takes_the_audit_off_the_paper() -> None:
    found = _example("flow-down-by-agreement")
    assert _standing(found, "CSBR-8.4.2-02")["C"] == "now enforced"
    assert _standing(found, "CSBR-8.4.2-02")["B"] == "stays bound"
    assert _standing(found, "PROPOSED-9.6.3-01")["D"] == "not bound"
    duties = {each.requirement: each for each in found.duties}
    assert duties["CSBR-8.4.2-02"].roles == (ServiceRole.UNAFFILIATED,)
    assert duties["PROPOSED-9.6.5-01"].evidence == ("signing-service-terms",)


def test_today_the_audit_of_unaffiliated_services_is_on_paper() -> None:
    found = _ask(_proposal(SHORTER), date(2026, 12, 1))
    on_paper = {each.scenario: each.on_paper for each in found.exposures}
    assert on_paper == {"A": 0, "B": 0, "C": 3, "D": 0, "E": 0}


# ---- ballots of the table


def test_without_a_ballot_what_it_replaced_binds_on() -> None:
    without = {each.id: each for each in undone(table().named("CSC-21"), CATALOGUE)}
    assert set(without) == {"CSBR-8.1-90", "CSBR-6.3.2-01", "CSBR-6.3.2-90"}
    assert without["CSBR-8.1-90"].in_force == InForce(date(2019, 8, 13))
    assert without["CSBR-6.3.2-90"].in_force.until == date(2026, 2, 28)


def test_a_ballot_of_the_table_is_compared_with_its_absence() -> None:
    compared = of_ballot(table().named("CSC-31"), table(), CATALOGUE)
    asked = Asked(datetime(2026, 12, 1, tzinfo=UTC))
    thing = _certificate(date(2026, 5, 1), 500)
    found = asking.what_if(compared, asked, TODAY, [thing], scenarios())
    assert [(each.requirement, each.due) for each in found.shortfalls] == [("CSBR-6.3.2-01", date(2026, 3, 1))]
    assert found.shortfalls[0].runway_days == -269
    assert [(each.requirement, each.replaced_by) for each in found.ended] == [("CSBR-6.3.2-90", "CSBR-6.3.2-01")]
    assert _standing(found, "CSBR-6.3.2-90") == {
        "A": "replaced",
        "B": "not bound",
        "C": "not bound",
        "D": "not bound",
        "E": "replaced",
    }
    assert found.unseen == ()
    assert [each.requirement for each in found.duties] == ["CSBR-6.3.2-01"]


def test_what_the_catalogue_lacks_is_said() -> None:
    found = of_ballot(table().named("CSC-21"), table(), CATALOGUE)
    assert "CSBR-6.7-01" in found.unseen
    assert found.touched == ("CSBR-8.4.2-02", "CSBR-8.4.2-03", "CSBR-8.4.2-01", "CSBR-8.1-90")


def test_a_ballot_that_moved_a_date_gives_it_back() -> None:
    hardware = _requirement(
        "CSBR-6.2.7.4.1-01",
        source=Source("CSC-13", "2.8"),
        in_force=InForce(date(2023, 6, 1)),
        dated_by=DatedBy.ISSUANCE,
    )
    compared = of_ballot(table().named("CSC-17"), table(), (hardware,))
    assert [each.in_force.since for each in compared.before(None)] == [date(2022, 11, 15)]


def test_an_outline_says_who_would_be_touched_and_no_more() -> None:
    compared = of_ballot(table().named("FB-07"), table(), CATALOGUE)
    assert compared.touched == ("CSBR-8.4.2-02",)
    found = asking.what_if(compared, Asked(datetime(2027, 1, 1, tzinfo=UTC)), TODAY, [], scenarios())
    assert found.duties == () and found.ended == () and found.shortfalls == ()
    assert _standing(found, "CSBR-8.4.2-02")["C"] == "stays bound on paper"


# ---- bad input


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[[drop]]\nrequirements = ["CSBR-9.9.9-01"]\nfrom = 2027-01-01\n', "drops CSBR-9.9.9-01, which is not in"),
        ('[[drop]]\nrequirements = ["CSBR-9.9.9-*"]\nfrom = 2027-01-01\n', "which is not in the catalogue"),
        ('[[change]]\nrequirement = "CSBR-9.9.9-01"\n', "changes CSBR-9.9.9-01, which is not in"),
        ('[[change]]\nrequirement = "CSBR-8.4.2-*"\n', "changes CSBR-8.4.2-\\*, which is not in"),
        (FOR_SOME + '[[drop]]\nrequirements = ["CSBR-8.4.2-01"]\nfrom = 2028-01-01\n', "dates would overlap"),
        (
            FOR_SOME.replace("signing-service-unaffiliated", "reseller-only"),
            "no scenario is about the role rese",
        ),
        (FOR_SOME + FOR_SOME.replace("2027-07-01", "2028-07-01"), "twice for the same role"),
        (SHORTER + SHORTER.replace("2027-03-01", "2028-03-01"), "touches CSBR-6.3.2-01 twice"),
        ('[[change]]\nrequirement = "CSBR-8.4.2-01"\nsince = 2028-01-01\nuntil = 2027-01-01\n', "would end"),
        ('[[change]]\nrequirement = "CSBR-8.4.2-01"\nsince = 2026-01-01\nfrom = 2027-01-01\n', "before its change"),
        (ADDED.replace("2027-07-01", "2027-07-01\nuntil = 2027-06-30"), "would end \\(2027-06-30\\) before it begins"),
        (ADDED + ADDED, "touches PROPOSED-8.4.2-01 twice"),
        (ADDED.replace("PROPOSED-8.4.2-01", "CSBR-8.4.2-01"), "in the catalogue already"),
        (ADDED.replace("PROPOSED-8.4.2-01", "PROPOSED-12.1-01"), "have no section 12.1"),
        (ADDED.replace("PROPOSED-8.4.2-01", "8.4.2"), "an id looks like"),
        (ADDED.replace('["signing-service"]', "[]"), "binds nobody"),
        (ADDED.replace('"audit-report"', '"a-good-feeling"'), "a kind that does not exist: a-good-feeling"),
        (ADDED.replace('"signing-service"', '"reseller"'), "Invalid enum value 'reseller'"),
        (ADDED + "colour = 1\n", "unknown field `colour`"),
        ("[[drop]]\nrequirements = []\n", "missing required field `from`"),
        ("[vote]\nparticipants = [-1, 2, 3]\n", "counts of organisations"),
        ("[vote]\nrunway_days = 99999\n", "between 0 and 3660"),
        (SHORTER.replace("at_most = 200", "at_most = 2, at_least = 3"), "where nothing is"),
        (SHORTER.replace(", at_most = 200", ""), "neither at_least, at_most nor one_of"),
        (SHORTER.replace("at_most = 200", "at_most = 200, inclusive = true"), "only a span can be inclusive"),
        (SHORTER.replace('"validity"', '"__class__.x"'), "is not the name of a fact"),
        ('[[drop]]\nrequirements = ["CSBR-8.4.2-01"]\nfrom = 0001-01-01\n', "beyond the years"),
    ],
)
def test_a_proposal_that_is_not_right_is_one_sentence(text: str, says: str) -> None:
    with pytest.raises(BadInput, match=says) as refused:
        _proposal(text)
    assert refused.value.detail.startswith("p.toml: ")
    assert "\n" not in refused.value.detail and refused.value.detail.endswith(".")


def test_ten_megabytes_are_refused_unread() -> None:
    with pytest.raises(TooLarge, match="too much for a ballot"):
        parse_proposal(b"#" * 10_000_000, "p.toml", CATALOGUE)


def test_the_example_of_the_reference_is_a_ballot() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "ballots.md").read_text("utf-8")
    text = page.partition("```toml\n")[2].partition("```")[0]
    proposal = parse_proposal(text.encode(), "the reference", CATALOGUE)
    assert (len(proposal.add), len(proposal.change), len(proposal.drop)) == (1, 1, 1)
    assert proposal.vote.participants == (12, 11, 13)


# ---- small parts


def test_a_pattern_covers_its_clause_and_no_other() -> None:
    assert covers("CSBR-8.4.2-*", "CSBR-8.4.2-01")
    assert not covers("CSBR-8.4.2-*", "CSBR-8.4.21-01")
    assert covers("CSBR-5.4.*", "CSBR-5.4-01") and covers("CSBR-5.4.*", "CSBR-5.4.1.1-01")
    assert not covers("CSBR-5.4.*", "CSBR-5.41-01")
    assert not covers("CSBR-6.7-01", "CSBR-6.7-02")


def test_every_scenario_has_a_role_of_its_own() -> None:
    assert [each.id for each in scenarios()] == ["A", "B", "C", "D", "E"]
    assert roles() == (
        ServiceRole.OPERATED_BY_CA,
        ServiceRole.PARTNER_OF_CA,
        ServiceRole.UNAFFILIATED,
        ServiceRole.SUBSCRIBER_MANAGED,
        ServiceRole.CA_AS_SUBSCRIBER,
    )


def test_nan_meets_no_limit() -> None:
    class Odd:
        size = float("nan")

    assert Limit("size", at_most=3).judge(Odd(), Asked(datetime.now(UTC))).verdict is Verdict.NOT_EVIDENCED


@pytest.mark.parametrize(
    ("span", "verdict"),
    [
        (timedelta(days=460) - timedelta(seconds=1), Verdict.MET),
        (timedelta(days=460), Verdict.NOT_MET),
    ],
)
def test_a_span_counts_its_last_second(span: timedelta, verdict: Verdict) -> None:
    class Certificate:
        not_before = datetime(2026, 3, 1, tzinfo=UTC)
        not_after = not_before + span

    limit = Limit("not_after", minus="not_before", inclusive=True, at_most=460)
    assert limit.judge(Certificate(), Asked(datetime.now(UTC))).verdict is verdict
    unknown = Limit("not_after", minus="issued", at_most=460).judge(Certificate(), Asked(datetime.now(UTC)))
    assert unknown.verdict is Verdict.NOT_EVIDENCED


def test_evaluation_takes_the_new_catalogue_as_any_other() -> None:
    made = applied(_proposal(SHORTER), CATALOGUE)
    found = list(evaluate(_certificate(date(2027, 3, 1), 300), made, Asked(datetime(2027, 6, 1, tzinfo=UTC))))
    assert [(each.requirement, each.verdict) for each in found] == [("CSBR-6.3.2-01", Verdict.NOT_MET)]
