"""Who can hold a code signing key, in five scenarios, and which clauses bind each (minutes of 2023-10-19).

The scenarios are data, ``scenarios.toml``. A clause may bind on paper only: the text covers somebody whom nobody knows.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

import msgspec

from privyseal.compliance.classify import ServiceRole
from privyseal.compliance.proposal_text import read_toml
from privyseal.compliance.requirement import EnforcedBy, Party, Requirement


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way to hold a key."""

    id: str
    name: str
    role: ServiceRole
    acts_as: tuple[Party, ...]
    """Which parties of the Requirements the holder of the key is."""
    minutes: str
    """What the minutes thought of it."""
    today: str
    """What holds now."""
    binding: tuple[str, ...]
    """Ids of requirements, or clauses with a star: ``CSBR-8.4.2-*``, ``CSBR-5.4.*``."""
    deals_with: tuple[Party, ...] = ()
    """Which parties there are beside it."""
    on_paper: tuple[str, ...] = ()
    """Of these, what nobody enforces in this scenario."""

    def bound_by(self, requirement: Requirement) -> bool:
        """Tell whether it binds the holder of the key or reaches it; one that a ballot would add does by any party."""
        if set(requirement.binds) & set(self.acts_as):
            return True
        if requirement.document == "PROPOSED":
            return bool(self.who(requirement))
        return any(covers(each, requirement.id) for each in self.binding)

    def who(self, requirement: Requirement) -> tuple[Party, ...]:
        """Return whom of those that are there a requirement binds."""
        return tuple(each for each in requirement.binds if each in self.acts_as or each in self.deals_with)

    def only_on_paper(self, requirement: Requirement, before: Requirement | None = None) -> bool:
        """Tell whether nobody enforces it here; ``before`` is the text in force, of which it is a change."""
        if set(requirement.enforced_by) == {EnforcedBy.NOBODY}:
            return True
        if before is not None and before.enforced_by != requirement.enforced_by:
            return False
        return any(covers(each, requirement.id) for each in self.on_paper)


def covers(pattern: str, name: str) -> bool:
    """Tell whether an id is meant by a pattern: itself, ``CSBR-8.4.2-*`` a clause, ``CSBR-5.4.*`` with all below it."""
    if not pattern.endswith("*"):
        return pattern == name
    stem = pattern[:-1]
    return name.startswith((stem, f"{stem[:-1]}-"))


class _Scenarios(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    scenario: tuple[Scenario, ...]


@cache
def scenarios() -> tuple[Scenario, ...]:
    """Return the scenarios that the program comes with."""
    octets = resources.files("privyseal.compliance").joinpath("scenarios.toml").read_bytes()
    return read_toml(octets, _Scenarios, "scenarios.toml").scenario


@cache
def roles() -> tuple[ServiceRole, ...]:
    """Return the roles that a ballot can tell apart: those that a scenario is about."""
    return tuple(each.role for each in scenarios())
