"""A batch of requests goes from APPROVED to RELEASED: log, key, timestamp, log.

Every step reads where a request stands and takes it one step on, so that a walk which was cut short anywhere is taken
up by the next one. Three transactions (four for what was written down before, one more with timestamps) and two appends
serve the whole batch, however many wait; a step that fails for one request leaves that one where it is and its
neighbours go on. What a crash leaves behind, and why each case is decided as it is, stands at the head of
``terms/requests.py``.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple

import msgspec

from privyseal.errors import Conflict, Failed, IntentSpent, LogUnavailable, PrivySealError, Unavailable
from privyseal.records import approvals, events, requests
from privyseal.records.database import Transaction
from privyseal.records.events import Event
from privyseal.records.requests import Holder
from privyseal.signing import artifacts, enclosures, entries, freezes, gates, granted, life, notices, who_signed
from privyseal.signing.case import Case, errors_into, portions, store
from privyseal.signing.countersign import build, countersign
from privyseal.signing.instance import REFUSALS_OF_THE_MARK, PrivySeal
from privyseal.signing.shelf import Shelf
from privyseal.signing.submit import Taken, give_back
from privyseal.strongroom.messages import (
    Appended,
    Logged,
    Refused,
    SignBatch,
    SignedBatch,
    SignedItem,
    SignItem,
    Stale,
    refused,
)
from privyseal.terms.canonical import decode_canonical
from privyseal.terms.requests import Dossier, SigningRequest, State
from privyseal.tlog.entry import CompletionSubmission


class _Reach(NamedTuple):
    """Which steps that take seconds a walk does."""

    files: bool = False
    elsewhere: bool = False


_QUICK = _Reach()


def advance(
    seal: PrivySeal, ids: Sequence[tuple[str, str]], *, files: bool = False, elsewhere: bool = False
) -> list[Dossier | PrivySealError]:
    """Take each request, named by (Subscriber, id), as far as it goes, and return how each stands, in the order given.

    What takes seconds its neighbours do not wait for. Without ``files`` a request in mode ``server`` goes as far as
    SIGNED, and its file is not made. Without ``elsewhere`` no authority elsewhere is asked for a timestamp, and what
    needs one stays SIGNING, its signature stored. A request that another walk holds is returned as it stands. An error
    means that the request is where the records say, and that advancing it again is safe; Failed means that it is over.
    """
    seal.require_memory()
    began = time.monotonic()
    cases, others = _claim(seal, ids)
    seal.watch.step("claim", len(ids), time.monotonic() - began)
    walked = _walk(seal, list(cases.values()), _Reach(files, elsewhere))
    return [(walked | others)[request_id] for _, request_id in ids]


def go_on(seal: PrivySeal, taken: Sequence[Taken]) -> dict[str, Dossier | PrivySealError]:
    """Take new requests, leased to this walk, through all steps; return how each stands, by its id."""
    return _walk(seal, [_case(one) for one in taken])


def _walk(seal: PrivySeal, cases: Sequence[Case], reach: _Reach = _QUICK) -> dict[str, Dossier | PrivySealError]:
    """Take requests through all steps, no more at a time than fit into one question to the signer."""
    outcomes: dict[str, Dossier | PrivySealError] = {}
    for portion in portions(cases):
        outcomes |= _steps(seal, portion, reach)
    return outcomes


def _steps(seal: PrivySeal, walk: Sequence[Case], reach: _Reach) -> dict[str, Dossier | PrivySealError]:
    """Take requests that this walk has leased through all steps; return how each stands, by its id."""
    enclosures.into(seal, walk)
    unsigned = [c for c in walk if c.stands(State.SIGNING) and not c.dossier.signatures]
    with errors_into(unsigned):
        gates.refuse(seal, unsigned)
        _look_again(seal, unsigned)
    _end_unlogged(seal, [c for c in unsigned if c.stands(State.SIGNING)])
    unsigned = [c for c in unsigned if c.stands(State.SIGNING)]
    with errors_into(unsigned):
        _log_intents_and_sign(seal, unsigned)
    _abort(seal, [c for c in unsigned if c.error is None])
    countersign(seal, [c for c in walk if c.stands(State.SIGNING)], elsewhere=reach.elsewhere)
    finished = [c for c in walk if c.stands(State.SIGNED) and c.request.mode == "local"]
    with errors_into(finished):
        _complete(seal, finished)
    _finish_files(seal, [c for c in walk if c.stands(State.SIGNED)] if reach.files else [])
    enclosures.let_go(seal, walk)
    unfinished = [c for c in walk if c.error is not None and not isinstance(c.error, Failed)]
    slower = [c for c in walk if c.stands(State.SIGNED) or c.stands(State.SIGNING)]  # for a walk with another reach
    give_back(seal, [c.dossier for c in (*unfinished, *slower)])
    return {c.dossier.id: c.error or c.dossier for c in walk}


def _look_again(seal: PrivySeal, cases: Sequence[Case]) -> None:
    """Give every case that was stopped since it was agreed to its refusal: the last look before the log."""
    if cases:
        with seal.records.reading_all_subscribers() as connection:
            freezes.refuse(seal, cases, connection)
            life.refuse(cases, connection)


def _claim(
    seal: PrivySeal, ids: Sequence[tuple[str, str]]
) -> tuple[dict[str, Case], dict[str, Dossier | PrivySealError]]:
    now = seal.clock()
    cases: dict[str, Case] = {}
    others: dict[str, Dossier | PrivySealError] = {}
    shelf = Shelf(seal.clock())
    try:
        with seal.records.batch() as batch:
            for subscriber, request_id in dict.fromkeys(ids):
                try:
                    with batch.item(subscriber) as tx:
                        taken = _claim_one(tx, request_id, seal.clock(), seal.holder, shelf)
                except PrivySealError as error:
                    others[request_id] = error
                    continue
                if isinstance(taken, Case):
                    cases[request_id] = taken
                else:
                    others[request_id] = taken
                    if taken.state is State.EXPIRED:
                        with batch.item(subscriber) as tx:
                            events.record(tx, Event(now, "service", "expired", request_id))
    except PrivySealError as error:
        return {}, {request_id: error for _, request_id in ids}
    return cases, others


def _case(taken: Taken) -> Case:
    return Case(
        dossier=taken.dossier,
        request=taken.request,
        chain=taken.chain,
        key_tag=taken.pair.key_tag,
        approvals=(),
        octets=taken.octets,
    )


def _claim_one(tx: Transaction, request_id: str, now: datetime, holder: Holder, shelf: Shelf) -> Case | Dossier:
    dossier = requests.claim(tx, request_id, now, holder)
    if dossier is None:
        return requests.get(tx, request_id)
    request = decode_canonical(dossier.canonical, SigningRequest)
    if dossier.state is State.APPROVED:
        if request.expires_at <= now:
            return requests.move(tx, dossier, State.EXPIRED)
        dossier = requests.move(tx, dossier, State.SIGNING)
    pair = shelf.pair(tx, request.key)
    case = Case(
        dossier=dossier,
        request=request,
        chain=shelf.chain(tx, request.certificate),
        key_tag=pair.key_tag,
        approvals=tuple(approvals.approvals_of(tx, request_id)) if pair.in_order and dossier.grant is None else (),
        refused=_stopped(tx, shelf),
    )
    if dossier.grant is not None:
        granted.into(tx, case)
    return case


def _stopped(tx: Transaction, shelf: Shelf) -> tuple[str, str] | None:
    """Return why nothing is signed for the Subscriber any more, of what was agreed to before it was stopped."""
    try:
        shelf.require_signing(tx)
    except PrivySealError as error:
        return error.code, error.detail
    return None


def _log_intents_and_sign(seal: PrivySeal, fresh: list[Case]) -> None:
    """Put every intent in a signed checkpoint, ask for the signatures, and write both down at once.

    Where the signer's answer is lost, or it cannot answer, all stay as they are: the next walk finds the same intents
    in the log and asks again, and the signer alone knows which of them it has spent.
    """
    if not fresh:
        return
    submissions = [entries.intent(c.dossier, c.key_tag, c.uses()) for c in fresh]
    appended = seal.logger.append(submissions, since=seal.signer_mark)
    for case, logged in zip(fresh, appended.items, strict=True):
        case.dossier = msgspec.structs.replace(case.dossier, intent=entries.place(logged))
    made: dict[str, tuple[bytes, ...]] = {}
    asked = [(c, logged) for c, logged in zip(fresh, appended.items, strict=True) if c.refused is None]
    results = _asked_signer(seal, asked, appended) if asked else []
    for (case, _), result in zip(asked, results, strict=True):
        if isinstance(result, SignedItem):
            made[case.dossier.id] = result.values
        else:
            case.refused = _reason(result)
    outcomes = Counter((c.request.scheme, c.refused[0] if c.refused else "signed") for c in fresh)
    for (scheme, outcome), count in outcomes.items():
        seal.watch.signed(scheme, outcome, count)
    _store_signatures(seal, [c for c in fresh if c.dossier.id in made], made)


def _asked_signer(
    seal: PrivySeal, asked: Sequence[tuple[Case, Logged]], appended: Appended
) -> Sequence[SignedItem | Refused]:
    """Return what the signer made of each; what it refuses as a whole is refused for each, unless it may pass."""
    try:
        return _ask_signer(seal, [case for case, _ in asked], appended, [logged for _, logged in asked]).results
    except Unavailable:
        raise
    except PrivySealError as error:
        return [refused(error)] * len(asked)


def _store_signatures(seal: PrivySeal, cases: list[Case], made: Mapping[str, tuple[bytes, ...]]) -> None:
    """Write the signatures down at once; where no timestamp is wanted, together with the blobs made of them."""
    blobs: dict[str, list[bytes]] = {}
    for case in cases:
        if not case.request.options.timestamp:
            with suppress(PrivySealError):  # the signature is stored all the same, and the next step says why
                blobs[case.dossier.id] = build(case, made[case.dossier.id], [])

    def _write(tx: Transaction, some: Sequence[Case]) -> list[Dossier]:
        done = [c.dossier for c in some if c.dossier.id in blobs]
        rest = [c.dossier for c in some if c.dossier.id not in blobs]
        written = requests.store_signed(tx, [(each, made[each.id], blobs[each.id]) for each in done])
        written += requests.store_signatures(tx, [(each, made[each.id]) for each in rest])
        by_id = {each.id: each for each in written}
        return [by_id[c.dossier.id] for c in some]

    store(seal, cases, _write)


def _ask_signer(seal: PrivySeal, cases: list[Case], appended: Appended, logged: list[Logged]) -> SignedBatch:
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


def _item(case: Case, logged: Logged) -> SignItem:
    place = entries.place(logged)
    return SignItem(
        request=case.dossier.canonical,
        approvals=case.approvals,
        chain=case.chain,
        salt=case.dossier.salt,
        index=place.index,
        key_seq=place.key_seq,
        path=logged.path,
        granted=case.granted,
        enclosed=case.enclosed,
    )


def _reason(result: Refused) -> tuple[str, str]:
    """Return the code and the sentence that a request fails with."""
    if result.code == IntentSpent.code:
        return "key-use-unknown", "its intent is spent and no signature is there: nobody can tell whether one was made"
    return result.code, result.detail


def _end_unlogged(seal: PrivySeal, cases: list[Case]) -> None:
    """End requests that a gate refuses and of which the log cannot know: FAILED, without an intent.

    That is so where this walk is the first that took it (fence 1). An earlier one may have logged the intent, and every
    intent has its completion, so those go on to the log, pass the signer by, and are aborted.
    """
    over = [(c, *c.refused) for c in cases if c.refused is not None and c.dossier.fence == 1]
    _fail(seal, over)
    _tell_ended(over)


def _fail(seal: PrivySeal, over: Sequence[tuple[Case, str, str]]) -> None:
    """Write down that requests failed and why."""
    reasons = {case.dossier.id: (code, why) for case, code, why in over}

    def _write(tx: Transaction, some: Sequence[Case]) -> list[Dossier]:
        failed = [requests.fail(tx, case.dossier, *reasons[case.dossier.id]) for case in some]
        notices.put_requests(tx, seal, "request.refused", failed)
        return failed

    store(seal, [case for case, _, _ in over], _write)


def _tell_ended(over: Sequence[tuple[Case, str, str]]) -> None:
    for case, _, why in over:
        if case.dossier.state is State.FAILED:
            case.error = Failed(
                f"Request {case.dossier.id} failed: {why}", hint="ask again under a new Idempotency-Key"
            )


def _abort(seal: PrivySeal, cases: list[Case]) -> None:
    """End requests that the signer refused for good: completion ``aborted``, then FAILED.

    That the walk still holds them is made sure first: to whoever took one over, the log must not say that it is ended.
    """
    over = [(c, *c.refused) for c in cases if c.refused is not None]
    if not over:
        return
    refused_cases = [c for c, _, _ in over]
    store(seal, refused_cases, lambda tx, some: requests.store_intents(tx, [c.dossier for c in some]))
    going = [(c, code, why) for c, code, why in over if c.error is None]
    with errors_into([c for c, _, _ in going]):
        ends = [(c, entries.completed(c.dossier, c.blob_digests(), reason=why)) for c, _, why in going]
        _log_aborted(seal, [entries.completion(c.dossier, c.key_tag, payload, "aborted") for c, payload in ends])
        _fail(seal, going)
    _tell_ended(going)


def _log_aborted(seal: PrivySeal, completions: Sequence[CompletionSubmission]) -> None:
    """Log completions of what came to nothing; one that was logged before, for another reason, stands as it is."""
    if not completions:
        return
    try:
        seal.logger.append(completions, since=0)
    except Conflict:
        for one in completions:
            with suppress(Conflict):
                seal.logger.append([one], since=0)


def _finish_files(seal: PrivySeal, cases: list[Case]) -> None:
    """Make the signed files of mode ``server``, and release each as soon as it is made."""
    for case in cases:
        with errors_into([case]):
            case.files = artifacts.finish(seal, case.dossier, case.request, case.chain)
            _complete(seal, [case])
    artifacts.let_go(seal, [c.dossier for c in cases if c.stands(State.RELEASED)])


def _complete(seal: PrivySeal, cases: list[Case]) -> None:
    """Log what came of each, build the receipts, release."""
    if not cases:
        return
    payloads = [entries.completed(c.dossier, c.blob_digests(), c.files) for c in cases]
    completions = [entries.completion(c.dossier, c.key_tag, each) for c, each in zip(cases, payloads, strict=True)]
    appended = seal.logger.append(completions, since=0)
    receipts = {
        case.dossier.id: entries.receipt(case.dossier, case.key_tag, payload, appended, logged)
        for case, payload, logged in zip(cases, payloads, appended.items, strict=True)
    }
    now = seal.clock()

    def _release(tx: Transaction, some: Sequence[Case]) -> list[Dossier]:
        events.record(tx, *(Event(now, "service", "released", c.dossier.id) for c in some))
        who_signed.index(tx, some)
        notices.put_requests(tx, seal, "request.released", [c.dossier for c in some])
        return requests.store_receipts(tx, [(c.dossier, receipts[c.dossier.id]) for c in some])

    store(seal, cases, _release)
