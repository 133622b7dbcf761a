"""What travels beside a description: a table of page hashes, say, which is too large to stand in a request.

It comes as an upload does, in either mode, and is known by its SHA-256, which stands in the description as the fact
``ENCLOSED``: whoever agrees to the description agrees to it. It is kept until no request needs it any more that is not
over. Of a file that the service sees itself (mode ``server``) it makes the enclosure itself, and keeps it the same way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from privyseal.errors import BadInput, NotFound, PrivySealError
from privyseal.formats.protocol import ENCLOSED, MAX_ENCLOSED
from privyseal.records import uploads as records
from privyseal.records.database import Transaction
from privyseal.records.spool import open_finished
from privyseal.signing import uploads
from privyseal.signing.instance import Premises, PrivySeal
from privyseal.terms.parties import Actor
from privyseal.terms.requests import SigningRequest, State
from privyseal.terms.uploads import NewUpload, Upload

if TYPE_CHECKING:
    from privyseal.signing.case import Case

NAME = "enclosure"
"""What an upload is called that the service made itself."""


def named(request: SigningRequest) -> list[str]:
    """Return the SHA-256 of everything that the descriptions of a request name, each once, in their order."""
    return list(dict.fromkeys(str(each.facts[ENCLOSED]) for each in request.described if ENCLOSED in each.facts))


def read(seal: PrivySeal, subscriber: str, request: SigningRequest) -> tuple[bytes, ...]:
    """Return what travels beside each description; no octets where nothing does, and nothing if it is so for all.

    BadInput where it is too much or this service keeps no files, NotFound where something was not uploaded, or is lost.
    """
    digests = named(request)
    if not digests:
        return ()
    spool = _premises(seal).spool
    with seal.records.reading(subscriber) as tx:
        found = [_uploaded(tx, digest) for digest in digests]
    total = sum(each.size for each in found)
    if total > MAX_ENCLOSED:
        raise BadInput(
            f"{total} octets travel beside the descriptions of this request; at most {MAX_ENCLOSED} may.",
            hint="divide it into several requests",
        )
    octets = {}
    for upload in found:
        try:
            with open_finished(spool.path("in", subscriber, upload.id)) as file:
                octets[upload.sha256] = file.read(MAX_ENCLOSED + 1)
        except NotFound:
            raise _missing(upload.sha256) from None
        if hashlib.sha256(octets[upload.sha256]).hexdigest() != upload.sha256:
            raise _missing(upload.sha256)
    return tuple(octets.get(str(each.facts.get(ENCLOSED)), b"") for each in request.described)


def keep(seal: PrivySeal, actor: Actor, subscriber: str, enclosed: Sequence[bytes]) -> None:
    """Put what the service made of a file it saw among the Subscriber's uploads; the same again changes nothing."""
    for octets in filter(None, enclosed):
        wanted = NewUpload(filename=NAME, size=len(octets), sha256=hashlib.sha256(octets).hexdigest())
        upload, offset = uploads.announce(seal, actor, subscriber, wanted)
        if not upload.complete:
            with uploads.open_part(seal, actor, subscriber, upload.id, offset) as part:
                part.append(octets[offset:])
                uploads.accept(seal, actor, upload, part)


def refer(tx: Transaction, request_id: str, request: SigningRequest) -> None:
    """Write down that a request needs what its descriptions name, which is kept until it is over."""
    if digests := named(request):
        records.enclose(tx, request_id, [_uploaded(tx, digest) for digest in digests])


def into(seal: PrivySeal, walk: Sequence[Case]) -> None:
    """Give each case what travels beside its descriptions; one whose enclosure is lost keeps that as its error."""
    for case in walk:
        if case.stands(State.SIGNING) and not case.enclosed and named(case.request):
            try:
                case.enclosed = read(seal, case.dossier.subscriber, case.request)
            except PrivySealError as error:
                case.error = error


def let_go(seal: PrivySeal, walk: Sequence[Case]) -> None:
    """Delete what came beside requests that were just released, unless others need it; the duties mend the rest."""
    for case in walk:
        if not case.stands(State.RELEASED) or not named(case.request):
            continue
        try:
            with seal.records.writing(case.dossier.subscriber) as tx:
                gone = records.free_enclosed(tx, case.dossier.id)
            for upload_id in gone:
                _premises(seal).spool.remove("in", case.dossier.subscriber, upload_id)
        except PrivySealError:
            continue


def _premises(seal: PrivySeal) -> Premises:
    if seal.premises is None:
        raise BadInput(
            "Something travels beside this description, and this service keeps no files to put it among.",
            hint="sign without page hashes, or ask who runs the service for a spool",
        )
    return seal.premises


def _uploaded(tx: Transaction, sha256: str) -> Upload:
    upload = records.by_digest(tx, sha256)
    if upload is None or not upload.complete:
        raise _missing(sha256)
    return upload


def _missing(sha256: str) -> NotFound:
    return NotFound(f"What a description names by the SHA-256 {sha256[:16]}... was not uploaded.", hint="upload it")
