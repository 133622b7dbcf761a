"""How far a long run has come: a bar where stderr is a terminal, a line every ten seconds elsewhere, nothing with
``--json``."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

from privyseal.cli.output import terminal

BAR_AFTER = 0.5
"""Seconds before a bar appears, so that what is quick leaves no flicker."""

BAR_EVERY = 0.1
"""Seconds between two drawings of the bar."""

LINE_EVERY = 10.0
"""Seconds between two lines where there is no terminal (contract: manners)."""

BAR_WIDTH = 24
"""Columns of the bar, so that the counts beside it fit into 80."""


class Progress:
    """Counts files and octets of one run, from any thread, and shows them. Use it in a ``with`` statement."""

    def __init__(
        self,
        verb: str,
        files: int,
        octets: int,
        *,
        passes: int = 1,
        shown: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Expect ``files`` files of ``octets`` octets in all, each read ``passes`` times; ``verb`` is what is done."""
        self._verb = verb
        self._files = files
        self._octets = octets * passes
        self._passes = passes
        self._clock = clock
        self._guard = threading.Lock()
        self._done_files = 0
        self._done_octets = 0
        self._started = clock()
        self._bar = shown and terminal()
        self._lines = shown and not self._bar
        self._next = self._started + (BAR_AFTER if self._bar else LINE_EVERY)
        self._drawn = False

    def __enter__(self) -> Progress:
        """Start; nothing is shown yet."""
        return self

    def __exit__(self, *_reason: object) -> None:
        """Take the bar away: what remains on the terminal are the outcomes."""
        with self._guard:
            self._bar, self._lines = self._erase(), False

    def read(self, octets: int) -> None:
        """Count octets that were read."""
        with self._guard:
            self._done_octets += octets
            self._show()

    def finished(self, octets: int = 0) -> None:
        """Count one file as dealt with, and of its octets those that nobody counted before."""
        with self._guard:
            self._done_files += 1
            self._done_octets += octets
            self._show()

    def tell(self, write: Callable[[], None]) -> None:
        """Let something write lines to stderr, with the bar out of the way."""
        with self._guard:
            self._erase()
            write()

    def _show(self) -> None:
        now = self._clock()
        if now < self._next or not (self._bar or self._lines):
            return
        if self._bar:
            sys.stderr.write("\r\x1b[K" + self.line(now, bar=True))
            self._drawn = True
            self._next = now + BAR_EVERY
        else:
            sys.stderr.write(self.line(now, bar=False) + "\n")
            self._next = now + LINE_EVERY
        sys.stderr.flush()

    def _erase(self) -> bool:
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._drawn = False
        return False

    def line(self, now: float, *, bar: bool) -> str:
        """Return what is shown at a moment of the clock: share, files, rate; never more than 80 columns."""
        spent = max(now - self._started, 1e-9)
        share = min(self._done_octets / self._octets, 1.0) if self._octets else 0.0
        full = int(share * BAR_WIDTH)
        parts = [self._verb, f"[{'#' * full}{'.' * (BAR_WIDTH - full)}] {share:4.0%}" if bar else f"{share:.0%}"]
        if self._files > 1:
            parts.append(f"{self._done_files} of {self._files} files, {self._done_files / spent:.0f}/s")
        parts.append(f"{self._done_octets / self._passes / spent / 1e6:.0f} MB/s")
        return " ".join(parts) if bar else ", ".join(parts)
