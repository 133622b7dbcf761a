"""Code comes in for mode ``server``: announced, sent in pieces, checked, taken back."""

from __future__ import annotations

import base64
from datetime import timedelta

import msgspec

from privyseal.access import permissions
from privyseal.errors import BadInput, Conflict, NotFound, TooLarge
from privyseal.records import events, keys, uploads
from privyseal.records.database import Transaction
from privyseal.records.events import Event
from privyseal.records.spool import Part
from privyseal.signing.instance import Premises, PrivySeal
from privyseal.signing.scans import scanned
from privyseal.signing.workshop import Describe
from privyseal.terms.parties import Actor
from privyseal.terms.requests import SigningRequest
from privyseal.terms.scans import Seen
from privyseal.terms.signatures import SCHEMES, Described
from privyseal.terms.uploads import NewUpload, Upload

PUT_OFF = timedelta(minutes=5)
"""How often, at most, octets that come in put the deletion of their upload off: each time is a write to the records."""


def premises(seal: PrivySeal) -> Premises:
    """Return where files are kept and worked on; BadInput where this service sees no files."""
    if seal.premises is None:
        raise BadInput(
            "This service signs descriptions only (mode local); it was asked for mode server.",
            hint="leave the file where it is: --mode local",
        )
    return seal.premises


def announce(seal: PrivySeal, actor: Actor, subscriber: str, wanted: NewUpload) -> tuple[Upload, int]:
    """Write down a file that is about to come, or find it where it was announced before; return how much is there.

    TooLarge where the file, or all the Subscriber's together, are too large; Unavailable where the disk has no room.
    """
    seal.require_memory()
    permissions.require(actor, "send-code", subscriber)
    spool, now = premises(seal).spool, seal.clock()
    with seal.records.reading(subscriber) as tx:
        known = uploads.by_digest(tx, wanted.sha256)
    if known is None:
        if wanted.size > spool.limits.largest_file:
            raise TooLarge(
                f"The file has {wanted.size} octets; this service takes {spool.limits.largest_file}.",
                hint="leave it where it is: --mode local",
            )
        spool.require_room(wanted.size)
        with seal.records.writing(subscriber) as tx:
            known = uploads.by_digest(tx, wanted.sha256)  # somebody may have been quicker
            if known is None:
                _require_quota(seal, tx, wanted.size)
                upload_id = "U-" + base64.b32encode(seal.draw(15)).decode("ascii").lower()
                known = uploads.add(tx, upload_id, wanted, now + premises(seal).stale)
    if known.size != wanted.size:
        raise BadInput(f"A file with this SHA-256 was announced with {known.size} octets, not with {wanted.size}.")
    offset = spool.offset(subscriber, known.id)
    if known.complete and offset < known.size:  # the disk has lost it: whoever has it may send it again
        expires = now + premises(seal).stale
        with seal.records.writing(subscriber) as tx:
            reopened = uploads.reopen(tx, known.id, expires)
            if reopened:
                events.record(tx, Event(now, "service", "upload lost", known.id))
        if not reopened:  # a request was released meanwhile, and nobody needed it any more
            return announce(seal, actor, subscriber, wanted)
        known = msgspec.structs.replace(known, complete=False, expires=expires)
    return known, offset


def _require_quota(seal: PrivySeal, tx: Transaction, size: int) -> None:
    limits = premises(seal).spool.limits
    octets, count = uploads.held(tx)
    if octets + size > limits.quota or count >= limits.most_uploads:
        raise TooLarge(
            f"This Subscriber has {count} uploads and files of {octets} octets here; it may have {limits.most_uploads} "
            f"and {limits.quota}.",
            hint="fetch or delete what is finished, then announce the file again",
        )


def find(seal: PrivySeal, actor: Actor, subscriber: str, upload_id: str) -> tuple[Upload, int]:
    """Return an upload and how many of its octets are there; NotFound where there is none of that id."""
    permissions.require(actor, "send-code", subscriber)
    spool = premises(seal).spool
    with seal.records.reading(subscriber) as tx:
        upload = uploads.get(tx, upload_id)
    return upload, upload.size if upload.complete else spool.offset(subscriber, upload_id)


def open_part(seal: PrivySeal, actor: Actor, subscriber: str, upload_id: str, offset: int) -> Part:
    """Open an upload to append from ``offset``; Conflict where it is complete, being sent, or stands elsewhere."""
    upload, _ = find(seal, actor, subscriber, upload_id)
    if upload.complete:
        raise Conflict(f"The upload {upload_id} is complete.", hint="ask for its signature")
    part = premises(seal).spool.part(subscriber, upload_id, upload.size)
    try:
        if part.offset != offset:
            raise Conflict(
                f"The upload {upload_id} stands at {part.offset}; what came was for {offset}.",
                hint="ask for its offset and go on from there",
            )
        if upload.expires - seal.clock() < premises(seal).stale - PUT_OFF:
            with seal.records.writing(subscriber) as tx:
                uploads.put_off(tx, upload_id, seal.clock() + premises(seal).stale)
    except BaseException:
        part.close()
        raise
    return part


