"""Which run a Subscriber trusts: rules over verified claims, what makes a rule too wide, and why a run did not match.

Rules of one Subscriber are judged for a run that said for whom it comes; no other Subscriber's are looked at. Whoever
has a good token of a platform, as everybody can who has an account there, learns which claim differs only of a rule
that he names and that is about his own repository: the ids of its anchors are those of his token.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from privyseal.access.platforms import PLATFORMS, Kind, Platform
from privyseal.errors import BadInput

MOST_CONDITIONS = 16
"""Conditions of a rule; no platform has as many."""
MOST_STARS = 2
"""Stars in a pattern: ``refs/tags/v*.*``; each makes matching dearer."""
MOST_EXCHANGES = 64
"""How often a token that is fixed for a job may be exchanged, at most: as often as a job may sign on its own."""

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_NUMBER = re.compile(r"[0-9]{1,30}")
_FORMS = {Kind.NUMBER: _NUMBER, Kind.UUID: _UUID, Kind.FLAG: re.compile("true|false")}
_REFS = ("refs/tags/", "refs/heads/")

Word = Annotated[str, Meta(min_length=1, max_length=255)]
"""A claim's name or value, in characters."""


class TrustRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """That runs with these claims act as this member."""

    id: str
    member: str
    """Id of the member as whom a run acts; a machine."""
    platform: str
    issuer: str
    name: str
    """What people call it, such as ``acme/app``; nothing is decided by it."""
    conditions: tuple[tuple[str, str], ...]
    """Claim and expected value, by the names of the claims."""
    policy: str = ""
    """The policy that its tokens are for; empty for whichever the run asks for."""
    exchanges: int = 1
    """How often one identity token may be exchanged."""


class NewRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule as it is asked for."""

    platform: str
    name: Annotated[str, Meta(min_length=1, max_length=200)]
    member: Annotated[str, Meta(min_length=1, max_length=64)]
    """A machine's id or name; one of that name is taken in as a requester where there is none."""
    conditions: Annotated[dict[Word, Word], Meta(max_length=MOST_CONDITIONS)]
    issuer: Annotated[str, Meta(max_length=255)] = ""
    """Empty for the platform's own."""
    policy: Annotated[str, Meta(pattern=r"\A(?:[a-z0-9][a-z0-9._-]{0,62})?\Z")] = ""
    exchanges: Annotated[int, Meta(ge=1, le=MOST_EXCHANGES)] = 1


class Compared(msgspec.Struct, frozen=True):
    """One claim: what came, what was expected, and whether that is the same."""

    claim: str
    came: str
    """Empty where the token has no such claim."""
    expected: str
    same: bool


class Trusted(msgspec.Struct, frozen=True):
    """This rule lets the run in."""

    rule: TrustRule


class Differs(msgspec.Struct, frozen=True):
    """The run is of the repository that the named rule is about, and differs from it."""

    rule: TrustRule
    compared: tuple[Compared, ...]


class Untrusted(msgspec.Struct, frozen=True):
    """No rule lets the run in; that is all there is to say."""


class Several(msgspec.Struct, frozen=True):
    """More than one rule lets the run in: it must name one of these."""

    rules: tuple[str, ...]


class Named(msgspec.Struct, frozen=True):
    """What a run says of the rule under which it comes; empty where it leaves that to us."""

    rule: str = ""
    member: str = ""
    policy: str = ""


def decide(
    rules: Sequence[TrustRule], issuer: str, claims: Mapping[str, str], named: Named
) -> Trusted | Differs | Untrusted | Several:
    """Find the rule of one Subscriber that lets a run in; ``claims`` are verified and flat."""
    near = [
        rule
        for rule in rules
        if rule.issuer == issuer and all(c.same for c in compare(rule, claims) if _anchors(rule, c))
    ]
    meant = [rule for rule in near if _means(named, rule)]
    good = [rule for rule in meant if all(each.same for each in compare(rule, claims))]
    if len(good) > 1:
        return Several(tuple(rule.id for rule in good))
    if good:
        return Trusted(good[0])
    if meant and (named.rule or named.member):
        return Differs(meant[0], compare(meant[0], claims))
    return Untrusted()


