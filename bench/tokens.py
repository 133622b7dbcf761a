"""RFC 3161 replies in process against bare signatures with the same key."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bench.harness import Row, against
from privyseal.pki.rehearsal import RehearsalAuthority
from privyseal.terms.signatures import ToBeSigned
from privyseal.timestamp.authority import Authority
from privyseal.timestamp.token import build_request


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


def replies(folder: Path, rounds: int) -> list[Row]:
    """Answer timestamp queries with an RSA-3072 key, as fast as the key allows or not."""
    key = rsa.generate_private_key(65537, 3072)
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ca = RehearsalAuthority.create(datetime.now(UTC), "bench")
    chain = (ca.issue_timestamp_authority(spki, datetime.now(UTC)),)
    scheme, hashed = padding.PKCS1v15(), utils.Prehashed(hashes.SHA256())

    def sign(wanted: Sequence[ToBeSigned]) -> list[bytes]:
        return [key.sign(each.octets, scheme, hashes.SHA256()) for each in wanted]

    authority = Authority(chain, sign, "2.23.140.1.4.2", lambda: datetime.now(UTC), secrets.token_bytes)
    query = build_request("sha256", bytes(32), nonce=12345678901234567890, policy=None, certificates=True)
    digest = bytes(32)
    subject, limit, ratio, each = against(
        lambda: _all_cores(lambda: key.sign(digest, scheme, hashed)),
        lambda: _all_cores(lambda: authority.reply(query)),
        rounds,
    )
    return [Row("RFC 3161 replies, RSA-3072, in process: / bare", subject, limit, ratio, "/s", "0.95 (1)", rounds=each)]
