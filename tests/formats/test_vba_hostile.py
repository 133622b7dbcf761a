"""Broken documents with macros by the thousand: done, objected to, or refused in one sentence, in a child of 512 MiB.

A mutant may be accepted: a signature of macros covers a part of the document only, and ``test_vba_every_octet.py`` says
which.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.formats.signing import signatory
from tests.formats.test_windows_hostile import MEMORY, SLOWEST
from tests.formats.vba_builder import Kind, Macros, changed, document, project
from tests.formats.walking import sign

COUNT = 2000
"""Mutants in every run of the suite; the nightly one reads ten times as many."""
KINDS: tuple[Kind, ...] = ("xlsm", "docm", "pptm")


def originals(folder: Path) -> Path:
    """Put a few documents into a folder: unsigned, signed, timestamped, with forms and without, in both sectors."""
    plain = changed(Macros(), modules=Macros().modules[:3], forms={})
    for number, (kind, octets) in enumerate(zip(KINDS, (project(), project(major=4), project(plain)), strict=True)):
        for signed in (False, True):
            path = folder / f"{number}{signed}.{kind}"
            path.write_bytes(document(kind, octets))
            if signed:
                sign(path, signatory("ecdsa-p256"), stamped=number == 1)
    return folder


def mutate(folder: Path, first: int, count: int) -> dict[str, object]:
    command = [sys.executable, Path(__file__).with_name("mutating_vba.py"), folder, str(first), str(count), str(MEMORY)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": os.defpath, "TMPDIR": str(folder.parent)},
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
    assert min(outcomes.get(one, 0) for one in ("malformed", "objected to", "unsigned", "accepted anew")) > 20, outcomes


def test_mutants(tmp_path: Path):
    (folder := tmp_path / "documents").mkdir()
    check(mutate(originals(folder), 0, COUNT))


@pytest.mark.nightly
def test_many_mutants(tmp_path: Path):
    (folder := tmp_path / "documents").mkdir()
    check(mutate(originals(folder), 10_000, 10 * COUNT))
