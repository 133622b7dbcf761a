"""Real files of other projects, where the machine has them; a test that would use one says which it could not run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

VARIABLE = "PRIVYSEAL_SAMPLES"
FOLDER = Path(os.environ.get(VARIABLE) or Path(__file__).resolve().parents[3] / "shared" / "samples" / "code")
"""``jsign/`` and ``relic/`` as in the test resources of these projects (Apache-2.0); ``xlsxwriter/`` of XlsxWriter's
``xlsxwriter/test/comparison/xlsx_files`` (BSD-2-Clause), ``epplus/`` of EPPlus' ``src/EPPlusTest/Workbooks`` (PolyForm
Noncommercial)."""


def sample(name: str) -> bytes:
    """Return a sample's octets; skip the test, by name, where there is no folder of samples."""
    path = FOLDER / name
    if not path.is_file():
        pytest.skip(f"the sample {name} is not on this machine; {VARIABLE} can say where samples are")
    return path.read_bytes()
