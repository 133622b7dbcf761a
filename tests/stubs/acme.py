"""A stand-in for an ACME server that asks for the attestation of a device, with a real CA behind it.

RFC 8555 (nonces, JWS, accounts, orders, finalisation, revocation) and draft-ietf-acme-device-attest (identifiers
``permanent-identifier`` and ``hardware-module``, challenge ``device-attest-01`` with ``attObj``). What it makes of a
TPM's statement is what step-ca does, ``acme/challenge.go``: ``x5c`` leads to a root that it pins, ``sig`` is over
``certInfo``, whose ``extraData`` is SHA-256 of the key authorization and whose name is that of ``pubArea``; and the CSR
is for the key in ``pubArea``. It shares no code with the client but the CBOR.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import cbor2
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from tests.stubs.ca import ca, pem
from tests.stubs.server import Answer, Asked, Stub
from webauthn.helpers.tpm.parse_cert_info import parse_cert_info

_TYPE = "urn:ietf:params:acme:error:"


class _ProblemError(Exception):
    def __init__(self, status: int, kind: str, detail: str) -> None:
        super().__init__(kind)
        self.status, self.kind, self.detail = status, kind, detail


class AcmeStub(Stub):
    """One server, one order at a time."""

    def __init__(self, folder: Path, roots: tuple[x509.Certificate, ...] = ()) -> None:
        self.ca = ca("ACME")
        self.roots = roots
        """Of the attestation keys that it believes."""
        self.accounts: dict[str, ec.EllipticCurvePublicKey] = {}
        self.thumbprints: dict[str, str] = {}
        self.wanted: list[dict[str, str]] = []
        self.profile = ""
        self.status = self.proof = "pending"
        self.error: dict[str, str] | None = None
        self.attested: ec.EllipticCurvePublicKey | None = None
        self.processing = 0
        """How often the order is still at work after it was finalised."""
        self.issued: x509.Certificate | None = None
        self._nonces: set[str] = set()
        self._count = 0
        super().__init__(folder)

    def named(self, asked: Asked) -> str:
        return asked.path.strip("/").partition("/")[0]

    def answer(self, asked: Asked) -> Answer:
        name = self.named(asked)
        try:
            if name == "directory":
                places = {each: f"{self.url}/{each}" for each in ("newNonce", "newAccount", "newOrder", "revokeCert")}
                return self._fresh(Answer(200, json.dumps(places).encode()))
            if name == "newNonce":
                return self._fresh(Answer(204 if asked.method == "GET" else 200, b""))
            account, said = self._read(asked)
            return self._fresh(getattr(self, f"_{name}")(account, said))
        except _ProblemError as problem:
            body = {"type": _TYPE + problem.kind, "detail": problem.detail}
            return self._fresh(Answer(problem.status, json.dumps(body).encode(), "application/problem+json"))

    def disobeyed(self, fault: str, asked: Asked, right: Callable[[], Answer]) -> Answer:
        if fault == "html":
            return self._fresh(Answer(200, b"<html>Please sign in", "text/html"))
        if fault == "down":
            return Answer(503, b"<html>", "text/html")
        if fault == "conflict":
            return self._fresh(Answer(409, b"{}"))
        if fault == "bad nonce":
            body = {"type": _TYPE + "badNonce", "detail": "stale"}
            return self._fresh(Answer(400, json.dumps(body).encode(), "application/problem+json"))
        if fault == "rude":
            body = {"type": 7, "detail": ["x"]}
            return self._fresh(Answer(400, json.dumps(body).encode(), "application/problem+json"))
        if fault == "elsewhere":
            right()
            return self._fresh(Answer(201, b'{"status":"pending"}', headers=(("Location", "https://evil.example/o"),)))
        if fault == "no nonce":
            return Answer(200, b"{}")
        value = {"other json": [1], "no status": {"authorizations": "x"}, "deep": {"status": "dancing"}}
        return self._fresh(Answer(200, json.dumps(value[fault]).encode()))

    # -- the resources -------------------------------------------------------------------------------------------------
    def _newAccount(self, account: str, said: dict[str, object]) -> Answer:  # noqa: N802
        return Answer(201, b'{"status":"valid"}', headers=(("Location", account),))

    def _newOrder(self, account: str, said: dict[str, object]) -> Answer:  # noqa: N802
        self.wanted, self.profile = said["identifiers"], str(said.get("profile", ""))  # type: ignore[assignment]
        if any(each["type"] == "dns" for each in self.wanted):
            raise _ProblemError(400, "unsupportedIdentifier", "this server signs for devices")
        self.status = self.proof = "pending"
        return self._order(account, {}, 201)

    def _order(self, account: str, said: object, status: int = 200) -> Answer:
        if self.status == "processing":
            self.processing -= 1
            self.status = "processing" if self.processing > 0 else "valid"
        told: dict[str, object] = {
            "status": self.status,
            "identifiers": self.wanted,
            "authorizations": [f"{self.url}/authz/1"],
            "finalize": f"{self.url}/finalize/1",
        }
        if self.status == "valid":
            told["certificate"] = f"{self.url}/cert/1"
        headers = (("Location", f"{self.url}/order/1"), ("Retry-After", "3"))
        return Answer(status, json.dumps(told).encode(), headers=headers)

    def _authz(self, account: str, said: object) -> Answer:
        challenge = {
            "type": "device-attest-01",
            "url": f"{self.url}/chall/1",
            "status": self.proof,
            "token": self._token,
        }
        if self.error is not None:
            challenge["error"] = self.error  # type: ignore[assignment]
        told = {"status": self.proof, "identifier": self.wanted[0], "challenges": [challenge]}
        return Answer(200, json.dumps(told).encode())

    _token = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJyPct92wr_oA"

    def _chall(self, account: str, said: dict[str, object]) -> Answer:
        try:
            self._attest(str(said["attObj"]), f"{self._token}.{self.thumbprints[account]}".encode())
            self.proof, self.status = "valid", "ready"
        except (ValueError, KeyError, InvalidSignature) as error:
            self.proof = self.status = "invalid"
            self.error = {"type": _TYPE + "badAttestationStatement", "detail": f"attestation is not accepted: {error}"}
        return Answer(200, json.dumps({"type": "device-attest-01", "url": "x", "status": self.proof}).encode())

    def _finalize(self, account: str, said: dict[str, object]) -> Answer:
        if self.status != "ready":
            raise _ProblemError(403, "orderNotReady", "prove it first")
        request = x509.load_der_x509_csr(_unpacked(str(said["csr"])))
        if request.public_key() != self.attested:
            raise _ProblemError(400, "badCSR", "the CSR is for another key than was attested")
        self.issued = self.ca.sign(request)
        self.status = "processing" if self.processing else "valid"
        return self._order(account, {})

    def _cert(self, account: str, said: object) -> Answer:
        assert self.issued is not None
        return Answer(200, pem(self.issued, self.ca.issuer).encode(), "application/pem-certificate-chain")

    def _revokeCert(self, account: str, said: dict[str, object]) -> Answer:  # noqa: N802
        serial = x509.load_der_x509_certificate(_unpacked(str(said["certificate"]))).serial_number
        if serial in self.ca.revoked:
            raise _ProblemError(400, "alreadyRevoked", "long ago")
        self.ca.revoked[serial] = (None, said["reason"])  # type: ignore[assignment]
        return Answer(200, b"")

    # -- what stands under them ----------------------------------------------------------------------------------------
    def _attest(self, packed: str, authorization: bytes) -> None:
        found = cbor2.loads(_unpacked(packed))
        if found["fmt"] != "tpm":
            raise ValueError("the format is not taken")
        statement = found["attStmt"]
        leaf = x509.load_der_x509_certificate(statement["x5c"][0])
        for each in self.roots:
            if each.subject == leaf.issuer:
                leaf.verify_directly_issued_by(each)
                break
        else:
            raise ValueError("the attestation key is nobody's")
        leaf.public_key().verify(statement["sig"], statement["certInfo"], ec.ECDSA(hashes.SHA256()))  # type: ignore[call-arg]
        told = parse_cert_info(statement["certInfo"])
        if told.magic != b"\xffTCG" or told.extra_data != hashlib.sha256(authorization).digest():
            raise ValueError("it was made for another challenge")
        if told.attested.name != b"\x00\x0b" + hashlib.sha256(statement["pubArea"]).digest():
            raise ValueError("it is of another key")
        point = statement["pubArea"][-68:]  # TPMS_ECC_POINT of P-256, by which a public area ends
        x, y = int.from_bytes(point[2:34]), int.from_bytes(point[36:])
        self.attested = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()

    def _read(self, asked: Asked) -> tuple[str, dict[str, object]]:
        """Verify a message (RFC 8555 6.2); return its account and what it says."""
        message = json.loads(asked.body)
        head = json.loads(_unpacked(message["protected"]))
        if head["nonce"] not in self._nonces:
            raise _ProblemError(400, "badNonce", "unknown nonce")
        self._nonces.remove(head["nonce"])
        if head["url"] != f"{self.url}{asked.path}" or ("kid" in head) == ("jwk" in head):
            raise _ProblemError(400, "malformed", "wrong url or key")
        if "jwk" in head:
            account = self._account(head["jwk"])
        else:
            account = head["kid"]
        if account not in self.accounts:
            raise _ProblemError(400, "accountDoesNotExist", "who is this")
        signature = _unpacked(message["signature"])
        coded = encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
        signed = f"{message['protected']}.{message['payload']}".encode()
        try:
            self.accounts[account].verify(coded, signed, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            raise _ProblemError(400, "malformed", "wrong signature") from None
        return account, json.loads(_unpacked(message["payload"]) or b"{}")

    def _account(self, jwk: dict[str, str]) -> str:
        x, y = (int.from_bytes(_unpacked(jwk[each])) for each in ("x", "y"))
        canonical = json.dumps({each: jwk[each] for each in ("crv", "kty", "x", "y")}, separators=(",", ":"))
        thumbprint = base64.urlsafe_b64encode(hashlib.sha256(canonical.encode()).digest()).decode().rstrip("=")
        place = f"{self.url}/account/{thumbprint}"
        self.accounts[place] = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
        self.thumbprints[place] = thumbprint
        return place

    def _fresh(self, answer: Answer) -> Answer:
        self._count += 1
        nonce = base64.urlsafe_b64encode(self._count.to_bytes(16)).decode().rstrip("=")
        self._nonces.add(nonce)
        return answer._replace(
            headers=(*answer.headers, ("Replay-Nonce", nonce), ("Link", f'<{self.url}>;rel="index"'))
        )


def _unpacked(text: str) -> bytes:
    assert "=" not in text
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
