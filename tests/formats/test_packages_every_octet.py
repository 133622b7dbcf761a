"""No octet of a signed package is loose: each is flipped once, and somebody must object."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.formats.signing import signatory
from tests.formats.test_windows_every_octet import flipped
from tests.formats.walking import sign
from tests.formats.zip_builder import app_package, nuget_package, publisher_of

pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number")

RSA = signatory()
KINDS = {
    "msix": app_package(publisher_of(RSA), content=b"content"),
    "makemsix.msix": app_package(publisher_of(RSA), content=b"content", dialect="makemsix"),
    "zip.appxbundle": app_package(publisher_of(RSA), content=b"content", dialect="plain", bundle=True),
    "nupkg": nuget_package(b"content"),
}
SAMPLED = 29
"""Of the octets of a signature's message one in so many: what it holds, ``test_pe_every_octet.py`` flips."""


@pytest.mark.parametrize("kind", KINDS)
def test_every_octet_counts(tmp_path: Path, kind: str):
    """All of the entries, the directory and the ends; the message in samples."""
    path = tmp_path / f"x.{kind}"
    path.write_bytes(KINDS[kind])
    blob = sign(path, RSA, stamped=True)
    octets = path.read_bytes()
    inside = octets.index(blob)
    around = [*range(inside + 40), *range(inside + len(blob) - 20, len(octets))]
    every = 1 if kind in ("msix", "nupkg") else 7
    assert flipped(path, around[::every], (0x01, 0x80) if every == 1 else (0xFF,)) == []
    assert flipped(path, list(range(inside, inside + len(blob), SAMPLED)), (0x80,)) == []
