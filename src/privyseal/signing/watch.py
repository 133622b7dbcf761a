"""Who looks on while the walks work: told of steps, batches and signatures, and of nothing that is in them."""

from __future__ import annotations


class Watch:
    """Looks on and tells nobody; ``web/metrics.py`` counts. Called from many threads; must be quick and never raise."""

    def step(self, name: str, items: int, seconds: float) -> None:
        """Hear that one step of a batch of ``items`` took so many seconds, well or not."""

    def scanned(self, scanner: str, outcome: str, seconds: float) -> None:
        """Hear that a scanner looked at one file: ``clean``, ``outdated``, or an error's code."""

    def signed(self, scheme: str, outcome: str, count: int) -> None:
        """Hear that so many requests for keys of a scheme ended ``signed``, or refused with an error's code."""
