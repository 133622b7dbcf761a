"""What the API tells of timestamps: where a token is in the log."""

from __future__ import annotations

import msgspec


class TokenPlace(msgspec.Struct, frozen=True):
    """Where a token is: the log's entry about its hour, and its place in that hour's tree (RFC 6962)."""

    entry: int
    """Index of the log's entry."""
    index: int
    """The token's place in its batch, from 0."""
    path: tuple[bytes, ...]
    """Audit path from its leaf to the batch's root."""
    statement: bytes
    """The statement about the batch, canonical JSON, to which the entry commits; empty where the token has an entry of
    its own, which commits to its leaf."""
    salt: bytes
    """Opens that commitment."""
