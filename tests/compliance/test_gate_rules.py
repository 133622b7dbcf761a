"""Which requirements are gates, what stops a signature, and what an override may be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from tests.compliance.builders import service

from privyseal.compliance.gates import (
    GATE_IDS,
    GATES,
    LONGEST_OVERRIDE,
    NEVER_OVERRIDDEN,
    Enabled,
    Override,
    refused_by,
    sentence,
)
from privyseal.compliance.requirement import Asked, EnforcedBy
from privyseal.errors import BadInput

NOW = datetime(2026, 11, 1, tzinfo=UTC)
ALL_GOOD: dict[str, dict[str, Any]] = {"key": {}, "signature": {"signed": NOW}, "subscriber": {}}


def stopped(
    *enabled: Enabled, overrides: tuple[Override, ...] = (), at: datetime = NOW, **words: dict[str, Any]
) -> list[str]:
    given = {name: usual | words.get(name, {}) for name, usual in ALL_GOOD.items()}
    subjects = [
        service.key_pair(given["key"]),
        service.signature(given["signature"]),
        service.subscriber(given["subscriber"]),
    ]
    return [each.requirement for each in refused_by(subjects, Asked(at), enabled, overrides)]


def lifted(requirement: str, hours: int = 1, since: datetime = NOW) -> Override:
    until = since + timedelta(hours=hours)
    return Override(subscriber="acme", requirement=requirement, reason="release 7", since=since, until=until)


def test_the_gates_are_those_of_the_contract() -> None:
    authentication, module, origin = "CSBR-6.2.7.3-02", "CSBR-6.2.7.3-03", "CSBR-1.3.5-01"
    commitments = {"CSBR-9.6.5-04", "CSBR-9.6.5-05", "CSBR-9.6.5-06"}
    acceptance, compromise, end = "CSBR-9.6.3-08", "CSBR-9.6.3-09", "CSBR-9.6.3-11"
    assert commitments | {authentication, module, origin, acceptance, compromise, end} == GATE_IDS
    assert all(EnforcedBy.TECHNICAL_GATE in each.enforced_by for each in GATES)


def test_nothing_stops_what_is_as_it_should_be() -> None:
    assert stopped() == []


@pytest.mark.parametrize(
    ("words", "by"),
    [
        ({"key": {"generated_inside": False}}, "CSBR-1.3.5-01"),
        ({"key": {"assurance": "hardware"}}, "CSBR-6.2.7.3-03"),
        ({"key": {"unknown": ["assurance"]}}, "CSBR-6.2.7.3-03"),
        ({"signature": {"unknown": ["by"]}}, "CSBR-6.2.7.3-02"),
        ({"signature": {"unknown": ["accepted"]}}, "CSBR-9.6.3-08"),
        ({"signature": {"frozen": True}}, "CSBR-9.6.3-09"),
        ({"signature": {"believed": NOW}}, "CSBR-9.6.3-09"),
        ({"signature": {"unknown": ["status"]}}, "CSBR-9.6.3-11"),
        ({"signature": {"not_after": NOW - timedelta(seconds=1)}}, "CSBR-9.6.3-11"),
    ],
    ids=str,
)
def test_unknown_stops_like_known_to_be_bad(words: dict[str, Any], by: str) -> None:
    assert stopped(**words) == [by]


def test_commitments_that_nobody_accepted_stop() -> None:
    assert stopped(subscriber={"unknown": ["accepted"]}) == ["CSBR-9.6.5-04", "CSBR-9.6.5-05", "CSBR-9.6.5-06"]


def test_a_new_gate_reports_until_its_time_and_refuses_in_that_second() -> None:
    new = Enabled("CSBR-9.6.3-08", NOW - timedelta(days=30), NOW)
    words: dict[str, Any] = {"signature": {"unknown": ["accepted"]}}
    assert stopped(new, at=NOW - timedelta(seconds=1), **words) == []
    assert stopped(new, at=NOW, **words) == ["CSBR-9.6.3-08"]


def test_an_override_holds_from_its_first_to_before_its_last_second() -> None:
    words: dict[str, Any] = {"signature": {"unknown": ["accepted"]}}
    one = lifted("CSBR-9.6.3-08")
    assert stopped(overrides=(one,), at=NOW, **words) == []
    assert stopped(overrides=(one,), at=one.until - timedelta(seconds=1), **words) == []
    assert stopped(overrides=(one,), at=one.until, **words) == ["CSBR-9.6.3-08"]
    assert stopped(overrides=(one,), at=NOW - timedelta(seconds=1), **words) == ["CSBR-9.6.3-08"]


@pytest.mark.parametrize("requirement", sorted(NEVER_OVERRIDDEN))
def test_module_and_end_of_a_certificate_are_never_lifted(requirement: str) -> None:
    with pytest.raises(BadInput, match="by nobody"):
        lifted(requirement).check()
    words: dict[str, Any] = {"key": {"assurance": "hardware"}, "signature": {"unknown": ["status"]}}
    assert requirement in stopped(overrides=(lifted(requirement),), **words)


def test_what_no_override_can_be() -> None:
    lifted("CSBR-9.6.3-08", LONGEST_OVERRIDE // timedelta(hours=1)).check()
    with pytest.raises(BadInput, match="7 days"):
        lifted("CSBR-9.6.3-08", LONGEST_OVERRIDE // timedelta(hours=1) + 1).check()
    with pytest.raises(BadInput, match="7 days"):
        lifted("CSBR-9.6.3-08", 0).check()
    with pytest.raises(BadInput, match="no gate"):
        lifted("CSBR-6.7-01").check()


def test_the_digest_covers_everything() -> None:
    one = lifted("CSBR-9.6.3-08")
    others = [{"subscriber": "other"}, {"requirement": "CSBR-9.6.3-09"}, {"reason": "release 8"}, {"until": NOW}]
    digests = {msgspec.structs.replace(one, **each).digest() for each in others}
    assert len(digests | {one.digest()}) == 5


def test_the_refusal_names_clause_sentence_and_what_would_mend_it() -> None:
    subjects = [service.key_pair({"assurance": "software", "store": "softfile"})]
    why, mend = sentence(refused_by(subjects, Asked(NOW), (), ()))
    assert "CSBR 6.2.7.3 (CSBR-6.2.7.3-03): The key is kept in software" in why
    assert "generate a new key in its module" in mend
