"""Plans carried out: whole or not at all, whatever happens in between."""

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privyseal.errors import BadInput, MalformedCode, Unavailable, VerificationFailed
from privyseal.formats import draft, patch
from privyseal.formats.patch import Ahead, carry_out, settle
from privyseal.formats.protocol import Copy, Insert, PatchPlan, Source
from privyseal.formats.source import FileSource

BIG = 3 * patch.SMALL + 12345


def content(size: int) -> bytes:
    return (bytes(range(251)) * (size // 251 + 1))[:size]


@pytest.fixture(params=["small", "large"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "source.bin"
    path.write_bytes(content(1000 if request.param == "small" else BIG))
    return path


def plan_for(path: Path) -> tuple[PatchPlan, bytes]:
    """Return a plan with every kind of step, and what it makes of the file."""
    octets = path.read_bytes()
    size = len(octets)
    steps = (Copy(0, 100), Insert(b"new"), Copy(103, size - 203), Insert(b""), Copy(0, 50), Insert(b"tail" * 100))
    return PatchPlan(steps), octets[:100] + b"new" + octets[103 : size - 100] + octets[:50] + b"tail" * 100


@pytest.fixture(params=["at once", "ahead"], scope="module")
def write(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Return what carries a plan out: in one go, or with the source copied ahead."""

    def at_once(path: Path, target: Path, plan: PatchPlan, follow: patch.Follower | None = None) -> None:
        with FileSource.open(path) as source:
            carry_out(plan, source, target, follow=follow)

    def ahead(path: Path, target: Path, plan: PatchPlan, follow: patch.Follower | None = None) -> None:
        with FileSource.open(path) as source, Ahead(source, target) as begun:
            begun.carry_out(plan, follow=follow)

    return at_once if request.param == "at once" else ahead


def test_makes_what_the_plan_says(source: Path, tmp_path: Path, write: Callable[..., None]):
    """The outcome is byte for byte the plan's, into a new file and over the source itself, with nothing left over."""
    plan, expected = plan_for(source)
    assert plan.size == len(expected)
    write(source, tmp_path / "out.bin", plan)
    assert (tmp_path / "out.bin").read_bytes() == expected
    write(source, source, plan)
    assert source.read_bytes() == expected
    assert sorted(os.listdir(tmp_path)) == ["out.bin", "source.bin"]


@pytest.mark.parametrize("missing", ["copy_file_range", "O_TMPFILE", "both"])
def test_makes_the_same_without_the_kernels_help(
    source: Path, monkeypatch: pytest.MonkeyPatch, missing: str, write: Callable[..., None]
):
    """On file systems without nameless files or copying in the kernel the outcome is the same."""
    plan, expected = plan_for(source)
    real_open = os.open

    def refuse(*_: object) -> int:
        raise OSError(errno.EXDEV, "no copying between these")

    def without_tmpfile(path: str, flags: int, *more: int, **how: int) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "no nameless files")
        return real_open(path, flags, *more, **how)

    if missing != "O_TMPFILE":
        monkeypatch.setattr(os, "copy_file_range", refuse)
    if missing != "copy_file_range":
        monkeypatch.setattr(os, "open", without_tmpfile)
    seen = []
    write(source, source, plan, lambda written: seen.append(read_all(written)))
    assert source.read_bytes() == expected and seen == [expected]
    assert os.listdir(source.parent) == [source.name]


def read_all(source: Source, step: int = 1 << 18) -> bytes:
    buffer, parts, at = memoryview(bytearray(step)), [], 0
    while count := source.readinto(at, buffer):
        parts.append(bytes(buffer[:count]))
        at += count
    return b"".join(parts)


def test_follower_reads_the_outcome_and_has_the_last_word(source: Path, write: Callable[..., None]):
    """What it reads is the outcome, end first or beginning first; if it objects, the target is as it was."""
    before = source.read_bytes()
    plan, expected = plan_for(source)

    def object_(written: Source) -> None:
        assert written.size == len(expected)
        assert written.pread(written.size - 4, 4) == b"tail"
        assert written.pread(99, 5) == expected[99:104]
        assert read_all(written) == expected
        raise VerificationFailed("No.")

    with pytest.raises(VerificationFailed, match=r"^No\.$"):
        write(source, source, plan, object_)
    assert source.read_bytes() == before
    assert os.listdir(source.parent) == [source.name]


def test_follower_may_use_threads_and_leave_early(source: Path, write: Callable[..., None]):
    """Several threads read at once; one that reads only the head does not keep the rest from being written."""
    plan, expected = plan_for(source)
    seen: list[bytes] = []

    def follow(written: Source) -> None:
        threads = [threading.Thread(target=lambda: seen.append(read_all(written))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    write(source, source.with_name("a"), plan, follow)
    assert seen == [expected] * 3
    write(source, source.with_name("b"), plan, lambda written: seen.append(written.pread(0, 100)))
    assert source.with_name("b").read_bytes() == expected


def test_follower_never_sees_octets_that_are_not_there_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[..., None]
):
    """With a writer that is slow, a reader still gets nothing but final octets."""
    path = tmp_path / "source.bin"
    path.write_bytes(b"\xff" * BIG)
    real = os.copy_file_range

    def slow(*arguments: int) -> int:
        time.sleep(0.05)
        return real(*arguments)

    monkeypatch.setattr(os, "copy_file_range", slow)
    plan = PatchPlan((Insert(b"\xff" * 7), Copy(0, BIG)))
    seen: list[bytes] = []
    write(path, path, plan, lambda written: seen.append(read_all(written)))
    assert set(seen[0]) == {0xFF} and len(seen[0]) == BIG + 7


def test_keeps_mode_and_follows_links(tmp_path: Path, write: Callable[..., None]):
    """An existing target keeps its mode; a symbolic link stays one and what it leads to is replaced."""
    source, real, link = tmp_path / "source", tmp_path / "real", tmp_path / "link"
    source.write_bytes(b"abcdef")
    source.chmod(0o755)
    real.write_bytes(b"old")
    real.chmod(0o640)
    link.symlink_to("real")
    write(source, link, PatchPlan((Copy(0, 3), Insert(b"!"))))
    assert link.is_symlink() and real.read_bytes() == b"abc!"
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    umask = os.umask(0o027)
    try:
        write(source, tmp_path / "new", PatchPlan((Copy(0, 6),)))
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o750
    dangling = tmp_path / "dangling"
    dangling.symlink_to("made")
    write(source, dangling, PatchPlan((Copy(0, 6),)))
    assert (tmp_path / "made").read_bytes() == b"abcdef"


def test_read_only_files_are_replaced_and_stay_so(tmp_path: Path):
    """A mode that forbids us reading or writing is kept, and does not keep us from verifying."""
    path = tmp_path / "locked"
    path.write_bytes(b"abc")
    for mode in (0o444, 0o000):
        path.chmod(0o644)
        with FileSource.open(path) as source:
            path.chmod(mode)
            carry_out(PatchPlan((Copy(0, 3), Insert(b"d"))), source, path, follow=lambda w: w.pread(0, 3))
        assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away, so there is nothing to keep")
def test_keeps_the_owner(tmp_path: Path, write: Callable[..., None]):
    """Root signs somebody else's program: it stays theirs, setuid bit included."""
    path = tmp_path / "theirs"
    path.write_bytes(b"abc")
    os.chown(path, 12345, 23456)
    path.chmod(0o4755)
    write(path, path, PatchPlan((Copy(0, 3),)))
    status = path.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (12345, 23456, 0o4755)


def test_loses_setuid_where_the_owner_cannot_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[..., None]
):
    """A program of another user must not become a setuid program of ours."""
    path = tmp_path / "theirs"
    path.write_bytes(b"abc")
    path.chmod(0o4755)
    real = os.stat

    def as_if_theirs(name: object, *more: object, **how: object) -> os.stat_result:
        status = real(name, *more, **how)  # type: ignore[call-overload]
        if name != str(path):
            return status
        return os.stat_result((*status[:4], status.st_uid + 1, status.st_gid, *status[6:10]))

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "not yours to give")

    monkeypatch.setattr(os, "stat", as_if_theirs)
    monkeypatch.setattr(os, "fchown", refuse)
    write(path, path, PatchPlan((Copy(0, 3),)))
    monkeypatch.undo()
    assert stat.S_IMODE(path.stat().st_mode) == 0o755


def test_refuses_targets_that_are_no_files(source: Path, tmp_path: Path, write: Callable[..., None]):
    """A folder, a pipe or a place that does not exist is refused in words, and nothing is made."""
    plan, _ = plan_for(source)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for name, words in (
        ("", "no regular file"),
        ("pipe", "no regular file"),
        ("missing/out", "No such file"),
        ("source.bin/out", "Not a directory"),
        ("n" * 300, "too long"),
        ("loop", "symbolic links"),
    ):
        with pytest.raises(BadInput, match=words):
            write(source, tmp_path / name, plan)
    assert sorted(os.listdir(tmp_path)) == ["loop", "pipe", "source.bin"]


def test_refuses_a_plan_beyond_the_source(tmp_path: Path, write: Callable[..., None]):
    """A plan for another file is refused before anything is written."""
    path = tmp_path / "source"
    path.write_bytes(b"abc")
    for step in (Copy(1, 3), Copy(-1, 2), Copy(4, 0), Copy(0, -1)):
        with pytest.raises(BadInput, match="The plan copies"):
            write(path, tmp_path / "out", PatchPlan((step,)))
    assert os.listdir(tmp_path) == ["source"]


def test_source_that_shrinks(source: Path):
    """A source that another program cuts meanwhile is noticed, and the target stays."""
    plan, _ = plan_for(source)
    target = source.with_name("target")
    target.write_bytes(b"old")
    with FileSource.open(source) as opened:
        os.truncate(source, 300)
        with pytest.raises(MalformedCode, match="got shorter"):
            carry_out(plan, opened, target, follow=read_all)
    assert target.read_bytes() == b"old" and sorted(os.listdir(target.parent)) == ["source.bin", "target"]


@pytest.mark.parametrize("call", ["fsync", "pwritev", "copy_file_range", "ftruncate", "link", "rename", "fchmod"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_every_call_may_fail(
    source: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, write: Callable[..., None]
):
    """Wherever the disk fills up or fails, the target is whole and old, nothing is left over, the error says why."""
    plan, expected = plan_for(source)
    before = source.read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fail)
    try:
        with pytest.raises(Unavailable, match=os.strerror(number)) as caught:
            write(source, source, plan, read_all)
        assert caught.value.retryable and source.read_bytes() == before
    except pytest.fail.Exception:
        # A small plan neither truncates nor copies in the kernel, and a mode that is right is set all the same.
        assert call in ("copy_file_range", "ftruncate") and source.read_bytes() == expected
    assert os.listdir(source.parent) == [source.name]


def test_a_full_disk_for_real(tmp_path: Path):
    """The kernel itself refuses in the middle (RLIMIT_FSIZE): the target stays, and so does the folder."""
    path = tmp_path / "source.bin"
    path.write_bytes(content(BIG))
    script = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from privyseal.formats.patch import carry_out; from privyseal.formats.source import FileSource\n"
        "from privyseal.formats.protocol import *; from privyseal.errors import Unavailable\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({BIG // 2}, {BIG // 2}))\n"
        "try:\n"
        "    source = FileSource.open(sys.argv[1])\n"
        "    plan = PatchPlan((Copy(0, source.size),))\n"
        "    carry_out(plan, source, sys.argv[1], follow=lambda written: written.pread(written.size - 9, 9))\n"
        "except Unavailable as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
    assert "File too large" in done.stdout
    assert path.read_bytes() == content(BIG) and os.listdir(tmp_path) == ["source.bin"]


_SLOW = """
import os, sys, time
from privyseal.formats.patch import Ahead, carry_out
from privyseal.formats.protocol import Copy, Insert, PatchPlan
from privyseal.formats.source import FileSource
real = os.{call}
def slow(*arguments, **how):
    os.write(1, b"now" + bytes([10]))
    time.sleep({pause})
    return real(*arguments, **how)
os.{call} = slow
source = FileSource.open(sys.argv[1])
def follow(written):
    at, buffer = 0, memoryview(bytearray(1 << 20))
    while count := written.readinto(at, buffer):
        at += count
plan = PatchPlan((Copy(0, source.size), Insert(b"more")))
if {ahead}:
    with Ahead(source, sys.argv[1]) as ahead:
        ahead.carry_out(plan, follow=follow)
else:
    carry_out(plan, source, sys.argv[1], follow=follow)
print("done", flush=True)
"""


@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("call", ["copy_file_range", "fsync", "link"])
@pytest.mark.parametrize("ahead", [False, True])
def test_killed_in_the_middle(tmp_path: Path, kill: signal.Signals, call: str, ahead: bool):
    """Ctrl-C, kill and kill -9 while copying, flushing, naming: the original is whole and nothing lies beside it."""
    path = tmp_path / "source.bin"
    path.write_bytes(content(BIG))
    command = [sys.executable, "-c", _SLOW.format(call=call, pause=0.4, ahead=ahead), path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        assert child.stdout is not None and child.stdout.readline() == "now\n"
        time.sleep(0.1)
        child.send_signal(kill)
        said = child.stdout.read()
        child.wait(30)
    assert "done" not in said and child.returncode != 0
    assert path.read_bytes() == content(BIG)
    assert os.listdir(tmp_path) == ["source.bin"]


@pytest.mark.parametrize("ahead", [False, True])
def test_a_second_interrupt_does_not_tear_the_writer(tmp_path: Path, ahead: bool):
    """Ctrl-C twice: the writer's descriptor stays open until the writer is gone, and nothing is left."""
    path = tmp_path / "source.bin"
    path.write_bytes(content(BIG))
    command = [sys.executable, "-c", _SLOW.format(call="fsync", pause=1.0, ahead=ahead), path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stderr is not None
        assert child.stdout.readline() == "now\n"
        for _ in range(3):
            time.sleep(0.1)
            child.send_signal(signal.SIGINT)
        said = child.stderr.read()
    assert "KeyboardInterrupt" in said and "Bad file descriptor" not in said
    assert path.read_bytes() == content(BIG) and os.listdir(tmp_path) == ["source.bin"]


def test_memory_is_constant(tmp_path: Path):
    """200 MiB more of content cost less than 2 MiB more of memory, with and without copying in the kernel."""
    script = (
        "import os, resource, sys; from privyseal.formats import patch; from privyseal.formats.protocol import *\n"
        "from privyseal.formats.source import FileSource\n"
        "if sys.argv[2] == 'buffer':\n"
        "    def refuse(*_): raise OSError(18, 'x')\n"
        "    os.copy_file_range = refuse\n"
        "source = FileSource.open(sys.argv[1])\n"
        "patch.carry_out(PatchPlan((Copy(0, source.size), Insert(b'x'))), source, sys.argv[1] + '.out')\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    for way in ("kernel", "buffer"):
        peaks = []
        for size in (8 << 20, 208 << 20):
            path = tmp_path / str(size)
            with path.open("wb") as out:
                out.truncate(size)
            done = subprocess.run([sys.executable, "-c", script, path, way], capture_output=True, text=True, check=True)
            peaks.append(int(done.stdout))
        assert peaks[1] - peaks[0] < 2048, (way, peaks)


@settings(max_examples=150, deadline=None)
@given(
    size=st.integers(0, 3000),
    steps=st.lists(
        st.one_of(st.binary(max_size=20).map(Insert), st.tuples(st.integers(0, 3000), st.integers(0, 3000))),
        max_size=12,
    ),
    small=st.booleans(),
)
def test_any_plan(
    tmp_path_factory: pytest.TempPathFactory, size: int, steps: list, small: bool, write: Callable[..., None]
):
    """Whatever the order and size of steps, the outcome and what a follower reads of it are the plan's."""
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(content(size))
    plan = PatchPlan(
        tuple(
            step if isinstance(step, Insert) else Copy(min(step[0], size), min(step[1], size - min(step[0], size)))
            for step in steps
        )
    )
    expected = b"".join(
        content(size)[s.offset : s.offset + s.count] if isinstance(s, Copy) else s.octets for s in plan.steps
    )
    seen: list[bytes] = []
    limit, chunk = patch.SMALL, draft.CHUNK
    try:
        patch.SMALL, draft.CHUNK = (limit, chunk) if small else (-1, 512)
        write(path, path.with_suffix(".out"), plan, lambda written: seen.append(read_all(written, 100)))
    finally:
        patch.SMALL, draft.CHUNK = limit, chunk
    assert path.with_suffix(".out").read_bytes() == expected and seen == [expected]


def test_many_inserts(tmp_path: Path, write: Callable[..., None]):
    """More pieces than one system call takes."""
    path = tmp_path / "source"
    path.write_bytes(content(5000))
    steps = [step for at in range(0, 5000, 2) for step in (Copy(at, 1), Insert(b"-"))]
    write(path, path, PatchPlan(tuple(steps)))
    assert path.read_bytes() == b"".join(content(5000)[at : at + 1] + b"-" for at in range(0, 5000, 2))


def test_descriptors_are_given_back(source: Path, write: Callable[..., None]):
    """A thousand files later no descriptor is left open, whether they succeeded or not."""
    plan, _ = plan_for(source)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        write(source, source.with_name("out"), plan, read_all)
        with pytest.raises(BadInput):
            write(source, source.with_name("missing") / "out", plan)
    assert len(os.listdir("/proc/self/fd")) == before < soft


def test_copied_ahead_but_never_carried_out(source: Path):
    """Whoever changes their mind, or fails, while the source is copied ahead leaves nothing, at once."""
    before = source.read_bytes()
    with FileSource.open(source) as opened:
        with Ahead(opened, source):
            pass
        with pytest.raises(VerificationFailed), Ahead(opened, source):
            raise VerificationFailed("No.")
        with pytest.raises(BadInput, match="no regular file"), Ahead(opened, source.parent):
            pass
    assert source.read_bytes() == before and os.listdir(source.parent) == [source.name]


def test_copying_ahead_may_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A disk that fills up while copying ahead is told of when the plan is to be carried out."""
    path = tmp_path / "source"
    path.write_bytes(content(BIG))

    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "copy_file_range", fail)
    with FileSource.open(path) as opened, Ahead(opened, path) as ahead, pytest.raises(Unavailable, match="No space"):
        ahead.carry_out(PatchPlan((Copy(0, BIG),)))
    assert path.read_bytes() == content(BIG) and os.listdir(tmp_path) == ["source"]


def test_copied_ahead_is_not_copied_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What stays where it was is copied once, and what moves is copied from the source."""
    path = tmp_path / "source"
    path.write_bytes(content(BIG))
    copied = []
    real = os.copy_file_range

    def count(*arguments: int) -> int:
        done = real(*arguments)
        copied.append(done)
        return done

    monkeypatch.setattr(os, "copy_file_range", count)
    with FileSource.open(path) as opened, Ahead(opened, path) as ahead:
        ahead.carry_out(PatchPlan((Copy(0, 100), Insert(b"abcd"), Copy(104, BIG - 200), Copy(0, 50))))
    assert sum(copied) == BIG + 50
    expected = content(BIG)[:100] + b"abcd" + content(BIG)[104 : BIG - 96] + content(BIG)[:50]
    assert path.read_bytes() == expected


def test_settling_names_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Without settling, only the content is waited for; settling waits once for each folder."""
    synced: list[str] = []
    real = os.fsync

    def note(fd: int) -> None:
        synced.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")
        real(fd)

    monkeypatch.setattr(os, "fsync", note)
    (tmp_path / "other").mkdir()
    paths = [tmp_path / "a", tmp_path / "b", tmp_path / "other" / "c"]
    for path in paths:
        path.write_bytes(b"abc")
        with FileSource.open(path) as opened:
            carry_out(PatchPlan((Copy(0, 3), Insert(b"d"))), opened, path, settled=False)
    assert synced == ["file"] * 3
    settle(paths)
    assert synced == ["file"] * 3 + ["folder"] * 2
    with FileSource.open(paths[0]) as opened:
        carry_out(PatchPlan((Copy(0, 3),)), opened, paths[0])
    assert synced[5:] == ["file", "folder"]
    with pytest.raises(BadInput, match="No such file"):
        settle([tmp_path / "missing" / "x"])
