"""The subjects of a running service: their clocks, what is unknown, and the limits by which signatures are grouped."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.compliance.builders import service

from privyseal.compliance.catalogue import REQUIREMENTS
from privyseal.compliance.evaluate import evaluate
from privyseal.compliance.outcome import Verdict
from privyseal.compliance.requirement import Asked, DatedBy, Kind
from privyseal.compliance.subjects import (
    AuditPeriodRecord,
    CertificateStatus,
    IncidentRecord,
    KeyPairRecord,
    LogRecord,
    MemberRecord,
    OrganisationRecord,
    SignatureRecord,
    SubscriberRecord,
    TimestampAuthorityRecord,
)

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
EMPTY: tuple[Any, ...] = (
    KeyPairRecord(label="x", at=NOW),
    SignatureRecord(label="x", at=NOW),
    SubscriberRecord(label="x", at=NOW),
    MemberRecord(label="x", at=NOW),
    LogRecord(label="x", at=NOW),
    TimestampAuthorityRecord(label="x", at=NOW),
    OrganisationRecord(label="x", at=NOW),
    AuditPeriodRecord(label="x", at=NOW),
    IncidentRecord(label="x", at=NOW),
)


@pytest.mark.parametrize("subject", EMPTY, ids=lambda each: each.kind)
def test_of_what_nothing_is_known_nothing_is_met(subject: Any) -> None:
    """Every requirement of its kind has a verdict, no check breaks, and none is met."""
    found = list(evaluate(subject, REQUIREMENTS, Asked(NOW)))
    kinds = [each for each in REQUIREMENTS if subject.kind in each.kinds and each.in_force.until is None]
    assert len(found) >= bool(kinds)
    assert not [each for each in found if each.verdict in (Verdict.MET, Verdict.BROKEN)]


def test_there_is_a_subject_for_each_kind_that_a_service_is_judged_on() -> None:
    """Certificates and their like are read from octets, elsewhere."""
    read = {"certificate", "certificate-request", "crl", "ocsp-response", "timestamp-token"}
    assert {each.kind.value for each in EMPTY} == {each.value for each in Kind} - read


@pytest.mark.parametrize("subject", EMPTY, ids=lambda each: each.kind)
def test_a_clock_that_it_does_not_have_shows_nothing(subject: Any) -> None:
    """A moment that nobody knows is None, and never now, unless today is what is asked about."""
    shown = {clock: subject.when(clock) for clock in DatedBy}
    if subject.kind in (Kind.SUBSCRIBER, Kind.ORGANISATION):
        assert shown.pop(DatedBy.EVENT) == NOW
    assert not [clock for clock, moment in shown.items() if moment is not None]


def test_a_check_that_wants_more_names_what() -> None:
    """Whoever reads not-evidenced knows what to do next."""
    for subject in EMPTY:
        for finding in evaluate(subject, REQUIREMENTS, Asked(NOW)):
            assert finding.verdict is not Verdict.NOT_EVIDENCED or finding.mend, finding


# -- signatures that are alike ---------------------------------------------------------------------------------------
RULES = [each for each in REQUIREMENTS if Kind.SIGNATURE in each.kinds]


def verdicts(record: SignatureRecord) -> list[tuple[str, Verdict]]:
    return [(each.requirement, each.verdict) for each in evaluate(record, RULES, Asked(NOW))]


def midnights() -> set[datetime]:
    from privyseal.records.released import _MIDNIGHTS

    return set(_MIDNIGHTS)


@pytest.mark.parametrize("seed", range(60))
def test_between_two_limits_all_signatures_have_the_same_verdicts(seed: int) -> None:
    """On this rests that a million is judged by judging a few: whoever adds a check that asks more, fails here."""
    draw = random.Random(seed)

    def moment() -> datetime:
        return datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=draw.randrange(100_000_000))

    def maybe() -> datetime | None:
        return moment() if draw.random() < 0.7 else None

    status = CertificateStatus(said_at=moment(), good_until=moment(), revoked_at=maybe())
    record = service.signature(
        {
            "not_before": moment(),
            "not_after": moment(),
            "accepted": maybe(),
            "believed": maybe(),
            "status": status if draw.random() < 0.7 else None,
        }
    )
    limits = sorted({*record.limits(), *midnights()})
    edges = [limits[0] - timedelta(days=9), *limits, limits[-1] + timedelta(days=9)]
    for first, after in itertools.pairwise(edges):
        last = after - timedelta(microseconds=1)
        inside = first + (last - first) * draw.random()
        found = [verdicts(at(record, each)) for each in (first, inside, last) if first <= each <= last]
        assert all(each == found[0] for each in found)


def at(record: SignatureRecord, signed: datetime) -> SignatureRecord:
    import msgspec

    return msgspec.structs.replace(record, signed=signed)


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        ({}, "met"),
        ({"last_signature": datetime(2026, 11, 1, tzinfo=UTC)}, "met"),
        ({"last_signature": datetime(2026, 11, 1, 0, 0, 1, tzinfo=UTC)}, "not-met"),
        ({"unknown": ["last_signature"]}, "not-evidenced"),
        ({"unknown": ["revocation_asked"]}, "not-evidenced"),
        ({"unknown": ["believed"]}, "not-evidenced"),
    ],
    ids=str,
)
def test_after_an_incident_the_key_rests_and_revocation_is_asked_for(words: dict[str, Any], verdict: str) -> None:
    """The second in which it is first believed is the last in which it may have signed."""
    rule = next(each for each in REQUIREMENTS if each.id == "CSBR-9.6.3-09")
    [finding] = evaluate(service.incident(words), [rule], Asked(NOW))
    assert finding.verdict == verdict
