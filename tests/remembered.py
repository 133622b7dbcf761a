"""What takes long and gives the same for the same, done once in a process of tests.

A world opens two key stores each time it starts: Argon2id stretches each passphrase over 64 MiB, and OpenSSL tests the
timestamp key's primes when it reads it. Thousands of worlds are copies of one founded service, so they stretch the same
passphrase with the same salt and read the same key; four fifths of their time went there. Both are pure functions: what
is remembered is what they would have answered. A password draws a new salt each time, so it is stretched less; that the
product stretches as it says, a process of its own is asked (``access/test_credentials.py``). Real processes, which share
no memory with the tests, are left alone.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from cryptography.hazmat.primitives import serialization

from privyseal.access import passwords
from privyseal.keystore.sealing import MasterKey

MOST = 1024


@contextmanager
def remembered() -> Iterator[None]:
    """Stretch each passphrase and read each Private Key once, and stretch passwords little, until the block ends."""
    stretch = functools.lru_cache(MOST)(MasterKey.from_passphrase)
    read = functools.lru_cache(MOST)(serialization.load_der_private_key)
    with (
        mock.patch.object(MasterKey, "from_passphrase", stretch),
        mock.patch.object(serialization, "load_der_private_key", read),
        mock.patch.multiple(passwords, _ITERATIONS=1, _MEMORY_KIB=64),
    ):
        yield
