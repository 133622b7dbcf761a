"""The signer: it holds the Subscribers' keys and judges for itself whether one may be used.

A batch goes through it in this order, and the order is the promise: the head is verified against the log's key
and this signer's own mark; every item is judged (``judgement.py``); the intents of those that passed are spent,
and the mark raised, in one durable transaction; only then are keys used; and no value leaves that does not
verify under the key's public half. One bad item does not fail its neighbours. Whoever crashes it, at whatever
moment, has at most an intent that is spent in vain.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime

from privyseal.errors import (
    BadInput,
    Denied,
    IntentSpent,
    KeyStoreUnavailable,
    PrivySealError,
    TooLarge,
    VerificationFailed,
)
from privyseal.keystore.pkcs11 import Pkcs11
from privyseal.keystore.protocol import KeyStore
from privyseal.pki import certificates
from privyseal.pki.chain import PinnedAnchor
from privyseal.strongroom.administration import Administration, Operators
from privyseal.strongroom.attesting import Attesting
from privyseal.strongroom.charters import Charters
from privyseal.strongroom.counting import Counting, audited
from privyseal.strongroom.heads import LogKey
from privyseal.strongroom.journal import Journal
from privyseal.strongroom.judgement import Judge, Ready
from privyseal.strongroom.mark import Mark
from privyseal.strongroom.messages import (
    AdministrativeAct,
    Answer,
    CharterAsked,
    CharterRead,
    EvidenceAsked,
    Question,
    Refused,
    SignBatch,
    SignedBatch,
    SignedItem,
    SignerHealth,
    SignerState,
    SignItem,
    Stale,
    StandingAsked,
    StandingRead,
    refused,
)
from privyseal.strongroom.messages_of_homes import CloudsAsked, TokenKeysAsked, TokenKeysRead

__all__ = ["MAX_ITEMS", "Operators", "Signer"]

MAX_ITEMS = 1024
"""Requests in one batch; the walks ask for 256."""

MANY = 16
"""Short signatures in one request from which on a thread of their own pays: the library lets go of the interpreter for
each of them, and a hundred of P-256, verified, take 8 ms of a core."""


class Signer:
    """Answers for the Subscribers' keys; safe to call from several threads.

    ``_order`` is held from the reading of the mark until the intents are spent, so that marks and intents
    change one batch at a time; keys are used outside of it.
    """

    # Each argument is one thing the signer stands on; a bundle would only hide what it is made of.
    def __init__(  # noqa: PLR0913
        self,
        journal: Journal,
        stores: Mapping[str, KeyStore],
        log: str,
        anchors: Sequence[PinnedAnchor],
        operators: Operators,
        clock: Callable[[], datetime],
        *,
        threads: int | None = None,
        distant: int | None = None,
        note: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Answer with the keys in ``stores`` (by URI scheme), believing the log with verifier key ``log``.

        ``threads`` is how many long signatures are made here at once, one for each core if not given; ``distant`` how
        many are asked of stores that are away, where a thread waits more than it works: as many if not given.
        """
        self._journal = journal
        self._stores = stores
        self._charters = Charters(journal.database)
        self._log = LogKey(log)
        self._judge = Judge(self._charters, stores, anchors, clock)
        self._order = threading.Lock()
        self._administration = Administration(
            journal, self._charters, stores, self._log, operators, clock, self._order, note
        )
        self._attesting = Attesting(journal, self._charters, stores, clock, self._order)
        self._counting = Counting(journal, self._charters, stores, clock, self._order)
        self._rehearsal = operators.rehearsal
        self._operators = operators
        self._clock = clock
        self._note = note
        threads = threads or os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(threads, "sign")
        self._distant = ThreadPoolExecutor(distant or threads, "distant")
        self._administration.finish_destructions()

    @property
    def lost(self) -> bool:
        """Tell whether a sync failed, or a key store needs a fresh process, so that this one must end."""
        return self._journal.lost or any(store.lost for store in self._stores.values())

    def handle(self, question: Question) -> Answer:
        """Answer one question; raises what the client is to be told."""
        if isinstance(question, SignBatch):
            return self._sign_batch(question)
        if isinstance(question, AdministrativeAct):
            return self._administration.carry_out(question)
        if isinstance(question, CharterAsked):
            with self._order:
                held = self._charters.get(question.key_id)
            return CharterRead(held.charter, held.key_pair())
        if isinstance(question, EvidenceAsked):
            return self._attesting.evidence(question)
        if isinstance(question, CloudsAsked):
            return self._counting.counted(question)
        if isinstance(question, StandingAsked):
            return StandingRead(tuple(self._judge.standing_of(chain) for chain in question.chains))
        if isinstance(question, SignerHealth):
            with self._order:
                mark, keys, uris = self._journal.mark(), self._charters.count(), self._charters.uris()
            tokens = [each for name, store in self._stores.items() for each in store.tokens(uris.get(name, ()))]
            agreeing = self._operators
            return SignerState(mark.number, keys, self._rehearsal, tuple(tokens), agreeing.known, agreeing.quorum)
        if isinstance(question, TokenKeysAsked):
            with self._order:
                uris = self._charters.uris()
            stores = {name: store for name, store in self._stores.items() if isinstance(store, Pkcs11)}
            return TokenKeysRead(
                tuple(each for name, store in stores.items() for each in store.inventory(uris.get(name, ())))
            )
        raise BadInput(f"The signer does not answer {type(question).__name__}.")

    def close(self) -> None:
        """Finish what is being signed and close the journal."""
        self._pool.shutdown()
        self._distant.shutdown()
        for store in self._stores.values():
            store.close()
        self._journal.close()

    def _sign_batch(self, batch: SignBatch) -> SignedBatch | Stale:
        if len(batch.items) > MAX_ITEMS:
            raise TooLarge(f"{len(batch.items)} requests were handed in at once; at most {MAX_ITEMS} are signed.")
        with self._order:
            mark = self._journal.mark()
            if batch.since != mark.number:
                return Stale(mark.number)
            head = self._log.extended(mark, batch.checkpoint, batch.consistency)
            outcomes = [self._judged(item, head) for item in batch.items]
            if any(isinstance(outcome, Ready) for outcome in outcomes):
                outcomes = self._spend(head, outcomes)
                mark = head
        return SignedBatch(mark.number, tuple(self._use_keys(outcomes)))

    def _judged(self, item: SignItem, head: Mark) -> Ready | Refused:
        try:
            return self._judge.judge(item, head)
        except PrivySealError as error:
            return refused(error)
        except Exception as error:  # a bug met by one item is that item's
            return self._bug(error)

    def _spend(self, head: Mark, outcomes: Sequence[Ready | Refused]) -> list[Ready | Refused]:
        """Spend the intents of all that may be signed and raise the mark, with one sync; who comes twice is refused."""
        now = self._clock()
        left: list[Ready | Refused] = []
        with self._journal.writing(head) as transaction:
            self._journal.forget_agreements(transaction, now)
            self._journal.tally.begin(transaction, now)
            for outcome in outcomes:
                if isinstance(outcome, Refused):
                    left.append(outcome)
                elif not self._journal.spend(transaction, outcome.index):
                    left.append(refused(_spent(outcome.index)))
                elif outcome.approved and not self._journal.use_agreement(
                    transaction, outcome.digest, outcome.expires_at
                ):
                    left.append(refused(_used()))
                elif (why := self._journal.beyond(transaction, outcome.charter, now, len(outcome.tbs))) is not None:
                    left.append(refused(_limited(why)))
                elif (why := self._beyond(transaction, outcome)) is not None:
                    left.append(refused(Denied(why, hint="propose a new grant, or have people approve the request")))
                else:
                    self._journal.note_use(transaction, outcome.charter, now, len(outcome.tbs))
                    if audited(outcome.store):
                        self._journal.tally.ask(transaction, outcome.charter.key_id, now, len(outcome.tbs))
                    left.append(outcome)
        return left

    def _beyond(self, transaction: sqlite3.Connection, ready: Ready) -> str | None:
        """Count the signatures of a request that comes under a Grant; return why they are too many, or revoked."""
        if ready.granted is None:
            return None
        return self._journal.use_grant(transaction, ready.granted.digest, len(ready.tbs), ready.granted.signatures)

    def _use_keys(self, outcomes: Sequence[Ready | Refused]) -> list[SignedItem | Refused]:
        """Make the signatures: long, many or distant ones in the pool, a few short ones here, where it does not pay."""
        started: list[Future[SignedItem | Refused] | Ready | Refused] = [
            (self._distant if each.store.away else self._pool).submit(self._use_key, each)
            if isinstance(each, Ready) and (each.scheme.long or each.store.away or len(each.tbs) >= MANY)
            else each
            for each in outcomes
        ]
        here = [self._use_key(each) if isinstance(each, Ready) else each for each in started]
        return [each.result() if isinstance(each, Future) else each for each in here]

    def _use_key(self, ready: Ready) -> SignedItem | Refused:
        try:
            values = ready.store.sign(ready.uri, ready.tbs)
            if len(values) != len(ready.tbs):
                raise KeyStoreUnavailable(
                    f"{len(ready.tbs)} signatures were asked for and the key store gave {len(values)}."
                )
            certificates.verify_all(ready.public_key, ready.tbs, values)
        except VerificationFailed:
            return refused(
                KeyStoreUnavailable(
                    "The key store gave a signature that does not verify under the key; it was thrown away.",
                    hint="the key store is faulty or the key in it was exchanged: look before you use it again",
                )
            )
        except PrivySealError as error:
            return refused(error)
        except Exception as error:  # as above; and a key store's own exceptions may tell too much
            return self._bug(error)
        if audited(ready.store):
            self._journal.tally.make(ready.charter.key_id, self._clock(), len(values))
        return SignedItem(tuple(values))

    def _bug(self, error: Exception) -> Refused:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = (
            "nowhere" if trace is None else f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}"
        )
        self._note(f"bug: {type(error).__name__} at {where}")
        return Refused("internal", f"The signer met a bug of ours ({type(error).__name__}); its log says where.")


def _spent(index: int) -> IntentSpent:
    return IntentSpent(
        f"The intent at entry {index} of the log is spent already.", hint="each signature needs its own intent"
    )


def _limited(why: str) -> Denied:
    return Denied(f"The key {why}.", hint="operators and approvers can amend its limits, or unfreeze it")


def _used() -> Denied:
    return Denied("What was approved is signed already; an approval is good for one use.", hint="ask anew")
