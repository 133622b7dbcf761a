"""A stand-in for HashiCorp Vault's and OpenBao's Transit engine, with real keys behind it.

Vault HTTP API ("Transit secrets engine", "Token", "AppRole", "JWT/OIDC", "/sys/audit", "HTTP status codes"), and for
what the documents leave open OpenBao's source, ``builtin/logical/transit/path_keys.go`` and ``path_sign_verify.go``: a
key that is made twice is made once and a warning tells, a missing key is 404 to read and 400 to sign with, an unset
PSS salt is as long as can be, and ECDSA cuts whatever digest it is given.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from tests.stubs.server import Answer, Asked, Stub, fresh_key

TOKEN, SECRET_ID, JWT = "hvs.canary-7391", "canary-secret-id-7391", "canary.jwt.7391"
_TYPES = ("rsa-3072", "rsa-4096", "ecdsa-p256", "ecdsa-p384", "ecdsa-p521")
_HASHES = {"sha2-256": hashes.SHA256(), "sha2-384": hashes.SHA384(), "sha2-512": hashes.SHA512()}


class _RefusedError(Exception):
    def __init__(self, status: int, *errors: str) -> None:
        super().__init__(status)
        self.status = status
        self.errors = errors


@dataclass
class _Key:
    name: str
    type: str
    private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    facts: dict[str, object] = field(default_factory=dict)
    signed: list[bytes] = field(default_factory=list)


class VaultStub(Stub):
    """One Transit engine at ``transit``, with its logins."""

    def __init__(self, folder: Path) -> None:
        self.keys: dict[str, _Key] = {}
        self.tokens: dict[str, tuple[int, bool]] = {TOKEN: (0, False)}
        """Token -> seconds that it is good for, and whether it may be renewed."""
        self.logins = self.renewals = 0
        self.lease, self.secret_ids, self.jwts = 3600, {SECRET_ID}, {JWT}
        self.new_keys: dict[str, object] = {}
        """Facts of the next keys that are otherwise than asked for."""
        self.sealed = False
        self.digests: list[bytes] = []
        """What was signed, in the order in which it was."""
        self.forbidden: set[str] = set()
        self.devices: dict[str, dict[str, object]] = {"file/": {"type": "file", "options": {"file_path": "/a"}}}
        self.now = lambda: datetime.now(UTC)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "audit").mkdir(exist_ok=True)
        self.audit_file = folder / "audit" / "vault.log"
        super().__init__(folder)
        (folder / "secret").mkdir(exist_ok=True)
        self.credentials = folder / "secret" / "token"
        self.write_credentials()

    @property
    def signs(self) -> int:
        """How many signatures were made, whoever got them."""
        return sum(len(each.signed) for each in self.keys.values())

    def write_credentials(self, text: str = TOKEN) -> None:
        self.credentials.write_text(text + "\n")
        self.credentials.chmod(0o600)

    # -- the front ---------------------------------------------------------------------------------------------------
    def named(self, asked: Asked) -> str:
        parts = asked.path.removeprefix("/v1/").split("/")
        if parts[0] != "transit":
            return parts[-1]
        verbs = {"GET": "read", "DELETE": "delete"}
        return (
            "config" if parts[-1] == "config" else verbs.get(asked.method, "create" if parts[1] == "keys" else "sign")
        )

    def answer(self, asked: Asked) -> Answer:
        with self.lock:
            try:
                found = self._routed(asked)
            except _RefusedError as refused:
                self._audited(asked, None, "\n".join(refused.errors) or "refused")
                return _error(refused.status, *refused.errors)
            self._audited(asked, found, None)
            if found is None:
                return Answer(204, b"")
            said = {"request_id": "0", "lease_id": "", "renewable": False, "warnings": None, "auth": None} | found
            return Answer(200, json.dumps(said).encode())

    def disobeyed(self, fault: str, asked: Asked, right: Callable[[], Answer]) -> Answer:
        if fault == "lie":
            said = json.loads(right().body)
            prefix, _, value = said["data"]["signature"].rpartition(":")
            octets = bytearray(base64.b64decode(value))
            octets[-1] ^= 1
            said["data"]["signature"] = f"{prefix}:{base64.b64encode(octets).decode()}"
            return Answer(200, json.dumps(said).encode())
        if fault == "version":
            return Answer(200, right().body.replace(b"vault:v1:", b"vault:v2:"))
        if fault == "429":
            return _error(429, 'request path "transit/sign": rate limit quota exceeded, canary')
        if fault == "sealed":
            return _error(503, "Vault is sealed")
        if fault == "307":
            return Answer(307, b"")
        return _error(int(fault), "canary-text-7391 of Vault")

    def _routed(self, asked: Asked) -> dict[str, object] | None:
        if self.sealed:
            raise _RefusedError(503, "Vault is sealed")
        assert asked.headers.get("x-vault-request") == "true"
        path = asked.path.removeprefix("/v1/")
        body = json.loads(asked.body) if asked.body else {}
        if path.endswith("/login"):
            return self._login(path, body)
        token = asked.headers.get("x-vault-token", "")
        if token not in self.tokens or path in self.forbidden:
            raise _RefusedError(403, "permission denied")
        if path == "auth/token/lookup-self":
            ttl, renewable = self.tokens[token]
            return {"data": {"ttl": ttl, "renewable": renewable, "id": token}}
        if path == "auth/token/renew-self":
            return self._renew(token)
        if path == "sys/audit":
            return {"data": self.devices, **self.devices}
        parts = [unquote(each) for each in path.split("/")]
        if parts[0] != "transit":
            raise _RefusedError(404, f'no handler for route "{path}". route entry not found.')
        if parts[1] == "sign":
            return self._sign(parts[2], body)
        if len(parts) == 4:
            return self._config(parts[2], body)
        return {"GET": self._read, "DELETE": self._delete, "POST": lambda name: self._create(name, body)}[asked.method](
            parts[2]
        )

    # -- logins ------------------------------------------------------------------------------------------------------
    def _login(self, path: str, body: dict[str, object]) -> dict[str, object]:
        if path == "auth/approle/login":
            if body.get("role_id") != "role-1" or body.get("secret_id") not in self.secret_ids:
                raise _RefusedError(400, "invalid role or secret ID")
        elif path in ("auth/jwt/login", "auth/kubernetes/login"):
            if body.get("role") != "seal":
                raise _RefusedError(400, f'role "{body.get("role")}" could not be found')
            if body.get("jwt") not in self.jwts:
                raise _RefusedError(403, "permission denied")
        else:
            raise _RefusedError(404, f'no handler for route "{path}". route entry not found.')
        self.logins += 1
        token = f"hvs.canary-login-{self.logins}"
        self.tokens[token] = (self.lease, True)
        return {"auth": {"client_token": token, "lease_duration": self.lease, "renewable": True}}

    def _renew(self, token: str) -> dict[str, object]:
        ttl, renewable = self.tokens[token]
        if not renewable:
            raise _RefusedError(400, "lease is not renewable")
        self.renewals += 1
        return {"auth": {"client_token": token, "lease_duration": ttl, "renewable": True}}

    # -- Transit -----------------------------------------------------------------------------------------------------
    def _create(self, name: str, asked: dict[str, object]) -> dict[str, object]:
        if name in self.keys:
            return {**self._shown(self.keys[name]), "warnings": [f"key {name} already existed"]}
        if asked.get("type") not in _TYPES:
            raise _RefusedError(400, f"unknown key type {asked.get('type')}")
        facts = {
            "exportable": bool(asked.get("exportable")),
            "allow_plaintext_backup": bool(asked.get("allow_plaintext_backup")),
            "deletion_allowed": False,
            "imported_key": False,
            "latest_version": 1,
            "supports_signing": True,
            "derived": False,
        }
        kind = str(asked["type"])
        self.keys[name] = _Key(name, kind, fresh_key(kind), facts | self.new_keys)
        return self._shown(self.keys[name])

    def _shown(self, key: _Key) -> dict[str, object]:
        public = key.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        names = {"ecdsa-p256": "P-256", "ecdsa-p384": "P-384", "ecdsa-p521": "P-521"}
        version = {"name": names.get(key.type, key.type), "public_key": public.decode(), "creation_time": "2026-11-30"}
        return {"data": {"name": key.name, "type": key.type, "keys": {"1": version}} | key.facts}

    def _read(self, name: str) -> dict[str, object]:
        if name not in self.keys:
            raise _RefusedError(404)
        return self._shown(self.keys[name])

    def _config(self, name: str, asked: dict[str, object]) -> None:
        if name not in self.keys:
            raise _RefusedError(400, f"no existing key named {name} could be found")
        self.keys[name].facts |= asked

    def _delete(self, name: str) -> None:
        if name not in self.keys:
            raise _RefusedError(400, f"error deleting policy {name}: could not delete key; not found")
        if not self.keys[name].facts["deletion_allowed"]:
            raise _RefusedError(400, f"error deleting policy {name}: deletion is not allowed for this key")
        del self.keys[name]

    def _sign(self, name: str, asked: dict[str, object]) -> dict[str, object]:
        if name not in self.keys:
            raise _RefusedError(400, "signing key not found")
        key = self.keys[name]
        algorithm = _HASHES[str(asked.get("hash_algorithm", "sha2-256"))]
        octets = base64.b64decode(str(asked["input"]))
        if not asked.get("prehashed"):
            octets = hashlib.new(algorithm.name, octets).digest()
        if asked.get("key_version", 0) not in (0, 1):
            raise _RefusedError(400, "requested version for signing is higher than the latest key version")
        if isinstance(key.private, ec.EllipticCurvePrivateKey):
            assert asked.get("marshaling_algorithm", "asn1") == "asn1"
            value = _ecdsa(key.private, octets)
        else:
            if len(octets) != algorithm.digest_size:
                raise _RefusedError(500, "crypto/rsa: input must be hashed message")
            salt = algorithm.digest_size if asked.get("salt_length") == "hash" else padding.PSS.MAX_LENGTH
            pss = padding.PSS(padding.MGF1(algorithm), salt)  # type: ignore[arg-type]
            way = padding.PKCS1v15() if asked.get("signature_algorithm") == "pkcs1v15" else pss
            value = key.private.sign(octets, way, Prehashed(algorithm))
        key.signed.append(value)
        self.digests.append(octets)
        return {"data": {"signature": "vault:v1:" + base64.b64encode(value).decode(), "key_version": 1}}

    # -- the audit device --------------------------------------------------------------------------------------------
    def _audited(self, asked: Asked, found: dict[str, object] | None, error: str | None) -> None:
        operations = {"GET": "read", "POST": "update", "DELETE": "delete"}
        request = {"path": asked.path.removeprefix("/v1/"), "operation": operations[asked.method]}
        time = self.now().strftime("%Y-%m-%dT%H:%M:%S.%f") + "123Z"
        data = {"data": {"signature": "hmac-sha256:00"}} if found is not None and "data" in found else {}
        entry = {"time": time, "type": "request", "auth": {"display_name": "token"}, "request": request}
        answer = entry | {"type": "response", "response": data} | ({} if error is None else {"error": error})
        with self.audit_file.open("a") as file:
            file.write(json.dumps(entry) + "\n" + json.dumps(answer) + "\n")


def _ecdsa(private: ec.EllipticCurvePrivateKey, digest: bytes) -> bytes:
    """Sign a digest of any length: it is cut to the length of the curve's order (FIPS 186-5 section 6.4.1)."""
    algorithm = next(each for each in _HASHES.values() if each.digest_size == len(digest))
    return private.sign(digest, ec.ECDSA(Prehashed(algorithm)))


def _error(status: int, *errors: str) -> Answer:
    return Answer(status, json.dumps({"errors": list(errors)}).encode())
