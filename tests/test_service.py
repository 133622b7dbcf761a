"""The whole service as processes on loopback: what it signs is judged by strangers, and what breaks it is survived."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest
from tests.rehearsal import PRIVYSEAL, Rehearsal, initialise, serving, start, stop, wait_ready
from tests.tlog.sumdb_verifier import verify_with_go

from privyseal.tlog.policy import parse_policy


def _program(folder: Path, name: str = "hello.exe", more: bytes = b"") -> Path:
    path = folder / name
    path.write_bytes((resources.files("distlib") / "t64.exe").read_bytes() + more)
    return path


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Rehearsal]:
    """Run a service of the test's own, to be broken; with a P-256 key, which is quick to make."""
    initialise(tmp_path / "seal", "--scheme", "ecdsa-p256")
    with serving(tmp_path / "seal", real=True) as running:
        yield running


def _signed(service: Rehearsal, file: Path) -> None:
    done = service.run("sign", file)
    assert done.returncode == 0, done.stderr


def _osslsigncode(service: Rehearsal, file: Path) -> str:
    anchors, crl = service.directory / "ca.pem", service.directory / "ca.crl"
    command = ["osslsigncode", "verify", "-CAfile", anchors, "-TSA-CAfile", anchors, "-CRLfile", crl, "-in", file]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_strangers_verify_what_the_service_signed(rehearsal: Rehearsal, tmp_path: Path) -> None:
    """osslsigncode finds digest, signature and timestamp right; after one flipped bit it does not."""
    file = _program(tmp_path)
    _signed(rehearsal, file)
    said = _osslsigncode(rehearsal, file)
    digests = [line.rsplit(":", 1)[1].strip() for line in said.splitlines() if "message digest    :" in line]
    digests += [line.rsplit(":", 1)[1].strip() for line in said.splitlines() if "Calculated message digest" in line]
    assert len(set(digests)) == 1
    assert "Timestamp Server Signature verification: ok" in said
    assert "\nSignature verification: ok" in said
    assert "invalid PE checksum" not in said
    octets = bytearray(file.read_bytes())
    octets[2000] ^= 1
    file.write_bytes(octets)
    command = ["osslsigncode", "verify", "-CAfile", str(rehearsal.directory / "ca.pem"), "-in", str(file)]
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode != 0
    assert rehearsal.run("verify", file).returncode == 3


def test_go_reads_the_log_of_a_running_service(rehearsal: Rehearsal, tmp_path: Path) -> None:
    """Go's own sumdb packages verify head, tiles and every entry that this service wrote."""
    files = [_program(tmp_path, f"{number}.exe", bytes([number]) * 8) for number in range(5)]
    done = rehearsal.run("sign", *files)
    assert done.returncode == 0, done.stderr
    policy = parse_policy((rehearsal.directory / "log-policy").read_text())
    shutil.copytree(rehearsal.directory / "log", tmp_path / "log")
    said = verify_with_go(tmp_path / "log", policy.logs[0].key.vkey)
    assert "verified" in said
    assert rehearsal.run("log", "fsck", "--dir", rehearsal.directory, profile=False).returncode == 0


