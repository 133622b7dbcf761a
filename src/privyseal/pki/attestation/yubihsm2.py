"""Attestations of a YubiHSM 2.

Source: Yubico, YubiHSM 2 user guide, attestation (docs.yubico.com/hardware/oid/oid-product-arc.html, arc 41482.4). The
origin and the capabilities are bit masks, most significant octet first. A key that may be exported under wrap leaves
the device in a form that whoever has the wrap key can open, so it counts as extractable; one that came in under wrap
was outside. The attesting key may be any of the device's; only Yubico's own leads to its roots.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric import ec

from privyseal.errors import BadInput, PrivySealError, VerificationFailed
from privyseal.pki import der
from privyseal.pki.attestation import devices, paths, pieces, requests
from privyseal.pki.attestation.anchors import intermediates
from privyseal.pki.attestation.devices import DeviceCertificate
from privyseal.pki.attestation.protocol import Attested

_ARC = "1.3.6.1.4.1.41482.4"
FIRMWARE = f"{_ARC}.1"
"""Three octets, one for each part of the version."""
SERIAL = f"{_ARC}.2"
"""The device's serial number, an INTEGER; also in the device's own certificate."""
ORIGIN = f"{_ARC}.3"
"""How the key came in, a BIT STRING of eight bits."""
DOMAINS = f"{_ARC}.4"
"""In which of the sixteen domains it is, a BIT STRING."""
CAPABILITIES = f"{_ARC}.5"
"""What it can be used for, a BIT STRING of 64 bits."""
OBJECT_ID = f"{_ARC}.6"
"""The number by which the device knows it, an INTEGER."""
LABEL = f"{_ARC}.9"
"""What it was called when it was made."""
FIPS = f"{_ARC}.10"
"""That the device is of the FIPS series."""

GENERATED, IMPORTED, IMPORTED_WRAPPED = 0x01, 0x02, 0x10
"""Bits of the origin."""
EXPORTABLE_UNDER_WRAP = 1 << 16
"""Bit of the capabilities."""
_NAMED = {
    5: "sign-pkcs",
    6: "sign-pss",
    7: "sign-ecdsa",
    8: "sign-eddsa",
    9: "decrypt-pkcs",
    10: "decrypt-oaep",
    11: "derive-ecdh",
    16: "exportable-under-wrap",
    25: "sign-ssh-certificate",
    34: "sign-attestation-certificate",
}
_NEEDED = frozenset({FIRMWARE, SERIAL, ORIGIN, CAPABILITIES})


class YubiHsm2:
    """See the head of this file."""

    name = "yubihsm2"
    title = "YubiHSM 2"

    def recognises(self, files: Sequence[bytes]) -> bool:
        """Tell whether an attestation of a YubiHSM's key is there."""
        try:
            return bool(_found(files)[0])
        except PrivySealError:
            return False

    def read(self, files: Sequence[bytes], anchors: Sequence[bytes], at: datetime) -> Attested:
        """Verify the attestation up to a root of Yubico's; raises as the protocol says."""
        pieces.certificates_only(files, "YubiHSM attestation")
        candidates, others, asked = _found(files)
        leaf = requests.the_one(candidates, asked, "YubiHSM attestation")
        path = paths.to_anchor(leaf, [*others, *candidates], paths.read_all(anchors), at)
        paths.require_kind(path, "1.3.6.1.4.1.41482.3")
        if missing := _NEEDED - leaf.extensions.keys():
            raise VerificationFailed(f"The YubiHSM attestation does not say all it has to: {min(missing)} is missing.")
        serial = _integer(leaf, SERIAL)
        if SERIAL in path[1].extensions and _integer(path[1], SERIAL) != serial:
            raise VerificationFailed("The attestation names another YubiHSM than the certificate that signed it.")
        return _attested(leaf, path, serial)


def _found(
    files: Sequence[bytes],
) -> tuple[list[DeviceCertificate], list[DeviceCertificate], list[requests.Request]]:
    """Return the attestations, all other certificates, and the requests."""
    cut = pieces.unpack(files)
    every = paths.read_all((*cut.certificates, *intermediates("Yubico")))
    attesting = [each for each in every if {ORIGIN, CAPABILITIES} & each.extensions.keys() and not each.may_issue]
    return attesting, [each for each in every if each not in attesting], [requests.read(one) for one in cut.requests]


def _attested(leaf: DeviceCertificate, path: paths.Path, serial: int) -> Attested:
    origin = int.from_bytes(_bits(leaf, ORIGIN, 1), "big")
    capabilities = int.from_bytes(_bits(leaf, CAPABILITIES, 8), "big")
    version = der.octets_of(der.read(leaf.extensions[FIRMWARE].value, 16))
    if len(version) != 3:
        raise BadInput(f"The firmware version of a YubiHSM attestation has {len(version)} octets, not 3.")
    fips = any(FIPS in each.extensions for each in path[:2])
    claims = _claims(leaf, origin, capabilities) | {"fips-series": "yes" if fips else "no"}
    if isinstance(devices.load(leaf.spki), ec.EllipticCurvePublicKey) and tuple(version) < (2, 4, 0):
        claims["advisory"] = "YSA-2024-03: with the device in hand, ECDSA keys can be read from its emissions"
    return Attested(
        format=YubiHsm2.name,
        maker="Yubico",
        model="YubiHSM 2 FIPS" if fips else "YubiHSM 2",
        firmware=".".join(map(str, version)),
        serial=str(serial),
        spki=leaf.spki,
        generated_inside=origin == GENERATED,
        never_extractable=origin == GENERATED and not capabilities & EXPORTABLE_UNDER_WRAP,
        claims=claims,
        chain=tuple(each.der for each in path),
        anchor=path[-1].fingerprint,
    )


def _claims(leaf: DeviceCertificate, origin: int, capabilities: int) -> dict[str, str]:
    words = {GENERATED: "generated", IMPORTED: "imported", IMPORTED_WRAPPED: "imported under wrap"}
    named = [name for bit, name in _NAMED.items() if capabilities >> bit & 1]
    claims = {
        "origin": ", ".join(word for bit, word in words.items() if origin & bit) or f"unknown ({origin})",
        "capabilities": ", ".join(named) or "none of those that concern keys",
    }
    if DOMAINS in leaf.extensions:
        domains = int.from_bytes(_bits(leaf, DOMAINS, 2), "big")
        claims["domains"] = ", ".join(str(number + 1) for number in range(16) if domains >> number & 1)
    if OBJECT_ID in leaf.extensions:
        claims["object"] = f"0x{_integer(leaf, OBJECT_ID):04x}"
    if LABEL in leaf.extensions:
        label = der.read(leaf.extensions[LABEL].value, 256)
        claims["label"] = label.content.decode("utf-8", "replace").rstrip("\0")[:40]
    return claims


def _bits(leaf: DeviceCertificate, oid: str, count: int) -> bytes:
    octets = devices.whole_octets_of(der.read(leaf.extensions[oid].value, 64))
    if len(octets) != count:
        raise BadInput(f"The extension {oid} of a YubiHSM attestation has {len(octets)} octets, not {count}.")
    return octets


def _integer(certificate: DeviceCertificate, oid: str) -> int:
    return der.integer_of(der.read(certificate.extensions[oid].value, 32))
