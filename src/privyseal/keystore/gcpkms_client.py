"""The worker's side of Google Cloud KMS: its REST API (version v1) over one connection, one call at a time.

google-cloud-kms is not used: its library makes a signature anew by rules of its own. A key has one padding and one
digest with Google, so RSA keys are made to sign a DigestInfo that is put together here (RSA_SIGN_RAW_PKCS1), which
is PKCS#1 v1.5 with whatever digest is asked; there is no key that signs with PSS as well. CRC32C of what is sent and of
what comes back is checked both ways ("Verifying end-to-end data integrity").
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from msgspec import Struct, field

from privyseal.errors import BadInput, KeyStoreUnavailable, Misused, NotCompliant, NotFound, PrivySealError
from privyseal.keystore.audit import AuditLog
from privyseal.keystore.clouds import CloudOpening, CloudUri, NotDone
from privyseal.keystore.gcpkms import STORE, GcpKmsSection
from privyseal.keystore.gcpkms_audit import counted, described
from privyseal.keystore.gcpkms_identity import bearer
from privyseal.keystore.gcpkms_refusals import WrongStateError, refusal
from privyseal.keystore.homes import Begin
from privyseal.keystore.messages import Hashed
from privyseal.keystore.rest import Rest, ca_file_of
from privyseal.keystore.wire import Wire
from privyseal.terms.keys import Assurance, KeyProtection
from privyseal.terms.signatures import Scheme

ALGORITHMS = {
    "rsa-3072": "RSA_SIGN_RAW_PKCS1_3072",
    "rsa-4096": "RSA_SIGN_RAW_PKCS1_4096",
    "ecdsa-p256": "EC_SIGN_P256_SHA256",
    "ecdsa-p384": "EC_SIGN_P384_SHA384",
}
"""Scheme -> CryptoKeyVersionAlgorithm. Google has no P-521."""
LONGEST_NAME = 63
"""Characters of a key's name (CreateCryptoKey, crypto_key_id)."""
_CURVES = {"EC_SIGN_P256_SHA256": ("sha256", 32), "EC_SIGN_P384_SHA384": ("sha384", 48)}
_DIGEST_INFO = {  # what stands before a digest (RFC 8017 section 9.2, note 1)
    "sha256": bytes.fromhex("3031300d060960864801650304020105000420"),
    "sha384": bytes.fromhex("3041300d060960864801650304020205000430"),
    "sha512": bytes.fromhex("3051300d060960864801650304020305000440"),
}
_VERSION = ":1"
"""What follows the key's name in the id of a URI: the version that is used."""
_ENDING = frozenset({"DESTROY_SCHEDULED", "DESTROYED"})
_LATE = timedelta(minutes=30)
"""After how long a use is counted as logged; Google gives no word, and is seldom behind by more than a minute."""
_WAIT_SECONDS = 0.5
_S = TypeVar("_S")


class _Attestation(Struct, frozen=True):
    format: str = ""


class _Version(Struct, frozen=True, rename="camel"):
    """What is read of a CryptoKeyVersion."""

    name: str
    state: str
    protection_level: str = ""
    algorithm: str = ""
    import_job: str = ""
    attestation: _Attestation | None = None


class _PublicKey(Struct, frozen=True, rename="camel"):
    pem: str
    algorithm: str
    name: str
    pem_crc32c: int | str = field(name="pemCrc32c", default="")


class _Signed(Struct, frozen=True, rename="camel"):
    signature: str
    name: str
    signature_crc32c: int | str = field(name="signatureCrc32c", default="")
    verified_digest_crc32c: bool = field(name="verifiedDigestCrc32c", default=False)
    verified_data_crc32c: bool = field(name="verifiedDataCrc32c", default=False)


class _Nothing(Struct, frozen=True):
    """An answer of which nothing is read."""


def begin(section: GcpKmsSection) -> Begin:
    """Return how a worker of this key ring begins."""

    def opening(notes: Path, sessions: int, clock: Callable[[], datetime]) -> CloudOpening:
        return CloudOpening(
            sessions,
            lambda: GcpKmsClient(section, clock),
            lambda label, key: str(CloudUri(STORE, section.name, label, key)),
            [] if section.secret is None else [Path(section.secret)],
        )

    return opening


