"""What a YubiKey and a YubiHSM say of a key, and what follows from it."""

from __future__ import annotations

import pytest
from cryptography import x509
from tests.pki import mint
from tests.pki.attestation import makers
from tests.pki.attestation.makers import AT

from privyseal.errors import BadInput, VerificationFailed
from privyseal.pki import certificates
from privyseal.pki.attestation import anchors, yubihsm2, yubikey_piv
from privyseal.pki.attestation.judge import judge
from privyseal.pki.attestation.protocol import Attested

ROOTS = [makers.root().der]


def attested(files: list[bytes]) -> Attested:
    """Judge files, which must be attested."""
    found = judge(files, AT, ROOTS)
    assert isinstance(found, Attested)
    return found


def test_a_yubikey_of_the_fips_series() -> None:
    """The form factor says it, or the device's own certificate."""
    device = makers.yubikey_device()
    found = attested([makers.yubikey().der, device.der])
    assert (found.model, found.firmware, found.serial) == ("YubiKey 5 FIPS", "5.7.4", "30000001")
    assert found.claims == {
        "pin": "once a session",
        "touch": "never",
        "form": "USB-A keychain",
        "slot": "9c",
        "fips-series": "yes",
    }
    assert attested([makers.yubikey(form=1).der, device.der]).model == "YubiKey 5"
    marked = makers.yubikey_device(makers.extension(yubikey_piv.FIPS_CERTIFIED, b"\x02\x01\x01"))
    assert attested([makers.yubikey(device=marked, form=1).der, marked.der]).model == "YubiKey 5 FIPS"


def test_it_is_found_inside_a_request() -> None:
    """With the device's certificate beside it; the request must be signed by the attested key."""
    leaf, device = makers.yubikey(), makers.yubikey_device()
    inside = (makers.extension(yubikey_piv.DEVICE_IN_REQUEST, device.der),)
    for oid in yubikey_piv.IN_REQUEST:
        request = makers.request(makers.KEY, makers.extension(oid, leaf.der), *inside)
        assert attested([request]).spki == mint.spki(makers.KEY)
    stolen = makers.request(makers.OTHER, makers.extension(yubikey_piv.IN_REQUEST[0], leaf.der), *inside)
    with pytest.raises(VerificationFailed, match="and the certificate request for the key"):
        attested([stolen])


def test_flaws_that_the_maker_told_of_are_named() -> None:
    device = makers.yubikey_device()
    assert "YSA-2024-03" in attested([makers.yubikey(version=(5, 4, 3)).der, device.der]).claims["advisory"]
    rsa = mint.key("rsa-2048", 947)
    old = attested([makers.yubikey(rsa, version=(4, 3, 4)).der, device.der])
    assert old.claims["advisory"].startswith("YSA-2017-01")
    assert "advisory" not in attested([makers.yubikey(rsa, version=(4, 3, 5)).der, device.der]).claims


@pytest.mark.parametrize("oid", [yubikey_piv.FIRMWARE, yubikey_piv.POLICIES, yubikey_piv.FORM_FACTOR])
def test_an_extension_of_another_length_is_refused(oid: str) -> None:
    """Four octets of firmware are no version that we know how to read."""
    values = {
        yubikey_piv.FIRMWARE: bytes((5, 7, 4)),
        yubikey_piv.POLICIES: bytes((2, 1)),
        yubikey_piv.FORM_FACTOR: bytes((1,)),
    }
    extra = tuple(makers.extension(name, value + b"\0" * (name == oid)) for name, value in values.items())
    device = makers.yubikey_device()
    leaf = mint.certify("YubiKey PIV Attestation 9a", makers.KEY, device, extra=extra, start=makers.BORN, days=4000)
    with pytest.raises(BadInput, match=oid):
        attested([leaf.der, device.der])


def test_a_yubihsm() -> None:
    found = attested(makers.yubihsm())
    assert (found.model, found.firmware, found.serial) == ("YubiHSM 2 FIPS", "2.4.1", "7550054")
    assert (found.generated_inside, found.never_extractable) == (True, True)
    assert found.claims == {
        "origin": "generated",
        "capabilities": "sign-ecdsa",
        "domains": "1, 3",
        "object": "0x0003",
        "label": "release",
        "fips-series": "yes",
    }


@pytest.mark.parametrize(
    ("origin", "capabilities", "inside", "never"),
    [
        (yubihsm2.GENERATED, makers.SIGN_ECDSA | yubihsm2.EXPORTABLE_UNDER_WRAP, True, False),
        (yubihsm2.IMPORTED, makers.SIGN_ECDSA, False, False),
        (yubihsm2.GENERATED | yubihsm2.IMPORTED_WRAPPED, makers.SIGN_ECDSA, False, False),
        (0, makers.SIGN_ECDSA, False, False),
    ],
)
def test_a_yubihsm_key_that_was_or_can_be_outside(origin: int, capabilities: int, inside: bool, never: bool) -> None:
    """Export under wrap, import in the clear or under wrap, and an origin that says nothing."""
    found = attested(makers.yubihsm(origin=origin, capabilities=capabilities))
    assert (found.generated_inside, found.never_extractable) == (inside, never)


@pytest.mark.parametrize("oid", [yubihsm2.FIRMWARE, yubihsm2.SERIAL, yubihsm2.ORIGIN, yubihsm2.CAPABILITIES])
def test_a_yubihsm_attestation_that_leaves_something_out(oid: str) -> None:
    """Capabilities that are not there are not capabilities that are not set."""
    with pytest.raises(VerificationFailed, match="does not say all it has to"):
        attested(makers.yubihsm(without=oid))


def test_a_yubihsm_that_names_another_device() -> None:
    with pytest.raises(VerificationFailed, match="names another YubiHSM"):
        attested(makers.yubihsm(serial=7550055))


def test_a_device_vouches_for_keys_of_its_own_kind() -> None:
    """Above both stands one root of Yubico's."""
    hsm = makers.yubihsm_device()
    files = [makers.yubikey(device=hsm).der, hsm.der, makers.yubihsm()[2]]
    with pytest.raises(VerificationFailed, match="of a device of another kind"):
        attested(files)


def test_shipped_roots_are_the_ones_that_were_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file holds the one certificate of its line; none vouches for another maker's format."""
    for each in anchors.ROOTS:
        assert each.formats
        assert anchors.of_format(each.formats[0])
    assert set(anchors.of_format("luna-pkc")).isdisjoint(anchors.of_format("yubikey-piv"))
    assert anchors.of_format("poem") == ()
    for middle in anchors.intermediates("Yubico"):
        named = x509.load_der_x509_certificate(middle)
        assert named.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    wrong = anchors.Root("yubico-attestation-root-1.pem", "Yubico", ("poem",), "00" * 32)
    monkeypatch.setattr(anchors, "ROOTS", (wrong,))
    anchors.of_format.cache_clear()
    try:
        with pytest.raises(Exception, match="not the one that was pinned"):
            anchors.of_format("poem")
    finally:
        monkeypatch.undo()
        anchors.of_format.cache_clear()


def test_shipped_intermediates_lead_to_a_shipped_root() -> None:
    """Two steps at most."""
    held = {certificates.outline(each).subject for each in anchors.intermediates("Yubico")}
    roots = {certificates.outline(each).subject for each in anchors.of_format("yubikey-piv")}
    assert {certificates.outline(each).issuer for each in anchors.intermediates("Yubico")} <= held | roots
