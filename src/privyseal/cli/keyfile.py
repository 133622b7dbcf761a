"""Signing with a key file: no service, no log. For rehearsal, and for comparing formats with other signers.

It refuses every certificate that counts as public, whatever the user says: a key file is what the Requirements forbid
for publicly trusted keys (CSBR 6.2.7.3). A certificate is known not to be public in one of two ways: its chain ends
in an anchor that the user pinned (``--rehearsal-anchor``, ``rehearsal_anchors`` in a profile), or it is signed by the
very key in the file, whose possession shows that no CA had a part in it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

import click
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from privyseal.cli.output import printable, shown_path
from privyseal.cli.pieces import Job, Made
from privyseal.cli.profile import read_whole, refuse_if_others_can_read
from privyseal.errors import BadInput, Misused, NotCompliant, PrivySealError
from privyseal.formats import catalogue
from privyseal.formats.protocol import EmbeddedSignature, Identity, Prepared
from privyseal.pki import certificates, chain, loaders
from privyseal.pki.chain import PinnedAnchor
from privyseal.pki.loaders import Encoding, PublicFormat
from privyseal.terms.signatures import Described, DigestAlgorithm, Options, Signature, TimestampToken, ToBeSigned

if TYPE_CHECKING:  # its network and threads are only for those who have an authority
    from privyseal.timestamp.authorities import Authorities

PASSWORD = "PRIVYSEAL_KEYFILE_PASSWORD"  # noqa: S105 - the name of the variable
LARGEST_KEY = 64 * 1024
"""Octets of a key file; RSA-4096 has 3.3 KiB."""
LARGEST_CHAIN = 1 << 20
"""Octets of a file of certificates; four RSA-4096 certificates have 10 KiB in PEM."""

_Path: TypeAlias = str | os.PathLike[str]
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
"""The kinds of key that a code signing certificate may be for."""


class KeyFile(msgspec.Struct, frozen=True):
    """A private key out of a file, with its certificates; shows neither in its repr."""

    key: PrivateKey
    identity: Identity
    digest: DigestAlgorithm
    """What its scheme hashes with where nobody asks for another."""

    def __repr__(self) -> str:
        """Show no secret."""
        return f"KeyFile({self.identity.scheme})"

    def sign(self, tbs: ToBeSigned) -> Signature:
        """Sign; the value is as in :class:`~privyseal.terms.signatures.Signature`."""
        algorithm = certificates.HASHES[tbs.digest_algorithm]
        if isinstance(self.key, rsa.RSAPrivateKey):
            return Signature(tbs, self.key.sign(tbs.octets, _PKCS1, algorithm))
        return Signature(tbs, self.key.sign(tbs.octets, ec.ECDSA(algorithm)))


Stamp = Callable[[bytes, DigestAlgorithm], TimestampToken]
"""Has a signature value timestamped; TimestampUnavailable where no token can be had."""


def stamp_by(asked: Authorities) -> Stamp:
    """Return a function that has these authorities timestamp a value."""
    return lambda value, digest: asked.stamp([value], digest)[0]


class KeyFileMaker:
    """Makes signatures with a key file and, if one is named, a timestamp authority."""

    logs = False

    def __init__(self, key: KeyFile, stamp: Stamp | None) -> None:
        """Sign with ``key``, and have ``stamp`` timestamp each signature value."""
        self._key = key
        self._stamp = stamp
        self.stamps = stamp is not None
        self.identity = key.identity

    def make(self, prepared: Prepared, options: Options, *, again: bool) -> Made:
        """Make one file's signatures; TimestampUnavailable where no token can be had."""
        beside = prepared.enclosed or (b"",) * len(prepared.described)
        pairs = zip(prepared.described, beside, strict=True)
        return Made(tuple(self._blob(described, enclosed, options) for described, enclosed in pairs))

    def _blob(self, described: Described, enclosed: bytes, options: Options) -> bytes:
        format_side = catalogue.BY_NAME[described.format]
        wanted = format_side.to_be_signed(described, self.identity, options, enclosed)
        signed = [self._key.sign(each) for each in wanted]
        stamp, digest = self._stamp if options.timestamp else None, described.digest_algorithm
        tokens = [stamp(each.value, digest) for each in signed if each.to_be_signed.stamped] if stamp else []
        return format_side.finish(described, self.identity, options, signed, tokens, enclosed)

    def accept(self, made: Made, found: EmbeddedSignature, job: Job) -> None:
        """Keep nothing: there is no log, so there is no receipt."""

    def has_receipt(self, found: EmbeddedSignature, job: Job) -> bool:
        """Miss nothing."""
        return True


