"""The service reads its whole log once a week and so meets the 31 days of NSR 3.1.2; damage is told, not noted."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from tests.world import World

from privyseal.compliance.outcome import Verdict
from privyseal.compliance.requirement import Kind
from privyseal.errors import VerificationFailed
from privyseal.records import evidence, findings
from privyseal.signing import duties, evaluation, log_check
from privyseal.signing.recorded_duties import facts_of_all_subscribers

INTEGRITY = "NSR-3.1.2-01"


@pytest.fixture(autouse=True)
def _settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "SETTLED", timedelta(seconds=-1))


def verdict(world: World) -> Verdict:
    evaluation.walk(world.seal, world.now)
    with world.seal.records.reading_all_subscribers() as connection:
        kept = findings.current(connection, None)
    return next(each.verdict for each in kept if each.kind is Kind.LOG and each.requirement == INTEGRITY)


def checks(world: World) -> int:
    with world.seal.records.reading_all_subscribers() as connection:
        return len(evidence.log_checks_of_all_subscribers(connection))


def damage(world: World) -> Path:
    bundles = [each for each in (world.directory / "log" / "tile" / "entries").rglob("*") if each.is_file()]
    file = max(bundles, key=lambda each: int(each.name))  # of the partial ones the newest; the others count no more
    octets = bytearray(file.read_bytes())
    octets[len(octets) // 2] ^= 1
    file.chmod(0o644)
    file.write_bytes(octets)
    return file


def test_a_log_that_is_checked_weekly_meets_the_requirement(world: World) -> None:
    """Before the first check nothing is evidenced; after five weeks of them it is met still."""
    world.ask([world.client(n) for n in range(3)])
    assert verdict(world) is Verdict.NOT_EVIDENCED
    for _ in range(5):
        assert duties.check_log(world.seal)
        assert not duties.check_log(world.seal)
        world.now += log_check.EVERY
    assert checks(world) == 5
    assert verdict(world) is Verdict.MET
    with world.seal.records.reading_all_subscribers() as connection:
        log = facts_of_all_subscribers(connection, "World", world.now).log
        told = findings.progress_of_all_subscribers(connection, Kind.LOG)
    assert (log.checked_at, log.intact) == (world.now - log_check.EVERY, True)
    assert told is not None
    assert (told.event, told.basis) == (world.checkpoint().size, world.checkpoint().root.hex())


def test_a_month_without_a_check_is_not_made_good(world: World) -> None:
    """Who lets 31 days go by has not met it, whatever is done afterwards."""
    duties.check_log(world.seal)
    world.now += timedelta(days=32)
    duties.check_log(world.seal)
    assert verdict(world) is Verdict.NOT_MET


def test_damage_is_told_and_no_check_is_noted(world: World) -> None:
    """It is tried again each time, until somebody has mended the log."""
    world.ask([world.client(n) for n in range(3)])
    file = damage(world)
    for _ in range(2):
        with pytest.raises(VerificationFailed, match="not whole"):
            duties.check_log(world.seal)
    assert checks(world) == 0
    octets = bytearray(file.read_bytes())
    octets[len(octets) // 2] ^= 1
    file.write_bytes(octets)
    assert duties.check_log(world.seal)


def test_whoever_signs_has_the_processor_between_files(world: World) -> None:
    """Reading goes on in pieces."""
    world.ask([world.client(n) for n in range(3)])
    breaths: list[int] = []
    log_check.FILES, before = 1, log_check.FILES
    try:
        assert duties.check_log(world.seal, breathe=lambda: breaths.append(1))
    finally:
        log_check.FILES = before
    assert len(breaths) >= 2
