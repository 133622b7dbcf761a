"""Signed code in mode ``server``: made from the upload, checked as a stranger would, kept for a while, deleted.

A finished file is on the disk, and its digest in the records, before the completion that binds it is logged. Making it
again gives the same octets, so whatever was cut short is simply done again.
"""

from __future__ import annotations

import io
import os
import re
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import msgspec

from privyseal.access import permissions
from privyseal.errors import BadInput, Conflict, NotFound, PrivySealError, Unavailable, VerificationFailed
from privyseal.records import events, requests, uploads
from privyseal.records.events import Event
from privyseal.records.spool import open_finished
from privyseal.signing.entries import Files
from privyseal.signing.instance import PrivySeal
from privyseal.signing.uploads import premises
from privyseal.signing.workshop import Finish, time_allowed
from privyseal.terms.parties import Actor
from privyseal.terms.requests import FINAL, Dossier, SigningRequest, State
from privyseal.terms.uploads import Artifact

ORPHAN_AGE = timedelta(hours=1)
"""How old a file must be that no row knows before it is deleted: a file is made shortly after its row is written, and
a draft takes its name within minutes."""

BATCH = 256
"""Files looked at in one round of the duties."""

_LOST = (NotFound, BadInput, VerificationFailed)
"""What is said of an upload that is not there, or no longer what was approved: trying again does not help."""

_OURS = re.compile(r"[UR]-[a-z2-7]{24}|\..+\.privyseal")
"""Names of files in a spool: uploads, finished files, drafts. Anything else there is not ours to delete."""


def finish(seal: PrivySeal, dossier: Dossier, request: SigningRequest, chain: tuple[bytes, ...]) -> Files:
    """Make the signed file of a SIGNED request, or find it made; return the SHA-256 of each finished file.

    The walk's lease is prolonged by as long as the work may take. NotFound where the upload is lost and can be sent
    again, VerificationFailed where what was made does not verify; once the request's time is past, unset instead: there
    will be no file, for ever. Unavailable where the spool or a child process does not do its part.
    """
    spool = premises(seal).spool
    with seal.records.reading(dossier.subscriber) as tx:
        artifact = uploads.artifact_if_any(tx, dossier.id)
    if artifact is None:
        return msgspec.UNSET  # given up below, by this walk or one before it
    if artifact.sha256 is not None and spool.path("out", dossier.subscriber, dossier.id).exists():
        return (artifact.sha256,)
    try:
        return (_make(seal, dossier, request, chain, _found(seal, dossier, artifact)),)
    except _LOST:
        if seal.clock() < request.expires_at:
            raise
    if artifact.sha256 is not None:
        return (artifact.sha256,)  # it was made, checked and perhaps logged, and went since, as files do after a while
    now = seal.clock()
    with seal.records.writing(dossier.subscriber) as tx:
        requests.prolong(tx, dossier, now + requests.LEASE)  # Conflict where another walk has taken it
        uploads.forget(tx, dossier.id)
        events.record(tx, Event(now, "service", "file lost", dossier.id))
    return msgspec.UNSET


def _found(seal: PrivySeal, dossier: Dossier, artifact: Artifact) -> Path:
    """Return where a request's upload is; NotFound where it is not all there, Unavailable where nobody can tell."""
    path = premises(seal).spool.path("in", dossier.subscriber, artifact.upload)
    with seal.records.reading(dossier.subscriber) as tx:
        upload = uploads.get(tx, artifact.upload)
    try:
        whole = upload.complete and path.stat().st_size == upload.size
    except FileNotFoundError:
        whole = False
    except OSError as error:
        raise Unavailable(
            f"The uploaded file of request {dossier.id} cannot be reached: {error.strerror}.",
            hint="whoever runs the service must look",
        ) from error
    if not whole:
        raise NotFound(
            f"The uploaded file of request {dossier.id} is lost from the spool.",
            hint="upload it again; without it the signature alone is released when the request's time is over",
        )
    return path


def _make(seal: PrivySeal, dossier: Dossier, request: SigningRequest, chain: tuple[bytes, ...], source: Path) -> str:
    """Make the signed file and write its SHA-256 down, which is returned."""
    where = premises(seal)
    target = where.spool.place("out", dossier.subscriber, dossier.id)
    size = source.stat().st_size
    allowed = timedelta(seconds=time_allowed(size))
    with seal.records.writing(dossier.subscriber) as tx:
        requests.prolong(tx, dossier, seal.clock() + requests.LEASE + allowed)
    where.spool.require_room(size)
    job = Finish(
        path=str(source),
        target=str(target),
        chain=chain,
        scheme=request.scheme,
        options=request.options,
        described=request.described,
        blobs=dossier.blobs,
    )
    made = where.spool.write("finish", lambda: where.workshop.finish(job, size))
    with seal.records.writing(dossier.subscriber) as tx:
        uploads.finish(tx, dossier.id, made.sha256, made.size, seal.clock() + where.keep)
    return made.sha256


