"""Plans carried out: whole or not at all, whatever happens in between."""

import errno
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.formats.patching import BIG, content, plan_for, read_all

from privyseal.errors import BadInput, VerificationFailed
from privyseal.formats import draft, patch
from privyseal.formats.draft import Draft
from privyseal.formats.patch import Ahead, carry_out, settle
from privyseal.formats.protocol import Copy, Insert, PatchPlan, Source
from privyseal.formats.source import FileSource


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
    real = Draft.copy

    def slow(draft: Draft, source: Source, step: Copy, at: int) -> Iterator[int]:
        for done in real(draft, source, step, at):
            yield done
            time.sleep(0.05)

    monkeypatch.setattr(Draft, "copy", slow)
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


def test_paths_are_the_kernels_to_resolve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[..., None]):
    """A relative path, and one through a linked folder and back, lead to where every other program would find them."""
    deep = tmp_path / "deep" / "er"
    deep.mkdir(parents=True)
    (tmp_path / "link").symlink_to(deep)
    source = tmp_path / "source"
    source.write_bytes(b"abc")
    monkeypatch.chdir(tmp_path)
    write(Path("source"), Path("out"), PatchPlan((Copy(0, 3),)))
    with FileSource.open(source) as opened:
        carry_out(PatchPlan((Copy(0, 3),)), opened, "link/../out")
    assert (tmp_path / "out").exists() and (tmp_path / "deep" / "out").read_bytes() == b"abc"


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
    real = os.lstat

    def as_if_theirs(name: object, *more: object, **how: object) -> os.stat_result:
        status = real(name, *more, **how)  # type: ignore[call-overload]
        if name != str(path):
            return status
        return os.stat_result((*status[:4], status.st_uid + 1, status.st_gid, *status[6:10]))

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "not yours to give")

    monkeypatch.setattr(os, "lstat", as_if_theirs)
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


def test_copied_ahead_is_not_copied_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What stays where it was is copied once, and what moves is copied from the source."""
    path = tmp_path / "source"
    path.write_bytes(content(BIG))
    copied = []
    real = Draft.copy

    def count(draft: Draft, source: Source, step: Copy, at: int) -> Iterator[int]:
        copied.append(step.count)
        return real(draft, source, step, at)

    monkeypatch.setattr(Draft, "copy", count)
    with FileSource.open(path) as opened, Ahead(opened, path) as ahead:
        ahead.carry_out(PatchPlan((Copy(0, 100), Insert(b"abcd"), Copy(104, BIG - 200), Copy(0, 50))))
    assert copied == [BIG, 50]
    expected = content(BIG)[:100] + b"abcd" + content(BIG)[104 : BIG - 96] + content(BIG)[:50]
    assert path.read_bytes() == expected


@pytest.mark.parametrize(("shift", "within"), [(0, True), (8192, True), (24, False), (4095, False)])
def test_the_kernel_copies_whole_pages_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shift: int, within: bool
) -> None:
    """What comes to stand elsewhere in its page takes the kernel twice as long as reading and writing it."""
    path, out = tmp_path / "source", tmp_path / "out"
    path.write_bytes(content(BIG))
    asked = []
    real = os.copy_file_range

    def note(*arguments: int) -> int:
        asked.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(os, "copy_file_range", note)
    with FileSource.open(path) as opened:
        carry_out(PatchPlan((Insert(bytes(shift)), Copy(0, BIG))), opened, out)
    assert bool(asked) is within
    assert out.read_bytes() == bytes(shift) + content(BIG)


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


def test_what_replaces_a_file_is_on_the_disk_before_it_has_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Content that takes the place of something is synced first; a new file, which leaves its source, is not."""
    synced: list[int] = []
    true = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(os.fstat(fd).st_size), true(fd))[1])
    old = tmp_path / "old"
    old.write_bytes(b"old")
    plan = PatchPlan((Insert(b"new content"),))
    with FileSource.open(old) as source:
        carry_out(plan, source, tmp_path / "new", settled=False)
        assert synced == []
        carry_out(plan, source, old, settled=False)
    assert synced == [len(b"new content")]
    assert old.read_bytes() == b"new content"
