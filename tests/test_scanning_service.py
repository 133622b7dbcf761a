"""A real service with a real clamd, rules and a command: what is clean is signed, what is infected or unseen is not."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest
from tests.clamd import EICAR, EICAR_NAME, Clamd, running
from tests.rehearsal import Rehearsal, initialise, serving

RULES = 'rule Forbidden { strings: $a = "not for release" condition: $a }\n'


@pytest.fixture(scope="module")
def clamd() -> Iterator[Clamd]:
    with running() as made:
        yield made


@pytest.fixture(scope="module")
def service(clamd: Clamd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    """Run a service whose uploads pass all three kinds of scanner."""
    directory = tmp_path_factory.mktemp("scanning") / "seal"
    initialise(directory, "--scheme", "ecdsa-p256")
    (directory / "own.yar").write_text(RULES)
    code = "import sys; sys.exit(b'third-party' in open(sys.argv[1], 'rb').read())"
    with (directory / "serve.toml").open("a") as settings:
        settings.write(
            f'\n[[scanners]]\nkind = "clamav"\naddress = "{clamd.socket}"\noldest_database_days = 0\n'
            '\n[[scanners]]\nkind = "yara"\nrules = ["own.yar"]\n'
            f'\n[[scanners]]\nkind = "command"\nname = "licences"\n'
            f'command = ["{sys.executable}", "-c", "{code}", "{{file}}"]\n'
        )
    with serving(directory) as made:
        yield made


def _program(folder: Path, name: str, more: bytes) -> Path:
    path = folder / name
    path.write_bytes((resources.files("distlib") / "t64.exe").read_bytes() + more)
    return path


def _get(service: Rehearsal, path: str) -> str:
    with urllib.request.urlopen(f"{service.url}{path}", timeout=60) as answer:
        return str(answer.read().decode())


def test_a_clean_file_is_signed_and_the_record_says_what_was_seen(service: Rehearsal, tmp_path: Path) -> None:
    """Signed once however often it is asked for; ``request show`` names each scanner, or that nobody saw."""
    file, out = _program(tmp_path, "clean.exe", b"clean---"), tmp_path / "out.exe"
    done = service.run("sign", file, "--mode", "server", "--json", "-o", out)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["files"][0]
    assert found["verdict"] == "valid"
    again = service.run("sign", file, "--mode", "server", "--json", "-o", tmp_path / "two.exe")
    assert json.loads(again.stdout)["files"][0]["request"] == found["request"]
    assert service.run("verify", out).returncode == 0
    shown = service.run("request", "show", found["request"]).stderr
    assert "seen by the service and scanned" in shown
    for each in ("clamav: clean (ClamAV ", "yara: clean (yara-x ", "licences: clean (python"):
        assert each in shown, shown
    view = json.loads(service.run("request", "show", found["request"], "--json").stdout)
    assert [scan["scanner"] for scan in view["scans"]] == ["clamav", "yara", "licences"]
    local = _program(tmp_path, "local.exe", b"local---")
    mine = json.loads(service.run("sign", local, "--json").stdout)["files"][0]
    shown = service.run("request", "show", mine["request"]).stderr
    assert "not seen by the service" in shown and "clamav" not in shown


@pytest.mark.parametrize(
    ("more", "what"),
    [(EICAR, EICAR_NAME), (b"not for release!", "yara found Forbidden"), (b"third-party-----", "licences")],
)
def test_an_infected_file_is_refused(service: Rehearsal, tmp_path: Path, more: bytes, what: str) -> None:
    """Exit 5, one sentence with the scanner's name for it, the file as it was, nothing left in the spool."""
    file = _program(tmp_path, "bad.exe", more)
    before = file.read_bytes()
    done = service.run("sign", file, "--mode", "server")
    assert done.returncode == 5, done.stderr
    assert what in done.stderr and "Traceback" not in done.stderr
    assert file.read_bytes() == before and not Path(f"{file}.tlog-proof").exists()
    assert list((service.directory / "spool" / "demo" / "in").iterdir()) == []


def test_a_scanner_that_is_down_refuses(service: Rehearsal, clamd: Clamd, tmp_path: Path) -> None:
    """Exit 8; ``/readyz``, metrics and ``doctor`` name it; in local mode signing goes on; back again, so does this."""
    file, other = _program(tmp_path, "waits.exe", b"waits---"), _program(tmp_path, "other.exe", b"other---")
    healthy = service.run("doctor", "--dir", service.directory, profile=False).stderr
    assert "scanner clamav: ClamAV " in healthy and "scanner yara: yara-x " in healthy
    clamd.stop()
    try:
        done = service.run("sign", file, "--mode", "server")
        assert done.returncode == 8 and "clamav does not answer" in done.stderr, done.stderr
        assert service.run("sign", other).returncode == 0
        examined = service.run("doctor", "--dir", service.directory, profile=False)
        assert examined.returncode == 8 and "scanner clamav" in examined.stderr
        metrics = _get(service, "/metrics")
        assert 'privyseal_scan_duration_seconds_count{outcome="unavailable",scanner="clamav"}' in metrics
    finally:
        clamd.start()
    assert service.run("sign", file, "--mode", "server").returncode == 0
    assert 'privyseal_ready{part="scanner clamav"} 1.0' in _get(service, "/metrics")
