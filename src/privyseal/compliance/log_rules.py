"""Whether the log is whole and watched, judged on what the service recorded of it."""

from __future__ import annotations

from datetime import datetime, timedelta

from privyseal.compliance.outcome import Outcome, met, not_evidenced, not_met
from privyseal.compliance.requirement import Asked
from privyseal.compliance.subjects import LogRecord

EVERY = timedelta(days=31)
"""How often the integrity of logs is checked at the least (NSR 3.1.2)."""


def watched(log: LogRecord, asked: Asked) -> Outcome:
    """Judge whether no more than 31 days lie between two checks of the log, up to now (NSR 3.1.2)."""
    done = sorted(each for each in log.checks or () if each <= asked.at)
    if not done:
        return not_evidenced(
            "No check of the whole log is recorded.", "let the service run: it checks its log once a week"
        )
    begun = done[0] if log.begun is None else min(log.begun, done[0])
    for before, after in zip([begun, *done], [*done, asked.at], strict=True):
        if after - before > EVERY:
            return not_met(
                f"From {_moment(before)} to {_moment(after)}, more than 31 days, the log was not checked.",
                "have it checked every 31 days at least",
            )
    return met(f"The log was last checked on {_moment(done[-1])}, and never more than 31 days went by.")


def kept(log: LogRecord, asked: Asked) -> Outcome:
    """Judge whether what was logged on keys and signatures is all there (HOUSE 5.4.3)."""
    lost = [each for each in log.losses or () if each.missing and each.at <= asked.at]
    if lost:
        newest = max(lost, key=lambda each: each.at)
        return not_met(
            f"An operator gave up {newest.missing} records on {_moment(newest.at)}.",
            "restore them from a backup, if there is one",
        )
    if log.whole_at is None or log.losses is None:
        return not_evidenced(
            "The records have not been held against the log.", "start the service: it does so by itself"
        )
    since = "" if log.begun is None else f" since {_moment(log.begun)}"
    return met(
        f"Nothing{since} was deleted: on {_moment(log.whole_at)} the records had all that the log holds of them."
    )


def _moment(when: datetime) -> str:
    return when.strftime("%Y-%m-%d %H:%M:%S UTC")
