"""Sections 5 and 6 of the Requirements, and what of section 7 no signed object shows, against a list of its own."""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from privyseal.compliance.catalogue import BY_ID, REQUIREMENTS
from privyseal.compliance.evaluate import evaluate
from privyseal.compliance.outcome import Finding, Verdict
from privyseal.compliance.requirement import Asked, DatedBy, EnforcedBy, Kind, Nature, Party, Scope, Severity
from privyseal.compliance.requirements import (
    csbr_5,
    csbr_5_2,
    csbr_5_3,
    csbr_5_4_1_1,
    csbr_5_4_1_2,
    csbr_5_4_3,
    csbr_5_5,
    csbr_5_7,
    csbr_6_1_1_1,
    csbr_6_1_2,
    csbr_6_2,
    csbr_6_2_7_2,
    csbr_6_2_7_3,
    csbr_6_2_7_4_1,
    csbr_6_2_7_4_2,
    csbr_6_3_2_use,
    csbr_6_5,
    csbr_6_7,
    csbr_6_8_authority,
    csbr_7,
)

FAMILIES = (
    *(csbr_5, csbr_5_2, csbr_5_3, csbr_5_4_1_1, csbr_5_4_1_2, csbr_5_4_3, csbr_5_5, csbr_5_7, csbr_6_1_1_1),
    *(csbr_6_1_2, csbr_6_2, csbr_6_2_7_2, csbr_6_2_7_3, csbr_6_2_7_4_1, csbr_6_2_7_4_2, csbr_6_3_2_use, csbr_6_5),
    *(csbr_6_7, csbr_6_8_authority, csbr_7),
)
OURS = {"HOUSE-5.4-01", "HOUSE-5.4.3-01", "HOUSE-6.2.7.2-01"}

