"""The power is cut after any operation on any file, and nothing that was acknowledged is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.crash.power import campaign


@pytest.mark.timeout(3 * 3600)
@pytest.mark.parametrize("images", [1100, pytest.param(None, marks=pytest.mark.nightly)])
def test_nothing_acknowledged_is_lost_with_the_power(folder: Path, images: int | None) -> None:
    """Records, both journals, tiles, mark and head, dropped and torn: all there, and the log goes on, unforked."""
    found = campaign(folder, images, seed=1)
    print(found)
    assert found.images >= 1000
    assert not found.lost
    assert not found.refused
    assert found.extended == found.images
    assert not [flaw for flaw in found.flawed if flaw.startswith("problem")]


@pytest.mark.timeout(900)
def test_with_less_care_something_would_be_lost(folder: Path) -> None:
    """With ``synchronous=NORMAL`` in the place of FULL this harness sees commits lost in every database."""
    found = campaign(folder, 60, seed=1, synchronous="NORMAL")
    print(found)
    assert {name.partition(": ")[2] for name in found.lost} == {
        "records.db",
        "logger/journal.sqlite3",
        "signer/journal.sqlite3",
    }
