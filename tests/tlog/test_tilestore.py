"""A directory of tiles: whole files, readable by all, nothing outside its root, and a disk that fails is said so."""

from __future__ import annotations

import errno
import os
from functools import partial
from pathlib import Path

import pytest

from privyseal.errors import BadInput, LogUnavailable
from privyseal.tlog.tiles import TileStore
from privyseal.tlog.tilestore import CHECKPOINT, DirectoryTileStore


@pytest.fixture(params=[True, False], ids=["durable", "not durable"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> DirectoryTileStore:
    return DirectoryTileStore(tmp_path, durable=request.param)


def test_what_is_written_is_read(store: TileStore, tmp_path: Path) -> None:
    """Files are read back at once, can be replaced, and are where a web server looks for them."""
    assert store.read("tile/0/x001/234.p/7") is None
    store.write("tile/0/x001/234.p/7", b"first")
    store.write("tile/0/x001/234.p/7", b"second")
    store.write(CHECKPOINT, b"head")
    store.sync()
    assert store.read("tile/0/x001/234.p/7") == b"second" == (tmp_path / "tile/0/x001/234.p/7").read_bytes()
    assert store.read(CHECKPOINT) == b"head"
    assert store.read("tile/0/x001/234") is None
    assert store.read("tile/0/x001/234.p") is None
    assert store.read("tile/0/x001/234.p/7".replace("234", "235")) is None


def test_partials_are_removed_together(store: DirectoryTileStore, tmp_path: Path) -> None:
    """A name that ends in .p stands for all of a tile's partials; removing what is not there does nothing."""
    for width in (1, 2, 200):
        store.write(f"tile/0/000.p/{width}", b"x")
    store.write("tile/0/000", b"full")
    assert store.widths("tile/0/000") == [1, 2, 200]
    store.remove("tile/0/000.p")
    store.remove("tile/0/000.p")
    store.remove("tile/5/000")
    store.sync()
    assert store.widths("tile/0/000") == []
    assert not (tmp_path / "tile/0/000.p").exists()
    assert store.read("tile/0/000") == b"full"
    store.remove("tile/0/000")
    assert store.read("tile/0/000") is None
    store.write("tile/0/000.p/3", b"back")
    assert store.read("tile/0/000.p/3") == b"back"


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "tile/0/../../../x", "lock", ".incoming/file", ""])
def test_nothing_outside_is_touched(store: DirectoryTileStore, path: str) -> None:
    """Only names that a log has lead anywhere."""
    for act in (partial(store.read, path), partial(store.write, path, b""), partial(store.remove, path)):
        with pytest.raises(BadInput, match="No file of a log is called"):
            act()


def test_everybody_may_read(store: TileStore, tmp_path: Path) -> None:
    """Whatever the writer's umask: files are 0644, directories 0755, and no unfinished file shows."""
    before = os.umask(0o077)
    try:
        store.write("tile/entries/x001/000.p/1", b"x")
        store.write(CHECKPOINT, b"y")
    finally:
        os.umask(before)
    for path in (tmp_path / "tile").rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644), path
    assert (tmp_path / CHECKPOINT).stat().st_mode & 0o777 == 0o644
    assert list((tmp_path / ".incoming").iterdir()) == []


def test_what_a_killed_writer_left_is_cleared_away(tmp_path: Path) -> None:
    """A half-written file of an earlier process is no trouble; reading alone creates and removes nothing."""
    reader = DirectoryTileStore(tmp_path)
    assert reader.read(CHECKPOINT) is None
    assert list(tmp_path.iterdir()) == []
    (tmp_path / ".incoming").mkdir()
    (tmp_path / ".incoming" / "left").write_bytes(b"half")
    assert reader.widths("tile/0/000") == []
    assert (tmp_path / ".incoming" / "left").exists()
    DirectoryTileStore(tmp_path).write(CHECKPOINT, b"x")
    assert list((tmp_path / ".incoming").iterdir()) == []


def test_an_immense_file_is_not_read_whole(tmp_path: Path) -> None:
    """Somebody's mirror may hold anything; no more is read than the largest bundle and one octet."""
    path = tmp_path / "tile" / "0" / "000"
    path.parent.mkdir(parents=True)
    with open(path, "wb") as file:
        file.truncate(10**10)
    content = DirectoryTileStore(tmp_path).read("tile/0/000")
    assert content is not None
    assert len(content) == 256 * 65_537 + 1


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failing_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """The error carries the disk's own as its cause, and the old content still stands."""
    store = DirectoryTileStore(tmp_path)
    store.write("tile/0/000.p/1", b"old")

    def fails(*args: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, call, fails)
    with pytest.raises(LogUnavailable, match=r"write its file tile/0/000.p/1: Input/output error") as caught:
        store.write("tile/0/000.p/1", b"new")
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.EIO
    assert store.read("tile/0/000.p/1") == b"old"
    if call == "fsync":
        with pytest.raises(LogUnavailable, match="sync"):
            store.sync()


def test_syncs_are_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A durable store syncs each file once and each directory once; the other never syncs."""
    calls: list[int] = []
    monkeypatch.setattr(os, "fsync", calls.append)
    names = [f"tile/0/000.p/{width}" for width in (1, 2, 3)] + ["tile/entries/000.p/1", CHECKPOINT]
    for name in names:
        DirectoryTileStore(tmp_path / ".", durable=False).write(name, b"x")
    assert calls == []
    store = DirectoryTileStore(tmp_path)
    for name in names:
        store.write(name, b"x")
    assert len(calls) == len(names)
    store.sync()
    assert len(calls) == len(names) + 3, "tile/0/000.p, tile/entries/000.p and the root"
    store.sync()
    assert len(calls) == len(names) + 3
