"""What is signed and what comes of it: a typed description, the octets built from it, signature and timestamp."""

from __future__ import annotations

import hashlib
from datetime import datetime
from enum import StrEnum
from typing import Literal

import msgspec

DigestAlgorithm = Literal["sha256", "sha384", "sha512"]
"""Names as in ``hashlib``; SHA-1 and MD5 are not spoken here (CSBR 7.1.3.2)."""

RECEIPT_SUFFIX = ".tlog-proof"
"""What the name of a receipt's file ends in; said here, as who signs without a log does not load the log's reading."""

DIGEST_SIZES: dict[DigestAlgorithm, int] = {"sha256": 32, "sha384": 48, "sha512": 64}
"""Octets of a digest by each algorithm (FIPS 180-4)."""


class Family(StrEnum):
    """The mathematics of a Scheme."""

    RSA = "rsa"
    ECDSA = "ecdsa"
    EDDSA = "eddsa"
    ML_DSA = "ml-dsa"


PURE_FAMILIES = frozenset({Family.EDDSA, Family.ML_DSA})
"""Those that sign the octets themselves (RFC 8032 section 5.1, FIPS 204 section 5.2), and no digest of them."""


class Scheme(msgspec.Struct, frozen=True):
    """A kind of key and how it signs. ``long`` says that one signature outlasts a thread hand-off (performance.md)."""

    name: str
    family: Family
    bits: int
    """Of the modulus, of the curve, and for ML-DSA the parameter set's number (FIPS 204 section 4)."""
    default_digest: DigestAlgorithm
    largest_signature: int
    """Octets at most; an ECDSA signature is a DER SEQUENCE of two INTEGERs and may be shorter."""
    long: bool

    @property
    def pure(self) -> bool:
        """Tell whether it signs the octets themselves, and no digest of them."""
        return self.family in PURE_FAMILIES

    @property
    def certifiable(self) -> bool:
        """Tell whether a publicly trusted certificate may be for such a key (CSBR 6.1.5.2: RSA and ECDSA)."""
        return not self.pure


SCHEMES: dict[str, Scheme] = {
    s.name: s
    for s in (
        Scheme("rsa-3072", Family.RSA, 3072, "sha256", 384, long=True),
        Scheme("rsa-4096", Family.RSA, 4096, "sha256", 512, long=True),
        Scheme("ecdsa-p256", Family.ECDSA, 256, "sha256", 72, long=False),
        Scheme("ecdsa-p384", Family.ECDSA, 384, "sha384", 104, long=False),
        Scheme("ecdsa-p521", Family.ECDSA, 521, "sha512", 141, long=True),
        Scheme("ed25519", Family.EDDSA, 255, "sha512", 64, long=False),
        Scheme("ml-dsa-44", Family.ML_DSA, 44, "sha512", 2420, long=True),
        Scheme("ml-dsa-65", Family.ML_DSA, 65, "sha512", 3309, long=True),
        Scheme("ml-dsa-87", Family.ML_DSA, 87, "sha512", 4627, long=True),
    )
}
"""Every scheme a Key Pair may have. CSBR 6.1.5.2 allows RSA of at least 3072 bits, P-256, P-384 and P-521; the others
are for rehearsal and private trust (``Scheme.certifiable``). A row is all that a new one needs here; its key store says
whether it can generate it, its format whether it can carry it."""


LONGEST_SHOWN = 200
"""Characters of a fact that people are shown; digests and names are shorter."""


def _said(value: str | int | bool) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = str(value)
    if len(text) <= LONGEST_SHOWN:
        return text
    return f"{len(text)} characters, SHA-256 {hashlib.sha256(text.encode()).hexdigest()}"


