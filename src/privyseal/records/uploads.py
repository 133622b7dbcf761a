"""Whose the files in the spool are: uploads by their SHA-256, and the one file of each request in mode ``server``.

Every row belongs to one Subscriber. The same content of two Subscribers is two uploads, so that nobody can find out by
announcing a digest whether somebody else has such a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, or_, select, update

from privyseal.errors import Conflict, NotFound
from privyseal.records.database import Transaction
from privyseal.records.tables import artifacts, enclosures, requests, uploads
from privyseal.terms.requests import FINAL, State
from privyseal.terms.uploads import Artifact, NewUpload, Upload

_OVER = tuple(state.value for state in FINAL)


# -- what comes in -----------------------------------------------------------------------------------------------------
def add(tx: Transaction, upload_id: str, wanted: NewUpload, expires: datetime) -> Upload:
    """Write down a file that is about to come; Conflict where the Subscriber has announced the same one already."""
    upload = Upload(
        id=upload_id,
        subscriber=tx.subscriber,
        sha256=wanted.sha256,
        size=wanted.size,
        filename=wanted.filename,
        complete=False,
        expires=expires,
    )
    row = {name: getattr(upload, name) for name in Upload.__struct_fields__}
    tx.connection.execute(insert(uploads).values(row))
    return upload


def by_digest(tx: Transaction, sha256: str) -> Upload | None:
    """Find the Subscriber's upload of the content with this SHA-256; None where there is none."""
    row = tx.connection.execute(
        select(uploads).where(uploads.c.subscriber == tx.subscriber, uploads.c.sha256 == sha256)
    ).first()
    return None if row is None else _upload(row)


def get(tx: Transaction, upload_id: str) -> Upload:
    """Read one upload of the Subscriber; NotFound where it has none of that id."""
    row = tx.connection.execute(_mine(tx, upload_id)).first()
    if row is None:
        raise NotFound(f"There is no upload {upload_id[:40]!r}.", hint="announce the file again")
    return _upload(row)


def put_off(tx: Transaction, upload_id: str, expires: datetime) -> None:
    """Let an upload live until ``expires``; nothing where it is gone."""
    tx.connection.execute(update(uploads).where(*_whose(tx, upload_id)).values(expires=expires))


def complete(tx: Transaction, upload_id: str, expires: datetime) -> None:
    """Write down that every octet is there and was found right; Conflict where the upload is gone."""
    done = tx.connection.execute(
        update(uploads).where(*_whose(tx, upload_id)).values(complete=True, expires=expires)
    ).rowcount
    if done != 1:
        raise Conflict(f"The upload {upload_id} was taken away meanwhile.", hint="announce the file again")


def reopen(tx: Transaction, upload_id: str, expires: datetime) -> bool:
    """Write down that octets of an upload were lost and are to be sent again; False where it is gone."""
    lost = update(uploads).where(*_whose(tx, upload_id)).values(complete=False, expires=expires)
    return tx.connection.execute(lost).rowcount == 1


def remove(tx: Transaction, upload_id: str) -> None:
    """Forget an upload; Conflict where a request that is not over needs it."""
    if is_needed(tx, upload_id):
        raise Conflict(
            f"A request that is not over needs the upload {upload_id}.", hint="it goes when that is released"
        )
    tx.connection.execute(delete(uploads).where(*_whose(tx, upload_id)))


def is_needed(tx: Transaction, upload_id: str) -> bool:
    """Tell whether a request that is not over reads from an upload."""
    needing = (
        select(each.c.request)
        .join(requests, requests.c.id == each.c.request)
        .where(each.c.subscriber == tx.subscriber, each.c.upload == upload_id, requests.c.state.not_in(_OVER))
        .limit(1)
        for each in (artifacts, enclosures)
    )
    return any(tx.connection.execute(each).first() is not None for each in needing)


def held(tx: Transaction) -> tuple[int, int]:
    """Return how many octets the Subscriber's files have or were announced to have, and how many uploads it has."""
    coming = tx.connection.execute(
        select(func.coalesce(func.sum(uploads.c.size), 0), func.count()).where(uploads.c.subscriber == tx.subscriber)
    ).one()
    going = tx.connection.execute(
        select(func.coalesce(func.sum(artifacts.c.size), 0)).where(artifacts.c.subscriber == tx.subscriber)
    ).scalar_one()
    return int(coming[0]) + int(going), int(coming[1])


def enclose(tx: Transaction, request_id: str, enclosed: Sequence[Upload]) -> None:
    """Write down that these uploads travel beside the descriptions of a request; they are kept until it is over."""
    rows = [{"request": request_id, "subscriber": tx.subscriber, "upload": each.id} for each in enclosed]
    tx.connection.execute(insert(enclosures), rows)


