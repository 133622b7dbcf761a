"""Seccomp: after this the kernel refuses a guarded process the system calls that it never needs.

Landlock (``confinement.py``) says which files and ports; this says which verbs. Two filters, each for ever and for
every thread: :func:`restrict` before there is any other thread, and :func:`settle` once the room is ready, for what
is needed to get ready and never again. What is refused fails with EPERM, as it would for want of a right, so that a
library that tries it falls back or raises; it does not die. Calls of another architecture kill the process, because
only code that was smuggled in makes them. Calls that are newer than this table fail with ENOSYS, as on an older kernel.

Only Linux on x86-64 and AArch64 are known here; elsewhere nothing is restricted and the unit or container must do it.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Iterable, Sequence
from errno import ENOSYS, EPERM
from typing import Literal, NamedTuple


class Needs(NamedTuple):
    """What a room needs beyond files and its own door."""

    network: bool = False
    """It calls others by TCP or by Unix sockets, so it may make sockets and connect at any time."""
    fork: bool = False
    """It starts processes, and sends them signals; it can never run another program."""
    late_code: bool = False
    """It loads libraries after it is ready, as a key store's module that comes and goes."""


NOTHING = Needs()
"""What a room needs that only answers at its own door."""


class Check(NamedTuple):
    """A condition on the low 32 bits of one argument of a call."""

    argument: int
    verb: Literal["equals", "differs", "has", "lacks"]
    value: int


class Rule(NamedTuple):
    """Refuse ``call`` with ``errno`` where every check holds; without checks, always."""

    call: str
    checks: tuple[Check, ...] = ()
    errno: int = EPERM


# Call -> its number on x86-64 and on AArch64 (asm/unistd_64.h, asm-generic/unistd.h); None: there is none.
_NEVER: dict[str, tuple[int | None, int | None]] = {
    # other programs, and other processes' memory
    "execve": (59, 221), "execveat": (322, 281), "ptrace": (101, 117), "kcmp": (312, 272),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "process_madvise": (440, 440),
    "process_mrelease": (448, 448), "pidfd_open": (434, 434), "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "tkill": (200, 130), "migrate_pages": (256, 238), "move_pages": (279, 239),
    # parts of the kernel from which most ways into it have led
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "add_key": (248, 217),
    "request_key": (249, 218), "keyctl": (250, 219), "memfd_create": (319, 279), "memfd_secret": (447, 447),
    "modify_ldt": (154, None), "personality": (135, 92), "uselib": (134, None), "lookup_dcookie": (212, 18),
    "nfsservctl": (180, 42), "fanotify_init": (300, 262), "syslog": (103, 116),
    # another view of the files, and names that go round a path
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "move_mount": (429, 429), "open_tree": (428, 428), "fsopen": (430, 430), "fsconfig": (431, 431),
    "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442), "setns": (308, 268),
    "unshare": (272, 97), "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265),
    # the machine
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225),
    "acct": (163, 89), "quotactl": (179, 60), "quotactl_fd": (443, 443), "iopl": (172, None),
    "ioperm": (173, None), "vhangup": (153, 58), "settimeofday": (164, 170), "clock_settime": (227, 112),
    "adjtimex": (159, 171), "clock_adjtime": (305, 266), "sethostname": (170, 161), "setdomainname": (171, 162),
}  # fmt: skip
_SOMETIMES: dict[str, tuple[int | None, int | None]] = {
    "fork": (57, None), "vfork": (58, None), "clone": (56, 220), "clone3": (435, 435), "kill": (62, 129),
    "tgkill": (234, 131), "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200),
    "listen": (50, 201), "mmap": (9, 222), "mprotect": (10, 226), "pkey_mprotect": (329, 288), "prctl": (157, 167),
}  # fmt: skip
CALLS = _NEVER | _SOMETIMES
NEWEST = 451
"""The newest call this table was made with (cachestat, Linux 6.5); from 424 on the numbers are the same everywhere."""

_ARCHITECTURES = {"x86_64": (0, 0xC000003E, 317), "aarch64": (1, 0xC00000B7, 277)}
"""machine -> its column above, its AUDIT_ARCH (linux/audit.h), and the number of seccomp(2) itself."""

_AF_UNIX = 1
_CLONE_THREAD = 0x00010000
_CLONE_NAMESPACES = 0x7E020000  # linux/sched.h: CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID, NET
_WRITE, _EXEC, _ANONYMOUS = 2, 4, 0x20  # sys/mman.h, the same on both architectures
_PR_SET_DUMPABLE = 4

_LOAD, _JUMP_EQUAL, _JUMP_GREATER, _JUMP_SET, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06  # linux/bpf_common.h
_ALLOW, _ERRNO, _KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000  # linux/seccomp.h
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_SET_MODE_FILTER, _FLAG_TSYNC = 1, 1
_INSTRUCTION = struct.Struct("=HBBI")


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def restrict(needs: Needs = NOTHING) -> bool:
    """Refuse this process, and all that it starts, what it never needs; False where the kernel cannot.

    Call it before any other thread starts; ``no_new_privs`` must be set already (``hardening.py``).
    """
    return install(always(needs, os.getpid()))