class Described(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A typed description of one piece of code: what travels to the service in place of the file.

    The format named here builds the octets to be signed from it, and checks ``facts`` against its own struct, on the
    side that holds the key; a description it does not understand is refused.
    """

    format: str
    """A name in ``formats/catalogue.py``, such as ``pe``."""
    filename: str
    """The last element of the path as the requester calls it. Shown to people, never interpreted."""
    digest_algorithm: DigestAlgorithm
    digest: bytes
    """What the format hashes of the file; for PE the Authenticode digest."""
    size: int
    """Octets that the digest covers, so the same whether the file was signed before or not."""
    facts: dict[str, str | int | bool] = {}
    """What else the format's key side needs; its names and types are the format's own."""

    def said(self) -> dict[str, str]:
        """Return the facts as people are shown them; a text that nobody would read as its length and SHA-256."""
        return {name: _said(value) for name, value in self.facts.items()}


class Options(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, cache_hash=True
):
    """What the requester wishes beyond the bare signature; part of what is approved."""

    program_name: str | None = None
    program_url: str | None = None
    mode: Literal["replace", "append"] = "replace"
    """Replace every signature the file carries, or append one more."""
    timestamp: bool = True
    extended: bool = True
    """Of a Windows Installer file: cover names, sizes and times of its streams as well (MsiDigitalSignatureEx)."""
    page_hashes: Literal["sha1", "sha256"] | None = None
    """For PE: sign a digest of each page too, as Windows asks of drivers and protected processes. SHA-1 is for systems
    before Windows 8; the signature itself is by SHA-2 in any case."""
    efi_variable: str | None = None
    """For a UEFI variable: which one, ``db`` and the like, or NAME-GUID. None: as the file's name says."""
    efi_time: str | None = None
    """Its time, such as ``2026-12-01T08:00:00Z``. None: the one that is signed already."""
    efi_attributes: int | None = None
    """Its attributes. None: those that are signed already, or the usual ones."""
    monotonic_count: int | None = None
    """For a UEFI capsule: the count that is signed with each image. None: the one that is there, or 0."""
    nuget_repository: str | None = None
    """For a NuGet package: sign as the repository of this V3 service index. With mode append beside the author."""
    nuget_owners: tuple[str, ...] = ()
    """Whose package the repository says it is."""

    def said(self) -> dict[str, str]:
        """Return what is wished for, as far as it is not the usual, by what people are shown it under.

        Name, URL, mode and timestamp are left out: they are shown in any case, each in words of its own.
        """
        usual, found = Options(), {}
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if name in _SHOWN_ALWAYS or value == getattr(usual, name):
                continue
            if isinstance(value, bool):
                text = "yes" if value else "no"
            elif isinstance(value, tuple):
                text = ", ".join(value)
            else:
                text = f"{value:#x}" if name == "efi_attributes" else str(value)
            found[name.replace("_", " ")] = text
        return found


_SHOWN_ALWAYS = frozenset({"program_name", "program_url", "mode", "timestamp"})


class ToBeSigned(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The octets a key signs, and the digest algorithm it hashes them with; RSA means PKCS#1 v1.5 unless ``pss``.

    A key of a pure scheme signs the octets themselves; the digest algorithm then says what the content was hashed with.
    """

    octets: bytes
    digest_algorithm: DigestAlgorithm
    padding: Literal["pkcs1v15", "pss"] = "pkcs1v15"
    stamped: bool = True
    """Whether a timestamp, where one is wished for, is over this signature's value; not so where a format makes two
    signatures and carries one timestamp."""


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A raw signature: ``value`` is the PKCS#1 octets for RSA, a DER ECDSA-Sig-Value (RFC 3279 2.2.3) for ECDSA.

    For Ed25519 it is the 64 octets of RFC 8032 section 5.1.6, for ML-DSA those of FIPS 204 algorithm 28.
    """

    to_be_signed: ToBeSigned
    value: bytes


class TimestampToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An RFC 3161 TimeStampToken that has been verified: its DER and what it says."""

    der: bytes
    time: datetime
    authority: str
    """Subject of the authority's certificate, RFC 4514 text."""
    serial: str
    """Upper-case hex digits without leading zeros: serials have up to 160 bits, more than JSON or msgpack carry."""


class TimestampFacts(msgspec.Struct, frozen=True):
    """When a signature existed at the latest, and who says so."""

    time: datetime
    authority: str


class LogFacts(msgspec.Struct, frozen=True):
    """Where in which log the signature stands."""

    index: int
    """Of the completion."""
    origin: str
    size: int
    """Entries in the log when the receipt was made."""
    witnesses: tuple[str, ...]
