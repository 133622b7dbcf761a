"""A renewal is over all that a token carries; nothing about it can be changed, exchanged or left out unseen."""

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest
import rfc3161_client
from asn1crypto import cms as asn1_cms
from asn1crypto import core, tsp
from cryptography import x509
from tests.pki import mint
from tests.timestamp import misbehaving
from tests.timestamp.misbehaving import root, unit

from privyseal.errors import BadInput, PrivySealError, VerificationFailed
from privyseal.pki import certificates, cms, der, unsigned
from privyseal.terms.signatures import DigestAlgorithm, TimestampToken
from privyseal.timestamp import renewal
from privyseal.timestamp.renewal import ID_ARCHIVE_TIMESTAMP, ID_HASH_INDEX
from privyseal.timestamp.token import verify_token

VALUE = b"a signature value"


def first(days: float = -10.0) -> bytes:
    minted = mint.certify(
        "First TSU", mint.key("ecdsa-p256", 50), root(), purposes=(mint.TIME_STAMPING,), critical=True,
        start=mint.NOW - timedelta(days=400), days=500,
    )  # fmt: skip
    return misbehaving.token(
        hashlib.sha256(VALUE).digest(), minted, when=mint.NOW + timedelta(days=days), more=(root().der,)
    )


def stamped(octets: bytes, seconds: float = 0, algorithm: DigestAlgorithm = "sha256") -> TimestampToken:
    digest = hashlib.new(algorithm, octets).digest()
    made = misbehaving.token(digest, unit(), when=mint.NOW + timedelta(seconds=seconds), algorithm=algorithm)
    return verify_token(made, octets=octets)


def renewed(token: bytes, seconds: float = 0, algorithm: DigestAlgorithm = "sha256") -> bytes:
    archived = renewal.archive(token, algorithm)
    return renewal.renew(token, archived, stamped(archived.octets, seconds, algorithm))


@pytest.mark.parametrize("algorithm", mint.DIGESTS)
def test_a_chain_of_renewals_is_read_in_its_order(algorithm: DigestAlgorithm) -> None:
    """Three of them, two within one second; the token itself is as it was, and comes back when they are taken off."""
    token = first()
    chained = token
    for seconds in (0, 0, 60):
        chained = renewed(chained, seconds, algorithm)
    found = renewal.renewals(chained)
    assert [each.time - mint.NOW for each in found] == [timedelta(0), timedelta(0), timedelta(seconds=60)]
    assert renewal.forms_before(chained)[0] == token == renewal.forms_before(token)[0]
    assert verify_token(chained, octets=VALUE) == TimestampToken(chained, *_said(token))
    assert renewal.renewals(token) == ()


def _said(token: bytes) -> tuple[object, ...]:
    verified = verify_token(token, octets=VALUE)
    return verified.time, verified.authority, verified.serial


def test_the_octets_are_those_of_the_standard() -> None:
    """ETSI EN 319 122-1 5.5.2 and 5.5.3, computed here by another parser from the finished token."""
    once = renewed(first())
    chained = renewed(once, 60, "sha384")
    outer = asn1_cms.ContentInfo.load(chained)["content"]
    signer = outer["signer_infos"][0]
    (archives,) = [each for each in signer["unsigned_attrs"] if each["type"].dotted == "0.4.0.1733.2.4"]
    inner = [asn1_cms.ContentInfo.load(value.dump()) for value in archives["values"]]
    newest = next(each for each in inner if _imprint(each)[0] == "sha384")
    oldest = next(each for each in inner if each is not newest)
    (index,) = newest["content"]["signer_infos"][0]["unsigned_attrs"]
    assert index["type"].dotted == "0.4.0.19122.1.5" and len(index["values"]) == 1
    listed = core.SequenceOf.load(index["values"][0].dump(), spec=core.Any)
    hashes = [
        [one.native for one in core.SequenceOf.load(part.dump(), spec=core.OctetString)] for part in list(listed)[1:]
    ]
    bag = [hashlib.sha384(one.dump()).digest() for one in outer["certificates"]]
    earlier = hashlib.sha384(archives["type"].dump() + oldest.dump()).digest()
    assert hashes == [bag, [], [earlier]]
    content = outer["encap_content_info"]
    fields = [signer[name].dump() for name in ("version", "sid", "digest_algorithm")]
    fields.append(b"\xa0" + signer["signed_attrs"].untag().dump()[1:])
    fields += [signer[name].dump() for name in ("signature_algorithm", "signature")]
    octets = content["content_type"].dump() + hashlib.sha384(content["content"].parsed.dump()).digest()
    octets += b"".join(fields) + index["values"][0].dump()
    assert _imprint(newest)[1] == hashlib.sha384(octets).digest()


def _imprint(token: asn1_cms.ContentInfo) -> tuple[str, bytes]:
    assert tsp.TSTInfo  # importing it teaches asn1crypto what the content is
    imprint = token["content"]["encap_content_info"]["content"].parsed["message_imprint"]
    return imprint["hash_algorithm"]["algorithm"].native, imprint["hashed_message"].native


