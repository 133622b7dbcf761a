"""Grants are proposed, agreed to by the key's people, and revoked by any one of those who may freeze.

What is written down here is what people are shown; whether a grant covers a request the signer judges by itself, from
its own charter. Revoking holds at once in the records, and in the signer as soon as one of the key's approvers has
signed the act (``RevokeGrant``), or the key is frozen.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from privyseal.access import permissions
from privyseal.access.quorum import Granted, Refused, Waiting
from privyseal.access.signed_tokens import Unread
from privyseal.access.trust import TrustRule
from privyseal.compliance.statements import Administered
from privyseal.errors import BadInput, Conflict, Denied, NotPermitted, VerificationFailed
from privyseal.formats import catalogue
from privyseal.records import grants as records
from privyseal.records import keys, parties, trust
from privyseal.records.database import Transaction
from privyseal.records.grants import Kept
from privyseal.signing import announce, custody, notices
from privyseal.signing.exchange import issuers
from privyseal.signing.forms_of_requests import GrantShown, GrantState, NewGrant, Revocation
from privyseal.signing.instance import PrivySeal
from privyseal.signing.notices import Notice
from privyseal.strongroom.acts import RevokeGrant, decode_act
from privyseal.strongroom.approvals import why_not
from privyseal.strongroom.grants import agreement, require_sound
from privyseal.terms.grants import LARGEST_GRANT, LONGEST, MOST_KEYS, ForKey, ForRuns, Grant
from privyseal.terms.keys import KeyPair
from privyseal.terms.parties import Actor
from privyseal.terms.requests import Approval

MOST_OPEN = 200
"""Grants of one Subscriber that are neither revoked nor over."""


_JWK = ("kty", "kid", "use", "alg", "crv", "n", "e", "x", "y")
"""What is kept of a public key (RFC 7517 4, RFC 7518 6)."""


def propose(seal: PrivySeal, actor: Actor, new: NewGrant) -> GrantShown:
    """Write down a grant that people may agree to; its issuer's keys are those of this moment.

    Raises NotFound for an unknown key, rule or member, BadInput for what is too wide or contradicts itself,
    NotPermitted for machines, and where the key asks nobody or its charter allows no grants.
    """
    seal.require_memory()
    permissions.require(actor, "request", actor.subscriber)
    permissions.require_key(actor, new.key)
    if actor.member.workload or actor.workload is not None:
        raise NotPermitted("A grant is proposed by a person.", hint="sign in as one who may ask for signatures")
    strange = [each for each in new.formats if each not in catalogue.BY_NAME]
    if strange or not new.formats:
        raise BadInput(f"No code format is named {(strange or [''])[0][:40]!r}.", hint=", ".join(catalogue.BY_NAME))
    with seal.records.reading(actor.subscriber) as tx:
        pair = keys.key_pair(tx, new.key)
        rule = trust.rule(tx, new.rule) if new.rule else None
        member = rule.member if rule is not None else parties.member(tx, new.member).id
    if not pair.in_order:
        raise NotPermitted(f"Key Pair {pair.name!r} asks nobody to agree, so it needs no grant.")
    if seal.signer.charter(pair.key_id).charter.grants is False:
        raise NotPermitted(f"The charter of Key Pair {pair.name!r} allows no grants.")
    now = seal.clock().replace(microsecond=0)
    begins = now if new.not_before is None else new.not_before
    if begins < now - timedelta(minutes=5) or begins > now + LONGEST:
        raise BadInput(f"A grant begins now, or within {LONGEST.days} days.")
    grant = _made(
        {
            "subscriber": actor.subscriber,
            "key": pair.name,
            "key_id": pair.key_id,
            "proposer": actor.member.id,
            "requester": member,
            "holder": ForKey(public_key=new.public_key) if rule is None else _runs(seal, rule, new),
            "formats": tuple(sorted(set(new.formats))),
            "mode": new.mode,
            "timestamp": new.timestamp,
            "publisher": new.publisher,
            "signatures": new.signatures,
            "not_before": begins,
            "until": begins + timedelta(hours=new.hours),
            "nonce": seal.draw(16),
        }
    )
    require_can_be_agreed(pair, grant)
    grant_id = "G-" + base64.b32encode(seal.draw(15)).decode("ascii").lower()
    with seal.records.writing(actor.subscriber) as tx:
        if records.open_count(tx, now) >= MOST_OPEN:
            raise Conflict(f"There are {MOST_OPEN} grants already.", hint="revoke those that are not needed")
        records.add(tx, grant_id, grant, now)
        _administered(seal, tx, actor, "grant proposed", records.get(tx, grant_id))
        kept = records.get(tx, grant_id)
        notices.put(tx, seal, notice("grant.proposed", kept))
        return shown(tx, kept, now)


def _made(fields: dict[str, object]) -> Grant:
    try:
        grant = msgspec.convert(fields, Grant)
    except msgspec.ValidationError as error:
        raise BadInput(f"This is no grant: {error}.") from None
    if len(grant.canonical()) > LARGEST_GRANT:
        raise BadInput(f"The grant has more than {LARGEST_GRANT} octets: its issuer has too many keys.")
    require_sound(grant)
    return grant


def _runs(seal: PrivySeal, rule: TrustRule, new: NewGrant) -> ForRuns:
    if new.public_key or new.member:
        raise BadInput("A grant is for the runs of a trust rule or for a public key, not for both.")
    known = issuers(seal)
    issuer = known.named(rule.issuer)
    if issuer is None:
        raise BadInput(f"This service no longer knows the issuer {rule.issuer[:200]!r}.")
    found = known.keys(issuer, Unread({}, {}, b"", b""))
    public = tuple({name: each[name] for name in _JWK if isinstance(each.get(name), str)} for each in found)
    if not 1 <= len(public) <= MOST_KEYS:
        raise BadInput(f"The issuer has {len(public)} public keys; a grant holds 1 to {MOST_KEYS}.")
    return ForRuns(
        platform=rule.platform,
        issuer=rule.issuer,
        conditions=tuple(sorted((dict(rule.conditions) | new.where).items())),
        keys=public,
        audience=issuer.audience,
    )


def require_can_be_agreed(pair: KeyPair, grant: Grant) -> None:
    """Refuse with NotPermitted a grant that could only wait in vain: too few others are left to agree."""
    outcome = agreement(grant, grant.digest(), (), (pair.approvers, pair.in_order)).outcome
    if isinstance(outcome, Refused):
        raise NotPermitted(outcome.why, hint="neither who proposes it nor who asks under it is counted")


def agree(seal: PrivySeal, actor: Actor, grant_id: str, approval: Approval) -> GrantShown:
    """Write down that somebody agrees; with the last of them the grant is in force.

    Agreeing again changes nothing. Raises VerificationFailed where the signature is not over this grant, NotPermitted
    where its signer is not asked, Denied where its time ran out or it was revoked, Conflict where it waits for nobody.
    """
    seal.require_memory()
    permissions.require(actor, "approve", actor.subscriber)
    now = seal.clock()
    with seal.records.writing(actor.subscriber) as tx:
        kept = records.get(tx, grant_id, locked=True)
        given = records.approvals_of(tx, grant_id)
        if approval in given:
            return shown(tx, kept, now)
        if kept.revoked is not None or now >= kept.grant.until:
            raise Denied(f"The grant {grant_id} is {_standing(kept, now)}; nobody can agree to it any more.")
        pair = keys.key_pair(tx, kept.grant.key)
        _check(actor, pair, kept, given, approval)
        records.agree(tx, grant_id, approval, now)
        _administered(seal, tx, actor, "grant agreed to", kept, f"as {approval.approver}")
        outcome = _so_far(pair, kept, (*given, approval))
        if isinstance(outcome, Granted):
            records.put_in_force(tx, grant_id, now)
            notices.put(tx, seal, notice("grant.agreed", kept))
        return shown(tx, records.get(tx, grant_id), now)


def _check(actor: Actor, pair: KeyPair, kept: Kept, given: Sequence[Approval], approval: Approval) -> None:
    people = (pair.approvers, pair.in_order)
    counted = agreement(kept.grant, kept.digest, given, people)
    outcome = counted.outcome
    if not isinstance(outcome, Waiting):
        raise Conflict(outcome.why if isinstance(outcome, Refused) else "Enough people agreed to the grant already.")
    approver = next((each for each in pair.approvers if each.name == approval.approver), None)
    if approver is None or approver.public_key != approval.public_key:
        raise NotPermitted(f"{approval.approver[:60]!r} with this public key is not an approver of {pair.name!r}.")
    if approval.stage != outcome.stage:
        raise Conflict(f"The approval is for stage {approval.stage + 1}, and the grant waits in {outcome.stage + 1}.")
    wrong = why_not(approval, approver, kept.digest, counted.earlier)
    if wrong is not None:
        raise VerificationFailed(f"{wrong} Nothing was written down.")
    if approver.member is not msgspec.UNSET and approver.member != actor.member.id:
        raise NotPermitted(f"The approval is {approver.name!r}'s, and somebody else handed it in.")
    if actor.member.id in (kept.grant.proposer, kept.grant.requester):
        raise NotPermitted("Whoever proposes a grant, or asks under it, does not agree to it.")
    if approver.name not in outcome.for_whom:
        raise NotPermitted(f"{approver.name!r} is not asked, or agreed already.", hint=", ".join(outcome.for_whom))


def revoke(seal: PrivySeal, actor: Actor, grant_id: str, asked: Revocation) -> GrantShown:
    """Let nothing come under a grant any more; revoking it again changes nothing but what the signer is told.

    With the act and an approver's signature over it the signer refuses the grant from then on, whatever becomes of the
    records; raises what it refuses, and the records say ``revoked`` all the same.
    """
    permissions.require(actor, "freeze", actor.subscriber)
    act = decode_act(asked.act) if asked.act else None
    with seal.records.writing(actor.subscriber) as tx:
        kept = records.get(tx, grant_id, locked=True)
        pair = keys.key_pair(tx, kept.grant.key)
        if records.revoke(tx, grant_id, actor.member.id, seal.clock()):
            _administered(seal, tx, actor, "grant revoked", kept, asked.reason)
            notices.put(tx, seal, notice("grant.revoked", kept))
    if act is not None:
        named = (act.key_id, act.grant) if isinstance(act, RevokeGrant) else None
        if not isinstance(act, RevokeGrant) or named != (pair.key_id, kept.digest.hex()) or asked.approval is None:
            raise BadInput("The act beside is not one that revokes this grant, or nobody signed it.")
        custody.carry_out(seal, pair, act, (asked.approval,))
    with seal.records.reading(actor.subscriber) as tx:
        return shown(tx, records.get(tx, grant_id), seal.clock())


def shown(tx: Transaction, kept: Kept, now: datetime) -> GrantShown:
    """Put together what is shown of a grant, within a transaction for its Subscriber."""
    grant, pair = kept.grant, keys.key_pair(tx, kept.grant.key)
    given = records.approvals_of(tx, kept.id)
    outcome = _so_far(pair, kept, given)
    return GrantShown(
        id=kept.id,
        grant=kept.canonical,
        digest=kept.digest.hex(),
        state=_standing(kept, now),
        used=kept.used,
        signatures=grant.signatures,
        created=kept.created,
        until=grant.until,
        approvals=tuple(given),
        approvers=pair.approvers,
        stages=pair.in_order,
        waiting_for=outcome.for_whom if isinstance(outcome, Waiting) else (),
        revoked_by=kept.revoked_by,
    )


def _so_far(pair: KeyPair, kept: Kept, given: Sequence[Approval]) -> Granted | Waiting | Refused:
    return agreement(kept.grant, kept.digest, given, (pair.approvers, pair.in_order)).outcome


def _standing(kept: Kept, now: datetime) -> GrantState:
    if kept.revoked is not None:
        return "revoked"
    if now >= kept.grant.until:
        return "over"
    if kept.used >= kept.grant.signatures:
        return "used up"
    return "proposed" if kept.agreed is None else "agreed"


def notice(topic: str, kept: Kept) -> Notice:
    """Say what became of a grant."""
    grant = kept.grant
    said = {"grant": kept.id, "key": grant.key, "requester": grant.requester, "proposer": grant.proposer}
    return Notice(topic=topic, data=said | {"signatures": grant.signatures, "used": kept.used, "until": grant.until})


def _administered(seal: PrivySeal, tx: Transaction, actor: Actor, what: str, kept: Kept, why: str = "") -> None:
    said = f"{kept.digest.hex()} {why}".strip()
    announce.administered(seal, tx, Administered(actor=actor.member.id, what=what, subject=kept.id, detail=said[:2000]))
