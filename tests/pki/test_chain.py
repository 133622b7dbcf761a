"""Whom a certificate leads to at a moment: dates, revocation, purposes, anchors, and traps of the library beneath."""

import time
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.pki import mint
from tests.pki.mint import NOW, Minted

from privyseal.errors import BadInput
from privyseal.pki import chain
from privyseal.pki.chain import Anchors, Judgement, PinnedAnchor, Purpose, judge, standing

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


@pytest.fixture(scope="module")
def root() -> Minted:
    return mint.certify("Root", mint.key("ecdsa-p256", 1), ca=True, start=NOW - 2000 * DAY, days=4000)


@pytest.fixture(scope="module")
def middle(root: Minted) -> Minted:
    return mint.certify("Middle", mint.key("ecdsa-p256", 2), root, ca=True, start=NOW - 1000 * DAY, days=2000)


@pytest.fixture(scope="module")
def leaf(middle: Minted) -> Minted:
    return mint.certify(
        "Leaf", mint.key("ecdsa-p256", 3), middle, purposes=(mint.CODE_SIGNING,), start=NOW - 300 * DAY, days=200
    )


def judged(  # one parameter for each thing a test varies
    leaf: Minted,
    others: list[Minted],
    anchor: Minted,
    *,
    crls: tuple[bytes, ...] = (),
    at: datetime = NOW - 200 * DAY,
    purpose: Purpose = "code-signing",
) -> Judgement:
    return judge(leaf.der, [one.der for one in others], Anchors((anchor.der,)), crls, at, purpose)


def codes(judgement: Judgement) -> list[str]:
    return [problem.code for problem in judgement.problems]


def test_a_good_chain_is_valid_at_a_past_moment(leaf: Minted, middle: Minted, root: Minted) -> None:
    """The leaf has expired since; the timestamp's moment counts. The path runs to the anchor, whatever came along."""
    stray = mint.certify("Stray", mint.key("ecdsa-p384"), ca=True)
    judgement = judged(leaf, [stray, root, middle, leaf], root)
    assert (judgement.verdict, judgement.revocation) == ("valid", "not-checked")
    assert [one.subject for one in judgement.path] == ["CN=Leaf", "CN=Middle", "CN=Root"]


@pytest.mark.parametrize(
    ("days", "seconds", "verdict"),
    [(-300, 0, "valid"), (-300, -1, "invalid"), (-100, 0, "valid"), (-100, 1, "invalid"), (0, 0, "invalid")],
)
def test_dates_count_to_the_second_both_ends_included(
    leaf: Minted, middle: Minted, root: Minted, days: int, seconds: int, verdict: str
) -> None:
    """RFC 5280 4.1.2.5; certvalidator alone would allow a second more."""
    judgement = judged(leaf, [middle], root, at=NOW + days * DAY + seconds * SECOND)
    assert judgement.verdict == verdict
    if verdict == "invalid":
        assert codes(judgement) in (["expired"], ["not-yet-valid"])
        assert "CN=Leaf" in judgement.problems[0].text


def test_an_expired_issuer_breaks_the_chain(leaf: Minted, root: Minted) -> None:
    """The leaf was in force, the CA above it no longer."""
    middle = mint.certify("Middle", mint.key("ecdsa-p256", 2), root, ca=True, start=NOW - 1000 * DAY, days=750)
    judgement = judged(leaf, [middle], root)
    assert judgement.verdict == "invalid" and codes(judgement) == ["expired"]
    assert "CN=Middle" in judgement.problems[0].text


def test_unknown_anchors_are_untrusted(leaf: Minted, middle: Minted, root: Minted) -> None:
    """No path, a missing link, an anchor of the same name with another key."""
    namesake = mint.certify("Root", mint.key("ecdsa-p256", 9), ca=True, start=NOW - 2000 * DAY, days=4000)
    for judgement in (judged(leaf, [], root), judged(leaf, [middle, root], namesake)):
        assert judgement.verdict == "untrusted" and codes(judgement) == ["no-path"] and judgement.path == ()
    assert judge(leaf.der, [middle.der], Anchors(()), (), NOW, "code-signing").verdict == "untrusted"


