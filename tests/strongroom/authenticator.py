"""A passkey in software: what an authenticator and a browser make of a challenge, each part of which can be spoilt."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from privyseal.terms.keys import Approver, Passkey, Role
from privyseal.terms.requests import Approval, Assertion, approved_octets

RP_ID, ORIGIN = "seal.example", "https://seal.example"
Kind = Literal["p256", "ed25519", "rsa"]
PRESENT, VERIFIED, ELIGIBLE, BACKED_UP = 0x01, 0x04, 0x08, 0x10


class Authenticator:
    """One person's passkey."""

    def __init__(self, name: str, kind: Kind = "p256", role: Role = Role.APPROVER, bits: int = 2048) -> None:
        self.name, self.kind, self.role = name, kind, role
        self.key: Any = {
            "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
            "ed25519": Ed25519PrivateKey.generate,
            "rsa": lambda: rsa.generate_private_key(65537, bits),
        }[kind]()
        self.credential_id = hashlib.sha256(name.encode()).digest()[:16]

    @property
    def spki(self) -> bytes:
        spki: bytes = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return spki

    @property
    def approver(self) -> Approver:
        credential = hashlib.sha256(self.credential_id).hexdigest()
        passkey = Passkey(rp_id=RP_ID, origins=(ORIGIN,), credential=credential)
        return Approver(self.name, self.spki, self.role, f"M-{self.name}", passkey)

    def sign(self, octets: bytes) -> bytes:
        if self.kind == "p256":
            value: bytes = self.key.sign(octets, ec.ECDSA(SHA256()))
        elif self.kind == "rsa":
            value = self.key.sign(octets, padding.PKCS1v15(), SHA256())
        else:
            value = self.key.sign(octets)
        return value

    def says_yes(
        self,
        octets: bytes,
        *,
        client: bytes | None = None,
        flags: int = PRESENT | VERIFIED,
        rp_id: str = RP_ID,
        more: bytes = b"",
        **fields: Any,
    ) -> tuple[bytes, Assertion]:
        """Answer the challenge that ``octets`` make; ``fields`` replaces members of the client data."""
        challenge = base64.urlsafe_b64encode(hashlib.sha256(octets).digest()).rstrip(b"=").decode()
        plain = {"type": "webauthn.get", "challenge": challenge, "origin": ORIGIN, "crossOrigin": False} | fields
        client = json.dumps(plain).encode() if client is None else client
        data = hashlib.sha256(rp_id.encode()).digest() + bytes([flags]) + bytes(4) + more
        value = self.sign(data + hashlib.sha256(client).digest())
        return value, Assertion(authenticator_data=data, client_data=client)

    def approves(self, digest: bytes, stage: int = 0, earlier: bytes = b"") -> Approval:
        value, said = self.says_yes(approved_octets(digest, stage, earlier))
        return Approval(
            approver=self.name,
            public_key=self.spki,
            request_digest=digest,
            signature=value,
            stage=stage,
            assertion=said,
        )