_PKCS1 = padding.PKCS1v15()


def load(key: _Path, certs: _Path, anchors: Sequence[_Path], at: datetime, password: str | None = None) -> KeyFile:
    """Read a key and its chain, and refuse what must not sign; both may stand in one file, PEM or PKCS #12.

    Misused for a key that others can read or a password that is missing, BadInput for a key or chain that is not what
    it should be, NotCompliant for a certificate that counts as public or is not in force.
    """
    octets = _key_octets(key)
    both = _pkcs12(octets, key, password) if b"-----BEGIN" not in octets and _is_same(key, certs) else None
    secret = _private_key(octets, key, password) if both is None else both[0]
    spki = secret.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    _check_strength(secret)
    _check_arithmetic(secret)
    found = _read(certs, "chain", certificates.pem_certificates, LARGEST_CHAIN) if both is None else both[1]
    ordered = _ordered(found, spki, certs)
    pins = [PinnedAnchor(one, "rehearsal") for path in anchors for one in _read(path, "anchor", _pem, LARGEST_CHAIN)]
    if certificates.signs_itself(ordered[0]):
        pins.append(PinnedAnchor(ordered[0], "rehearsal"))
    standing = chain.standing(ordered, pins)
    if standing == "public":
        raise NotCompliant(
            "The certificate counts as public: its chain ends in no anchor that was pinned for rehearsal, and a key in "
            "a file must not sign under a public certificate (CSBR 6.2.7.3).",
            hint="if its root is your own, pin it: --rehearsal-anchor root.pem",
        )
    first, last = certificates.validity(ordered[0])
    if not first <= at <= last:
        raise NotCompliant(
            f"The certificate is valid from {first:%Y-%m-%d} to {last:%Y-%m-%d} only; nothing is signed under it today."
        )
    scheme = certificates.scheme_of(spki)
    return KeyFile(secret, Identity(tuple(ordered), scheme.name), scheme.default_digest)


def _is_same(key: _Path, certs: _Path) -> bool:
    try:
        return os.path.samefile(key, certs)
    except OSError:
        return False


def is_for_code_signing(certificate: bytes) -> bool:
    """Tell whether a certificate, DER, states the purpose that verifiers ask for (CSBR 7.1.2.3)."""
    try:
        return loaders.ExtendedKeyUsageOID.CODE_SIGNING.dotted_string in certificates.purposes(certificate)
    except BadInput:
        return False


def _key_octets(path: _Path) -> bytes:
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            refuse_if_others_can_read(path, mode, "holds a private key")
            return file.read(LARGEST_KEY)
    except OSError as error:
        raise BadInput(f"The key file {shown_path(path)} cannot be read: {error.strerror}.") from error


def _private_key(octets: bytes, path: _Path, password: str | None) -> PrivateKey:
    try:
        return _supported(_load(octets, None), path)
    except TypeError:  # what cryptography says of a key that asks for a password
        given = _password(path) if password is None else password.encode()
    try:
        return _supported(_load(octets, given), path)
    except (ValueError, TypeError):
        raise BadInput(f"The password does not open the key file {shown_path(path)}.") from None


