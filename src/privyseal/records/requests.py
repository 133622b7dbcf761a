"""Requests: written once when submitted, moved by compare-and-swap, never changed where something stands already."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Update, and_, bindparam, insert, literal, or_, select, update
from sqlalchemy.exc import IntegrityError

from privyseal.errors import Conflict, NotFound
from privyseal.records import packed
from privyseal.records.database import Transaction
from privyseal.records.prepared import Prepared
from privyseal.records.tables import requests
from privyseal.terms.requests import FINAL, Dossier, Intent, SigningRequest, State, may_follow
from privyseal.terms.signatures import TimestampToken

LEASE = timedelta(seconds=60)
"""How long a walk may be silent before another one may take its request; a walk takes well under a second."""


class Holder(msgspec.Struct, frozen=True):
    """Who takes requests: a node by its name, in one of its lives, and how long it may be silent."""

    node: str
    boot: str
    lease: timedelta = LEASE


NOBODY = Holder("", "")
"""A holder whose leases only run out."""

# The statements of the walk are built once: building one costs SQLAlchemy more than SQLite takes to carry it out, and
# a signature needs some twenty. Their parameters are called p_... so that none is mistaken for a column's new value.
_table = requests.c
_THIS = (_table.subscriber == bindparam("p_subscriber"), _table.id == bindparam("p_id"))
_MINE = update(requests).where(*_THIS, _table.fence == bindparam("p_fence"))
_STATE = _MINE.where(_table.state == bindparam("p_was"))

_FIRST = (
    "id", "subscriber", "idempotency_key", "timeless_digest", "requester", "state", "canonical", "digest", "created",
    "expires", "salt", "completion_salt", "fence", "lease_until", "lease_node", "lease_boot",
    "policy", "allowed_by",
)  # fmt: skip
"""What stands in a row from its first moment."""
_ADD = insert(requests)
_ADD_TAKEN = Prepared(_ADD, _FIRST)
_BY_ID = select(requests).where(*_THIS)
_BY_KEY = select(requests).where(
    _table.subscriber == bindparam("p_subscriber"), _table.idempotency_key == bindparam("p_key")
)
_FREE = (
    *_THIS,
    _table.state.in_((State.APPROVED.value, State.SIGNING.value, State.SIGNED.value)),
    or_(_table.lease_until.is_(None), _table.lease_until < bindparam("p_now")),
)
_TAKEN = {
    "fence": _table.fence + 1,
    "lease_until": bindparam("p_until"),
    "lease_node": bindparam("p_node"),
    "lease_boot": bindparam("p_boot"),
}
_CLAIM = {
    # SQLite has one writer at a time, so nobody else can be at this row.
    "sqlite": update(requests).where(*_FREE).values(_TAKEN).returning(requests),
    # Elsewhere a row that another node is taking in this moment is passed over, not waited for.
    "postgresql": update(requests)
    .where(_table.id == select(_table.id).where(*_FREE).with_for_update(skip_locked=True).scalar_subquery())
    .values(_TAKEN)
    .returning(requests),
}
_MADE = ("signatures", "tokens", "blobs", "receipt")
_LISTED = [literal(None).label(each.name) if each.name in _MADE else each for each in requests.c]
_LOCK = _BY_ID.with_for_update()
_LOCK_IF_FREE = _BY_ID.with_for_update(skip_locked=True)
_UNHELD = {"lease_until": None, "lease_node": None, "lease_boot": None}
_RELEASE = _MINE.values(_UNHELD)
_PROLONG = _STATE.values(lease_until=bindparam("p_until"))
_MOVE = _STATE.values(state=bindparam("p_state"))
_END = _STATE.values(state=bindparam("p_state"), **_UNHELD)
_SAME_INTENT = or_(_table.intent_index.is_(None), _table.intent_index == bindparam("p_index"))
_INTENT: dict[str, Any] = {"intent_index": bindparam("p_index"), "intent_seq": bindparam("p_seq")}
_STORE_INTENT = Prepared(_STATE.where(_SAME_INTENT).values(_INTENT))
_STORE_SIGNATURES = Prepared(
    _STATE.where(_table.signatures.is_(None), _SAME_INTENT).values(signatures=bindparam("p_signatures"), **_INTENT)
)
_STORE_BLOBS = Prepared(
    _STATE.where(_table.blobs.is_(None)).values(
        state=bindparam("p_state"), tokens=bindparam("p_tokens"), blobs=bindparam("p_blobs")
    )
)
_STORE_RECEIPT = Prepared(
    _STATE.where(_table.receipt.is_(None)).values(state=bindparam("p_state"), receipt=bindparam("p_receipt"), **_UNHELD)
)
_FAIL = _STATE.values(
    state=bindparam("p_state"),
    failure_code=bindparam("p_code"),
    failure_detail=bindparam("p_detail"),
    **_UNHELD,
)

_STORE_SIGNED = Prepared(
    _STATE.where(_table.signatures.is_(None), _table.blobs.is_(None), _SAME_INTENT).values(
        **_INTENT,
        state=bindparam("p_state"),
        signatures=bindparam("p_signatures"),
        tokens=bindparam("p_tokens"),
        blobs=bindparam("p_blobs"),
    )
)


def add(tx: Transaction, dossier: Dossier, request: SigningRequest) -> None:
    """Write down a new request."""
    tx.connection.execute(_ADD, _row(tx, dossier, request) | _UNHELD)


def add_taken(
    tx: Transaction, fresh: Sequence[tuple[Dossier, SigningRequest]], now: datetime, holder: Holder = NOBODY
) -> None:
    """Write down new requests, all or none, each leased at once to the walk that brings them in (fence 1).

    Conflict where one of the Idempotency-Keys is in use; the caller then has to look at each by itself.
    """
    lease = {"lease_until": now + holder.lease, "lease_node": holder.node, "lease_boot": holder.boot}
    try:
        _ADD_TAKEN.carry_out(tx.connection, [_row(tx, *each) | lease for each in fresh])
    except IntegrityError as error:
        raise Conflict("One of these Idempotency-Keys is in use.", hint="look for each") from error


def _row(tx: Transaction, dossier: Dossier, request: SigningRequest) -> dict[str, Any]:
    return {
        "id": dossier.id,
        "subscriber": tx.subscriber,
        "idempotency_key": dossier.idempotency_key,
        "timeless_digest": request.timeless_digest(),
        "requester": dossier.requester,
        "state": dossier.state.value,
        "canonical": dossier.canonical,
        "digest": dossier.digest,
        "created": dossier.created,
        "expires": request.expires_at,
        "salt": dossier.salt,
        "completion_salt": dossier.completion_salt,
        "fence": dossier.fence,
        "policy": dossier.policy,
        "allowed_by": " ".join(dossier.allowed_by) or None,
    }


def by_idempotency_key(tx: Transaction, key: str) -> tuple[Dossier, str] | None:
    """Find the request that was made under an Idempotency-Key, and its timeless digest; or None."""
    row = tx.connection.execute(_BY_KEY, {"p_subscriber": tx.subscriber, "p_key": key}).first()
    return None if row is None else (_dossier(row), row.timeless_digest)


def get(tx: Transaction, request_id: str) -> Dossier:
    """Read one request of the Subscriber; raise NotFound where it has none of that id."""
    row = tx.connection.execute(_BY_ID, {"p_subscriber": tx.subscriber, "p_id": request_id}).first()
    if row is None:
        raise NotFound(f"There is no request {request_id!r}.")
    return _dossier(row)


def newest(tx: Transaction, states: Sequence[State], limit: int) -> list[Dossier]:
    """List the Subscriber's newest requests in these states, without what signing them made."""
    wanted = select(*_LISTED).where(_table.subscriber == tx.subscriber, _table.state.in_([s.value for s in states]))
    rows = tx.connection.execute(wanted.order_by(_table.created.desc(), _table.id).limit(limit))
    return [_dossier(row) for row in rows]


