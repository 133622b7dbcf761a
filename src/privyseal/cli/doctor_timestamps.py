"""What ``privyseal doctor`` finds about the timestamp keys in the stamper's room: which to follow, which to remove."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from privyseal.cli.diagnosis import Diagnosis, State
from privyseal.compliance.clocks_timestamps import REMOVED_MONTHS, RENEW_BEFORE, must_go, signs_until
from privyseal.compliance.periods import months_after
from privyseal.errors import PrivySealError
from privyseal.pki import certificates
from privyseal.strongroom import renewal_of_stampers as renewal


def timestamp_keys(directory: Path, now: datetime) -> Iterator[Diagnosis]:
    """Look at each key that is in the store still, and at one that waits for its certificate."""
    room = directory / "stamper"
    try:
        for each in renewal.keys(room):
            own = certificates.read(each.chain[0])
            state, words = (_in_use if each.in_use else _former)(own.not_before, own.not_after, now)
            yield Diagnosis("timestamp key", state, f"{own.key_id[:16]} {words}")
        if (waits := renewal.waiting(room, lambda: now)) is not None:
            words = "waits for its certificate: privyseal tsa install, or tsa cancel"
            yield Diagnosis("timestamp key", "weak", f"{waits.key_id[:16]} {words}")
    except (PrivySealError, OSError) as error:
        why = error.detail if isinstance(error, PrivySealError) else str(error.strerror)
        yield Diagnosis("timestamp key", "bad", why)


def _in_use(issued: datetime, ends: datetime, now: datetime) -> tuple[State, str]:
    until = signs_until(issued, ends)
    if now >= until:
        return "bad", f"signs no more since {until:%Y-%m-%d} (CSBR 6.3.2): privyseal tsa renew"
    if now >= until - RENEW_BEFORE:
        return "weak", f"signs until {until:%Y-%m-%d} only: privyseal tsa renew"
    return "good", f"signs until {until:%Y-%m-%d}"


def _former(issued: datetime, ends: datetime, now: datetime) -> tuple[State, str]:
    deadline = months_after(issued, REMOVED_MONTHS)
    if not must_go(issued, ends):
        return "good", "signs no more, and no day is set for its removal"
    if now > deadline:
        return "bad", f"had to be removed by {deadline:%Y-%m-%d} (CSBR 6.3.2): privyseal tsa remove-key"
    if now >= signs_until(issued, ends):
        return "weak", f"is to be removed before two witnesses by {deadline:%Y-%m-%d}: privyseal tsa remove-key"
    return "good", f"signs no more, and is to be removed by {deadline:%Y-%m-%d}"
