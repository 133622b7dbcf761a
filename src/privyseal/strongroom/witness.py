"""The witness: it cosigns heads of the logs it knows, each only as an extension of the last one.

It is a process for itself, best on another machine and with another operator: it knows no service, no database
and no entries, only a key, the logs' verifier keys, and one head for each log. That head is on the disk, in two
files that should be on two disks, before a cosignature leaves. Of two that differ the larger is true: a crash
fell between them, or one disk was put back. Where both are put back the witness cannot know it by itself; the
published heads carry its later cosignatures, and it stops for a log as soon as it is shown one of them.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from privyseal.errors import LogRolledBack, LogUnavailable
from privyseal.strongroom.mark import Mark, MarkFile
from privyseal.tlog.log import Head
from privyseal.tlog.note import Signer, Verifier
from privyseal.tlog.witness import ROLLED_BACK, Answer, cosign, judge, refusal


class Record(NamedTuple):
    """Where the latest head of one log is kept, twice."""

    files: tuple[MarkFile, MarkFile]

    @staticmethod
    def places(directories: tuple[Path, Path], origin: str) -> tuple[Path, Path]:
        """Name the two files of a log; origins are no file names."""
        name = hashlib.sha256(origin.encode("utf-8")).hexdigest()
        return directories[0] / name, directories[1] / name

    @classmethod
    def open(cls, directories: tuple[Path, Path], origin: str) -> Record:
        """Open both files; LogRolledBack if one is missing, because then it is not known what was cosigned."""
        first, second = cls.places(directories, origin)
        return cls((MarkFile(first), MarkFile(second)))

    def read(self) -> Head:
        """Return the latest head; LogRolledBack if the files hold two of one size."""
        marks = [file.read() for file in self.files]
        if marks[0].number == marks[1].number and marks[0].digest != marks[1].digest:
            raise LogRolledBack(
                f"The two records of one log hold different heads of {marks[0].number} entries.",
                hint="restore them from what this witness last wrote; nothing is cosigned until then",
            )
        latest = max(marks)
        return Head(latest.number, latest.digest)

    def write(self, head: Head) -> None:
        """Make a new latest head durable in both files; LogUnavailable if it may not be."""
        for file in self.files:
            file.raise_to(Mark(head.size, head.root))

    @property
    def lost(self) -> bool:
        """Tell whether a sync failed."""
        return any(file.lost for file in self.files)


class Witness:
    """Answers add-checkpoint; safe to call from several threads. ``_guard`` owns the records and ``_latest``."""

    def __init__(
        self,
        signer: Signer,
        logs: Sequence[Verifier],
        directories: tuple[Path, Path],
        clock: Callable[[], datetime],
        note: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Open the records of all logs; LogRolledBack if one is missing or contradicts itself."""
        self._signer = signer
        self._logs = {log.name: log for log in logs}
        self._clock = clock
        self._note = note
        self._guard = threading.Lock()
        self._records = {origin: Record.open(directories, origin) for origin in self._logs}
        self._latest = {origin: record.read() for origin, record in self._records.items()}

    @property
    def lost(self) -> bool:
        """Tell whether a sync failed, so that this process must end."""
        return any(record.lost for record in self._records.values())

    def add_checkpoint(self, octets: bytes) -> Answer:
        """Answer one request: cosign the head in it, or say why not."""
        with self._guard:  # check and persist are one step (tlog-witness)
            judged = judge(octets, self._logs, self._latest, self._signer.verifier)
            if isinstance(judged, Answer):
                if judged.status == ROLLED_BACK:
                    self._note(judged.body.decode("utf-8").strip())
                return judged
            if judged.head != self._latest[judged.origin]:
                try:
                    self._records[judged.origin].write(judged.head)
                except LogUnavailable as error:
                    self._note(str(error))
                    return refusal(ROLLED_BACK, "This witness cannot write its record.")
                self._latest[judged.origin] = judged.head
        return Answer(200, cosign(judged.body, int(self._clock().timestamp()), self._signer))

    def latest(self, origin: str) -> Head:
        """Return the head last cosigned of a log that is known here."""
        with self._guard:
            return self._latest[origin]

    def close(self) -> None:
        """Close the records."""
        with self._guard:
            for record in self._records.values():
                for file in record.files:
                    file.close()