def free_enclosed(tx: Transaction, request_id: str) -> list[str]:
    """Forget the uploads beside a request that is over, but those that others need; return the ids of what went."""
    mine = enclosures.c.subscriber == tx.subscriber, enclosures.c.request == request_id
    found = tx.connection.execute(select(enclosures.c.upload).where(*mine)).scalars().all()
    tx.connection.execute(delete(enclosures).where(*mine))
    gone = [each for each in found if not is_needed(tx, each)]
    tx.connection.execute(delete(uploads).where(uploads.c.subscriber == tx.subscriber, uploads.c.id.in_(gone)))
    return gone


# -- what goes out -----------------------------------------------------------------------------------------------------
def refer(tx: Transaction, request_id: str, upload: Upload) -> None:
    """Write down that a request signs an upload, which is kept until the request is over."""
    tx.connection.execute(
        insert(artifacts).values(
            request=request_id, subscriber=tx.subscriber, upload=upload.id, filename=upload.filename
        )
    )


def artifact(tx: Transaction, request_id: str) -> Artifact:
    """Read the file of a request; NotFound where it has none, or none any more."""
    found = artifact_if_any(tx, request_id)
    if found is None:
        raise NotFound(f"Request {request_id[:40]!r} has no file here.", hint="it was local, or the file was deleted")
    return found


def artifact_if_any(tx: Transaction, request_id: str) -> Artifact | None:
    """Read the file of a request; None where it has none, or none any more."""
    row = tx.connection.execute(
        select(artifacts).where(artifacts.c.subscriber == tx.subscriber, artifacts.c.request == request_id)
    ).first()
    return None if row is None else Artifact(**row._mapping)


def finish(tx: Transaction, request_id: str, sha256: str, size: int, expires: datetime) -> None:
    """Write down that the finished file of a request lies in the spool; the same again changes nothing but ``expires``.

    Conflict where another content was written down before, or the request has no file.
    """
    done = tx.connection.execute(
        update(artifacts)
        .where(
            artifacts.c.subscriber == tx.subscriber,
            artifacts.c.request == request_id,
            or_(artifacts.c.sha256.is_(None), artifacts.c.sha256 == sha256),
        )
        .values(sha256=sha256, size=size, expires=expires)
    ).rowcount
    if done != 1:
        raise Conflict(f"The finished file of request {request_id} is not the one that was written down before.")


def forget(tx: Transaction, request_id: str) -> None:
    """Forget the file of a request; nothing where it has none."""
    tx.connection.execute(
        delete(artifacts).where(artifacts.c.subscriber == tx.subscriber, artifacts.c.request == request_id)
    )


# -- what is deleted unasked -------------------------------------------------------------------------------------------
def stale_of_all_subscribers(connection: Connection, now: datetime, *, limit: int = 256) -> list[tuple[str, str]]:
    """List (Subscriber, id) of uploads whose time is past and that no request needs that is not over."""
    needed = (
        select(each.c.upload).join(requests, requests.c.id == each.c.request).where(requests.c.state.not_in(_OVER))
        for each in (artifacts, enclosures)
    )
    rows = connection.execute(
        select(uploads.c.subscriber, uploads.c.id)
        .where(uploads.c.expires <= now, *(uploads.c.id.not_in(each) for each in needed))
        .limit(limit)
    )
    return [(row.subscriber, row.id) for row in rows]


def spent_of_all_subscribers(connection: Connection, now: datetime, *, limit: int = 256) -> list[tuple[str, str]]:
    """List (Subscriber, request) of files whose request ended without one, or that were kept long enough."""
    rows = connection.execute(
        select(artifacts.c.subscriber, artifacts.c.request)
        .join(requests, requests.c.id == artifacts.c.request)
        .where(
            requests.c.state.in_(_OVER),
            or_(artifacts.c.expires <= now, requests.c.state != State.RELEASED.value),
        )
        .limit(limit)
    )
    return [(row.subscriber, row.request) for row in rows]


def names_of_all_subscribers(connection: Connection) -> set[str]:
    """List every name that a file in the spool may have: ids of uploads and of requests."""
    known = {row.id for row in connection.execute(select(uploads.c.id))}
    return known | {row.request for row in connection.execute(select(artifacts.c.request))}


def _whose(tx: Transaction, upload_id: str) -> tuple[Any, Any]:
    return uploads.c.subscriber == tx.subscriber, uploads.c.id == upload_id


def _mine(tx: Transaction, upload_id: str) -> Any:
    return select(uploads).where(*_whose(tx, upload_id))


def _upload(row: Row[Any]) -> Upload:
    return Upload(**row._mapping)
