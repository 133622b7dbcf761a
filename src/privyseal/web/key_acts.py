"""Lives of keys over HTTP: how each stands, what is proposed for it, and who agrees."""

from __future__ import annotations

from litestar import Response
from litestar.params import FromPath, JSONBody

from privyseal.compliance.statements_of_lives import CeremonyHeld
from privyseal.records import lives
from privyseal.records.database import Transaction
from privyseal.signing import agreed_acts, ceremonies, life, proposals
from privyseal.signing.forms_of_keys import ActList, ActShown, Held, LifeList, LifeShown, NewAct, NewKey
from privyseal.terms.requests import Approval
from privyseal.web.desk import TheDesk
from privyseal.web.intake import Incoming

CEREMONY_LIMIT = 1 << 20
"""Octets of a body with a script and a record, each of 256 KiB at most, in base64."""


async def list_lives(subscriber: FromPath[str], desk: TheDesk) -> LifeList:
    """Say how each of the Subscriber's Key Pairs stands, also those that are planned or destroyed."""

    def read(tx: Transaction) -> LifeList:
        return LifeList(lives=tuple(LifeShown(life=each) for each in lives.listed(tx)))

    return await desk.read(subscriber, read)


async def read_life(subscriber: FromPath[str], name: FromPath[str], desk: TheDesk) -> LifeShown:
    """Say how a Key Pair stands, what it was before, and which acts on it wait for people."""
    return await desk.read(subscriber, lambda tx: agreed_acts.life_shown(tx, life.of(tx, name)))


async def propose_key(
    request: Incoming, subscriber: FromPath[str], data: JSONBody[NewKey], desk: TheDesk
) -> Response[ActShown]:
    """Propose that a Key Pair is born; it is when enough people agreed."""
    made = await desk.slow(lambda: proposals.propose_key(desk.seal, request.user, data))
    return Response(made, status_code=201)


async def propose_act(
    request: Incoming, subscriber: FromPath[str], name: FromPath[str], data: JSONBody[NewAct], desk: TheDesk
) -> Response[ActShown]:
    """Propose what is to become of a Key Pair; what stops it holds at once."""
    made = await desk.slow(lambda: proposals.propose(desk.seal, request.user, name, data))
    return Response(made, status_code=201)


async def list_acts(subscriber: FromPath[str], desk: TheDesk) -> ActList:
    """List the acts on the Subscriber's keys, the newest first, 500 at most."""
    return ActList(acts=tuple(await desk.file(lambda: agreed_acts.listed(desk.seal, subscriber))))


async def read_act(request: Incoming, subscriber: FromPath[str], act_id: FromPath[str], desk: TheDesk) -> ActShown:
    """Show an act: its octets, who agreed, and whom it waits for."""
    return await desk.file(lambda: proposals.one(desk.seal, request.user, act_id))


async def agree_to_act(
    request: Incoming, subscriber: FromPath[str], act_id: FromPath[str], data: JSONBody[Approval], desk: TheDesk
) -> ActShown:
    """Agree to an act by a signature over its digest; with the last of them it is carried out."""
    return await desk.slow(lambda: proposals.agree(desk.seal, request.user, act_id, data))


async def withdraw_act(request: Incoming, subscriber: FromPath[str], act_id: FromPath[str], desk: TheDesk) -> ActShown:
    """Take a proposed act back; what it stopped stays stopped."""
    return await desk.slow(lambda: proposals.withdraw(desk.seal, request.user, act_id))


async def take_in_ceremony(
    request: Incoming, subscriber: FromPath[str], data: JSONBody[Held], desk: TheDesk
) -> Response[CeremonyHeld]:
    """Take in the record of a witnessed key ceremony: it is checked against its script, and is evidence then."""
    held = await desk.slow(lambda: ceremonies.take_in(desk.seal, request.user, data))
    return Response(held, status_code=201)
