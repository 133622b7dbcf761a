"""Code that the service sees: what a client uploads for mode ``server``, and what came of it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from privyseal.terms.requests import Sha256

PARTIAL = "application/partial-upload"
"""Media type of a piece of a file (draft-ietf-httpbis-resumable-upload, "application/partial-upload")."""

FileName = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"\A[^/\\\x00-\x1f\x7f]+\Z")]
"""The last element of a path as people call it, at most as long as file systems allow. Never used as a path here."""


class NewUpload(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file that somebody is about to send, announced whole: its size and digest are known before its first octet."""

    filename: FileName
    size: Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]
    """Octets."""
    sha256: Sha256


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """A file on its way in, or there."""

    id: str
    subscriber: str
    sha256: str
    size: int
    filename: str
    complete: bool
    """Whether every octet is there and its SHA-256 was found to be the one announced."""
    expires: datetime
    """When it is deleted unless a request needs it; every octet that comes puts it off."""


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """The file of one request in mode ``server``: what goes in, and once it is signed what comes out."""

    request: str
    subscriber: str
    upload: str
    filename: str
    sha256: str | None = None
    """Of the finished file, lower-case hex; None until it is finished."""
    size: int | None = None
    expires: datetime | None = None
    """When the finished file is deleted."""
