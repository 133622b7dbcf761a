"""Acts on keys are proposed, agreed to by the people who must, and carried out as soon as there are enough of them.

What is written down here is what people are shown; whether they are enough the signer judges by itself, from its own
settings and charter. What stops a key, ``suspend`` and ``retire``, holds in the records from the moment it is proposed;
the signer follows with the first operator or approver who agrees. All else changes nothing before it is agreed to.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from privyseal.access import permissions, sessions
from privyseal.compliance.statements import Administered
from privyseal.errors import BadInput, Conflict, Denied, NotFound, NotPermitted
from privyseal.records import freezes, key_acts, keys, parties
from privyseal.records.database import Transaction
from privyseal.records.key_acts import Proposed
from privyseal.signing import agreed_acts, announce, certificate_requests, enrol, life, notices
from privyseal.signing.amending import by_passkeys
from privyseal.signing.certificate_requests import Wishes
from privyseal.signing.forms_of_keys import ActShown, NewAct, NewKey
from privyseal.signing.instance import PrivySeal
from privyseal.signing.notices import Notice
from privyseal.signing.subscribers import NAME
from privyseal.strongroom.acts import Act, Amend, Destroy, Freeze, Generate, Unfreeze
from privyseal.strongroom.charters import check_charter
from privyseal.terms.canonical import canonical_json
from privyseal.terms.keys import Charter, KeyPair
from privyseal.terms.life import KeyState
from privyseal.terms.parties import Actor, Role
from privyseal.terms.requests import Approval
from privyseal.terms.signatures import SCHEMES

MOST_OPEN = 100
"""Acts of one Subscriber that wait for people; who has more withdraws some."""
HOURS_OF_A_REQUEST = 7 * 24
"""Hours for which a request for a certificate waits for the key's people."""
_STOPS = {"suspend": KeyState.SUSPENDED, "retire": KeyState.RETIRED}
_ENABLED_FROM = (KeyState.CERTIFIED, KeyState.SUSPENDED, KeyState.RETIRED)
_ACROSS = frozenset({Role.OPERATOR, Role.SECURITY_OFFICER})


# -- proposing ---------------------------------------------------------------------------------------------------------
def propose_key(seal: PrivySeal, actor: Actor, new: NewKey) -> ActShown:
    """Propose that a Key Pair is born; it is planned from then on. Where nobody is asked it is born at once.

    Raises BadInput or NotPermitted for a charter that could not be counted, Conflict where the name is taken.
    """
    _require(seal, actor, "manage-keys")
    if not NAME.match(new.name):
        raise BadInput(f"{new.name[:63]!r} cannot name a key.", hint="lower-case letters, digits and dashes")
    if new.scheme not in SCHEMES:
        raise BadInput(f"No scheme is called {new.scheme!r}.", hint="known: " + ", ".join(SCHEMES))
    rehearsal = seal.signer.health().rehearsal
    people = (*new.approvers, *by_passkeys(seal, actor.subscriber, new.members))
    check_charter(people, new.quorum, rehearsal=rehearsal)
    now = seal.clock()
    with seal.records.writing(actor.subscriber) as tx:
        keys.require_free(tx, new.name)
        act = Generate(
            subscriber=actor.subscriber,
            key=new.name,
            scheme=new.scheme,
            approvers=people,
            quorum=new.quorum,
            rehearsal=rehearsal,
            tag_key_sha256=enrol.tag_key_digest(parties.subscriber(tx)),
            limits=new.limits,
            asleep=msgspec.UNSET if rehearsal else True,
            expires_at=_expires(now, new.hours),
        )
        proposed = _write(seal, tx, actor, (new.name, "generate"), act, new.reason)
        _announce(seal, tx, actor, proposed, KeyState.PLANNED)
    return agreed_acts.settle(seal, actor.subscriber, proposed.id)


def propose(seal: PrivySeal, actor: Actor, key_name: str, new: NewAct) -> ActShown:
    """Propose what is to become of a key; what stops it holds at once. Where nobody is asked it is carried out.

    Raises NotPermitted where the key's state does not allow it, Denied where a freeze holds it, Conflict where the same
    is proposed already; Unavailable where the signer does not say what the charter is, and what stops the key holds.
    """
    _require(seal, actor, "freeze" if new.purpose == "suspend" else "manage-keys")
    if new.limits is not None and new.purpose != "limit":
        raise BadInput("Limits are proposed by themselves.", hint="privyseal key limit")
    if new.purpose in _STOPS:
        _stop(seal, actor, key_name, new)
    elif new.purpose == "destroy":
        plan = _given_up(seal, actor, key_name, new)
        if plan is not None:
            return agreed_acts.show(seal, actor.subscriber, plan)
    with seal.records.reading(actor.subscriber) as tx:
        pair = keys.key_pair(tx, key_name)
        _require_fit(tx, pair, new)
    charter = seal.signer.charter(pair.key_id).charter
    act = _act(new, charter, seal.clock())
    with seal.records.writing(actor.subscriber) as tx:
        proposed = _write(seal, tx, actor, (key_name, new.purpose), act, new.reason)
        _announce(seal, tx, actor, proposed, None)
    return agreed_acts.settle(seal, actor.subscriber, proposed.id)


