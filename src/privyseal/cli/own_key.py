"""An Ed25519 private key that a person keeps in a file, and signs agreements with."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from privyseal.cli.output import shown_path
from privyseal.errors import BadInput, Misused
from privyseal.terms.requests import Approval, approved_octets

LARGEST = 64 * 1024
"""Octets of a file that this reads; a key has about a hundred."""


def agreement(path: Path, name: str, digest: bytes) -> Approval:
    """Agree to a digest with the key in a file; Misused or BadInput where it cannot be used."""
    private = read(path)
    return Approval(
        approver=name,
        public_key=private.public_key().public_bytes_raw(),
        request_digest=digest,
        signature=private.sign(approved_octets(digest)),
    )


def read(path: Path) -> Ed25519PrivateKey:
    """Read a key, PEM without a passphrase; Misused where others can read it, BadInput where it is none.

    What is looked at and what is read is one opened file, so that nobody swaps it in between.
    """
    with path.open("rb") as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            raise Misused(f"Others than its owner can read {shown_path(path)}.", hint=f"chmod 600 {shown_path(path)}")
        octets = _within_limit(file, path)
    try:
        key = load_pem_private_key(octets, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BadInput(f"{shown_path(path)} is no private key in PEM without a passphrase.") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise BadInput(f"{shown_path(path)} is no Ed25519 key.", hint="openssl genpkey -algorithm ed25519")
    return key


def octets_of(path: Path) -> bytes:
    """Read a small file; BadInput where it is a large one."""
    with path.open("rb") as file:
        return _within_limit(file, path)


def _within_limit(file: BinaryIO, path: Path) -> bytes:
    octets = file.read(LARGEST + 1)
    if len(octets) > LARGEST:
        raise BadInput(f"{shown_path(path)} is larger than {LARGEST} octets.")
    return octets