def locked(tx: Transaction, request_id: str) -> Dossier:
    """Read one request and keep everybody else from changing it until this transaction ends; raise NotFound."""
    row = tx.connection.execute(_LOCK, {"p_subscriber": tx.subscriber, "p_id": request_id}).first()
    if row is None:
        raise NotFound(f"There is no request {request_id!r}.")
    return _dossier(row)


def locked_if_free(tx: Transaction, request_id: str) -> Dossier | None:
    """Read one request as :func:`locked` does; None where it is gone or somebody else is at it in this moment."""
    row = tx.connection.execute(_LOCK_IF_FREE, {"p_subscriber": tx.subscriber, "p_id": request_id}).first()
    return None if row is None else _dossier(row)


def claim(tx: Transaction, request_id: str, now: datetime, holder: Holder = NOBODY) -> Dossier | None:
    """Take an unfinished request for one walk: lease it and raise its fence; None where another walk holds it.

    Only APPROVED, SIGNING and SIGNED can be taken; the Dossier returned has the state as it was and the new fence.
    """
    given = {"p_subscriber": tx.subscriber, "p_id": request_id, "p_now": now, "p_until": now + holder.lease}
    given |= {"p_node": holder.node, "p_boot": holder.boot}
    row = tx.connection.execute(_CLAIM[tx.connection.dialect.name], given).first()
    return None if row is None else _dossier(row)


