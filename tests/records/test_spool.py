"""Files on their way: appended to by one, never past their end, kept over a crash, refused with a sentence."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from privyseal.errors import Conflict, NotFound, TooLarge, Unavailable
from privyseal.records.spool import Limits, Spool


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", Limits(spare=0))


def test_what_is_appended_is_there_and_has_its_digest(spool: Spool) -> None:
    """Pieces come one behind the other; the offset is what is there; the digest is that of the disk."""
    octets = os.urandom(3 << 20)
    assert spool.offset("demo", "U-a") == 0
    for at in (0, 1000, 2 << 20):
        end = {0: 1000, 1000: 2 << 20, 2 << 20: 3 << 20}[at]
        with spool.part("demo", "U-a", len(octets)) as part:
            assert part.offset == at == spool.offset("demo", "U-a")
            part.append(octets[at:end])
            part.settle()
    with spool.part("demo", "U-a", len(octets)) as part:
        assert part.digest() == hashlib.sha256(octets).hexdigest()


def test_nothing_passes_the_announced_end(spool: Spool) -> None:
    """Octets beyond the end are refused whole, and what was there stays."""
    with spool.part("demo", "U-a", 10) as part:
        part.append(b"12345")
        with pytest.raises(TooLarge):
            part.append(b"678901")
    assert spool.offset("demo", "U-a") == 5


def test_only_one_appends_at_a_time(spool: Spool) -> None:
    """A second one is refused while the first holds the file, and let in afterwards; another file is not concerned."""
    first = spool.part("demo", "U-a", 10)
    with pytest.raises(Conflict, match="right now"):
        spool.part("demo", "U-a", 10)
    spool.part("demo", "U-b", 10).close()
    first.close()
    spool.part("demo", "U-a", 10).close()


def test_a_closed_part_writes_into_nobody_elses_file(spool: Spool, tmp_path: Path) -> None:
    """After close the descriptor may be another file's; writing is refused and that file is left alone."""
    part = spool.part("demo", "U-a", 10)
    part.close()
    with (tmp_path / "other").open("wb"), pytest.raises(Unavailable):
        part.append(b"1")
    assert (tmp_path / "other").read_bytes() == b""


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "a\0b", "../../etc/passwd"])
def test_a_name_leads_nowhere_else(spool: Spool, name: str) -> None:
    """Whatever stands where an id should be is no path."""
    with pytest.raises(NotFound):
        spool.path("in", "demo", name)
    with pytest.raises(NotFound):
        spool.path("in", name, "U-a")


def test_nobody_else_reads_the_spool(spool: Spool) -> None:
    """Folders and files are their owner's alone."""
    spool.part("demo", "U-a", 10).close()
    for path in (spool.directory, *spool.directory.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_disk_without_room_is_said_before_anything_comes(spool: Spool) -> None:
    """What cannot fit is refused when it is announced."""
    spool.require_room(1)
    with pytest.raises(Unavailable, match="no room"):
        spool.require_room(1 << 60)
    with pytest.raises(Unavailable, match="no room"):
        Spool(spool.directory, Limits(spare=1 << 60)).require_room(1)


def test_a_full_disk_is_unavailable_and_what_came_is_kept(spool: Spool) -> None:
    """A write that finds no room (here the process's largest file) keeps what fitted; later it goes on from there."""
    part = spool.part("demo", "U-a", 1 << 20)
    before, ignored = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(Unavailable, match="full"):
            part.append(b"x" * 200_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert part.offset == 100_000 == spool.offset("demo", "U-a")
    part.append(b"x" * 100_000)
    part.close()
    assert spool.path("in", "demo", "U-a").read_bytes() == b"x" * 200_000


_SENDER = """
import sys, pathlib
from privyseal.records.spool import Spool
part = Spool(pathlib.Path(sys.argv[1])).part("demo", "U-a", 1 << 40)
while True:
    part.append(bytes([part.offset >> 16 & 255]) * 65536)
    print("x", flush=True)
"""


def test_a_killed_process_leaves_an_upload_that_goes_on(spool: Spool) -> None:
    """kill -9 in the middle of writing: the lock is free at once, what was said to be written is there, and right."""
    sender = subprocess.Popen([sys.executable, "-c", _SENDER, str(spool.directory)], stdout=subprocess.PIPE)
    assert sender.stdout is not None
    for _ in range(20):
        assert sender.stdout.readline() == b"x\n"
    with pytest.raises(Conflict):
        spool.part("demo", "U-a", 1 << 40)
    sender.kill()
    sender.wait(30)
    sender.stdout.close()
    with spool.part("demo", "U-a", 1 << 40) as part:
        assert part.offset >= 20 * 65536
    octets = spool.path("in", "demo", "U-a").read_bytes()
    assert all(octets[at] == at >> 16 & 255 for at in range(0, len(octets), 4096))


def test_removing_twice_does_no_harm(spool: Spool) -> None:
    """A file that is gone is gone; old ones are listed with their age."""
    spool.part("demo", "U-a", 10).close()
    ((path, written),) = list(spool.files())
    assert path.name == "U-a" and abs(written - time.time()) < 60
    spool.remove("in", "demo", "U-a")
    spool.remove("in", "demo", "U-a")
    assert list(spool.files()) == []
