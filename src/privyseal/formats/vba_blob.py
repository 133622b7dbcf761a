"""What stands around the PKCS#7 message of a VBA signature, and the hash within it.

Source: Microsoft, "[MS-OSHARED]: Office Common Data Types and Objects Structures", 2.3.2. A signature's part is a
DigSigInfoSerialized (2.3.2.1): where everything in it is, the message, a store with the signer's certificate (2.3.2.5),
and two names that are empty. Its offsets count from eight octets before it, where other files of Office have a head.
The message's content is an SpcIndirectDataContentV2 (2.3.2.4.3.2) whose digest is a SigDataV1Serialized: an algorithm
as text, a hash of what was compiled, which is not documented and may be empty, and the hash of the source.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from privyseal.errors import BadInput
from privyseal.pki import algorithms, der
from privyseal.terms.signatures import DigestAlgorithm

MAX_PART: Final = 1 << 20
"""Octets of a signature's part; one with a timestamp and four certificates has 12 KiB."""

_INFO: Final = struct.Struct("<9I")
_BEFORE: Final = 8
"""What the offsets count that is not there."""
_DATA: Final = struct.Struct("<6I")
_CERTIFICATE: Final = 0x20
"""CERT_CERT_PROP_ID: in the store, the certificate itself (2.3.2.5.4)."""


class SourceHash(msgspec.Struct, frozen=True):
    """What the digest of a signature says."""

    algorithm: str
    """As dotted OID."""
    compiled: bytes
    source: bytes


def around(message: bytes, certificate: bytes) -> bytes:
    """Return the part that carries a message, with its signer's certificate; both DER."""
    store = struct.pack("<II", 0, 0x54524543)  # version 0, "CERT"
    store += struct.pack("<III", _CERTIFICATE, 1, len(certificate)) + certificate + bytes(12)
    at = _BEFORE + _INFO.size
    places = (len(message), at, len(store), at + len(message))
    name_at = at + len(message) + len(store)
    part = _INFO.pack(*places, 0, name_at, 0, 0, name_at + 2) + message + store + bytes(4)
    return part + bytes(-len(part) % 4)


def within(part: bytes) -> bytes:
    """Return the message in a signature's part; BadInput where it is none."""
    if len(part) < _INFO.size:
        raise BadInput(f"The part of the signature has {len(part)} octets, too few for what stands around one.")
    size, at, store, store_at, *_ = _INFO.unpack_from(part)
    start = _BEFORE + _INFO.size
    if at != start or store_at != at + size or not 0 < size <= store_at - start or store_at + store > len(part) + 8:
        raise BadInput("The part of the signature does not say where in it the signature is.")
    return part[at - _BEFORE : at - _BEFORE + size]


def source_hash(algorithm: DigestAlgorithm, digest: bytes, compiled: bytes = b"") -> bytes:
    """Return the hash of the source as it is signed."""
    name = der.oid_of(der.children(der.read(algorithms.digest_identifier(algorithm)))[0]).encode("ascii") + b"\0"
    at = _DATA.size
    places = (at, at + len(name), at + len(name) + len(compiled))
    return _DATA.pack(len(name), len(compiled), len(digest), *places) + name + compiled + digest


def read_hash(octets: bytes) -> SourceHash:
    """Cut what is signed into its parts; BadInput where these do not fill it one behind the other."""
    if len(octets) < _DATA.size:
        raise BadInput("The signature holds no hash of a VBA project's source.")
    name, compiled, source, name_at, compiled_at, source_at = _DATA.unpack_from(octets)
    places = (_DATA.size, _DATA.size + name, _DATA.size + name + compiled)
    at = places[1] if not compiled and not compiled_at else compiled_at  # some leave out where nothing is
    if (name_at, at, source_at, source_at + source) != (*places, len(octets)) or octets[
        places[1] - 1 : places[1]
    ] != b"\0":
        raise BadInput("The signature holds a hash whose parts are not where it says.")
    dotted = octets[name_at : name_at + name - 1].decode("ascii", "replace")
    return SourceHash(dotted, octets[places[1] : places[2]], octets[places[2] :])
