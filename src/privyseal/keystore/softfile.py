"""Keys in files under a passphrase, for rehearsal and closed PKIs: one sealed file a key (``sealing.py``).

What it proves is little and it says so: ``Assurance.SOFTWARE``. The signer refuses to use such a key under a publicly
trusted certificate (CSBR 6.2.7.3). An opened Private Key stays in this process until it ends or the key is destroyed,
because opening costs more than signing; Python cannot wipe it from memory, so the process that holds a store is
the one that holds nothing else, has no core dumps and cannot be traced (``strongroom/door.py``).

In the directory: ``store.json`` (salt, and a commitment to the master key) and ``<subscriber>/<name>.key``. A
destroyed key leaves a tombstone in its place, so its name is not given again and destroying it again does
nothing.
"""

from __future__ import annotations

import hmac
import os
import re
import stat
import threading
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Literal, Self

import msgspec
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.padding import AsymmetricPadding

from privyseal.errors import BadInput, Conflict, KeyStoreUnavailable, Misused, NotFound
from privyseal.keystore.sealing import FORMAT, MAX_ENVELOPE_OCTETS, Envelope, Header, MasterKey, read_envelope
from privyseal.pki.certificates import key_id
from privyseal.terms.canonical import canonical_json
from privyseal.terms.keys import Assurance, KeyProtection, TokenState
from privyseal.terms.signatures import DIGEST_SIZES, Family, Scheme, ToBeSigned

_LABEL = re.compile(r"([a-z0-9][a-z0-9-]{0,62})/([a-z0-9][a-z0-9.-]{0,79})")
_PREFIX = "softfile:"
_CURVES: dict[str, ec.EllipticCurve] = {
    "ecdsa-p256": ec.SECP256R1(),
    "ecdsa-p384": ec.SECP384R1(),
    "ecdsa-p521": ec.SECP521R1(),
}
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
# Made once: building them for each call costs a quarter of a P-256 signature.
# RFC 6979 nonces, because a biased one gives the key away and nothing here depends on two signatures differing.
_ECDSA = {name: ec.ECDSA(algorithm, deterministic_signing=True) for name, algorithm in _HASHES.items()}
_RSA: dict[tuple[str, str], tuple[AsymmetricPadding, hashes.HashAlgorithm]] = {
    (name, way): (made, _HASHES[name])
    for name, octets in DIGEST_SIZES.items()
    for way, made in (
        ("pkcs1v15", padding.PKCS1v15()),
        ("pss", padding.PSS(padding.MGF1(_HASHES[name]), octets)),  # a salt as long as the digest, RFC 4055 3.1
    )
}

_Pure = (
    ed25519.Ed25519PrivateKey | mldsa.MLDSA44PrivateKey | mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey
)  # these sign octets, not a digest of them
_PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | _Pure
_PURE: dict[str, Callable[[], _Pure]] = {
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ml-dsa-44": mldsa.MLDSA44PrivateKey.generate,
    "ml-dsa-65": mldsa.MLDSA65PrivateKey.generate,
    "ml-dsa-87": mldsa.MLDSA87PrivateKey.generate,
}


class SoftFileSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[softfile]`` in the settings of a process that keeps its keys here."""

    directory: str
    """Relative to the settings file."""
    passphrase: str

    def __repr__(self) -> str:
        """Show all but the passphrase."""
        return f"SoftFileSection(directory={self.directory!r}, passphrase=...)"


class _Store(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``store.json``."""

    format: Literal["privyseal/softfile/v1"]
    salt: bytes
    commitment: bytes


