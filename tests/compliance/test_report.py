"""What a report says of findings and statements, and that its forms are what they claim to be."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pypdf import PdfReader

from privyseal.compliance.catalogue import BY_ID
from privyseal.compliance.outcome import Finding, Verdict
from privyseal.compliance.report import MOST_SENTENCES, NO_OPINION, NOTHING, Asked, Clause, build
from privyseal.compliance.report_html import page
from privyseal.compliance.report_oscal import assessment_results
from privyseal.compliance.report_typst import literal, markup
from privyseal.compliance.statements import Document, Matter, Review, Said, Stated
from privyseal.terms.canonical import canonical_json

ASKED = Asked(standard="csbr", service="World", first=date(2025, 4, 1), last=date(2026, 3, 31), as_of=date(2026, 4, 15))
SHA256 = "ab" * 32
CONTRACT = Document(sha256=SHA256, size=1, filename="c.pdf", kind="ca-ss-contract", issuer="A CA")
WANTS, OTHER = "CSBR-6.7-01", "CSBR-8.4.2-01"
"""The one wants an audit report; of the other a document may be evidence by being named for it."""


def _finding(verdict: Verdict, subject: str = "World", requirement: str = WANTS, text: str = "A sentence.") -> Finding:
    return Finding(
        requirement=requirement,
        clause="CSBR",
        ballot="CSC-21",
        subject=subject,
        verdict=verdict,
        text=text,
        mend="mend",
    )


def _stated(matter: Matter, entry: int = 5, at: datetime = datetime(2026, 4, 15, 23, 59, 59, tzinfo=UTC)) -> Stated:
    said = Said(subscriber="demo", by="M-1", at=at, number=0, matter=matter)
    return Stated(said=said, octets=canonical_json(said), salt=bytes(32), entry=entry)


def _clauses(*findings: Finding, stated: list[Stated] | None = None) -> dict[str, Clause]:
    built = build(ASKED, [BY_ID[WANTS], BY_ID[OTHER]], findings, stated or [])
    return {each.requirement: each for each in built.clauses}


@pytest.mark.parametrize(
    ("verdicts", "worst"),
    [
        (["met", "not-met", "not-evidenced"], "not-met"),
        (["met", "broken"], "broken"),
        (["judgement", "not-evidenced", "met"], "not-evidenced"),
        (["judgement", "met"], "judgement"),
        (["met", "not-applicable"], "met"),
        (["not-applicable"], "not-applicable"),
        ([], NOTHING),
    ],
)
def test_the_worst_verdict_is_the_one_that_is_told(verdicts: list[str], worst: str) -> None:
    """Unknown is never met, and a check that failed is not either; nothing found is called that."""
    clause = _clauses(*(_finding(Verdict(each)) for each in verdicts))[WANTS]
    assert clause.verdict == worst
    assert sum(clause.counts.values()) == len(verdicts)


def test_many_findings_are_counted_and_the_worst_are_told() -> None:
    """Whatever the order in which they come, and without keeping all of them."""

    def many() -> Iterator[Finding]:
        for number in range(50_000):
            yield _finding(Verdict.MET, f"R-{number}")
        yield _finding(Verdict.NOT_MET, "R-bad")

    built = build(ASKED, [BY_ID[WANTS]], many(), [])
    (clause,) = built.clauses
    assert clause.counts == {"not-met": 1, "met": 50_000}
    assert (len(clause.sentences), clause.sentences[0].subject) == (MOST_SENTENCES, "R-bad")
    assert clause.left_out == 50_001 - MOST_SENTENCES


def test_findings_that_speak_of_many_count_as_many() -> None:
    """A million signatures that are alike come as one finding with their number, and have one sentence."""
    findings = [(_finding(Verdict.MET, "release"), 999_999), _finding(Verdict.NOT_MET, "R-bad")]
    (clause,) = build(ASKED, [BY_ID[WANTS]], findings, []).clauses
    assert clause.counts == {"not-met": 1, "met": 999_999}
    assert [each.number for each in clause.sentences] == [1, 999_999]
    assert clause.left_out == 0


def test_documents_bear_on_what_they_are_for() -> None:
    """By their kind on all that want it, or by name on a requirement or a whole clause, and then on nothing else."""
    report = msgspec.structs.replace(CONTRACT, kind="audit-report")
    found = _clauses(stated=[_stated(report)])
    assert [each.sha256 for each in found[WANTS].evidence] == [SHA256]
    for named in ((OTHER,), ("CSBR 8.4.2",)):
        found = _clauses(stated=[_stated(msgspec.structs.replace(report, requirements=named))])
        assert [len(found[each].evidence) for each in (WANTS, OTHER)] == [0, 1]
    assert not _clauses(stated=[_stated(CONTRACT)])[WANTS].evidence


@pytest.mark.parametrize(
    ("first", "last", "valid"),
    [
        (None, None, True),
        (date(2026, 4, 15), date(2026, 4, 15), True),
        (date(2026, 4, 16), None, False),
        (None, date(2026, 4, 14), False),
    ],
)
def test_a_document_out_of_its_time_is_shown_as_such(first: date | None, last: date | None, valid: bool) -> None:
    """Its first and its last day count as valid, the days before and after do not."""
    document = msgspec.structs.replace(CONTRACT, kind="audit-report", valid_from=first, valid_until=last)
    (bearing,) = _clauses(stated=[_stated(document)])[WANTS].evidence
    assert bearing.in_force is valid


def test_what_was_said_too_late_does_not_count() -> None:
    """The last second of the day reported for counts, the next one does not; and then the word before it does."""
    report = msgspec.structs.replace(CONTRACT, kind="audit-report")
    late = _stated(msgspec.structs.replace(report, issuer="B"), 9, datetime(2026, 4, 16, tzinfo=UTC))
    (bearing,) = _clauses(stated=[_stated(report), late])[WANTS].evidence
    assert (bearing.issuer, bearing.entry) == ("A CA", 5)


def test_reviews_are_told_beside_the_verdict() -> None:
    """Who found what in which document; the verdict stays what the evaluation gave."""
    review = Review(document=SHA256, requirement=WANTS, verdict="met", note="Page 3.")
    found = _clauses(_finding(Verdict.NOT_EVIDENCED), stated=[_stated(review, 7)])
    clause = found[WANTS]
    assert found[OTHER].reviews == ()
    assert clause.verdict == "not-evidenced"
    assert [(each.by, each.verdict, each.entry) for each in clause.reviews] == [("M-1", "met", 7)]


def test_texts_that_did_not_bind_are_left_out() -> None:
    """Unless something was found of them, such as of a certificate that was issued under them."""
    old = BY_ID["CSBR-8.1-90"]
    assert old.in_force.until is not None and old.in_force.until < ASKED.first
    assert build(ASKED, [old], [], []).clauses == ()
    assert len(build(ASKED, [old], [_finding(Verdict.MET, requirement=old.id)], []).clauses) == 1


HOSTILE = "</script><script>alert(1)</script>\"'&<b> #\\ \n $x$ \u202e"


def _hostile() -> Any:
    document = msgspec.structs.replace(CONTRACT, kind="audit-report", issuer=HOSTILE, filename=HOSTILE)
    review = Review(document=SHA256, requirement=WANTS, verdict="not-met", note=HOSTILE)
    stated = [_stated(document), _stated(review, 6)]
    return build(
        msgspec.structs.replace(ASKED, service=HOSTILE),
        [BY_ID[WANTS], BY_ID[OTHER]],
        [_finding(Verdict.NOT_MET, HOSTILE, text=HOSTILE)],
        stated,
    )


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not any(name.startswith("on") or name in ("src", "href", "srcset") for name, _ in attrs)
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_has_no_script_and_nothing_in_it_is_markup() -> None:
    """Names of documents and sentences come out as they are; every tag is closed; nothing is loaded from anywhere."""
    tags = _Tags()
    octets = page(_hostile())
    tags.feed(octets.decode())
    assert tags.open == []
    assert "script" not in tags.tags
    assert tags.text.count("<script>alert(1)</script>") >= 4
    assert NO_OPINION in tags.text
    assert b"prefers-color-scheme: dark" in octets and b"@media print" in octets
    assert octets == page(_hostile())


_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_TOKEN = re.compile(r"[A-Za-z_][A-Za-z0-9._-]*")


def _all(value: Any, name: str) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, each in value.items():
            if key == name:
                yield each
            yield from _all(each, name)
    elif isinstance(value, list):
        for each in value:
            yield from _all(each, name)


def test_the_oscal_document_has_the_shape_of_1_1_2() -> None:
    """Members that the schema asks for, identifiers that are unique, and references that lead somewhere."""
    octets = assessment_results(_hostile())
    document = json.loads(octets)["assessment-results"]
    assert set(document) == {"uuid", "metadata", "import-ap", "results", "back-matter"}
    assert set(document["metadata"]) >= {"title", "last-modified", "version", "oscal-version"}
    assert document["metadata"]["oscal-version"] == "1.1.2"
    ids = list(_all(document, "uuid"))
    assert all(_UUID.fullmatch(each) for each in ids) and len(ids) == len(set(ids))
    for href in _all(document, "href"):
        assert href.startswith("documents/") or href.removeprefix("#") in ids
    assert set(_all(document, "observation-uuid")) <= set(ids)
    (result,) = document["results"]
    assert set(result) == {
        "uuid", "title", "description", "start", "end", "reviewed-controls", "observations", "findings"
    }  # fmt: skip
    assert all(_TOKEN.fullmatch(each) for each in [*_all(result, "control-id"), *_all(result, "target-id")])
    (finding,) = result["findings"]
    assert finding["target"]["status"] == {"state": "not-satisfied", "reason": "fail"}
    assert set(finding) >= {"uuid", "title", "description", "target"}
    (observation,) = result["observations"]
    assert set(observation) >= {"uuid", "description", "methods", "collected"}
    assert octets == assessment_results(_hostile())


@pytest.mark.parametrize("verdict", list(Verdict))
def test_only_met_is_satisfied(verdict: Verdict) -> None:
    built = build(ASKED, [BY_ID[WANTS]], [_finding(verdict)], [])
    result = json.loads(assessment_results(built))["assessment-results"]["results"][0]
    assert (result["findings"][0]["target"]["status"]["state"] == "satisfied") == (verdict is Verdict.MET)


def test_of_nothing_there_is_no_finding() -> None:
    """OSCAL would have to call it not satisfied, or satisfied."""
    result = json.loads(assessment_results(build(ASKED, [BY_ID[WANTS]], [], [])))["assessment-results"]["results"][0]
    assert "findings" not in result and "observations" not in result


def test_typst_takes_no_text_for_markup() -> None:
    """Within a string literal only two characters mean anything, and both are escaped; so are controls."""
    assert literal('a"b\\c#d') == '"a\\"b\\\\c#d"'
    assert literal("\n\u202e") == '"\\u{a}\\u{202e}"'
    outside = re.sub(r'"(?:[^"\\]|\\.)*"', "", markup(_hostile()).decode())
    assert "alert" not in outside and "$" not in outside and '"' not in outside


class _Text(HTMLParser):
    """Collects what a reader sees of the body."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self._hidden = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden = tag in ("style", "title")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.seen.append(data)


