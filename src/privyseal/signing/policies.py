"""A Subscriber's policy: planned, applied as an administrative act, and asked about every request that comes in."""

from __future__ import annotations

import msgspec

from privyseal.access import attestations, duties_apart, permissions
from privyseal.access.deciding import Asked, Explained, Refused, claims_of, decide, explained
from privyseal.access.duties_apart import Conflict
from privyseal.access.policies import PolicySet, Version, read_folder
from privyseal.access.reach import ROLES_ALONE, Party, Reach, idle, may_request, reach
from privyseal.compliance.statements import Administered
from privyseal.errors import BadInput, Misused, NotPermitted, PolicyRefused, TooLarge
from privyseal.errors import Conflict as Overtaken
from privyseal.formats import catalogue
from privyseal.pki import certificates
from privyseal.records import keys
from privyseal.records import policies as kept
from privyseal.records.database import Transaction
from privyseal.signing import announce, freezes
from privyseal.signing.forms_of_requests import CLEAN, NOT_SCANNED, Moved, Plan, Proposal, Trial
from privyseal.signing.instance import PrivySeal
from privyseal.signing.shelf import Shelf
from privyseal.terms.keys import KeyPair
from privyseal.terms.parties import Actor
from privyseal.terms.requests import SigningRequest

MOST_SUBJECTS = 64
"""Files that one envelope is kept for: a row for each."""


class Ruling(msgspec.Struct, frozen=True):
    """By what a request was allowed: the digest of the set in force, and the names of the rules."""

    policy: str
    rules: tuple[str, ...]


def plan(seal: PrivySeal, actor: Actor, subscriber: str, proposal: Proposal) -> Plan:
    """Say what a set would change; nothing is written."""
    permissions.require(actor, "see-policies", subscriber)
    policy = read_folder(proposal.files)
    with seal.records.reading(subscriber) as tx:
        return _plan(seal, tx, policy)


def apply(seal: PrivySeal, actor: Actor, subscriber: str, proposal: Proposal) -> Version:
    """Put a set in force and state it in the log; the same set again changes nothing.

    Raises BadInput where a rule can never hold, NotPermitted where duties would not be apart and no reason to accept
    that is given, Conflict where another set was applied since the plan.
    """
    permissions.require(actor, "manage-policies", subscriber)
    policy = read_folder(proposal.files)
    with seal.records.writing(subscriber) as tx:
        planned = _plan(seal, tx, policy)
        if planned.was == policy.digest:
            return kept.versions(tx)[0]
        if proposal.was is not msgspec.UNSET and proposal.was != planned.was:
            raise Overtaken("Another policy was applied since this was planned.", hint="look at the plan again")
        if planned.idle:
            raise BadInput(" ".join(planned.idle), hint="mend or remove it")
        apart = [each for each in planned.conflicts if not each.warning]
        if apart and proposal.accept_conflict is None:
            raise NotPermitted(
                f"Duties would not be apart. {' '.join(each.path for each in apart[:3])}",
                hint="change roles or rules, or say --accept-conflict REASON",
            )
        accepted = proposal.accept_conflict if apart else None
        applied = kept.put_in_force(tx, policy, actor.member.id, seal.clock(), accepted)
        announce.administered(seal, tx, _act(actor, planned, accepted))
        return applied


def _act(actor: Actor, planned: Plan, accepted: str | None) -> Administered:
    detail = (
        f"from {planned.was or ROLES_ALONE} to {planned.digest}; {len(planned.added)} rules added, "
        f"{len(planned.changed)} changed, {len(planned.removed)} removed; {len(planned.gains)} gains, "
        f"{len(planned.losses)} losses"
    )
    if accepted is not None:
        paths = " ".join(each.path for each in planned.conflicts if not each.warning)
        detail += f"; conflict of duties accepted because {accepted!r}: {paths}"
    return Administered(actor=actor.member.id, what="policy applied", subject=planned.digest, detail=detail[:2000])


def _plan(seal: PrivySeal, tx: Transaction, policy: PolicySet) -> Plan:
    before = kept.current(tx)
    parties, pairs = kept.parties(tx), keys.key_pairs_of(tx)
    ground = (parties, [pair.name for pair in pairs], list(catalogue.BY_NAME))
    was, becomes = reach(before, ground), reach(policy, ground)
    old, new = {} if before is None else before.rules, policy.rules
    return Plan(
        digest=policy.digest,
        was=None if before is None else before.digest,
        added=tuple(sorted(new.keys() - old.keys())),
        removed=tuple(sorted(old.keys() - new.keys())),
        changed=tuple(sorted(name for name in new.keys() & old.keys() if new[name] != old[name])),
        gains=_moved(becomes, was),
        losses=_moved(was, becomes),
        conflicts=tuple(duties_apart.conflicts(policy, parties, pairs, ground[2])),
        idle=tuple(idle(policy, ground, seal.clock(), runs_known=_runs_known(parties))),
    )


def _moved(here: dict[Reach, tuple[str, ...]], not_there: dict[Reach, tuple[str, ...]]) -> tuple[Moved, ...]:
    new = sorted(here.keys() - not_there.keys())
    return tuple(Moved(who=each.party, key=each.key, format=each.format, rules=here[each]) for each in new)


def _runs_known(parties: list[Party]) -> bool:
    return any(each.claims is not None for each in parties)


def conflicts(seal: PrivySeal, subscriber: str) -> list[Conflict]:
    """Return the conflicts of duties as members, charters and the policy in force are now."""
    with seal.records.reading(subscriber) as tx:
        formats = list(catalogue.BY_NAME)
        return duties_apart.conflicts(kept.current(tx), kept.parties(tx), keys.key_pairs_of(tx), formats)


