"""A batch of requests goes from APPROVED to RELEASED: log, key, timestamp, log.

Every step reads where a request stands and takes it one step on, so that a walk which was cut short anywhere is taken
up by the next one. Six transactions and two appends serve the whole batch, however many wait; a step that fails for one
request leaves that one where it is and its neighbours go on. What a crash leaves behind, and why each case is decided
as it is, stands at the head of ``terms/requests.py``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from privyseal.errors import Failed, LogUnavailable, PrivySealError
from privyseal.formats import catalogue
from privyseal.formats.protocol import Identity
from privyseal.records import events, keys, requests
from privyseal.records.database import Transaction
from privyseal.records.events import Event
from privyseal.signing import artifacts, entries
from privyseal.signing.instance import REFUSALS_OF_THE_MARK, PrivySeal
from privyseal.strongroom.messages import Appended, Logged, Refused, SignBatch, SignedBatch, SignItem, Stale
from privyseal.terms.canonical import decode_canonical
from privyseal.terms.keys import KeyPair
from privyseal.terms.requests import Approval, Dossier, SigningRequest, State
from privyseal.terms.signatures import DigestAlgorithm, Signature, TimestampToken, ToBeSigned
from privyseal.timestamp.token import verify_token


@dataclass(slots=True)
class _Case:
    """One request on its walk: what this walk knows of it."""

    dossier: Dossier
    request: SigningRequest
    chain: tuple[bytes, ...]
    key_tag: str
    approvals: tuple[Approval, ...]
    uncertain: bool
    """Found SIGNING with an intent and without a signature: nobody can tell whether the key was used."""
    error: PrivySealError | None = None
    refused: tuple[str, str] | None = None
    octets: list[list[ToBeSigned]] = field(default_factory=list)
    files: entries.Files = msgspec.UNSET
    """SHA-256 of the finished file, in mode ``server``."""

    def stands(self, state: State) -> bool:
        """Tell whether the walk may go on with it from this state."""
        return self.error is None and self.dossier.state is state

    @property
    def identity(self) -> Identity:
        """Return the public side of the signer."""
        return Identity(self.chain, self.request.scheme)

    def build(self) -> list[list[ToBeSigned]]:
        """Return, for each piece of code, the octets its format wants signed."""
        if not self.octets:
            for described in self.request.described:
                code_format = catalogue.BY_NAME[described.format]
                self.octets.append(list(code_format.to_be_signed(described, self.identity, self.request.options)))
        return self.octets

    def uses(self) -> int:
        """Count the signatures the key will make."""
        return sum(len(each) for each in self.build())


def advance(seal: PrivySeal, ids: Sequence[tuple[str, str]], *, files: bool = False) -> list[Dossier | PrivySealError]:
    """Take each request, named by (Subscriber, id), as far as it goes, and return how each stands, in the order given.

    Without ``files`` a request in mode ``server`` goes as far as SIGNED: making its file takes seconds, for which its
    neighbours do not wait. A request that another walk holds is returned as it stands. An error means that the request
    is where the records say, and that advancing it again is safe; Failed means that it is over.
    """
    cases, others = _claim(seal, ids)
    walk = list(cases.values())
    untouched = [c for c in walk if c.stands(State.SIGNING) and not c.dossier.signatures and not c.uncertain]
    with _errors_into(untouched):
        _log_intents_and_sign(seal, untouched)
    _abort(seal, [c for c in walk if c.stands(State.SIGNING) and not c.dossier.signatures])
    _timestamp(seal, [c for c in walk if c.stands(State.SIGNING)])
    finished = [c for c in walk if c.stands(State.SIGNED) and c.request.mode == "local"]
    with _errors_into(finished):
        _complete(seal, finished)
    _finish_files(seal, [c for c in walk if c.stands(State.SIGNED)] if files else [])
    _give_back(seal, [c for c in walk if c.stands(State.SIGNED)])
    _give_back(seal, [c for c in walk if c.error is not None and not isinstance(c.error, Failed)])
    outcomes: dict[str, Dossier | PrivySealError] = {c.dossier.id: c.error or c.dossier for c in walk}
    return [(outcomes | others)[request_id] for _, request_id in ids]


def _claim(
    seal: PrivySeal, ids: Sequence[tuple[str, str]]
) -> tuple[dict[str, _Case], dict[str, Dossier | PrivySealError]]:
    now = seal.clock()
    cases: dict[str, _Case] = {}
    others: dict[str, Dossier | PrivySealError] = {}
    shelf = _Shelf()
    try:
        with seal.records.batch() as batch:
            for subscriber, request_id in dict.fromkeys(ids):
                try:
                    with batch.item(subscriber) as tx:
                        taken = _claim_one(tx, request_id, seal.clock(), shelf)
                except PrivySealError as error:
                    others[request_id] = error
                    continue
                if isinstance(taken, _Case):
                    cases[request_id] = taken
                else:
                    others[request_id] = taken
                    if taken.state is State.EXPIRED:
                        with batch.item(subscriber) as tx:
                            events.record(tx, Event(now, "service", "expired", request_id))
    except PrivySealError as error:
        return {}, {request_id: error for _, request_id in ids}
    return cases, others


class _Shelf:
    """Keys and chains as one batch found them: its requests are for a few keys, and each is read once."""

    def __init__(self) -> None:
        self._pairs: dict[tuple[str, str], KeyPair] = {}
        self._chains: dict[tuple[str, str], tuple[bytes, ...]] = {}

    def pair(self, tx: Transaction, name: str) -> KeyPair:
        """Return the Key Pair of that name."""
        place = (tx.subscriber, name)
        if place not in self._pairs:
            self._pairs[place] = keys.key_pair(tx, name)
        return self._pairs[place]

    def chain(self, tx: Transaction, fingerprint: str) -> tuple[bytes, ...]:
        """Return the chain of the certificate with this fingerprint; empty where there is none any more."""
        place = (tx.subscriber, fingerprint)
        if place not in self._chains:
            self._chains[place] = keys.certificate_chain(tx, fingerprint) or ()
        return self._chains[place]


def _claim_one(tx: Transaction, request_id: str, now: datetime, shelf: _Shelf) -> _Case | Dossier:
    dossier = requests.claim(tx, request_id, now)
    if dossier is None:
        return requests.get(tx, request_id)
    request = decode_canonical(dossier.canonical, SigningRequest)
    if dossier.state is State.APPROVED:
        if request.expires_at <= now:
            return requests.move(tx, dossier, State.EXPIRED)
        dossier = requests.move(tx, dossier, State.SIGNING)
    pair = shelf.pair(tx, request.key)
    return _Case(
        dossier=dossier,
        request=request,
        chain=shelf.chain(tx, request.certificate),
        key_tag=pair.key_tag,
        approvals=tuple(requests.approvals_of(tx, request_id)) if pair.quorum else (),
        uncertain=dossier.state is State.SIGNING and dossier.intent is not None and not dossier.signatures,
    )


def _log_intents_and_sign(seal: PrivySeal, fresh: list[_Case]) -> None:
    """Put every intent in a signed checkpoint, write down where it stands, and only then ask for the signatures."""
    if not fresh:
        return
    submissions = [entries.intent(c.dossier, c.key_tag, c.uses()) for c in fresh]
    appended = seal.logger.append(submissions, since=seal.signer_mark)
    logged = dict(zip((c.dossier.id for c in fresh), appended.items, strict=True))
    _store(
        seal,
        fresh,
        lambda tx, c: requests.store_intent(tx, c.dossier, entries.place(logged[c.dossier.id])),
    )
    going = [c for c in fresh if c.error is None]
    try:
        results = _ask_signer(seal, going, appended, [logged[c.dossier.id] for c in going])
    except PrivySealError:
        return  # whether the key was used is unknown: what has no signature now is aborted
    for case, result in zip(going, results.results, strict=True):
        if isinstance(result, Refused):
            case.refused = (result.code, result.detail)
    made = {
        case.dossier.id: result.values
        for case, result in zip(going, results.results, strict=True)
        if not isinstance(result, Refused)
    }
    _store(
        seal,
        [c for c in going if c.dossier.id in made],
        lambda tx, c: requests.store_signatures(tx, c.dossier, made[c.dossier.id]),
    )


def _ask_signer(seal: PrivySeal, cases: list[_Case], appended: Appended, logged: list[Logged]) -> SignedBatch:
    """Send one batch to the signer, proving the log afresh where the signer has seen a newer head meanwhile."""
    for _ in range(REFUSALS_OF_THE_MARK):
        answer = seal.signer.sign(
            SignBatch(
                checkpoint=appended.checkpoint,
                since=appended.since,
                consistency=appended.consistency,
                items=tuple(_item(c, entry) for c, entry in zip(cases, logged, strict=True)),
            )
        )
        seal.learn_signer_mark(answer.mark)
        if not isinstance(answer, Stale):
            return answer
        appended = seal.logger.prove(tuple(entry.index for entry in logged), since=answer.mark)
        logged = list(appended.items)
    raise LogUnavailable("The signer's mark moved on each time the log was proven to it.", hint="safe to run again")


def _item(case: _Case, logged: Logged) -> SignItem:
    place = entries.place(logged)
    return SignItem(
        request=case.dossier.canonical,
        approvals=case.approvals,
        chain=case.chain,
        salt=case.dossier.salt,
        index=place.index,
        key_seq=place.key_seq,
        path=logged.path,
    )


def _abort(seal: PrivySeal, cases: list[_Case]) -> None:
    """End requests whose intent is logged and that will have no signature: completion ``aborted``, then FAILED."""
    over = [c for c in cases if c.dossier.intent is not None]
    if not over:
        return
    with _errors_into(over):
        submissions = [entries.aborted(c.dossier, c.key_tag, _reason(c)[1]) for c in over]
        seal.logger.append(submissions, since=0)
        _store(seal, over, lambda tx, c: requests.fail(tx, c.dossier, *_reason(c)))
    for case in over:
        if case.dossier.state is State.FAILED:
            case.error = Failed(
                f"Request {case.dossier.id} failed: {_reason(case)[1]}",
                hint="ask again under a new Idempotency-Key",
            )


def _reason(case: _Case) -> tuple[str, str]:
    if case.refused is not None:
        return case.refused
    return "key-use-unknown", "the signer's answer was lost, so nobody can tell whether the key was used"


def _timestamp(seal: PrivySeal, cases: list[_Case]) -> None:
    """Have every signature timestamped, one question for each digest algorithm, and build the blobs."""
    tokens: dict[str, list[TimestampToken]] = {c.dossier.id: [] for c in cases}
    for algorithm in sorted({_imprint(c) for c in cases if c.request.options.timestamp}):
        asked = [c for c in cases if c.request.options.timestamp and _imprint(c) == algorithm]
        values = [value for c in asked for value in c.dossier.signatures]
        with _errors_into(asked):
            answers = iter(seal.stamper.stamp(algorithm, [hashlib.new(algorithm, v).digest() for v in values]))
            for case in asked:
                for value in case.dossier.signatures:
                    tokens[case.dossier.id].append(verify_token(next(answers, b""), octets=value))
    blobs: dict[str, list[bytes]] = {}
    for case in (c for c in cases if c.error is None):
        with _errors_into([case]):
            blobs[case.dossier.id] = _finish(case, tokens[case.dossier.id])
    _store(
        seal,
        [c for c in cases if c.error is None],
        lambda tx, c: requests.store_blobs(tx, c.dossier, tokens[c.dossier.id], blobs[c.dossier.id]),
    )


def _imprint(case: _Case) -> DigestAlgorithm:
    return case.request.described[0].digest_algorithm


def _finish(case: _Case, tokens: list[TimestampToken]) -> list[bytes]:
    blobs = []
    values, stamps = iter(case.dossier.signatures), iter(tokens)
    for described, octets in zip(case.request.described, case.build(), strict=True):
        signed = [Signature(each, next(values)) for each in octets]
        given = [next(stamps) for _ in octets] if tokens else []
        finish = catalogue.BY_NAME[described.format].finish
        blobs.append(finish(described, case.identity, case.request.options, signed, given))
    return blobs


def _finish_files(seal: PrivySeal, cases: list[_Case]) -> None:
    """Make the signed files of mode ``server``, and release each as soon as it is made."""
    for case in cases:
        with _errors_into([case]):
            case.files = artifacts.finish(seal, case.dossier, case.request, case.chain)
            _complete(seal, [case])
    artifacts.let_go(seal, [c.dossier for c in cases if c.stands(State.RELEASED)])


def _complete(seal: PrivySeal, cases: list[_Case]) -> None:
    """Log what came of each, build the receipts, release."""
    if not cases:
        return
    appended = seal.logger.append([entries.completed(c.dossier, c.key_tag, c.files) for c in cases], since=0)
    receipts = {
        case.dossier.id: entries.receipt(case.dossier, case.key_tag, appended, logged, case.files)
        for case, logged in zip(cases, appended.items, strict=True)
    }
    now = seal.clock()

    def _release(tx: Transaction, case: _Case) -> Dossier:
        events.record(tx, Event(now, "service", "released", case.dossier.id))
        return requests.store_receipt(tx, case.dossier, receipts[case.dossier.id])

    _store(seal, cases, _release)


def _store(seal: PrivySeal, cases: Sequence[_Case], write: Callable[[Transaction, _Case], Dossier]) -> None:
    """Write one step of many requests in one transaction; who cannot be written keeps its error, alone."""
    if not cases:
        return
    written: list[tuple[_Case, Dossier]] = []
    with _errors_into(cases):
        with seal.records.batch() as batch:
            for case in cases:
                with _errors_into([case]), batch.item(case.dossier.subscriber) as tx:
                    written.append((case, write(tx, case)))
        for case, dossier in written:
            case.dossier = dossier


def _give_back(seal: PrivySeal, cases: Sequence[_Case]) -> None:
    """Drop the leases of requests this walk could not finish; if even that fails, they run out by themselves."""
    if not cases:
        return
    try:
        with seal.records.batch() as batch:
            for case in cases:
                with batch.item(case.dossier.subscriber) as tx:
                    requests.release(tx, case.dossier)
    except PrivySealError:
        return


@contextmanager
def _errors_into(cases: Iterable[_Case]) -> Iterator[None]:
    """Give what the body raises to every case that is still going; their requests stay where they are."""
    concerned = list(cases)
    try:
        yield
    except PrivySealError as error:
        for case in concerned:
            case.error = case.error or error
