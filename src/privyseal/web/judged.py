"""What the Requirements say of this service, in numbers: findings that hold, and duties by how they stand.

The labels are verdicts, kinds, requirements and states, which the program knows all of; no name of anybody. What is
read is remembered for a while, and findings are counted again only when there are newer ones, so a scraper that asks
often costs no more than one that asks twice a minute.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily, Metric

from privyseal.compliance.clocks import dues, gauges
from privyseal.compliance.outcome import Verdict
from privyseal.compliance.renewal import counted
from privyseal.compliance.requirement import Kind
from privyseal.errors import PrivySealError
from privyseal.records import findings, health
from privyseal.signing import renewals
from privyseal.signing.instance import PrivySeal
from privyseal.signing.recorded_duties import facts_of_all_subscribers

REMEMBERED_S = 30.0
"""Seconds between two looks into the records."""

_TOLD = tuple(each.value for each in Verdict if each is not Verdict.NOT_APPLICABLE)

_WALKED = (Kind.KEY_PAIR, Kind.CERTIFICATE, Kind.SIGNATURE)


class Judged:
    """Reads what was found, in whatever thread it is asked."""

    def __init__(self, seal: PrivySeal, tick: Callable[[], float] = time.monotonic) -> None:
        """Read the records of ``seal``; ``tick`` tells the seconds that pass."""
        self._seal = seal
        self._tick = tick
        self._guard = threading.Lock()
        self._read_at: float | None = None
        self._newest = -1
        self._findings: dict[tuple[str, ...], int] = {}
        self._duties: dict[tuple[str, ...], int] = {}
        self._renewals: dict[tuple[str, ...], int] = {}
        self._health: dict[tuple[str, ...], int] = {}
        self._evaluated: float | None = None

    def families(self) -> Iterator[Metric]:
        """Yield the gauges; nothing where the records cannot be read, for old numbers would look like new ones."""
        with self._guard:
            try:
                self._refresh()
            except PrivySealError:
                self._read_at = None
                return
            planned, probed = self._renewals, self._health
            found, duties, evaluated = self._findings, self._duties, self._evaluated
        yield _gauge("privyseal_findings", "Findings on requirements that hold.", ("kind", "verdict"), found)
        yield _gauge("privyseal_renewals", "Keys in use, by how their next certificate stands.", ("stage",), planned)
        yield _gauge("privyseal_keys_probed", "Active keys, by what came of their last probe.", ("outcome",), probed)
        yield _gauge("privyseal_duties", "Duties with a clock, by how they stand.", ("requirement", "state"), duties)
        if evaluated is not None:
            name, about = "privyseal_findings_timestamp_seconds", "When an evaluation last had something to judge."
            yield GaugeMetricFamily(name, about, value=evaluated)

    def _refresh(self) -> None:
        now = self._tick()
        if self._read_at is not None and now - self._read_at < REMEMBERED_S:
            return
        at = self._seal.clock()
        with self._seal.records.reading_all_subscribers() as connection:
            newest = findings.newest_of_all_subscribers(connection)
            if newest != self._newest:
                self._findings = _with_zeros(findings.counts_of_all_subscribers(connection))
                self._newest = newest
            facts = facts_of_all_subscribers(connection, self._seal.service.name, at)
            plans = renewals.plans_of_all_subscribers(self._seal, connection)
            probed = health.counts_of_all_subscribers(connection)
            last = [findings.progress_of_all_subscribers(connection, kind) for kind in _WALKED]
        self._renewals = {(stage,): number for stage, number in counted(plans).items()}
        self._health = {(outcome,): number for outcome, number in probed.items()}
        self._duties = dict(gauges(dues(facts, at)).items())
        self._evaluated = max((each.at.timestamp() for each in last if each is not None), default=None)
        self._read_at = now


def _with_zeros(found: dict[tuple[Kind, Verdict], int]) -> dict[tuple[str, ...], int]:
    """Return the counts with every verdict of each kind: an alarm ends where a series falls to 0, not where it ends."""
    zeros: dict[tuple[str, ...], int] = {(kind.value, verdict): 0 for kind, _ in found for verdict in _TOLD}
    return zeros | {(kind.value, verdict.value): count for (kind, verdict), count in found.items()}


def _gauge(name: str, about: str, labels: tuple[str, ...], numbers: Mapping[tuple[str, ...], int]) -> Metric:
    family = GaugeMetricFamily(name, about, labels=labels)
    for values, count in sorted(numbers.items()):
        family.add_metric(values, count)
    return family
