"""Extensions, names and keys, read for judging: the same as ``cryptography`` reads, and more where it refuses."""

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtensionOID
from tests.compliance.builders.certificate import octets

from privyseal.compliance import certificate
from privyseal.errors import BadInput
from privyseal.pki import der, extensions, names
from privyseal.pki.key_facts import SignatureFacts, read_key, read_signature_algorithm

WORDS = {
    "cps": "http://ca.example/cps",
    "dns": ["a.example", "b.example"],
    "crls": ["http://a.example/1", "ldap://a.example/2"],
    "ocsp": ["http://ocsp.example", "https://ocsp.example"],
    "keyUsage": ["digitalSignature", "keyAgreement", "decipherOnly"],
    "basicConstraints": {"ca": True, "path_length": 3},
    "with": {"OU": ["One", "Zwölf"], "C": "GB"},
}


def test_what_cryptography_reads_is_read_alike() -> None:
    made = octets(WORDS)
    theirs = x509.load_der_x509_certificate(made)
    ours = certificate.read(made, "x")
    found = theirs.extensions
    access = found.get_extension_for_class(x509.AuthorityInformationAccess).value
    policies = found.get_extension_for_class(x509.CertificatePolicies).value
    assert [each.uri for each in ours.access] == [each.access_location.value for each in access]  # type: ignore[union-attr]
    assert [each.method for each in ours.access] == [each.access_method.dotted_string for each in access]  # type: ignore[union-attr]
    assert ours.policies == (extensions.Policy(policies[0].policy_identifier.dotted_string, (WORDS["cps"],)),)
    assert ours.crl_addresses == tuple(WORDS["crls"])
    assert ours.key_usage == set(WORDS["keyUsage"])
    assert ours.constraints == extensions.BasicConstraints(True, 3)
    assert ours.purposes == ("1.3.6.1.5.5.7.3.3",)
    assert ours.value(extensions.SUBJECT_ALT_NAME, extensions.dns_names_of) == ("a.example", "b.example")
    own = found.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert ours.value(extensions.SUBJECT_KEY_IDENTIFIER, extensions.subject_key_of) == own
    assert [(each.type, each.value) for each in ours.subject] == [
        (each.oid.dotted_string, each.value) for each in theirs.subject
    ]
    assert [(each.oid, each.critical) for each in ours.extensions] == [
        (each.oid.dotted_string, each.critical) for each in found
    ]
    assert (ours.serial, ours.version) == (theirs.serial_number, 3)
    assert (ours.not_before, ours.not_after) == (theirs.not_valid_before_utc, theirs.not_valid_after_utc)


@pytest.mark.parametrize("critical", [None, b"\x01\x01\x00", b"\x01\x01\xff", b"\x01\x01\x01"])
def test_criticality_is_anything_but_false(critical: bytes | None) -> None:
    one = der.sequence(der.oid(extensions.KEY_USAGE), critical or b"", der.octet_string(b"\x05\x00"))
    [found] = extensions.read_extensions(der.read(der.sequence(one)))
    assert found.critical == (critical is not None and critical[-1] != 0)


@pytest.mark.parametrize(
    "read",
    [
        extensions.key_usage_of,
        extensions.extended_key_usage_of,
        extensions.basic_constraints_of,
        extensions.policies_of,
        extensions.access_of,
        extensions.distribution_uris_of,
        extensions.authority_key_of,
        extensions.subject_key_of,
        extensions.dns_names_of,
    ],
)
@pytest.mark.parametrize(
    "value", [b"", b"\x30", b"\x30\x80\x00\x00", b"\x02\x01\x01", b"\x30\x02\x05\x00\x00", b"\xff" * 9]
)
def test_a_malformed_value_is_bad_input(read: object, value: bytes) -> None:
    with pytest.raises(BadInput):
        read(value)  # type: ignore[operator]


def test_there_is_a_bound_to_extensions_and_to_names() -> None:
    one = der.sequence(der.oid("1.2.3"), der.octet_string(b""))
    with pytest.raises(BadInput, match="more than"):
        extensions.read_extensions(der.read(der.sequence(*[one] * (extensions.MAX_EXTENSIONS + 1))))
    rdn = der.set_of(der.sequence(der.oid(names.COMMON_NAME), der.utf8_string("x")))
    with pytest.raises(BadInput, match="more than"):
        names.read_name(der.read(der.sequence(*[rdn] * (names.MAX_ATTRIBUTES + 1))))


def test_a_value_that_is_no_text_is_shown_as_far_as_it_goes() -> None:
    rdn = der.set_of(der.sequence(der.oid(names.COMMON_NAME), der.tlv(der.UTF8_STRING, b"a\xffb")))
    assert names.read_name(der.read(der.sequence(rdn))) == (names.Attribute(names.COMMON_NAME, "a\ufffdb"),)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("rsa-3071", "RSA with 3071 bits"),
        ("ec-p384", "EC on P-384"),
        ("dsa-2048-224", "DSA with 2048 and 224 bits"),
        ("ed25519", "a key of type 1.3.101.112"),
    ],
)
def test_a_key_says_what_it_is(key: str, words: str) -> None:
    assert str(certificate.read(octets({"key": key}), "x").key) == words


def test_a_curve_that_is_spelt_out_has_no_name() -> None:
    algorithm = der.sequence(der.oid("1.2.840.10045.2.1"), der.sequence(der.integer(1)))
    found = read_key(der.read(der.sequence(algorithm, der.bit_string(b"\x04\x01"))))
    assert (found.family, found.curve, str(found)) == ("ec", None, "EC on a curve without a name")


def test_pss_without_parameters_is_with_sha1_and_with_odd_ones_unknown() -> None:
    pss = der.oid("1.2.840.113549.1.1.10")
    plain = read_signature_algorithm(der.read(der.sequence(pss, der.sequence())))
    assert plain == SignatureFacts("1.2.840.113549.1.1.10", "rsa-pss", "sha1", "sha1")
    assert read_signature_algorithm(der.read(der.sequence(pss, der.null()))).digest == ""
    assert read_signature_algorithm(der.read(der.sequence(pss))).digest == ""


def test_the_identifiers_are_those_of_cryptography() -> None:
    assert ExtensionOID.CERTIFICATE_POLICIES.dotted_string == extensions.CERTIFICATE_POLICIES
    assert ExtensionOID.CRL_DISTRIBUTION_POINTS.dotted_string == extensions.CRL_DISTRIBUTION_POINTS
    for dotted, word in extensions.WORDS.items():
        assert x509.ObjectIdentifier(dotted)._name == word
