"""Timestamp keys: another one in time, the old one gone (CSBR 6.3.2); the day before, the day, a second too late."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.compliance.picked import states, the

from privyseal.cli import doctor_timestamps
from privyseal.compliance.due import State
from privyseal.compliance.requirement import Nature
from privyseal.pki.rehearsal import RehearsalAuthority
from privyseal.strongroom import founding

KEY = """
[[timestamp_keys]]
key = "timestamp key aa"
issued_at = 2025-03-01T10:00:00Z
ends_at = 2036-05-01T00:00:00Z
"""
START = datetime(2025, 1, 1, tzinfo=UTC)
FOLLOWED, REMOVED = "CSBR-6.3.2-04", "CSBR-6.3.2-05"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a stamper's room whose key was certified at START."""
    directory = tmp_path_factory.mktemp("doctor")
    authority = RehearsalAuthority.create(START, "Doctor")
    spki = founding.create_stamper(directory / "stamper", lambda: START, "ecdsa-p256")
    chain = (authority.issue_timestamp_authority(spki, START), authority.timestamp_issuer)
    founding.install_stamper_chain(directory / "stamper", spki, chain)
    return directory


def test_another_key_is_asked_for_sixty_days_before() -> None:
    """Nothing is broken when the 15 months are over, for the stamper stops; but no timestamps are given."""
    seen = states(
        KEY, FOLLOWED, "new", "2026-04-02T09:59:59", "2026-04-02T10:00:00", "2026-06-01T10:00:00", "2026-06-01T10:00:01"
    )
    assert seen == ["in-time", "warning", "warning", "lapsed"]
    assert "no timestamps" in the(KEY, "2026-06-02", FOLLOWED).text
    followed = KEY + "followed_at = 2026-05-01T00:00:00Z\n"
    assert the(followed, "2026-07-01", FOLLOWED).state is State.DONE
    assert the(followed, "2026-04-30", FOLLOWED).state is State.WARNING  # what comes later is not known then


def test_the_old_key_is_removed_between_15_and_18_months() -> None:
    """From the end of its use it is asked for; a second after 18 months it is a breach, and stays one."""
    seen = states(
        KEY, REMOVED, "remove", "2026-06-01T09:59:59", "2026-06-01T10:00:00", "2026-09-01T10:00:00",
        "2026-09-01T10:00:01",
    )  # fmt: skip
    assert seen == ["in-time", "warning", "warning", "breached"]
    assert the(KEY, "2026-09-02", REMOVED).nature is Nature.TEXT
    for removed, state in (("2026-09-01T10:00:00Z", State.DONE), ("2026-09-01T10:00:01Z", State.BREACHED)):
        assert the(f"{KEY}removed_at = {removed}\n", "2026-12-01", REMOVED).state is state


@pytest.mark.parametrize(("ends", "asked"), [("2026-06-01T09:59:59Z", False), ("2026-06-01T10:00:00Z", True)])
def test_a_certificate_of_no_more_than_15_months_asks_for_no_removal(ends: str, asked: bool) -> None:
    """Both its ends counted (CSBR 1.6.1); its key signs until its end."""
    short = KEY.replace("2036-05-01T00:00:00Z", ends)
    if asked:
        assert the(short, "2026-05-01", REMOVED).state is State.IN_TIME
    else:
        with pytest.raises(AssertionError, match=r"\[\]"):
            the(short, "2026-05-01", REMOVED)
    assert the(short, "2026-05-01", FOLLOWED).due == datetime.fromisoformat(ends)


def test_what_is_not_known_is_said() -> None:
    """No key is in time of whose certificate nobody knows the dates."""
    unknown = '[[timestamp_keys]]\nkey = "x"\n'
    assert the(unknown, "2026-01-01", FOLLOWED).state is State.UNKNOWN
    assert the(unknown, "2026-01-01", REMOVED).state is State.UNKNOWN


@pytest.mark.parametrize(
    ("days", "state", "words"),
    [
        (0, "good", "signs until"),
        (394, "good", "signs until"),
        (395, "weak", "only: privyseal tsa renew"),
        (456, "bad", "signs no more since"),
    ],
)
def test_doctor_turns_with_the_clock(service: Path, days: int, state: str, words: str) -> None:
    """Of a rehearsal's certificate of 455 days: 60 days before its end it is weak, and at the end bad."""
    (found,) = doctor_timestamps.timestamp_keys(service, START + timedelta(days=days))
    assert (found.state, words in found.text) == (state, True), found


@pytest.mark.parametrize(
    ("at", "state"),
    [("2026-06-01T09:59", "good"), ("2026-06-01T10:00", "weak"), ("2026-09-01T10:00", "weak"),
     ("2026-09-01T10:01", "bad")],
)  # fmt: skip
def test_doctor_tells_of_a_former_key(at: str, state: str) -> None:
    issued, ends = datetime(2025, 3, 1, 10, tzinfo=UTC), datetime(2036, 5, 1, tzinfo=UTC)
    now = datetime.fromisoformat(at).replace(tzinfo=UTC)
    assert doctor_timestamps._former(issued, ends, now)[0] == state