def let_go(seal: PrivySeal, released: Sequence[Dossier]) -> None:
    """Delete the uploads of requests that were just released, unless another one needs them; the duties mend the rest.

    From now on, too, the finished file is kept: not from when it was made.
    """
    for dossier in released:
        try:
            where = premises(seal)
            with seal.records.writing(dossier.subscriber) as tx:
                artifact = uploads.artifact(tx, dossier.id)
                if artifact.sha256 is not None and artifact.size is not None:
                    uploads.finish(tx, dossier.id, artifact.sha256, artifact.size, seal.clock() + where.keep)
                needed = uploads.is_needed(tx, artifact.upload)
                if not needed:
                    uploads.remove(tx, artifact.upload)
            if not needed:
                where.spool.remove("in", dossier.subscriber, artifact.upload)
        except PrivySealError:
            continue


def fetch(seal: PrivySeal, actor: Actor, subscriber: str, request_id: str) -> tuple[Artifact, io.FileIO]:
    """Open the finished file of a released request, which the caller closes.

    NotFound where there is none, or it was deleted; Conflict while the request is not released.
    """
    permissions.require(actor, "fetch-code", subscriber)
    with seal.records.reading(subscriber) as tx:
        dossier = requests.get(tx, request_id)
        artifact = uploads.artifact(tx, request_id)
    if dossier.state is not State.RELEASED:
        raise Conflict(f"Request {request_id} is {dossier.state}; its file can be fetched once it is released.")
    return artifact, open_finished(premises(seal).spool.path("out", subscriber, request_id))


def delete(seal: PrivySeal, actor: Actor, subscriber: str, request_id: str) -> None:
    """Delete the finished file of a request that is over; Conflict where it is not over."""
    permissions.require(actor, "fetch-code", subscriber)
    with seal.records.writing(subscriber) as tx:
        dossier = requests.get(tx, request_id)
        uploads.artifact(tx, request_id)
        if dossier.state not in FINAL:
            raise Conflict(f"Request {request_id} is {dossier.state}; its file is needed.")
        uploads.forget(tx, request_id)
        events.record(tx, Event(seal.clock(), actor.member.id, "file deleted", request_id))
    premises(seal).spool.remove("out", subscriber, request_id)


def tidy(seal: PrivySeal) -> int:
    """Delete what nobody needs any more: stale uploads, files that were kept long enough, and what no row knows.

    The row goes first: a crash in between leaves a file that no row knows. Returns how many files were deleted.
    """
    if seal.premises is None or not seal.premises.spool.directory.is_dir():
        return 0
    spool, now, gone = seal.premises.spool, seal.clock(), 0
    with seal.records.reading_all_subscribers() as connection:
        stale = uploads.stale_of_all_subscribers(connection, now, limit=BATCH)
        spent = uploads.spent_of_all_subscribers(connection, now, limit=BATCH)
    for subscriber, upload_id in stale:
        try:
            with seal.records.writing(subscriber) as tx:
                if uploads.get(tx, upload_id).expires > now:
                    continue
                uploads.remove(tx, upload_id)
        except (Conflict, NotFound):
            continue  # a request came for it meanwhile, or it is gone
        spool.remove("in", subscriber, upload_id)
        gone += 1
    for subscriber, request_id in spent:
        with seal.records.writing(subscriber) as tx:
            uploads.forget(tx, request_id)
        spool.remove("out", subscriber, request_id)
        gone += 1
    return gone + _orphans(seal)


def _orphans(seal: PrivySeal) -> int:
    """Delete files that no row knows; old ones only, for the row of a new one may be younger than our list."""
    assert seal.premises is not None  # noqa: S101 - tidy has looked
    spool, gone = seal.premises.spool, 0
    old = [path for path, written in spool.files() if written < time.time() - ORPHAN_AGE.total_seconds()]
    if not old:
        return 0
    with seal.records.reading_all_subscribers() as connection:
        known = uploads.names_of_all_subscribers(connection)
    for path in old:
        if path.name not in known and _OURS.fullmatch(path.name):
            spool.write("remove orphan", lambda path=path: os.unlink(path))  # type: ignore[misc]
            gone += 1
    return gone
