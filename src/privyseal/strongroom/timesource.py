"""Asks time servers, in a process beside the stamper that holds no key: what comes from the network is read here.

The stamper is confined and reaches no network. Before that it starts this process, with
``python -m privyseal.strongroom.timesource --fd N``, and tells it once whom to ask. From then on a round of answers
comes every minute. What they mean is the stamper's to judge. When the stamper lets go of the socket, this ends.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct

from privyseal.errors import BadInput
from privyseal.strongroom.chrony import Chrony
from privyseal.strongroom.confinement import confine
from privyseal.strongroom.hardening import harden
from privyseal.strongroom.seccomp import Needs, restrict, settle
from privyseal.timestamp import cmdmon, sntp
from privyseal.timestamp.clock import Heard
from privyseal.timestamp.sntp import Kiss, Reading, Silence
from privyseal.timestamp.timesources import kind

PERIOD = 64.0
"""Seconds between two rounds; what public servers ask for (RFC 5905: poll exponent 6)."""
SOON = 8.0
"""Seconds until the next round where not all have answered."""
ANSWER_SECONDS = 2.0
"""Seconds a server may take."""
LEFT_ALONE = 3600.0
"""Seconds for which a server that asked for it is left alone (RFC 5905 7.4)."""
MAX_OCTETS = 64 << 10
"""Octets of a message between the two processes."""

_END_SECONDS = 5.0


class Asked(Struct, frozen=True):
    """Whom to ask, and how often, in seconds."""

    sources: tuple[str, ...]
    period: float
    chrony: int = cmdmon.PORT
    """UDP port at which the chronyd of this machine tells its state."""


class TimeServers:
    """The stamper's handle of it."""

    def __init__(self, sources: Sequence[str], period: float = PERIOD, chrony: int = cmdmon.PORT) -> None:
        """Start to ask these servers; the process is not confined yet. Without any, nothing is started.

        ``chrony`` is the port of this machine's chronyd, for sources of its.
        """
        self.sources = tuple(sources)
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        if not sources:
            return
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "privyseal.strongroom.timesource", "--fd", str(theirs.fileno())]
        with theirs:
            self._process = subprocess.Popen(command, pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL)
        self._socket.send(msgspec.msgpack.encode(Asked(self.sources, period, chrony)))

    def round(self, seconds: float) -> tuple[Heard, ...] | None:
        """Return the next round of answers, none where none came in time, or None where the process has ended."""
        if self._socket is None:
            time.sleep(seconds)
            return ()
        try:
            if not select.select([self._socket], [], [], seconds)[0]:
                return ()
            octets = self._socket.recv(MAX_OCTETS)
            return _rounds.decode(octets) if octets else None
        except (OSError, ValueError, msgspec.MsgspecError):  # ValueError: it was closed, for this process ends
            return None

    def close(self) -> None:
        """End it."""
        if self._socket is not None and self._process is not None:
            self._socket.close()
            try:
                self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()  # refused where we are confined; its socket is closed in any case


_rounds: msgspec.msgpack.Decoder[tuple[Heard, ...]] = msgspec.msgpack.Decoder(tuple[Heard, ...])


def steady() -> float:
    """Return seconds on the count since boot, sleep included, which nobody can set."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask until the stamper lets go."""
    parser = argparse.ArgumentParser(prog="privyseal.strongroom.timesource")
    parser.add_argument("--fd", type=int, required=True)
    stamper = socket.socket(fileno=parser.parse_args(arguments).fd)
    harden()
    os.umask(0o077)
    os.setsid()  # a Ctrl-C is for the stamper, which lets go
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    asked = msgspec.msgpack.decode(stamper.recv(MAX_OCTETS) or b"\xc0", type=Asked)
    wants = Needs(network=True, late_code=True)  # who resolves names loads libraries as nsswitch.conf(5) says
    confine((), None, network=True)
    restrict(wants)
    settle(wants)
    asker = Asker(asked.sources, asked.chrony)
    while True:
        heard = asker.round()
        try:
            stamper.send(msgspec.msgpack.encode(heard))
        except OSError:
            return 0
        whole = all(isinstance(each, Reading) for each in heard)
        if select.select([stamper], [], [], asked.period if whole else min(SOON, asked.period))[0]:
            return 0  # it says nothing further, so this is the end


class Asker:
    """Asks several servers at once, and remembers who wants to be left alone."""

    def __init__(self, sources: Iterable[str], chrony: int = cmdmon.PORT) -> None:
        """Take the servers; their names are resolved anew for each round, for they may move."""
        self._sources = tuple(sources)
        kinds = {each: kind(each) for each in self._sources}
        self._servers = tuple(each for each in self._sources if not kinds[each])
        self._chrony = Chrony([each for each in self._sources if kinds[each] == cmdmon.PREFIX], chrony, count=steady)
        self._again: dict[str, tuple[float, str]] = {}

    def round(self) -> tuple[Heard, ...]:
        """Ask each once and return what came of it, in their order."""
        waiting: dict[socket.socket, tuple[str, bytes, float]] = {}
        found: dict[str, Heard] = {**self._chrony.round()}
        for source in self._servers:
            until, code = self._again.get(source, (0.0, ""))
            if until > steady():
                found[source] = Silence(source, steady(), f"It asks to be left alone ({code}).")
                continue
            try:
                door = _door(source)
                cookie = os.urandom(sntp.COOKIE_OCTETS)
                sent = steady()
                door.send(sntp.question(cookie))
                waiting[door] = (source, cookie, sent)
            except (OSError, UnicodeError, BadInput) as error:
                found[source] = Silence(source, steady(), _words(error))
        until = steady() + ANSWER_SECONDS
        while waiting and (left := until - steady()) > 0:
            for door in select.select(list(waiting), [], [], left)[0]:
                source, cookie, sent = waiting[door]
                heard = self._read(door, source, cookie, sent)
                if heard is not None:
                    found[source] = heard
                    del waiting[door]
                    door.close()
        for door, (source, _, _) in waiting.items():
            found.setdefault(source, Silence(source, steady(), "It did not answer."))
            door.close()
        return tuple(found[source] for source in self._sources)

    def _read(self, door: socket.socket, source: str, cookie: bytes, sent: float) -> Heard | None:
        """Read a datagram; None for one that is no answer to this question, so that the real one is waited for."""
        try:
            octets = door.recv(sntp.MAX_ANSWER_OCTETS)
            answered = steady()
        except OSError as error:
            return Silence(source, steady(), _words(error))
        if octets[24:32] != cookie:
            return None
        try:
            answer = sntp.read(octets, cookie)
            if isinstance(answer, Kiss):
                self._again[source] = (answered + LEFT_ALONE, answer.code)
                return Silence(source, answered, f"It asks to be left alone ({answer.code}).")
            return sntp.reading(source, answer, sent, answered)
        except BadInput as error:
            return Silence(source, answered, error.detail)


def _door(source: str) -> socket.socket:
    """Return a socket from a fresh port that hears this server alone."""
    host, port = sntp.address(source)
    family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    door = socket.socket(family, kind, protocol)
    try:
        door.setblocking(False)
        door.connect(where)
    except OSError:
        door.close()
        raise
    return door


def _words(error: Exception) -> str:
    if isinstance(error, BadInput):
        return error.detail
    return f"It cannot be asked: {error.strerror or error}." if isinstance(error, OSError) else "It has no such name."


if __name__ == "__main__":
    sys.exit(main())
