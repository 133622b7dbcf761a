"""A stand-in for AWS KMS, CloudTrail and STS, with real keys behind it, that behaves as AWS documents it.

AWS KMS API Reference (API version 2014-11-01), AWS KMS Developer Guide ("Key states of AWS KMS keys", "Eventual
consistency", "Throttling AWS KMS requests"), CloudTrail API Reference (2013-11-01), STS API Reference (2011-06-15),
and for Signature Version 4 the IAM User Guide, "Create a signed AWS API request": it is checked here with nothing but
HMAC. Unlike moto it signs the digest that it is given when MessageType is DIGEST, and refuses one of another length.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from tests.stubs.server import Answer, Asked, Stub, fresh_key

REGION, ACCOUNT = "eu-central-1", "111122223333"
ACCESS, SECRET = "AKIDCANARY7391EXAMPLE", "canary-secret-7391/wJalrXUtnFEMI"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/seal"
TRAIL = f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/all"
_SPECS = {
    "RSA_3072": "rsa-3072",
    "RSA_4096": "rsa-4096",
    "ECC_NIST_P256": "ecdsa-p256",
    "ECC_NIST_P384": "ecdsa-p384",
    "ECC_NIST_P521": "ecdsa-p521",
}
_CURVE_ALGORITHMS = {"ECC_NIST_P256": "256", "ECC_NIST_P384": "384", "ECC_NIST_P521": "512"}
_HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
_STATUS = {
    "KMSInternalException": 500,
    "DependencyTimeoutException": 503,
    "KeyUnavailableException": 500,
    "InternalFailure": 500,
    "ServiceUnavailable": 503,
}
"""Statuses of errors; all others are 400."""


class _RefusedError(Exception):
    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class _Key:
    id: str
    spec: str
    private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    tags: dict[str, str]
    origin: str = "AWS_KMS"
    usage: str = "SIGN_VERIFY"
    manager: str = "CUSTOMER"
    multi_region: bool = False
    state: str = "Enabled"
    unseen: int = 0
    """Calls for which it is not known yet ("Eventual consistency")."""
    pending: int | None = None
    signed: list[bytes] = field(default_factory=list)

    @property
    def arn(self) -> str:
        return f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{self.id}"


class AwsStub(Stub):
    """All three services at one address; the request's target tells them apart."""

    def __init__(self, folder: Path) -> None:
        self.keys: dict[str, _Key] = {}
        self.aliases: dict[str, str] = {}
        self.secrets = {ACCESS: (SECRET, None)}
        self.tokens = {"identity-token-1"}
        """Identity tokens that STS believes."""
        self.assumed = 0
        self.new_keys: dict[str, object] = {}
        """Fields of the next keys that are otherwise than asked for."""
        self.lag = 0
        """Calls for which a fresh key is not known."""
        self.events: list[dict[str, object]] = []
        self.logging, self.selectors = True, [{"ReadWriteType": "All", "IncludeManagementEvents": True}]
        self.advanced: list[dict[str, object]] | None = None
        self.page = 50
        self.home = REGION
        self.digests: list[bytes] = []
        """What was signed, in the order in which it was."""
        self.now = lambda: datetime.now(UTC)
        super().__init__(folder)
        self.credentials = folder / "credentials"
        self.write_credentials()
        self.identity_token = folder / "token"
        self.identity_token.write_text("identity-token-1\n")
        self.identity_token.chmod(0o600)

    @property
    def signs(self) -> int:
        """How many signatures were made, whoever got them."""
        return sum(len(each.signed) for each in self.keys.values())

    def write_credentials(self, access: str = ACCESS, secret: str = SECRET) -> None:
        self.credentials.write_text(f"[default]\naws_access_key_id = {access}\naws_secret_access_key = {secret}\n")
        self.credentials.chmod(0o600)

    # -- the front ---------------------------------------------------------------------------------------------------
    def named(self, asked: Asked) -> str:
        target = asked.headers.get("x-amz-target", "")
        return target.rpartition(".")[2] or "AssumeRoleWithWebIdentity"

    def answer(self, asked: Asked) -> Answer:
        with self.lock:
            try:
                if "x-amz-target" not in asked.headers:
                    return self._sts(asked)
                self._signed(asked)
                action = self.named(asked)
                found: Callable[[dict[str, object]], dict[str, object]] | None
                found = getattr(self, "_do_" + re.sub(r"(?<!^)(?=[A-Z])", "_", action).lower(), None)
                if found is None or asked.headers["content-type"] != "application/x-amz-json-1.1":
                    raise _RefusedError("UnknownOperationException")
                return Answer(200, json.dumps(found(json.loads(asked.body))).encode(), "application/x-amz-json-1.1")
            except _RefusedError as refused:
                return _error(refused.code)

    def disobeyed(self, fault: str, asked: Asked, right: Callable[[], Answer]) -> Answer:
        if fault == "lie":
            said = json.loads(right().body)
            value = bytearray(base64.b64decode(said["Signature"]))
            value[-1] ^= 1
            said["Signature"] = base64.b64encode(value).decode()
            return Answer(200, json.dumps(said).encode())
        if fault == "another":
            said = json.loads(right().body)
            said["KeyId"] = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{uuid.uuid4()}"
            return Answer(200, json.dumps(said).encode())
        return _error(fault)  # the code of an error

    def _signed(self, asked: Asked) -> None:
        """Check Signature Version 4, over the headers that it names, of a request less than five minutes old."""
        found = re.fullmatch(
            r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/(\w+)/aws4_request,"
            r" SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})",
            asked.headers.get("authorization", ""),
        )
        if found is None:
            raise _RefusedError("MissingAuthenticationTokenException")
        access, day, region, service, names, signature = found.groups()
        if access not in self.secrets:
            raise _RefusedError("UnrecognizedClientException")
        secret, session = self.secrets[access]
        if session == "expired":
            raise _RefusedError("ExpiredTokenException")
        if session is not None and asked.headers.get("x-amz-security-token") != session:
            raise _RefusedError("UnrecognizedClientException")
        date = asked.headers["x-amz-date"]
        when = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if abs(when - self.now()) > timedelta(minutes=5):
            raise _RefusedError("RequestExpired")
        signed = names.split(";")
        assert {"host", "x-amz-date", "x-amz-target", "content-type"} <= set(signed)
        assert service == ("cloudtrail" if "CloudTrail" in asked.headers["x-amz-target"] else "kms")
        named = [f"{name}:{asked.headers[name]}" for name in signed]
        digest = hashlib.sha256(asked.body).hexdigest()
        canonical = "\n".join([asked.method, asked.path, "", *named, "", names, digest])
        scope = f"{day}/{region}/{service}/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = ("AWS4" + secret).encode()
        for part in (day, region, service, "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        if region != REGION or hmac.digest(key, text.encode(), "sha256").hex() != signature:
            raise _RefusedError("InvalidSignatureException")

    def _sts(self, asked: Asked) -> Answer:
        form = {name: value[0] for name, value in parse_qs(asked.body.decode()).items()}
        if form["WebIdentityToken"] not in self.tokens:
            body = "<ErrorResponse><Error><Type>Sender</Type><Code>InvalidIdentityToken</Code></Error></ErrorResponse>"
            return Answer(400, body.encode(), "text/xml")
        assert form["Action"] == "AssumeRoleWithWebIdentity" and form["RoleArn"] == ROLE
        self.assumed += 1
        access, session = f"ASIACANARY{self.assumed}", f"session-canary-7391-{self.assumed}"
        self.secrets[access] = (SECRET + str(self.assumed), session)
        until = (self.now() + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = (
            "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>"
            f"<SessionToken>{session}</SessionToken><SecretAccessKey>{SECRET}{self.assumed}</SecretAccessKey>"
            f"<Expiration>{until}</Expiration><AccessKeyId>{access}</AccessKeyId>"
            "</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
        )
        return Answer(200, body.encode(), "text/xml")

    # -- AWS KMS -----------------------------------------------------------------------------------------------------
    def _key(self, name: object, *states: str) -> _Key:
        """Find a key by id, ARN or alias; refuse it in a state that is not one of these (all, if none is given)."""
        text = str(name)
        text = (
            self.aliases.get(text, text).rpartition("/")[2]
            if not text.startswith("alias/")
            else self.aliases.get(text, "")
        )
        key = self.keys.get(text)
        if key is None:
            raise _RefusedError("NotFoundException")
        if key.unseen:
            key.unseen -= 1
            raise _RefusedError("NotFoundException")
        if states and key.state not in states:
            raise _RefusedError("DisabledException" if key.state == "Disabled" else "KMSInvalidStateException")
        return key

    def _metadata(self, key: _Key) -> dict[str, object]:
        return {
            "AWSAccountId": ACCOUNT,
            "KeyId": key.id,
            "Arn": key.arn,
            "CreationDate": 1764500000.5,
            "Enabled": key.state == "Enabled",
            "Description": "",
            "KeyUsage": key.usage,
            "KeyState": key.state,
            "Origin": key.origin,
            "KeyManager": key.manager,
            "KeySpec": key.spec,
            "CustomerMasterKeySpec": key.spec,
            "MultiRegion": key.multi_region,
        }

    def _do_create_key(self, asked: dict[str, object]) -> dict[str, object]:
        if asked.get("Origin") in ("AWS_CLOUDHSM", "EXTERNAL_KEY_STORE") or "CustomKeyStoreId" in asked:
            raise _RefusedError("UnsupportedOperationException")  # "support only symmetric encryption KMS keys"
        spec = str(asked["KeySpec"])
        if spec not in _SPECS or asked["KeyUsage"] != "SIGN_VERIFY":
            raise _RefusedError("ValidationException")
        tags = {each["TagKey"]: each["TagValue"] for each in asked.get("Tags", [])}  # type: ignore[attr-defined]
        key = _Key(str(uuid.uuid4()), spec, fresh_key(_SPECS[spec]), tags, unseen=self.lag)
        for name, value in self.new_keys.items():
            setattr(key, name, value)
        self.keys[key.id] = key
        return {"KeyMetadata": self._metadata(key)}

    def _do_create_alias(self, asked: dict[str, object]) -> dict[str, object]:
        name = str(asked["AliasName"])
        if not re.fullmatch(r"alias/[a-zA-Z0-9/_-]+", name) or name.startswith("alias/aws/"):
            raise _RefusedError("InvalidAliasNameException")
        if name in self.aliases:
            raise _RefusedError("AlreadyExistsException")
        self.aliases[name] = self._key(asked["TargetKeyId"]).id
        return {}

    def _do_list_aliases(self, asked: dict[str, object]) -> dict[str, object]:
        names = sorted(self.aliases)
        limit, marker = int(str(asked.get("Limit", 50))), str(asked.get("Marker", ""))
        page = [name for name in names if name > marker][:limit]
        more = bool(page) and page[-1] != names[-1]
        listed = [{"AliasName": name, "TargetKeyId": self.aliases[name]} for name in page]
        return {"Aliases": listed, "Truncated": more} | ({"NextMarker": page[-1]} if more else {})

    def _do_describe_key(self, asked: dict[str, object]) -> dict[str, object]:
        return {"KeyMetadata": self._metadata(self._key(asked["KeyId"]))}

    def _do_get_public_key(self, asked: dict[str, object]) -> dict[str, object]:
        key = self._key(asked["KeyId"], "Enabled", "Disabled")
        spki = key.private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        public = base64.b64encode(spki).decode()
        return {"KeyId": key.arn, "PublicKey": public, "KeySpec": key.spec, "KeyUsage": key.usage}

    def _do_sign(self, asked: dict[str, object]) -> dict[str, object]:
        key = self.keys.get(str(asked["KeyId"]))
        try:
            key = self._key(asked["KeyId"], "Enabled")
            value = self._signature(key, asked)
        except _RefusedError as refused:
            self._logged("Sign", key, refused.code)
            raise
        key.signed.append(value)
        self.digests.append(base64.b64decode(str(asked["Message"])))
        self._logged("Sign", key, None)
        algorithm = asked["SigningAlgorithm"]
        return {"KeyId": key.arn, "Signature": base64.b64encode(value).decode(), "SigningAlgorithm": algorithm}

    def _signature(self, key: _Key, asked: dict[str, object]) -> bytes:
        message, algorithm = base64.b64decode(str(asked["Message"])), str(asked["SigningAlgorithm"])
        if asked.get("MessageType") != "DIGEST":
            raise _RefusedError("ValidationException")  # it may be RAW; nobody here asks for it
        name = algorithm.rpartition("_")[2]
        if len(message) != _HASHES[name].digest_size:
            raise _RefusedError("ValidationException")
        prehashed = Prehashed(_HASHES[name])
        if isinstance(key.private, ec.EllipticCurvePrivateKey):
            if algorithm != "ECDSA_SHA_" + _CURVE_ALGORITHMS[key.spec]:
                raise _RefusedError("InvalidKeyUsageException")
            return key.private.sign(message, ec.ECDSA(prehashed))
        ways = {
            "RSASSA_PKCS1_V1_5_SHA_": padding.PKCS1v15(),
            "RSASSA_PSS_SHA_": padding.PSS(padding.MGF1(_HASHES[name]), _HASHES[name].digest_size),
        }
        if algorithm.removesuffix(name) not in ways:
            raise _RefusedError("InvalidKeyUsageException")
        return key.private.sign(message, ways[algorithm.removesuffix(name)], prehashed)

    def _do_schedule_key_deletion(self, asked: dict[str, object]) -> dict[str, object]:
        days = int(str(asked.get("PendingWindowInDays", 30)))
        if not 7 <= days <= 30:
            raise _RefusedError("ValidationException")
        key = self._key(asked["KeyId"], "Enabled", "Disabled")
        key.state, key.pending = "PendingDeletion", days
        return {"KeyId": key.arn, "KeyState": key.state, "PendingWindowInDays": days}

    # -- CloudTrail --------------------------------------------------------------------------------------------------
    def _logged(self, name: str, key: _Key | None, error: str | None) -> None:
        record = {
            "eventVersion": "1.11",
            "eventTime": self.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
            "eventSource": "kms.amazonaws.com",
            "eventName": name,
            "resources": [] if key is None else [{"accountId": ACCOUNT, "type": "AWS::KMS::Key", "ARN": key.arn}],
        }
        self.events.append(record if error is None else record | {"errorCode": error})

    def _do_get_trail(self, asked: dict[str, object]) -> dict[str, object]:
        if asked["Name"] != TRAIL:
            raise _RefusedError("TrailNotFoundException")
        return {"Trail": {"Name": "all", "TrailARN": TRAIL, "HomeRegion": self.home, "IsMultiRegionTrail": False}}

    def _do_get_trail_status(self, asked: dict[str, object]) -> dict[str, object]:
        return {"IsLogging": self.logging, "LatestDeliveryTime": 1764500000.0}

    def _do_get_event_selectors(self, asked: dict[str, object]) -> dict[str, object]:
        if self.advanced is not None:
            return {"TrailARN": TRAIL, "AdvancedEventSelectors": self.advanced}
        return {"TrailARN": TRAIL, "EventSelectors": self.selectors}

    def _do_lookup_events(self, asked: dict[str, object]) -> dict[str, object]:
        ((attribute),) = asked["LookupAttributes"]  # type: ignore[misc]
        assert attribute["AttributeKey"] == "EventName"  # type: ignore[has-type]
        first, last = (datetime.fromtimestamp(float(str(asked[name])), UTC) for name in ("StartTime", "EndTime"))
        chosen = [
            each
            for each in self.events
            if each["eventName"] == attribute["AttributeValue"]  # type: ignore[has-type]
            and first <= datetime.fromisoformat(str(each["eventTime"])) <= last
        ]
        start = int(str(asked.get("NextToken", "0")))
        page = chosen[start : start + min(self.page, int(str(asked.get("MaxResults", 50))))]
        found = [{"EventName": each["eventName"], "CloudTrailEvent": json.dumps(each)} for each in page]
        more = start + len(page) < len(chosen)
        return {"Events": found} | ({"NextToken": str(start + len(page))} if more else {})


def _error(code: str) -> Answer:
    said = {"__type": f"com.amazonaws.kms#{code}" if len(code) % 2 else code, "message": "canary-text-7391 of AWS"}
    return Answer(_STATUS.get(code, 400), json.dumps(said).encode(), "application/x-amz-json-1.1")
