"""A request comes in: the Actor must be allowed to ask it, and it must say one consistent thing."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TypeAlias

import msgspec

from privyseal.access import permissions, quorum
from privyseal.errors import BadInput, Conflict, Denied, IdempotencyMismatch, NotFound, NotPermitted, PrivySealError
from privyseal.formats import key_side
from privyseal.formats.protocol import Identity
from privyseal.records import events, requests, signed
from privyseal.records import uploads as stored
from privyseal.records.database import Batch, Transaction
from privyseal.records.events import Event
from privyseal.signing import enclosures, freezes, notices, policies, uploads
from privyseal.signing.instance import PrivySeal
from privyseal.signing.policies import Ruling
from privyseal.signing.shelf import Shelf
from privyseal.terms import limits
from privyseal.terms.canonical import decode_canonical
from privyseal.terms.keys import KeyPair
from privyseal.terms.parties import Actor, Workload
from privyseal.terms.requests import MOST_DESCRIBED, Dossier, SigningRequest, State, request_digest
from privyseal.terms.signatures import ToBeSigned

LONGEST_LIFE = timedelta(days=7)
"""How far ahead a request may expire: a working week and its week-end, after which an approval says little."""


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
    seal.require_memory()
    outcomes: dict[int, Dossier | PrivySealError] = {}
    found = [_described(seal, submission) for submission in submissions]
    now = seal.clock()
    shelf = Shelf(now)
    # In the order of their keys: two nodes that write the same ones wait for each other one way only.
    order = sorted(range(len(submissions)), key=lambda n: _place(submissions[n]))
    with seal.records.batch() as batch:
        for number in order:
            outcomes[number] = _submit_safely(seal, batch, submissions[number], found[number], now, shelf)
    return [outcomes[number] for number in range(len(submissions))]


_Found: TypeAlias = uploads.Found | PrivySealError | None
"""What the service found in what was uploaded, or why it found nothing; None where nothing was."""


def _described(seal: PrivySeal, submission: Submission) -> _Found:
    """Have the file of a request in mode ``server`` described, before any transaction: that may take seconds.

    What travels beside descriptions is read, or made of the file and kept, here as well.
    """
    request = submission.request
    if request.mode == "local" and not enclosures.named(request):
        return None
    try:
        permissions.require(submission.actor, "request", request.subscriber)
        permissions.require_key(submission.actor, request.key)
        with seal.records.reading(request.subscriber) as tx:
            if requests.by_idempotency_key(tx, submission.idempotency_key) is not None:
                return None  # it was described then, and the upload may be gone
        if request.mode == "local":
            return uploads.Found(request.described, msgspec.UNSET, enclosures.read(seal, request.subscriber, request))
        found = uploads.describe(seal, submission.actor, request)
        enclosures.keep(seal, submission.actor, request.subscriber, found.enclosed)
        return found
    except PrivySealError as error:
        return error


def _place(submission: Submission) -> tuple[str, str]:
    return submission.request.subscriber, submission.idempotency_key


# What was found in the file comes beside what was asked: one is ours, the other the client's.
def _submit_safely(
    seal: PrivySeal, batch: Batch, submission: Submission, found: _Found, now: datetime, shelf: Shelf
) -> Dossier | PrivySealError:
    """Submit one; where another node wrote the same Idempotency-Key meanwhile, look again and find its request."""
    for last in (False, True):
        try:
            with batch.item(submission.request.subscriber) as tx:
                return _submit_one(seal, tx, submission, found, now, shelf)
        except Conflict as error:
            if last:
                return error
        except PrivySealError as error:
            return error
    raise AssertionError("unreachable")


class Taken(msgspec.Struct, frozen=True):
    """A new request that was written down as SIGNING, under the lease of the walk that now goes on with it."""

    dossier: Dossier
    request: SigningRequest
    pair: KeyPair
    chain: tuple[bytes, ...]
    octets: list[list[ToBeSigned]]
    """For each piece of code what its format wants signed."""


def take_in(seal: PrivySeal, submissions: Sequence[Submission]) -> dict[int, Taken]:
    """Write down and take, in one transaction, those submissions that are plainly new and ask for no approval.

    Returns them by their place among ``submissions``. Whatever there is to say of any other one, that it was made
    before, that it must wait or is refused, :func:`submit` says; nothing of it is written here. One Idempotency-Key
    that is in use sends all of its Subscriber's that way: it is rare, and only costs time.
    """
    now = seal.clock()
    shelf = Shelf(now)
    by_subscriber: dict[str, list[int]] = {}
    # In the order of their keys, so that two who write the same ones wait for each other one way only.
    for number in sorted(range(len(submissions)), key=lambda n: submissions[n].idempotency_key):
        by_subscriber.setdefault(submissions[number].request.subscriber, []).append(number)
    taken: dict[int, Taken] = {}
    try:
        with seal.records.batch() as batch:
            for subscriber, numbers in by_subscriber.items():
                with suppress(PrivySealError), batch.item(subscriber) as tx:
                    found = ((n, _fresh(seal, tx, submissions[n], now, shelf)) for n in numbers)
                    fresh = {n: one for n, one in found if one is not None}
                    if fresh:
                        new = [(one.dossier, one.request) for one in fresh.values()]
                        requests.add_taken(tx, new, now, seal.holder)
                        papers = shelf.papers(tx)
                        said = [
                            _submitted(submissions[n], one.dossier, State.APPROVED, papers) for n, one in fresh.items()
                        ]
                        events.record(tx, *(event for each in said for event in each))
                        signed.note_runs(tx, _runs((submissions[n].actor, one.dossier) for n, one in fresh.items()))
                        taken |= fresh
    except PrivySealError:
        give_back(seal, [one.dossier for one in taken.values()])  # perhaps it was done: nobody shall wait for the lease
        raise
    return taken


def give_back(seal: PrivySeal, dossiers: Sequence[Dossier]) -> None:
    """Drop the leases of requests that a walk could not finish, and those that could not be dropped before.

    If even that fails, they are kept in mind for the next time; the next life of this node, or time, ends the rest.
    """
    owed = seal.owed(dossiers)
    if owed:
        try:
            with seal.records.batch() as batch:
                for dossier in owed:
                    with batch.item(dossier.subscriber) as tx:
                        requests.release(tx, dossier)
        except PrivySealError:
            seal.owe(owed)


def _fresh(seal: PrivySeal, tx: Transaction, submission: Submission, now: datetime, shelf: Shelf) -> Taken | None:
    """Prepare a request for being taken at once; None where anything stands against that."""
    request = submission.request
    try:
        permissions.require(submission.actor, "request", request.subscriber)
        _check_requester(submission.actor, request)
        permissions.require_key(submission.actor, request.key)
        pair = shelf.pair(tx, request.key)
        if pair.in_order or request.mode == "server" or enclosures.named(request):  # people, or files, take their time
            return None
        octets = check(tx, pair, request, now, shelf)
        ruling = policies.allow(tx, submission.actor, request, pair, shelf)  # the last, for it counts
    except PrivySealError:
        return None
    # REQUESTED, APPROVED and SIGNING in one write: nobody is asked, and the walk that takes it is this one.
    dossier = _dossier(seal, submission, request, State.SIGNING, now, ruling)
    return Taken(dossier, request, pair, shelf.chain(tx, request.certificate), octets)


def _submit_one(
    seal: PrivySeal, tx: Transaction, submission: Submission, found: _Found, now: datetime, shelf: Shelf
) -> Dossier:
    request = submission.request
    permissions.require(submission.actor, "request", request.subscriber)
    _check_requester(submission.actor, request)
    permissions.require_key(submission.actor, request.key)
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
    if found is not None and request.mode == "server":
        request = msgspec.structs.replace(request, described=found.described, seen=found.seen)
    elif found is None and (request.mode == "server" or enclosures.named(request)):
        raise Conflict("A request under this Idempotency-Key has just gone.", hint="send it again")
    pair = shelf.pair(tx, request.key)
    check(tx, pair, request, now, shelf, () if found is None else found.enclosed)
    _check_can_be_agreed(pair, request)
    ruling = policies.allow(tx, submission.actor, request, pair, shelf)
    state = State.REQUESTED if pair.in_order else State.APPROVED
    dossier = _dossier(seal, submission, request, state, now, ruling)
    requests.add(tx, dossier, request)
    if request.mode == "server":
        stored.refer(tx, dossier.id, uploads.uploaded(tx, request))
    enclosures.refer(tx, dossier.id, request)
    events.record(tx, *_submitted(submission, dossier, state, shelf.papers(tx)))
    signed.note_runs(tx, _runs([(submission.actor, dossier)]))
    if state is State.REQUESTED:
        notices.put_requests(tx, seal, "request.waiting", [dossier])
    return dossier


def _check_requester(actor: Actor, request: SigningRequest) -> None:
    """Refuse a request in somebody else's name: who asks is not counted among those who agree."""
    if request.requester is not msgspec.UNSET and request.requester != actor.member.id:
        raise NotPermitted(
            f"The request names {request.requester!r} as its requester, and {actor.member.id!r} sent it.",
            hint="name the member of /v1/whoami",
        )


