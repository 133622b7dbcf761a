"""Hearing from other nodes that a request changed: one thread on one connection that LISTENs.

It needs a URL of its own, for a pooler in transaction mode keeps no session that could be told anything. What is missed
while it is not connected is missed: whoever waits looks again now and then anyway, and after each new connection
everybody is told to look.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from sqlalchemy.engine import make_url

from privyseal.records.dialect import Tell
from privyseal.records.postgresql import CHANNEL, CONNECT_LIMIT_S

if TYPE_CHECKING:
    import psycopg

PAUSE_S = 1.0
"""Seconds between two looks whether to stop, and before connecting again."""

_log = logging.getLogger("privyseal.records")


class Listener:
    """Tells ``tell`` what other processes announced, until it is closed."""

    def __init__(self, url: str, tell: Tell) -> None:
        """Listen on the server at a SQLAlchemy URL, reached directly and not through a pooler."""
        parsed = make_url(url).set(drivername="postgresql")
        self._dsn = parsed.render_as_string(hide_password=False)
        self._tell = tell
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._ending.set()
        self._thread.join(CONNECT_LIMIT_S + PAUSE_S)

    def _run(self) -> None:
        import psycopg  # only where the records are in PostgreSQL

        complained = False
        while not self._ending.is_set():
            try:
                self._listen(psycopg.connect(self._dsn, autocommit=True, connect_timeout=CONNECT_LIMIT_S))
                complained = False
            except psycopg.Error as error:
                if not complained:
                    _log.warning("listening for changed requests: %s", str(error).strip().splitlines()[0])
                complained = True
                self._ending.wait(PAUSE_S)

    def _listen(self, connection: psycopg.Connection) -> None:
        with connection:
            connection.execute(f"LISTEN {CHANNEL}")
            self._tell(None)
            while not self._ending.is_set():
                for notice in connection.notifies(timeout=PAUSE_S):
                    self._tell(notice.payload.split(","))
