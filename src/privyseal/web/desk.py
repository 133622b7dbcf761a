"""The asynchronous side of one PrivySeal: whoever waits at the desk is served in batches by the synchronous core.

Everything here runs on the event loop; whatever touches the database or a guarded process runs in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeAlias, TypeVar

from litestar.di import NamedDependency

from privyseal.access import credentials
from privyseal.access.sessions import Session
from privyseal.errors import PrivySealError, Unavailable
from privyseal.records.database import Transaction
from privyseal.records.dialect import CREDENTIALS
from privyseal.records.parties import member_by_client_key_of_all_subscribers, member_by_token_of_all_subscribers
from privyseal.records.sessions import by_digest_of_all_subscribers
from privyseal.signing.approve import approve
from privyseal.signing.ask import ask
from privyseal.signing.instance import PrivySeal
from privyseal.signing.sign import advance
from privyseal.signing.submit import Submission, submit
from privyseal.terms.parties import Actor, Member
from privyseal.terms.requests import Approval, Dossier, State
from privyseal.web.batching import Batcher
from privyseal.web.judged import Judged
from privyseal.web.machines import Machines
from privyseal.web.metrics import Metrics
from privyseal.web.readiness import Look, Readiness
from privyseal.web.waiting import Waiters

T = TypeVar("T")

READERS = 4
"""Threads for single reads and approvals; a read takes a fraction of a millisecond."""

LOOK_LIMIT_S = 5.0
"""Seconds to wait until every part said how it is; a probe's patience is 1 (Kubernetes) to 5 (load balancers)."""

CLOSE_LIMIT_S = 10.0
"""Seconds for batches that nobody waits for any more, when the service closes; then their processes are ended."""

REMEMBERED = timedelta(seconds=1)
"""How long a token that was found good is believed without asking the records again. One that expired is refused that
much later, and one that was revoked elsewhere, unless the records tell us; one revoked here at once. Only good ones are
remembered."""

MOST_REMEMBERED = 1024
"""Tokens remembered at once; beyond it all are forgotten, which costs one question for each."""

QUERIES_IN_A_BATCH = 128
"""TimeStampReq in one question to the stamper: with the 64 KiB each may have, half of the 16 MiB of a frame."""


DISK_THREADS = 8
"""Threads for pieces of files between network and disk; each piece takes about a millisecond."""

SLOW_THREADS = 4
"""Threads for what takes seconds: checking an upload, describing it, making the signed file. Twice the children of the
workshop: while two wait for a child, two read digests."""

MOST_TRANSFERS = 64
"""Uploads that come in at once, each with a megabyte in memory; more are refused with 503."""

AUTHORITY_THREADS = 8
"""Threads in which authorities elsewhere are asked, so that those that hang keep nothing else waiting."""

MOST_SLOW = 256
"""Pieces of slow work that may wait for a thread; more are refused with 503."""


