"""The command line, imported once: thousands of commands are each a fork of one process that has loaded the product.

To start Python and import what a command needs takes a processor a third of a second to one second, and the tests run
some thousand commands. So a shell finds the small program ``readied.c`` under the name ``privyseal``, which hands its
arguments, environment, folder and streams to that process. A command sees all of that as if it had been started, but
for how the interpreter starts, which encodings it chooses, and that a module is there already if another command needs
it. So it is only for who asks for :func:`bin_folder`, and the program itself has tests of its own
(``cli/test_main.py``, ``cli/test_start.py``). Commands whose environment changes the interpreter, and those that stay,
are always the real program: ``readied.c`` says which. Only ``serve`` is not, for half of what it takes to start is to
import it; its guarded processes are started as ever. Whoever kills it, or looks at its process, starts the real one
(``rehearsal.py``).
"""

from __future__ import annotations

import array
import atexit
import contextlib
import functools
import io
import os
import pkgutil
import random
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from importlib import import_module
from pathlib import Path
from typing import NoReturn

SOURCE = Path(__file__).with_name("readied.c")
REAL = str(Path(sys.executable).with_name("privyseal"))
LEFT_OUT = ("demo", "witness", "backup")
"""How the names of modules begin that belong to commands which are always the real program."""
START_LIMIT = 120.0
"""Seconds until all is imported, on a machine that is busy with other tests."""


@functools.cache
def bin_folder() -> Path:
    """Return a folder whose ``privyseal`` is run by a process of ours, which ends with this one."""
    folder = Path(tempfile.mkdtemp(prefix="readied-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    at = folder / "socket"
    places = [f'-DSOCKET="{at}"', f'-DREAL="{REAL}"']
    command = ["cc", "-O1", "-Wall", "-Werror", *places, "-o", str(folder / "privyseal"), str(SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PRIVYSEAL_")} | {"LC_ALL": "C.UTF-8"}
    # It ends when its standard input does, and so with us, however we end.
    process = subprocess.Popen(
        [sys.executable, "-P", __file__, str(at)], stdin=subprocess.PIPE, env=environment, start_new_session=True
    )
    atexit.register(_end, process)
    until = time.monotonic() + START_LIMIT
    while not at.exists():
        assert process.poll() is None and time.monotonic() < until, "the process that runs commands did not start"
        time.sleep(0.02)
    return folder


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    process.wait(60)


# -- in the process that runs the commands ---------------------------------------------------------------------------


def _serve(at: str) -> NoReturn:
    """Import the product, then fork for each command until the tests are over."""
    import gc
    import selectors

    from privyseal import cli
    from privyseal.formats import catalogue
    from privyseal.terms.learnt import learn_types

    for module in pkgutil.iter_modules(cli.__path__):
        if not module.name.startswith(LEFT_OUT):
            import_module(f"privyseal.cli.{module.name}")
    # What serve brings, and learns, once it knows that it will not only --check.
    import_module("privyseal.web.app")
    catalogue.every()
    learn_types()
    gc.collect()
    gc.freeze()
    door = socket.socket(socket.AF_UNIX)
    door.bind(at + ".new")
    door.listen(64)
    os.rename(at + ".new", at)
    with selectors.DefaultSelector() as waiting:
        waiting.register(door, selectors.EVENT_READ)
        waiting.register(0, selectors.EVENT_READ)
        while True:
            ready = [key.fileobj for key, _ in waiting.select(1)]
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            if 0 in ready and not os.read(0, 1):
                os._exit(0)
            if door in ready:
                asked, _ = door.accept()
                if not os.fork():
                    waiting.close()
                    door.close()
                    _keep(asked)
                asked.close()


def _keep(asked: socket.socket) -> NoReturn:
    """Read one command, fork to run it, and tell how it ended; it is killed when whoever asked for it is gone."""
    command = _read(asked)
    child = os.fork()
    if not child:
        asked.close()
        _become(*command)
    for stream in command[0]:
        os.close(stream)
    with contextlib.suppress(OSError):
        asked.sendall(struct.pack("=i", child))
    ended = os.pidfd_open(child)
    if ended not in select.select([ended, asked], [], [])[0]:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(OSError):
        asked.sendall(struct.pack("=i", status))
    os._exit(0)


def _read(asked: socket.socket) -> tuple[list[int], int, bool, list[bytes], list[bytes]]:
    """Return a command's streams, umask, whether interrupts are ignored, its words, and its folder and environment."""
    first, rights, _, _ = asked.recvmsg(1 << 16, socket.CMSG_SPACE(3 * array.array("i").itemsize))
    streams = array.array("i")
    for _, _, octets in rights:
        streams.frombytes(octets)
    head, _, rest = first.partition(b"\n")
    mask, ignored, words, count, size = (int(word) for word in head.split())
    while len(rest) < size:
        more = asked.recv(1 << 16)
        if not more:
            os._exit(1)
        rest += more
    folder, *texts = rest.split(b"\0")[:-1]
    assert len(texts) == words + count
    return list(streams), mask, bool(ignored), texts[:words], [folder, *texts[words:]]


def _become(streams: list[int], mask: int, ignored: bool, words: list[bytes], around: list[bytes]) -> NoReturn:
    """Be the command: as Python would have started it, and as it would end."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(around[0])
    os.umask(mask)
    os.environ.clear()
    for name, _, value in (each.partition(b"=") for each in around[1:]):
        os.environb[name] = value
    time.tzset()
    random.seed()
    signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else signal.default_int_handler)
    sys.argv = [REAL, *map(os.fsdecode, words)]
    sys.stdin = _text(0, "rb", "surrogateescape")
    sys.stdout = _text(1, "wb", "surrogateescape", newline="\n")
    sys.stderr = _text(2, "wb", "backslashreplace", newline="\n", line_buffering=True)
    from privyseal.cli.main import main

    code = 1
    try:
        main()
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 0 if leaving.code is None else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            code = 120  # as Python says that its streams could not be closed
    os._exit(code)


def _text(number: int, mode: str, errors: str, **more: object) -> io.TextIOWrapper:
    binary = open(number, mode, closefd=False)  # noqa: SIM115 - it stays open
    if binary.isatty():
        more["line_buffering"] = True
    return io.TextIOWrapper(binary, encoding="utf-8", errors=errors, **more)  # type: ignore[arg-type]


if __name__ == "__main__":
    _serve(sys.argv[1])
