"""What tests of several rooms share."""

from __future__ import annotations

import functools
import gc
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.rehearsal import Rehearsal, initialise, serving
from tests.remembered import remembered

HERE = Path(__file__).parent
LONG = (HERE / "crash", HERE / "cli" / "test_sessions.py", HERE / "console")
"""Where single tests take many seconds each, as do those in the files beside this one, which start services."""

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what runs in the background so, and whatever is interrupted in a test would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGQUIT) is signal.SIG_IGN:  # for the same reason
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)


def pytest_collection() -> None:
    """Look for no garbage while the million objects of the tests are made: that takes as long as to make them."""
    gc.disable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what is long, campaigns of minutes before all, so that at the end no worker waits for another."""

    @functools.cache
    def turn(path: Path) -> int:
        places = [number for number, place in enumerate(LONG) if path.is_relative_to(place)]
        return places[0] if places else len(LONG) + (path.parent != HERE)

    items.sort(key=lambda item: turn(item.path))


def pytest_collection_finish() -> None:
    """Spare the garbage collector the million objects of what was collected, which live to the end."""
    gc.freeze()
    gc.enable()


def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Hold each test to leaving interrupts as they were: what a later test starts would inherit it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        pytest.fail(f"{item.nodeid} left SIGINT ignored; a command line is run in this process by main.run, not main")


def pytest_sessionfinish() -> None:
    """Let everything go in order; libraries with leak checks of their own look."""
    gc.unfreeze()


@pytest.fixture(scope="session", autouse=True)
def _done_once() -> Iterator[None]:
    """Stretch each passphrase and read each Private Key once in this process."""
    with remembered():
        yield


@pytest.fixture(scope="session")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    """Run one rehearsal service for all tests of this process that sign with a service."""
    directory: Path = tmp_path_factory.mktemp("rehearsal") / "seal"
    initialise(directory)
    with serving(directory) as running:
        yield running
