"""What turned is what was not evidenced before and is met now, of the same subject; nothing else counts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from privyseal.cli.demo_turned import ACCEPTANCE, AUTHENTICATION, compared, report, turned
from privyseal.compliance.outcome import Verdict
from privyseal.compliance.requirement import Kind
from privyseal.web.views_of_findings import FindingView


def found(requirement: str, verdict: Verdict, **changes: Any) -> FindingView:
    given = {"requirement": requirement, "clause": "CSBR 9.6.5", "kind": Kind.SUBSCRIBER, "subject": "acme"}
    given |= {"verdict": verdict, "number": 1, "sample": "", "since": datetime(2026, 11, 30, tzinfo=UTC)}
    return FindingView(**given | {"text": f"{requirement} is {verdict}.", "mend": ""} | changes)


def test_only_what_was_open_and_is_met_turned() -> None:
    """Not what was met before, not what fell to not met, and not another subject's."""
    before = [found(each, Verdict.NOT_EVIDENCED) for each in "ABC"] + [found("D", Verdict.MET)]
    after = [found("A", Verdict.MET), found("B", Verdict.NOT_MET), found("D", Verdict.MET)]
    after += [found("C", Verdict.MET, subject="demo"), found("C", Verdict.NOT_EVIDENCED), found("E", Verdict.MET)]
    assert [each.requirement for each in turned(before, after)] == ["A"]
    assert report(before, after, "acme")[1:] == ["  ✓ CSBR 9.6.5 (A): A is met."]
    assert report([], after, "acme") == ["  Nothing turned from not evidenced to met for acme."]


def test_signatures_are_compared_as_they_are() -> None:
    """A single factor is told as not met beside the signatures of people and builds; nothing is left out."""
    alone = [found(AUTHENTICATION, Verdict.NOT_MET, kind=Kind.SIGNATURE, number=4, text="One factor.")]
    people = [found(AUTHENTICATION, Verdict.MET, kind=Kind.SIGNATURE, text="Passkeys.")]
    people += [found("CSBR-6.2.7.3-01", Verdict.NOT_MET, kind=Kind.SIGNATURE, text="Soft.")]
    lines = compared((("demo", alone), ("acme", people)))
    assert lines[1:3] == ["  ✗ demo, 4 signatures: One factor.", "  ✓ acme, 1 signature: Passkeys."]
    assert "9.6.3" in lines[3] and len(lines) == 4


def test_an_accepted_certificate_is_told() -> None:
    """Of each Subscriber's signatures, behind their factors."""
    read = [found(ACCEPTANCE, Verdict.MET, kind=Kind.SIGNATURE, number=2, text="Accepted before this use.")]
    assert compared((("acme", read),))[-1] == "  ✓ acme, 2 signatures: Accepted before this use."
