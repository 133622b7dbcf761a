"""Where a timestamp authority is: plain data, for profiles that are read before anything is asked."""

from __future__ import annotations

import msgspec


class Address(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One authority, as it is configured."""

    url: str
    policy: str | None = None
    """A dotted OID to insist on."""
    every_s: float = 0.0
    """Seconds that its operator wants between two requests; Sectigo asks scripts for 15."""

    @property
    def host(self) -> str:
        """The authority's host, to be shown; the URL itself may hold credentials."""
        from urllib.parse import urlsplit  # 4 ms, for who has an authority

        try:
            return urlsplit(self.url).hostname or "the timestamp authority"
        except ValueError:
            return "the timestamp authority"

    def __repr__(self) -> str:
        """Show no credentials."""
        return f"Address({self.host!r})"
