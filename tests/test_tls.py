"""The whole walk over TLS with real processes: a certificate in place of a token, and what goes wrong on the way."""

from __future__ import annotations

import hashlib
import shutil
import signal
import ssl
import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from importlib import resources
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.access.clients import Authority, new_key, write
from tests.rehearsal import Rehearsal, initialise, serving


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    directory = tmp_path_factory.mktemp("secure") / "d"
    initialise(directory, "--tls", "--scheme", "ecdsa-p256")
    with serving(directory) as running:
        yield running


def program(folder: Path) -> Path:
    path = folder / "program.exe"
    path.write_bytes((resources.files("distlib") / "t64.exe").read_bytes())
    return path


def test_signed_by_certificate_and_believed_by_strangers(own: Rehearsal, tmp_path: Path) -> None:
    """sign, verify and the log's check need no token and no option; osslsigncode believes the outcome."""
    assert own.url.startswith("https://127.0.0.1:")
    profile = own.profile.read_text()
    assert "token" not in profile and "client_key" in profile
    file = program(tmp_path)
    signed = own.run("sign", file)
    assert signed.returncode == 0, signed.stderr
    assert own.run("verify", file).returncode == 0
    command = ["osslsigncode", "verify", "-in", str(file), "-CAfile", str(own.directory / "ca.pem")]
    command += ["-TSA-CAfile", str(own.directory / "ca.pem"), "-CRLfile", str(own.directory / "ca.crl")]
    judged = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert judged.returncode == 0 and "Signature verification: ok" in judged.stdout, judged.stdout + judged.stderr
    checked = own.run("log", "fsck")
    assert checked.returncode == 0, checked.stderr
    healthy = own.run("doctor", "--dir", own.directory, "--url", own.url, profile=False)
    assert healthy.returncode == 0, healthy.stderr
    assert "every process behind it answer" in healthy.stderr and "sandbox" in healthy.stderr


def other(own: Rehearsal, tmp_path: Path, **settings: str | Path | None) -> Path:
    """Write a profile like the service's own, with some settings changed, or left out where they are None."""
    lines = {
        "url": own.url, "subscriber": "demo", "key": "release", "ca": own.directory / "tls/ca.pem",
        "client_certificate": own.directory / "tls/client.pem", "client_key": own.directory / "tls/client.key",
    } | settings  # fmt: skip
    path = tmp_path / "other.toml"
    path.write_text("".join(f'{name} = "{value}"\n' for name, value in lines.items() if value is not None))
    path.chmod(0o600)
    return path


def said(own: Rehearsal, profile: Path) -> tuple[int, str]:
    done = own.run("key", "list", "--profile", profile, "--url", own.url, profile=False)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def test_who_is_not_believed_is_told_so_in_one_sentence(own: Rehearsal, tmp_path: Path) -> None:
    """Certificates from elsewhere, out of date, unregistered or missing end with 4, without a second try."""
    foreign, key = Authority("foreign"), new_key()
    stranger = write(tmp_path, "foreign", foreign.issue(key, ["rehearsal client"]), key)
    for settings, code, words in (
        # uvloop closes the connection without the alert that would tell; see below.
        ({"client_certificate": stranger[0], "client_key": stranger[1]}, (8,), "perhaps because the client cert"),
        ({"client_certificate": None, "client_key": None}, (4,), "No credential was sent"),
        ({"client_certificate": None}, (2,), "go together"),
        ({"client_key": own.directory / "tls/server.key"}, (2,), "do not belong together"),
        ({"client_key": tmp_path / "none.key"}, (2,), "cannot be read: No such file"),
        ({"ca": None}, (8,), "was issued by nobody we trust"),
        ({"ca": stranger[0]}, (8,), "was issued by nobody we trust"),
        ({"ca": own.directory / "tls/client.key"}, (2,), "PEM was expected"),
    ):
        outcome = said(own, other(own, tmp_path, **settings))  # type: ignore[arg-type]
        assert outcome[0] in code and words in outcome[1], (settings, outcome)
    open_key = tmp_path / "open.key"
    shutil.copy(own.directory / "tls/client.key", open_key)
    open_key.chmod(0o644)
    code, text = said(own, other(own, tmp_path, client_key=open_key))
    assert code == 2 and "is a private key and others can read it" in text and "chmod 600" in text