# Written out from the catalogue of entries that the Requirements were read into: id, obligation, first and last day.
TABLE = """
CSBR-5-01            SHALL      2023-09-05
CSBR-5-02            SHALL      2023-09-05
CSBR-5-03            SHALL      2023-09-05
CSBR-5.2.2-01        SHALL      2023-09-05
CSBR-5.2.4-01        SHALL      2023-09-05
CSBR-5.3.1-01        SHALL      2023-09-05
CSBR-5.3.2-01        SHALL      2023-09-05
CSBR-5.3.3-01        SHALL      2023-09-05
CSBR-5.3.4-01        SHALL      2023-09-05
CSBR-5.3.7-01        SHALL      2023-09-05
CSBR-5.4.1.1-01      SHALL      2021-11-03
CSBR-5.4.1.1-02      SHALL      2021-11-03
CSBR-5.4.1.1-03      SHALL      2021-11-03
CSBR-5.4.1.1-04      SHALL      2021-11-03
CSBR-5.4.1.1-05      SHALL      2021-11-03
CSBR-5.4.1.1-06      SHALL      2021-11-03
CSBR-5.4.1.1-07      SHALL      2021-11-03
CSBR-5.4.1.1-08      SHALL      2021-11-03
CSBR-5.4.1.1-09      SHALL      2021-11-03
CSBR-5.4.1.1-10      SHALL      2021-11-03
CSBR-5.4.1.1-11      SHALL      2021-11-03
CSBR-5.4.1.1-12      SHALL      2021-11-03
CSBR-5.4.1.1-13      SHALL      2021-11-03
CSBR-5.4.1.2-01      SHALL      2021-11-03
CSBR-5.4.1.2-02      SHALL      2021-11-03
CSBR-5.4.1.2-03      SHALL      2021-11-03
CSBR-5.4.1.2-04      SHALL      2021-11-03
CSBR-5.4.1.2-05      SHALL      2021-11-03
CSBR-5.4.1.2-06      SHALL      2021-11-03
CSBR-5.4.1.2-07      SHALL      2021-11-03
CSBR-5.4.1.2-90      SHALL      2019-08-13 2021-09-08
CSBR-5.4.3-01        SHALL      2021-11-03
CSBR-5.4.3-02        SHALL      2021-11-03
CSBR-5.4.3-03        SHALL      2021-11-03
CSBR-5.4.3-04        SHALL      2021-11-03
CSBR-5.5.1-01        SHALL      2023-09-05
CSBR-5.5.2-01        SHALL      2023-09-05
CSBR-5.7.1-01        SHALL      2023-09-05
CSBR-5.8-01          SHALL      2019-08-13
CSBR-6.1.1.1-01      SHALL      2023-09-05
CSBR-6.1.1.1-02      SHOULD     2023-09-05
CSBR-6.1.1.1-03      SHALL      2023-09-05
CSBR-6.1.2-01        SHALL      2024-02-28
CSBR-6.1.2-02        SHALL NOT  2023-09-05
CSBR-6.1.2-03        SHALL      2023-09-05
CSBR-6.1.2-04        SHALL NOT  2024-02-28
CSBR-6.2-01          SHALL      2023-09-05
CSBR-6.2.5-01        SHALL NOT  2023-09-05
CSBR-6.2.6-01        SHALL      2023-09-05
CSBR-6.2.6-02        SHALL NOT  2024-02-28
CSBR-6.2.7.1-01      SHALL      2023-09-05
CSBR-6.2.7.2-01      SHALL      2025-04-15
CSBR-6.2.7.2-02      SHALL      2025-04-15
CSBR-6.2.7.2-90      SHALL      2019-08-13 2024-07-31
CSBR-6.2.7.3-01      SHALL      2019-08-13
CSBR-6.2.7.3-02      SHALL      2024-02-28
CSBR-6.2.7.3-90      SHALL      2019-08-13 2024-02-27
CSBR-6.2.7.3-03      SHALL      2024-02-28
CSBR-6.2.7.3-91      SHALL      2021-06-01 2024-02-27
CSBR-6.2.7.3-04      SHALL      2024-02-28
CSBR-6.2.7.3-05      SHALL      2022-05-06
CSBR-6.2.7.3-06      SHALL      2022-05-06
CSBR-6.2.7.3-92      SHALL NOT  2019-08-13 2024-02-27
CSBR-6.2.7.3-93      SHALL      2019-08-13 2024-02-27
CSBR-6.2.7.3-94      SHALL      2019-08-13 2024-02-27
CSBR-6.2.7.4.1-01    SHALL      2023-06-01
CSBR-6.2.7.4.1-07    MAY        2023-06-01
CSBR-6.2.7.4.1-08    MAY        2023-06-01
CSBR-6.2.7.4.1-09    MAY        2023-06-01
CSBR-6.2.7.4.1-90    SHALL      2019-08-13 2023-05-31
CSBR-6.2.7.4.1-91    SHALL      2021-09-08 2023-05-31
CSBR-6.2.7.4.2-01    SHALL      2023-06-01
CSBR-6.2.7.4.2-02    MAY        2023-06-01
CSBR-6.2.7.4.2-03    MAY        2023-06-01
CSBR-6.2.7.4.2-04    MAY        2023-06-01
CSBR-6.2.7.4.2-05    MAY        2023-06-01
CSBR-6.2.7.4.2-06    MAY        2023-06-01
CSBR-6.2.7.4.2-07    MAY        2023-06-01
CSBR-6.2.7.4.2-08    MAY        2023-06-01
CSBR-6.2.7.4.2-90    MAY        2022-05-06 2024-02-27
CSBR-6.3.2-02        MAY        2024-08-01
CSBR-6.3.2-05        SHALL      2025-04-15
CSBR-6.3.2-06        SHALL      2024-06-01
CSBR-6.3.2-07        MAY        2024-08-01
CSBR-6.3.2-08        SHOULD NOT 2024-08-01
CSBR-6.3.2-09        SHALL      2024-08-01
CSBR-6.5.1-01        SHALL      2023-09-05
CSBR-6.7-01          SHALL      2024-02-28
CSBR-6.8-01          SHALL      2019-08-13
CSBR-6.8-02          SHALL      2019-08-13
CSBR-6.8-03          SHALL      2019-08-13
CSBR-6.8-04          SHALL      2019-08-13
CSBR-6.8-05          SHALL      2019-08-13
CSBR-6.8-06          SHALL      2019-08-13
CSBR-7.1.6.3-04      SHALL      2019-08-13
CSBR-7.1.6.4-02      SHALL      2019-08-13
CSBR-7.2-03          MAY        2021-12-03
"""


class Row(msgspec.Struct, frozen=True):
    id: str
    obligation: str
    since: date
    until: date | None


def _rows() -> list[Row]:
    shape = re.compile(r"(\S+) +(SHALL NOT|SHOULD NOT|SHALL|SHOULD|MAY) +(\S+)(?: (\S+))?")
    found = [shape.fullmatch(line) for line in TABLE.strip().splitlines()]
    return [
        Row(each[1], each[2], date.fromisoformat(each[3]), date.fromisoformat(each[4]) if each[4] else None)
        for each in found
        if each is not None
    ]


ROWS = _rows()


class Thing(msgspec.Struct, frozen=True):
    kind: Kind
    scopes: frozenset[Scope]
    dates: dict[DatedBy, datetime] = {}
    label: str = "thing"

    def when(self, clock: DatedBy) -> datetime | None:
        return self.dates.get(clock)


def _noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


