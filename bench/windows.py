"""Signing other Windows formats than programs without a service, as whole processes: we and osslsigncode in turn."""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from bench.harness import Row, against, process
from bench.material import key_and_certificate, launcher
from privyseal.formats import authenticode, cat
from privyseal.pki import cms, der

PRIVYSEAL = Path(sys.executable).with_name("privyseal")

_DATA = 32768
"""Octets in one block of a cabinet's data; compressors write no more ([MS-CAB] 2.4)."""
_MOST_BLOCKS = 65535


def large_cabinet(path: Path, size: int) -> Path:
    """Write a cabinet of stored files of nearly ``size`` octets, all of them allocated on the disk."""
    content = bytes(i * 131 % 251 for i in range(_DATA))
    block = struct.pack("<IHH", 0, _DATA, _DATA) + content
    total = size // len(block)
    counts = [min(_MOST_BLOCKS, total - first) for first in range(0, total, _MOST_BLOCKS)]
    files_at = 36 + 8 * len(counts)
    names = [b"file-%04d.bin\0" % number for number in range(len(counts))]
    entries = b"".join(
        struct.pack("<IIHHHH", count * _DATA, 0, number, 0x5A21, 0, 0x20) + name
        for number, (count, name) in enumerate(zip(counts, names, strict=True))
    )
    at = files_at + len(entries)
    head = (
        "<4sIIIIIBBHHHHH",
        b"MSCF",
        0,
        at + total * len(block),
        0,
        files_at,
        0,
        3,
        1,
        len(counts),
        len(counts),
        0,
        0,
        0,
    )
    with path.open("wb") as out:
        out.write(struct.pack(*head))
        for count in counts:
            out.write(struct.pack("<IHH", at, count, 0))
            at += count * len(block)
        out.write(entries)
        for _ in range(total):
            out.write(block)
    return path


