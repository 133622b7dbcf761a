"""An attestation counts up to a pinned root only: by names, signatures, dates, and who may issue."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from cryptography import x509
from tests.pki import mint
from tests.pki.attestation import makers
from tests.pki.attestation.makers import AT, BORN, KEY

from privyseal.errors import BadInput, VerificationFailed
from privyseal.pki import certificates
from privyseal.pki.attestation import devices, luna_pkc, paths
from privyseal.pki.attestation.judge import NotEvidenced, judge
from privyseal.pki.attestation.protocol import Attested

ROOTS = [makers.root().der]


def refused(files: list[bytes], sentence: str, pinned: list[bytes] | None = None) -> None:
    """Require that files are refused with a sentence."""
    with pytest.raises((VerificationFailed, BadInput), match=sentence):
        judge(files, AT, ROOTS if pinned is None else pinned)


def test_the_wrong_root() -> None:
    """Another key under the same name, another name, and none at all."""
    files = [makers.yubikey().der, makers.yubikey_device().der]
    impostor = mint.certify("Maker Root", mint.key("ecdsa-p256", 940), ca=True, start=BORN, days=5000)
    refused(files, "damaged, or of another device", [impostor.der])
    refused(files, "No path leads", [mint.certify("Else", impostor.key, ca=True).der])
    refused(files, "No path leads", [])
    refused([*files, impostor.der], "damaged|bears the name of a pinned root")


def test_a_root_that_comes_along_is_no_root() -> None:
    files = [makers.yubikey().der, makers.yubikey_device().der, makers.root().der]
    refused(files, "No path leads", [])


def test_an_expired_intermediate_is_named_and_refused() -> None:
    """Whatever the dates of the attestation itself; as of a day before, it proves what it proved."""
    device = makers.between("Yubico PIV Attestation", 4, makers.root(), extra=())
    old = mint.certify("Yubico PIV Attestation", device.key, makers.root(), ca=True, start=BORN, days=30)
    leaf = makers.yubikey(device=old)
    refused([leaf.der, old.der], "The certificate 'Yubico PIV Attestation' expired on")
    found = judge([leaf.der, old.der], BORN + timedelta(days=29), ROOTS)
    assert isinstance(found, Attested)
    refused_before = BORN - timedelta(days=1)
    with pytest.raises(VerificationFailed, match="in force from"):
        judge([leaf.der, old.der], refused_before, ROOTS)


def test_the_dates_of_a_pinned_root_do_not_matter() -> None:
    """It is trusted because it was pinned; Marvell's older root ended in 2025, and devices under it are in use."""
    past = mint.certify("Old Root", mint.key("ecdsa-p256", 941), ca=True, start=BORN, days=1)
    device = makers.yubikey_device(issuer=past)
    assert isinstance(judge([makers.yubikey(device=device).der, device.der], AT, [past.der]), Attested)


def test_an_attested_key_attests_nothing() -> None:
    """A key in a YubiKey can sign a certificate that reads as an attestation, and is no device's for that."""
    genuine = makers.yubikey(makers.OTHER)
    forged = makers.yubikey(device=genuine)
    request = makers.request(KEY)
    refused([forged.der, genuine.der, makers.yubikey_device().der, request], "is not a CA's")


def test_a_ca_without_leave_to_issue() -> None:
    """No basicConstraints that say so, a path length that is used up, or keyUsage without keyCertSign."""
    middle = makers.between("Middle", 5, makers.root())
    built = (
        x509.CertificateBuilder()
        .subject_name(mint.name("Yubico PIV Attestation"))
        .issuer_name(middle.loaded.subject)
        .public_key(mint.key("ecdsa-p256", 942).public_key())
        .serial_number(7)
        .not_valid_before(BORN)
        .not_valid_after(BORN + timedelta(days=4000))
        .add_extension(x509.BasicConstraints(True, None), critical=True)
    )
    usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    idle = built.add_extension(usage, critical=True).sign(middle.key, mint.HASHES["sha256"])
    device = mint.Minted(idle.public_bytes(mint.serialization.Encoding.DER), mint.key("ecdsa-p256", 942))
    refused([makers.yubikey(device=device).der, device.der, middle.der], "is not a CA's")
    short = mint.Minted(
        built.sign(middle.key, mint.HASHES["sha256"]).public_bytes(mint.serialization.Encoding.DER), device.key
    )
    assert isinstance(judge([makers.yubikey(device=short).der, short.der, middle.der], AT, ROOTS), Attested)


