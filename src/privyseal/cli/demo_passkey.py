"""A passkey without a device, for rehearsals: it does what an authenticator does, and guards its key by nothing.

It stands in for the security key or telephone of a person (W3C Web Authentication Level 3, section 6). What it answers
goes through the service's real ceremonies. What it cannot show is what a real one adds: that the key cannot be copied,
and that somebody touched it. It says "user verified" without having asked anybody.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from privyseal.errors import BadInput
from privyseal.terms.requests import Assertion

_PRESENT, _VERIFIED, _ATTESTED = 0x01, 0x04, 0x40
_P256 = ec.SECP256R1()


class SoftwarePasskey:
    """One credential for one site: an ECDSA key on P-256 in memory, bound to its device by never leaving it."""

    def __init__(self, origin: str) -> None:
        """Draw the key, for the site at ``origin`` such as ``http://localhost:8470``."""
        self.origin = origin
        self.rp_id = urlsplit(origin).hostname or ""
        self.id = os.urandom(32)
        self._key = ec.generate_private_key(_P256)
        self._uses = 0

    def create(self, options: str) -> str:
        """Answer ``navigator.credentials.create`` (7.1), JSON for JSON; BadInput where it is asked for another site."""
        asked = json.loads(options)
        if asked["rp"]["id"] != self.rp_id or not any(each["alg"] == -7 for each in asked["pubKeyCredParams"]):
            raise BadInput(f"A passkey for {self.rp_id} with ECDSA on P-256 is not what the page asks for.")
        attested = bytes(16) + len(self.id).to_bytes(2, "big") + self.id + _cbor(self._cose())
        data = self._data(_ATTESTED) + attested
        attestation = _cbor({"fmt": "none", "attStmt": {}, "authData": data})
        said = self._client_data("webauthn.create", asked["challenge"])
        return self._answer({"clientDataJSON": text(said), "attestationObject": text(attestation), "transports": []})

    def get(self, options: str) -> str:
        """Answer ``navigator.credentials.get`` (7.2), JSON for JSON."""
        said, data, signature = self._assert(json.loads(options)["challenge"])
        return self._answer(
            {"clientDataJSON": text(said), "authenticatorData": text(data), "signature": text(signature)}
        )

    def approve(self, octets: bytes) -> tuple[bytes, Assertion]:
        """Say yes to the octets of an approval: return the signature, and what was signed beside their SHA-256."""
        said, data, signature = self._assert(text(hashlib.sha256(octets).digest()))
        return signature, Assertion(authenticator_data=data, client_data=said)

    def _assert(self, challenge: str) -> tuple[bytes, bytes, bytes]:
        said, data = self._client_data("webauthn.get", challenge), self._data(0)
        return said, data, self._key.sign(data + hashlib.sha256(said).digest(), ec.ECDSA(SHA256()))

    def _client_data(self, kind: str, challenge: str) -> bytes:
        said = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        return json.dumps(said, separators=(",", ":")).encode("utf-8")

    def _data(self, flags: int) -> bytes:
        """Return authenticator data without what was attested (6.1)."""
        self._uses += 1
        site = hashlib.sha256(self.rp_id.encode("utf-8")).digest()
        return site + bytes([_PRESENT | _VERIFIED | flags]) + self._uses.to_bytes(4, "big")

    def _cose(self) -> dict[int, Any]:
        """Return the public key as COSE has it (RFC 9053 7.1.1)."""
        point = self._key.public_key().public_numbers()
        return {1: 2, 3: -7, -1: 1, -2: point.x.to_bytes(32, "big"), -3: point.y.to_bytes(32, "big")}

    def _answer(self, response: dict[str, Any]) -> str:
        name = text(self.id)
        return json.dumps(
            {"id": name, "rawId": name, "type": "public-key", "response": response, "clientExtensionResults": {}}
        )


def text(octets: bytes) -> str:
    """Return octets as WebAuthn writes them in JSON: base64url without padding."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def _cbor(value: Any) -> bytes:
    """Encode the few kinds of values that an authenticator needs (RFC 8949): integers, octets, text, maps."""
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    if isinstance(value, bytes):
        return _head(2, len(value)) + value
    if isinstance(value, str):
        return _head(3, len(value.encode())) + value.encode()
    return _head(5, len(value)) + b"".join(_cbor(key) + _cbor(each) for key, each in value.items())


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    size = 1 if number < 1 << 8 else 2
    return bytes([major << 5 | 23 + size]) + number.to_bytes(size, "big")
