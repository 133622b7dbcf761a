"""A key's charter is amended: who may agree, by which key or passkey, and how many of them must.

The signer judges the act by the rules that hold until then: the operators' quorum, and the key's own approvers. What is
proposed here is only refused earlier, and in fewer words, where it could not be counted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec
from msgspec import UNSET, UnsetType

from privyseal.access import permissions, sessions
from privyseal.errors import Conflict
from privyseal.records import keys, parties
from privyseal.signing import custody, voice
from privyseal.signing.instance import PrivySeal
from privyseal.signing.people import ApproverKey, approver_keys
from privyseal.strongroom.acts import Amend
from privyseal.strongroom.charters import check_charter
from privyseal.terms.keys import Approver, KeyPair, Passkey, Stage
from privyseal.terms.parties import Actor, Member, Role
from privyseal.terms.requests import Approval


class Rules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a charter is to say from now on."""

    subscriber: str
    key: str
    """The Key Pair by its name."""
    approvers: tuple[Approver, ...]
    quorum: int
    """How many people must agree, over all stages."""
    stages: tuple[Stage, ...] | UnsetType = UNSET


def proposal(seal: PrivySeal, rules: Rules) -> tuple[KeyPair, Amend]:
    """Return the Key Pair and the act that would change its charter: what operators and approvers agree to.

    Raises NotPermitted for rules that could not be counted or satisfied.
    """
    with seal.records.reading(rules.subscriber) as tx:
        pair = keys.key_pair(tx, rules.key)
    check_charter(rules.approvers, rules.quorum, rules.stages, rehearsal=pair.rehearsal)
    act = Amend(
        expires_at=(seal.clock() + custody.LIFE_OF_AN_ACT).replace(microsecond=0),
        key_id=pair.key_id,
        version=seal.signer.charter(pair.key_id).charter.version,
        approvers=rules.approvers,
        quorum=rules.quorum,
        stages=rules.stages,
    )
    return pair, act


def amend(seal: PrivySeal, actor: Actor | None, rules: Rules, approvals: Sequence[Approval] = ()) -> KeyPair:
    """Have the signer keep other rules for a key, and return the Key Pair as it is then; None acts at the machine.

    Raises NotPermitted where the old rules ask for approvals that are not there, Conflict where the charter was amended
    meanwhile.
    """
    if actor is not None:
        permissions.require(actor, "manage-keys", rules.subscriber)
        sessions.require_recent(actor, seal.clock())
    pair, act = proposal(seal, rules)
    return custody.carry_out(seal, pair, act, approvals, custody.Agreed(voice.of(actor)))


def by_passkeys(seal: PrivySeal, subscriber: str, names: Sequence[str]) -> tuple[Approver, ...]:
    """Make approvers of members, by id or name, with all the passkeys they have enrolled; Conflict where one has none.

    Who has several passkeys stands there several times, and counts as one person.
    """
    with seal.records.reading(subscriber) as tx:
        members = [parties.member(tx, name) for name in names]
    return tuple(each for member in members for each in _of_member(seal, member))


def approvers_of(member: Member, known: Sequence[ApproverKey]) -> tuple[Approver, ...]:
    """Return a member's passkeys in the form that a charter has."""
    role = Role.SECURITY_OFFICER if Role.SECURITY_OFFICER in member.roles else Role.APPROVER
    return tuple(
        Approver(
            name=member.name if place == 0 else f"{member.name} ({place + 1})",
            public_key=each.public_key,
            role=role,
            member=member.id,
            passkey=Passkey(
                rp_id=each.rp_id, origins=each.origins, credential=hashlib.sha256(each.credential).hexdigest()
            ),
        )
        for place, each in enumerate(known)
    )


def _of_member(seal: PrivySeal, member: Member) -> tuple[Approver, ...]:
    known = approver_keys(seal, member.subscriber, member.id)
    if not known:
        raise Conflict(
            f"{member.name!r} has no passkey yet.", hint="they enrol one at /console/security, behind their invitation"
        )
    return approvers_of(member, known)
