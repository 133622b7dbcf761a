"""A whole service whose records are put back to an older copy, by its commands alone."""

from __future__ import annotations

import json
import re
import select
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from tests.rehearsal import PRIVYSEAL, Rehearsal, initialise, run_here, serving
from tests.strongroom.witnessroom import free_port

SENTENCE = (
    "The records know the log up to its entry {known}, and it has {size} entries (the witness w1 knows {size}); "
    "they lack 2 requests with intents at entries {first} to {last}, so nothing is signed."
)


def _privyseal(*arguments: object) -> str:
    done = run_here(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def _witnessed(seal: Path, folder: Path) -> Iterator[None]:
    """Have the service's log cosigned by a witness that runs until the block ends."""
    port = free_port()
    vkey = _privyseal("witness", "init", "--dir", folder, "--name", "witness.example/w").strip()
    _privyseal("witness", "admit", "--dir", folder, seal / "log-policy")
    _privyseal("log", "add-witness", "--dir", seal, vkey, f"http://127.0.0.1:{port}", "--quorum", "1")
    command = [PRIVYSEAL, "witness", "--dir", str(folder), "--bind", f"127.0.0.1:{port}"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert running.stdout is not None
        assert select.select([running.stdout], [], [], 60)[0]
        running.stdout.readline()
        running.stdout.close()
        yield
    finally:
        running.kill()
        running.wait()


def _signed(service: Rehearsal, file: Path) -> Path:
    file.write_bytes((resources.files("distlib") / "t64.exe").read_bytes() + file.name.encode())
    done = service.run("sign", file)
    assert done.returncode == 0, done.stderr
    return file


def _not_ready(service: Rehearsal) -> str:
    try:
        urllib.request.urlopen(f"{service.url}/readyz", timeout=60)
    except urllib.error.HTTPError as error:
        assert error.code == 503
        return str(json.load(error)["detail"])
    raise AssertionError("it is ready")


def test_old_records_are_only_read_until_an_operator_gives_up_what_they_lack(tmp_path: Path) -> None:
    """The service starts, reads, verifies, shows its log and says the sizes; it signs again when told what is lost."""
    seal, copy = tmp_path / "seal", tmp_path / "records.db"
    initialise(seal, "--scheme", "ecdsa-p256")
    with _witnessed(seal, tmp_path / "witness"):
        with serving(seal) as service:
            old = _signed(service, tmp_path / "old.exe")
        shutil.copy(seal / "records.db", copy)
        with serving(seal) as service:
            lost = [_signed(service, tmp_path / name) for name in ("lost.exe", "also-lost.exe")]
        for each in seal.glob("records.db*"):
            each.unlink()
        shutil.copy(copy, seal / "records.db")
        with serving(seal) as service:
            size = json.loads(service.run("log", "show", "--json").stdout)["head"]["size"]
            why = _not_ready(service)  # of what the records lack some is what the stamper says of its starts
            known = int(re.findall(r"up to its entry (\d+)", why)[0])
            assert size - 12 < known < size - 4
            said = SENTENCE.format(known=known, size=size, first=size - 4, last=size - 2)
            assert said in why
            fresh = tmp_path / "fresh.exe"
            shutil.copy(lost[0], fresh)
            refused = service.run("sign", "--again", fresh)
            assert refused.returncode == 8, refused.stderr
            assert said in refused.stderr
            assert "Traceback" not in refused.stderr
            assert all(service.run("verify", file).returncode == 0 for file in (old, *lost))
            assert service.run("log", "fsck").returncode == 0
        assert "2 requests of demo are missing" in _said("log", "accept-gap", "--dir", seal)
        assert "2 requests of demo are given up" in _said("log", "accept-gap", "--dir", seal, "--apply")
        with serving(seal) as service:
            _signed(service, tmp_path / "new.exe")
            assert urllib.request.urlopen(f"{service.url}/readyz", timeout=60).status == 200
        assert "no request is missing" in _said("log", "accept-gap", "--dir", seal)
        _privyseal("log", "fsck", "--dir", seal)


def _said(*arguments: object) -> str:
    done = run_here(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr
