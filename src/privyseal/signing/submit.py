"""A request comes in: the Actor must be allowed to ask it, and it must say one consistent thing."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TypeAlias

import msgspec

from privyseal.access import permissions
from privyseal.errors import BadInput, Conflict, Denied, IdempotencyMismatch, NotFound, PrivySealError
from privyseal.formats import catalogue
from privyseal.formats.protocol import Identity
from privyseal.records import events, keys, requests
from privyseal.records import uploads as stored
from privyseal.records.database import Transaction
from privyseal.records.events import Event
from privyseal.signing import uploads
from privyseal.signing.instance import PrivySeal
from privyseal.terms.canonical import decode_canonical
from privyseal.terms.keys import KeyPair
from privyseal.terms.parties import Actor
from privyseal.terms.requests import Dossier, SigningRequest, State, request_digest
from privyseal.terms.signatures import Described

LONGEST_LIFE = timedelta(days=7)
"""How far ahead a request may expire: a working week and its week-end, after which an approval says little."""

MOST_DESCRIBED = 64
"""Pieces of code in one request; a fat Mach-O has a handful of slices, so this leaves room for bundles."""


class Submission(msgspec.Struct, frozen=True):
    """A request as it reaches the walk: who asks, under which Idempotency-Key, what."""

    actor: Actor
    idempotency_key: str
    request: SigningRequest


def submit(seal: PrivySeal, submissions: Sequence[Submission]) -> list[Dossier | PrivySealError]:
    """Write down each request in one transaction, or find the one made under its Idempotency-Key before.

    A key that asks for no approval gets its request APPROVED at once. The outcome of each is its Dossier, or the error
    for that one alone: NotPermitted, NotFound, BadInput, Denied (expired), IdempotencyMismatch.
    """
    outcomes: list[Dossier | PrivySealError] = []
    described = [_described(seal, submission) for submission in submissions]
    now = seal.clock()
    with seal.records.batch() as batch:
        for submission, found in zip(submissions, described, strict=True):
            try:
                with batch.item(submission.request.subscriber) as tx:
                    outcomes.append(_submit_one(seal, tx, submission, found, now))
            except PrivySealError as error:
                outcomes.append(error)
    return outcomes


_Found: TypeAlias = tuple[Described, ...] | PrivySealError | None
"""What the service found in an uploaded file, or why it found nothing; None where it saw no file."""


def _described(seal: PrivySeal, submission: Submission) -> _Found:
    """Have the file of a request in mode ``server`` described, before any transaction: that may take seconds."""
    if submission.request.mode == "local":
        return None
    try:
        permissions.require(submission.actor, "request", submission.request.subscriber)
        with seal.records.reading(submission.request.subscriber) as tx:
            if requests.by_idempotency_key(tx, submission.idempotency_key) is not None:
                return None  # it was described then, and the upload may be gone
        return uploads.describe(seal, submission.actor, submission.request)
    except PrivySealError as error:
        return error


# What was found in the file comes beside what was asked: one is ours, the other the client's.
def _submit_one(seal: PrivySeal, tx: Transaction, submission: Submission, found: _Found, now: datetime) -> Dossier:
    request = submission.request
    permissions.require(submission.actor, "request", request.subscriber)
    known = requests.by_idempotency_key(tx, submission.idempotency_key)
    if known is not None:
        if not _asks_the_same(request, *known):
            raise IdempotencyMismatch(
                "This Idempotency-Key was used for a request that asked for something else.",
                hint="use a new key for a new request",
            )
        return known[0]
    if isinstance(found, PrivySealError):
        raise found
    if found is not None:
        request = msgspec.structs.replace(request, described=found)
    elif request.mode == "server":
        raise Conflict("A request under this Idempotency-Key has just gone.", hint="send it again")
    pair = keys.key_pair(tx, request.key)
    check(tx, pair, request, now)
    canonical = request.canonical()
    state = State.APPROVED if pair.quorum == 0 else State.REQUESTED
    dossier = Dossier(
        id="R-" + base64.b32encode(seal.draw(15)).decode("ascii").lower(),
        subscriber=request.subscriber,
        idempotency_key=submission.idempotency_key,
        requester=submission.actor.member.id,
        state=state,
        canonical=canonical,
        digest=request_digest(canonical).hex(),
        created=now,
        salt=seal.draw(32),
        completion_salt=seal.draw(32),
    )
    requests.add(tx, dossier, request)
    if request.mode == "server":
        stored.refer(tx, dossier.id, uploads.uploaded(tx, request))
    events.record(tx, Event(now, submission.actor.member.id, f"submitted, {state}", dossier.id))
    return dossier


def _asks_the_same(request: SigningRequest, known: Dossier, timeless: str) -> bool:
    """Tell whether a request asks for what a known one does; one that leaves ``described`` to us asks for no less."""
    if request.mode == "server" and not request.described:
        theirs = msgspec.structs.replace(decode_canonical(known.canonical, SigningRequest), described=())
        timeless = theirs.timeless_digest()
    return timeless == request.timeless_digest()


def check(tx: Transaction, pair: KeyPair, request: SigningRequest, now: datetime) -> None:
    """Refuse a request that contradicts the key, the certificate, the clock or the format it names."""
    if (request.key_id, request.scheme) != (pair.key_id, pair.scheme):
        raise BadInput(
            f"The request names another public key or scheme than Key Pair {pair.name!r} has.",
            hint="fetch the key again and build the request anew",
        )
    if request.expires_at <= now:
        raise Denied("The request's expires_at is past; nothing was signed.", hint="check this machine's clock")
    if request.expires_at > now + LONGEST_LIFE:
        raise BadInput(f"expires_at is more than {LONGEST_LIFE.days} days ahead.", hint="ask for a nearer time")
    if not 1 <= len(request.described) <= MOST_DESCRIBED:
        raise BadInput(
            f"A request describes 1 to {MOST_DESCRIBED} pieces of code; this one has {len(request.described)}."
        )
    chain = keys.certificate_chain(tx, request.certificate)
    if chain is None:
        raise NotFound(f"No certificate with the fingerprint {request.certificate[:16]}... is installed for this key.")
    identity = Identity(chain, pair.scheme)
    for described in request.described:
        code_format = catalogue.BY_NAME.get(described.format)
        if code_format is None:
            raise BadInput(f"No code format is named {described.format!r}; known are {', '.join(catalogue.BY_NAME)}.")
        code_format.to_be_signed(described, identity, request.options)
