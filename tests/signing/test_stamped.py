"""What the stamper's diary shows of CSBR 5.4.1.2, 6.3.2 and 6.8: by the times alone, or for a person to judge."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from privyseal.compliance.catalogue import BY_ID
from privyseal.compliance.evaluate import evaluate
from privyseal.compliance.known import Known
from privyseal.compliance.outcome import Verdict
from privyseal.compliance.requirement import Asked
from privyseal.compliance.statements import Own, Said, Stated
from privyseal.compliance.statements_of_timestamps import (
    BooksCompared,
    StamperNoted,
    TimestampKeyRemoved,
    TimestampKeyUsed,
)
from privyseal.compliance.subjects import TimestampAuthorityRecord
from privyseal.signing import judging, stamped
from privyseal.signing.known import known_from
from privyseal.terms.keys import Assurance, KeyProtection

START = datetime(2026, 11, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
SYNC = "Offset +0.002 s; these agree: a, b, c."
SOFT = KeyProtection("softfile", Assurance.SOFTWARE, True, False)


def stated(*matters: Own) -> list[Stated]:
    found = []
    for entry, matter in enumerate(matters):
        said = Said(subscriber="demo", by="service", at=NOW, number=entry, matter=matter)
        found.append(Stated(said=said, octets=b"%d" % entry, salt=b"", entry=entry))
    return found


def diary(*entries: tuple[str, float, str]) -> list[Stated]:
    """Return entries of a diary: what, hours after the start, detail."""
    return stated(
        *(
            StamperNoted(books="0" * 32, number=number, at=START + timedelta(hours=at), what=what, detail=detail)
            for number, (what, at, detail) in enumerate(entries, 1)
        )
    )


def verdict(known: Known, requirement: str, at: datetime = NOW) -> Verdict:
    record = TimestampAuthorityRecord(label="tsa", at=at, evidence=known.documents("service"))
    (found,) = evaluate(record, [BY_ID[requirement]], Asked(at, {}))
    return found.verdict


QUIET = [("started", 0, ""), ("configured", 0, "x"), ("trusted", 0, SYNC)]
DAYS = [("synchronised", 6.0 * n, SYNC) for n in range(1, 119)]


def test_a_diary_without_a_gap_meets_the_clauses_on_logs() -> None:
    """Configurations, steps of the clock, starts and stops; without a diary nothing is evidenced."""
    known = known_from(diary(*QUIET, ("adjusted", 5, "The clock was set by +2.000 s."), ("stopped", 9, "")))
    for clause in ("CSBR-5.4.1.2-02", "CSBR-5.4.1.2-06", "CSBR-5.4.1.2-07"):
        assert verdict(known, clause) is Verdict.MET
        assert verdict(known_from([]), clause) is Verdict.NOT_EVIDENCED


def test_a_start_without_a_stop_is_for_a_person() -> None:
    """It may have been a failure; whoever knows writes it down."""
    known = known_from(diary(*QUIET, ("started", 9, "")))
    assert verdict(known, "CSBR-5.4.1.2-07") is Verdict.JUDGEMENT


def test_synchronisations_without_a_gap_of_a_day() -> None:
    """Met while they go on; not met after a gap in which time was given; not by a refusal; stale after a day."""
    assert verdict(known_from(diary(*QUIET, *DAYS)), "CSBR-6.8-04") is Verdict.MET
    late = diary(*QUIET, ("synchronised", 25, SYNC), *[each for each in DAYS if each[1] > 25])
    assert verdict(known_from(late), "CSBR-6.8-04") is Verdict.NOT_MET
    held = [("refused", 10.0, "no"), ("trusted", 60.0, SYNC), *[each for each in DAYS if each[1] > 60]]
    assert verdict(known_from(diary(*QUIET, ("synchronised", 6, SYNC), *held)), "CSBR-6.8-04") is Verdict.MET
    stale = known_from(diary(*QUIET, *DAYS))
    assert verdict(stale, "CSBR-6.8-04", NOW + timedelta(days=3)) is Verdict.NOT_EVIDENCED


def test_a_clock_that_is_believed_as_it_is_shows_nothing() -> None:
    """A rehearsal asks no time servers, so no synchronisation is evidenced."""
    known = known_from(diary(("started", 0, ""), ("trusted", 0, "The clock of this machine is believed as it is.")))
    assert verdict(known, "CSBR-6.8-04") is Verdict.NOT_EVIDENCED


def test_alarms_are_evidence_that_a_person_judges() -> None:
    """That drift is reported is seen from a report, and from a test that somebody looked at (CSBR 6.8)."""
    assert verdict(known_from(diary(*QUIET)), "CSBR-6.8-05") is Verdict.NOT_EVIDENCED
    known = known_from(diary(*QUIET, ("refused", 3, "The clock is 2.0 s ahead of the time servers.")))
    assert verdict(known, "CSBR-6.8-05") is Verdict.JUDGEMENT
    assert verdict(known, "CSBR-6.8-06") is Verdict.JUDGEMENT


@pytest.mark.parametrize(("removed", "in_time"), [(datetime(2026, 8, 31, tzinfo=UTC), True), (NOW, False)])
def test_a_removed_key_has_its_record(removed: datetime, in_time: bool) -> None:
    """Within 18 months of its certificate's issue, by a ceremony with two witnesses."""
    issued = datetime(2025, 3, 1, tzinfo=UTC)
    used = TimestampKeyUsed(
        key_id="a" * 64, certificate="b" * 64, issued=issued, until=datetime(2036, 1, 1, tzinfo=UTC),
        used_until=datetime(2026, 6, 1, tzinfo=UTC), protection=SOFT,
    )  # fmt: skip
    gone = TimestampKeyRemoved(
        key_id="a" * 64, certificate="b" * 64, issued=issued, removed=removed, record="c" * 64,
        witnesses=("Wim", "Xenia"), by="M-1",
    )  # fmt: skip
    known = known_from(stated(used, gone))
    (key,) = known.timestamp_keys
    record = judging.timestamp_key(key, known, NOW)
    told = {each.requirement: each.verdict for each in judging.judge(record, Asked(NOW, {}))}
    assert told["CSBR-6.3.2-05"] is (Verdict.MET if in_time else Verdict.NOT_MET)
    assert told["CSBR-6.3.2-06"] is Verdict.MET
    assert told["HOUSE-6.2.7.2-01"] is Verdict.NOT_MET  # it is kept in software
    kept = known_from(stated(used))
    told = {
        each.requirement: each.verdict for each in judging.judge(judging.timestamp_key(key, kept, NOW), Asked(NOW, {}))
    }
    assert told["CSBR-6.3.2-05"] is Verdict.NOT_MET  # 18 months are over, and nobody removed it
    early = datetime(2026, 8, 31, tzinfo=UTC)
    record = judging.timestamp_key(key, kept, early)
    told = {each.requirement: each.verdict for each in judging.judge(record, Asked(early, {}))}
    assert told["CSBR-6.3.2-05"] is Verdict.NOT_EVIDENCED
    short = msgspec.structs.replace(used, until=datetime(2026, 5, 31, tzinfo=UTC))
    record = judging.timestamp_key(short, known_from(stated(short)), NOW)
    told = {each.requirement: each.verdict for each in judging.judge(record, Asked(NOW, {}))}
    assert told["CSBR-6.3.2-05"] is Verdict.MET  # of a certificate for less than 15 months none is asked for