def settle(needs: Needs = NOTHING) -> bool:
    """Refuse, now that the room is ready, what only getting ready needed; False where the kernel cannot.

    Covers every thread that runs already. Without ``network``: new sockets of any kind. Without ``late_code``: code
    from files; what a thread needs to end (libgcc, by ``pthread_exit``) is loaded before.
    """
    if not needs.late_code:
        try:
            ctypes.CDLL("libgcc_s.so.1")
        except OSError:
            return install(afterwards(needs._replace(late_code=True)))  # a C library that does without
    return install(afterwards(needs))


def always(needs: Needs, own: int) -> tuple[Rule, ...]:
    """Return the rules from the start on, for the process whose id is ``own``."""
    rules = [Rule(call) for call in _NEVER]
    # The kernel cannot look into clone3's structure; told that there is none, glibc uses clone (as since Linux 5.3).
    rules += [Rule("clone3", errno=ENOSYS), Rule("clone", (Check(0, "has", _CLONE_NAMESPACES),))]
    rules += [Rule("prctl", (Check(0, "equals", _PR_SET_DUMPABLE),))]
    if not needs.fork:
        rules += [Rule("fork"), Rule("vfork"), Rule("clone", (Check(0, "lacks", _CLONE_THREAD),))]
        rules += [Rule(call, (Check(0, "differs", own),)) for call in ("kill", "tgkill")]
    if not needs.network:
        rules += [Rule(call, (Check(0, "differs", _AF_UNIX),)) for call in ("socket", "socketpair")]
    rules += [Rule("mmap", (Check(2, "has", _EXEC), Check(2, "has", _WRITE)))]
    rules += [Rule("mmap", (Check(2, "has", _EXEC), Check(3, "has", _ANONYMOUS)))]
    rules += [Rule(call, (Check(2, "has", _EXEC),)) for call in ("mprotect", "pkey_mprotect")]
    return tuple(rules)


def afterwards(needs: Needs) -> tuple[Rule, ...]:
    """Return the rules that are added once the room is ready."""
    sockets = () if needs.network else tuple(Rule(call) for call in ("socket", "connect", "bind", "listen"))
    code = () if needs.late_code else (Rule("mmap", (Check(2, "has", _EXEC),)),)
    return sockets + code


def install(rules: Iterable[Rule]) -> bool:
    """Have the kernel apply the rules to every thread of this process; False where it, or we, cannot."""
    known = _ARCHITECTURES.get(platform.machine())
    if known is None or struct.calcsize("P") != 8:
        return False
    code = program(tuple(rules), platform.machine())
    libc = ctypes.CDLL(None, use_errno=True)
    filters = _Program(len(code) // _INSTRUCTION.size, code)
    return bool(libc.syscall(known[2], _SET_MODE_FILTER, _FLAG_TSYNC, ctypes.byref(filters)) == 0)


def program(rules: Sequence[Rule], machine: str) -> bytes:
    """Return the rules as classic BPF for one machine (linux/filter.h: code, two jumps, a constant; in host order)."""
    column, architecture, _ = _ARCHITECTURES[machine]
    code = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER),
        (_JUMP_GREATER, 0, 1, NEWEST),  # so is every number of the x32 ABI, by its bit 30
        (_RETURN, 0, 0, _ERRNO | ENOSYS),
    ]
    for rule in rules:
        number = CALLS[rule.call][column]
        if number is None:
            continue
        body = [step for check in rule.checks for step in _steps(check)]
        body.append((_RETURN, 0, 0, _ERRNO | rule.errno))
        body = [_land(step, len(body) - at) for at, step in enumerate(body)]
        if rule.checks:
            body.append((_LOAD, 0, 0, _NUMBER))  # the checks have put an argument in its place
        code += [(_JUMP_EQUAL, 0, len(body), number), *body]
    code.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(_INSTRUCTION.pack(*step) for step in code)


_MISS = 255
"""Stands for the jump to the end of a rule until its length is known; no rule has so many steps."""


def _steps(check: Check) -> list[tuple[int, int, int, int]]:
    jump = _JUMP_SET if check.verb in ("has", "lacks") else _JUMP_EQUAL
    onward = (0, _MISS) if check.verb in ("has", "equals") else (_MISS, 0)
    return [(_LOAD, 0, 0, _ARGUMENTS + 8 * check.argument), (jump, *onward, check.value)]  # the low half comes first


def _land(step: tuple[int, int, int, int], left: int) -> tuple[int, int, int, int]:
    """Replace the unknown jump of a step by one to the end of its rule, which has ``left`` steps from this one on."""
    code, true, false, value = step
    return code, left - 1 if true == _MISS else true, left - 1 if false == _MISS else false, value
