"""What stops harm takes one person and one command; what lets signing go on again takes two different people.

A freeze is written down first and holds from then on: at submission, at approval and once more right before the intent
to sign is logged. The signer's own freeze of a key follows, at once or when the signer is back (``follow``). So a key
is frozen while the signer is down, and stays frozen if the records are lost.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Annotated

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Meta
from sqlalchemy import Connection

from privyseal.access import permissions
from privyseal.compliance.statements import Administered
from privyseal.errors import Conflict, Denied, NotFound, NotPermitted, PrivySealError, Unavailable, VerificationFailed
from privyseal.records import freezes, keys, parties, policies
from privyseal.records.database import Transaction
from privyseal.signing import announce, custody, life, notices
from privyseal.signing.case import Case
from privyseal.signing.forms_of_requests import Agreement
from privyseal.signing.instance import PrivySeal
from privyseal.strongroom.acts import Freeze, Unfreeze
from privyseal.terms.canonical import canonical_json, tagged_digest
from privyseal.terms.freezes import Follows, Frozen, What
from privyseal.terms.life import KeyState
from privyseal.terms.parties import Actor, Role
from privyseal.terms.requests import Approval, Dossier, approved_octets

THAW_TAG = "privyseal/thaw/v1"
"""Domain tag of a thaw's digest: what overseers sign."""
AGREE = 2
"""How many different people a thaw takes."""
MOST_SHOWN = 1000
"""Freezes that are listed, the newest first."""
_LONGEST_REASON = 500
_ACROSS = frozenset({Role.OPERATOR, Role.SECURITY_OFFICER})


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What somebody wants frozen, and why."""

    kind: What
    name: Annotated[str, Meta(min_length=1, max_length=200)]
    reason: Annotated[str, Meta(min_length=3, max_length=_LONGEST_REASON)]


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A freeze, and who agrees that it is thawed."""

    frozen: Frozen
    agreed: tuple[str, ...] = ()


# -- what it stops -----------------------------------------------------------------------------------------------------
def require_unfrozen(held: Sequence[Frozen], key: str, names: Sequence[str] = ()) -> None:
    """Raise Denied where a key, one of the policies that allow the request, or the Subscriber itself is frozen."""
    found = _frozen(held, key, names)
    if found is not None:
        raise Denied(sentence(found), hint="it signs again after two people agreed to thaw it: privyseal thaw")


def unfrozen(held: Sequence[Frozen], names: Sequence[str]) -> tuple[str, ...]:
    """Return those of the policies that are not frozen; raise Denied where all that would allow it are."""
    left = tuple(name for name in names if _frozen(held, "", (name,)) is None)
    if not left:
        require_unfrozen(held, "", names)
    return left


def sentence(found: Frozen) -> str:
    """Say what is frozen, by whom, since when and why."""
    what = {"key": "The Key Pair", "policy": "The policy", "subscriber": "The Subscriber"}[found.kind]
    why = found.reason.rstrip(".")
    return f"{what} {found.name!r} was frozen by {found.frozen_by} at {found.at:%Y-%m-%d %H:%M:%S} UTC: {why}."


def refuse(seal: PrivySeal, cases: Sequence[Case], connection: Connection) -> None:
    """Give every case whose key, policy or Subscriber is frozen its refusal, ``denied``.

    One question for the whole batch, whose answer is mostly empty.
    """
    holding = freezes.holding_of_all_subscribers(connection)
    for case in cases if holding else ():
        mine = [each for each in holding if each.subscriber == case.dossier.subscriber]
        found = _frozen(mine, case.request.key, _governing(seal, case.dossier) if mine else ())
        if found is not None and case.refused is None:
            case.refused = (Denied.code, sentence(found))


def _governing(seal: PrivySeal, dossier: Dossier) -> tuple[str, ...]:
    with seal.records.reading(dossier.subscriber) as tx:
        return policies.governing(tx, dossier.id)


def _frozen(held: Sequence[Frozen], key: str, names: Sequence[str]) -> Frozen | None:
    for each in held:
        named = {"key": (key,), "policy": names, "subscriber": (each.subscriber,)}[each.kind]
        if each.name in named:
            return each
    return None