class GcpKmsClient:
    """One connection to Google Cloud KMS."""

    def __init__(
        self, section: GcpKmsSection, clock: Callable[[], datetime], pause: Callable[[float], None] | None = None
    ) -> None:
        """Speak for a section; nobody is called yet."""
        self._section = section
        self._clock = clock
        self._pause = time.sleep if pause is None else pause
        self._algorithms: dict[bytes, str] = {}
        tokens = bearer(section, clock)
        pauses = {"pause": self._pause}
        # Three calls must fit into a question, so that a hung one is told of before the watchdog ends the worker.
        self._lines = {
            service: Rest(
                Wire(whom, section.address(service), ca_file_of(section.ca_file), section.timeout / 3),
                tokens,
                refusal,
                pauses,
            )
            for service, whom in (
                ("kms", "Google Cloud KMS"),
                ("logging", "Google Cloud Logging"),
                ("projects", "Google Cloud Resource Manager"),
            )
        }

    def close(self) -> None:
        """Close the connections."""
        for line in self._lines.values():
            line.close()

    def look(self) -> None:
        """List one key of the ring (cryptoKeys.list)."""
        self._ask("GET", f"/v1/{self._section.key_ring}/cryptoKeys?pageSize=1", None, _Nothing)

    def generate(self, label: str, scheme: Scheme) -> bytes:
        """Make a key (cryptoKeys.create), wait until it is there, and return its name and version.

        Conflict if the name is taken, also by a key that was destroyed: Google gives no name twice.
        """
        if scheme.name not in ALGORITHMS:
            raise Misused(f"The Google Cloud KMS key store cannot generate a key of scheme {scheme.name}.")
        name = label.replace("/", "_").replace(".", "_-")  # no label has an underscore, and no name begins with a dash
        if len(name) > LONGEST_NAME:
            raise Misused(f"Google takes names of {LONGEST_NAME} characters, and {label} is longer.")
        key = (name + _VERSION).encode("ascii")
        asked = {
            "purpose": "ASYMMETRIC_SIGN",
            "versionTemplate": {"protectionLevel": self._section.protection, "algorithm": ALGORITHMS[scheme.name]},
            "destroyScheduledDuration": f"{self._section.pending_days * 86400}s",
            "labels": {"made-by": "privyseal"},
        }
        self._ask("POST", f"/v1/{self._section.key_ring}/cryptoKeys?cryptoKeyId={name}", asked, _Nothing)
        try:
            wrong = _wrong(self._born(key), self._section.protection, ALGORITHMS[scheme.name])
            if wrong:
                raise NotCompliant(
                    f"Google did not make the key as it was told to: {', '.join(wrong)}; it is scheduled for"
                    " destruction.",
                    hint="CSBR 6.2.7 asks for a key that cannot leave its module",
                )
        except (PrivySealError, NotDone):
            with contextlib.suppress(PrivySealError, NotDone):  # it carries our label, and costs a little
                self.destroy(label, key)
            raise
        return key

    def public_key(self, label: str, key: bytes) -> bytes:
        """Return the SubjectPublicKeyInfo, DER (getPublicKey)."""
        found = self._of_key("GET", key, "/publicKey", None, _PublicKey)
        self._same(found.name, key)
        if crc32c(found.pem.encode("utf-8")) != _number(found.pem_crc32c):
            raise KeyStoreUnavailable("Google's public key was damaged on its way: its checksum is another.")
        try:
            public = serialization.load_pem_public_key(found.pem.encode("ascii"))
            spki = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        except (ValueError, UnicodeError, UnsupportedAlgorithm):
            raise KeyStoreUnavailable("Google's public key is not one of a scheme that is known here.") from None
        self._algorithms[key] = found.algorithm
        return spki

    def sign(self, label: str, key: bytes, one: Hashed) -> bytes:
        """Sign a digest as it is (asymmetricSign).

        An elliptic key has one digest with Google, by the length that its curve has. A digest of another length is cut
        or preceded by zeros to that length, which is the same number (FIPS 186-5 section 6.4.1 step 1).
        """
        if key not in self._algorithms:
            self.public_key(label, key)
        algorithm = self._algorithms[key]
        if one.padding == "pss":
            raise BadInput("PSS was asked of a key with Google, where RSA keys sign with PKCS#1 v1.5 alone.")
        digest = algorithm in _CURVES
        if digest:
            name, octets = _CURVES[algorithm]
            value = one.digest[:octets].rjust(octets, b"\0")
            asked: dict[str, object] = {"digest": {name: _base64(value)}, "digestCrc32c": str(crc32c(value))}
        else:
            value = _DIGEST_INFO[one.algorithm] + one.digest
            asked = {"data": _base64(value), "dataCrc32c": str(crc32c(value))}
        found = self._of_key("POST", key, ":asymmetricSign", asked, _Signed)
        self._same(found.name, key)
        try:
            signature = base64.b64decode(found.signature, validate=True)
        except (ValueError, binascii.Error):
            raise KeyStoreUnavailable("Google gave a signature that could not be read.") from None
        if not (found.verified_digest_crc32c if digest else found.verified_data_crc32c):
            raise KeyStoreUnavailable("What Google signed was damaged on its way there; the signature is thrown away.")
        if crc32c(signature) != _number(found.signature_crc32c):
            raise KeyStoreUnavailable("Google's signature was damaged on its way here, and is thrown away.")
        return signature

    def destroy(self, label: str, key: bytes) -> None:
        """Schedule the version's destruction (cryptoKeyVersions.destroy), unless that was done."""
        with contextlib.suppress(NotFound):
            if self._version(key).state not in _ENDING:
                self._ask("POST", f"/v1/{self._path(key)}:destroy", {}, _Nothing)

    def protection(self, label: str, key: bytes) -> KeyProtection:
        """Return what Google says of the version; NotFound where it is to be destroyed."""
        found = self._version(key)
        self._same(found.name, key)
        if found.state in _ENDING:
            raise _ending()
        hardware = found.protection_level == "HSM"
        return KeyProtection(
            store=STORE,
            assurance=Assurance.HARDWARE if hardware else Assurance.SOFTWARE,
            generated_inside=not found.import_job and found.protection_level in ("HSM", "SOFTWARE"),
            never_extractable=hardware and not found.import_job,
            module=f"Google Cloud KMS, {found.name}",
            attributes=(
                f"protectionLevel={found.protection_level}",
                f"algorithm={found.algorithm}",
                f"importJob={found.import_job}",
                f"state={found.state}",
                f"attestation={'' if found.attestation is None else found.attestation.format}",
            ),
        )

    def count(self, keys: Sequence[bytes], since: datetime, until: datetime) -> tuple[AuditLog, tuple[int, ...]]:
        """Return what Google's audit log is, and how often it says that each key signed; Misused without ``audit``."""
        if not self._section.audit:
            raise Misused(
                f"Google's audit log may not be read for {self._section.name}.",
                hint="add audit = true to its [[gcpkms]] section",
            )
        log = described(
            self._lines["projects"].ask,
            self._lines["logging"].ask,
            self._section.project,
            min(until, self._clock() - _LATE),
        )
        signed = counted(self._lines["logging"].ask, self._section.key_ring, since, until)
        return log, tuple(signed[self._path(key)] for key in keys)

    def _born(self, key: bytes) -> _Version:
        """Return a version when it is no more being generated; for a moment Google may not know it everywhere."""
        until = self._clock() + timedelta(seconds=self._section.generate_timeout * 2 / 3)
        while True:
            try:
                found = self._version(key)
                if found.state != "PENDING_GENERATION":
                    return found
                why: PrivySealError = KeyStoreUnavailable("Google has not generated the key in time.")
            except NotFound as error:
                why = error
            if self._clock() >= until:
                raise why
            self._pause(_WAIT_SECONDS)

    def _version(self, key: bytes) -> _Version:
        return self._ask("GET", f"/v1/{self._path(key)}", None, _Version)

    def _path(self, key: bytes) -> str:
        """Return a version's resource name; NotFound where an id is none that this store gave out."""
        found = re.fullmatch(rb"([a-z0-9_-]{1,63}):([1-9][0-9]{0,9})", key)
        if found is None:
            raise NotFound("Google Cloud KMS has no such key.", hint="an id of this store is NAME:VERSION")
        name, version = (each.decode("ascii") for each in found.groups())
        return f"{self._section.key_ring}/cryptoKeys/{name}/cryptoKeyVersions/{version}"

    def _same(self, name: str, key: bytes) -> None:
        if name.partition("/locations/")[2] != self._path(key).partition("/locations/")[2]:  # projects have numbers too
            raise KeyStoreUnavailable("Google answered for another key than the one that it was asked about.")

    def _of_key(self, method: Literal["GET", "POST"], key: bytes, verb: str, asked: object, kind: type[_S]) -> _S:
        """Ask something of a key; where its state forbids it, say in which it is."""
        try:
            return self._lines["kms"].ask(method, f"/v1/{self._path(key)}{verb}", asked, kind)
        except WrongStateError as wrong:
            state = self._version(key).state
            if state in _ENDING:
                raise _ending() from None
            if state == "DISABLED":
                raise Misused("The key is disabled in Google Cloud KMS.", hint="enable it there") from None
            if state in ("PENDING_GENERATION", "PENDING_IMPORT"):
                raise NotDone(KeyStoreUnavailable(f"Google says that the key is {state}."), soon=False) from None
            raise wrong.why from None

    def _ask(self, method: str, path: str, asked: object, kind: type[_S]) -> _S:
        try:
            return self._lines["kms"].ask(method, path, asked, kind)
        except WrongStateError as wrong:
            raise wrong.why from None


def crc32c(octets: bytes) -> int:
    """Return the CRC-32C of some octets (RFC 3720 section 12.1); a few hundred at most, so bit by bit will do."""
    crc = 0xFFFFFFFF
    for octet in octets:
        crc ^= octet
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def _number(said: int | str) -> int:
    """Return an Int64Value, which JSON has as a string; -1 where it is none."""
    try:
        return int(said)
    except ValueError:
        return -1


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")


def _wrong(made: _Version, protection: str, algorithm: str) -> list[str]:
    """Return what of a version is not as it was told to be."""
    expected = {
        "state": (made.state, "ENABLED"),
        "protectionLevel": (made.protection_level, protection),
        "algorithm": (made.algorithm, algorithm),
        "importJob": (made.import_job, ""),
    }
    return [name for name, (found, wanted) in expected.items() if found != wanted]


def _ending() -> NotFound:
    return NotFound("The key is scheduled for destruction in Google Cloud KMS.", hint="only there this can be undone")
