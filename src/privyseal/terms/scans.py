"""What scanners said of an uploaded file before it was signed: part of the request, and so of what is approved."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Words = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"\A[\x20-\x7e]+\Z")]
"""One line of printable ASCII: a scanner's own words are shown to people, so nothing else of them is let in."""

ScannerName = Annotated[str, Meta(pattern=r"\A[a-z0-9][a-z0-9-]{0,31}\Z")]
"""What a scanner is called in the configuration, in requests and in metrics."""

Moment = Annotated[datetime, Meta(tz=True)]
"""A time with its zone."""

_Digest = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class Scan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What one scanner said of one file, and by what it judged. There is none that says infected: that is refused."""

    scanner: ScannerName
    engine: Words
    """The program and its version, in its own words."""
    database: Words | None = None
    """The version of its signatures or rules; None where it does not say."""
    database_time: Moment | None = None
    """When its signatures were made, by its own word; UTC, whole seconds."""
    verdict: Literal["clean", "outdated"]
    """``outdated``: nothing was found, by signatures older than allowed, and the configuration lets that pass."""
    time: Moment
    """When it was asked; UTC, whole seconds."""

    def __post_init__(self) -> None:
        """Refuse a time that could be written in more than one way; msgspec reports it as a ValidationError."""
        for moment in (self.time, self.database_time):
            if moment is not None and (moment.utcoffset() != timedelta(0) or moment.microsecond):
                raise ValueError("times of a scan must be UTC (Z) and whole seconds")

    def in_words(self) -> str:
        """Say it in one line for people."""
        by = self.engine if self.database is None else f"{self.engine}, database {self.database}"
        old = "" if self.database_time is None else f" of {self.database_time:%Y-%m-%d}"
        return f"{self.scanner}: {self.verdict} ({by}{old}), {self.time:%Y-%m-%d %H:%M:%S} UTC"


class Seen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the service saw of an uploaded file."""

    sha256: _Digest
    """Of the octets that were scanned, lower-case hex."""
    scans: tuple[Scan, ...]
    """In the order of the configuration, one for each scanner."""
