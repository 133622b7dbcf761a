"""Evidence in the IETF's format: the working group's samples verify, and nothing that is wrong in one way does."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.pki import mint
from tests.pki.attestation import makers
from tests.pki.attestation.makers import AT, BORN, KEY, OTHER, sample
from tests.pki.attestation.test_attestation_flips import survive
from tests.pki.mint import Minted

from privyseal.errors import BadInput, VerificationFailed
from privyseal.pki import csr, der
from privyseal.pki.attestation import enclosure, evidence, pieces, pkix_evidence
from privyseal.pki.attestation.enclosure import Enclosure
from privyseal.pki.attestation.evidence import Claim, Element
from privyseal.pki.attestation.judge import judge
from privyseal.pki.attestation.protocol import Attested
from privyseal.pki.certificates import key_id
from privyseal.terms.signatures import SCHEMES

P256 = SCHEMES["ecdsa-p256"]
AK = mint.key("ecdsa-p256", 940)
SPKI = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@cache
def attestation_key(purposes: Sequence[str] = (evidence.ATTESTATION_KEY,), **more: object) -> Minted:
    """Certify an attestation key under the makers' root."""
    found = tuple(x509.ObjectIdentifier(each) for each in purposes)
    return mint.certify("AK", AK, makers.root(), purposes=found, start=BORN, **({"days": 4000} | more))  # type: ignore[arg-type]


def key_element(spki: bytes = SPKI, name: str = "one", **flags: bool) -> Element:
    """Report a key; every flag as a good module has it unless it is given."""
    said = {"extractable": False, "never": True, "local": True} | flags
    kinds = {"extractable": evidence.EXTRACTABLE, "never": evidence.NEVER_EXTRACTABLE, "local": evidence.LOCAL}
    claims = [Claim(evidence.IDENTIFIER, der.utf8_string(name)), Claim(evidence.SPKI, der.octet_string(spki))]
    return Element(evidence.KEY, (*claims, *(Claim(kinds[each], der.boolean(on)) for each, on in said.items())))


def made(*elements: Element, by: Minted | None = None, signing: object = AK) -> bytes:
    """Sign Evidence."""
    tbs = evidence.to_be_signed(elements or (key_element(),))
    assert isinstance(signing, ec.EllipticCurvePrivateKey)
    value = signing.sign(tbs, ec.ECDSA(hashes.SHA256()))
    return evidence.signed(tbs, (by or attestation_key()).der, P256, value)


def judged(*files: bytes, pinned: Sequence[bytes] | None = None) -> Attested:
    """Judge files that must be attested."""
    found = judge(files, AT, [makers.root().der] if pinned is None else pinned)
    assert isinstance(found, Attested)
    return found


def pem_key(spki: bytes) -> bytes:
    """Return a public key as PEM."""
    return enclosure._block("PUBLIC KEY", spki)


@pytest.mark.parametrize(("name", "keys"), [("ev1.pem", 0), ("ev2.pem", 2)])
def test_the_samples_verify_up_to_their_root(name: str, keys: int) -> None:
    """By the key identifier alone, or by the certificate that is in it; one reports no key and one reports two."""
    files = [sample(each) for each in (name, "int.crt", "ak.crt")]
    (root,) = pieces.unpack([sample("ca.crt")]).certificates
    (octets,) = pkix_evidence._found(files)
    found, path = pkix_evidence.verified(octets, pkix_evidence._strangers(files), [root], AT)
    assert [each.name for each in path] == ["test-ak", "IntCA", "RootCA"]
    assert len(found.all_of(evidence.KEY)) == keys
    with pytest.raises(VerificationFailed, match="No path leads"):
        judge(files, AT)


def test_a_sample_with_two_keys_tells_them_apart() -> None:
    """The one that is meant is named by its public key; which of them it is decides whether it can leave."""
    files = [sample(each) for each in ("ev2.pem", "int.crt", "ak.crt", "ca.crt")]
    roots = pieces.unpack([sample("ca.crt")]).certificates
    keys = evidence.read(pkix_evidence._found(files)[0]).all_of(evidence.KEY)
    spkis = [der.octets_of(each.of(evidence.SPKI) or pytest.fail()) for each in keys]
    first, second = (judged(*files, pem_key(each), pinned=roots) for each in spkis)
    assert (first.generated_inside, first.never_extractable, first.model) == (True, True, "HSM-9000")
    assert (second.generated_inside, second.never_extractable) == (None, False)
    with pytest.raises(BadInput, match="2 keys"):
        judge(files, AT, roots)
    with pytest.raises(VerificationFailed, match="reports no key"):
        judge([sample("ev1.pem"), *files[1:]], AT, roots)


def test_evidence_of_ours_is_attested_also_from_within_a_request() -> None:
    """Alone, and as id-aa-attestation of the key's own request, with the certificate in the bundle."""
    alone = judged(made())
    assert (alone.spki, alone.generated_inside, alone.never_extractable) == (SPKI, True, True)
    bundle = csr.Bundle((csr.Statement(evidence.ARC, made()),), (attestation_key().der,)).encode()
    info = csr.information(der.sequence(), SPKI, bundle)
    assert isinstance(KEY, ec.EllipticCurvePrivateKey)
    request = csr.request(info, P256, KEY.sign(info, ec.ECDSA(hashes.SHA256())))
    assert judged(request) == alone
    broken = csr.request(info, P256, OTHER.sign(info, ec.ECDSA(hashes.SHA256())))  # type: ignore[call-arg,arg-type]
    with pytest.raises(VerificationFailed, match="own signature"):
        judge([broken], AT, [makers.root().der])


