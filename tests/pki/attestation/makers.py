"""Attestations as devices make them, under roots of ours: where there is no sample, or one that is wrong in one way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import Encoding
from tests.pki import mint
from tests.pki.mint import Key, Minted

from privyseal.pki import der
from privyseal.pki.attestation import luna_pkc, yubihsm2, yubikey_piv

SAMPLES = Path(__file__).resolve().parents[4] / "shared" / "samples" / "attestation"
AT = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
BORN = AT - timedelta(days=100)
KEY = mint.key("ecdsa-p256", 900)
"""The key that is attested."""
OTHER = mint.key("ecdsa-p256", 901)


def sample(name: str) -> bytes:
    """Read a genuine sample, or skip and say which is not here."""
    path = SAMPLES / name
    if not path.exists():
        pytest.skip(f"the genuine attestation {name} is not here")
    return path.read_bytes()


def extension(oid: str, value: bytes) -> tuple[x509.ExtensionType, bool]:
    """Return an extension of a maker's own."""
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value), False


@lru_cache
def root(name: str = "Maker Root") -> Minted:
    """Return a root of ours in a maker's place."""
    return mint.certify(name, mint.key("ecdsa-p256", 910), ca=True, start=BORN, days=5000)


def between(name: str, number: int, issuer: Minted, **more: object) -> Minted:
    """Certify a CA below a root."""
    return mint.certify(name, mint.key("ecdsa-p256", 920 + number), issuer, ca=True, start=BORN, days=4000, **more)  # type: ignore[arg-type]


# -- YubiKey -----------------------------------------------------------------------------------------------------------
def yubikey_device(*extra: tuple[x509.ExtensionType, bool], issuer: Minted | None = None, **more: object) -> Minted:
    """Return the certificate of a YubiKey's slot f9."""
    firmware = extension(yubikey_piv.FIRMWARE, bytes((5, 7, 4)))
    return between("Yubico PIV Attestation", 1, issuer or root(), extra=(firmware, *extra), **more)


def yubikey(
    private: Key = KEY,
    device: Minted | None = None,
    *,
    version: tuple[int, int, int] = (5, 7, 4),
    form: int = 0x81,
    **more: object,
) -> Minted:
    """Attest a key as a YubiKey does."""
    extra = (
        extension(yubikey_piv.FIRMWARE, bytes(version)),
        extension(yubikey_piv.SERIAL, der.integer(30000001)),
        extension(yubikey_piv.POLICIES, bytes((2, 1))),
        extension(yubikey_piv.FORM_FACTOR, bytes((form,))),
    )
    issuer = device or yubikey_device()
    return mint.certify("YubiKey PIV Attestation 9c", private, issuer, extra=extra, start=BORN, days=4000, **more)  # type: ignore[arg-type]


# -- YubiHSM -----------------------------------------------------------------------------------------------------------
SIGN_ECDSA = 1 << 7


def yubihsm_device(serial: int = 7550054) -> Minted:
    """Return a YubiHSM's own certificate."""
    middle = between("YubiHSM Attestation B2 1", 2, root())
    name = f"YubiHSM Attestation ({serial})"
    extra = (extension(yubihsm2.SERIAL, der.integer(serial)), extension(yubihsm2.FIPS, b"\x02\x01\x06"))
    return between(name, 3, middle, extra=extra)


def yubihsm(
    private: Key = KEY,
    *,
    origin: int = yubihsm2.GENERATED,
    capabilities: int = SIGN_ECDSA,
    serial: int = 7550054,
    without: str = "",
) -> list[bytes]:
    """Attest a key as a YubiHSM does; return the attestation and the certificates to the root, without it."""
    device = yubihsm_device()
    extra = {
        yubihsm2.FIRMWARE: der.octet_string(bytes((2, 4, 1))),
        yubihsm2.SERIAL: der.integer(serial),
        yubihsm2.ORIGIN: der.bit_string(bytes((origin,))),
        yubihsm2.DOMAINS: der.bit_string(bytes((0, 5))),
        yubihsm2.CAPABILITIES: der.bit_string(capabilities.to_bytes(8, "big")),
        yubihsm2.OBJECT_ID: der.integer(3),
        yubihsm2.LABEL: der.utf8_string("release"),
    }
    extra.pop(without, None)
    extensions = tuple(extension(oid, value) for oid, value in extra.items())
    leaf = mint.certify("YubiHSM Attestation id 0x0003", private, device, extra=extensions, start=BORN, days=4000)
    return [leaf.der, device.der, between("YubiHSM Attestation B2 1", 2, root()).der]


# -- Luna --------------------------------------------------------------------------------------------------------------
def luna(private: Key = KEY, usages: tuple[str, ...] = luna_pkc.CHAINS[1]) -> tuple[list[bytes], bytes]:
    """Confirm a key as a Luna does; return the certificates below the root, and the root."""
    purposes = [(x509.ObjectIdentifier(each),) for each in usages]
    top = mint.certify(
        "SafeNet ECC", mint.key("ecdsa-p384", 930), ca=True, purposes=purposes[2], critical=True, start=BORN, days=9000
    )
    origin = mint.certify(
        "521174", mint.key("ecdsa-p384", 931), top, ca=True, purposes=purposes[1], critical=True, start=BORN, days=9000
    )
    serial = extension(luna_pkc.SERIAL, (521174).to_bytes(4, "little"))
    leaf = mint.certify(
        "43000000ae", private, origin, purposes=purposes[0], critical=True, start=BORN, days=9000, extra=(serial,)
    )
    return [leaf.der, origin.der], top.der


def signless(certificate: bytes) -> bytes:
    """Write the numbers of a certificate's ECDSA signature without the octet that keeps them positive, as a Luna."""
    outer = der.children(der.read(certificate))
    numbers = utils.decode_dss_signature(outer[2].content[1:])
    written = [der.tlv(der.INTEGER, each.to_bytes((each.bit_length() + 7) // 8, "big")) for each in numbers]
    return der.sequence(outer[0].raw, outer[1].raw, der.bit_string(der.sequence(*written)))


# -- requests ----------------------------------------------------------------------------------------------------------
def request(private: Key = KEY, *extra: tuple[x509.ExtensionType, bool]) -> bytes:
    """Make a certificate request, DER."""
    draft = x509.CertificateSigningRequestBuilder().subject_name(mint.name("Example Ltd"))
    for value, critical in extra:
        draft = draft.add_extension(value, critical)
    return draft.sign(private, hashes.SHA256()).public_bytes(Encoding.DER)


def broken_request(private: Key = KEY) -> bytes:
    """Make a request whose own signature is another key's."""
    parts = der.children(der.read(request(private)))
    assert isinstance(OTHER, ec.EllipticCurvePrivateKey)
    forged = OTHER.sign(parts[0].raw, ec.ECDSA(hashes.SHA256()))
    return der.sequence(parts[0].raw, parts[1].raw, der.bit_string(forged))
