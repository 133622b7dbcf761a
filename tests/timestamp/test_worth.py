"""What a timestamp is worth: before and after revocations, with every reason, expired, renewed, too late."""

import hashlib
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from tests.pki import mint
from tests.pki.mint import NOW, Minted
from tests.timestamp import misbehaving
from tests.timestamp.misbehaving import root

from privyseal.pki import der, revocations
from privyseal.pki.chain import Anchors
from privyseal.timestamp import renewal, worth
from privyseal.timestamp.token import verify_token
from privyseal.timestamp.worth import Believed, Worth

VALUE = b"a signature value"
DAY = timedelta(days=1)
ROOTS = Anchors((root().der,))
REASONS = {
    None: False,
    "unspecified": True,
    "affiliation_changed": True,
    "superseded": True,
    "cessation_of_operation": True,
    "key_compromise": False,
    "ca_compromise": False,
    "privilege_withdrawn": False,
    "certificate_hold": False,
}
"""Reason -> whether tokens from before the revocation stay good (RFC 3161 4)."""


@lru_cache
def unit(name: str = "Old TSU", issuer: Minted | None = None, end: int = 100) -> Minted:
    """Return an authority from 400 days ago until ``end`` days from now."""
    number = 60 + sum(name.encode()) % 30
    return mint.certify(
        name, mint.key("ecdsa-p256", number), issuer or root(), purposes=(mint.TIME_STAMPING,), critical=True,
        start=NOW - 400 * DAY, days=400 + end,
    )  # fmt: skip


