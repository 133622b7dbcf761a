"""Calls that fail under a running process: it ends or goes on, and either way every promise is kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.crash import full_disk, injected_serve
from tests.crash.injected_errors import campaign
from tests.world import found


@pytest.mark.timeout(3 * 3600)
@pytest.mark.parametrize("injections", [40, pytest.param(None, marks=pytest.mark.nightly)])
def test_a_system_call_that_fails_breaks_no_promise(folder: Path, injections: int | None) -> None:
    """EIO, ENOSPC, EINTR at writes, syncs, renames and opens of logger and signer; a failed sync ends the process."""
    figures = campaign(folder, injections)
    print(figures)
    assert figures.injections >= 0.9 * (injections or 180)
    assert figures.exits


@pytest.mark.timeout(3 * 3600)
@pytest.mark.parametrize("injections", [8, pytest.param(None, marks=pytest.mark.nightly)])
def test_a_call_that_fails_on_the_records_breaks_no_promise(folder: Path, injections: int | None) -> None:
    """The same for ``serve`` on its records, and for its stamper: it goes on serving, and nobody has two answers."""
    figures = injected_serve.campaign(folder, injections)
    print(figures)
    assert sum(figures.by.values()) >= 0.7 * (injections or 30)


@pytest.mark.timeout(900)
def test_a_full_disk_loses_nothing(folder: Path) -> None:
    """No space at one write after the other: one sentence, no process dies of it, and with room all are served."""
    figures = full_disk.campaign(found(folder / "founded"), folder)
    print(figures)
    assert sum(figures.refused.values()) >= 5
    assert set(figures.refused) <= {"unavailable", "log-unavailable", "key-store-unavailable", "failed"}
    assert set(figures.exits) <= {8}
