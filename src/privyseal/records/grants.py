"""Grants, who agreed to them, and what came under them. Rows are added and revoked; what was agreed to stays."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import msgspec
from sqlalchemy import Connection, Row, Update, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from privyseal.errors import Conflict, NotFound
from privyseal.records.database import Transaction
from privyseal.records.tables import grant_approvals, grant_uses, grants, requests
from privyseal.terms.grants import Grant, grant_digest, read_grant
from privyseal.terms.requests import Approval, Dossier

_APPROVAL = msgspec.json.Decoder(Approval)

MOST_LISTED = 500
"""Grants in one list, the newest."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A grant as it is kept."""

    id: str
    canonical: bytes
    created: datetime
    agreed: datetime | None
    """Since when enough people have agreed, by what the records knew then."""
    revoked: datetime | None
    revoked_by: str
    told: str
    used: int
    """Signatures of the requests that came under it, whatever became of them: never fewer than the signer counted."""

    @property
    def grant(self) -> Grant:
        """Return what is agreed to."""
        return read_grant(self.canonical)

    @property
    def digest(self) -> bytes:
        """Return the digest that is agreed to, 32 octets."""
        return grant_digest(self.canonical)


_counted = grant_uses.alias("counted")
_USED = (
    select(func.coalesce(func.sum(_counted.c.signatures), 0))
    .where(_counted.c.of_grant == grants.c.id)
    .correlate(grants)
    .scalar_subquery()
    .label("used")
)


def add(tx: Transaction, grant_id: str, grant: Grant, now: datetime) -> None:
    """Write down what was proposed."""
    row = {"id": grant_id, "subscriber": tx.subscriber, "key_name": grant.key, "requester": grant.requester}
    times = {"canonical": grant.canonical(), "created": now, "until": grant.until}
    tx.connection.execute(insert(grants).values(row | times | {"revoked_by": "", "told": ""}))


def get(tx: Transaction, grant_id: str, *, locked: bool = False) -> Kept:
    """Read one grant of the Subscriber; NotFound where it has none. ``locked``: nobody else changes or uses it now."""
    mine = (grants.c.subscriber == tx.subscriber, grants.c.id == grant_id)
    if locked:  # first the lock, then the sum of its uses as others left it
        tx.connection.execute(select(grants.c.id).where(*mine).with_for_update())
    row = tx.connection.execute(select(grants, _USED).where(*mine)).first()
    if row is None:
        raise NotFound(f"There is no grant {grant_id[:40]!r}.")
    return _kept(row)


def listed(tx: Transaction) -> list[Kept]:
    """List the Subscriber's grants, the newest first."""
    wanted = select(grants, _USED).where(grants.c.subscriber == tx.subscriber)
    rows = tx.connection.execute(wanted.order_by(grants.c.created.desc(), grants.c.id).limit(MOST_LISTED))
    return [_kept(row) for row in rows]


def in_force(tx: Transaction, key: str, requester: str, now: datetime) -> list[Kept]:
    """List the grants for a key and who asks, that are agreed to, neither revoked nor over, the first to end first."""
    wanted = select(grants, _USED).where(
        grants.c.subscriber == tx.subscriber,
        grants.c.key_name == key,
        grants.c.requester == requester,
        grants.c.agreed.is_not(None),
        grants.c.revoked.is_(None),
        grants.c.until > now,
    )
    return [_kept(row) for row in tx.connection.execute(wanted.order_by(grants.c.until, grants.c.id))]


def of_digest(tx: Transaction, digest: str, request_id: str) -> Kept | None:
    """Return the grant under which a request came, or None."""
    row = tx.connection.execute(
        select(grants, _USED)
        .join(grant_uses, grant_uses.c.of_grant == grants.c.id)
        .where(grant_uses.c.subscriber == tx.subscriber, grant_uses.c.request == request_id)
    ).first()
    return None if row is None or _kept(row).digest.hex() != digest else _kept(row)


