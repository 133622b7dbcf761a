"""Silverlight applications signed, replaced, timestamped later, taken apart again, refused; relic's rules once more."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import msgspec
import pytest
from tests.formats.samples import sample
from tests.formats.signing import APPEND, PLAIN, signatory
from tests.formats.test_windows_every_octet import flipped
from tests.formats.walking import describe, look, remove, sign, stamp_later, wrong
from tests.formats.zip_builder import File, archive

from privyseal.errors import BadInput, Impossible, MalformedCode
from privyseal.formats import operations
from privyseal.formats.catalogue import BY_NAME
from privyseal.formats.source import FileSource
from privyseal.terms.signatures import Options

XAP = BY_NAME["xap"]
P256 = "ecdsa-p256"
MANIFEST = b'<Deployment xmlns="http://schemas.microsoft.com/client/2007/deployment" EntryPointAssembly="App"/>'


def application(content: bytes = b"content" * 40, **how: object) -> bytes:
    return archive([File(b"AppManifest.xaml", MANIFEST), File(b"App.dll", content)], **how)


def relics_digest(octets: bytes, algorithm: str = "sha256") -> bytes:
    """Hash an application as relic does: without what its trailer says is behind the archive."""
    size = len(octets)
    if octets[-10:-6] == b"XapS":
        size -= struct.unpack("<I", octets[-4:])[0] + 10
    return hashlib.new(algorithm, octets[:size]).digest()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "example.xap"
    path.write_bytes(application())
    return path


def test_there_and_back(path: Path):
    """Signed, a timestamp later, signed anew, removed: the very file; the digest is relic's all the way."""
    original = path.read_bytes()
    first = describe(path)
    blob = sign(path, signatory(P256))
    signed = path.read_bytes()
    around = struct.pack("<HHI", 1, 1, len(blob)), b"XapS" + struct.pack("<HI", 1, len(blob) + 8)
    assert signed == original + around[0] + blob + around[1]
    assert first.digest == relics_digest(signed) == look(path).signatures[0].digest and not wrong(path)
    stamp_later(path, 0)
    assert not wrong(path) and look(path).signatures[0].timestamp and describe(path) == first
    sign(path, signatory("ecdsa-p384"), digest="sha384")
    assert len(look(path).signatures) == 1 and not wrong(path)
    remove(path)
    assert path.read_bytes() == original and not look(path).signatures
    remove(path)
    assert path.read_bytes() == original


def test_the_kind_is_that_of_silverlights_sip(path: Path):
    """The subject interface package is the one that relic names; without it Windows would ask another."""
    blob = sign(path, signatory(P256))
    assert bytes.fromhex("6fa608ba3b11584d9329a1b37af30f0e") in blob


def test_a_real_application_and_one_of_a_phone(path: Path):
    path.write_bytes(original := sample("relic/dummy.xap"))
    sign(path, signatory(P256))
    assert not wrong(path) and look(path).signatures[0].digest == relics_digest(original)
    remove(path)
    assert path.read_bytes() == original
    path.write_bytes(archive([File(b"WMAppManifest.xml", b"<Deployment/>")], zip64=True))
    sign(path, signatory(P256))
    assert not wrong(path)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_every_octet_counts(path: Path):
    blob = sign(path, signatory(P256), stamped=True)
    size, start = path.stat().st_size, len(application())
    assert flipped(path, [*range(start + 40), *range(size - 20, size)]) == []
    assert flipped(path, list(range(start, start + len(blob), 29)), (0x80,)) == []


SIGNED = application() + struct.pack("<HHI", 1, 1, 2) + b"0\0" + b"XapS" + struct.pack("<HI", 1, 10)
BROKEN: dict[str, tuple[bytes, str]] = {
    "cut": (application()[:-1], "no end of a central directory"),
    "more behind": (application() + b"more", "octets behind the end"),
    "no signature": (application() + b"XapS" + struct.pack("<HI", 1, 0), "a signature of 0 octets"),
    "longer than the file": (application() + b"XapS" + struct.pack("<HI", 1, 1 << 20), "a signature of 1048576 octets"),
    "huge": (application() + b"XapS" + struct.pack("<HI", 1, 0xFFFFFFFF), "a signature of 4294967295 octets"),
    "header lies": (SIGNED.replace(struct.pack("<HHI", 1, 1, 2), struct.pack("<HHI", 1, 1, 3)), "contradict"),
    "another version": (SIGNED[:-6] + struct.pack("<HI", 2, 10), "a signature of 10 octets"),
    "no manifest": (archive([File(b"other", b"")]), "it has no AppManifest.xaml"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_what_is_no_application(path: Path, how: str):
    octets, why = BROKEN[how]
    path.write_bytes(octets)
    with pytest.raises(MalformedCode, match=why):
        sign(path, signatory(P256))
    assert path.read_bytes() == octets


def test_broken_signatures_and_other_descriptions(path: Path):
    described = describe(path)
    path.write_bytes(SIGNED)
    assert wrong(path) == {"malformed-signature"}
    who = signatory(P256).identity
    for other in (
        msgspec.structs.replace(described, format="pe"),
        msgspec.structs.replace(described, facts={"more": 1}),
        msgspec.structs.replace(described, size=3),
    ):
        with pytest.raises(BadInput):
            XAP.to_be_signed(other, who, PLAIN)
    with pytest.raises(BadInput, match="one signature"):
        XAP.to_be_signed(described, who, Options(mode="append"))
    with pytest.raises(Impossible):
        operations.require_for(XAP, APPEND)


def test_another_formats_layout_is_refused(path: Path):
    """A layout of the same kind, of another format whose signature stands behind the content."""
    with FileSource.open(path) as code:
        layout = XAP.inspect(code)
        assert XAP.remove(code, layout).size == layout.size
        with pytest.raises(BadInput, match="of the format navx was given where one of a Silverlight application"):
            XAP.remove(code, msgspec.structs.replace(layout, format="navx"))
