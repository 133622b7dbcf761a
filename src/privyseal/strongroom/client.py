"""How the rest of the house asks the guarded processes: one small class for each, over one function that
carries a question.

The function is ``SocketAsk`` in a running service and ``Signer.handle`` itself in tests, which therefore meet
no socket. Whatever a process refuses comes back as the error it raised; a process that cannot be reached is the
Unavailable of its kind. The file is over 400 lines by its imports of messages: the clients are one thing five times.
"""

from __future__ import annotations

import contextlib
import queue
import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from privyseal import telemetry
from privyseal.errors import (
    KeyStoreUnavailable,
    LogStandby,
    LogUnavailable,
    NotFound,
    TimestampUnavailable,
    Unavailable,
    from_code,
)
from privyseal.strongroom.frames import Frames, address
from privyseal.strongroom.messages import (
    Acted,
    AdministrativeAct,
    Answer,
    Append,
    Appended,
    CharterAsked,
    CharterRead,
    EvidenceAsked,
    EvidenceRead,
    LogHealth,
    LogState,
    Prove,
    Question,
    Refused,
    SignBatch,
    SignedBatch,
    SignerHealth,
    SignerState,
    Stale,
    StandingAsked,
    StandingRead,
    Submission,
    decode_answer,
    encode_traced,
)
from privyseal.strongroom.messages_of_homes import CloudsAsked, CloudsCounted, TokenKeysAsked, TokenKeysRead
from privyseal.strongroom.messages_of_stamps import (
    BooksAsked,
    BooksRead,
    DiaryEntry,
    LeavesAsked,
    LeavesRead,
    LegacyReply,
    PlaceAsked,
    PlaceRead,
    Replied,
    Reply,
    Stamp,
    Stamped,
    StamperHealth,
    StamperState,
)
from privyseal.terms.certificates import Standing
from privyseal.terms.clouds import CloudUses
from privyseal.terms.keys import TokenKeys
from privyseal.terms.signatures import DigestAlgorithm

Ask = Callable[[Question], Answer]
"""Carries one question to a process and brings its answer; may be called from several threads."""
ANSWER_SECONDS = 120.0
"""How long an answer may take; a batch of 256 RSA-4096 signatures on two old cores takes a fifth of it."""
CONNECT_SECONDS = 5.0
TAKEOVER_SECONDS = 10.0
"""How long to look for an active logger; the lease of one that died ends 2 s after its last renewal."""
LOGGER_SECONDS = 1.5
"""How long one of several loggers may take before the others are asked as well: it may be frozen. A slow one is asked
again, and answers then with what it has logged meanwhile."""
TAKEOVER_PAUSE = 0.1
"""Between two rounds of questions while no logger is active."""
AGAIN_SECONDS = 0.5
"""Between two questions to a logger that cannot be reached or does not answer."""
_A = TypeVar("_A")


class SocketAsk:
    """Asks over a Unix socket, with as many kept connections as there were threads asking at once."""

    def __init__(self, path: Path, seconds: float = ANSWER_SECONDS) -> None:
        """Remember where the door is; nothing is connected until the first question."""
        self._path = path
        self._seconds = seconds
        self._idle: list[Frames] = []
        self._guard = threading.Lock()

    def __call__(self, question: Question) -> Answer:
        """Ask and wait; raise the error that was answered, or Unavailable where the process cannot be reached."""
        message = encode_traced(question, telemetry.ids())
        try:
            answer = self._exchange(message, self._kept() or self._connected())
        except (ConnectionResetError, BrokenPipeError):
            # Linux says so only where the other side closed without having read the question
            # (unix_release_sock): it was not acted on. Should a kernel differ, asking again is harmless: a
            # logged entry and a spent intent are known.
            try:
                answer = self._exchange(message, self._connected())
            except OSError as error:
                raise self._unreachable(error) from None
        except OSError as error:
            raise self._unreachable(error) from None
        if isinstance(answer, Refused):
            raise from_code(answer.code, answer.detail, answer.hint)
        return answer

    def close(self) -> None:
        """Close the kept connections."""
        with self._guard:
            kept, self._idle = self._idle, []
        for frames in kept:
            frames.close()

    def _exchange(self, message: bytes, frames: Frames) -> Answer:
        """Send and receive once; the connection is kept only where both went well."""
        with contextlib.ExitStack() as closing:
            closing.callback(frames.close)
            received: bytes | None
            try:
                frames.send(message)
            except (ConnectionResetError, BrokenPipeError) as error:
                received = _last_words(frames, error)  # a door that turns us away says why before it closes
            else:
                received = frames.receive()
            if received is None:
                raise Unavailable(
                    f"The process behind {self._path.name} ended before it answered; what it did is not known.",
                    hint="look at its log; the service finds out by itself when it is back",
                )
            closing.pop_all()
        with self._guard:
            self._idle.append(frames)
        try:
            return decode_answer(received)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Unavailable(f"The process behind {self._path.name} gave an answer we do not know: {error}.") from None

    def _kept(self) -> Frames | None:
        while True:
            with self._guard:
                if not self._idle:
                    return None
                frames = self._idle.pop()
            watch = select.poll()
            watch.register(frames, select.POLLIN)
            if not watch.poll(0):  # readable while nothing was asked: the other side has gone
                return frames
            frames.close()

    def _connected(self) -> Frames:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(CONNECT_SECONDS)
            connection.connect(address(self._path))
            connection.settimeout(self._seconds)
        except BaseException:
            connection.close()
            raise
        return Frames(connection)

    def _unreachable(self, error: OSError) -> Unavailable:
        why = "it did not answer in time" if isinstance(error, TimeoutError) else (error.strerror or str(error))
        return Unavailable(f"The process behind {self._path.name} cannot be reached: {why}.", hint="is it running?")


