"""A worker: a token's PKCS#11 module, or a cloud's client, in a process that is thrown away when it misbehaves.

Forked by the nursery, it closes what is not its own, locks its memory, reads the PIN, is confined to the files and
ports of its home, loads the module or client, logs in, is shut in for good, and says so on its first channel. Then each
channel has a thread, a session and one question at a time. It judges nothing and restarts nothing; the signer's
watchdog kills it when a call hangs.

What it is left with was found by running SoftHSM and p11-kit's client under strace, and is no more than they need:

* Landlock: the module's directory and what the settings name; TCP only with ``network``, or to a cloud's ports.
* Until it is logged in (:func:`seccomp.restrict`): Unix sockets, for p11-kit's client connects to its server in
  C_Initialize, as pcscd's does; code from files, for the module is one and loads OpenSSL or its vendor's own
  libraries; threads, for some modules start one.
* Afterwards (:func:`seccomp.settle`): threads, files and the sockets that are open. No new socket, because a
  connection that is lost poisons the module, and a fresh worker makes a fresh one; no further code, because SoftHSM
  and p11-kit have loaded all by then. Only with ``network`` both stay: a network HSM's module connects again by itself
  and to several, and who resolves names loads libraries as it does (nsswitch.conf(5)). So it is with a cloud's client.

Never: another program, a child, a signal to others, others' memory, a page that can be written and run.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from privyseal.errors import KeyStoreUnavailable, PrivySealError
from privyseal.keystore.homes import Desk, Home, Opening
from privyseal.keystore.messages import Failure, Ready, decode_question, encode
from privyseal.strongroom.confinement import confine
from privyseal.strongroom.frames import Frames
from privyseal.strongroom.hardening import lock_memory
from privyseal.strongroom.seccomp import Needs, restrict, settle
from privyseal.terms.learnt import learn_types

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_SWITCH_SECONDS = 0.0005  # as in run.py, for the same reason


def main(home: Home, notes: Path, channels: list[socket.socket], parent: int) -> None:
    """Work until the signer lets go of the channels; never returns."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before we could ask to die with it
        os._exit(0)
    sys.setswitchinterval(_SWITCH_SECONDS)
    lock_memory()  # where it may; the nursery has seen to core dumps and tracers, and children inherit that
    learn_types()
    first = Frames(channels[0])
    opening = home.worker()(notes, len(channels), clock)
    try:
        desks = _opened(home, opening, notes)
        if len(desks) != len(channels):
            raise KeyStoreUnavailable(f"{home.name} gave {len(desks)} sessions where {len(channels)} were asked for.")
    except PrivySealError as error:
        standing = opening.standing(error)
        first.send(encode(Failure(error.code, error.detail, error.hint, poisoned=True, standing=standing)))
        os._exit(0)
    first.send(encode(Ready()))
    for channel, desk in zip(channels[1:], desks[1:], strict=True):
        threading.Thread(target=_work, args=(Frames(channel), desk), daemon=True).start()
    _work(first, desks[0])


def clock() -> datetime:
    """Return the time of day, UTC, for what a cloud's requests are dated with."""
    return datetime.now(UTC)


def _opened(home: Home, opening: Opening, notes: Path) -> Sequence[Desk]:
    may = home.territory()
    os.environ.update(may.environment)  # putenv(3): the module, written in C, reads it there
    opening.prepare()
    confine({notes, *may.writable}, None, may.ports, readable=may.readable, network=may.network)
    needs = Needs(network=may.calls, late_code=may.calls)
    restrict(needs)
    desks = opening.open()
    settle(needs)
    return desks


def _work(channel: Frames, desk: Desk) -> None:
    """Answer one channel's questions until the signer lets go of it, which it does of all at once."""
    try:
        while (asked := channel.receive()) is not None:
            channel.send(encode(desk.answer(decode_question(asked))))
    finally:
        os._exit(0)  # without C_Finalize, which may hang
