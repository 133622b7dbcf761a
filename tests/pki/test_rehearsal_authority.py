"""The rehearsal CA issues what the Requirements describe, and other people's tools take it for just that."""

from datetime import timedelta
from pathlib import Path

import distlib
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID
from tests.pki import mint
from tests.pki.mint import NOW

from privyseal.errors import BadInput
from privyseal.pki import certificates
from privyseal.pki.chain import Anchors, PinnedAnchor, Purpose, judge, read_crls, standing
from privyseal.pki.rehearsal import MARK, RehearsalAuthority, Revocation

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


def issue(authority: RehearsalAuthority, purpose: str, scheme: str) -> x509.Certificate:
    """Issue one leaf of a purpose for a key of a scheme."""
    spki = mint.spki(mint.key(scheme))
    if purpose == "code-signing":
        return certificates.load(authority.issue_code_signing(spki, "Example GmbH", NOW))
    return certificates.load(authority.issue_timestamp_authority(spki, NOW))


@pytest.fixture(params=["code-signing", "timestamping"])
def purpose(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[*mint.SCHEMES, "rsa-4096"])
def leaf(request: pytest.FixtureRequest, purpose: str, authority: RehearsalAuthority) -> x509.Certificate:
    return issue(authority, purpose, request.param)


# -- the clauses -------------------------------------------------------------------------------------------------------
def test_serials_are_long_positive_and_unlike(authority: RehearsalAuthority) -> None:
    """CSBR 7.1: greater than zero, at least 64 bits from a CSPRNG; RFC 5280 4.1.2.2: at most 20 octets."""
    serials = [issue(authority, "code-signing", "ecdsa-p256").serial_number for _ in range(20)]
    assert len(set(serials)) == 20 and serials != sorted(serials)
    assert all(2**64 < one < 2**159 for one in serials)


def test_leaves_live_as_long_as_allowed(leaf: x509.Certificate, purpose: str) -> None:
    """CSBR 6.3.2: 460 days counted with both ends; a timestamp certificate ends within the 15 months of key use."""
    lifetime = leaf.not_valid_after_utc - leaf.not_valid_before_utc + SECOND
    assert leaf.not_valid_before_utc == NOW
    if purpose == "code-signing":
        assert lifetime == 460 * DAY
    else:
        later = NOW.month + 2
        assert (
            leaf.not_valid_after_utc
            < NOW.replace(year=NOW.year + 1 + later // 12, month=later % 12 + 1, day=1) + 31 * DAY
        )
        assert lifetime == 455 * DAY


def test_leaves_carry_what_the_profile_asks(leaf: x509.Certificate, purpose: str) -> None:
    """CSBR 7.1.2.3, 7.1.6.4, clause by clause."""
    assert leaf.version is x509.Version.v3  # 7.1.1
    found = {extension.oid: extension for extension in leaf.extensions}
    policies = leaf.extensions.get_extension_for_class(x509.CertificatePolicies)
    expected = "2.23.140.1.4.1" if purpose == "code-signing" else "2.23.140.1.4.2"
    assert [each.policy_identifier.dotted_string for each in policies.value] == [expected] and not policies.critical
    points = leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints)
    (name,) = next(iter(points.value)).full_name or []
    assert name.value.lower().startswith("http://rehearsal.invalid/") and not points.critical
    access = leaf.extensions.get_extension_for_class(x509.AuthorityInformationAccess)
    methods = {each.access_method: each.access_location.value for each in access.value}
    assert methods.keys() == {AuthorityInformationAccessOID.CA_ISSUERS, AuthorityInformationAccessOID.OCSP}
    assert all(url.startswith("http://") for url in methods.values()) and not access.critical
    assert x509.BasicConstraints.oid not in found
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical and usage.value.digital_signature
    assert not any([usage.value.key_cert_sign, usage.value.crl_sign, usage.value.content_commitment])
    purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    wanted = ExtendedKeyUsageOID.CODE_SIGNING if purpose == "code-signing" else ExtendedKeyUsageOID.TIME_STAMPING
    assert list(purposes.value) == [wanted] and purposes.critical == (purpose == "timestamping")
    assert not leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).critical


