"""What a policy set says to one request: allowed by which rules, or refused, by what, and what differs. No I/O.

Of a thousand rules only those are looked at that could apply (``rule_index.py``). The order of looking changes nothing:
rules that refuse win, and of rules that allow any one is enough.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec
from msgspec import Struct

from privyseal.access import attestations
from privyseal.access.policies import PolicySet, Rule, fits, read_set
from privyseal.access.rule_index import RuleIndex
from privyseal.terms.parties import Actor, Role

SCANNED = {"clean": "a scan that found nothing"}
"""What a rule wants of a scan, by the word that it uses, as people read it."""


class Asked(Struct, frozen=True, kw_only=True):
    """What rules can speak of, of one request."""

    member: str
    name: str
    roles: tuple[Role, ...]
    key: str
    formats: tuple[str, ...]
    """Of all pieces of code; a rule must have every one of them."""
    mode: str
    at: datetime
    claims: dict[str, str] = {}
    """Verified facts of the run that asks; nothing for people."""
    publisher: str | None = None
    organisation: str | None = None
    timestamp: bool = True
    scan: str = "none"
    """What the scan of the file found: ``clean``, or anything else."""
    file: str | None = None
    """SHA-256 of the file, lower-case hex, where the service sees it."""
    brought: tuple[bytes, ...] = ()
    """DSSE envelopes that came for this file, unverified."""


class Allowed(Struct, frozen=True):
    """By these rules, in the order of their names; each is enough by itself but for what it counts."""

    rules: tuple[str, ...]


class Refused(Struct, frozen=True):
    """Nobody allows it, or a rule refuses it: the nearest rule (empty for none), and what differs, in words."""

    rule: str
    because: str
    differs: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """Say it for people, in one sentence."""
        if not self.rule:
            return "No rule of the policy in force speaks of this key."
        if not self.differs:
            return f"Rule {self.rule!r} refuses it{': ' + self.because.rstrip('.') if self.because else ''}."
        return f"No rule of the policy in force allows it; nearest is {self.rule!r}, but {'; and '.join(self.differs)}."


def claims_of(actor: Actor) -> dict[str, str]:
    """Return the facts of the run that asks, as rules name them."""
    run = actor.workload
    if run is None:
        return {}
    return dict(run.claims) | {"provider": run.provider, "issuer": run.issuer, "subject": run.subject}


def decide(policy: PolicySet, asked: Asked) -> Allowed | Refused:
    """Decide; see the head of this file."""
    candidates = _index(policy.octets).candidates(
        key=asked.key,
        formats=asked.formats,
        mode=asked.mode,
        publisher=asked.publisher,
        organisation=asked.organisation,
        members=(asked.member, asked.name),
        roles=asked.roles,
        claims=asked.claims,
    )
    allowed = []
    for name, rule in candidates:
        if next(_differs(rule, asked), None) is None:
            if rule.effect == "refuse":
                return Refused(name, rule.because, ())
            allowed.append(name)
    return Allowed(tuple(sorted(allowed))) if allowed else _nearest(policy, asked)


def explain(policy: PolicySet, asked: Asked) -> dict[str, tuple[str, ...]]:
    """Say for every rule about this key what differs; nothing for one that holds."""
    about = {name: rule for name, rule in policy.rules.items() if fits(asked.key, rule.keys)}
    return {name: tuple(_differs(rule, asked)) for name, rule in sorted(about.items())}


def _nearest(policy: PolicySet, asked: Asked) -> Refused:
    """Find the rule of which least differs; the first by name of several."""
    found = {name: why for name, why in explain(policy, asked).items() if policy.rules[name].effect == "allow"}
    if not found:
        return Refused("", "", ())
    name = min(found, key=lambda each: (len(found[each]), each))
    return Refused(name, policy.rules[name].because, found[name])


@functools.lru_cache(maxsize=64)
def _index(octets: bytes) -> RuleIndex:
    return RuleIndex(read_set(octets).rules)


def _differs(rule: Rule, asked: Asked) -> Iterator[str]:
    """Say one thing after another that keeps a rule from holding; what costs least to compare comes first."""
    if not fits(asked.key, rule.keys):
        yield f"key {asked.key!r} is none of {_list(rule.keys)}"
    if rule.formats is not None:
        for each in asked.formats:
            if not fits(each, rule.formats):
                yield f"format {each!r} is none of {_list(rule.formats)}"
    if rule.modes is not None and asked.mode not in rule.modes:
        yield f"mode is {asked.mode!r} and must be {' or '.join(rule.modes)}"
    if rule.timestamp is not None and rule.timestamp != asked.timestamp:
        yield "a timestamp is wanted" if rule.timestamp else "no timestamp is wanted"
    if not fits(asked.publisher, rule.publisher):
        yield f"publisher name {asked.publisher!r} is none of {_list(rule.publisher or ())}"
    if not fits(asked.organisation, rule.organisation):
        yield f"the certificate's organisation {asked.organisation!r} is none of {_list(rule.organisation or ())}"
    yield from _who_differs(rule, asked)
    if not rule.when.holds(asked.at):
        yield f"the time is {asked.at:%Y-%m-%d %H:%M} UTC and must be {rule.when.words()}"
    if rule.scan is not None and asked.scan != rule.scan:
        yield f"the file's scan is {asked.scan!r}, and {SCANNED[rule.scan]} is wanted"
    for wanted in rule.attestations:
        yield from attestations.differences(wanted, asked.brought, asked.file, fits)


def _who_differs(rule: Rule, asked: Asked) -> Iterator[str]:
    who = rule.who
    if who.members is not None and not (fits(asked.member, who.members) or fits(asked.name, who.members)):
        yield f"member {asked.name!r} ({asked.member}) is none of {_list(who.members)}"
    if who.roles is not None and not set(who.roles) & set(asked.roles):
        yield f"roles are {_list(asked.roles) or 'none'} and one of {_list(who.roles)} is wanted"
    for claim, wanted in (who.workload or {}).items():
        came = asked.claims.get(claim)
        if not fits(came, (wanted,)):
            yield f"{claim} is {came!r} and must be {wanted!r}" if came else f"{claim} {wanted!r} of a run is wanted"


def _list(values: Sequence[str]) -> str:
    shown = [str(each) for each in values[:8]]
    return ", ".join(shown) + (f" and {len(values) - 8} more" if len(values) > 8 else "")


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """Why one request would be allowed or refused, rule by rule."""

    allowed: bool
    sentence: str
    rules: dict[str, tuple[str, ...]]
    """What differs for each rule about the key; nothing for those that hold."""


def explained(policy: PolicySet, asked: Asked) -> Explained:
    """Decide and explain at once, for who tries a policy out."""
    outcome = decide(policy, asked)
    if isinstance(outcome, Allowed):
        said = f"Allowed by {_list(outcome.rules)}."
        return Explained(allowed=True, sentence=said, rules=explain(policy, asked))
    return Explained(allowed=False, sentence=outcome.sentence, rules=explain(policy, asked))
