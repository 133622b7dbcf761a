"""The clocks of timestamp keys: another one is made in time, and the old one leaves its module (CSBR 6.3.2).

A key signs for 15 months after its certificate's notBefore, or until the certificate's end. The stamper stops by
itself, so that nothing is broken then, but no timestamps are given. Where the certificate is for longer than that, the
key has left its module 18 months after the issue, removed before two witnesses.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from privyseal.compliance.due import Clock
from privyseal.compliance.duty_facts import DutyFacts, TimestampKey
from privyseal.compliance.periods import months_after
from privyseal.compliance.requirements.csbr_6_3_2_tokens import USE_MONTHS

REMOVED_MONTHS = 18
"""CSBR 6.3.2: a timestamp key has left its module so long after its certificate was issued."""
RENEW_BEFORE = timedelta(days=60)
"""House rule: a CA whose keys are offline issues in a ceremony, for which people have to be found."""


def of_timestamp_keys(facts: DutyFacts) -> Iterator[Clock]:
    """Yield until when each key has to be followed by another one, and until when it has to be gone."""
    for each in facts.timestamp_keys:
        yield _followed(each)
        if each.issued_at is None or each.ends_at is None or must_go(each.issued_at, each.ends_at):
            yield _removed(each)


def signs_until(issued: datetime, ends: datetime) -> datetime:
    """Return the last moment at which a key may sign."""
    return min(months_after(issued, USE_MONTHS), ends)


def must_go(issued: datetime, ends: datetime) -> bool:
    """Tell whether a key has to be removed: its certificate, both ends counted, is for more than 15 months."""
    return ends >= months_after(issued, USE_MONTHS)


def _followed(key: TimestampKey) -> Clock:
    due = None if key.issued_at is None or key.ends_at is None else signs_until(key.issued_at, key.ends_at)
    return Clock(
        requirement="CSBR-6.3.2-04",
        what="make a new timestamp key: privyseal tsa renew",
        whom=key.key,
        starts=key.issued_at,
        warning=None if due is None else due - RENEW_BEFORE,
        due=due,
        done=key.followed_at,
        note="Without one no timestamps are given from then on." if key.followed_at is None else "",
        unknown="It is not known from when to when its certificate is good.",
        permission=True,
    )


def _removed(key: TimestampKey) -> Clock:
    known = key.issued_at is not None and key.ends_at is not None
    return Clock(
        requirement="CSBR-6.3.2-05",
        what="remove the timestamp key before two witnesses: privyseal tsa remove-key",
        whom=key.key,
        starts=key.issued_at,
        warning=signs_until(key.issued_at, key.ends_at) if key.issued_at and key.ends_at else None,
        due=months_after(key.issued_at, REMOVED_MONTHS) if known and key.issued_at else None,
        done=key.removed_at,
        unknown="It is not known from when to when its certificate is good.",
    )
