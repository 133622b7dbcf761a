"""A whole service whose log is witnessed, and one with two loggers on PostgreSQL, by their commands alone."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
import urllib.request
from importlib import resources
from pathlib import Path

from tests.rehearsal import PRIVYSEAL, Rehearsal, initialise, run_here, serving
from tests.strongroom.cluster import Cluster, folder
from tests.strongroom.witnessroom import free_port
from tests.tlog.sumdb_verifier import cosigned_with_go

from privyseal.tlog.policy import parse_policy


def _privyseal(*arguments: object) -> str:
    done = run_here(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _program(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_bytes((resources.files("distlib") / "t64.exe").read_bytes())
    return path


def _sign(service: Rehearsal, file: Path) -> None:
    done = service.run("sign", file)
    assert done.returncode == 0, done.stderr


def test_receipts_of_a_witnessed_service_carry_the_cosignature(tmp_path: Path) -> None:
    """By the commands of the how-to: a witness is made, knows the log, is asked; receipts, published head and log hold
    under a policy that asks for it; without it nothing is signed, with it again the same command goes on."""
    seal, witness, port = tmp_path / "seal", tmp_path / "witness", free_port()
    initialise(seal, "--scheme", "ecdsa-p256")
    vkey = _privyseal("witness", "init", "--dir", witness, "--name", "witness.example/w").strip()
    _privyseal("witness", "admit", "--dir", witness, seal / "log-policy")
    _privyseal("log", "add-witness", "--dir", seal, vkey, f"http://127.0.0.1:{port}", "--quorum", "1")
    policy = parse_policy((seal / "log-policy").read_bytes())
    assert (policy.quorum, [each.key.vkey for each in policy.witnesses]) == ("witnesses", [vkey])

    def start() -> subprocess.Popen[bytes]:
        command = [PRIVYSEAL, "witness", "--dir", str(witness), "--bind", f"127.0.0.1:{port}"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], 60)[0]
        process.stdout.readline()
        process.stdout.close()
        return process

    running = start()
    try:
        with serving(seal) as service:
            file = _program(tmp_path, "hello.exe")
            _sign(service, file)
            done = service.run("verify", file)
            assert done.returncode == 0, done.stderr
            _privyseal("log", "verify", f"{file}.tlog-proof", "--log-policy", seal / "log-policy")
            assert service.run("log", "show", "--json").stdout.count('"witnesses":["w1"]') == 1
            with urllib.request.urlopen(f"{service.url}/metrics", timeout=30) as answer:
                assert 'privyseal_log_cosignature_timestamp_seconds{witness="witness.example/w"} 1' in str(
                    answer.read()
                )
            assert cosigned_with_go(seal / "log" / "checkpoint", policy.logs[0].key.vkey, vkey)
            running.terminate()
            assert running.wait(20) == 0
            other = _program(tmp_path, "other.exe")
            refused = service.run("sign", other)
            assert refused.returncode == 8, refused.stderr
            assert "witness" in refused.stderr
            running = start()
            _sign(service, other)
            assert service.run("verify", other).returncode == 0
    finally:
        running.kill()
        running.wait()


def test_a_service_signs_on_when_its_logger_is_frozen(tmp_path: Path) -> None:
    """The log moves into PostgreSQL, a standby is added, the active logger is frozen: the next signature is made, and
    its receipt holds."""
    seal = tmp_path / "seal"
    initialise(seal, "--scheme", "ecdsa-p256")
    with folder() as where:
        cluster = Cluster(where).create().start()
        settings = seal / "logger" / "logger.toml"
        settings.write_text(f'journal = "{cluster.url}"\n' + settings.read_text())
        _privyseal("log", "recover", "--dir", seal, "--apply")
        _privyseal("log", "add-logger", "--dir", seal)
        serve = seal / "serve.toml"
        serve.write_text(serve.read_text() + 'loggers = ["run/logger2.sock"]\n')
        standby: subprocess.Popen[bytes] | None = None
        try:
            with serving(seal) as service:
                _sign(service, _program(tmp_path, "first.exe"))
                command = [sys.executable, "-m", "privyseal.strongroom.run", "logger"]
                command += ["--config", str(seal / "logger2/logger.toml"), "--socket", str(seal / "run/logger2.sock")]
                standby = subprocess.Popen(command)
                until = time.monotonic() + 60
                while not (seal / "run/logger2.sock").exists():
                    assert time.monotonic() < until
                    time.sleep(0.05)
                active = _logger_of(service)
                os.kill(active, signal.SIGSTOP)
                try:
                    file = _program(tmp_path, "second.exe")
                    done = service.run("sign", file)
                    if done.returncode == 8:  # the question that was under way when the logger froze
                        done = service.run("sign", file)
                    assert done.returncode == 0, done.stderr
                    assert service.run("verify", file).returncode == 0
                finally:
                    os.kill(active, signal.SIGCONT)
                _sign(service, _program(tmp_path, "third.exe"))
        finally:
            if standby is not None:
                standby.terminate()
                standby.wait(30)
            cluster.stop()
    _privyseal("log", "fsck", "--dir", seal)


def _logger_of(service: Rehearsal) -> int:
    """The process that serves the first logger's socket, found by its command line."""
    wanted = str(service.directory / "logger" / "logger.toml").encode()
    found = [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit() and wanted in _command(each)]
    assert len(found) == 1
    return found[0]


def _command(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""
