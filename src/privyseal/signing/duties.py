"""What the house does unasked: look whether the records are whole, take up what a crash left behind, and end what
nobody agreed to in time; and now and then what the Requirements say of all this.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from privyseal.errors import Conflict, PrivySealError
from privyseal.records import events, requests
from privyseal.records.events import Event
from privyseal.signing import (
    agreed_acts,
    evaluation,
    freezes,
    gates,
    life,
    log_check,
    nonces,
    probes,
    reconciling,
    stamps,
    weakness,
)
from privyseal.signing.evaluation import Walked
from privyseal.signing.instance import PrivySeal
from privyseal.signing.paper import finish
from privyseal.signing.sign import advance
from privyseal.signing.submit import give_back
from privyseal.terms.requests import Dossier, State

BATCH = 256
"""Requests taken up at once; the walk's own batches are about as large."""


def begin(seal: PrivySeal) -> None:
    """Drop the leases of this node's former life, which is over, and note new gates: call once, before serving.

    Where no other node can work on the records every lease is such a one; otherwise the others' run out by themselves.
    """
    former = seal.holder if seal.records.dialect.shared else None
    with seal.records.batch() as batch:
        requests.forget_leases_of_all_subscribers(batch.across_subscribers(), former)
    gates.begin(seal)


def recover(seal: PrivySeal) -> list[Dossier | PrivySealError]:
    """Take up every request that was approved or half signed and that no walk holds; return how each stands.

    The records are held against the log first; RecordsRolledBack where they lack what it holds of them.
    """
    if seal.recollection is not None:
        with suppress(PrivySealError):  # where the log cannot be asked now, what was found before holds
            seal.recollection.look()
    seal.require_memory()
    give_back(seal, ())
    with suppress(PrivySealError):  # what was stated waits; who stated it was told, and the next look tries again
        finish(seal)
    with suppress(PrivySealError):  # what is frozen is frozen in the records; the signer follows when it can
        freezes.follow(seal)
    with suppress(PrivySealError):  # what the stamper wrote down waits with it
        stamps.take_over(seal)
        stamps.log_each(seal)
        stamps.compare(seal)
    with suppress(PrivySealError):  # what people agreed to and a crash cut short, and keys that nobody uses
        agreed_acts.follow(seal)
        life.suspend_idle(seal, seal.idle_days)
    with seal.records.reading_all_subscribers() as connection:
        unfinished = requests.unfinished_of_all_subscribers(
            connection, (State.APPROVED, State.SIGNING, State.SIGNED), limit=BATCH, unleased_at=seal.clock()
        )
    outcomes = advance(seal, unfinished) if unfinished else []
    for place, outcome in enumerate(outcomes):
        if isinstance(outcome, Dossier) and outcome.state is State.SIGNED:  # its file is still to be made
            outcomes[place] = advance(seal, [(outcome.subscriber, outcome.id)], files=True)[0]
    return outcomes


def evaluate(seal: PrivySeal, *, breathe: Callable[[], object] = lambda: None) -> Walked:
    """Judge by the Requirements what changed since the last time; another node's doing it is as good.

    ``breathe`` is called after each piece of some 30 ms, so that whoever signs has the processor.
    """
    with suppress(Conflict):
        return evaluation.walk(seal, seal.clock(), breathe=breathe)
    return Walked(0, 0)


def check_log(seal: PrivySeal, *, breathe: Callable[[], object] = lambda: None) -> bool:
    """Read the whole log again where that is due, and note that it is sound; another node's doing it is as good.

    VerificationFailed where it is not sound.
    """
    with suppress(Conflict):
        return log_check.check(seal, seal.clock(), breathe=breathe)
    return False


def reconcile(seal: PrivySeal) -> int:
    """Hold what clouds count against what the signer counted where that is due; return how many clouds were asked."""
    with suppress(Conflict):
        return len(reconciling.reconcile(seal))
    return 0


def mind_keys(seal: PrivySeal, *, breathe: Callable[[], object] = lambda: None) -> None:
    """Look at public keys, at the nonces of signatures, and whether every key signs; one that fails keeps none back."""
    with suppress(Conflict):  # another node is at the same
        weakness.look(seal, breathe=breathe)
    nonces.look(seal, breathe=breathe)
    probes.tend(seal, timedelta(hours=seal.probe_hours))


def expire(seal: PrivySeal) -> int:
    """End requests whose time ran out before anyone began to sign; return how many."""
    now = seal.clock()
    with seal.records.reading_all_subscribers() as connection:
        late = requests.expired_of_all_subscribers(connection, now, limit=BATCH)
    if not late:
        return 0
    ended = 0
    with seal.records.batch() as batch:
        for subscriber, request_id in late:
            with batch.item(subscriber) as tx:
                dossier = requests.locked_if_free(tx, request_id)  # another node may be at the same
                if dossier is not None and dossier.state in (State.REQUESTED, State.APPROVED):
                    requests.move(tx, dossier, State.EXPIRED)
                    events.record(tx, Event(now, "service", "expired", request_id))
                    ended += 1
    return ended
