"""By what people sign in: accounts, invitations, passkeys, recovery codes, identities, and what was used once."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from privyseal.access.passkeys import Passkey, Shown
from privyseal.errors import Conflict, NotAuthenticated, NotFound
from privyseal.records.database import Transaction
from privyseal.records.parties import is_in
from privyseal.records.tables import (
    accounts,
    identities,
    invitations,
    members,
    passkeys,
    recovery_codes,
    spent_notes,
)
from privyseal.terms.parties import Member, Role


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """By what one member signs in here."""

    member: str
    login: str
    password: str | None
    """An Argon2id PHC string."""
    totp: bytes | None
    """The app's secret, sealed."""
    totp_pending: bytes | None
    """One that was shown and not confirmed yet."""
    totp_step: int
    failures: int
    not_before: datetime | None

    def __repr__(self) -> str:
        """Show no secret, not even a sealed one."""
        return f"Account({self.member!r}, {self.login!r})"


def member(tx: Transaction, member_id: str) -> Member:
    """Read one of the Subscriber's members; NotFound where there is none of that id."""
    row = tx.connection.execute(
        select(members).where(members.c.subscriber == tx.subscriber, members.c.id == member_id)
    ).first()
    if row is None:
        raise NotFound("There is no such member.")
    return Member(row.id, row.subscriber, row.name, tuple(Role(each) for each in row.roles.split()), row.workload)


def members_named(tx: Transaction, name: str) -> list[Member]:
    """List the Subscriber's members of one name."""
    rows = tx.connection.execute(
        select(members.c.id).where(members.c.subscriber == tx.subscriber, members.c.name == name).order_by(members.c.id)
    )
    return [member(tx, row.id) for row in rows]


def add_account(tx: Transaction, of: str, login: str) -> None:
    """Write down under which name a member signs in; Conflict where another member of the Subscriber has it."""
    known = tx.connection.execute(
        select(accounts.c.member).where(accounts.c.subscriber == tx.subscriber, accounts.c.login == login)
    ).scalar()
    if known == of:
        return
    if known is not None:
        raise Conflict(f"Another member signs in as {login!r}.", hint="choose another name to sign in with")
    tx.connection.execute(delete(accounts).where(accounts.c.subscriber == tx.subscriber, accounts.c.member == of))
    tx.connection.execute(
        insert(accounts).values(member=of, subscriber=tx.subscriber, login=login, totp_step=0, failures=0)
    )


def account(tx: Transaction, of: str) -> Account | None:
    """Read the account of a member, if it has one."""
    return _account(tx.connection.execute(_mine(tx, of)).first())


def account_named(tx: Transaction, login: str) -> Account | None:
    """Read the account with a login."""
    query = select(accounts).where(accounts.c.subscriber == tx.subscriber, accounts.c.login == login)
    return _account(tx.connection.execute(query).first())


def change_account(tx: Transaction, of: str, **columns: Any) -> None:
    """Change columns of a member's account."""
    tx.connection.execute(
        update(accounts).where(accounts.c.subscriber == tx.subscriber, accounts.c.member == of).values(columns)
    )


def accept_step(tx: Transaction, of: str, step: int) -> bool:
    """Remember that a step of the app's codes was accepted; False where it, or a newer one, was before."""
    done = tx.connection.execute(
        update(accounts)
        .where(accounts.c.subscriber == tx.subscriber, accounts.c.member == of, accounts.c.totp_step < step)
        .values(totp_step=step)
    )
    return done.rowcount == 1


def add_invitation(tx: Transaction, of: str, digest: bytes, created: datetime, expires: datetime) -> None:
    """Write down the SHA-256 of an invitation; the ones of before are over."""
    tx.connection.execute(
        delete(invitations).where(invitations.c.subscriber == tx.subscriber, invitations.c.member == of)
    )
    row = {"digest": digest, "member": of, "subscriber": tx.subscriber, "created": created, "expires": expires}
    tx.connection.execute(insert(invitations).values(row))


def use_invitation(tx: Transaction, digest: bytes, now: datetime) -> None:
    """Use an invitation up; NotAuthenticated where it is over, or somebody just was quicker."""
    done = tx.connection.execute(
        delete(invitations).where(
            invitations.c.subscriber == tx.subscriber, invitations.c.digest == digest, invitations.c.expires > now
        )
    )
    if done.rowcount != 1:
        raise NotAuthenticated("The invitation was used already, or is too old.", hint="ask for a new one")


def invited_of_all_subscribers(connection: Connection, digest: bytes, now: datetime) -> Member | None:
    """Find who an invitation is for; None where it is unknown, used or too old."""
    row = connection.execute(
        select(members, invitations.c.expires)
        .join(invitations, invitations.c.member == members.c.id)
        .where(invitations.c.digest == digest, is_in(now))
    ).first()
    if row is None or row.expires <= now:
        return None
    return Member(row.id, row.subscriber, row.name, tuple(Role(each) for each in row.roles.split()), row.workload)


def add_passkey(tx: Transaction, passkey: Passkey, now: datetime) -> None:
    """Write down a member's new passkey; Conflict where its id is known, for whomever."""
    row = msgspec.structs.asdict(passkey) | {"subscriber": tx.subscriber, "created": now}
    try:
        with tx.connection.begin_nested():
            tx.connection.execute(insert(passkeys).values(row))
    except IntegrityError as error:
        raise Conflict("This passkey is registered already.") from error


def passkeys_of(tx: Transaction, of: str) -> list[Passkey]:
    """List a member's passkeys, oldest first, also those that are refused."""
    query = select(passkeys).where(passkeys.c.subscriber == tx.subscriber, passkeys.c.member == of)
    return [_passkey(row) for row in tx.connection.execute(query.order_by(passkeys.c.created))]


