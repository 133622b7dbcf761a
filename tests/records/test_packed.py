"""Octets of many pieces in one column come back as they were, and nothing else is believed."""

from __future__ import annotations

import hashlib
import zlib
from random import Random
from typing import Any

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


_DIFFERENT = st.lists(st.tuples(st.integers(0, 3000), st.binary(min_size=1, max_size=80)), max_size=4)


@given(st.lists(st.tuples(_DIFFERENT, st.integers(2998, 3001)), min_size=6, max_size=24), st.randoms())
def test_alike_values_come_back_each_in_its_place(changes: list[tuple[Any, int]], random: Random) -> None:
    """Values of a few lengths that differ here and there, at their ends too, and some in nothing."""
    chain = random.randbytes(3001)
    values = []
    for patches, size in changes:
        value = bytearray(chain)
        for at, octets in patches:
            value[at : at + len(octets)] = octets
        values.append(bytes(value[:size]))
    assert packed.octets(packed.pack(values)) == tuple(values)


def test_what_alike_values_have_in_common_stands_once() -> None:
    """Certificates in their middle, however the values before and behind them fall out."""
    chain = hashlib.shake_128(b"chain").digest(3000)
    digests = [hashlib.sha256(bytes([n])).digest() for n in range(100)]
    values = [each + chain + each * 2 + b"s" * (n % 3) for n, each in enumerate(digests)]
    whole = packed.pack(values)
    assert packed.octets(whole) == tuple(values)
    assert whole.count(chain[10:-10]) == 3  # once for each length
    assert len(whole) < 3 * len(chain) + 100 * 120


def test_one_value_that_is_like_no_other_costs_room_and_nothing_else() -> None:
    """All of its length are deflated, or stand as they are."""
    chain = hashlib.shake_128(b"chain").digest(3000)
    values = [bytes([n]) * 32 + chain for n in range(100)]
    values[70] = chain[:1000] + b"another" + chain[1007:] + bytes(32)
    whole = packed.pack(values)
    assert packed.octets(whole) == tuple(values)
    assert len(whole) < 10 * len(chain)


def test_what_repeats_takes_no_room() -> None:
    """A hundred blobs with one chain are smaller than ten of them; one blob stays as it is."""
    blob = bytes(range(256)) * 7
    many = packed.pack([bytes([n]) + blob for n in range(100)])
    assert len(many) < 10 * len(blob)
    assert packed.pack([blob]) == msgspec.msgpack.encode((blob,))


def test_what_was_written_before_is_read() -> None:
    """Rows of the first version are not deflated, however large; those of a later one are, however alike."""
    values = (bytes(50_000), b"x")
    assert packed.octets(msgspec.msgpack.encode(values)) == values
    assert packed.octets(zlib.compress(msgspec.msgpack.encode(values), 1)) == values
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


@pytest.mark.parametrize(
    "groups",
    [
        [[[0, 0], [], [b"a", b"b"]]],
        [[[0, 2], [], [b"a", b"b"]]],
        [[[0, 1], [], [b"a"]]],
        [[[0], [], [b"a", b"b"]]],
        [[[0], [[0, bytes(1 << 20)]], [b""] * 65]],
        [[[0], [[5, b"abc"], [2, b"d"]], [b"0123456789"]]],
        [[[0], [[5, b"abc"]], [b"012"]]],
        [[[0]]],
        7,
    ],
)
def test_groups_that_do_not_fit_are_told(groups: Any) -> None:
    """Two values in one place or none, common octets before each other or beyond the end, more than there can be."""
    with pytest.raises(Unavailable, match="column of the records"):
        packed.octets(b"\0" + msgspec.msgpack.encode(groups))
