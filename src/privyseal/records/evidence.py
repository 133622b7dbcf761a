"""Rows become what the Requirements are judged on: Key Pairs, Subscribers, members, and single requests to sign.

Whatever the records do not hold is None in the subject, and is never met. All signatures of a service are in
``released.py``, which reads them in bulk.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Literal

import msgspec
from sqlalchemy import Connection, Select, and_, or_, select

from privyseal.compliance import certificate as judged
from privyseal.compliance.certificate import JudgedCertificate
from privyseal.compliance.known import SERVICE, Known, of_key, of_subscriber
from privyseal.compliance.requirement import Kind
from privyseal.compliance.subjects import (
    Authentication,
    KeyPairRecord,
    Loss,
    MemberRecord,
    SignatureRecord,
    SubscriberRecord,
)
from privyseal.errors import BadInput
from privyseal.pki import certificates as x509
from privyseal.records.database import Transaction
from privyseal.records.tables import (
    accounts,
    approvals,
    certificates,
    client_certificates,
    evaluations,
    events,
    identities,
    key_pairs,
    log_gaps,
    members,
    passkeys,
    recovery_codes,
    scoped_tokens,
    subscribers,
    tokens,
    trust_rules,
)
from privyseal.terms.certificates import Certificate
from privyseal.terms.keys import KeyPair
from privyseal.terms.parties import Factor, Role
from privyseal.terms.requests import Dossier, SigningRequest

BATCH = 500
"""Key Pairs that are read at once, with their certificates: some 2 MiB."""

NAMED_BY = 16
"""Hex digits of a certificate's SHA-256 by which it is told from others of the same name."""

CLOUDS = frozenset({"awskms", "azurekv", "gcpkms", "vault"})
"""Key stores that are somebody else's cloud (CSBR 6.2.7.3)."""

Scanned = Literal["clean", "outdated", "none"] | None
"""What scanners said of a file, the worst of them; None where the service never saw the file."""

Owned = tuple[str, KeyPairRecord]
"""A Key Pair and the name of its Subscriber."""


# -- Key Pairs ---------------------------------------------------------------------------------------------------------
def key_pairs_of_all_subscribers(
    connection: Connection, known: Known, at: datetime, only: Collection[str] | None = None
) -> Iterator[list[Owned]]:
    """Yield all Key Pairs in portions, in the order of their names; ``only`` those with these key ids."""
    last = ("", "")
    while True:
        after = or_(
            key_pairs.c.subscriber > last[0],
            and_(key_pairs.c.subscriber == last[0], key_pairs.c.name > last[1]),
        )
        wanted = select(key_pairs.c.subscriber, key_pairs.c.name, key_pairs.c.document).where(after)
        if only is not None:
            wanted = wanted.where(key_pairs.c.key_id.in_(only))
        rows = connection.execute(wanted.order_by(key_pairs.c.subscriber, key_pairs.c.name).limit(BATCH)).all()
        if not rows:
            return
        pairs = [msgspec.json.decode(row.document, type=KeyPair) for row in rows]
        issued = _newest_issued(connection, [pair.key_id for pair in pairs])
        yield [(pair.subscriber, key_pair(pair, known, at, issued.get(pair.key_id))) for pair in pairs]
        last = (rows[-1].subscriber, rows[-1].name)


def key_pair(pair: KeyPair, known: Known, at: datetime, issued: datetime | None = None) -> KeyPairRecord:
    """Return one Key Pair as it is judged; ``issued`` is notBefore of its newest certificate."""
    guard = pair.protection
    return KeyPairRecord(
        label=pair.name,
        at=at,
        evidence=known.documents(SERVICE, of_subscriber(pair.subscriber), of_key(pair.key_id)),
        generated=pair.born,
        store=guard.store,
        cloud=guard.store in CLOUDS,
        assurance=guard.assurance,
        generated_inside=guard.generated_inside,
        never_extractable=guard.never_extractable,
        module=guard.module,
        attested=known.attested.get(pair.key_id),
        register=known.modules,
        issued=issued,
    )


