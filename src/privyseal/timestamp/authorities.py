"""A list of authorities, of which one stamps: the next is asked where the first is slow, busy, or not to be believed.

For one value the open authorities are asked in the order of the list. A second one is asked as well when the first has
not answered for as long as it nearly always does (Dean and Barroso, "The Tail at Scale", 2013: after the 95th
percentile that costs a few per cent more requests and cuts the tail); who verifies first, wins. What an authority does
closes it for a while:

==============  =========================================================================
it              then
==============  =========================================================================
stamps          it is open
is busy         closed for its Retry-After, else for a time that doubles with every failure
refuses         not asked again for this value; open for others
is disbelieved  closed for ``DISBELIEVED_S``, and that is told even where another stamped
==============  =========================================================================

No clock, sleep, network or randomness of its own: all is in :class:`Means`.
"""

from __future__ import annotations

import math
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeAlias

import msgspec

from privyseal.errors import BadInput, TimestampUnavailable
from privyseal.terms.signatures import DigestAlgorithm, TimestampToken
from privyseal.timestamp.address import Address
from privyseal.timestamp.client import (
    LIMIT_S,
    Busy,
    Client,
    Disbelieved,
    Outcome,
    Post,
    Refused,
    Stamped,
    Trusted,
)

MAX_AUTHORITIES = 16
"""Authorities in a list; jsign's users name three or four."""

TRIES = 4
"""Times that one authority is asked for one value: as often as our client asks a service of ours."""

FIRST_PAUSE_S = 0.5
"""Seconds that an authority is left alone after its first failure; doubled with every further one, as RFC 6298 does."""

LONGEST_CLOSED_S = 60.0
"""Seconds that failures alone close an authority; a restart takes less."""

LONGEST_RETRY_S = 3600.0
"""Seconds of a Retry-After that count; whoever says more is asked again after an hour."""

LONGEST_WAIT_S = 20.0
"""Seconds that we wait for one to open before we give up: a build should fail rather than sleep in our hands."""

DISBELIEVED_S = 300.0
"""Seconds that a wrong answer closes an authority: what makes an answer wrong is mended by people."""

SLOW_S = (0.2, 3.0)
"""Seconds after which a second authority is asked as well, at least and at most."""

KNOWN = 20
"""Answers from which their 95th percentile can be told; before, the most of ``SLOW_S`` holds."""


class Means(msgspec.Struct, frozen=True):
    """What asking needs from outside."""

    post: Post
    random: Callable[[int], bytes]
    """So many octets from a cryptographic source."""
    now: Callable[[], datetime]
    """The moment, aware; tokens are held against it."""
    elapsed: Callable[[], float]
    """Seconds of a clock that never jumps."""
    rest: Callable[[float], None]
    """Waits so many seconds."""


