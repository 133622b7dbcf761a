"""WiX Burn bundles: refused as plain programs until their engine is signed.

No WiX runs here, so bundles are made by hand from ``burn/engine/section.cpp`` and what ``wix burn detach`` and
``reattach`` do: an engine is the stub and its first container; once it is signed, the bundle says where its signature
is, and carries it before the other containers.
"""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from tests.formats import pe_builder
from tests.formats.signing import look, signatory, troubles
from tests.formats.walking import sign

from privyseal.errors import MalformedCode

UX, ATTACHED = b"MSCF of the engine" + bytes(94), b"MSCF of the packages" + bytes(300)


def bundle(signature: tuple[int, int] = (0, 0), *, behind: bytes = ATTACHED, magic: int = 0x00F14300) -> bytes:
    """Return a bundle; its engine's signature is said to be there."""
    plain = pe_builder.program(sections=(b"\xc3" * 700, bytes(512)))
    stub = len(plain)
    numbers = (stub, 7, *signature, 1, 2, len(UX), len(ATTACHED))
    section = struct.pack("<II16s8I", magic, 2, b"a bundle's GUID.", *numbers)
    built = bytearray(
        pe_builder.program(sections=(b"\xc3" * 700, section + bytes(512 - len(section))), overlay=UX + behind)
    )
    at = built.find(b".s1\0")
    built[at : at + 8] = b".wixburn"
    return bytes(built)


def test_a_bundle_whose_engine_is_not_signed(tmp_path: Path) -> None:
    path = tmp_path / "setup.exe"
    path.write_bytes(bundle())
    with pytest.raises(MalformedCode, match="a WiX bundle whose engine is not signed") as refused:
        sign(path, signatory())
    hint = refused.value.hint or ""
    assert hint.startswith("wix burn detach setup.exe -engine engine.exe; privyseal sign engine.exe; wix burn reattach")
    assert path.read_bytes() == bundle()


@pytest.mark.parametrize(
    "octets",
    [
        bundle(behind=b""),  # the engine, detached
        bundle((4096, 1024)),  # reattached, the engine signed
        bundle(magic=0x00F14301),  # somebody else's section of that name
        bundle()[: bundle().find(b"MSCF")],  # the stub, as WiX ships it
    ],
    ids=["engine", "reattached", "another", "stub"],
)
def test_engines_and_bundles_with_a_signed_engine(octets: bytes, tmp_path: Path) -> None:
    path = tmp_path / "setup.exe"
    path.write_bytes(octets)
    sign(path, signatory())
    assert troubles(look(path)) == set()


def test_a_section_that_lies_about_its_place(tmp_path: Path) -> None:
    octets = bytearray(bundle())
    at = octets.find(b".wixburn")
    struct.pack_into("<I", octets, at + 16, 8)  # fewer octets than the numbers have
    path = tmp_path / "setup.exe"
    path.write_bytes(octets)
    sign(path, signatory())
