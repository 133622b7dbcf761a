"""What a guarded process takes from itself before it opens a key: core dumps, debuggers, new privileges, swap."""

from __future__ import annotations

import ctypes
import resource

from privyseal.errors import Misused

_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38  # linux/prctl.h
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4  # sys/mman.h
LEAST_LOCKABLE = 1 << 30
"""Octets that a user must be allowed to lock before we try; a guarded process maps some 500 MiB with its threads'
stacks, though it uses a tenth, and under a lower limit it would be refused memory later, in the middle of a signature.
An ordinary user has 8 MiB."""


def harden() -> bool:
    """Forbid core dumps, tracing by others of the same user, and new privileges; Misused where the kernel will not.

    Tells whether all memory, now and later, is locked, so that no key is ever swapped out to a disk.

    A crash dump that carried a signing key off the guarded network is how Storm-0558 began (Microsoft,
    September 2023). ``PR_SET_DUMPABLE`` also gives ``/proc/self`` to root, so that another process of this user
    cannot read the memory.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in ((_PR_SET_DUMPABLE, 0), (_PR_SET_NO_NEW_PRIVS, 1)):
        if libc.prctl(option, value, 0, 0, 0) != 0:
            raise Misused(
                f"The kernel refused prctl({option}), without which a process that holds keys does not start."
            )
    return lock_memory()


def lock_memory() -> bool:
    """Lock pages as they come into use; False where the user may not (``RLIMIT_MEMLOCK``, unless CAP_IPC_LOCK).

    A child that was forked has the rest of :func:`harden` from its parent, but not this (mlockall(2)).
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (hard, hard))
    enough = hard == resource.RLIM_INFINITY or hard >= LEAST_LOCKABLE
    if not enough and not _may_lock_without_limit():
        return False
    return bool(ctypes.CDLL(None).mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) == 0)


def _may_lock_without_limit() -> bool:
    """Tell whether this process has CAP_IPC_LOCK (linux/capability.h), which no limit binds."""
    try:
        with open("/proc/self/status", "rb") as status:
            effective = next((line.split()[1] for line in status if line.startswith(b"CapEff:")), b"0")
    except OSError:
        return False
    return bool(int(effective, 16) >> 14 & 1)
