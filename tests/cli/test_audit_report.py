"""A report is linted in a child process, which cannot take the command with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.compliance.pdf_builder import pdf
from tests.compliance.test_audit_report import ROOT, WEBTRUST
from tests.pki import mint

from privyseal.cli import audit_report
from privyseal.cli.main import run
from privyseal.compliance.audit_report_text import ReportText


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """A good report, as a PDF of two pages."""
    path = tmp_path / "report.pdf"
    path.write_bytes(pdf([WEBTRUST, "This page is in the report so that there are two of them."]))
    return path


def test_a_pdf_is_linted(report: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is not met, and the JSON has the eleven items in their order."""
    assert run(["audit-report", str(report), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["pages"], document["failed"]) == ("privyseal/audit-report/1", 2, 0)
    assert [each["item"] for each in document["items"][:11]] == list(range(1, 12))


def test_certificates_are_held_against_it(report: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One that is not listed is exit 3, and is named; one that is listed is not."""
    certificate = mint.certify("Unlisted CA", mint.key("ecdsa-p256", 40), ca=True)
    (tmp_path / "ca.der").write_bytes(certificate.der)
    assert run(["audit-report", str(report), "--certificates", str(tmp_path / "ca.der")]) == 3
    assert "CN=Unlisted CA is not listed" in capsys.readouterr().err
    digits = certificate.loaded.fingerprint(mint.HASHES["sha256"]).hex().upper()
    report.write_bytes(pdf([WEBTRUST.replace(ROOT, digits)]))
    assert run(["audit-report", str(report), "--certificates", str(tmp_path / "ca.der")]) == 0


def test_one_that_takes_for_ever_is_given_up(
    report: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The child's processor time ends, and the command says so in one sentence."""

    def for_ever(_octets: bytes) -> ReportText:
        while True:
            pass

    monkeypatch.setattr(audit_report, "SECONDS", 1)
    monkeypatch.setattr(audit_report, "text_of", for_ever)
    assert run(["audit-report", str(report)]) == 2
    assert "it takes longer than 1 s to read" in capsys.readouterr().err


def test_one_that_takes_all_memory_is_given_up(
    report: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The child's memory ends, and this process's does not."""

    def endless(_octets: bytes) -> ReportText:
        return ReportText((" " * (audit_report.MEMORY + 1),), pdf=True)

    monkeypatch.setattr(audit_report, "text_of", endless)
    assert run(["audit-report", str(report)]) == 2
    assert "more than 2 GiB" in capsys.readouterr().err
