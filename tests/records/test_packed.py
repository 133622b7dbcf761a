"""Octets of many pieces in one column come back as they were, and nothing else is believed."""

from __future__ import annotations

import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privyseal.errors import Unavailable
from privyseal.records import packed


@given(st.lists(st.binary(max_size=64), max_size=8), st.integers(0, 40_000))
def test_what_goes_in_comes_out(values: list[bytes], filling: int) -> None:
    """Whatever its size, and so whether it was deflated or not."""
    values = [*values, bytes(filling)]
    assert packed.octets(packed.pack(values)) == tuple(values)


def test_what_repeats_takes_no_room() -> None:
    """A hundred blobs with one chain are smaller than ten of them; one blob stays as it is."""
    blob = bytes(range(256)) * 7
    many = packed.pack([bytes([n]) + blob for n in range(100)])
    assert len(many) < 10 * len(blob)
    assert packed.pack([blob]) == msgspec.msgpack.encode((blob,))


def test_what_was_written_before_is_read() -> None:
    """Rows of an earlier version are not deflated, however large."""
    values = (bytes(50_000), b"x")
    assert packed.octets(msgspec.msgpack.encode(values)) == values
    assert packed.octets(None) == () == packed.tokens(None)


def test_a_damaged_column_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut short, altered or larger than anything that we write: one sentence, and no more memory than the limit."""
    whole = packed.pack([bytes(30_000)])
    for damaged in (whole[:-5], whole[:3] + b"\xff" + whole[4:], b"\x93\xc4", b"", zlib.compress(b"\x81")):
        with pytest.raises(Unavailable, match="column of the records"):
            packed.octets(damaged)
    monkeypatch.setattr(packed, "MOST", 1000)
    with pytest.raises(Unavailable, match="larger than can be"):
        packed.octets(zlib.compress(bytes(1 << 20)))
