"""A stand-in for Azure Key Vault and Managed HSM, Entra, Resource Manager and Log Analytics, with real keys behind it.

Key Vault REST API 7.6 (CreateKey, GetKey, GetKeys, GetKeyVersions, Sign, DeleteKey), "Authentication, requests and
responses", "Azure Key Vault soft-delete overview"; Microsoft identity platform, "client credentials flow"; Azure
Monitor, "Diagnostic settings - List" and "Query - Execute"; "Azure Key Vault logging". A second key of one name is a
second version, a deleted name is Conflict while it can be recovered, and ECDSA is r and s side by side.
"""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from tests.stubs.server import Answer, Asked, Stub, fresh_key

VAULT = "https://seal-prod.vault.azure.net"
TENANT, CLIENT = "11111111-2222-3333-4444-555555555555", "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
WORKSPACE = "99999999-2222-3333-4444-555555555555"
RESOURCE = (
    "/subscriptions/00000000-2222-3333-4444-555555555555/resourceGroups/seal"
    "/providers/Microsoft.KeyVault/vaults/seal-prod"
)
SECRET, WORKLOAD = "canary-secret-7391", "canary.workload.7391"
_SIZES = {3072: "rsa-3072", 4096: "rsa-4096"}
_CURVES = {
    "P-256": ("ecdsa-p256", "ES256", 32),
    "P-384": ("ecdsa-p384", "ES384", 48),
    "P-521": ("ecdsa-p521", "ES512", 66),
}
_HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


class _RefusedError(Exception):
    def __init__(self, status: int, code: str, inner: str = "") -> None:
        super().__init__(code)
        self.status, self.code, self.inner = status, code, inner


@dataclass
class _Version:
    name: str
    version: str
    private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    kty: str
    ops: list[str]
    tags: dict[str, str]
    exportable: bool = False
    enabled: bool = True
    policy: dict[str, object] | None = None
    platform: str = "2"
    signed: list[bytes] = field(default_factory=list)


