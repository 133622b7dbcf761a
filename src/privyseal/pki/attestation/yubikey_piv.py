"""Attestations of a YubiKey's PIV application, alone or inside a certificate request.

Source: Yubico, PIV attestation (developers.yubico.com/PIV/Introduction/PIV_attestation.html) and its OID arc. A YubiKey
attests only keys that it generated itself, and its PIV application has no way to take a key out.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from privyseal.errors import BadInput, PrivySealError, VerificationFailed
from privyseal.pki import der
from privyseal.pki.attestation import devices, paths, pieces, requests
from privyseal.pki.attestation.anchors import intermediates
from privyseal.pki.attestation.devices import DeviceCertificate
from privyseal.pki.attestation.protocol import Attested

_ARC = "1.3.6.1.4.1.41482.3"
IN_REQUEST = (f"{_ARC}.11", f"{_ARC}.1")
"""Extensions of a certificate request that hold the attestation of its key, the newer one first."""
DEVICE_IN_REQUEST = f"{_ARC}.2"
"""The extension beside it that holds the device's own certificate, that of slot f9."""
FIRMWARE = f"{_ARC}.3"
"""Of an attestation: three octets, one for each part of the version."""
SERIAL = f"{_ARC}.7"
"""Of an attestation: the YubiKey's serial number, an INTEGER."""
POLICIES = f"{_ARC}.8"
"""Of an attestation: two octets, when the PIN and when a touch is asked for."""
FORM_FACTOR = f"{_ARC}.9"
"""Of an attestation: one octet; the highest bit says that the device is of the FIPS series."""
FIPS_CERTIFIED = f"{_ARC}.10"
"""Of the device's own certificate: it is of the FIPS series."""
CSPN_CERTIFIED = f"{_ARC}.11"
"""Of the device's own certificate: it is certified by ANSSI's CSPN."""

_PIN = {1: "never", 2: "once a session", 3: "always"}
_TOUCH = {1: "never", 2: "always", 3: "cached for 15 s"}
_FORMS = {
    0x01: "USB-A keychain",
    0x02: "USB-A nano",
    0x03: "USB-C keychain",
    0x04: "USB-C nano",
    0x05: "Lightning and USB-C",
    0x06: "USB-A bio",
    0x07: "USB-C bio",
}
_FIPS_SERIES = 0x80
_SUBJECT = "YubiKey PIV Attestation "


class YubiKeyPiv:
    """See the head of this file."""

    name = "yubikey-piv"
    title = "YubiKey PIV"

    def recognises(self, files: Sequence[bytes]) -> bool:
        """Tell whether an attestation of a PIV key is there, alone or in a request."""
        try:
            return bool(_found(files)[0])
        except PrivySealError:
            return False

    def read(self, files: Sequence[bytes], anchors: Sequence[bytes], at: datetime) -> Attested:
        """Verify the attestation up to a root of Yubico's; raises as the protocol says."""
        pieces.certificates_only(files, "YubiKey attestation")
        candidates, others, asked = _found(files)
        leaf = requests.the_one(candidates, asked, "YubiKey attestation")
        path = paths.to_anchor(leaf, [*others, *candidates], paths.read_all(anchors), at)
        if len(path) < 3:
            raise VerificationFailed("The attestation is signed by a root itself, and by no device of Yubico's.")
        return _attested(leaf, path)


def _found(
    files: Sequence[bytes],
) -> tuple[list[DeviceCertificate], list[DeviceCertificate], list[requests.Request]]:
    """Return the attestations, all other certificates, and the requests."""
    cut = pieces.unpack(files)
    asked = [requests.read(each) for each in cut.requests]
    inside = [
        each.extensions[oid].value
        for each in asked
        for oid in (*IN_REQUEST, DEVICE_IN_REQUEST)
        if oid in each.extensions
    ]
    every = paths.read_all((*inside, *cut.certificates, *intermediates("Yubico")))
    attesting = [each for each in every if {FIRMWARE, POLICIES} <= each.extensions.keys() and not each.may_issue]
    return attesting, [each for each in every if each not in attesting], asked


def _attested(leaf: DeviceCertificate, path: paths.Path) -> Attested:
    version = _octets(leaf, FIRMWARE, 3)
    fips, claims = _claims(leaf, path[1])
    model = f"YubiKey {version[0]}" + (" FIPS" if fips else "")
    firmware = ".".join(map(str, version))
    if advisory := _advisory(leaf.spki, tuple(version)):
        claims["advisory"] = advisory
    serial = leaf.extensions.get(SERIAL)
    return Attested(
        format=YubiKeyPiv.name,
        maker="Yubico",
        model=model,
        firmware=firmware,
        serial="" if serial is None else str(der.integer_of(der.read(serial.value, 32))),
        spki=leaf.spki,
        generated_inside=True,
        never_extractable=True,
        claims=claims,
        chain=tuple(each.der for each in path),
        anchor=path[-1].fingerprint,
    )


def _claims(leaf: DeviceCertificate, device: DeviceCertificate) -> tuple[bool, dict[str, str]]:
    """Tell whether the device is of the FIPS series, and what else is said."""
    pin, touch = _octets(leaf, POLICIES, 2)
    claims = {"pin": _PIN.get(pin, f"policy {pin}"), "touch": _TOUCH.get(touch, f"policy {touch}")}
    fips = FIPS_CERTIFIED in device.extensions
    if FORM_FACTOR in leaf.extensions:
        form = _octets(leaf, FORM_FACTOR, 1)[0]
        fips = fips or bool(form & _FIPS_SERIES)
        claims["form"] = _FORMS.get(form & 0x0F, f"form {form & 0x0F}")
    name = devices.common_name(leaf.subject)
    if name.startswith(_SUBJECT):
        claims["slot"] = name.removeprefix(_SUBJECT)[:8]
    claims["fips-series"] = "yes" if fips else "no"
    if CSPN_CERTIFIED in device.extensions:
        claims["cspn"] = "yes"
    return fips, claims


def _octets(leaf: DeviceCertificate, oid: str, count: int) -> bytes:
    value = leaf.extensions[oid].value
    if len(value) != count:
        raise BadInput(f"The extension {oid} of a YubiKey attestation has {len(value)} octets, not {count}.")
    return value


def _advisory(spki: bytes, version: tuple[int, ...]) -> str:
    """Name the flaw of Yubico's advisories that a key of this kind and firmware is under; empty for none."""
    key = devices.load(spki)
    if isinstance(key, rsa.RSAPublicKey) and (4, 2, 6) <= version <= (4, 3, 4):
        return "YSA-2017-01: RSA keys that these devices generated can be computed from their public keys (ROCA)"
    if isinstance(key, ec.EllipticCurvePublicKey) and version < (5, 7, 0):
        return "YSA-2024-03: with the device in hand, ECDSA keys can be read from its emissions before 5.7.0"
    return ""
