"""What a Subscriber's administrators do about machines: trust rules, and static tokens with a scope."""

from __future__ import annotations

import base64
from datetime import timedelta

import msgspec

from privyseal.access import permissions, trust
from privyseal.access.credentials import new_token
from privyseal.access.permissions import OF_MACHINES
from privyseal.access.trust import NewRule, TrustRule
from privyseal.compliance.statements import Administered
from privyseal.errors import BadInput
from privyseal.records import parties
from privyseal.records import trust as records
from privyseal.records.database import Transaction
from privyseal.records.trust import ScopedToken
from privyseal.signing import announce
from privyseal.signing.exchange import issuers
from privyseal.signing.forms_of_parties import NewToken
from privyseal.signing.instance import PrivySeal
from privyseal.terms.parties import Actor, Member, Role, Scope

MOST_RULES = 1000
"""Trust rules of one Subscriber; each run is held against those of its issuer."""
MOST_TOKENS = 1000
"""Static tokens of one Subscriber."""


class GivenStatic(msgspec.Struct, frozen=True, kw_only=True):
    """A static token, shown this once, and what is kept of it."""

    token: str
    kept: ScopedToken

    def __repr__(self) -> str:
        """Show no token."""
        return f"GivenStatic(kept={self.kept.id!r})"


def add_rule(seal: PrivySeal, actor: Actor, subscriber: str, new: NewRule) -> TrustRule:
    """Trust runs with these claims, or find the rule that does; BadInput for one that matches too much or whose issuer
    is not known here."""
    permissions.require(actor, "manage-trust", subscriber)
    platform = trust.require_narrow(new)
    issuer = new.issuer or platform.issuer
    believed = issuers(seal).named(issuer)
    if believed is None or believed.platform is not platform:
        raise BadInput(
            f"This service knows no issuer {issuer[:200]!r} of {platform.title}.",
            hint="its operator can add it to serve.toml, [[workloads.issuers]]",
        )
    with seal.records.writing(subscriber) as tx:
        before = records.rules(tx)
        if len(before) >= MOST_RULES:
            raise BadInput(f"There are {MOST_RULES} trust rules already.", hint="remove one that is not needed")
        rule = TrustRule(
            id="T-" + _drawn(seal),
            member=_machine(seal, tx, new.member).id,
            platform=platform.name,
            issuer=issuer,
            name=new.name,
            conditions=tuple(sorted(new.conditions.items())),
            policy=new.policy,
            exchanges=new.exchanges,
        )
        for known in before:
            if msgspec.structs.replace(known, id=rule.id) == rule:
                return known
        records.add_rule(tx, rule, seal.clock())
        said = "; ".join(f"{claim} {value}" for claim, value in rule.conditions)
        _administered(seal, tx, actor, "trust rule added", rule.id, f"{issuer} as {rule.member}: {said}")
    return rule


def remove_rule(seal: PrivySeal, actor: Actor, subscriber: str, rule_id: str) -> None:
    """Trust those runs no longer; what they were given ends with it. NotFound where there is no such rule."""
    permissions.require(actor, "manage-trust", subscriber)
    with seal.records.writing(subscriber) as tx:
        records.remove_rule(tx, rule_id)
        _administered(seal, tx, actor, "trust rule removed", rule_id)


def new_static(seal: PrivySeal, actor: Actor, subscriber: str, new: NewToken) -> GivenStatic:
    """Give a machine a static token: returned once, kept as its SHA-256; BadInput for verbs that are people's."""
    permissions.require(actor, "manage-members", subscriber)
    wrong = [verb for verb in new.verbs if verb not in OF_MACHINES]
    if wrong or not new.verbs:
        raise BadInput(
            f"A static token cannot be for {', '.join(wrong)[:200] or 'nothing'}.", hint=f"of {', '.join(OF_MACHINES)}"
        )
    secret, digest = new_token(seal.draw, "pss_")
    now = seal.clock()
    with seal.records.writing(subscriber) as tx:
        if len(records.scoped(tx)) >= MOST_TOKENS:
            raise BadInput(f"There are {MOST_TOKENS} static tokens already.", hint="revoke those that are not needed")
        kept = ScopedToken(
            id="K-" + _drawn(seal),
            member=_machine(seal, tx, new.member).id,
            label=new.label,
            scope=Scope(verbs=tuple(v for v in OF_MACHINES if v in new.verbs), key=new.key, policy=new.policy),
            created=now,
            expires=now + timedelta(days=new.days),
        )
        records.add_scoped(tx, kept, digest)
        said = f"for {kept.member} until {kept.expires:%Y-%m-%d}: {', '.join(kept.scope.verbs)}"
        _administered(seal, tx, actor, "static token given", kept.id, said)
    return GivenStatic(token=secret, kept=kept)


def revoke_static(seal: PrivySeal, actor: Actor, subscriber: str, token_id: str) -> None:
    """End a static token at once; NotFound where there is none of that id."""
    permissions.require(actor, "manage-members", subscriber)
    with seal.records.writing(subscriber) as tx:
        records.remove_scoped(tx, token_id)
        _administered(seal, tx, actor, "static token revoked", token_id)


def _machine(seal: PrivySeal, tx: Transaction, wanted: str) -> Member:
    """Return the machine of that id or name, taken in where there is none; BadInput where that is a person."""
    of_that_name = [each for each in records.members_of(tx, seal.clock()) if wanted in (each.id, each.name)]
    if any(not each.workload for each in of_that_name):
        raise BadInput(
            f"{wanted!r} is not a machine, and people prove themselves by what they have and know.",
            hint="name a machine; one of a new name is taken in",
        )
    if any(set(each.roles) - {Role.REQUESTER} for each in of_that_name):
        raise BadInput(
            f"{wanted!r} may more than ask for signatures, which no machine may.", hint="name another member"
        )
    if len(of_that_name) > 1:
        raise BadInput(f"{len(of_that_name)} members are named {wanted!r}.", hint="give the id of one of them")
    if of_that_name:
        return of_that_name[0]
    if wanted.startswith("M-") or not wanted.isprintable():
        raise BadInput(f"There is no member {wanted!r}.", hint="privyseal trust list shows those that rules name")
    incoming = Member("M-" + _drawn(seal), tx.subscriber, wanted, (Role.REQUESTER,), True)
    parties.subscriber(tx)
    parties.add_member(tx, incoming)
    return incoming


def _administered(seal: PrivySeal, tx: Transaction, actor: Actor, what: str, subject: str, detail: str = "") -> None:
    act = Administered(actor=actor.member.id, what=what, subject=subject, detail=detail[:2000])
    announce.administered(seal, tx, act)


def _drawn(seal: PrivySeal) -> str:
    return base64.b32encode(seal.draw(15)).decode("ascii").lower()