def _found(thing: Thing, day: date, ids: Iterable[str], **choices: str) -> dict[str, Finding]:
    """Evaluate on a day the requirements of these ids, and name what has a finding."""
    chosen = {key.replace("_", "-"): value for key, value in choices.items()}
    findings = evaluate(thing, [BY_ID[each] for each in ids], Asked(_noon(day), chosen))
    return {each.requirement: each for each in findings}


def test_the_list_was_read_to_its_end() -> None:
    assert len(ROWS) == len(TABLE.strip().splitlines()) == 97
    assert len({row.id for row in ROWS}) == 97


def test_each_entry_is_in_its_family_and_nothing_else_is() -> None:
    written = [each.id for family in FAMILIES for each in family.REQUIREMENTS]
    assert len(written) == len(set(written))
    assert set(written) == {row.id for row in ROWS} | OURS


@pytest.mark.parametrize("row", ROWS, ids=[row.id for row in ROWS])
def test_obligation_clause_and_days(row: Row) -> None:
    entry = BY_ID[row.id]
    assert str(entry.obligation) == row.obligation
    assert entry.cited == "CSBR " + re.fullmatch(r"CSBR-(.+)-\d\d", row.id)[1]  # type: ignore[index]
    assert (entry.in_force.since, entry.in_force.until) == (row.since, row.until)


def test_a_permission_is_a_notice_that_nobody_enforces() -> None:
    for row in ROWS:
        entry = BY_ID[row.id]
        assert (entry.severity is Severity.NOTICE) == (row.obligation == "MAY"), row.id
        assert (entry.enforced_by == (EnforcedBy.NOBODY,)) == (row.obligation == "MAY"), row.id


def test_each_says_what_it_wants_and_no_subject_passes_unseen() -> None:
    for row in ROWS:
        entry = BY_ID[row.id]
        if entry.wants is None:  # a function judges it, and has cases of its own
            continue
        thing = Thing(entry.kinds[0], frozenset(entry.applies_to), dict.fromkeys(DatedBy, _noon(row.since)))
        finding = _found(thing, row.since, [row.id])[row.id]
        assert finding.verdict in (Verdict.NOT_EVIDENCED, Verdict.JUDGEMENT)
        assert finding.text.startswith(entry.wants.text)


def test_what_follows_on_a_text_follows_the_day_after() -> None:
    followed = [BY_ID[row.id] for row in ROWS if BY_ID[row.id].superseded_by is not None]
    assert {each.id for each in followed} == {
        *("CSBR-6.2.7.3-90", "CSBR-6.2.7.3-91", "CSBR-6.2.7.3-94", "CSBR-6.2.7.4.1-90", "CSBR-6.2.7.4.1-91"),
    }
    for each in followed:
        assert each.superseded_by is not None
        assert each.in_force.until is not None
        assert BY_ID[each.superseded_by].in_force.since == each.in_force.until + timedelta(days=1)


@pytest.mark.parametrize(("day", "one"), [("2024-02-27", "CSBR-6.2.7.3-90"), ("2024-02-28", "CSBR-6.2.7.3-02")])
def test_the_day_of_signing_decides_on_the_factors(day: str, one: str) -> None:
    signed = Thing(Kind.SIGNATURE, frozenset({Scope.EV}), {DatedBy.SIGNING: _noon(date.fromisoformat(day))})
    found = _found(signed, date(2026, 11, 25), [row.id for row in ROWS if "6.2.7.3" in row.id])
    assert set(found) == {one}


@pytest.mark.parametrize(("day", "one"), [("2024-02-27", "CSBR-6.2.7.3-91"), ("2024-02-28", "CSBR-6.2.7.3-03")])
def test_an_old_key_needs_the_level_of_the_day_asked(day: str, one: str) -> None:
    key = Thing(Kind.KEY_PAIR, frozenset({Scope.EV}), {DatedBy.KEY_GENERATION: _noon(date(2022, 1, 1))})
    assert set(_found(key, date.fromisoformat(day), ["CSBR-6.2.7.3-03", "CSBR-6.2.7.3-91"])) == {one}


def test_logging_does_not_name_the_signing_service_and_says_so() -> None:
    logging = [each for each in REQUIREMENTS if re.fullmatch(r"CSBR-5\.[45]\..*", each.id)]
    assert len(logging) == 27
    for each in logging:
        assert Party.SIGNING_SERVICE not in each.binds
        assert each.binds == (Party.TIMESTAMP_AUTHORITY,) or any("Signing Service" in note for note in each.notes)
    for name in ("HOUSE-5.4-01", "HOUSE-5.4.3-01"):
        assert BY_ID[name].binds == (Party.SIGNING_SERVICE,)


