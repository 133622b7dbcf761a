"""Who still has to agree to a proposed act, and how one to which enough people agreed is carried out, exactly once.

The acts are written down (``proposals.py``), then agreed to, then carried out by the signer (``custody.py``). A crash
may come between any two of these: the duties take up what is agreed to, and what the signer has done already is seen
by its charter.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

import msgspec

from privyseal.access.quorum import Granted, Waiting
from privyseal.compliance.statements_of_lives import KeyStateChanged
from privyseal.errors import Conflict, NotFound, NotPermitted, PrivySealError, Unavailable, VerificationFailed
from privyseal.pki import csr
from privyseal.records import key_acts, keys, statements
from privyseal.records.database import Transaction
from privyseal.records.key_acts import Proposed
from privyseal.signing import certificate_requests, custody
from privyseal.signing.forms_of_keys import ActShown, Change, LifeShown, Side
from privyseal.signing.instance import PrivySeal
from privyseal.strongroom.acts import (
    Act,
    Amend,
    Destroy,
    Freeze,
    Generate,
    RequestCertificate,
    Unfreeze,
    act_digest,
    decode_act,
)
from privyseal.strongroom.approvals import Tally, genuine, tally, why_not
from privyseal.strongroom.messages import SignerState
from privyseal.terms.canonical import canonical_json
from privyseal.terms.keys import Approver, KeyPair, Stage, in_order
from privyseal.terms.life import KeyState, Life
from privyseal.terms.parties import Actor
from privyseal.terms.requests import Approval

_ONE_IS_ENOUGH = (Freeze,)


class _Asked(msgspec.Struct, frozen=True):
    """Some of those who must agree, and how far they do."""

    side: Side
    tally: Tally


# -- who must agree ----------------------------------------------------------------------------------------------------
def _asked(act: Act, state: SignerState | None, pair: KeyPair | None, approvals: list[Approval]) -> tuple[_Asked, ...]:
    """Return the operators, and for a key that is there its own approvers, each with what they said.

    A request for a certificate is a use of the key, which is for its own approvers alone.
    """
    digest = act_digest(canonical_json(act))
    found = []
    if state is not None and not isinstance(act, RequestCertificate):
        stages = in_order(state.operator_quorum, msgspec.UNSET)
        found.append(_side("operators", state.operators, stages, (digest, approvals)))
    if pair is not None and not isinstance(act, Generate):
        found.append(_side("approvers", pair.approvers, pair.in_order, (digest, approvals)))
    return tuple(found)


def _side(
    who: str, people: tuple[Approver, ...], stages: tuple[Stage, ...], given: tuple[bytes, list[Approval]]
) -> _Asked:
    counted = tally(given[1], people, stages, given[0])
    outcome = counted.outcome
    waiting = outcome if isinstance(outcome, Waiting) else None
    side = Side(
        who="operators" if who == "operators" else "approvers",
        people=people,
        stages=stages,
        waiting_for=waiting.for_whom if waiting else (),
        missing=waiting.missing if waiting else 0,
    )
    return _Asked(side, counted)


def _enough(act: Act, asked: tuple[_Asked, ...], approvals: list[Approval]) -> bool:
    if isinstance(act, _ONE_IS_ENOUGH):
        digest = act_digest(canonical_json(act))
        anybody = any(genuine(approvals, each.side.people, digest) for each in asked)
        return anybody or any(not each.side.stages for each in asked)
    return all(isinstance(each.tally.outcome, Granted) for each in asked)


def require_asked(tx: Transaction, state: SignerState, actor: Actor, proposed: Proposed, approval: Approval) -> None:
    """Refuse an approval that does not count: of a stranger, over something else, twice, or handed in by another.

    ``state`` is the signer's, which names the operators; it is asked for before the transaction, not within.
    """
    act = decode_act(proposed.canonical)
    pair = None if isinstance(act, Generate) else keys.key_pair(tx, proposed.key_name)
    asked = _asked(act, state, pair, key_acts.approvals_of(tx, proposed.id))
    digest, trouble = act_digest(proposed.canonical), ""
    for each in asked:
        known = {(one.name, one.public_key): one for one in each.side.people}
        approver = known.get((approval.approver, approval.public_key))
        if approver is None:
            continue
        outcome = each.tally.outcome
        stage = outcome.stage if isinstance(outcome, Waiting) and not isinstance(act, _ONE_IS_ENOUGH) else 0
        earlier = each.tally.earlier if stage else b""
        trouble = trouble or (why_not(approval, approver, digest, earlier) or "")
        if trouble or approval.stage != stage:
            trouble = trouble or f"The approval is for stage {approval.stage + 1}, and the act waits in {stage + 1}."
            continue
        if approver.member is not msgspec.UNSET and approver.member != actor.member.id:
            raise NotPermitted(f"The approval is {approver.name!r}'s, and somebody else handed it in.")
        if isinstance(act, _ONE_IS_ENOUGH) or approver.name in each.side.waiting_for:
            return
        trouble = f"{approver.name!r} is not asked now, or agreed already."
    if trouble:
        raise VerificationFailed(f"{trouble} Nothing was written down.")
    raise NotPermitted(
        f"{approval.approver[:60]!r} with this public key is neither an operator nor an approver of this key.",
        hint=", ".join(name for each in asked for name in each.side.waiting_for) or None,
    )


# -- carrying out ------------------------------------------------------------------------------------------------------
def settle(seal: PrivySeal, subscriber: str, act_id: str) -> ActShown:
    """Carry out an act if enough people agree, and show how it stands; without them nothing is written.

    Where the signer does not answer it stays agreed to, and the duties carry it out.
    """
    with seal.records.reading(subscriber) as tx:
        proposed = key_acts.get(tx, act_id)
        approvals = key_acts.approvals_of(tx, act_id)
        pair = _pair(tx, proposed)
    if proposed.state not in key_acts.OPEN:
        return show(seal, subscriber, act_id)
    act = decode_act(proposed.canonical)
    if proposed.state == "waiting":
        if not _enough(act, _asked(act, seal.signer.health(), pair, approvals), approvals):
            return show(seal, subscriber, act_id)
        proposed = _mark(seal, proposed, "agreed")
    try:
        outcome = _carry_out(seal, proposed, act, pair, approvals)
    except Unavailable:
        return show(seal, subscriber, act_id)
    except PrivySealError as error:
        _mark(seal, proposed, "refused", f"{error.code}: {error.detail}"[:2000])
        raise
    _mark(seal, proposed, "done", outcome)
    return show(seal, subscriber, act_id)


def _carry_out(seal: PrivySeal, proposed: Proposed, act: Act, pair: KeyPair | None, approvals: list[Approval]) -> str:
    """Have the signer do it, unless it has: what was lost is then only written down. Return what came of it."""
    agreed = custody.Agreed(proposed.proposer, proposed.id, _becomes(proposed), proposed.why)
    if isinstance(act, Generate):
        if pair is None:
            custody.generate(seal, act, approvals, agreed)
        return ""
    if pair is not None and isinstance(act, RequestCertificate):
        made = certificate_requests.carry_out(seal, proposed.proposer, pair, act, approvals)
        return csr.pem(made).decode("ascii")
    if pair is None or not isinstance(act, Amend | Freeze | Unfreeze | Destroy):
        raise Conflict("The act is not one that people propose.")
    known = _as_the_signer_has_it(seal, pair)
    if known is None or _has_effect(act, known):
        custody.catch_up(seal, known or pair, agreed)
    else:
        custody.carry_out(seal, pair, act, approvals, agreed)
    return ""


def _as_the_signer_has_it(seal: PrivySeal, pair: KeyPair) -> KeyPair | None:
    """Return the key as its charter has it; None where it was destroyed."""
    try:
        return seal.signer.charter(pair.key_id).key_pair
    except NotFound:
        return None


def _has_effect(act: Amend | Freeze | Unfreeze | Destroy, known: KeyPair) -> bool:
    """Tell whether the charter is already as the act would make it: it was done, or there was nothing to do."""
    if isinstance(act, Freeze | Unfreeze):
        return known.frozen == isinstance(act, Freeze)
    if isinstance(act, Amend):
        same = (known.approvers, known.quorum, known.stages) == (act.approvers, act.quorum, act.stages)
        return same and act.limits is not msgspec.UNSET and known.limits == (act.limits or msgspec.UNSET)
    return False


def _becomes(proposed: Proposed) -> KeyState | None:
    return {"generate": KeyState.GENERATED, "enable": KeyState.ACTIVE, "destroy": KeyState.DESTROYED}.get(
        proposed.purpose
    )


def _pair(tx: Transaction, proposed: Proposed) -> KeyPair | None:
    with suppress(NotFound):
        return keys.key_pair(tx, proposed.key_name)
    return None


def _mark(seal: PrivySeal, proposed: Proposed, state: str, outcome: str = "") -> Proposed:
    """Write down how an act stands; what it did was announced by who did it."""
    with seal.records.writing(proposed.subscriber) as tx:
        key_acts.move(tx, proposed, state, seal.clock(), outcome)
    return msgspec.structs.replace(proposed, state=state, outcome=outcome)


def follow(seal: PrivySeal) -> int:
    """Carry out what is agreed to and was cut short, and end what nobody agreed to in time; return how many ended."""
    with seal.records.reading_all_subscribers() as connection:
        unfinished = key_acts.open_of_all_subscribers(connection)
    ended = 0
    for each in unfinished:
        with suppress(PrivySealError):
            if each.state == "agreed":
                ended += settle(seal, each.subscriber, each.id).state == "done"
            elif each.expires <= seal.clock():
                _mark(seal, each, "expired")
                ended += 1
    return ended


# -- what is shown -----------------------------------------------------------------------------------------------------
def show(seal: PrivySeal, subscriber: str, act_id: str) -> ActShown:
    """Show an act: its octets, who agreed, and whom it waits for as far as the signer says who that is."""
    state = _signer_state(seal)
    with seal.records.reading(subscriber) as tx:
        return shown(tx, key_acts.get(tx, act_id), state, seal.clock())


def listed(seal: PrivySeal, subscriber: str) -> list[ActShown]:
    """List the acts of a Subscriber, the newest first."""
    state = _signer_state(seal)
    with seal.records.reading(subscriber) as tx:
        return [shown(tx, each, state, seal.clock()) for each in key_acts.listed(tx)]


def _signer_state(seal: PrivySeal) -> SignerState | None:
    with suppress(Unavailable):
        return seal.signer.health()
    return None


def shown(tx: Transaction, proposed: Proposed, state: SignerState | None, now: datetime) -> ActShown:
    """Put together what is shown of an act, within a transaction for its Subscriber."""
    act = decode_act(proposed.canonical)
    approvals = key_acts.approvals_of(tx, proposed.id)
    asked = _asked(act, state, _pair(tx, proposed), approvals) if proposed.state in key_acts.OPEN else ()
    late = proposed.state == "waiting" and now >= proposed.expires
    return msgspec.convert(
        {name: getattr(proposed, name) for name in ("id", "subscriber", "why", "proposer", "created", "expires")}
        | {
            "key": proposed.key_name,
            "purpose": proposed.purpose,
            "act": proposed.canonical,
            "digest": act_digest(proposed.canonical).hex(),
            "state": "expired" if late else proposed.state,
            "outcome": proposed.outcome,
            "approvals": tuple(approvals),
            "sides": tuple(each.side for each in asked),
            "one_is_enough": isinstance(act, _ONE_IS_ENOUGH),
        },
        ActShown,
        from_attributes=True,
    )


def life_shown(tx: Transaction, found: Life) -> LifeShown:
    """Show how a key stands, what it was before, and which acts wait for people."""
    history = tuple(
        Change(
            was="" if each.matter.was is None else each.matter.was,
            becomes=each.matter.becomes,
            by=each.matter.by,
            at=each.at,
            because=each.matter.because,
            act=each.matter.act,
        )
        for each in statements.of_slot(tx, f"key-state:{found.name}")
        if isinstance(each.matter, KeyStateChanged)
    )
    waiting = tuple(each.id for each in key_acts.listed(tx, found.name) if each.state in key_acts.OPEN)
    return LifeShown(life=found, history=history, waiting=waiting)
