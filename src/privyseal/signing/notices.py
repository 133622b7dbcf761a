"""What happens is told: to webhooks of the Subscriber, and to people through Apprise where the operator named some.

A notice is written into the outbox in the transaction in which it happened, so neither is without the other. A duty
makes messages of it and sends them in a thread of its own; no signature ever waits for a receiver. What belongs to one
release is told once: requests of one member within a few seconds become one message. A message may arrive twice, under
the same ``webhook-id``; it is tried for a day and a half and can be sent again afterwards.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

import msgspec

from privyseal.access import permissions
from privyseal.compliance.statements import Administered
from privyseal.errors import BadInput, Conflict, PrivySealError
from privyseal.records import deliveries
from privyseal.records.database import Transaction
from privyseal.records.deliveries import Delivery, Noticed, Webhook
from privyseal.signing import announce, posting
from privyseal.signing.instance import Post, PrivySeal
from privyseal.signing.posting import Message
from privyseal.terms.deliveries import DeliveryState
from privyseal.terms.freezes import Frozen
from privyseal.terms.parties import Actor
from privyseal.terms.requests import Dossier, SigningRequest

TOPICS = MappingProxyType(
    {
        "request.waiting": "Requests of one member wait for approval.",
        "request.released": "Requests of one member were signed and released.",
        "request.refused": "Requests of one member were denied, refused or stopped by a freeze.",
        "freeze.begun": "A key, a policy or a Subscriber was frozen.",
        "freeze.ended": "Two people agreed, and it was thawed.",
        "incident.reported": "Suspect Code or a compromise was reported.",
        "incident.decided": "It was decided what a report is.",
        "incident.closed": "An incident was closed.",
        "grant.proposed": "A grant was proposed, and waits for people to agree.",
        "grant.agreed": "Enough people agreed to a grant: signatures are made under it.",
        "grant.used-up": "The last signature of a grant was asked for.",
        "grant.expiring": "A grant ends within a day.",
        "grant.revoked": "A grant was revoked.",
        "key.proposed": "An act on a key was proposed, and may wait for people to agree.",
        "cloud.differs": "A cloud's audit log is off, not whole, or counts otherwise than we do.",
        "certificate.ending": "A certificate ends, and the next one is to be asked for, or none is in force any more.",
        "key.alarm": "A key is weak or gave two signatures with one nonce, and was suspended; or it was met elsewhere.",
        "key.silent": "A key does not sign: a probe of it failed.",
        "key.answers": "A key that did not sign does so again.",
        "webhook.test": "Somebody asked for a message to try a webhook.",
    }
)
"""Every topic, and what it means."""

WINDOW = timedelta(seconds=10)
"""How long a first request waits for others of the same release, before all of them are told at once."""
BACK_OFF = (5, 300, 1800, 7200, 18_000, 36_000, 50_400)
"""Seconds after each failed try until the next one (Standard Webhooks, Deliverability); then the message is dead."""
LEASE = timedelta(seconds=120)
"""How long a try may take before another node makes the next one."""
KEPT = timedelta(days=30)
"""How long messages that are over can be looked at and sent again."""
MOST_WEBHOOKS = 20
"""Webhooks of one Subscriber; GitHub allows as many for a repository."""
MOST_NAMED = 100
"""Requests that one message names; beyond that it gives only their number."""
MOST_SHOWN = 200
"""Messages that are listed, the newest first."""
BATCH = 64
"""Messages that are sent, and bundles that are made into messages, at one look."""
MOST_IN_A_BUNDLE = 1000
"""Rows of the outbox that become one message; more of them become a second one."""


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened: its topic, what is said of it, and with what it is told together."""

    topic: str
    data: dict[str, Any]
    bundle: str = ""
    """Empty where it is told alone, and at once."""


# -- what happened -----------------------------------------------------------------------------------------------------
def put(tx: Transaction, seal: PrivySeal, *happened: Notice) -> None:
    """Put what happened into the outbox, where anybody wants to be told."""
    if _listened(tx, seal):
        _put(tx, seal, happened)


def put_requests(tx: Transaction, seal: PrivySeal, topic: str, dossiers: Sequence[Dossier]) -> None:
    """Put what became of requests into the outbox, bundled by who asked; nothing is built where nobody listens."""
    if not dossiers or not _listened(tx, seal):
        return
    by_requester: dict[str, list[dict[str, Any]]] = {}
    for each in dossiers:
        asked = msgspec.json.decode(each.canonical, type=SigningRequest)
        named = [one.filename for one in asked.described[:3]]
        said: dict[str, Any] = {"id": each.id, "key": asked.key, "files": named, "number": len(asked.described)}
        if each.failure_detail is not None:
            said["why"] = each.failure_detail
        by_requester.setdefault(each.requester, []).append(said)
    _put(
        tx,
        seal,
        [
            Notice(topic=topic, data={"requester": requester, "requests": some}, bundle=f"by {requester}")
            for requester, some in by_requester.items()
        ],
    )


