"""A disk whose power can be cut: what was done to files, in order, and what may be found of it afterwards.

What was written and not synced is there, or not, or torn at any sector, in any order; a name that was given or taken
and whose directory was not synced is the new one or the old one. That is more than any one file system does to its
users, and what POSIX allows. Contents and names are independent: a renamed file whose content was not synced may be
found under its new name with nothing in it.
"""

from __future__ import annotations

import builtins
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from unittest import mock

SECTOR = 512
Mode = Literal["drop", "keep", "torn"]
Op = tuple[Any, ...]
_Names = dict[str, int]


@dataclass
class Trace:
    """All that was done to the files below ``root``, and between it what others were told is done ("ack")."""

    root: Path
    ops: list[Op] = field(default_factory=list)
    base: dict[str, bytes] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    _names: _Names = field(default_factory=dict)
    _open: dict[int, int | str] = field(default_factory=dict)
    _count: int = 0

    def __post_init__(self) -> None:
        """Take what is there as being on the disk."""
        for path in sorted(self.root.rglob("*")):
            name = str(path.relative_to(self.root))
            if path.is_dir():
                self.folders.add(name)
            elif path.is_file():
                self.base[name] = path.read_bytes()
                self._names[name] = self._new()

    def _new(self) -> int:
        self._count += 1
        return self._count

    def name(self, path: object) -> str | None:
        """Return a path's name below the root, None if it is elsewhere."""
        try:
            absolute = os.path.abspath(os.fsdecode(path))  # type: ignore[arg-type]
        except TypeError:
            return None
        prefix = f"{self.root}/"
        return absolute.removeprefix(prefix) if absolute.startswith(prefix) else None

    def file(self, name: str) -> int:
        """Return the file under this name, made if there is none."""
        if name not in self._names:
            self._names[name] = self._new()
            self.ops.append(("link", name, self._names[name]))
        return self._names[name]

    def acknowledge(self, what: str, value: object) -> None:
        """Note that somebody was told something which must be true for ever."""
        self.ops.append(("ack", what, value))

    # -- what Python's own calls do ------------------------------------------------------------------------------------
    def opened(self, path: object, flags: int, descriptor: int) -> None:
        """A file or directory was opened by ``os.open``."""
        name = self.name(path)
        self._open.pop(descriptor, None)
        if name is None:
            return
        if flags & os.O_DIRECTORY:
            self._open[descriptor] = name
            return
        self._open[descriptor] = self.file(name)
        if flags & os.O_TRUNC:
            self.ops.append(("truncate", self._open[descriptor], 0))

    def written(self, descriptor: int, octets: bytes, offset: int) -> None:
        """Octets went into an open file."""
        if isinstance(file := self._open.get(descriptor), int):
            self.ops.append(("write", file, offset, octets))

    def synced(self, descriptor: int) -> None:
        """A file or directory was synced."""
        what = self._open.get(descriptor)
        if what is not None:
            self.ops.append(("sync", what) if isinstance(what, int) else ("syncdir", what))

    def renamed(self, source: object, target: object) -> None:
        """A file got another name."""
        was, becomes = self.name(source), self.name(target)
        if was is not None and becomes is not None:
            file = self._names.pop(was)
            self._names[becomes] = file
            self.ops.append(("rename", was, becomes, file))

    def removed(self, path: object) -> None:
        """A name was taken away."""
        name = self.name(path)
        if name is not None:
            self._names.pop(name, None)
            self.ops.append(("unlink", name))

    def made(self, path: object) -> None:
        """A directory was made."""
        name = self.name(path)
        if name is not None:
            self.ops.append(("link", name, 0))


class _File:
    """A file opened by ``open(descriptor, "wb")``, whose writes are noted."""

    def __init__(self, inner: Any, trace: Trace, descriptor: int) -> None:
        self._inner, self._trace, self._descriptor, self._at = inner, trace, descriptor, 0

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *exception: object) -> None:
        self._inner.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def write(self, octets: bytes) -> int:
        """Write, and note it; nothing reaches a file before it is flushed, and that only makes a cut kinder."""
        self._trace.written(self._descriptor, bytes(octets), self._at)
        self._at += len(octets)
        return int(self._inner.write(octets))


@contextmanager
def recording(trace: Trace) -> Iterator[None]:
    """Note what this process does to the files below the trace's root by Python's own calls, until the block ends."""
    true = {name: getattr(os, name) for name in ("open", "replace", "fsync", "fdatasync", "pwrite", "unlink", "mkdir")}
    true_rmdir, true_open = os.rmdir, builtins.open

    def _open(path: Any, flags: int, *more: Any, **named: Any) -> int:
        descriptor: int = true["open"](path, flags, *more, **named)
        trace.opened(path, flags, descriptor)
        return descriptor

    def _then(call: Any, note: Any) -> Any:
        def both(*given: Any, **named: Any) -> Any:
            result = call(*given, **named)
            note(*given)
            return result

        return both

    def _file(what: Any, *more: Any, **named: Any) -> Any:
        inner = true_open(what, *more, **named)
        return _File(inner, trace, what) if isinstance(what, int) and "w" in str(more[:1]) else inner

    patches = {
        "open": _open,
        "replace": _then(true["replace"], trace.renamed),
        "fsync": _then(true["fsync"], trace.synced),
        "fdatasync": _then(true["fdatasync"], trace.synced),
        "pwrite": _then(true["pwrite"], lambda fd, octets, at: trace.written(fd, bytes(octets), at)),
        "unlink": _then(true["unlink"], lambda path, **_: trace.removed(path)),
        "rmdir": _then(true_rmdir, lambda path, **_: trace.removed(path)),
        "mkdir": _then(true["mkdir"], lambda path, *_, **__: trace.made(path)),
    }
    with mock.patch.multiple(os, **patches), mock.patch.object(builtins, "open", _file):
        yield


