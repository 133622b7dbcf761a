"""Certificates from a case's words, made with ``cryptography``.

The words of ``subject``, all of which may be left out:

``profile``            what is ordinary: ``non-ev`` (default), ``ev``, ``timestamp``, ``subordinate``,
                       ``timestamp-subordinate`` or ``root``
``not_before``         a time; 2026-06-20T00:00:00Z unless said otherwise
``days``, ``months``, ``years``, ``seconds``   how long it is valid, both ends counted (CSBR 1.6.1): ``days = 460`` ends
                       one second before 460 times 24 hours are over; ``seconds = 1`` adds one, ``-1`` takes one
``issued``             a time: when it was issued, as something else shows
``key``                ``rsa-3072`` (any number of bits), ``ec-p256``, ``ec-p384``, ``ec-p521``, ``ec-p224``,
                       ``ec-secp256k1``, ``dsa-2048-256``, ``ed25519``, ``rsa-close-3072`` (two factors side by
                       side). No private key is made
``signed_with``        ``rsa-sha256`` (default), ``rsa-pss-sha384``, ``ecdsa-sha512``, ``dsa-sha256``, ``rsa-sha1``,
                       ``rsa-pss-bare`` (without parameters):
                       what the two AlgorithmIdentifiers say. The signature itself is no good
``outer_signed_with``  the same, for the AlgorithmIdentifier outside alone
``serial``             a number
``version``            3 (default) or 1
``with``               attributes that the subject has beside or instead of the ordinary: ``with = { O = "Acme" }``. The
                       names are those of ``ATTRIBUTES``, or dotted; a list gives several
``lacks``              attributes or extensions that it does not have: ``lacks = ["O", "keyUsage"]``
``keyUsage``           the bits that are set, by RFC 5280's names
``extendedKeyUsage``   purposes: ``codeSigning``, ``timeStamping``, ``serverAuth``, ``emailProtection``, ``any``, dotted
``policies``           ``ev``, ``non-ev``, ``timestamp``, ``any`` or dotted
``cps``                the address in a CPS qualifier of the first policy
``crls``, ``caIssuers``, ``ocsp``   lists of addresses
``basicConstraints``   ``{ ca = true, path_length = 0 }``
``dns``                dNSNames in a subjectAltName
``critical``           extensions that are critical; ``uncritical``: that are not, though they ordinarily are
``extra``              other extensions, dotted, with a value of no meaning
``garbled``            extensions whose value is octets that cannot be read
``issuer``             the same words for its issuer's certificate, which is then given too
``issuer_name``        the common name that it calls its issuer by; the issuer's own unless said otherwise
``key_identifier``     ``"other"``: authorityKeyIdentifier names a key that is not the issuer's
"""

import calendar
import warnings
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import shake_256
from math import gcd, isqrt, prod
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import AuthorityInformationAccessOID, ObjectIdentifier

from privyseal.compliance.certificate import JudgedCertificate, read
from privyseal.pki import der
from privyseal.pki.extensions import KEY_USAGES, WORDS
from privyseal.pki.key_facts import SIGNATURES

ATTRIBUTES = {
    "CN": "2.5.4.3",
    "serialNumber": "2.5.4.5",
    "C": "2.5.4.6",
    "L": "2.5.4.7",
    "ST": "2.5.4.8",
    "street": "2.5.4.9",
    "O": "2.5.4.10",
    "OU": "2.5.4.11",
    "businessCategory": "2.5.4.15",
    "postalCode": "2.5.4.17",
    "DC": "0.9.2342.19200300.100.1.25",
    "email": "1.2.840.113549.1.9.1",
    "jurisdictionL": "1.3.6.1.4.1.311.60.2.1.1",
    "jurisdictionST": "1.3.6.1.4.1.311.60.2.1.2",
    "jurisdictionC": "1.3.6.1.4.1.311.60.2.1.3",
}
PURPOSES = {
    "codeSigning": "1.3.6.1.5.5.7.3.3",
    "timeStamping": "1.3.6.1.5.5.7.3.8",
    "serverAuth": "1.3.6.1.5.5.7.3.1",
    "emailProtection": "1.3.6.1.5.5.7.3.4",
    "any": "2.5.29.37.0",
}
POLICIES = {
    "ev": "2.23.140.1.3",
    "non-ev": "2.23.140.1.4.1",
    "timestamp": "2.23.140.1.4.2",
    "any": "2.5.29.32.0",
}
EXTENSIONS = {word: dotted for dotted, word in WORDS.items()}

_UTF8, _PRINTABLE, _IA5 = _ASN1Type.UTF8String, _ASN1Type.PrintableString, _ASN1Type.IA5String
_STRINGS = {"C": _PRINTABLE, "jurisdictionC": _PRINTABLE, "serialNumber": _PRINTABLE, "DC": _IA5, "email": _IA5}

