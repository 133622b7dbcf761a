"""What a Subscriber declares at order about where its key is, signed, so that a CA can hold it against what it finds.

The file has one JSON object a line: ``declaration``, then ``certificate`` or ``ed25519`` (base64), and ``signature``
(base64). The signature is over the ASCII tag ``privyseal/declaration/1``, a zero octet, and the declaration as RFC 8785
JSON: by the key of the Subscriber's own code signing certificate (SHA-256; PKCS #1 v1.5 or ECDSA in DER), or by an
Ed25519 key that the CA knows as the Subscriber's. It proves who said it, and not that it is so.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from privyseal.errors import BadInput, VerificationFailed
from privyseal.pki import certificates
from privyseal.terms.canonical import canonical_json
from privyseal.terms.signatures import ToBeSigned

TAG = b"privyseal/declaration/1\0"
"""What no other kind of message begins with."""
LONGEST_LINE = 128 << 10
"""Octets of one signed declaration; a certificate may have 64 KiB."""

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
"""A name or a number."""


class Keeping(StrEnum):
    """How the key is kept (CSBR 6.2.7.4.1, options 7 to 9)."""

    OWN_MODULE = "own-module"
    CLOUD = "cloud"
    SIGNING_SERVICE = "signing-service"


class Owner(StrEnum):
    """Whose the module is."""

    SUBSCRIBER = "subscriber"
    SIGNING_SERVICE = "signing-service"
    OTHER = "other"


class Declaration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a Subscriber says; canonical JSON leaves out what is not said."""

    subscriber: Text
    """As it stands in the certificate: organizationName, or commonName where there is none."""
    order: Text
    keeping: Keeping
    which: Text
    """Make and model of the module, the cloud, or the Signing Service's name."""
    owner: Owner
    declared_at: Annotated[datetime, msgspec.Meta(tz=True)]
    device: Text | None = None
    """Kind and serial number of the module, as an attestation has it: ``YubiKey 15890263``."""
    cloud_account: Text | None = None
    key: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")] | None = None
    """SHA-256 of the SubjectPublicKeyInfo."""


class SignedDeclaration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A declaration and who signed it."""

    declaration: Declaration
    certificate: bytes | None = None
    """DER."""
    ed25519: bytes | None = None
    """The 32 octets of a public key (RFC 8032)."""
    signature: bytes


class Declared(msgspec.Struct, frozen=True):
    """A declaration whose signature holds."""

    declaration: Declaration
    signer: str
    """SHA-256 of the certificate's key, or ``ed25519:`` and the public key, in hex."""
    by_certificate: bool
    subject: str
    """The Subscriber in the certificate that signed; empty for Ed25519."""


def to_be_signed(declaration: Declaration) -> bytes:
    """Return the octets that a Subscriber signs."""
    return TAG + canonical_json(declaration)


def verified(line: bytes) -> Declared:
    """Return the declaration on one line of a file.

    Raises BadInput for what is none, and VerificationFailed where the signature does not hold, or is by the certificate
    of somebody else.
    """
    if len(line) > LONGEST_LINE:
        raise BadInput(f"A declaration has {len(line)} octets; at most {LONGEST_LINE} are read.")
    try:
        signed = msgspec.json.decode(line, type=SignedDeclaration)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"This is no signed declaration: {error}.") from error
    if (signed.certificate is None) == (signed.ed25519 is None):
        raise BadInput("A declaration is signed under either a certificate or an Ed25519 key.")
    octets = to_be_signed(signed.declaration)
    if signed.certificate is not None:
        return _by_certificate(signed, signed.certificate, octets)
    key = signed.ed25519 or b""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signed.signature, octets)
    except (InvalidSignature, ValueError):
        raise VerificationFailed("The signature under the declaration does not hold.") from None
    return Declared(signed.declaration, f"ed25519:{key.hex()}", False, "")


def _by_certificate(signed: SignedDeclaration, certificate: bytes, octets: bytes) -> Declared:
    spki = certificates.outline(certificate).spki
    certificates.verify(spki, ToBeSigned(octets, "sha256"), signed.signature)
    subject = subscriber_of(certificate)
    if alike(subject) != alike(signed.declaration.subscriber):
        raise VerificationFailed(f"{signed.declaration.subscriber} declares, and the certificate is {subject}'s.")
    return Declared(signed.declaration, certificates.key_id(spki), True, subject)


def subscriber_of(certificate: bytes) -> str:
    """Return whom a DER certificate names: organizationName, or commonName where there is none."""
    loaded = certificates.load(certificate)
    try:
        names = loaded.subject.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)
    except certificates.unreadable() as error:
        raise BadInput(f"The certificate's subject cannot be read: {error}.") from None
    return str(names[-1].value)[:200] if names else certificates.common_name(certificate)[:200]


def alike(name: str) -> str:
    """Return a name so that spelling it with other capitals or spaces makes no other Subscriber."""
    return " ".join(name.casefold().split())
