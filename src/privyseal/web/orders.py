"""Certificates over HTTP: ordered, brought by hand, read, accepted or refused, and revoked."""

from __future__ import annotations

from litestar import Response
from litestar.params import FromPath, JSONBody

from privyseal.compliance.statements_of_certificates import RevocationAsked
from privyseal.records import orders
from privyseal.records.database import Transaction
from privyseal.signing import acceptance, authorities, revoking
from privyseal.signing.forms_of_certificates import (
    Accepted,
    NewOrder,
    OrderList,
    OrderView,
    Refusal,
    RevocationList,
    RevocationWish,
    Shown,
    Uploaded,
    view,
)
from privyseal.web.desk import TheDesk
from privyseal.web.intake import Incoming

ORDER_LIMIT = 512 * 1024
"""Octets of a body with a CSR, which has 256 KiB at most, in base64."""
CHAIN_LIMIT = 1536 * 1024
"""Octets of a body with certificates, which have 1 MiB at most, in base64."""


async def list_orders(subscriber: FromPath[str], desk: TheDesk) -> OrderList:
    """List orders of certificates, and the certificate authorities that are configured."""

    def read(tx: Transaction) -> OrderList:
        known = tuple(sorted(desk.seal.authorities))
        return OrderList(orders=tuple(view(each) for each in orders.listed(tx)), authorities=known)

    return await desk.read(subscriber, read)


async def order_certificate(
    request: Incoming, subscriber: FromPath[str], data: JSONBody[NewOrder], desk: TheDesk
) -> Response[OrderView]:
    """Order a certificate with a CSR; the authority is asked at once, and the order says what it said."""
    actor = request.user
    order = await desk.slow(lambda: authorities.ask(desk.seal, actor, subscriber, data))
    return Response(view(order), status_code=201)


async def read_order(subscriber: FromPath[str], order_id: FromPath[str], desk: TheDesk) -> Shown:
    """Show an order with its CSR, and once it is issued the certificate and what it was judged to be."""
    return await desk.slow(lambda: acceptance.shown(desk.seal, subscriber, order_id))


async def upload_certificates(
    request: Incoming, subscriber: FromPath[str], order_id: FromPath[str], data: JSONBody[Uploaded], desk: TheDesk
) -> OrderView:
    """Bring what a CA issued: certificates in any order, with strangers among them."""
    actor = request.user
    octets = data.certificates
    return view(await desk.slow(lambda: authorities.receive(desk.seal, actor, subscriber, order_id, octets)))


async def accept_certificate(
    request: Incoming, subscriber: FromPath[str], order_id: FromPath[str], data: JSONBody[Accepted], desk: TheDesk
) -> OrderView:
    """Accept an issued certificate by its fingerprint, as a person of the Subscriber; it is used from then on."""
    actor, read = request.user, data.fingerprint
    return view(await desk.slow(lambda: acceptance.accept(desk.seal, actor, subscriber, order_id, read)))


async def refuse_certificate(
    request: Incoming, subscriber: FromPath[str], order_id: FromPath[str], data: JSONBody[Refusal], desk: TheDesk
) -> OrderView:
    """End an order, or refuse the certificate that came of it."""
    actor = request.user
    return view(await desk.file(lambda: acceptance.refuse(desk.seal, actor, subscriber, order_id, data.reason)))


async def list_revocations(subscriber: FromPath[str], desk: TheDesk) -> RevocationList:
    """List for which certificates a revocation was asked, and what their CAs said."""
    return await desk.read(subscriber, lambda tx: RevocationList(revocations=tuple(revoking.listed(tx))))


async def revoke_certificate(
    request: Incoming,
    subscriber: FromPath[str],
    fingerprint: FromPath[str],
    data: JSONBody[RevocationWish],
    desk: TheDesk,
) -> RevocationAsked:
    """Have a certificate revoked by its CA, or write down that it has done so."""
    actor = request.user
    return await desk.slow(lambda: revoking.revoke(desk.seal, actor, subscriber, fingerprint, data))
