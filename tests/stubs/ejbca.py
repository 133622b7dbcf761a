"""A stand-in for EJBCA's REST interface, with a real CA behind it.

Keyfactor's documentation ("EJBCA REST Interface") and the source of EJBCA CE, ``CertificateRestResource.java``: 201
with ``certificate`` and ``certificate_chain`` in base64 of DER; 202 with ``error_message`` where administrators have to
approve, without a number; a search's certificates in base64 twice; ``certificaterequest`` for an end entity that is
there, which takes one certificate each; 409 for what is revoked already. Errors have ``error_code`` and
``error_message``.
"""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from cryptography import x509
from tests.stubs.ca import DER, ca, pem
from tests.stubs.server import Answer, Asked, Stub

API = "/ejbca/ejbca-rest-api/v1"
CODE = "canary-enrolment-code-2291"
PROFILES = {"CodeSigning", "EVCodeSigning"}
REASONS = {
    "UNSPECIFIED",
    "KEY_COMPROMISE",
    "AFFILIATION_CHANGED",
    "SUPERSEDED",
    "CESSATION_OF_OPERATION",
    "PRIVILEGES_WITHDRAWN",
}


class EjbcaStub(Stub):
    """One CA, ``IssuingCA``, with one end entity profile."""

    def __init__(self, folder: Path) -> None:
        self.ca = ca("EJBCA")
        self.approvals = False
        """Whether administrators have to approve."""
        self.pending: set[str] = set()
        self.entities: dict[str, list[x509.Certificate]] = {}
        """End entity -> what was issued to it; an empty list: it may enrol."""
        self.asked: list[tuple[str, dict[str, object]]] = []
        super().__init__(folder)
        context = self._server.socket.context
        context.load_verify_locations(cadata=pem(self.ca.root, self.ca.issuer))
        context.verify_mode = ssl.CERT_REQUIRED

    def approve(self) -> None:
        """Do what administrators do."""
        for each in self.pending:
            self.entities[each] = []
        self.pending.clear()

    def named(self, asked: Asked) -> str:
        return asked.path.partition("?")[0].rpartition("/")[2]

    def answer(self, asked: Asked) -> Answer:
        path = urlsplit(asked.path)
        said = json.loads(asked.body or b"{}")
        name = self.named(asked)
        self.asked.append((name, said))
        if not path.path.startswith(API):
            return Answer(404, b"<html>Not Found", "text/html")
        if name == "search":
            return self._search(said)
        if name in {"pkcs10enroll", "certificaterequest"}:
            return self._enrol(name, said)
        parts = path.path.removeprefix(API).split("/")
        if name == "download" and unquote(parts[2]) == self.ca.issuer.subject.rfc4514_string():
            return Answer(200, pem(self.ca.issuer, self.ca.root).encode(), "application/octet-stream")
        if name in {"revoke", "revocationstatus"}:
            return self._status(name, unquote(parts[2]), int(parts[3], 16), parse_qs(path.query))
        return _no(404, "HTTP 404 Not Found")

    def disobeyed(self, fault: str, asked: Asked, right: Callable[[], Answer]) -> Answer:
        if fault == "html":
            return Answer(200, b"<html>Please sign in", "text/html")
        if fault == "sealed":
            return Answer(503, b"<html>Service Unavailable", "text/html")
        if fault == "forbidden":
            return _no(403, "Administrator is not authorized to resource /administrator.")
        value = {"other json": {"certificate": 7}, "no chain": {"certificate": "%%%"}}
        return Answer(201, json.dumps(value[fault]).encode())

    def _search(self, said: dict[str, object]) -> Answer:
        [wanted] = said["criteria"]  # type: ignore[misc]
        assert (wanted["property"], wanted["operation"]) == ("QUERY", "EQUAL")
        found = self.entities.get(wanted["value"], [])
        told = [
            {"certificate": base64.b64encode(_coded(each).encode()).decode(), "response_format": "DER"}
            for each in found
        ]
        return Answer(200, json.dumps({"certificates": told, "more_results": False}).encode())

    def _enrol(self, name: str, said: dict[str, object]) -> Answer:
        entity = str(said["username"])
        if said["certificate_authority_name"] != "IssuingCA":
            return _no(404, f"CA with name {said['certificate_authority_name']} doesn't exist")
        if name == "certificaterequest":
            if entity not in self.entities:
                return _no(400, f"Got request with nonexisting user '{entity}'")
            if self.entities[entity]:
                return _no(400, f"Got request with status GENERATED (40), NEW, FAILED or INPROCESS required: {entity}")
        else:
            if said["certificate_profile_name"] not in PROFILES:
                return _no(400, f"Certificate profile {said['certificate_profile_name']} does not exist")
            if entity in self.entities or entity in self.pending:
                return _no(400, f"End entity {entity} already exists")
            if self.approvals:
                self.pending.add(entity)
                return _no(202, "The request has been added for approval by authorized administrators")
        if said["password"] != CODE:
            return _no(400, "Wrong username or password")
        made = self.ca.sign(x509.load_pem_x509_csr(str(said["certificate_request"]).encode()))
        self.entities[entity] = [made]
        chain = [_coded(each) for each in (self.ca.issuer, self.ca.root)] if said["include_chain"] else None
        told = {
            "certificate": _coded(made),
            "certificate_chain": chain,
            "serial_number": f"{made.serial_number:X}",
            "response_format": "DER",
        }
        return Answer(201, json.dumps(told).encode())

    def _status(self, name: str, issuer: str, serial: int, query: dict[str, list[str]]) -> Answer:
        if issuer != self.ca.issuer.subject.rfc4514_string():
            return _no(404, f"CA '{issuer}' does not exist.")
        if serial not in self.ca.issued:
            return _no(404, f"Certificate with serial number {serial:X} was not found")
        if name == "revoke":
            if serial in self.ca.revoked:
                return _no(409, f"Certificate with serial {serial:X} is already revoked")
            if query["reason"][0] not in REASONS:
                return _no(400, "Invalid revocation reason.")
            when = datetime.fromisoformat(query["date"][0]) if "date" in query else datetime.now(UTC)
            if when > datetime.now(UTC):
                return _no(400, "Date in the future")
            if self.approvals:
                return _no(202, "The request has been added for approval by authorized administrators")
            self.ca.revoked[serial] = (when.replace(microsecond=0), query["reason"][0])
        when, reason = self.ca.revoked.get(serial, (None, "NOT_REVOKED"))
        told = {
            "issuer_dn": issuer,
            "serial_number": f"{serial:X}",
            "revocation_reason": reason,
            "revocation_date": when.strftime("%Y-%m-%dT%H:%M:%SZ") if when else None,
            "revoked": when is not None,
        }
        return Answer(200, json.dumps(told).encode())


def _coded(certificate: x509.Certificate) -> str:
    return base64.b64encode(certificate.public_bytes(DER)).decode("ascii")


def _no(status: int, message: str) -> Answer:
    return Answer(status, json.dumps({"error_code": status, "error_message": message}).encode())
