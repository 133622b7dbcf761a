"""The case files about what a service records: of every function here one that meets it, one that does not, and dates.

``test_cases.py`` says how such a file is written; which words a subject has, ``builders/service.py`` says.
"""

from __future__ import annotations

import tomllib
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import pytest
from tests.compliance.builders.service import BUILDERS

from privyseal.compliance.catalogue import BY_ID, REQUIREMENTS
from privyseal.compliance.evaluate import evaluate
from privyseal.compliance.requirement import Asked

FOLDER = Path(__file__).parent / "cases"
FILES = {path.stem: tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.toml"))}
CASES = [
    pytest.param(name, case, id=f"{name}: {case['name']}")
    for name, file in FILES.items()
    if file.get("kind") in BUILDERS
    for case in file["case"]
]


@pytest.mark.parametrize(("name", "case"), CASES)
def test_case(name: str, case: dict[str, Any]) -> None:
    file = FILES[name]
    assert file["requirement"] == name
    subject = BUILDERS[file["kind"]](file.get("subject", {}) | case.get("subject", {}))
    day = case.get("as_of", date(2026, 11, 25))
    asked = Asked(datetime.combine(day, time(), UTC))
    [finding] = evaluate(subject, [BY_ID[name]], asked, everything=True)
    assert finding.verdict == case["expect"], finding.text
    assert case.get("says", "") in finding.text


@pytest.mark.parametrize(
    "requirement",
    [each for each in REQUIREMENTS if each.check is not None and {kind.value for kind in each.kinds} & set(BUILDERS)],
    ids=lambda each: each.id,
)
def test_every_function_has_its_cases(requirement: Any) -> None:
    assert requirement.id in FILES, f"write cases/{requirement.id}.toml"
    text = (FOLDER / f"{requirement.id}.toml").read_text(encoding="utf-8")
    expected = {case["expect"] for case in FILES[requirement.id]["case"]}
    assert text.startswith("# one-sided: ") or {"met", "not-met"} <= expected