_ORGANISATION = {"CN": "Acme Ltd", "O": "Acme Ltd", "L": "Bristol", "ST": "Avon", "C": "GB"}
_EV = {"businessCategory": "Private Organization", "serialNumber": "01234567", "jurisdictionC": "GB"}
_COMMON: dict[str, Any] = {
    "not_before": datetime(2026, 6, 20, tzinfo=UTC),
    "serial": 0x5A3C1F9E8B7D6A4C2F1E0D9C8B7A6F5E,
    "signed_with": "rsa-sha256",
    "version": 3,
    "crls": ["http://crl.ca.example/1.crl"],
    "caIssuers": ["http://ca.example/1.cer"],
    "ocsp": ["http://ocsp.ca.example"],
}
_LEAF: dict[str, Any] = _COMMON | {
    "days": 365,
    "key": "rsa-3072",
    "subject": _ORGANISATION,
    "keyUsage": ["digitalSignature"],
    "extendedKeyUsage": ["codeSigning"],
    "policies": ["non-ev"],
    "critical": ["keyUsage"],
    "issuer_name": "Example Code Signing CA",
}
_CA: dict[str, Any] = _COMMON | {
    "years": 5,
    "key": "rsa-4096",
    "subject": {"CN": "Example Code Signing CA", "O": "Example CA", "C": "GB"},
    "keyUsage": ["keyCertSign", "cRLSign"],
    "extendedKeyUsage": ["codeSigning"],
    "policies": ["any"],
    "cps": "http://ca.example/cps",
    "basicConstraints": {"ca": True},
    "critical": ["keyUsage", "basicConstraints"],
    "issuer_name": "Example Root",
}
PROFILES: dict[str, dict[str, Any]] = {
    "non-ev": _LEAF,
    "ev": _LEAF | {"policies": ["ev"], "subject": _ORGANISATION | _EV},
    "timestamp": _LEAF
    | {
        "policies": ["timestamp"],
        "extendedKeyUsage": ["timeStamping"],
        "critical": ["keyUsage", "extendedKeyUsage"],
        "subject": {"CN": "Example Timestamp 1", "O": "Example CA", "C": "GB"},
    },
    "subordinate": _CA,
    "timestamp-subordinate": _CA | {"extendedKeyUsage": ["timeStamping"]},
    "root": _CA | {"subject": {"CN": "Example Root", "O": "Example CA", "C": "GB"}, "years": 20},
}
_ROOT_LACKS = ["extendedKeyUsage", "certificatePolicies", "authorityInfoAccess", "cRLDistributionPoints"]
_WORDS = {
    *("profile", "not_before", "days", "months", "years", "seconds", "issued", "key", "signed_with"),
    *("outer_signed_with", "serial", "version", "with", "lacks", "keyUsage", "extendedKeyUsage", "policies", "cps"),
    *("crls", "caIssuers", "ocsp", "basicConstraints", "dns", "critical", "uncritical", "extra", "garbled", "issuer"),
    *("issuer_name", "key_identifier"),
}


def build(words: dict[str, Any]) -> JudgedCertificate:
    """Make the certificate and read it; KeyError or ValueError for a word that is not known."""
    subject = read(octets(words), "case", issued=_aware(words.get("issued")))
    if "issuer" in words:
        return msgspec.structs.replace(subject, issued_by=build(words["issuer"]))
    return subject


def octets(words: dict[str, Any]) -> bytes:
    """Make the certificate's DER."""
    if unknown := set(words) - _WORDS:
        raise ValueError(f"a certificate has no {sorted(unknown)}")
    profile = words.get("profile", "non-ev")
    facts = PROFILES[profile] | words
    if {"days", "months", "years", "seconds"} & set(words):
        facts = {key: value for key, value in facts.items() if key not in {"days", "months", "years"} - set(words)}
    facts.setdefault("lacks", [])
    if "issuer" in words and "issuer_name" not in words:
        facts["issuer_name"] = None  # the issuer's own, then
    if profile == "root":
        facts["lacks"] = facts["lacks"] + [each for each in _ROOT_LACKS if not _asks(words, each)]
    made = _builder(facts).sign(_signer(), hashes.SHA256())
    return _altered(made.public_bytes(Encoding.DER), facts)


def _asks(words: dict[str, Any], extension: str) -> bool:
    means = {"certificatePolicies": {"policies", "cps"}, "authorityInfoAccess": {"caIssuers", "ocsp"}}
    asking = means.get(extension, {"crls"} if extension == "cRLDistributionPoints" else {extension})
    return bool(asking & set(words)) or extension in words.get("garbled", [])


