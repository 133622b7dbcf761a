"""The log's own Ed25519 key: a PEM file (PKCS#8) in the logger's directory, which nobody but its owner may read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from privyseal.errors import Misused
from privyseal.strongroom.durable import write_whole
from privyseal.tlog.note import KeyType, Verifier, parse_vkey

MAX_KEY_OCTETS = 4096
"""Octets of the file with the log's key; an encoded Ed25519 key has about 100."""


def create(path: Path, origin: str) -> str:
    """Draw a key, write it down durably and return its C2SP verifier key; BadInput if ``origin`` cannot name a log."""
    private = Ed25519PrivateKey.generate()
    vkey = verifier(origin, private).vkey
    parse_vkey(vkey)
    write_whole(path, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return vkey


def create_witness(path: Path, name: str) -> str:
    """Draw a witness's key, as :func:`create`; its verifier key is of type 0x04 (cosignature/v1)."""
    create(path, name)
    return witness_verifier(name, read(path)).vkey


def witness_verifier(name: str, private: Ed25519PrivateKey) -> Verifier:
    """Return the public half of a witness's key under its name."""
    return Verifier(name, KeyType.COSIGNATURE_V1, private.public_key().public_bytes_raw())


def read(path: Path) -> Ed25519PrivateKey:
    """Read the key; Misused if it is not one, or others than its owner can read it."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), "rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise Misused(f"Others than its owner can read {path}, a private key.", hint=f"chmod 600 {path}")
            private = load_pem_private_key(file.read(MAX_KEY_OCTETS), None)
    except OSError as error:
        raise Misused(f"The key {path} cannot be read: {error.strerror}.") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Misused(f"{path} is not an Ed25519 key in PEM.") from None
    if not isinstance(private, Ed25519PrivateKey):
        raise Misused(f"{path} is not an Ed25519 key in PEM.")
    return private


def verifier(origin: str, private: Ed25519PrivateKey) -> Verifier:
    """Return the public half under the log's name."""
    return Verifier(origin, KeyType.ED25519, private.public_key().public_bytes_raw())
