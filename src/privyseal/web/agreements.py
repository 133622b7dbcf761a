"""Papers and parties over HTTP: what was agreed, in which version, by whom, and who stands in between."""

from __future__ import annotations

from litestar import Response
from litestar.params import FromPath, FromQuery, JSONBody

from privyseal.compliance.statements_of_parties import Accepted, PartyStands
from privyseal.records import agreements as kept
from privyseal.records.database import Transaction
from privyseal.signing import agreements, parties
from privyseal.signing.forms_of_parties import Acceptance, NewParty, Party
from privyseal.terms.agreements import Version
from privyseal.web.desk import TheDesk
from privyseal.web.intake import Incoming
from privyseal.web.views_of_parties import Link, NewPaper, PaperList, PartyList


async def list_papers(subscriber: FromPath[str], desk: TheDesk, request_id: FromQuery[str | None] = None) -> PaperList:
    """List the Subscriber's papers and what is in force, or was when a request was made."""

    def read(tx: Transaction) -> PaperList:
        force = agreements.in_force(tx) if request_id is None else agreements.under(tx, request_id)
        return PaperList(papers=tuple(kept.versions(tx)), in_force=tuple(force))

    return await desk.read(subscriber, read)


async def add_paper(
    request: Incoming, subscriber: FromPath[str], data: JSONBody[NewPaper], desk: TheDesk
) -> Response[Version]:
    """Add the next version of a paper; for the operator's members."""
    actor = request.user
    added = await desk.file(lambda: agreements.add(desk.seal, actor, data.of or subscriber, data.paper))
    return Response(added, status_code=201)


async def accept_paper(
    request: Incoming, subscriber: FromPath[str], data: JSONBody[Acceptance], desk: TheDesk
) -> Response[Accepted]:
    """Accept the newest version of a paper for the Subscriber, by the digest of the one that was read."""
    actor = request.user
    accepted = await desk.slow(lambda: agreements.accept(desk.seal, actor, subscriber, data))
    return Response(accepted, status_code=201)


async def list_parties(request: Incoming, subscriber: FromPath[str], desk: TheDesk) -> PartyList:
    """List CAs, resellers and partners; for the operator's members."""
    actor = request.user
    return PartyList(tuple(await desk.file(lambda: parties.everyone(desk.seal, actor))))


async def add_party(
    request: Incoming, subscriber: FromPath[str], data: JSONBody[NewParty], desk: TheDesk
) -> Response[PartyStands]:
    """Say how a party stands; for the operator's members."""
    actor = request.user
    stands = await desk.file(lambda: parties.add(desk.seal, actor, data))
    return Response(stands, status_code=201)


async def link_party(
    request: Incoming, subscriber: FromPath[str], name: FromPath[str], data: JSONBody[Link], desk: TheDesk
) -> Response[Party]:
    """Link a Subscriber with a party, start the 24 hours of its CA, or say when that CA was told."""
    actor = request.user

    def work() -> Party:
        if data.told is not None:
            parties.told(desk.seal, actor, name, data.subscriber, data.told)
        elif data.tell is not None:
            parties.must_tell(desk.seal, actor, (name, data.subscriber), data.tell, data.known or desk.seal.clock())
        else:
            parties.link(desk.seal, actor, name, data.subscriber)
        return parties.one(desk.seal, actor, name)

    return Response(await desk.file(work), status_code=201)
