"""The logger's side of its witnesses: one round for each head, all asked at once, done when the quorum has cosigned.

Each witness has a thread and a kept connection, so one that is slow or dead delays nobody but itself: it is left
out of the rounds until it has answered or was cut off. A witness that answers wrongly is not counted. One that
*contradicts* us, because it knows a larger head than ours or one that ours does not extend, stops the log: between a
lying witness and a log that was put back only people can tell. A liar can so stop the log, and never fork it.
"""

from __future__ import annotations

import http.client
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from privyseal.errors import BadInput, LogRolledBack, LogUnavailable, VerificationFailed
from privyseal.strongroom.settings import LoggerSettings
from privyseal.tlog.checkpoint import parse_number
from privyseal.tlog.log import Head
from privyseal.tlog.note import MAX_NOTE, Signature, Verifier
from privyseal.tlog.witness import (
    CONFLICT,
    OK,
    PATH,
    UNPROVEN,
    format_request,
    read_cosignature,
    with_cosignatures,
)

Proof = Callable[[int], tuple[bytes, ...]]
"""Returns the consistency proof from an earlier size to the head that is to be cosigned."""
MAX_QUESTIONS = 4
"""Questions to one witness in one round: where it stands, the head, and again for what came late."""


class _Said(NamedTuple):
    """What one witness said to one question: a cosignature, the size it has seen, or why it is not counted."""

    witness: _Witness
    size: int
    """Of the head that it was asked to cosign."""
    old: int
    """The size that the proof began from."""
    signature: Signature | None = None
    seen: int | None = None
    unproven: bool = False
    why: str = ""


