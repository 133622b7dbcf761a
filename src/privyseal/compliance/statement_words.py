"""What all statements are made of: names, notes, digests, and of whom or what they speak."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

MOST_REQUIREMENTS = 100
"""Requirements that one document is for; an audit report names them all at once by being of its kind."""
Name = Annotated[str, Meta(min_length=1, max_length=200)]
"""What somebody or something is called, as a document has it."""
Note = Annotated[str, Meta(min_length=1, max_length=2000)]
"""A few sentences."""
Digest = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
"""SHA-256, 64 lower-case hex digits."""
Ids = Annotated[tuple[Name, ...], Meta(max_length=MOST_REQUIREMENTS)]
"""Requirements by id (``CSBR-8.4.2-01``), or a whole clause as it is cited (``CSBR 8.4.2``)."""
About = Annotated[str, Meta(pattern=r"\A(service|subscriber:[a-z0-9][a-z0-9-]{0,62}|key:[0-9a-f]{64})\Z")]
"""Of whom or what a document speaks: the Signing Service, one Subscriber, or one Key Pair by its key id."""
Topic = Literal[
    "evidence",
    "review",
    "declaration",
    "choice",
    "finding",
    "override",
    "administration",
    "agreement",
    "standing",
    "access",
    "party",
    "notice",
    "certificate",
    "key",
    "clock",
    "timestamp",
]
"""What the log's entry says that a statement is about."""
