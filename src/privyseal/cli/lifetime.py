"""The two ends of a short program's life: when it begins to look for garbage, and how it leaves."""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import sys
import threading
from collections.abc import Iterator
from typing import NoReturn

YOUNG = 50_000
"""Objects that may be made before a service looks for garbage among them. Python's own 700 are made many times over for
one request of a hundred programs, all of them still needed, and looking at them took ``serve`` a twentieth of its
time."""


def collect_from_here() -> None:
    """Begin to look for garbage, if ``__main__`` has put it off; what is imported by now stays and is passed over."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Do not look for garbage while a service imports much: a seventh of the time, and it is none; then seldom."""
    gc.disable()
    try:
        yield
    finally:
        collect_from_here()
        gc.set_threshold(YOUNG)


def leave(code: int) -> NoReturn:
    """End the process, and leave its memory to the kernel: to take back each object by itself takes Python 25 ms.

    As at any end, what was registered for it (``atexit``) is called, and the streams are flushed. Where another thread
    still runs, Python ends in its own way, and waits for it.
    """
    if threading.active_count() > 1:
        sys.exit(code)
    atexit._run_exitfuncs()  # there is no public name for it
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # what is wrong with it was said, if anybody can hear it
            stream.flush()
    os._exit(code)
