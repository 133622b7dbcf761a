"""Signing files without a service, as whole processes: one large program, and a thousand small ones in one command."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils

from bench.harness import Row, Run, against, process
from bench.material import key_and_certificate, large_program, many_programs

PRIVYSEAL = Path(sys.executable).with_name("privyseal")


def one_large(folder: Path, rounds: int, size: int = 1 << 30) -> list[Row]:
    """Sign a 1 GB program into a new file: we and osslsigncode in turn."""
    key, certificate = key_and_certificate(folder)
    program = large_program(folder / "large.exe", size)
    subprocess.run(["cat", program], stdout=subprocess.DEVNULL, check=True)
    peaks: dict[str, list[float]] = {"ours": [], "theirs": []}

    def fresh(name: str) -> Path:
        """Take both outcomes away and let the disk come to rest: what one left unwritten must not slow the other."""
        for each in ("ours.exe", "theirs.exe"):
            (folder / each).unlink(missing_ok=True)
        os.sync()
        return folder / name

    def ours() -> float:
        out = fresh("ours.exe")
        run = process([PRIVYSEAL, "sign", "--keyfile", key, "--certs", certificate, "-o", out, program])
        peaks["ours"].append(run.peak_mib)
        return run.seconds

    def theirs() -> float:
        out = fresh("theirs.exe")
        command = ["osslsigncode", "sign", "-certs", certificate, "-key", key, "-h", "sha256"]
        run: Run = process([*command, "-in", program, "-out", out])
        peaks["theirs"].append(run.peak_mib)
        return run.seconds

    subject, limit, ratio, each = against(theirs, ours, rounds)
    for name in ("ours.exe", "theirs.exe"):
        (folder / name).unlink(missing_ok=True)
    mib = f"{size >> 20} MiB"
    return [
        Row(
            f"sign --keyfile, {mib} PE: wall / osslsigncode",
            subject,
            limit,
            ratio,
            "s",
            "1.0 (0.75)",
            "lower",
            "",
            each,
        ),
        Row(
            f"sign --keyfile, {mib} PE: peak memory",
            max(peaks["ours"]),
            max(peaks["theirs"]),
            max(peaks["ours"]) / max(peaks["theirs"]),
            "MiB",
            "64",
            "lower",
        ),
    ]


def _sign_for(seconds: float) -> float:
    key = rsa.generate_private_key(65537, 3072)
    digest, scheme, hashed = bytes(32), padding.PKCS1v15(), utils.Prehashed(hashes.SHA256())
    done, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds:
        key.sign(digest, scheme, hashed)
        done += 1
    return done / spent


def bare_rsa(seconds: float = 1.5) -> float:
    """Return RSA-3072 signatures a second over all cores, one process each, nothing else done."""
    cores = os.cpu_count() or 1
    with multiprocessing.get_context("spawn").Pool(cores) as pool:
        return sum(pool.map(_sign_for, [seconds] * cores))


def openssl_rsa(seconds: int = 2) -> float:
    """Return what ``openssl speed`` says of RSA-3072 signatures a second over all cores: a stranger's measure."""
    command = ["openssl", "speed", "-seconds", str(seconds), "-multi", str(os.cpu_count() or 1), "-mr", "rsa3072"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    (line,) = [line for line in said.splitlines() if line.startswith("+F2:")]
    return float(line.split(":")[3])


def many_small(folder: Path, rounds: int, count: int = 1000) -> list[Row]:
    """Sign 1,000 programs of 100 kB in one command, checked as always, against two measures of bare signatures.

    ``openssl speed`` is what the peers of the target were compared with; the ``cryptography`` wheel that we sign with
    brings a newer OpenSSL, which on some processors signs nearly twice as fast, and so is the harder limit. The target
    is for new files (``-o``), as the peers write them; replacing files in place waits for the disk besides (ADR 14).

    Each round has a folder of its own and nothing is deleted until the end: for one to six minutes ext4 passes over
    every inode that was deleted in the neighbourhood before it takes a new one (``recently_deleted`` in ialloc.c),
    which took a tenth of the processor after a few rounds. So run it where nothing much was deleted just before.
    """
    key, certificate = key_and_certificate(folder)
    numbers = itertools.count()

    def ours(in_place: bool) -> float:
        number = next(numbers)
        paths = many_programs(folder / f"many-{number}", count)
        out = folder / f"many-{number}-signed"
        out.mkdir()
        os.sync()
        to = [] if in_place else ["-o", out]
        run = process([PRIVYSEAL, "sign", "--keyfile", key, "--certs", certificate, *to, *paths])
        return count / run.seconds

    rows = []
    for name, limit_of, in_place in (
        ("openssl speed", openssl_rsa, False),
        ("cryptography", bare_rsa, False),
        ("openssl speed, in place", openssl_rsa, True),
    ):
        subject, limit, ratio, each = against(limit_of, partial(ours, in_place), rounds)
        work = f"sign --keyfile, {count} PE of 100 kB: / {name}"
        rows.append(Row(work, subject, limit, ratio, "/s", "0.75 (0.9)", rounds=each))
    for used in folder.glob("many-*"):
        shutil.rmtree(used)
    return rows
