"""Approvals: each approver's signature over a request, once."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import insert, select

from privyseal.records.database import Transaction
from privyseal.records.tables import approvals, requests
from privyseal.terms.requests import Approval


def add_approval(tx: Transaction, request_id: str, approval: Approval, now: datetime) -> None:
    """Write down one approver's signature; the same approver's again changes nothing."""
    if all(known.public_key != approval.public_key for known in approvals_of(tx, request_id)):
        tx.connection.execute(
            insert(approvals).values(
                request=request_id,
                public_key=approval.public_key,
                subscriber=tx.subscriber,
                approver=approval.approver,
                signature=approval.signature,
                created=now,
            )
        )


def approvals_of(tx: Transaction, request_id: str) -> list[Approval]:
    """List the approvals of one request, oldest first."""
    rows = tx.connection.execute(
        select(approvals, requests.c.digest)
        .join(requests, requests.c.id == approvals.c.request)
        .where(approvals.c.subscriber == tx.subscriber, approvals.c.request == request_id)
        .order_by(approvals.c.created, approvals.c.approver)
    )
    return [
        Approval(
            approver=row.approver,
            public_key=row.public_key,
            request_digest=bytes.fromhex(row.digest),
            signature=row.signature,
        )
        for row in rows
    ]
