"""What people state becomes evidence: written down, logged, and from then on it counts.

A statement is written down first, with its salt, and shown to nobody; then it is logged; then its place in the log is
written beside it, together with the event that says who stated it. A walk that was cut short after any of these is
taken up with the same salt, by whoever states something of the same slot or by :func:`finish`: the logger knows the
submission and gives it the place that it has. So nothing counts that is not in the log, and nothing is in the log
whose text is lost to a crash.
"""

from __future__ import annotations

import base64
import os
from datetime import timedelta

from privyseal.access import permissions
from privyseal.compliance.statements import (
    Administered,
    AuditPeriod,
    Document,
    Matter,
    ModuleCertificate,
    Own,
    Review,
    Said,
    Stated,
    require_sound,
)
from privyseal.compliance.statements_of_backups import BackupAllowed, KeyCopied
from privyseal.compliance.statements_of_timestamps import AuthorityWatched, TimestampCa
from privyseal.errors import BadInput, NotFound, NotPermitted, TooLarge
from privyseal.records import events, keys, statements
from privyseal.records.database import Transaction
from privyseal.records.documents import Documents, Draft
from privyseal.records.events import Event
from privyseal.records.statements import Written
from privyseal.signing import copies
from privyseal.signing.instance import PrivySeal
from privyseal.terms.canonical import canonical_json
from privyseal.terms.parties import Actor
from privyseal.tlog.entry import StatementSubmission, commit

BATCH = 256
"""Statements that are finished at once."""
QUIET = timedelta(seconds=60)
"""How long whoever states something is left alone with it, before :func:`finish` takes it up; as a lease of a walk."""
SERVICE = "service"
"""Who says what the service itself states; members' ids begin with ``M-``."""
OWN = frozenset(
    {
        "finding",
        "override",
        "administration",
        "agreement",
        "standing",
        "access",
        "party",
        "notice",
        "key",
        "certificate",
        "clock",
        "timestamp",
    }
)
"""Topics of the service's own statements: nobody else is at them, so they are logged at once."""
MOST_STATED = 100_000
"""Statements of one slot; a number of six digits in a report."""


def state(seal: PrivySeal, actor: Actor, subscriber: str, matter: Matter) -> tuple[Stated, bool]:
    """State something, and tell whether that is new: what counts already is not stated again.

    BadInput for what cannot be, NotPermitted where the Actor does not speak for what it is about, NotFound where a
    document was not sent before, Conflict where somebody states something of the same slot at the very moment.
    """
    seal.require_memory()
    permissions.require(actor, "state", subscriber)
    require_sound(matter)
    _require_voice(seal, subscriber, matter)
    _require_documents(seal, subscriber, matter)
    if isinstance(matter, KeyCopied):
        copies.require_allowed(seal, matter)
    with seal.records.reading(subscriber) as tx:
        before = statements.last(tx, matter.slot)
    if before is not None:
        known = _logged(seal, subscriber, before)
        if known.said.matter == matter:
            return known, False
    written = _written(seal, actor.member.id, subscriber, matter, 0 if before is None else before.number + 1)
    with seal.records.writing(subscriber) as tx:
        statements.add(tx, written)
    return _logged(seal, subscriber, written), True


def note(tx: Transaction, seal: PrivySeal, own: Own) -> None:
    """Write down what the service itself states, in the transaction that makes it so; :func:`finish` has it logged.

    What counts already is not stated again, but each administrative act is one of its own.
    """
    before = statements.last(tx, own.slot)
    if before is None or isinstance(own, Administered) or statements.said_in(before.octets).matter != own:
        number = 0 if before is None else before.number + 1
        statements.add(tx, _written(seal, SERVICE, tx.subscriber, own, number))


def finish(seal: PrivySeal) -> int:
    """Log what was written down and whose walk was cut short; return how many there were."""
    with seal.records.reading_all_subscribers() as connection:
        waiting = statements.unplaced_of_all_subscribers(connection, BATCH)
    late = [(of, each) for of, each in waiting if each.topic in OWN or each.at + QUIET <= seal.clock()]
    if not late:
        return 0
    submissions = [StatementSubmission(about=each.topic, commitment=commit(each.salt, each.octets)) for _, each in late]
    appended = seal.logger.append(submissions, since=seal.signer_mark)
    with seal.records.batch() as batch:
        for (subscriber, written), logged in zip(late, appended.items, strict=True):
            with batch.item(subscriber) as tx:
                _placed(tx, seal, written, logged.index)
    return len(late)


def documents(seal: PrivySeal) -> Documents:
    """Return where documents are kept; BadInput where this service takes in none."""
    if seal.documents is None:
        raise BadInput("This service takes in no documents.", hint="see [evidence] in its configuration")
    return seal.documents


