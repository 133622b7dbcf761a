"""The house checks its own log, whole and from its public files, well within the 31 days that NSR 3.1.2 allows.

It does what ``privyseal log fsck`` does: every entry, every tile, the signed head. A check that finds nothing wrong is
written down with its time, the log's size and its root. One that finds something is told and not written down, so that
it is done again with the next evaluation; whether the log is sound is then for people to find out.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count, islice

from privyseal.compliance.requirement import Kind
from privyseal.errors import LogUnavailable, VerificationFailed
from privyseal.records import findings
from privyseal.records.findings import Progress
from privyseal.signing.instance import PrivySeal
from privyseal.tlog.audit import fsck
from privyseal.tlog.policy import Policy
from privyseal.tlog.tiles import Read
from privyseal.tlog.tilestore import CHECKPOINT

EVERY = timedelta(days=7)
"""How often the log is checked: four times within the 31 days, so that one that falls out does no harm."""

FILES = 8
"""Files after which whoever signs has the processor: 1,024 entries and their tiles, some 30 ms."""

MOST_NAMED = 3
"""Findings that are told of a log that is not sound; ``privyseal log fsck`` tells all."""


def due(seal: PrivySeal, at: datetime) -> bool:
    """Tell whether the last check is as long ago as :data:`EVERY`, or was never."""
    with seal.records.reading_all_subscribers() as connection:
        last = findings.progress_of_all_subscribers(connection, Kind.LOG)
    return last is None or at - last.at >= EVERY


def check(seal: PrivySeal, at: datetime, *, breathe: Callable[[], object] = lambda: None) -> bool:
    """Check the log if that is due; return whether it was. VerificationFailed where something is wrong with it.

    ``breathe`` is called after each :data:`FILES`. Where another node was quicker: Conflict.
    """
    if seal.recollection is None or seal.recollection.policy is None or not due(seal, at):
        return False
    size, root = whole(seal.recollection.read, seal.recollection.policy, breathe)
    with seal.records.reading_all_subscribers() as connection:
        last = findings.progress_of_all_subscribers(connection, Kind.LOG)
    after = 0 if last is None else last.id
    done = Progress(id=after, event=size, basis=root.hex(), begun=at, at=at)
    with seal.records.batch() as batch:
        findings.note_progress_of_all_subscribers(batch.across_subscribers(), Kind.LOG, done)
    return True


def whole(read: Read, policy: Policy, breathe: Callable[[], object]) -> tuple[int, bytes]:
    """Read the whole log; return its size and root, or raise VerificationFailed with what is wrong."""
    note = read(CHECKPOINT)
    if note is None:
        raise LogUnavailable("The log has no published head.")
    head = policy.check(note).checkpoint

    read_so_far = count()

    def reading(path: str) -> bytes | None:
        if next(read_so_far) % FILES == 0:
            breathe()
        return read(path)

    wrong = (each for each in fsck(reading, note, policy.logs[0].key) if each.severity == "problem")
    if found := list(islice(wrong, MOST_NAMED)):
        texts = " ".join(each.text for each in found)
        raise VerificationFailed(f"The log is not whole: {texts}", hint="privyseal log fsck says more")
    return head.size, head.root