@pytest.mark.parametrize(
    ("at", "words"),
    [
        (datetime(2026, 4, 1, tzinfo=UTC), []),  # 61 days before the 15 months are over
        (datetime(2026, 4, 2, tzinfo=UTC), ["Make a new timestamp key"]),
        (datetime(2026, 5, 31, 23, 59, 59, tzinfo=UTC), ["Make a new timestamp key"]),
        (datetime(2026, 6, 1, tzinfo=UTC), ["Make a new timestamp key", "two witnesses by 2026-09-01"]),
        (datetime(2026, 9, 2, tzinfo=UTC), ["Make a new timestamp key", "it was due by 2026-09-01"]),
    ],
)
def test_the_pages_remind_of_a_timestamp_key(at: datetime, words: list[str]) -> None:
    """60 days before it stops to make another, from 15 months on to remove it, and that it is late."""
    used = TimestampKeyUsed(
        key_id="a" * 64, certificate="b" * 64, issued=datetime(2025, 3, 1, tzinfo=UTC),
        until=datetime(2036, 1, 1, tzinfo=UTC), used_until=datetime(2026, 6, 1, tzinfo=UTC), protection=SOFT,
    )  # fmt: skip
    found = stamped.reminders(known_from(stated(used)), at)
    assert len(found) == len(words) and all(one in said for one, said in zip(words, found, strict=True)), found
    fresh = msgspec.structs.replace(used, key_id="c" * 64, issued=datetime(2026, 5, 1, tzinfo=UTC))
    gone = TimestampKeyRemoved(
        key_id="a" * 64, certificate="b" * 64, issued=used.issued, removed=NOW, record="c" * 64,
        witnesses=("Wim", "Xenia"), by="M-1",
    )  # fmt: skip
    assert stamped.reminders(known_from(stated(used, fresh, gone)), at) == ()


def test_books_that_were_altered_are_for_a_person() -> None:
    """Met while the daily comparison finds nothing, for two days; what was altered is logged, and somebody judges."""
    compared = BooksCompared(books="0" * 32, at=NOW, entries=9, batches=2)
    known = known_from(stated(compared))
    assert verdict(known, "CSBR-5.4.1.2-03") is Verdict.MET
    assert verdict(known, "CSBR-5.4.1.2-03", NOW + timedelta(days=3)) is Verdict.NOT_EVIDENCED
    altered = msgspec.structs.replace(compared, altered=("entry 3 is missing",))
    assert verdict(known_from(stated(compared, altered)), "CSBR-5.4.1.2-03") is Verdict.JUDGEMENT
