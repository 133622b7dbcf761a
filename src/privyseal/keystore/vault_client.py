"""The worker's side of Vault's Transit engine (Vault HTTP API, "Transit secrets engine"; OpenBao has the same).

The hash is made here and said to be one (``prehashed``), or Vault would hash it again. The salt of PSS is as long as
the hash (RFC 4055 section 3.1), where Vault's default is as long as possible. Version 1 of a key is the only one that
is used, so that rotating it in Vault changes nothing.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from msgspec import Struct

from privyseal.errors import BadInput, Conflict, KeyStoreUnavailable, Misused, NotCompliant, NotFound
from privyseal.keystore.audit import AuditLog
from privyseal.keystore.clouds import CloudOpening, CloudUri
from privyseal.keystore.homes import Begin
from privyseal.keystore.messages import Hashed
from privyseal.keystore.vault import STORE, VaultSection
from privyseal.keystore.vault_audit import described, signed_by
from privyseal.keystore.vault_line import VaultLine
from privyseal.terms.keys import Assurance, KeyProtection
from privyseal.terms.signatures import Scheme

TYPES = frozenset({"rsa-3072", "rsa-4096", "ecdsa-p256", "ecdsa-p384", "ecdsa-p521"})
"""Schemes that are key types of Transit by the same name."""
_HASHES = {"sha256": "sha2-256", "sha384": "sha2-384", "sha512": "sha2-512"}
_VERSION = ":1"
"""What follows the key's name in the id of a URI: the version that is used."""
_S = TypeVar("_S")


class _Version(Struct, frozen=True):
    public_key: str = ""


class _Key(Struct, frozen=True):
    """What is read of a key."""

    type: str
    latest_version: int
    keys: dict[str, _Version]
    exportable: bool = True
    allow_plaintext_backup: bool = True
    derived: bool = False
    deletion_allowed: bool = False
    imported_key: bool = False
    supports_signing: bool = False
    min_available_version: int = 0
    backup_info: dict[str, object] | None = None
    restore_info: dict[str, object] | None = None


class _KeyRead(Struct, frozen=True):
    data: _Key


class _Made(Struct, frozen=True):
    warnings: tuple[str, ...] | None = None


class _Signature(Struct, frozen=True):
    signature: str


class _Signed(Struct, frozen=True):
    data: _Signature


def begin(section: VaultSection) -> Begin:
    """Return how a worker of this engine begins."""

    def opening(notes: Path, sessions: int, clock: Callable[[], datetime]) -> CloudOpening:
        return CloudOpening(
            sessions,
            lambda: VaultClient(section, clock),
            lambda label, key: str(CloudUri(STORE, section.name, label, key)),
            [Path(section.secret)],
        )

    return opening