def _newest_issued(connection: Connection, key_ids: Sequence[str]) -> dict[str, datetime]:
    wanted = select(certificates.c.key_id, certificates.c.chain).where(certificates.c.key_id.in_(key_ids))
    found: dict[str, datetime] = {}
    for row in connection.execute(wanted):
        if (read := facts_of(row.chain)) is not None:
            found[row.key_id] = max(read.not_before, found.get(row.key_id, read.not_before))
    return found


def facts_of(stored: bytes | None) -> Certificate | None:
    """Return what the first certificate of a stored chain says; None where it cannot be read, or there is none."""
    if stored is None:
        return None
    try:
        return x509.read(msgspec.msgpack.decode(stored, type=tuple[bytes, ...])[0])
    except BadInput:  # one damaged row keeps nobody else from being judged; the walk of certificates says so of it
        return None


def certificates_of_all_subscribers(connection: Connection, at: datetime) -> Iterator[tuple[str, JudgedCertificate]]:
    """Yield every certificate that was installed by ``at`` with the name of its Subscriber, its issuer's beside it.

    It is named by its common name and the beginning of its fingerprint. Raise BadInput for one that cannot be read.
    """
    for portion in chains_of_all_subscribers(connection, at):
        for owner, fingerprint, stored in portion:
            try:
                yield owner, judged_chain(stored)[0]
            except BadInput as error:
                raise error.about(f"The certificate {fingerprint}, or one above it") from None


def chains_of_all_subscribers(
    connection: Connection, at: datetime | None = None, only: Collection[str] | None = None
) -> Iterator[list[tuple[str, str, tuple[bytes, ...]]]]:
    """Yield owner, fingerprint and chain of all certificates, or of those that were installed by ``at``, in portions.

    ``only`` those with these fingerprints. Each is named once for each Subscriber that has it.
    """
    last = ("", "")
    of = certificates.c
    while True:
        after = or_(of.fingerprint > last[0], and_(of.fingerprint == last[0], of.subscriber > last[1]))
        wanted = select(of.fingerprint, of.subscriber, of.installed, of.chain).where(after)
        if only is not None:
            wanted = wanted.where(of.fingerprint.in_(only))
        rows = connection.execute(wanted.order_by(of.fingerprint, of.subscriber).limit(BATCH)).all()
        if not rows:
            return
        yield [
            (row.subscriber, row.fingerprint, msgspec.msgpack.decode(row.chain, type=tuple[bytes, ...]))
            for row in rows
            if at is None or row.installed <= at
        ]
        last = (rows[-1].fingerprint, rows[-1].subscriber)


def judged_chain(chain: Sequence[bytes]) -> list[JudgedCertificate]:
    """Return a chain as it is judged, its issuer's certificate beside each; BadInput for what cannot be read."""
    first, above = _judged(chain[0]), [_judged_above(each) for each in chain[1:]]
    return [judged.with_issuer(each, above) for each in (first, *above)]


def _judged(octets: bytes) -> JudgedCertificate:
    read = judged.read(octets, "")
    return msgspec.structs.replace(read, label=f"{read.title} {hashlib.sha256(octets).hexdigest()[:NAMED_BY]}")


_judged_above = functools.lru_cache(maxsize=64)(_judged)
"""A few CAs issue for all, so theirs are read once."""


# -- Subscribers and members -------------------------------------------------------------------------------------------
def subscribers_of_all(connection: Connection, known: Known, at: datetime) -> Iterator[SubscriberRecord]:
    """Yield every Subscriber."""
    for name in connection.execute(select(subscribers.c.name).order_by(subscribers.c.name)).scalars().all():
        yield subscriber(connection, name, known, at)


def subscriber(connection: Connection, name: str, known: Known, at: datetime) -> SubscriberRecord:
    """Return one Subscriber as it is judged, with the moment of its first signature."""
    return SubscriberRecord(
        label=name,
        at=at,
        evidence=known.documents(SERVICE, of_subscriber(name)),
        enrolled=_first(connection, name, "enrolled"),
        first_signature=_first(connection, name, "released"),
        commitments=None if known.commitments is None else known.commitments.get(name, ()),
    )


