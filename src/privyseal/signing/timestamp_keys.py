"""A timestamp key is removed before two witnesses, and the log has who they were (CSBR 6.3.2)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from privyseal.compliance.ceremonies import read_record, require_whole
from privyseal.compliance.statements_of_timestamps import TimestampKeyRemoved
from privyseal.errors import BadInput, Conflict, VerificationFailed
from privyseal.pki import certificates
from privyseal.records.events import Event
from privyseal.signing import announce, paper
from privyseal.signing.instance import PrivySeal

WITNESSES = 2
"""CSBR 6.3.2: two members in Trusted Roles at least."""
CONSOLE = "console"
"""Who sits at the machine."""


def name(key_id: str) -> str:
    """Return what a ceremony's script calls a timestamp key."""
    return f"timestamp-{key_id[:16]}"


def remove(
    seal: PrivySeal, certificate: bytes, script: bytes, record: bytes, destroy: Callable[[], object]
) -> TimestampKeyRemoved:
    """Remove the key of a timestamp certificate, DER, by ``destroy``, once its ceremony's record is whole.

    The record is kept among the evidence before, and the statement is made after; whoever is interrupted between does
    it again, for destroying twice is the same. VerificationFailed for a record that two people did not witness.
    """
    read = read_record(record)
    require_whole(read, script, seal.clock())
    own = certificates.read(certificate)
    if read.key != name(own.key_id):
        raise BadInput(
            f"The record is of {read.key!r}; {name(own.key_id)!r} was expected.",
            hint="a script names the key it is for",
        )
    if len(read.witnesses) < WITNESSES:
        raise VerificationFailed(
            f"{len(read.witnesses)} signed the record as a witness; {WITNESSES} were expected (CSBR 6.3.2)."
        )
    owner = seal.service.operator
    if owner is None:
        raise Conflict("No Subscriber is the operator's, so nobody can state it.", hint="[service] operator names it")
    documents = paper.documents(seal)
    for octets in (script, record):
        digest = hashlib.sha256(octets).hexdigest()
        if documents.size(digest) is None:
            with documents.draft(digest) as draft:
                draft.append(octets)
                draft.keep()
    destroy()
    removed = TimestampKeyRemoved(
        key_id=own.key_id,
        certificate=hashlib.sha256(certificate).hexdigest(),
        issued=own.not_before,
        removed=read.entries[-1].at,
        record=hashlib.sha256(record).hexdigest(),
        witnesses=tuple(each.name for each in read.witnesses),
        by=CONSOLE,
    )
    with seal.records.writing(owner) as tx:
        announce.stated(seal, tx, Event(seal.clock(), CONSOLE, "timestamp key removed", own.key_id), removed)
    return removed
