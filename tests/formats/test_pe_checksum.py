"""The checksum: like Windows' own, by every way we have of adding."""

import itertools
import random
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.formats.pe_builder import Image, slow_checksum

from privyseal.formats import pe_checksum
from privyseal.formats.pe_checksum import _Rent, adder, checksum


@pytest.fixture(params=["plain", "numpy"])
def add(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> pe_checksum.Adder:
    monkeypatch.setattr(pe_checksum, "_rent", _Rent())
    chosen = adder(1 if request.param == "plain" else pe_checksum.WITHOUT_NUMPY + 1)
    assert chosen.__name__ == {"plain": "_add_plainly", "numpy": "add"}[request.param]
    return chosen


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 7, 8, 65535, 65536, 65537, 200_001])
def test_adds_words(add: pe_checksum.Adder, size: int):
    """Modulo 65535 it is the sum of 16-bit little-endian words, an odd octet at the end being a low one."""
    octets = random.Random(size).randbytes(size)
    padded = octets + bytes(size % 2)
    words = sum(padded[at] | padded[at + 1] << 8 for at in range(0, len(padded), 2))
    assert add(memoryview(octets)) % 0xFFFF == words % 0xFFFF
    assert add(memoryview(b"\xff" * size)) % 0xFFFF == (0xFF if size % 2 else 0)


def test_whole_files(add: pe_checksum.Adder):
    """For files of any size, and in any pieces that begin at even offsets, it is what IMAGHELP.DLL computes."""
    chance = random.Random(7)
    for _ in range(60):
        image = Image(overlay=chance.randbytes(chance.randrange(0, 50)))
        octets, at = image.build(), image.places()["checksum"][0]
        octets = octets[:at] + chance.randbytes(4) + octets[at + 4 :]
        cuts = sorted({0, at, *(2 * chance.randrange(at // 2) for _ in range(3))})
        pieces = [octets[a:b] for a, b in itertools.pairwise(cuts)] + [octets[at + 4 :]]
        total = sum(add(memoryview(piece)) for piece in pieces)
        assert checksum(total, len(octets)) == slow_checksum(octets, at)


def test_a_remainder_of_zero_is_all_ones():
    """Carries brought back in never give zero for a file that is not all zero."""
    octets = b"MZ" + bytes(8) + (0xFFFF - 0x5A4D).to_bytes(2, "little")
    assert checksum(int.from_bytes(octets, "little"), len(octets)) == 0xFFFF + 12 == slow_checksum(octets, 4)


def test_size_wraps_at_32_bits():
    """The field has 32 bits, whatever is added."""
    assert checksum(5, 0xFFFFFFFF) == 4


@given(st.lists(st.binary(max_size=64).map(lambda b: b[: len(b) & ~1]), max_size=8))
def test_pieces_do_not_matter(pieces: list[bytes]):
    """Adding pieces is adding the whole."""
    add = adder(0)
    whole = b"".join(pieces)
    assert (sum(add(memoryview(piece)) for piece in pieces) - add(memoryview(whole))) % 0xFFFF == 0


def test_numpy_is_imported_only_when_it_pays():
    """A program that adds up little never imports numpy; one that adds up much, in one file or in many, does."""
    script = (
        "import sys; from privyseal.formats import catalogue, examine, patch\n"
        "from privyseal.formats.pe_checksum import *\n"
        "adder(WITHOUT_NUMPY // 2); adder(WITHOUT_NUMPY // 2)(memoryview(bytes(1000)))\n"
        "assert 'numpy' not in sys.modules\n"
        "adder(1)\n"
        "assert 'numpy' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
