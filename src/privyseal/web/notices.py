"""Webhooks: who is told of what, and what became of each message."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Response
from litestar.params import FromPath, JSONBody
from msgspec import Meta

from privyseal.records import deliveries
from privyseal.records.database import Transaction
from privyseal.records.deliveries import Delivery, Webhook
from privyseal.signing import notices
from privyseal.signing.posting import LARGEST_URL
from privyseal.web.desk import TheDesk
from privyseal.web.intake import Incoming
from privyseal.web.views_of_requests import DeliveryList, DeliveryView, WebhookList, WebhookView


class NewWebhook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where somebody wants to be told, and of which topics; none means all."""

    url: Annotated[str, Meta(max_length=LARGEST_URL)]
    topics: Annotated[tuple[Annotated[str, Meta(max_length=40)], ...], Meta(max_length=50)] = ()


def webhook_view(hook: Webhook, secret: str | None = None) -> WebhookView:
    """Show a webhook."""
    return WebhookView(id=hook.id, url=hook.url, topics=hook.topics, created=hook.created, secret=secret)


def delivery_view(one: Delivery) -> DeliveryView:
    """Show a message."""
    said = {name: getattr(one, name) for name in DeliveryView.__struct_fields__ if name != "body"}
    return DeliveryView(**said, body=msgspec.Raw(one.body))


async def list_webhooks(subscriber: FromPath[str], desk: TheDesk) -> WebhookList:
    """List the Subscriber's webhooks, without their secrets."""
    found = await desk.read(subscriber, deliveries.webhooks_of)
    return WebhookList(webhooks=tuple(map(webhook_view, found)))


async def add_webhook(
    request: Incoming, subscriber: FromPath[str], data: JSONBody[NewWebhook], desk: TheDesk
) -> Response[WebhookView]:
    """Add a webhook; the answer alone shows the secret under which its messages are signed."""
    actor = request.user
    hook, secret = await desk.file(lambda: notices.add_webhook(desk.seal, actor, data.url, data.topics))
    return Response(webhook_view(hook, secret), status_code=201)


async def remove_webhook(
    request: Incoming, subscriber: FromPath[str], name: FromPath[str], desk: TheDesk
) -> Response[None]:
    """End a webhook; messages that wait for it are not sent any more."""
    await desk.file(lambda: notices.remove_webhook(desk.seal, request.user, name))
    return Response(None, status_code=204)


async def try_webhook(
    request: Incoming, subscriber: FromPath[str], name: FromPath[str], desk: TheDesk
) -> Response[DeliveryView]:
    """Have a message of the topic ``webhook.test`` sent to one webhook."""
    one = await desk.file(lambda: notices.try_webhook(desk.seal, request.user, name))
    return Response(delivery_view(one), status_code=202)


async def list_deliveries(subscriber: FromPath[str], desk: TheDesk) -> DeliveryList:
    """List the newest messages to the Subscriber's webhooks, and what came of each."""

    def read(tx: Transaction) -> DeliveryList:
        return DeliveryList(deliveries=tuple(map(delivery_view, deliveries.listed(tx, notices.MOST_SHOWN))))

    return await desk.read(subscriber, read)


async def replay_delivery(
    request: Incoming, subscriber: FromPath[str], name: FromPath[str], desk: TheDesk
) -> Response[DeliveryView]:
    """Have a message sent again: the same octets under the same ``webhook-id``."""
    one = await desk.file(lambda: notices.replay(desk.seal, request.user, name))
    return Response(delivery_view(one), status_code=202)
