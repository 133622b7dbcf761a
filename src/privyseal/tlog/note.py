"""Signed notes (c2sp.org/signed-note) and the keys that verify them.

A note is text, an empty line, and signature lines of the form ``— <key name> <base64 of key ID and signature>``. Two
kinds of key are known: an Ed25519 key signs the text itself, a witness's key signs the text and a time (cosignature/v1,
c2sp.org/tlog-cosignature). Lines of keys we do not know must be well-formed and are otherwise ignored.

The private half is not handed in: a :class:`Signer` holds a function that signs, so the log's key stays where it is.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Sequence
from enum import IntEnum
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Struct

from privyseal.errors import BadInput, TooLarge, VerificationFailed

MAX_NOTE = 64 * 1024
"""Octets of a note; tens of post-quantum signatures of nearly 5 kB fit (signed-note asks for room for 16)."""
MAX_SIGNATURES = 100
"""Signature lines of a note, as in Go's x/mod/sumdb/note."""
MAX_NAME = 1024
"""Characters of a key's name; it is often a URL."""
KEY_ID_SIZE = 4
"""Octets of a key's id (C2SP signed-note, signatures)."""
PUBLIC_KEY_SIZE = 32
"""Octets of an Ed25519 public key (RFC 8032 5.1)."""
LATEST_TIME = 2**63 - 1
"""The largest time of a cosignature (tlog-cosignature, format)."""

_SIGNATURE_SIZE = 64
_SEPARATOR = b"\n\n"
_LINE_START = "\N{EM DASH} "
_CONTROL = re.compile(rb"[\x00-\x09\x0b-\x1f]")


class KeyType(IntEnum):
    """The signature type identifiers we know (signed-note, signature types)."""

    ED25519 = 0x01
    COSIGNATURE_V1 = 0x04


class Verifier(Struct, frozen=True):
    """A key that verifies lines of notes: its name, its kind, and 32 octets of Ed25519 public key (RFC 8032)."""

    name: str
    key_type: KeyType
    public_key: bytes

    @property
    def key_id(self) -> bytes:
        """Return the 4 octets that together with the name point to this key in a signature line."""
        return _key_id(self.name, self.key_type, self.public_key)

    @property
    def vkey(self) -> str:
        """Return the key as C2SP verifier key text: name, key ID in hex, base64 of type and key, joined by ``+``."""
        material = base64.b64encode(bytes([self.key_type]) + self.public_key).decode()
        return f"{self.name}+{self.key_id.hex()}+{material}"

    def verifies(self, body: bytes, value: bytes) -> bool:
        """Tell whether ``value``, a signature line's octets after the key ID, is this key's signature of the text."""
        if self.key_type is KeyType.ED25519:
            return _verifies(self.public_key, body, value)
        time = cosignature_time(value)
        if time is None:
            return False
        return _verifies(self.public_key, cosigned_octets(body, time), value[8:])


class Signer(Struct, frozen=True):
    """A key that signs notes: ``sign`` returns its Ed25519 signature (RFC 8032), 64 octets, of what it is given."""

    verifier: Verifier
    sign: Callable[[bytes], bytes]

    def __repr__(self) -> str:
        """Name the key only: what ``sign`` closes over is nobody's business."""
        return f"Signer({self.verifier.name})"


class Signature(Struct, frozen=True):
    """One signature line: the name and ID of a key, and what it made."""

    name: str
    key_id: bytes
    value: bytes


class Note(Struct, frozen=True):
    """A note as it was read, nothing of it verified: its text, with the final newline, and its signature lines."""

    body: bytes
    signatures: tuple[Signature, ...]


def parse_vkey(text: str) -> Verifier:
    """Read C2SP verifier key text; BadInput if it is malformed, of a kind we do not know, or has another key's ID."""
    parts = text.split("+", 2)
    if len(parts) != 3 or not _is_name(parts[0]) or not re.fullmatch("[0-9a-f]{8}", parts[1]):
        raise BadInput(
            f"{_shown(text)} is not a verifier key.", hint="it has the form name+8 hex digits+base64, all on one line"
        )
    material = decode_base64(parts[2])
    if material is None or not material:
        raise BadInput(f"The verifier key of {_shown(parts[0])} does not end in base64.", hint="copy it anew")
    if material[0] not in (KeyType.ED25519, KeyType.COSIGNATURE_V1) or len(material) != 1 + PUBLIC_KEY_SIZE:
        raise BadInput(
            f"The verifier key of {_shown(parts[0])} is of type {material[0]:#04x} and has {len(material) - 1} octets.",
            hint="known are type 0x01 (Ed25519) and 0x04 (cosignature/v1), each of 32 octets",
        )
    verifier = Verifier(parts[0], KeyType(material[0]), material[1:])
    if verifier.key_id.hex() != parts[1]:
        raise BadInput(f"The verifier key of {_shown(parts[0])} does not belong to its key ID.", hint="copy it anew")
    return verifier


