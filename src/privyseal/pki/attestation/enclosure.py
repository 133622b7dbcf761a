"""What a service gives a CA beside its Evidence: the module's own attestation, word for word, a verdict, a log's proof.

The Evidence's nonce is the SHA-256 of it, so one signature binds everything, and who signs the Evidence vouches for
nothing of it: each part proves itself, or is the word of the service. All of it is one PEM file of two blocks.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct

from privyseal.pki import der
from privyseal.pki.attestation import pieces
from privyseal.terms.canonical import canonical_json, decode_canonical

LABEL = "KEY EVIDENCE ENCLOSURE"
"""Of the PEM block."""
EVIDENCE_LABEL = "EVIDENCE"
"""Of the PEM block of the Evidence that the enclosure is bound to."""

_Text = Annotated[str, Meta(max_length=4000)]


class Enclosure(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is enclosed, canonical JSON."""

    v: Literal[1] = 1
    subscriber: _Text
    key: _Text
    """The Key Pair's name."""
    key_id: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    attestation: Annotated[tuple[bytes, ...], Meta(max_length=pieces.MOST_FILES)] = ()
    """The files of the module's own attestation, verbatim; none where the module gives none."""
    verdict: _Text = ""
    """What the service makes of it, in a sentence."""
    birth: Annotated[str, Meta(max_length=64 << 10)] = ""
    """A C2SP tlog-proof of the statement that the key was generated, with its opening as ``extra``."""

    def encode(self) -> bytes:
        """Return the octets of the PEM block: an OCTET STRING of canonical JSON."""
        return der.octet_string(canonical_json(self))


def read(octets: bytes) -> Enclosure:
    """Read an enclosure from the octets of its PEM block; BadInput where it is none."""
    return decode_canonical(der.octets_of(der.read(octets, pieces.MOST_OCTETS)), Enclosure)


def nonce_of(octets: bytes) -> bytes:
    """Return the nonce that binds Evidence to an enclosure: SHA-256 of the octets of its PEM block."""
    return hashlib.sha256(octets).digest()


def found_in(files: Sequence[bytes]) -> list[bytes]:
    """Return the octets of every enclosure in files."""
    return [each.octets for each in pieces.unpack(files).others if each.label == LABEL]


def pem(evidence: bytes, enclosed: bytes) -> bytes:
    """Return the file: Evidence, in which the attestation key's certificate is, and its enclosure (RFC 7468)."""
    blocks = ((EVIDENCE_LABEL, evidence), (LABEL, enclosed))
    return b"".join(_block(label, octets) for label, octets in blocks)


def _block(label: str, octets: bytes) -> bytes:
    body = base64.b64encode(octets)
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    named = label.encode("ascii")
    return b"\n".join([b"-----BEGIN " + named + b"-----", *lines, b"-----END " + named + b"-----", b""])
