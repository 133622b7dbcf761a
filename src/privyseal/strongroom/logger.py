"""The logger: it gives entries their places, and signs only heads of what it has read back from where it was stored.

One thread, the sequencer, takes whatever questions wait and makes one batch of them: no batch waits for a
fuller one, and while one is written the next collects. What is done to the disk is in ``ledger.py``. After any
failure there nothing in memory is believed, and the next batch begins by reading everything from the disk. A
disk that failed, or a log that was put back to an older state, stops the logger for good.
"""

from __future__ import annotations

import errno
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privyseal.errors import (
    BadInput,
    LogRolledBack,
    LogStandby,
    LogUnavailable,
    PrivySealError,
    TooLarge,
    VerificationFailed,
)
from privyseal.strongroom import logkey
from privyseal.strongroom.ledger import Ledger, Shelves
from privyseal.strongroom.messages import Answer, Append, Appended, Logged, LogHealth, LogState, Prove, Question
from privyseal.strongroom.staging import Place
from privyseal.tlog.note import Signer
from privyseal.tlog.tiles import TILE_WIDTH

MAX_SUBMISSIONS = 1024
"""Entries in one question; the walks ask for 256."""
MAX_BATCH = 1024
"""Questions of one batch; more wait for the next one, some tens of milliseconds later."""
MOST_UNSETTLED = 8 * TILE_WIDTH
"""Entries in full tiles that wait to be made durable before that is done between two batches, which then wait for it:
a full tile takes two syncs, the directories above them several more however many tiles there are."""
QUIET_SECONDS = 0.1
"""How long nothing is asked before full tiles are made durable anyway."""


@dataclass(slots=True)
class _Waiting:
    """One question and the thread that waits for its answer: ``gate`` opens once ``answer`` or ``error`` stands."""

    question: Question
    gate: threading.Lock = field(default_factory=threading.Lock)
    places: list[Place] = field(default_factory=list)
    answer: Answer | None = None
    error: Exception | None = None