def _builder(facts: dict[str, Any]) -> x509.CertificateBuilder:
    start = _aware(facts["not_before"])
    assert start is not None
    subject = _name({**facts["subject"], **facts.get("with", {})}, facts["lacks"])
    issuer = _issuer(facts) or subject
    key = public_key(facts["key"])
    builder = x509.CertificateBuilder(issuer, subject, key, 1, start, end(start, facts))
    for oid, critical, value in _extensions(facts, key):
        extension = x509.UnrecognizedExtension(ObjectIdentifier(oid), value)
        builder = builder.add_extension(extension, critical)
    return builder


def _issuer(facts: dict[str, Any]) -> x509.Name | None:
    """Return the name of whoever issued it; None for a root, which is its own issuer."""
    if facts.get("profile") == "root":
        return None
    if facts["issuer_name"] is None:
        return _name(PROFILES[facts["issuer"].get("profile", "subordinate")]["subject"], [])
    return _name({"CN": facts["issuer_name"], "O": "Example CA", "C": "GB"}, [])


def end(start: datetime, facts: dict[str, Any]) -> datetime:
    """Return the last second of a validity that is given in calendar units, both ends counted."""
    months = facts.get("months", 0) + 12 * facts.get("years", 0)
    year, month = divmod(start.month - 1 + months, 12)
    year += start.year
    moved = start.replace(year=year, month=month + 1, day=min(start.day, calendar.monthrange(year, month + 1)[1]))
    return moved + timedelta(days=facts.get("days", 0), seconds=facts.get("seconds", 0) - 1)


def _extensions(facts: dict[str, Any], key: Any) -> list[tuple[str, bool, bytes]]:
    found: dict[str, bytes] = {}
    bits = [word in facts["keyUsage"] for word in KEY_USAGES]
    assert set(facts["keyUsage"]) <= set(KEY_USAGES)
    found["keyUsage"] = x509.KeyUsage(*bits[:7], *(bits[7:] if bits[4] else (False, False))).public_bytes()
    purposes = [ObjectIdentifier(PURPOSES.get(each, each)) for each in facts["extendedKeyUsage"]]
    found["extendedKeyUsage"] = x509.ExtendedKeyUsage(purposes).public_bytes() if purposes else b"\x30\x00"
    constraints = facts.get("basicConstraints", {"ca": False})
    found["basicConstraints"] = x509.BasicConstraints(
        constraints.get("ca", False), constraints.get("path_length")
    ).public_bytes()
    own = x509.SubjectKeyIdentifier.from_public_key(key)
    found["subjectKeyIdentifier"] = own.public_bytes()
    found["authorityKeyIdentifier"] = _authority(facts, own).public_bytes()
    found["certificatePolicies"] = _policies(facts)
    found["cRLDistributionPoints"] = _crls(facts["crls"])
    found["authorityInfoAccess"] = _access(facts)
    if "dns" in facts:
        found["subjectAltName"] = x509.SubjectAlternativeName(
            [x509.DNSName(each) for each in facts["dns"]]
        ).public_bytes()
    for word in facts.get("garbled", []):
        found[word] = b"\x04\x00garbled"
    unknown = {*facts.get("critical", []), *facts.get("uncritical", [])} - set(EXTENSIONS)
    assert not unknown, unknown
    listed = [
        (EXTENSIONS[word], _critical(word, facts), value) for word, value in found.items() if word not in facts["lacks"]
    ]
    return listed + [(dotted, False, b"\x05\x00") for dotted in facts.get("extra", [])]


def _critical(word: str, facts: dict[str, Any]) -> bool:
    ordinary = PROFILES[facts.get("profile", "non-ev")]["critical"]
    return word in {*ordinary, *facts.get("critical", [])} - set(facts.get("uncritical", []))


def _authority(facts: dict[str, Any], own: x509.SubjectKeyIdentifier) -> x509.AuthorityKeyIdentifier:
    digest = b"\x17" * 20
    if facts.get("profile") == "root":
        digest = own.digest
    elif "issuer" in facts:
        key = PROFILES[facts["issuer"].get("profile", "subordinate")]["key"]
        digest = x509.SubjectKeyIdentifier.from_public_key(public_key(facts["issuer"].get("key", key))).digest
    if facts.get("key_identifier") == "other":
        digest = b"\x99" * 20
    return x509.AuthorityKeyIdentifier(digest, None, None)


def _policies(facts: dict[str, Any]) -> bytes:
    qualifiers: list[str | x509.UserNotice] | None = [facts["cps"]] if "cps" in facts else None
    policies = [
        x509.PolicyInformation(ObjectIdentifier(POLICIES.get(each, each)), None if number else qualifiers)
        for number, each in enumerate(facts["policies"])
    ]
    return x509.CertificatePolicies(policies).public_bytes() if policies else b"\x30\x00"