_Answers: TypeAlias = "queue.SimpleQueue[tuple[_Member, Outcome | Exception]]"


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How one authority did."""

    host: str
    open: bool
    """Whether it would be asked now."""
    asked: int
    stamped: int
    disbelieved: int
    median_ms: float | None
    """Of the last answers that were good."""
    last_failure: str | None


class Authorities:
    """Several authorities, of which any may stamp. Safe to use from several threads."""

    def __init__(self, addresses: Sequence[Address], means: Means, trusted: Trusted = Trusted()) -> None:  # noqa: B008
        """Take the list in its order; BadInput where it is empty, too long, or names one twice."""
        urls = [address.url for address in addresses]
        if not 1 <= len(addresses) <= MAX_AUTHORITIES:
            raise BadInput(f"From 1 to {MAX_AUTHORITIES} timestamp authorities can be named; {len(addresses)} were.")
        if len(set(urls)) != len(urls):
            raise BadInput("A timestamp authority is named twice.", hint="name each once")
        self._means = means
        self._members = [
            _Member(Client(address, means.post, means.random, means.now, trusted), means) for address in addresses
        ]

    def stamp(
        self, values: Sequence[bytes], digest_algorithm: DigestAlgorithm, within: float = math.inf
    ) -> list[TimestampToken]:
        """Return one verified token for each of ``values``, in order; TimestampUnavailable if one cannot be had.

        That is also where they cannot be had ``within`` so many seconds; who is asked by then is waited for no more.
        """
        until = self._means.elapsed() + within
        return [self._stamp(value, digest_algorithm, until) for value in values]

    def health(self) -> tuple[Health, ...]:
        """Say how each did, in the order of the list."""
        return tuple(member.health() for member in self._members)

    def _stamp(self, value: bytes, algorithm: DigestAlgorithm, until: float) -> TimestampToken:
        tried = _Tried(value, algorithm, lambda: until - self._means.elapsed())
        while True:
            could = [each for each in self._members if tried.may_ask(each) and each.free_in() < tried.left()]
            open_ones = [each for each in could if each.opens_in() <= 0]
            # Whose pace makes us wait comes behind those that are free; both in the order of the list.
            token = self._round(sorted(open_ones, key=lambda each: each.free_in() > 0), tried)
            if token is not None:
                return token
            left = [each.opens_in() for each in could if tried.may_ask(each)]
            wait = min(left, default=None)
            if wait is None or wait > min(LONGEST_WAIT_S, tried.left()) or tried.left() <= 0:
                raise self._none(tried, wait)
            if wait > 0:
                self._means.rest(wait)

    def _round(self, members: Sequence[_Member], tried: _Tried) -> TimestampToken | None:
        """Ask each in turn, the next one also while the last is slow; None where none gave a good token."""
        answers: _Answers = queue.SimpleQueue()
        waiting = list(members)
        asked = 0
        while waiting or asked:
            if waiting and not asked:
                asked += self._start(waiting.pop(0), tried, answers)
            try:
                # An answer's own limit ends the wait for it; the rest is for the thread that brings it.
                member, outcome = answers.get(timeout=min(tried.patience(waiting), max(tried.left(), 0.0)))
            except queue.Empty:
                if not waiting or tried.left() <= 0:
                    return None
                asked += self._start(waiting.pop(0), tried, answers)
                continue
            asked -= 1
            if isinstance(outcome, Exception):
                raise outcome  # no outcome of asking but a mistake of ours or the caller's
            if isinstance(outcome, Stamped):
                return outcome.token
            tried.failed(member, outcome)
        return None

    def _start(self, member: _Member, tried: _Tried, answers: _Answers) -> int:
        """Ask one in a thread of its own, which nobody waits for once another was faster."""
        wait = member.take_turn()
        tried.asks(member, wait)

        def ask() -> None:
            if wait > 0:
                self._means.rest(wait)
            try:
                answers.put((member, member.ask(tried.value, tried.algorithm)))
            except Exception as error:
                answers.put((member, error))

        threading.Thread(target=ask, name=f"tsa {member.client.host}", daemon=True).start()
        return 1

    def _none(self, tried: _Tried, wait: float | None) -> TimestampUnavailable:
        said = []
        for member in self._members:
            why = tried.why.get(member) or member.health().last_failure or "it was not asked."
            said.append(f"{member.client.host}: {why}")
        hints = [outcome.hint for outcome in tried.wrong if outcome.hint]
        hint = hints[0] if hints else None
        if hint is None and wait is not None:
            hint = f"the first opens again in {wait:.0f} s; running this again then is safe"
        return TimestampUnavailable(" ".join(said), hint=hint)


class _Tried:
    """What was tried for one value. Used by the one thread that wants its token."""

    def __init__(self, value: bytes, algorithm: DigestAlgorithm, left: Callable[[], float]) -> None:
        self.value = value
        self.algorithm = algorithm
        self.left = left
        """Returns the seconds that are left for it."""
        self.why: dict[_Member, str] = {}
        self.wrong: list[Disbelieved] = []
        self._times: dict[_Member, int] = {}
        self._done: set[_Member] = set()
        self._last: _Member | None = None
        self._wait = 0.0

    def may_ask(self, member: _Member) -> bool:
        return member not in self._done and self._times.get(member, 0) < TRIES

    def asks(self, member: _Member, wait: float) -> None:
        self._times[member] = self._times.get(member, 0) + 1
        self._last = member
        self._wait = wait

    def patience(self, waiting: Sequence[_Member]) -> float:
        """Return the seconds to wait before the next one is asked as well, or before an answer counts as lost."""
        return self._wait + (self._last.slow_after() if waiting and self._last is not None else 2 * LIMIT_S)

    def failed(self, member: _Member, outcome: Outcome) -> None:
        if not isinstance(outcome, Stamped):
            self.why[member] = outcome.why
        if isinstance(outcome, Disbelieved):
            self.wrong.append(outcome)
        if isinstance(outcome, Refused | Disbelieved):
            self._done.add(member)


class _Member:
    """One authority of the list and how it has been doing; the lock guards all that changes."""

    def __init__(self, client: Client, means: Means) -> None:
        self.client = client
        self._means = means
        self._guard = threading.Lock()
        self._closed_until = self._next_at = means.elapsed()
        self._failures = self._asked = self._stamped = self._disbelieved = 0
        self._took: deque[float] = deque(maxlen=200)
        self._last_failure: str | None = None

    def opens_in(self) -> float:
        """Return the seconds until it is open again after a failure."""
        with self._guard:
            return self._closed_until - self._means.elapsed()

    def free_in(self) -> float:
        """Return the seconds until its operator's pace allows another request."""
        with self._guard:
            return self._next_at - self._means.elapsed()

    def take_turn(self) -> float:
        """Take the next turn that its operator's pace allows, and return the seconds until then."""
        with self._guard:
            now = self._means.elapsed()
            turn = max(now, self._next_at)
            self._next_at = turn + self.client.address.every_s
            return turn - now

    def slow_after(self) -> float:
        """Return the seconds after which its answer is late: its 95th percentile, within ``SLOW_S``."""
        least, most = SLOW_S
        with self._guard:
            known = sorted(self._took)
        if len(known) < KNOWN:
            return most
        return min(max(known[len(known) * 95 // 100], least), most)

    def ask(self, value: bytes, algorithm: DigestAlgorithm) -> Outcome:
        """Ask once, and remember how it went."""
        began = self._means.elapsed()
        with self._guard:
            self._asked += 1
        outcome = self.client.ask(value, algorithm)
        with self._guard:
            self._remember(outcome, self._means.elapsed() - began)
        return outcome

    def _remember(self, outcome: Outcome, took: float) -> None:
        now = self._means.elapsed()
        match outcome:
            case Stamped():
                self._failures = 0
                self._stamped += 1
                self._took.append(took)
                self._closed_until = now
                return
            case Busy():
                self._failures += 1
                pause = min(FIRST_PAUSE_S * 2 ** min(self._failures - 1, 16), LONGEST_CLOSED_S)
                # Up to a half more, so that many clients do not come back together (RFC 8085 3.1.1).
                pause *= 1 + self._means.random(1)[0] / 510
                if outcome.retry_after is not None:
                    pause = max(pause, min(outcome.retry_after, LONGEST_RETRY_S))
                self._closed_until = max(self._closed_until, now + pause)
            case Disbelieved():
                self._disbelieved += 1
                self._closed_until = max(self._closed_until, now + DISBELIEVED_S)
        self._last_failure = outcome.why

    def health(self) -> Health:
        """Say how it did."""
        closed = self.opens_in() > 0
        with self._guard:
            known = sorted(self._took)
            return Health(
                host=self.client.host,
                open=not closed,
                asked=self._asked,
                stamped=self._stamped,
                disbelieved=self._disbelieved,
                median_ms=round(1000 * known[len(known) // 2], 1) if known else None,
                last_failure=self._last_failure,
            )
