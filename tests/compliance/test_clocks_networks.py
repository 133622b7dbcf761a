"""The clocks of NetSec: the day before, the day, and one second too late."""

from __future__ import annotations

import pytest
from tests.compliance.picked import SECOND, moment, states, the

from privyseal.compliance.clocks import dues
from privyseal.compliance.due import State
from privyseal.compliance.duty_facts import DutyFacts
from privyseal.compliance.requirement import Nature


@pytest.mark.parametrize(
    ("fact", "requirement", "what", "warns", "last"),
    [
        ("inventory_on = 2026-01-31", "NSR-1-01", "", "2026-02-23", "2026-03-02"),
        ("change_process_reviewed_on = 2026-01-31", "NSR-1.3-01", "review", "2027-01-24", "2027-01-31"),
        ("accounts_reviewed_on = 2025-11-30", "NSR-2.2.1.4-01", "", "2026-02-21", "2026-02-28"),
        ("penetration_tested_on = 2026-02-28", "NSR-4.2.1.1-01", "", "2026-12-30", "2027-02-28"),
    ],
)
def test_what_is_done_again_and_again(fact: str, requirement: str, what: str, warns: str, last: str) -> None:
    """The day before the warning, the warning, the last second, and the next (NetSec)."""
    given_ = f"[network]\n{fact}\n"
    before = moment(warns) - SECOND
    assert the(given_, before, requirement, what=what).state is State.IN_TIME
    assert the(given_, warns, requirement, what=what).state is State.WARNING
    assert the(given_, f"{last}T23:59:59", requirement, what=what).state is State.WARNING
    assert the(given_, moment(f"{last}T23:59:59") + SECOND, requirement, what=what).state is State.BREACHED
    assert the("", last, requirement, what=what).state is State.UNKNOWN


def test_the_log_is_checked_every_31_days_or_all_the_time() -> None:
    """31 days to the second; a machine is never late; damage is a breach whoever watches (NSR 3.1.2)."""
    given_ = "[log]\nchecked_at = 2026-01-31T10:00:00Z\n"
    seen = states(given_, "NSR-3.1.2-01", "", "2026-02-24T09:59:59", "2026-03-03T10:00", "2026-03-03T10:00:01")
    assert seen == ["in-time", "warning", "breached"]
    assert states(given_ + "continuous = true", "NSR-3.1.2-01", "", "2026-06-01") == ["in-time"]
    assert states(given_ + "continuous = true\nintact = false", "NSR-3.1.2-01", "", "2026-02-01") == ["breached"]
    assert states("", "NSR-3.1.2-01", "", "2026-02-01") == ["unknown"]


def test_a_change_is_approved_first_and_by_another() -> None:
    """In the same second is first; a second later is not, and neither is one's own approval (NSR 1.3)."""
    change = '[[changes]]\nid = "C"\nmade_by = "ann"\nmade_at = 2026-03-01T10:00:00Z\n'
    for more, state in (
        ("approved_at = 2026-03-01T10:00:00Z\napproved_by = 'bob'", State.DONE),
        ("approved_at = 2026-02-27T10:00:00Z\napproved_by = 'bob'", State.DONE),
        ("approved_at = 2026-03-01T10:00:01Z\napproved_by = 'bob'", State.BREACHED),
        ("approved_at = 2026-03-01T10:00:00Z\napproved_by = 'ann'", State.BREACHED),
        ("", State.BREACHED),
    ):
        assert the(change + more, "2026-03-02", "NSR-1.3-01", "C").state is state, more


def test_a_significant_change_is_tested() -> None:
    """Within 90 days, a house rule; a test before the change does not count, the yearly one after it does."""
    change = '[[changes]]\nid = "C"\nmade_at = 2026-01-01T10:00:00Z\nsignificant = true\n'
    due = the(change, "2026-04-01T10:00", "NSR-4.2.1.1-01", "C")
    assert (due.state, due.nature) == (State.WARNING, Nature.HOUSE_RULE)
    assert the(change, "2026-04-01T10:00:01", "NSR-4.2.1.1-01", "C").state is State.BREACHED
    for tested, state in (("2025-12-31", State.BREACHED), ("2026-03-31", State.DONE)):
        found = the(f"[network]\npenetration_tested_on = {tested}\n" + change, "2026-04-02", "NSR-4.2.1.1-01", "C")
        assert found.state is state


def test_an_alert_goes_by_two_channels_and_is_answered_within_24_hours() -> None:
    """One channel twice is one; the answer's last second is in time (NSR 3.2.2, 3.2.3)."""
    alert = '[[alerts]]\nid = "A"\nraised_at = 2026-03-01T10:00:00Z\n'
    for channels, state in (
        ('["mail", "phone"]', State.DONE),
        ('["mail", "mail"]', State.BREACHED),
        ("[]", State.BREACHED),
    ):
        assert the(f"{alert}channels = {channels}", "2026-03-01T10:00:01", "NSR-3.2.2-01").state is state
    seen = states(alert, "NSR-3.2.3-01", "", "2026-03-02T03:59:59", "2026-03-02T10:00", "2026-03-02T10:00:01")
    assert seen == ["in-time", "warning", "breached"]
    late = alert + "answered_at = 2026-03-02T10:00:01Z"
    assert states(late, "NSR-3.2.3-01", "", "2026-03-03") == ["breached"]


def test_a_vulnerability_has_the_policys_deadline() -> None:
    """And where the policy has none, that is what is missing (NSR 4.3)."""
    found = '[[vulnerabilities]]\nid = "V"\nseverity = "critical"\nfound_at = 2026-03-01T10:00:00Z\n'
    with_ = "[network]\nmending_hours = {critical = 96}\n" + found
    assert states(with_, "NSR-4.3-01", "", "2026-03-05T10:00", "2026-03-05T10:00:01") == ["warning", "breached"]
    assert states(with_ + "mended_at = 2026-03-05T10:00:00Z", "NSR-4.3-01", "", "2027-03-05") == ["done"]
    none = the(found, "2026-03-05", "NSR-4.3-01")
    assert (none.state, "sets no deadline for critical" in none.text) == (State.UNKNOWN, True)


def test_who_leaves_loses_access_within_24_hours() -> None:
    """To the second (NSR 2.2.1.3); another time zone and its summer time change nothing."""
    gone = '[[leavers]]\nmember = "eve"\nleft_at = 2026-03-28T18:00:00+01:00\n'
    seen = states(gone, "NSR-2.2.1.3-01", "", "2026-03-29T19:00:00+02:00", "2026-03-29T19:00:01+02:00")
    assert seen == ["warning", "breached"]
    assert states(gone + "disabled_at = 2026-03-29T19:00:00+02:00", "NSR-2.2.1.3-01", "", "2027-01-01") == ["done"]


def test_netsec_binds_through_the_present_text_only() -> None:
    """NSR 2 is in force since 2025-11-12."""
    assert not [each for each in dues(DutyFacts(), moment("2025-11-11T23:59:59")) if each.clause.startswith("NSR")]
    assert len([each for each in dues(DutyFacts(), moment("2025-11-12")) if each.clause.startswith("NSR")]) == 5
