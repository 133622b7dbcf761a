"""A whole service that has authorities elsewhere timestamp what it signs: good ones, one that hangs, and none."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from tests.rehearsal import Rehearsal, initialise, serving
from tests.strongroom.processes import wait_until
from tests.timestamp import misbehaving
from tests.timestamp.misbehaving import Server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with misbehaving.serving() as state:
        yield state


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Iterator[Rehearsal]:
    directory = tmp_path_factory.mktemp("e") / "D"
    initialise(directory, "--scheme", "ecdsa-p256")
    (directory / "tsa.pem").write_bytes(misbehaving.root().loaded.public_bytes(Encoding.PEM))
    toml = directory / "serve.toml"
    listed = json.dumps([server.url("flaky"), server.url("stranger")])
    toml.write_text(toml.read_text() + f'\n[timestamps]\nauthorities = {listed}\ntrust = ["tsa.pem"]\n')
    with serving(directory) as running:
        yield running


def program(folder: Path, name: str = "a.exe") -> Path:
    """Write a program like no other: one that was signed before is known to the service."""
    folder.mkdir(exist_ok=True)
    octets = (resources.files("distlib") / "t64.exe").read_bytes()
    (folder / name).write_bytes(octets + os.urandom(16 - len(octets) % 8))
    return folder / name


def readyz(service: Rehearsal) -> str:
    try:
        with urllib.request.urlopen(f"{service.url}/readyz", timeout=20) as answered:
            return "" if answered.status == 200 else str(answered.status)
    except urllib.error.HTTPError as error:
        return str(json.loads(error.read())["detail"])


def metric(service: Rehearsal, name: str) -> float:
    with urllib.request.urlopen(f"{service.url}/metrics", timeout=20) as answered:
        text = answered.read().decode()
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(name + "{"))


@pytest.mark.parametrize("mode", ["local", "server"])
def test_what_is_signed_is_stamped_elsewhere(service: Rehearsal, server: Server, tmp_path: Path, mode: str) -> None:
    """osslsigncode believes it under the other authority's root; our own verify as well, with the receipt."""
    signed = program(tmp_path)
    done = service.run("sign", signed, *(["--mode", "server"] if mode == "server" else []))
    assert done.returncode == 0, done.stderr
    tsa, ca = service.directory / "tsa.pem", service.directory / "ca.pem"
    verify = ["osslsigncode", "verify", "-in", signed, "-CAfile", ca, "-TSA-CAfile", tsa]
    said = subprocess.run(verify, check=False, capture_output=True, text=True)
    assert said.returncode == 0 and "Timestamp Server Signature verification: ok" in said.stdout, said.stdout
    trust = ("--trust", ca, "--trust", tsa, "--log-policy", service.directory / "log-policy")
    ours = service.run("verify", signed, *trust, "--json", profile=False)
    (found,) = (
        json.loads(ours.stdout)["files"][0]["signatures"] if "files" in ours.stdout else [json.loads(ours.stdout)]
    )
    assert ours.returncode == 0 and found["timestamp"]["authority"] == "CN=TSU good", ours.stdout + ours.stderr
    assert metric(service, "privyseal_timestamp_authority_tokens_total") >= 1 and readyz(service) == ""


def test_while_one_hangs_nobody_else_waits(service: Rehearsal, server: Server, tmp_path: Path) -> None:
    """Twelve requests wait for an authority that needs 3 s; one that wants no timestamp is signed meanwhile."""
    folders = [program(tmp_path / str(number)) for number in range(12)]
    before = server.asked.get("flaky", 0)
    server.pause = 3.0
    try:
        with ThreadPoolExecutor(1) as aside:
            waiting = aside.submit(service.run, "sign", *folders)
            wait_until(lambda: server.asked["flaky"] > before, 20)
            began = time.monotonic()
            done = service.run("sign", program(tmp_path / "other"), "--no-timestamp")
            took = time.monotonic() - began
            assert done.returncode == 0 and readyz(service) == "", done.stderr
            assert not waiting.done(), "nothing hung, so nothing was shown"
            server.pause = 0.0
            late = waiting.result()
    finally:
        server.pause = 0.0
    assert late.returncode == 0, late.stderr
    assert took < 10, took


@pytest.mark.nightly  # the pauses that double, and a client's patience, take a minute and a half together
def test_where_none_stamps_it_waits_and_says_so(service: Rehearsal, server: Server, tmp_path: Path) -> None:
    """Exit 8 and the names of all; /readyz is red, doctor says what each does; when one is back it is released."""
    server.failures = 10**9
    signed = program(tmp_path)
    octets = signed.read_bytes()
    done = service.run("sign", signed)
    assert done.returncode == 8 and "127.0.0.1" in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert signed.read_bytes() == octets
    wait_until(lambda: "timestamps: No timestamp authority is asked" in readyz(service), 20)
    doctor = service.run("doctor", "--dir", service.directory, "--json", profile=False)
    found = [each for each in json.loads(doctor.stdout)["findings"] if each["what"].startswith("timestamp authority")]
    assert [each["state"] for each in found] == ["bad", "bad"], found
    assert "503" in found[0]["text"] and "not believed" in found[1]["text"]
    server.failures = 0
    wait_until(lambda: readyz(service) == "", 90)
    again = service.run("sign", signed)
    assert again.returncode == 0 and signed.read_bytes() != octets, again.stderr
