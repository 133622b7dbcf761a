"""A request comes in: the Actor must be allowed to ask it, and it must say one consistent thing."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from privyseal.access import permissions
from privyseal.errors import BadInput, Conflict, Denied, IdempotencyMismatch, NotFound, PrivySealError
from privyseal.formats import catalogue
from privyseal.formats.protocol import Identity
from privyseal.records import events, keys, requests
from privyseal.records.database import Batch, Transaction
from privyseal.records.events import Event
from privyseal.signing.instance import PrivySeal
from privyseal.terms.keys import KeyPair
from privyseal.terms.parties import Actor, Factor
from privyseal.terms.requests import Dossier, SigningRequest, State, request_digest

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
    outcomes: dict[int, Dossier | PrivySealError] = {}
    now = seal.clock()
    # In the order of their keys: two nodes that write the same ones wait for each other one way only.
    order = sorted(range(len(submissions)), key=lambda n: _place(submissions[n]))
    with seal.records.batch() as batch:
        for number in order:
            outcomes[number] = _submit_safely(seal, batch, submissions[number], now)
    return [outcomes[number] for number in range(len(submissions))]


def _place(submission: Submission) -> tuple[str, str]:
    return submission.request.subscriber, submission.idempotency_key


def _submit_safely(seal: PrivySeal, batch: Batch, submission: Submission, now: datetime) -> Dossier | PrivySealError:
    """Submit one; where another node wrote the same Idempotency-Key meanwhile, look again and find its request."""
    for last in (False, True):
        try:
            with batch.item(submission.request.subscriber) as tx:
                return _submit_one(seal, tx, submission, now)
        except Conflict as error:
            if last:
                return error
        except PrivySealError as error:
            return error
    raise AssertionError("unreachable")


def _submit_one(seal: PrivySeal, tx: Transaction, submission: Submission, now: datetime) -> Dossier:
    request = submission.request
    permissions.require(submission.actor, "request", request.subscriber)
    known = requests.by_idempotency_key(tx, submission.idempotency_key)
    if known is not None:
        dossier, timeless = known
        if timeless != request.timeless_digest():
            raise IdempotencyMismatch(
                "This Idempotency-Key was used for a request that asked for something else.",
                hint="use a new key for a new request",
            )
        return dossier
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
    events.record(tx, Event(now, submission.actor.member.id, f"submitted, {state}", dossier.id))
    if submission.actor.factors != (Factor.BEARER,):
        events.record(tx, Event(now, submission.actor.member.id, f"by {submission.actor.proof}", dossier.id))
    return dossier


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
    if request.mode != "local":
        raise BadInput("This service signs descriptions only (mode local); it was asked for mode server.")
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
