"""What people declare of the Timestamp Authority's CAs, audits and surroundings: each fact decides, one at a time."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest

from privyseal.compliance.catalogue import BY_ID
from privyseal.compliance.evaluate import evaluate
from privyseal.compliance.known import Known
from privyseal.compliance.modules import Status, Validation
from privyseal.compliance.outcome import Verdict
from privyseal.compliance.requirement import Asked
from privyseal.compliance.statements import AuditPeriod, Document, Matter, ModuleCertificate, Own, Said, Stated
from privyseal.compliance.statements_of_timestamps import AuthorityWatched, StamperNoted, TimestampCa, TimestampKeyUsed
from privyseal.compliance.subjects import TimestampAuthorityRecord
from privyseal.signing import judging
from privyseal.signing.known import known_from

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
ROOT, SUB, CEREMONY = "a" * 64, "b" * 64, "c" * 64


def known(*matters: Matter | Own) -> Known:
    found = []
    for entry, matter in enumerate(matters):
        said = Said(subscriber="demo", by="M-1", at=NOW, number=entry, matter=matter)
        found.append(Stated(said=said, octets=b"%d" % entry, salt=b"", entry=entry))
    return known_from(found)


def a_ca(certificate: str, **changes: Any) -> TimestampCa:
    right = {
        "certificate": certificate, "subject": "CN=CA", "root": certificate == ROOT,
        "issued": datetime(2025, 6, 1, tzinfo=UTC), "until": datetime(2040, 6, 1, tzinfo=UTC), "operator": "Example CA",
        "offline": True, "high_security_zone": True, "module": "FIPS 140-2:4711", "ceremony": CEREMONY,
    }  # fmt: skip
    return TimestampCa(**right | changes)  # type: ignore[arg-type]


def a_module(level: int = 3, *more: Status) -> ModuleCertificate:
    history = (Status(status="active", since=date(2021, 5, 5)), *more)
    validation = Validation(
        name="Box 7", scheme="FIPS 140-2", number="4711", level=level, maker="Example", models=("*",), firmware=("*",),
        history=history,
    )  # fmt: skip
    return ModuleCertificate(module="Box 7", scheme="FIPS 140-2", number="4711", validation=validation)


RECORD = Document(sha256=CEREMONY, size=1, filename="r.json", kind="key-ceremony", issuer="Example CA")
USED = TimestampKeyUsed(
    key_id="d" * 64, certificate="e" * 64, issued=datetime(2026, 6, 1, tzinfo=UTC),
    until=datetime(2036, 6, 1, tzinfo=UTC), used_until=datetime(2027, 9, 1, tzinfo=UTC), issuers=(SUB,),
)  # fmt: skip


def of_authority(found: Known, requirement: str, at: datetime = NOW) -> Verdict:
    record = TimestampAuthorityRecord(label="tsa", at=at, evidence=found.documents("service"))
    (one,) = evaluate(record, [BY_ID[requirement]], Asked(at, {}))
    return one.verdict


def of_key(found: Known) -> Verdict:
    record = judging.timestamp_key(found.timestamp_keys[0], found, NOW)
    (one,) = evaluate(record, [BY_ID["CSBR-6.2.7.2-02"]], Asked(NOW, {}))
    return one.verdict


@pytest.mark.parametrize(
    ("matters", "verdict"),
    [
        ((), Verdict.NOT_EVIDENCED),
        ((USED, RECORD, a_module(), a_ca(ROOT), a_ca(SUB)), Verdict.MET),
        ((USED, RECORD, a_module(), a_ca(ROOT, offline=False), a_ca(SUB)), Verdict.NOT_MET),
        ((USED, RECORD, a_module(), a_ca(ROOT), a_ca(SUB, offline=False)), Verdict.NOT_MET),
        ((USED, RECORD, a_module(), a_ca(ROOT), a_ca(SUB, high_security_zone=False)), Verdict.NOT_MET),
        ((USED, RECORD, a_module(2), a_ca(ROOT), a_ca(SUB)), Verdict.NOT_MET),
        (
            (USED, RECORD, a_module(3, Status(status="revoked", since=date(2026, 1, 1))), a_ca(ROOT), a_ca(SUB)),
            Verdict.NOT_MET,
        ),
        ((USED, RECORD, a_ca(ROOT), a_ca(SUB)), Verdict.NOT_EVIDENCED),  # no register has the module
        ((USED, a_module(), a_ca(ROOT), a_ca(SUB)), Verdict.NOT_EVIDENCED),  # no record of the ceremony
        ((USED, RECORD, a_module(), a_ca(ROOT), a_ca(SUB, ceremony=None)), Verdict.JUDGEMENT),  # of one CA there is
        ((USED, RECORD, a_module(), a_ca(ROOT)), Verdict.JUDGEMENT),  # the issuer of the key is not declared
        ((USED, RECORD, a_module(), a_ca(SUB)), Verdict.JUDGEMENT),  # nobody said which root there is
    ],
)
def test_every_fact_of_a_ca_counts(matters: tuple[Matter | Own, ...], verdict: Verdict) -> None:
    """CSBR 6.2.7.2: offline, in a High Security Zone, in a module of level 3, with the record of its ceremony."""
    assert of_authority(known(*matters), "CSBR-6.2.7.2-01") is verdict


def test_a_subordinate_ca_that_does_not_live_long_may_be_online() -> None:
    """72 months to the second are not longer; one second more is. What was issued before 15 April 2025 is not new."""
    issued = datetime(2025, 6, 1, tzinfo=UTC)
    short = a_ca(SUB, offline=False, issued=issued, until=datetime(2031, 5, 31, 23, 59, 59, tzinfo=UTC))
    long = msgspec.structs.replace(short, until=datetime(2031, 6, 1, tzinfo=UTC))
    old = msgspec.structs.replace(long, issued=datetime(2025, 4, 14, 23, 59, 59, tzinfo=UTC))
    others = (USED, RECORD, a_module(), a_ca(ROOT))
    assert of_authority(known(*others, short), "CSBR-6.2.7.2-01") is Verdict.MET
    assert of_authority(known(*others, long), "CSBR-6.2.7.2-01") is Verdict.NOT_MET
    assert of_authority(known(*others, old), "CSBR-6.2.7.2-01") is Verdict.MET
    assert [of_key(known(*others, each)) for each in (short, long, old)] == [
        Verdict.MET, Verdict.NOT_MET, Verdict.NOT_MET,
    ]  # fmt: skip
    assert of_key(known(*others, a_ca(SUB))) is Verdict.MET
    assert of_key(known(*others)) is Verdict.NOT_EVIDENCED


SCHEME = "WebTrust Principles and Criteria for Code Signing 3.7 with Network Security 1.7"


@pytest.mark.parametrize(
    ("scheme", "report", "verdict"),
    [
        (SCHEME, "f" * 64, Verdict.MET),
        ("ETSI EN 319 411-1 with EN 319 401", "f" * 64, Verdict.MET),
        (SCHEME, None, Verdict.NOT_EVIDENCED),
        ("ISO 27001", "f" * 64, Verdict.NOT_MET),
    ],
)
def test_the_authority_has_its_own_audit(scheme: str, report: str | None, verdict: Verdict) -> None:
    """CSBR 8.4.3, by its own period; the Signing Service's period is then asked for 8.4.2 and not for that."""
    period = AuditPeriod(
        scheme=scheme, start=date(2025, 7, 1), end=date(2026, 6, 30), auditor="Auditors", report=report,
        of="timestamp-authority",
    )  # fmt: skip
    service = AuditPeriod(scheme=SCHEME, start=date(2025, 7, 1), end=date(2026, 6, 30), auditor="Auditors")
    of_service, of_authority = judging.audit_periods(known(service, period), NOW)
    told = {each.requirement: each.verdict for each in judging.judge(of_authority, Asked(NOW, {}))}
    assert told["CSBR-8.4.3-01"] is verdict and "CSBR-8.4.2-01" not in told
    told = {each.requirement: each.verdict for each in judging.judge(of_service, Asked(NOW, {}))}
    assert "CSBR-8.4.2-01" in told and "CSBR-8.4.3-01" not in told
    (alone,) = judging.audit_periods(known(service), NOW)
    assert "CSBR-8.4.3-01" in {each.requirement for each in judging.judge(alone, Asked(NOW, {}))}


def watched(what: Any, end: date = date(2026, 11, 29), events: int = 2) -> AuthorityWatched:
    return AuthorityWatched(what=what, start=date(2026, 11, 1), end=end, events=events, note="In the guards' book.")


STARTED = StamperNoted(books="0" * 32, number=1, at=NOW, what="started", detail="")


@pytest.mark.parametrize(
    ("requirement", "matters"),
    [
        ("CSBR-5.4.1.2-01", (watched("access"), watched("premises"))),
        ("CSBR-5.4.1.2-04", (STARTED, watched("access"), watched("network"))),
        ("CSBR-5.4.1.2-05", (watched("revocations", events=0),)),
    ],
)
def test_what_no_machine_of_ours_sees_is_declared(requirement: str, matters: tuple[Matter | Own, ...]) -> None:
    """All of what a clause names makes it met, for a month after the last day; one thing less leaves it unshown."""
    assert of_authority(known(*matters), requirement) is Verdict.MET
    assert of_authority(known(*matters), requirement, NOW + timedelta(days=31)) is Verdict.NOT_EVIDENCED
    for left_out in range(len(matters)):
        some = [each for place, each in enumerate(matters) if place != left_out]
        assert of_authority(known(*some), requirement) is Verdict.NOT_EVIDENCED
