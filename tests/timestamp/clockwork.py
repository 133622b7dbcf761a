"""A timestamp authority for tests: its chain, its key, a clock one can turn, and OpenSSL's authority beside it."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path

from tests.pki import mint
from tests.pki.mint import NOW, Minted

from privyseal.terms.signatures import ToBeSigned
from privyseal.timestamp.authority import Authority

POLICY = "1.3.6.1.4.1.99999.1.2"
_DIGESTS = {"rsa-3072": "sha256", "ecdsa-p256": "sha256", "ecdsa-p384": "sha384", "ecdsa-p521": "sha512"}


class Clock:
    """Tells the time it was set to."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now
        self.fails: Exception | None = None

    def __call__(self) -> datetime:
        if self.fails is not None:
            raise self.fails
        return self.now

    def turn(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@lru_cache
def root() -> Minted:
    return mint.certify("Timestamp Root", mint.key("rsa-3072", 1), ca=True)


@lru_cache
def unit(scheme: str, number: int = 0) -> Minted:
    """Return a timestamp certificate for a key of a scheme, signed with that scheme's digest."""
    return mint.certify(
        f"TSU {scheme}",
        mint.key(scheme, number),
        root(),
        purposes=(mint.TIME_STAMPING,),
        critical=True,
        digest=_DIGESTS[scheme],
    )


def authority(minted: Minted, clock: Callable[[], datetime] | None = None) -> Authority:
    def sign(several: list[ToBeSigned]) -> list[bytes]:
        return [mint.sign(minted.key, each) for each in several]

    return Authority([minted.der], sign, POLICY, clock or Clock(), os.urandom)


def openssl_reply(directory: Path, minted: Minted, query: bytes, **settings: str) -> bytes:
    """Have OpenSSL's own authority answer a request."""
    (directory / "tsa.pem").write_bytes(minted.pem)
    (directory / "tsa.key").write_bytes(minted.key_pem)
    (directory / "root.pem").write_bytes(root().pem)
    (directory / "serial").write_text("0123456789ABCDEF\n")
    (directory / "query").write_bytes(query)
    chosen = {
        "serial": directory / "serial",
        "signer_cert": directory / "tsa.pem",
        "signer_key": directory / "tsa.key",
        "certs": directory / "root.pem",
        "signer_digest": "sha256",
        "default_policy": POLICY,
        "digests": "sha1, sha256, sha384, sha512",
        "accuracy": "secs:1, millisecs:500, microsecs:100",
        "ordering": "yes",
        "tsa_name": "yes",
        "ess_cert_id_chain": "no",
    } | settings
    lines = ["[tsa]", "default_tsa = unit", "[unit]", *(f"{name} = {value}" for name, value in chosen.items())]
    (directory / "tsa.cnf").write_text("\n".join(lines) + "\n")
    command = ["openssl", "ts", "-reply", "-config", directory / "tsa.cnf", "-queryfile", directory / "query"]
    done = mint.run(*command, "-out", directory / "reply")
    assert done.returncode == 0, done.stderr
    return (directory / "reply").read_bytes()