def _first(connection: Connection, name: str, what: str) -> datetime | None:
    wanted = select(events.c.at).where(events.c.subscriber == name, events.c.what == what)
    found: datetime | None = connection.execute(wanted.order_by(events.c.at).limit(1)).scalar()
    return found


def members_of_all_subscribers(
    connection: Connection, known: Known, at: datetime
) -> Iterator[tuple[str, MemberRecord]]:
    """Yield every member with the name of its Subscriber."""
    proofs = credentials_of_all_subscribers(connection)
    for row in connection.execute(select(members).order_by(members.c.subscriber, members.c.id)).all():
        yield (
            row.subscriber,
            MemberRecord(
                label=row.id,
                at=at,
                evidence=known.documents(SERVICE, of_subscriber(row.subscriber)),
                roles=tuple(Role(role) for role in row.roles.split()),
                workload=row.workload,
                credentials=tuple(factor for factor, holders in proofs.items() if row.id in holders),
            ),
        )


def credentials_of_all_subscribers(connection: Connection) -> dict[Factor, set[str]]:
    """Return for each factor the members who have a credential for it; a passkey that is refused is none."""

    def holders(*wanted: Select[str]) -> set[str]:
        return {member for each in wanted for member in connection.execute(each).scalars()}

    usable = select(passkeys.c.member).where(passkeys.c.refused.is_(False))
    return {
        Factor.BEARER: holders(select(tokens.c.member), select(scoped_tokens.c.member)),
        Factor.CLIENT_CERTIFICATE: holders(select(client_certificates.c.member)),
        Factor.WORKLOAD_TOKEN: holders(select(trust_rules.c.member)),
        Factor.PASSWORD: holders(select(accounts.c.member).where(accounts.c.password.is_not(None))),
        Factor.TOTP: holders(select(accounts.c.member).where(accounts.c.totp.is_not(None))),
        Factor.RECOVERY_CODE: holders(select(recovery_codes.c.member)),
        Factor.PASSKEY: holders(usable.where(passkeys.c.synced.is_(False))),
        Factor.SYNCED_PASSKEY: holders(usable.where(passkeys.c.synced.is_(True))),
        Factor.OIDC: holders(select(identities.c.member)),
    }


# -- one request -------------------------------------------------------------------------------------------------------
def request(
    tx: Transaction, dossier: Dossier, asked: SigningRequest, pair: KeyPair, known: Known, signed: datetime
) -> SignatureRecord:
    """Return one request as it is judged, signed or about to be signed at ``signed``, under its certificate."""
    by = authentications(tx, dossier)
    chain = tx.connection.execute(
        select(certificates.c.chain).where(
            certificates.c.subscriber == tx.subscriber, certificates.c.fingerprint == asked.certificate
        )
    ).scalar()
    facts = facts_of(chain)
    return SignatureRecord(
        label=dossier.id,
        at=signed,
        evidence=known.documents(SERVICE, of_subscriber(tx.subscriber)),
        signed=signed,
        by=by,
        quorum=pair.quorum,
        agreed=sum(each.did == "agreed" for each in by),
        logged=None if dossier.intent is None else dossier.intent.index,
        log_names_actors=isinstance(getattr(asked, "requester", None), str),  # absent from older requests
        not_before=None if facts is None else facts.not_before,
        not_after=None if facts is None else facts.not_after,
        status=known.status.get(asked.certificate),
        accepted=known.accepted.get(asked.certificate),
        believed=known.believed.get(asked.key_id),
        frozen=pair.frozen,
        scan=scan_of(asked.mode, () if asked.seen is msgspec.UNSET else [each.verdict for each in asked.seen.scans]),
    )


def scan_of(mode: str, verdicts: Collection[str]) -> Scanned:
    """Return what scanners said of a request's file, the worst of them; see ``SignatureRecord.scan``."""
    if mode != "server":
        return None
    if not verdicts:
        return "none"
    return "clean" if set(verdicts) == {"clean"} else "outdated"


