"""Go's own sumdb packages, of which not a line is ours, believe a log that we wrote, and only while it is whole."""

from __future__ import annotations

import base64
import random
from pathlib import Path

import pytest
from tests.tlog.growing import LOG, Grown, checkpoint_of, grown, verifier
from tests.tlog.sumdb_verifier import verify_with_go

from privyseal.tlog.log import Head
from privyseal.tlog.merkle import leaf_hash
from privyseal.tlog.reader import Reader
from privyseal.tlog.tiles import superseded
from privyseal.tlog.tilestore import CHECKPOINT, DirectoryTileStore


def _put(log: Grown, directory: Path) -> None:
    """Write a log to a directory as the logger does, superseded partials removed."""
    directory.mkdir()
    store = DirectoryTileStore(directory, durable=False)
    for path, content in log.files.items():
        store.write(path, content)
    for path in superseded(0, log.head.size):
        store.remove(path)
    store.write(CHECKPOINT, checkpoint_of(log.head))
    store.sync()


def _prove(log: Grown, directory: Path, seed: int) -> None:
    """Write every earlier checkpoint, and our own proofs of entries and of earlier trees, for Go to check."""
    directory.mkdir()
    chance, reader, head = random.Random(seed), Reader(log.read), log.head
    lines = []
    for earlier in log.heads:
        (directory / f"{earlier.size}.checkpoint").write_bytes(checkpoint_of(earlier))
        proof = reader.consistency(earlier.size, head.size)
        lines.append(_line("tree", head, earlier.size, earlier.root, proof))
        for index in chance.sample(range(earlier.size), min(earlier.size, 10)):
            leaf = leaf_hash(log.entries[index])
            lines.append(_line("record", earlier, index, leaf, reader.inclusion(index, earlier.size)))
    (directory / "ours.proofs").write_text("\n".join(lines))


def _line(kind: str, head: Head, number: int, other: bytes, path: tuple[bytes, ...]) -> str:
    hashes = [base64.b64encode(each).decode() for each in (head.root, other, *path)]
    return " ".join([kind, str(head.size), hashes[0], str(number), hashes[1], *hashes[2:]])


@pytest.mark.parametrize("sizes", [[1], [255, 256], [256, 257, 700], [3, 70, 5_000, 66_100]], ids=str)
def test_go_verifies_the_log(sizes: list[int], tmp_path: Path) -> None:
    """Signature, every entry, every earlier checkpoint's consistency, and every proof of ours."""
    log = grown(sizes)
    _put(log, tmp_path / "log")
    _prove(log, tmp_path / "proofs", seed=sizes[-1])
    said = verify_with_go(tmp_path / "log", LOG.vkey, tmp_path / "proofs")
    proofs = len(sizes) + sum(min(size, 10) for size in sizes)
    assert said == f"{sizes[-1]} entries, {len(sizes)} earlier checkpoints, {proofs} proofs verified"
    assert verify_with_go(tmp_path / "log", LOG.vkey).startswith(f"{sizes[-1]} entries, 0 earlier")


def test_a_log_of_many_batches(tmp_path: Path) -> None:
    """131 heads of batches of all sizes, of which each must be consistent with the last."""
    chance, sizes = random.Random(4), [0]
    while len(sizes) < 132:
        sizes.append(sizes[-1] + chance.choice((1, 2, 7, 100, 255, 256, 257, 300)))
    log = grown(sizes[1:])
    _put(log, tmp_path / "log")
    _prove(log, tmp_path / "proofs", seed=4)
    assert f"{sizes[-1]} entries, 131 earlier" in verify_with_go(tmp_path / "log", LOG.vkey, tmp_path / "proofs")


def test_go_refuses_what_is_not_whole(tmp_path: Path) -> None:
    """So that the test above could fail: a flipped bit, another key, a checkpoint of another log, a wrong proof."""
    log = grown([100, 700])
    _put(log, tmp_path / "log")
    _prove(log, tmp_path / "proofs", seed=1)
    for path in ("tile/0/000", "tile/1/000.p/2", "tile/entries/001", "tile/0/002.p/188", CHECKPOINT):
        file = tmp_path / "log" / path
        whole = file.read_bytes()
        file.write_bytes(whole[:40] + bytes([whole[40] ^ 1]) + whole[41:])
        with pytest.raises(AssertionError, match="refuse the log"):
            verify_with_go(tmp_path / "log", LOG.vkey)
        file.write_bytes(whole)
    with pytest.raises(AssertionError, match="refuse the log"):
        verify_with_go(tmp_path / "log", verifier("stranger").vkey)
    fork = checkpoint_of(grown([100], seed=99).head)
    (tmp_path / "proofs" / "fork.checkpoint").write_bytes(fork)
    with pytest.raises(AssertionError, match="refuse the log"):
        verify_with_go(tmp_path / "log", LOG.vkey, tmp_path / "proofs")
    (tmp_path / "proofs" / "fork.checkpoint").unlink()
    ours = tmp_path / "proofs" / "ours.proofs"
    roots = [base64.b64encode(head.root).decode() for head in log.heads]
    ours.write_text(ours.read_text().replace(f"record 700 {roots[1]}", f"record 700 {roots[0]}", 1))
    with pytest.raises(AssertionError, match="refuse the log"):
        verify_with_go(tmp_path / "log", LOG.vkey, tmp_path / "proofs")