def propose_request(seal: PrivySeal, actor: Actor, wishes: Wishes) -> ActShown:
    """Propose that a request for a certificate is signed with a key; its own approvers agree, or nobody is asked.

    What came of it, once enough of them do, is the act's outcome. Raises what ``certificate_requests.proposal`` does,
    and Conflict where the same is proposed already.
    """
    _require(seal, actor, "order-certificate")
    permissions.require_key(actor, wishes.key)
    pair, act = certificate_requests.proposal(seal, wishes)
    act = msgspec.structs.replace(act, expires_at=_expires(seal.clock(), HOURS_OF_A_REQUEST))
    with seal.records.writing(actor.subscriber) as tx:
        proposed = _write(seal, tx, actor, (pair.name, "certify"), act, "a certificate is asked for")
        _announce(seal, tx, actor, proposed, None)
    return agreed_acts.settle(seal, actor.subscriber, proposed.id)


def _stop(seal: PrivySeal, actor: Actor, key_name: str, new: NewAct) -> None:
    """Write down that a key is stopped; where it is already nothing is written."""
    becomes = _STOPS[new.purpose]
    with seal.records.writing(actor.subscriber) as tx:
        was = life.of(tx, key_name).state
        if not (becomes is KeyState.SUSPENDED and was is not KeyState.ACTIVE):
            life.move(seal, tx, key_name, becomes, new.reason, actor)


def _given_up(seal: PrivySeal, actor: Actor, key_name: str, new: NewAct) -> str | None:
    """Give up a plan, of which no key was born, with the act that waits for it; return that act's id."""
    with seal.records.writing(actor.subscriber) as tx:
        if life.of(tx, key_name).state is not KeyState.PLANNED:
            return None
        acts = key_acts.listed(tx, key_name)
        for each in acts:
            if each.state == "agreed":
                raise Conflict(
                    f"{each.id} is agreed to, and the key is being born.", hint="destroy it when it is there"
                )
            if each.state == "waiting":
                key_acts.move(tx, each, "withdrawn", seal.clock(), f"by {actor.member.id}")
        life.move(seal, tx, key_name, KeyState.DESTROYED, new.reason, actor)
    return acts[0].id


def _require_fit(tx: Transaction, pair: KeyPair, new: NewAct) -> None:
    stands = life.of(tx, pair.name).state
    if stands is KeyState.DESTROYED:
        raise NotPermitted(f"Key Pair {pair.name!r} was destroyed.", hint="propose a new key under another name")
    if new.purpose != "enable":
        return
    if stands not in _ENABLED_FROM and not (stands is KeyState.ACTIVE and pair.frozen):
        why = "already" if stands is KeyState.ACTIVE else "and has no accepted certificate"
        raise NotPermitted(
            f"Key Pair {pair.name!r} is {stands} {why}; it cannot be enabled.", hint="privyseal key show"
        )
    holding = [each.id for each in freezes.holding(tx) if (each.kind, each.name) == ("key", pair.name)]
    if holding:
        raise Denied(f"Key Pair {pair.name!r} is frozen by {holding[0]}.", hint=f"privyseal thaw {holding[0]}")


def _act(new: NewAct, charter: Charter, now: datetime) -> Act:
    expires = _expires(now, new.hours)
    if new.purpose == "limit":
        return Amend(
            key_id=charter.key_id,
            version=charter.version,
            approvers=charter.approvers,
            quorum=charter.quorum,
            stages=charter.stages,
            limits=new.limits,
            expires_at=expires,
        )
    kinds: dict[str, Callable[..., Act]] = {
        "enable": Unfreeze, "suspend": Freeze, "retire": Freeze, "destroy": Destroy
    }  # fmt: skip
    return kinds[new.purpose](key_id=charter.key_id, version=charter.version, reason=new.reason, expires_at=expires)


def _expires(now: datetime, hours: int) -> datetime:
    return (now + timedelta(hours=hours)).replace(microsecond=0)


def _write(seal: PrivySeal, tx: Transaction, actor: Actor, named: tuple[str, str], act: Act, why: str) -> Proposed:
    key_name, purpose = named
    waiting = [each for each in key_acts.listed(tx) if each.state in key_acts.OPEN and each.expires > seal.clock()]
    for each in waiting:
        if (each.key_name, each.purpose) == named:
            raise Conflict(
                f"{each.id} proposes the same already.", hint=f"privyseal key agree {each.id}, or withdraw it"
            )
    if len(waiting) >= MOST_OPEN:
        raise Conflict(f"{MOST_OPEN} acts wait already.", hint="withdraw those that are not needed")
    proposed = Proposed(
        id="K-" + base64.b32encode(seal.draw(15)).decode("ascii").lower(),
        subscriber=tx.subscriber,
        key_name=key_name,
        purpose=purpose,
        canonical=canonical_json(act),
        why=why,
        proposer=actor.member.id,
        created=seal.clock(),
        expires=act.expires_at,
    )
    key_acts.add(tx, proposed)
    notices.put(tx, seal, _notice("key.proposed", proposed))
    return proposed