class _Witness:
    """One witness: its thread asks what is handed to it. ``busy_since`` belongs to the sequencer, as ``known`` does."""

    def __init__(self, key: Verifier, url: str, seconds: float, answers: queue.SimpleQueue[_Said]) -> None:
        self.key = key
        self.known = 0
        self.busy_since: float | None = None
        self._url = urlsplit(url)
        self._seconds = seconds
        self._answers = answers
        self._questions: queue.SimpleQueue[tuple[int, int, bytes, bytes] | None] = queue.SimpleQueue()
        self._connection: http.client.HTTPConnection | None = None
        self._thread = threading.Thread(target=self._run, name=f"witness {key.name}", daemon=True)
        self._thread.start()

    def ask(self, size: int, old: int, request: bytes, note: bytes) -> None:
        self.busy_since = time.monotonic()
        self._questions.put((size, old, request, note))

    def cut_off(self) -> None:
        """End a conversation that takes too long, wherever it hangs."""
        connection = self._connection
        if connection is not None and connection.sock is not None:
            try:
                connection.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                return

    def close(self) -> None:
        self._questions.put(None)
        self.cut_off()

    def _run(self) -> None:
        while (asked := self._questions.get()) is not None:
            size, old, request, note = asked
            try:
                said = self._said(size, old, *self._posted(request), note)
            except (OSError, http.client.HTTPException) as error:
                why = "it did not answer in time" if isinstance(error, TimeoutError) else f"{_reason(error)}"
                said = _Said(self, size, old, why=why)
            self._answers.put(said)
        self._drop()

    def _said(self, size: int, old: int, status: int, body: bytes, note: bytes) -> _Said:
        if status == OK:
            try:
                return _Said(self, size, old, signature=read_cosignature(note, body, self.key))
            except (BadInput, VerificationFailed) as error:
                return _Said(self, size, old, why=error.detail)
        if status == CONFLICT and body.isascii():
            seen = parse_number(body.decode("ascii").removesuffix("\n"))
            if seen is not None:
                return _Said(self, size, old, seen=seen)
        shown = _shown(body[:800].decode("utf-8", "replace"))
        return _Said(
            self, size, old, unproven=status == UNPROVEN, why=f"it answered {status}: {shown or 'nothing more'}"
        )

    def _posted(self, request: bytes) -> tuple[int, bytes]:
        """Post once, and once more where a kept connection had been closed meanwhile; asking twice is harmless."""
        kept = self._connection is not None
        try:
            return self._exchange(request)
        except (ConnectionError, http.client.RemoteDisconnected, http.client.CannotSendRequest):
            self._drop()
            if not kept:
                raise
            return self._exchange(request)
        except BaseException:
            self._drop()
            raise

    def _exchange(self, request: bytes) -> tuple[int, bytes]:
        if self._connection is None:
            host, port = self._url.hostname or "", self._url.port
            if self._url.scheme == "https":
                context = ssl.create_default_context()
                self._connection = http.client.HTTPSConnection(host, port, timeout=self._seconds, context=context)
            else:
                self._connection = http.client.HTTPConnection(host, port, timeout=self._seconds)
            self._connection.connect()
            self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection.request("POST", self._url.path.rstrip("/") + PATH, request, {"Content-Type": "text/plain"})
        answer = self._connection.getresponse()
        body = answer.read(MAX_NOTE + 1)
        if len(body) > MAX_NOTE:
            self._drop()
            raise http.client.HTTPException(f"it answered with more than {MAX_NOTE} octets")
        if answer.will_close or not answer.isclosed():
            self._drop()
        return answer.status, body

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class Witnesses:
    """The witnesses of one log; one thread, the sequencer, uses it."""

    def __init__(
        self, asked: Sequence[tuple[Verifier, str]], quorum: int, seconds: float, note: Callable[[str], None]
    ) -> None:
        """Take each witness's key and address, and how many of them must cosign within ``seconds``."""
        self._answers: queue.SimpleQueue[_Said] = queue.SimpleQueue()
        self._witnesses = [_Witness(key, url, seconds, self._answers) for key, url in asked]
        self._quorum = quorum
        self._seconds = seconds
        self._note = note
        self._told: dict[str, str] = {}

    @classmethod
    def of(cls, settings: LoggerSettings, note: Callable[[str], None]) -> Witnesses | None:
        """Build them from the logger's settings; None where there are none."""
        if not settings.witness:
            return None
        asked = [(each.verifier(), each.url) for each in settings.witness]
        return cls(asked, settings.quorum, settings.witness_seconds, note)

    def cosigned(self, note: bytes, head: Head, proof: Proof) -> bytes:
        """Return the log's signed note with the cosignatures of a quorum.

        LogUnavailable with fewer, which is safe to try again; LogRolledBack where a witness knows a head that this
        one does not extend.
        """
        found: dict[str, Signature] = {}
        why: dict[str, str] = {}
        asking = 0
        questions: dict[str, int] = {}
        for each in self._witnesses:
            if each.busy_since is None:
                self._ask(each, note, head, proof)
            elif time.monotonic() - each.busy_since > self._seconds:
                each.cut_off()
            asking += 1
        until = time.monotonic() + self._seconds
        while len(found) < self._quorum and asking and (left := until - time.monotonic()) > 0:
            try:
                said = self._answers.get(timeout=left)
            except queue.Empty:
                break
            name = said.witness.key.name
            questions[name] = questions.get(name, 0) + 1
            said.witness.busy_since = None
            self._weigh(said)
            if said.size == head.size and said.signature is not None:
                found[name] = said.signature
                why.pop(name, None)
                asking -= 1
            elif (said.why and said.size == head.size) or questions[name] == MAX_QUESTIONS:
                why[name] = said.why or "it does not stand by the size that it names"
                asking -= 1
            else:
                # It answered an earlier round, or began from another size than we thought: now we know better. What
                # kept it then is told, unless it cosigns now.
                if said.why:
                    why[name] = said.why
                self._ask(said.witness, note, head, proof)
        self._tell(found, why)
        if len(found) < self._quorum:
            raise self._too_few(found, why)
        return with_cosignatures(note, [found[each.key.name] for each in self._witnesses if each.key.name in found])

    def close(self) -> None:
        """End the conversations."""
        for each in self._witnesses:
            each.close()

    def _ask(self, witness: _Witness, note: bytes, head: Head, proof: Proof) -> None:
        old = min(witness.known, head.size)
        witness.ask(head.size, old, format_request(old, proof(old), note), note)

    def _weigh(self, said: _Said) -> None:
        """Learn where a witness stands; LogRolledBack where that contradicts us."""
        name, seen = said.witness.key.name, said.seen
        if said.signature is not None:
            said.witness.known = max(said.witness.known, said.size)
        if said.unproven or (seen is not None and seen == said.old == said.size):
            raise LogRolledBack(
                f"The witness {name} knows another history than the log's of {said.size} entries.",
                hint="compare the log with what the witness cosigned; nothing is logged until then",
            )
        if seen is None:
            return
        if seen > said.size:
            raise LogRolledBack(
                f"The witness {name} has cosigned {seen} entries of this log, and the journal holds {said.size}.",
                hint="restore the newest journal, or run privyseal log recover; nothing is logged until then",
            )
        if seen < said.witness.known:
            self._note(
                f"the witness {name} knows {seen} entries and had cosigned {said.witness.known}: it was put back"
            )
        said.witness.known = seen

    def _too_few(self, found: dict[str, Signature], why: dict[str, str]) -> LogUnavailable:
        silent = {each.key.name: "it has not answered" for each in self._witnesses if each.key.name not in found}
        reasons = "; ".join(f"{name}: {reason}" for name, reason in (silent | why).items())
        return LogUnavailable(
            f"{len(found)} of the {self._quorum} witnesses that must cosign a head did ({reasons.rstrip('.')}).",
            hint="what was asked is kept; try again when they are back",
        )

    def _tell(self, found: dict[str, Signature], why: dict[str, str]) -> None:
        """Say of each witness once that it stopped answering well, and once that it is back."""
        for name, reason in why.items():
            if name not in self._told:
                self._note(f"the witness {name} is not counted: {reason}")
            self._told[name] = reason
        for name in found:
            if self._told.pop(name, None) is not None:
                self._note(f"the witness {name} cosigns again")


def _reason(error: Exception) -> str:
    words = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return _shown(words) or type(error).__name__


def _shown(words: str) -> str:
    """Return the beginning of what somebody else said, fit for a terminal."""
    return "".join(each for each in words.strip().split("\n")[0][:200] if each.isprintable())