class ActiveLogger:
    """Asks whichever of several loggers is the active one; an ``Ask`` itself.

    Asking another one after a road failed has no double effect: a logged entry is known by its hash and keeps its
    place. While one logger takes over from another none is active, for about the lease's length; so long is waited.
    One that does not answer may be frozen, or slow, or dead. Until it answers again it is asked beside the others, in
    a thread, so that nobody waits for it while another one has taken over.
    """

    def __init__(self, asks: Sequence[Ask], seconds: float = TAKEOVER_SECONDS) -> None:
        """Take the ways to the loggers; the one that answered last is asked first."""
        self._asks = tuple(asks)
        self._seconds = seconds
        self._first = 0
        self._silent: set[int] = set()

    def __call__(self, question: Question) -> Answer:
        """Ask until one answers as the active one; raise what the last one said when none does in time."""
        until = time.monotonic() + self._seconds
        beside: queue.SimpleQueue[tuple[int, Answer | Exception]] = queue.SimpleQueue()
        again: dict[int, float] = {}  # the silent ones, and when they may be asked; never while they are being asked
        refused: Exception = Unavailable("No logger has answered in time.", hint="are they running?")
        while time.monotonic() < until:
            first = self._first
            for place in (*range(first, len(self._asks)), *range(first)):
                if place not in self._silent:
                    said = self._said(place, question)
                elif again.get(place, 0.0) <= time.monotonic():
                    again[place] = until
                    threading.Thread(target=self._beside, args=(place, question, beside), daemon=True).start()
                    continue
                else:
                    continue
                if not isinstance(said, Exception):
                    return said
                refused = said
            try:
                place, late = beside.get(timeout=TAKEOVER_PAUSE)
            except queue.Empty:
                continue
            if not isinstance(late, Exception):
                return late
            if not isinstance(late, LogStandby) and type(late) is not Unavailable:
                raise late
            refused, again[place] = late, time.monotonic() + AGAIN_SECONDS
        raise refused

    def _said(self, place: int, question: Question) -> Answer | Exception:
        """Return what the active one answered, or why this is not it; raise what the active one refuses."""
        try:
            answer = self._asks[place](question)
        except LogStandby as error:
            self._silent.discard(place)
            return error
        except Unavailable as error:
            if type(error) is not Unavailable:  # the active logger itself, which is what to be told
                raise
            self._silent.add(place)
            return error
        self._silent.discard(place)
        if isinstance(answer, LogState) and answer.standby:
            return LogStandby("The logger is on standby, and no other one is active.")
        self._first = place
        return answer

    def _beside(
        self, place: int, question: Question, beside: queue.SimpleQueue[tuple[int, Answer | Exception]]
    ) -> None:
        try:
            beside.put((place, self._said(place, question)))
        except Exception as error:  # what the active one refuses: for whoever asked to raise
            beside.put((place, error))


class LoggerClient:
    """Asks the logger."""

    def __init__(self, ask: Ask) -> None:
        """Ask through ``ask``."""
        self._ask = ask

    def append(self, submissions: Sequence[Submission], since: int) -> Appended:
        """Have entries logged, all or none of them; consistency is proven from size ``since``, or not at all from 0.

        Conflict for a completion that contradicts the log, LogUnavailable (LogRolledBack) where the logger
        cannot go on.
        """
        return _expect(Appended, self._asked(Append(tuple(submissions), since)))

    def prove(self, indexes: Sequence[int], since: int) -> Appended:
        """Have entries proven that are in the log already, under a head that is fresh."""
        return _expect(Appended, self._asked(Prove(tuple(indexes), since)))

    def health(self) -> LogState:
        """Return the log's size, name and verifier key."""
        return _expect(LogState, self._asked(LogHealth()))

    def _asked(self, question: Question) -> Answer:
        return _as_leaf(LogUnavailable, self._ask, question)


