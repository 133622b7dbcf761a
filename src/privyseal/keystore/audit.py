"""What a cloud's own audit log says of the use of our keys, to be held against what we have on record.

CSBR 6.2.7.3: a cloud-based module counts only with its audit logging on. A key store that has such a log answers here;
one that has none, a token or a file, says so by Misused.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from msgspec import Struct


class AuditLog(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A cloud's audit log, as its own API describes it at this moment."""

    source: str
    """Which one, as its owner would look for it, such as the ARN of a trail."""
    on: bool
    """Whether the use of keys is being written to it now."""
    gaps: tuple[str, ...] = ()
    """What is left out of it, a sentence each; none: everything that is done with keys is in it."""
    complete_until: datetime
    """Before which moment everything has arrived, by the provider's word; what is younger may still be missing."""


class Counted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often one home's audit log says that each key signed, from ``since`` on and before ``until``."""

    home: str
    log: AuditLog
    signed: dict[str, int]
    """By the key's URI: uses that succeeded, whoever asked for them."""


class AuditTrail(Protocol):
    """A key store that is logged by somebody else than us."""

    def audit(self, uris: Sequence[str], since: datetime, until: datetime) -> tuple[Counted, ...]:
        """Ask each home of these keys what its audit log says of them; KeyStoreUnavailable where that cannot be had.

        Misused where the settings of a home do not say where its log is, or it has none.
        """
        ...
