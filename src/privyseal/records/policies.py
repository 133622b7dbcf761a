"""Policy sets in the order in which they were applied, what their limited rules have allowed, and attestations."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, bindparam, func, insert, select, text
from sqlalchemy.exc import IntegrityError

from privyseal.access.policies import AtMost, PolicySet, Version, read_set
from privyseal.access.reach import Party, party_of, runs_under
from privyseal.errors import Conflict, NotFound, TooLarge
from privyseal.records import trust
from privyseal.records.database import Transaction
from privyseal.records.prepared import Question
from privyseal.records.tables import attestations, identities, members, policies, requests, subscribers
from privyseal.terms.parties import Member, Role

MOST_ATTESTATIONS = 16
"""Envelopes for one file: provenance, a bill of materials, a few tests, each perhaps sent twice."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)


_NEWEST = Question(
    select(policies.c.digest)
    .where(policies.c.subscriber == bindparam("p_subscriber"))
    .order_by(policies.c.number.desc())
    .limit(1)
)


def current(tx: Transaction) -> PolicySet | None:
    """Return the set in force; None where the Subscriber never applied one.

    What a digest stands for is remembered, and only the digest is asked for.
    """
    newest = _NEWEST.first(tx.connection, p_subscriber=tx.subscriber)
    if newest is None:
        return None
    return _REMEMBERED.get(newest.digest) or _remember(version(tx, newest.digest))


_REMEMBERED: dict[str, PolicySet] = {}
_MOST_REMEMBERED = 256


def _remember(policy: PolicySet) -> PolicySet:
    if len(_REMEMBERED) >= _MOST_REMEMBERED:
        _REMEMBERED.clear()
    _REMEMBERED[policy.digest] = policy
    return policy


def version(tx: Transaction, digest: str) -> PolicySet:
    """Return the set with this digest, whether in force or not any more; NotFound where the Subscriber had none."""
    wanted = select(policies.c.octets).where(policies.c.subscriber == tx.subscriber, policies.c.digest == digest)
    octets = tx.connection.execute(wanted.limit(1)).scalar()
    if octets is None:
        raise NotFound(f"There is no policy set {digest[:64]!r}.")
    return read_set(bytes(octets))


def versions(tx: Transaction) -> list[Version]:
    """List the sets that were applied, the newest first."""
    rows = tx.connection.execute(
        select(policies).where(policies.c.subscriber == tx.subscriber).order_by(policies.c.number.desc())
    )
    return [
        Version(number=row.number, digest=row.digest, at=row.at, actor=row.actor, accepted=row.accepted) for row in rows
    ]


def put_in_force(tx: Transaction, policy: PolicySet, actor: str, at: datetime, accepted: str | None) -> Version:
    """Write a set down as the one in force; Conflict where somebody else has just applied one."""
    newest = select(func.max(policies.c.number)).where(policies.c.subscriber == tx.subscriber)
    number = (tx.connection.execute(newest).scalar() or 0) + 1
    row = {"subscriber": tx.subscriber, "number": number, "digest": policy.digest, "octets": policy.octets, "at": at}
    try:
        tx.connection.execute(insert(policies).values(row | {"actor": actor, "accepted": accepted}))
    except IntegrityError as error:
        raise Conflict("Another policy was applied in this moment.", hint="look at the plan again") from error
    return Version(number=number, digest=policy.digest, at=at, actor=actor, accepted=accepted)


_FIRST_USE = text(
    "INSERT INTO policy_uses (subscriber, rule, hour, in_hour, day, in_day, in_all) "
    "VALUES (:subscriber, :rule, 0, 0, 0, 0, 0) ON CONFLICT DO NOTHING"
)
_TAKE = text(
    "UPDATE policy_uses SET in_all = in_all + :uses, "
    "in_hour = CASE WHEN hour >= :hour THEN in_hour ELSE 0 END + :uses, "
    "hour = CASE WHEN hour > :hour THEN hour ELSE :hour END, "
    "in_day = CASE WHEN day >= :day THEN in_day ELSE 0 END + :uses, "
    "day = CASE WHEN day > :day THEN day ELSE :day END "
    "WHERE subscriber = :subscriber AND rule = :rule AND in_all + :uses <= :all_limit "
    "AND CASE WHEN hour >= :hour THEN in_hour ELSE 0 END + :uses <= :hour_limit "
    "AND CASE WHEN day >= :day THEN in_day ELSE 0 END + :uses <= :day_limit"
)
_NO_LIMIT = 2**62


