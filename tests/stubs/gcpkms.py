"""A stand-in for Google Cloud KMS, Cloud Logging and Resource Manager, with real keys behind it.

Cloud KMS API v1 (cryptoKeys.create, cryptoKeyVersions.get, getPublicKey, asymmetricSign, destroy), "Key purposes and
algorithms", "Key version states", "Verifying end-to-end data integrity"; google.rpc.Code for errors; AIP-4111 for
tokens that a service account signs itself; Cloud Logging API v2 (entries.list, exclusions.list, sinks.get). Names are
never given twice, an elliptic key takes one digest, and a raw RSA key pads what it is given and hashes nothing.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from awscrt.checksums import crc32c
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from tests.stubs.server import Answer, Asked, Stub, fresh_key, private_key

PROJECT = "seal-prod"
RING = f"projects/{PROJECT}/locations/europe-west3/keyRings/signing"
EMAIL = "canary@seal-prod.iam.gserviceaccount.com"
MACHINE = "ya29.canary-machine-7391"
_ALGORITHMS = {
    "RSA_SIGN_RAW_PKCS1_3072": "rsa-3072",
    "RSA_SIGN_RAW_PKCS1_4096": "rsa-4096",
    "EC_SIGN_P256_SHA256": "ecdsa-p256",
    "EC_SIGN_P384_SHA384": "ecdsa-p384",
}
_NUMBERS: dict[tuple[str, object], str] = {  # what an enum may be called in JSON as well (ProtoJSON)
    ("algorithm", 12): "EC_SIGN_P256_SHA256",
    ("algorithm", 13): "EC_SIGN_P384_SHA384",
    ("protectionLevel", 1): "SOFTWARE",
    ("protectionLevel", 2): "HSM",
}
_CODES = {  # google.rpc.Code, and the HTTP status that each is mapped to
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


class _RefusedError(Exception):
    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class _Key:
    name: str
    algorithm: str
    private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    asked: dict[str, object]
    level: str = "HSM"
    state: str = "ENABLED"
    import_job: str = ""
    pending: int = 0
    """Reads for which it is being generated."""
    signed: list[bytes] = field(default_factory=list)


class GcpStub(Stub):
    """All its services at one address; the path tells them apart."""

    def __init__(self, folder: Path) -> None:
        self.keys: dict[str, _Key] = {}
        self.account = private_key("rsa-3072")
        self.tokens: dict[str, str] = {}
        self.new_keys: dict[str, object] = {}
        """Fields of the next keys that are otherwise than asked for."""
        self.lag = 0
        self.entries: list[dict[str, object]] = []
        everything = [{"logType": each} for each in ("ADMIN_READ", "DATA_READ", "DATA_WRITE")]
        self.audit_configs: list[dict[str, object]] = [{"service": "allServices", "auditLogConfigs": everything}]
        self.exclusions: list[dict[str, object]] = []
        self.sink: dict[str, object] = {"name": "_Default"}
        self.page = 1000
        self.digests: list[bytes] = []
        """What was signed, in the order in which it was."""
        self.now = lambda: datetime.now(UTC)
        super().__init__(folder)
        (folder / "secret").mkdir(exist_ok=True)
        self.credentials = folder / "secret" / "account.json"
        self.write_credentials()

    @property
    def signs(self) -> int:
        """How many signatures were made, whoever got them."""
        return sum(len(each.signed) for each in self.keys.values())

    def write_credentials(self, **changes: object) -> None:
        pem = self.account.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        said = {"type": "service_account", "client_email": EMAIL, "private_key_id": "k1", "private_key": pem}
        said |= {"token_uri": f"{getattr(self, 'url', '')}/token", "universe_domain": "googleapis.com"}
        self.credentials.write_text(json.dumps(said | changes))
        self.credentials.chmod(0o600)

    # -- the front ---------------------------------------------------------------------------------------------------
    def named(self, asked: Asked) -> str:
        path = urlsplit(asked.path).path
        for verb in ("asymmetricSign", "destroy", "getIamPolicy", "entries:list"):
            if path.endswith((f":{verb}", f"/{verb}")):
                return verb
        last = path.rpartition("/")[2]
        if last == "cryptoKeys":
            return "create" if asked.method == "POST" else "list"
        return last if last in ("publicKey", "token", "_Default", "exclusions") else "get"

    def answer(self, asked: Asked) -> Answer:
        with self.lock:
            try:
                if self.named(asked) == "token":
                    assert asked.headers["metadata-flavor"] == "Google"
                    return Answer(200, json.dumps({"access_token": MACHINE, "expires_in": 3599}).encode())
                self._let_in(asked.headers.get("authorization", ""))
                return Answer(200, json.dumps(self._routed(asked)).encode())
            except _RefusedError as refused:
                return _error(refused.code)

    def disobeyed(self, fault: str, asked: Asked, right: Callable[[], Answer]) -> Answer:
        if fault in ("lie", "damaged", "unverified", "another"):
            said = json.loads(right().body)
            if fault in ("lie", "damaged"):
                value = bytearray(base64.b64decode(said["signature"]))
                value[-1] ^= 1
                said["signature"] = base64.b64encode(value).decode()
                if fault == "lie":
                    said["signatureCrc32c"] = str(crc32c(bytes(value)))
            elif fault == "unverified":
                said = {name: value for name, value in said.items() if not name.startswith("verified")}
            else:
                said["name"] = said["name"].replace("/cryptoKeys/", "/cryptoKeys/other_")
            return Answer(200, json.dumps(said).encode())
        return _error(fault)

    def _let_in(self, authorization: str) -> None:
        """Take the machine's token, or one that the service account signed (AIP-4111), not older than an hour."""
        token = authorization.removeprefix("Bearer ")
        if token == MACHINE:
            return
        try:
            head, body, value = token.split(".")
            public = self.account.public_key()
            assert isinstance(public, rsa.RSAPublicKey)
            public.verify(_un64(value), f"{head}.{body}".encode(), padding.PKCS1v15(), hashes.SHA256())
            header, claims = json.loads(_un64(head)), json.loads(_un64(body))
        except (ValueError, InvalidSignature):
            raise _RefusedError("UNAUTHENTICATED") from None
        now = self.now().timestamp()
        good = claims["iss"] == claims["sub"] == EMAIL and header["alg"] == "RS256" and header["kid"] == "k1"
        good = good and claims["iat"] - 60 <= now <= claims["exp"] <= claims["iat"] + 3600
        scoped = "cloud-platform" in claims.get("scope", "") or claims.get("aud", "").startswith("https://cloudkms")
        if not (good and scoped):
            raise _RefusedError("UNAUTHENTICATED")

    def _routed(self, asked: Asked) -> dict[str, object]:
        url, body = urlsplit(asked.path), json.loads(asked.body or b"{}")
        name = self.named(asked)
        if name == "create":
            return self._create(parse_qs(url.query)["cryptoKeyId"][0], body)
        if name == "list":
            return {"cryptoKeys": [{"name": each.name} for each in self.keys.values()][:1], "totalSize": len(self.keys)}
        if name == "getIamPolicy":
            return {"version": 1, "etag": "x", "auditConfigs": self.audit_configs}
        if name == "_Default":
            return self.sink
        if name == "exclusions":
            return {"exclusions": self.exclusions} if self.exclusions else {}
        if name == "entries:list":
            return self._entries(body)
        found = re.fullmatch(r"/v1/(.+/cryptoKeys/[^/]+)/cryptoKeyVersions/1(?:/publicKey|:[A-Za-z]+)?", url.path)
        key = self.keys.get(found[1]) if found else None
        if key is None:
            raise _RefusedError("NOT_FOUND")
        return {"asymmetricSign": self._sign, "destroy": self._destroy, "publicKey": self._public, "get": self._get}[
            name
        ](key, body)

    # -- keys --------------------------------------------------------------------------------------------------------
    def _create(self, name: str, asked: dict[str, object]) -> dict[str, object]:
        template = {key: _NUMBERS.get((key, value), value) for key, value in asked["versionTemplate"].items()}  # type: ignore[attr-defined]
        if not re.fullmatch(r"[a-zA-Z0-9_-]{1,63}", name) or template["algorithm"] not in _ALGORITHMS:
            raise _RefusedError("INVALID_ARGUMENT")
        if not 86400 <= int(str(asked["destroyScheduledDuration"]).removesuffix("s")) <= 120 * 86400:
            raise _RefusedError("INVALID_ARGUMENT")
        assert asked["purpose"] in ("ASYMMETRIC_SIGN", 5) and all(map(_is_label, asked.get("labels", {}).items()))  # type: ignore[attr-defined]
        full = f"{RING}/cryptoKeys/{name}"
        if full in self.keys:
            raise _RefusedError("ALREADY_EXISTS")
        private = fresh_key(_ALGORITHMS[template["algorithm"]])
        key = _Key(full, template["algorithm"], private, asked, template["protectionLevel"], pending=self.lag)
        for field_name, value in self.new_keys.items():
            setattr(key, field_name, value)
        self.keys[full] = key
        return {"name": full, "purpose": "ASYMMETRIC_SIGN"}

    def _get(self, key: _Key, _: object) -> dict[str, object]:
        key.pending = max(0, key.pending - 1)
        said: dict[str, object] = {
            "name": f"{key.name}/cryptoKeyVersions/1",
            "state": "PENDING_GENERATION" if key.pending else key.state,
            "protectionLevel": key.level,
            "algorithm": key.algorithm,
        }
        if key.import_job:
            said["importJob"] = key.import_job
        if key.level == "HSM":
            said["attestation"] = {"format": "CAVIUM_V2_COMPRESSED", "content": "", "certChains": {}}
        return said

    def _usable(self, key: _Key) -> None:
        if key.pending or key.state != "ENABLED":
            raise _RefusedError("FAILED_PRECONDITION")

    def _public(self, key: _Key, _: object) -> dict[str, object]:
        self._usable(key)
        public = key.private.public_key()
        pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        return {
            "pem": pem.decode(),
            "algorithm": key.algorithm,
            "pemCrc32c": str(crc32c(pem)),
            "name": f"{key.name}/cryptoKeyVersions/1",
            "protectionLevel": key.level,
        }

    def _sign(self, key: _Key, asked: dict[str, object]) -> dict[str, object]:
        try:
            self._usable(key)
            value, told, verified = self._signature(key, asked)
        except _RefusedError as refused:
            self._logged(key, 9 if refused.code == "FAILED_PRECONDITION" else 3)
            raise
        key.signed.append(value)
        self.digests.append(told)
        self._logged(key, 0)
        return {
            "signature": base64.b64encode(value).decode(),
            "signatureCrc32c": str(crc32c(value)),
            "name": f"{key.name}/cryptoKeyVersions/1",
            "protectionLevel": key.level,
            **verified,
        }

    def _signature(self, key: _Key, asked: dict[str, object]) -> tuple[bytes, bytes, dict[str, object]]:
        raw = isinstance(key.private, rsa.RSAPrivateKey)
        what = "data" if raw else "digest"
        if what not in asked or len({"data", "digest"} & {*asked}) != 1:
            raise _RefusedError("INVALID_ARGUMENT")
        said = asked[what]
        if raw:
            octets = base64.b64decode(str(said))
        else:
            ((name, text),) = said.items()  # type: ignore[attr-defined]
            octets = base64.b64decode(text)
            if not key.algorithm.endswith(name.upper()) or len(octets) != int(name[-3:]) // 8:
                raise _RefusedError("INVALID_ARGUMENT")
        checksum = asked.get(f"{what}Crc32c")
        if checksum is not None and int(str(checksum)) != crc32c(octets):
            raise _RefusedError("INVALID_ARGUMENT")
        verified = {} if checksum is None else {f"verified{what.capitalize()}Crc32c": True}
        if isinstance(key.private, ec.EllipticCurvePrivateKey):
            digest = hashes.SHA256() if key.algorithm.endswith("256") else hashes.SHA384()
            return key.private.sign(octets, ec.ECDSA(Prehashed(digest))), octets, dict(verified)
        size = key.private.key_size // 8
        if len(octets) > size - 11:
            raise _RefusedError("INVALID_ARGUMENT")
        block = b"\0\1" + b"\xff" * (size - len(octets) - 3) + b"\0" + octets  # RFC 8017 section 9.2
        numbers = key.private.private_numbers()
        value = pow(int.from_bytes(block, "big"), numbers.d, numbers.public_numbers.n)
        return value.to_bytes(size, "big"), octets, dict(verified)

    def _destroy(self, key: _Key, body: object) -> dict[str, object]:
        if key.state in ("DESTROY_SCHEDULED", "DESTROYED"):
            raise _RefusedError("FAILED_PRECONDITION")
        key.state = "DESTROY_SCHEDULED"
        return self._get(key, body)

    # -- the log -----------------------------------------------------------------------------------------------------
    def _logged(self, key: _Key, code: int) -> None:
        payload: dict[str, object] = {
            "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
            "serviceName": "cloudkms.googleapis.com",
            "methodName": "AsymmetricSign",
            "resourceName": f"{key.name}/cryptoKeyVersions/1",
        }
        payload["status"] = {"code": code} if code else {}
        self.entries.append({"timestamp": self.now().isoformat(), "protoPayload": payload, "severity": "INFO"})

    def _entries(self, asked: dict[str, object]) -> dict[str, object]:
        assert asked["resourceNames"] == [f"projects/{PROJECT}"]
        found = re.fullmatch(
            rf'logName="projects/{PROJECT}/logs/cloudaudit\.googleapis\.com%2Fdata_access"'
            rf' AND protoPayload\.methodName="AsymmetricSign" AND protoPayload\.resourceName:"{RING}/"'
            r' AND timestamp>="([^"]+)" AND timestamp<"([^"]+)"',
            str(asked["filter"]),
        )
        if found is None:
            raise _RefusedError("INVALID_ARGUMENT")
        first, last = map(datetime.fromisoformat, found.groups())
        chosen = [e for e in self.entries if first <= datetime.fromisoformat(str(e["timestamp"])) < last]
        start = int(str(asked.get("pageToken", "0")))
        page = chosen[start : start + min(self.page, int(str(asked["pageSize"])))]
        more = start + len(page) < len(chosen)
        return ({"entries": page} if page else {}) | ({"nextPageToken": str(start + len(page))} if more else {})


def _is_label(pair: tuple[str, str]) -> bool:
    return all(re.fullmatch(r"[a-z0-9_-]{1,63}", each) for each in pair)


def _un64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _error(code: str) -> Answer:
    status = _CODES[code]
    said = {"error": {"code": status, "message": "canary-text-7391 of Google", "status": code}}
    return Answer(status, json.dumps(said).encode())
