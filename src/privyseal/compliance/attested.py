"""What a key attestation says of where a key is, as far as a survey needs it: which device, and who vouched for it.

Read are attestations of YubiKeys (a certificate of its own, or inside a certificate request), of YubiHSMs, and Thales
Luna's public key confirmations (PKCS #7). They are read and not verified: whoever wants to hide can leave them out, and
a forged one only makes a suspicion that a person looks into. Of other makers nothing is read, and nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec
from cryptography import x509

from privyseal.errors import BadInput
from privyseal.pki import certificates, cms, der

YUBIKEY_ATTESTATIONS = ("1.3.6.1.4.1.41482.3.11", "1.3.6.1.4.1.41482.3.1")
"""Extensions of a certificate request that hold the attestation of its key (Yubico's own arc)."""
YUBIKEY_INTERMEDIATE = "1.3.6.1.4.1.41482.3.2"
"""The extension beside it that holds the device's own certificate, slot f9."""
YUBIKEY_SERIAL = "1.3.6.1.4.1.41482.3.7"
"""Extension of an attestation: the YubiKey's serial number, an INTEGER."""
YUBIHSM_SERIAL = "1.3.6.1.4.1.41482.4.2"
"""Extension of an attestation: the YubiHSM's serial number, an INTEGER."""

MOST_REQUEST_OCTETS = 64 << 10
"""Octets of a certificate request, as of a certificate."""

_DEVICES = {YUBIKEY_SERIAL: "YubiKey", YUBIHSM_SERIAL: "YubiHSM"}
_COMMON_NAME = "2.5.4.3"
_LUNA = re.compile(r"Chrysalis-ITS|SafeNet|Thales Luna|Luna K\d")
_LUNA_SERIAL = re.compile(r"(?:Luna K\d+-)?(\d{4,16})")


class Attested(msgspec.Struct, frozen=True):
    """What one attestation says."""

    key: str
    """SHA-256 of the attested key's SubjectPublicKeyInfo, 64 lower-case hex digits."""
    device: str | None
    """The kind of device and its serial number: ``YubiKey 15890263``."""
    intermediate: str | None
    """The certificate that vouched for it: its name and the first digits of its key's SHA-256. None where only a
    maker's name is known that all of its devices share."""


def of_certificate(octets: bytes) -> Attested | None:
    """Return what a DER certificate attests; None where it is an ordinary certificate. BadInput if it is neither."""
    return _of_loaded(certificates.load(octets), octets, None)


def is_ca(octets: bytes) -> bool:
    """Tell whether a DER certificate is a CA's (RFC 5280 4.2.1.9) or its own issuer's: no Subscriber is in either."""
    outline = certificates.outline(octets)
    if outline.subject == outline.issuer:
        return True
    try:
        return bool(certificates.load(octets).extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except x509.ExtensionNotFound:
        return False
    except certificates.UNREADABLE as error:
        raise BadInput(f"The certificate's extensions cannot be read: {error}.") from None


def of_request(octets: bytes) -> Attested | None:
    """Return what an attestation inside a DER certificate request says; None where there is none.

    None too where the attested key is not the request's own: that attestation is somebody else's.
    """
    if len(octets) > MOST_REQUEST_OCTETS:
        raise BadInput(f"A certificate request has {len(octets)} octets; at most {MOST_REQUEST_OCTETS} are read.")
    try:
        request = x509.load_der_x509_csr(octets)
        parts = {each.oid.dotted_string: each.value for each in request.extensions}
        own = request.public_key()
    except certificates.UNREADABLE as error:
        raise BadInput(f"The certificate request cannot be read: {error}.") from None
    device = parts.get(YUBIKEY_INTERMEDIATE)
    for name in YUBIKEY_ATTESTATIONS:
        held = parts.get(name)
        if isinstance(held, x509.UnrecognizedExtension):
            attestation = certificates.load(held.value)
            if _key(attestation) != own:
                continue
            vouching = device.value if isinstance(device, x509.UnrecognizedExtension) else None
            return _of_loaded(attestation, held.value, vouching)
    return None


def of_confirmation(octets: bytes) -> Attested | None:
    """Return what a Luna's public key confirmation says, a PKCS #7 in DER; None where it is none of Luna's."""
    found = cms.parse(octets).certificates
    outlines = [certificates.outline(each) for each in found]
    issuers = {each.issuer for each in outlines}
    leaves = [each for each in outlines if each.subject not in issuers]
    if len(leaves) != 1:
        return None
    leaf = leaves[0]
    named = _common_name(leaf.issuer)
    makers = b"".join(each.issuer for each in outlines).decode("latin-1")
    serial = _LUNA_SERIAL.fullmatch(named) if _LUNA.search(makers) else None
    if serial is None:
        return None
    above = next((each for each in outlines if each.subject == leaf.issuer), None)
    return Attested(
        key=certificates.key_id(leaf.spki),
        device=f"Luna {serial[1]}",
        intermediate=None if above is None else _named(named, certificates.key_id(above.spki)),
    )


def _of_loaded(loaded: x509.Certificate, octets: bytes, vouching: bytes | None) -> Attested | None:
    try:
        serials = {
            each.oid.dotted_string: each.value.value
            for each in loaded.extensions
            if each.oid.dotted_string in _DEVICES and isinstance(each.value, x509.UnrecognizedExtension)
        }
    except certificates.UNREADABLE as error:
        raise BadInput(f"The certificate's extensions cannot be read: {error}.") from None
    if not serials:
        return None
    kind, value = next(iter(serials.items()))
    number = der.integer_of(der.read(value, 32))
    key = certificates.key_id(certificates.outline(octets).spki)
    device = f"{_DEVICES[kind]} {number}" if number > 0 else None
    if vouching is not None:
        above = certificates.outline(vouching)
        return Attested(key, device, _named(_common_name(above.subject), certificates.key_id(above.spki)))
    issuer = _common_name(certificates.outline(octets).issuer)
    # A YubiHSM's own certificate has its serial number in its name; a YubiKey's has the same name on every device.
    return Attested(key, device, issuer if any(each.isdigit() for each in issuer) and kind == YUBIHSM_SERIAL else None)


def _key(loaded: x509.Certificate) -> object:
    try:
        return loaded.public_key()
    except certificates.UNREADABLE as error:
        raise BadInput(f"The attested key cannot be read: {error}.") from None


def _named(name: str, key: str) -> str:
    return f"{name} ({key[:16]})"


def _common_name(name: bytes) -> str:
    """Return the last commonName of a DER Name, which need not be one that strict parsers take; empty if none."""
    found = ""
    for relative in der.children(der.read(name, certificates.MAX_CERTIFICATE_OCTETS)):
        for kind, value in _pairs(relative):
            if kind == _COMMON_NAME:
                found = value.decode("utf-8", "replace")
    return found[:200]


def _pairs(relative: der.Element) -> Iterator[tuple[str, bytes]]:
    for pair in der.children(relative):
        parts = der.children(pair)
        if len(parts) == 2:
            yield der.oid_of(parts[0]), parts[1].content
