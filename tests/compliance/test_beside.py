"""Things handed in together: what they say of each other, and what pkilint says of CRLs and OCSP responses."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from tests.compliance.builders import certificate as certificates
from tests.compliance.builders import crl as crls
from tests.compliance.builders import ocsp as responses
from tests.compliance.builders import request as requests

from privyseal.compliance import crl, pkix_status
from privyseal.compliance.beside import coverage, stand_together
from privyseal.compliance.certificate import read
from privyseal.compliance.crl import Covers, RevocationList
from privyseal.compliance.lint import lint
from privyseal.compliance.ocsp import Signer, StatusResponse
from privyseal.compliance.outcome import Finding, Verdict
from privyseal.compliance.requirement import Asked, Kind
from privyseal.errors import BadInput
from privyseal.pki import der

NOW = datetime(2026, 11, 25, tzinfo=UTC)
WEEK = timedelta(days=7)


def _list(label: str, **words: Any) -> RevocationList:
    return msgspec.structs.replace(crls.build({"covers": "unknown", **words}), label=label)


def _pem(*octets: tuple[str, bytes]) -> bytes:
    import base64

    return b"".join(
        f"-----BEGIN {word}-----\n".encode() + base64.encodebytes(one) + f"-----END {word}-----\n".encode()
        for word, one in octets
    )


# -- succession --------------------------------------------------------------------------------------------------------
def test_lists_of_one_issuer_follow_each_other_whatever_their_order() -> None:
    first = _list("first", entries=[{"serial": 7}, {"serial": 8}])
    second = _list("second", this_update=crls.DEFAULT + WEEK, entries=[{"serial": 8}, {"serial": 9}])
    found = {each.label: each.beside for each in crl.in_succession([second, first])}
    assert (found["first"].next_issued, found["first"].dropped) == (second.this_update, None)
    assert (found["second"].next_issued, found["second"].dropped) == (None, (7,))


def test_lists_of_one_moment_and_of_other_kinds_tell_nothing_of_each_other() -> None:
    for other in (_list("twin"), _list("other", this_update=crls.DEFAULT + WEEK, only="ca")):
        found = crl.in_succession([_list("first", entries=[{"serial": 7}]), other])
        assert {each.beside.next_issued for each in found} == {None}
        assert {each.beside.dropped for each in found} == {None}


# -- coverage ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("words", "covers"),
    [
        ({"profile": "root"}, Covers.SUBORDINATE_CA),
        ({"profile": "subordinate", "basicConstraints": {"ca": True, "path_length": 0}}, Covers.CODE_SIGNING),
        ({"profile": "timestamp-subordinate", "basicConstraints": {"ca": True, "path_length": 0}}, Covers.TIMESTAMP),
        ({"profile": "subordinate", "basicConstraints": {"ca": True, "path_length": 1}}, None),
        ({"profile": "subordinate"}, None),
        (
            {
                "profile": "subordinate",
                "basicConstraints": {"ca": True, "path_length": 0},
                "extendedKeyUsage": ["codeSigning", "timeStamping"],
            },
            None,
        ),
        (
            {
                "profile": "subordinate",
                "basicConstraints": {"ca": True, "path_length": 0},
                "extendedKeyUsage": ["serverAuth"],
            },
            None,
        ),
    ],
)
def test_what_a_ca_covers_shows_in_its_certificate(words: dict[str, Any], covers: Covers | None) -> None:
    assert coverage(certificates.build(words)) == covers


def test_a_list_learns_from_certificates_of_its_issuer() -> None:
    issuer = read(responses.authority("Issuing CA")[1].public_bytes(Encoding.DER), "ca")
    leaf = read(responses.certificate(7).public_bytes(Encoding.DER), "leaf")
    stranger = certificates.build({"serial": 8})
    listed = msgspec.structs.replace(_list("list"), issuer=issuer.subject_octets)
    [found] = stand_together([listed], [issuer, leaf, stranger], NOW)
    assert found.beside.expiries == {7: leaf.not_after, issuer.serial: issuer.not_after}
    assert found.covers is Covers.SUBORDINATE_CA  # a root's


def test_a_request_is_judged_by_the_day_that_is_asked_for() -> None:
    made = msgspec.structs.replace(requests.build({}), received=None)
    [found] = stand_together([made], [], NOW)
    assert found.received == NOW
    [kept] = stand_together([requests.build({})], [], NOW)
    assert kept.received == requests.DEFAULT


def test_a_response_learns_its_issuer_and_its_crl() -> None:
    issuer = read(responses.authority("Issuing CA")[1].public_bytes(Encoding.DER), "ca")
    listed = msgspec.structs.replace(_list("list", entries=[{"serial": 7}]), issuer=issuer.subject_octets)
    later = msgspec.structs.replace(
        _list("later", this_update=crls.DEFAULT + WEEK, entries=[{"serial": 9}]), issuer=issuer.subject_octets
    )
    alone = responses.build({"issuer_given": False, "covers": "unknown"})
    assert alone.responder.signer is Signer.UNPROVEN
    found = stand_together([alone, listed, later], [certificates.build({}), issuer], NOW)[0]
    assert found.responder.signer is Signer.DELEGATED
    assert found.beside.on_crl == {7}, "a list from after the response says nothing of it"


def test_a_response_learns_when_the_next_one_came() -> None:
    def made(label: str, at: datetime, **words: Any) -> StatusResponse:
        return msgspec.structs.replace(responses.build({"this_update": at, **words}), label=label)

    other = made("other", crls.DEFAULT + timedelta(days=1), serial=8)
    given = [made("second", crls.DEFAULT + WEEK), other, made("first", crls.DEFAULT), made("twin", crls.DEFAULT)]
    found = {each.label: each.beside.next_issued for each in stand_together(given, [], NOW)}
    assert found["second"] is None
    assert found["other"] is None
    assert sorted((found["first"], found["twin"]), key=str) == [crls.DEFAULT + WEEK, None]


# -- through the front door --------------------------------------------------------------------------------------------
def test_a_file_may_hold_every_kind() -> None:
    octets = _pem(
        ("CERTIFICATE REQUEST", requests.octets({})),
        ("X509 CRL", crls.octets({})),
        ("OCSP RESPONSE", responses.octets({"signer": "issuer"})),
        ("CERTIFICATE", responses.authority("Issuing CA")[1].public_bytes(Encoding.DER)),
    )
    found = lint(octets, "all.pem", Asked(NOW))
    kinds = [Kind.CERTIFICATE_REQUEST, Kind.CRL, Kind.OCSP_RESPONSE, Kind.CERTIFICATE]
    assert [each.kind for each in found] == kinds
    assert [each.label for each in found] == [f"all.pem#{number}" for number in (1, 2, 3, 4)]
    signer = [each for each in found[2].findings if each.requirement == "CSBR-4.9.9-01"]
    assert [each.verdict for each in signer] == [Verdict.MET]
    assert "received 2026-11-25" in found[0].dated


def test_two_lists_in_one_file_are_held_against_each_other() -> None:
    before = crls.octets({"entries": [{"serial": 7}]})
    after = crls.octets({"this_update": crls.DEFAULT + WEEK, "entries": []})
    found = lint(_pem(("X509 CRL", before), ("X509 CRL", after)), "lists.pem", Asked(NOW))
    assert _verdicts(found[1].findings, "CSBR-7.2-01") == [Verdict.NOT_EVIDENCED]
    assert _verdicts(found[0].findings, "CSBR-4.9.7-01") == [Verdict.MET, Verdict.MET]


def _verdicts(findings: Sequence[Finding], name: str) -> list[Verdict]:
    return [each.verdict for each in findings if each.requirement == name]


def test_what_the_asker_says_counts_where_nothing_else_tells() -> None:
    month = crls.octets({"days": 30})
    assert _weekly(month, None) == [Verdict.NOT_EVIDENCED] * 2
    assert _weekly(month, Covers.CODE_SIGNING) == [Verdict.NOT_MET, Verdict.NOT_EVIDENCED]
    assert _weekly(month, Covers.TIMESTAMP) == []
    assert _weekly(crls.octets({"days": 30, "only": "ca"}), Covers.CODE_SIGNING) == [], "the list itself says otherwise"
    found = lint(responses.octets({"days": 30}), "a.ocsp", Asked(NOW), covers=Covers.CODE_SIGNING)
    assert _verdicts(found[0].findings, "CSBR-4.9.10-02") == [Verdict.NOT_MET, Verdict.NOT_EVIDENCED]


def _weekly(octets: bytes, covers: Covers | None) -> list[Verdict]:
    [found] = lint(octets, "a.crl", Asked(NOW), covers=covers)
    return _verdicts(found.findings, "CSBR-4.9.7-01")


def test_what_is_none_of_them_is_one_sentence() -> None:
    with pytest.raises(BadInput, match="none of the things that are judged"):
        lint(der.sequence(der.integer(1)), "odd.der", Asked(NOW))


# -- pkilint -----------------------------------------------------------------------------------------------------------
def _names(found: list[Finding]) -> list[tuple[str, str, Verdict]]:
    return [(each.requirement, each.clause, each.verdict) for each in found]


def test_a_good_list_and_a_good_response_have_one_finding_each() -> None:
    assert _names(list(pkix_status.crl_findings(_list("list")))) == [("PKIX-none", "RFC 5280 5", Verdict.MET)]
    found = list(pkix_status.ocsp_findings(responses.build({})))
    assert _names(found) == [("PKIX-none", "RFC 6960 4.2.1", Verdict.MET)]


def test_pkilints_findings_bear_its_codes_and_the_section() -> None:
    found = list(pkix_status.crl_findings(_list("list", no_next=True)))
    assert _names(found) == [("PKIX-pkix.validity_period_end_value_missing", "RFC 5280 5.1.2.5", Verdict.NOT_MET)]
    found = list(pkix_status.ocsp_findings(responses.build({"days": -1})))
    assert _names(found) == [("PKIX-pkix.ocsp_negative_validity_period", "RFC 6960 4.2.2.1", Verdict.NOT_MET)]
    assert found[0].text.startswith("pkilint: ")
    assert found[0].governed == responses.DEFAULT.date()


def test_of_a_long_list_pkilint_sees_the_first_entries_and_a_finding_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pkix_status, "MAX_LINTED_ENTRIES", 3)
    listed = _list("long", entries=[{"serial": number} for number in (1, 2, 3, 4)])
    found = list(pkix_status.crl_findings(listed))
    assert _names(found) == [
        ("PKIX-none", "RFC 5280 5", Verdict.MET),
        ("PKIX-rest", "RFC 5280 5", Verdict.NOT_EVIDENCED),
    ]
    assert "first 3 of 4" in found[1].text
    assert len(list(pkix_status.crl_findings(_list("short", entries=[{"serial": 1}])))) == 1


def test_a_broken_entry_among_the_first_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    octets = crls.octets({"entries": [{"serial": 7, "reason": "keyCompromise"}]})
    reason = der.oid("2.5.29.21")
    critical = octets.replace(reason + b"\x04", reason + b"\x01\x01\xff\x04")  # three octets more, in six lengths
    assert critical != octets
    with pytest.raises(BadInput):
        crl.read(critical, "lengths do not fit")
    whole = der.children(der.read(octets))
    fields = der.children(whole[0])
    entry = der.children(der.children(fields[5])[0])
    extension = der.sequence(reason, der.boolean(True), der.octet_string(der.enumerated(1)))
    entries = der.sequence(der.sequence(entry[0].raw, entry[1].raw, der.sequence(extension)))
    signed = der.sequence(*(each.raw for each in fields[:5]), entries, fields[6].raw)
    listed = crl.read(der.sequence(signed, whole[1].raw, whole[2].raw), "critical reason")
    found = _names(list(pkix_status.crl_findings(listed)))
    assert found == [("PKIX-pkix.crl_reason_code_extension_critical", "RFC 5280 5.3.1", Verdict.NOT_MET)]


def test_a_list_without_entries_and_extensions_is_shortened_to_itself() -> None:
    whole = der.children(der.read(crls.octets({})))
    fields = [each.raw for each in der.children(whole[0])]
    bare = crl.read(der.sequence(der.sequence(*fields[1:5]), whole[1].raw, whole[2].raw), "bare")  # version 1
    assert (bare.number, bare.entries) == (None, ())
    names = {each.requirement for each in pkix_status.crl_findings(bare)}
    assert "PKIX-itu.invalid_asn1_syntax" not in names
    assert "PKIX-pkix.crl_number_missing" in names


def test_pkilint_writes_nothing_on_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert logging.getLogger("pkilint").handlers, "without one, Python prints its tracebacks"
    list(pkix_status.crl_findings(_list("list")))
    assert capsys.readouterr() == ("", "")
