"""What the signer asks of a worker, whatever store it speaks to, and what it is told: small frames of msgpack.

A worker may be in the hands of a vendor's code, or talk to somebody else's service. So there is nothing here that a
signer would not say to a stranger: digests go in, public keys and signatures come out, and all of it is checked again
by the signer. A key is named by its label and by ``key``, what its store knows it by: a CKA_ID, a cloud's key id.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec
from msgspec import Struct

from privyseal.errors import KeyStoreUnavailable
from privyseal.keystore.audit import AuditLog
from privyseal.terms.keys import KeyProtection


class Hashed(Struct, frozen=True, forbid_unknown_fields=True):
    """One digest to be signed, and how: ``padding`` is for RSA keys. For an Ed25519 key it is what is signed, whole."""

    algorithm: str
    digest: bytes
    padding: str


class _Message(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    pass


class Generate(_Message, frozen=True):
    """Generate a Key Pair; answered with Born."""

    label: str
    scheme: str


class PublicKey(_Message, frozen=True):
    """Ask for a public key; answered with Spki."""

    label: str
    key: bytes


class Sign(_Message, frozen=True):
    """Have digests signed; answered with Signed."""

    label: str
    key: bytes
    hashed: tuple[Hashed, ...]


class Destroy(_Message, frozen=True):
    """Destroy both halves of a Key Pair, and say nothing if they are gone; answered with Destroyed."""

    label: str
    key: bytes


class Protection(_Message, frozen=True):
    """Ask what the store says of a key; answered with Protected."""

    label: str
    key: bytes


class Look(_Message, frozen=True):
    """Ask whether the token, or the cloud, is still there and lets us in, without using a key; answered with Seen."""


class Count(_Message, frozen=True):
    """Ask what the store's own audit log says of the use of keys, from ``since`` on and before ``until``, both UTC.

    Answered with Told.
    """

    keys: tuple[bytes, ...]
    since: datetime
    until: datetime


class Inventory(_Message, frozen=True):
    """Ask which keys are in a token, in one pass and without using any; answered with Inventoried."""


class Kept(Struct, frozen=True, forbid_unknown_fields=True):
    """A Private Key that is in a token."""

    label: str
    key: bytes


class Ready(_Message, frozen=True):
    """The worker's first word: the module is loaded, or the cloud answered, and the PIN or credential was right."""


class Seen(_Message, frozen=True):
    """The token or cloud is there, and lets us in."""


class Born(_Message, frozen=True):
    """A Key Pair was generated and its attributes read back right; the URI by which the store finds it."""

    uri: str


class Spki(_Message, frozen=True):
    """A SubjectPublicKeyInfo, DER."""

    der: bytes


class Signed(_Message, frozen=True):
    """Signatures in the order asked: PKCS#1 octets, or DER ECDSA-Sig-Value."""

    values: tuple[bytes, ...]


class Destroyed(_Message, frozen=True):
    """The key is gone."""


class Told(_Message, frozen=True):
    """What the store's own audit log says; ``signed`` counts for each of the keys, in the order asked."""

    log: AuditLog
    signed: tuple[int, ...]


class Protected(_Message, frozen=True):
    """What the store says of a key."""

    protection: KeyProtection


class Inventoried(_Message, frozen=True):
    """Every Private Key that is in the token."""

    keys: tuple[Kept, ...]


class Failure(_Message, frozen=True):
    """It could not be done: an error of ``privyseal.errors`` by its code."""

    code: str
    detail: str
    hint: str | None = None
    poisoned: bool = False
    """The module or connection is in a state that only a fresh process gets out of."""
    standing: Literal["away", "missing", "pin", "refused"] = "away"
    """Of a worker that could not begin: in which of these states the token is (``terms/keys.py``)."""
    used: bool = False
    """A key may have been used before it failed, so that the same must not be asked again."""


Question = Generate | PublicKey | Sign | Destroy | Protection | Look | Count | Inventory
"""What a worker is asked."""
Answer = Ready | Seen | Born | Spki | Signed | Destroyed | Protected | Told | Inventoried | Failure
"""What a worker answers."""

_encoder = msgspec.msgpack.Encoder()
_questions: msgspec.msgpack.Decoder[Question] = msgspec.msgpack.Decoder(Question)
_answers: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


def encode(message: Question | Answer) -> bytes:
    """Return a message's octets."""
    return _encoder.encode(message)


def decode_question(octets: bytes) -> Question:
    """Read a question; msgspec's own error if it is none, which only a bug of ours can cause."""
    return _questions.decode(octets)


def decode_answer(octets: bytes) -> Answer:
    """Read an answer; KeyStoreUnavailable if it is none."""
    try:
        return _answers.decode(octets)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise KeyStoreUnavailable("A key store's worker answered what nobody asked for.") from None
