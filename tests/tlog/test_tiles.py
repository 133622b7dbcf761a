"""Files are called, and hold, what c2sp.org/tlog-tiles says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privyseal.errors import BadInput, TooLarge
from privyseal.tlog.tiles import (
    MAX_TILE_LEVEL,
    TILE_WIDTH,
    TileName,
    decode_bundle,
    edge,
    encode_bundle,
    entries_path,
    parse_path,
    split_tile,
    superseded,
    tile_path,
    width_at,
)


def test_the_names_of_the_specification() -> None:
    """Index 1234067 and its like are written in groups of three digits, all but the last behind an x."""
    assert tile_path(0, 1234067) == "tile/0/x001/x234/067"
    assert tile_path(3, 0) == "tile/3/000"
    assert tile_path(1, 1000, 7) == "tile/1/x001/000.p/7"
    assert entries_path(5, 255) == "tile/entries/005.p/255"


def test_a_tree_of_70000() -> None:
    """The specification's example: 273 full tiles and one of 112; one full and one of 17; one of 1."""
    assert list(edge(70_000)) == [(0, 273, 112), (1, 1, 17), (2, 0, 1)]
    assert width_at(70_000, 0, 272) == 256
    assert width_at(70_000, 0, 273) == 112
    assert width_at(70_000, 0, 274) == 0
    assert width_at(70_000, 1, 0) == 256
    assert width_at(70_000, 2, 0) == 1
    assert width_at(70_000, 3, 0) == 0
    assert list(edge(256)) == [(1, 0, 1)]
    assert list(edge(0)) == []
    assert max(level for level, _, _ in edge(2**63 - 1)) == MAX_TILE_LEVEL


@given(
    st.one_of(st.none(), st.integers(0, 63)),
    st.one_of(st.integers(0, 5000), st.integers(0, 2**55)),
    st.integers(1, TILE_WIDTH),
)
def test_names_are_read_back(level: int | None, index: int, width: int) -> None:
    """Every name says what it was made of."""
    path = entries_path(index, width) if level is None else tile_path(level, index, width)
    assert parse_path(path) == TileName(level, index, width)


@pytest.mark.parametrize("path", [
    "", "checkpoint", "tile", "tile/0", "tile/0/", "tile/0/0", "tile/0/0000", "tile/0/001/", "/tile/0/001",
    "tile/00/001", "tile/64/001", "tile/-1/001", "tile/data/001", "tile/0/x000/001", "tile/0/x001", "tile/0/001/002",
    "tile/0/x01/002", "tile/0/001.p/0", "tile/0/001.p/256", "tile/0/001.p/07", "tile/0/001.p/", "tile/0/001.p/999",
    "tile/0/001.P/1", "tile/0/../001", "tile/0/001\n", "tile/0/\u0660\u0660\u0661", "../tile/0/001",
    "tile/0/" + "x001/" * 7 + "001",
])  # fmt: skip
def test_names_that_no_log_has(path: str) -> None:
    """Nothing else is a name, least of all one that leads out of the directory."""
    with pytest.raises(BadInput):
        parse_path(path)


@given(st.lists(st.binary(max_size=300), max_size=TILE_WIDTH))
def test_bundles_are_read_back(entries: list[bytes]) -> None:
    """A bundle holds its entries, in order, and is of no other number."""
    octets = encode_bundle(entries)
    assert decode_bundle(octets, len(entries)) == entries
    for wrong in (len(entries) + 1, len(entries) - 1):
        with pytest.raises(BadInput):
            decode_bundle(octets, wrong)
    for damaged in (octets + b"\0", octets[:-1]):
        if damaged or entries:
            with pytest.raises(BadInput):
                decode_bundle(damaged, len(entries))


def test_the_longest_entry() -> None:
    """65,535 octets fit behind a uint16, one more does not."""
    longest = [bytes(65_535)]
    assert encode_bundle(longest)[:2] == b"\xff\xff"
    assert decode_bundle(encode_bundle(longest), 1) == longest
    with pytest.raises(TooLarge, match="65536 octets"):
        encode_bundle([bytes(65_536)])


def test_tiles_have_one_size() -> None:
    """A tile is as many hashes as its name says."""
    octets = bytes(range(64))
    assert split_tile(octets, 2) == [octets[:32], octets[32:]]
    for width in (1, 3):
        with pytest.raises(BadInput):
            split_tile(octets, width)
    with pytest.raises(BadInput):
        split_tile(octets[:-1], 2)


@given(st.integers(0, 200_000), st.integers(0, 2_000))
def test_what_is_superseded(old: int, more: int) -> None:
    """The partials of exactly those tiles may go that are full now and were not before."""
    new = old + more
    expected = set()
    for level in range(4):
        for index in range(old >> 8 * (level + 1), (new >> 8 * (level + 1)) + 1):
            if width_at(new, level, index) == TILE_WIDTH and width_at(old, level, index) < TILE_WIDTH:
                expected.add(tile_path(level, index) + ".p")
                if level == 0:
                    expected.add(entries_path(index) + ".p")
    assert set(superseded(old, new)) == expected
    assert all(parse_path(name).width == 0 for name in expected)