def test_a_service_that_is_not_believed_is_not_talked_to(own: Rehearsal, tmp_path: Path) -> None:
    """Expired, not yet in force, for another host: 8, and the sentence says which."""
    trusted, key = Authority("trusted"), new_key()
    (tmp_path / "trusted.pem").write_bytes(trusted.pem)
    past, future = (timedelta(days=-9), timedelta(days=-1)), (timedelta(days=1), timedelta(days=9))
    for number, (certificate, words) in enumerate(
        (
            (trusted.server(key, lasts=past), "has expired"),
            (trusted.server(key, lasts=future), "is not in force yet"),
            (trusted.server(key, alternatives=[]), "is for another host"),
        )
    ):
        listening = _serve(tmp_path, f"s{number}", *write(tmp_path, f"s{number}", certificate, key))
        try:
            profile = other(own, tmp_path, ca=tmp_path / "trusted.pem", url=f"https://127.0.0.1:{listening[1]}")
            done = own.run(
                "key", "list", "--profile", profile, "--url", f"https://127.0.0.1:{listening[1]}", profile=False
            )
            assert done.returncode == 8 and words in done.stderr, done.stderr
        finally:
            listening[0].kill()
            listening[0].communicate()


def test_a_server_that_says_why_it_refuses_our_certificate_is_quoted(own: Rehearsal, tmp_path: Path) -> None:
    """A foreign server's alert about our certificate, or about the lack of one, ends with 4 and is not tried again."""
    trusted, foreign, key = Authority("trusted"), Authority("foreign"), new_key()
    (tmp_path / "trusted.pem").write_bytes(trusted.pem)
    served = write(tmp_path, "server", trusted.server(key), key)
    demand = ("-Verify", "1", "-verify_return_error", "-CAfile", str(tmp_path / "trusted.pem"))
    server, port = _serve(tmp_path, "server", *served, *demand)
    mine = write(tmp_path, "mine", foreign.issue(key, ["x"]), key)
    try:
        for names, words in (((mine[0], mine[1]), "issuer is none of those"), ((None, None), "asks for one")):
            url = f"https://127.0.0.1:{port}"
            settings = {"ca": tmp_path / "trusted.pem", "client_certificate": names[0], "client_key": names[1]}
            profile = other(own, tmp_path, url=url, **settings)
            done = own.run("key", "list", "--profile", profile, "--url", url, profile=False)
            assert done.returncode == 4 and words in done.stderr, done.stderr
    finally:
        server.kill()
        server.communicate()


def _serve(folder: Path, name: str, certificate: Path, key: Path, *more: str) -> tuple[subprocess.Popen[str], int]:
    """Start somebody else's TLS server with this certificate, and return it with its port."""
    command = ["openssl", "s_server", "-accept", "0", "-cert", str(certificate), "-key", str(key), "-www", *more]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=folder)
    assert server.stdout is not None
    for line in server.stdout:
        if line.startswith("ACCEPT"):
            return server, int(line.rsplit(":", 1)[1])
    raise AssertionError(f"openssl s_server did not start for {name}")


def _fingerprint(running: Rehearsal) -> bytes:
    address = urlsplit(running.url)
    assert address.hostname and address.port
    return hashlib.sha256(ssl.get_server_certificate((address.hostname, address.port)).encode()).digest()


def test_sighup_reads_the_certificate_anew(own: Rehearsal, tmp_path: Path) -> None:
    """The same process shows the new one; a file that is no certificate changes nothing."""
    directory = tmp_path / "d"
    shutil.copytree(own.directory, directory, ignore=shutil.ignore_patterns("run", "serve.lock"))
    key, certificate = directory / "tls" / "server.key", directory / "tls" / "server.pem"
    with serving(directory) as running:
        before = _fingerprint(running)
        certificate.write_bytes(b"junk")
        running.process.send_signal(signal.SIGHUP)
        assert _fingerprint(running) == before
        command = ["openssl", "req", "-x509", "-key", str(key), "-subj", "/CN=renewed", "-days", "2"]
        subprocess.run([*command, "-out", str(certificate)], check=True, capture_output=True, timeout=60)
        running.process.send_signal(signal.SIGHUP)
        until = time.monotonic() + 30
        while _fingerprint(running) == before and time.monotonic() < until:
            time.sleep(0.05)
        assert _fingerprint(running) != before
        assert running.process.poll() is None


def test_a_service_without_client_authorities_says_that_it_wants_no_certificate(own: Rehearsal, tmp_path: Path) -> None:
    """Where nobody asks for it the certificate is not sent; the refusal says why. SIGHUP is survived."""
    directory = tmp_path / "d"
    shutil.copytree(own.directory, directory, ignore=shutil.ignore_patterns("run", "serve.lock"))
    settings = directory / "serve.toml"
    settings.write_text(
        "\n".join(line for line in settings.read_text().splitlines() if "client_authorities" not in line)
    )
    with serving(directory) as running:
        running.process.send_signal(1)
        code, text = said(running, other(running, tmp_path))
        assert code == 4 and "No credential was sent" in text and "asks for no client certificate" in text
        assert running.process.poll() is None