def take(tx: Transaction, rule: str, limits: AtMost, uses: int, at: datetime) -> bool:
    """Count so many signatures under a rule, unless that were more than it allows; tell whether they were counted.

    One UPDATE that holds the row until the transaction ends: whoever counts at the same time waits, and sees them. An
    hour that has begun does not begin anew, whatever another node's clock says.
    """
    given = {"subscriber": tx.subscriber, "rule": rule, "uses": uses}
    given |= {"hour": (at - _EPOCH) // _HOUR, "day": (at - _EPOCH) // _DAY}
    for name, limit in (("hour", limits.per_hour), ("day", limits.per_day), ("all", limits.in_all)):
        given[f"{name}_limit"] = _NO_LIMIT if limit is None else limit
    tx.connection.execute(_FIRST_USE, {"subscriber": tx.subscriber, "rule": rule})
    return tx.connection.execute(_TAKE, given).rowcount == 1


def governing(tx: Transaction, request_id: str) -> tuple[str, ...]:
    """Return the names of the rules that allowed a request; nothing where no policy was in force."""
    wanted = select(requests.c.allowed_by).where(requests.c.subscriber == tx.subscriber, requests.c.id == request_id)
    return tuple((tx.connection.execute(wanted).scalar() or "").split())


def parties(tx: Transaction) -> list[Party]:
    """Return who could ask: the Subscriber's members by name, and the runs that its trust rules let in as them.

    Who has left is none of them.
    """
    mine = (members.c.subscriber == tx.subscriber, members.c.ended.is_(None))
    rows = tx.connection.execute(select(members).where(*mine).order_by(members.c.name))
    them = [Member(row.id, row.subscriber, row.name, tuple(map(Role, row.roles.split())), row.workload) for row in rows]
    known = _known_as(tx)
    by_id = {each.id: each for each in them}
    runs = [runs_under(rule, by_id[rule.member]) for rule in trust.rules(tx) if rule.member in by_id]
    return [*(party_of(each, *known.get(each.id, ())) for each in them), *runs]


def _known_as(tx: Transaction) -> dict[str, list[str]]:
    """Return the subjects that members are at identity providers, by member.

    One that is an e-mail address is the same person at any provider; any other means something at its own alone.
    """
    found: dict[str, list[str]] = {}
    wanted = select(identities).where(identities.c.subscriber == tx.subscriber).order_by(identities.c.subject)
    for row in tx.connection.execute(wanted):
        known = row.subject if "@" in row.subject else f"{row.subject} at {row.issuer}"
        found.setdefault(row.member, []).append(known)
    return found


def without_policy_of_all_subscribers(connection: Connection) -> list[str]:
    """Name the Subscribers for whom roles alone decide, because they never applied a policy."""
    governed = select(policies.c.subscriber)
    wanted = select(subscribers.c.name).where(subscribers.c.name.not_in(governed)).order_by(subscribers.c.name)
    return list(connection.execute(wanted).scalars())


def bring(tx: Transaction, files: tuple[str, ...], octets: bytes, at: datetime) -> str:
    """Keep an envelope for each of the files it is about, once; return its SHA-256. TooLarge where a file has many."""
    digest = hashlib.sha256(octets).hexdigest()
    for file in files:
        if octets in brought(tx, file):
            continue
        if len(brought(tx, file)) >= MOST_ATTESTATIONS:
            raise TooLarge(
                f"{MOST_ATTESTATIONS} attestations have come for the file {file[:16]}...; no more are taken."
            )
        row = {"subscriber": tx.subscriber, "file": file, "digest": digest, "octets": octets, "at": at}
        tx.connection.execute(insert(attestations).values(row))
    return digest


def brought(tx: Transaction, file: str) -> tuple[bytes, ...]:
    """Return the envelopes that came for a file, by its SHA-256."""
    wanted = select(attestations.c.octets).where(
        attestations.c.subscriber == tx.subscriber, attestations.c.file == file
    )
    return tuple(bytes(row.octets) for row in tx.connection.execute(wanted.order_by(attestations.c.digest)))
