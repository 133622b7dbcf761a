"""Proofs out of tiles: right at every size, from few files, and still right when partials are gone."""

from __future__ import annotations

import random
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tlog.growing import Grown

from privyseal.errors import BadInput, LogUnavailable, NotFound, VerificationFailed
from privyseal.tlog import merkle
from privyseal.tlog.reader import Reader
from privyseal.tlog.tiles import superseded


def _numbered(sizes: list[int]) -> Grown:
    log = Grown()
    for size in sizes:
        log.append([b"entry %d" % n for n in range(log.state.size, size)])
    return log


def _check(reader: Reader, log: Grown, index: int, size: int, root: bytes) -> None:
    path = reader.inclusion(index, size)
    leaf = merkle.leaf_hash(log.entries[index])
    assert reader.leaf(index, size) == leaf
    assert merkle.verify_inclusion(leaf, index, size, path, root)
    assert reader.entry(index, size) == log.entries[index]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_one_reader_serves_every_head(steps: list[int], chance: random.Random) -> None:
    """A reader that lives as long as the log proves every entry and every earlier head, at every head."""
    log = Grown()
    reader = Reader(log.read, kept=4)
    for step in steps:
        log.append([b"entry %d" % n for n in range(log.state.size, log.state.size + step)])
        for head in log.heads:
            assert reader.root(head.size) == head.root
            for index in chance.sample(range(head.size), min(head.size, 20)):
                _check(reader, log, index, head.size, head.root)
            for old in log.heads:
                if old.size <= head.size:
                    proof = reader.consistency(old.size, head.size)
                    assert merkle.verify_consistency(old.size, head.size, proof, old.root, head.root)
            assert reader.consistency(0, head.size) == ()


def test_partials_that_are_gone() -> None:
    """Where a partial was removed because its tile is full now, the full tile serves the earlier heads."""
    log = _numbered([100, 300, 1000, 66_000])
    for name in superseded(0, 66_000):
        log.files = {path: content for path, content in log.files.items() if not path.startswith(name + "/")}
    for head in log.heads:
        reader = Reader(log.read)
        for index in {0, head.size // 2, head.size - 1}:
            _check(reader, log, index, head.size, head.root)
        proof = Reader(log.read).consistency(head.size, 66_000)
        assert merkle.verify_consistency(head.size, 66_000, proof, head.root, log.head.root)


def test_few_files_are_read() -> None:
    """A proof in a log of 70,000 entries reads at most two tiles a level, a second one of a neighbour none."""
    log = _numbered([70_000])
    chance = random.Random(7)
    for _ in range(200):
        reader, index = Reader(log.read), chance.randrange(70_000)
        log.reads.clear()
        _check(reader, log, index, 70_000, log.head.root)
        assert len(log.reads) <= 2 * 3 + 1, log.reads
        log.reads.clear()
        reader.inclusion(index ^ 1, 70_000)
        assert log.reads == []
    log.reads.clear()
    Reader(log.read).consistency(12_345, 70_000)
    assert len(log.reads) <= 2 * 3


def test_forgetting() -> None:
    """A reader that may keep one tile only still proves, and keeps no more."""
    log = _numbered([66_000])
    reader = Reader(log.read, kept=1)
    for index in (0, 65_999, 30_000):
        _check(reader, log, index, 66_000, log.head.root)
    assert len(reader._tiles) == 1


def test_what_is_not_there() -> None:
    """Entries and sizes the log has not are refused; a missing or cut file is named."""
    log = _numbered([300])
    reader = Reader(log.read)
    for index in (300, -1):
        for ask in (reader.inclusion, reader.leaf, reader.entry):
            with pytest.raises(NotFound, match=f"no entry {index} in a log of 300"):
                ask(index, 300)
    with pytest.raises(BadInput, match="cannot extend"):
        reader.consistency(301, 300)
    for path, ask in (
        ("tile/0/000", partial(Reader(log.read).inclusion, 3, 300)),
        ("tile/entries/000", partial(Reader(log.read).entry, 3, 300)),
    ):
        whole = log.files.pop(path)
        with pytest.raises(LogUnavailable, match=f"{path} is missing"):
            ask()
        log.files[path] = whole[:-1]
        with pytest.raises(VerificationFailed, match=path):
            ask()
        log.files[path] = whole
        ask()
