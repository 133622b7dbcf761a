"""Who waits for which request: woken when it changes, on this node or on another one, and else after a pause.

All state belongs to the event loop; only :meth:`Waiters.tell` may be called from other threads.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence


class Waiters:
    """Coroutines that wait for requests, by the request's id."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    async def wait(self, request_id: str, seconds: float) -> None:
        """Return when the request changed, or after so long."""
        self._loop = asyncio.get_running_loop()
        woken = self._loop.create_future()
        mine = self._waiting.setdefault(request_id, set())
        mine.add(woken)
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(woken, seconds)
        finally:
            mine.discard(woken)
            if not mine and self._waiting.get(request_id) is mine:
                del self._waiting[request_id]

    def tell(self, changed: Sequence[str] | None) -> None:
        """Wake who waits for one of these requests, or everybody where it is not known which changed."""
        loop = self._loop
        if loop is not None:  # else nobody has ever waited
            with contextlib.suppress(RuntimeError):  # the loop has closed, and nobody waits any more
                loop.call_soon_threadsafe(self.wake, changed)

    def wake(self, changed: Sequence[str] | None) -> None:
        """Do what :meth:`tell` asks, on the event loop."""
        for request_id in list(self._waiting) if changed is None else changed:
            for woken in self._waiting.get(request_id, ()):
                if not woken.done():
                    woken.set_result(None)