class SignerClient:
    """Asks the signer."""

    def __init__(self, ask: Ask) -> None:
        """Ask through ``ask``."""
        self._ask = ask

    def sign(self, batch: SignBatch) -> SignedBatch | Stale:
        """Have a batch signed; Stale, with the signer's mark, where ``since`` was not it and nothing was done."""
        answer = self._asked(batch)
        return answer if isinstance(answer, Stale) else _expect(SignedBatch, answer)

    def act(self, act: AdministrativeAct) -> Acted | Stale:
        """Have an administrative act carried out; Stale as in :meth:`sign`."""
        answer = self._asked(act)
        return answer if isinstance(answer, Stale) else _expect(Acted, answer)

    def charter(self, key_id: str) -> CharterRead:
        """Return the charter under which a key is used; NotFound for a key the signer does not hold."""
        return _expect(CharterRead, self._asked(CharterAsked(key_id)))

    def evidence(self, key_id: str, nonce: bytes) -> EvidenceRead:
        """Return what the signer says, signed, of how a key is protected; NotFound for a key it does not hold."""
        return _expect(EvidenceRead, self._asked(EvidenceAsked(key_id, nonce)))

    def standings(self, chains: Sequence[tuple[bytes, ...]]) -> tuple[Standing, ...]:
        """Return what the signer's anchors make of chains, DER, the signer's own certificate first; 256 at most."""
        read = _expect(StandingRead, self._asked(StandingAsked(tuple(chains))))
        if len(read.standings) != len(chains):
            raise Unavailable(f"The standing of {len(chains)} chains was asked for and {len(read.standings)} told.")
        return read.standings

    def health(self) -> SignerState:
        """Return the signer's mark and how many keys it holds."""
        return _expect(SignerState, self._asked(SignerHealth()))

    def token_keys(self) -> tuple[TokenKeys, ...]:
        """Have each token looked through for the keys that are in it."""
        return _expect(TokenKeysRead, self._asked(TokenKeysAsked())).tokens

    def clouds(self, since: datetime) -> tuple[CloudUses, ...]:
        """Have what the clouds' audit logs say of keys held against what the signer counted, from ``since`` on."""
        return _expect(CloudsCounted, self._asked(CloudsAsked(since))).homes

    def _asked(self, question: Question) -> Answer:
        return _as_leaf(KeyStoreUnavailable, self._ask, question)


class StamperClient:
    """Asks the stamper."""

    def __init__(self, ask: Ask) -> None:
        """Ask through ``ask``."""
        self._ask = ask

    def stamp(self, algorithm: DigestAlgorithm, digests: Sequence[bytes]) -> tuple[bytes, ...]:
        """Have digests timestamped: one RFC 3161 token (DER ContentInfo) for each, in their order."""
        return _expect(Stamped, self._asked(Stamp(algorithm, tuple(digests)))).tokens

    def reply(self, requests: Sequence[bytes], policies: Sequence[str] = ()) -> tuple[bytes, ...]:
        """Have TimeStampReq (DER) answered: one TimeStampResp (DER) for each, refusals included.

        ``policies``: to the address of whose policy (OID) each came, if any did.
        """
        return _expect(Replied, self._asked(Reply(tuple(requests), tuple(policies)))).replies

    def legacy_reply(self, request: bytes) -> bytes:
        """Have a timestamp request of Authenticode answered; NotFound where that is not offered, BadInput for none."""
        (reply,) = _expect(Replied, self._asked(LegacyReply(request))).replies
        return reply

    def books(self, entry: int, batch: int, noted: DiaryEntry | None = None, root: bytes = b"") -> BooksRead:
        """Return what the stamper wrote down behind an entry of its diary and behind a batch of its tokens.

        These two were stated last; by the entry itself and the batch's root the stamper sees whether they are its own.
        """
        return _expect(BooksRead, self._asked(BooksAsked(entry, batch, noted, root)))

    def leaves(self, logged: tuple[int, int] | None = None) -> LeavesRead:
        """Return the next tokens without an entry of their own, once those before ``logged`` are noted to have one."""
        return _expect(LeavesRead, self._asked(LeavesAsked(logged)))

    def place(self, time: str, leaf: bytes) -> PlaceRead:
        """Return where a token is, by genTime and leaf; NotFound where it is in no batch that is closed."""
        return _expect(PlaceRead, self._asked(PlaceAsked(time, leaf)))

    def health(self) -> StamperState:
        """Return whether the stamper would stamp now, and who it is."""
        return _expect(StamperState, self._asked(StamperHealth()))

    def held(self, time: str, leaf: bytes) -> None:
        """Raise NotFound for a token that was not given out here; one whose hour is not over will do."""
        try:
            self.place(time, leaf)
        except NotFound as error:
            if error.hint is None:  # the other one says when to try again
                raise

    def _asked(self, question: Question) -> Answer:
        return _as_leaf(TimestampUnavailable, self._ask, question)


def _last_words(frames: Frames, error: OSError) -> bytes:
    """Return what was said before the other side closed without reading; raise ``error`` if that is nothing."""
    with contextlib.suppress(OSError):
        if (received := frames.receive()) is not None:
            return received
    raise error


def _as_leaf(leaf: type[Unavailable], ask: Ask, question: Question) -> Answer:
    try:
        return ask(question)
    except Unavailable as error:
        if type(error) is Unavailable:  # the road failed, not the process: say which process it leads to
            raise leaf(error.detail, hint=error.hint) from None
        raise


def _expect(kind: type[_A], answer: Answer) -> _A:
    if isinstance(answer, kind):
        return answer
    raise Unavailable(f"The process answered {type(answer).__name__} where {kind.__name__} was expected.")