def test_an_anchor_may_be_anywhere(leaf: Minted, middle: Minted, root: Minted) -> None:
    """The operator may trust an intermediate, or the very certificate."""
    assert [one.subject for one in judged(leaf, [root], middle).path] == ["CN=Leaf", "CN=Middle"]
    alone = judged(leaf, [], leaf)
    assert alone.verdict == "valid" and len(alone.path) == 1
    assert codes(judged(leaf, [], leaf, at=NOW)) == ["expired"]
    assert codes(judged(leaf, [], leaf, purpose="timestamping")) == ["wrong-purpose"]


# -- revocation --------------------------------------------------------------------------------------------------------
def lists(leaf: Minted, middle: Minted, root: Minted, revoked: datetime | None) -> tuple[bytes, ...]:
    """Return today's CRLs of both issuers, the leaf revoked at a moment or not."""
    serials = {} if revoked is None else {leaf.loaded.serial_number: revoked}
    return mint.crl(middle, serials), mint.crl(root)


@pytest.mark.parametrize(
    ("revoked", "verdict"),
    [(None, "valid"), (-201, "invalid"), (-200, "invalid"), (-199, "valid"), (-1, "valid")],
)
def test_revocation_counts_from_its_date_on(
    leaf: Minted, middle: Minted, root: Minted, revoked: int | None, verdict: str
) -> None:
    """Signed 200 days ago: revoked before or that very second is too late, revoked since is not (CSBR 4.9.6)."""
    date = None if revoked is None else NOW + revoked * DAY
    judgement = judged(leaf, [middle], root, crls=lists(leaf, middle, root, date))
    assert judgement.verdict == verdict
    assert judgement.revocation == ("good" if verdict == "valid" else "revoked")
    assert codes(judgement) == ([] if verdict == "valid" else ["revoked"])


def test_a_revoked_issuer_revokes_what_is_below(leaf: Minted, middle: Minted, root: Minted) -> None:
    """The CRL of the root counts for the intermediate."""
    crls = (mint.crl(middle), mint.crl(root, {middle.loaded.serial_number: NOW - 250 * DAY}))
    judgement = judged(leaf, [middle], root, crls=crls)
    assert judgement.verdict == "invalid" and judgement.revocation == "revoked"


def test_a_missing_or_stale_list_leaves_it_open(leaf: Minted, middle: Minted, root: Minted) -> None:
    """With CRLs at hand every certificate below the anchor must be covered, by one not stale at the moment."""
    stale = mint.crl(middle, start=NOW - 250 * DAY)
    for crls in ((mint.crl(middle),), (mint.crl(root),), (stale, mint.crl(root))):
        judgement = judged(leaf, [middle], root, crls=crls)
        assert judgement.verdict == "indeterminate" and judgement.revocation == "not-checked"
        assert codes(judgement) in (["revocation-unknown"], ["revocation-stale"])
    fresh_then = mint.crl(middle, start=NOW - 201 * DAY)
    assert judged(leaf, [middle], root, crls=(fresh_then, mint.crl(root))).verdict == "valid"
    assert judged(leaf, [middle], root, crls=(stale, fresh_then, mint.crl(root))).verdict == "valid"


def test_a_forged_list_does_not_count(leaf: Minted, middle: Minted, root: Minted) -> None:
    """A CRL in the issuer's name under another key neither revokes nor clears."""
    forger = Minted(middle.der, mint.key("ecdsa-p256", 7))
    for serials in ({leaf.loaded.serial_number: NOW - 250 * DAY}, {}):
        judgement = judged(leaf, [middle], root, crls=(mint.crl(forger, serials), mint.crl(root)))
        assert judgement.verdict == "indeterminate"


def test_the_trap_of_the_lenient_modes_is_avoided(leaf: Minted, middle: Minted, root: Minted) -> None:
    """certvalidator's soft-fail and hard-fail call this revoked certificate good: it names no CRL. We do not."""
    from asn1crypto import crl as asn1_crl
    from asn1crypto import x509 as asn1_x509
    from pyhanko_certvalidator import CertificateValidator, ValidationContext

    crls = lists(leaf, middle, root, NOW - 250 * DAY)
    with pytest.raises(x509.ExtensionNotFound):
        leaf.loaded.extensions.get_extension_for_class(x509.CRLDistributionPoints)
    for mode in ("soft-fail", "hard-fail"):
        context = ValidationContext(
            trust_roots=[asn1_x509.Certificate.load(root.der)],
            moment=NOW - 200 * DAY,
            crls=[asn1_crl.CertificateList.load(one) for one in crls],
            revocation_mode=mode,
            retroactive_revinfo=True,
        )
        validator = CertificateValidator(
            asn1_x509.Certificate.load(leaf.der),
            [asn1_x509.Certificate.load(middle.der)],
            validation_context=context,
        )
        with pytest.raises(StopIteration):  # it ends, and calls the certificate good
            validator.async_validate_usage({"digital_signature"}, {"code_signing"}).send(None)  # type: ignore[no-untyped-call]
    assert judged(leaf, [middle], root, crls=crls).revocation == "revoked"


