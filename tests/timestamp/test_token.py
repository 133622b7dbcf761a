"""A token that verifies is what it says, whoever made it; one changed octet and it does not verify."""

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.pki import mint
from tests.pki.mint import NOW, Minted
from tests.timestamp.clockwork import POLICY, authority, openssl_reply, root, unit

from privyseal.errors import BadInput, PrivySealError, VerificationFailed
from privyseal.pki import cms, der
from privyseal.pki.chain import Anchors, judge
from privyseal.terms.signatures import DigestAlgorithm, ToBeSigned
from privyseal.timestamp import messages
from privyseal.timestamp.authority import Authority
from privyseal.timestamp.token import (
    ID_SIGNING_CERTIFICATE_V2,
    ID_TST_INFO,
    build_request,
    parse_response,
    read_token,
    token_certificates,
    verify_token,
)

DATA = b"what is stamped"
DIGEST = hashlib.sha256(DATA).digest()


# -- other people's tokens ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("scheme", mint.SCHEMES)
@pytest.mark.parametrize("digest", mint.DIGESTS)
@pytest.mark.parametrize("essential", ["sha1", "sha256", "sha512"])
def test_openssl_tokens_are_verified(scheme: str, digest: DigestAlgorithm, essential: str, tmp_path: Path) -> None:
    """With accuracy, ordering and tsa name; certificate named by ESSCertID of SHA-1 or ESSCertIDv2 (RFC 5816)."""
    request = build_request(digest, hashlib.new(digest, DATA).digest(), nonce=2**70, policy=POLICY)
    reply = openssl_reply(tmp_path, unit(scheme), request, ess_cert_id_alg=essential, signer_digest="sha384")
    token = parse_response(reply)
    verified = verify_token(token, octets=DATA, nonce=2**70, policy=POLICY)
    assert verified.serial == "123456789ABCDEF" or int(verified.serial, 16) == 0x0123456789ABCDF0
    assert abs(verified.time - NOW) < timedelta(hours=1) and verified.der == token
    assert verified.authority == f"CN=TSU {scheme}"
    assert token_certificates(token) == (unit(scheme).der, root().der)
    own, *others = token_certificates(token)
    judgement = judge(own, others, Anchors((root().der,)), (), verified.time, "timestamping")
    assert judgement.verdict == "valid"
    for wrong in ({"octets": b"other"}, {"nonce": 5}, {"policy": "1.2.3"}):
        with pytest.raises(VerificationFailed):
            verify_token(token, **wrong)


def test_a_chain_of_certificate_hashes_is_understood(tmp_path: Path) -> None:
    """OpenSSL can name the whole chain; the first is the signer's."""
    reply = openssl_reply(tmp_path, unit("rsa-3072"), build_request("sha256", DIGEST), ess_cert_id_chain="yes")
    assert verify_token(parse_response(reply), octets=DATA).authority == "CN=TSU rsa-3072"


def test_sha1_tokens_are_refused(tmp_path: Path) -> None:
    """A SHA-1 imprint, and a token signed with SHA-1 (CSBR 7.1.3.2)."""
    weak = der.sequence(der.sequence(der.oid("1.3.14.3.2.26"), der.null()), der.octet_string(bytes(20)))
    reply = openssl_reply(tmp_path, unit("rsa-3072"), der.sequence(der.integer(1), weak, der.boolean(True)))
    with pytest.raises(VerificationFailed, match="sha1"):
        verify_token(parse_response(reply), octets=DATA)
    reply = openssl_reply(tmp_path, unit("rsa-3072"), build_request("sha256", DIGEST), signer_digest="sha1")
    with pytest.raises(VerificationFailed, match="sha1"):
        verify_token(parse_response(reply), octets=DATA)


def test_a_token_without_certificate_is_refused(tmp_path: Path) -> None:
    """We always ask for it; without it nobody can verify later."""
    reply = openssl_reply(tmp_path, unit("rsa-3072"), build_request("sha256", DIGEST, certificates=False))
    with pytest.raises(VerificationFailed, match="does not carry"):
        verify_token(parse_response(reply), octets=DATA)
    assert token_certificates(parse_response(reply)) == ()


