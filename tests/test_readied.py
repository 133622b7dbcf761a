"""A command that is a fork of a process that has imported the product ends as the program itself would."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.readied import REAL, bin_folder

ENVIRONMENT = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TERM": "dumb"}


def readied() -> str:
    return str(bin_folder() / "privyseal")


@pytest.mark.parametrize(
    ("code", "words"),
    [(0, "ballot list"), (2, "verify"), (2, "no-such-command"), (2, "lint fünf.cer"), (3, "verify notes.txt --json")],
)
def test_it_answers_as_the_program_does(code: int, words: str, tmp_path: Path) -> None:
    """Exit code, standard output and standard error are the same octets."""
    (tmp_path / "notes.txt").write_text("no program\n")
    said = [
        subprocess.run([program, *words.split()], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, check=False)
        for program in (REAL, readied())
    ]
    assert [(one.returncode, one.stdout, one.stderr) for one in said] == [(code, said[0].stdout, said[0].stderr)] * 2
    assert said[0].stdout or said[0].stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGQUIT, -3)])
def test_signals_reach_it(number: signal.Signals, code: int, tmp_path: Path) -> None:
    """Whoever interrupts or ends it ends the command, and is told how it ended."""
    with _reading(tmp_path / "never.cer", ENVIRONMENT) as running:
        running.send_signal(number)
        _, said = running.communicate(timeout=60)
    assert running.returncode == code, said
    with pytest.raises(OSError, match="No such device"):  # nobody reads any more
        os.open(tmp_path / "never.cer", os.O_WRONLY | os.O_NONBLOCK)


@pytest.mark.parametrize(
    ("name", "value", "real"),
    [("LANG", "de_DE.UTF-8", False), ("LC_ALL", "C", True), ("LC_ALL", "", True), ("PYTHONPATH", "/nowhere", True)],
)
def test_what_changes_the_interpreter_starts_the_program_itself(
    name: str, value: str, real: bool, tmp_path: Path
) -> None:
    """The process that was started is Python then, and else the small program, with which the command is killed."""
    with _reading(tmp_path / "never.cer", ENVIRONMENT | {name: value}) as running:
        program = os.readlink(f"/proc/{running.pid}/exe")
        running.kill()
        running.communicate(timeout=60)
    assert (program != readied()) == real


@contextmanager
def _reading(never: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Give a command that waits for the octets of a file that never come, as it waits; they end with the block."""
    os.mkfifo(never)
    command = [readied(), "lint", str(never)]
    running = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    until = time.monotonic() + 60
    while True:
        try:
            writer = os.open(never, os.O_WRONLY | os.O_NONBLOCK)  # refused until somebody reads
            break
        except OSError:
            assert running.poll() is None and time.monotonic() < until
            time.sleep(0.02)
    try:
        yield running
    finally:
        os.close(writer)
