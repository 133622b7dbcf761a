"""An audit report is linted by its words: each of the eleven items, there, missing, and wrong."""

from __future__ import annotations

import re
import time
from datetime import date

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.compliance.pdf_builder import assemble, pdf

from privyseal.compliance import audit_report_text, audit_report_words
from privyseal.compliance.audit_report import CACertificate, Item, lint
from privyseal.compliance.audit_report_text import text_of
from privyseal.compliance.catalogue import BY_ID
from privyseal.compliance.outcome import Verdict
from privyseal.errors import BadInput, TooLarge

ROOT = "0F" * 32
ISSUING = "A1B2C3D4" * 8

WEBTRUST = f"""INDEPENDENT ASSURANCE REPORT
Audited organisation: Acme Signing Inc.
Auditor: Checkers LLP
Address: 1 High Street, 12345 Town
In our opinion the controls of the organisation were suitably designed for the period of time
from 1 January 2025 to 31 December 2025 in accordance with the criteria that are listed here.
WebTrust for Certification Authorities - Code Signing Baseline Requirements version 3.7
WebTrust for Certification Authorities - Network Security version 2.0
Policy documents of the organisation: Certification Practice Statement, version 4.2
It covers the systems and the processes for all certificates that assert 2.23.140.1.4.1.
SHA-256 fingerprints of the certificates in scope:
{ROOT}
{ISSUING}
Date of report: 15 February 2026"""

ETSI = (
    WEBTRUST.replace("WebTrust for Certification Authorities - Code Signing Baseline Requirements version 3.7\n", "")
    .replace("WebTrust for Certification Authorities - Network Security", "ETSI EN 319 411-1")
    .replace("version 2.0", "V1.4.1")
    + "\nThis was a full audit of NCP+ and Part 2.\nCA/Browser Forum Code Signing Requirements, version 3.10"
)


def item(text: str, which: int | str, covers: tuple[CACertificate, ...] = ()) -> Item:
    """Return one item of the lint of a PDF with this text on its page; by number, or by a word of its title."""
    found = [
        each
        for each in lint(text_of(pdf([text])), covers)
        if (each.item == which if isinstance(which, int) else which in each.title)
    ]
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize("text", [WEBTRUST, ETSI], ids=["webtrust", "etsi"])
def test_a_good_report_has_nothing_that_is_not_met(text: str) -> None:
    """All eleven items are met or do not apply, as a PDF and as text."""
    covers = (CACertificate(ROOT.lower(), "Root"), CACertificate(ISSUING, "Issuing"))
    for octets in (pdf([text]), pdf([text], compressed=False), text.encode()):
        items = lint(text_of(octets), covers)
        assert [each for each in items if each.verdict is Verdict.NOT_MET] == []
        assert [each.item for each in items[:11]] == list(range(1, 12))
        applies = [each.item for each in items[:11] if each.verdict is Verdict.MET]
        assert applies == ([1, 2, 3, 4, 5, 6, 7, 9] if text is WEBTRUST else [1, 2, 3, 4, 5, 6, 7, 9, 10, 11])
        assert {each.requirement for each in items} <= set(BY_ID)


@pytest.mark.parametrize(
    ("number", "old", "new"),
    [
        (1, "Audited organisation: Acme Signing Inc.", "Acme Signing Inc."),
        (2, "Auditor: Checkers LLP", "Checkers LLP"),
        (2, "Address: 1 High Street, 12345 Town\nIn our", "In our"),
        (3, f"{ROOT}\n{ISSUING}", "none"),
        (4, "version 3.7", "the latest"),
        (5, "Statement, version 4.2", "Statement"),
        (6, "for the period of time\nfrom", "from"),
        (7, "31 December 2025", "the end of the year"),
        (7, "31 December 2025", "1 January 2026"),
        (7, "31 December 2025", "31 December 2024"),
        (9, "Date of report: 15 February 2026", "15 February 2026"),
        (9, "15 February 2026", "31 December 2025"),
        ("reserved", "2.23.140.1.4.1", "2.23.140.1.4.10"),
        ("three months", "15 February 2026", "1 April 2026"),
        ("written", ISSUING, ISSUING.lower()),
        ("written", ISSUING, ":".join(re.findall("..", ISSUING))),
        ("written", ISSUING, " ".join(re.findall("." * 8, ISSUING))),
        ("written", ISSUING, ISSUING[:32] + "\n" + ISSUING[32:]),
    ],
)
def test_each_item_that_is_wrong_is_not_met(number: int | str, old: str, new: str) -> None:
    """One thing taken out or spoilt makes that item not met, which it was not before."""
    spoilt = WEBTRUST.replace(old, new)
    if number == 4:
        spoilt = spoilt.replace("version 2.0", "")
    assert spoilt != WEBTRUST
    assert item(WEBTRUST, number).verdict is not Verdict.NOT_MET
    assert item(spoilt, number).verdict is Verdict.NOT_MET