def passkey_of_all_subscribers(connection: Connection, credential: bytes) -> tuple[Passkey, str] | None:
    """Find a passkey by its id, and whose Subscriber's it is."""
    row = connection.execute(select(passkeys).where(passkeys.c.credential == credential)).first()
    return None if row is None else (_passkey(row), row.subscriber)


def passkey_was_used(tx: Transaction, passkey: Passkey, shown: Shown, now: datetime) -> bool:
    """Remember a passkey's counter; False where it was used with that counter, or refused, in the meantime."""
    done = tx.connection.execute(
        update(passkeys)
        .where(
            passkeys.c.subscriber == tx.subscriber,
            passkeys.c.credential == passkey.credential,
            passkeys.c.count == passkey.count,
            passkeys.c.refused.is_(False),
        )
        .values(count=shown.count, backed_up=shown.backed_up, used=now)
    )
    return done.rowcount == 1


def refuse_passkey(tx: Transaction, credential: bytes) -> None:
    """Let a passkey open nothing any more."""
    tx.connection.execute(
        update(passkeys)
        .where(passkeys.c.subscriber == tx.subscriber, passkeys.c.credential == credential)
        .values(refused=True)
    )


def remove_passkey(tx: Transaction, of: str, credential: bytes) -> None:
    """Forget a passkey of a member; NotFound where it is not theirs."""
    done = tx.connection.execute(
        delete(passkeys).where(
            passkeys.c.subscriber == tx.subscriber, passkeys.c.member == of, passkeys.c.credential == credential
        )
    )
    if done.rowcount != 1:
        raise NotFound("There is no such passkey.")


def replace_recovery_codes(tx: Transaction, of: str, digests: list[bytes]) -> None:
    """Write down new recovery codes; the old ones are over."""
    theirs = (recovery_codes.c.subscriber == tx.subscriber, recovery_codes.c.member == of)
    tx.connection.execute(delete(recovery_codes).where(*theirs))
    rows = [{"digest": each, "member": of, "subscriber": tx.subscriber} for each in digests]
    if rows:
        tx.connection.execute(insert(recovery_codes), rows)


def use_recovery_code(tx: Transaction, of: str, digest: bytes) -> bool:
    """Use a recovery code up; False where there is none like it."""
    done = tx.connection.execute(
        delete(recovery_codes).where(
            recovery_codes.c.subscriber == tx.subscriber,
            recovery_codes.c.member == of,
            recovery_codes.c.digest == digest,
        )
    )
    return done.rowcount == 1


def recovery_codes_left(tx: Transaction, of: str) -> int:
    """Count a member's recovery codes."""
    query = select(func.count()).where(recovery_codes.c.subscriber == tx.subscriber, recovery_codes.c.member == of)
    return int(tx.connection.execute(query).scalar_one())


def link(tx: Transaction, of: str, issuer: str, subject: str, now: datetime) -> None:
    """Write down which subject of a provider a member is; Conflict where it is somebody already."""
    row = {"issuer": issuer, "subject": subject, "member": of, "subscriber": tx.subscriber, "created": now}
    try:
        with tx.connection.begin_nested():
            tx.connection.execute(insert(identities).values(row))
    except IntegrityError as error:
        raise Conflict("This identity is linked to a member already.", hint="sign in with it") from error


def linked_of_all_subscribers(connection: Connection, issuer: str, subject: str, now: datetime) -> Member | None:
    """Find the member that a provider's subject is; None where they have left."""
    row = connection.execute(
        select(members)
        .join(identities, identities.c.member == members.c.id)
        .where(identities.c.issuer == issuer, identities.c.subject == subject, is_in(now))
    ).first()
    if row is None:
        return None
    return Member(row.id, row.subscriber, row.name, tuple(Role(each) for each in row.roles.split()), row.workload)


def identities_of(tx: Transaction, of: str) -> list[tuple[str, str]]:
    """List the issuers and subjects that a member is."""
    query = select(identities.c.issuer, identities.c.subject).where(
        identities.c.subscriber == tx.subscriber, identities.c.member == of
    )
    return [(row.issuer, row.subject) for row in tx.connection.execute(query)]


def spend(tx: Transaction, digest: bytes, expires: datetime, now: datetime) -> None:
    """Use a note up, and forget those of the Subscriber that are too old anyway; NotAuthenticated where it was used."""
    tx.connection.execute(
        delete(spent_notes).where(spent_notes.c.subscriber == tx.subscriber, spent_notes.c.expires < now)
    )
    try:
        with tx.connection.begin_nested():
            row = {"digest": digest, "subscriber": tx.subscriber, "expires": expires}
            tx.connection.execute(insert(spent_notes).values(row))
    except IntegrityError:
        raise NotAuthenticated("This was used already.", hint="begin again") from None


def forget_credentials(tx: Transaction, of: str) -> None:
    """Take everything away by which a member signs in here: a leaver's."""
    for table in (accounts, invitations, passkeys, recovery_codes, identities):
        tx.connection.execute(delete(table).where(table.c.subscriber == tx.subscriber, table.c.member == of))


def _mine(tx: Transaction, of: str) -> Any:
    return select(accounts).where(accounts.c.subscriber == tx.subscriber, accounts.c.member == of)


def _account(row: Any) -> Account | None:
    if row is None:
        return None
    return Account(**{name: getattr(row, name) for name in Account.__struct_fields__})


def _passkey(row: Any) -> Passkey:
    return Passkey(**{name: getattr(row, name) for name in Passkey.__struct_fields__})
