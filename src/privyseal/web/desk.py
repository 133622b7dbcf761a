"""The asynchronous side of one PrivySeal: whoever waits at the desk is served in batches by the synchronous core.

Everything here runs on the event loop; whatever touches the database or a guarded process runs in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias, TypeVar

from litestar.di import NamedDependency

from privyseal.access import credentials
from privyseal.errors import PrivySealError, Unavailable
from privyseal.records.database import Transaction
from privyseal.records.parties import member_by_token_of_all_subscribers
from privyseal.signing.approve import approve
from privyseal.signing.instance import PrivySeal
from privyseal.signing.sign import advance
from privyseal.signing.submit import Submission, submit
from privyseal.terms.parties import Actor, Member
from privyseal.terms.requests import Approval, Dossier
from privyseal.web.batching import Batcher

T = TypeVar("T")

READERS = 4
"""Threads for single reads and approvals; a read takes a fraction of a millisecond."""


QUERIES_IN_A_BATCH = 128
"""TimeStampReq in one question to the stamper: with the 64 KiB each may have, half of the 16 MiB of a frame."""


DISK_THREADS = 8
"""Threads for pieces of files between network and disk; each piece takes about a millisecond."""

SLOW_THREADS = 4
"""Threads for what takes seconds: checking an upload, describing it, making the signed file. Twice the children of the
workshop: while two wait for a child, two read digests."""

MOST_TRANSFERS = 64
"""Uploads that come in at once, each with a megabyte in memory; more are refused with 503."""

MOST_SLOW = 256
"""Pieces of slow work that may wait for a thread; more are refused with 503."""


class Desk:
    """What the handlers ask. One for each running service; made on its event loop, closed with it."""

    def __init__(self, seal: PrivySeal, public_log: Path) -> None:
        """Serve ``seal``, and the log's tiles and checkpoint out of the directory ``public_log``."""
        self.seal = seal
        self.public_log = public_log
        self._stopping = asyncio.Event()
        self._batches = ThreadPoolExecutor(10, thread_name_prefix="batch")  # two for each of the five below
        self._single = ThreadPoolExecutor(READERS, thread_name_prefix="read")
        self._disk = ThreadPoolExecutor(DISK_THREADS, thread_name_prefix="disk")
        self._slow = ThreadPoolExecutor(SLOW_THREADS, thread_name_prefix="slow")
        self._transfers = self._slow_waiting = 0
        self._who = Batcher(self._authenticate, self._batches)
        self._submit: Batcher[Submission, Dossier] = Batcher(lambda items: submit(seal, items), self._batches)
        self._advance: Batcher[tuple[str, str], Dossier] = Batcher(lambda ids: advance(seal, ids), self._batches)
        self._stamp: Batcher[bytes, bytes] = Batcher(
            lambda queries: list(seal.stamper.reply(queries)), self._batches, largest=QUERIES_IN_A_BATCH
        )
        self._ready = Batcher(self._probe, self._batches, in_flight=1)

    async def authenticate(self, headers: credentials.Headers) -> Actor:
        """Return the Actor behind a request's headers; raise NotAuthenticated."""
        return await self._who.put(headers)

    async def submit(self, submission: Submission) -> Dossier:
        """Write a request down, or find the one under its Idempotency-Key."""
        if submission.request.mode == "server":  # its file is read first, for which the others do not wait
            return await self.slow(lambda: _only(submit(self.seal, [submission])))
        return await self._submit.put(submission)

    async def advance(self, subscriber: str, request_id: str) -> Dossier:
        """Take a request as far as it goes; in mode ``server`` that is SIGNED, and :meth:`finish` takes it on."""
        return await self._advance.put((subscriber, request_id))

    async def finish(self, subscriber: str, request_id: str) -> Dossier:
        """Take a SIGNED request to its end: make its file, where the service has one of it."""
        return await self.slow(lambda: _only(advance(self.seal, [(subscriber, request_id)], files=True)))

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
        """Read a file, or the records of one, in a thread."""
        return await self._in_thread(read)

    async def disk(self, work: Callable[[], T]) -> T:
        """Move a piece of a file between memory and disk in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._disk, work)

    async def slow(self, work: Callable[[], T]) -> T:
        """Do in a thread what may take seconds; Unavailable where too much of that waits already."""
        if self._slow_waiting >= MOST_SLOW:
            raise Unavailable("More files wait than the service can take.", hint="try again in a moment")
        self._slow_waiting += 1
        future = asyncio.get_running_loop().run_in_executor(self._slow, work)
        future.add_done_callback(self._slow_landed)
        return await future

    def _slow_landed(self, future: asyncio.Future[T]) -> None:
        self._slow_waiting -= 1
        if not future.cancelled():
            future.exception()  # heard, also where its caller went away

    @contextlib.contextmanager
    def transfer(self) -> Iterator[None]:
        """Count an upload that comes in; Unavailable where there are too many."""
        if self._transfers >= MOST_TRANSFERS:
            raise Unavailable("More files are coming in than the service can take.", hint="try again in a moment")
        self._transfers += 1
        try:
            yield
        finally:
            self._transfers -= 1

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
        for batcher in (self._who, self._submit, self._advance, self._stamp, self._ready):
            await batcher.drain()
        for pool in (self._batches, self._single, self._disk, self._slow):
            await asyncio.to_thread(pool.shutdown)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._single, work)

    def _authenticate(self, callers: list[credentials.Headers]) -> list[Actor | PrivySealError]:
        """Find out who all of a batch are in one transaction, asking once for each token."""
        known: dict[bytes, Member | None] = {}
        outcomes: list[Actor | PrivySealError] = []
        with self.seal.records.reading_all_subscribers() as connection:

            def lookup(digest: bytes) -> Member | None:
                if digest not in known:
                    known[digest] = member_by_token_of_all_subscribers(connection, digest, self.seal.clock())
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


def _only(outcomes: Sequence[T | PrivySealError]) -> T:
    """Return the one outcome there is, or raise it where it is an error."""
    (outcome,) = outcomes
    if isinstance(outcome, PrivySealError):
        raise outcome
    return outcome


TheDesk: TypeAlias = NamedDependency[Desk]
"""The type by which a handler asks for the desk of its application."""