def withdraw_request(tx: Transaction, seal: PrivySeal, topic: str, dossier: Dossier) -> None:
    """Take back what was put of one request, where nobody was told of it yet."""
    if seal.post is None:
        return

    def only_this(document: bytes) -> bool:
        told = msgspec.json.decode(document)["data"]["requests"]
        return [each["id"] for each in told] == [dossier.id]

    deliveries.withdraw(tx, topic, f"by {dossier.requester}", only_this)


def frozen(what: Frozen) -> Notice:
    """Say that something was frozen."""
    return Notice(topic="freeze.begun", data=_of(what) | {"by": what.frozen_by, "reason": what.reason})


def thawed(what: Frozen) -> Notice:
    """Say that something was thawed."""
    return Notice(topic="freeze.ended", data=_of(what))


def _of(what: Frozen) -> dict[str, Any]:
    return {"freeze": what.id, "kind": what.kind, "name": what.name}


def _listened(tx: Transaction, seal: PrivySeal) -> bool:
    return seal.post is not None and (bool(seal.post.people) or deliveries.listens(tx))


def _put(tx: Transaction, seal: PrivySeal, happened: Sequence[Notice]) -> None:
    now, rows = seal.clock(), []
    for each in happened:
        bundle = each.bundle or base64.b32encode(seal.draw(10)).decode("ascii").lower()
        document = msgspec.json.encode({"at": now, "data": {"subscriber": tx.subscriber, **each.data}})
        rows.append((each.topic, bundle, now + WINDOW if each.bundle else now, document))
    deliveries.note(tx, rows)


# -- from the outbox to messages ---------------------------------------------------------------------------------------
def make(seal: PrivySeal) -> int:
    """Make messages of what is ripe in the outbox; return how many were made."""
    if seal.post is None:
        return 0
    with seal.records.reading_all_subscribers() as connection:
        ripe = deliveries.ripe_of_all_subscribers(connection, seal.clock(), BATCH)
    made = 0
    for subscriber, topic, bundle in ripe:
        with suppress(Conflict), seal.records.writing(subscriber) as tx:
            made += _make(tx, seal, topic, deliveries.take(tx, topic, bundle, MOST_IN_A_BUNDLE))
    return made


def _make(tx: Transaction, seal: PrivySeal, topic: str, rows: Sequence[Noticed]) -> int:
    if not rows or seal.post is None:
        return 0
    body = _body(topic, [msgspec.json.decode(each.document) for each in rows])
    hooks = [each.id for each in deliveries.webhooks_of(tx) if topic in each.topics]
    whom = [*hooks, *([""] if seal.post.people else [])]
    deliveries.add(tx, [_delivery(seal, tx.subscriber, each, topic, body) for each in whom])
    return len(whom)


def _body(topic: str, documents: list[dict[str, Any]]) -> bytes:
    data = dict(documents[0]["data"])
    if "requests" in data:
        told = [one for each in documents for one in each["data"]["requests"]]
        data |= {"requests": told[:MOST_NAMED], "number": len(told)}
    return msgspec.json.encode({"type": topic, "timestamp": documents[0]["at"], "data": data})


def _delivery(seal: PrivySeal, subscriber: str, webhook: str, topic: str, body: bytes) -> Delivery:
    now = seal.clock()
    number = "msg_" + base64.b32encode(seal.draw(15)).decode("ascii").lower()
    return Delivery(id=number, subscriber=subscriber, webhook=webhook, topic=topic, made=now, body=body, next=now)


# -- sending -----------------------------------------------------------------------------------------------------------
def send(seal: PrivySeal, *, stopping: Callable[[], bool] = lambda: False) -> int:
    """Try to send what is due, one after the other; return how many were taken."""
    post = seal.post
    if post is None:
        return 0
    with seal.records.reading_all_subscribers() as connection:
        due = deliveries.due_of_all_subscribers(connection, seal.clock(), BATCH)
    taken = 0
    for each in due:
        if stopping():
            break
        with seal.records.writing(each.subscriber) as tx:
            begun = deliveries.begin_try(tx, each, seal.clock() + LEASE)
            hooks = {one.id: one for one in deliveries.webhooks_of(tx)}
        if begun is not None:
            taken += _try(seal, post, begun, hooks.get(begun.webhook))
    return taken


