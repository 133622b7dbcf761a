"""Approvals: each approver's signature over a request, once; and which request of a key people agreed to last."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Row, insert, select

from privyseal.records.database import Transaction
from privyseal.records.tables import approvals, requests
from privyseal.terms.requests import Approval, Assertion, State


def add_approval(
    tx: Transaction, request_id: str, approval: Approval, now: datetime, key_id: str | None = None
) -> None:
    """Write down one approver's signature; the same public key's again changes nothing.

    ``key_id`` is that of the Key Pair that the request is for.
    """
    if all(known.public_key != approval.public_key for known in approvals_of(tx, request_id)):
        said = approval.assertion
        tx.connection.execute(
            insert(approvals).values(
                request=request_id,
                public_key=approval.public_key,
                subscriber=tx.subscriber,
                approver=approval.approver,
                signature=approval.signature,
                created=now,
                stage=approval.stage,
                authenticator_data=None if said is None else said.authenticator_data,
                client_data=None if said is None else said.client_data,
                key_id=key_id,
            )
        )


def approvals_of(tx: Transaction, request_id: str) -> list[Approval]:
    """List the approvals of one request, oldest first."""
    rows = tx.connection.execute(
        select(approvals, requests.c.digest)
        .join(requests, requests.c.id == approvals.c.request)
        .where(approvals.c.subscriber == tx.subscriber, approvals.c.request == request_id)
        .order_by(approvals.c.stage, approvals.c.created, approvals.c.approver)
    )
    return [
        Approval(
            approver=row.approver,
            public_key=row.public_key,
            request_digest=bytes.fromhex(row.digest),
            signature=row.signature,
            stage=row.stage,
            assertion=_assertion(row),
        )
        for row in rows
    ]


def last_agreed(tx: Transaction, key_id: str) -> tuple[str, bytes] | None:
    """Return id and canonical octets of the newest released request of a key that people agreed to, or None."""
    row = tx.connection.execute(
        select(requests.c.id, requests.c.canonical)
        .join(approvals, approvals.c.request == requests.c.id)
        .where(
            approvals.c.subscriber == tx.subscriber,
            approvals.c.key_id == key_id,
            requests.c.state == State.RELEASED.value,
        )
        .order_by(requests.c.created.desc(), requests.c.id)
        .limit(1)
    ).first()
    return None if row is None else (row.id, bytes(row.canonical))


def _assertion(row: Row[tuple[object, ...]]) -> Assertion | None:
    if row.authenticator_data is None and row.client_data is None:
        return None
    return Assertion(authenticator_data=row.authenticator_data or b"", client_data=row.client_data or b"")
