"""Broken packages by the thousand: done, objected to, or refused in one sentence; each kind in a child of 512 MiB."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.formats.opc_builder import document, vsix
from tests.formats.signing import APPEND, signatory
from tests.formats.test_navx import app
from tests.formats.test_windows_hostile import MEMORY, SLOWEST
from tests.formats.test_xap import application
from tests.formats.walking import sign
from tests.formats.zip_builder import app_package, nuget_package, publisher_of

from privyseal.errors import MalformedCode
from privyseal.terms.signatures import Options

COUNT = 2000
"""Mutants of each kind in every run of the suite; the nightly one reads ten times as many."""
KINDS = ("msix", "nupkg", "app", "xap", "vsix", "xps")
COUNTER = Options(nuget_repository="https://example.com/v3/index.json", nuget_owners=("Example",), mode="append")


def originals(folder: Path, kind: str) -> Path:
    """Put a few packages of a kind into a folder: unsigned, signed, timestamped, in several dialects; bundles too."""
    who = signatory()
    if kind == "nupkg":
        shapes = [nuget_package(), nuget_package(), nuget_package(bytes(70_000))]
    elif kind == "app":
        shapes = [app(), app(), app(b"")]
    elif kind == "xap":
        shapes = [application(), application(zip64=True), application(b"")]
    elif kind == "vsix":
        shapes = [vsix(), vsix(), vsix(bytes(70_000), zip64=True)]
    elif kind == "xps":
        shapes = [document(), document(), document(zip64=True)]
    else:
        dialects = ("windows", "makemsix", "plain", "windows")
        shapes = [app_package(publisher_of(who), dialect=one, bundle=number > 1) for number, one in enumerate(dialects)]
    for number, octets in enumerate(shapes):
        path = folder / f"{number}.{kind}"
        path = path.with_suffix(".appxbundle") if number > 1 and kind == "msix" else path
        path.write_bytes(octets)
        if number:
            sign(path, who, stamped=number == 1)
        if kind == "xps" and number == 2:
            sign(path, who, options=APPEND)
        if number == 1 and kind == "nupkg":
            sign(path, signatory("rsa-4096"), options=COUNTER, stamped=True)
    return folder


def mutate(folder: Path, first: int, count: int) -> dict[str, object]:
    command = [sys.executable, Path(__file__).with_name("mutating_packages.py"), folder, str(first), str(count)]
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
    assert "accepted anew" not in outcomes, outcomes
    assert min(outcomes.get(one, 0) for one in ("malformed", "objected to", "unsigned")) > 20, outcomes


@pytest.mark.parametrize("kind", KINDS)
def test_mutants(tmp_path: Path, kind: str):
    """2,000 of each kind: done, a typed refusal or an objection, none in a traceback or 512 MiB."""
    check(mutate(originals(tmp_path, kind), 0, COUNT))


@pytest.mark.nightly
@pytest.mark.parametrize("kind", KINDS)
def test_many_mutants(tmp_path: Path, kind: str):
    """20,000 more of each kind."""
    check(mutate(originals(tmp_path, kind), 10_000, 10 * COUNT))


@pytest.mark.parametrize("kind", KINDS)
def test_the_original_is_untouched_by_a_refusal(tmp_path: Path, kind: str):
    """What is refused keeps its octets, time and mode, and nothing lies beside it."""
    path = originals(tmp_path, kind) / f"0.{kind}"
    for other in set(tmp_path.iterdir()) - {path}:
        other.unlink()
    path.write_bytes(path.read_bytes()[:-1])
    path.chmod(0o640)
    before = (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_mode)
    with pytest.raises(MalformedCode):
        sign(path, signatory())
    assert (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_mode) == before
    assert list(tmp_path.iterdir()) == [path]
