"""Attestations say which device has a key, and nothing else is made out of one."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compliance import attestations
from tests.pki import mint

from privyseal.compliance import attested
from privyseal.errors import BadInput
from privyseal.pki import certificates

SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "samples" / "attestation"
KEY = mint.key("ecdsa-p256", 60)


def sample(name: str) -> bytes:
    """Read a sample, or skip where there are none."""
    path = SAMPLES / name
    if not path.exists():
        pytest.skip("the samples of genuine attestations are not here")
    return path.read_bytes()


def test_a_yubikey_is_known_by_its_serial() -> None:
    """By itself an attestation names the device; inside a request also the certificate that vouches for it."""
    device = attestations.device()
    alone = attested.of_certificate(attestations.attestation(KEY, 15890263, device))
    assert alone == attested.Claimed(certificates.key_id(mint.spki(KEY)), "YubiKey 15890263", None)
    for arc in ("3.1", "3.11"):
        inside = attested.of_request(
            attestations.request(KEY, attestations.attestation(KEY, 15890263, device), device, arc)
        )
        assert inside is not None
        assert (inside.key, inside.device) == (alone.key, alone.device)
        assert inside.intermediate == f"Yubico PIV Attestation ({certificates.key_id(mint.spki(device.key))[:16]})"


def test_a_yubihsm_is_known_by_its_serial_and_its_certificate() -> None:
    """The device's own certificate has the serial number in its name."""
    vouching = mint.certify("YubiHSM Attestation (7550054)", mint.key("ecdsa-p256", 61), ca=True)
    found = attested.of_certificate(attestations.attestation(KEY, 7550054, vouching, "4.2"))
    assert found is not None
    assert (found.device, found.intermediate) == ("YubiHSM 7550054", "YubiHSM Attestation (7550054)")


def test_an_attestation_of_another_key_is_not_the_requests() -> None:
    """It would pin somebody else's device on whoever asks."""
    device = attestations.device()
    foreign = attestations.attestation(mint.key("ecdsa-p256", 62), 1, device)
    assert attested.of_request(attestations.request(KEY, foreign, device)) is None


def test_what_attests_nothing_says_nothing() -> None:
    """An ordinary certificate, and a request without an attestation."""
    assert attested.of_certificate(attestations.subscriber("A", 1).der) is None
    plain = x509.CertificateSigningRequestBuilder().subject_name(mint.name("a")).sign(KEY, mint.HASHES["sha256"])
    assert attested.of_request(plain.public_bytes(Encoding.DER)) is None


@pytest.mark.parametrize(
    ("name", "device"),
    [
        ("tmc_5_2_7.pem", "YubiKey 15890263"),
        ("tmc_5_7_2.pem", "YubiKey 30000948"),
        ("tmc_attestation_1.pem", "YubiKey 19661687"),
    ],
)
def test_genuine_yubikeys(name: str, device: str) -> None:
    """The serial numbers as openssl prints the extension's octets."""
    der = x509.load_pem_x509_csr(sample(name)).public_bytes(Encoding.DER)
    found = attested.of_request(der)
    assert found is not None
    assert found.device == device
    assert (found.intermediate or "").startswith("Yubico PIV Attestation (")


@pytest.mark.parametrize("name", ["rsa-pkc.p7b", "ecc-pkc.p7b"])
def test_genuine_lunas(name: str) -> None:
    """Both come from one device, though strict parsers take neither leaf."""
    found = attested.of_confirmation(sample(name))
    assert found is not None
    assert found.device == "Luna 521174"
    assert found.intermediate is not None


WHOLE = [
    attestations.attestation(KEY, 7, attestations.device()),
    attestations.request(KEY, attestations.attestation(KEY, 7, attestations.device()), attestations.device()),
    b"0\x82",
]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_octets_are_an_attestation_or_one_sentence(data: st.DataObject) -> None:
    """Changed, cut or plain noise: an answer or our refusal."""
    octets = bytearray(data.draw(st.sampled_from(WHOLE)))
    for _ in range(data.draw(st.integers(0, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(octets[: data.draw(st.integers(0, len(octets)))])
    for read in (attested.of_certificate, attested.of_request, attested.of_confirmation, attested.is_ca):
        try:
            read(cut)
        except BadInput as refused:
            assert refused.detail