# -- freezing ----------------------------------------------------------------------------------------------------------
def freeze(seal: PrivySeal, actor: Actor, asked: Asked) -> Frozen:
    """Freeze a key, a policy or a Subscriber from now on; what is frozen already is returned as it was frozen.

    Raises NotFound where there is no such key or Subscriber, and for every Subscriber but the Actor's own, except for
    the operator's people.
    """
    permissions.require(actor, "freeze", actor.subscriber)
    subscriber = _whose(seal, actor, asked)
    try:
        with seal.records.writing(subscriber) as tx:
            frozen, new = _write_down(seal, tx, actor, asked)
    except NotFound:
        if asked.kind != "subscriber":
            raise
        raise NotFound(f"There is no Subscriber named {asked.name!r}.") from None
    return follow_one(seal, frozen) if new else frozen


def _whose(seal: PrivySeal, actor: Actor, asked: Asked) -> str:
    if asked.kind != "subscriber" or asked.name == actor.subscriber:
        return actor.subscriber
    if actor.subscriber == seal.service.operator and _ACROSS & set(actor.member.roles):
        return asked.name
    raise NotFound(f"There is no Subscriber named {asked.name!r}.")


def _write_down(seal: PrivySeal, tx: Transaction, actor: Actor, asked: Asked) -> tuple[Frozen, bool]:
    parties.subscriber(tx)
    for each in freezes.holding(tx):
        if (each.kind, each.name) == (asked.kind, asked.name):
            return each, False
    frozen = Frozen(
        id="F-" + base64.b32encode(seal.draw(15)).decode("ascii").lower(),
        subscriber=tx.subscriber,
        kind=asked.kind,
        name=asked.name,
        reason=asked.reason,
        frozen_by=actor.member.id,
        at=seal.clock(),
        signer="freeze" if asked.kind == "key" else "none",
    )
    if asked.kind == "key":
        pair = keys.key_pair(tx, asked.name)
        keys.replace_key_pair(tx, msgspec.structs.replace(pair, frozen=True))
        if life.of(tx, pair.name).state is KeyState.ACTIVE:
            life.move(seal, tx, pair.name, KeyState.SUSPENDED, frozen.reason, actor, act=frozen.id)
    freezes.add(tx, frozen)
    _administered(seal, tx, actor, f"{frozen.kind} frozen", frozen, frozen.reason)
    notices.put(tx, seal, notices.frozen(frozen))
    return frozen, True


def _administered(seal: PrivySeal, tx: Transaction, actor: Actor, what: str, frozen: Frozen, detail: str) -> None:
    act = Administered(actor=actor.member.id, what=what, subject=frozen.name, detail=f"{frozen.id}: {detail}")
    announce.administered(seal, tx, act)


# -- thawing -----------------------------------------------------------------------------------------------------------
def digest(frozen: Frozen) -> bytes:
    """Return what an overseer signs to agree that this very freeze is thawed, 32 octets."""
    said = {"freeze": frozen.id, "subscriber": frozen.subscriber, "kind": frozen.kind, "name": frozen.name}
    return tagged_digest(THAW_TAG, canonical_json(said))


def agree(seal: PrivySeal, actor: Actor, freeze_id: str, given: Agreement) -> Standing:
    """Write down that one more person agrees; with the second one it is thawed. Agreeing again changes nothing.

    A member agrees in a session of its own, never by a token alone; whoever hands in an overseer's signature need not
    be one. Two members count, or two overseers, not one of each: nobody knows that they are not the same person.
    Raises NotPermitted or VerificationFailed for a word that does not count, Conflict where it was thawed already.
    """
    permissions.require(actor, "thaw", actor.subscriber)
    with seal.records.writing(actor.subscriber) as tx:
        frozen = freezes.get(tx, freeze_id)
        person = _member(actor) if given.approval is None else _overseer(seal, frozen, given.approval)
        known = freezes.agreed(tx, frozen.id)
        if person in known:
            return Standing(frozen=frozen, agreed=tuple(known))
        if frozen.thawed is not None:
            raise Conflict(f"{frozen.id} was thawed already.", hint="nothing is left to agree to")
        document = b"" if given.approval is None else msgspec.json.encode(given.approval)
        freezes.agree(tx, frozen.id, person, seal.clock(), document)
        agreed = [*known, person]
        alike = [each for each in agreed if each.partition(" ")[0] == person.partition(" ")[0]]
        if len(alike) < AGREE:
            _administered(seal, tx, actor, "thaw proposed", frozen, person)
            return Standing(frozen=frozen, agreed=tuple(agreed))
        frozen = _thaw(seal, tx, frozen)
        _administered(seal, tx, actor, f"{frozen.kind} thawed", frozen, " and ".join(alike))
        notices.put(tx, seal, notices.thawed(frozen))
    return Standing(frozen=follow_one(seal, frozen), agreed=tuple(agreed))


