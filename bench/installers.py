"""Signing a large installer without a service, as whole processes: against osslsigncode, and against hash and copy."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.formats.cfb_builder import build, tables

from bench.files import PRIVYSEAL
from bench.harness import Row, against, process
from bench.material import BLOCK, key_and_certificate
from privyseal.formats import cfb
from privyseal.formats.source import FileSource

SMALL, LARGE = 100 << 20, 1 << 30


def installer(path: Path, size: int, major: int) -> Path:
    """Write an installer with one stream of ``size`` octets, all of them allocated on the disk."""
    build(path, {**tables(), "Cabinet": size}, major=major)
    with FileSource.open(path) as code:
        found = cfb.read(code)
        cabinet = found.named("Cabinet")
        pieces = list(cfb.pieces(found, cabinet)) if cabinet else []
    block = bytes(i * 131 % 251 for i in range(BLOCK))
    with path.open("r+b") as out:
        for at, count in pieces:
            out.seek(at)
            for start in range(0, count, BLOCK):
                out.write(block[: min(BLOCK, count - start)])
    return path


def one_installer(folder: Path, rounds: int) -> list[Row]:
    """Sign installers of 100 MiB and 1 GiB, in sectors of 512 and of 4096, into new files."""
    rows: list[Row] = []
    for size, major in ((SMALL, 3), (SMALL, 4), (LARGE, 3), (LARGE, 4)):
        path = folder / f"large-{size >> 20}-v{major}.msi"
        # In a process of its own, with which its memory goes.
        subprocess.run([sys.executable, "-m", "bench.installers", path, str(size), str(major)], check=True)
        rows += _measured(folder, path, f"{size >> 20} MiB MSI v{major}", rounds)
        path.unlink()
    return rows


def _measured(folder: Path, path: Path, name: str, rounds: int) -> list[Row]:
    key, certificate = key_and_certificate(folder)
    subprocess.run(["cat", path], stdout=subprocess.DEVNULL, check=True)
    peaks: dict[str, float] = {"ours": 0, "theirs": 0}

    def fresh(whose: str) -> Path:
        """Take the outcomes away and let the disk come to rest: what one left unwritten must not slow the other."""
        for each in ("ours", "theirs", "copy"):
            (folder / f"{each}.msi").unlink(missing_ok=True)
        os.sync()
        return folder / f"{whose}.msi"

    def ours() -> float:
        run = process([PRIVYSEAL, "sign", "--keyfile", key, "--certs", certificate, "-o", fresh("ours"), path])
        peaks["ours"] = max(peaks["ours"], run.peak_mib)
        return run.seconds

    def theirs() -> float:
        command = ["osslsigncode", "sign", "-certs", certificate, "-key", key, "-h", "sha256", "-add-msi-dse"]
        run = process([*command, "-in", path, "-out", fresh("theirs")])
        peaks["theirs"] = max(peaks["theirs"], run.peak_mib)
        return run.seconds

    def hash_and_copy() -> float:
        out = fresh("copy")
        start = time.perf_counter()
        with path.open("rb") as file:
            hashlib.file_digest(file, "sha256")
        shutil.copyfile(path, out)
        return time.perf_counter() - start

    found = []
    for what, limit_of, target in (("osslsigncode", theirs, "1.0"), ("hash once + copy", hash_and_copy, "1.3")):
        subject, limit, ratio, each = against(limit_of, ours, rounds)
        found.append(Row(f"sign {name}: wall / {what}", subject, limit, ratio, "s", target, "lower", rounds=each))
    fresh("")
    row = Row(
        f"sign {name}: peak memory",
        peaks["ours"],
        peaks["theirs"],
        peaks["ours"] / peaks["theirs"],
        "MiB",
        "100",
        "lower",
    )
    return [*found, row]


if __name__ == "__main__":
    installer(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
