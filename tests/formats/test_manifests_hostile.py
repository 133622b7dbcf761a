"""Broken RDP files and ClickOnce manifests by the thousand: done, objected to, or refused in one sentence.

Each kind in a child of 512 MiB.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from tests.formats.clickonce_builder import application, deployment
from tests.formats.rdp_rules import connection
from tests.formats.signing import signatory
from tests.formats.test_pe_layout import Held
from tests.formats.test_windows_hostile import MEMORY, SLOWEST
from tests.formats.walking import sign

from privyseal.errors import MalformedCode
from privyseal.formats.catalogue import BY_NAME

COUNT = 2000
"""Mutants of each kind in every run of the suite; the nightly one reads ten times as many."""
KINDS = ("rdp", "manifest")


def originals(folder: Path, kind: str) -> Path:
    """Put a few files of a kind into a folder: unsigned, signed, timestamped, in several encodings."""
    if kind == "rdp":
        shapes = [connection(), connection(), connection(encoding="utf-8-sig", end="\n"), connection(encoding="ascii")]
    else:
        shapes = [application(), application(), deployment(), application(end="\n")]
    for number, octets in enumerate(shapes):
        path = folder / (f"{number}.application" if kind == "manifest" and number == 2 else f"{number}.{kind}")
        path.write_bytes(octets)
        if number:
            sign(path, signatory(), stamped=number == 1)
    return folder


def mutate(folder: Path, kind: str, first: int, count: int) -> dict[str, object]:
    files = folder / "files"
    files.mkdir()
    (folder / "identity").write_bytes(msgspec.json.encode(signatory().identity))
    child = Path(__file__).with_name("mutating_manifests.py")
    command = [sys.executable, child, originals(files, kind), folder / "identity", str(first), str(count), str(MEMORY)]
    done = subprocess.run(
        command,
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
    assert min(outcomes.get(one, 0) for one in ("malformed", "objected to", "unsigned", "accepted")) > 20, outcomes


@pytest.mark.parametrize("kind", KINDS)
def test_mutants(tmp_path: Path, kind: str):
    """2,000 of each kind: done, a typed refusal or an objection, none in a traceback or 512 MiB."""
    check(mutate(tmp_path, kind, 0, COUNT))


@pytest.mark.nightly
@pytest.mark.parametrize("kind", KINDS)
def test_many_mutants(tmp_path: Path, kind: str):
    """20,000 more of each kind."""
    check(mutate(tmp_path, kind, 10_000, 10 * COUNT))


BOMBS: dict[str, tuple[str, bytes]] = {
    "entities": (
        "x.manifest",
        application()
        .replace(
            b"?>",
            b'?><!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">'
            + b"".join(b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(12))
            + b"]>",
            1,
        )
        .replace(b"logo.ico", b"&m;"),
    ),
    "deep": ("x.manifest", application("<a>" * 200_000)),
    "attributes": ("x.manifest", application("<a " + " ".join(f'a{n}=""' for n in range(290_000)) + "/>")),
    "elements": ("x.manifest", application("<a/>" * 290_000)),
    "namespaces": ("x.manifest", application("<a " + " ".join(f'xmlns:a{n}="u"' for n in range(5_000)) + "/>")),
    "lines": ("x.rdp", b"full address:s:x\r\n" + b"\n" * 500_000),
    "blanks": ("x.rdp", b"full address:s:x\r\n" + b" " * 500_000 + b"x:s:y"),
    "names": ("x.rdp", b"full address:s:x\r\n" + b"a " * 250_000),
    "commas": ("x.rdp", b"full address:s:x\r\nsignscope:s:" + b"Full Address," * 40_000 + b"\r\nsignature:s:AAAA"),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs(bomb: str):
    """Refused, or called malformed, within seconds on a busy machine; a quiet one takes two for the largest."""
    name, octets = BOMBS[bomb]
    code = Held(octets)
    code.filename = name
    started = time.perf_counter()
    code_format = BY_NAME["rdp" if name.endswith("rdp") else "clickonce"]
    try:
        layout = code_format.inspect(code)
        slugs = {each.code for one in code_format.signatures(code, layout) for each in one.problems}
        assert slugs <= {"malformed-signature"}
    except MalformedCode as error:
        assert len(error.detail) < 500
    assert time.perf_counter() - started < 20


@pytest.mark.parametrize("kind", KINDS)
def test_the_original_is_untouched_by_a_refusal(tmp_path: Path, kind: str):
    """What is refused keeps its octets, time and mode, and nothing lies beside it."""
    path = tmp_path / f"x.{kind}"
    path.write_bytes({"rdp": b"full address:s:\r\n", "manifest": application()[:-1]}[kind])
    path.chmod(0o640)
    before = (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_mode)
    with pytest.raises(MalformedCode):
        sign(path, signatory())
    assert (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_mode) == before
    assert list(tmp_path.iterdir()) == [path]