def compare(rule: TrustRule, claims: Mapping[str, str]) -> tuple[Compared, ...]:
    """Hold every condition of a rule against a run's claims, and what no run may be unless the rule names it."""
    platform = PLATFORMS[rule.platform]
    found = []
    for claim, expected in rule.conditions:
        came = claims.get(claim, "")
        found.append(Compared(claim, came, expected, _matches(platform.conditions.get(claim), expected, came)))
    named = {claim for claim, _ in rule.conditions}
    for claim, values in platform.never.items():
        came = claims.get(claim, "")
        if claim not in named:
            found.append(Compared(claim, came, f"not {' or '.join(values)}", came not in values))
    return tuple(found)


def require_narrow(new: NewRule) -> Platform:
    """Return the platform of a rule that is about one piece of code only; BadInput for one that matches too much."""
    platform = PLATFORMS.get(new.platform)
    if platform is None:
        raise BadInput(f"No platform is named {new.platform[:40]!r}.", hint=f"one of {', '.join(PLATFORMS)}")
    for claim, expected in new.conditions.items():
        _require_form(platform, claim, expected)
    missing = [claim for claim in platform.anchors if claim not in new.conditions]
    if missing:
        raise BadInput(
            f"The rule does not name {' and '.join(missing)}: names can be given to somebody else, ids cannot.",
            hint=f"a rule for {platform.title} needs {', '.join(platform.anchors)}",
        )
    for group in platform.one_of:
        if not any(claim in new.conditions for claim in group):
            raise BadInput(
                f"The rule matches too much: it names no {' or '.join(group)}.",
                hint="bind it to what only those can change who may release",
            )
    _require_no_strangers(platform, new.conditions)
    if new.exchanges > 1 and platform.minted:
        raise BadInput(
            f"{platform.title} gives a job a new token whenever it asks, so each is exchanged once only.",
            hint="leave exchanges at 1",
        )
    return platform


def _require_form(platform: Platform, claim: str, expected: str) -> None:
    kind = platform.conditions.get(claim)
    if kind is None:
        raise BadInput(
            f"A rule for {platform.title} cannot name the claim {claim[:60]!r}.",
            hint=f"one of {', '.join(platform.conditions)}",
        )
    if not expected.isprintable():
        raise BadInput(f"The value expected of {claim} has characters that cannot be seen.")
    form = _FORMS.get(kind)
    if form is not None and not form.fullmatch(expected):
        raise BadInput(f"{expected[:60]!r} cannot be the {claim} of a rule; {kind} was expected.")
    if "*" not in expected:
        return
    prefix = expected.partition("*")[0]
    if kind is not Kind.GLOB or expected.count("*") > MOST_STARS:
        raise BadInput(f"{expected[:60]!r} cannot be the {claim} of a rule: no * can stand there.")
    if not prefix or prefix.endswith("/") or any(each.startswith(prefix) for each in _REFS):
        raise BadInput(
            f"The rule matches too much: {claim} {expected[:60]!r} is nearly any.",
            hint="let a name begin before the star, such as refs/tags/v*",
        )


def _require_no_strangers(platform: Platform, conditions: Mapping[str, str]) -> None:
    for claim, values in platform.never.items():
        if conditions.get(claim) in values and "environment" not in conditions:
            raise BadInput(
                f"The rule matches too much: with {claim} {conditions[claim]!r} code runs that nobody has merged.",
                hint="bind it to an environment that asks for review, or leave that event out",
            )


def _anchors(rule: TrustRule, compared: Compared) -> bool:
    return compared.claim in PLATFORMS[rule.platform].anchors


def _means(named: Named, rule: TrustRule) -> bool:
    return (
        named.rule in ("", rule.id)
        and named.member in ("", rule.member)
        and (not named.policy or rule.policy in ("", named.policy))
    )


def _matches(kind: Kind | None, expected: str, came: str) -> bool:
    if kind is Kind.GLOB and "*" in expected:
        return re.fullmatch("[^/]*".join(map(re.escape, expected.split("*"))), came) is not None
    if kind is Kind.UUID:
        return came.lower() == expected.lower()
    return came == expected
