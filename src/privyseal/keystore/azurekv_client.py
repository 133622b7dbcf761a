"""The worker's side of Azure Key Vault and Managed HSM: their REST API over one connection, one call at a time.

azure-keyvault-keys is not used: its library makes a call again by rules of its own. What is signed is a digest, named
with its algorithm (RFC 7518 section 3.1). ECDSA comes back as r and s side by side, and is handed on in DER.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from msgspec import Struct

from privyseal.errors import BadInput, Conflict, KeyStoreUnavailable, Misused, NotCompliant, NotFound, PrivySealError
from privyseal.keystore.audit import AuditLog
from privyseal.keystore.azurekv import STORE, AzureKvSection
from privyseal.keystore.azurekv_audit import counted, described
from privyseal.keystore.azurekv_identity import bearer
from privyseal.keystore.azurekv_refusals import refusal
from privyseal.keystore.clouds import CloudOpening, CloudUri, NotDone
from privyseal.keystore.homes import Begin
from privyseal.keystore.messages import Hashed
from privyseal.keystore.rest import Rest, ca_file_of
from privyseal.keystore.wire import Wire
from privyseal.terms.keys import Assurance, KeyProtection
from privyseal.terms.signatures import Scheme

VERSION = "7.6"
"""Of the API that is spoken; Microsoft keeps old ones."""
TAG = "privyseal"
"""The tag that every key of ours carries, with its label."""
LONGEST_NAME = 127
"""Characters of a key's name ("Objects, identifiers, and versioning")."""
TYPES: dict[str, tuple[str, dict[str, object]]] = {
    "rsa-3072": ("RSA", {"key_size": 3072}),
    "rsa-4096": ("RSA", {"key_size": 4096}),
    "ecdsa-p256": ("EC", {"crv": "P-256"}),
    "ecdsa-p384": ("EC", {"crv": "P-384"}),
    "ecdsa-p521": ("EC", {"crv": "P-521"}),
}
"""Scheme -> key type without its ``-HSM``, and what else says which (CreateKey)."""
_CURVES: dict[str, tuple[ec.EllipticCurve, str, int, int]] = {
    # the curve, its one algorithm, the octets of that algorithm's digest, the octets of r and of s
    "P-256": (ec.SECP256R1(), "ES256", 32, 32),
    "P-384": (ec.SECP384R1(), "ES384", 48, 48),
    "P-521": (ec.SECP521R1(), "ES512", 64, 66),
}
_PADDINGS = {"pkcs1v15": "RS", "pss": "PS"}
_PLATFORMS = {  # Key Vault REST API, KeyAttributes.hsmPlatform ("About keys": "HSM platforms")
    "0": "software, FIPS 140-2 level 1",
    "1": "HSM platform 1, FIPS 140-2 level 2",
    "2": "HSM platform 2, FIPS 140-3 level 3",
}
_LATE = timedelta(minutes=30)
"""After how long a use is counted as logged: 10 minutes ("Azure Key Vault logging"), and the workspace's own time."""
_S = TypeVar("_S")


class _Jwk(Struct, frozen=True):
    kid: str
    kty: str
    crv: str = ""
    n: str = ""
    e: str = ""
    x: str = ""
    y: str = ""
    key_ops: tuple[str, ...] = ()


class _Attributes(Struct, frozen=True, rename="camel"):
    enabled: bool = False
    exportable: bool = False
    hsm_platform: str = ""
    recovery_level: str = ""


class _Bundle(Struct, frozen=True):
    """What is read of a KeyBundle."""

    key: _Jwk
    attributes: _Attributes = _Attributes()
    release_policy: dict[str, object] | None = None


class _Item(Struct, frozen=True):
    kid: str = ""


class _Items(Struct, frozen=True):
    value: tuple[_Item, ...] = ()


class _Signed(Struct, frozen=True):
    kid: str
    value: str


class _Nothing(Struct, frozen=True):
    """An answer of which nothing is read."""


def begin(section: AzureKvSection) -> Begin:
    """Return how a worker of this vault begins."""

    def opening(notes: Path, sessions: int, clock: Callable[[], datetime]) -> CloudOpening:
        return CloudOpening(
            sessions,
            lambda: AzureKvClient(section, clock),
            lambda label, key: str(CloudUri(STORE, section.name, label, key)),
            [] if section.secret is None else [Path(section.secret)],
        )

    return opening


