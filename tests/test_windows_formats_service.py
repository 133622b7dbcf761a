"""Scripts, cabinets and catalogues through a real service, in both modes, with the commands that people type."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest
from tests.formats.cab_builder import cabinet
from tests.formats.cat_builder import catalogue, member
from tests.formats.script_rules import HOST, SAMPLES
from tests.rehearsal import Rehearsal, initialise, serving

NAMES = {
    **{f"script.{kind}": octets.encode() for kind, octets in SAMPLES.items()},
    "wide.ps1": SAMPLES["ps1"].encode("utf-16"),
    "data.cab": cabinet(folders=[[b"one" * 40_000, b"two"]]),
    "roomy.cab": cabinet(reserve=bytes(6144)),
    "drivers.cat": catalogue(member(bytes(32))),
}
FORMATS = {"cab": "cab", "cat": "cat", "mof": "mof"} | {kind: kind for kind in HOST}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    directory = tmp_path_factory.mktemp("windows") / "seal"
    initialise(directory, "--scheme", "ecdsa-p256")
    with serving(directory) as running:
        yield running


@pytest.mark.parametrize("mode", ["local", "server"])
def test_there_and_back(service: Rehearsal, tmp_path: Path, mode: str) -> None:
    """Signed in one command, verified with receipts, judged by a stranger, and taken apart to the octets they were."""
    out = tmp_path / "out"
    out.mkdir()
    for name, octets in NAMES.items():
        (tmp_path / name).write_bytes(octets)
    done = service.run("sign", "--mode", mode, "--json", "-o", out, *(tmp_path / name for name in NAMES))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)["files"]
    assert [(one["status"], one["verdict"]) for one in said] == [("signed", "valid")] * len(NAMES)
    for one, name in zip(said, NAMES, strict=True):
        kind = name.rpartition(".")[2]
        powershell = "powershell-xml" if kind in ("ps1xml", "psc1", "cdxml") else "powershell"
        assert one["format"] == FORMATS.get(kind, powershell), name
    files = [out / name for name in NAMES]
    verdicts = json.loads(service.run("verify", *files, "--json").stdout)["files"]
    for one in verdicts:
        assert one["verdict"] == "valid" and one["signatures"][0]["log"]["index"] > 0, one
        assert one["signatures"][0]["timestamp"] is not None
    judge(service, out)
    shown = json.loads(service.run("inspect", out / "wide.ps1", "--json", profile=False).stdout)
    assert (shown["title"], shown["kind"]) == ("PowerShell script", "text in UTF-16")
    again = service.run("sign", "--mode", mode, "--json", "-o", out, *(tmp_path / name for name in NAMES))
    assert again.returncode == 0 and not [one for one in json.loads(again.stdout)["files"] if one["verdict"] != "valid"]
    assert service.run("remove", *files, profile=False).returncode == 0
    assert {name: (out / name).read_bytes() for name in NAMES} == NAMES


def judge(service: Rehearsal, folder: Path) -> None:
    """Have osslsigncode judge what it can."""
    anchors, crl = service.directory / "ca.pem", service.directory / "ca.crl"
    for name in NAMES:
        if name.rpartition(".")[2] in HOST or name == "roomy.cab":
            continue
        command = ["osslsigncode", "verify", "-CAfile", anchors, "-TSA-CAfile", anchors, "-CRLfile", crl, "-in"]
        done = subprocess.run([*command, folder / name], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0 and "Signature verification: ok" in done.stdout, (name, done.stdout + done.stderr)


@pytest.mark.parametrize("mode", ["local", "server"])
def test_what_cannot_be_signed_is_exit_2_and_untouched(service: Rehearsal, tmp_path: Path, mode: str) -> None:
    """One sentence each, no traceback, the files as they were."""
    bad = {
        "twice.ps1": b"a\r\n# SIG # Begin signature block\r\n# SIG # End signature block\r\nmore\r\n",
        "disk1.cab": cabinet(flags=2, names=b"disk2.cab\0disk 2\0"),
        "jobless.wsf": b"<package></package>\r\n",
        "cut.cat": NAMES["drivers.cat"][:-3],
    }
    for name, octets in bad.items():
        (tmp_path / name).write_bytes(octets)
    done = service.run("sign", "--mode", mode, *(tmp_path / name for name in bad))
    assert done.returncode == 2 and "Traceback" not in done.stderr
    for words in ("follow its signature block", "one of a set of cabinets", "has no </job>", "is no catalogue"):
        assert words in " ".join(done.stderr.split()), done.stderr
    assert {name: (tmp_path / name).read_bytes() for name in bad} == bad
    assert {path.name for path in tmp_path.iterdir()} == set(bad)


@pytest.mark.parametrize("mode", ["local", "server"])
def test_page_hashes(service: Rehearsal, tmp_path: Path, mode: str) -> None:
    """The table of pages goes beside the description, or is made by the service; osslsigncode computes the same."""
    program = tmp_path / f"driver-{mode}.exe"
    program.write_bytes((resources.files("distlib") / "t64.exe").read_bytes())
    done = service.run("sign", "--mode", mode, "--page-hashes", "sha256", "--json", program)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["files"][0]["verdict"] == "valid"
    anchors, crl = service.directory / "ca.pem", service.directory / "ca.crl"
    command = ["osslsigncode", "verify", "-CAfile", anchors, "-TSA-CAfile", anchors, "-CRLfile", crl, "-in", program]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert told.returncode == 0 and "Page hash algorithm  : SHA256" in told.stdout, told.stdout + told.stderr
    damaged = bytearray(program.read_bytes())
    at = damaged.index((resources.files("distlib") / "t64.exe").read_bytes()[0x1000:0x1100])
    damaged[at] ^= 1
    program.write_bytes(damaged)
    refused = service.run("verify", program, "--json")
    assert "page-hashes" in refused.stdout and refused.returncode != 0
    assert not list((service.directory / "spool").rglob("in/*")), "nothing is left of either"