def released_at(tx: Transaction, request_id: str) -> datetime | None:
    """Return when a request was released; None where it was not."""
    wanted = select(events.c.at).where(
        events.c.subscriber == tx.subscriber, events.c.subject == request_id, events.c.what == "released"
    )
    found: datetime | None = tx.connection.execute(wanted.limit(1)).scalar()
    return found


def authentications(tx: Transaction, dossier: Dossier) -> tuple[Authentication, ...]:
    """Return who asked for a request and who agreed to it, with the factors that the events tell.

    Events ``by ...`` stand beside what somebody did with more than a bearer token; without one it was that.
    """
    agreed = tx.connection.execute(
        select(approvals.c.created).where(approvals.c.subscriber == tx.subscriber, approvals.c.request == dossier.id)
    ).scalars()
    happened = tx.connection.execute(
        select(events.c.actor, events.c.what)
        .where(
            events.c.subscriber == tx.subscriber,
            events.c.at.in_({dossier.created, *agreed}),
            events.c.subject == dossier.id,
        )
        .order_by(events.c.id)
    )
    return told_by([(row.actor, row.what) for row in happened], workloads(tx.connection))


def workloads(connection: Connection) -> dict[str, bool | None]:
    """Return of every member whom this transaction may see whether it is a machine."""
    return {row.id: row.workload for row in connection.execute(select(members.c.id, members.c.workload))}


def told_by(happened: Iterable[tuple[str, str]], machines: dict[str, bool | None]) -> tuple[Authentication, ...]:
    """Return who asked and who agreed from a request's events, (actor, what) in their order."""
    found: list[tuple[str, str, list[str]]] = []
    for actor, what in happened:
        if what.startswith("submitted"):
            found.append((actor, "asked", []))
        elif what.startswith("approved as "):
            found.append((actor, "agreed", []))
        elif what.startswith("by ") and found and found[-1][0] == actor:
            found[-1][2].append(what.removeprefix("by "))
    return tuple(
        authentication(actor, did, " and ".join(proofs) or Factor.BEARER, machines.get(actor))
        for actor, did, proofs in found
    )


def authentication(who: str, did: str, proof: str, workload: bool | None) -> Authentication:
    """Return one authentication from the words that the records keep of it."""
    words = proof.split(" and ")
    known = all(word in set(Factor) for word in words)  # another one is of a later program: its worth is not known here
    factors = tuple(Factor(word) for word in words) if known else None
    return Authentication(
        who=who,
        did="asked" if did == "asked" else "agreed",
        factors=factors,
        workload=workload,
    )


# -- the log -----------------------------------------------------------------------------------------------------------
def losses_of_all_subscribers(connection: Connection) -> tuple[Loss, ...]:
    """Return what operators gave up."""
    rows = connection.execute(select(log_gaps.c.at, log_gaps.c.missing).order_by(log_gaps.c.at))
    return tuple(Loss(row.at, row.missing) for row in rows)


def log_checks_of_all_subscribers(connection: Connection) -> tuple[datetime, ...]:
    """Return when the service checked its whole log and found it sound, at most the last :data:`BATCH` times."""
    of = evaluations.c
    rows = connection.execute(select(of.at).where(of.kind == Kind.LOG.value).order_by(of.id.desc()).limit(BATCH))
    return tuple(sorted(rows.scalars()))


def oldest_of_all_subscribers(connection: Connection) -> datetime | None:
    """Return when the oldest event that is kept happened."""
    found: datetime | None = connection.execute(select(events.c.at).order_by(events.c.id).limit(1)).scalar()
    return found


def touched_keys_of_all_subscribers(connection: Connection, touched: Collection[str]) -> set[str]:
    """Return the ids of the Key Pairs that are among ``touched``, or a certificate of theirs, by fingerprint."""
    found: set[str] = set()
    some = list(touched)
    for start in range(0, len(some), BATCH):
        part = some[start : start + BATCH]
        found |= set(connection.execute(select(key_pairs.c.key_id).where(key_pairs.c.key_id.in_(part))).scalars())
        theirs = select(certificates.c.key_id).where(certificates.c.fingerprint.in_(part))
        found |= set(connection.execute(theirs).scalars())
    return found
