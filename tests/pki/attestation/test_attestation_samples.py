"""Genuine attestations get the verdict that their makers' own verifiers give them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from tests.pki.attestation.makers import AT, sample

from privyseal.errors import VerificationFailed
from privyseal.pki.attestation.judge import NotEvidenced, judge
from privyseal.pki.attestation.protocol import Attested

PIV_ROOT = "63ece914e54dd87915f34033c85af4c0696ba1512f8add66ced738331207b546"
LUNA_RSA = "807e1680ab0c933971fe7075595c1072e3183951a5a8ab53506f1093feff66e7"
LUNA_ECC = "4cd8f4ea28f9de27b029c4118a4dfb3693b3e679ef8322ba123c93524478dd3e"


def attested(*names: str, at: datetime = AT) -> Attested:
    """Judge samples, which must be attested."""
    found = judge([sample(each) for each in names], at)
    assert isinstance(found, Attested)
    return found


@pytest.mark.parametrize(
    ("name", "firmware", "serial"),
    [
        ("tmc_5_2_7.pem", "5.2.7", "15890263"),
        ("tmc_5_7_2.pem", "5.7.2", "30000948"),
        ("tmc_attestation_1.pem", "5.4.3", "19661687"),
        ("tmc_attestation_11.pem", "5.4.3", "19661687"),
    ],
)
def test_yubikeys(name: str, firmware: str, serial: str) -> None:
    """Each is a request with the attestation of its own key inside, in the older or the newer extension."""
    found = attested(name)
    assert (found.format, found.maker, found.model) == ("yubikey-piv", "Yubico", "YubiKey 5")
    assert (found.firmware, found.serial, found.anchor) == (firmware, serial, PIV_ROOT)
    assert (found.generated_inside, found.never_extractable) == (True, True)
    assert found.claims["slot"] == "9a"
    assert ("advisory" in found.claims) == (firmware == "5.4.3")


def test_a_yubikey_among_strangers() -> None:
    """The intermediates and the root of the newer hierarchy, as bare base64, and another maker's chain."""
    strangers = [
        "tmc_Yubico_Attestation_Root_1.cer",
        "tmc_Yubico_PIV_Attestation_B_1.cer",
        "ak.crt",
        "tmc_Yubico_Attestation_Intermediate_B_1.cer",
        "int.crt",
    ]
    assert attested(*strangers[:3], "tmc_5_2_7.pem", *strangers[3:]) == attested("tmc_5_2_7.pem")


@pytest.mark.parametrize(
    "files", [("rsa-pkc.p7b", "rsa-test.csr"), ("rsa-chain.pem",), ("rsa-test.csr", "rsa-pkc.p7b")]
)
def test_a_luna_with_rsa(files: tuple[str, ...]) -> None:
    """Five certificates, as PKCS #7 or as PEM with words between, with and without the request of the key."""
    found = attested(*files)
    assert (found.model, found.firmware, found.serial) == ("Luna K7", "7.8.4", "521174")
    assert (len(found.chain), found.anchor) == (5, LUNA_RSA)


@pytest.mark.parametrize("files", [("ecc-pkc.p7b", "ecc-test.csr"), ("ecc-chain.pem",)])
def test_a_luna_with_ecc(files: tuple[str, ...]) -> None:
    """Its leaf's signature reads as negative, and is right without sign."""
    found = attested(*files)
    assert (found.model, found.firmware, found.serial) == ("Luna", "", "521174")
    assert (len(found.chain), found.anchor) == (3, LUNA_ECC)


def test_the_request_of_another_key_is_refused() -> None:
    with pytest.raises(VerificationFailed, match="certificate request for the key"):
        attested("rsa-pkc.p7b", "ecc-test.csr")


def test_a_request_whose_own_signature_is_wrong_is_refused() -> None:
    """Whatever attestation is in it."""
    with pytest.raises(VerificationFailed, match="own signature does not verify"):
        judge([sample("tpm.pem")], AT)


def test_no_attestation_is_no_evidence() -> None:
    """A CA's certificates, and a request without an attestation."""
    for names in (("ak.crt", "int.crt", "ca.crt"), ("rsa-test.csr",)):
        assert isinstance(judge([sample(each) for each in names], AT), NotEvidenced)


def test_an_expired_chain_is_named_and_refused() -> None:
    """The Luna's own certificates end in 2032 and 2030; as of before it is attested."""
    for files, day in (
        (("rsa-pkc.p7b",), datetime(2032, 5, 6, tzinfo=UTC)),
        (("ecc-pkc.p7b",), datetime(2031, 1, 1, tzinfo=UTC)),
    ):
        with pytest.raises(VerificationFailed, match="expired on 203"):
            attested(*files, at=day)
    with pytest.raises(VerificationFailed, match="in force from 2020-03-01"):
        attested("rsa-pkc.p7b", at=datetime(2020, 2, 1, tzinfo=UTC))


def test_a_genuine_attestation_under_no_pinned_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """What came along is no root, whatever it calls itself: only what is pinned is."""
    monkeypatch.setattr("privyseal.pki.attestation.anchors.of_format", lambda _name: ())
    for files in (("rsa-pkc.p7b",), ("tmc_5_2_7.pem", "tmc_Yubico_PIV_Root_CA_Serial_263751.cer")):
        with pytest.raises(VerificationFailed, match="No path leads"):
            attested(*files)
