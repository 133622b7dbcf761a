"""Findings and duties as gauges: what holds is counted as the lists have it, seldom, and without anybody's name."""

from __future__ import annotations

import random
from collections import Counter
from datetime import timedelta

import pytest
from prometheus_client.core import Metric
from tests.web.house import NOW, House
from tests.web.test_findings_api import kept

from privyseal.compliance.outcome import Verdict
from privyseal.compliance.requirement import Kind
from privyseal.errors import Unavailable
from privyseal.records import findings
from privyseal.records.findings import Kept, Progress
from privyseal.web.judged import REMEMBERED_S, Judged


def read(judged: Judged, name: str) -> dict[tuple[str, ...], float]:
    """Return one gauge's values by its labels."""
    families: dict[str, Metric] = {each.name: each for each in judged.families()}
    return {tuple(sample.labels.values()): sample.value for sample in families[name].samples}


def test_the_last_verdict_of_each_subject_counts_and_others_are_0(house: House) -> None:
    """A series that fell to 0 is still there; what does not apply any more counts nowhere."""
    kept(house, Verdict.NOT_MET, 3)
    kept(house, Verdict.MET, 1)
    kept(house, Verdict.NOT_MET, 1, subject="test")
    kept(house, Verdict.NOT_MET, 2, subscriber=None, kind=Kind.LOG, subject="log")
    kept(house, Verdict.NOT_APPLICABLE, 1, subscriber=None, kind=Kind.LOG, subject="log")
    found = read(Judged(house.seal), "privyseal_findings")
    verdicts = ("not-met", "not-evidenced", "judgement", "broken")
    assert found == {("key-pair", "met"): 1} | {("key-pair", each): float(each == "not-met") for each in verdicts}


def test_counts_are_those_of_the_lists(house: House) -> None:
    """Whatever was found in whatever order, of the service or of any Subscriber."""
    chance = random.Random(8)
    rows = []
    for number in range(600):
        at = NOW - timedelta(days=30) + timedelta(minutes=number)
        kind = chance.choice([Kind.KEY_PAIR, Kind.SIGNATURE, Kind.LOG])
        rows.append(
            Kept(
                subscriber=None if kind is Kind.LOG else chance.choice(["demo", "other"]),
                at=at,
                kind=kind,
                subject=chance.choice(["a", "b"]),
                requirement=chance.choice(["R-1", "R-2", "R-3"]),
                verdict=chance.choice(list(Verdict)),
                number=chance.randrange(1, 9),
                begun=NOW - timedelta(days=30 - number // 200) if kind is Kind.SIGNATURE else at,
                text="",
            )
        )
    with house.seal.records.batch() as batch:
        findings.add_of_all_subscribers(batch.across_subscribers(), rows)
    with house.seal.records.reading_all_subscribers() as connection:
        listed = Counter(
            (each.kind, each.verdict)
            for owner in (None, "demo", "other")
            for each in findings.current(connection, owner)
        )
        assert findings.counts_of_all_subscribers(connection) == dict(listed)


def test_the_records_are_read_twice_a_minute_at_most(house: House) -> None:
    """Until then the numbers stay; where the records do not answer there are none, and the next one asks again."""
    seconds = 100.0
    judged = Judged(house.seal, lambda: seconds)
    assert read(judged, "privyseal_findings") == {}
    kept(house, Verdict.NOT_MET, 1)
    seconds += REMEMBERED_S - 1
    assert read(judged, "privyseal_findings") == {}
    seconds += 1
    assert read(judged, "privyseal_findings")["key-pair", "not-met"] == 1


def test_old_numbers_are_not_told_as_new_ones(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the records do not answer there are none, and the next scrape asks again."""
    kept(house, Verdict.NOT_MET, 1)
    seconds = 0.0
    judged = Judged(house.seal, lambda: seconds)
    assert list(judged.families())
    seconds += REMEMBERED_S

    def away() -> None:
        raise Unavailable("The database is away.")

    with monkeypatch.context() as patched:
        patched.setattr(house.seal.records, "reading_all_subscribers", away)
        assert list(judged.families()) == []
    assert read(judged, "privyseal_findings")["key-pair", "not-met"] == 1


def test_duties_are_those_that_the_records_tell_of(house: House) -> None:
    """A service to which nobody stated anything knows nothing of its reviews; and when it was evaluated is told."""
    judged = Judged(house.seal)
    found = read(judged, "privyseal_duties")
    assert (found["NSR-4.2.1.1-01", "unknown"], found["NSR-4.2.1.1-01", "breached"]) == (1, 0)
    assert "privyseal_findings_timestamp_seconds" not in {each.name for each in judged.families()}
    with house.seal.records.batch() as batch:
        across = batch.across_subscribers()
        findings.note_progress_of_all_subscribers(across, Kind.KEY_PAIR, Progress(begun=NOW, at=NOW))
    assert read(Judged(house.seal), "privyseal_findings_timestamp_seconds") == {(): NOW.timestamp()}


def test_it_is_scraped_with_the_rest(house: House) -> None:
    """The desk hangs it in; no Subscriber's and no key's name is a label."""
    kept(house, Verdict.NOT_MET, 1)
    text = house.desk.metrics.text().decode()
    assert 'privyseal_findings{kind="key-pair",verdict="not-met"} 1.0' in text
    assert 'privyseal_duties{requirement="NSR-4.2.1.1-01",state="unknown"} 1.0' in text
    assert "demo" not in text and '"release"' not in text