def _pkcs12(octets: bytes, path: _Path, password: str | None) -> tuple[PrivateKey, list[bytes]]:
    """Return key and certificates of a PKCS #12 file (RFC 7292), the key's own first."""
    from cryptography.hazmat.primitives.serialization import pkcs12

    given = password if password is not None else os.environ.get(PASSWORD, "")
    try:
        key, own, others = pkcs12.load_key_and_certificates(octets, given.encode() or None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        hint = f"the password is wanted, and it is the one of /p or {PASSWORD}"
        raise BadInput(f"{shown_path(path)} is no PKCS #12 file that this password opens.", hint=hint) from None
    if key is None:
        raise BadInput(f"{shown_path(path)} holds no private key.")
    held = [one for one in (own, *others) if one is not None]
    return _supported(key, path), [one.public_bytes(Encoding.DER) for one in held]


def _load(octets: bytes, password: bytes | None) -> object:
    pem = b"-----BEGIN" in octets
    load = loaders.load_pem_private_key if pem else loaders.load_der_private_key
    try:
        # Left out are tests of primality, which take 90 ms, more than all else that one file takes: _check_arithmetic
        # looks at the rest, and no signature gets into a file unless the public key verifies it.
        return load(octets, password, unsafe_skip_rsa_key_validation=True)
    except UnsupportedAlgorithm as error:
        raise BadInput(f"The key is of a kind that cannot sign here: {printable(str(error))}.") from None
    except ValueError:
        if password is not None:
            raise
        raise BadInput("The key file holds no private key that can be read.", hint="expected PEM, PKCS #8") from None


def _supported(key: object, path: _Path) -> PrivateKey:
    if isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        return key
    raise BadInput(f"The key in {shown_path(path)} is neither RSA nor on an elliptic curve.")


def _check_arithmetic(key: PrivateKey) -> None:
    """Refuse an RSA key whose numbers do not belong together (RFC 8017 3.2)."""
    if not isinstance(key, rsa.RSAPrivateKey):
        return
    numbers = key.private_numbers()
    p, q, d, public = numbers.p, numbers.q, numbers.d, numbers.public_numbers
    fits = min(p, q) > 1 and p * q == public.n and numbers.iqmp * q % p == 1
    fits = fits and (d * public.e % (p - 1), d * public.e % (q - 1)) == (1, 1)
    if not fits or (numbers.dmp1, numbers.dmq1) != (d % (p - 1), d % (q - 1)):
        raise BadInput("The key file holds an RSA key whose numbers do not belong together.", hint="is it damaged?")


def _password(path: _Path) -> bytes:
    given = os.environ.get(PASSWORD)
    if given is not None:
        return given.encode()
    if not sys.stdin.isatty():
        raise Misused(f"The key file {shown_path(path)} asks for a password.", hint=f"give it in {PASSWORD}")
    asked = click.prompt(f"Password of {shown_path(path)}", hide_input=True, err=True, default="", show_default=False)
    return str(asked).encode()


def _check_strength(key: PrivateKey) -> None:
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < 3072:
        raise BadInput(f"The key is RSA of {key.key_size} bits; CSBR 6.1.5.2 asks for 3072 or more.")
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name not in ("secp256r1", "secp384r1", "secp521r1"):
        raise BadInput(f"The key is on the curve {key.curve.name}; CSBR 6.1.5.2 asks for P-256, P-384 or P-521.")


def _ordered(found: Sequence[bytes], spki: bytes, path: _Path) -> list[bytes]:
    """Put the chain in order, the key's own certificate first; what is not on the way up, and the root, is left out."""
    leaf = next((one for one in found if certificates.outline(one).spki == spki), None)
    if leaf is None:
        raise BadInput(
            f"None of the {len(found)} certificates in {shown_path(path)} is for the key in the key file.",
            hint="give the chain of this key: its own certificate, then its issuers",
        )
    ordered = [leaf]
    while not _names_itself(ordered[-1]):
        wanted = certificates.outline(ordered[-1]).issuer
        above = [one for one in found if certificates.outline(one).subject == wanted and one not in ordered]
        if not above or _names_itself(above[0]):
            break
        ordered.append(above[0])
    return ordered


def _names_itself(certificate: bytes) -> bool:
    parts = certificates.outline(certificate)
    return parts.issuer == parts.subject


def _pem(octets: bytes) -> list[bytes]:
    return certificates.pem_certificates(octets)


def _read(path: _Path, what: str, read: Callable[[bytes], list[bytes]], limit: int) -> list[bytes]:
    try:
        return read(read_whole(path, limit))
    except PrivySealError as error:
        raise BadInput(f"The {what} {shown_path(path)} cannot be used: {error.detail}", hint=error.hint) from error