def test_rules_of_ours_do_not_pass_for_text() -> None:
    for name in OURS:
        assert BY_ID[name].nature is Nature.HOUSE_RULE
        assert BY_ID[name].enforced_by == (EnforcedBy.NOBODY,)
        assert BY_ID[name].source.ballot == "none"
    assert not [row.id for row in ROWS if BY_ID[row.id].nature is Nature.HOUSE_RULE]


@pytest.mark.parametrize(("day", "one"), [("2024-07-31", "CSBR-6.2.7.2-90"), ("2024-08-01", "HOUSE-6.2.7.2-01")])
def test_where_the_level_of_a_timestamp_key_was_lost_ours_takes_over(day: str, one: str) -> None:
    key = Thing(Kind.KEY_PAIR, frozenset({Scope.TIMESTAMP}))
    assert set(_found(key, date.fromisoformat(day), ["CSBR-6.2.7.2-90", "HOUSE-6.2.7.2-01"])) == {one}


def test_where_fips_140_3_is_not_named_the_operator_chooses() -> None:
    for name in ("CSBR-6.2.7.3-04", "CSBR-6.2.7.4.1-01"):
        conflict = BY_ID[name].conflict
        assert conflict is not None
        assert "FIPS 140-3" in conflict.text
        assert {each.name for each in conflict.readings} == {"successor-counts", "as-printed"}
    assert "FIPS 140-3" in BY_ID["CSBR-6.2.7.1-01"].text
    assert BY_ID["CSBR-6.2.7.1-01"].conflict is None


@pytest.mark.parametrize(
    ("issued", "reading", "binds"),
    [
        ("2024-05-31", "as-printed", False),
        ("2024-06-01", "as-printed", True),
        ("2024-07-31", "from-adoption", False),
        ("2024-08-01", "from-adoption", True),
    ],
)
def test_witnesses_of_a_removal_from_which_day_of_issue(issued: str, reading: str, binds: bool) -> None:
    key = Thing(Kind.KEY_PAIR, frozenset({Scope.TIMESTAMP}), {DatedBy.ISSUANCE: _noon(date.fromisoformat(issued))})
    asked = Asked(_noon(date(2026, 11, 25)), {"CSBR-6.3.2-06": reading})
    assert bool(list(evaluate(key, [BY_ID["CSBR-6.3.2-06"]], asked))) == binds


def test_the_key_of_a_ca_is_not_looked_for_among_the_keys_of_subscribers() -> None:
    names = ("5.2.2-01", "6.1.1.1-01", "6.1.1.1-02", "6.1.1.1-03", "6.2-01", "6.2.5-01", "6.2.6-01", "6.2.7.1-01")
    for name in names:
        assert BY_ID[f"CSBR-{name}"].kinds == (Kind.ORGANISATION,)
        assert BY_ID[f"CSBR-{name}"].binds == (Party.CA,)


CATALOGUE = Path(__file__).parents[4] / "shared" / "reference" / "csbr.yaml"
PARTIES = {"signing_service": "signing-service", "tsa": "timestamp-authority"} | {
    "delegated_third_party": "delegated-third-party"
}


def _facts(entry: dict[str, Any]) -> dict[str, object]:
    source = entry["introduced_by"]
    return {
        "clause": entry["section"].split(" / ")[0],
        "obligation": entry["level"],
        "binds": {PARTIES.get(each, each) for each in entry["binds"]},
        "applies_to": {each.replace("_", "-") for each in entry["applies_to"]},
        "source": (source["ballot"], source["version"], source["confidence"]),
        "days": (entry["effective_from"], entry.get("effective_to")),
        "superseded_by": entry.get("superseded_by"),
    }


def test_facts_are_those_of_the_list_of_entries() -> None:
    if not CATALOGUE.is_file():
        pytest.skip("The list of entries is not here, so only the table above was compared.")
    entries = yaml.safe_load(CATALOGUE.read_text(encoding="utf-8"))["requirements"]
    mine = {
        e["id"]: _facts(e) for e in entries if e["id"][:6] in ("CSBR-5", "CSBR-6", "CSBR-7") and "artifact" not in e
    }
    assert set(mine) == {row.id for row in ROWS}
    for name, facts in mine.items():
        entry = BY_ID[name]
        until = entry.in_force.until
        assert facts == {
            "clause": entry.clause,
            "obligation": str(entry.obligation),
            "binds": {str(each) for each in entry.binds},
            "applies_to": {str(each) for each in entry.applies_to},
            "source": (entry.source.ballot, entry.source.version, entry.source.certainty),
            "days": (entry.in_force.since.isoformat(), None if until is None else until.isoformat()),
            "superseded_by": entry.superseded_by,
        }, name
