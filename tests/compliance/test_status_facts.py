"""When the clauses on CRLs, OCSP, tokens and weak keys took force, and by which ballot: facts, kept apart from code."""

from datetime import date

import pytest

from privyseal.compliance.catalogue import BY_ID

FACTS = {
    "CSBR-4.9.1-01": ("CSC-18", "3.3", "2024-04-15"),
    "CSBR-4.9.6-01": ("CSC-12", "2.7", "2021-12-03"),
    "CSBR-4.9.7-01": ("CSC-8", "2.3", "2021-05-02"),
    "CSBR-4.9.7-02": ("CSC-8", "2.3", "2021-05-02"),
    "CSBR-4.9.7-03": ("CSC-1", "1.2", "2019-08-13"),
    "CSBR-4.9.9-01": ("CSC-19", "3.4", "2023-09-05"),
    "CSBR-4.9.10-02": ("CSC-1", "1.2", "2019-08-13"),
    "CSBR-4.9.10-03": ("CSC-1", "1.2", "2019-08-13"),
    "CSBR-4.9.13-01": ("CSC-19", "3.4", "2023-09-15"),
    "CSBR-4.10.1-01": ("CSC-19", "3.4", "2023-09-05"),
    "CSBR-6.1.1.3-01": ("CSC-19", "3.4", "2023-09-05"),
    "CSBR-6.1.6-01": ("CSC-19", "3.4", "2023-09-05"),
    "CSBR-6.1.6-02": ("CSC-19", "3.4", "2023-09-05"),
    "CSBR-6.1.6-03": ("CSC-19", "3.4", "2023-09-05"),
    "CSBR-6.3.2-04": ("CSC-26", "3.9", "2024-08-01"),
    "CSBR-6.8-07": ("CSC-26", "3.9", "2024-08-01"),
    "CSBR-6.8-08": ("CSC-1", "1.2", "2019-08-13"),
    "CSBR-7.2-01": ("CSC-1", "1.2", "2019-08-13"),
    "CSBR-7.2-02": ("CSC-1", "1.2", "2019-08-13"),
    "CSBR-7.2.2-01": ("CSC-12", "2.7", "2022-07-01"),
}


@pytest.mark.parametrize("name", sorted(FACTS))
def test_ballot_version_and_first_day(name: str) -> None:
    ballot, version, since = FACTS[name]
    found = BY_ID[name]
    assert (found.source.ballot, found.source.version) == (ballot, version)
    assert found.in_force.since == date.fromisoformat(since)
    assert found.in_force.until is None
