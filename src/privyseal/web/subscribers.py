"""Subscribers over HTTP, for the operator's members, below the operator's own path; and one's own, for everybody."""

from __future__ import annotations

from datetime import timedelta

from litestar import Response
from litestar.params import FromPath, JSONBody

from privyseal.errors import NotFound
from privyseal.signing import enrol, subscribers
from privyseal.signing.forms_of_parties import Enrolled
from privyseal.signing.instance import PrivySeal
from privyseal.terms import names
from privyseal.terms.parties import Actor, Role
from privyseal.terms.subscribers import Standing
from privyseal.web.desk import TheDesk
from privyseal.web.intake import Incoming
from privyseal.web.views_of_parties import Change, NewSubscriber, SubscriberList, TakenIn

FIRST_TOKEN = timedelta(days=1)
"""How long the first administrator's token is good: long enough to set up something better."""


async def list_subscribers(request: Incoming, subscriber: FromPath[str], desk: TheDesk) -> SubscriberList:
    """List all Subscribers with how each stands; for the operator's members."""
    actor = request.user
    return SubscriberList(tuple(await desk.file(lambda: subscribers.everyone(desk.seal, actor))))


async def add_subscriber(
    request: Incoming, subscriber: FromPath[str], data: JSONBody[NewSubscriber], desk: TheDesk
) -> Response[TakenIn]:
    """Take in a Subscriber with its first administrator; for the operator's members."""
    actor = request.user
    taken = await desk.slow(lambda: _take_in(desk.seal, actor, data))
    return Response(taken, status_code=201, headers={"Cache-Control": "no-store"})


def _take_in(seal: PrivySeal, actor: Actor, new: NewSubscriber) -> TakenIn:
    administrator = names.require_plain(new.administrator, "The administrator's name")
    subscribers.take_in(seal, actor, new.name, names.require_plain(new.display_name, "The Subscriber's name"))
    first = enrol.member(seal, new.name, administrator, (Role.ADMINISTRATOR,), False, actor)
    token = enrol.token(seal, first, seal.clock() + FIRST_TOKEN, actor)
    return TakenIn(subscriber=subscribers.one(seal, actor, new.name), administrator=first.id, token=token)


async def read_subscriber(request: Incoming, subscriber: FromPath[str], name: FromPath[str], desk: TheDesk) -> Enrolled:
    """Show how a Subscriber stands and what is missing; the operator's members see all, others their own."""
    actor = request.user

    def read() -> Enrolled:
        if name == actor.subscriber:
            with desk.seal.records.reading(name) as tx:
                return subscribers.enrolled(tx)
        if actor.subscriber != desk.seal.service.operator:
            raise NotFound(f"There is no Subscriber named {name!r}.")
        return subscribers.one(desk.seal, actor, name)

    return await desk.file(read)


async def change_subscriber(
    request: Incoming, subscriber: FromPath[str], name: FromPath[str], data: JSONBody[Change], desk: TheDesk
) -> Enrolled:
    """Say that a Subscriber's identity was checked, or let it stand otherwise; for the operator's members."""
    actor = request.user
    moves = {
        Standing.ACTIVE: subscribers.activate,
        Standing.SUSPENDED: subscribers.suspend,
        Standing.CLOSED: subscribers.close,
    }

    def change() -> Enrolled:
        if data.identity:
            subscribers.identify(desk.seal, actor, name, data.identity)
        if data.becomes in moves:
            moves[data.becomes](desk.seal, actor, name, data.because)
        return subscribers.one(desk.seal, actor, name)

    return await desk.file(change)
