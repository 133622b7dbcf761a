"""The worker's side of AWS KMS: its JSON API (version 2014-11-01) over one connection, one call at a time.

boto3 is not used: what is needed is eight actions, none of which may be retried by somebody else's rules. Requests are
signed by the AWS Common Runtime (``awscrt``, the extra ``aws``), by Signature Version 4.
"""

from __future__ import annotations

import base64
import contextlib
import io
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from privyseal.errors import BadInput, Conflict, KeyStoreUnavailable, Misused, NotCompliant, NotFound, PrivySealError
from privyseal.keystore.audit import AuditLog
from privyseal.keystore.awskms import STORE, AwsKmsSection
from privyseal.keystore.awskms_identity import AccessKey, Identity
from privyseal.keystore.awskms_refusals import EXPIRED, THROTTLED, WRONG_STATE, refusal
from privyseal.keystore.clouds import CloudOpening, CloudUri, NotDone, patiently
from privyseal.keystore.homes import Begin
from privyseal.keystore.messages import Hashed
from privyseal.keystore.wire import Wire
from privyseal.terms.keys import Assurance, KeyProtection
from privyseal.terms.signatures import Scheme

TAG = "privyseal"
"""The tag that every key of ours carries, with its label."""
SPECS = {
    "rsa-3072": "RSA_3072",
    "rsa-4096": "RSA_4096",
    "ecdsa-p256": "ECC_NIST_P256",
    "ecdsa-p384": "ECC_NIST_P384",
    "ecdsa-p521": "ECC_NIST_P521",
}
"""Scheme -> KeySpec (CreateKey)."""
_ECDSA = {  # KeySpec -> the one algorithm that it signs with, and the octets of its digest (Sign, SigningAlgorithm)
    "ECC_NIST_P256": ("ECDSA_SHA_256", 32),
    "ECC_NIST_P384": ("ECDSA_SHA_384", 48),
    "ECC_NIST_P521": ("ECDSA_SHA_512", 64),
}
_RSA = {"pkcs1v15": "RSASSA_PKCS1_V1_5_SHA_", "pss": "RSASSA_PSS_SHA_"}
_LATE = timedelta(minutes=15)
"""After how long CloudTrail has an event, by AWS's word ("CloudTrail typically delivers within 5 minutes"; FAQ: 15)."""
_TARGETS = {  # what stands before an action in X-Amz-Target
    "kms": "TrentService",
    "cloudtrail": "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101",
}
_ENDING = frozenset({"PendingDeletion", "PendingReplicaDeletion"})  # KeyState: nobody can use it any more
_S = TypeVar("_S")


class _Metadata(Struct, frozen=True, rename="pascal"):
    """What is read of a KeyMetadata."""

    key_id: str
    arn: str
    key_state: str
    key_usage: str = ""
    key_spec: str = ""
    key_manager: str = ""
    origin: str = ""
    multi_region: bool = False
    enabled: bool = False


class _Described(Struct, frozen=True, rename="pascal"):
    key_metadata: _Metadata


class _PublicKey(Struct, frozen=True, rename="pascal"):
    key_id: str
    public_key: bytes
    key_spec: str
    key_usage: str


class _Signed(Struct, frozen=True, rename="pascal"):
    key_id: str
    signature: bytes


class _Nothing(Struct, frozen=True):
    """An answer of which nothing is read."""


def begin(section: AwsKmsSection) -> Begin:
    """Return how a worker of this account begins."""

    def opening(notes: Path, sessions: int, clock: Callable[[], datetime]) -> CloudOpening:
        return CloudOpening(
            sessions,
            lambda: AwsKmsClient(section, clock),
            lambda label, key: str(CloudUri(STORE, section.name, label, key)),
            [Path(section.secret)],
        )

    return opening


