"""Uploaded files are scanned before a request is written down; one in which a scanner finds something is put away."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import msgspec

from privyseal.errors import Infected, PrivySealError, Unavailable
from privyseal.records import events, uploads
from privyseal.records.events import Event
from privyseal.records.spool import digest_of, refusals
from privyseal.scanning.protocol import Scanner
from privyseal.signing.instance import Premises, PrivySeal
from privyseal.terms.parties import Actor
from privyseal.terms.scans import Scan, Seen
from privyseal.terms.uploads import Upload

MOST_QUARANTINED = 16
"""Infected files that are kept of one Subscriber; those that come after are deleted, for no quota counts them."""

LONGEST_EVENT = 40
"""Characters of what an event may say; of a scanner's sentence that is its name and most names of what it finds."""


def scanned(seal: PrivySeal, where: Premises, actor: Actor, upload: Upload) -> Seen | msgspec.UnsetType:
    """Have every scanner look at an upload; unset where none is configured.

    Infected where one finds something: the upload is deleted or put away then, and an event says so. Otherwise what
    the scanner raises, and Unavailable where the file is not the one that was uploaded.
    """
    if not where.scanners:
        return msgspec.UNSET
    path = where.spool.path("in", upload.subscriber, upload.id)

    def look(scanner: Scanner) -> Scan:
        with refusals("scan"):
            return scanner.scan(path, seal.clock())

    try:
        scans = tuple([_watched(seal, scanner, look) for scanner in where.scanners])
    except Infected as error:
        _put_away(seal, where, actor, upload, error.detail)
        raise
    with refusals("read"):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            found = digest_of(fd)
        finally:
            os.close(fd)
    if found != upload.sha256:
        raise Unavailable(
            f"The uploaded file {upload.id} is no longer what came in.", hint="whoever runs the service must look"
        )
    return Seen(sha256=found, scans=scans)


def _watched(seal: PrivySeal, scanner: Scanner, look: Callable[[Scanner], Scan]) -> Scan:
    """Have one scanner look, and count what came of it."""
    began, outcome = time.monotonic(), "broken"
    try:
        scan = look(scanner)
        outcome = scan.verdict
        return scan
    except PrivySealError as error:
        outcome = error.code
        raise
    finally:
        seal.watch.scanned(scanner.name, outcome, time.monotonic() - began)


def _put_away(seal: PrivySeal, where: Premises, actor: Actor, upload: Upload, why: str) -> None:
    """Take an infected upload out of everybody's way; one that an earlier request needs stays until that is over."""
    keep = where.infected == "quarantine" and where.spool.quarantined(upload.subscriber) < MOST_QUARANTINED
    done = "quarantined" if keep else "deleted"
    with seal.records.writing(upload.subscriber) as tx:
        if uploads.is_needed(tx, upload.id):
            done = "kept for an earlier request"
        else:
            uploads.remove(tx, upload.id)
        said = (f"infected, {done}", why.removeprefix("Scanner ")[:LONGEST_EVENT])
        events.record(tx, *(Event(seal.clock(), actor.member.id, what, upload.id) for what in said))
    if done == "deleted":
        where.spool.remove("in", upload.subscriber, upload.id)
    elif done == "quarantined":
        where.spool.quarantine(upload.subscriber, upload.id)
