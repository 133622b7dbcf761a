"""A run's identity token becomes a token of ours for ten minutes (RFC 8693), once.

No secret is stored for it anywhere: the platform vouches for the run, a trust rule says as whom it acts, and the token
given is bound to run, attempt, policy and rule. The same identity token is refused from then on, whoever shows it; a
job that needs another asks its platform. Jobs of one run have an identity token each, so they do not get in each
other's way.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple, NoReturn

import msgspec

from privyseal.access import platforms, signed_tokens, trust, workloads
from privyseal.access.credentials import new_token
from privyseal.access.signed_tokens import Unread
from privyseal.access.trust import Named, TrustRule
from privyseal.access.workloads import Expected
from privyseal.errors import ClaimMismatch, Conflict, NotAuthenticated, NotFound, NotPermitted
from privyseal.records import events, parties
from privyseal.records import trust as records
from privyseal.records.database import Transaction
from privyseal.records.events import Event
from privyseal.records.trust import Exchange
from privyseal.signing.instance import PrivySeal
from privyseal.signing.issuers import Issuer, Issuers
from privyseal.terms.parties import Workload

LIFE = timedelta(minutes=10)
"""How long a token given to a run is good; a job that takes longer exchanges a new identity token."""


class AskedToken(msgspec.Struct, frozen=True, kw_only=True):
    """What a run asks for."""

    identity: bytes
    """Its identity token, as it came."""
    subscriber: str
    named: Named = Named()

    def __repr__(self) -> str:
        """Show no token."""
        return f"AskedToken(subscriber={self.subscriber!r})"


class GivenToken(msgspec.Struct, frozen=True, kw_only=True):
    """What it is given; the token is nowhere else."""

    token: str
    exchange: Exchange

    def __repr__(self) -> str:
        """Show no token."""
        return f"GivenToken(exchange={self.exchange.id!r})"


class _Run(NamedTuple):
    issuer: Issuer
    token: Unread
    claims: dict[str, str]


def exchange(seal: PrivySeal, asked: AskedToken) -> GivenToken:
    """Exchange an identity token for one of ours.

    Raises NotAuthenticated for one that is not good or was exchanged before, NotPermitted where no rule of the
    Subscriber lets the run in, ClaimMismatch where it names a rule about its own repository that it differs from, and
    Unavailable where the platform's keys cannot be had.
    """
    seal.require_memory()
    run = _verified(seal, asked.identity)
    for last in (False, True):
        secret, digest = new_token(seal.draw, "psw_")
        try:
            with seal.records.writing(asked.subscriber) as tx:
                rule = _trusting(records.rules(tx, run.issuer.issuer), run, asked.named)
                _require_in(seal, tx, rule)
                given = _given(seal, run, rule, asked.named.policy, digest)
                turn = records.exchanges_of(tx, given.identity)
                if turn >= rule.exchanges:
                    _refuse_replay()
                records.add_exchange(tx, given, turn)
                events.record(tx, Event(given.created, rule.member, "token exchanged", given.id))
            return GivenToken(token=secret, exchange=given)
        except Conflict:  # somebody shows the same identity token at this very moment, or did for another Subscriber
            if last:
                _refuse_replay()
    raise AssertionError("unreachable")


def issuers(seal: PrivySeal) -> Issuers:
    """Return whom this service believes; NotPermitted where it exchanges no tokens."""
    if seal.issuers is None:
        raise NotPermitted(
            "This service exchanges no identity tokens.", hint="its operator can set [workloads] audience in serve.toml"
        )
    return seal.issuers


def _verified(seal: PrivySeal, octets: bytes) -> _Run:
    known, token = issuers(seal), signed_tokens.read(octets)
    issuer = known.of(token)
    expected = Expected(issuer.platform, issuer.issuer, issuer.audience, seal.clock())
    claims = workloads.verify(token, known.keys(issuer, token), expected)
    return _Run(issuer, token, platforms.flat(claims))


def _trusting(rules: Sequence[TrustRule], run: _Run, named: Named) -> TrustRule:
    match trust.decide(rules, run.issuer.issuer, run.claims, named):
        case trust.Trusted(rule):
            return rule
        case trust.Several(ids):
            raise NotPermitted(
                f"{len(ids)} trust rules let this run in, and it does not say which it means.",
                hint=f"name one: PRIVYSEAL_RULE={ids[0]}, or a policy: PRIVYSEAL_POLICY",
            )
        case trust.Differs(rule, compared):
            wrong = [each.claim for each in compared if not each.same]
            error = ClaimMismatch(
                f"The trust rule {rule.id} ({rule.name[:60]}) does not let this run in: {', '.join(wrong)} differs.",
                hint="change the job, or have an administrator look at the rule; do not copy into it what came, for"
                " then it trusts whatever came",
            )
            error.compared = tuple((each.claim, each.came, each.expected, each.same) for each in compared)
            raise error
    raise NotPermitted(
        "No trust rule lets this run in.",
        hint="name the rule (PRIVYSEAL_RULE) to be told which claim differs, or have an administrator add one:"
        " privyseal trust add",
    )


def _require_in(seal: PrivySeal, tx: Transaction, rule: TrustRule) -> None:
    try:
        parties.require_in(tx, rule.member, seal.clock())
    except NotFound:
        raise NotPermitted(
            f"The machine as which the trust rule {rule.id} lets runs in has left.",
            hint="have an administrator remove the rule, and add one for another machine",
        ) from None


def _given(seal: PrivySeal, run: _Run, rule: TrustRule, policy: str, digest: bytes) -> Exchange:
    now, identity = seal.clock(), hashlib.sha256(run.issuer.issuer.encode() + b"\0" + run.token.fingerprint).digest()
    platform, one = run.issuer.platform, identity.hex()[:16]
    exchange_id = "E-" + base64.b32encode(seal.draw(15)).decode("ascii").lower()
    workload = Workload(
        provider=platform.name,
        issuer=run.issuer.issuer,
        subject=run.claims.get("sub", "")[:255],
        claims=_spoken_of(run),
        run=_joined(run.claims, platform.run) or one,
        attempt=_joined(run.claims, platform.attempt) or "1",
        trust=rule.id,
        policy=rule.policy or policy,
        exchange=exchange_id,
    )
    return Exchange(
        id=exchange_id,
        digest=digest,
        member=rule.member,
        rule=rule.id,
        identity=identity,
        workload=workload,
        created=now,
        expires=now + LIFE,
        kept_until=max(run.token.expires + 2 * workloads.SKEW, now + LIFE),
    )


def _spoken_of(run: _Run) -> tuple[tuple[str, str], ...]:
    """Return the claims that rules and policies may speak of, and those by which people know the run."""
    platform = run.issuer.platform
    wanted = {*platform.conditions, *platform.shown, *platform.run, *platform.attempt, "sha", "actor", "actor_id"}
    return tuple((name, run.claims[name][:255]) for name in sorted(wanted) if name in run.claims)


def _joined(claims: dict[str, str], names: Sequence[str]) -> str:
    return "/".join(claims.get(name, "") for name in names)[:255]


def _refuse_replay() -> NoReturn:
    raise NotAuthenticated(
        "This identity token was exchanged before; each is good for one exchange.",
        hint="have the job ask its platform for a new token; where it cannot, a trust rule can allow more exchanges",
    )