def accept(seal: PrivySeal, actor: Actor, upload: Upload, part: Part) -> None:
    """Take an upload whose last octet has come; BadInput, and it is gone, where its SHA-256 is another.

    The octets are on the disk before the records say so.
    """
    part.settle()
    found, now = part.digest(), seal.clock()
    spool = premises(seal).spool
    if found != upload.sha256:
        with seal.records.writing(upload.subscriber) as tx:
            if not uploads.is_needed(tx, upload.id):  # else it was sent again, for one that waits for it
                uploads.remove(tx, upload.id)
            events.record(tx, Event(now, actor.member.id, "upload refused", upload.id))
        spool.remove("in", upload.subscriber, upload.id)
        raise BadInput(
            f"What came has the SHA-256 {found[:16]}..., and {upload.sha256[:16]}... was announced; it was dropped.",
            hint="did the file change while it was sent? Send it again",
        )
    with seal.records.writing(upload.subscriber) as tx:
        uploads.complete(tx, upload.id, now + premises(seal).stale)
        events.record(tx, Event(now, actor.member.id, "uploaded", upload.id))


def cancel(seal: PrivySeal, actor: Actor, subscriber: str, upload_id: str) -> None:
    """Delete an upload; Conflict where a request that is not over needs it."""
    permissions.require(actor, "send-code", subscriber)
    spool = premises(seal).spool
    with seal.records.writing(subscriber) as tx:
        uploads.get(tx, upload_id)
        uploads.remove(tx, upload_id)
        events.record(tx, Event(seal.clock(), actor.member.id, "upload deleted", upload_id))
    spool.remove("in", subscriber, upload_id)


# -- what submit asks --------------------------------------------------------------------------------------------------
def uploaded(tx: Transaction, request: SigningRequest) -> Upload:
    """Return the upload that a request names; NotFound, in the same words, where it is not there or not complete."""
    upload = uploads.by_digest(tx, str(request.input))
    if upload is None or not upload.complete:
        raise _not_uploaded(request)
    return upload


def _not_uploaded(request: SigningRequest) -> NotFound:
    return NotFound(f"No file with the SHA-256 {str(request.input)[:16]}... was uploaded.", hint="upload it first")


class Found(msgspec.Struct, frozen=True):
    """What the service found in an uploaded file."""

    described: tuple[Described, ...]
    seen: Seen | msgspec.UnsetType
    """What scanners said of it; unset where there are none."""
    enclosed: tuple[bytes, ...] = ()
    """What travels beside each description; none where nothing does."""


def describe(seal: PrivySeal, actor: Actor, request: SigningRequest) -> Found:
    """Read the uploaded file that a request names and describe it, in a child process; then have it scanned.

    What the client says of it counts as little as possible: the name it goes by, and which digest is wished.
    MalformedCode where the file cannot be signed, Infected where a scanner finds something in it, Unavailable where one
    could not look.
    """
    permissions.require(actor, "request", request.subscriber)
    where = premises(seal)
    if request.seen is not msgspec.UNSET:
        raise BadInput("What scanners saw is the service's to say, not the client's.", hint="leave seen out")
    with seal.records.reading(request.subscriber) as tx:
        pair = keys.key_pair(tx, request.key)
        chain = keys.certificate_chain(tx, request.certificate)
        if chain is None:
            raise NotFound(
                f"No certificate with the fingerprint {request.certificate[:16]}... is installed for this key."
            )
        upload = uploaded(tx, request)
    if where.spool.offset(upload.subscriber, upload.id) < upload.size:
        raise _not_uploaded(request)
    said = request.described[0] if request.described else None
    job = Describe(
        path=str(where.spool.path("in", upload.subscriber, upload.id)),
        filename=said.filename if said else upload.filename,
        chain=chain,
        scheme=pair.scheme,
        options=request.options,
        digest=said.digest_algorithm if said else SCHEMES[pair.scheme].default_digest,
    )
    found = where.workshop.describe(job, upload.size)
    if request.described and request.described != found.described:
        raise BadInput(
            "The request describes the uploaded file otherwise than the service finds it.",
            hint="leave described empty, or describe the very file that was uploaded",
        )
    return Found(found.described, scanned(seal, where, actor, upload), found.enclosed)