def parse_note(octets: bytes) -> Note:
    """Read a note without verifying anything; BadInput, or TooLarge beyond 64 KiB or 100 signatures."""
    if len(octets) > MAX_NOTE:
        raise TooLarge(f"A signed note of {len(octets)} octets was given, and {MAX_NOTE} is the most we read.")
    if _CONTROL.search(octets):
        raise BadInput("A signed note holds a control character other than a newline.")
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        raise BadInput("A signed note is not UTF-8.") from None
    end = octets.rfind(_SEPARATOR)
    if end < 0:
        raise BadInput("A signed note has no empty line before its signatures.")
    *lines, rest = octets[end + 2 :].decode("utf-8").split("\n")
    if rest or not lines:
        raise BadInput("A signed note does not end in complete signature lines.")
    if len(lines) > MAX_SIGNATURES:
        raise TooLarge(f"A signed note has {len(lines)} signatures, and {MAX_SIGNATURES} is the most we read.")
    return Note(octets[: end + 1], tuple(_parse_line(line) for line in lines))


def format_note(note: Note) -> bytes:
    """Return a note as text, the inverse of :func:`parse_note`."""
    lines = (
        f"{_LINE_START}{each.name} {base64.b64encode(each.key_id + each.value).decode()}\n" for each in note.signatures
    )
    return note.body + b"\n" + "".join(lines).encode()


def verified(note: Note, verifiers: Sequence[Verifier]) -> tuple[Verifier, ...]:
    """Return those keys whose signatures the note carries, in the order of ``verifiers``.

    VerificationFailed if there is none, or if a line of one of these keys does not verify: the whole note is then not
    to be believed (signed-note, signatures).
    """
    found = set()
    for signature in note.signatures:
        known = [v for v in verifiers if v.name == signature.name and v.key_id == signature.key_id]
        good = [v for v in known if v.verifies(note.body, signature.value)]
        if known and not good:
            raise VerificationFailed(f"The signature of {_shown(signature.name)} on a note does not verify.")
        found.update(good)
    if not found:
        raise VerificationFailed(
            f"A note carries no signature of {_listed(verifiers)}, only of {_listed(note.signatures)}."
        )
    return tuple(v for v in verifiers if v in found)


def open_note(octets: bytes, verifiers: Sequence[Verifier]) -> tuple[bytes, tuple[str, ...]]:
    """Return a note's text and the names of those of the keys that signed it.

    BadInput if it is not a note, VerificationFailed as :func:`verified`.
    """
    note = parse_note(octets)
    return note.body, tuple(v.name for v in verified(note, verifiers))


def sign_note(body: bytes, signers: Sequence[Signer]) -> bytes:
    """Return the note with this text and a signature of each; VerificationFailed if one of them is wrong.

    A wrong signature, be it of another key or of a failing machine, would make the note worthless, so none leaves.
    """
    signatures = []
    for signer in signers:
        value = signer.sign(body)
        if not signer.verifier.verifies(body, value):
            raise VerificationFailed(f"The key given as {_shown(signer.verifier.name)} signed a note wrongly.")
        signatures.append(Signature(signer.verifier.name, signer.verifier.key_id, value))
    octets = format_note(Note(body, tuple(signatures)))
    parse_note(octets)
    return octets


def cosigned_octets(body: bytes, time: int) -> bytes:
    """Return what a witness signs with its Ed25519 key: a header, the POSIX time, the checkpoint's text."""
    return b"cosignature/v1\ntime %d\n" % time + body


def cosignature_time(value: bytes) -> int | None:
    """Return the POSIX time of a cosignature/v1, in seconds; None if it has none, is of another size or out of range.

    Zero stands for no time, which the cosignature of a whole tree must have (tlog-witness, add-checkpoint).
    """
    time = int.from_bytes(value[:8], "big")
    return time if len(value) == 8 + _SIGNATURE_SIZE and 0 < time <= LATEST_TIME else None


def decode_base64(text: str) -> bytes | None:
    """Decode standard base64 (RFC 4648 section 4) with padding; None if it is not the one encoding of its octets."""
    try:
        octets = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return octets if base64.b64encode(octets).decode() == text else None


def _parse_line(line: str) -> Signature:
    name, _, encoded = line.removeprefix(_LINE_START).partition(" ")
    value = decode_base64(encoded)
    if not line.startswith(_LINE_START) or not _is_name(name) or value is None or len(value) <= KEY_ID_SIZE:
        raise BadInput(f"A signed note has a malformed signature line: {_shown(line)}.")
    return Signature(name, value[:KEY_ID_SIZE], value[KEY_ID_SIZE:])


@lru_cache(maxsize=256)  # a note is read several times for each head, and always of the same keys
def _is_name(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # a lone surrogate, from a command line that was not UTF-8
        return False
    return 0 < len(name) <= MAX_NAME and "+" not in name and not any(c.isspace() or c < " " for c in name)


def _listed(keys: Sequence[Verifier] | Sequence[Signature]) -> str:
    return ", ".join(dict.fromkeys(_shown(key.name) for key in keys[:5])) or "nobody"


def _shown(text: str) -> str:
    return repr(text if len(text) <= 100 else text[:100] + "...")


@lru_cache(maxsize=256)
def _key_id(name: str, key_type: int, public_key: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + bytes([key_type]) + public_key).digest()[:KEY_ID_SIZE]


@lru_cache(maxsize=256)
def _loaded(public_key: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(public_key)


def _verifies(public_key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        _loaded(public_key).verify(signature, message)
    except InvalidSignature:
        return False
    return True
