"""Python runs this at the start of every process whose PYTHONPATH names this folder: it lays the crash points.

It also has ``serve`` start a room again at once, where it else lets half a second pass for one that cannot start: a
campaign of hundreds of deaths is the harder for it, and shorter.

A page of memory, shared with the campaign through a file that is mapped before any confinement, says which point is
armed. So one service serves for many kills, and no process needs to be told anew. Processes that are neither
``privyseal serve`` nor a guarded process are left alone.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import importlib.util
import mmap
import os
import signal
import struct
import sys
import threading
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from crash_points import LABELS, POINTS, Point

PAGE = "SEAL_CRASH_PAGE"
"""The variable that names the page's file."""
SIZE = 16384
RESTARTS = "privyseal.cli.processes"
"""The module that looks for dead rooms and starts them again."""
_RESTART_PAUSE = 0.05  # seconds
_COUNTERS = 1024  # an octet offset; a counter of eight octets for each point
_ORDER = struct.Struct("<IIII")  # armed, point, calls still to let pass, pid of who died of it

_label = threading.local()
_guard = threading.Lock()


def _role() -> str | None:
    words = sys.orig_argv
    if "privyseal.strongroom.run" in words:
        return words[words.index("privyseal.strongroom.run") + 1]
    return "serve" if "serve" in words and any(word.endswith("/privyseal") for word in words) else None


def _path(args: Sequence[Any]) -> str:
    return next((str(each) for each in reversed(args) if isinstance(each, str | os.PathLike)), "")


def _entries_of(args: Sequence[Any]) -> str:
    return type(args[1][0]).__name__ if len(args) > 1 and args[1] else ""


CONDITIONS: dict[str, Callable[[Sequence[Any]], bool]] = {
    "": lambda args: True,
    "intents": lambda args: _entries_of(args).startswith("Intent"),
    "completions": lambda args: _entries_of(args).startswith("Completion"),
    "bundle": lambda args: "tile/entries/" in _path(args),
    "tile": lambda args: "tile/" in _path(args) and "tile/entries/" not in _path(args),
    "checkpoint": lambda args: _path(args).endswith("checkpoint"),
    "signed batch": lambda args: type(args[1]).__name__ == "SignBatch",
}


def _fits(point: Point, args: Sequence[Any]) -> bool:
    if point.only.startswith("label "):
        return bool(getattr(_label, "last", "") == point.only.removeprefix("label "))
    return CONDITIONS[point.only](args)


def _pass(page: mmap.mmap, index: int) -> None:
    """Count that a point was reached, and die there if it is the one that is armed and its turn has come."""
    with _guard:
        at = _COUNTERS + 8 * index
        page[at : at + 8] = struct.pack("<Q", struct.unpack("<Q", page[at : at + 8])[0] + 1)
        armed, point, left, _ = _ORDER.unpack(page[: _ORDER.size])
        if not armed or point != index:
            return
        if left > 1:
            page[: _ORDER.size] = _ORDER.pack(armed, point, left - 1, 0)
            return
        page[: _ORDER.size] = _ORDER.pack(0, point, 0, os.getpid())
        os.kill(os.getpid(), signal.SIGKILL)
        os._exit(137)  # where a filter of system calls forbids the other


def _wrapped(function: Callable[..., Any], points: Sequence[tuple[int, Point]], page: mmap.mmap) -> Callable[..., Any]:
    before = [each for each in points if each[1].phase == "before"]
    after = [each for each in points if each[1].phase == "after"]

    ends_label = any(point.only.startswith("label ") for _, point in points)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        reached = [index for index, point in before if _fits(point, args)]
        left = [index for index, point in after if _fits(point, args)]
        for index in reached:
            _pass(page, index)
        result = function(*args, **kwargs)
        if ends_label:
            _label.last = ""
        for index in left:
            _pass(page, index)
        return result

    return call


def _labelled(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        _label.last = name
        return function(*args, **kwargs)

    return call


def _patch(module: ModuleType, wanted: dict[str, list[tuple[int, Point]]], page: mmap.mmap) -> None:
    if module.__name__ == LABELS:
        for only in {point.only for point in POINTS if point.only.startswith("label ")}:
            name = only.removeprefix("label ")
            setattr(module, name, _labelled(name, getattr(module, name)))
    if module.__name__ == RESTARTS:
        module.RESTART_PAUSE = _RESTART_PAUSE  # type: ignore[attr-defined]
    for target, points in wanted.items():
        where, _, attribute = target.partition(":")
        if where == module.__name__:
            *owners, last = attribute.split(".")
            owner: Any = module
            for each in owners:
                owner = getattr(owner, each)
            setattr(owner, last, _wrapped(getattr(owner, last), points, page))


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules of the table as ever, and patches each when it has been carried out."""

    def __init__(self, wanted: dict[str, list[tuple[int, Point]]], page: mmap.mmap) -> None:
        self._wanted = wanted
        self._page = page
        self._modules = {target.partition(":")[0] for target in wanted} | {LABELS, RESTARTS}

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        if name not in self._modules:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            carry_out = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                carry_out(module)
                _patch(module, self._wanted, self._page)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _lay() -> None:
    role, place = _role(), os.environ.get(PAGE)
    if role is None or place is None:
        return
    with open(place, "r+b") as file:
        page = mmap.mmap(file.fileno(), SIZE)
    wanted: dict[str, list[tuple[int, Point]]] = {}
    for index, point in enumerate(POINTS):
        if point.role == role:
            wanted.setdefault(point.target, []).append((index, point))
    sys.meta_path.insert(0, _Finder(wanted, page))
    _patch(os, wanted, page)


_lay()
