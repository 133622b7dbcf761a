"""A bar on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import pytest

from privyseal.cli import progress
from privyseal.cli.progress import Progress


class Clock:
    """Time that passes when told to."""

    now = 100.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


def test_elsewhere_a_line_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    """A build log gets no bar, and no line at all from what is quick."""
    clock = Clock()
    with Progress("signing", 3, 3_000_000_000, clock=clock) as shown:
        for _ in range(24):
            clock.now += 1
            shown.read(100_000_000)
        shown.finished()
    err = capsys.readouterr().err
    assert err == "signing, 33%, 0 of 3 files, 0/s, 100 MB/s\nsigning, 67%, 0 of 3 files, 0/s, 100 MB/s\n"


def test_on_a_terminal_a_bar_that_leaves_nothing_behind(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is redrawn in place, makes room for words, and is gone at the end; 80 columns hold it."""
    monkeypatch.setattr(progress, "terminal", lambda: True)
    clock = Clock()
    with Progress("signing", 1, 1000, clock=clock) as shown:
        shown.read(400)
        clock.now += 1
        shown.read(100)
        shown.tell(lambda: print("words", file=__import__("sys").stderr))
    err = capsys.readouterr().err
    assert err == "\r\x1b[Ksigning [############............]  50% 0 MB/s\r\x1b[Kwords\n"
    assert len(Progress("signing", 99999, 1, clock=clock).line(1e9, bar=True)) <= 80


def test_a_file_that_is_read_three_times_is_no_faster_for_that(capsys: pytest.CaptureFixture[str]) -> None:
    """Share and rate are of the file, however often it is read."""
    clock = Clock()
    with Progress("signing", 1, 300_000_000, passes=3, clock=clock) as shown:
        clock.now += 10
        shown.read(450_000_000)
    assert capsys.readouterr().err == "signing, 50%, 15 MB/s\n"


def test_json_shows_none(capsys: pytest.CaptureFixture[str]) -> None:
    """With --json nothing moves."""
    clock = Clock()
    with Progress("signing", 1, 1000, shown=False, clock=clock) as shown:
        clock.now += 100
        shown.read(100)
    assert capsys.readouterr().err == ""


def test_more_octets_than_expected_stay_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    """A file that grew does not make 130 %; no octets at all do not divide by zero."""
    clock = Clock()
    with Progress("signing", 1, 0, clock=clock) as shown:
        clock.now += 11
        shown.read(100)
    assert capsys.readouterr().err == "signing, 0%, 0 MB/s\n"
