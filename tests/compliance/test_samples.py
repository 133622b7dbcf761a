"""zlint's own test certificates, each with the verdict that a careful reader of the clauses gives.

The table was written by reading each certificate against the clauses in force on its notBefore, not from what the
program says. The certificates are zmap/zlint's (v3/testdata/code_signing, Apache-2.0) and are not copied here.
"""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from privyseal.compliance.lint import lint
from privyseal.compliance.outcome import Verdict
from privyseal.compliance.requirement import Asked

SAMPLES = Path(__file__).parents[3] / "shared" / "samples" / "certificates"

# Serial number 1, or another of a few bits, issued since 5 September 2023: no room for 64 random bits. (Until then the
# rule stood in the TLS Baseline Requirements, to which this document referred: files of 2022 are not held against it.)
SERIAL = "CSBR-7.1-01"
# No subjectKeyIdentifier: RFC 5280 4.2.1.2 wants one in leaves too (SHOULD). The Code Signing Requirements are silent.
NO_KEY_ID = "PKIX-pkix.certificate_skid_end_entity_missing"
# A key that breaks 6.1.5 was to be refused too, since 5 September 2023: two clauses.
WEAK = "CSBR-6.1.1.3-01"

NOT_MET: dict[str, set[str]] = {
    "codeSigningWithECDSAKey.pem": {SERIAL, NO_KEY_ID},
    # keyEncipherment beside digitalSignature: a SHOULD NOT.
    "containsNotRecommendedKeyUsage.pem": {SERIAL, NO_KEY_ID, "CSBR-7.1.2.3-09"},
    # It has no extended key usage at all, whatever its name says.
    "containsProhibitedEKU.pem": {SERIAL, NO_KEY_ID, "CSBR-7.1.2.3-10"},
    "containsProhibitedKeyUsage.pem": {
        SERIAL,
        NO_KEY_ID,
        "CSBR-7.1.2.3-08",
        "PKIX-pkix.ee_certificate_keycertsign_keyusage_set",
    },
    # One address without a scheme, one good HTTP URL: the clause asks that the HTTP URL be there, and it is.
    "crlDpNoHttp.pem": {SERIAL, NO_KEY_ID, "PKIX-pkix.invalid_uri_syntax"},
    "cs_aia_ca_issuers_not_http.pem": {SERIAL, NO_KEY_ID, "CSBR-7.1.2.3-05"},
    "cs_aia_critical.pem": {"CSBR-7.1.2.3-05", "PKIX-pkix.authority_information_access_extension_critical"},
    # A line feed within the host's name: no URL. Nothing shows whether the CA answers OCSP.
    "cs_aia_malformed_ca_issuers.pem": {NO_KEY_ID, "CSBR-7.1.2.3-05", "PKIX-pkix.invalid_uri_syntax"},
    "cs_aia_malformed_ocsp_url.pem": {NO_KEY_ID, "CSBR-7.1.2.3-06", "PKIX-pkix.invalid_uri_syntax"},
    "cs_aia_missing.pem": {"CSBR-7.1.2.3-05"},
    "cs_aia_no_ca_issuers.pem": {"CSBR-7.1.2.3-05"},
    # An OCSP address is asked only of a CA that answers OCSP, which nothing shows: not evidenced.
    "cs_aia_no_ocsp.pem": set(),
    "cs_aia_ocsp_not_http.pem": {"CSBR-7.1.2.3-06"},
    "cs_dsa_sha1_code_signing.pem": {"CSBR-7.1.3.2-04", "CSBR-7.1.3.2-05"},
    "cs_dsa_sha256.pem": set(),
    "cs_ecdsa_sha1.pem": {SERIAL, NO_KEY_ID, "CSBR-7.1.3.2-03", "CSBR-7.1.3.2-05"},
    "cs_ecdsa_sha256.pem": {SERIAL, NO_KEY_ID},
    "cs_ecdsa_sha384.pem": {SERIAL, NO_KEY_ID},
    "cs_ecdsa_sha512.pem": {SERIAL, NO_KEY_ID},
    "cs_ev_subject_org_missing.pem": {"CSBR-7.1.4.2.4-01"},
    "cs_ev_subject_org_present.pem": set(),
    "cs_locality_only.pem": set(),
    "cs_no_locality_no_province.pem": {"CSBR-7.1.4.2.3-03"},
    "cs_ov_subject_org_missing.pem": {"CSBR-7.1.4.2.3-01"},
    "cs_ov_subject_org_present.pem": set(),
    "cs_province_only.pem": set(),
    "cs_rsa_pss_sha256.pem": {NO_KEY_ID},
    "cs_rsa_pss_sha384.pem": {NO_KEY_ID},
    "cs_rsa_pss_sha512.pem": {NO_KEY_ID},
    # Issued in 2022: SHA-1 is neither among the digests of RSA nor allowed in code signing certificates any more.
    "cs_rsa_sha1_code_signing.pem": {NO_KEY_ID, "CSBR-7.1.3.2-01", "CSBR-7.1.3.2-05"},
    "cs_rsa_sha384.pem": {NO_KEY_ID},
    "cs_rsa_sha512.pem": {NO_KEY_ID},
    # DC=com and DC=example spell a domain name, which no code signing certificate may hold either. They are
    # PrintableStrings where RFC 5280 A.1 has IA5String, and share one RDN, where X.501 allows a type once.
    "ev_includes_prohibited_domain_component.pem": {
        "CSBR-7.1.4.2.2-03",
        "CSBR-3.2.2.2.6-01",
        "PKIX-itu.invalid_asn1_syntax",
        "PKIX-pkix.rdn_contains_duplicate_attribute_types",
    },
    # "example.com", a PrintableString again.
    "includes_prohibited_domain_component.pem": {
        "CSBR-7.1.4.2.2-03",
        "CSBR-3.2.2.2.6-01",
        "PKIX-itu.invalid_asn1_syntax",
    },
    "lessThan3072RSAKeySize.pem": {SERIAL, NO_KEY_ID, "CSBR-6.1.5.2-01", WEAK},
    "noCrldpIncluded.pem": {SERIAL, NO_KEY_ID, "CSBR-7.1.2.3-04"},
    # keyEncipherment instead of digitalSignature: two clauses.
    "noDigitalSignatureKeyUsage.pem": {SERIAL, NO_KEY_ID, "CSBR-7.1.2.3-08", "CSBR-7.1.2.3-09"},
    "noRequiredCodeSigningEKU.pem": {SERIAL, NO_KEY_ID, "CSBR-7.1.2.3-10"},
    "no_country_name_in_subject.pem": {"CSBR-7.1.4.2.3-05"},
    "non_iso_country_name_in_subject.pem": {"CSBR-7.1.4.2.3-05"},
    # "." is no country, and nothing but metadata; X.520 asks for two letters.
    "only_meta_data_in_country_name.pem": {
        "CSBR-7.1.4.2.3-05",
        "CSBR-7.1.4.2.2-04",
        "PKIX-itu.invalid_asn1_syntax",
    },
    "prohibited_p224_ecdsa_curve.pem": {"CSBR-6.1.5.2-02", WEAK},
    "validCodeSigningCertificate.pem": {SERIAL, NO_KEY_ID},
    "validCodeSigningCertificateIssuedAfterMarch1st2026.pem": set(),
    "valid_ecdsa_code_signing_certificate.pem": set(),
    "valid_ev_code_signing.pem": set(),
    # 39 months from 2026-02-04 17:43:01 end on 2029-05-04 17:43:00; it ends on the 5th.
    "validityPeriodLongerThan39Months.pem": {"CSBR-6.3.2-90"},
    # Its key has 2048 bits, too.
    "validityPeriodLongerThan460Days.pem": {"CSBR-6.3.2-01", "CSBR-6.1.5.2-01", WEAK},
}

