"""How long the command takes to say anything at all, and to sign one small file."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.files import PRIVYSEAL
from bench.harness import Row, against, process
from bench.material import key_and_certificate
from bench.windows import large_cabinet


def version(folder: Path, rounds: int) -> list[Row]:
    """Start ``privyseal --version`` beside bare Python, and sign a cabinet of 96 KiB beside osslsigncode."""
    key, certificate = key_and_certificate(folder)
    cabinet, out = large_cabinet(folder / "small.cab", 4 << 15), folder / "small-signed.cab"
    how: list[str | Path] = ["sign", "--keyfile", key, "--certs", certificate, "-o", out, cabinet]
    theirs: list[str | Path] = ["sign", "-certs", certificate, "-key", key, "-h", "sha256", "-in", cabinet, "-out", out]

    def timed(command: list[str | Path]) -> float:
        out.unlink(missing_ok=True)
        return process(command).seconds * 1000

    rounds = max(rounds, 7)
    python = against(lambda: timed([sys.executable, "-c", "pass"]), lambda: timed([PRIVYSEAL, "--version"]), rounds)
    peer = against(lambda: timed(["osslsigncode", *theirs]), lambda: timed([PRIVYSEAL, *how]), rounds)
    for path in (cabinet, out):
        path.unlink(missing_ok=True)
    return [
        Row("privyseal --version: / bare python", *python[:3], "ms", "150 (90)", "lower", "", python[3]),
        Row("sign, one small cabinet: / osslsigncode", *peer[:3], "ms", "150", "lower", "", peer[3]),
    ]