class Logger:
    """Answers for the log; safe to call from several threads. ``_ledger`` and ``_stopped`` are the sequencer's."""

    def __init__(
        self,
        origin: str,
        key: Ed25519PrivateKey,
        shelves: Shelves,
        *,
        note: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Take the log's name, its key and where it is kept; nothing is read before the first question."""
        self._signer = Signer(logkey.verifier(origin, key), key.sign)
        self._shelves = shelves
        self._note = note
        self._ledger: Ledger | None = None
        self._term = 0
        self._stopped: LogUnavailable | None = None
        self._questions: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._closed = False
        self._sequencer = threading.Thread(target=self._sequence, name="sequencer", daemon=True)
        self._sequencer.start()

    @property
    def lost(self) -> bool:
        """Tell whether a disk failed, so that this process must end."""
        return self._stopped is not None and not isinstance(self._stopped, LogRolledBack)

    def handle(self, question: Question) -> Answer:
        """Answer one question; raises what the client is to be told."""
        if not isinstance(question, Append | Prove | LogHealth):
            raise BadInput(f"The logger does not answer {type(question).__name__}.")
        _check_size(question)
        if self._closed:
            raise _closing()
        waiting = _Waiting(question)
        waiting.gate.acquire()
        self._questions.put(waiting)
        waiting.gate.acquire()
        if waiting.error is not None:
            raise _again(waiting.error)
        assert waiting.answer is not None  # noqa: S101 - the gate opens when one of the two stands
        return waiting.answer

    def close(self) -> None:
        """Answer what waits, then close the journal and the mark."""
        self._closed = True
        self._questions.put(None)
        self._sequencer.join()
        self._shelves.staging.close()
        self._shelves.mark.close()
        if self._shelves.witnesses is not None:
            self._shelves.witnesses.close()

    # -- the sequencer's thread ----------------------------------------------------------------------------------------
    def _sequence(self) -> None:
        while batch := self._gathered():
            self._answer_all(batch)
            self._settle(MOST_UNSETTLED)
        self._settle(TILE_WIDTH)
        while late := self._waiting():  # who asked at the very moment of closing
            late.error = _closing()
            late.gate.release()

    def _gathered(self) -> list[_Waiting]:
        """Wait for a question and take along all that have come meanwhile; empty when the logger is closed."""
        try:
            first = self._questions.get(timeout=None if self._ledger is None else QUIET_SECONDS)
        except queue.Empty:
            self._settle(TILE_WIDTH)
            first = self._questions.get()
        if first is None:
            return []
        batch = [first]
        while len(batch) < MAX_BATCH and (further := self._waiting()):
            batch.append(further)
        return batch

    def _waiting(self) -> _Waiting | None:
        try:
            found = self._questions.get_nowait()
        except queue.Empty:
            return None
        if found is None:
            self._questions.put(None)  # closing is for the next gathering to find
        return found

    def _answer_all(self, batch: list[_Waiting]) -> None:
        try:
            ledger = self._believed()
            self._log(ledger, batch)
            for waiting in batch:
                if waiting.error is None:
                    self._answer(ledger, waiting)
        except LogStandby as error:
            self._ledger = None
            self._stand_by(batch, error)
        except Exception as error:  # whatever it is, those who wait are told, and nothing is believed any more
            told = self._judged(error)
            for waiting in batch:
                if waiting.answer is None and waiting.error is None:
                    waiting.error = told
        finally:
            for waiting in batch:
                waiting.gate.release()

    def _stand_by(self, batch: list[_Waiting], error: LogStandby) -> None:
        """Answer for a logger that is not the active one: how it is, and nothing else."""
        verifier = self._signer.verifier
        for waiting in batch:
            if waiting.answer is None and waiting.error is None:
                if isinstance(waiting.question, LogHealth):
                    waiting.answer = LogState(0, verifier.name, verifier.vkey, standby=True)
                else:
                    waiting.error = error

    def _believed(self) -> Ledger:
        if self._stopped is not None:
            raise _again(self._stopped)
        term = self._shelves.staging.term()
        if self._ledger is None or term != self._term:
            self._ledger = Ledger(self._shelves, self._signer)
            self._term = term
        return self._ledger

    def _log(self, ledger: Ledger, batch: list[_Waiting]) -> None:
        drawn = ledger.begin()
        for waiting in batch:
            if isinstance(waiting.question, Append):
                try:
                    _check_known(ledger.size, waiting.question.since)
                    waiting.places = drawn.place(waiting.question.submissions)
                except LogRolledBack as error:  # known to whoever asked; for others the log may be whole
                    waiting.error = error
                except LogUnavailable:
                    raise
                except PrivySealError as error:  # this question's own fault
                    waiting.error = error
        ledger.extend(drawn)

    def _answer(self, ledger: Ledger, waiting: _Waiting) -> None:
        question = waiting.question
        try:
            if isinstance(question, LogHealth):
                waiting.answer = LogState(ledger.size, self._signer.verifier.name, self._signer.verifier.vkey)
            elif isinstance(question, Append | Prove):
                waiting.answer = _appended(ledger, question, waiting.places)
        except (
            PrivySealError
        ) as error:  # what this one asked, perhaps a damaged old tile; the others' entries are logged
            if _is_disk_error(error):
                raise
            waiting.error = _as_unavailable(error)

    def _settle(self, least: int) -> None:
        """Have full tiles made durable, if ``least`` entries are in such as are not."""
        if self._ledger is not None and self._ledger.unsettled >= least:
            try:
                self._ledger.settle()
            except Exception as error:  # nobody waits for this; the next batch is told if it matters
                self._judged(error)

    def _judged(self, error: Exception) -> Exception:
        """Believe nothing any more, stop for good where going on would be wrong, and return what is to be told."""
        self._ledger = None
        if isinstance(error, LogRolledBack):
            self._stopped = error
        elif self._shelves.staging.lost or self._shelves.mark.lost or _is_disk_error(error):
            self._stopped = LogUnavailable(
                "A disk failed under the log; what is on it is not known.", hint="look at the disk, restart the logger"
            )
            return self._stopped
        elif not isinstance(error, PrivySealError):
            self._note(f"bug: {type(error).__name__}")
        return _as_unavailable(error)


def _appended(ledger: Ledger, question: Append | Prove, places: list[Place]) -> Appended:
    size, since = ledger.size, question.since
    _check_known(size, since)
    if isinstance(question, Prove):
        places = [ledger.place_at(index) for index in question.indexes]
    return Appended(
        checkpoint=ledger.checkpoint,
        size=size,
        since=since,
        consistency=ledger.reader.consistency(since, size),
        items=tuple(_logged(ledger, place) for place in places),
    )


def _check_known(size: int, since: int) -> None:
    """Refuse to go on, before anything is added, where whoever asks knows a larger head than there is."""
    if since > size:
        raise LogRolledBack(
            f"A head of {since} entries is known where this log has {size}.",
            hint="compare the log with its mark and with what the witnesses have seen",
        )


def _logged(ledger: Ledger, place: Place) -> Logged:
    prove, size = ledger.reader.inclusion, ledger.size
    intent_path = () if place.intent is None else prove(place.intent, size)
    return Logged(place.index, place.key_seq, prove(place.index, size), intent_path)


def _check_size(question: Question) -> None:
    count = 0
    if isinstance(question, Append):
        count = len(question.submissions)
    elif isinstance(question, Prove):
        count = len(question.indexes)
    if count > MAX_SUBMISSIONS:
        raise TooLarge(f"{count} entries were asked for at once; at most {MAX_SUBMISSIONS} are answered.")


def _closing() -> LogUnavailable:
    return LogUnavailable("The logger is closing.", hint="try again")


def _again(error: Exception) -> Exception:
    """Return a like error for one more thread to raise; one raised by many would gather all their tracebacks."""
    return type(error)(error.detail, hint=error.hint) if isinstance(error, PrivySealError) else error


def _as_unavailable(error: Exception) -> Exception:
    """Return what a client is told of damage in the log: not that something of its own did not verify."""
    return LogUnavailable(error.detail, hint=error.hint) if isinstance(error, VerificationFailed) else error


def _is_disk_error(error: Exception) -> bool:
    return isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EIO
