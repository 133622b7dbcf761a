"""The Timestamp Authority: replies in process against bare signatures, over HTTP, and against ``openssl ts -reply``."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from bench.files import bare_rsa
from bench.harness import Row, against, rate
from bench.running import running
from privyseal.pki import certificates
from privyseal.pki.rehearsal import RehearsalAuthority
from privyseal.terms.signatures import ToBeSigned
from privyseal.timestamp.authority import Authority
from privyseal.timestamp.token import build_request

SECONDS = 6.0
"""How long one round sends queries."""
CLIENTS = 64
POLICY = "2.23.140.1.4.2"
_TARGETS = {"rsa-3072": "0.95 (1)", "rsa-4096": "0.95 (1)", "ecdsa-p256": "0.45 (0.6)", "ecdsa-p384": "measured"}
_QUERY = build_request("sha256", bytes(32), nonce=12345678901234567890, policy=None, certificates=True)
_CONFIGURATION = """[tsa]
default_tsa = t
[t]
serial = {0}/serial
signer_cert = {0}/tsa.pem
signer_key = {0}/tsa.key
signer_digest = sha256
default_policy = 2.23.140.1.4.2
digests = sha256
"""


def authority(folder: Path, rounds: int) -> list[Row]:
    """Measure each kind of key in process, and RSA-3072 over HTTP and against OpenSSL's own authority."""
    now = datetime.now(UTC)
    ca = RehearsalAuthority.create(now, "bench")
    rows = [_in_process(scheme, ca, now, rounds) for scheme in _TARGETS]
    rows.append(_as_process(folder, ca, now, rounds))
    with running(folder / "service-tsa", "ecdsa-p256") as service:
        script = folder / "query.lua"
        escaped = "".join(f"\\{each}" for each in _QUERY)
        kind = 'wrk.headers["Content-Type"] = "application/timestamp-query"'
        script.write_text(f'wrk.method = "POST"\nwrk.body = "{escaped}"\n{kind}\n')
        subject, limit, ratio, each = against(bare_rsa, lambda: _wrk(f"{service.url}/tsa", script), max(1, rounds - 2))
    work = f"RFC 3161 over HTTP, RSA-3072, {CLIENTS} clients / bare"
    return [*rows, Row(work, subject, limit, ratio, "/s", "0.75", rounds=each)]


def _all_cores(work: Callable[[], object], seconds: float = 1.0) -> float:
    """Repeat ``work`` in as many threads as cores for about this long; return how many a second."""
    counts = [0] * (os.cpu_count() or 1)

    def _loop(place: int) -> None:
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            work()
            counts[place] += 1

    threads = [threading.Thread(target=_loop, args=(place,)) for place in range(len(counts))]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - start)


def _key(scheme: str) -> tuple[rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, Callable[[bytes], bytes]]:
    """Return a key, and how it signs a digest's octets bare."""
    if scheme.startswith("rsa"):
        key = rsa.generate_private_key(65537, int(scheme[4:]))
        pre = utils.Prehashed(hashes.SHA256())
        return key, lambda digest: key.sign(digest, padding.PKCS1v15(), pre)
    curve = ec.generate_private_key(ec.SECP256R1() if scheme == "ecdsa-p256" else ec.SECP384R1())
    algorithm = ec.ECDSA(utils.Prehashed(hashes.SHA256()))
    return curve, lambda digest: curve.sign(digest, algorithm)


def _in_process(scheme: str, ca: RehearsalAuthority, now: datetime, rounds: int) -> Row:
    key, bare = _key(scheme)
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    chain = (ca.issue_timestamp_authority(spki, now),)
    whole = ec.ECDSA(hashes.SHA256())

    def sign(wanted: Sequence[ToBeSigned]) -> list[bytes]:
        if isinstance(key, rsa.RSAPrivateKey):
            return [key.sign(each.octets, padding.PKCS1v15(), hashes.SHA256()) for each in wanted]
        return [key.sign(each.octets, whole) for each in wanted]

    made = Authority(chain, sign, POLICY, lambda: datetime.now(UTC), secrets.token_bytes)
    if scheme.startswith("rsa"):
        limit, ours = (lambda: _all_cores(lambda: bare(bytes(32)))), (lambda: _all_cores(lambda: made.reply(_QUERY)))
    else:  # short signatures are made in line, by one thread (performance.md): two only hand the interpreter about
        limit = lambda: rate(lambda: len([bare(bytes(32)) for _ in range(100)]))  # noqa: E731
        ours = lambda: rate(lambda: len(made.replies([_QUERY] * 100)))  # noqa: E731
    subject, around, ratio, each = against(limit, ours, rounds)
    return Row(
        f"RFC 3161 replies, {scheme}, in process / bare", subject, around, ratio, "/s", _TARGETS[scheme], rounds=each
    )


def _as_process(folder: Path, ca: RehearsalAuthority, now: datetime, rounds: int) -> Row:
    """Compare with OpenSSL's authority, which is a process for each reply."""
    key, _ = _key("rsa-3072")
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    own = ca.issue_timestamp_authority(spki, now)
    (folder / "tsa.pem").write_bytes(certificates.pem(own))
    (folder / "tsa.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "q").write_bytes(_QUERY)
    (folder / "serial").write_text("01\n")
    (folder / "tsa.cnf").write_text(_CONFIGURATION.format(folder))
    command = [
        "openssl",
        "ts",
        "-reply",
        "-config",
        folder / "tsa.cnf",
        "-queryfile",
        folder / "q",
        "-out",
        folder / "r",
    ]

    def openssl() -> float:
        return rate(lambda: int(subprocess.run(command, check=True, capture_output=True).returncode == 0))

    def sign(wanted: Sequence[ToBeSigned]) -> list[bytes]:
        assert isinstance(key, rsa.RSAPrivateKey)
        return [key.sign(each.octets, padding.PKCS1v15(), hashes.SHA256()) for each in wanted]

    made = Authority((own,), sign, POLICY, lambda: datetime.now(UTC), secrets.token_bytes)
    subject, limit, ratio, each = against(openssl, lambda: rate(lambda: min(1, len(made.reply(_QUERY)))), rounds)
    return Row("RFC 3161 replies, RSA-3072 / openssl ts -reply", subject, limit, ratio, "/s", "5", rounds=each)


def _wrk(url: str, script: Path) -> float:
    """Send queries from 64 connections; return replies a second."""
    assert shutil.which("wrk"), "apt-get install wrk"
    command = ["wrk", "-t1", f"-c{CLIENTS}", f"-d{SECONDS:.0f}s", "-s", script, url]
    began = time.perf_counter()
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "Non-2xx" not in said, said
    counted = next(line for line in said.splitlines() if "requests in" in line)
    return int(counted.split()[0]) / (time.perf_counter() - began)
