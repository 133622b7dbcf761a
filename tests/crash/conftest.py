"""What the campaigns share: a short folder, because the path of a Unix socket is short."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a folder that goes with the test."""
    with tempfile.TemporaryDirectory(prefix="crash-") as name:
        yield Path(name)
