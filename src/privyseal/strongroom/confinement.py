"""Landlock: after this a process reads its programs and its own room, writes only its room, runs nothing and
calls nobody.

A parser's or a library's fault in a guarded process then reaches neither other people's files nor the network.
The kernel applies it to the calling thread and all that it starts, for ever, so it comes before any other
thread. Where the kernel has no Landlock (before Linux 5.13, or switched off) nothing is confined, and the unit
or container must do it.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Collection, Iterable
from pathlib import Path

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446  # system calls, the same number on every architecture
_PATH_BENEATH, _NET_PORT = 1, 2
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_DIR, _REMOVE_FILE = (1 << bit for bit in range(6))
_MAKE_DIR, _MAKE_REG, _MAKE_SOCK, _REFER, _TRUNCATE = 1 << 7, 1 << 8, 1 << 9, 1 << 13, 1 << 14
_FILE_RIGHTS_BY_ABI = ((1, (1 << 13) - 1), (2, _REFER), (3, _TRUNCATE), (5, 1 << 15))  # linux/landlock.h
_ALL_TCP, _CONNECT_TCP, _ALL_SCOPES = 0b11, 0b10, 0b11
_READ = _READ_FILE | _READ_DIR
_OWN = _READ | _WRITE_FILE | _TRUNCATE | _MAKE_REG | _MAKE_DIR | _REMOVE_FILE | _REMOVE_DIR | _REFER
_SOCKETS = _MAKE_SOCK | _REMOVE_FILE
_ONLY_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
_SYSTEM = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/etc/ld.so.cache", "/dev/urandom", "/dev/null")
_NETWORK = (
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/ssl",
    "/usr/share/ca-certificates",
)


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("tcp", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Port(ctypes.Structure):
    _fields_ = (("rights", ctypes.c_uint64), ("port", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("rights", ctypes.c_uint64), ("descriptor", ctypes.c_int32))


def version() -> int:
    """Return the version of Landlock that this kernel has; below 1 it has none."""
    return int(ctypes.CDLL(None, use_errno=True).syscall(_CREATE, None, 0, 1))


def confine(
    rooms: Iterable[Path],
    sockets: Path | None,
    ports: Collection[int] = (),
    *,
    readable: Iterable[Path] = (),
    network: bool = False,
) -> int:
    """Confine this process to its programs, to ``rooms``, and to making its socket in ``sockets``.

    It may read what is ``readable``. From Linux 6.7 on it may call nobody over TCP but on the ``ports``, or, with
    ``network``, anybody; with either it may also read how names are resolved and whom TLS trusts. Returns the version
    of Landlock in force, 0 where nothing is. ``no_new_privs`` must be set already (``hardening.py``). Directories that
    do not exist are left out.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    abi: int = libc.syscall(_CREATE, None, 0, 1)
    if abi < 1:
        return 0
    handled = 0
    for since, rights in _FILE_RIGHTS_BY_ABI:
        handled |= rights if abi >= since else 0
    wanted = _Ruleset(handled, _ALL_TCP if abi >= 4 and not network else 0, _ALL_SCOPES if abi >= 6 else 0)
    octets = 8 * (1 + (abi >= 4) + (abi >= 6))
    ruleset = libc.syscall(_CREATE, ctypes.byref(wanted), octets, 0)
    if ruleset < 0:
        return 0
    try:
        allowed = [(each, _READ) for each in {*_programs(), *readable}] + [(each, _OWN) for each in rooms]
        allowed += [] if sockets is None else [(sockets, _SOCKETS)]
        allowed += [(Path(each), _READ) for each in (_NETWORK if ports or network else ())]
        for path, rights in allowed:
            _allow(libc, ruleset, path, rights & handled)
        for port in ports if abi >= 4 and not network else ():
            libc.syscall(_ADD_RULE, ruleset, _NET_PORT, ctypes.byref(_Port(_CONNECT_TCP, port)), 0)
        return abi if libc.syscall(_RESTRICT, ruleset, 0) == 0 else 0
    finally:
        os.close(ruleset)


def _programs() -> set[Path]:
    """Return where Python, its libraries and we are; the working directory, which ``-m`` puts first, is not."""
    ours = Path(__file__).parents[2]
    here = Path.cwd()
    found = {Path(each) for each in (*_SYSTEM, *sys.path, sys.prefix, sys.base_prefix) if each}
    return {each for each in found if each != here} | {ours}


def _allow(libc: ctypes.CDLL, ruleset: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rule = _Beneath(rights if path.is_dir() else rights & _ONLY_OF_FILES, descriptor)
        libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(descriptor)
