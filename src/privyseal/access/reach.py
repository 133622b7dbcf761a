"""Who could have what signed under a policy set, found by looking at the set alone: for plans, and to prove it sound.

Times, counts, scans and attestations are left aside: they say when and with what, and whoever a rule speaks of can
wait for them. So what is found here is what somebody could ever have, never less.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from privyseal.access.permissions import MAY
from privyseal.access.policies import PolicySet, Rule, fits
from privyseal.access.trust import TrustRule
from privyseal.terms.parties import Member, Role

ROLES_ALONE = "roles alone"
"""What allows something where no policy was ever applied."""


class Party(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who could ask: a member, or runs of machines that one trust rule lets in."""

    id: str
    name: str
    roles: tuple[Role, ...]
    claims: dict[str, str] | None = None
    """What a trust rule says of its runs, ``*`` for any characters; what it leaves open may be anything. None for
    members, who come without such facts."""
    known_as: tuple[str, ...] = ()
    """By what else a person may be told from others: an e-mail address, the subject at an identity provider."""
    runs: str = ""
    """What people call the runs that act as this member, under which trust rule; empty for the member itself."""
    rule: str = ""
    """The one rule that may allow what these runs ask; empty for any."""

    @property
    def shown(self) -> str:
        """Name it for people."""
        return f"{self.runs} as {self.name} ({self.id})" if self.runs else f"{self.name} ({self.id})"


def runs_under(trusted: TrustRule, member: Member) -> Party:
    """Return the runs that a trust rule lets in as one who could ask: as its member, with what the rule says of them.

    What it leaves open may be anything, and so may be what the platform says that no rule can bind.
    """
    said = dict(trusted.conditions) | {"provider": trusted.platform, "issuer": trusted.issuer}
    return Party(
        id=member.id,
        name=member.name,
        roles=member.roles,
        claims=said,
        runs=f"runs of {trusted.name} under {trusted.id}",
        rule=trusted.policy,
    )


def party_of(member: Member, *known_as: str) -> Party:
    """Return a member as one who could ask."""
    return Party(id=member.id, name=member.name, roles=member.roles, known_as=known_as)


class Reach(NamedTuple):
    """Something that one party could have signed."""

    party: str
    key: str
    format: str


Ground = tuple[Sequence[Party], Sequence[str], Sequence[str]]
"""The parties, keys and formats that there are."""


def may_request(party: Party) -> bool:
    """Tell whether one of a party's roles lets it ask for signatures at all."""
    return any("request" in MAY[role] for role in party.roles)


def reach(policy: PolicySet | None, ground: Ground) -> dict[Reach, tuple[str, ...]]:
    """Return who could have what signed, by which rules; without a policy roles alone say it."""
    parties, keys, formats = ground
    asking = [party for party in parties if may_request(party)]
    if policy is None:
        return {Reach(p.shown, key, each): (ROLES_ALONE,) for p in asking for key in keys for each in formats}
    found: dict[Reach, list[str]] = {}
    for name, rule in sorted(policy.rules.items()):
        if rule.effect == "refuse":
            continue
        theirs = [key for key in keys if fits(key, rule.keys)]
        signed = [each for each in formats if fits(each, rule.formats)]
        for party in asking if theirs and signed else ():
            if party.rule in ("", name) and speaks_of(rule, party):
                for key in theirs:
                    for each in signed:
                        found.setdefault(Reach(party.shown, key, each), []).append(name)
    return {what: tuple(rules) for what, rules in found.items()}


def speaks_of(rule: Rule, party: Party) -> bool:
    """Tell whether a rule's ``who`` could be this party."""
    who = rule.who
    if who.members is not None and not (fits(party.id, who.members) or fits(party.name, who.members)):
        return False
    if who.roles is not None and not set(who.roles) & set(party.roles):
        return False
    if who.workload is None:
        return True
    if party.claims is None:
        return False
    return all(overlap(party.claims.get(claim, "*"), wanted) for claim, wanted in who.workload.items())


def overlap(one: str, other: str) -> bool:
    """Tell whether some text matches both of two texts in which ``*`` stands for any characters."""
    reached = {(0, 0)}
    ahead = [(0, 0)]
    while ahead:
        i, j = ahead.pop()
        if i == len(one) and j == len(other):
            return True
        a, b = one[i : i + 1], other[j : j + 1]
        steps = []
        if a == "*":
            steps += [(i + 1, j)] + ([(i, j + 1)] if b else [])
        if b == "*":
            steps += [(i, j + 1)] + ([(i + 1, j)] if a else [])
        if a and a == b:
            steps.append((i + 1, j + 1))
        new = [step for step in steps if step not in reached]
        reached.update(new)
        ahead += new
    return False


def idle(policy: PolicySet, ground: Ground, now: datetime, *, runs_known: bool) -> list[str]:
    """Say of every rule that nobody could ever satisfy why; ``runs_known`` tells whether trust rules are among the
    parties, for else nobody can say it of rules about runs."""
    parties, keys, formats = ground
    found = []
    for name, rule in sorted(policy.rules.items()):
        why = None
        if not any(fits(key, rule.keys) for key in keys):
            why = f"there is no key {_any(rule.keys)}"
        elif not any(fits(each, rule.formats) for each in formats):
            why = f"there is no format {_any(rule.formats or ())}"
        elif rule.when.until is not None and rule.when.until <= now:
            why = f"its time was over at {rule.when.until:%Y-%m-%d %H:%M %Z}"
        elif rule.effect == "allow" and not _somebody(name, rule, parties, runs_known):
            why = "it speaks of nobody who may ask for signatures"
        if why is not None:
            found.append(f"Rule {name!r} can never hold: {why}.")
    return found


def _somebody(name: str, rule: Rule, parties: Iterable[Party], runs_known: bool) -> bool:
    if rule.who.workload is not None and not runs_known:
        return True
    asking = (party for party in parties if may_request(party) and party.rule in ("", name))
    return any(speaks_of(rule, party) for party in asking)


def _any(values: tuple[str, ...]) -> str:
    return " or ".join(repr(each) for each in values[:4])
