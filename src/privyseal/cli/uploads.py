"""``sign --mode server``: the file goes to the service, the signed file comes back, and is checked as in local mode.

Nothing is believed that can be computed here: the client describes the file itself and finds its own description in the
request that was signed; it knows how large the signed file must be, finds the very signature in it, and the SHA-256
that the log's completion binds.

A file that was signed before is not sent again.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import tempfile
from collections.abc import Callable, Sequence
from typing import IO

from msgspec import UNSET

from privyseal.cli import pieces, sending
from privyseal.cli.pieces import Counted, Job, Made, Opened, Pending
from privyseal.cli.requests import Requester, completed_of
from privyseal.confirm import Expected, confirm
from privyseal.errors import NotFound, PrivySealError, Unavailable, VerificationFailed
from privyseal.formats.patch import carry_out
from privyseal.formats.protocol import Copy, EmbeddedSignature, PatchPlan, Prepared, Source
from privyseal.formats.source import FileSource
from privyseal.terms.signatures import Options

PASSES = pieces.PASSES + 4
"""Times that the content goes by: as in local mode, to send it, to fetch it, to take the SHA-256 of both."""


class Sender(Requester):
    """Has signatures made by a service that sees the file. Safe to use from several threads."""

    def make_from(
        self, code: FileSource, prepared: Prepared, options: Options, counted: Counted, *, again: bool
    ) -> Made | Pending:
        """Send the file where the service does not know it, and have it signed."""
        sha256 = _sha256(code, counted)
        request = self.request(prepared, options, sha256)

        return self.ask(request, again, self.after(lambda: sending.send(self.service, code, sha256, counted)))

    # -- what comes back -----------------------------------------------------------------------------------------------
    # What a download is checked against: all that pieces.put_back is given, and what the service said.
    def fetch(  # noqa: PLR0913
        self,
        made: Made,
        opened: Opened,
        job: Job,
        options: Options,
        expected: Expected,
        counted: Counted,
        then: Callable[[Sequence[EmbeddedSignature]], None],
    ) -> tuple[EmbeddedSignature, ...]:
        """Fetch the signed file into a draft, check it as a stranger would, do ``then``, and then give it its name.

        Where the service keeps the file no longer, it is made here from the same signature, and must have the same
        SHA-256; where the service lost the upload before it could make the file, there is none to compare with.
        VerificationFailed where it is not as expected; after any error the target is as it was.
        """
        plan = opened.format.apply(opened.code, expected.prepared, options, expected.blobs)
        found: list[tuple[EmbeddedSignature, ...]] = []
        folder = os.path.dirname(os.path.realpath(job.out))
        with tempfile.TemporaryFile(dir=folder, prefix=".", suffix=".privyseal") as draft:
            try:
                self._download(made, plan.size, draft, counted)
                whole = PatchPlan((Copy(0, plan.size),))
                source = FileSource(os.dup(draft.fileno()), opened.code.filename)
                source.mode = opened.code.mode
            except NotFound:
                whole, source = plan, opened.code

            def follow(written: Source) -> None:
                found.append(confirm(opened.format, written, expected))
                bound = None if made.receipt is None else completed_of(made.receipt).files
                made_here = whole is plan and bound is UNSET
                if not made_here and bound != (_sha256(written, counted),):
                    raise VerificationFailed("The signed file is not the one that the log's completion binds.")
                then(found[0])

            try:
                carry_out(whole, source, job.out, follow=follow, settled=False)
            finally:
                if source is not opened.code:
                    source.close()
        return found[0]

    def _download(self, made: Made, size: int, draft: IO[bytes], counted: Counted) -> None:
        """Read the signed file into ``draft``, going on where a broken connection left it."""
        at, tries = 0, 0
        path = self.service.path("requests", made.request or "", "files", "0")
        while True:
            try:
                with self.service.opened("GET", path, {"Range": f"bytes={at}-"} if at else {}) as answer:
                    if at and answer.status != 206:
                        at = 0
                    draft.seek(at)
                    while octets := answer.read(sending.PIECE):
                        at, tries = at + len(octets), 0
                        if at > size:
                            raise VerificationFailed("The service sent more than the signed file can have.")
                        draft.write(octets)
                        counted(len(octets))
                    draft.flush()
                if at == size:
                    return
                raise Unavailable(f"The signed file ended at {at} of {size} octets.", hint="run this again")
            except (Unavailable, OSError, http.client.HTTPException) as error:
                if tries == len(sending.PAUSES):
                    raise error if isinstance(error, PrivySealError) else self.service.unreachable(error) from error
                self.service.sleep(sending.PAUSES[tries])
                tries += 1


def _sha256(code: Source, counted: Counted) -> str:
    """Return the SHA-256 of the content, lower-case hex."""
    hashed = hashlib.sha256()
    for octets in sending.read_from(code, 0):
        hashed.update(octets)
        counted(len(octets))
    return hashed.hexdigest()
