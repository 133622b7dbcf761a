"""The three standard streams of a process that somebody else started: closed, full, or left by their reader.

Whatever becomes of the words, the work goes on and its exit code tells the truth; so nothing here ends a command but a
reader that has left, as ``head`` does.
"""

from __future__ import annotations

import os
import sys
from typing import TextIO


def complete() -> None:
    """Open the null device in place of each standard stream that is closed.

    Else the next file to be opened, a program that is being signed perhaps, has its number, and takes in what any
    library writes to stderr; and Python itself sets such a stream to None.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this one
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)


def forsake(stream: TextIO) -> None:
    """Send what a stream still holds, and all that follows, nowhere; else Python fails over it once more at the end."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def lost(stream: TextIO) -> bool:
    """Tell whether what was written to a stream cannot be brought out; then it is forsaken."""
    try:
        stream.flush()
    except OSError:
        forsake(stream)
        return True
    return False