class AzureStub(Stub):
    """All its services at one address; the path tells them apart."""

    def __init__(self, folder: Path) -> None:
        self.keys: dict[str, list[_Version]] = {}
        self.deleted: dict[str, list[_Version]] = {}
        self.secrets, self.workloads = {SECRET}, {WORKLOAD}
        self.tokens: dict[str, str] = {}
        """Token -> what it is good for."""
        self.logins = 0
        self.lasts = 3599
        self.premium = True
        self.new_keys: dict[str, object] = {}
        """Fields of the next keys that are otherwise than asked for."""
        self.settings: list[dict[str, object]] = [
            {
                "name": "all",
                "properties": {"workspaceId": "/x", "logs": [{"category": "AuditEvent", "enabled": True}]},
            }
        ]
        self.events: list[tuple[datetime, str, bool]] = []
        self.digests: list[bytes] = []
        """What was signed, in the order in which it was."""
        self.now = lambda: datetime.now(UTC)
        super().__init__(folder)
        (folder / "secret").mkdir(exist_ok=True)
        self.credentials = folder / "secret" / "secret"
        self.write_credentials()

    @property
    def signs(self) -> int:
        """How many signatures were made, whoever got them."""
        return sum(len(one.signed) for each in (self.keys, self.deleted) for all_ in each.values() for one in all_)

    def write_credentials(self, text: str = SECRET) -> None:
        self.credentials.write_text(text + "\n")
        self.credentials.chmod(0o600)

    # -- the front ---------------------------------------------------------------------------------------------------
    def named(self, asked: Asked) -> str:
        path = urlsplit(asked.path).path
        if not path.startswith("/keys"):
            return path.rpartition("/")[2]
        last = path.rpartition("/")[2]
        if asked.method == "DELETE":
            return "delete"
        return last if last in ("create", "sign", "versions", "keys") else "get"

    def answer(self, asked: Asked) -> Answer:
        with self.lock:
            try:
                return Answer(200, json.dumps(self._routed(asked)).encode())
            except _RefusedError as refused:
                return _error(refused.status, refused.code, refused.inner)

    def disobeyed(self, fault: str, asked: Asked, right: Callable[[], Answer]) -> Answer:
        if fault in ("lie", "short", "another", "second"):
            said = json.loads(right().body)
            if fault == "another":
                said["kid"] = said["kid"][:-32] + "0" * 32
            elif fault == "second":  # somebody made one at the same moment
                name = said["key"]["kid"].split("/")[-2]
                self.keys[name].append(self.keys[name][0])
            else:
                value = bytearray(_un64(said["value"]))
                value[-1] ^= 1
                said["value"] = _url64(bytes(value[:-1] if fault == "short" else value))
            return Answer(200, json.dumps(said).encode())
        return _error(int(fault), "Throttled" if fault == "429" else "InternalServerError")

    def _routed(self, asked: Asked) -> dict[str, object]:
        url = urlsplit(asked.path)
        if url.path == "/metadata/identity/oauth2/token":
            assert asked.headers["metadata"] == "true"
            return self._token(parse_qs(url.query)["resource"][0])
        if url.path.endswith("/oauth2/v2.0/token"):
            return self._login(url.path, {name: value[0] for name, value in parse_qs(asked.body.decode()).items()})
        audience = self.tokens.get(asked.headers.get("authorization", "").removeprefix("Bearer "))
        body = json.loads(asked.body or b"{}")
        if url.path == RESOURCE + "/providers/Microsoft.Insights/diagnosticSettings":
            return self._for(audience, "https://management.azure.com") or {"value": self.settings}
        if url.path == f"/v1/workspaces/{WORKSPACE}/query":
            return self._for(audience, "https://api.loganalytics.io") or self._query(body)
        self._for(audience, "https://vault.azure.net")
        assert parse_qs(url.query)["api-version"] == ["7.6"] or audience is None
        parts = url.path.strip("/").split("/")
        if len(parts) == 1:
            return {"value": [], "nextLink": None}
        name, rest = parts[1].lower(), parts[2:]
        if rest == ["create"]:
            return self._create(name, body)
        if name not in self.keys:
            raise _RefusedError(404, "KeyNotFound")
        if asked.method == "DELETE":
            self.deleted[name] = self.keys.pop(name)
            return self._bundle(self.deleted[name][-1]) | {"recoveryId": f"{VAULT}/deletedkeys/{name}"}
        if rest == ["versions"]:
            return {"value": [{"kid": self._kid(each)} for each in self.keys[name]]}
        one = next((each for each in self.keys[name] if [each.version] == rest[:1] or not rest), None)
        if one is None:
            raise _RefusedError(404, "KeyNotFound")
        return self._sign(one, body) if rest[1:] == ["sign"] else self._bundle(one)

    def _for(self, audience: str | None, wanted: str) -> dict[str, object]:
        if audience != wanted:
            raise _RefusedError(401, "Unauthorized")
        return {}

    def _login(self, path: str, form: dict[str, str]) -> dict[str, object]:
        assert path == f"/{TENANT}/oauth2/v2.0/token" and form["grant_type"] == "client_credentials"
        by_token = form.get("client_assertion_type") == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        known = form.get("client_assertion") in self.workloads if by_token else form["client_secret"] in self.secrets
        if form["client_id"] != CLIENT or not known:
            raise _RefusedError(401, "invalid_client")
        return self._token(form["scope"].removesuffix("/.default"))

    def _token(self, audience: str) -> dict[str, object]:
        self.logins += 1
        token = f"canary.token.{self.logins}"
        self.tokens[token] = audience
        return {"token_type": "Bearer", "expires_in": self.lasts, "access_token": token}

    # -- keys --------------------------------------------------------------------------------------------------------
    def _kid(self, one: _Version) -> str:
        return f"{VAULT}/keys/{one.name}/{one.version}"

    def _create(self, name: str, asked: dict[str, object]) -> dict[str, object]:
        if name in self.deleted:
            raise _RefusedError(409, "Conflict", "ObjectIsDeletedButRecoverable")
        kty = str(asked["kty"])
        if not re.fullmatch(r"[0-9a-zA-Z-]{1,127}", name) or (kty.endswith("-HSM") and not self.premium):
            raise _RefusedError(400, "BadParameter")
        rsa_key = kty.startswith("RSA")
        kind = _SIZES[int(str(asked["key_size"]))] if rsa_key else _CURVES[str(asked["crv"])][0]
        ops, tags = asked["key_ops"], asked["tags"]
        one = _Version(name, uuid.uuid4().hex, fresh_key(kind), kty, ops, tags)  # type: ignore[arg-type]
        one.platform = "2" if kty.endswith("-HSM") else "0"
        for field_name, value in self.new_keys.items():
            setattr(one, field_name, value)
        self.keys.setdefault(name, []).append(one)
        return self._bundle(one)

    def _bundle(self, one: _Version) -> dict[str, object]:
        jwk: dict[str, object] = {"kid": self._kid(one), "kty": one.kty, "key_ops": one.ops}
        public = one.private.public_key()
        if isinstance(public, rsa.RSAPublicKey):
            numbers = public.public_numbers()
            jwk |= {"n": _url64(numbers.n.to_bytes(public.key_size // 8, "big")), "e": "AQAB"}
        else:
            curve = next(each for each in _CURVES if _on(public, each))
            point, size = public.public_numbers(), _CURVES[curve][2]
            x, y = (_url64(each.to_bytes(size, "big")) for each in (point.x, point.y))
            jwk |= {"crv": curve, "x": x, "y": y}
        attributes = {
            "enabled": one.enabled,
            "created": 1764500000,
            "updated": 1764500000,
            "recoveryLevel": "Recoverable+Purgeable",
            "recoverableDays": 90,
            "exportable": one.exportable,
            "hsmPlatform": one.platform,
        }
        said: dict[str, object] = {"key": jwk, "attributes": attributes, "tags": one.tags}
        return said if one.policy is None else said | {"release_policy": one.policy}

    def _sign(self, one: _Version, asked: dict[str, object]) -> dict[str, object]:
        try:
            value = self._signature(one, str(asked["alg"]), _un64(str(asked["value"])))
        except _RefusedError:
            self.events.append((self.now(), self._kid(one), False))
            raise
        one.signed.append(value)
        self.digests.append(_un64(str(asked["value"])))
        self.events.append((self.now(), self._kid(one), True))
        return {"kid": self._kid(one), "value": _url64(value)}

    def _signature(self, one: _Version, algorithm: str, digest: bytes) -> bytes:
        if not one.enabled:
            raise _RefusedError(403, "Forbidden", "KeyDisabled")
        if len(digest) != int(algorithm[2:]) // 8:
            raise _RefusedError(400, "BadParameter")
        chosen = _HASHES[algorithm[2:]]
        if isinstance(one.private, ec.EllipticCurvePrivateKey):
            curve = next(each for each in _CURVES.values() if each[1] == algorithm) if algorithm[:2] == "ES" else None
            if curve is None or not _on(one.private.public_key(), next(c for c, v in _CURVES.items() if v == curve)):
                raise _RefusedError(400, "BadParameter")
            both = decode_dss_signature(one.private.sign(digest, ec.ECDSA(Prehashed(chosen))))
            return b"".join(each.to_bytes(curve[2], "big") for each in both)
        ways = {"RS": padding.PKCS1v15(), "PS": padding.PSS(padding.MGF1(chosen), chosen.digest_size)}
        if algorithm[:2] not in ways:
            raise _RefusedError(400, "BadParameter")
        return one.private.sign(digest, ways[algorithm[:2]], Prehashed(chosen))

    # -- the log -----------------------------------------------------------------------------------------------------
    def _query(self, asked: dict[str, object]) -> dict[str, object]:
        query = str(asked["query"])
        found = re.search(r"TimeGenerated >= datetime\((\S+)\) and TimeGenerated < datetime\((\S+)\)", query)
        assert found is not None and RESOURCE.lower() in query and "OperationName == 'KeySign'" in query
        first, last = map(datetime.fromisoformat, found.groups())
        uses = Counter(key for at, key, good in self.events if good and first <= at < last)
        columns = [{"name": "Key", "type": "string"}, {"name": "Uses", "type": "long"}]
        return {
            "tables": [{"name": "PrimaryResult", "columns": columns, "rows": [list(each) for each in uses.items()]}]
        }


def _on(public: rsa.RSAPublicKey | ec.EllipticCurvePublicKey, curve: str) -> bool:
    return isinstance(public, ec.EllipticCurvePublicKey) and public.curve.key_size == int(curve[2:])


def _url64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def _un64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _error(status: int, code: str, inner: str = "") -> Answer:
    said: dict[str, object] = {"code": code, "message": "canary-text-7391 of Azure"}
    if inner:
        said["innererror"] = {"code": inner}
    # "Authentication, requests and responses": whoever has no token is told where to get one.
    asks = f'Bearer authorization="https://login.microsoftonline.com/{TENANT}", resource="https://vault.azure.net"'
    headers = (("WWW-Authenticate", asks),) if status == 401 else ()
    return Answer(status, json.dumps({"error": said}).encode(), headers=headers)