def release(tx: Transaction, dossier: Dossier) -> None:
    """Give a request back that this walk could not finish; does nothing where another walk has taken it since."""
    tx.connection.execute(_RELEASE, _whose(dossier))


def prolong(tx: Transaction, dossier: Dossier, until: datetime) -> None:
    """Hold a request until then, for work that takes longer than a walk; Conflict where another walk has taken it."""
    _one(tx, dossier, _PROLONG, p_until=until)


def move(tx: Transaction, dossier: Dossier, becomes: State) -> Dossier:
    """Change the state by compare-and-swap under the walk's fence; raise Conflict where it is not as supposed."""
    _check_arrow(dossier, becomes)
    _one(tx, dossier, _END if becomes in FINAL else _MOVE, p_state=becomes.value)
    if becomes in FINAL or becomes is State.APPROVED:
        tx.changed.append(dossier.id)
    return msgspec.structs.replace(dossier, state=becomes)


def store_intents(tx: Transaction, dossiers: Sequence[Dossier]) -> list[Dossier]:
    """Write down where each intent stands, all or none; Conflict where a request was changed or has another one."""
    _all(tx, _STORE_INTENT, [_supposed(dossier) | _placed(dossier) for dossier in dossiers])
    return list(dossiers)


def store_signatures(tx: Transaction, made: Sequence[tuple[Dossier, Sequence[bytes]]]) -> list[Dossier]:
    """Write down raw signatures and where their intents stand, all or none, before anything is done with them."""
    rows = [
        _supposed(dossier) | _placed(dossier) | {"p_signatures": packed.pack(signatures)}
        for dossier, signatures in made
    ]
    _all(tx, _STORE_SIGNATURES, rows)
    return [msgspec.structs.replace(dossier, signatures=tuple(signatures)) for dossier, signatures in made]


def store_signed(tx: Transaction, made: Sequence[tuple[Dossier, Sequence[bytes], Sequence[bytes]]]) -> list[Dossier]:
    """Write down signatures and the blobs made of them without a timestamp, all or none; SIGNING becomes SIGNED."""
    rows = []
    for dossier, signatures, blobs in made:
        _check_arrow(dossier, State.SIGNED)
        octets = {"p_signatures": packed.pack(signatures), "p_tokens": packed.pack(()), "p_blobs": packed.pack(blobs)}
        rows.append(_supposed(dossier) | _placed(dossier) | {"p_state": State.SIGNED.value} | octets)
    _all(tx, _STORE_SIGNED, rows)
    return [
        msgspec.structs.replace(dossier, signatures=tuple(signatures), blobs=tuple(blobs), state=State.SIGNED)
        for dossier, signatures, blobs in made
    ]


def store_blobs(
    tx: Transaction, made: Sequence[tuple[Dossier, Sequence[TimestampToken], Sequence[bytes]]]
) -> list[Dossier]:
    """Write down timestamp tokens and signature blobs, all or none; SIGNING becomes SIGNED."""
    rows = []
    for dossier, tokens, blobs in made:
        _check_arrow(dossier, State.SIGNED)
        octets = {"p_tokens": packed.pack(tokens), "p_blobs": packed.pack(blobs)}
        rows.append(_supposed(dossier) | {"p_state": State.SIGNED.value} | octets)
    _all(tx, _STORE_BLOBS, rows)
    return [
        msgspec.structs.replace(dossier, tokens=tuple(tokens), blobs=tuple(blobs), state=State.SIGNED)
        for dossier, tokens, blobs in made
    ]


def store_receipts(tx: Transaction, receipts: Sequence[tuple[Dossier, str]]) -> list[Dossier]:
    """Write down receipts, all or none; SIGNED becomes RELEASED."""
    rows = []
    for dossier, receipt in receipts:
        _check_arrow(dossier, State.RELEASED)
        rows.append(_supposed(dossier) | {"p_state": State.RELEASED.value, "p_receipt": receipt})
    _all(tx, _STORE_RECEIPT, rows)
    tx.changed.extend(dossier.id for dossier, _ in receipts)
    return [msgspec.structs.replace(dossier, receipt=receipt, state=State.RELEASED) for dossier, receipt in receipts]


def fail(tx: Transaction, dossier: Dossier, code: str, detail: str) -> Dossier:
    """Write down why a request failed for good; SIGNING becomes FAILED."""
    return _over(tx, dossier, State.FAILED, code, detail)


def deny(tx: Transaction, dossier: Dossier, code: str, detail: str) -> Dossier:
    """Write down who said no, and why; REQUESTED or APPROVED becomes DENIED."""
    return _over(tx, dossier, State.DENIED, code, detail)


