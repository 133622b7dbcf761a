"""The log grows by arithmetic alone: the same entries give the same files, however they came in."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tlog.growing import Grown

from privyseal.errors import LogUnavailable, TooLarge, VerificationFailed
from privyseal.tlog import merkle
from privyseal.tlog.log import EMPTY, Head, append, confirm, restore
from privyseal.tlog.tiles import decode_bundle, edge, entries_path, split_tile, superseded, tile_path, width_at


def _numbered(sizes: list[int]) -> Grown:
    log = Grown()
    for size in sizes:
        log.append([b"entry %d" % n for n in range(log.state.size, size)])
    return log


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 400), min_size=1, max_size=12))
def test_batches_do_not_matter(steps: list[int]) -> None:
    """However entries are cut into batches, the state and all files of the last head are the same."""
    sizes = [sum(steps[: n + 1]) for n in range(len(steps))]
    in_steps, at_once = _numbered(sizes), _numbered([sizes[-1]])
    assert in_steps.state == at_once.state
    assert at_once.files.items() <= in_steps.files.items()
    for head in in_steps.heads:
        _check_files(in_steps, head)


def _check_files(log: Grown, head: Head) -> None:
    """Check every file of one head against the entries themselves, by the definition of tlog-tiles."""
    leaves = [merkle.leaf_hash(entry) for entry in log.entries[: head.size]]

    def subtree(level: int, index: int) -> bytes:
        if level == 0:
            return leaves[index]
        return merkle.node_hash(subtree(level - 1, 2 * index), subtree(level - 1, 2 * index + 1))

    assert merkle.root(head.size, subtree) == head.root
    for level in (0, 1):
        for index in range(-(-(head.size >> 8 * level) // 256)):
            width = width_at(head.size, level, index)
            tile = split_tile(log.files[tile_path(level, index, width)], width)
            assert tile == [subtree(8 * level, index * 256 + place) for place in range(width)]
            if level == 0:
                bundle = decode_bundle(log.files[entries_path(index, width)], width)
                assert bundle == log.entries[index * 256 : index * 256 + width]


def test_a_log_with_a_third_level() -> None:
    """Beyond 65,536 entries there are three levels of tiles, and exactly the files the specification lists."""
    log = _numbered([70_000])
    expected = {tile_path(0, n) for n in range(273)} | {entries_path(n) for n in range(273)}
    expected |= {tile_path(1, 0), entries_path(273, 112)} | {tile_path(*each) for each in edge(70_000)}
    assert set(log.files) == expected
    first, second = log.files["tile/1/000"], log.files["tile/1/001.p/17"]
    assert log.files["tile/2/000.p/1"] == _root_of(first)
    assert second[:32] == _root_of(log.files["tile/0/256"])


def _root_of(tile: bytes) -> bytes:
    hashes = split_tile(tile, 256)
    while len(hashes) > 1:
        hashes = [merkle.node_hash(*hashes[n : n + 2]) for n in range(0, len(hashes), 2)]
    return hashes[0]


def test_nothing_appended_writes_nothing() -> None:
    """An empty batch leaves the log as it is, at every kind of edge."""
    for size in (0, 1, 255, 256, 300, 512):
        state = _numbered([size]).state
        assert append(state, []) == (state, [], state.head)


def test_only_what_changed_is_written() -> None:
    """One more entry writes its partial bundle and tile; the level above only when it changes."""
    log = _numbered([700])
    _, files, _ = append(log.state, [b"x"])
    assert [path for path, _ in files] == ["tile/entries/002.p/189", "tile/0/002.p/189"]
    log = _numbered([767])
    _, files, _ = append(log.state, [b"x"])
    assert [path for path, _ in files] == ["tile/entries/002", "tile/0/002", "tile/1/000.p/3"]


def test_the_longest_entry() -> None:
    """65,535 octets are logged; one more refuses the whole batch."""
    log = Grown()
    log.append([bytes(65_535)])
    with pytest.raises(TooLarge):
        append(log.state, [b"x", bytes(65_536)])
    assert decode_bundle(log.files[entries_path(0, 1)], 1) == [bytes(65_535)]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=8))
def test_the_state_is_read_back(steps: list[int]) -> None:
    """From the files alone the state of every head there was is had again, also after the partials are gone."""
    log = Grown()
    states = [EMPTY]
    for step in steps:
        log.append([b"entry %d" % n for n in range(log.state.size, log.state.size + step)])
        states.append(log.state)
    for state in states:
        assert restore(state.head, log.read) == state
    gone = tuple(superseded(0, log.state.size))
    log.files = {
        path: content for path, content in log.files.items() if not path.startswith(tuple(f"{n}/" for n in gone))
    }
    for state in states:
        assert restore(state.head, log.read) == state


def test_a_large_state_is_read_back() -> None:
    """Three levels are restored as one is."""
    log = _numbered([65_536 + 300])
    log.reads.clear()
    assert restore(log.head, log.read) == log.state
    assert len(log.reads) <= 4


def test_restoring_from_other_files_is_refused() -> None:
    """A missing file is said to be missing; a bit flipped in any file that is read is found."""
    log = _numbered([65_536 + 256 + 3])
    log.reads.clear()
    restore(log.head, log.read)
    chance = random.Random(5)
    for path in sorted(set(log.reads)):
        whole = log.files[path]
        del log.files[path]
        with pytest.raises(LogUnavailable, match=f"{path} is missing"):
            restore(log.head, log.read)
        for damaged in (_flipped(whole, chance), whole[:-1], whole + b"\0", b""):
            log.files[path] = damaged
            with pytest.raises(VerificationFailed):
                restore(log.head, log.read)
        log.files[path] = whole
    with pytest.raises(VerificationFailed, match="root"):
        restore(Head(log.head.size, bytes(32)), log.read)
    with pytest.raises((VerificationFailed, LogUnavailable)):
        restore(Head(log.head.size - 1, log.head.root), log.read)


def test_confirming_what_was_written() -> None:
    """Before a head is signed, everything the batch wrote is computed again from the disk; any flip is found."""
    before = _numbered([300]).state
    log = _numbered([300, 800])
    _, files, _ = append(before, log.entries[300:])
    confirm(before, log.state, log.read)
    chance = random.Random(6)
    for path, content in files:
        for _ in range(20):
            log.files[path] = _flipped(content, chance)
            with pytest.raises(VerificationFailed):
                confirm(before, log.state, log.read)
        del log.files[path]
        with pytest.raises((VerificationFailed, LogUnavailable)):
            confirm(before, log.state, log.read)
        log.files[path] = content
    flipped_in_memory = append(before, [*log.entries[300:-1], b"another"])[0]
    with pytest.raises(VerificationFailed, match="not those that were hashed"):
        confirm(before, flipped_in_memory, log.read)
    confirm(log.state, log.state, log.read)


def _flipped(octets: bytes, chance: random.Random) -> bytes:
    bit = chance.randrange(len(octets) * 8)
    changed = bytearray(octets)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