class _Tombstone(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands in a destroyed key's place."""

    format: Literal["privyseal/softfile/v1"]
    destroyed: datetime


class SoftFile:
    """A directory of sealed keys, opened with its passphrase; safe to use from several threads of one process."""

    away: ClassVar[bool] = False
    lost: ClassVar[bool] = False

    def __init__(self, directory: Path, master: MasterKey, clock: Callable[[], datetime]) -> None:
        """Take an opened store; use :meth:`create` or :meth:`open`."""
        self._directory = directory
        self._master = master
        self._clock = clock
        self._opened: dict[str, _PrivateKey] = {}
        self._lock = threading.Lock()

    @classmethod
    def create(cls, directory: Path, passphrase: bytes, clock: Callable[[], datetime]) -> Self:
        """Make an empty store (directory 0700, files 0600) and open it; Conflict if one is there."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        salt = os.urandom(32)
        master = MasterKey.from_passphrase(passphrase, salt)
        try:
            _write(directory / "store.json", canonical_json(_Store(FORMAT, salt, master.commitment())), new=True)
        except FileExistsError:
            raise Conflict(f"{directory} holds a key store already.", hint="choose another directory") from None
        return cls(directory, master, clock)

    @classmethod
    def open(cls, directory: Path, passphrase: bytes, clock: Callable[[], datetime]) -> Self:
        """Open a store; Misused for a wrong passphrase or a directory others can enter."""
        if directory.is_dir() and stat.S_IMODE(directory.stat().st_mode) & 0o077:
            raise Misused(
                f"Others than its owner can enter {directory}, which holds keys.", hint=f"chmod 700 {directory}"
            )
        try:
            store = msgspec.json.decode(_read(directory / "store.json"), type=_Store)
        except FileNotFoundError:
            raise Misused(f"{directory} holds no key store.", hint="make one with privyseal init") from None
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise KeyStoreUnavailable(
                f"{directory / 'store.json'} is damaged.", hint="restore it from a backup"
            ) from None
        master = MasterKey.from_passphrase(passphrase, store.salt)
        if not hmac.compare_digest(master.commitment(), store.commitment):
            raise Misused(f"The passphrase does not open the key store in {directory}.")
        return cls(directory, master, clock)

    def names(self, subscriber: str) -> bool:
        """Tell whether it is named as this Subscriber's: no, it takes what no other store takes."""
        return False

    def generate(self, label: str, scheme: Scheme) -> str:
        """Generate a Key Pair, seal it and return its URI; Conflict if the label was ever used."""
        subscriber, name = _parts(label)
        private = _new_key(scheme)
        spki = _spki(private)
        header = Header(
            subscriber=subscriber,
            name=name,
            uuid=str(uuid.uuid4()),
            version=1,
            scheme=scheme.name,
            spki_sha256=key_id(spki),
            created=self._clock(),
        )
        der = private.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path = self._path(label)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        try:
            _write(path, self._master.seal(header, spki, der).encoded(), new=True)
        except FileExistsError:
            raise Conflict(f"There is or was a key called {label}.", hint="give the new key another name") from None
        except OSError as error:
            raise _unavailable(label, error) from None
        uri = _PREFIX + label
        with self._lock:
            self._opened[uri] = private
        return uri

    def born(self, label: str, scheme: Scheme, beside: str) -> str:
        """Return the URI of the key of a label, or nothing where none was born under it; ``beside`` says nothing."""
        uri = _PREFIX + label
        try:
            self.public_key(uri)
        except NotFound:
            return ""
        return uri

    def public_key(self, uri: str) -> bytes:
        """Return the SubjectPublicKeyInfo, DER; NotFound for a key that is unknown or destroyed."""
        return self._envelope(uri).public_key

    def sign(self, uri: str, tbs: Sequence[ToBeSigned]) -> list[bytes]:
        """Sign each in the order given, as ``terms.signatures.Signature`` says for each scheme."""
        private = self._opened.get(uri) or self._open(uri)
        if isinstance(private, rsa.RSAPrivateKey):
            return [private.sign(one.octets, *_RSA[one.digest_algorithm, one.padding]) for one in tbs]
        if any(one.padding == "pss" for one in tbs):
            raise BadInput("PSS was asked of a key of another kind; only an RSA key signs with it.")
        if isinstance(private, ec.EllipticCurvePrivateKey):
            return [private.sign(one.octets, _ECDSA[one.digest_algorithm]) for one in tbs]
        return [private.sign(one.octets) for one in tbs]

    def destroy(self, uri: str) -> None:
        """Overwrite the sealed key and leave a tombstone; copies that backups hold are not reached."""
        path = self._path(_label(uri))
        with self._lock:
            self._opened.pop(uri, None)
        try:
            if _is_tombstone(_read(path)):
                return
            with path.open("r+b") as file:  # in place, so that on most file systems the old octets are gone
                file.write(bytes(os.fstat(file.fileno()).st_size))
                file.flush()
                os.fsync(file.fileno())
            _write(path, canonical_json(_Tombstone(FORMAT, self._clock())), new=False)
        except FileNotFoundError:
            raise _unknown(uri) from None
        except OSError as error:
            raise _unavailable(uri, error) from None

    def tokens(self, uris: Sequence[str]) -> tuple[TokenState, ...]:
        """Return nothing: keys in files are in no token."""
        return ()

    def protection(self, uri: str) -> KeyProtection:
        """Say what can be proved of the key: that it was generated in here, by software, which can be copied."""
        self._envelope(uri)
        return KeyProtection(
            store="softfile", assurance=Assurance.SOFTWARE, generated_inside=True, never_extractable=False
        )

    def close(self) -> None:
        """Do nothing: every file was closed when it was read or written."""

    def _path(self, label: str) -> Path:
        subscriber, name = _parts(label)
        return self._directory / subscriber / f"{name}.key"

    def _envelope(self, uri: str) -> Envelope:
        label = _label(uri)
        try:
            stored = _read(self._path(label))
        except FileNotFoundError:
            raise _unknown(uri) from None
        except OSError as error:
            raise _unavailable(uri, error) from None
        if _is_tombstone(stored):
            raise _unknown(uri)
        envelope = read_envelope(stored)
        if f"{envelope.header.subscriber}/{envelope.header.name}" != label:
            raise KeyStoreUnavailable(
                f"The file of key {label} holds another key: somebody moved it there.",
                hint="restore the file from a backup and find out who could write there",
            )
        return envelope

    def _open(self, uri: str) -> _PrivateKey:
        with self._lock:
            if (already := self._opened.get(uri)) is not None:
                return already
            envelope = self._envelope(uri)
            private = serialization.load_der_private_key(self._master.open(envelope), None)
            if not isinstance(private, _PrivateKey):
                raise KeyStoreUnavailable(f"The key {uri} is of no scheme that this store knows.")
            if _spki(private) != envelope.public_key:
                raise KeyStoreUnavailable(f"The two halves of the key {uri} do not belong together.")
            self._opened[uri] = private
            return private


def _new_key(scheme: Scheme) -> _PrivateKey:
    if scheme.family is Family.RSA:
        return rsa.generate_private_key(65537, scheme.bits)
    if scheme.name in _CURVES:
        return ec.generate_private_key(_CURVES[scheme.name])
    if scheme.name in _PURE:
        return _PURE[scheme.name]()
    raise Misused(f"The softfile key store cannot generate a key of scheme {scheme.name}.")


def _spki(private: _PrivateKey) -> bytes:
    return private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _parts(label: str) -> tuple[str, str]:
    found = _LABEL.fullmatch(label)
    if found is None:
        raise Misused(
            "A key's label is not of the form subscriber/name.",
            hint="lower-case letters, digits and dashes, beginning with a letter or digit",
        )
    return found[1], found[2]


def _label(uri: str) -> str:
    if not uri.startswith(_PREFIX):
        raise NotFound(f"A key URI of the softfile store begins with {_PREFIX}.")
    return uri[len(_PREFIX) :]


def _unknown(uri: str) -> NotFound:
    return NotFound(f"There is no key {uri}, or it was destroyed.")


def _unavailable(what: str, error: OSError) -> KeyStoreUnavailable:
    return KeyStoreUnavailable(f"The file of key {what} cannot be used: {error.strerror}.")


def _is_tombstone(stored: bytes) -> bool:
    try:
        msgspec.json.decode(stored, type=_Tombstone)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    return True


def _read(path: Path) -> bytes:
    """Read a small file of ours; Misused if others than its owner can."""
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            raise Misused(f"Others than its owner can read {path}, which holds a key.", hint=f"chmod 600 {path}")
        stored = file.read(MAX_ENVELOPE_OCTETS + 1)
    if len(stored) > MAX_ENVELOPE_OCTETS:
        raise KeyStoreUnavailable(f"{path} is larger than any sealed key.", hint="restore the file from a backup")
    return stored


def _write(path: Path, content: bytes, *, new: bool) -> None:
    """Put a whole file in place durably, or nothing; with ``new`` only where none is (FileExistsError)."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if new:
            os.link(temporary, path)  # unlike a rename it fails where a file is
        else:
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    for directory in (path.parent, path.parent.parent):  # the second, because the first may be new as well
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
