"""Foreign BER becomes the DER it stands for, or is refused, quickly."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privyseal.errors import BadInput
from privyseal.pki import ber, der

VALUES = st.recursive(
    st.one_of(st.binary(max_size=200).map(der.octet_string), st.integers().map(der.integer), st.just(der.null())),
    lambda inner: st.lists(inner, max_size=4).map(lambda parts: der.sequence(*parts)),
    max_leaves=20,
)


@given(VALUES)
def test_der_comes_out_as_it_went_in(value: bytes) -> None:
    """What was DER inside a BER message keeps its octets, or signatures over it would break."""
    assert ber.to_der(value) == value


def loosen(value: bytes) -> bytes:
    """Write a DER value with an indefinite length at every level and a long-winded one for leaves."""
    element = der.read(value)
    if element.tag & 0x20:
        return bytes((element.tag, 0x80)) + b"".join(loosen(one.raw) for one in der.children(element)) + b"\0\0"
    if element.tag == der.OCTET_STRING and len(element.content) > 1:
        half = len(element.content) // 2
        pieces = der.octet_string(element.content[:half]) + der.octet_string(element.content[half:])
        return b"\x24\x80" + pieces + b"\0\0"
    size = len(element.content)
    return bytes((element.tag, 0x84)) + size.to_bytes(4, "big") + element.content


@given(VALUES)
def test_every_loose_form_becomes_the_one_strict_form(value: bytes) -> None:
    """Indefinite lengths, lengths with zeros in front, octet strings in pieces."""
    assert ber.to_der(loosen(value)) == value


@pytest.mark.parametrize(
    "octets",
    [
        b"\x30\x80",
        b"\x30\x80\x00",
        b"\x04\x80abc\0\0",
        b"\x24\x80\x02\x01\x05\0\0",
        b"\x30\x80\x00\x00\x00",
        b"\x00\x00",
        b"\x1f\x20\x00",
        b"\x04\x89" + b"\0" * 9,
        b"\x30\x05\x04\x09abc",
        b"\x30\x03\x30\x80\x05",
    ],
)
def test_what_is_not_ber_either_is_refused(octets: bytes) -> None:
    """Ends that never come, pieces of another kind, ends that nothing opened."""
    with pytest.raises(BadInput):
        ber.to_der(octets)


@pytest.mark.parametrize(
    "octets",
    [
        b"\x30\x80" * 1_000_000,
        b"\x30\x80" + b"\x05\x00" * 1_000_000,
        b"\x24\x80" * 20 + b"\x04\x01x" * 60_000,
        b"\x30\x80" + b"\x1f" + b"\xff" * 4_000_000,
        b"\x04" * (5 << 20),
    ],
)
def test_bombs_are_refused_in_less_than_a_second(octets: bytes) -> None:
    """Depth, number, and size are counted before they cost anything."""
    begun = time.perf_counter()
    with pytest.raises(BadInput):
        ber.to_der(octets)
    assert time.perf_counter() - begun < 1
