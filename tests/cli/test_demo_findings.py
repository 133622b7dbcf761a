"""What the demo says of its own service: counts and sentences, nothing added up, nothing from outside loose."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.records.test_evidence import sign

from privyseal.cli.demo_findings import all_judged, report
from privyseal.compliance.outcome import Verdict
from privyseal.compliance.requirement import Kind
from privyseal.records import events, parties
from privyseal.records.database import open_records
from privyseal.records.events import Event
from privyseal.records.findings import Progress, note_progress_of_all_subscribers, progress_of_all_subscribers
from privyseal.records.schema import migrate
from privyseal.terms.parties import Subscriber
from privyseal.web.views_of_findings import FindingView

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def found(requirement: str, verdict: Verdict, **changes: Any) -> FindingView:
    given = {"requirement": requirement, "clause": "CSBR 6.2.7.3", "kind": Kind.KEY_PAIR, "subject": "release"}
    given |= {"verdict": verdict, "number": 1, "sample": "", "since": NOW, "text": "It is.", "mend": ""}
    return FindingView(**given | changes)


def test_a_requirement_counts_once_for_all_keys() -> None:
    """Two keys that break one requirement for one reason are one line; another verdict has another column."""
    lines = report(
        [
            found("CSBR-6.2.7.3-01", Verdict.NOT_MET, text="It is soft."),
            found("CSBR-6.2.7.3-01", Verdict.NOT_MET, text="It is soft.", subject="test"),
            found("CSBR-6.2.7.3-02", Verdict.MET),
            found("CSBR-6.2.7.3-02", Verdict.JUDGEMENT, kind=Kind.ORGANISATION),
        ],
        complete=True,
    )
    assert [line.split() for line in lines if line.startswith(("  key pair", "  organisation"))] == [
        ["key", "pair", "1", "1", "0", "0"],
        ["organisation", "0", "0", "0", "1"],
    ]
    assert [line.strip() for line in lines if "It is soft" in line] == ["✗ CSBR 6.2.7.3 (key pair): It is soft."]


def test_signatures_are_counted_and_a_check_that_failed_is_told() -> None:
    """One signature is one, and four are four; what could not be judged is not left out."""
    lines = report(
        [
            found("A", Verdict.NOT_MET, kind=Kind.SIGNATURE, number=4, text="Four."),
            found("B", Verdict.NOT_MET, kind=Kind.SIGNATURE, text="One."),
            found("C", Verdict.BROKEN),
        ],
        complete=False,
    )
    assert "  ✗ CSBR 6.2.7.3 (4 signatures, for example): Four." in lines
    assert "  ✗ CSBR 6.2.7.3 (1 signature): One." in lines
    assert any("1 could not be judged" in line for line in lines)
    assert "not done in time" in " ".join(lines)


def test_what_evidence_is_asked_for_most_comes_first() -> None:
    """Each requirement counts once whoever lacks it; what a function judges asks for no document."""
    wanted = ["CSBR-8.4.2-01", "CSBR-8.6-01", "CSBR-6.2.7.3-01"]
    lines = report(
        [found(each, Verdict.NOT_EVIDENCED, subject=name) for each in wanted for name in ("a", "b")], complete=True
    )
    assert any(line.startswith("  3 requirements are not evidenced") for line in lines)
    counted = [
        int(line.split()[0]) for line in lines if ": " in line and line.split()[0].isdigit() and "are" not in line
    ]
    assert counted == sorted(counted, reverse=True)


def test_lines_fit_and_hold_nothing_that_moves_the_cursor() -> None:
    """Sentences hold what a module or a member is called; 80 columns whatever that is."""
    many = [found("A", Verdict.NOT_MET, text="\x1b[31mred\n" + "word " * 200)]
    many += [found(f"CSBR-{n}", Verdict.NOT_EVIDENCED, kind=kind) for n in range(200) for kind in Kind]
    lines = report(many, complete=True)
    assert max(map(len, lines)) <= 80
    assert not any("\x1b" in line or "\n" in line for line in lines)


def test_nothing_found_says_so_without_a_verdict() -> None:
    """No rows, no lines about them, and still the sentence that there is no verdict on the whole."""
    assert "no verdict on the whole" in " ".join(" ".join(report([], complete=False)).split())


def test_it_waits_for_the_signatures_too(tmp_path: Path) -> None:
    """Judged is only what the evaluation has walked past: the newest event, and the newest release."""
    url = f"sqlite:///{tmp_path / 'records.db'}"
    migrate(url)
    records = open_records(url)
    try:
        with records.batch() as batch:
            demo = Subscriber("demo", "Demo", b"\1" * 32)
            parties.add_subscriber_of_all_subscribers(batch.across_subscribers(), demo)
        sign(records, 1, NOW)
        with records.writing("demo") as tx:
            events.record(tx, Event(NOW, "service", "token given", "M-ci"))
        assert not all_judged(records, 0)
        for kind, event, done in ((Kind.KEY_PAIR, 3, False), (Kind.SIGNATURE, 1, False), (Kind.SIGNATURE, 2, True)):
            with records.batch() as batch:
                across = batch.across_subscribers()
                last = progress_of_all_subscribers(across, kind)
                now = Progress(id=last.id if last else 0, event=event, begun=NOW, at=NOW)
                note_progress_of_all_subscribers(across, kind, now)
            assert all_judged(records, 0) is done, (kind, event)
    finally:
        records.close()
