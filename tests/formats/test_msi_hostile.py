"""Broken installers by the thousand: refused with a sentence, objected to, or done; in little memory and time."""

from __future__ import annotations

import json
import resource
import struct
import subprocess
import sys
import time
from array import array
from pathlib import Path
from typing import Any

import pytest
from tests.formats.cfb_builder import build
from tests.formats.msi_builder import installer
from tests.formats.signing import APPEND, sign, signatory
from tests.formats.test_msi_strangers import PLAIN_MSI, shallow, theirs

MEMORY = 512
"""MiB of address space for the process that reads mutants."""
SLOWEST = 10.0
"""Seconds one mutant may take on a busy machine; it takes some milliseconds on a quiet one."""


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("originals")
    who = signatory("ecdsa-p256")
    sign(installer(folder / "v3.msi", major=3), who)
    sign(installer(folder / "v4.msi", scatter=2), who)
    sign(folder / "v4.msi", who, options=APPEND, stamped=True)
    sign(build(folder / "small.msi", {"a": b"1", "S": {"b": b"2" * 5000}}, major=3), who, options=PLAIN_MSI)
    installer(folder / "unsigned.msi", major=3, scatter=3, leftovers=b"left")
    other = tmp_path_factory.mktemp("theirs")
    theirs(other, build(other / "x.msi", shallow(), major=3), "-add-msi-dse").rename(folder / "theirs.msi")
    return folder


def mutate(originals: Path, first: int, count: int) -> dict[str, Any]:
    command = [sys.executable, Path(__file__).with_name("mutating_msi.py"), originals, str(first), str(count)]
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [*command, str(MEMORY)],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": root, "PATH": ""},
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def test_mutants(originals: Path):
    """2,000 mutants of five files: a typed refusal, an objection, or an outcome that reads; 512 MiB, no traceback."""
    found = mutate(originals, 0, 2000)
    assert not found["wrong"], found["wrong"]
    assert found["longest"] < SLOWEST
    assert min(found["outcomes"][one] for one in ("malformed", "objected to", "unsigned")) > 100, found["outcomes"]


@pytest.mark.nightly
@pytest.mark.parametrize("first", range(10_000, 60_000, 2500))
def test_many_mutants(originals: Path, first: int):
    """50,000 more."""
    found = mutate(originals, first, 2500)
    assert not found["wrong"], found["wrong"]


_READ = """
import resource, sys, time
resource.setrlimit(resource.RLIMIT_AS, (512 << 20, 512 << 20))
from privyseal.errors import MalformedCode
from privyseal.formats import catalogue, source
from privyseal.formats.protocol import Identity
from privyseal.terms.signatures import Options
msi = catalogue.BY_NAME["msi"]
start = time.perf_counter()
with source.FileSource.open(sys.argv[1]) as code:
    try:
        layout = msi.inspect(code)
        msi.apply(code, msi.prepare(code, layout, Identity((), ""), Options(), "sha256"), Options(), [bytes(9000)])
        print("done")
    except MalformedCode as error:
        print(error.detail)
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
"""


def outcome(path: Path) -> str:
    """Read and sign in a child of 512 MiB and return its sentence, or that it is done."""
    done = subprocess.run([sys.executable, "-c", _READ, path], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    said, figures = done.stdout.splitlines()
    seconds, _ = figures.split()
    assert float(seconds) < SLOWEST, done.stdout
    return said


def test_bombs(tmp_path: Path):
    """Files of a few KB on the disk that say they are gigabytes: FAT, DIFAT, directory, one stream in all sectors."""
    path = build(tmp_path / "x.msi", {"a": b"1" * 5000}, major=3)
    good = path.read_bytes()

    def with_fields(*fields: tuple[int, int], size: int = 1 << 31) -> str:
        octets = bytearray(good)
        for at, value in fields:
            struct.pack_into("<I", octets, at, value)
        path.write_bytes(octets)
        with path.open("r+b") as out:
            out.truncate(size)
        return outcome(path)

    assert "2 GiB" in with_fields(size=(1 << 31) + 512) or "are read" in with_fields(size=(1 << 31) + 512)
    assert "FAT" in with_fields((44, 0x8000))
    assert "DIFAT" in with_fields((72, 300))
    assert "sector" in with_fields((48, 0x300000))
    assert with_fields((64, 0x00FFFFFF)).endswith(".")


def test_a_file_in_the_smallest_pieces(tmp_path: Path):
    """64 MB in 131,072 sectors none of which follows another: slower, and no more memory than its FAT takes."""
    path = build(tmp_path / "x.msi", {"Big": 64 << 20}, major=3, scatter=1)
    assert outcome(path) == "done"


def test_a_chain_of_all_sectors_backwards(tmp_path: Path):
    """A directory that goes through every sector of the file, from the last to the first, has too many entries."""
    path = build(tmp_path / "x.msi", {"Big": 20 << 20}, major=3)
    octets = bytearray(path.read_bytes())
    (first,) = struct.unpack_from("<I", octets, 76)
    links = array("I", [0xFFFFFFFE, *range(40_000)])
    octets[(first + 1) * 512 : (first + 1) * 512 + 4 * len(links)] = links.tobytes()
    struct.pack_into("<I", octets, 48, 40_000)
    path.write_bytes(octets)
    start = time.perf_counter()
    assert outcome(path).endswith(".") and time.perf_counter() - start < SLOWEST
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