# -- one octet ---------------------------------------------------------------------------------------------------------
CHANGES = (1, 2, 4, 8, 16, 32, 64, 128, 255)


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("scheme", ["rsa-3072", "ecdsa-p256"])
def test_every_bit_of_a_token_counts(scheme: str, whole: bool) -> None:
    """Each bit of each octet, and each octet inverted: none is left unbound, the certificate's included.

    In each run every octet is changed in two of these nine ways, which take turns; nightly in all. SignedData's own
    fields are under no signature, but must be what RFC 3161 has there; the certificate's every octet is under the hash
    in the signed attributes.
    """
    (token,) = authority(unit(scheme)).stamp("sha256", [DIGEST])
    verify_token(token, octets=DATA)
    passed = []
    for position in range(len(token)):
        for change in CHANGES if whole else (CHANGES[position % 9], CHANGES[(position + 4) % 9]):
            broken = bytearray(token)
            broken[position] ^= change
            try:
                verify_token(bytes(broken), octets=DATA)
                passed.append((position, change))
            except PrivySealError as error:
                assert isinstance(error, BadInput | VerificationFailed)
    assert passed == []


def test_octets_of_other_certificates_belong_to_the_chain() -> None:
    """Harmless: an issuer's certificate beside the signer's is under no signature of the token.

    A change there cannot make a token verify that would not: the chain is judged apart, and breaks.
    """
    made = mint.certify("Middle", mint.key("ecdsa-p256", 4), root(), ca=True)
    minted = mint.certify("TSU", mint.key("ecdsa-p256", 5), made, purposes=(mint.TIME_STAMPING,), critical=True)
    ours = Authority(
        [minted.der, made.der],
        lambda several: [mint.sign(minted.key, each) for each in several],
        POLICY,
        lambda: NOW,
        lambda count: bytes(range(count)),
    )
    (token,) = ours.stamp("sha256", [DIGEST])
    at = token.index(made.der)
    for position in range(at, at + len(made.der), 7):
        broken = bytearray(token)
        broken[position] ^= 0x40
        try:
            verified = verify_token(bytes(broken), octets=DATA)
            own, *others = token_certificates(bytes(broken))
        except BadInput:
            continue
        assert judge(own, others, Anchors((root().der,)), (), verified.time, "timestamping").verdict == "untrusted"


@pytest.mark.parametrize("change", [b"\0", b"\x30\x00"])
def test_nothing_may_follow(change: bytes) -> None:
    """A token ends where it ends."""
    (token,) = authority(unit("ecdsa-p256")).stamp("sha256", [DIGEST])
    with pytest.raises(BadInput):
        verify_token(token + change, octets=DATA)


# -- tokens made wrong -------------------------------------------------------------------------------------------------
def make(  # one parameter for each thing a test varies
    minted: Minted,
    *,
    info: bytes | None = None,
    named: bytes | None = None,
    attributes: int = 1,
    content_type: str = ID_TST_INFO,
    version: int = 3,
    signers: int = 1,
) -> bytes:
    """Build a token by hand: ``info`` the TSTInfo, ``named`` the SigningCertificateV2, each as given."""
    if info is None:
        info = tst_info()
    if named is None:
        named = signing_certificate(hashlib.sha256(minted.der).digest())
    signed = [
        cms.attribute(cms.ID_CONTENT_TYPE, der.oid(content_type)),
        cms.attribute(cms.ID_MESSAGE_DIGEST, der.octet_string(hashlib.sha256(info).digest())),
        *[cms.attribute(ID_SIGNING_CERTIFICATE_V2, named)] * attributes,
    ]
    value = mint.sign(minted.key, ToBeSigned(cms.attributes_to_be_signed(signed), "sha256"))
    signer = cms.signer_info(
        certificate=minted.der, digest_algorithm="sha256", signed_attributes=signed, signature=value
    )
    return cms.build_signed_data(
        content_type=content_type,
        content=der.octet_string(info),
        digest_algorithm="sha256",
        certificates=[minted.der],
        signers=[signer] * signers,
        version=version,
    )


def tst_info(time: bytes | None = None, version: int = 1, imprint: bytes | None = None, *more: bytes) -> bytes:
    return der.sequence(
        der.integer(version),
        der.oid(POLICY),
        imprint or messages.message_imprint("sha256", DIGEST),
        der.integer(5),
        time or der.generalized_time(NOW),
        *more,
    )


def signing_certificate(digest: bytes, *more: bytes) -> bytes:
    return der.sequence(der.sequence(der.sequence(der.octet_string(digest), *more)))