class Desk:
    """What the handlers ask. One for each running service; made on its event loop, closed with it."""

    def __init__(
        self,
        seal: PrivySeal,
        public_log: Path,
        *,
        metrics: Metrics | None = None,
        readiness: Readiness | None = None,
        longest_wait: float = math.inf,
    ) -> None:
        """Serve ``seal``, and the log's tiles and checkpoint out of the directory ``public_log``.

        Who would not be answered within ``longest_wait`` seconds is refused at once.
        """
        self.seal = seal
        self.public_log = public_log
        self.metrics = metrics or Metrics()
        self._readiness = readiness or Readiness(seal, {"log": public_log})
        self._longest_wait = longest_wait
        self._stopping = asyncio.Event()
        self._waiters = Waiters()
        seal.records.tell = self.tell
        self._known: dict[bytes, tuple[datetime, Member]] = {}
        self._machines = Machines(seal)
        self._batches = ThreadPoolExecutor(12, thread_name_prefix="batch")  # two for each of the six below
        self._single = ThreadPoolExecutor(READERS, thread_name_prefix="read")
        self._disk = ThreadPoolExecutor(DISK_THREADS, thread_name_prefix="disk")
        self._slow = ThreadPoolExecutor(SLOW_THREADS, thread_name_prefix="slow")
        self._elsewhere = ThreadPoolExecutor(AUTHORITY_THREADS, thread_name_prefix="countersign")
        self._waiting_for = {self._slow: 0, self._elsewhere: 0}
        self._transfers = 0

        def told(step: str) -> Callable[[int, float], None]:
            return lambda items, seconds: self.metrics.step(step, items, seconds)

        self._who = Batcher(self._authenticate, self._batches, droppable=True, observe=told("authenticate"))
        self._ask: Batcher[Submission, Dossier] = Batcher(
            lambda items: ask(seal, items), self._batches, droppable=True, observe=told("ask")
        )
        self._submit: Batcher[Submission, Dossier] = Batcher(
            lambda items: submit(seal, items), self._batches, droppable=True, observe=told("submit")
        )
        # Never droppable: what is written down is carried out, whoever has left.
        self._advance: Batcher[tuple[str, str], Dossier] = Batcher(
            lambda ids: advance(seal, ids), self._batches, observe=told("advance")
        )
        self._stamp: Batcher[tuple[bytes, str], bytes] = Batcher(
            self._reply,
            self._batches,
            largest=QUERIES_IN_A_BATCH,
            droppable=True,
            observe=told("stamp"),
        )
        self._ready: Batcher[None, Look] = Batcher(self._probe, self._batches, in_flight=1, droppable=True)
        self._queues = (self._who, self._ask, self._submit, self._advance, self._stamp, self._ready)
        names = ("authenticate", "ask", "submit", "advance", "stamp", "ready")
        self.metrics.living.queues = dict(zip(names, self._queues, strict=True))
        self.metrics.living.public_log = public_log
        self.metrics.living.directories = self._readiness.directories
        self.metrics.living.judged = Judged(seal)
        self.metrics.living.authorities = seal.timestampers.health

    async def authenticate(self, presented: credentials.Presented) -> Actor:
        """Return the Actor behind a request's headers and client certificate; raise NotAuthenticated."""
        if presented.certificate is None:  # a key whose registration ended is refused from the next request on
            recall, now = self._machines.recall, self.seal.clock()
            remembered = credentials.Register(self._recall, self._recall, now, recall, recall, _ask_the_records)
            try:
                return credentials.authenticate(presented, remembered)
            except KeyError:  # not seen just now: the records know
                pass
        return await self._who.put(presented, self._longest_wait)

    async def submit(self, submission: Submission) -> Dossier:
        """Write a request down, or find the one under its Idempotency-Key; it is not signed by this."""
        if submission.request.mode == "server":  # its file is read first, for which the others do not wait
            return await self.slow(lambda: _only(submit(self.seal, [submission])))
        return await self._submit.put(submission, self._longest_wait)

    async def ask(self, submission: Submission, within: float = math.inf) -> Dossier:
        """Write a request down, or find the one under its Idempotency-Key, and take it as far as it goes.

        Overloaded, and nothing is written, where it would not be done ``within`` so many seconds.
        """
        return await self._ask.put(submission, min(within, self._longest_wait))

    async def advance(self, subscriber: str, request_id: str) -> Dossier:
        """Take a request as far as it goes; in mode ``server`` that is SIGNED, and :meth:`finish` takes it on."""
        return await self._advance.put((subscriber, request_id))

    async def finish(self, subscriber: str, request_id: str) -> Dossier:
        """Take a SIGNED request to its end: make its file, where the service has one of it."""
        return await self.slow(lambda: _only(advance(self.seal, [(subscriber, request_id)], files=True)))

    async def countersign(self, subscriber: str, request_id: str) -> Dossier:
        """Take a request on whose timestamp authorities elsewhere are to be asked for, in a thread of theirs."""
        return await self._bounded(
            self._elsewhere, lambda: _only(advance(self.seal, [(subscriber, request_id)], elsewhere=True))
        )

    def onward(self, dossier: Dossier) -> Callable[[str, str], Coroutine[None, None, Dossier]]:
        """Return what takes a request on that is under way."""
        if dossier.state is State.SIGNED:
            return self.finish
        stays = dossier.state is State.SIGNING and dossier.signatures and self.seal.timestampers.elsewhere
        return self.countersign if stays else self.advance

    async def approve(self, actor: Actor, request_id: str, approval: Approval) -> Dossier:
        """Write down an approval."""
        return await self._in_thread(lambda: approve(self.seal, actor, request_id, approval))

    async def read(self, subscriber: str, question: Callable[[Transaction], T]) -> T:
        """Ask the records one question about one Subscriber."""

        def ask() -> T:
            with self.seal.records.reading(subscriber) as tx:
                return question(tx)

        return await self._in_thread(ask)

    async def stamp(self, query: bytes, policy: str = "") -> bytes:
        """Answer an RFC 3161 TimeStampReq, DER, with a TimeStampResp, DER.

        ``policy`` is the OID of the policy to whose address it came, if it came to one's.
        """
        return await self._stamp.put((query, policy), self._longest_wait)

    async def stamp_legacy(self, request: bytes) -> bytes:
        """Answer a timestamp request of Authenticode from before RFC 3161; NotFound where that is not offered."""
        return await self._in_thread(lambda: self.seal.stamper.legacy_reply(request))

    async def file(self, read: Callable[[], T]) -> T:
        """Read a file, or the records of one, in a thread."""
        return await self._in_thread(read)

    async def disk(self, work: Callable[[], T]) -> T:
        """Move a piece of a file between memory and disk in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._disk, work)

    async def slow(self, work: Callable[[], T]) -> T:
        """Do in a thread what may take seconds; Unavailable where too much of that waits already."""
        return await self._bounded(self._slow, work)

    async def _bounded(self, pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        if self._waiting_for[pool] >= MOST_SLOW:
            raise Unavailable("More waits already than the service can take.", hint="try again in a moment")
        self._waiting_for[pool] += 1
        future = asyncio.get_running_loop().run_in_executor(pool, work)
        future.add_done_callback(functools.partial(self._landed, pool))
        return await future

    def _landed(self, pool: ThreadPoolExecutor, future: asyncio.Future[T]) -> None:
        self._waiting_for[pool] -= 1
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
        (await self.look()).require()

    async def look(self) -> Look:
        """Ask every part how it is; Unavailable, naming the part, where one does not say so in time."""
        try:
            async with asyncio.timeout(LOOK_LIMIT_S):
                found = await self._ready.put(None)
        except TimeoutError as error:
            part = self._readiness.asking or "service"
            raise Unavailable(f"Not ready. {part}: It did not answer within {LOOK_LIMIT_S:.0f} s.") from error
        self.metrics.living.look = found
        return found

    async def metrics_text(self) -> bytes:
        """Return the metrics, with what the parts say now, or said last where one does not answer."""
        with contextlib.suppress(Unavailable):
            await self.look()
        return await self._in_thread(self.metrics.text)

    async def pause(self, request_id: str, seconds: float) -> bool:
        """Wait so long, or until that request changed, or the service is told to stop; tell whether it was."""
        if not self._stopping.is_set():
            await self._waiters.wait(request_id, seconds)
        return self._stopping.is_set()

    def tell(self, changed: Sequence[str] | None) -> None:
        """Wake who waits for one of these requests, or everybody; may be called from any thread."""
        if changed is None or CREDENTIALS in changed:
            self._known = {}
            self._machines.forget()
        self._waiters.tell(changed)

    def stop(self) -> None:
        """Let nobody wait for people any longer: the service is about to close."""
        self._stopping.set()
        self._waiters.wake(None)

    async def close(self) -> None:
        """Take nothing more, finish what is here within CLOSE_LIMIT_S, and end the threads."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_LIMIT_S):
                for batcher in self._queues:
                    await batcher.drain()
        for pool in (
            self._batches,
            self._single,
            self._disk,
            self._slow,
            self._elsewhere,
        ):  # a thread that is stuck ends when the process it asks does
            pool.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._single, work)

    def _recall(self, digest: bytes) -> Member:
        """Return whose token was found good within REMEMBERED; KeyError for any other."""
        at, member = self._known[digest]
        if not timedelta() <= self.seal.clock() - at < REMEMBERED:
            raise KeyError(digest)
        return member

    def _authenticate(self, callers: list[credentials.Presented]) -> list[Actor | PrivySealError]:
        """Find out who all of a batch are in one transaction, asking once for each token and each key."""
        outcomes: list[Actor | PrivySealError] = []
        known = self._known  # what is revoked from here on empties another one, in which this batch does not write
        machines = self._machines.batch()
        with self.seal.records.reading_all_subscribers() as connection:
            now = self.seal.clock()

            @functools.cache
            def by_token(digest: bytes) -> Member | None:
                member = member_by_token_of_all_subscribers(connection, digest, now)
                if member is not None:
                    if len(known) >= MOST_REMEMBERED:
                        known.clear()
                    known[digest] = (now, member)
                return member

            @functools.cache
            def by_key(digest: bytes) -> Member | None:
                return member_by_client_key_of_all_subscribers(connection, digest, now)

            def by_session(digest: bytes) -> Session | None:
                return by_digest_of_all_subscribers(connection, digest, now)

            by_run, by_scope = machines.lookups(connection, now)
            register = credentials.Register(by_token, by_key, now, by_run, by_scope, by_session)
            for presented in callers:
                try:
                    outcomes.append(credentials.authenticate(presented, register))
                except PrivySealError as error:
                    outcomes.append(error)
        machines.note_use(now)
        return outcomes

    def _reply(self, queries: list[tuple[bytes, str]]) -> list[bytes | PrivySealError]:
        """Have the stamper answer a batch; it is told of policies only where one came to a policy's address."""
        octets = [each for each, _ in queries]
        policies = [policy for _, policy in queries]
        return list(self.seal.stamper.reply(octets, policies) if any(policies) else self.seal.stamper.reply(octets))

    def _probe(self, asked: Sequence[None]) -> list[Look | PrivySealError]:
        """Ask every part once, however many wait to know."""
        return [self._readiness.look()] * len(asked)


def _ask_the_records(digest: bytes) -> Session:
    """Remember no session: one that its owner ends is refused from the next request on."""
    raise KeyError(digest)


def _only(outcomes: Sequence[T | PrivySealError]) -> T:
    """Return the one outcome there is, or raise it where it is an error."""
    (outcome,) = outcomes
    if isinstance(outcome, PrivySealError):
        raise outcome
    return outcome


TheDesk: TypeAlias = NamedDependency[Desk]
"""The type by which a handler asks for the desk of its application."""
