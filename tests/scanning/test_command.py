"""Any command: its exit code is the verdict, and whatever it does otherwise, no file passes and nothing is left."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from privyseal.errors import Infected, Misused, Unavailable
from privyseal.scanning import limited
from privyseal.scanning.command import Command, CommandSection

NOW = datetime(2026, 11, 30, 12, 0, 0, tzinfo=UTC)
Make = Callable[..., Command]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Return a function that makes a scanner of a Python program; its ``sys.argv[1]`` is the file."""

    def of(code: str, **changes: object) -> Command:
        program = tmp_path / "scanner.py"
        program.write_text("import os, sys, time\n" + code + "\n")
        plain: dict[str, object] = {"name": "own", "command": (sys.executable, "-I", str(program), "{file}")}
        return Command(CommandSection(**(plain | changes)), tmp_path)  # type: ignore[arg-type]

    return of


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "U-a b;$(true)"
    path.write_bytes(b"hello")
    return path


def test_exit_codes_are_the_verdict(make: Make, file: Path) -> None:
    """The file's path is one argument, whatever is in it; there is no shell."""
    scan = make("sys.exit(0 if open(sys.argv[1]).read() == 'hello' else 9)").scan(file, NOW)
    assert (scan.scanner, scan.verdict, scan.time) == ("own", "clean", NOW)
    with pytest.raises(Infected, match=r"own found Bad in the file\.") as refused:
        make("print('Bad in', sys.argv[1]); sys.exit(1)").scan(file, NOW)
    assert str(file) not in str(refused.value)
    with pytest.raises(Infected, match="does not name"):
        make("sys.exit(7)", infected=(7, 8)).scan(file, NOW)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("sys.exit(2)", "exit code 2: it said nothing"),
        ("sys.exit(126)", "exit code 126"),
        ("os.kill(os.getpid(), 9)", "signal 9"),
        ("os.abort()", "signal 6"),
        ("print('\\x1b[31mred\\x00'); sys.exit(3)", r"exit code 3: \?\[31mred\?"),
    ],
)
def test_odd_ends_refuse(make: Make, file: Path, code: str, why: str) -> None:
    """Neither clean nor infected: nobody has looked. What it said is shown without what a terminal would obey."""
    with pytest.raises(Unavailable, match=why):
        make(code).scan(file, NOW)


def test_megabytes_of_output_are_dropped(make: Make, file: Path) -> None:
    """It may say what it likes, and does not wait for us; of it little is kept."""
    scan = make("sys.stdout.write('x' * (32 << 20)); sys.stderr.write('y' * (32 << 20))").scan(file, NOW)
    assert scan.verdict == "clean"
    ran = limited.run([sys.executable, "-c", "print('x' * (8 << 20))"], seconds=60, memory=1 << 30)
    assert ran.code == 0 and len(ran.output) == limited.KEPT


@pytest.mark.parametrize(
    "code", ["time.sleep(600)", "os.close(1); os.close(2); time.sleep(600)", "while True: print('x' * 9999)"]
)
def test_one_that_hangs_is_ended(make: Make, file: Path, code: str) -> None:
    """Silent, without output, or talking without end."""
    began = time.monotonic()
    with pytest.raises(Unavailable, match="longer than 2 s"):
        make(code, seconds=2.0).scan(file, NOW)
    assert time.monotonic() - began < 20


def test_nothing_it_started_is_left(make: Make, file: Path, tmp_path: Path) -> None:
    """A child that holds its output open neither keeps us waiting nor lives on."""
    note = tmp_path / "pid"
    code = f"pid = os.fork()\nif not pid:\n    time.sleep(600)\nopen({str(note)!r}, 'w').write(str(pid))"
    began = time.monotonic()
    assert make(code).scan(file, NOW).verdict == "clean"
    assert time.monotonic() - began < 60
    status = Path("/proc") / note.read_text() / "stat"
    until = time.monotonic() + 20
    while status.exists() and " Z " not in status.read_text():
        assert time.monotonic() < until, "what the scanner started lives on"
        time.sleep(0.05)


def test_memory_is_limited(make: Make, file: Path) -> None:
    """It has what is configured and no more."""
    code = "try:\n    bytearray(512 << 20)\nexcept MemoryError:\n    sys.exit(42)"
    with pytest.raises(Unavailable, match="exit code 42"):
        make(code, memory_mib=256).scan(file, NOW)
    assert make(code, memory_mib=1024).scan(file, NOW).verdict == "clean"


def test_it_learns_nothing_of_our_environment(make: Make, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What serve was started with, passwords included, is not its business."""
    monkeypatch.setenv("PGPASSWORD", "canary-5520")
    assert make("sys.exit('PGPASSWORD' in os.environ)").scan(file, NOW).verdict == "clean"


def test_a_program_that_is_not_there_refuses(file: Path, tmp_path: Path) -> None:
    """Its health and each file say so."""
    scanner = Command(CommandSection(name="own", command=("no-such-scanner", "{file}")), tmp_path)
    for question in (lambda: scanner.scan(file, NOW), lambda: scanner.standing(NOW)):
        with pytest.raises(Unavailable, match="no program no-such-scanner"):
            question()


def test_the_version_is_recorded(make: Make, file: Path) -> None:
    """Its first line, or that it does not say one."""
    version = (sys.executable, "-c", "print('Scanner 9.1\\nmore')")
    assert make("", version=version).scan(file, NOW).engine == "Scanner 9.1"
    assert make("", version=version).standing(NOW).engine == "Scanner 9.1"
    with pytest.raises(Unavailable, match="which version"):
        make("", version=(sys.executable, "-c", "1/0")).scan(file, NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"command": ("scanner", "file")},
        {"command": ("scanner", "{file}", "{file}")},
        {"command": ("{file}", "x")},
        {"infected": ()},
        {"clean": ()},
        {"clean": (0, 1)},
    ],
)
def test_commands_that_make_no_sense(make: Make, changes: dict[str, object]) -> None:
    """Said when the service starts, not with the first file."""
    with pytest.raises(Misused):
        make("", **changes)