def large_script(path: Path, size: int) -> Path:
    """Write a script of ASCII lines of nearly ``size`` octets."""
    lines = b"".join(b'Write-Host "line %06d of a script"\r\n' % number for number in range(25_000))
    with path.open("wb") as out:
        for _ in range(max(1, size // len(lines))):
            out.write(lines)
    return path


def against_osslsigncode(folder: Path, rounds: int) -> list[Row]:
    """Sign a cabinet of 1 GiB, one of 100 MiB and a script of 100 MiB into new files."""
    rows: list[Row] = []
    for work, make, name, mib in (
        ("CAB", large_cabinet, "large.cab", 1024),
        ("CAB", large_cabinet, "middling.cab", 100),
        ("PowerShell", large_script, "large.ps1", 100),
    ):
        path = make(folder / name, mib << 20)
        rows += rows_against(folder, f"{mib} MiB {work}", path, rounds)
        path.unlink()
    return rows


def many_mixed(folder: Path, rounds: int, count: int = 500) -> list[Row]:
    """Sign programs, cabinets, catalogues and scripts, an installer's build: in one command, and in one for each.

    osslsigncode takes one file at a time, so a build starts it as often as it has files.
    """
    key, certificate = key_and_certificate(folder)
    numbers = itertools.count()

    def fresh() -> tuple[list[Path], Path]:
        number = next(numbers)
        made, out = folder / f"mixed-{number}", folder / f"mixed-{number}-signed"
        for each in (made, out):
            each.mkdir()
        kinds = (_program, _cabinet, _catalogue, _script)
        return [kinds[n % len(kinds)](made, n) for n in range(count)], out

    def ours() -> float:
        paths, out = fresh()
        os.sync()
        how: list[str | Path] = ["sign", "--keyfile", key, "--certs", certificate, "-o", out, *paths]
        return count / process([PRIVYSEAL, *how]).seconds

    def theirs() -> float:
        paths, out = fresh()
        os.sync()
        start = time.perf_counter()
        for path in paths:
            how: list[str | Path] = ["sign", "-certs", certificate, "-key", key, "-h", "sha256", "-in", path, "-out"]
            process(["osslsigncode", *how, out / path.name])
        return count / (time.perf_counter() - start)

    rows = [Row(f"sign, {count} mixed files: / osslsigncode", *against(theirs, ours, rounds)[:3], "/s", "5")]
    for used in folder.glob("mixed-*"):
        shutil.rmtree(used)
    return rows


def _program(folder: Path, number: int) -> Path:
    path = folder / f"{number:04}.exe"
    path.write_bytes(launcher() + number.to_bytes(8, "little"))
    return path


def _cabinet(folder: Path, number: int) -> Path:
    return large_cabinet(folder / f"{number:04}.cab", 4 * _DATA)


def _script(folder: Path, number: int) -> Path:
    path = folder / f"{number:04}.ps1"
    path.write_bytes(b'Write-Host "line of script %d"\r\n' % number * 200)
    return path


def _catalogue(folder: Path, number: int) -> Path:
    """Write an unsigned catalogue without members, as makecat does: the smallest there is."""
    listed = der.sequence(
        der.sequence(der.oid(cat.ID_CATALOGUE)),
        der.octet_string(number.to_bytes(16, "big")),
        der.utc_time(datetime(2026, 1, 1, tzinfo=UTC)),
        der.sequence(der.oid("1.3.6.1.4.1.311.12.1.3"), der.null()),
    )
    content = der.sequence(der.oid(authenticode.ID_TRUST_LIST), der.explicit(0, listed))
    signed = der.sequence(der.integer(1), der.set_of(), content, der.set_of())
    path = folder / f"{number:04}.cat"
    path.write_bytes(der.sequence(der.oid(cms.ID_SIGNED_DATA), der.explicit(0, signed)))
    return path


def rows_against(folder: Path, work: str, path: Path, rounds: int, peer: bool = True) -> list[Row]:
    """Sign one file into a new one, beside osslsigncode if it is a ``peer``, and beside hashing and copying it once."""
    key, certificate = key_and_certificate(folder)
    subprocess.run(["cat", path], stdout=subprocess.DEVNULL, check=True)
    peaks: dict[str, list[float]] = {"ours": [], "theirs": []}
    outs = {name: folder / f"{name}{path.suffix}" for name in peaks}

    def timed(name: str, command: list[str | Path]) -> float:
        """Take both outcomes away and let the disk come to rest: what one left unwritten must not slow the other."""
        for each in outs.values():
            each.unlink(missing_ok=True)
        os.sync()
        run = process(command)
        peaks[name].append(run.peak_mib)
        return run.seconds

    def ours() -> float:
        how: list[str | Path] = ["sign", "--keyfile", key, "--certs", certificate, "-o", outs["ours"], path]
        return timed("ours", [PRIVYSEAL, *how])

    def theirs() -> float:
        how: list[str | Path] = [
            "sign",
            "-certs",
            certificate,
            "-key",
            key,
            "-h",
            "sha256",
            "-in",
            path,
            "-out",
            outs["theirs"],
        ]
        return timed("theirs", ["osslsigncode", *how])

    beside = against(theirs, ours, rounds) if peer else None
    floor = against(_hashed_and_copied(path, outs["theirs"]), ours, rounds)
    for out in outs.values():
        out.unlink(missing_ok=True)
    rows = [Row(f"sign, {work}: wall / hash once, copy", *floor[:3], "s", "1.3", "lower", "", floor[3])]
    if beside is not None:
        rows.insert(0, Row(f"sign, {work}: wall / osslsigncode", *beside[:3], "s", "1.0", "lower", "", beside[3]))
    most, other = max(peaks["ours"]), max(peaks["theirs"], default=float(64))
    return [*rows, Row(f"sign, {work}: peak memory", most, other, most / other, "MiB", "64", "lower")]


def _hashed_and_copied(path: Path, target: Path) -> Callable[[], float]:
    """Return what hashes a file once and copies it once, and tells how long that took, one after the other."""

    def run() -> float:
        target.unlink(missing_ok=True)
        os.sync()
        start = time.perf_counter()
        buffer = memoryview(bytearray(2 << 20))
        hashed = hashlib.sha256()
        wide = path.suffix == ".ps1"  # a script is hashed as UTF-16
        with path.open("rb", buffering=0) as file:
            while count := file.readinto(buffer):
                piece = buffer[:count]
                hashed.update(bytes(piece).decode("ascii").encode("utf-16-le") if wide else piece)
        shutil.copyfile(path, target)
        return time.perf_counter() - start

    return run