def _announce(seal: PrivySeal, tx: Transaction, actor: Actor, proposed: Proposed, becomes: KeyState | None) -> None:
    """State that an act was proposed: by the key's new state where it has one, as a plan has."""
    if becomes is not None and not _planned(tx, proposed.key_name):
        life.move(seal, tx, proposed.key_name, becomes, proposed.why, actor, act=proposed.id)
        return
    _administered(seal, tx, actor, "key act proposed", proposed, proposed.why)


def _planned(tx: Transaction, name: str) -> bool:
    try:
        return life.of(tx, name).state is KeyState.PLANNED
    except NotFound:
        return False


# -- agreeing ----------------------------------------------------------------------------------------------------------
def agree(seal: PrivySeal, actor: Actor, act_id: str, approval: Approval) -> ActShown:
    """Write down that somebody agrees; with the last of them the act is carried out. Agreeing again changes nothing.

    The operator's people agree to acts of every Subscriber. Raises VerificationFailed where the signature is not over
    this act, NotPermitted where its signer is not asked, Denied where the act's time ran out, Conflict where it waits
    for nobody.
    """
    _require(seal, actor, "agree-to-acts")
    owner = _owner(seal, actor, act_id)
    state, now = seal.signer.health(), seal.clock()
    with seal.records.writing(owner) as tx:
        proposed = key_acts.get(tx, act_id, locked=True)
        given = key_acts.approvals_of(tx, act_id)
        if approval not in given:
            if proposed.state != "waiting":
                raise Conflict(f"The act {act_id} is {proposed.state}; it waits for nobody.")
            if now >= proposed.expires:
                raise Denied(f"The act {act_id} expired at {proposed.expires:%Y-%m-%d %H:%M:%S} UTC.")
            agreed_acts.require_asked(tx, state, actor, proposed, approval)
            key_acts.agree(tx, act_id, approval, now)
            _administered(seal, tx, actor, "key act agreed to", proposed, f"as {approval.approver}")
    return agreed_acts.settle(seal, owner, act_id)


def withdraw(seal: PrivySeal, actor: Actor, act_id: str) -> ActShown:
    """Take a proposed act back; what it stopped stays stopped. Conflict where it is over."""
    _require(seal, actor, "manage-keys")
    with seal.records.writing(actor.subscriber) as tx:
        proposed = key_acts.get(tx, act_id, locked=True)
        if proposed.state != "waiting":
            raise Conflict(f"The act {act_id} is {proposed.state}; nothing is left to withdraw.")
        key_acts.move(tx, proposed, "withdrawn", seal.clock(), f"by {actor.member.id}")
        _administered(seal, tx, actor, "key act withdrawn", proposed, proposed.why)
    return agreed_acts.show(seal, actor.subscriber, act_id)


def one(seal: PrivySeal, actor: Actor, act_id: str) -> ActShown:
    """Show an act to the Subscriber's members, and to those of the operator's who agree to acts."""
    return agreed_acts.show(seal, _owner(seal, actor, act_id), act_id)


def _owner(seal: PrivySeal, actor: Actor, act_id: str) -> str:
    """Return whose act it is, as far as the Actor may see; NotFound in the words used where there is none."""
    if actor.subscriber == seal.service.operator and _ACROSS & set(actor.member.roles):
        with seal.records.reading_all_subscribers() as connection:
            found = key_acts.owner_of_all_subscribers(connection, act_id)
        if found is not None:
            return found
    return actor.subscriber


def _require(seal: PrivySeal, actor: Actor, verb: permissions.Verb) -> None:
    seal.require_memory()
    permissions.require(actor, verb, actor.subscriber)
    if actor.workload is not None or actor.member.workload:
        raise NotPermitted("What becomes of a key is for people to say, not for machines.")
    sessions.require_recent(actor, seal.clock())


def _administered(seal: PrivySeal, tx: Transaction, actor: Actor, what: str, proposed: Proposed, why: str) -> None:
    said = f"{proposed.purpose} {proposed.key_name}: {why}"
    act = Administered(actor=actor.member.id, what=what, subject=proposed.id, detail=said[:2000])
    announce.administered(seal, tx, act)


def _notice(topic: str, proposed: Proposed) -> Notice:
    said = {"act": proposed.id, "key": proposed.key_name, "purpose": proposed.purpose, "proposer": proposed.proposer}
    return Notice(topic=topic, data=said | {"why": proposed.why, "until": proposed.expires})
