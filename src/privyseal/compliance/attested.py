"""What a key attestation claims of where a key is, as far as a survey needs it: which device, and who vouched for it.

Read are attestations of YubiKeys (a certificate of its own, or inside a certificate request), of YubiHSMs, and Thales
Luna's public key confirmations (PKCS #7), by the readers of ``pki/attestation``. They are read and not verified:
whoever wants to hide can leave them out, and a forged one only makes a suspicion that a person looks into. A survey is
of other people's certificates, often without the chains that verifying needs. Nothing here is called attested for it.
"""

from __future__ import annotations

import re

import msgspec

from privyseal.pki import certificates, cms, der
from privyseal.pki.attestation import devices, requests, yubihsm2, yubikey_piv
from privyseal.pki.attestation.devices import DeviceCertificate

_DEVICES = {yubikey_piv.SERIAL: "YubiKey", yubihsm2.SERIAL: "YubiHSM"}
_LUNA = re.compile(r"Chrysalis-ITS|SafeNet|Thales Luna|Luna K\d")
_LUNA_SERIAL = re.compile(r"(?:Luna K\d+-)?(\d{4,16})")


class Claimed(msgspec.Struct, frozen=True):
    """What one attestation claims, unverified."""

    key: str
    """SHA-256 of the attested key's SubjectPublicKeyInfo, 64 lower-case hex digits."""
    device: str | None
    """The kind of device and its serial number: ``YubiKey 15890263``."""
    intermediate: str | None
    """The certificate that vouched for it: its name and the first digits of its key's SHA-256. None where only a
    maker's name is known that all of its devices share."""


def of_certificate(octets: bytes) -> Claimed | None:
    """Return what a DER certificate claims; None where it is an ordinary certificate. BadInput if it is neither."""
    return _of_read(devices.read(octets), None)


def is_ca(octets: bytes) -> bool:
    """Tell whether a DER certificate is a CA's (RFC 5280 4.2.1.9) or its own issuer's: no Subscriber is in either."""
    read = devices.read(octets)
    return read.subject == read.issuer or read.is_ca


def of_request(octets: bytes) -> Claimed | None:
    """Return what an attestation inside a DER certificate request claims; None where there is none.

    None too where the attested key is not the request's own: that attestation is somebody else's.
    """
    request = requests.read(octets)
    vouching = request.extensions.get(yubikey_piv.DEVICE_IN_REQUEST)
    for name in yubikey_piv.IN_REQUEST:
        held = request.extensions.get(name)
        if held is not None:
            read = devices.read(held.value)
            if read.spki == request.spki:
                return _of_read(read, None if vouching is None else vouching.value)
    return None


def of_confirmation(octets: bytes) -> Claimed | None:
    """Return what a Luna's public key confirmation claims, a PKCS #7 in DER; None where it is none of Luna's."""
    found = cms.parse(octets).certificates
    outlines = [certificates.outline(each) for each in found]
    issuers = {each.issuer for each in outlines}
    leaves = [each for each in outlines if each.subject not in issuers]
    if len(leaves) != 1:
        return None
    leaf = leaves[0]
    named = devices.common_name(leaf.issuer)
    makers = b"".join(each.issuer for each in outlines).decode("latin-1")
    serial = _LUNA_SERIAL.fullmatch(named) if _LUNA.search(makers) else None
    if serial is None:
        return None
    above = next((each for each in outlines if each.subject == leaf.issuer), None)
    return Claimed(
        key=certificates.key_id(leaf.spki),
        device=f"Luna {serial[1]}",
        intermediate=None if above is None else _named(named, certificates.key_id(above.spki)),
    )


def _of_read(read: DeviceCertificate, vouching: bytes | None) -> Claimed | None:
    kind = next((each for each in _DEVICES if each in read.extensions), None)
    if kind is None:
        return None
    number = der.integer_of(der.read(read.extensions[kind].value, 32))
    key = certificates.key_id(read.spki)
    device = f"{_DEVICES[kind]} {number}" if number > 0 else None
    if vouching is not None:
        above = devices.read(vouching)
        return Claimed(key, device, _named(devices.common_name(above.subject), certificates.key_id(above.spki)))
    issuer = devices.common_name(read.issuer)
    # A YubiHSM's own certificate has its serial number in its name; a YubiKey's has the same name on every device.
    told = any(each.isdigit() for each in issuer) and kind == yubihsm2.SERIAL
    return Claimed(key, device, issuer if told else None)


def _named(name: str, key: str) -> str:
    return f"{name} ({key[:16]})"
