"""Many values in one column: what goes in comes out, squeezed or not, and rubbish is told from both."""

import zlib

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from privyseal.errors import Unavailable
from privyseal.records import packing
from privyseal.records.packing import SQUEEZED_FROM, pack, unpack


@given(st.lists(st.binary(max_size=200) | st.just(bytes(SQUEEZED_FROM)), max_size=130))
@example([])
@example([b"x" * (SQUEEZED_FROM - 5)])
@example([b"x" * (SQUEEZED_FROM - 4)])
def test_what_was_packed_is_unpacked(values: list[bytes]) -> None:
    """Whatever the values and however many; no MessagePack of them looks as if it were squeezed."""
    assert unpack(pack(values)) == tuple(values)
    plain = msgspec.msgpack.encode(values)
    assert plain[0] != 0x78 and unpack(plain) == tuple(values)


def test_many_blobs_that_are_nearly_the_same_take_little_room() -> None:
    """A hundred blobs under one chain of certificates are written as little more than what differs in them."""
    certificates = bytes(range(256)) * 8
    blobs = [certificates + b"%032d" % number for number in range(100)]
    assert len(pack(blobs)) < sum(map(len, blobs)) // 20
    assert len(pack(blobs[:2])) > 2 * len(certificates)


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"\x78",
        b"\x91",
        b"\xa1x",
        pack([bytes(SQUEEZED_FROM)])[:-1],
        zlib.compress(b"\x91"),
        zlib.compress(b"x" * 99),
    ],
)
def test_what_was_not_packed_is_refused(stored: bytes) -> None:
    """One sentence, whatever stands there."""
    with pytest.raises(Unavailable, match="not packed here"):
        unpack(stored)


def test_no_row_swells_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that would unpack to more than any request has is not unpacked to its end."""
    monkeypatch.setattr(packing, "LARGEST", 1 << 20)
    assert len(unpack(pack([bytes(1 << 19)]))[0]) == 1 << 19
    with pytest.raises(Unavailable, match="does not end"):
        unpack(pack([bytes(1 << 21)]))