@pytest.mark.parametrize("flags", [{"extractable": True}, {"never": False}, {"local": False}])
def test_a_key_that_can_leave_is_said_to(flags: dict[str, bool]) -> None:
    """Whichever of the claims says so."""
    found = judged(made(key_element(**flags)))
    assert (found.generated_inside, found.never_extractable) != (True, True)


def _unsigned() -> bytes:
    return der.sequence(evidence.to_be_signed((key_element(),)), der.sequence())


def _later() -> bytes:
    tbs = evidence.to_be_signed((key_element(),)).replace(b"\x02\x01\x01", b"\x02\x01\x02", 1)
    assert isinstance(AK, ec.EllipticCurvePrivateKey)
    return evidence.signed(tbs, attestation_key().der, P256, AK.sign(tbs, ec.ECDSA(hashes.SHA256())))


def _other_ak() -> bytes:
    claim = Claim(evidence.AK_SPKI, der.octet_string(SPKI))
    return made(Element(evidence.TRANSACTION, (claim,)), key_element())


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (lambda: made(signing=OTHER), "does not verify"),
        (lambda: made(by=attestation_key(("1.3.6.1.5.5.7.3.3",))), "not one of an attestation key"),
        (lambda: made(by=attestation_key(days=30)), "expired"),
        (_unsigned, "signed by nobody"),
        (_later, "version 2"),
        (_other_ak, "another attestation key"),
        (lambda: made() + b"\0", "follow"),
        (lambda: made(key_element(), key_element(OTHER_SPKI)), "of the same key"),
        (lambda: made(Element(evidence.KEY, ())), "which key"),
        (lambda: made(Element(evidence.PLATFORM, ()), Element(evidence.PLATFORM, ()), key_element()), "one is allowed"),
    ],
)
def test_what_is_wrong_in_one_way_is_refused(octets: object, words: str) -> None:
    """In one sentence; never attested."""
    assert callable(octets)
    with pytest.raises((BadInput, VerificationFailed), match=words):
        judge([enclosure._block("EVIDENCE", octets()) if words != "follow" else octets()], AT, [makers.root().der])


OTHER_SPKI = OTHER.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_evidence_of_another_key_and_under_another_root_is_refused() -> None:
    """What is meant is what is attested, and only what was pinned is believed."""
    with pytest.raises(VerificationFailed, match="another key"):
        judge([made(), makers.request(OTHER)], AT, [makers.root().der])
    with pytest.raises(VerificationFailed, match="No path leads"):
        judge([made()], AT)
    with pytest.raises(VerificationFailed, match="only, not on"):
        judge([made()], AT + timedelta(days=5000), [attestation_key().der])
    assert len(judged(made(), pinned=[attestation_key().der]).chain) == 1


# -- enclosures --------------------------------------------------------------------------------------------------------
def file(inside: Enclosure, bound_to: bytes | None = None, spki: bytes = SPKI) -> bytes:
    """Make a file as a service gives it to a CA."""
    enclosed = inside.encode()
    nonce = enclosure.nonce_of(bound_to or enclosed)
    transaction = Element(evidence.TRANSACTION, (Claim(evidence.NONCE, der.octet_string(nonce)),))
    octets = made(transaction, key_element(spki, extractable=True))
    return enclosure.pem(octets, enclosed)


def inside(**more: object) -> Enclosure:
    """Return an enclosure for the key."""
    return Enclosure(**({"subscriber": "demo", "key": "release", "key_id": key_id(SPKI)} | more))  # type: ignore[arg-type]


def test_the_modules_own_attestation_counts_for_more_than_the_services_word() -> None:
    """Enclosed and verified up to its maker's root, it is what is returned; without it, it is said whose word it is."""
    alone = judged(file(inside(verdict="met")))
    assert (alone.format, alone.never_extractable) == ("pkix-evidence", False)
    assert "no attestation of the module" in alone.claims["module"]
    yubikey = (makers.yubikey().der, makers.yubikey_device().der)
    found = judged(file(inside(attestation=yubikey)))
    assert (found.format, found.maker, found.never_extractable) == ("yubikey-piv", "Yubico", True)
    assert "AK" in found.claims["enclosed in"]


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (lambda: file(inside(), bound_to=b"another"), "bound to by its nonce"),
        (lambda: file(inside(key_id="0" * 64)), "another key"),
        (lambda: file(inside(attestation=(makers.yubikey(OTHER).der, makers.yubikey_device().der))), "another key"),
        (lambda: file(inside(attestation=(makers.yubikey().der,))), "No path leads"),
    ],
)
def test_an_enclosure_that_does_not_belong_is_refused(octets: object, words: str) -> None:
    """Bound to something else, of another key, or with an attestation that proves nothing."""
    assert callable(octets)
    with pytest.raises(VerificationFailed, match=words):
        judge([octets()], AT, [makers.root().der])


def test_no_flipped_evidence_is_attested() -> None:
    """Of ours with an enclosure, and of the working group's."""
    survive([file(inside(attestation=(makers.yubikey().der, makers.yubikey_device().der)))], 250, [makers.root().der])
    files = [sample("ev2.pem")]
    roots = pieces.unpack([sample("ca.crt")]).certificates
    spki = evidence.read(pkix_evidence._found(files)[0]).all_of(evidence.KEY)[0].of(evidence.SPKI)
    survive([*files, pem_key(spki.content if spki else b"")], 250, roots)
