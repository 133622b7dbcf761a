"""Octets to findings: kinds by content, several objects in a file, issuers, what is out of scope, and bad octets."""

import base64
import random
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.compliance.builders.certificate import octets

from privyseal.compliance.lint import MAX_INPUT_OCTETS, MAX_OBJECTS, Linted, lint
from privyseal.compliance.outcome import Verdict
from privyseal.compliance.requirement import Asked
from privyseal.errors import BadInput

ASKED = Asked(datetime(2026, 11, 25, 12, tzinfo=UTC))


def _pem(der: bytes, label: str = "CERTIFICATE") -> bytes:
    return f"-----BEGIN {label}-----\n{base64.encodebytes(der).decode()}-----END {label}-----\n".encode()


def _lint(*words: dict[str, Any], **options: Any) -> list[Linted]:
    return lint(b"".join(_pem(octets(each)) for each in words), "file", ASKED, **options)


def _verdicts(linted: Linted) -> dict[str, Verdict]:
    return {each.requirement: each.verdict for each in linted.findings}


@pytest.mark.parametrize("profile", ["non-ev", "ev", "timestamp", "subordinate", "timestamp-subordinate", "root"])
def test_of_what_is_well_made_nothing_is_not_met(profile: str) -> None:
    [linted] = _lint({"profile": profile})
    assert not [each for each in linted.findings if each.verdict in (Verdict.NOT_MET, Verdict.BROKEN)]
    assert _verdicts(linted)["PKIX-none"] is Verdict.MET


def test_der_and_pem_and_pem_with_words_around_it_are_the_same() -> None:
    der = octets({"days": 461})
    found = [lint(each, "x", ASKED) for each in (der, _pem(der), b"Certificate:\n  Data\n" + _pem(der) + b"end\n")]
    assert found[0] == found[1] == found[2]
    assert _verdicts(found[0][0])["CSBR-6.3.2-01"] is Verdict.NOT_MET


def test_no_label_is_believed() -> None:
    [linted] = lint(_pem(octets({}), "X509 CRL"), "x", ASKED)
    assert linted.kind == "certificate"


def test_several_objects_are_numbered_and_stand_by_each_other() -> None:
    leaf = {"issuer": {"profile": "subordinate"}}
    leaf_alone, ca = _lint(leaf, {"profile": "subordinate"})
    assert [leaf_alone.label, ca.label] == ["file#1", "file#2"]
    assert _verdicts(leaf_alone)["CSBR-6.1.7-01"] is Verdict.MET
    assert _verdicts(leaf_alone)["CSBR-7.1.4.1-01"] is Verdict.MET
    assert _verdicts(ca)["CSBR-7.1.4.1-01"] is Verdict.NOT_EVIDENCED


def test_an_issuer_may_be_brought_from_elsewhere() -> None:
    leaf = {"issuer": {"profile": "root"}, "key_identifier": "other"}
    [linted] = _lint({**leaf, "lacks": ["authorityKeyIdentifier"]}, issuers=[octets({"profile": "root"})])
    assert _verdicts(linted)["CSBR-6.1.7-01"] is Verdict.NOT_MET
    [unknown] = _lint(leaf, issuers=[octets({"profile": "root"})])  # it names another key than the root's
    assert _verdicts(unknown)["CSBR-6.1.7-01"] is Verdict.NOT_EVIDENCED


def test_each_finding_says_what_dated_it() -> None:
    [linted] = _lint({"not_before": datetime(2026, 6, 20, tzinfo=UTC)})
    assert linted.dated == "notBefore 2026-06-20; when it was issued is not evidenced"
    assert {each.dated for each in linted.findings} <= {linted.dated, "the day asked"}


def test_a_certificate_for_other_things_is_out_of_scope_and_nothing_else_is_said_of_it() -> None:
    words = {"extendedKeyUsage": ["serverAuth"], "policies": ["2.23.140.1.2.2"], "dns": ["a.example"]}
    [linted] = _lint(words, everything=True)
    assert {each for each in _verdicts(linted) if each.startswith("CSBR")} == {"CSBR-1.1-01"}
    assert _verdicts(linted)["CSBR-1.1-01"] is Verdict.NOT_APPLICABLE


