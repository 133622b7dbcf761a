"""The signer's side of its workers: one for each home of keys, with a watchdog, replaced when lost.

What may be asked twice is decided here. A question whose answer was lost is asked again only if it uses no key
(``again``), or if it certainly never reached a key: the worker had died before, or said that it failed earlier than
that. So one intent never yields more signatures than it allows, whatever breaks; what is lost is an intent.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Callable

from privyseal.errors import KeyStoreUnavailable, PrivySealError, from_code
from privyseal.keystore.homes import Home, Located, Standing
from privyseal.keystore.messages import Answer, Failure, Generate, Look, Question, Ready, decode_answer, encode
from privyseal.strongroom.frames import Frames
from privyseal.strongroom.nursery import Nursery
from privyseal.terms.keys import TokenState

PATIENCE_SECONDS = 3.0
"""How long a question waits for a token that is away before it is refused; clients and web wait 30 s and more."""
PAUSE_SECONDS = 0.25
"""Between two attempts to have a worker, so that a token that is away costs little."""
REFUSED_PAUSE_SECONDS = 5.0
"""The same after a refusal that a person must see to, such as a wrong PIN, which is not tried again in any case."""
_TRIES = 3
"""Workers that one question may be asked of, where that is safe."""
_SMALL_OCTETS = 16 << 10
"""A message up to this size goes into the socket whole or not at all (unix(7): one buffer)."""


class _Lost(Exception):
    """No answer came; ``reached`` tells whether the worker may have begun with the question."""

    def __init__(self, reached: bool, why: str) -> None:
        super().__init__(why)
        self.reached = reached
        self.why = why


class _Busy(Exception):
    """Every session is in use: by calls that have limits of their own, so that nothing is wrong with the worker."""


class Untouched(Exception):
    """A token could not be asked, or certainly used no key: another that has the key may be asked the same."""


class _Worker:
    """One worker process and its idle channels."""

    def __init__(self, pid: int, channels: list[socket.socket]) -> None:
        self.pid = pid
        self.gone = threading.Event()
        self.standing: Standing = "away"
        """What kept it from beginning."""
        self.heard = time.monotonic()
        """When it last said anything."""
        self._frames = [Frames(each) for each in channels]
        self._sockets = channels
        self._idle: queue.SimpleQueue[int | None] = queue.SimpleQueue()

    def begin(self, seconds: float) -> None:
        """Wait for the worker's first word; raises what it says instead."""
        said = self._receive(0, seconds, "it was started and")
        if isinstance(said, Failure):
            self.standing = said.standing
            raise from_code(said.code, said.detail, said.hint)
        if not isinstance(said, Ready):
            raise KeyStoreUnavailable("A key store's worker began with an answer.")
        for number in range(len(self._frames)):
            self._idle.put(number)

    def ask(self, question: bytes, seconds: float) -> Answer:
        """Ask on a channel that nobody uses; _Busy if none gets free in time, _Lost if no answer comes in time."""
        try:
            number = self._idle.get(timeout=seconds)
        except queue.Empty:
            raise _Busy from None
        if number is None:
            self._idle.put(None)  # for the next one who waits
            raise _Lost(False, "it ended")
        return self._exchange(number, question, seconds)

    def look(self, seconds: float) -> Answer | None:
        """Ask whether the token is there, on a channel that nobody uses; None where all are in use, as others watch."""
        with contextlib.suppress(queue.Empty):
            if (number := self._idle.get_nowait()) is not None:
                return self._exchange(number, encode(Look()), seconds)
            self._idle.put(None)
        return None

    def _exchange(self, number: int, question: bytes, seconds: float) -> Answer:
        try:
            self._sockets[number].settimeout(seconds)
            self._frames[number].send(question)
        except OSError:
            self._frames[number].close()
            raise _Lost(len(question) > _SMALL_OCTETS, "it ended") from None
        answer = self._receive(number, seconds, "it")
        if self.gone.is_set():
            self._frames[number].close()
        else:
            self._idle.put(number)
        return answer

    def _receive(self, number: int, seconds: float, who: str) -> Answer:
        self._sockets[number].settimeout(seconds)
        try:
            octets = self._frames[number].receive()
        except TimeoutError:
            self._frames[number].close()
            raise _Lost(True, f"{who} did not answer within {seconds:g} s and was ended") from None
        except (OSError, PrivySealError):
            octets = None
        if octets is None:
            self._frames[number].close()
            raise _Lost(True, "it ended in the middle of a call")
        self.heard = time.monotonic()
        return decode_answer(octets)

    def end(self) -> None:
        """Let nobody wait for it any more; the sockets of those who do wake up when the process is killed."""
        self.gone.set()
        with contextlib.suppress(queue.Empty):
            while (number := self._idle.get_nowait()) is not None:
                self._frames[number].close()
        self._idle.put(None)

    def abandon(self) -> None:
        """Close the channels of a worker that never began."""
        for each in self._frames:
            each.close()


