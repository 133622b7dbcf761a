"""What takes long and gives the same for the same, done once in a process of tests.

A world opens two key stores each time it starts: Argon2id stretches each passphrase over 64 MiB, and OpenSSL tests the
timestamp key's primes when it reads it. Thousands of worlds are copies of one founded service, so they stretch the same
passphrase with the same salt and read the same key; four fifths of their time went there. Both are pure functions: what
is remembered is what they would have answered. A new store draws a new salt, so a room of its own gets a copy of one
that was made before (:func:`empty_store`). A password draws one each time and is stretched less; a process is asked
whether the product stretches as it says (``access/test_credentials.py``). Real processes, which share no memory with
the tests, are left alone.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from unittest import mock

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from privyseal.access import passwords
from privyseal.keystore.sealing import MasterKey
from privyseal.keystore.softfile import SoftFile
from privyseal.pki import rehearsal

MOST = 1024
STOCK = 2 * len(rehearsal.PARTS)
"""Keys of rehearsal CAs: those of two."""


@contextmanager
def remembered() -> Iterator[None]:
    """Stretch each passphrase and read each Private Key once, and stretch passwords little, until the block ends."""
    stretch = functools.lru_cache(MOST)(MasterKey.from_passphrase)
    read = functools.lru_cache(MOST)(serialization.load_der_private_key)
    with (
        mock.patch.object(MasterKey, "from_passphrase", stretch),
        mock.patch.object(serialization, "load_der_private_key", read),
        mock.patch.multiple(passwords, _ITERATIONS=1, _MEMORY_KIB=64),
        mock.patch.object(rehearsal, "rsa", SimpleNamespace(**vars(rsa) | {"generate_private_key": _from_stock})),
    ):
        yield


_turn = itertools.count()  # its next number is drawn under the interpreter's lock


def _from_stock(exponent: int, bits: int) -> rsa.RSAPrivateKey:
    return _stocked(next(_turn) % STOCK, exponent, bits)


@functools.cache
def _stocked(number: int, exponent: int, bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(exponent, bits)


def empty_store(directory: Path, passphrase: bytes) -> None:
    """Make an empty key store, with the salt of every other one that is made here with this passphrase."""
    directory.mkdir(mode=0o700)
    for name, octets in _empty_store(passphrase).items():
        (directory / name).write_bytes(octets)
        (directory / name).chmod(0o600)


@functools.cache
def _empty_store(passphrase: bytes) -> dict[str, bytes]:
    with TemporaryDirectory() as folder:
        SoftFile.create(Path(folder) / "keys", passphrase, lambda: datetime.now(UTC))
        return {path.name: path.read_bytes() for path in (Path(folder) / "keys").iterdir()}