def open_count(tx: Transaction, now: datetime) -> int:
    """Count the Subscriber's grants that are neither revoked nor over."""
    wanted = select(func.count()).where(
        grants.c.subscriber == tx.subscriber, grants.c.revoked.is_(None), grants.c.until > now
    )
    return int(tx.connection.execute(wanted).scalar() or 0)


def agree(tx: Transaction, grant_id: str, approval: Approval, now: datetime) -> None:
    """Write down that somebody agreed; Conflict where another transaction has just written the same."""
    row = {"of_grant": grant_id, "subscriber": tx.subscriber, "public_key": approval.public_key, "created": now}
    try:
        tx.connection.execute(insert(grant_approvals).values(row | {"document": msgspec.json.encode(approval)}))
    except IntegrityError:
        raise Conflict("This approver agreed at the same moment.", hint="look at the grant again") from None


def approvals_of(tx: Transaction, grant_id: str) -> list[Approval]:
    """List who agreed to a grant, oldest first."""
    wanted = select(grant_approvals.c.document).where(
        grant_approvals.c.subscriber == tx.subscriber, grant_approvals.c.of_grant == grant_id
    )
    rows = tx.connection.execute(wanted.order_by(grant_approvals.c.created, grant_approvals.c.public_key))
    return [_APPROVAL.decode(row.document) for row in rows]


def put_in_force(tx: Transaction, grant_id: str, now: datetime) -> None:
    """Write down that enough people have agreed."""
    tx.connection.execute(_mine(tx, grant_id).values(agreed=now))


def revoke(tx: Transaction, grant_id: str, actor: str, now: datetime) -> bool:
    """Write down that nothing comes under it any more; False where it was revoked already."""
    done = tx.connection.execute(
        _mine(tx, grant_id).where(grants.c.revoked.is_(None)).values(revoked=now, revoked_by=actor)
    )
    return done.rowcount == 1


def note_told(tx: Transaction, grant_id: str, what: str) -> None:
    """Remember of which of its ends people were told."""
    tx.connection.execute(_mine(tx, grant_id).values(told=what))


def use(tx: Transaction, kept: Kept, dossier: Dossier, proof: bytes, count: int, now: datetime) -> Dossier:
    """Write down that a request comes under a grant, for so many signatures."""
    row = {"request": dossier.id, "of_grant": kept.id, "subscriber": tx.subscriber, "signatures": count}
    tx.connection.execute(insert(grant_uses).values(row | {"proof": proof, "at": now}))
    mine = (requests.c.subscriber == tx.subscriber, requests.c.id == dossier.id)
    tx.connection.execute(update(requests).where(*mine).values(granted=kept.digest.hex()))
    return msgspec.structs.replace(dossier, grant=kept.digest.hex())


def proof_of(tx: Transaction, request_id: str) -> bytes:
    """Return the proof that came with a request; empty where there is none."""
    wanted = select(grant_uses.c.proof).where(
        grant_uses.c.subscriber == tx.subscriber, grant_uses.c.request == request_id
    )
    return bytes(tx.connection.execute(wanted).scalar() or b"")


def expiring_of_all_subscribers(
    connection: Connection, now: datetime, until: datetime, told: Collection[str]
) -> list[tuple[str, str]]:
    """List (Subscriber, id) of grants in force that end before ``until`` and of whose end nobody was told."""
    wanted = select(grants.c.subscriber, grants.c.id).where(
        grants.c.agreed.is_not(None),
        grants.c.revoked.is_(None),
        grants.c.until > now,
        grants.c.until <= until,
        grants.c.told.not_in(told),
    )
    return [(row.subscriber, row.id) for row in connection.execute(wanted.order_by(grants.c.until).limit(256))]


def _mine(tx: Transaction, grant_id: str) -> Update:
    return update(grants).where(grants.c.subscriber == tx.subscriber, grants.c.id == grant_id)


def _kept(row: Row[tuple[object, ...]]) -> Kept:
    return Kept(
        id=row.id,
        canonical=bytes(row.canonical),
        created=row.created,
        agreed=row.agreed,
        revoked=row.revoked,
        revoked_by=row.revoked_by,
        told=row.told,
        used=int(row.used),
    )