def _try(seal: PrivySeal, post: Post, one: Delivery, hook: Webhook | None) -> bool:
    state: DeliveryState = "done"
    again: datetime | None = None
    try:
        if one.webhook and hook is None:
            raise BadInput("The webhook was removed.")
        said = _sent(seal, post, one, hook)
    except BadInput as error:
        state, said = "dead", error.detail
    except PrivySealError as error:
        state, said = "waiting", error.detail
        if one.tries > len(BACK_OFF):
            state = "dead"
        else:
            again = seal.clock() + timedelta(seconds=BACK_OFF[one.tries - 1])
    with seal.records.writing(one.subscriber) as tx:
        deliveries.end_try(tx, one, state, said, again)
    return state == "done"


def _sent(seal: PrivySeal, post: Post, one: Delivery, hook: Webhook | None) -> str:
    if hook is None:
        from privyseal.signing.chats import tell  # Apprise takes a second to import

        return tell(post.people, one.topic, one.body)
    message = Message(one.id, int(seal.clock().timestamp()), one.body)
    return posting.post(hook.url, message, posting.secret(post.key, hook.id), post.targets)


def forget(seal: PrivySeal) -> None:
    """Delete messages that nobody will ask for any more."""
    with seal.records.batch() as batch:
        deliveries.forget_of_all_subscribers(batch.across_subscribers(), seal.clock() - KEPT)


# -- who wants to be told ----------------------------------------------------------------------------------------------
def add_webhook(seal: PrivySeal, actor: Actor, url: str, topics: Sequence[str]) -> tuple[Webhook, str]:
    """Take in a webhook; return it with its secret, which is shown now and never again."""
    permissions.require(actor, "manage-notifications", actor.subscriber)
    post = _post(seal)
    posting.check_url(url, post.targets)
    strange = [each for each in topics if each not in TOPICS]
    if strange:
        raise BadInput(f"There is no topic {strange[0][:40]!r}.", hint="topics are " + ", ".join(TOPICS))
    named = "W-" + base64.b32encode(seal.draw(15)).decode("ascii").lower()
    hook = Webhook(id=named, url=url, topics=tuple(dict.fromkeys(topics or TOPICS)), created=seal.clock())
    with seal.records.writing(actor.subscriber) as tx:
        deliveries.add_webhook(tx, hook, MOST_WEBHOOKS)
        _administered(seal, tx, actor, "webhook added", hook.id)
    return hook, posting.secret(post.key, hook.id)


def remove_webhook(seal: PrivySeal, actor: Actor, webhook_id: str) -> None:
    """End a webhook."""
    permissions.require(actor, "manage-notifications", actor.subscriber)
    with seal.records.writing(actor.subscriber) as tx:
        deliveries.remove_webhook(tx, webhook_id, seal.clock())
        _administered(seal, tx, actor, "webhook removed", webhook_id)


def try_webhook(seal: PrivySeal, actor: Actor, webhook_id: str) -> Delivery:
    """Write down a message of the topic ``webhook.test`` to one webhook, whatever topics it wants."""
    permissions.require(actor, "manage-notifications", actor.subscriber)
    _post(seal)
    with seal.records.writing(actor.subscriber) as tx:
        hook = deliveries.webhook(tx, webhook_id)
        said = {"at": seal.clock(), "data": {"subscriber": tx.subscriber, "by": actor.member.id}}
        body = _body("webhook.test", [said])
        one = _delivery(seal, tx.subscriber, hook.id, "webhook.test", body)
        deliveries.add(tx, [one])
    return one


def replay(seal: PrivySeal, actor: Actor, delivery_id: str) -> Delivery:
    """Have a message sent again, whatever became of it."""
    permissions.require(actor, "manage-notifications", actor.subscriber)
    _post(seal)
    with seal.records.writing(actor.subscriber) as tx:
        one = deliveries.replay(tx, delivery_id, seal.clock())
        _administered(seal, tx, actor, "delivery replayed", one.id)
    return one


def _post(seal: PrivySeal) -> Post:
    if seal.post is None:
        raise BadInput("This service tells nobody.", hint="see [notices] in its configuration")
    return seal.post


def _administered(seal: PrivySeal, tx: Transaction, actor: Actor, what: str, subject: str) -> None:
    announce.administered(seal, tx, Administered(actor=actor.member.id, what=what, subject=subject))
