"""What a database must be able to do to be the home of the records: one class for each kind."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError

from privyseal.errors import PrivySealError

ALL_SUBSCRIBERS = "*"
"""The tenant of the few transactions that look across; no Subscriber can be called so."""

Tell = Callable[[Sequence[str] | None], None]
"""Takes the ids of requests whose state changed, or None where any may have."""

CREDENTIALS = "credentials"
"""Told in the place of a request's id where a credential ended: whoever remembers one asks the records again."""


class Dialect(Protocol):
    """One kind of database. Its methods take an open connection and keep nothing themselves."""

    shared: bool
    """Whether several ``serve`` processes may work on one such database."""

    def engine(self, url: URL) -> Engine:
        """Prepare to connect. A connection's option ``privyseal_writes`` says whether its transactions may write, and
        ``privyseal_tenant`` for whom they are, or ``privyseal_across`` that they are for all."""
        ...

    def writers(self, engine: Engine) -> Engine:
        """Return the engine for transactions that write: ``engine`` itself, or one like it to the same database."""
        ...

    # An item is ``alone`` where nothing was done in its transaction before it: to undo it then is to begin anew.
    def open_item(self, connection: Connection, subscriber: str, *, first: bool, alone: bool) -> None:
        """Begin what can be undone, for one Subscriber, with a savepoint ``item`` or, if ``alone``, without one.

        Unless ``first``, an item was closed before.
        """
        ...

    def close_item(self, connection: Connection, *, alone: bool) -> None:
        """Keep what was done since it was opened."""
        ...

    def undo_item(self, connection: Connection, *, alone: bool) -> None:
        """Undo what was done since it was opened, and take the savepoint away."""
        ...

    def look_across(self, connection: Connection) -> None:
        """Let the transaction see the rows of all Subscribers from here on."""
        ...

    def announce(self, connection: Connection, requests: Sequence[str]) -> None:
        """Tell other processes, when this transaction is committed, that these requests changed their state."""
        ...

    def require_whole(self, connection: Connection) -> None:
        """Raise Unavailable where a commit would silently write nothing."""
        ...

    def error(self, error: DBAPIError) -> PrivySealError:
        """Say in a sentence what the database refused."""
        ...

    def require_fit(self, connection: Connection, tables: Collection[str]) -> None:
        """Raise where this database would lose or show what it must not: Misused, or Unavailable if it may pass."""
        ...

    def weaknesses(self, connection: Connection) -> list[str]:
        """Say in a sentence each what works but is not for production."""
        ...
