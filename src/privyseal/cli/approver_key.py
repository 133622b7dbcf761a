"""The Ed25519 key with which a person agrees: read from a file of its own, which nobody else can read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from privyseal.cli.output import shown_path
from privyseal.errors import BadInput, Misused

LARGEST = 4096
"""Octets of a key file; an Ed25519 key in PEM has about 120."""


def read_identity(path: Path) -> Ed25519PrivateKey:
    """Read a private key, PEM without a passphrase; Misused where others can read it, BadInput where it is none.

    What is looked at and what is read is one opened file, so that nobody swaps it in between.
    """
    with path.open("rb") as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            raise Misused(f"Others than its owner can read {shown_path(path)}.", hint=f"chmod 600 {shown_path(path)}")
        octets = file.read(LARGEST + 1)
    if len(octets) > LARGEST:
        raise BadInput(f"{shown_path(path)} is larger than {LARGEST} octets, and so no Ed25519 key.")
    try:
        key = load_pem_private_key(octets, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BadInput(f"{shown_path(path)} is no private key in PEM without a passphrase.") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise BadInput(f"{shown_path(path)} is no Ed25519 key.", hint="openssl genpkey -algorithm ed25519")
    return key