class Signing:
    """Signature Version 4, made by the AWS Common Runtime."""

    def __init__(self, region: str, clock: Callable[[], datetime]) -> None:
        """Sign for services of a region; Misused if the runtime is not installed."""
        try:
            from awscrt import auth, http  # type: ignore[import-untyped]
        except ImportError:
            raise Misused(
                "Requests to AWS are signed by the package awscrt, which is not installed.",
                hint="pip install 'privyseal[aws]'",
            ) from None
        self._auth, self._http = auth, http
        self._region = region
        self._clock = clock

    def headers(self, key: AccessKey, service: str, host: str, target: str, body: bytes) -> Mapping[str, str]:
        """Return a request's headers, signed."""
        plain = [("host", host), ("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target)]
        request = self._http.HttpRequest("POST", "/", self._http.HttpHeaders(plain), io.BytesIO(body))
        provider = self._auth.AwsCredentialsProvider.new_static(key.name, key.secret, key.session)
        config = self._auth.AwsSigningConfig(
            algorithm=self._auth.AwsSigningAlgorithm.V4,
            signature_type=self._auth.AwsSignatureType.HTTP_REQUEST_HEADERS,
            credentials_provider=provider,
            region=self._region,
            service=service,
            date=self._clock(),
        )
        return dict(self._auth.aws_sign_request(request, config).result(5).headers)


class AwsKmsClient:
    """One connection to AWS KMS."""

    def __init__(
        self,
        section: AwsKmsSection,
        clock: Callable[[], datetime],
        pause: Callable[[float], None] | None = None,
    ) -> None:
        """Speak for a section; nobody is called yet."""
        self._section = section
        self._clock = clock
        self._identity = Identity(section, clock)
        self._signing = Signing(section.region, clock)
        self._pauses = {} if pause is None else {"pause": pause}
        self._specs: dict[bytes, str] = {}
        ca_file = None if section.ca_file is None else Path(section.ca_file)
        # Three calls must fit into a question, so that a hung one is told of before the watchdog ends the worker.
        self._wires = {
            service: Wire(whom, section.address(service), ca_file, section.timeout / 3)
            for service, whom in (("kms", "AWS KMS"), ("cloudtrail", "AWS CloudTrail"))
        }

    def close(self) -> None:
        """Close the connections."""
        for wire in self._wires.values():
            wire.close()
        self._identity.close()

    def look(self) -> None:
        """Ask for one alias (ListAliases)."""
        self._ask("ListAliases", {"Limit": 1}, _Nothing)

    def generate(self, label: str, scheme: Scheme) -> bytes:
        """Make a key with an alias (CreateKey, CreateAlias) and return its id; Conflict if the alias is taken."""
        if scheme.name not in SPECS:
            raise Misused(f"The AWS KMS key store cannot generate a key of scheme {scheme.name}.")
        alias = "alias/privyseal/" + label.replace(".", "_")  # no label has an underscore, and no alias a dot
        try:
            self._ask("DescribeKey", {"KeyId": alias}, _Described)
        except NotFound:
            pass
        else:
            raise Conflict(f"The AWS account has a key called {label} already.", hint="give the new key another name")
        asked = {
            "KeySpec": SPECS[scheme.name],
            "KeyUsage": "SIGN_VERIFY",
            "Origin": "AWS_KMS",
            "MultiRegion": False,
            "Tags": [{"TagKey": TAG, "TagValue": label}],
        }
        made = self._ask("CreateKey", asked, _Described).key_metadata
        key = made.key_id.encode("ascii")
        try:
            wrong = _wrong(made) + (["KeySpec"] if made.key_spec != SPECS[scheme.name] else [])
            if wrong:
                raise NotCompliant(
                    f"AWS KMS did not make the key as it was told to: {', '.join(wrong)}; it is scheduled for"
                    " deletion.",
                    hint="CSBR 6.2.7 asks for a key that cannot leave its module",
                )
            self._settled(lambda: self._ask("CreateAlias", {"AliasName": alias, "TargetKeyId": made.key_id}, _Nothing))
            self._settled(lambda: self.public_key(label, key))
        except (PrivySealError, NotDone):
            with contextlib.suppress(PrivySealError, NotDone):  # it carries our tag, and costs a little
                self._settled(lambda: self._schedule_deletion(key))
            raise
        return key

    def public_key(self, label: str, key: bytes) -> bytes:
        """Return the SubjectPublicKeyInfo, DER (GetPublicKey)."""
        found = self._of_key("GetPublicKey", key, {}, _PublicKey)
        _same(found.key_id, key)
        if found.key_usage != "SIGN_VERIFY":
            raise Misused(f"The key {label} in AWS KMS is for {found.key_usage[:40]}, not for signing.")
        self._specs[key] = found.key_spec
        return found.public_key

    def sign(self, label: str, key: bytes, one: Hashed) -> bytes:
        """Sign a digest as it is (Sign, MessageType DIGEST).

        AWS has one algorithm for each curve, by the digest that is as long as it. A digest of another length is cut or
        preceded by zeros to that length, which is the same number (FIPS 186-5 section 6.4.1 step 1).
        """
        spec = self._specs.get(key)
        if spec is None:
            self.public_key(label, key)
            spec = self._specs[key]
        if spec in _ECDSA:
            if one.padding == "pss":
                raise BadInput("PSS was asked of an elliptic curve key; only an RSA key signs with it.")
            algorithm, octets = _ECDSA[spec]
            digest = one.digest[:octets].rjust(octets, b"\0")
        else:
            algorithm, digest = _RSA[one.padding] + one.algorithm.removeprefix("sha"), one.digest
        asked = {
            "Message": base64.b64encode(digest).decode("ascii"),
            "MessageType": "DIGEST",
            "SigningAlgorithm": algorithm,
        }
        found = self._of_key("Sign", key, asked, _Signed)
        _same(found.key_id, key)
        return found.signature

    def destroy(self, label: str, key: bytes) -> None:
        """Schedule the key's deletion (ScheduleKeyDeletion), unless that was done."""
        try:
            if self._state(key) in _ENDING:
                return
            self._schedule_deletion(key)
        except NotFound:
            return

    def protection(self, label: str, key: bytes) -> KeyProtection:
        """Return what AWS says of the key (DescribeKey); NotFound where it is to be deleted."""
        found = self._ask("DescribeKey", {"KeyId": key.decode("ascii")}, _Described).key_metadata
        if found.key_state in _ENDING:
            raise _pending()
        wrong = _wrong(found)
        return KeyProtection(
            store=STORE,
            assurance=Assurance.HARDWARE if found.origin == "AWS_KMS" else Assurance.SOFTWARE,
            generated_inside=found.origin == "AWS_KMS",
            never_extractable=not {"Origin", "KeyManager"} & {*wrong},
            module=f"AWS KMS, {self._section.region}, {found.arn}",
            attributes=(
                f"Origin={found.origin}",
                f"KeyManager={found.key_manager}",
                f"KeySpec={found.key_spec}",
                f"KeyUsage={found.key_usage}",
                f"MultiRegion={str(found.multi_region).lower()}",
                f"KeyState={found.key_state}",
            ),
        )

    def count(self, keys: Sequence[bytes], since: datetime, until: datetime) -> tuple[AuditLog, tuple[int, ...]]:
        """Return what the trail is, and how often CloudTrail says that each key signed; Misused without a trail."""
        from privyseal.keystore.awskms_trail import counted, described

        trail = self._section.trail
        if trail is None:
            raise Misused(
                f"No CloudTrail trail is named for {self._section.name}.", hint="add trail to its [[awskms]] section"
            )

        def ask(action: str, asked: dict[str, object], kind: type[_S]) -> _S:
            return self._ask(action, asked, kind, "cloudtrail")

        log = described(ask, trail, self._section.region, min(until, self._clock() - _LATE))
        signed = counted(ask, since, until)
        return log, tuple(signed[key.decode("ascii")] for key in keys)

    def _schedule_deletion(self, key: bytes) -> None:
        self._of_key("ScheduleKeyDeletion", key, {"PendingWindowInDays": self._section.pending_days}, _Nothing)

    def _state(self, key: bytes) -> str:
        return self._ask("DescribeKey", {"KeyId": key.decode("ascii")}, _Described).key_metadata.key_state

    def _of_key(self, action: str, key: bytes, asked: Mapping[str, object], kind: type[_S]) -> _S:
        """Ask something of a key; where its state forbids it, say in which it is."""
        try:
            return self._answered(action, {"KeyId": key.decode("ascii"), **asked}, kind, "kms")
        except _WrongStateError as wrong:
            state = self._state(key)
            if state in _ENDING:
                raise _pending() from None
            if state in ("Creating", "Updating", "Unavailable"):
                raise NotDone(KeyStoreUnavailable(f"AWS KMS says that the key is {state}."), soon=False) from None
            raise wrong.why from None

    def _settled(self, call: Callable[[], _S]) -> _S:
        """Make a call about a key that was just made; for a few seconds AWS may not know it everywhere."""

        def once() -> _S:
            try:
                return call()
            except NotFound as error:
                raise NotDone(error, soon=True) from None
            except NotDone as refusal:  # there was patience with it already
                raise NotDone(refusal.why, soon=False) from None

        return patiently(once, **self._pauses)

    def _ask(self, action: str, asked: Mapping[str, object], kind: type[_S], service: str = "kms") -> _S:
        try:
            return self._answered(action, asked, kind, service)
        except _WrongStateError as wrong:
            raise wrong.why from None

    def _answered(self, action: str, asked: Mapping[str, object], kind: type[_S], service: str) -> _S:
        body = msgspec.json.encode(asked)
        octets = patiently(lambda: self._once(action, body, service), **self._pauses)
        try:
            return msgspec.json.decode(octets, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise KeyStoreUnavailable(f"AWS answered {action} with something that could not be read.") from None

    def _once(self, action: str, body: bytes, service: str, *, fresh: bool = False) -> bytes:
        wire = self._wires[service]
        target = f"{_TARGETS[service]}.{action}"
        headers = self._signing.headers(self._identity.key(), service, wire.host, target, body)
        reply = wire.call("POST", "/", headers, body)
        if reply.status == 200:
            return reply.body
        code = _code(reply.body)
        if code in EXPIRED and not fresh:  # it was not looked at, so asking once more is safe
            self._identity.forget()
            return self._once(action, body, service, fresh=True)
        why = refusal(code)
        if code in WRONG_STATE and 400 <= reply.status < 500:
            raise _WrongStateError(why)
        if code in THROTTLED:
            raise NotDone(why, soon=True)
        raise why


class _WrongStateError(Exception):
    """The key's state forbids what was asked."""

    def __init__(self, why: PrivySealError) -> None:
        super().__init__(why.detail)
        self.why = why


class _Refusal(Struct, frozen=True):
    type: str = msgspec.field(name="__type", default="")


def _code(body: bytes) -> str:
    """Return the error's name without its namespace, or nothing where there is none."""
    try:
        return msgspec.json.decode(body, type=_Refusal).type.rpartition("#")[2]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""


def _wrong(made: _Metadata) -> list[str]:
    """Return what of a key is not as one must have it that was born with AWS and stays there."""
    expected = {
        "Origin": (made.origin, "AWS_KMS"),
        "KeyManager": (made.key_manager, "CUSTOMER"),
        "KeyUsage": (made.key_usage, "SIGN_VERIFY"),
        "MultiRegion": (made.multi_region, False),  # a key that AWS copies to other regions
    }
    return [name for name, (found, wanted) in expected.items() if found != wanted]


def _same(arn: str, key: bytes) -> None:
    if arn.rpartition("/")[2] != key.decode("ascii"):
        raise KeyStoreUnavailable("AWS KMS answered for another key than the one that it was asked about.")


def _pending() -> NotFound:
    return NotFound("The key is scheduled for deletion in AWS KMS.", hint="only there this can be taken back")
