"""The one way in which our nouns become the bytes that are hashed, approved, logged and sent: RFC 8785 JSON."""

from __future__ import annotations

import hashlib
import threading
from typing import Any, TypeVar

import msgspec

from privyseal.errors import BadInput

T = TypeVar("T")
"""What octets are decoded into."""

_building = threading.Lock()
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}
_encoder = msgspec.json.Encoder(order="sorted")


def canonical_json(value: object) -> bytes:
    """Return ``value`` as RFC 8785 (JSON Canonicalization Scheme) UTF-8 octets.

    Our nouns hold only strings, octets (standard base64), integers below 2**53, booleans, sequences and objects whose
    names are ASCII, for which msgspec's sorted, minimal output is the canonical form; fractional numbers, whose form
    differs, do not occur. A struct's field that equals its default is left out where the struct says ``omit_defaults``.
    """
    return _encoder.encode(value)


def tagged_digest(tag: str, octets: bytes) -> bytes:
    """Return SHA-256 over the domain tag, a zero octet and ``octets``: 32 bytes no other kind of message can share."""
    return hashlib.sha256(tag.encode("ascii") + b"\0" + octets).digest()


def decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """Return the one decoder of a type, made by one thread.

    msgspec (0.22) puts what it knows of a Struct into the class before it is complete, and a second thread that decodes
    the same class for the first time at that moment ends the process by reading a null pointer.
    """
    known = _decoders.get(kind)
    if known is None:
        with _building:
            known = _decoders.setdefault(kind, msgspec.json.Decoder(kind))
    return known


def decode_canonical(octets: bytes, kind: type[T]) -> T:
    """Decode octets that must be the canonical form of a ``kind``; raise BadInput where they are not exactly that."""
    try:
        value = decoder(kind).decode(octets)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"Not a {kind.__name__}: {error}.") from error
    if canonical_json(value) != octets:
        raise BadInput(f"This {kind.__name__} is not in canonical form (RFC 8785).", hint="encode it anew")
    return value
