"""One running service: its records, the doors to its guarded processes, its clock."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from privyseal.errors import PrivySealError
from privyseal.records.database import Records
from privyseal.strongroom.client import LoggerClient, SignerClient, StamperClient
from privyseal.terms.parties import SigningService

REFUSALS_OF_THE_MARK = 4
"""Tries to match the signer's mark; each failure means that another walk was quicker, and it made progress."""


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
        self._signer_mark: int | None = None

    @property
    def signer_mark(self) -> int:
        """Size of the newest head the signer is known to have seen: the logger must prove consistency from it.

        The signer is asked at the first use, so that a log which was put back is refused before anything is added to
        it; 0 while the signer does not answer.
        """
        with self._mark_guard:
            if self._signer_mark is not None:
                return self._signer_mark
        try:
            mark = self.signer.health().mark
        except PrivySealError:
            return 0
        self.learn_signer_mark(mark)
        return mark

    def learn_signer_mark(self, mark: int) -> None:
        """Remember what the signer said of its own mark."""
        with self._mark_guard:
            self._signer_mark = mark
