"""The nursery: a small process beside the signer that forks workers for its homes of keys, kills and buries them.

The signer is confined: it runs no program, and Landlock lets it send no signal to a process outside. So before that
it starts this one, with ``python -m privyseal.strongroom.nursery --fd N``, and tells it once which homes there are,
tokens and clouds. From then on it asks by a home's number for a fresh worker, and gets its sockets; or for a worker's
end. The nursery has one thread, so forking is safe, has imported what most workers need, so that one is there within
milliseconds, and loads no module itself. It ends, and its workers with it, when the signer's end of the socket is
closed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from privyseal.errors import KeyStoreUnavailable
from privyseal.keystore.catalogue import AWAY
from privyseal.keystore.homes import Home
from privyseal.strongroom.hardening import harden
from privyseal.strongroom.seccomp import Needs, restrict

_ANSWER_SECONDS = 10.0
"""Seconds until the nursery must have forked; it takes it a hundredth of one."""
_MAX_OCTETS = 64 << 10
_MAX_CHANNELS = 64  # SCM_MAX_FD of Linux is 253


class Given(Struct, frozen=True):
    """A home as the nursery is told of it."""

    store: str
    """A name in ``keystore/catalogue.py``."""
    section: msgspec.Raw

    def home(self) -> Home:
        """Return its section of the settings."""
        return msgspec.msgpack.decode(self.section, type=AWAY[self.store].section)


class Brood(Struct, frozen=True, tag=True):
    """The first message: the homes, by number, and where notes about PINs are kept."""

    homes: tuple[Given, ...]
    notes: str


class Fork(Struct, frozen=True, tag=True):
    """Make a worker for a home, with so many channels; answered with Forked and the sockets."""

    number: int
    channels: int


class Kill(Struct, frozen=True, tag=True):
    """End a worker at once; answered with Forked of the same pid."""

    pid: int


class Forked(Struct, frozen=True, tag=True):
    """The worker's process id, or 0 if there is none."""

    pid: int


_Work = Callable[[Home, Path, list[socket.socket], int], None]
_decoder: msgspec.msgpack.Decoder[Brood | Fork | Kill] = msgspec.msgpack.Decoder(Brood | Fork | Kill)


class Nursery:
    """The signer's handle of its nursery; safe to use from several threads."""

    def __init__(self, homes: Sequence[tuple[str, Home]], notes: Path) -> None:
        """Start the nursery for these homes, each with its store's name; this process must not be confined yet."""
        self.homes = tuple(homes)
        self._lock = threading.Lock()
        self.lost = False
        notes.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(_ANSWER_SECONDS)
        command = [sys.executable, "-m", "privyseal.strongroom.nursery", "--fd", str(theirs.fileno())]
        with theirs:
            self._process = subprocess.Popen(command, pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL)
        given = tuple(Given(store, msgspec.Raw(msgspec.msgpack.encode(home))) for store, home in self.homes)
        self._socket.send(msgspec.msgpack.encode(Brood(given, str(notes.absolute()))))

    def fork(self, number: int, channels: int) -> tuple[int, list[socket.socket]]:
        """Return a fresh worker's process id and its channels; KeyStoreUnavailable if none can be had."""
        with self._lock:
            octets, descriptors = self._ask(Fork(number, channels))
        pid = msgspec.msgpack.decode(octets, type=Forked).pid
        made = [socket.socket(fileno=each) for each in descriptors]
        if pid == 0 or len(made) != channels:
            for each in made:
                each.close()
            raise KeyStoreUnavailable("No worker could be made for a key store: this machine has no room for it.")
        return pid, made

    def kill(self, pid: int) -> None:
        """End a worker, however busy it is; nothing happens if the nursery itself has ended."""
        with self._lock, contextlib.suppress(KeyStoreUnavailable):
            self._ask(Kill(pid))

    def close(self) -> None:
        """End the nursery and all its workers."""
        self._socket.close()
        try:
            self._process.wait(_ANSWER_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()  # refused by Landlock where we are confined; its socket is closed in any case

    def _ask(self, question: Fork | Kill) -> tuple[bytes, list[int]]:
        octets, descriptors = b"", list[int]()
        if not self.lost:
            try:
                self._socket.send(msgspec.msgpack.encode(question))
                octets, descriptors, _, _ = socket.recv_fds(self._socket, _MAX_OCTETS, _MAX_CHANNELS)
            except OSError:  # also when it does not answer in time: its next answer could be to this question
                octets = b""
        if not octets:
            self.lost = True
            raise KeyStoreUnavailable("The nursery of the signer's workers has ended; the signer must start again.")
        return octets, list(descriptors)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve one signer until it lets go."""
    parser = argparse.ArgumentParser(prog="privyseal.strongroom.nursery")
    parser.add_argument("--fd", type=int, required=True)
    signer = socket.socket(fileno=parser.parse_args(arguments).fd)
    harden()
    os.umask(0o077)
    os.setsid()  # a Ctrl-C or a service's SIGTERM to all is for the signer, which finishes what was asked and lets go
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    from privyseal.strongroom import worker

    brood = _decoder.decode(signer.recv(_MAX_OCTETS) or b"\xc0")
    if not isinstance(brood, Brood):
        return 2
    homes = [each.home() for each in brood.homes]
    for home in homes:
        home.worker()  # imports python-pkcs11, say, which the signer itself never does
    # It forks and kills, and nothing else; what a worker's module needs besides, it must be left with here already.
    restrict(Needs(fork=True, network=any(home.territory().calls for home in homes)))
    workers: set[int] = set()
    while asked := signer.recv(_MAX_OCTETS):
        question = _decoder.decode(asked)
        _bury(workers)
        if isinstance(question, Fork):
            pid, channels = _fork(signer, homes[question.number], Path(brood.notes), question.channels, worker.main)
            workers.add(pid)
            socket.send_fds(signer, [msgspec.msgpack.encode(Forked(pid))], [each.fileno() for each in channels])
            for each in channels:
                each.close()
        elif isinstance(question, Kill):
            if question.pid in workers:  # not buried yet, so the number is still its own
                os.kill(question.pid, signal.SIGKILL)
            signer.send(msgspec.msgpack.encode(Forked(question.pid)))
    for pid in workers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return 0


def _fork(
    signer: socket.socket, home: Home, notes: Path, channels: int, work: _Work
) -> tuple[int, list[socket.socket]]:
    pairs = [socket.socketpair() for _ in range(min(channels, _MAX_CHANNELS))]
    ours = os.getpid()
    try:
        pid = os.fork()
    except OSError:
        return 0, []
    if pid == 0:
        try:
            signer.close()
            for kept, _ in pairs:
                kept.close()
            work(home, notes, [theirs for _, theirs in pairs], ours)
        finally:
            os._exit(1)  # whatever happened: never back into the nursery's loop
    for _, theirs in pairs:
        theirs.close()
    return pid, [kept for kept, _ in pairs]


def _bury(workers: set[int]) -> None:
    """Reap the workers that have ended, so that their numbers may be given again and are not killed by us."""
    while workers:
        pid, _ = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        workers.discard(pid)


if __name__ == "__main__":
    sys.exit(main())