def _check_can_be_agreed(pair: KeyPair, request: SigningRequest) -> None:
    """Refuse a request that could only wait in vain: it does not say who asks, or too few others are left to agree."""
    if not pair.in_order:
        return
    if request.requester is msgspec.UNSET:
        raise BadInput(
            f"Key Pair {pair.name!r} asks for approval, and the request does not say who asks.",
            hint="put the member of /v1/whoami into it as requester",
        )
    outcome = quorum.decide(pair.approvers, pair.in_order, (), request.requester)
    if isinstance(outcome, quorum.Refused):
        raise NotPermitted(outcome.why, hint="whoever asks is not counted among those who agree")


def _runs(asked: Iterable[tuple[Actor, Dossier]]) -> Iterator[tuple[str, Workload]]:
    """Yield the requests that a run of a machine made, each with what its platform said of the run."""
    for actor, dossier in asked:
        if actor.workload is not None:
            yield dossier.id, actor.workload


def _asks_the_same(request: SigningRequest, known: Dossier, timeless: str) -> bool:
    """Tell whether a request asks for what a known one does; one that leaves ``described`` to us asks for no less."""
    if request.mode == "server" and not request.described:
        theirs = msgspec.structs.replace(decode_canonical(known.canonical, SigningRequest), described=())
        timeless = theirs.timeless_digest()
    return timeless == request.timeless_digest()