def test_a_token_made_by_hand_verifies() -> None:
    """The ground on which the next tests stand."""
    assert verify_token(make(unit("rsa-3072")), octets=DATA).serial == "5"
    fraction = der.tlv(der.GENERALIZED_TIME, NOW.strftime("%Y%m%d%H%M%S.25Z").encode())
    verified = verify_token(make(unit("rsa-3072"), info=tst_info(fraction)), octets=DATA)
    assert verified.time == NOW + timedelta(milliseconds=250)


def extended(*critical: bytes) -> bytes:
    extension = der.sequence(der.oid("1.2.3.4"), *critical, der.octet_string(b"\x05\x00"))
    return tst_info(None, 1, None, der.explicit(1, extension))


def test_an_extension_may_be_ignored_unless_it_is_critical() -> None:
    """What must be understood and is not makes the token unusable."""
    verify_token(make(unit("rsa-3072"), info=extended()), octets=DATA)
    with pytest.raises(BadInput, match=r"critical extension 1\.2\.3\.4"):
        verify_token(make(unit("rsa-3072"), info=extended(der.boolean(True))), octets=DATA)


@pytest.mark.parametrize(
    ("how", "match"),
    [
        ({"attributes": 0}, "does not state"),
        ({"attributes": 2}, "does not state"),
        ({"named": signing_certificate(bytes(32))}, "does not state"),
        ({"named": signing_certificate(bytes(31))}, "does not state"),
        ({"named": der.sequence(der.sequence())}, "does not state"),
        ({"named": der.sequence(der.octet_string(bytes(9000)))}, "more than 8192"),
        ({"content_type": cms.ID_DATA}, "no timestamp token"),
        ({"version": 1}, "version 3"),
        ({"signers": 2}, "one signer"),
        ({"signers": 0}, "one signer"),
        ({"info": tst_info(version=2)}, "version 2"),
        ({"info": tst_info(der.utc_time(NOW))}, "tag 0x18"),
        ({"info": tst_info(None, 1, None, der.null())}, "too many"),
        ({"info": tst_info(der.generalized_time(NOW - timedelta(days=2)))}, "outside its certificate's validity"),
        ({"info": tst_info(der.generalized_time(NOW + timedelta(days=301)))}, "outside its certificate's validity"),
    ],
)
def test_tokens_made_wrong_are_refused(how: dict[str, object], match: str) -> None:
    """Signed correctly, and still no timestamp: the sentence says why."""
    with pytest.raises((BadInput, VerificationFailed), match=match):
        verify_token(make(unit("rsa-3072"), **how), octets=DATA)  # type: ignore[arg-type]


def test_the_issuer_and_serial_beside_the_hash_must_agree() -> None:
    """RFC 5035 5: IssuerSerial, if present, names the same certificate."""
    minted = unit("rsa-3072")
    digest = hashlib.sha256(minted.der).digest()
    serial = minted.loaded.serial_number
    for name, number, fine in (
        (minted.loaded.issuer, serial, True),
        (minted.loaded.issuer, serial + 1, False),
        (minted.loaded.subject, serial, False),
    ):
        issuer_serial = der.sequence(der.sequence(der.explicit(4, name.public_bytes())), der.integer(number))
        token = make(minted, named=signing_certificate(digest, issuer_serial))
        if fine:
            verify_token(token, octets=DATA)
        else:
            with pytest.raises(VerificationFailed, match="does not state"):
                verify_token(token, octets=DATA)


def test_certificates_for_anything_else_sign_no_timestamps() -> None:
    """RFC 3161 2.3: one purpose, and critical."""
    other = ExtendedKeyUsageOID.CODE_SIGNING
    for purposes, critical in (
        ((), False),
        ((other,), True),
        ((mint.TIME_STAMPING,), False),
        ((mint.TIME_STAMPING, other), True),
    ):
        minted = mint.certify("odd", mint.key("rsa-3072"), root(), purposes=purposes, critical=critical)
        with pytest.raises(VerificationFailed, match=r"purpose|timestamping alone"):
            verify_token(make(minted), octets=DATA)


def test_a_signature_of_another_kind_is_no_token() -> None:
    """CMS over other content, and octets that are no CMS."""
    for octets in (b"", b"\x30\x00", make(unit("rsa-3072"))[:-1], b"\x30\x80" + bytes(2_000_000)):
        with pytest.raises(BadInput):
            read_token(octets)
        with pytest.raises(BadInput):
            verify_token(octets)