def test_other_verifiers_see_the_token_as_it_was(tmp_path: Path) -> None:
    """OpenSSL and rfc3161-client accept the renewed token over its data, and OpenSSL the renewal over its own."""
    chained = renewed(renewed(first()), 60)
    archived = renewal.archive(renewed(first()), "sha256")
    newest = stamped(archived.octets, 60)
    files = {"data": VALUE, "t.der": chained, "octets": archived.octets, "r.der": newest.der, "root.pem": root().pem}
    for name, octets in files.items():
        (tmp_path / name).write_bytes(octets)
    for data, token in (("data", "t.der"), ("octets", "r.der")):
        command = ["openssl", "ts", "-verify", "-data", tmp_path / data, "-in", tmp_path / token, "-token_in"]
        done = mint.run(*command, "-CAfile", tmp_path / "root.pem")
        assert "Verification: OK" in done.stdout, done.stderr
    response = rfc3161_client.decode_timestamp_response(der.sequence(der.sequence(der.integer(0)), chained))
    verifier = rfc3161_client.VerifierBuilder().add_root_certificate(root().loaded)
    verifier = verifier.tsa_certificate(x509.load_der_x509_certificate(first_certificate(chained)))
    assert verifier.build().verify_message(response, VALUE)


LISTS = tuple(mint.crl(root(), start=mint.NOW - timedelta(hours=each)) for each in (1, 2, 3))


def test_lists_are_taken_along_and_covered(tmp_path: Path) -> None:
    """One with the first renewal, one more with the second: each renewal shows what was there at its time. OpenSSL
    sees the token as it was, and lists the lists; asn1crypto, which we did not write, reads the same two."""
    token = first()
    once = renewed(renewal.with_lists(token, [LISTS[0], LISTS[0]]))
    twice = renewed(renewal.with_lists(once, LISTS[:2]), 60)
    assert [each.lists for each in renewal.chain(once)] == [(LISTS[0],)]
    assert [each.lists for each in renewal.chain(twice)] == [(LISTS[0],), LISTS[:2]]
    assert verify_token(twice, octets=VALUE).serial == verify_token(token, octets=VALUE).serial
    for name, octets in {"data": VALUE, "t.der": twice, "root.pem": root().pem}.items():
        (tmp_path / name).write_bytes(octets)
    command = ["openssl", "ts", "-verify", "-data", tmp_path / "data", "-in", tmp_path / "t.der", "-token_in"]
    done = mint.run(*command, "-CAfile", tmp_path / "root.pem")
    assert "Verification: OK" in done.stdout, done.stderr
    seen = asn1_cms.ContentInfo.load(twice)["content"]["crls"]
    assert [each.chosen.dump() for each in seen] == list(LISTS[:2])
    assert renewal.forms_before(twice) == tuple(renewal.with_lists(token, LISTS[:count]) for count in (0, 1, 2))


def test_no_list_comes_or_goes_unseen() -> None:
    """One put in afterwards, one taken out, one exchanged, one in another form, one in the renewal itself."""
    bare, listed = first(), renewal.with_lists(first(), LISTS[:2])
    chained = renewed(listed)
    carried = cms.parse(chained).signers[0].unsigned
    other = b"\xa1" + der.sequence(der.oid("1.3.6.1.5.5.7.16.2"), der.null())[1:]
    for crls in (LISTS, LISTS[:1], (), (LISTS[0], LISTS[2]), (*LISTS[:2], other)):
        with pytest.raises(VerificationFailed, match=r"revocation list|not over all"):
            renewal.renewals(unsigned.with_only(chained, carried, crls))
    assert renewal.renewals(unsigned.with_only(chained, carried, LISTS[1::-1]))  # a SET has no order
    (value,) = carried[ID_ARCHIVE_TIMESTAMP]
    inner = unsigned.with_only(value, cms.parse(value).signers[0].unsigned, LISTS[:1])
    with pytest.raises(VerificationFailed, match="revocation list"):
        renewal.renewals(unsigned.with_only(chained, {ID_ARCHIVE_TIMESTAMP: (inner,)}))
    twice = unsigned.with_only(renewed(bare), cms.parse(renewed(bare)).signers[0].unsigned, LISTS[:1])
    with pytest.raises(VerificationFailed, match="no renewal covers"):
        renewal.renewals(twice)


def test_none_is_left_out_in_the_middle() -> None:
    """Of three renewals the second is over less than the first: what it is over was never there."""
    once = renewed(renewal.with_lists(first(), LISTS[:1]))
    less = unsigned.with_only(once, cms.parse(once).signers[0].unsigned, ())
    archived = renewal.archive(less, "sha256")
    second = cms.with_unsigned_attribute(stamped(archived.octets, 60).der, ID_HASH_INDEX, archived.index)
    twice = cms.with_unsigned_attribute(once, ID_ARCHIVE_TIMESTAMP, second)
    archived = renewal.archive(twice, "sha256")
    third = cms.with_unsigned_attribute(stamped(archived.octets, 120).der, ID_HASH_INDEX, archived.index)
    with pytest.raises(VerificationFailed, match="leaves out a revocation list"):
        renewal.renewals(cms.with_unsigned_attribute(twice, ID_ARCHIVE_TIMESTAMP, third))


