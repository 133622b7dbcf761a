"""The configuration of each guarded process: one TOML file, which nobody but its owner may read.

A path in it is relative to the directory of the file. An unknown name is an error.
"""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from privyseal.errors import BadInput, Misused
from privyseal.keystore.pkcs11 import Pkcs11Section
from privyseal.keystore.softfile import SoftFileSection
from privyseal.pki.certificates import pem_certificates
from privyseal.terms.certificates import Standing

MAX_SETTINGS_OCTETS = 1 << 20
MAX_TOKENS = 64
"""Tokens of one signer; SoftHSM and network modules show a few dozen slots at most."""
_S = TypeVar("_S")


class Operator(Struct, frozen=True, forbid_unknown_fields=True):
    """One who may agree to administrative acts: a name, and an Ed25519 public key of 32 octets, base64."""

    name: str
    public_key: bytes


class Anchor(Struct, frozen=True, forbid_unknown_fields=True):
    """A trust anchor that the operator pins as private or rehearsal; whatever chains to no anchor counts as public."""

    standing: Standing
    pem: str

    def der(self) -> bytes:
        """Return the certificate, DER; Misused if there is not exactly one."""
        try:
            (certificate,) = pem_certificates(self.pem.encode("ascii", "replace"))
        except (BadInput, ValueError):
            raise Misused("An anchor's pem is not one certificate in PEM.") from None
        return certificate


class SignerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``signer.toml``."""

    log: str
    """The C2SP verifier key of the log whose intents this signer believes."""
    softfile: SoftFileSection | None = None
    """Keys in files. A signer has these, or tokens, or both; new keys are born in a token if there is one."""
    pkcs11: tuple[Pkcs11Section, ...] = ()
    """Tokens, each with a worker of its own."""
    journal: str = "journal.sqlite3"
    rehearsal: bool = False
    """A rehearsal signer may ask for no operator, and every key born in it is for rehearsal."""
    operators: tuple[Operator, ...] = ()
    operator_quorum: int
    anchors: tuple[Anchor, ...] = ()
    admitted: tuple[int, ...] = ()
    """uids besides the process's own whose questions are answered."""

    def __post_init__(self) -> None:
        """Refuse a quorum that nobody could meet, and none at all outside a rehearsal."""
        if self.softfile is None and not self.pkcs11:
            raise ValueError("neither softfile nor pkcs11 says where keys are kept")
        if len(self.pkcs11) > MAX_TOKENS:
            raise ValueError(f"{len(self.pkcs11)} tokens are named; at most {MAX_TOKENS} are served")
        if not 0 <= self.operator_quorum <= len(self.operators):
            raise ValueError(f"operator_quorum is {self.operator_quorum} and {len(self.operators)} operators are named")
        if self.operator_quorum == 0 and not self.rehearsal:
            raise ValueError("operator_quorum is 0, which only a rehearsal signer may have")
        if any(len(operator.public_key) != 32 for operator in self.operators):
            raise ValueError("an operator's public_key is not an Ed25519 key of 32 octets")
        for distinct in ({one.name for one in self.operators}, {one.public_key for one in self.operators}):
            if len(distinct) < len(self.operators):
                raise ValueError("an operator's name or key stands there twice; one person must not count as two")


class LoggerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``logger.toml``."""

    origin: str
    """The log's name, such as ``seal.example/log1`` (C2SP tlog-checkpoint)."""
    public: str
    """The directory of tiles and checkpoint, which everybody may read."""
    mark: str
    """The file of the log's mark; on another disk than the journal, so that no restore puts back both."""
    journal: str = "journal.sqlite3"
    key: str = "log.key"
    admitted: tuple[int, ...] = ()


class StamperSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``stamper.toml``."""

    softfile: SoftFileSection
    key: str
    """URI of the timestamp key in the key store."""
    chain: str = "chain.pem"
    """Certificates, PEM, the authority's own first, without the root."""
    policy: str = "2.23.140.1.4.2"
    """OID under which tokens are given; the default is the CA/Browser Forum's for timestamping (CSBR 7.1.6.1)."""
    mark: str = "time.mark"
    admitted: tuple[int, ...] = ()


def load(path: Path, kind: type[_S]) -> _S:
    """Read settings; Misused, which names the field and no value, if they are wrong or others can read them."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC), "rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise Misused(f"Others than its owner can read {path}, which holds secrets.", hint=f"chmod 600 {path}")
            content = file.read(MAX_SETTINGS_OCTETS)
    except OSError as error:
        raise Misused(f"{path} cannot be read: {error.strerror}.") from None
    try:
        return msgspec.convert(tomllib.loads(content.decode("utf-8")), kind)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise Misused(f"{path} is not TOML.") from None  # the parser's own words quote the file
    except msgspec.ValidationError as error:
        raise Misused(f"{path}: {error}.") from None
