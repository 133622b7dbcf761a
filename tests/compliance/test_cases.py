"""Cases that a domain expert can write: one TOML file for each requirement, named for it, in ``cases/``.

    # cases/CSBR-6.3.2-01.toml
    requirement = "CSBR-6.3.2-01"    # has to be the file's name
    kind = "certificate"             # what is judged; builders/kinds.py lists the kinds
    as_of = 2026-11-25               # the day for which it is asked; may be left out

    [[case]]
    name = "460 days, both ends counted"
    expect = "met"
    subject = { not_before = 2026-03-01T00:00:00Z, days = 460 }

    [[case]]
    name = "one second too long"
    expect = "not-met"
    says = "one second"              # words that the finding's sentence has to hold; may be left out
    subject = { not_before = 2026-03-01T00:00:00Z, days = 460, seconds = 1 }

``expect`` is one verdict (met, not-met, not-evidenced, judgement, not-applicable, broken), or a list where the
requirement gives several findings. ``subject`` says only what differs from an ordinary, well-made thing of its kind;
which words there are stands at the head of the kind's file in ``builders/``. What the file's cases have in common may
stand once under ``[subject]``; a case's own words come on top. A case's ``choices``, or ``[asked.choices]`` for
the whole file, are recorded readings of texts that contradict themselves: ``choices = { "CSBR-8.4.2-01" = "table" }``.

Of every SHALL and SHALL NOT that a function judges there has to be a case that meets it, one that does not, and where
it binds from a later day than the first version's, the day before and the day.
Where a thing can only break a rule, or only show that it says nothing of it, the first line says why: ``# one-sided: ``
or ``# no verdict: ``.
"""

import tomllib
from datetime import UTC, date, datetime, time
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.compliance.builders.kinds import BUILDERS
from tests.every import every

from privyseal.compliance.catalogue import BY_ID, REQUIREMENTS
from privyseal.compliance.evaluate import evaluate
from privyseal.compliance.requirement import Asked, Obligation, Requirement

FOLDER = Path(__file__).parent / "cases"
FILES = sorted(FOLDER.glob("*.toml"))
FIRST_VERSION = date(2019, 8, 13)
TODAY = date(2026, 11, 25)
_KEYS = {"requirement", "kind", "as_of", "subject", "asked", "case"}
_CASE_KEYS = {"name", "expect", "says", "subject", "as_of", "choices"}


@cache
def _read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _listed(expect: str | list[str]) -> list[str]:
    return [expect] if isinstance(expect, str) else expect


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_cases(path: Path) -> None:
    file = _read(path)
    with every() as case:
        for each in file["case"]:
            with case(each["name"]):
                _judged(file, each)


def _judged(file: dict[str, Any], case: dict[str, Any]) -> None:
    subject = BUILDERS[file.get("kind", "certificate")](file.get("subject", {}) | case.get("subject", {}))
    day = case.get("as_of", file.get("as_of", TODAY))
    choices = file.get("asked", {}).get("choices", {}) | case.get("choices", {})
    asked = Asked(datetime.combine(day, time(), UTC), choices)
    found = list(evaluate(subject, [BY_ID[file["requirement"]]], asked, everything=True))
    assert [each.verdict.value for each in found] == _listed(case["expect"]), [each.text for each in found]
    if "says" in case:
        assert case["says"] in " ".join(each.text for each in found)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_case_file_is_well_formed(path: Path) -> None:
    file = _read(path)
    assert file["requirement"] == path.stem
    assert path.stem in BY_ID
    assert set(file) <= _KEYS
    names = [case["name"] for case in file["case"]]
    assert len(names) == len(set(names))
    for case in file["case"]:
        assert set(case) <= _CASE_KEYS, case["name"]


MUSTS = [
    each
    for each in REQUIREMENTS
    if each.obligation in (Obligation.SHALL, Obligation.SHALL_NOT)
    and each.check is not None
    and {kind.value for kind in each.kinds} & set(BUILDERS)
]
"""What a function judges on a thing that is built here."""


@pytest.mark.parametrize("requirement", MUSTS, ids=lambda each: each.id)
def test_every_automatic_must_has_its_cases(requirement: Requirement) -> None:
    path = FOLDER / f"{requirement.id}.toml"
    assert path.exists(), f"write {path.name}"
    file = _read(path)
    expected = {verdict for case in file["case"] for verdict in _listed(case["expect"])}
    if not path.read_text(encoding="utf-8").startswith(("# one-sided: ", "# no verdict: ")):
        assert {"met", "not-met"} <= expected, "met in no case, or in all: say why in a first line '# one-sided: ...'"
    if requirement.in_force.since > FIRST_VERSION and requirement.dated_by.value != "day":
        assert "not-applicable" in expected, "no case before it bound"