def draft(seal: PrivySeal, actor: Actor, subscriber: str, sha256: str) -> Draft | None:
    """Begin to take in a document; None where it is here already, to its last octet."""
    permissions.require(actor, "state", subscriber)
    kept = documents(seal)
    return None if kept.size(sha256) is not None else kept.draft(sha256)


def open_document(seal: PrivySeal, actor: Actor, subscriber: str, sha256: str) -> tuple[int, int]:
    """Open a document that the Subscriber's members have stated something of; return its descriptor and its size.

    NotFound for any other, also where another Subscriber has it: nobody finds out who has which document.
    """
    permissions.require(actor, "see-evidence", subscriber)
    with seal.records.reading(subscriber) as tx:
        stated = statements.last(tx, f"document:{sha256}")
    if stated is None or stated.entry is None:
        raise NotFound(f"There is no document {sha256[:64]!r}.")
    fd = documents(seal).open(sha256)
    return fd, os.fstat(fd).st_size


def _written(seal: PrivySeal, by: str, subscriber: str, matter: Matter | Own, number: int) -> Written:
    now = seal.clock()
    said = Said(subscriber=subscriber, by=by, at=now.replace(microsecond=0), number=number, matter=matter)
    if number >= MOST_STATED:
        raise TooLarge(f"Of one thing at most {MOST_STATED} statements are kept.")
    return Written(
        id="S-" + base64.b32encode(seal.draw(15)).decode("ascii").lower(),
        topic=matter.topic,
        slot=matter.slot,
        number=number,
        octets=canonical_json(said),
        salt=seal.draw(32),
        at=now,
        entry=None,
    )


def _logged(seal: PrivySeal, subscriber: str, written: Written) -> Stated:
    """Have a statement logged, where it is not yet, and write its place down."""
    entry = written.entry
    said = statements.said_in(written.octets)
    if entry is None:
        submission = StatementSubmission(about=written.topic, commitment=commit(written.salt, written.octets))
        entry = seal.logger.append([submission], since=seal.signer_mark).items[0].index
        with seal.records.writing(subscriber) as tx:
            _placed(tx, seal, written, entry)
    return Stated(said=said, octets=written.octets, salt=written.salt, entry=entry)


def _placed(tx: Transaction, seal: PrivySeal, written: Written, entry: int) -> None:
    """Write down where a statement stands, and whose it is, unless somebody else just did."""
    if statements.place(tx, written.id, entry) and written.topic not in OWN:
        by, what = statements.said_in(written.octets).by, f"stated: {written.topic}"
        events.record(tx, Event(seal.clock(), by, what, f"{written.id} {written.slot}, log entry {entry}"))


def _require_voice(seal: PrivySeal, subscriber: str, matter: Matter) -> None:
    """Let only the operator's members speak for the Signing Service, and each Subscriber's for itself."""
    if isinstance(matter, BackupAllowed):  # of a key of its own, whoever the Subscriber is; nobody else is asked
        with seal.records.reading(subscriber) as tx:
            if keys.key_pair(tx, matter.key).key_id != matter.key_id:
                raise BadInput(f"The Key Pair {matter.key!r} has another key id.", hint="privyseal key show")
        return
    if subscriber == seal.service.operator or isinstance(matter, Review):
        return  # of a review the document says whether it is theirs
    if isinstance(matter, Document) and matter.about == f"subscriber:{subscriber}":
        return
    raise NotPermitted(
        f"Members of {subscriber!r} do not speak for the Signing Service.",
        hint=f"they may add documents about subscriber:{subscriber}; [service] operator names who may do more",
    )


def _require_documents(seal: PrivySeal, subscriber: str, matter: Matter) -> None:
    """Refuse a statement about a document that is not here, or of another size, or that nobody took in."""
    if isinstance(matter, Document):
        size = documents(seal).size(matter.sha256)
        if size is None:
            raise NotFound("The document was not sent.", hint="send its octets first")
        if size != matter.size:
            raise BadInput(f"The document has {size} octets, not {matter.size}.")
        return
    named = None
    if isinstance(matter, Review | ModuleCertificate | BackupAllowed | KeyCopied):
        named = matter.document
    elif isinstance(matter, AuditPeriod):
        named = matter.report
    elif isinstance(matter, TimestampCa):
        named = matter.ceremony
    elif isinstance(matter, AuthorityWatched):
        named = matter.document
    if named is not None:
        with seal.records.reading(subscriber) as tx:
            if statements.last(tx, f"document:{named}") is None:
                raise NotFound(f"There is no document {named[:16]}... of this Subscriber.", hint="add it first")
