"""Grants over HTTP: proposed, agreed to, revoked, and used for a request that waits."""

from __future__ import annotations

import contextlib

from litestar import Response
from litestar.params import FromPath, JSONBody

from privyseal.errors import PrivySealError
from privyseal.records import grants as records
from privyseal.records.database import Transaction
from privyseal.signing import granted, grants
from privyseal.signing.forms_of_requests import GrantShown, NewGrant, Revocation, UseAsked
from privyseal.terms.requests import Approval
from privyseal.web import views
from privyseal.web.api import DEFAULT_WAIT_S, carry_on
from privyseal.web.desk import TheDesk
from privyseal.web.intake import Incoming
from privyseal.web.views_of_requests import FittingList, GrantList


async def list_grants(subscriber: FromPath[str], desk: TheDesk) -> GrantList:
    """List the Subscriber's newest grants, the newest first, 500 at most."""

    def read(tx: Transaction) -> GrantList:
        now = desk.seal.clock()
        return GrantList(tuple(grants.shown(tx, each, now) for each in records.listed(tx)))

    return await desk.read(subscriber, read)


async def propose_grant(
    request: Incoming, subscriber: FromPath[str], data: JSONBody[NewGrant], desk: TheDesk
) -> Response[GrantShown]:
    """Propose that so many signatures are made for one workflow, or one key, until a certain time."""
    actor = request.user
    made = await desk.file(lambda: grants.propose(desk.seal, actor, data))
    return Response(made, status_code=201)


async def read_grant(subscriber: FromPath[str], grant_id: FromPath[str], desk: TheDesk) -> GrantShown:
    """Show a grant: its octets, who agreed, and how many signatures are left."""
    return await desk.read(subscriber, lambda tx: grants.shown(tx, records.get(tx, grant_id), desk.seal.clock()))


async def agree_to_grant(
    request: Incoming, subscriber: FromPath[str], grant_id: FromPath[str], data: JSONBody[Approval], desk: TheDesk
) -> GrantShown:
    """Agree to a grant by a signature over its digest; with the last of them it is in force."""
    actor = request.user
    return await desk.file(lambda: grants.agree(desk.seal, actor, grant_id, data))


async def revoke_grant(
    request: Incoming, subscriber: FromPath[str], grant_id: FromPath[str], data: JSONBody[Revocation], desk: TheDesk
) -> GrantShown:
    """Let nothing come under a grant any more; one person is enough, and it is final."""
    actor = request.user
    return await desk.file(lambda: grants.revoke(desk.seal, actor, grant_id, data))


async def fitting_grants(subscriber: FromPath[str], request_id: FromPath[str], desk: TheDesk) -> FittingList:
    """List the grants under which a request that waits may come, and the proof that each asks for."""
    return await desk.read(subscriber, lambda tx: FittingList(tuple(granted.fitting(tx, request_id, desk.seal))))


async def use_grant(
    request: Incoming, subscriber: FromPath[str], request_id: FromPath[str], data: JSONBody[UseAsked], desk: TheDesk
) -> views.RequestView:
    """Have a request come under a grant, with the proof of who asks; it is signed at once.

    The answer is the request as it stands then. The same again changes nothing.
    """
    actor = request.user
    dossier = await desk.file(lambda: granted.use(desk.seal, actor, request_id, data))
    with contextlib.suppress(PrivySealError):
        dossier = await carry_on(desk, dossier, DEFAULT_WAIT_S)
    return views.request_view(dossier)