def _words(text: str) -> Counter[str]:
    return Counter(re.findall(r"[\w.@-]*\w", text))


def test_page_and_paper_say_the_same(tmp_path: Path) -> None:
    """Every word as often, the table of counts included; pypdf reads the PDF."""
    typst = pytest.importorskip("typst", reason="the extra `report` is not installed")
    named = msgspec.structs.replace(CONTRACT, requirements=(OTHER,))
    review = Review(document=SHA256, requirement=OTHER, verdict="not-met", note="Page 3 is missing.")
    findings = [
        *(_finding(Verdict.MET, f"key {number}") for number in range(MOST_SENTENCES + 3)),
        (_finding(Verdict.NOT_MET, "alike"), 7),
        _finding(Verdict.JUDGEMENT, requirement=OTHER),
    ]
    house = next(each for each in BY_ID.values() if each.nature.value != "text")
    findings.append(_finding(Verdict.NOT_EVIDENCED, requirement=house.id))
    wanted = [BY_ID[WANTS], BY_ID[OTHER], house]
    built = build(ASKED, wanted, findings, [_stated(named), _stated(review, 8)])
    assert built.clauses[1].reviews and built.clauses[1].evidence and built.clauses[0].left_out
    parser = _Text()
    parser.feed(page(built).decode())
    pdf = tmp_path / "report.pdf"
    pdf.write_bytes(typst.Compiler(markup(built), ignore_system_fonts=True).compile(format="pdf", timestamp=0))
    read = "\n".join(each.extract_text() for each in PdfReader(pdf).pages)
    paper = re.sub(r"(?m)^\d+ / \d+$", "", read)
    assert _words("\n".join(parser.seen)) == _words(paper)


def test_the_pdf_can_be_made_and_is_the_same_twice() -> None:
    typst = pytest.importorskip("typst", reason="the extra `report` is not installed")
    made = [
        typst.Compiler(markup(_hostile()), ignore_system_fonts=True).compile(format="pdf", timestamp=0) for _ in "12"
    ]
    assert made[0].startswith(b"%PDF-") and made[0] == made[1]
