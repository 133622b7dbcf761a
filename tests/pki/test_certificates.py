"""What is read from a certificate is what OpenSSL reads from it, and signature values are checked for every scheme."""

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.pki import mint
from tests.pki.mint import Minted

from privyseal.errors import BadInput, VerificationFailed
from privyseal.pki import certificates
from privyseal.terms.signatures import SCHEMES, DigestAlgorithm, Family, ToBeSigned


@pytest.fixture(scope="module")
def minted() -> Minted:
    return mint.certify("Example GmbH", mint.key("ecdsa-p256"), purposes=(mint.CODE_SIGNING,))


def test_the_facts_are_those_openssl_reads(minted: Minted, tmp_path: Path) -> None:
    """Subject, serial, dates, fingerprint, in the forms our terms promise."""
    (tmp_path / "c.pem").write_bytes(certificates.pem(minted.der))
    command = ["openssl", "x509", "-in", tmp_path / "c.pem", "-noout", "-nameopt", "RFC2253", "-subject", "-serial"]
    said = mint.run(*command, "-fingerprint", "-sha256", "-startdate", "-dateopt", "iso_8601").stdout
    facts = certificates.read(minted.der)
    assert f"subject={facts.subject}" in said
    assert f"serial={facts.serial.zfill(len(facts.serial) + len(facts.serial) % 2)}" in said
    assert facts.fingerprint.upper() in said.replace(":", "")
    assert f"notBefore={facts.not_before:%Y-%m-%d %H:%M:%SZ}" in said
    assert facts.key_id == hashlib.sha256(mint.spki(minted.key)).hexdigest()
    assert facts.in_force(mint.NOW) and not facts.in_force(facts.not_after + timedelta(seconds=1))
    assert certificates.common_name(minted.der) == "Example GmbH"


def test_the_outline_is_cut_not_rebuilt(minted: Minted) -> None:
    """Issuer, subject, serial and key are octets of the certificate as they stand."""
    parts = certificates.outline(minted.der)
    loaded = minted.loaded
    assert parts.issuer == loaded.issuer.public_bytes() and parts.subject == loaded.subject.public_bytes()
    assert parts.spki == mint.spki(minted.key) and parts.serial == loaded.serial_number
    assert (
        certificates.subject_key_identifier(minted.der)
        == x509.SubjectKeyIdentifier.from_public_key(minted.key.public_key()).digest
    )


def test_dates_and_purposes_are_read_from_the_octets(minted: Minted) -> None:
    """What is read without ``cryptography.x509`` is what that reads, and nothing is where nothing is stated."""
    several = mint.certify("two", mint.key("rsa-3072"), purposes=(mint.CODE_SIGNING, ExtendedKeyUsageOID.CLIENT_AUTH))
    none = mint.certify("none", mint.key("ecdsa-p384"), ca=True, days=30_000)
    for one in (minted, several, none):
        loaded = one.loaded
        assert certificates.validity(one.der) == (loaded.not_valid_before_utc, loaded.not_valid_after_utc)
        stated = [each.value for each in loaded.extensions if isinstance(each.value, x509.ExtendedKeyUsage)]
        assert certificates.purposes(one.der) == tuple(oid.dotted_string for value in stated for oid in value)
    assert certificates.purposes(several.der) == ("1.3.6.1.5.5.7.3.3", "1.3.6.1.5.5.7.3.2")
    assert certificates.purposes(none.der) == ()
    for cut in range(0, len(minted.der), 7):
        with pytest.raises(BadInput):
            certificates.validity(minted.der[:cut])


@pytest.mark.parametrize("scheme", ["rsa-3072", "ecdsa-p256", "ecdsa-p384", "ecdsa-p521"])
def test_who_signed_itself_is_told(scheme: str) -> None:
    """By ``cryptography`` and by us alike; one of that name by another key, or with an octet turned, has not."""
    own = mint.certify("Own", mint.key(scheme, 90))
    namesake = mint.certify("Own", mint.key(scheme, 91))
    assert certificates.signs_itself(own.der) and certificates.signs_itself(namesake.der)
    own.loaded.verify_directly_issued_by(own.loaded)
    under = mint.certify("Own", mint.key(scheme, 90), namesake)
    assert under.loaded.issuer == under.loaded.subject
    assert not certificates.signs_itself(under.der)
    assert not certificates.signs_itself(mint.certify("Other", mint.key(scheme, 90), namesake).der)
    for at in range(len(own.der) - 300, len(own.der), 11):
        turned = own.der[:at] + bytes([own.der[at] ^ 1]) + own.der[at + 1 :]
        try:
            assert not certificates.signs_itself(turned)
        except BadInput:
            continue


def test_who_signed_itself_by_another_scheme_is_told_too() -> None:
    """Those are for ``cryptography`` to check."""
    private, other = ed25519.Ed25519PrivateKey.generate(), ed25519.Ed25519PrivateKey.generate()
    draft = x509.CertificateBuilder().subject_name(mint.name("Own")).issuer_name(mint.name("Own")).serial_number(7)
    draft = (
        draft.not_valid_before(mint.NOW).not_valid_after(mint.NOW + timedelta(days=1)).public_key(private.public_key())
    )
    for signer, expected in ((private, True), (other, False)):
        made = draft.sign(signer, None).public_bytes(serialization.Encoding.DER)
        assert certificates.signs_itself(made) is expected


