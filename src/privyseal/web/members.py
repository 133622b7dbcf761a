"""Members over HTTP: taken in, given other roles, looked through, and shut out when they leave."""

from __future__ import annotations

from litestar import Response
from litestar.params import FromPath, JSONBody

from privyseal.compliance.statements_of_parties import AccountsReviewed, Left
from privyseal.signing import enrol, leavers, reviews
from privyseal.signing.forms_of_parties import AccountList, NewMember, Reviewed
from privyseal.terms.parties import Member
from privyseal.web.desk import TheDesk
from privyseal.web.intake import Incoming
from privyseal.web.views_of_parties import Leaving, Roles


async def list_members(subscriber: FromPath[str], desk: TheDesk) -> AccountList:
    """List all accounts with roles, factors, and when each last did something that is kept."""
    return await desk.read(subscriber, reviews.listed)


async def add_member(
    request: Incoming, subscriber: FromPath[str], data: JSONBody[NewMember], desk: TheDesk
) -> Response[Member]:
    """Take in a person or a machine; what lets them in is given elsewhere."""
    actor = request.user
    taken = await desk.file(lambda: enrol.by_an_administrator(desk.seal, actor, data))
    return Response(taken, status_code=201)


async def set_roles(
    request: Incoming, subscriber: FromPath[str], name: FromPath[str], data: JSONBody[Roles], desk: TheDesk
) -> Member:
    """Give a member these roles and no others; nobody changes their own."""
    actor = request.user
    return await desk.file(lambda: enrol.set_roles(desk.seal, actor, name, data.roles))


async def end_member(
    request: Incoming, subscriber: FromPath[str], name: FromPath[str], data: JSONBody[Leaving], desk: TheDesk
) -> Left:
    """End every credential and session of somebody who left, at once."""
    actor = request.user
    return await desk.file(lambda: leavers.leave(desk.seal, actor, name, data.left))


async def review_members(
    request: Incoming, subscriber: FromPath[str], data: JSONBody[Reviewed], desk: TheDesk
) -> Response[AccountsReviewed]:
    """Say that a named person looked through all accounts, by the digest of the list that they saw."""
    actor = request.user
    done = await desk.file(lambda: reviews.review(desk.seal, actor, data))
    return Response(done, status_code=201)
