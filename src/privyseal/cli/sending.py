"""Octets go to a service as an upload: the code that it shall see, and what travels beside a description.

An upload that was broken off goes on where it was, also in another run: the service knows it by its SHA-256.
"""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator

from privyseal.cli.client import Service
from privyseal.cli.pieces import Counted
from privyseal.errors import Conflict, PrivySealError, Unavailable, VerificationFailed
from privyseal.formats.protocol import Source
from privyseal.terms.canonical import canonical_json
from privyseal.terms.uploads import PARTIAL, NewUpload
from privyseal.web.views import UploadView

PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0)
"""Seconds between tries without any progress. The service lets go of a sender who fell silent after half a minute, and
until then refuses a second one."""

PIECE = 1 << 20
"""Octets read, sent or received at a time."""

_UNPRINTABLE = re.compile(r"[/\\\x00-\x1f\x7f]")


class Octets:
    """A few octets in memory as a source."""

    def __init__(self, octets: bytes, filename: str) -> None:
        """Let ``octets`` be read under a name."""
        self._octets = octets
        self.size = len(octets)
        self.filename = filename

    def pread(self, offset: int, count: int) -> bytes:
        """Return ``count`` octets from ``offset``."""
        return self._octets[offset : offset + count]

    def readinto(self, offset: int, buffer: memoryview) -> int:
        """Fill as much of ``buffer`` as there is from ``offset`` and return the count."""
        octets = self.pread(offset, len(buffer))
        buffer[: len(octets)] = octets
        return len(octets)


def send(service: Service, code: Source, sha256: str, counted: Counted) -> None:
    """Announce what is to be sent and send what is missing, again and again while it goes forward."""
    wanted = NewUpload(filename=_UNPRINTABLE.sub("_", code.filename)[:255], size=code.size, sha256=sha256)
    told, tries = 0, 0
    while True:
        view = service.post(service.path("uploads"), canonical_json(wanted), sha256).read(UploadView)
        if not 0 <= view.offset <= code.size:
            raise VerificationFailed("The service says that it has more of the file than there is.")
        if view.offset > told:
            counted(view.offset - told)
            told, tries = view.offset, 0
        if view.complete:
            return
        try:
            return _append(service, view, code, counted)
        except (Conflict, Unavailable, OSError, http.client.HTTPException) as error:
            if tries == len(PAUSES):
                raise error if isinstance(error, PrivySealError) else service.unreachable(error) from error
            service.sleep(PAUSES[tries])
            tries += 1


def _append(service: Service, view: UploadView, code: Source, counted: Counted) -> None:
    headers = {
        "Content-Type": PARTIAL,
        "Upload-Offset": str(view.offset),
        "Upload-Complete": "?1",
        "Content-Length": str(code.size - view.offset),
    }
    with service.opened("PATCH", service.path("uploads", view.id), headers, read_from(code, view.offset)) as answer:
        answer.read()
    counted(code.size - view.offset)


def read_from(code: Source, at: int) -> Iterator[bytes]:
    """Yield the content from ``at`` on, a piece at a time."""
    while at < code.size:
        count = min(PIECE, code.size - at)
        yield code.pread(at, count)
        at += count