def test_leaves_have_a_subject_as_asked_and_marked(leaf: x509.Certificate, purpose: str) -> None:
    """CSBR 7.1.4.2: commonName, organizationName, locality, a country or XX; no domainComponent. And the mark."""
    subject = {each.oid: str(each.value) for each in leaf.subject}
    assert subject[NameOID.COUNTRY_NAME] == "XX" and subject[NameOID.LOCALITY_NAME]
    assert NameOID.DOMAIN_COMPONENT not in subject and NameOID.ORGANIZATIONAL_UNIT_NAME not in subject
    assert MARK in subject[NameOID.COMMON_NAME] and MARK in subject[NameOID.ORGANIZATION_NAME]
    assert "Example GmbH" in subject[NameOID.ORGANIZATION_NAME]


def test_signatures_use_sha2_and_the_leafs_own_digest(leaf: x509.Certificate) -> None:
    """CSBR 7.1.3.2; 6.8: tokens are signed with the digest that signs the timestamp certificate."""
    spki = certificates.outline(leaf.public_bytes(Encoding.DER)).spki
    algorithm = leaf.signature_hash_algorithm
    assert algorithm is not None and algorithm.name == certificates.scheme_of(spki).default_digest


def test_issuers_carry_what_the_profile_asks(authority: RehearsalAuthority) -> None:
    """CSBR 6.1.5.1, 7.1.2.1, 7.1.2.2, 7.1.6.3, 6.2.7.2; and 6.1.7: no leaf under the root."""
    root = certificates.load(authority.root)
    pairs = ((authority.code_signing_issuer, "CODE_SIGNING"), (authority.timestamp_issuer, "TIME_STAMPING"))
    for der, name in pairs:
        issuer = certificates.load(der)
        issuer.verify_directly_issued_by(root)
        purposes = issuer.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
        assert list(purposes.value) == [getattr(ExtendedKeyUsageOID, name)] and not purposes.critical
        for wanted in (x509.CertificatePolicies, x509.CRLDistributionPoints, x509.AuthorityInformationAccess):
            assert not issuer.extensions.get_extension_for_class(wanted).critical
        assert issuer.not_valid_after_utc - issuer.not_valid_before_utc < 72 * 30 * DAY
    with pytest.raises(x509.ExtensionNotFound):
        root.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    with pytest.raises(x509.ExtensionNotFound):
        root.extensions.get_extension_for_class(x509.CertificatePolicies)
    for der in (authority.root, *(der for der, _ in pairs)):
        issuer = certificates.load(der)
        key = issuer.public_key()
        assert isinstance(key, rsa.RSAPublicKey) and key.key_size == 4096 and key.public_numbers().e == 65537
        constraints = issuer.extensions.get_extension_for_class(x509.BasicConstraints)
        usage = issuer.extensions.get_extension_for_class(x509.KeyUsage)
        assert constraints.critical and constraints.value.ca and usage.critical
        assert usage.value.key_cert_sign and usage.value.crl_sign
        assert MARK in issuer.subject.rfc4514_string()
    assert {issue(authority, "code-signing", "ecdsa-p256").issuer} == {certificates.load(pairs[0][0]).subject}


def test_lists_are_dated_as_asked_and_number_upwards(authority: RehearsalAuthority) -> None:
    """CSBR 4.9.7: code signing within ten days, CAs and timestamps within twelve months; RFC 5280 5.2.3."""
    lists = [x509.load_der_x509_crl(each) for each in read_crls(authority.crl(NOW, 7))]
    root, code, stamp = lists
    for each, limit in ((root, 365), (code, 10), (stamp, 365)):
        assert each.next_update_utc is not None
        assert each.last_update_utc == NOW and each.next_update_utc + SECOND - NOW == limit * DAY
        assert each.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 7
        assert len(each) == 0
    later = authority.crl(NOW + DAY, 8)
    assert {x509.load_der_x509_crl(each).last_update_utc for each in read_crls(later)} == {NOW + DAY}