def test_an_unknown_critical_extension_is_refused() -> None:
    strange = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
    device = makers.between("Yubico PIV Attestation", 6, makers.root(), extra=((strange, True),))
    refused([makers.yubikey(device=device).der, device.der], "unknown critical extension 1.3.6.1.4.1.99999.1")


def test_strangers_are_let_be_and_damaged_ones_are_not() -> None:
    """A stranger's issuer is not there, so nothing can be said of it; whose issuer is there, must be signed by it."""
    files = [makers.yubikey().der, makers.yubikey_device().der]
    stranger = mint.certify("Stranger", mint.key("ecdsa-p256", 943), mint.certify("Away", mint.key("ecdsa-p256", 944)))
    whole = mint.certify("Whole", mint.key("ecdsa-p256", 945), makers.root(), ca=True)
    assert isinstance(judge([stranger.der, *files, whole.der], AT, ROOTS), Attested)
    last = bytes((whole.der[-1] ^ 1,))
    refused([*files, whole.der[:-1] + last], "damaged, or of another device")


def test_looking_for_a_path_is_bounded() -> None:
    """Sixty certificates of one name and key, each of which could be above the other."""
    key = mint.key("ecdsa-p256", 946)
    many = [mint.certify("Same", key, ca=True, start=BORN + timedelta(seconds=n), days=900).der for n in range(60)]
    same = mint.Minted(many[0], key)
    files = [makers.yubikey(device=same).der, b"".join(map(certificates.pem, many))]
    begun = time.process_time()
    refused(files, "No path leads", [])
    assert time.process_time() - begun < 5


def test_numbers_without_sign_are_read_and_nothing_else_is() -> None:
    """A Luna's signature, whose numbers read as negative, verifies; strict loaders refuse it; a longer one is none."""
    (leaf, origin), top = makers.luna()
    for each in (leaf, makers.signless(leaf)):
        found = judge([each, origin, makers.request()], AT, [top])
        assert isinstance(found, Attested)
        assert (found.serial, found.chain[0]) == ("521174", each)
    with pytest.raises(BadInput, match="longer than its curve's"):
        devices.unsigned(devices.der.sequence(devices.der.integer(1 << 300), devices.der.integer(1)), 256)


def test_a_luna_chain_for_something_else_is_refused() -> None:
    """A certificate of the same maker that is for other purposes confirms no key."""
    usages = (luna_pkc.CONFIRMATION, "1.3.6.1.4.1.12383.1.12", "1.3.6.1.4.1.12383.1.14")
    (leaf, origin), top = makers.luna(usages=usages)
    refused([leaf, origin], "not for what a confirmation's chain is for", [top])


def test_which_attestation_is_meant() -> None:
    """Of several the request tells; without one nothing is guessed. A request of no attested key is refused."""
    device = makers.yubikey_device()
    both = [makers.yubikey(KEY).der, makers.yubikey(makers.OTHER).der, device.der]
    refused(both, "hold 2 YubiKey attestations")
    found = judge([*both, makers.request(makers.OTHER)], AT, ROOTS)
    assert isinstance(found, Attested)
    assert found.spki == mint.spki(makers.OTHER)
    refused([both[0], device.der, makers.request(makers.OTHER)], "and the certificate request for the key")
    refused([both[0], device.der, makers.broken_request()], "own signature does not verify")


def test_a_path_is_of_its_own_kind_only() -> None:
    """A chain that leads to a pinned root without a word of an attestation shows nothing."""
    assert isinstance(judge([makers.yubikey_device().der, makers.root().der], AT, ROOTS), NotEvidenced)


def test_a_path_has_an_end() -> None:
    """Nine certificates between are one more than are followed."""
    chain = [makers.root()]
    for number in range(10):
        chain.append(makers.between(f"Level {number}", 10 + number, chain[-1]))
    read = paths.read_all(each.der for each in reversed(chain))
    with pytest.raises(VerificationFailed, match="No path leads"):
        paths.to_anchor(read[0], read[1:], read[-1:], AT)
    assert len(paths.to_anchor(read[2], read[3:], read[-1:], AT)) == 9
