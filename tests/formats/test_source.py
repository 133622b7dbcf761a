"""Files as sources: exactly what is asked for, or a sentence."""

import os
import threading
from pathlib import Path

import pytest

from privyseal.errors import BadInput, MalformedCode, NotFound
from privyseal.formats.source import MAX_PREAD, FileSource, printable_name, real_paths


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "a file.bin"
    file.write_bytes(bytes(range(256)) * 16)
    return file


def test_reads_at_offsets(path: Path):
    """``pread`` gives exactly the octets asked for, wherever they are; size, name and mode are the file's."""
    path.chmod(0o750)
    with FileSource.open(path) as source:
        assert (source.size, source.filename, source.mode) == (4096, "a file.bin", 0o750)
        assert source.pread(255, 3) == b"\xff\x00\x01"
        assert source.pread(4096, 0) == b""


@pytest.mark.parametrize(("offset", "count"), [(-1, 1), (0, -1), (4090, 7), (1 << 70, 1), (0, 4097)])
def test_refuses_what_is_outside(path: Path, offset: int, count: int):
    """A piece that would pass the end, or begin before the beginning, is refused with the file's name."""
    with FileSource.open(path) as source, pytest.raises(MalformedCode, match=r"a file\.bin has 4096 octets"):
        source.pread(offset, count)


def test_refuses_too_much_structure_at_once(tmp_path: Path):
    """Nobody can make us read gigabytes as structure: the limit holds even where the file is that long."""
    file = tmp_path / "sparse"
    with file.open("wb") as out:
        out.truncate(MAX_PREAD + 10)
    with FileSource.open(file) as source, pytest.raises(MalformedCode, match="at most"):
        source.pread(0, MAX_PREAD + 1)


def test_readinto_stops_at_the_end(path: Path):
    """``readinto`` fills what there is, returns the count, and 0 at and behind the end."""
    buffer = memoryview(bytearray(100))
    with FileSource.open(path) as source:
        assert source.readinto(4090, buffer) == 6
        assert bytes(buffer[:7]) == b"\xfa\xfb\xfc\xfd\xfe\xff\x00"
        assert source.readinto(4096, buffer) == 0
        assert source.readinto(9999, buffer) == 0


def test_size_is_taken_once(path: Path):
    """What another program appends is not seen; what it takes away is noticed."""
    with FileSource.open(path) as source:
        with path.open("ab") as more:
            more.write(b"appended")
        assert source.size == 4096
        os.truncate(path, 10)
        with pytest.raises(MalformedCode, match="got shorter"):
            source.pread(5, 100)
        with pytest.raises(MalformedCode, match="got shorter"):
            source.readinto(5, memoryview(bytearray(100)))


def test_refuses_what_is_no_file(tmp_path: Path):
    """Folders, pipes and devices are named for what they are, and opening a pipe does not wait for a writer."""
    os.mkfifo(tmp_path / "pipe")
    for path, words in ((tmp_path, "a folder"), (tmp_path / "pipe", "a pipe"), (Path("/dev/null"), "a device")):
        with pytest.raises(BadInput, match=words):
            FileSource.open(path)
    with pytest.raises(NotFound, match=r"missing\.exe does not exist"):
        FileSource.open(tmp_path / "missing.exe")
    with pytest.raises(BadInput, match="cannot be opened"):
        FileSource.open(tmp_path / ("n" * 300))


def test_refusals_leave_no_descriptor_open(tmp_path: Path):
    """Refusing a thousand folders uses up nothing."""
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(1000):
        with pytest.raises(BadInput):
            FileSource.open(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_names_that_are_no_text(tmp_path: Path):
    """A name that is not UTF-8 still gives text that JSON can carry."""
    strange = os.fsencode(tmp_path) + b"/\xff\xfename"
    Path(os.fsdecode(strange)).write_bytes(b"x")
    with FileSource.open(os.fsdecode(strange)) as source:
        assert source.filename == "��name"
    assert printable_name("/") == "/"


def test_threads_read_side_by_side(path: Path):
    """Reading at an offset moves nothing that another thread depends on."""
    wrong: list[int] = []
    with FileSource.open(path) as source:

        def read(start: int) -> None:
            for at in range(start, 4000, 7):
                if source.pread(at, 2) != bytes((at % 256, (at + 1) % 256)):
                    wrong.append(at)

        threads = [threading.Thread(target=read, args=(start,)) for start in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_real_paths_are_those_of_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Links in a folder's way, links at its end, dots and nothing at all lead where ``os.path.realpath`` says."""
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "linked").symlink_to("deep/er")
    (tmp_path / "deep" / "er" / "to").symlink_to("../target")
    (tmp_path / "loop").symlink_to("loop")
    monkeypatch.chdir(tmp_path)
    paths = [
        "deep/er/x",
        "linked/x",
        "linked/../x",
        "linked/to",
        "linked/..",
        ".",
        "x/",
        "",
        "none/x",
        "loop",
        "loop/x",
    ]
    paths += [str(tmp_path / path) for path in paths]
    assert list(real_paths(paths)) == [os.path.realpath(path) for path in paths]
    assert len(set(real_paths(paths))) < len(paths)