def _thaw(seal: PrivySeal, tx: Transaction, frozen: Frozen) -> Frozen:
    now = seal.clock()
    told = frozen.signer if frozen.kind != "key" else "thaw"
    freezes.thaw(tx, frozen, now, told)
    if frozen.kind == "key":
        pair = keys.key_pair(tx, frozen.name)
        keys.replace_key_pair(tx, msgspec.structs.replace(pair, frozen=False))
    return msgspec.structs.replace(frozen, thawed=now, signer=told)


def _member(actor: Actor) -> str:
    if not actor.session or actor.workload is not None or actor.member.workload:
        raise NotPermitted(
            "A thaw is agreed to by people: a member who has signed in, or an overseer's signature.",
            hint="privyseal login, or privyseal thaw --name NAME --key FILE",
        )
    return f"member {actor.member.id}"


def _overseer(seal: PrivySeal, frozen: Frozen, approval: Approval) -> str:
    if (approval.approver, approval.public_key) not in {(each.name, each.public_key) for each in seal.overseers}:
        raise NotPermitted(
            f"{approval.approver[:60]!r} with this public key is not an overseer of this service.",
            hint="overseers stand in serve.toml, [[gates.overseers]]",
        )
    wanted = digest(frozen)
    if approval.request_digest != wanted:
        raise VerificationFailed("The signature is over another freeze's digest; nothing was written down.")
    try:
        public = Ed25519PublicKey.from_public_bytes(approval.public_key)
        public.verify(approval.signature, approved_octets(wanted))
    except (InvalidSignature, ValueError) as error:
        raise VerificationFailed("The signature does not verify; nothing was written down.") from error
    return f"overseer {approval.approver}"


# -- the signer follows ------------------------------------------------------------------------------------------------
def follow(seal: PrivySeal) -> int:
    """Tell the signer of the freezes and thaws that it does not know of yet; return how many it knows of now."""
    with seal.records.reading_all_subscribers() as connection:
        owed = freezes.owed_of_all_subscribers(connection)
    return sum(follow_one(seal, each).signer not in ("freeze", "thaw") for each in owed)


def follow_one(seal: PrivySeal, frozen: Frozen) -> Frozen:
    """Have the signer do what the records say already; where it cannot now, a duty tries again.

    What the signer's own rules forbid (an approver must agree to its freeze, a quorum to its thaw) is noted and not
    tried again: each try would be an entry in the log.
    """
    if frozen.signer not in ("freeze", "thaw"):
        return frozen
    becomes: Follows = "frozen" if frozen.signer == "freeze" else "thawed"
    try:
        _tell_signer(seal, frozen)
    except (Unavailable, Conflict):
        return frozen
    except PrivySealError:
        becomes = "refused"
    with suppress(Conflict, Unavailable), seal.records.writing(frozen.subscriber) as tx:
        freezes.follow(tx, frozen, becomes)
        if becomes == "thawed":
            _wake(seal, tx, frozen)
        return msgspec.structs.replace(frozen, signer=becomes)
    return frozen


def _wake(seal: PrivySeal, tx: Transaction, frozen: Frozen) -> None:
    """Make a key active again that this freeze suspended, unless another freeze holds or it was moved since."""
    held = any((each.kind, each.name) == ("key", frozen.name) for each in freezes.holding(tx))
    last = life.history(tx, frozen.name)[-1:]
    if not held and last and (last[0].becomes, last[0].act) == (KeyState.SUSPENDED, frozen.id):
        life.move(seal, tx, frozen.name, KeyState.ACTIVE, f"{frozen.id} was thawed", act=frozen.id)


def _tell_signer(seal: PrivySeal, frozen: Frozen) -> None:
    with seal.records.reading(frozen.subscriber) as tx:
        pair = keys.key_pair(tx, frozen.name)
    charter = seal.signer.charter(pair.key_id).charter
    wanted = frozen.signer == "freeze"
    if charter.frozen == wanted:
        return
    kind = Freeze if wanted else Unfreeze
    act = kind(
        expires_at=(seal.clock() + custody.LIFE_OF_AN_ACT + timedelta(seconds=1)).replace(microsecond=0),
        key_id=pair.key_id,
        version=charter.version,
        reason=frozen.reason,
    )
    custody.carry_out(seal, pair, act)
