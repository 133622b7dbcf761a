"""The log as static files: names of C2SP tlog-tiles and nothing else of the disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.web.house import House, check

from privyseal.web.logfiles import kind_of

TILES = [
    "tile/0/000",
    "tile/0/999",
    "tile/63/000",
    "tile/1/x001/234",
    "tile/0/x001/x234/067",
    "tile/0/x001/x234/067.p/1",
    "tile/entries/000",
    "tile/entries/x001/234.p/255",
]

NO_TILES = [
    "", "checkpoint/", "Checkpoint", "checkpoint.p/1", "tile", "tile/", "tile/0", "tile/0/", "tile/0/00", "tile/0/0000",
    "tile/00/000", "tile/64/000", "tile/-1/000", "tile/0/001/002", "tile/0/x001", "tile/0/x1/002", "tile/0/000.p/0",
    "tile/0/000.p/01", "tile/0/000.p/256", "tile/0/000.p", "tile/0/000.p/", "tile/data/000", "tile/0/000\n",
    "tile/0/" + "x000/" * 7 + "000", "tile/0/../../secret", "../secret", "tile/0/000/../../../../secret", "/etc/passwd",
    "tile/0/000\0", "tile/0/٣٣٣", "tile\\0\\000", ".", "..", "log.sqlite", "tile/0/000.tmp",
]  # fmt: skip


@pytest.mark.parametrize("path", TILES)
def test_a_tile_is_served_for_ever(path: str, shared_house: House) -> None:
    """octet-stream and immutable, byte for byte."""
    file = shared_house.public_log / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(path.encode() * 7)
    answered = shared_house.client.get(f"/log/{path}")
    assert (answered.status_code, answered.content) == (200, path.encode() * 7)
    assert answered.headers["content-type"] == "application/octet-stream"
    assert "immutable" in answered.headers["cache-control"]


def test_the_checkpoint_is_served_fresh(shared_house: House) -> None:
    """Text, never cached, and the newest."""
    for size in ("1", "2"):
        (shared_house.public_log / "checkpoint").write_text(f"example/log\n{size}\n")
        answered = shared_house.client.get("/log/checkpoint")
        assert (answered.status_code, answered.text) == (200, f"example/log\n{size}\n")
        assert answered.headers["content-type"] == "text/plain; charset=utf-8"
        assert answered.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("path", NO_TILES)
def test_no_other_name_is_one_of_the_log_s(path: str, shared_house: House) -> None:
    """Whatever else lies in the directory or above it is not served, however it is asked for."""
    assert kind_of(path) is None
    secret = shared_house.public_log.parent / "secret"
    secret.write_text("secret")
    (shared_house.public_log / "log.sqlite").write_text("secret")
    for spelled in (path, path.replace("/", "%2F").replace(".", "%2E")):
        if "\0" in spelled or "\n" in spelled:
            continue
        answered = shared_house.client.get(f"/log/{spelled}")
        if "secret" in answered.text and answered.status_code == 200:
            pytest.fail(f"{spelled!r} was served")


def test_a_tile_that_is_not_there_is_not_found(shared_house: House) -> None:
    """Also where its name is that of a directory, or goes on below a file."""
    (shared_house.public_log / "tile" / "7" / "123").mkdir(parents=True)
    (shared_house.public_log / "tile" / "7" / "x124").write_bytes(b"a file")
    for path in ("tile/9/999", "tile/7/123", "tile/7/x124/000", "tile/0/000.p/255"):
        check(shared_house.client.get(f"/log/{path}"), 404, "not-found")


@given(st.text(max_size=40) | st.from_regex(r"tile/[0-9a-z./x]{0,30}", fullmatch=True))
def test_a_name_that_passes_cannot_lead_out_of_the_directory(path: str) -> None:
    """Judged by pathlib: the resolved path lies below the directory and is spelled with the log's letters only."""
    if kind_of(path) is not None:
        assert path.isascii() and not set(path) - set("0123456789/.pxcheckpointtileentries")
        assert Path("/log", path).resolve().is_relative_to("/log/tile") or path == "checkpoint"