@pytest.mark.parametrize(
    ("number", "old"),
    [(10, "full audit"), (10, "NCP+ and Part 2"), (11, "CA/Browser Forum Code Signing Requirements, version 3.10")],
)
def test_what_etsi_asks_in_addition(number: int, old: str) -> None:
    """Both statements are asked for where an ETSI standard is named, and only there."""
    assert item(ETSI, number).verdict is Verdict.MET
    assert item(ETSI.replace(old, ""), number).verdict is Verdict.NOT_MET
    assert item(WEBTRUST, number).verdict is Verdict.NOT_APPLICABLE


def test_a_point_in_time_has_one_day() -> None:
    """And then no period is asked for; the day of issue is after it."""
    point = WEBTRUST.replace(
        "for the period of time\nfrom 1 January 2025 to 31 December 2025", "at the point in time 31 December 2025"
    )
    assert item(point, 6).text == "It is at a point in time."
    assert item(point, 7).verdict is Verdict.NOT_APPLICABLE
    assert item(point, 8).text == "On 2025-12-31."
    assert item(point.replace("31 December 2025", "last year"), 8).verdict is Verdict.NOT_MET
    assert item(point.replace("15 February 2026", "31 December 2025"), 9).verdict is Verdict.NOT_MET


def test_each_given_certificate_is_covered() -> None:
    """One that is missing, or written wrongly, is named with what is wrong."""
    stranger = CACertificate("E" * 64, "CN=Stranger")
    items = [
        each
        for each in lint(text_of(pdf([WEBTRUST])), (CACertificate(ROOT, "Root"), stranger))
        if "given" in each.title
    ]
    assert [(each.verdict, each.text) for each in items] == [
        (Verdict.NOT_MET, "CN=Stranger is not listed (EEEEEEEEEEEEEEEE...).")
    ]
    lower = WEBTRUST.replace(ROOT, ROOT.lower())
    assert (
        "Root is listed, but its fingerprint has lower-case letters"
        in item(lower, "given", (CACertificate(ROOT, "Root"),)).text
    )


def test_a_scan_and_another_language_are_seen() -> None:
    """A page without text is named, and German is not English."""
    scanned = lint(text_of(pdf([WEBTRUST, "", "3"])))
    assert next(each for each in scanned if "searched" in each.title).text.startswith(
        "No text can be found on page 2, 3"
    )
    german = "Wir haben die Zertifizierungsstelle geprüft und bestätigen hiermit, dass die Anforderungen erfüllt sind."
    assert item(german, "English").verdict is Verdict.NOT_MET


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("on 1 January 2025.", date(2025, 1, 1)),
        ("on 1st of March, 2025", date(2025, 3, 1)),
        ("on December 31, 2025", date(2025, 12, 31)),
        ("on Dec. 31st 2025", date(2025, 12, 31)),
        ("2025-02-28", date(2025, 2, 28)),
        ("am 28.02.2025", date(2025, 2, 28)),
    ],
)
def test_days_as_reports_write_them(text: str, day: date) -> None:
    """Each way is read; what is no day, or could be two, is not."""
    assert audit_report_words.dates(text) == [day]
    assert audit_report_words.dates("03/04/2025, 31 June 2025, 2025-13-01") == []


def test_a_fingerprint_is_not_found_in_something_longer() -> None:
    """A SHA-512 or a key is no fingerprint, and neighbours in pieces are told apart."""
    assert audit_report_words.fingerprints("A" * 128) == audit_report_words.Fingerprints(frozenset(), {})
    in_pieces = "\n".join(" ".join(re.findall("." * 8, digits)) for digits in (ROOT, ISSUING, "C" * 64))
    assert set(audit_report_words.fingerprints(in_pieces).bad) == {ROOT, ISSUING, "C" * 64}


