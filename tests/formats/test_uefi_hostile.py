"""Broken UEFI files by the thousand: done, objected to, or refused in one sentence; each kind in a child of 512 MiB."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.formats.signing import signatory
from tests.formats.test_packages_hostile import COUNT
from tests.formats.test_windows_hostile import MEMORY, SLOWEST
from tests.formats.uefi_builder import MINE, TIME, capsule, db
from tests.formats.walking import sign

from privyseal.terms.signatures import Options

KINDS = ("variable", "capsule")


def originals(folder: Path, kind: str) -> Path:
    """Put a few files of a kind into a folder: unsigned, signed, in several shapes."""
    who = signatory()
    if kind == "capsule":
        several = capsule(images=(b"one", b"two" * 9, b"three"), drivers=(b"d",))
        kept = [capsule(), capsule(), capsule(drivers=(b"d",)), several]
        shapes = {f"{number}.cap": octets for number, octets in enumerate(kept)}
        options = Options(timestamp=False)
    else:
        shapes = {"db.esl": db(), "db.auth": db(), "other.auth": db(1), f"Setup-{MINE}.auth": b"any content"}
        options = Options(timestamp=False, efi_time=TIME, efi_variable=None)
    for number, (name, octets) in enumerate(shapes.items()):
        (folder / name).write_bytes(octets)
        if number:
            wishes = options if name != "other.auth" else Options(timestamp=False, efi_time=TIME, efi_variable="dbx")
            sign(folder / name, who, options=wishes)
    return folder


def mutate(folder: Path, first: int, count: int) -> dict[str, object]:
    command = [sys.executable, Path(__file__).with_name("mutating_uefi.py"), folder, str(first), str(count)]
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


def check(found: dict[str, object], kind: str) -> None:
    assert not found["wrong"], found["wrong"]
    assert found["longest"] < SLOWEST
    outcomes = found["outcomes"]
    assert isinstance(outcomes, dict)
    # A capsule's headers are under no signature, and nothing in a message is above its topmost certificate.
    assert outcomes.get("accepted anew", 0) < 0.1 * sum(outcomes.values()), outcomes
    assert min(outcomes.get(one, 0) for one in ("malformed", "objected to", "unsigned")) > 20, outcomes


@pytest.mark.parametrize("kind", KINDS)
def test_mutants(tmp_path: Path, kind: str):
    """2,000 of each kind: done, a typed refusal or an objection, none in a traceback or 512 MiB."""
    check(mutate(originals(tmp_path, kind), 0, COUNT), kind)


@pytest.mark.nightly
@pytest.mark.parametrize("kind", KINDS)
def test_many_mutants(tmp_path: Path, kind: str):
    """20,000 more of each kind."""
    check(mutate(originals(tmp_path, kind), 10_000, 10 * COUNT), kind)
