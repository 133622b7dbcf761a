"""WiX bundles: refused as plain programs until their engine is signed; made here after WiX's own reader.

No program of Debian makes bundles (wixl does not), so the sample is written by the rules of WiX's ``BurnReader``, and
detached and attached again as WiX does it.
"""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest
from tests.formats.pe_builder import program
from tests.formats.signing import PE, PLAIN, blob_for, look, sign, signatory, troubles
from tests.formats.test_pe_layout import Held
from tests.formats.walking import remove

from privyseal.cli.inspect import look as inspected
from privyseal.errors import MalformedCode
from privyseal.formats import pe_burn, pe_layout
from privyseal.formats.patch import carry_out
from privyseal.formats.protocol import Identity
from privyseal.formats.source import FileSource

CONTAINER = b"MSCF attached packages" * 30
INTERFACE = b"MSCF user interface!" * 16


def bundle(attached: bytes = CONTAINER, magic: int = 0x00F14300, name: bytes = b".wixburn") -> bytes:
    """Return a bundle that was never signed: stub, interface, attached container."""
    header = struct.pack("<II16sIIIIII", magic, 2, b"i" * 16, 0, 0, 0, 0, 1, 2 if attached else 1)
    stub = bytearray(program(sections=(b"\xc3" * 700, header + struct.pack("<II", len(INTERFACE), len(attached)))))
    row = stub.index(b".s1\0\0\0\0\0")
    stub[row : row + 8] = name
    at = stub.index(header)
    struct.pack_into("<I", stub, at + 24, len(stub))
    return bytes(stub) + INTERFACE + attached


def numbers(octets: bytes) -> tuple[int, int, int, int, int, int, int]:
    """Return where the section is, and of it stub, signature's place and size, and the containers' sizes."""
    at = octets.index(struct.pack("<I", pe_burn.MAGIC))
    stub, _, signed_at, size, _, count = struct.unpack_from("<IIIIII", octets, at + 24)
    return at, stub, signed_at, size, count, *struct.unpack_from("<II", octets, at + 48)


def directory_at(octets: bytes) -> int:
    return struct.unpack_from("<I", octets, 0x3C)[0] + 24 + 112 + 32


def detached(octets: bytes) -> bytes:
    """Do as ``wix burn detach``: everything up to the end of the user interface, or of the signature remembered."""
    _, stub, signed_at, size, _, interface, _ = numbers(octets)
    return octets[: signed_at + size if signed_at else stub + interface]


def reattached(engine: bytes, attached: bytes = CONTAINER) -> bytes:
    """Do as ``wix burn reattach``: remember the signature in the section, forget it in the header, append."""
    octets, at = bytearray(engine), numbers(engine)[0]
    place = directory_at(engine)
    octets[at + 32 : at + 40] = octets[place : place + 8]
    octets[place : place + 8] = bytes(8)
    return bytes(octets) + attached


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "setup.exe"
    path.write_bytes(bundle())
    return path


def test_a_bundle_is_refused_with_the_three_commands(path: Path):
    """Untouched, in one sentence; it can still be looked at."""
    with pytest.raises(MalformedCode, match="WiX bundle") as caught:
        sign(path, signatory())
    assert caught.value.hint is not None
    for command in ("wix burn detach setup.exe", "privyseal sign engine.exe", "wix burn reattach setup.exe"):
        assert command in caught.value.hint
    assert "insignia -ib" in caught.value.hint and "insignia -ab" in caught.value.hint
    assert path.read_bytes() == bundle()
    with FileSource.open(path) as code:
        assert inspected(code, "setup.exe").format == "pe"