UNLIKE_ZLINT: dict[str, str] = {
    SERIAL: "zlint has no lint of a serial number's size for code signing, and uses serial number 1 in good examples",
    NO_KEY_ID: "zlint says so too (w_ext_subject_key_identifier_missing_sub_cert), among its lints of RFC 5280",
    WEAK: "zlint has no lint of weak keys, and of sizes only that of 6.1.5",
    "crlDpNoHttp.pem": "zlint fails any address without http:// beside a good one; the clause asks that the HTTP URL be"
    " there. That the other is no URI at all is a finding under RFC 5280",
    "CSBR-3.2.2.2.6-01": "zlint forbids domainComponent, and knows no clause on domain names",
    "CSBR-7.1.4.2.2-04": "zlint judges a country of '.' by the country's own lint only",
    "cs_aia_no_ocsp.pem": "zlint passes it as well; here it is not evidenced, because nothing shows if OCSP is offered",
    "CSBR-7.1.6.4-90": "zlint has no lint of policies: a reserved identifier alone, until June 2026, is for a person",
}
"""Where a verdict differs from zlint's, or needs more than zlint knows: a file or a requirement, and why."""

pytestmark = pytest.mark.skipif(not SAMPLES.is_dir(), reason="zlint's test certificates are not on this machine")


@pytest.mark.parametrize("name", sorted(NOT_MET))
def test_a_certificate_of_zlints_has_the_verdict_of_a_careful_reader(name: str) -> None:
    [linted] = lint((SAMPLES / name).read_bytes(), name, Asked(datetime(2026, 11, 25, tzinfo=UTC)))
    found = {each.requirement: each.text for each in linted.findings if each.verdict is Verdict.NOT_MET}
    assert set(found) == NOT_MET[name], found
    assert not [each for each in linted.findings if each.verdict is Verdict.BROKEN]


def test_every_certificate_of_the_folder_is_in_the_table() -> None:
    assert {path.name for path in SAMPLES.glob("*.pem")} == set(NOT_MET)


def test_what_no_rule_can_tell_is_not_called_met() -> None:
    name = "valid_ev_code_signing.pem"
    [linted] = lint((SAMPLES / name).read_bytes(), name, Asked(datetime(2026, 11, 25, tzinfo=UTC)))
    unknown = {each.requirement for each in linted.findings if each.verdict is Verdict.NOT_EVIDENCED}
    disclosed = {"CSBR-7.1.4.2.4-04", "CSBR-7.1.4.2.4-06"}  # what the CA has disclosed of agencies and their formats
    issuer = {"CSBR-6.1.7-01", "CSBR-7.1.4.1-01"}  # no issuer's certificate was given
    # WEAK: the list of keys known to be compromised is not there.
    assert unknown == disclosed | issuer | {SERIAL, "CSBR-1.1-01", WEAK}
