"""Apps of Business Central signed, replaced, timestamped later, taken apart again, refused; jsign's rules once more."""

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

from privyseal.errors import BadInput, Impossible, MalformedCode
from privyseal.formats import operations
from privyseal.formats.catalogue import BY_NAME
from privyseal.terms.signatures import Options

NAVX = BY_NAME["navx"]
P256 = "ecdsa-p256"


def app(content: bytes = b"content" * 40) -> bytes:
    return b"NAVX" + struct.pack("<II16sQ", 40, 2, bytes(range(16)), len(content)) + b"NAVX" + content


def jsigns_digest(octets: bytes, algorithm: str = "sha256") -> bytes:
    """Hash an app as jsign does: its header, and as many octets as that says at 28."""
    return hashlib.new(algorithm, octets[: 40 + struct.unpack_from("<I", octets, 28)[0]]).digest()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "example.app"
    path.write_bytes(app())
    return path


def test_there_and_back(path: Path):
    """Signed, a timestamp later, signed anew, removed: the very file; the digest is jsign's all the way."""
    original = path.read_bytes()
    first = describe(path)
    blob = sign(path, signatory(P256))
    signed = path.read_bytes()
    assert signed == original + b"NXSB" + blob + struct.pack("<I", len(original)) + b"NXSB"
    assert first.digest == jsigns_digest(signed) == look(path).signatures[0].digest and not wrong(path)
    stamp_later(path, 0)
    assert not wrong(path) and look(path).signatures[0].timestamp and describe(path) == first
    sign(path, signatory("ecdsa-p384"), digest="sha384")
    assert len(look(path).signatures) == 1 and not wrong(path)
    remove(path)
    assert path.read_bytes() == original and not look(path).signatures
    remove(path)
    assert path.read_bytes() == original


def test_a_real_app(path: Path):
    path.write_bytes(original := sample("jsign/minimal.navx"))
    sign(path, signatory(P256))
    assert not wrong(path) and look(path).signatures[0].digest == jsigns_digest(original)
    remove(path)
    assert path.read_bytes() == original


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_every_octet_counts(path: Path):
    blob = sign(path, signatory(P256), stamped=True)
    size = path.stat().st_size
    assert flipped(path, [*range(len(app()) + 30), *range(size - 20, size)]) == []
    assert flipped(path, list(range(len(app()), len(app()) + len(blob), 29)), (0x80,)) == []


BROKEN: dict[str, tuple[bytes, str]] = {
    "cut": (app()[:-1], "states 280 octets of content, and 279"),
    "header only in part": (b"NAVX" + bytes(32) + b"NAV", "is of no format"),
    "more behind": (app() + b"more", "which are no signature"),
    "no marks": (app() + bytes(100), "not marked as a signature"),
    "place lies": (app() + b"NXSB\x30\x00" + struct.pack("<I", 3) + b"NXSB" + b"", "not marked as a signature"),
    "huge": (app()[:28] + struct.pack("<Q", 1 << 62) + app()[36:], "octets of content"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_what_is_no_app(path: Path, how: str):
    octets, why = BROKEN[how]
    path.write_bytes(octets)
    with pytest.raises(MalformedCode, match=why):
        sign(path, signatory(P256))
    assert path.read_bytes() == octets


def test_broken_signatures_and_other_descriptions(path: Path):
    described = describe(path)
    path.write_bytes(app() + b"NXSB\x30\x00" + struct.pack("<I", len(app())) + b"NXSB")
    assert wrong(path) == {"malformed-signature"}
    who = signatory(P256).identity
    for other in (
        msgspec.structs.replace(described, format="pe"),
        msgspec.structs.replace(described, facts={"more": 1}),
        msgspec.structs.replace(described, size=3),
    ):
        with pytest.raises(BadInput):
            NAVX.to_be_signed(other, who, PLAIN)
    with pytest.raises(BadInput, match="one signature"):
        NAVX.to_be_signed(described, who, Options(mode="append"))
    with pytest.raises(Impossible):
        operations.require_for(NAVX, APPEND)