def test_the_three_commands_do_it(path: Path):
    """Detached, signed, attached again, signed; and signed once more, as --again does."""
    path.write_bytes(detached(bundle()))
    assert path.stat().st_size == len(bundle()) - len(CONTAINER)
    sign(path, signatory())
    engine = path.read_bytes()
    whole = reattached(engine)
    path.write_bytes(whole)
    assert numbers(whole)[2:4] != (0, 0) and not look(path).signatures
    for who in (signatory(), signatory("ecdsa-p256")):
        sign(path, who, stamped=True)
        assert len(look(path).signatures) == 1 and not troubles(look(path))
    again = path.read_bytes()
    assert detached(again)[numbers(engine)[0] + 48 :][: len(engine)] == engine[numbers(engine)[0] + 48 :]


def test_one_signed_whole_is_verified_but_not_signed_again(path: Path):
    """What others did wrong is a valid signature all the same, can be taken off, and is refused when signed here."""
    with FileSource.open(path) as code:
        layout = PE.inspect(code)
        prepared = PE.prepare(code, layout, Identity((), ""), PLAIN, "sha256")
    with FileSource.open(path) as code:
        carry_out(PE.apply(code, prepared, PLAIN, [blob_for(prepared, signatory())]), code, path)
    assert not troubles(look(path))
    with pytest.raises(MalformedCode, match="WiX bundle"):
        sign(path, signatory())
    remove(path)
    assert path.read_bytes()[4096:] == bundle()[4096:]


@pytest.mark.parametrize(
    "octets",
    [bundle(b""), bundle(magic=0x00F14301), bundle(name=b".wixbur2"), program(overlay=CONTAINER)],
    ids=["nothing attached", "another magic", "another section", "an overlay"],
)
def test_what_may_be_signed(path: Path, octets: bytes):
    path.write_bytes(octets)
    sign(path, signatory())
    assert not troubles(look(path))


@pytest.mark.parametrize("how", ["no certificate there", "beyond the end", "before the sections end"])
def test_a_signature_that_is_only_claimed(path: Path, how: str):
    """The section says where the engine's signature is; something has to be there."""
    octets = bytearray(bundle())
    at, *_ = numbers(bytes(octets))
    places = {
        "no certificate there": len(octets) - 300,
        "beyond the end": len(octets) - 8,
        "before the sections end": 64,
    }
    struct.pack_into("<II", octets, at + 32, places[how], 200)
    path.write_bytes(octets)
    with pytest.raises(MalformedCode, match="WiX bundle"):
        sign(path, signatory())


def test_counts_that_lie_are_bounded(path: Path):
    """A section that claims four thousand million containers is read as far as it goes."""
    octets = bytearray(bundle())
    at, *_ = numbers(bytes(octets))
    struct.pack_into("<I", octets, at + 44, 0xFFFFFFFF)
    path.write_bytes(octets)
    with FileSource.open(path) as code:
        found = pe_burn.find(code)
        assert pe_layout.read_layout(code).size == len(octets)
    assert found is not None and found.attached >= len(CONTAINER)


def test_mutants_of_bundles(tmp_path: Path):
    """2,000 with a number of the section, or of the headers before it, broken: found, not found, or refused."""
    path, outcomes = tmp_path / "setup.exe", set()
    path.write_bytes(detached(bundle()))
    sign(path, signatory())
    originals = (bundle(), reattached(path.read_bytes()))
    who = signatory().identity
    for seed in range(2000):
        chance = random.Random(seed)
        octets = bytearray(originals[seed % 2])
        at = numbers(bytes(octets))[0]
        for _ in range(chance.choice((1, 1, 2))):
            place = chance.choice((at + 4 * chance.randrange(14), chance.randrange(0x80, 0x200)))
            value = chance.choice(
                (0, 1, 8, len(octets), len(octets) - 1, 0xFFFFFFFF, 0x80000000, chance.getrandbits(32))
            )
            struct.pack_into("<I", octets, place, value)
        code = Held(bytes(octets))
        try:
            PE.prepare(code, PE.inspect(code), who, PLAIN, "sha256")
            outcomes.add("taken")
        except MalformedCode as error:
            assert error.detail.endswith(".") and "\n" not in error.detail
            outcomes.add("bundle" if "WiX bundle" in error.detail else "malformed")
    assert outcomes == {"taken", "bundle", "malformed"}
