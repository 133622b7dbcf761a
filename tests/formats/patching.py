"""Files and plans for the tests of ``formats/patch.py``."""

from __future__ import annotations

from pathlib import Path

from privyseal.formats import patch
from privyseal.formats.protocol import Copy, Insert, PatchPlan, Source

BIG = 3 * patch.SMALL + 12345
"""Octets that are written and read side by side."""


def content(size: int) -> bytes:
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def plan_for(path: Path) -> tuple[PatchPlan, bytes]:
    """Return a plan with every kind of step, and what it makes of the file."""
    octets = path.read_bytes()
    size = len(octets)
    steps = (Copy(0, 100), Insert(b"new"), Copy(103, size - 203), Insert(b""), Copy(0, 50), Insert(b"tail" * 100))
    return PatchPlan(steps), octets[:100] + b"new" + octets[103 : size - 100] + octets[:50] + b"tail" * 100


def read_all(source: Source, step: int = 1 << 18) -> bytes:
    buffer, parts, at = memoryview(bytearray(step)), [], 0
    while count := source.readinto(at, buffer):
        parts.append(bytes(buffer[:count]))
        at += count
    return b"".join(parts)