def _crls(addresses: list[str]) -> bytes:
    points = [x509.DistributionPoint([x509.UniformResourceIdentifier(each)], None, None, None) for each in addresses]
    return x509.CRLDistributionPoints(points).public_bytes() if points else b"\x30\x00"


def _access(facts: dict[str, Any]) -> bytes:
    ways = ((AuthorityInformationAccessOID.OCSP, "ocsp"), (AuthorityInformationAccessOID.CA_ISSUERS, "caIssuers"))
    entries = [
        x509.AccessDescription(method, x509.UniformResourceIdentifier(each))
        for method, word in ways
        for each in facts[word]
    ]
    return x509.AuthorityInformationAccess(entries).public_bytes() if entries else b"\x30\x00"


def _name(attributes: dict[str, Any], lacks: list[str]) -> x509.Name:
    found: list[x509.NameAttribute] = []
    for word, value in attributes.items():
        if word in lacks:
            continue
        kind = ObjectIdentifier(ATTRIBUTES.get(word, word))
        for one in value if isinstance(value, list) else [value]:
            with warnings.catch_warnings(action="ignore", category=UserWarning):  # a country of three letters, say
                found.append(x509.NameAttribute(kind, one, _STRINGS.get(word, _UTF8), _validate=False))
    return x509.Name(found)


def _aware(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


# -- keys and signatures -----------------------------------------------------------------------------------------------
@cache
def public_key(spec: str) -> Any:
    """Return a public key of this kind; RSA and DSA keys are made-up numbers without a private half."""
    kind, *rest = spec.split("-")
    if spec.startswith("rsa-close-"):
        first = _number(int(rest[1]) // 2)
        return rsa.RSAPublicNumbers(65537, first * _number(int(rest[1]) // 2, above=first)).public_key()
    if kind == "rsa":
        return rsa.RSAPublicNumbers(65537, _number(int(rest[0]))).public_key()
    if kind == "dsa":
        p, q = _number(int(rest[0])), _number(int(rest[1]))
        return dsa.DSAPublicNumbers(p // 3, dsa.DSAParameterNumbers(p, q, 2)).public_key()
    if kind == "ec":
        curve = {"p256": ec.SECP256R1(), "p384": ec.SECP384R1(), "p521": ec.SECP521R1(), "p224": ec.SECP224R1()}
        return ec.derive_private_key(7, curve.get(rest[0]) or ec.SECP256K1()).public_key()
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.from_private_bytes(b"\x07" * 32).public_key()
    raise ValueError(f"no key {spec}")


def _number(bits: int, above: int = 0) -> int:
    """Return an odd number of so many bits without small factors, always the same, or the next one above another."""
    number = int.from_bytes(shake_256(b"%d" % bits).digest(bits // 8 + 1), "big") % (1 << bits - 1) | 1 << bits - 1 | 1
    number = above + 2 if above else number
    while gcd(number, _SMALL) > 1:
        number += 2
    return number


_SMALL = prod(odd for odd in range(3, 1 << 16, 2) if all(odd % each for each in range(3, isqrt(odd) + 1, 2)))


@cache
def _signer() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _algorithm(word: str) -> bytes:
    """Return the AlgorithmIdentifier that a word such as ``rsa-sha256`` stands for."""
    digests = {"sha1": "1.3.14.3.2.26", "sha256": "2.16.840.1.101.3.4.2.1"}
    digests |= {"sha384": "2.16.840.1.101.3.4.2.2", "sha512": "2.16.840.1.101.3.4.2.3"}
    family, _, digest = word.rpartition("-")
    if word == "rsa-pss-bare":
        return der.sequence(der.oid("1.2.840.113549.1.1.10"))
    if family == "rsa-pss":
        hashed = der.sequence(der.oid(digests[digest]), der.null())
        mask = der.sequence(der.oid("1.2.840.113549.1.1.8"), hashed)
        parameters = der.sequence(der.explicit(0, hashed), der.explicit(1, mask), der.explicit(2, der.integer(32)))
        return der.sequence(der.oid("1.2.840.113549.1.1.10"), parameters)
    [dotted] = [oid for oid, known in SIGNATURES.items() if known == (family, digest)]
    return der.sequence(der.oid(dotted), der.null() if family == "rsa" else b"")


def _altered(certificate: bytes, facts: dict[str, Any]) -> bytes:
    """Put the algorithms, and the version, where the builder puts its own."""
    signed, _, value = der.children(der.read(certificate))
    fields = der.children(signed)
    fields_raw = [each.raw for each in fields]
    fields_raw[1] = der.integer(facts["serial"])  # also such as cryptography refuses
    fields_raw[2] = _algorithm(facts["signed_with"])
    if facts["version"] == 1:
        del fields_raw[0], fields_raw[-1]
    outer = _algorithm(facts.get("outer_signed_with", facts["signed_with"]))
    return der.sequence(der.sequence(*fields_raw), outer, value.raw)
