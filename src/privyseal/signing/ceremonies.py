"""The record of a key ceremony is taken in: checked against its script, kept as a document, stated in the log."""

from __future__ import annotations

import hashlib

from privyseal.access import permissions
from privyseal.compliance.ceremonies import read_record, require_whole
from privyseal.compliance.statements import Document
from privyseal.compliance.statements_of_lives import CeremonyHeld
from privyseal.records import keys
from privyseal.records.events import Event
from privyseal.signing import announce, paper
from privyseal.signing.forms_of_keys import Held
from privyseal.signing.instance import PrivySeal
from privyseal.terms.parties import Actor


def take_in(seal: PrivySeal, actor: Actor, given: Held) -> CeremonyHeld:
    """Keep the record of a ceremony as evidence (``key-ceremony``); the same again changes nothing.

    Raises BadInput, Conflict or VerificationFailed for a record that is not whole, or that nobody witnessed, NotFound
    where there is no such key.
    """
    permissions.require(actor, "state", actor.subscriber)
    record = read_record(given.record)
    require_whole(record, given.script, seal.clock())
    with seal.records.reading(actor.subscriber) as tx:
        pair = keys.key_pair(tx, record.key)
    for octets in (given.script, given.record):
        _keep(seal, octets)
    own = actor.subscriber == seal.service.operator
    digest = hashlib.sha256(given.record).hexdigest()
    document = Document(
        sha256=digest,
        size=len(given.record),
        filename=f"ceremony-{record.key}.json",
        kind="key-ceremony",
        issuer=", ".join(each.name for each in record.witnesses)[:200],
        about=f"key:{pair.key_id}" if own else f"subscriber:{actor.subscriber}",
    )
    paper.state(seal, actor, actor.subscriber, document)
    held = CeremonyHeld(
        key=record.key,
        script=record.script,
        record=digest,
        title=record.title,
        began=record.entries[0].at,
        ended=record.entries[-1].at,
        witnesses=tuple(each.name for each in record.witnesses),
        by=actor.member.id,
    )
    with seal.records.writing(actor.subscriber) as tx:
        announce.stated(seal, tx, Event(seal.clock(), actor.member.id, "ceremony taken in", pair.key_id), held)
    return held


def _keep(seal: PrivySeal, octets: bytes) -> None:
    digest = hashlib.sha256(octets).hexdigest()
    documents = paper.documents(seal)
    if documents.size(digest) is None:
        with documents.draft(digest) as draft:
            draft.append(octets)
            draft.keep()
