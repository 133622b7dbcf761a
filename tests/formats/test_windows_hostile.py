"""Broken scripts, cabinets and catalogues by the thousand: done, objected to, or refused in one sentence.

Each kind is read by a child of its own with 512 MiB of address space. A text may change and still fit its signature
where it only changes its encoding; of cabinets and catalogues no mutant may be accepted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.formats.cab_builder import cabinet
from tests.formats.cat_builder import catalogue, member
from tests.formats.script_rules import SAMPLES
from tests.formats.signing import APPEND, signatory
from tests.formats.test_scripts import ENCODED
from tests.formats.walking import sign

from privyseal.errors import MalformedCode

MEMORY = 512
"""MiB of address space for the process that reads mutants."""
SLOWEST = 5.0
"""Seconds one mutant may take on a busy machine; it takes milliseconds on a quiet one."""
COUNT = 2000
"""Mutants of each kind in every run of the suite; the nightly one reads ten times as many."""
KINDS = ("ps1", "ps1xml", "mof", "vbs", "js", "wsf", "cab", "cat")
P256 = "ecdsa-p256"


def originals(folder: Path, kind: str) -> Path:
    """Put a few files of a kind into a folder: unsigned, signed, nested, in several encodings or shapes."""
    if kind == "cab":
        shapes = [cabinet(), cabinet(reserve=bytes(50), folder_reserve=4), cabinet(folders=[[b"a" * 99], [b"b"] * 3])]
    elif kind == "cat":
        shapes = [catalogue(member(bytes(32))), catalogue(*[member(bytes(32))] * 5)]
    else:
        shapes = [ENCODED[name](SAMPLES[kind]) for name in ("ascii", "utf-8-bom", "utf-16-le", "windows-1252")]
    for number, octets in enumerate(shapes):
        (folder / f"{number}.{kind}").write_bytes(octets)
        if number:
            sign(folder / f"{number}.{kind}", signatory(P256), stamped=number == 1)
    sign(folder / f"1.{kind}", signatory("ecdsa-p384"), options=APPEND, digest="sha384")
    return folder


def mutate(folder: Path, first: int, count: int) -> dict[str, object]:
    command = [sys.executable, Path(__file__).with_name("mutating_documents.py"), folder, str(first), str(count)]
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [*command, str(MEMORY)],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": root, "PATH": os.defpath},
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, object] = json.loads(done.stdout)
    return found


def check(kind: str, found: dict[str, object]) -> None:
    assert not found["wrong"], found["wrong"]
    assert found["longest"] < SLOWEST
    outcomes = found["outcomes"]
    assert isinstance(outcomes, dict)
    assert kind not in ("cab", "cat") or "accepted anew" not in outcomes, outcomes
    assert min(outcomes.get(one, 0) for one in ("malformed", "objected to", "unsigned")) > 20, outcomes


@pytest.mark.parametrize("kind", KINDS)
def test_mutants(tmp_path: Path, kind: str):
    """2,000 of each kind: done, a typed refusal or an objection, none in a traceback or 512 MiB."""
    check(kind, mutate(originals(tmp_path, kind), 0, COUNT))


@pytest.mark.nightly
@pytest.mark.parametrize("kind", KINDS)
def test_many_mutants(tmp_path: Path, kind: str):
    """20,000 more of each kind."""
    check(kind, mutate(originals(tmp_path, kind), 10_000, 10 * COUNT))


@pytest.mark.parametrize("kind", KINDS)
def test_the_original_is_untouched_by_a_refusal(tmp_path: Path, kind: str):
    """What is refused keeps its octets, time and mode, and nothing lies beside it."""
    path = originals(tmp_path, kind) / f"0.{kind}"
    for other in set(tmp_path.iterdir()) - {path}:
        other.unlink()
    octets = path.read_bytes()
    cut = {"cab": octets[:-1], "cat": octets[:-1], "wsf": octets.replace(b"</job>", b"</jab>")}
    path.write_bytes(cut.get(kind, octets[:-2] + b"\0\0"))
    path.chmod(0o640)
    before = (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_mode)
    with pytest.raises(MalformedCode):
        sign(path, signatory(P256))
    assert (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_mode) == before
    assert list(tmp_path.iterdir()) == [path]
