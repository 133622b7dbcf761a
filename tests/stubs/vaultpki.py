"""A stand-in for the PKI engine of HashiCorp Vault and OpenBao, with a real CA behind it.

Vault HTTP API, "PKI secrets engine": ``sign/:role`` takes the common name of the CSR and nothing else of its subject,
``sign-verbatim/:role`` the whole of it; ``revoke`` of an unknown serial is 400, of a revoked one the first answer
again. Errors are ``{"errors": [...]}``, a token that may not is 403, a sealed Vault 503 ("HTTP status codes").
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID
from tests.stubs.ca import ca, common_name, pem
from tests.stubs.server import Answer, Asked, Stub

TOKEN, ROLE_ID, SECRET_ID = "hvs.canary-pki-4471", "role-of-privyseal", "canary-secret-id-4471"


class VaultPkiStub(Stub):
    """One engine at ``pki`` with one role, ``code``, and an AppRole."""

    def __init__(self, folder: Path) -> None:
        self.ca = ca("Vault")
        self.asked: list[dict[str, object]] = []
        self.namespaces: list[str] = []
        self.longest = 400 * 24
        super().__init__(folder)

    def named(self, asked: Asked) -> str:
        return asked.path.split("/")[3]

    def answer(self, asked: Asked) -> Answer:
        said = json.loads(asked.body or b"{}")
        self.namespaces.append(asked.headers.get("x-vault-namespace", ""))
        if asked.path == "/v1/auth/approle/login":
            if (said.get("role_id"), said.get("secret_id")) != (ROLE_ID, SECRET_ID):
                return _no(400, "invalid role or secret ID")
            return _yes({"auth": {"client_token": TOKEN, "lease_duration": 60, "renewable": True}, "data": None})
        if asked.headers.get("x-vault-token") != TOKEN:
            return _no(403, "permission denied")
        if asked.path in {"/v1/pki/sign/code", "/v1/pki/sign-verbatim/code"}:
            return self._sign(said, verbatim="verbatim" in asked.path)
        if asked.path.startswith(("/v1/pki/sign/", "/v1/pki/sign-verbatim/")):
            return _no(400, f"unknown role: {asked.path.rpartition('/')[2]}")
        if asked.path == "/v1/pki/revoke":
            return self._revoke(said)
        return _no(404)

    def disobeyed(self, fault: str, asked: Asked, right: Callable[[], Answer]) -> Answer:
        if fault == "html":
            return Answer(200, b"<html>Please sign in", "text/html")
        if fault == "sealed":
            return _no(503, "Vault is sealed")
        if fault == "behind":
            return _no(412, "required index state not present")
        value = {"other json": {"data": {"certificate": 7}}, "no chain": {"data": {"certificate": "not PEM"}}}
        return Answer(200, json.dumps(value[fault]).encode())

    def _sign(self, said: dict[str, object], *, verbatim: bool) -> Answer:
        self.asked.append(said)
        request = x509.load_pem_x509_csr(str(said["csr"]).encode())
        name = common_name(request.subject)
        if not verbatim and not name:
            return _no(
                400, 'the common_name field is required, or must be provided in a CSR with "use_csr_common_name"'
            )
        if int(str(said["ttl"]).rstrip("h")) > self.longest:
            return _no(400, "cannot satisfy request, as TTL would result in notAfter beyond the expiration of the CA")
        subject = request.subject if verbatim else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = self.ca.sign(request, subject)
        return _yes(
            {
                "data": {
                    "certificate": pem(made).strip(),
                    "issuing_ca": pem(self.ca.issuer).strip(),
                    "ca_chain": [pem(self.ca.issuer).strip(), pem(self.ca.root).strip()],
                    "serial_number": _serial(made.serial_number),
                    "expiration": int(made.not_valid_after_utc.timestamp()),
                }
            }
        )

    def _revoke(self, said: dict[str, object]) -> Answer:
        serial = int(str(said["serial_number"]).replace(":", ""), 16)
        if serial not in self.ca.issued or str(said["serial_number"]) != _serial(serial):
            return _no(400, f"certificate with serial {said['serial_number']} not found")
        when, _ = self.ca.revoked.setdefault(serial, (datetime.now(UTC).replace(microsecond=0), None))
        told = {
            "revocation_time": int(when.timestamp()),
            "revocation_time_rfc3339": when.isoformat(),
            "state": "revoked",
        }
        return _yes({"data": told})


def _serial(number: int) -> str:
    octets = number.to_bytes((number.bit_length() + 7) // 8)
    return octets.hex(":")


def _yes(said: dict[str, object]) -> Answer:
    return Answer(200, json.dumps({"request_id": "r", "lease_duration": 0, **said}).encode())


def _no(status: int, *errors: str) -> Answer:
    return Answer(status, json.dumps({"errors": list(errors)}).encode())