def test_everything_shows_what_does_not_apply() -> None:
    [short], [long] = _lint({}), _lint({}, everything=True)
    assert Verdict.NOT_APPLICABLE not in set(_verdicts(short).values())
    assert len(long.findings) > len(short.findings)
    assert _verdicts(long)["CSBR-7.1.2.1-01"] is Verdict.NOT_APPLICABLE


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (b"", "neither DER nor PEM"),
        (b"hello", "neither DER nor PEM"),
        (b"\x30", "none of the things"),
        (b"\x30\x03\x02\x01\x01", "none of the things"),
        (b"\x30\x80\x00\x00", "none of the things"),
        (octets({}) + b"\x00", "none of the things"),
        (octets({})[:-1], "none of the things"),
        (b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----", "not base64"),
        (_pem(b"\x30\x00"), "none of the things"),
        (_pem(octets({})) + _pem(b"\x30\x00", "PRIVATE KEY"), "file#2"),
        (b"\x30" * (MAX_INPUT_OCTETS + 1), "at most"),
        (_pem(b"\x30\x00") * (MAX_OBJECTS + 1), "more than 1000"),
    ],
)
def test_what_is_nothing_that_is_judged_is_one_sentence(given: bytes, says: str) -> None:
    with pytest.raises(BadInput, match=says) as refused:
        lint(given, "file", ASKED)
    assert "\n" not in refused.value.detail
    assert refused.value.detail.startswith("file")


def test_no_octets_bring_anything_but_findings_or_a_sentence() -> None:
    whole = octets({"profile": "ev", "dns": ["a.example"], "cps": "http://a.example", "with": {"OU": "x"}})
    seed = random.Random(20261125)
    for _ in range(300):
        changed = bytearray(whole)
        for _ in range(seed.choice((1, 1, 2, 8))):
            at = seed.randrange(len(changed))
            changed[at : at + seed.randrange(3)] = seed.randbytes(seed.randrange(3))
        try:
            [linted] = lint(bytes(changed), "file", ASKED)
        except BadInput:
            continue
        broken = [each for each in linted.findings if each.verdict is Verdict.BROKEN]
        assert not [each for each in broken if each.requirement.startswith("CSBR")], bytes(changed).hex()


def test_nesting_and_numbers_cost_little() -> None:
    deep = b"\x05\x00"
    for _ in range(2000):
        deep = b"\x30" + _length(len(deep)) + deep
    many = octets({"policies": [f"1.2.3.{number}" for number in range(3000)]})
    started = datetime.now(UTC)
    with pytest.raises(BadInput):
        lint(deep, "file", ASKED)
    [linted] = lint(many, "file", ASKED)
    assert (datetime.now(UTC) - started).total_seconds() < 5
    assert _verdicts(linted)["PKIX-base.too_many_policies"] is Verdict.BROKEN


def _length(size: int) -> bytes:
    return bytes([size]) if size < 128 else bytes([0x82, size >> 8, size & 255])


def test_a_finding_of_pkilints_has_its_code_and_the_section() -> None:
    [linted] = _lint({"lacks": ["subjectKeyIdentifier"]})
    [found] = [each for each in linted.findings if each.requirement.startswith("PKIX")]
    assert found.requirement == "PKIX-pkix.certificate_skid_end_entity_missing"
    assert (found.clause, found.ballot, found.verdict) == ("RFC 5280 4.2.1.2", "", Verdict.NOT_MET)


def test_pkilint_alone_says_the_same(tmp_path: Path) -> None:
    words = {"lacks": ["authorityKeyIdentifier", "subjectKeyIdentifier"], "critical": ["authorityInfoAccess"]}
    (tmp_path / "x.der").write_bytes(octets(words))
    [linted] = lint(octets(words), "file", ASKED)
    ours = {each.requirement.removeprefix("PKIX-") for each in linted.findings if each.requirement.startswith("PKIX")}
    command = [sys.executable, "-m", "pkilint.bin.lint_pkix_cert", "lint", "-s", "WARNING", tmp_path / "x.der"]
    printed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    assert ours == set(re.findall(r"^    ([a-z_.0-9]+) \(", printed, re.MULTILINE))
    assert len(ours) == 3