class VaultClient:
    """One connection to a Transit engine."""

    def __init__(
        self, section: VaultSection, clock: Callable[[], datetime], pause: Callable[[float], None] | None = None
    ) -> None:
        """Speak for a section; nobody is called yet. Misused if hvac is not installed."""
        try:
            from hvac.api.secrets_engines.transit import Transit  # type: ignore[import-untyped]
            from hvac.api.system_backend.audit import Audit  # type: ignore[import-untyped]
        except ImportError:
            raise Misused(
                "Vault is spoken to by the package hvac, which is not installed.", hint="pip install 'privyseal[vault]'"
            ) from None
        self._section = section
        self._line = VaultLine(section, clock, pause)
        self._transit: Any = Transit(self._line)
        self._system: Any = Audit(self._line)
        self._mount = section.mount
        self._kinds: dict[bytes, str] = {}

    def close(self) -> None:
        """Close the connection."""
        self._line.close()

    def look(self) -> None:
        """Look up our own token, which every token may."""
        self._line.get("/v1/auth/token/lookup-self")

    def generate(self, label: str, scheme: Scheme) -> bytes:
        """Make a key and return its name and version; Conflict if the name is taken."""
        if scheme.name not in TYPES:
            raise Misused(f"The Vault key store cannot generate a key of scheme {scheme.name}.")
        name = label.replace("/", "_")  # no label has an underscore
        if not name[-1].isalnum():
            raise Misused("A key in Vault has a name that ends with a letter or digit.")
        key = (name + _VERSION).encode("ascii")
        try:
            self._read(key)
        except NotFound:
            pass
        else:
            raise _taken(label)
        answer = self._transit.create_key(
            name, key_type=scheme.name, exportable=False, allow_plaintext_backup=False, mount_point=self._mount
        )
        # Between the question and the deed another may have made it; then nothing was done, and Vault says so.
        if any("already existed" in each for each in _converted(answer, _Made).warnings or ()):
            raise _taken(label)
        wrong = _wrong(self._read(key), scheme.name)
        if wrong:
            self.destroy(label, key)
            raise NotCompliant(
                f"Vault did not make the key as it was told to: {', '.join(wrong)}; it was destroyed.",
                hint="another may have made it, or changed the engine's defaults",
            )
        return key

    def public_key(self, label: str, key: bytes) -> bytes:
        """Return the SubjectPublicKeyInfo, DER, of the version that is used."""
        found = self._read(key)
        self._kinds[key] = found.type
        version = found.keys.get("1")
        if version is None:
            raise NotFound("Vault has not kept the version of the key that is used.", hint="somebody trimmed it")
        try:
            public = serialization.load_pem_public_key(version.public_key.encode("ascii"))
        except (ValueError, UnicodeError, UnsupportedAlgorithm):
            raise KeyStoreUnavailable("Vault's public key is not one of a scheme that is known here.") from None
        return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    def sign(self, label: str, key: bytes, one: Hashed) -> bytes:
        """Sign a digest as it is; RSA by the padding asked, ECDSA as a DER ECDSA-Sig-Value."""
        if key not in self._kinds:
            self.public_key(label, key)
        elliptic = self._kinds[key].startswith("ecdsa")
        if elliptic and one.padding == "pss":
            raise BadInput("PSS was asked of an elliptic curve key; only an RSA key signs with it.")
        how = {"marshaling_algorithm": "asn1"} if elliptic else {"signature_algorithm": one.padding}
        if one.padding == "pss":
            how["salt_length"] = "hash"
        answer = self._transit.sign_data(
            _name(key),
            hash_input=base64.b64encode(one.digest).decode("ascii"),
            hash_algorithm=_HASHES[one.algorithm],
            prehashed=True,
            key_version=1,
            mount_point=self._mount,
            **how,
        )
        prefix, _, value = _converted(answer, _Signed).data.signature.rpartition(":")
        try:
            if prefix != "vault:v1":
                raise ValueError
            return base64.b64decode(value, validate=True)
        except (ValueError, binascii.Error):
            raise KeyStoreUnavailable("Vault gave no signature of the key's first version.") from None

    def destroy(self, label: str, key: bytes) -> None:
        """Allow the key's deletion and delete it, unless it is gone; backups of Vault's storage are not reached."""
        try:
            if not self._read(key).deletion_allowed:
                self._transit.update_key_configuration(_name(key), deletion_allowed=True, mount_point=self._mount)
            self._transit.delete_key(_name(key), mount_point=self._mount)
        except NotFound:
            return

    def protection(self, label: str, key: bytes) -> KeyProtection:
        """Return what Vault says of the key. It is software, and who may configure it can make it exportable."""
        found = self._read(key)
        facts = {
            "type": found.type,
            "exportable": found.exportable,
            "allow_plaintext_backup": found.allow_plaintext_backup,
            "imported_key": found.imported_key,
            "backed_up": found.backup_info is not None,
            "restored": found.restore_info is not None,
            "latest_version": found.latest_version,
        }
        return KeyProtection(
            store=STORE,
            assurance=Assurance.SOFTWARE,
            generated_inside=not found.imported_key and found.restore_info is None,
            never_extractable=False,
            module=f"Vault Transit, {self._section.url}, {self._mount}",
            attributes=tuple(
                f"{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in facts.items()
            ),
        )

    def count(self, keys: Sequence[bytes], since: datetime, until: datetime) -> tuple[AuditLog, tuple[int, ...]]:
        """Return what Vault's audit devices are, and how often the named file says that each key signed."""
        if self._section.audit_file is None:
            raise Misused(
                f"No file of an audit device is named for {self._section.name}.",
                hint="add audit_file to its [[vault]] section",
            )
        devices = self._system.list_enabled_audit_devices()  # itself audited, so that the file ends after this moment
        counted, last = signed_by(Path(self._section.audit_file), self._mount, since, until)
        log = described(devices, self._section.url, self._section.audit_file, last)
        return log, tuple(counted[_name(key)] for key in keys)

    def _read(self, key: bytes) -> _Key:
        return _converted(self._transit.read_key(_name(key), mount_point=self._mount), _KeyRead).data


def _name(key: bytes) -> str:
    name, colon, version = key.decode("utf-8", "replace").rpartition(":")
    if colon + version != _VERSION:
        raise NotFound("A key of this store is named with its version 1.")
    return name


def _wrong(found: _Key, kind: str) -> list[str]:
    expected = {
        "type": (found.type, kind),
        "exportable": (found.exportable, False),
        "allow_plaintext_backup": (found.allow_plaintext_backup, False),
        "derived": (found.derived, False),
        "imported_key": (found.imported_key, False),
        "supports_signing": (found.supports_signing, True),
        "latest_version": (found.latest_version, 1),
        "restored": (found.restore_info is not None, False),
    }
    return [name for name, (is_so, wanted) in expected.items() if is_so != wanted]


def _taken(label: str) -> Conflict:
    return Conflict(f"The Transit engine has a key called {label} already.", hint="give the new key another name")


def _converted(answer: Any, kind: type[_S]) -> _S:
    try:
        return msgspec.convert(answer, kind)
    except msgspec.ValidationError:
        raise KeyStoreUnavailable("Vault answered with something that could not be read.") from None