# One argument for each of those who know a part of it.
def _dossier(
    seal: PrivySeal, submission: Submission, request: SigningRequest, state: State, now: datetime, ruling: Ruling | None
) -> Dossier:
    canonical = request.canonical()
    return Dossier(
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
        fence=1 if state is State.SIGNING else 0,
        policy=None if ruling is None else ruling.policy,
        allowed_by=() if ruling is None else ruling.rules,
    )


def _submitted(submission: Submission, dossier: Dossier, state: State, papers: int | None) -> list[Event]:
    """Return what is to be remembered of it: who asked, and by what proof where that was more than a token.

    ``papers`` is the log's entry of the newest acceptance of a paper, which tells what was in force.
    """
    said = f"submitted, {state}" if papers is None else f"submitted, {state}, papers {papers}"
    asked = Event(dossier.created, dossier.requester, said, dossier.id)
    return [asked, *events.proofs(asked, submission.actor.factors)]


# What the records say of the key, what was asked with what travels beside it, and when: each judges the others.
def check(
    tx: Transaction,
    pair: KeyPair,
    request: SigningRequest,
    now: datetime,
    shelf: Shelf,
    enclosed: Sequence[bytes] = (),
) -> list[list[ToBeSigned]]:
    """Refuse a request that contradicts the key, the certificate, the clock or the format it names.

    ``enclosed`` is what travels beside each description. Returns for each piece of code what its format wants signed.
    """
    shelf.require_signing(tx)
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
    freezes.require_unfrozen(shelf.frozen(tx), request.key)
    shelf.require_active(tx, request.key)
    limited = limits.why_not(pair.limits, now)
    if limited is not None:
        raise Denied(f"The Key Pair {pair.name!r} {limited}.", hint="operators and approvers can amend its limits")
    chain = shelf.chain(tx, request.certificate)
    if not chain:
        raise NotFound(f"No certificate with the fingerprint {request.certificate[:16]}... is installed for this key.")
    identity = Identity(chain, pair.scheme)
    return key_side.octets(request.described, identity, request.options, enclosed)