# -- other people's judgement ------------------------------------------------------------------------------------------
def test_openssl_builds_the_chain_for_its_purpose_alone(
    authority: RehearsalAuthority, leaf: x509.Certificate, purpose: str, tmp_path: Path
) -> None:
    """With CRLs for every level; a revoked one is refused; the other purpose is refused."""
    der = leaf.public_bytes(Encoding.DER)
    issuers = certificates.pem(authority.code_signing_issuer) + certificates.pem(authority.timestamp_issuer)
    files = {
        "ca.pem": authority.anchors_pem(),
        "ca.crl": authority.crl(NOW, 1),
        "revoked.crl": authority.crl(NOW, 2, [Revocation(der, NOW)]),
        "issuers.pem": issuers,
        "leaf.pem": certificates.pem(der),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    command = ["openssl", "verify", "-x509_strict", "-CAfile", tmp_path / "ca.pem", "-crl_check_all"]
    command += ["-untrusted", tmp_path / "issuers.pem"]

    def verify(lists: str, *options: str) -> str:
        done = mint.run(*command, *options, "-CRLfile", tmp_path / lists, tmp_path / "leaf.pem")
        return "OK" if done.returncode == 0 else done.stderr

    assert verify("ca.crl") == "OK"
    assert "certificate revoked" in verify("revoked.crl")
    stamping = verify("ca.crl", "-purpose", "timestampsign")
    assert stamping == "OK" if purpose == "timestamping" else "certificate purpose" in stamping
    said = mint.run("openssl", "x509", "-in", tmp_path / "leaf.pem", "-noout", "-text").stdout
    assert said.count(MARK) == 4 and "Digital Signature" in said and "CPS: http://rehearsal.invalid/cps" in said


def test_our_own_judgement_agrees(authority: RehearsalAuthority, leaf: x509.Certificate, purpose: str) -> None:
    """Valid with the CRLs, revoked with others, of rehearsal standing under the pinned root and public without."""
    der = leaf.public_bytes(Encoding.DER)
    issuer = authority.code_signing_issuer if purpose == "code-signing" else authority.timestamp_issuer
    anchors = Anchors.from_pem(authority.anchors_pem())
    kind: Purpose = "code-signing" if purpose == "code-signing" else "timestamping"
    good = judge(der, [issuer], anchors, read_crls(authority.crl(NOW, 1)), NOW, kind)
    assert (good.verdict, good.revocation, len(good.path)) == ("valid", "good", 3), good.problems
    revoked = authority.crl(NOW, 2, [Revocation(der, NOW)])
    assert judge(der, [issuer], anchors, read_crls(revoked), NOW + SECOND, kind).revocation == "revoked"
    assert standing([der, issuer], [PinnedAnchor(authority.root, "rehearsal")]) == "rehearsal"
    assert standing([der, issuer], []) == "public"


def test_osslsigncode_verifies_with_ca_pem_and_ca_crl(authority: RehearsalAuthority, tmp_path: Path) -> None:
    """A real program, signed and timestamped under the rehearsal CA, checked with the files that init writes."""
    code, stamp = mint.key("rsa-3072"), mint.key("rsa-3072", 1)
    leaf = authority.issue_code_signing(mint.spki(code), "Example GmbH", NOW)
    unit = authority.issue_timestamp_authority(mint.spki(stamp), NOW)
    chain = certificates.pem(leaf) + certificates.pem(authority.code_signing_issuer)
    files = {
        "ca.pem": authority.anchors_pem(),
        "ca.crl": authority.crl(NOW, 1),
        "revoked.crl": authority.crl(NOW, 2, [Revocation(leaf, NOW)]),
        "chain.pem": chain,
        "tsa.pem": certificates.pem(unit) + certificates.pem(authority.timestamp_issuer),
        "key.pem": mint.Minted(leaf, code).key_pem,
        "tsa.key": mint.Minted(unit, stamp).key_pem,
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    command = ["osslsigncode", "sign", "-h", "sha256", "-certs", tmp_path / "chain.pem", "-key", tmp_path / "key.pem"]
    command += ["-TSA-certs", tmp_path / "tsa.pem", "-TSA-key", tmp_path / "tsa.key"]
    program = Path(distlib.__file__).with_name("t64.exe")
    done = mint.run(*command, "-in", program, "-out", tmp_path / "signed.exe")
    assert done.returncode == 0, done.stderr
    command = ["osslsigncode", "verify", "-CAfile", tmp_path / "ca.pem", "-TSA-CAfile", tmp_path / "ca.pem"]
    done = mint.run(*command, "-CRLfile", tmp_path / "ca.crl", "-in", tmp_path / "signed.exe")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Timestamp Server Signature verification: ok" in done.stdout
    assert "Signature CRL verification: ok" in done.stdout
    done = mint.run(*command, "-CRLfile", tmp_path / "revoked.crl", "-in", tmp_path / "signed.exe")
    assert done.returncode != 0


# -- keeping it --------------------------------------------------------------------------------------------------------
def test_it_is_kept_in_one_file(authority: RehearsalAuthority) -> None:
    """Loaded again it is the same CA and issues under the same issuers; a mixed-up file is refused."""
    text = authority.private_pem()
    again = RehearsalAuthority.load(text)
    assert again.private_pem() == text and again.root == authority.root
    one = certificates.load(again.issue_code_signing(mint.spki(mint.key("ecdsa-p256")), "again", NOW))
    one.verify_directly_issued_by(certificates.load(authority.code_signing_issuer))
    first, second, third = text.split(b"-----BEGIN PRIVATE KEY-----")[1:]
    for order in ((second, first, third), (first, third, second), (first, first, first)):
        with pytest.raises(BadInput, match="were expected"):
            RehearsalAuthority.load(b"".join(b"-----BEGIN PRIVATE KEY-----" + part for part in order))
    for broken in (
        b"",
        certificates.pem(authority.root),
        text.replace(b"PRIVATE KEY", b"PUBLIC KEY"),
        text[: len(text) // 2],
    ):
        with pytest.raises(BadInput):
            RehearsalAuthority.load(broken)
    other = RehearsalAuthority.load(text)
    crossed = text.replace(certificates.pem(other.root), certificates.pem(other.timestamp_issuer))
    with pytest.raises(BadInput, match="does not belong"):
        RehearsalAuthority.load(crossed)


def test_nothing_secret_is_shown(authority: RehearsalAuthority) -> None:
    """Logs and tracebacks print reprs."""
    shown = repr(authority) + repr(vars(authority)) + str(authority)
    assert "PrivateKey" not in shown.replace("RSAPrivateKey object", "") and "BEGIN" not in shown


@pytest.mark.parametrize("name", ["", " ", "x" * 40, "line\nbreak"])
def test_names_that_do_not_fit_are_refused(authority: RehearsalAuthority, name: str) -> None:
    """64 characters with the mark; never cut short in silence."""
    with pytest.raises(BadInput, match="does not fit"):
        authority.issue_code_signing(mint.spki(mint.key("ecdsa-p256")), name, NOW)


def test_unfit_keys_and_old_authorities_issue_nothing(authority: RehearsalAuthority) -> None:
    """CSBR 6.1.5.2; and no leaf outlives its issuer."""
    with pytest.raises(BadInput, match="not spoken"):
        authority.issue_code_signing(mint.spki(rsa.generate_private_key(65537, 2048)), "short", NOW)
    with pytest.raises(BadInput, match="too old"):
        authority.issue_code_signing(mint.spki(mint.key("ecdsa-p256")), "late", NOW + 4 * 365 * DAY)
