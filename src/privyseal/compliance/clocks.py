"""Every duty that has a clock: from facts and a moment to what is due, the worst first.

The clocks themselves are in ``clocks_incidents``, ``clocks_audits``, ``clocks_networks``, ``clocks_records``,
``clocks_renewals`` and ``clocks_timestamps``; how one is read is in ``due``, and how months are counted in ``spans``.
Pure: facts and moment are handed in. All moments are compared in UTC, so no summer time and no server's time zone moves
a deadline, and no clock sleeps at night or at weekends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from privyseal.compliance import (
    clocks_audits,
    clocks_incidents,
    clocks_networks,
    clocks_records,
    clocks_renewals,
    clocks_timestamps,
)
from privyseal.compliance.due import URGENCY, Clock, Due, State, read
from privyseal.compliance.duty_facts import DutyFacts

_LAST = datetime(9999, 12, 31, tzinfo=UTC)


def dues(facts: DutyFacts, at: datetime) -> list[Due]:
    """Return every duty that the facts start, as it stands at ``at`` (aware): the worst first, then the next due.

    A duty whose clause did not bind then is left out.
    """
    found = [due for clock in _clocks(facts, at) if (due := read(clock, at, facts.choices)) is not None]
    found += clocks_records.records_due(facts, at)
    return sorted(found, key=lambda due: (URGENCY[due.state], due.due or _LAST, due.requirement, due.whom))


def _clocks(facts: DutyFacts, at: datetime) -> Iterator[Clock]:
    yield from clocks_incidents.of_incidents(facts, at)
    yield from clocks_records.of_proofs(facts)
    yield from clocks_records.of_modules(facts)
    yield from clocks_renewals.of_renewals(facts)
    yield from clocks_timestamps.of_timestamp_keys(facts)
    yield from clocks_audits.of_audits(facts, at)
    yield from clocks_networks.of_networks(facts, at)


def gauges(found: Iterable[Due]) -> dict[tuple[str, str], int]:
    """Count duties by requirement and state, for a gauge ``privyseal_duties{requirement, state}``.

    Every state that a requirement can be in is there, with 0 where it has none: a series that vanishes when it should
    fall to 0 never ends an alarm. No name of a Subscriber, CA or member is a label.
    """
    counted: dict[tuple[str, str], int] = {}
    for due in found:
        for state in State:
            counted.setdefault((due.requirement, state.value), 0)
        counted[due.requirement, due.state.value] += 1
    return counted
