"""The whole service over HTTP against what its keys could do bare: signatures a second, all promises kept.

Every answer is a released signature: intent and completion are in a signed head, the signer has checked that before it
used the key and has verified the signature, the receipt is built, and each of these is on the disk. The rows of the
signature alone ask for no timestamp, as no key's limit has one; the row with a timestamp says what one adds.

A ratio is of two figures of the same minute. ``openssl speed`` is the measure everybody can repeat; the
``cryptography`` wheel that we sign with brings a newer OpenSSL, which on some processors makes RSA signatures more than
twice as fast, and so is the harder limit. The notes say what a request costs in processor time, by process: on a busy
machine that is the steadier figure.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from bench.files import bare_rsa, openssl_rsa
from bench.harness import Row, against
from bench.running import Load, Running, running

SECONDS = 6.0
"""How long one round sends requests."""
PIECES = 100
"""Pieces of code in one request of the row for many."""
CLIENTS_OF_MANY = 16
"""Connections that send such requests: enough that one batch collects while another is signed."""
RULES = 1000
"""Rules of the row with a policy."""
STEADY = 50
"""Connections of the latency row, each with a pause of half a second on average: 100 requests a second."""


def throughput(folder: Path, rounds: int) -> list[Row]:
    """Load one rehearsal service with an RSA-3072 key and one with a P-256 key."""
    rounds = max(1, rounds - 2)
    rows: list[Row] = []
    with running(folder / "service-rsa", "rsa-3072") as rsa:
        rsa.load(seconds=1)
        rows += [
            _row("RSA-3072, 64 clients / openssl speed", openssl_rsa, rsa, rounds, "0.55 (0.75)"),
            _row("RSA-3072, 64 clients / cryptography", bare_rsa, rsa, rounds, "measured"),
            _row("RSA-3072 with timestamp / cryptography", bare_rsa, rsa, rounds, "measured", timestamp=True),
            _latency(rsa, rounds),
            _ruled(folder / "service-ruled", rsa, rounds),
        ]
    with running(folder / "service-p256", "ecdsa-p256") as p256:
        p256.load(seconds=1)
        many = {"pieces": PIECES, "clients": CLIENTS_OF_MANY}
        rows += [
            _row("P-256, 64 clients / bare sign and verify", bare_p256, p256, rounds, "0.20 (0.40)"),
            _row(f"P-256, {PIECES} in a request / the same", bare_p256, p256, rounds, "0.50 (0.75)", **many),
        ]
        rows[-2] = _with_note(rows[-2], p256.syncs().said())
    return rows


def _ruled(directory: Path, without: Running, rounds: int) -> Row:
    """Measure what a policy costs: the same service and one whose Subscriber has a thousand rules, by turns."""
    rules = "\n".join(f'[r{n}]\nkeys = ["release"]\npublisher = ["P{n}"]' for n in range(RULES - 1))
    with running(directory, "rsa-3072") as ruled:
        ruled.apply_policy(rules + '\n[all]\nkeys = ["release"]\n')
        ruled.load(seconds=1)
        work = f"RSA-3072 under {RULES:,} rules / without a policy"
        return _row(work, lambda: without.load(seconds=SECONDS).rate, ruled, rounds, "0.90")


def _row(work: str, limit_of: Callable[[], float], service: Running, rounds: int, target: str, **knobs: Any) -> Row:
    """Measure one row; ``knobs`` are those of :meth:`Running.load`."""
    last: list[Load] = []
    pieces = int(knobs.get("pieces", 1))

    def signatures() -> float:
        last.append(service.load(seconds=SECONDS, **knobs))
        return last[-1].rate * pieces

    subject, limit, ratio, each = against(limit_of, signatures, rounds)
    notes = f"{last[-1].spent()}; p99 {last[-1].p99_ms:.0f} ms"
    return Row(f"HTTP, {work}", subject, limit, ratio, "/s", target, notes=notes, rounds=each)


def _latency(service: Running, rounds: int) -> Row:
    """Measure how long the slowest of a hundred waits where a hundred come in a second; the limit is the target."""
    loads = [service.load(seconds=10, clients=STEADY, pause_ms=1000 * STEADY // 100) for _ in range(rounds)]
    median = sorted(loads, key=lambda load: load.p99_ms)[len(loads) // 2]
    return Row(
        "HTTP, RSA-3072, p99 of a receipt at 100 a second",
        median.p99_ms,
        500.0,
        median.p99_ms / 500.0,
        "ms",
        "500 (200)",
        "lower",
        f"{median.rate:.0f} a second came, p50 {median.p50_ms:.0f} ms; {median.spent()}",
        tuple(load.p99_ms for load in loads),
    )


def _with_note(row: Row, note: str) -> Row:
    return dataclasses.replace(row, notes=f"{row.notes}; {note}")


def _sign_and_verify_for(seconds: float) -> float:
    key = ec.generate_private_key(ec.SECP256R1())
    public, algorithm, digest = key.public_key(), ec.ECDSA(utils.Prehashed(hashes.SHA256())), bytes(32)
    done, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds:
        public.verify(key.sign(digest, algorithm), digest, algorithm)
        done += 1
    return done / spent


def bare_p256(seconds: float = 1.5) -> float:
    """Return how many P-256 signatures a second are made and verified over all cores, nothing else done."""
    cores = os.cpu_count() or 1
    with multiprocessing.get_context("spawn").Pool(cores) as pool:
        return sum(pool.map(_sign_and_verify_for, [seconds] * cores))
