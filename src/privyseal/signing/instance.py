"""One running service: its records, the doors to its guarded processes, its clock."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from privyseal.records.database import Records
from privyseal.strongroom.client import LoggerClient, SignerClient, StamperClient
from privyseal.terms.parties import SigningService

REFUSALS_OF_THE_MARK = 64
"""Tries to match the signer's mark; each failure means that another walk was quicker, and it made progress. Several
nodes with two walks each are often at it together, and whoever gives up leaves a request that must be aborted."""


def wall_clock() -> datetime:
    """Return the time of day, UTC."""
    return datetime.now(UTC)


class PrivySeal:
    """One running service. It holds no key; whatever it holds may be thrown away and built again from the records."""

    # One argument for each part of the service: bundling them would only hide what it is made of.
    def __init__(  # noqa: PLR0913
        self,
        service: SigningService,
        records: Records,
        logger: LoggerClient,
        signer: SignerClient,
        stamper: StamperClient,
        *,
        clock: Callable[[], datetime] = wall_clock,
        draw: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """Bind the parts of one service; tests turn ``clock`` and break the doors."""
        self.service = service
        self.records = records
        self.logger = logger
        self.signer = signer
        self.stamper = stamper
        self.clock = clock
        self.draw = draw
        self._mark_guard = threading.Lock()
        self._signer_mark = 0

    @property
    def signer_mark(self) -> int:
        """Size of the newest head the signer is known to have seen: the logger must prove consistency from it."""
        with self._mark_guard:
            return self._signer_mark

    def learn_signer_mark(self, mark: int) -> None:
        """Remember what the signer said of its own mark."""
        with self._mark_guard:
            self._signer_mark = mark
