"""Server mode with real processes: strangers judge what comes back, and kill -9 in the middle costs nothing."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.formats.msi_builder import installer
from tests.rehearsal import PRIVYSEAL, Rehearsal, initialise, serving, start, stop, wait_ready

from privyseal.terms.canonical import canonical_json


def _program(folder: Path, name: str = "hello.exe", more: bytes = b"") -> Path:
    path = folder / name
    path.write_bytes((resources.files("distlib") / "t64.exe").read_bytes() + more)
    return path


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    """Run one service for this module; tests that break it start it again."""
    directory = tmp_path_factory.mktemp("server-mode") / "seal"
    initialise(directory, "--scheme", "ecdsa-p256")
    with serving(directory, real=True) as running:
        yield running
        stop(running.process)


def _signed(service: Rehearsal, file: Path, *more: str) -> dict[str, object]:
    done = service.run("sign", file, "--mode", "server", "--json", *more)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)["files"][0]
    return found


def _intents(service: Rehearsal) -> int:
    shown = json.loads(service.run("log", "show", "--last", "1000", "--json").stdout)
    return sum(e["entry"]["type"] == "intent" and e["entry"]["verb"] == "sign" for e in shown["entries"])


def _token(service: Rehearsal) -> str:
    import tomllib

    return str(tomllib.loads(service.profile.read_text())["token"])


def _connection(service: Rehearsal) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(service.url).netloc, timeout=120)


def _announce(service: Rehearsal, octets: bytes) -> tuple[str, int]:
    connection = _connection(service)
    document = {"filename": "x.exe", "size": len(octets), "sha256": hashlib.sha256(octets).hexdigest()}
    headers = {"Authorization": f"Bearer {_token(service)}", "Content-Type": "application/json"}
    connection.request("POST", "/v1/demo/uploads", canonical_json(document), headers)
    answered = connection.getresponse()
    assert answered.status == 201, answered.read()
    path, offset = answered.headers["Location"], int(answered.headers["Upload-Offset"])
    connection.close()
    return str(path), offset


def _again(service: Rehearsal) -> None:
    """Start the service again after its process has ended."""
    assert service.process.poll() is not None and service.process.stdout is not None
    service.process.stdout.close()
    service.process = start(service.directory, real=True)
    service.url = wait_ready(service.process)


def test_strangers_verify_what_came_back(service: Rehearsal, tmp_path: Path) -> None:
    """osslsigncode and our own verifier, with the receipt, accept it; the spool has no upload left."""
    file = _program(tmp_path)
    report = _signed(service, file)
    assert (report["status"], report["verdict"]) == ("signed", "valid")
    anchors, crl = service.directory / "ca.pem", service.directory / "ca.crl"
    command = ["osslsigncode", "verify", "-CAfile", anchors, "-TSA-CAfile", anchors, "-CRLfile", crl, "-in", file]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    verdict = json.loads(service.run("verify", file, "--json").stdout)["files"][0]
    assert verdict["verdict"] == "valid" and verdict["signatures"][0]["log"]["index"] > 0
    assert list((service.directory / "spool" / "demo" / "in").iterdir()) == []


def test_both_modes_give_the_same_file(service: Rehearsal, tmp_path: Path) -> None:
    """The very same format code runs on both sides: only signature and timestamp differ, and they are as long."""
    local, server = _program(tmp_path, "a.exe"), _program(tmp_path, "b.exe")
    assert service.run("sign", local, "--no-timestamp").returncode == 0
    _signed(service, server, "--no-timestamp")
    assert abs(local.stat().st_size - server.stat().st_size) <= 16
    assert local.read_bytes()[1000:90_000] == server.read_bytes()[1000:90_000]


@pytest.mark.parametrize("mode", ["local", "server"])
def test_an_installer_in_either_mode(service: Rehearsal, tmp_path: Path, mode: str) -> None:
    """Described here or read there: signed, logged, accepted by osslsigncode; a second command of it is skipped."""
    file = installer(tmp_path / f"{mode}.msi", major=3 if mode == "local" else 4)
    more = ["--no-extended"] if mode == "server" else []
    assert service.run("sign", file, "--mode", mode, *more).returncode == 0
    verdict = json.loads(service.run("verify", file, "--json").stdout)["files"][0]
    assert (verdict["format"], verdict["verdict"]) == ("msi", "valid") and verdict["signatures"][0]["log"]
    assert verdict["signatures"][0]["timestamp"] is not None
    command = ["osslsigncode", "verify", "-CAfile", service.directory / "ca.pem", "-TSA-CAfile"]
    done = subprocess.run([*command, service.directory / "ca.pem", "-in", file], capture_output=True, text=True)
    assert "Succeeded" in done.stdout and "MISMATCH" not in done.stdout
    assert ("MsiDigitalSignatureEx stream doesn't exist" in done.stdout) == (mode == "server")
    before = file.read_bytes()
    assert service.run("sign", file, "--mode", mode).returncode == 0 and file.read_bytes() == before


def test_a_second_run_sends_and_signs_nothing(service: Rehearsal, tmp_path: Path) -> None:
    """Signed to another place twice: one intent in the log, nothing uploaded again, the same file both times."""
    file = _program(tmp_path, "twice.exe", b"twice---")
    before = _intents(service)
    first, second = tmp_path / "one.exe", tmp_path / "two.exe"
    _signed(service, file, "-o", str(first))
    _signed(service, file, "-o", str(second))
    assert _intents(service) == before + 1
    assert first.read_bytes() == second.read_bytes()
    assert list((service.directory / "spool" / "demo" / "in").iterdir()) == []


def test_a_file_that_is_kept_no_longer_is_made_here(service: Rehearsal, tmp_path: Path) -> None:
    """The service has deleted the signed file: the same signature gives the same file on this machine."""
    file, out = _program(tmp_path, "gone.exe", b"gone----"), tmp_path / "out.exe"
    _signed(service, file, "-o", str(out))
    first = out.read_bytes()
    for path in (service.directory / "spool" / "demo" / "out").iterdir():
        path.unlink()
    out.unlink()
    _signed(service, file, "-o", str(out))
    assert out.read_bytes() == first


def test_a_file_that_cannot_be_signed_is_exit_2(service: Rehearsal, tmp_path: Path) -> None:
    """One sentence, no traceback, the file as it was; --keyfile and --mode server contradict each other."""
    file = tmp_path / "text.exe"
    file.write_bytes(b"MZ" + bytes(5000))
    done = service.run("sign", file, "--mode", "server")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert file.read_bytes() == b"MZ" + bytes(5000)
    both = service.run("sign", file, "--mode", "server", "--keyfile", "x", "--certs", "y", profile=False)
    assert both.returncode == 2 and "--mode server" in both.stderr


def test_an_upload_survives_the_service(service: Rehearsal, tmp_path: Path) -> None:
    """kill -9 of ``serve`` in the middle of an upload; after its next start the command sends only the rest."""
    file = _program(tmp_path, "large.exe", os.urandom(6 << 20))
    octets = file.read_bytes()
    path, _ = _announce(service, octets)
    connection = _connection(service)
    connection.putrequest("PATCH", path)
    for name, value in (
        ("Authorization", f"Bearer {_token(service)}"),
        ("Content-Type", "application/partial-upload"),
        ("Upload-Offset", "0"),
        ("Content-Length", str(len(octets))),
    ):
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(octets[: 4 << 20])
    until, half = time.monotonic() + 30, 0
    while half < 3 << 20:
        assert time.monotonic() < until
        time.sleep(0.02)
        half = _announce(service, octets)[1]
    service.process.kill()
    service.process.wait(30)
    connection.close()
    _again(service)
    assert _announce(service, octets)[1] >= half
    _signed(service, file)
    assert service.run("verify", file).returncode == 0


def _in_spool(service: Rehearsal, side: str) -> list[Path]:
    folder = service.directory / "spool" / "demo" / side
    return list(folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize(
    "pauses", [(0.05,), pytest.param((0.0, 0.1, 0.2, 0.3, 0.5, 1.0), marks=pytest.mark.nightly)], ids=["once", "often"]
)
def test_a_service_killed_while_it_makes_the_file(
    service: Rehearsal, tmp_path: Path, pauses: tuple[float, ...]
) -> None:
    """kill -9 of ``serve`` after the upload, at some moment; the run ends or is repeated, one intent, one file."""
    for number, pause in enumerate(pauses):
        file = _program(tmp_path, f"killed{number}.exe", os.urandom(24 << 20))
        before = _intents(service)
        url = service.url
        environment = service.environment()
        command = [PRIVYSEAL, "sign", str(file), "--mode", "server", "--profile", str(service.profile), "--url", url]
        running = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 60
        while not any(path.stat().st_size == file.stat().st_size for path in _in_spool(service, "in")):
            assert time.monotonic() < until and running.poll() is None
            time.sleep(0.005)
        time.sleep(pause)
        service.process.send_signal(signal.SIGKILL)
        service.process.wait(30)
        running.wait(120)
        _again(service)
        _signed(service, file)
        assert service.run("verify", file).returncode == 0
        assert before + 1 <= _intents(service) <= before + 2  # one more where the key's use was in doubt
    assert service.run("log", "fsck", "--dir", service.directory, profile=False).returncode == 0


def _peak(pid: int) -> int:
    """Return the most memory a process ever had, in octets."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_a_gigabyte_leaves_memory_flat(service: Rehearsal, tmp_path: Path) -> None:
    """Neither the service nor the command has the file in memory: 1 GiB costs ``serve`` less than 64 MiB more."""
    _signed(service, _program(tmp_path, "warm.exe", b"warm----"))
    before = _peak(service.process.pid)
    file = _program(tmp_path, "giant.exe")
    with file.open("r+b") as opened:
        opened.truncate(1 << 30)
    done = service.run("sign", file, "--mode", "server", timeout=900)
    assert done.returncode == 0, done.stderr
    after = _peak(service.process.pid)
    print(f"peak of serve: {before >> 20} MiB before, {after >> 20} MiB after 1 GiB")
    assert after - before < 64 << 20
