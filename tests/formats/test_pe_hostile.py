"""Broken files by the thousand: every one is refused with a sentence or objected to, in little memory and time."""

import json
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path

import pytest
from tests.formats.pe_builder import EFI_APPLICATION, program
from tests.formats.signing import APPEND, PE, PLAIN, sign, signatory
from tests.formats.test_pe_layout import Held

from privyseal.errors import BadInput, MalformedCode
from privyseal.formats import authenticode_blob, pe_table
from privyseal.formats.authenticode import ID_NESTED_SIGNATURE
from privyseal.formats.examine import examine
from privyseal.pki import cms, der
from privyseal.terms.signatures import Options

MEMORY = 512
"""MiB of address space for the process that reads mutants."""
SLOWEST = 5.0
"""Seconds one mutant may take on a busy machine; it takes a few milliseconds on a quiet one."""


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("originals")
    (folder / "plain.exe").write_bytes(program(overlay=b"overlay"))
    sign(folder / "plain.exe", signatory("ecdsa-p256"))
    (folder / "nested.exe").write_bytes(program("x86"))
    sign(folder / "nested.exe", signatory(), stamped=True, options=Options(program_name="A", program_url="https://a"))
    sign(folder / "nested.exe", signatory("ecdsa-p384"), options=APPEND, digest="sha512", stamped=True)
    (folder / "boot.efi").write_bytes(program("arm64", subsystem=EFI_APPLICATION))
    sign(folder / "boot.efi", signatory("ecdsa-p256"))
    sign(folder / "boot.efi", signatory("ecdsa-p256"), options=APPEND)
    (folder / "real.exe").write_bytes((resources.files("distlib") / "w32.exe").read_bytes())
    sign(folder / "real.exe", signatory("ecdsa-p256"))
    (folder / "paged.exe").write_bytes(program(sections=(b"\xc3" * 9000,)))
    sign(folder / "paged.exe", signatory("ecdsa-p256"), options=Options(page_hashes="sha256"))
    (folder / "unsigned.exe").write_bytes(program())
    return folder


def mutate(originals: Path, first: int, count: int) -> dict:
    command = [sys.executable, Path(__file__).with_name("mutating.py"), originals, str(first), str(count), str(MEMORY)]
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"PYTHONPATH": root, "PATH": ""}, timeout=280
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("first", [0, 1500])
def test_mutants(originals: Path, first: int):
    """3,000 mutants of six files: each ends in a typed refusal or an objection, none in a traceback or 512 MiB."""
    found = mutate(originals, first, 1500)
    assert not found["wrong"], found["wrong"]
    assert found["longest"] < SLOWEST
    assert found["outcomes"]["malformed"] > 200 and found["outcomes"]["objected to"] > 200, found["outcomes"]


@pytest.mark.nightly
@pytest.mark.parametrize("first", range(10_000, 110_000, 10_000))
def test_many_mutants(originals: Path, first: int):
    """100,000 more."""
    found = mutate(originals, first, 10_000)
    assert not found["wrong"], found["wrong"]


def nested(depth: int, blob: bytes) -> bytes:
    whole = blob
    for _ in range(depth):
        whole = cms.with_unsigned_attribute(blob, ID_NESTED_SIGNATURE, whole)
    return whole


def blob_of(originals: Path) -> bytes:
    octets = (originals / "plain.exe").read_bytes()
    return examine(PE, Held(octets)).signatures[0].blob


def test_signatures_nested_without_end(originals: Path):
    """A hundred levels of nesting are cut off after a few, with a problem."""
    octets = program(table=pe_table.write_entry(nested(100, blob_of(originals))))
    found = examine(PE, Held(octets))
    assert len(found.signatures) == authenticode_blob.MAX_DEPTH + 2
    assert found.signatures[-1].problems[0].code == "malformed-signature"
    assert "more signatures than are read" in found.signatures[-1].problems[0].text
    assert "nesting" in {problem.code for problem in found.problems}


def test_signatures_without_number(originals: Path):
    """Hundreds of signatures side by side in one attribute are cut off after 32."""
    blob = whole = blob_of(originals)
    for number in range(60):
        try:
            whole = cms.with_unsigned_attribute(whole, ID_NESTED_SIGNATURE, blob[:-1] + bytes((number,)))
        except BadInput:
            break
    found = examine(PE, Held(program(table=pe_table.write_entry(whole))))
    assert len(found.signatures) == authenticode_blob.MAX_SIGNATURES + 1
    assert "more signatures than are read" in found.signatures[-1].problems[0].text


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"\x30",
        b"\x30\x80\0\0",
        b"\x30\x00",
        b"\x30\x84\x00\xff\xff\xff" + b"\x30" * 100_000,
        b"\x30\x80" * 50_000,
        der.sequence(der.oid("1.2.840.113549.1.7.2")),
        der.sequence(der.oid("1.2.840.113549.1.7.2"), der.explicit(0, der.sequence())),
        b"\x05\x00",
        bytes(1 << 20),
    ],
    ids=range(10),
)
def test_rubbish_for_a_signature(blob: bytes):
    """What is no CMS at all is one malformed signature, soon said."""
    start = time.perf_counter()
    found = examine(PE, Held(program(table=pe_table.write_entry(blob or b"\0"))))
    assert [p.code for p in found.signatures[0].problems] == ["malformed-signature"]
    assert time.perf_counter() - start < SLOWEST
    with pytest.raises(MalformedCode, match="cannot take a second one"):
        PE.apply(
            code := Held(program(table=pe_table.write_entry(blob or b"\0"))),
            PE.prepare(code, PE.inspect(code), signatory().identity, PLAIN, "sha256"),
            APPEND,
            [b"x"],
        )


_LARGEST = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (512 << 20, 512 << 20))
from privyseal.formats import catalogue, examine, source
found = examine.examine(catalogue.BY_NAME["pe"], source.FileSource.open(sys.argv[1]))
print(len(found.signatures), *(problem.code for problem in found.problems))
"""


def test_the_largest_table_there_may_be(originals: Path, tmp_path: Path):
    """A certificate table of 8 MiB, all of it in one signature or shared by dozens, is judged in 512 MiB."""
    blob = blob_of(originals)
    whole = (pe_table.MAX_TABLE >> 10) - 10 << 10
    for values in ([bytes(whole)], [bytes([n]) + bytes(whole // 60) for n in range(60)]):
        large = blob
        attribute = cms.attribute(ID_NESTED_SIGNATURE, *(der.octet_string(value) for value in values))
        signed = cms.parse(blob)
        large = authenticode_blob.with_unsigned(signed, [attribute])
        path = tmp_path / "large.exe"
        path.write_bytes(program(table=pe_table.write_entry(large)))
        done = subprocess.run([sys.executable, "-c", _LARGEST, path], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        assert "malformed-signature" in done.stdout


def test_original_is_untouched_by_every_refusal(tmp_path: Path):
    """Whatever refuses, the file keeps its octets, time and mode, and nothing lies beside it."""
    path = tmp_path / "p.exe"
    path.write_bytes(program(table=pe_table.write_entry(b"rubbish")))
    before = (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_mode)

    def refuse(_: object) -> None:
        raise MalformedCode("No.")

    for options, follow in ((APPEND, None), (PLAIN, refuse), (Options(program_name=""), None)):
        with pytest.raises(BadInput):
            sign(path, signatory(), options=options, follow=follow)
    assert (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_mode) == before
    assert list(tmp_path.iterdir()) == [path]