def test_lists_are_read_from_pem_and_der(middle: Minted, root: Minted) -> None:
    """One file may hold the CRLs of every issuer."""
    one, two = mint.crl(middle), mint.crl(root)
    both = b"".join(x509.load_der_x509_crl(each).public_bytes(Encoding.PEM) for each in (one, two))
    assert chain.read_crls(both) == [one, two]
    assert chain.read_crls(one) == [one]
    for bad in (b"", b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", middle.der):
        with pytest.raises(BadInput):
            chain.read_crls(bad)
    with pytest.raises(BadInput):
        judge(middle.der, [], Anchors((root.der,)), [b"no CRL"], NOW, "code-signing")


# -- purposes ----------------------------------------------------------------------------------------------------------
def test_purposes_are_those_asked_for(middle: Minted, root: Minted) -> None:
    """CSBR 7.1.2.3: code signing needs codeSigning; RFC 3161 2.3: timestamping alone and critical."""
    code, stamp = mint.CODE_SIGNING, mint.TIME_STAMPING
    any_purpose = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
    cases: list[tuple[tuple[x509.ObjectIdentifier, ...], bool, Purpose, bool]] = [
        ((code,), False, "code-signing", True),
        ((code,), False, "timestamping", False),
        ((stamp,), True, "timestamping", True),
        ((stamp,), False, "timestamping", False),
        ((stamp, code), True, "timestamping", False),
        ((any_purpose,), False, "code-signing", False),
        ((), False, "code-signing", False),
        ((ExtendedKeyUsageOID.SERVER_AUTH,), False, "code-signing", False),
    ]
    for purposes, critical, purpose, fine in cases:
        made = mint.certify("Made", mint.key("ecdsa-p384"), middle, purposes=purposes, critical=critical)
        judgement = judged(made, [middle], root, at=NOW, purpose=purpose)
        assert judgement.verdict == ("valid" if fine else "invalid"), (purposes, purpose)
        assert codes(judgement) == ([] if fine else ["wrong-purpose"])


def test_a_purpose_of_the_ca_limits_what_it_issues(root: Minted) -> None:
    """CSBR 7.1.2.2: a CA for timestamping issues no code signing certificates."""
    stamping = mint.certify("Stamping CA", mint.key("ecdsa-p256", 4), root, ca=True, purposes=(mint.TIME_STAMPING,))
    leaf = mint.certify("Leaf", mint.key("ecdsa-p384"), stamping, purposes=(mint.CODE_SIGNING,))
    assert codes(judged(leaf, [stamping], root, at=NOW)) == ["wrong-purpose"]


def test_other_flaws_of_a_leaf_are_found(middle: Minted, root: Minted) -> None:
    """No digitalSignature; a critical extension nobody knows."""
    odd = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    usage = x509.KeyUsage(False, False, True, False, False, False, False, False, False)
    for extra in ((odd, True), (usage, True)):
        made = mint.certify(
            "Odd", mint.key("ecdsa-p384"), middle, purposes=(mint.CODE_SIGNING,), extra=(extra,), key_usage=False
        )
        assert codes(judged(made, [middle], root, at=NOW))[0] == "wrong-purpose"


def test_rules_on_paths_are_applied(root: Minted) -> None:
    """A leaf that issues; a CA whose path length or names forbid what is below it (RFC 5280 6.1)."""
    plain = mint.certify("Plain", mint.key("ecdsa-p256", 5), root, purposes=(mint.CODE_SIGNING,))
    below = mint.certify("Below", mint.key("ecdsa-p384"), plain, purposes=(mint.CODE_SIGNING,))
    assert judged(below, [plain], root, at=NOW).verdict == "untrusted"
    permitted = x509.NameConstraints([x509.DirectoryName(mint.name("Someone"))], None)
    bound = mint.certify("Bound", mint.key("ecdsa-p256", 6), root, ca=True, extra=((permitted, True),))
    stranger = mint.certify("Stranger", mint.key("ecdsa-p384"), bound, purposes=(mint.CODE_SIGNING,))
    assert codes(judged(stranger, [bound], root, at=NOW)) == ["unfit-chain"]


def test_a_second_path_is_tried(leaf: Minted, middle: Minted, root: Minted) -> None:
    """A cross-certificate that has expired does not hide the one in force."""
    expired = mint.certify("Middle", mint.key("ecdsa-p256", 2), root, ca=True, start=NOW - 1500 * DAY, days=100)
    for others in ([expired, middle], [middle, expired]):
        assert judged(leaf, others, root).verdict == "valid"


def test_a_bag_made_to_explode_is_bounded() -> None:
    """Sixty CAs of one name and one key, each issuing all others: factorial paths, a hundred checks."""
    private = mint.key("ecdsa-p256", 8)
    first = mint.certify("Hydra", private, ca=True)
    bag = [mint.certify("Hydra", private, first, ca=True) for _ in range(60)]
    leaf = mint.certify("Leaf", mint.key("ecdsa-p384"), first, purposes=(mint.CODE_SIGNING,))
    stranger = mint.certify("Stranger", mint.key("ecdsa-p256", 9), ca=True)
    begun = time.perf_counter()
    assert judged(leaf, bag, stranger, at=NOW).verdict == "untrusted"
    assert time.perf_counter() - begun < 2


def test_hostile_certificates_do_not_escape(leaf: Minted, middle: Minted, root: Minted) -> None:
    """What came along may hold anything; a leaf that is no certificate is BadInput."""
    bag = [b"", b"\x30\x00", middle.der[:-1], middle.der]
    assert judge(leaf.der, bag, Anchors((root.der,)), (), NOW - 200 * DAY, "code-signing").verdict == "valid"
    with pytest.raises(BadInput):
        judge(b"\x30\x00", [], Anchors((root.der,)), (), NOW, "code-signing")
    with pytest.raises(BadInput):
        Anchors.from_pem(b"nothing")
    assert Anchors.from_pem(root.pem * 2) == Anchors((root.der,))


# -- standing ----------------------------------------------------------------------------------------------------------
def test_standing_comes_from_a_pinned_key_alone(leaf: Minted, middle: Minted, root: Minted) -> None:
    """design/contract: rehearsal or private only if the chain ends in an anchor pinned as such by its key."""
    pin = PinnedAnchor(root.der, "rehearsal")
    assert standing([leaf.der, middle.der], [pin]) == "rehearsal"
    assert standing([leaf.der, middle.der, root.der], [pin]) == "rehearsal"
    assert standing([leaf.der], [PinnedAnchor(middle.der, "private")]) == "private"
    renewed = mint.certify("Root", root.key, ca=True)
    assert standing([leaf.der, middle.der, renewed.der], [pin]) == "rehearsal"


def test_everything_else_counts_as_public(leaf: Minted, middle: Minted, root: Minted) -> None:
    """No pin, no chain, a gap, a wrong order, a broken signature, a namesake: softfile signs under none of them."""
    pin = [PinnedAnchor(root.der, "rehearsal")]
    namesake = mint.certify("Root", mint.key("ecdsa-p256", 9), ca=True)
    broken = leaf.der[:-1] + bytes((leaf.der[-1] ^ 1,))
    stranger = mint.certify("Stranger", mint.key("ecdsa-p384"), namesake)
    for chain_given, pins in (
        ([leaf.der, middle.der], []),
        ([], pin),
        ([leaf.der], pin),
        ([middle.der, leaf.der], pin),
        ([broken, middle.der], pin),
        ([leaf.der, middle.der], [PinnedAnchor(namesake.der, "rehearsal")]),
        ([stranger.der, root.der], pin),
        ([stranger.der, middle.der], pin),
        ([leaf.der, middle.der] + [root.der] * 9, pin),
        ([b"\x30\x00"], pin),
    ):
        assert standing(chain_given, pins) == "public"