@dataclass
class Image:
    """What a cut left: files by name, directories, and how much had been acknowledged."""

    files: dict[str, bytes]
    folders: set[str]
    acknowledged: dict[str, list[Any]]

    def write(self, directory: Path) -> None:
        """Make it a directory."""
        directory.mkdir()
        for folder in sorted(self.folders):
            (directory / folder).mkdir(mode=0o700, exist_ok=True)
        for name, octets in self.files.items():
            (directory / name).write_bytes(octets)
            (directory / name).chmod(0o600)


class Disk:
    """What is on the disk after so many operations, and what was done and is not synced; it only goes forward."""

    def __init__(self, trace: Trace) -> None:
        """Begin before the first operation."""
        self._trace, self._done = trace, 0
        self._contents = {number: bytearray(octets) for number, octets in enumerate(trace.base.values(), start=1)}
        self._names: _Names = {name: number for number, name in enumerate(trace.base, start=1)}
        self._names |= dict.fromkeys(trace.folders, 0)
        self._data: dict[int, list[Op]] = {}
        self._links: list[Op] = []
        self._acknowledged: dict[str, list[Any]] = {}

    def advance(self, after: int) -> None:
        """Go on until so many operations were done."""
        assert after >= self._done
        for op in self._trace.ops[self._done : after]:
            kind = op[0]
            if kind == "ack":
                self._acknowledged.setdefault(op[1], []).append(op[2])
            elif kind in ("write", "truncate"):
                self._data.setdefault(op[1], []).append(op)
            elif kind == "sync":
                for each in self._data.pop(op[1], []):
                    _apply(self._contents, each)
                if len(op) > 2:  # SQLite syncs the directory when it syncs a journal for the first time
                    self._settle(lambda each, file=op[1]: each[-1] == file)
            elif kind == "syncdir":
                self._settle(lambda each, folder=op[1]: folder in _parents(each))
            else:
                self._links.append(op)
        self._done = after

    def cut(self, mode: Mode, chance: random.Random) -> Image:
        """Cut the power now; what is not synced is dropped, kept, or torn."""
        contents, names = dict(self._contents), dict(self._names)
        for file in self._data:
            contents[file] = bytearray(contents.get(file, b""))
        for op in self._links:
            if mode == "keep" or (mode == "torn" and chance.random() < 0.5):
                _name(names, op)
        for op in (each for pending in self._data.values() for each in pending):
            if mode == "keep":
                _apply(contents, op)
            elif mode == "torn":
                _tear(contents, op, chance)
        return _image(contents, names, {what: list(values) for what, values in self._acknowledged.items()})

    def _settle(self, which: Any) -> None:
        left = []
        for op in self._links:
            if which(op):
                _name(self._names, op)
            else:
                left.append(op)
        self._links = left


def _image(contents: dict[int, bytearray], names: _Names, acknowledged: dict[str, list[Any]]) -> Image:
    folders = {name for name, file in names.items() if file == 0}
    folders = {each for each in folders if all(str(up) in folders for up in Path(each).parents if str(up) != ".")}
    files = {
        name: bytes(contents.get(file, b""))
        for name, file in names.items()
        if file and (str(Path(name).parent) in folders or "/" not in name)
    }
    return Image(files, folders, acknowledged)


def _parents(op: Op) -> set[str]:
    given = op[1:3] if op[0] == "rename" else op[1:2]
    return {os.path.dirname(each) for each in given}


def _name(names: _Names, op: Op) -> None:
    if op[0] == "link":
        names[op[1]] = op[2]
    elif op[0] == "unlink":
        names.pop(op[1], None)
    else:
        names.pop(op[1], None)
        names[op[2]] = op[3]


def _apply(contents: dict[int, bytearray], op: Op) -> None:
    octets = contents.setdefault(op[1], bytearray())
    if op[0] == "truncate":
        del octets[op[2] :]
        octets.extend(bytes(max(0, op[2] - len(octets))))
        return
    _, _, at, new = op
    octets.extend(bytes(max(0, at + len(new) - len(octets))))
    octets[at : at + len(new)] = new


def _tear(contents: dict[int, bytearray], op: Op, chance: random.Random) -> None:
    if op[0] == "truncate":
        if chance.random() < 0.5:
            _apply(contents, op)
        return
    _, file, at, octets = op
    position = at
    while position < at + len(octets):
        end = min((position // SECTOR + 1) * SECTOR, at + len(octets))
        if chance.random() < 0.5:
            _apply(contents, ("write", file, position, octets[position - at : end - at]))
        position = end
