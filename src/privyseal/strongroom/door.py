"""The door of a guarded process: a Unix socket, one thread a connection, typed questions in and typed answers out.

Only processes of the admitted users come in (``SO_PEERCRED``). Nothing that goes wrong with one connection is felt by
another. An error of ours is answered by its code and sentence; a bug of ours is answered by nothing but its
kind, and its place in the code goes to the note, never the exception's text or any value, because either could
hold a secret.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path

import msgspec

from privyseal import telemetry
from privyseal.errors import BadInput, Conflict, Misused, NotPermitted, PrivySealError, TooLarge, Unavailable
from privyseal.strongroom.frames import Frames, address
from privyseal.strongroom.messages import Answer, Question, Refused, decode_traced, encode, refused

MAX_CONNECTIONS = 256
"""Conversations at once. ``serve`` keeps one for each of its threads; PostgreSQL's default is 100."""
PATIENCE_SECONDS = 60.0
"""How long the rest of a frame, or the reading of an answer, may take once it has begun."""
_PEER_CREDENTIALS = struct.Struct("iII")  # struct ucred: pid, uid, gid (unix(7))


class Door:
    """A listening socket and the conversations that came in by it."""

    def __init__(
        self,
        path: Path,
        handle: Callable[[Question], Answer],
        *,
        admitted: Collection[int] = (),
        note: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Prepare to answer with ``handle`` who comes as this process's own user or one of the ``admitted`` uids."""
        self._path = path
        self._handle = handle
        self._admitted = frozenset({os.geteuid(), *admitted})
        self._mode = 0o600 if self._admitted == {os.geteuid()} else 0o666
        self._note = note
        self._listener: socket.socket | None = None
        self._closing, other = os.pipe()  # at its end for ever once the door closes; nobody writes or reads
        self._other_end = [other]
        self._conversations: set[threading.Thread] = set()
        self._guard = threading.Lock()

    def open(self) -> None:
        """Listen; Conflict if another process answers at this path already, Misused if the path cannot be used."""
        where = address(self._path)
        if self._path.is_socket() and _answers(where):
            raise Conflict(f"Another process answers at {self._path} already.", hint="stop it first")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o777 & ~self._mode)
        try:
            if self._path.is_socket():
                self._path.unlink()  # left by one that was killed
            listener.bind(where)
            listener.listen(MAX_CONNECTIONS)
        except OSError as error:
            listener.close()
            raise Misused(f"The socket {self._path} cannot be opened: {error.strerror}.") from None
        finally:
            os.umask(before)
        self._listener = listener

    def serve(self) -> None:
        """Answer until :meth:`stop`; returns at once when nobody is let in any more, with conversations still going."""
        if self._listener is None:
            raise Misused("The door was not opened.")
        listener = self._listener
        waiting = select.poll()
        waiting.register(listener, select.POLLIN)
        waiting.register(self._closing, select.POLLIN)
        while True:
            ready = dict(waiting.poll())
            if self._closing in ready:
                break
            try:
                connection, _ = listener.accept()
            except OSError as error:  # out of descriptors, or the caller left already
                self._note(f"a connection could not be accepted: {error.strerror}")
                time.sleep(0.01)
                continue
            self._begin(connection)
        self._path.unlink(missing_ok=True)
        listener.close()

    def stop(self) -> None:
        """Let nobody in any more and end every conversation after its present answer; may be called from a signal."""
        with contextlib.suppress(IndexError):  # somebody was quicker; taking out of a list is done by one only
            # Closed, not written to: a write can fail, and then the process could never be ended but by SIGKILL.
            os.close(self._other_end.pop())

    def drain(self, seconds: float) -> bool:
        """Wait until every conversation has ended, at most ``seconds``; tell whether all have."""
        until = time.monotonic() + seconds
        while True:
            with self._guard:
                going = list(self._conversations)
            if not going:
                return True
            going[0].join(max(0.0, until - time.monotonic()))
            if time.monotonic() >= until:
                return False

    def dispose(self) -> None:
        """Close what :meth:`serve` left open; call it once, after draining."""
        self.stop()
        if self._listener is not None:
            self._listener.close()
        os.close(self._closing)

    def _begin(self, connection: socket.socket) -> None:
        thread = threading.Thread(target=self._converse, args=(connection,), daemon=True)
        with self._guard:
            full = len(self._conversations) >= MAX_CONNECTIONS
            if not full:
                self._conversations.add(thread)
        if full:
            _turn_away(connection, Unavailable(f"There are {MAX_CONNECTIONS} connections already.", hint="try again"))
            return
        try:
            thread.start()
        except RuntimeError:  # the system gives no more threads
            with self._guard:
                self._conversations.discard(thread)
            _turn_away(connection, Unavailable("No thread could be started for this connection.", hint="try again"))

    def _converse(self, connection: socket.socket) -> None:
        try:
            uid = _uid_of_peer(connection)
            if uid not in self._admitted:
                self._note(f"a process of uid {uid} was turned away")
                _turn_away(connection, NotPermitted(f"Processes of uid {uid} are not admitted here."))
                return
            connection.settimeout(PATIENCE_SECONDS)
            self._answer_all(Frames(connection))
        except OSError:
            pass  # the other side is gone; what it was told or not told is its own to find out
        except Exception as error:  # the thread's last line: a conversation never ends the process
            self._note(_where(error))
        finally:
            connection.close()
            with self._guard:
                self._conversations.discard(threading.current_thread())

    def _answer_all(self, frames: Frames) -> None:
        waiting = select.poll()
        waiting.register(frames, select.POLLIN)
        waiting.register(self._closing, select.POLLIN)
        last = False
        while not last:
            if not frames.begun:
                ready = dict(waiting.poll())
                last = self._closing in ready
                if frames.fileno() not in ready:
                    return  # the door closes and nothing was asked
            try:
                message = frames.receive()
            except TooLarge as error:
                frames.send(encode(refused(error)))
                return  # where the next frame begins is not known
            if message is None:
                return
            self._send(frames, self._answer(message))

    def _send(self, frames: Frames, answer: Answer) -> None:
        try:
            frames.send(encode(answer))
        except TooLarge as error:
            frames.send(encode(refused(error)))

    def _answer(self, message: bytes) -> Answer:
        try:
            question, ids = decode_traced(message)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return refused(BadInput(f"This is not a question we know: {str(error)[:200]}."))
        began = time.monotonic()
        answer = self._answer_to(question)
        if telemetry.told():
            code = answer.code if isinstance(answer, Refused) else None
            taken = round((time.monotonic() - began) * 1000, 3)
            kind = type(question).__name__
            telemetry.tell("answered", telemetry.Facts(question=kind, request_ids=ids, code=code, duration_ms=taken))
        return answer

    def _answer_to(self, question: Question) -> Answer:
        try:
            return self._handle(question)
        except PrivySealError as error:
            return refused(error)
        except Exception as error:  # a bug of ours, which must not tell what it was working on
            self._note(_where(error))
            return Refused("internal", f"The process met a bug of ours ({type(error).__name__}); its log says where.")


def _answers(where: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(where)
        except OSError:
            return False
        return True


def _uid_of_peer(connection: socket.socket) -> int:
    octets = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS.size)
    return int(_PEER_CREDENTIALS.unpack(octets)[1])


def _turn_away(connection: socket.socket, error: PrivySealError) -> None:
    try:
        connection.settimeout(1.0)
        Frames(connection).send(encode(refused(error)))
    except OSError:
        pass
    finally:
        connection.close()


def _where(error: BaseException) -> str:
    """Say of an exception its class and its way through the code, and nothing that it carries."""
    return f"bug: {telemetry.where(error)}"
