"""Passwords: what one must be, how it is kept, and how long to wait after wrong ones.

Argon2id (RFC 9106 section 4, the second recommended parameters) in its PHC string, so that parameters can grow. Length
is the one rule for the choice (NIST SP 800-63B 3.1.1.2): no rules of composition, and every character counts.

Nobody is locked out: whoever could lock an account by guessing could keep its owner away. After a few wrong passwords
each further one has to wait longer, up to a bound, and a passkey opens meanwhile.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import timedelta

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from privyseal.errors import BadInput

SHORTEST = 12
"""Characters; NIST SP 800-63B 3.1.1.2 asks for 15 where a password is alone and 8 beside a second factor."""
LONGEST = 256
"""Characters; NIST SP 800-63B asks to take at least 64."""
_ITERATIONS, _LANES, _MEMORY_KIB, _OCTETS = 3, 4, 64 * 1024, 32

FREE_TRIES = 3
"""Wrong ones before the first wait: people mistype."""
LONGEST_WAIT = timedelta(minutes=5)
"""So 288 guesses a day at most, and the owner waits no longer either."""


def require_fit(password: str) -> None:
    """Raise BadInput where a password is too short or too long, or one character over and over."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise BadInput(f"The password has {len(password)} characters; {SHORTEST} to {LONGEST} were expected.")
    if len(set(password)) < 4:
        raise BadInput("The password repeats a few characters.", hint="several words make a good one")


def digest(password: str, draw: Callable[[int], bytes]) -> str:
    """Return what is kept of a password: an Argon2id PHC string with a salt of its own."""
    return _argon2(draw(16)).derive_phc_encoded(password.encode("utf-8"))


def matches(password: str, kept: str | None) -> bool:
    """Tell whether this is the password; where none is kept it takes as long, and says no."""
    try:
        Argon2id.verify_phc_encoded(password.encode("utf-8", "replace"), kept or _nobodys())
    except InvalidKey:
        return False
    return kept is not None


def wait_after(failures: int) -> timedelta:
    """Return how long the next try has to wait after so many wrong ones in a row."""
    if failures < FREE_TRIES:
        return timedelta()
    return min(timedelta(seconds=2 ** min(failures - FREE_TRIES, 20)), LONGEST_WAIT)


def _argon2(salt: bytes) -> Argon2id:
    return Argon2id(salt=salt, length=_OCTETS, iterations=_ITERATIONS, lanes=_LANES, memory_cost=_MEMORY_KIB)


@functools.cache
def _nobodys() -> str:
    return _argon2(bytes(16)).derive_phc_encoded(b"nobody's")
