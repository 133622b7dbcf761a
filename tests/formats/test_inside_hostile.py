"""Broken containers by the thousand: looked into, made anew, or refused in one sentence; each kind in a child of
512 MiB."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.formats import pe_builder
from tests.formats.cab_builder import cabinet
from tests.formats.signing import signatory
from tests.formats.test_windows_hostile import MEMORY, SLOWEST
from tests.formats.walking import sign
from tests.formats.zip_builder import File, app_package, archive

COUNT = 2000
"""Mutants of each kind in every run of the suite; the nightly one reads ten times as many."""
KINDS = ("zip", "msix", "cab")
PROGRAM = pe_builder.program()


def originals(folder: Path, kind: str) -> Path:
    """Put a few containers of a kind into a folder: with programs, nested, stored and packed, one of them signed."""
    if kind == "cab":
        for number, how in enumerate(([], ["-z"])):
            for name in ("a.exe", "b.txt", "c.dll"):
                (folder / name).write_bytes(PROGRAM * (1 + number * 20))
            line = ["gcab", "-c", "-n", *how, f"{number}.cab", "a.exe", "b.txt", "c.dll"]
            subprocess.run(line, cwd=folder, check=True)
            for name in ("a.exe", "b.txt", "c.dll"):
                (folder / name).unlink()
        (folder / "2.cab").write_bytes(cabinet(folders=[[PROGRAM, b"text"], [PROGRAM]]))
        sign(folder / "2.cab", signatory())
    elif kind == "msix":
        for number, dialect in enumerate(("windows", "makemsix", "plain")):
            (folder / f"{number}.msix").write_bytes(app_package("CN=X", content=PROGRAM, dialect=dialect))
    else:
        inner = archive([File(b"in.exe", PROGRAM), File(b"s.ps1", b"Write-Host\r\n")])
        (folder / "0.zip").write_bytes(archive([File(b"a.exe", PROGRAM), File(b"in.zip", inner)]))
        (folder / "1.zip").write_bytes(
            archive([File(b"x/a.exe", PROGRAM, packed=False), File(b"b", PROGRAM, descriptor="64")], zip64=True)
        )
    return folder


def mutate(folder: Path, first: int, count: int) -> dict[str, object]:
    command = [sys.executable, Path(__file__).with_name("mutating_inside.py"), folder, str(first), str(count)]
    done = subprocess.run(
        [*command, str(MEMORY)],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": os.defpath},
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, object] = json.loads(done.stdout)
    return found


def check(found: dict[str, object]) -> None:
    assert not found["wrong"], found["wrong"]
    assert found["longest"] < SLOWEST
    outcomes = found["outcomes"]
    assert isinstance(outcomes, dict)
    assert min(outcomes.get(one, 0) for one in ("malformed", "rebuilt")) > 20, outcomes


@pytest.mark.parametrize("kind", KINDS)
def test_mutants(tmp_path: Path, kind: str):
    """2,000 of each kind: what comes out holds what was put in, and all else as it was; or one sentence says why."""
    check(mutate(originals(tmp_path, kind), 0, COUNT))


@pytest.mark.nightly
@pytest.mark.parametrize("kind", KINDS)
def test_many_mutants(tmp_path: Path, kind: str):
    """20,000 more of each kind."""
    check(mutate(originals(tmp_path, kind), 10_000, 10 * COUNT))
