"""Public key confirmations of Thales Luna HSMs, as ``cmu getpkc`` writes them: a PKCS #7 of certificates.

Source: Thales, "Public Key Confirmation" (Luna HSM documentation, verifying the HSM's authenticity), and its own
validator (github.com/ThalesGroup/luna-pkc-validator). A Luna confirms only keys that it made and that cannot exist
outside of Luna HSMs. What may stand where in a chain, its extended key usages say, all of Chrysalis-ITS's arc 12383.
The ECC chain's leaf needs its signature's numbers read without sign (``devices.unsigned``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from privyseal.errors import BadInput, PrivySealError, VerificationFailed
from privyseal.pki.attestation import devices, paths, pieces, requests
from privyseal.pki.attestation.devices import DeviceCertificate
from privyseal.pki.attestation.protocol import Attested

_ARC = "1.3.6.1.4.1.12383"
CONFIRMATION = f"{_ARC}.1.13"
"""The extended key usage of a confirmation."""
CHAINS = (
    # Confirmation, device authentication, hardware origin, manufacturing integrity, root.
    (CONFIRMATION, f"{_ARC}.1.12", f"{_ARC}.1.8", f"{_ARC}.1.7", f"{_ARC}.1.1"),
    # The same of ECC keys: confirmation, hardware origin, manufacturing integrity, which is the root.
    (CONFIRMATION, f"{_ARC}.1.15", f"{_ARC}.1.14"),
)
"""The extended key usages from a confirmation to its root."""
SERIAL = f"{_ARC}.2.1"
"""Of a confirmation: the module's serial number, least significant octet first."""
FIRMWARE = f"{_ARC}.2.3"
"""Of a confirmation: the firmware, two numbers of two octets each, the minor one first and the least octet first."""

_MODEL = re.compile(r"(Luna [A-Z]\d{1,2})-(\d{4,16})")
_CLONED = "keys can be cloned to other Luna HSMs of the same cloning domain, and to nothing else"


class LunaPkc:
    """See the head of this file."""

    name = "luna-pkc"
    title = "Thales Luna public key confirmation"

    def recognises(self, files: Sequence[bytes]) -> bool:
        """Tell whether a confirmation is there."""
        try:
            return bool(_found(files)[0])
        except PrivySealError:
            return False

    def read(self, files: Sequence[bytes], anchors: Sequence[bytes], at: datetime) -> Attested:
        """Verify the confirmation up to a root of Thales'; raises as the protocol says."""
        pieces.certificates_only(files, "Luna confirmation")
        candidates, others, asked = _found(files)
        leaf = requests.the_one(candidates, asked, "Luna confirmation")
        path = paths.to_anchor(leaf, [*others, *candidates], paths.read_all(anchors), at)
        usages = tuple(each.purposes() for each in path)
        if usages not in {tuple((one,) for one in chain) for chain in CHAINS}:
            raise VerificationFailed(
                "The certificates above the Luna confirmation are not for what a confirmation's chain is for.",
                hint="their extended key usages tell",
            )
        return _attested(leaf, path)


def _found(
    files: Sequence[bytes],
) -> tuple[list[DeviceCertificate], list[DeviceCertificate], list[requests.Request]]:
    """Return the confirmations, all other certificates, and the requests."""
    cut = pieces.unpack(files)
    every = paths.read_all(cut.certificates)
    confirming = [each for each in every if CONFIRMATION in each.purposes() and not each.may_issue]
    return confirming, [each for each in every if each not in confirming], [requests.read(one) for one in cut.requests]


def _attested(leaf: DeviceCertificate, path: paths.Path) -> Attested:
    serial = _number(leaf, SERIAL)
    if SERIAL in path[1].extensions and _number(path[1], SERIAL) != serial:
        raise VerificationFailed("The confirmation names another Luna than the certificate that signed it.")
    named = _MODEL.fullmatch(devices.common_name(path[1].subject))
    return Attested(
        format=LunaPkc.name,
        maker="Thales",
        model=named[1] if named else "Luna",
        firmware=_firmware(leaf),
        serial="" if serial is None else str(serial),
        spki=leaf.spki,
        generated_inside=True,
        never_extractable=True,
        claims={"object": devices.common_name(leaf.subject), "cloning": _CLONED},
        chain=tuple(each.der for each in path),
        anchor=path[-1].fingerprint,
    )


def _number(certificate: DeviceCertificate, oid: str) -> int | None:
    held = certificate.extensions.get(oid)
    if held is None:
        return None
    if len(held.value) != 4:
        raise BadInput(f"The extension {oid} of a Luna certificate has {len(held.value)} octets, not 4.")
    return int.from_bytes(held.value, "little")


def _firmware(leaf: DeviceCertificate) -> str:
    """Return the version: 7 and 84 are firmware 7.8.4, of which Thales' own validator prints the digits."""
    number = _number(leaf, FIRMWARE)
    if number is None:
        return ""
    major, minor = number >> 16, number & 0xFFFF
    return f"{major}.{minor // 10}.{minor % 10}" if minor < 100 else f"{major}.{minor}"
