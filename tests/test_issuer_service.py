"""A certificate from order to signature in a real service; its CA is a process that comes when it is asked."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from tests.rehearsal import Rehearsal, initialise, serving, stop

from privyseal.pki.chain import read_crls


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Rehearsal]:
    """Run a service of the test's own, with a P-256 key, which is quick to make."""
    initialise(tmp_path / "seal", "--scheme", "ecdsa-p256")
    with serving(tmp_path / "seal") as running:
        yield running


def cert(service: Rehearsal, *arguments: str | Path) -> dict[str, object]:
    """Run ``privyseal cert`` as the administrator; return its JSON."""
    given = ["cert", *map(str, arguments), "--profile", str(service.directory / "administrator.toml")]
    done = service.run(*given, "--url", service.url, "--json", profile=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def ordered(service: Rehearsal, folder: Path) -> tuple[str, list[x509.Certificate]]:
    """Order a certificate for ``release``; return the order's id, and the chain."""
    order: dict[str, str] = cert(service, "ask", "release", "--at", "rehearsal")["order"]  # type: ignore[assignment]
    cert(service, "show", order["id"], "--chain", folder / "chain.pem")
    return order["id"], x509.load_pem_x509_certificates((folder / "chain.pem").read_bytes())


def fetched(service: Rehearsal, path: str, body: bytes | None = None) -> bytes:
    """GET or POST something of the rehearsal's CA, as anybody may."""
    kind = {"Content-Type": "application/ocsp-request"} if body is not None else {}
    asked = urllib.request.Request(f"{service.url}/rehearsal-ca/{path}", body, kind)
    with urllib.request.urlopen(asked, timeout=30) as answer:
        octets: bytes = answer.read()
        return octets


def status(service: Rehearsal, chain: list[x509.Certificate], *, post: bool = False) -> ocsp.OCSPCertStatus:
    """Ask for the status of a chain's certificate."""
    request = ocsp.OCSPRequestBuilder().add_certificate(chain[0], chain[1], hashes.SHA256()).build()
    octets = request.public_bytes(Encoding.DER)
    path = "ocsp" if post else f"ocsp/{base64.b64encode(octets).decode()}"
    return ocsp.load_der_ocsp_response(fetched(service, path, octets if post else None)).certificate_status


def with_two_strokes(chain: list[x509.Certificate]) -> Iterator[str]:
    """Yield a question whose base64 has ``//``, as it is and escaped; both are in use (RFC 6960 A.1)."""
    for number in range(10_000):
        nonce = x509.OCSPNonce(hashlib.sha256(bytes([number >> 8, number & 255])).digest())
        request = ocsp.OCSPRequestBuilder().add_certificate(chain[0], chain[1], hashes.SHA256())
        question = base64.b64encode(request.add_extension(nonce, False).build().public_bytes(Encoding.DER)).decode()
        if "//" in question:
            yield f"ocsp/{question}"
            yield f"ocsp/{quote(question, safe='')}"
            return


def issuers() -> dict[int, str]:
    """Return the issuers that run on this machine, with their command lines."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if "privyseal.strongroom.run issuer" in line:
            found[int(path.parent.name)] = line
    return found


def of(service: Rehearsal) -> set[int]:
    """Return the pids of a service's issuer: none until it is asked."""
    return {pid for pid, line in issuers().items() if str(service.directory) in line}


def test_a_certificate_is_ordered_accepted_and_signed_with(own: Rehearsal, tmp_path: Path) -> None:
    """The issuer comes with the first order, and again when it is killed; what it issued is known to it afterwards."""
    assert not of(own)
    order, chain = ordered(own, tmp_path)
    (pid,) = of(own)
    fingerprint = chain[0].fingerprint(hashes.SHA256()).hex()
    cert(own, "accept", order, fingerprint)
    program = tmp_path / "hello.exe"
    program.write_bytes((resources.files("distlib") / "t64.exe").read_bytes())
    assert own.run("sign", program).returncode == 0
    said = json.loads(own.run("verify", program, "--json").stdout)
    (signature,) = said["files"][0]["signatures"]
    assert int(signature["serial"], 16) == chain[0].serial_number
    os.kill(pid, signal.SIGKILL)
    until = time.monotonic() + 60
    while not (of(own) - {pid}):
        assert time.monotonic() < until, "the issuer was not started again"
        time.sleep(0.1)
    while True:
        try:
            assert status(own, chain, post=True) is ocsp.OCSPCertStatus.GOOD
            break
        except urllib.error.HTTPError:
            assert time.monotonic() < until
            time.sleep(0.1)
    assert status(own, chain) is ocsp.OCSPCertStatus.GOOD
    for path in with_two_strokes(chain):
        assert ocsp.load_der_ocsp_response(fetched(own, path)).certificate_status is ocsp.OCSPCertStatus.GOOD
    assert fetched(own, "code-signing.crl") == read_crls((own.directory / "ca.crl").read_bytes())[1]
    assert x509.load_der_x509_certificate(fetched(own, "code-signing.cer")) == chain[1]
    malformed = ocsp.load_der_ocsp_response(fetched(own, "ocsp/no%20request"))
    assert malformed.response_status is ocsp.OCSPResponseStatus.MALFORMED_REQUEST
    with pytest.raises(urllib.error.HTTPError, match="404"):
        fetched(own, "ca.key")


def test_a_rehearsal_from_before_the_issuer_gets_one(own: Rehearsal, tmp_path: Path) -> None:
    """It is made at the start; what was issued before is unknown to it, never good."""
    _, before = ordered(own, tmp_path)
    assert stop(own.process) == 0
    shutil.rmtree(own.directory / "issuer")
    with serving(own.directory) as again:
        assert status(again, before) is ocsp.OCSPCertStatus.UNKNOWN
        _, chain = ordered(again, tmp_path)
        assert status(again, chain) is ocsp.OCSPCertStatus.GOOD
        pids = of(again)
    assert len(pids) == 1
    until = time.monotonic() + 30
    while pids & set(issuers()):
        assert time.monotonic() < until, "the issuer outlived its service"
        time.sleep(0.1)
