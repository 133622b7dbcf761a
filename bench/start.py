"""How long the command takes to say anything at all."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.files import PRIVYSEAL
from bench.harness import Row, against, process


def version(folder: Path, rounds: int) -> list[Row]:
    """Start ``privyseal --version`` and, for comparison, bare Python."""
    subject, limit, ratio, each = against(
        lambda: process([sys.executable, "-c", "pass"]).seconds * 1000,
        lambda: process([PRIVYSEAL, "--version"]).seconds * 1000,
        max(rounds, 7),
    )
    return [Row("privyseal --version: / bare python", subject, limit, ratio, "ms", "150 (90)", "lower", rounds=each)]
