"""Sign-ins of people that have not ended, and command lines that wait to be let in."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, func, insert, or_, select, update

from privyseal.access.sessions import IDLE_LIMIT, Session
from privyseal.errors import NotFound, Overloaded
from privyseal.records.database import Transaction
from privyseal.records.parties import is_in
from privyseal.records.tables import device_codes, members, sessions
from privyseal.terms.parties import Factor, Member, Role

MOST_DEVICE_CODES = 1000
"""Command lines that wait to be let in at once; strangers can ask, so there is an end to it."""


class DeviceCode(msgspec.Struct, frozen=True, kw_only=True):
    """One command line that waits."""

    digest: bytes
    subscriber: str | None
    member: str | None
    session: str | None
    label: str
    expires: datetime
    refused: bool
    asked: datetime | None


def add(tx: Transaction, digest: bytes, session: Session) -> None:
    """Write down a new session, and forget those of the same member that are over."""
    theirs = (sessions.c.subscriber == tx.subscriber, sessions.c.member == session.member.id)
    idle = (sessions.c.kind == "browser") & (sessions.c.seen < session.begun - IDLE_LIMIT)
    tx.connection.execute(delete(sessions).where(*theirs, or_(sessions.c.ends < session.begun, idle)))
    row = {name: getattr(session, name) for name in Session.__struct_fields__}
    row |= {"digest": digest, "subscriber": tx.subscriber, "member": session.member.id}
    row["factors"] = " ".join(session.factors)
    tx.connection.execute(insert(sessions).values(row))


def by_digest_of_all_subscribers(connection: Connection, digest: bytes, now: datetime) -> Session | None:
    """Find the session whose token has this SHA-256, also one that is over; None where its member has left."""
    row = connection.execute(_query().where(sessions.c.digest == digest, is_in(now))).first()
    return None if row is None else _session(row)


def by_id(tx: Transaction, session: str, now: datetime) -> Session | None:
    """Read one of the Subscriber's sessions, also one that is over; None where its member has left."""
    mine = (sessions.c.subscriber == tx.subscriber, sessions.c.id == session)
    row = tx.connection.execute(_query().where(*mine, is_in(now))).first()
    return None if row is None else _session(row)


def of_member(tx: Transaction, member: str) -> list[Session]:
    """List a member's sessions, newest first."""
    query = _query().where(sessions.c.subscriber == tx.subscriber, sessions.c.member == member)
    return [_session(row) for row in tx.connection.execute(query.order_by(sessions.c.begun.desc()))]


def touch(tx: Transaction, session: str, now: datetime) -> None:
    """Remember that a session was used."""
    mine = (sessions.c.subscriber == tx.subscriber, sessions.c.id == session)
    tx.connection.execute(update(sessions).where(*mine).values(seen=now))


def end(tx: Transaction, member: str, session: str) -> None:
    """End one session of a member; NotFound where it is not theirs."""
    done = tx.connection.execute(
        delete(sessions).where(
            sessions.c.subscriber == tx.subscriber, sessions.c.member == member, sessions.c.id == session
        )
    )
    if done.rowcount != 1:
        raise NotFound("There is no such session.")


def end_all(tx: Transaction, member: str, but: str = "") -> int:
    """End all sessions of a member but one; return how many."""
    done = tx.connection.execute(
        delete(sessions).where(
            sessions.c.subscriber == tx.subscriber, sessions.c.member == member, sessions.c.id != but
        )
    )
    return int(done.rowcount)


def add_device_of_all_subscribers(
    connection: Connection, digest: bytes, user_code: bytes, label: str, now: datetime, expires: datetime
) -> None:
    """Write down a command line that waits; Overloaded where too many do."""
    connection.execute(delete(device_codes).where(device_codes.c.expires < now))
    waiting = connection.execute(select(func.count()).select_from(device_codes)).scalar_one()
    if waiting >= MOST_DEVICE_CODES:
        raise Overloaded("Too many command lines wait to be let in.", hint="try again in a few minutes")
    row = {"digest": digest, "user_code": user_code, "label": label, "expires": expires, "refused": False}
    connection.execute(insert(device_codes).values(row))


def device_of_all_subscribers(
    connection: Connection, now: datetime, *, digest: bytes | None = None, user_code: bytes | None = None
) -> DeviceCode | None:
    """Find a waiting command line by one of its codes; None where it is unknown or too old."""
    by = device_codes.c.digest == digest if digest is not None else device_codes.c.user_code == user_code
    row = connection.execute(select(device_codes).where(by, device_codes.c.expires > now)).first()
    return None if row is None else DeviceCode(**{name: getattr(row, name) for name in DeviceCode.__struct_fields__})


def answer_device_of_all_subscribers(
    connection: Connection, digest: bytes, *, subscriber: str, member: str, session: str, refused: bool
) -> bool:
    """Write down what a member said to a waiting command line; False where somebody has answered it."""
    done = connection.execute(
        update(device_codes)
        .where(device_codes.c.digest == digest, device_codes.c.member.is_(None))
        .values(subscriber=subscriber, member=member, session=session, refused=refused)
    )
    return done.rowcount == 1


def device_asked_of_all_subscribers(connection: Connection, digest: bytes, now: datetime) -> None:
    """Remember when a command line asked last."""
    connection.execute(update(device_codes).where(device_codes.c.digest == digest).values(asked=now))


def take_device_of_all_subscribers(connection: Connection, digest: bytes) -> bool:
    """Use a waiting command line's code up; False where it was used."""
    return connection.execute(delete(device_codes).where(device_codes.c.digest == digest)).rowcount == 1


def _query() -> Any:
    columns = (members.c.name, members.c.roles, members.c.workload)
    return select(sessions, *columns).join(members, members.c.id == sessions.c.member)


def _session(row: Any) -> Session:
    member = Member(row.member, row.subscriber, row.name, tuple(Role(each) for each in row.roles.split()), row.workload)
    known = {name: getattr(row, name) for name in Session.__struct_fields__ if name not in ("member", "factors")}
    return Session(**known, member=member, factors=tuple(Factor(each) for each in row.factors.split()))
