"""No octet of a signed OPC package that its readers heed is loose: each is flipped once, and somebody must object.

What ZIP says of a part beside its name, sizes and octets is bound by nothing; all other places are flipped. Entries are
stored, as packing leaves bits that mean nothing (RFC 1951 3.2.3). Of content types, and of relationships outside
extensions, only what they mean is bound: ``test_opc.py`` changes that.
"""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from tests.formats.opc_builder import document_files, vsix_files
from tests.formats.signing import signatory
from tests.formats.test_pe_layout import Held
from tests.formats.test_windows_every_octet import flipped
from tests.formats.walking import sign
from tests.formats.zip_builder import File, archive

from privyseal.formats import zipdir

pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number")

SAMPLED = 13
"""Of the octets of a signature's document, one in so many; of the nightly run, every one."""


def heeded(octets: bytes, skipped: set[str]) -> list[int]:
    """Return the places that readers heed: of each header mark, sums, sizes and name, and the octets themselves."""
    found = []
    for entry in zipdir.read(Held(octets)).entries:
        name = entry.name.decode()
        found += [*range(entry.at, entry.at + 4), *range(entry.at + 14, entry.at + 28)]
        found += range(entry.at + 30, entry.at + 30 + len(entry.name))
        if name not in skipped and "xml-signature" not in name:
            found += range(entry.data_at, entry.data_at + entry.packed)
    at = octets.index(b"PK\1\2")
    while octets[at : at + 4] == b"PK\1\2":
        sizes = struct.unpack_from("<HHH", octets, at + 28)
        found += [*range(at, at + 4), *range(at + 16, at + 30), *range(at + 42, at + 46 + sizes[0])]
        at += 46 + sum(sizes)
    return found + list(range(at, at + 20))


def signed(path: Path, files: list[File]) -> bytes:
    path.write_bytes(archive([File(one.name, one.octets, packed=False) for one in files]))
    sign(path, signatory(), stamped=True)
    return path.read_bytes()


@pytest.mark.parametrize("kind", ["vsix", "xps"])
def test_every_octet_counts(tmp_path: Path, kind: str):
    """Of an extension relationships too, as they stand."""
    path = tmp_path / f"example.{kind}"
    octets = signed(path, vsix_files(b"content") if kind == "vsix" else document_files(b"content"))
    skipped = (
        {"[Content_Types].xml"} if kind == "vsix" else {"[Content_Types].xml", "_rels/.rels", "_rels/a.fdseq.rels"}
    )
    assert flipped(path, heeded(octets, skipped), (0x01,)) == []


@pytest.mark.parametrize("every", [SAMPLED, pytest.param(1, marks=pytest.mark.nightly)])
def test_every_octet_of_the_signature_counts(tmp_path: Path, every: int):
    path = tmp_path / "example.vsix"
    octets = signed(path, vsix_files(b"content"))
    start, end = octets.index(b"<Signature xmlns") - 38, octets.index(b"</Signature>") + 12
    assert flipped(path, list(range(start, end, every)), (0x01,)) == []
