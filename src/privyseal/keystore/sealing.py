"""How a Private Key is put under a passphrase: pure computation over octets, no file and no clock.

    passphrase --Argon2id--> master key --HKDF, by Subscriber--> key-encrypting key --seals--> data key
    --seals--> Private Key

Every key has a data key of its own, 256 random bits. Each of the two sealings draws a salt of 256 bits and
derives from it, with HKDF-SHA256, an AES-256-GCM key that is used once and a commitment of 256 bits that is
stored beside the ciphertext. The commitment is needed because GCM alone is not committing: one ciphertext can
be made that opens under two keys (Albertini et al., "How to Abuse and Fix Authenticated Encryption Without Key
Commitment", USENIX Security 2022). The header, whole, is the associated data of both, so that an envelope
cannot be renamed, moved to another Subscriber or joined from two.

The stored form is canonical JSON and only that is read: an envelope whose octets are not exactly those that its
content is written as is refused, so there is no bit that can be changed unseen. CSBR 6.2.7.3 asks for hardware;
this is software.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from datetime import datetime
from typing import Literal, Self

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from privyseal.errors import KeyStoreUnavailable, Misused
from privyseal.terms.canonical import canonical_json

FORMAT: Literal["privyseal/softfile/v1"] = "privyseal/softfile/v1"
"""The name of the stored form; it stands for the parameters below too, which a file can therefore not weaken."""
MAX_ENVELOPE_OCTETS = 64 << 10
"""Octets of one envelope; that of an RSA-4096 key, the largest of ``SCHEMES``, has about 5 KiB."""
_ARGON2_MEMORY_KIB, _ARGON2_PASSES, _ARGON2_LANES = 64 << 10, 3, 4  # RFC 9106 section 4, second recommended option
_KEY_OCTETS, _NONCE_OCTETS = 32, 12


class Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of a sealed key without opening it; all of it is authenticated with the key."""

    format: Literal["privyseal/softfile/v1"] = FORMAT
    subscriber: str
    name: str
    uuid: str
    version: int
    scheme: str
    spki_sha256: str
    """SHA-256 of the SubjectPublicKeyInfo, 64 lower-case hex digits."""
    policy_sha256: str | None = None
    """SHA-256 of the policy that the key was sealed under, or None where there is none."""
    created: datetime


class Sealed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Octets under AES-256-GCM with a key that was derived for them alone, and the commitment to that key."""

    salt: bytes
    commitment: bytes
    nonce: bytes
    ciphertext: bytes


class Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One Key Pair as it is stored."""

    header: Header
    public_key: bytes
    """SubjectPublicKeyInfo, DER; bound by its hash in the header."""
    data_key: Sealed
    private_key: Sealed
    """PKCS#8, DER, under the data key."""

    def encoded(self) -> bytes:
        """Return the stored form."""
        return canonical_json(self)


_decoder = msgspec.json.Decoder(Envelope)


def read_envelope(stored: bytes) -> Envelope:
    """Read the stored form and check what needs no key; KeyStoreUnavailable if one bit is not as it was written."""
    try:
        envelope = _decoder.decode(stored)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise _damaged() from None
    if envelope.encoded() != stored or hashlib.sha256(envelope.public_key).hexdigest() != envelope.header.spki_sha256:
        raise _damaged()
    return envelope


class MasterKey:
    """The key from which every key-encrypting key follows; only the process that opened the store has it."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        """Take 32 secret octets; see :meth:`from_passphrase`."""
        self._key = key

    @classmethod
    def from_passphrase(cls, passphrase: bytes, salt: bytes) -> Self:
        """Stretch a passphrase with Argon2id (RFC 9106: 64 MiB, 3 passes, 4 lanes; a tenth of a second)."""
        if not passphrase:
            raise Misused(
                "The key store's passphrase is empty.", hint="put a long random one into the process's own file"
            )
        stretch = Argon2id(
            salt=salt,
            length=_KEY_OCTETS,
            iterations=_ARGON2_PASSES,
            lanes=_ARGON2_LANES,
            memory_cost=_ARGON2_MEMORY_KIB,
        )
        return cls(stretch.derive(passphrase))

    def commitment(self) -> bytes:
        """Return 32 octets by which a wrong passphrase is told from a damaged envelope; they help to guess neither."""
        return _derive(self._key, b"", b"master/commitment", 32)

    def seal(self, header: Header, public_key: bytes, private_key: bytes) -> Envelope:
        """Seal a Private Key (PKCS#8, DER) under a data key of its own."""
        bound = canonical_json(header)
        data_key = os.urandom(_KEY_OCTETS)
        return Envelope(
            header,
            public_key,
            _seal(self._of(header.subscriber), b"data-key", data_key, bound),
            _seal(data_key, b"private-key", private_key, bound),
        )

    def open(self, envelope: Envelope) -> bytes:
        """Return the Private Key (PKCS#8, DER) of an envelope; KeyStoreUnavailable if any part of it is not its own."""
        bound = canonical_json(envelope.header)
        data_key = _open(self._of(envelope.header.subscriber), b"data-key", envelope.data_key, bound)
        return _open(data_key, b"private-key", envelope.private_key, bound)

    def _of(self, subscriber: str) -> bytes:
        return _derive(self._key, b"", b"subscriber\0" + subscriber.encode("utf-8"), _KEY_OCTETS)


def _derive(key: bytes, salt: bytes, purpose: bytes, octets: int) -> bytes:
    info = FORMAT.encode("ascii") + b"\0" + purpose
    return HKDF(algorithm=SHA256(), length=octets, salt=salt, info=info).derive(key)


def _seal(key: bytes, purpose: bytes, plain: bytes, bound: bytes) -> Sealed:
    salt, nonce = os.urandom(_KEY_OCTETS), os.urandom(_NONCE_OCTETS)
    once = _derive(key, salt, purpose, 2 * _KEY_OCTETS)
    ciphertext = AESGCM(once[:_KEY_OCTETS]).encrypt(nonce, plain, purpose + b"\0" + bound)
    return Sealed(salt, once[_KEY_OCTETS:], nonce, ciphertext)


def _open(key: bytes, purpose: bytes, sealed: Sealed, bound: bytes) -> bytes:
    if len(sealed.salt) != _KEY_OCTETS or len(sealed.nonce) != _NONCE_OCTETS:
        raise _damaged()
    once = _derive(key, sealed.salt, purpose, 2 * _KEY_OCTETS)
    if not hmac.compare_digest(once[_KEY_OCTETS:], sealed.commitment):
        raise _damaged()
    try:
        return AESGCM(once[:_KEY_OCTETS]).decrypt(sealed.nonce, sealed.ciphertext, purpose + b"\0" + bound)
    except InvalidTag:
        raise _damaged() from None


def _damaged() -> KeyStoreUnavailable:
    return KeyStoreUnavailable(
        "A sealed key is not as it was written: it was damaged, altered or put in another one's place.",
        hint="restore the file from a backup and find out who could write there",
    )