def _over(tx: Transaction, dossier: Dossier, becomes: State, code: str, detail: str) -> Dossier:
    _check_arrow(dossier, becomes)
    _one(tx, dossier, _FAIL, p_state=becomes.value, p_code=code, p_detail=detail)
    tx.changed.append(dossier.id)
    return msgspec.structs.replace(dossier, failure_code=code, failure_detail=detail, state=becomes)


def unfinished_of_all_subscribers(
    connection: Connection, states: Sequence[State], *, limit: int = 256, unleased_at: datetime | None = None
) -> list[tuple[str, str]]:
    """List (Subscriber, id) of requests in these states, oldest first; with ``unleased_at`` only those nobody holds."""
    wanted = select(requests.c.subscriber, requests.c.id).where(requests.c.state.in_([s.value for s in states]))
    if unleased_at is not None:
        wanted = wanted.where(or_(requests.c.lease_until.is_(None), requests.c.lease_until < unleased_at))
    return [(row.subscriber, row.id) for row in connection.execute(wanted.order_by(requests.c.created).limit(limit))]


def expired_of_all_subscribers(connection: Connection, now: datetime, *, limit: int = 256) -> list[tuple[str, str]]:
    """List (Subscriber, id) of requests whose time ran out before anyone began to sign."""
    waiting = and_(
        requests.c.state.in_((State.REQUESTED.value, State.APPROVED.value)),
        requests.c.expires < now,
        or_(requests.c.lease_until.is_(None), requests.c.lease_until < now),
    )
    rows = connection.execute(select(requests.c.subscriber, requests.c.id).where(waiting).limit(limit))
    return [(row.subscriber, row.id) for row in rows]


def forget_leases_of_all_subscribers(connection: Connection, former: Holder | None = None) -> None:
    """Drop the leases of a node's former lives, which are over; those of all where no other node can have any."""
    lost = update(requests).where(requests.c.lease_until.is_not(None))
    if former is not None:
        lost = lost.where(requests.c.lease_node == former.node, requests.c.lease_boot != former.boot)
    connection.execute(lost.values(_UNHELD))


def _check_arrow(dossier: Dossier, becomes: State) -> None:
    if not may_follow(dossier.state, becomes):
        raise Conflict(f"A request that is {dossier.state} cannot become {becomes}.")


def _whose(dossier: Dossier) -> dict[str, Any]:
    """Return what makes a row this walk's own: its id under the walk's fence."""
    return {"p_subscriber": dossier.subscriber, "p_id": dossier.id, "p_fence": dossier.fence}


def _supposed(dossier: Dossier) -> dict[str, Any]:
    """Return what makes a row this walk's own and as it left it."""
    return _whose(dossier) | {"p_was": dossier.state.value}


def _placed(dossier: Dossier) -> dict[str, Any]:
    """Return where the dossier's intent stands in the log."""
    intent = dossier.intent
    return {"p_index": intent and intent.index, "p_seq": intent and intent.key_seq}


def _one(tx: Transaction, dossier: Dossier, statement: Update, **values: Any) -> None:
    if tx.connection.execute(statement, _supposed(dossier) | values).rowcount != 1:
        raise Conflict(f"Request {dossier.id} was changed by somebody else meanwhile.", hint="ask for it again")


def _all(tx: Transaction, statement: Prepared, rows: list[dict[str, Any]]) -> None:
    """Carry a statement out for every row; Conflict unless each changed one."""
    if statement.carry_out(tx.connection, rows) != len(rows):
        which = f"Request {rows[0]['p_id']}" if len(rows) == 1 else f"One of {len(rows)} requests"
        raise Conflict(f"{which} was changed by somebody else meanwhile.", hint="ask for it again")


def _dossier(row: Row[Any]) -> Dossier:
    return Dossier(
        id=row.id,
        subscriber=row.subscriber,
        idempotency_key=row.idempotency_key,
        requester=row.requester,
        state=State(row.state),
        canonical=row.canonical,
        digest=row.digest,
        created=row.created,
        salt=row.salt,
        completion_salt=row.completion_salt,
        intent=None if row.intent_index is None else Intent(row.intent_index, row.intent_seq),
        signatures=packed.octets(row.signatures),
        tokens=packed.tokens(row.tokens),
        blobs=packed.octets(row.blobs),
        receipt=row.receipt,
        failure_code=row.failure_code,
        failure_detail=row.failure_detail,
        fence=row.fence,
        policy=row.policy,
        allowed_by=tuple((row.allowed_by or "").split()),
        grant=row.granted,
    )
