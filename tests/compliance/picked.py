"""Reads facts as a file has them and picks one duty, for the tests of the clocks."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime, timedelta

from privyseal.compliance.clocks import dues
from privyseal.compliance.due import Due
from privyseal.compliance.duty_facts import DutyFacts, duty_facts_of

SECOND = timedelta(seconds=1)


def facts(toml: str) -> DutyFacts:
    """Read facts as a file has them."""
    return duty_facts_of(tomllib.loads(toml))


def moment(text: str) -> datetime:
    """Read a moment; without a zone it is UTC."""
    read = datetime.fromisoformat(text)
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def the(toml: str, at: str | datetime, requirement: str, whom: str = "", what: str = "") -> Due:
    """Return the one duty that is meant."""
    when = moment(at) if isinstance(at, str) else at
    found = [
        each
        for each in dues(facts(toml), when)
        if each.requirement == requirement and whom in each.whom and what in each.what
    ]
    assert len(found) == 1, found
    return found[0]


def states(toml: str, requirement: str, what: str, *moments: str) -> list[str]:
    """Return how one duty stands at each moment."""
    return [the(toml, at, requirement, what=what).state.value for at in moments]


COMPROMISE = """
[[cas]]
name = "A"
report_to = "a@example.org"
[[incidents]]
id = "I"
kind = "compromise"
found_at = 2026-03-01T10:00:00Z
cas = ["A", "B"]
"""


def audits(*periods: tuple[str, str], of: str = "signing-service", more: str = "") -> str:
    """Write audit periods as a file has them."""
    return "".join(
        f'[[audits]]\nof = "{of}"\nfirst_day = {first}\nlast_day = {last}\n{more}' for first, last in periods
    )


AUDITOR = """
[[auditors]]
name = "Q"
accredited_until = 2026-06-30
insured_until = 2026-12-31
insurance_usd = 1000000
independent = true
"""
