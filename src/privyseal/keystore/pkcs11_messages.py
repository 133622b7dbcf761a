"""What the signer asks of a worker that holds a token's module, and what it is told: small frames of msgpack.

A worker may be in the hands of its module, a vendor's code. So there is nothing here that a signer would not say to
a stranger: digests go in, public keys and signatures come out, and all of it is checked again by the signer.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

from privyseal.errors import KeyStoreUnavailable
from privyseal.terms.keys import KeyProtection


class Hashed(Struct, frozen=True, forbid_unknown_fields=True):
    """One digest to be signed, and how: ``padding`` is for RSA keys."""

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
    """Ask what the module says of a key; answered with Protected."""

    label: str
    key: bytes


class Look(_Message, frozen=True):
    """Ask whether the token is still there and the session good, without using a key; answered with Seen."""


class Ready(_Message, frozen=True):
    """The worker's first word: the module is loaded, the token found, and the PIN was right."""

    token: str
    serial: str


class Seen(_Message, frozen=True):
    """The token is there, and the session with it is good."""


class Born(_Message, frozen=True):
    """A Key Pair was generated and its attributes read back right."""

    uri: str


class Spki(_Message, frozen=True):
    """A SubjectPublicKeyInfo, DER."""

    der: bytes


class Signed(_Message, frozen=True):
    """Signatures in the order asked: PKCS#1 octets, or DER ECDSA-Sig-Value."""

    values: tuple[bytes, ...]


class Destroyed(_Message, frozen=True):
    """The key is gone."""


class Protected(_Message, frozen=True):
    """What the module says of a key."""

    protection: KeyProtection


class Failure(_Message, frozen=True):
    """It could not be done: an error of ``privyseal.errors`` by its code."""

    code: str
    detail: str
    hint: str | None = None
    poisoned: bool = False
    """The module is in a state that only a fresh process gets out of."""
    standing: Literal["away", "missing", "pin", "refused"] = "away"
    """Of a worker that could not begin: in which of these states the token is (``terms/keys.py``)."""
    used: bool = False
    """A key may have been used before it failed, so that the same must not be asked again."""


Question = Generate | PublicKey | Sign | Destroy | Protection | Look
Answer = Ready | Seen | Born | Spki | Signed | Destroyed | Protected | Failure

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
        raise KeyStoreUnavailable("The worker of a PKCS#11 token answered what nobody asked for.") from None