class TokenChild:
    """A token, or a cloud, behind a worker that is replaced when it is lost; safe to use from several threads."""

    def __init__(
        self, nursery: Nursery, number: int, sessions: int, note: Callable[[str], None] = lambda line: None
    ) -> None:
        """Have workers for the nursery's home ``number``, each with so many sessions; none is started yet."""
        self.section: Home = nursery.homes[number][1]
        self._nursery = nursery
        self._number = number
        self._sessions = self.section.sessions or sessions
        self._note = note
        self._lock = threading.Lock()
        self._births = threading.Lock()
        self._worker: _Worker | None = None
        self._next_try = 0.0
        self._why: PrivySealError = KeyStoreUnavailable("No worker was started yet.")
        self._standing: Standing = "away"
        self._closed = threading.Event()
        self.losses = 0
        """Workers that were lost so far."""

    @property
    def lost(self) -> bool:
        """Tell whether no worker can be had any more by this process."""
        return self._nursery.lost

    @property
    def pid(self) -> int | None:
        """The process id of the worker, for those who watch; None while there is none."""
        worker = self._worker
        return None if worker is None else worker.pid

    @property
    def usable(self) -> bool:
        """Tell whether there is a worker that was well when it was last heard of."""
        worker = self._worker
        return worker is not None and not worker.gone.is_set()

    @property
    def due(self) -> bool:
        """Tell whether it is time to try for a worker again."""
        return not self.usable and time.monotonic() >= self._next_try

    def holds(self, key: Located) -> bool:
        """Tell whether a key is in this home, by its URI alone."""
        return self.section.holds(key)

    def state(self) -> TokenState:
        """Return how the token was when it was last heard of; takes no lock that a hung module could hold."""
        why, standing = self._why, self._standing
        if self.usable:
            return TokenState(self.section.name, "usable", losses=self.losses)
        return TokenState(self.section.name, standing, why.detail, losses=self.losses)

    def members(self) -> tuple[TokenChild, ...]:
        """Return itself; a pool has several."""
        return (self,)

    def states(self) -> tuple[TokenState, ...]:
        """Return the same as :meth:`state`; a pool has several."""
        return (self.state(),)

    def warm(self) -> None:
        """Start a worker before anybody asks, and tell the operator if that cannot be."""
        try:
            self._alive(time.monotonic())
        except PrivySealError as error:
            self._note(f"token {self.section.name}: {error}")

    def watch(self) -> None:
        """Start a worker and look after the token until it is closed, so that its state is known while nobody asks."""
        pause = self.section.silence
        self.warm()
        while not self._closed.wait(pause):
            self.look(pause)

    def look(self, silence: float = 0.0) -> None:
        """Look whether a token that was silent for so many seconds is there, and have a worker for it if that can be.

        No PIN is tried that was refused, or whose outcome is unknown (``keystore/pkcs11_pin.py``).
        """
        worker = self._worker
        if worker is not None and time.monotonic() - worker.heard >= silence:
            try:
                answer = worker.look(self.section.timeout)
            except _Lost as lost:
                self._retire(worker, lost.why)
            except PrivySealError as error:  # an answer that is none
                self._retire(worker, error.detail)
            else:
                if isinstance(answer, Failure):
                    self._retire(worker, answer.detail)
        with contextlib.suppress(PrivySealError):  # it is kept as the token's state
            self._alive(time.monotonic())

    def ask(self, question: Question, *, again: bool, long: bool = False, elsewhere: bool = False) -> Answer:
        """Ask, as ``keystore.homes.Child`` promises.

        ``elsewhere`` says that another token has the key: raise Untouched, rather than wait for a worker or ask a
        second one, where no key can have been used.
        """
        if isinstance(question, Generate):
            with self._births:  # they are made one by one anyway, and so they keep one session and not all
                return self._ask(question, again=again, long=long, elsewhere=elsewhere)
        return self._ask(question, again=again, long=long, elsewhere=elsewhere)

    def _ask(self, question: Question, *, again: bool, long: bool, elsewhere: bool) -> Answer:
        octets = encode(question)
        seconds = self.section.generate_timeout if long else self.section.timeout
        until = time.monotonic() + PATIENCE_SECONDS
        for attempt in range(1, _TRIES + 1):
            worker = self._there() if elsewhere else self._alive(until)
            try:
                answer = worker.ask(octets, seconds)
            except _Busy:
                if elsewhere:
                    raise Untouched from None
                raise KeyStoreUnavailable(
                    f"Every session with token {self.section.name} was busy for {seconds:g} s.",
                    hint="safe to run again; the section's sessions may be too few",
                ) from None
            except _Lost as lost:
                self._retire(worker, lost.why)
                if elsewhere and (again or not lost.reached):
                    raise Untouched from None
                if attempt < _TRIES and (again or not lost.reached):
                    continue
                raise self._unavailable(lost.why) from None
            except PrivySealError as error:  # an answer that is none
                self._retire(worker, error.detail)
                raise
            if not isinstance(answer, Failure):
                return answer
            if answer.poisoned:
                self._retire(worker, answer.detail)
                if elsewhere and (again or not answer.used):
                    raise Untouched
                if attempt < _TRIES and (again or not answer.used):
                    continue
            raise from_code(answer.code, answer.detail, answer.hint)
        raise AssertionError("the last attempt returns or raises")

    def close(self) -> None:
        """End the worker and start no other."""
        with self._lock:
            self._closed.set()
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.end()
            self._nursery.kill(worker.pid)

    def _there(self) -> _Worker:
        worker = self._worker
        if worker is None or worker.gone.is_set():
            raise Untouched
        return worker

    def _alive(self, until: float) -> _Worker:
        """Return the worker, a fresh one if there is none; raises why there is none at the time ``until``."""
        while True:
            with self._lock:
                if self._closed.is_set():
                    raise KeyStoreUnavailable("The signer is ending.")
                if self._worker is not None and not self._worker.gone.is_set():
                    return self._worker
                if time.monotonic() >= self._next_try:
                    try:
                        self._worker = self._fresh()
                        return self._worker
                    except PrivySealError as error:
                        self._why = error
                        pause = PAUSE_SECONDS if error.retryable else REFUSED_PAUSE_SECONDS
                        self._next_try = time.monotonic() + pause
                why = self._why
            if not why.retryable or self._nursery.lost or time.monotonic() >= until:
                raise type(why)(why.detail, hint=why.hint)
            time.sleep(PAUSE_SECONDS / 5)

    def _fresh(self) -> _Worker:
        pid, channels = self._nursery.fork(self._number, self._sessions)
        worker = _Worker(pid, channels)
        try:
            worker.begin(self.section.timeout)
        except _Lost as lost:
            self._nursery.kill(pid)
            worker.abandon()
            self._standing = "away"
            raise self._unavailable(lost.why) from None
        except PrivySealError:
            self._standing = worker.standing
            self._nursery.kill(pid)
            worker.abandon()
            raise
        return worker

    def _retire(self, worker: _Worker, why: str) -> None:
        """Kill a worker that cannot be trusted any more; everybody who waits for it wakes up."""
        if worker.gone.is_set():  # and who has the lock may be waiting for another one to begin
            return
        with self._lock:
            if worker.gone.is_set():
                return
            worker.end()
            self.losses += 1
            self._why, self._standing = self._unavailable(why), "away"
            if self._worker is worker:
                self._worker = None
        self._nursery.kill(worker.pid)
        self._note(f"token {self.section.name}: the worker is replaced: {why}")

    def _unavailable(self, why: str) -> KeyStoreUnavailable:
        return KeyStoreUnavailable(
            f"The worker of token {self.section.name} is lost: {why}.",
            hint="nothing was signed that anybody has; a fresh worker is started by itself",
        )
