"""What CAs hand over: any order, any strangers, any form; and of what is not for the key, one sentence."""

from __future__ import annotations

import itertools
import random

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from tests.pki import mint
from tests.pki.mint import NOW

from privyseal.errors import BadInput, PrivySealError, TooLarge, VerificationFailed
from privyseal.pki import bundle, certificates
from privyseal.pki.rehearsal import RehearsalAuthority

SPKI = mint.spki(mint.key("ecdsa-p256"))
KEY_ID = certificates.key_id(SPKI)


@pytest.fixture(scope="module")
def leaf(authority: RehearsalAuthority) -> bytes:
    """Return a code signing certificate for the key."""
    return authority.issue_code_signing(SPKI, "Example GmbH", NOW)


@pytest.fixture(scope="module")
def strangers(authority: RehearsalAuthority) -> list[bytes]:
    """Return certificates that have nothing to do with it, and some that nearly have."""
    other = authority.issue_code_signing(mint.spki(mint.key("ecdsa-p256", 1)), "Example GmbH", NOW)
    return [other, authority.timestamp_issuer]


def test_any_order_with_strangers_gives_the_one_chain(
    authority: RehearsalAuthority, leaf: bytes, strangers: list[bytes]
) -> None:
    """The root is left out, whether it came along or not."""
    wanted = (leaf, authority.code_signing_issuer)
    for order in itertools.permutations([leaf, authority.code_signing_issuer, authority.root, *strangers]):
        assert bundle.chain_of(KEY_ID, order, NOW) == wanted
    assert bundle.chain_of(KEY_ID, [authority.code_signing_issuer, leaf], NOW) == wanted


def test_what_is_here_completes_the_chain(authority: RehearsalAuthority, leaf: bytes) -> None:
    with pytest.raises(VerificationFailed, match=r"issuer .* did not come along"):
        bundle.chain_of(KEY_ID, [leaf, authority.root], NOW)
    assert bundle.chain_of(KEY_ID, [leaf], NOW, [authority.code_signing_issuer]) == (
        leaf,
        authority.code_signing_issuer,
    )


def test_a_certificate_for_another_key_is_refused(authority: RehearsalAuthority, strangers: list[bytes]) -> None:
    """One, or several of which none is it; never the first one that came."""
    with pytest.raises(VerificationFailed, match="for another key"):
        bundle.chain_of(KEY_ID, strangers[:1], NOW)
    with pytest.raises(VerificationFailed, match="None of the 3 certificates"):
        bundle.chain_of(KEY_ID, [*strangers, authority.code_signing_issuer], NOW)


def test_an_issuer_of_the_same_name_with_another_key_is_a_stranger(authority: RehearsalAuthority, leaf: bytes) -> None:
    """Its signature decides, not its name."""
    wrong = bytearray(authority.code_signing_issuer)
    at = bytes(wrong).index(certificates.outline(bytes(wrong)).spki) + 60
    wrong[at] ^= 1
    with pytest.raises(VerificationFailed, match="did not come along"):
        bundle.chain_of(KEY_ID, [leaf, bytes(wrong)], NOW)


def test_of_two_for_the_key_the_newer_is_meant(authority: RehearsalAuthority, leaf: bytes) -> None:
    newer = authority.issue_code_signing(SPKI, "Example GmbH", NOW.replace(minute=59))
    for bag in ([leaf, newer], [newer, leaf]):
        assert bundle.chain_of(KEY_ID, [*bag, authority.code_signing_issuer], NOW)[0] == newer


@pytest.mark.parametrize("form", ["pem", "crlf", "p7b-pem", "p7b-der", "der"])
def test_every_form_is_read(authority: RehearsalAuthority, leaf: bytes, form: str) -> None:
    """PEM with text between, certs-only PKCS #7 as some CAs deliver, a single DER."""
    both = [leaf, authority.code_signing_issuer]
    loaded = [certificates.load(each) for each in both]
    text = b"subject=CN = x\n" + b"\n# next\n".join(certificates.pem(each) for each in both)
    forms = {
        "pem": text,
        "crlf": text.replace(b"\n", b"\r\n"),
        "p7b-pem": pkcs7.serialize_certificates(loaded, Encoding.PEM),
        "p7b-der": pkcs7.serialize_certificates(loaded, Encoding.DER),
        "der": leaf,
    }
    assert sorted(bundle.read(forms[form])) == sorted(both if form != "der" else [leaf])


def test_a_list_a_key_or_too_much_is_one_sentence(authority: RehearsalAuthority, leaf: bytes) -> None:
    """A CRL of 50 MB, a private key beside the certificate, more certificates than any chain has."""
    with pytest.raises(TooLarge, match="at most 1048576 are read"):
        bundle.read(b"-----BEGIN X509 CRL-----\n" + b"A" * 50_000_000)
    with pytest.raises(BadInput, match="revocation list"):
        bundle.read(authority.crl(NOW, 1))
    key = b"-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n"
    with pytest.raises(BadInput, match="private key") as refused:
        bundle.read(certificates.pem(leaf) + key)
    assert "MIIB" not in str(refused.value)
    with pytest.raises(TooLarge, match="at most 64"):
        bundle.read(b"".join(certificates.pem(leaf) for _ in range(65)))
    with pytest.raises(BadInput):
        bundle.read(b"<html>signed in?</html>")


def test_many_with_the_issuer_s_name_end_in_time(authority: RehearsalAuthority, leaf: bytes) -> None:
    """The number of signatures that are checked is bounded, whatever came along."""
    issuer = authority.code_signing_issuer
    at = issuer.index(certificates.outline(issuer).spki) + 60
    crowd = [issuer[:at] + bytes([n]) + issuer[at + 1 :] for n in range(256) if n != issuer[at]]
    with pytest.raises(VerificationFailed):
        bundle.chain_of(KEY_ID, [leaf, *crowd], NOW)


@pytest.mark.filterwarnings("ignore")  # cryptography warns of oddities it tolerates
def test_a_thousand_broken_files_are_refused_or_read(authority: RehearsalAuthority, leaf: bytes) -> None:
    """By a seed; whatever is raised is ours, and what is read is a chain of the key or none."""
    loaded = [certificates.load(each) for each in (leaf, authority.code_signing_issuer)]
    whole = [
        certificates.pem(leaf) + certificates.pem(authority.code_signing_issuer),
        pkcs7.serialize_certificates(loaded, Encoding.DER),
        leaf,
    ]
    draw = random.Random(5280)
    for turn in range(1000):
        broken = bytearray(whole[turn % 3])
        for _ in range(draw.randint(1, 4)):
            broken[draw.randrange(len(broken))] = draw.randrange(256)
        try:
            chain = bundle.chain_of(KEY_ID, bundle.read(bytes(broken)), NOW)
        except PrivySealError as error:
            assert len(error.detail) < 600
        else:
            assert certificates.key_id(certificates.outline(chain[0]).spki) == KEY_ID