def try_out(seal: PrivySeal, actor: Actor, subscriber: str, trial: Trial) -> Explained:
    """Say what the policy in force, or the one that comes with the trial, says to a request, rule by rule."""
    permissions.require(actor, "see-policies", subscriber)
    with seal.records.reading(subscriber) as tx:
        policy = kept.current(tx) if trial.files is None else read_folder(trial.files)
        party = _party(kept.parties(tx), trial.member)
        pair = keys.key_pair(tx, trial.key)
        chains = keys.certificate_chains_of(tx, pair.key_id)
    if not may_request(party):
        why = f"{party.shown} has no role that lets it ask for signatures."
        return Explained(allowed=False, sentence=why, rules={})
    if policy is None:
        return Explained(allowed=True, sentence="Allowed: no policy was ever applied, so roles alone decide.", rules={})
    return explained(
        policy,
        Asked(
            member=party.id,
            name=party.name,
            roles=party.roles,
            key=trial.key,
            formats=(trial.format,),
            mode=trial.mode,
            at=trial.at or seal.clock(),
            claims=trial.claims,
            publisher=trial.publisher,
            organisation=certificates.organisation(chains[0][0]) if chains else None,
            timestamp=trial.timestamp,
            scan=trial.scan,
        ),
    )


def _party(parties: list[Party], named: str) -> Party:
    found = [each for each in parties if each.claims is None and named in (each.id, each.name)]
    if len(found) != 1:
        raise Misused(f"{len(found)} members are named {named[:60]!r}.", hint="name one, by its id if need be")
    return found[0]


def allow(tx: Transaction, actor: Actor, request: SigningRequest, pair: KeyPair, shelf: Shelf) -> Ruling | None:
    """Hold a request against the policy in force, and count it; None where there is no policy, and roles alone decide.

    A token that was given for one rule is allowed by that one or not at all, and by nothing where there is no policy.

    To be called last of all that may refuse, because what it counts is taken back with the transaction only. Raises
    PolicyRefused where no rule allows it, or those that do have allowed as many as they may.
    """
    policy, only = shelf.policy(tx), permissions.rule_of(actor)
    if policy is None:
        if only:
            raise PolicyRefused(
                f"This token is for the rule {only!r} alone, and no policy was ever applied.",
                hint="privyseal policy apply, or a token that is not for one rule",
            )
        return None
    asked = _asked(tx, actor, request, shelf, any(rule.attestations for rule in policy.rules.values()))
    outcome = decide(policy, asked)
    if isinstance(outcome, Refused):
        raise PolicyRefused(outcome.sentence, hint=f"privyseal policy test --as {actor.member.name} --key {pair.name}")
    allowing = freezes.unfrozen(shelf.frozen(tx), _within(outcome.rules, only))
    free = tuple(name for name in allowing if not policy.rules[name].limited)
    if free:
        return Ruling(policy.digest, free)
    for name in allowing:
        if kept.take(tx, name, policy.rules[name].at_most, len(request.described), asked.at):
            return Ruling(policy.digest, (name,))
    raise PolicyRefused(f"What the policy allows here is used up: {_limits(policy, allowing)}.", hint="ask later")


def _within(rules: tuple[str, ...], only: str) -> tuple[str, ...]:
    """Return the rules that count for a token that is for one of them alone."""
    if not only:
        return rules
    if only not in rules:
        raise PolicyRefused(
            f"This token is for the rule {only!r} alone, which does not allow it; {', '.join(rules)[:200]} would.",
            hint="use a token for such a rule, or one that is not for one rule",
        )
    return (only,)


def _asked(tx: Transaction, actor: Actor, request: SigningRequest, shelf: Shelf, attested: bool) -> Asked:
    chain = shelf.chain(tx, request.certificate)
    file = None if request.input is msgspec.UNSET else request.input
    return Asked(
        member=actor.member.id,
        name=actor.member.name,
        roles=actor.member.roles,
        key=request.key,
        formats=tuple(dict.fromkeys(each.format for each in request.described)),
        mode=request.mode,
        at=shelf.now,
        claims=claims_of(actor),
        publisher=request.options.program_name,
        organisation=certificates.organisation(chain[0]) if chain else None,
        timestamp=request.options.timestamp,
        scan=CLEAN if request.scanned else NOT_SCANNED,
        file=file,
        brought=kept.brought(tx, file) if attested and file is not None else (),
    )


def _limits(policy: PolicySet, rules: tuple[str, ...]) -> str:
    said = []
    for name in rules[:4]:
        limits = policy.rules[name].at_most
        named = (("an hour", limits.per_hour), ("a day", limits.per_day), ("in all", limits.in_all))
        said.append(f"rule {name!r} allows {', '.join(f'{n} {each}' for each, n in named if n is not None)}")
    return "; ".join(said)


def bring(seal: PrivySeal, actor: Actor, subscriber: str, octets: bytes) -> str:
    """Take in an attestation for the files it names; return its SHA-256. Rules verify it when they ask for one."""
    permissions.require(actor, "send-code", subscriber)
    statement = attestations.statement_of(attestations.read_envelope(octets))
    if len(statement.subjects) > MOST_SUBJECTS:
        raise TooLarge(f"The attestation is about {len(statement.subjects)} files; at most {MOST_SUBJECTS} are taken.")
    with seal.records.writing(subscriber) as tx:
        return kept.bring(tx, tuple(dict.fromkeys(statement.subjects)), octets, seal.clock())
