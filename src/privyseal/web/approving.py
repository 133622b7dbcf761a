"""What people do about a request that waits: look at it, say no, take it back. Agreeing is in ``api.py``."""

from __future__ import annotations

from typing import Annotated

from litestar.params import FromPath, JSONBody, QueryParameter

from privyseal.errors import BadInput
from privyseal.records import approvals, keys, requests
from privyseal.records.database import Transaction
from privyseal.signing.decline import cancel, deny
from privyseal.signing.review import Earlier, Review, review
from privyseal.terms.canonical import decode_canonical
from privyseal.terms.requests import Dossier, SigningRequest, State
from privyseal.web import views
from privyseal.web.desk import TheDesk
from privyseal.web.intake import Incoming
from privyseal.web.views_of_requests import Denial, RequestList, RequestSummary

MOST_LISTED = 500
"""Requests in one answer; more than anybody reads."""

WantedState = Annotated[
    str | None, QueryParameter(name="state", required=False, description="Only requests in this state.")
]
"""The query's ``state``."""


async def list_requests(subscriber: FromPath[str], desk: TheDesk, wanted: WantedState = None) -> RequestList:
    """List the Subscriber's newest requests, the newest first, 500 at most."""
    known = {each.value: each for each in State}
    if wanted is not None and wanted not in known:
        raise BadInput(f"No state of a request is called {wanted[:40]!r}.", hint="known: " + ", ".join(known))
    states = list(State) if wanted is None else [known[wanted]]
    found = await desk.read(subscriber, lambda tx: requests.newest(tx, states, MOST_LISTED))
    return RequestList(tuple(map(_summary, found)))


async def review_request(subscriber: FromPath[str], request_id: FromPath[str], desk: TheDesk) -> Review:
    """Show what an approver needs to know: the octets, who agreed, and what changed since the last approved release."""

    return await desk.read(subscriber, lambda tx: review_of(tx, request_id))


def review_of(tx: Transaction, request_id: str) -> Review:
    """Read what an approver of a request is shown; NotFound where the Subscriber has none of that id."""
    dossier = requests.get(tx, request_id)
    request = decode_canonical(dossier.canonical, SigningRequest)
    last = approvals.last_agreed(tx, request.key_id)
    earlier = None if last is None or last[0] == request_id else Earlier(*last)
    return review(dossier, keys.key_pair(tx, request.key), approvals.approvals_of(tx, request_id), earlier)


async def deny_request(
    request: Incoming, subscriber: FromPath[str], request_id: FromPath[str], data: JSONBody[Denial], desk: TheDesk
) -> views.RequestView:
    """Say no to a request that waits for approval, with a reason; one approver is enough, and it is final."""
    actor = request.user
    return views.request_view(await desk.file(lambda: deny(desk.seal, actor, request_id, data.reason)))


async def cancel_request(
    request: Incoming, subscriber: FromPath[str], request_id: FromPath[str], desk: TheDesk
) -> views.RequestView:
    """Take back a request of one's own that nobody began to sign."""
    actor = request.user
    return views.request_view(await desk.file(lambda: cancel(desk.seal, actor, request_id)))


def _summary(dossier: Dossier) -> RequestSummary:
    request = decode_canonical(dossier.canonical, SigningRequest)
    return RequestSummary(
        id=dossier.id,
        state=dossier.state,
        key=request.key,
        requester=dossier.requester,
        created=dossier.created,
        expires=request.expires_at,
        files=tuple(each.filename for each in request.described),
    )