def test_pem_files_hold_one_or_many(minted: Minted) -> None:
    """Text between and around is skipped, order kept, broken ones refused."""
    other = mint.certify("other", mint.key("ecdsa-p384"))
    text = b"who: me\n" + certificates.pem(minted.der) + b"\n# and\r\n" + other.pem.replace(b"\n", b"\r\n")
    assert certificates.pem_certificates(text) == [minted.der, other.der]
    with pytest.raises(BadInput, match="No certificate"):
        certificates.pem_certificates(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    with pytest.raises(BadInput, match="not base64"):
        certificates.pem_certificates(b"-----BEGIN CERTIFICATE-----\nA*=\n-----END CERTIFICATE-----\n")
    with pytest.raises(BadInput, match="not DER"):
        certificates.pem_certificates(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    with pytest.raises(BadInput, match="more than 1000"):
        certificates.pem_certificates(certificates.pem(minted.der) * 1001)


@pytest.mark.parametrize("octets", [b"", b"\x30\x00", b"\x30\x03\x02\x01\x01", b"not a certificate"])
def test_what_is_no_certificate_is_refused(octets: bytes) -> None:
    """One sentence, no traceback."""
    for read in (certificates.read, certificates.load, certificates.outline, certificates.signature_digest):
        with pytest.raises(BadInput):
            read(octets)


@pytest.mark.parametrize("name", [*mint.SCHEMES, "rsa-4096"])
def test_every_scheme_is_recognised(name: str) -> None:
    """The scheme of a public key is the row of SCHEMES that generated it."""
    spki = mint.spki(mint.key(name))
    assert certificates.scheme_of(spki) is SCHEMES[name]
    assert certificates.family_of(spki) is SCHEMES[name].family
    assert certificates.key_id(spki) == hashlib.sha256(spki).hexdigest()


def test_other_keys_are_refused() -> None:
    """Too short, an odd length, another curve, another kind (CSBR 6.1.5.2)."""

    def spki(private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed448.Ed448PrivateKey) -> bytes:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return private.public_key().public_bytes(serialization.Encoding.DER, form)

    for private in (
        rsa.generate_private_key(65537, 2048),
        ec.generate_private_key(ec.SECP256K1()),
        ed448.Ed448PrivateKey.generate(),
    ):
        with pytest.raises(BadInput, match=r"not spoken|of another kind"):
            certificates.scheme_of(spki(private))
    with pytest.raises(BadInput):
        certificates.scheme_of(b"\x30\x00")


@pytest.mark.parametrize("digest", mint.DIGESTS)
@pytest.mark.parametrize(("name", "padding"), [*((name, "pkcs1v15") for name in mint.SCHEMES), ("rsa-3072", "pss")])
def test_values_are_verified(name: str, digest: DigestAlgorithm, padding: str) -> None:
    """The right value holds; another key, octet, digest or padding does not, nor does a longer value."""
    private = mint.key(name)
    spki = mint.spki(private)
    tbs = ToBeSigned(b"octets", digest, padding)  # type: ignore[arg-type]
    value = mint.sign(private, tbs)
    certificates.verify(spki, tbs, value)
    other_digest: DigestAlgorithm = "sha512" if digest != "sha512" else "sha256"
    wrong = [
        (spki, ToBeSigned(b"octetz", digest, tbs.padding), value),
        (spki, ToBeSigned(b"octets", other_digest, tbs.padding), value),
        (mint.spki(mint.key(name, 1)), tbs, value),
        (spki, tbs, value + b"\0"),
        (spki, tbs, b""),
        (spki, tbs, value[:-1] + bytes((value[-1] ^ 1,))),
    ]
    if SCHEMES[name].family is Family.RSA:
        wrong.append((spki, ToBeSigned(b"octets", digest, "pss" if padding == "pkcs1v15" else "pkcs1v15"), value))
    certificates.verify_all(spki, [tbs] * 3, [value] * 3)
    for key, octets, one in wrong:
        with pytest.raises(VerificationFailed):
            certificates.verify(key, octets, one)
        with pytest.raises(VerificationFailed):
            certificates.verify_all(key, [octets], [one])
        if key == spki:
            with pytest.raises(VerificationFailed):
                certificates.verify_all(key, [tbs, octets, tbs], [value, one, value])


@pytest.mark.parametrize("digest", mint.DIGESTS)
def test_the_digest_of_the_issuers_signature_is_told(digest: str) -> None:
    """CSBR 6.8: a timestamp key signs with the digest its certificate is signed with."""
    assert certificates.signature_digest(mint.certify("x", mint.key("ecdsa-p256"), digest=digest).der) == digest


def test_loaded_keys_are_kept() -> None:
    """Loading a key costs as much as verifying with it; the hot path does it once."""
    spki = mint.spki(mint.key("ecdsa-p256"))
    assert certificates.public_key(spki) is certificates.public_key(bytes(bytearray(spki)))
