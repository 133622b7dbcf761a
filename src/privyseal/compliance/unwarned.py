"""Reading odd things without warnings: what ``cryptography`` warns of, a linter is asked about."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def unwarned() -> Iterator[None]:
    """Keep ``cryptography``'s warnings (a country of eight letters, a serial number of zero) off stderr.

    Python's filters belong to the process (before 3.14), so a thread that warns at this moment is not heard either.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