def test_lists_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """In number and in octets; those that find no room stay out, and a smaller one behind them finds it."""
    small, large = LISTS[0], mint.crl(root(), dict.fromkeys(range(1, 2000), mint.NOW))
    monkeypatch.setattr(renewal, "MAX_LISTS_OCTETS", len(large) + len(small) - 1)
    assert cms.parse(renewal.with_lists(first(), [large, small])).crls == (large,)
    monkeypatch.setattr(renewal, "MAX_LISTS_OCTETS", len(large) - 1)
    assert cms.parse(renewal.with_lists(first(), [large, small])).crls == (small,)
    monkeypatch.setattr(renewal, "MAX_LISTS", 2)
    assert cms.parse(renewal.with_lists(first(), LISTS)).crls == LISTS[:2]


def first_certificate(token: bytes) -> bytes:
    signed = cms.parse(token)
    return cms.signer_certificate(signed, signed.signers[0]) or b""


@pytest.mark.parametrize("step", [13, pytest.param(1, marks=pytest.mark.nightly)])
def test_every_octet_of_a_renewed_token_counts(step: int) -> None:
    """One bit of each: the token or its renewals fail, or nothing at all is different; of its lists as well."""
    chained = renewed(renewal.with_lists(first(), [LISTS[0]]))
    expected = renewal.renewals(chained)
    passed = []
    for position in range(0, len(chained), step):
        broken = bytearray(chained)
        broken[position] ^= 1 << position % 8
        try:
            verify_token(bytes(broken), octets=VALUE)
            renewal.renewals(bytes(broken))
            passed.append(position)
        except PrivySealError as error:
            assert isinstance(error, BadInput | VerificationFailed)
    assert passed == [] and expected


def test_a_renewal_of_another_token_is_none() -> None:
    """Nor one that leaves out a renewal before it, nor one without its index, nor one that carries anything more."""
    token, other = first(), first(-11)
    archived = renewal.archive(other, "sha256")
    for wrong in (
        cms.with_unsigned_attribute(stamped(archived.octets).der, ID_HASH_INDEX, archived.index),
        stamped(renewal.archive(token, "sha256").octets).der,
        cms.with_unsigned_attribute(renewed_value(renewed(token)), "1.2.3.4", der.null()),
        cms.with_unsigned_attribute(renewed_value(renewed(token)), ID_HASH_INDEX, der.null()),
    ):
        with pytest.raises((VerificationFailed, BadInput), match=r"renewal|tag 0x"):
            renewal.renewals(cms.with_unsigned_attribute(token, ID_ARCHIVE_TIMESTAMP, wrong))
    side_by_side = [renewed_value(renewed(token, seconds)) for seconds in (0, 60)]
    both = token
    for value in side_by_side:
        both = cms.with_unsigned_attribute(both, ID_ARCHIVE_TIMESTAMP, value)
    with pytest.raises(VerificationFailed, match="not over all"):
        renewal.renewals(both)


def renewed_value(token: bytes) -> bytes:
    (value,) = cms.parse(token).signers[0].unsigned[ID_ARCHIVE_TIMESTAMP]
    return value


def test_a_renewal_is_not_older_than_what_it_renews() -> None:
    """Whoever says that proves nothing."""
    token = first(-0.01)
    archived = renewal.archive(token, "sha256")
    with pytest.raises(VerificationFailed, match="older"):
        renewal.renew(token, archived, stamped(archived.octets, -3600))


def test_what_nothing_covers_is_no_part_of_a_token() -> None:
    """An attribute of another kind could hide anything."""
    with pytest.raises(VerificationFailed, match=r"1\.2\.3\.4"):
        renewal.renewals(cms.with_unsigned_attribute(first(), "1.2.3.4", der.null()))


def test_counts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """More renewals than are read are neither made nor looked at."""
    once = renewed(first())
    monkeypatch.setattr(renewal, "MAX_RENEWALS", 0)
    for call in (lambda: renewal.archive(once, "sha256"), lambda: renewal.renewals(once)):
        with pytest.raises(BadInput, match="times"):
            call()


def test_what_is_no_token_cannot_be_renewed() -> None:
    """Garbage, another CMS message, and BER, which writing anew would change."""
    assert certificates.read(first_certificate(first())).subject == "CN=First TSU"
    for octets in (b"", b"\x30\x00", first()[:-1]):
        with pytest.raises(BadInput):
            renewal.archive(octets, "sha256")
    token = first()
    inner = der.read(token).content
    with pytest.raises(BadInput, match="not in DER"):
        renewal.archive(b"\x30\x80" + inner + b"\0\0", "sha256")
