"""The asynchronous side of one PrivySeal: whoever waits at the desk is served in batches by the synchronous core.

Everything here runs on the event loop; whatever touches the database or a guarded process runs in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeAlias, TypeVar

from litestar.di import NamedDependency

from privyseal.access import credentials
from privyseal.errors import PrivySealError, Unavailable
from privyseal.records.database import Transaction
from privyseal.records.parties import member_by_token_of_all_subscribers
from privyseal.signing.approve import approve
from privyseal.signing.ask import ask
from privyseal.signing.instance import PrivySeal
from privyseal.signing.sign import advance
from privyseal.signing.submit import Submission, submit
from privyseal.terms.parties import Actor, Member
from privyseal.terms.requests import Approval, Dossier
from privyseal.web.batching import Batcher

T = TypeVar("T")

READERS = 4
"""Threads for single reads and approvals; a read takes a fraction of a millisecond."""


REMEMBERED = timedelta(seconds=1)
"""How long a token that was found good is believed without asking the records again; a revoked or expired one is
refused that much later. Only good ones are remembered."""

MOST_REMEMBERED = 1024
"""Tokens remembered at once; beyond it all are forgotten, which costs one question for each."""

QUERIES_IN_A_BATCH = 128
"""TimeStampReq in one question to the stamper: with the 64 KiB each may have, half of the 16 MiB of a frame."""


class Desk:
    """What the handlers ask. One for each running service; made on its event loop, closed with it."""

    def __init__(self, seal: PrivySeal, public_log: Path) -> None:
        """Serve ``seal``, and the log's tiles and checkpoint out of the directory ``public_log``."""
        self.seal = seal
        self.public_log = public_log
        self._stopping = asyncio.Event()
        self._batches = ThreadPoolExecutor(12, thread_name_prefix="batch")  # two for each of the six below
        self._single = ThreadPoolExecutor(READERS, thread_name_prefix="read")
        self._known: dict[bytes, tuple[datetime, Member]] = {}
        self._who = Batcher(self._authenticate, self._batches)
        self._submit: Batcher[Submission, Dossier] = Batcher(lambda items: submit(seal, items), self._batches)
        self._ask: Batcher[Submission, Dossier] = Batcher(lambda items: ask(seal, items), self._batches)
        self._advance: Batcher[tuple[str, str], Dossier] = Batcher(lambda ids: advance(seal, ids), self._batches)
        self._stamp: Batcher[bytes, bytes] = Batcher(
            lambda queries: list(seal.stamper.reply(queries)), self._batches, largest=QUERIES_IN_A_BATCH
        )
        self._ready = Batcher(self._probe, self._batches, in_flight=1)

    async def authenticate(self, headers: credentials.Headers) -> Actor:
        """Return the Actor behind a request's headers; raise NotAuthenticated."""
        try:
            return credentials.authenticate(headers, self._recall)
        except KeyError:  # not seen just now: the records know
            return await self._who.put(headers)

    async def submit(self, submission: Submission) -> Dossier:
        """Write a request down, or find the one under its Idempotency-Key; it is not signed by this."""
        return await self._submit.put(submission)

    async def ask(self, submission: Submission) -> Dossier:
        """Write a request down, or find the one under its Idempotency-Key, and take it as far as it goes."""
        return await self._ask.put(submission)

    async def advance(self, subscriber: str, request_id: str) -> Dossier:
        """Take a request as far as it goes."""
        return await self._advance.put((subscriber, request_id))

    async def approve(self, actor: Actor, request_id: str, approval: Approval) -> Dossier:
        """Write down an approval."""
        return await self._in_thread(lambda: approve(self.seal, actor, request_id, approval))

    async def read(self, subscriber: str, question: Callable[[Transaction], T]) -> T:
        """Ask the records one question about one Subscriber."""

        def ask() -> T:
            with self.seal.records.reading(subscriber) as tx:
                return question(tx)

        return await self._in_thread(ask)

    async def stamp(self, query: bytes) -> bytes:
        """Answer an RFC 3161 TimeStampReq, DER, with a TimeStampResp, DER."""
        return await self._stamp.put(query)

    async def file(self, read: Callable[[], T]) -> T:
        """Read a file in a thread."""
        return await self._in_thread(read)

    async def check_ready(self) -> None:
        """Raise Unavailable with one sentence that names every part that does not answer."""
        await self._ready.put(None)

    async def pause(self, seconds: float) -> bool:
        """Wait so long, or until the service is told to stop; tell whether it was."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
        return self._stopping.is_set()

    def stop(self) -> None:
        """Let nobody wait for people any longer: the service is about to close."""
        self._stopping.set()

    async def close(self) -> None:
        """Take nothing more, finish what is here, and end the threads."""
        for batcher in (self._who, self._submit, self._ask, self._advance, self._stamp, self._ready):
            await batcher.drain()
        for pool in (self._batches, self._single):
            await asyncio.to_thread(pool.shutdown)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._single, work)

    def _recall(self, digest: bytes) -> Member:
        """Return whose token was found good within REMEMBERED; KeyError for any other."""
        at, member = self._known[digest]
        if not timedelta() <= self.seal.clock() - at < REMEMBERED:
            raise KeyError(digest)
        return member

    def _authenticate(self, callers: list[credentials.Headers]) -> list[Actor | PrivySealError]:
        """Find out who all of a batch are in one transaction, asking once for each token."""
        known: dict[bytes, Member | None] = {}
        outcomes: list[Actor | PrivySealError] = []
        with self.seal.records.reading_all_subscribers() as connection:

            def lookup(digest: bytes) -> Member | None:
                if digest not in known:
                    now = self.seal.clock()
                    known[digest] = member = member_by_token_of_all_subscribers(connection, digest, now)
                    if member is not None:
                        if len(self._known) >= MOST_REMEMBERED:
                            self._known = {}
                        self._known[digest] = (now, member)
                return known[digest]

            for headers in callers:
                try:
                    outcomes.append(credentials.authenticate(headers, lookup))
                except PrivySealError as error:
                    outcomes.append(error)
        return outcomes

    def _probe(self, asked: Sequence[None]) -> list[PrivySealError | None]:
        """Ask every part once, however many wait to know."""
        missing = []
        parts: dict[str, Callable[[], object]] = {
            "records": self._records_answer,
            "logger": self.seal.logger.health,
            "signer": self.seal.signer.health,
            "stamper": self._stamper_stamps,
        }
        for part, question in parts.items():
            try:
                question()
            except PrivySealError as error:
                missing.append(f"{part}: {error.detail}")
        outcome = Unavailable("Not ready. " + " ".join(missing)) if missing else None
        return [outcome] * len(asked)

    def _records_answer(self) -> None:
        with self.seal.records.reading_all_subscribers() as connection:
            connection.exec_driver_sql("SELECT 1 FROM subscribers LIMIT 1").first()

    def _stamper_stamps(self) -> None:
        state = self.seal.stamper.health()
        if not state.ready:
            raise Unavailable(state.why)


TheDesk: TypeAlias = NamedDependency[Desk]
"""The type by which a handler asks for the desk of its application."""
