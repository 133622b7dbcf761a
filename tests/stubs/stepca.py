"""A stand-in for step-ca with one JWK provisioner, with a real CA behind it.

smallstep's documentation ("Provisioners: JWK") and the source: ``authority/provisioner/jwk.go`` (issuer, audience,
subject, times with a minute of patience), ``sign_options.go`` (the CSR's common name is the token's subject, its names
are the token's), ``authority/authorize.go`` (a token is used once), ``api/sign.go`` (201; ``crt``, ``ca``,
``certChain``), ``authority/tls.go`` (a second revocation is 400). Errors are ``{"status", "message"}``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from tests.stubs.ca import ca, common_name, pem
from tests.stubs.server import Answer, Asked, Stub

PROVISIONER = "privyseal@example.org"


class StepCaStub(Stub):
    """One step-ca whose longest certificate lives 400 days."""

    def __init__(self, folder: Path) -> None:
        self.ca = ca("step-ca")
        self.key = ECKey.generate_key("P-256", {"kid": "provisioner-1", "use": "sig"})
        self.used: set[str] = set()
        self.asked: list[dict[str, object]] = []
        self.longest = timedelta(days=400)
        super().__init__(folder)

    def named(self, asked: Asked) -> str:
        return asked.path

    def answer(self, asked: Asked) -> Answer:
        said = json.loads(asked.body or b"{}")
        self.asked.append(said)
        if asked.path not in {"/1.0/sign", "/1.0/revoke"}:
            return _no(404, "page not found")
        claims = self._claims(str(said.get("ott")), asked.path)
        if claims is None:
            return _no(401, "The request lacked necessary authorization to be completed")
        return self._sign(said, claims) if asked.path == "/1.0/sign" else self._revoke(said, claims)

    def disobeyed(self, fault: str, asked: Asked, right: Callable[[], Answer]) -> Answer:
        if fault == "html":
            return Answer(200, b"<html>Please sign in", "text/html")
        if fault == "sealed":
            return _no(500, "The certificate authority encountered an Internal Server Error.")
        value = {"other json": {"crt": 7}, "no chain": {"crt": "not PEM"}}
        return Answer(201, json.dumps(value[fault]).encode())

    def _claims(self, token: str, path: str) -> dict[str, object] | None:
        try:
            read = jwt.decode(token, self.key, algorithms=["ES256"])
        except (JoseError, ValueError):
            return None
        claims = read.claims
        now, patience = datetime.now(UTC).timestamp(), 60
        good = (
            read.header.get("kid") == self.key.kid
            and claims.get("iss") == PROVISIONER
            and claims.get("aud") == f"{self.url}{path}"
            and claims.get("sub")
            and claims["nbf"] <= now + patience
            and claims["exp"] >= now - patience
            and claims["exp"] - claims["nbf"] <= 300
            and claims["jti"] not in self.used
        )
        self.used.add(str(claims.get("jti")))
        return claims if good else None

    def _sign(self, said: dict[str, object], claims: dict[str, object]) -> Answer:
        request = x509.load_pem_x509_csr(str(said["csr"]).encode())
        if common_name(request.subject) != claims["sub"]:
            return _no(
                403,
                "The request was forbidden by the certificate authority: certificate request does not contain"
                f" the valid common name - got {common_name(request.subject)}, want {claims['sub']}.",
            )
        until = datetime.fromisoformat(str(said["notAfter"]))
        if until > datetime.now(UTC) + self.longest:
            return _no(
                403,
                "The request was forbidden by the certificate authority: requested duration is more than the"
                " authorized maximum certificate duration.",
            )
        made = self.ca.sign(request)
        told = {"crt": pem(made), "ca": pem(self.ca.issuer), "certChain": [pem(made), pem(self.ca.issuer)]}
        return Answer(201, json.dumps(told).encode())

    def _revoke(self, said: dict[str, object], claims: dict[str, object]) -> Answer:
        serial = int(str(said["serial"]))
        if claims["sub"] != str(serial):
            return _no(401, "token subject is not the serial number")
        if serial in self.ca.revoked:
            return _no(
                400,
                f"The request could not be completed: certificate with serial number '{serial}' is already revoked.",
            )
        assert said["passive"] is True
        self.ca.revoked[serial] = (datetime.now(UTC), said["reasonCode"])
        return Answer(200, b'{"status":"ok"}')


def _no(status: int, message: str) -> Answer:
    return Answer(status, json.dumps({"status": status, "message": message}).encode())
