"""Many cases of one property in one test: each can fail, and all that do are told, by name.

A parametrised test costs every process of tests some milliseconds a case to collect it, to set it up and to report it,
which for thousands of cases that last less is most of what they cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Case = Callable[[object], AbstractContextManager[None]]
"""Begins a case, given what it is called."""


@contextmanager
def every() -> Iterator[Case]:
    """Give what begins a case; after the block, raise ExceptionGroup with what failed, each with its case's name."""
    failed: list[Exception] = []

    @contextmanager
    def case(name: object) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            error.add_note(f"in the case {name}")
            if not isinstance(error, Exception):  # told to stop, such as by the limit of time
                raise
            failed.append(error)

    yield case
    if failed:
        raise ExceptionGroup("not in every case", failed)