def crl(revoked: Minted | None = None, at: datetime = NOW, reason: str | None = None, **more: object) -> bytes:
    issuer = more.get("issuer") or root()
    assert isinstance(issuer, Minted)
    draft = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.loaded.subject)
        .last_update(NOW + 200 * DAY)
        .next_update(NOW + 900 * DAY)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
        .add_extension(x509.CRLNumber(1), critical=False)
    )
    if revoked is not None:
        entry = x509.RevokedCertificateBuilder().serial_number(revoked.loaded.serial_number).revocation_date(at)
        if reason is not None:
            entry = entry.add_extension(x509.CRLReason(x509.ReasonFlags[reason]), critical=False)
        if invalid := more.get("invalid"):
            assert isinstance(invalid, datetime)
            entry = entry.add_extension(x509.InvalidityDate(invalid.replace(tzinfo=None)), critical=False)
        draft = draft.add_revoked_certificate(entry.build())
    return draft.sign(issuer.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def token(when: datetime, minted: Minted | None = None, octets: bytes = VALUE) -> bytes:
    return misbehaving.token(hashlib.sha256(octets).digest(), minted or unit(), when=when)


def renewed(old: bytes, when: datetime, minted: Minted) -> bytes:
    archived = renewal.archive(old, "sha256")
    return renewal.renew(old, archived, verify_token(token(when, minted, archived.octets), octets=archived.octets))


def judged(octets: bytes, *crls: bytes, at: datetime = NOW, anchors: Anchors | None = ROOTS) -> Worth:
    return worth.judge(octets, VALUE, Believed(anchors, crls, at))


def said(found: Worth) -> tuple[str, set[str], set[str]]:
    return found.verdict, {each.code for each in found.problems}, {each.code for each in found.notes}


def test_a_good_one_says_its_time_and_when_it_ends() -> None:
    """No problem, no note; it ends with its authority's certificate."""
    found = judged(token(NOW - 5 * DAY), crl())
    assert said(found) == ("valid", set(), set()) and found.token is not None
    assert (found.token.time, found.ends) == (NOW - 5 * DAY, NOW + 100 * DAY)


def test_before_its_time_nothing_is_known() -> None:
    """Asked about the day before, it is open whether the signature was there; five minutes are allowed to clocks."""
    assert said(judged(token(NOW), at=NOW - DAY)) == ("indeterminate", {"timestamp-ahead"}, set())
    assert judged(token(NOW), at=NOW - timedelta(minutes=5)).verdict == "valid"
    assert judged(token(NOW), at=NOW - timedelta(minutes=5, seconds=1)).verdict == "indeterminate"


def test_whom_nobody_trusts() -> None:
    """No anchor, another anchor, a certificate that had expired: each its own."""
    assert said(judged(token(NOW), anchors=None)) == ("untrusted", {"timestamp-no-path"}, set())
    stranger = mint.certify("Stranger", mint.key("ecdsa-p256", 90), ca=True)
    assert said(judged(token(NOW), anchors=Anchors((stranger.der,)))) == ("untrusted", {"timestamp-no-path"}, set())
    by_old_ca = misbehaving.token(
        hashlib.sha256(VALUE).digest(),
        misbehaving.unit("expired-issuer"),
        when=NOW,
        more=(misbehaving.old_issuer().der,),
    )
    assert said(judged(by_old_ca)) == ("invalid", {"timestamp-expired"}, set())
    assert said(judged(token(NOW)[:-1])) == ("invalid", {"timestamp"}, set())


def test_a_revocation_before_the_token_ends_it() -> None:
    """Whatever the reason, and to the second."""
    for reason in REASONS:
        found = judged(token(NOW - 2 * DAY), crl(unit(), NOW - 3 * DAY, reason))
        assert found.verdict == "invalid" and "timestamp-revoked" in said(found)[1], reason


@pytest.mark.parametrize("reason", REASONS)
def test_after_the_token_the_reason_decides(reason: str | None) -> None:
    """RFC 3161 4: only where it is stated that the key was not stolen, the tokens of before stay good."""
    found = judged(token(NOW - 2 * DAY), crl(unit(), NOW - DAY, reason))
    if REASONS[reason]:
        assert said(found) == ("valid", set(), {"timestamp-revoked-later"})
    else:
        assert said(found) == ("invalid", {"timestamp-revoked"}, set()) and found.token is None
    # Asked about an earlier moment it is the same: the thief of a key can state that one as well.
    assert judged(token(NOW - 2 * DAY), crl(unit(), NOW - DAY, reason), at=NOW - 2 * DAY).verdict == found.verdict


def test_an_issuer_that_was_compromised_takes_its_authorities_along() -> None:
    """Who has the CA's key can make authorities of any age."""
    middle = mint.certify("Stamping CA", mint.key("ecdsa-p256", 91), root(), ca=True, start=NOW - 400 * DAY, days=900)
    below = unit("Below", middle)
    octets = misbehaving.token(hashlib.sha256(VALUE).digest(), below, when=NOW - 5 * DAY, more=(middle.der,))
    fresh = mint.crl(middle, start=NOW + DAY, days=900)
    assert judged(octets, crl(), fresh).verdict == "valid"
    assert said(judged(octets, crl(middle, NOW, "ca_compromise"), fresh))[1] == {"timestamp-revoked"}
    assert said(judged(octets, crl(middle, NOW, "superseded"), fresh))[0] == "valid"


def test_a_renewal_shows_that_it_is_older_than_the_theft() -> None:
    """By another authority, before the revocation: good. After it: too late. By the same one: worth nothing more."""
    other = unit("New TSU", end=800)
    for days, expected in ((10, "valid"), (20, "invalid"), (30, "invalid")):
        octets = renewed(token(NOW - 5 * DAY), NOW + days * DAY, other)
        found = judged(octets, crl(unit(), NOW + 20 * DAY, "key_compromise"), at=NOW + 40 * DAY)
        assert found.verdict == expected, days
    octets = renewed(token(NOW - 5 * DAY), NOW + 10 * DAY, unit())
    found = judged(octets, crl(unit(), NOW + 20 * DAY, "key_compromise"), at=NOW + 40 * DAY)
    assert found.verdict == "invalid" and "renewal-does-not-count" in said(found)[2]


def test_an_expired_authority_is_said_and_a_renewal_goes_on() -> None:
    """Without one it counts still, and the note says what should have been done; with one it rests on the new one."""
    octets = token(NOW - 5 * DAY)
    later = NOW + 300 * DAY
    assert said(judged(octets, at=NOW + 100 * DAY)) == ("valid", set(), set())
    assert said(judged(octets, at=NOW + 100 * DAY + timedelta(seconds=1))) == ("valid", set(), {"timestamp-expired"})
    chained = renewed(octets, NOW + 50 * DAY, unit("New TSU", end=800))
    found = judged(chained, at=later)
    assert said(found) == ("valid", set(), set()) and found.ends == NOW + 800 * DAY
    assert [each.time for each in found.renewals] == [NOW + 50 * DAY]
    assert judged(chained, at=NOW + 20 * DAY).renewals == ()  # as of then it was not there


def test_a_renewal_by_whom_nobody_trusts_does_not_count() -> None:
    """It takes nothing away, and that it is worth nothing is said."""
    stranger = mint.certify("Stranger", mint.key("ecdsa-p256", 90), ca=True)
    chained = renewed(token(NOW - 5 * DAY), NOW, unit("Stray", stranger))
    found = judged(chained, at=NOW + DAY)
    assert said(found) == ("valid", set(), {"renewal-does-not-count"}) and found.renewals == ()


# -- lists that were taken along ---------------------------------------------------------------------------------------
@lru_cache
def elder() -> Minted:
    """Return a root that is gone by now: nobody has its lists any more."""
    return mint.certify("Elder root", mint.key("ecdsa-p256", 92), ca=True, start=NOW - 500 * DAY, days=3000)


BOTH = Anchors((root().der, elder().der))


def kept(old: Minted, listed: Sequence[bytes], new: Minted | None = None) -> bytes:
    """Return a token of 5 days ago, renewed 10 days from now with these lists."""
    octets = renewal.with_lists(token(NOW - 5 * DAY, old), listed)
    return renewed(octets, NOW + 10 * DAY, new or unit("New TSU", end=800))


def test_with_a_list_that_was_kept_an_old_authority_can_be_judged() -> None:
    """The verifier has the list of the new one alone. Without the kept one it is open how the old one stood."""
    old = unit("Elder TSU", elder())
    later = NOW + 300 * DAY
    clean = mint.crl(elder(), start=NOW, days=20)
    found = judged(kept(old, [clean]), crl(), at=later, anchors=BOTH)
    assert found.verdict == "valid" and len(found.renewals) == 1
    assert judged(kept(old, []), crl(), at=later, anchors=BOTH).verdict != "valid"
    # A list of somebody else's, and octets that are none, are not counted and break nothing.
    for listed in ([mint.crl(unit("X", end=9), start=NOW)], [der.sequence(der.null())]):
        assert judged(kept(old, listed), crl(), at=later, anchors=BOTH).verdict == "indeterminate"


def test_what_was_revoked_before_the_token_stays_so_in_a_kept_list() -> None:
    """Also where the verifier has no list at all, whatever the reason, and to the second. Later ones by their reason,
    or because the renewal is older."""
    old = unit("Elder TSU", elder())
    second = timedelta(seconds=1)
    for at, reason, verdict in (
        (NOW - 6 * DAY, "superseded", "invalid"),
        (NOW - 5 * DAY, "superseded", "invalid"),
        (NOW - 5 * DAY + second, "superseded", "valid"),
        (NOW - 5 * DAY + second, "key_compromise", "invalid"),
        (NOW + 30 * DAY, "key_compromise", "valid"),
    ):
        listed = crl(old, at.replace(microsecond=0), reason, issuer=elder())
        found = judged(kept(old, [listed]), at=NOW + 300 * DAY, anchors=BOTH)
        assert found.verdict == verdict, (at, reason)


def test_a_list_counts_only_under_a_renewal_that_counts() -> None:
    """A thief can put a list of the time before his theft beside a token that he made after it."""
    old = unit("Elder TSU", elder())
    clean = mint.crl(elder(), start=NOW, days=20)
    stranger = mint.certify("Stranger", mint.key("ecdsa-p256", 90), ca=True, start=NOW - 400 * DAY, days=3000)
    for octets in (renewal.with_lists(token(NOW - 5 * DAY, old), [clean]), kept(old, [clean], unit("Stray", stranger))):
        assert judged(octets, crl(), at=NOW + 300 * DAY, anchors=BOTH).verdict == "indeterminate"


def test_which_lists_a_renewal_takes_along() -> None:
    """Of each issuer of the chains so far the newest, if it is from after what it is about; of nobody else's."""
    old = unit("Elder TSU", elder())
    lists = [mint.crl(elder(), start=NOW - days * DAY, days=400) for days in (6, 2, 3)]
    octets, other = token(NOW - 5 * DAY, old), crl()
    assert worth.lists_for(octets, Believed(BOTH, (*lists, other), NOW)) == (lists[1],)
    assert worth.lists_for(octets, Believed(BOTH, (lists[0], other), NOW)) == ()
    assert worth.lists_for(octets, Believed(None, tuple(lists), NOW)) == ()
    chained = renewed(octets, NOW + 10 * DAY, unit("New TSU", end=800))
    assert worth.lists_for(chained, Believed(BOTH, (*lists, other), NOW + 300 * DAY)) == (lists[1], other)


def test_a_chain_of_three_outlives_two_thefts() -> None:
    """Each link is older than the loss of the one before it; take out the middle and it breaks."""
    second, third = unit("Second", end=500), unit("Third", end=900)
    octets = renewed(token(NOW - 5 * DAY), NOW + 50 * DAY, second)
    chained = renewed(octets, NOW + 150 * DAY, third)
    lists = (crl(unit(), NOW + 60 * DAY, "key_compromise"), crl(second, NOW + 160 * DAY, "key_compromise"))
    found = judged(chained, *lists, at=NOW + 700 * DAY)
    assert found.verdict == "valid" and len(found.renewals) == 2
    assert judged(octets, *lists, at=NOW + 700 * DAY).verdict == "invalid"


@pytest.mark.parametrize("count", [100, pytest.param(10_000, marks=pytest.mark.nightly)])
def test_hostile_tokens_are_a_verdict_and_never_an_exception(count: int) -> None:
    """Seeded mutations of a renewed token: cut, doubled, exchanged, random; none raises, none is valid."""
    good = renewed(token(NOW - 5 * DAY), NOW, unit("New TSU", end=800))
    draw = random.Random(20261201)
    for _ in range(count):
        octets = bytearray(good)
        for _ in range(draw.randint(1, 3)):
            place, length = draw.randrange(len(octets)), draw.randint(1, 40)
            match draw.randrange(4):
                case 0:
                    del octets[place : place + length]
                case 1:
                    octets[place:place] = octets[place : place + length]
                case 2:
                    octets[place : place + length] = draw.randbytes(length)
                case 3:
                    octets[place : place + 4] = draw.choice([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"])
        if bytes(octets) != good:
            assert judged(bytes(octets), crl(), at=NOW + DAY).verdict == "invalid"


# -- what lists say ----------------------------------------------------------------------------------------------------
def test_the_earlier_of_two_dates_counts() -> None:
    """An invalidity date before the revocation date (RFC 5280 5.3.2)."""
    found = revocations.find(unit().der, root().der, (crl(unit(), NOW, "superseded", invalid=NOW - 9 * DAY),))
    assert found is not None and (found.at, found.reason) == (NOW - 9 * DAY, "superseded")


def test_lists_of_others_say_nothing() -> None:
    """Signed by another key under the same name, about another serial, or garbage."""
    forger = mint.certify("Loopback root", mint.key("ecdsa-p256", 92), ca=True, days=3000)
    forged = mint.crl(forger, {unit().loaded.serial_number: NOW})
    assert revocations.find(unit().der, root().der, (forged, b"", b"\x30\x00", crl(), crl(unit("Second")))) is None
    assert revocations.find(unit().der, root().der, (crl(unit(), NOW, "remove_from_crl"),)) is None