class AzureKvClient:
    """One connection to a vault or Managed HSM."""

    def __init__(
        self, section: AzureKvSection, clock: Callable[[], datetime], pause: Callable[[float], None] | None = None
    ) -> None:
        """Speak for a section; nobody is called yet."""
        self._section = section
        self._clock = clock
        self._kinds: dict[bytes, str] = {}
        pauses = {} if pause is None else {"pause": pause}
        # Three calls must fit into a question, so that a hung one is told of before the watchdog ends the worker.
        self._lines = {
            service: Rest(
                Wire(whom, section.address(service), ca_file_of(section.ca_file), section.timeout / 3),
                bearer(section, clock, audience),
                refusal,
                pauses,
            )
            for service, whom, audience in (
                ("vault", "Azure Key Vault", section.audience),
                ("manage", "Azure Resource Manager", "https://management.azure.com"),
                ("logs", "Azure Monitor", "https://api.loganalytics.io"),
            )
        }

    def close(self) -> None:
        """Close the connections."""
        for line in self._lines.values():
            line.close()

    def look(self) -> None:
        """List one key (GetKeys)."""
        self._ask("GET", "/keys", None, _Nothing, "maxresults=1&")

    def generate(self, label: str, scheme: Scheme) -> bytes:
        """Make a key (CreateKey) and return its name and version; Conflict if the name is taken.

        A name stays taken while a deleted key can be recovered.
        """
        if scheme.name not in TYPES:
            raise Misused(f"The Azure Key Vault key store cannot generate a key of scheme {scheme.name}.")
        name = _name_of(label)
        try:
            self._ask("GET", f"/keys/{name}", None, _Bundle)
        except NotFound:
            pass
        else:
            raise _taken(label)
        kind, size = TYPES[scheme.name]
        kind += "-HSM" if self._section.hsm else ""
        asked = {
            "kty": kind,
            **size,
            "key_ops": ["sign", "verify"],
            "attributes": {"enabled": True, "exportable": False},
            "tags": {TAG: label},
        }
        made = self._ask("POST", f"/keys/{name}/create", asked, _Bundle)
        key = self._id(made.key.kid, name)
        if len(self._ask("GET", f"/keys/{name}/versions", None, _Items, "maxresults=2&").value) != 1:
            # Another made one between the question and the deed; to make it again is to make a second version.
            raise _taken(label)
        wrong = _wrong(made, kind)
        if wrong:
            with contextlib.suppress(PrivySealError, NotDone):
                self.destroy(label, key)
            raise NotCompliant(
                f"Azure did not make the key as it was told to: {', '.join(wrong)}; it was deleted.",
                hint="CSBR 6.2.7 asks for a key that cannot leave its module; a vault for that has the tier Premium",
            )
        return key

    def public_key(self, label: str, key: bytes) -> bytes:
        """Return the SubjectPublicKeyInfo, DER (GetKey)."""
        found = self._bundle(key).key
        try:
            if found.kty.startswith("EC"):
                curve = _CURVES[found.crv][0]
                public: ec.EllipticCurvePublicKey | rsa.RSAPublicKey = ec.EllipticCurvePublicNumbers(
                    _integer(found.x), _integer(found.y), curve
                ).public_key()
            else:
                public = rsa.RSAPublicNumbers(_integer(found.e), _integer(found.n)).public_key()
        except (ValueError, KeyError):
            raise KeyStoreUnavailable("Azure's public key is not one of a scheme that is known here.") from None
        self._kinds[key] = found.crv if found.kty.startswith("EC") else ""
        return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    def sign(self, label: str, key: bytes, one: Hashed) -> bytes:
        """Sign a digest as it is (Sign).

        An elliptic key has one algorithm with Azure, whose digest is as long as the curve. A digest of another length
        is cut or preceded by zeros to that length, which is the same number (FIPS 186-5 section 6.4.1 step 1).
        """
        if key not in self._kinds:
            self.public_key(label, key)
        curve, digest, half = self._kinds[key], one.digest, 0
        if curve:
            if one.padding == "pss":
                raise BadInput("PSS was asked of an elliptic curve key; only an RSA key signs with it.")
            _, algorithm, octets, half = _CURVES[curve]
            digest = digest[:octets].rjust(octets, b"\0")
        else:
            algorithm = _PADDINGS[one.padding] + one.algorithm.removeprefix("sha")
        found = self._ask("POST", f"{self._path(key)}/sign", {"alg": algorithm, "value": _url64(digest)}, _Signed)
        self._same(found.kid, key)
        value = _octets(found.value)
        if not curve:
            return value
        if len(value) != 2 * half:
            raise KeyStoreUnavailable(f"Azure gave {len(value)} octets where r and s have {2 * half}.")
        return encode_dss_signature(int.from_bytes(value[:half], "big"), int.from_bytes(value[half:], "big"))

    def destroy(self, label: str, key: bytes) -> None:
        """Delete the key (DeleteKey), unless it is gone; a vault keeps what is deleted for some days."""
        with contextlib.suppress(NotFound):
            self._bundle(key)
            self._ask("DELETE", f"/keys/{self._split(key)[0]}", None, _Nothing)

    def protection(self, label: str, key: bytes) -> KeyProtection:
        """Return what Azure says of the version. It was made by ``generate``, or its version would be another."""
        found = self._bundle(key)
        hardware = found.key.kty.endswith("-HSM")
        bound = not found.attributes.exportable and found.release_policy is None
        platform = _PLATFORMS.get(found.attributes.hsm_platform, "")
        what = "Azure Managed HSM" if self._section.managed_hsm else "Azure Key Vault"
        return KeyProtection(
            store=STORE,
            assurance=Assurance.HARDWARE if hardware else Assurance.SOFTWARE,
            generated_inside=True,
            never_extractable=hardware and bound,
            module=", ".join(each for each in (what, self._section.vault, platform) if each),
            attributes=(
                f"kty={found.key.kty}",
                f"exportable={str(found.attributes.exportable).lower()}",
                f"hsmPlatform={found.attributes.hsm_platform}",
                f"key_ops={','.join(found.key.key_ops)}",
                f"enabled={str(found.attributes.enabled).lower()}",
                f"recoveryLevel={found.attributes.recovery_level}",
            ),
        )

    def count(self, keys: Sequence[bytes], since: datetime, until: datetime) -> tuple[AuditLog, tuple[int, ...]]:
        """Return what the vault's audit log is, and how often it says that each key signed; Misused without one."""
        resource, workspace = self._section.resource, self._section.workspace
        if resource is None or workspace is None:
            raise Misused(
                f"No audit log is named for {self._section.name}.",
                hint="add resource and workspace to its [[azurekv]] section",
            )
        log = described(self._lines["manage"].ask, resource, min(until, self._clock() - _LATE))
        signed = counted(self._lines["logs"].ask, workspace, resource, since, until)
        return log, tuple(signed["/".join(self._split(key))] for key in keys)

    def _bundle(self, key: bytes) -> _Bundle:
        found = self._ask("GET", self._path(key), None, _Bundle)
        self._same(found.key.kid, key)
        return found

    def _split(self, key: bytes) -> tuple[str, str]:
        """Return name and version; NotFound where an id is none that this store gave out."""
        found = re.fullmatch(rb"([a-z0-9-]{1,127}):([0-9a-f]{32})", key)
        if found is None:
            raise NotFound("Azure has no such key.", hint="an id of this store is NAME:VERSION")
        return found[1].decode("ascii"), found[2].decode("ascii")

    def _path(self, key: bytes) -> str:
        name, version = self._split(key)
        return f"/keys/{name}/{version}"

    def _id(self, kid: str, name: str) -> bytes:
        prefix, _, version = kid.rpartition("/")
        key = f"{name}:{version}".encode("utf-8", "replace")
        if not prefix.endswith(f"/keys/{name}") or not re.fullmatch(r"[0-9a-f]{32}", version):
            raise KeyStoreUnavailable("Azure made a key and called it by a name that is none of its.")
        return key

    def _same(self, kid: str, key: bytes) -> None:
        if not kid.endswith(self._path(key)):
            raise KeyStoreUnavailable("Azure answered for another key than the one that it was asked about.")

    def _ask(self, method: str, path: str, asked: object, kind: type[_S], more: str = "") -> _S:
        return self._lines["vault"].ask(method, f"{path}?{more}api-version={VERSION}", asked, kind)


def _name_of(label: str) -> str:
    """Return a key's name, letters, digits and dashes; no two labels have one, whatever dashes are in them."""
    name = label.replace("-", "--").replace("/", "-0").replace(".", "-1")
    if len(name) > LONGEST_NAME:
        raise Misused(f"Azure takes names of {LONGEST_NAME} characters, and that of {label} would be longer.")
    return name


def _taken(label: str) -> Conflict:
    return Conflict(f"The vault has a key called {label} already.", hint="give the new key another name")


def _wrong(made: _Bundle, kind: str) -> list[str]:
    """Return what of a key is not as it was told to be."""
    expected = {
        "kty": (made.key.kty, kind),
        "exportable": (made.attributes.exportable, False),
        "release_policy": (made.release_policy, None),
        "key_ops": ({*made.key.key_ops}, {"sign", "verify"}),
        "enabled": (made.attributes.enabled, True),
    }
    return [name for name, (found, wanted) in expected.items() if found != wanted]


def _url64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def _octets(text: str) -> bytes:
    try:
        return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise KeyStoreUnavailable("Azure answered with base64url that is none.") from None


def _integer(text: str) -> int:
    return int.from_bytes(_octets(text), "big")
