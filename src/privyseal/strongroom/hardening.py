"""What a guarded process takes from itself before it opens a key: its core dumps, its debugger, new privileges."""

from __future__ import annotations

import ctypes
import resource

from privyseal.errors import Misused

_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38  # linux/prctl.h


def harden() -> None:
    """Forbid core dumps, tracing by others of the same user, and new privileges; Misused where the kernel will not.

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