def test_openssl_verifies_a_timestamp_from_the_service(rehearsal: Rehearsal, tmp_path: Path) -> None:
    """``openssl ts`` makes the query, the service answers over HTTP, ``openssl ts -verify`` accepts it."""
    data, query, reply = tmp_path / "data", tmp_path / "q.tsq", tmp_path / "r.tsr"
    data.write_bytes(b"hello")
    subprocess.run(
        ["openssl", "ts", "-query", "-data", data, "-sha256", "-cert", "-out", query], check=True, capture_output=True
    )
    headers = {"Content-Type": "application/timestamp-query"}
    request = urllib.request.Request(f"{rehearsal.url}/tsa", query.read_bytes(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        reply.write_bytes(answer.read())
    command = ["openssl", "ts", "-verify", "-queryfile", query, "-in", reply, "-CAfile", rehearsal.directory / "ca.pem"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Verification: OK" in done.stdout + done.stderr


def _rooms(service: Rehearsal) -> dict[str, int]:
    """Return the pids of the guarded processes, by name."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"privyseal.strongroom.run" in words and str(service.directory).encode() in b" ".join(words):
                found[words[words.index(b"privyseal.strongroom.run") + 1].decode()] = int(entry.name)
    return found


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=10) as answer:
            return bool(json.loads(answer.read())["ready"])
    except (OSError, urllib.error.URLError):
        return False


@pytest.mark.parametrize("room", ["signer", "logger", "stamper"])
def test_a_killed_process_is_started_again(own: Rehearsal, tmp_path: Path, room: str) -> None:
    """kill -9 of a guarded process: not ready for a moment, started again, and it signs; the log holds."""
    file = _program(tmp_path)
    _signed(own, file)
    before = _rooms(own)
    os.kill(before[room], signal.SIGKILL)
    until = time.monotonic() + 60
    while not (_ready(own.url) and _rooms(own).get(room) not in (None, before[room])):
        assert time.monotonic() < until, f"the {room} was not started again"
        time.sleep(0.2)
    other = _program(tmp_path, "other.exe", b"another")
    _signed(own, other)
    assert own.run("verify", file, other).returncode == 0
    assert own.run("log", "fsck", "--dir", own.directory, profile=False).returncode == 0


def test_no_process_outlives_a_killed_service(own: Rehearsal, tmp_path: Path) -> None:
    """kill -9 of ``serve``: its guarded processes end by themselves, and the next one takes up where it was."""
    _signed(own, _program(tmp_path))
    rooms = _rooms(own)
    assert set(rooms) == {"signer", "logger", "stamper"}
    own.process.kill()
    own.process.wait(30)
    until = time.monotonic() + 40
    while any(Path(f"/proc/{pid}").exists() for pid in rooms.values()):
        assert time.monotonic() < until, "a guarded process outlived its service"
        time.sleep(0.2)
    again = start(own.directory, real=True)
    try:
        own.url = wait_ready(again)
        _signed(own, _program(tmp_path, "after.exe", b"after"))
    finally:
        assert stop(again) == 0
    assert own.run("log", "fsck", "--dir", own.directory, profile=False).returncode == 0


def test_an_interrupted_run_signs_nothing_twice(own: Rehearsal, tmp_path: Path) -> None:
    """A command over 60 files is killed; run again, all are signed, and the log holds one signature for each."""
    files = [_program(tmp_path, f"p{number:02}.exe", bytes([number]) * 16) for number in range(60)]
    command = [PRIVYSEAL, "sign", *map(str, files), "--profile", str(own.profile), "--url", own.url]
    running = subprocess.Popen(command, env=own.environment(), stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not list(tmp_path.glob("*.tlog-proof")) and running.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    running.kill()
    running.wait(30)
    done = own.run("sign", *files)
    assert done.returncode == 0, done.stderr
    assert own.run("verify", *files).returncode == 0
    shown = json.loads(own.run("log", "show", "--last", "1000", "--json").stdout)
    signed = [e["entry"] for e in shown["entries"] if e["entry"]["type"] == "intent" and e["entry"]["verb"] == "sign"]
    assert len(signed) == len(files)
    assert not [path for path in tmp_path.iterdir() if path.suffix not in (".exe", ".tlog-proof", "")]


def test_an_older_log_is_refused_with_a_sentence(own: Rehearsal, tmp_path: Path) -> None:
    """The logger's journal and tiles are put back to yesterday's: no head is signed, and the reason is said."""
    _signed(own, _program(tmp_path))
    assert stop(own.process) == 0
    for name in ("logger", "log"):
        shutil.copytree(own.directory / name, tmp_path / f"{name}-yesterday")
    with serving(own.directory) as today:
        _signed(today, _program(tmp_path, "today.exe", b"today"))
    for name in ("logger", "log"):
        shutil.rmtree(own.directory / name)
        shutil.move(tmp_path / f"{name}-yesterday", own.directory / name)
    with serving(own.directory) as rolled_back:
        refused = rolled_back.run("sign", _program(tmp_path, "never.exe", b"never"))
        assert refused.returncode == 8, refused.stderr
        assert "was signed" in refused.stderr
        assert not _ready(rolled_back.url)


def test_a_hang_up_ends_nothing(tmp_path: Path) -> None:
    """SIGHUP while it starts, while it serves and to its guarded processes: without ``[tls]`` it changes nothing."""
    directory = tmp_path / "seal"
    initialise(directory, "--scheme", "ecdsa-p256")
    process = start(directory, real=True)
    until = time.monotonic() + 60
    while not (directory / "run").exists() and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGHUP)
    service = Rehearsal(directory, wait_ready(process), process)
    try:
        for pid in (process.pid, *_rooms(service).values()):
            os.kill(pid, signal.SIGHUP)
        _signed(service, _program(tmp_path))
        process.send_signal(signal.SIGHUP)
        assert _ready(service.url)
    finally:
        code = stop(process)
    assert code == 0


def test_two_services_do_not_share_a_directory(own: Rehearsal) -> None:
    """A second ``serve`` says why it does not start, and the first goes on."""
    second = subprocess.run(
        [PRIVYSEAL, "serve", "--dir", str(own.directory), "--bind", "127.0.0.1:0"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 2
    assert "runs in" in second.stderr
    assert _ready(own.url)


def test_check_finds_a_mistake_before_anything_starts(own: Rehearsal) -> None:
    """``serve --check`` is silent on stdout and exits 0; an unknown key is named, and exits 2."""
    command = [PRIVYSEAL, "serve", "--dir", str(own.directory), "--check"]
    good = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (good.returncode, good.stdout) == (0, "")
    path = own.directory / "serve.toml"
    path.write_text(path.read_text() + "typo = 1\n")
    wrong = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert wrong.returncode == 2
    assert "typo" in wrong.stderr
    assert "Traceback" not in wrong.stderr


def test_init_refuses_what_is_there_and_leaves_no_half(tmp_path: Path) -> None:
    """A directory with something in it is not touched; a failure in the middle leaves nothing of ours."""
    (tmp_path / "mine").write_text("mine")
    command = [PRIVYSEAL, "init", "--dir", str(tmp_path), "--rehearsal"]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 2
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    bad = subprocess.run(
        [PRIVYSEAL, "init", "--dir", str(tmp_path / "new"), "--rehearsal", "--name", "x" * 100],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert bad.returncode == 2
    assert not (tmp_path / "new").exists()


def test_nobody_else_can_read_what_is_secret(own: Rehearsal) -> None:
    """Each room is a closed directory; settings with passphrases, keys, token and database are their owner's alone."""
    secrets = [own.directory / f"{room}/{room}.toml" for room in ("signer", "logger", "stamper")]
    secrets += [
        own.directory / name for name in ("signer", "logger", "stamper", "issuer", "marks", "rehearsal-ca", "run")
    ]
    secrets += [own.directory / name for name in ("client.toml", "administrator.toml", "operator.toml", "records.db")]
    secrets += [own.directory / name for name in ("rehearsal-ca/ca.key", "logger/log.key")]
    assert [str(path) for path in secrets if path.stat().st_mode & 0o077] == []


def test_doctor_says_what_is_weak_and_what_is_wrong(own: Rehearsal) -> None:
    """A healthy rehearsal is exit 0 with its weaknesses named; a readable secret is exit 2, with the cure."""
    fine = own.run("doctor", "--dir", own.directory, "--url", own.url, "--json", profile=False)
    found = {each["what"]: each["state"] for each in json.loads(fine.stdout)["findings"]}
    assert fine.returncode == 0, fine.stderr
    assert (found["service"], found["separation"], found["keys"]) == ("good", "weak", "weak")
    for what in ("disk", "permissions", "time", "metrics", "log"):
        assert found[what] == "good", what
    (own.directory / "client.toml").chmod(0o644)
    wrong = own.run("doctor", "--dir", own.directory, "--url", own.url, profile=False)
    assert wrong.returncode == 2
    assert "chmod 600" in " ".join(wrong.stderr.split())
    assert all(len(line) <= 80 or " " not in line.strip() for line in wrong.stderr.splitlines())


def test_a_rehearsals_revocation_list_does_not_lapse(own: Rehearsal) -> None:
    """A service that was left alone for eight days issues its CA's list anew when it starts."""
    assert stop(own.process) == 0
    crl = own.directory / "ca.crl"
    before = crl.read_bytes()
    os.utime(crl, (time.time() - 8 * 86400,) * 2)
    with serving(own.directory):
        until = time.monotonic() + 30
        while crl.read_bytes() == before and time.monotonic() < until:
            time.sleep(0.1)
    assert crl.read_bytes() != before


def test_keys_and_certificates_are_listed_and_shown(rehearsal: Rehearsal) -> None:
    """``key`` and ``cert`` say of a key what the service says, and an unknown name is exit 2."""
    listed = json.loads(rehearsal.run("key", "list", "--json").stdout)["keys"]
    shown = json.loads(rehearsal.run("key", "show", "release", "--json").stdout)
    assert [shown] == [each for each in listed if each["name"] == "release"]  # other tests make keys here as well
    fingerprint = shown["certificates"][0]["fingerprint"]
    assert fingerprint in rehearsal.run("key", "show", "release").stderr
    assert fingerprint in rehearsal.run("cert", "list").stderr
    assert "REHEARSAL" in rehearsal.run("cert", "show", fingerprint).stderr
    unknown = rehearsal.run("key", "show", "nobody")
    assert unknown.returncode == 2
    assert "Traceback" not in unknown.stderr
