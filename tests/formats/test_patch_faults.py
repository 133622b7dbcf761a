"""What can go wrong while a plan is carried out: disks that fill up, signals at any moment, sources that shrink."""

import errno
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.formats.patching import BIG, content, plan_for, read_all

from privyseal.errors import BadInput, MalformedCode, Unavailable, VerificationFailed
from privyseal.formats.patch import Ahead, carry_out
from privyseal.formats.protocol import Copy, Insert, PatchPlan
from privyseal.formats.source import FileSource


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


def test_a_name_that_somebody_else_takes_meanwhile(source: Path, write: Callable[..., None]):
    """A new file whose name appears while it is being made replaces what appeared, whole; nothing is left over."""
    plan, expected = plan_for(source)
    target = source.with_name("new")

    def appear(_written: object) -> None:
        target.write_bytes(b"somebody else's")

    write(source, target, plan, appear)
    assert target.read_bytes() == expected and sorted(os.listdir(target.parent)) == ["new", "source.bin"]


@pytest.mark.parametrize("call", ["link", "fchmod"])
def test_a_new_file_may_fail_last(source: Path, monkeypatch: pytest.MonkeyPatch, call: str, write: Callable[..., None]):
    """A new file that cannot get its name leaves nothing behind, and the error says why."""
    plan, _ = plan_for(source)

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(Unavailable, match="No space"):
        write(source, source.with_name("new"), plan, read_all)
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


def test_a_write_error_told_to_the_copier_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The kernel reports a failed write-back once, to whoever waits first: when that is the copier, nothing is done."""
    path = tmp_path / "source"
    path.write_bytes(content(BIG))
    real, waited = os.fsync, []

    def fail_once(fd: int) -> None:
        waited.append(threading.current_thread().name)
        if threading.current_thread().name == "ahead":
            time.sleep(0.3)  # long enough for the plan to be carried out meanwhile
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(fd)

    monkeypatch.setattr(os, "fsync", fail_once)
    with (
        FileSource.open(path) as opened,
        Ahead(opened, path) as ahead,
        pytest.raises(Unavailable, match="Input/output"),
    ):
        ahead.carry_out(PatchPlan((Copy(0, BIG), Insert(b"more"))))
    assert set(waited) == {"ahead", "patch"}
    assert path.read_bytes() == content(BIG) and os.listdir(tmp_path) == ["source"]
