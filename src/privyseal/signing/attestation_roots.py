"""Roots that the operator trusts for attestations of keys, beside those of makers that are shipped.

Each is trusted for one format and for nothing else, as shipped ones are: the CA of a TPM's maker says nothing of a
YubiKey. What rests on one of them is said to: whoever reads a verdict learns that the root is the operator's word.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct

from privyseal.errors import Misused, PrivySealError
from privyseal.pki.attestation import devices, pieces

FormatName = Literal["yubikey-piv", "yubihsm2", "luna-pkc", "tpm2", "marvell", "pkix-evidence"]
"""The formats whose roots are certificates: all but nShield's, for all of whose modules one bare key vouches."""
MOST_ROOTS = 1000
"""Of all formats together; Microsoft's list of TPM makers' CAs (TrustedTpm.cab) has some 500."""
SUFFIXES = (".pem", ".crt", ".cer", ".der")
"""Files of a folder that are read; others are passed over."""


class AddedRoot(Struct, frozen=True):
    """One root of the operator's."""

    format: str
    file: str
    """Its path, as people find it."""
    der: bytes
    """The certificate."""

    @property
    def name(self) -> str:
        """Return the last commonName of its subject, or the beginning of its SHA-256."""
        return devices.read(self.der).name

    @property
    def sha256(self) -> str:
        """Return SHA-256 of the certificate, 64 lower-case hex digits."""
        return hashlib.sha256(self.der).hexdigest()


class AttestationSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[attestation]``: which roots attestations of keys may end in, beside those of makers that are shipped."""

    roots: dict[FormatName, tuple[str, ...]] = {}
    """By the name of a format: files of certificates, PEM or DER, and folders of such; paths start at this file."""

    def read(self, directory: Path) -> tuple[AddedRoot, ...]:
        """Return every root, in the order of files and each once a format; Misused for what is no such file."""
        found: dict[tuple[str, bytes], AddedRoot] = {}
        for name, paths in self.roots.items():
            for path in paths:
                for file in _files(directory / path):
                    for der in _certificates(file):
                        found.setdefault((name, der), AddedRoot(name, str(file), der))
        if len(found) > MOST_ROOTS:
            raise Misused(f"[attestation.roots] names {len(found)} roots; at most {MOST_ROOTS} are read.")
        return tuple(found.values())


def by_format(roots: Sequence[AddedRoot]) -> Mapping[str, tuple[bytes, ...]]:
    """Return the certificates, DER, by the name of the format for which each is trusted."""
    names = dict.fromkeys(each.format for each in roots)
    return {name: tuple(each.der for each in roots if each.format == name) for name in names}


def _files(path: Path) -> Iterator[Path]:
    """Return the file, or those of a folder by their names; Misused where a folder has none."""
    if not path.is_dir():
        yield path
        return
    try:
        inside = sorted(each for each in path.iterdir() if each.suffix.lower() in SUFFIXES)
    except OSError as error:
        raise Misused(f"The folder of attestation roots {path} cannot be read: {error.strerror}.") from error
    if not inside:
        raise Misused(
            f"The folder of attestation roots {path} has no certificate.", hint=f"expected files {', '.join(SUFFIXES)}"
        )
    yield from inside


def _certificates(file: Path) -> tuple[bytes, ...]:
    """Return the certificates of a file, which must hold nothing else."""
    try:
        with file.open("rb") as opened:
            cut = pieces.unpack((opened.read(pieces.MOST_OCTETS + 1),))
        for each in cut.certificates:
            devices.load(devices.read(each).spki)
    except OSError as error:
        raise Misused(f"The file of attestation roots {file} cannot be read: {error.strerror}.") from error
    except PrivySealError as error:
        raise Misused(f"The file of attestation roots {file} cannot be used: {error.detail}") from error
    if not cut.certificates or cut.requests or cut.others:
        raise Misused(f"The file of attestation roots {file} must hold certificates, and nothing else.")
    return cut.certificates
