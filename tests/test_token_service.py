"""A whole service whose key is in a token: strangers verify what it signs, and it outlives its worker's death."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest
from tests.rehearsal import Rehearsal, initialise, serving
from tests.softhsm import MODULE, PIN, SoftHsm


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    """Run a rehearsal service that keeps its Key Pair and its timestamp key in SoftHSM."""
    folder = tmp_path_factory.mktemp("token")
    hsm = SoftHsm(folder / "hsm", "rehearsal")
    token = ["--pkcs11-module", MODULE, "--token", "rehearsal", "--pin-file", str(hsm.pin_file)]
    token += ["--module-env", f"SOFTHSM2_CONF={hsm.conf}"]
    token += ["--module-reads", str(hsm.conf), "--module-writes", str(hsm.tokens)]
    initialise(folder / "seal", "--scheme", "ecdsa-p256", "--timestamp-in-token", *token)
    assert "stamper/timestamp" in hsm.tool("rehearsal", "--list-objects", "--type", "privkey")
    assert "demo/release" in hsm.tool("rehearsal", "--list-objects", "--type", "privkey")
    with serving(folder / "seal", real=True) as running:
        yield running


def _program(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_bytes((resources.files("distlib") / "t64.exe").read_bytes() + name.encode())
    return path


def _verified_by_a_stranger(service: Rehearsal, file: Path) -> None:
    anchors, crl = service.directory / "ca.pem", service.directory / "ca.crl"
    command = ["osslsigncode", "verify", "-CAfile", anchors, "-TSA-CAfile", anchors, "-CRLfile", crl, "-in", file]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _children(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def _workers(service: Rehearsal) -> list[int]:
    """Return the workers of the service's signer: children of the nursery, which is the signer's only child."""
    signers = [each for each in _children(service.process.pid) if _is(each, b"signer")]
    return [worker for signer in signers for nursery in _children(signer) for worker in _children(nursery)]


def _is(pid: int, word: bytes) -> bool:
    return word in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")


def test_a_service_signs_with_a_key_in_a_token_and_outlives_its_worker(service: Rehearsal, tmp_path: Path) -> None:
    """A stranger verifies; the worker is killed while files are being signed; it signs again, and the log is whole."""
    first = _program(tmp_path, "first.exe")
    done = service.run("sign", first)
    assert done.returncode == 0, done.stderr
    _verified_by_a_stranger(service, first)
    shown = service.run("key", "show", "release", "--json")
    assert '"store":"pkcs11"' in shown.stdout.replace(": ", ":").replace(" ", "")
    assert "CKA_NEVER_EXTRACTABLE=true" in shown.stdout

    (worker,) = _workers(service)
    many = [_program(tmp_path, f"{number:02}.exe") for number in range(30)]
    command = ["privyseal", "sign", "--profile", service.profile, "--url", service.url, *many]
    environment = service.environment() | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    signing = subprocess.Popen(list(map(str, command)), env=environment, stderr=subprocess.PIPE, text=True)
    time.sleep(0.8)  # somewhere in the middle; wherever it is, what is asserted below must hold
    os.kill(worker, signal.SIGKILL)
    _, said = signing.communicate(timeout=120)
    assert signing.returncode in (0, 8), said  # 8: safe to run again
    until = time.monotonic() + 60
    while (done := service.run("sign", *many)).returncode == 8:
        assert time.monotonic() < until, done.stderr
    assert done.returncode == 0, done.stderr
    while (done := service.run("sign", "--again", first)).returncode == 8:  # whenever the worker died, it is used now
        assert time.monotonic() < until, done.stderr
    assert done.returncode == 0, done.stderr
    assert _workers(service) not in ([], [worker])
    for each in many[:3]:
        _verified_by_a_stranger(service, each)
    assert service.run("verify", *many).returncode == 0
    assert service.run("log", "fsck", "--dir", service.directory, profile=False).returncode == 0


def test_doctor_shows_the_token_and_what_holds_its_worker(service: Rehearsal) -> None:
    """How many keys are in it, and that the kernel says of the worker what it says of the processes above it."""
    assert service.run("sign", _program(service.directory.parent, "doctor.exe")).returncode == 0
    said = service.run("doctor", "--dir", service.directory, "--url", service.url, "--json", profile=False)
    found = {each["what"]: each for each in json.loads(said.stdout)["findings"]}
    assert found["token rehearsal"]["state"] == "good" and "holds one key" in found["token rehearsal"]["text"]
    assert "no seccomp" not in found["sandbox"]["text"]
    assert found["service"]["state"] == "good"


def test_a_pin_is_nowhere_but_in_its_file(service: Rehearsal) -> None:
    """Settings, records, journals and the log hold no octet of it; the PIN's note holds a digest."""
    for path in service.directory.rglob("*"):
        if path.is_file():
            assert PIN.encode() not in path.read_bytes(), path