def test_a_pdf_beyond_a_bound_is_refused() -> None:
    """Pages, what a stream unpacks to, an encrypted file, and octets."""
    with pytest.raises(TooLarge, match="501 pages"):
        text_of(pdf(["x"] * 501))
    with pytest.raises(BadInput):
        text_of(pdf(["x"], more=b" " * (audit_report_text.MOST_UNPACKED + 1)))
    with pytest.raises(TooLarge, match="32 MiB"):
        text_of(b"%PDF-1.7\n" + b" " * audit_report_text.MOST_OCTETS)
    with pytest.raises(TooLarge, match="pages or"):
        text_of("\f".join("x" for _ in range(501)).encode())
    with pytest.raises(TooLarge, match="pages or"):
        text_of(b"x" * (audit_report_text.MOST_CHARACTERS + 1))


@pytest.mark.parametrize(
    "octets",
    [b"", b"%PDF-", b"%PDF-1.7\n%%EOF", b"\xff\xfe", b"a\0b", assemble([b"<< /Pages 1 0 R /Kids [1 0 R] /Count 9 >>"])],
)
def test_what_is_no_report_is_one_sentence(octets: bytes) -> None:
    """Never anything but our refusal, or text with nothing in it."""
    try:
        items = lint(text_of(octets))
    except BadInput as refused:
        assert refused.detail.endswith(".")
    else:
        assert any(each.verdict is Verdict.NOT_MET for each in items)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_damaged_pdf_is_text_or_one_sentence(data: st.DataObject) -> None:
    """Octets changed, cut or repeated: a lint or our refusal, and no other exception."""
    octets = bytearray(pdf([WEBTRUST], compressed=data.draw(st.booleans())))
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(octets) - 1))
        octets[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(octets)))
    try:
        lint(text_of(bytes(octets[:cut]) if data.draw(st.booleans()) else bytes(octets)))
    except BadInput as refused:
        assert "\n" not in refused.detail


@given(st.text(max_size=2000))
def test_any_text_is_linted(text: str) -> None:
    """Whatever it says: a verdict on each of the eleven."""
    items = lint(audit_report_text.ReportText((text,), pdf=False))
    assert [each.item for each in items[:11]] == list(range(1, 12))


@pytest.mark.parametrize(
    "hostile",
    ["AB " * 20_000, "Auditor: " * 8_000, "audit period " * 8_000, "abcd\n" * 15_000, "etsi en 319 411-1 " * 4_000],
)
def test_hostile_text_takes_no_longer_than_its_length_allows(hostile: str) -> None:
    """No pattern goes back and forth; a page of prose takes a millisecond."""
    began = time.perf_counter()
    lint(audit_report_text.ReportText((hostile,), pdf=False))
    assert time.perf_counter() - began < 10


@pytest.mark.parametrize(
    ("number", "old", "new", "words"),
    [
        (5, "Statement, version 4.2", "Statement    4.2.1", "Statement 4.2.1"),
        (1, "Audited organisation: Acme Signing Inc.", "To the management of Acme Signing Inc.", "'Acme Signing Inc.'"),
    ],
)
def test_what_may_be_it_is_for_a_person_to_see(number: int, old: str, new: str, words: str) -> None:
    """A number in a table may be a version, an addressee may be who was audited; neither is labelled so."""
    found = item(WEBTRUST.replace(old, new), number)
    assert (found.verdict, words in found.text) == (Verdict.JUDGEMENT, True), found
    for no_version in ("Statement 28.02.2025", "Statement 2.23.140.1.4.1", "Statement 2025"):
        assert item(WEBTRUST.replace("Statement, version 4.2", no_version), 5).verdict is Verdict.NOT_MET


def test_an_address_without_a_label_is_for_a_person_to_see() -> None:
    """Lines behind the auditor's name that have numbers may be one; days are none."""
    unlabelled = WEBTRUST.replace("Address: ", "")
    assert item(unlabelled, 2).verdict is Verdict.JUDGEMENT
