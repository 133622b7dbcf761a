"""What an attestation format has to offer, and what an attestation proves.

Formats are stateless: they are given octets, the maker's pinned roots and a moment, and they verify or refuse. They do
not open files, ask no network and read no clock. One format is one file; ``catalogue.py`` lists them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Protocol

from msgspec import Struct

Whose = Literal["", "maker", "operator", "caller"]
"""Who says that a root is its maker's: this program, in which it is shipped; the operator, in the configuration; or
whoever asks, this once. Empty where nobody has said yet."""


class Attested(Struct, frozen=True, kw_only=True):
    """What a verified attestation proves of one Public Key: only a format that has verified it makes one."""

    format: str
    """The name of the format."""
    maker: str
    """Who made the module, as its pinned root stands for: ``Yubico``, ``Thales``."""
    model: str
    """As far as the attestation says; empty where it does not."""
    firmware: str
    """Version in dotted decimal; empty where the format does not say it."""
    serial: str
    """The module's serial number; empty where the format does not say it."""
    spki: bytes
    """The attested SubjectPublicKeyInfo, DER."""
    generated_inside: bool | None
    """Whether the module generated the key; None where the format does not say it."""
    never_extractable: bool | None
    """Whether the key cannot leave the module, not even wrapped, and never could; None where it does not say it."""
    claims: dict[str, str]
    """Other facts, in words: touch policy, FIPS mode, domains. Nothing is decided by them alone."""
    chain: tuple[bytes, ...]
    """The certificates from the attestation to the pinned root, DER, leaf first, the root last; none where the format
    has no certificates."""
    anchor: str
    """SHA-256 of the pinned root in which the chain ends, 64 lower-case hex digits: of its certificate, or of its
    SubjectPublicKeyInfo where it is a bare key."""
    root: Whose = ""
    """Who says that the pinned root is the maker's; formats leave it open, and whoever pinned it fills it in."""


class Format(Protocol):
    """One way in which modules attest keys."""

    name: str
    """``yubikey-piv``, ``yubihsm2``, ``luna-pkc``, ``tpm2``, ``marvell``, ``nshield`` or ``pkix-evidence``."""
    title: str
    """For people: ``YubiKey PIV``."""

    def recognises(self, files: Sequence[bytes]) -> bool:
        """Tell by content whether one of these files is an attestation of this format; never raises."""
        ...

    def read(self, files: Sequence[bytes], anchors: Sequence[bytes], at: datetime) -> Attested:
        """Verify the attestation in these files, which stand in any order, up to one of ``anchors``.

        Anchors are certificates, DER, and for nShield a bare SubjectPublicKeyInfo. Every certificate below the anchor
        must be in force at ``at``. The files may hold certificates that have nothing to do with it, and a certificate
        request; any other piece that the format does not use is refused. BadInput where they cannot be understood;
        VerificationFailed where a signature, name, date or purpose is wrong, or no path leads to an anchor.
        """
        ...
