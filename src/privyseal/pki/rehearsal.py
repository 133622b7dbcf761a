"""The built-in CA for rehearsal: certificates shaped as the Requirements ask, under names nobody takes for real ones.

One root, and under it one CA for code signing and one for timestamping. Issuing straight from a root would be simpler,
but CSBR 6.1.7 forbids it, and 7.1.2.2 wants each purpose under a CA of its own; so every verifier walks the same path
as in production. The root alone is what a verifier trusts, for code and timestamps alike. Some verifiers check the
leaf against the CRLs they are given (osslsigncode), some every level (``openssl verify -crl_check_all``), so the file
of CRLs holds one of each of the three issuers, as PEM, the only form osslsigncode reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Literal, Self

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from privyseal.errors import BadInput
from privyseal.pki import certificates
from privyseal.terms.signatures import DigestAlgorithm

MARK = "REHEARSAL - NOT FOR RELEASE"
"""Stands in every name of every certificate."""
SITE = "http://rehearsal.invalid"
"""Where certificates and OCSP would be; the top-level domain never resolves (RFC 6761 6.4)."""
CRL_SITE = "HTTP://rehearsal.invalid"
"""Where CRLs would be. The same address (RFC 3986 3.1: schemes do not tell case), in capitals because osslsigncode from
2.6 on compares the scheme octet by octet: spelled small it would wait for a name server that cannot know the host, and
then call every timestamp wrong unless it is told the same CRLs once more with -TSA-CRLfile."""

_SECOND = timedelta(seconds=1)
CODE_SIGNING_DAYS = 460
"""CSBR 6.3.2: at most 460 days from 2026-03-01, counted with both ends (RFC 5280 4.1.2.5), hence a second less."""
TIMESTAMP_DAYS = 455
"""CSBR 6.3.2: key use ends after 15 months, 456 days or more; a longer certificate would need a ceremony."""
ISSUER_DAYS = 5 * 365
"""CSBR 6.2.7.2 asks for offline keys of timestamp CAs that live longer than 72 months."""
ROOT_DAYS = 10 * 365
"""Days of the rehearsal's root."""
CODE_SIGNING_CRL_DAYS = 10
"""CSBR 4.9.7: nextUpdate at most ten days on."""
ISSUER_CRL_DAYS = 365
"""CSBR 4.9.7: for CRLs on CAs and on timestamp certificates, twelve months."""
RESPONDER_DAYS = 7
"""How long a responder may tell; one is made at each start, and anew after half of this. The OCSP profile of the TLS
Baseline Requirements leaves the time open; short is what takes the place of its revocation."""
MAX_NAME = 64
"""Characters of an attribute (RFC 5280 Appendix A.1, ub-common-name and ub-organization-name)."""

_CODE_SIGNING_POLICY = x509.ObjectIdentifier("2.23.140.1.4.1")
_TIMESTAMP_POLICY = x509.ObjectIdentifier("2.23.140.1.4.2")
_DER = serialization.Encoding.DER
_PEM = serialization.Encoding.PEM
Part = Literal["root", "code-signing", "timestamping"]
"""Which of the three CAs; also what its files are called: ``code-signing.crl``, ``code-signing.cer``."""
PARTS: tuple[Part, ...] = ("root", "code-signing", "timestamping")
"""All three, the root first."""


class Revocation(msgspec.Struct, frozen=True):
    """A certificate taken back: its DER, from when on it is not to be trusted, and why (RFC 5280 5.3.1)."""

    certificate: bytes
    at: datetime
    reason: str = "keyCompromise"


class _Issuer(msgspec.Struct, frozen=True):
    """One CA: its certificate and its key, which no repr shows."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey

    def __repr__(self) -> str:
        return f"_Issuer({self.certificate.subject.rfc4514_string()!r})"


class RehearsalAuthority:
    """A root and its two issuing CAs, with their keys. Holds secrets; only :meth:`private_pem` lets them out."""

    def __init__(self, issuers: dict[Part, _Issuer]) -> None:
        """Take the CAs with their keys; see :meth:`create` and :meth:`load`."""
        self._issuers = issuers

    @classmethod
    def create(cls, now: datetime, organisation: str) -> Self:
        """Generate three RSA-4096 keys (seconds) and certify them from ``now`` on, which is aware.

        BadInput if the organisation's name does not fit beside the mark, in 64 characters.
        """
        with ThreadPoolExecutor(3) as pool:
            keys = list(pool.map(lambda _: rsa.generate_private_key(65537, 4096), PARTS))
        start = now.replace(microsecond=0)
        root = _certify_root(keys[0], organisation, start)
        issuers: dict[Part, _Issuer] = {"root": root}
        issuers["code-signing"] = _certify_issuer(root, keys[1], "code-signing", start)
        issuers["timestamping"] = _certify_issuer(root, keys[2], "timestamping", start)
        return cls(issuers)

    @classmethod
    def load(cls, pem: bytes) -> Self:
        """Restore what :meth:`private_pem` wrote; BadInput if it is something else."""
        blocks = pem.split(b"-----BEGIN PRIVATE KEY-----")[1:]
        found = certificates.pem_certificates(pem)
        if len(blocks) != len(PARTS) or len(found) != len(PARTS):
            raise BadInput("The file is not that of a rehearsal CA: three keys and three certificates were expected.")
        issuers: dict[Part, _Issuer] = {}
        for part, block, certificate in zip(PARTS, blocks, found, strict=True):
            try:
                # Testing three times whether p and q are prime takes a second, and who writes this file is its reader.
                key = serialization.load_pem_private_key(
                    b"-----BEGIN PRIVATE KEY-----" + block, None, unsafe_skip_rsa_key_validation=True
                )
            except (ValueError, TypeError):
                raise BadInput("A private key of the rehearsal CA cannot be read.") from None
            loaded = certificates.load(certificate)
            if not isinstance(key, rsa.RSAPrivateKey) or key.public_key() != loaded.public_key():
                raise BadInput("A private key of the rehearsal CA does not belong to its certificate.")
            issuers[part] = _Issuer(loaded, key)
            _check_role(part, loaded, issuers["root"].certificate)
        return cls(issuers)

    def private_pem(self) -> bytes:
        """Return keys (PKCS #8, not encrypted) and certificates as PEM, for a file that nobody else can read."""
        form, sealing = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        return b"".join(
            one.key.private_bytes(_PEM, form, sealing) + one.certificate.public_bytes(_PEM)
            for one in self._issuers.values()
        )

    @property
    def root(self) -> bytes:
        """The root's certificate, DER: the anchor for code signing and timestamping."""
        return self._issuers["root"].certificate.public_bytes(_DER)

    @property
    def code_signing_issuer(self) -> bytes:
        """The certificate, DER, of the CA that issues code signing certificates."""
        return self._issuers["code-signing"].certificate.public_bytes(_DER)

    @property
    def timestamp_issuer(self) -> bytes:
        """The certificate, DER, of the CA that issues timestamp certificates."""
        return self._issuers["timestamping"].certificate.public_bytes(_DER)

    def anchors_pem(self) -> bytes:
        """Return, as PEM, every anchor a verifier needs."""
        return certificates.pem(self.root)

    def issue_code_signing(self, spki: bytes, subject_cn: str, now: datetime) -> bytes:
        """Return a code signing certificate, DER, for a public key, 460 days from ``now``.

        BadInput for a key of no known scheme or a name that does not fit beside the mark.
        """
        return self._issue("code-signing", spki, subject_cn, now)

    def issue_timestamp_authority(self, spki: bytes, now: datetime) -> bytes:
        """Return a timestamp certificate, DER, for a public key: 455 days from ``now``. BadInput for an unfit key."""
        return self._issue("timestamping", spki, "Timestamp Authority", now)

    def _issue(self, part: Part, spki: bytes, common_name: str, now: datetime) -> bytes:
        issuer = self._issuers[part]
        scheme = certificates.scheme_of(spki)
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.COUNTRY_NAME, "XX"),  # CSBR 7.1.4.2.3: a place without a code
                x509.NameAttribute(NameOID.LOCALITY_NAME, "Rehearsal"),
                issuer.certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0],
                x509.NameAttribute(NameOID.COMMON_NAME, _marked(common_name)),
            ]
        )
        days = CODE_SIGNING_DAYS if part == "code-signing" else TIMESTAMP_DAYS
        draft = _draft(subject, certificates.public_key(spki), now.replace(microsecond=0), days)
        if now + timedelta(days=days) > issuer.certificate.not_valid_after_utc:
            raise BadInput("The rehearsal CA is too old to issue another certificate.", hint="make a new one")
        draft = (
            _issued_by(draft, issuer, part)
            .add_extension(key_usage(ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([_purpose(part)]), critical=part == "timestamping")
            .add_extension(_policy(part), critical=False)
        )
        return _sign(draft, issuer, scheme.default_digest).public_bytes(_DER)

    def issue_responder(self, part: Part, key: ec.EllipticCurvePublicKey, now: datetime) -> bytes:
        """Return a certificate, DER, for a key with which the status of what ``part`` issued may be told.

        It carries id-pkix-ocsp-nocheck, so its short life is all that ends it (RFC 6960 4.2.2.2.1; CSBR 4.9.9).
        """
        issuer = self._issuers[part]
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _marked(f"OCSP {part}"))])
        own = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        identifier = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)
        draft = (
            _draft(name, key, now.replace(microsecond=0), RESPONDER_DAYS)
            .issuer_name(issuer.certificate.subject)
            .add_extension(identifier, critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(key_usage(ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), critical=False)
            .add_extension(x509.OCSPNoCheck(), critical=False)
        )
        return _sign(draft, issuer, "sha256").public_bytes(_DER)

    def certificates(self) -> dict[Part, x509.Certificate]:
        """Return the certificates of the three CAs."""
        return {part: issuer.certificate for part, issuer in self._issuers.items()}

    def crl(self, now: datetime, number: int, revoked: Sequence[Revocation] = ()) -> bytes:
        """Return the CRLs of all three issuers as one PEM file; re-issue it within seven days (CSBR 4.9.7).

        ``number`` must grow from one to the next (RFC 5280 5.2.3); a certificate once revoked stays on the list.
        """
        return b"".join(
            _crl(issuer, ISSUER_CRL_DAYS if part != "code-signing" else CODE_SIGNING_CRL_DAYS, now, number, revoked)
            for part, issuer in self._issuers.items()
        )


def _check_role(part: Part, certificate: x509.Certificate, root: x509.Certificate) -> None:
    """Raise BadInput unless the certificate is what stands in this place of the file."""
    purposes = [] if part == "root" else [_purpose(part)]
    try:
        certificate.verify_directly_issued_by(root)
        stated = [list(one.value) for one in certificate.extensions if isinstance(one.value, x509.ExtendedKeyUsage)]
    except (ValueError, TypeError, InvalidSignature):
        stated = [[]]
    if stated != ([purposes] if purposes else []):
        raise BadInput("The file is not that of a rehearsal CA: root, code signing CA, timestamp CA were expected.")


def _purpose(part: Part) -> x509.ObjectIdentifier:
    return ExtendedKeyUsageOID.CODE_SIGNING if part == "code-signing" else ExtendedKeyUsageOID.TIME_STAMPING


def _marked(name: str) -> str:
    marked = f"{MARK}: {name}"
    if len(marked) > MAX_NAME or not name.isprintable() or not name.strip():
        raise BadInput(
            f"{name!r} does not fit into a name: from 1 to {MAX_NAME - len(MARK) - 2} characters were expected."
        )
    return marked


def _issuer_name(organisation: str, what: str, key: rsa.RSAPrivateKey) -> x509.Name:
    # The last part tells two rehearsals on one machine apart: the same name for two keys misleads path building.
    digest = x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "XX"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(NameOID.COMMON_NAME, _marked(f"{what} {digest[:4].hex()}")),
        ]
    )


def _draft(subject: x509.Name, key: object, start: datetime, days: int) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key)  # type: ignore[arg-type]  # one of certificates.PublicKey
        .serial_number(x509.random_serial_number())  # 159 random bits; CSBR 7.1 asks for 64
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days) - _SECOND)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)  # type: ignore[arg-type]
    )


def key_usage(*, ca: bool) -> x509.KeyUsage:
    """Return digitalSignature for a leaf (CSBR 7.1.2.3), keyCertSign and cRLSign for a CA (7.1.2.1, 7.1.2.2)."""
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _policy(part: Part) -> x509.CertificatePolicies:
    dotted = _CODE_SIGNING_POLICY if part == "code-signing" else _TIMESTAMP_POLICY
    return x509.CertificatePolicies([x509.PolicyInformation(dotted, [f"{SITE}/cps"])])


def _issued_by(draft: x509.CertificateBuilder, issuer: _Issuer, part: Part) -> x509.CertificateBuilder:
    """Add what points to the issuer: AKI, CRL distribution point, issuer's certificate and OCSP (CSBR 7.1.2.3)."""
    own = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    where = x509.UniformResourceIdentifier
    point = x509.DistributionPoint([where(f"{CRL_SITE}/{part}.crl")], None, None, None)
    access = [
        x509.AccessDescription(AuthorityInformationAccessOID.OCSP, where(f"{SITE}/ocsp")),
        x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, where(f"{SITE}/{part}.cer")),
    ]
    identifier = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)
    return (
        draft.issuer_name(issuer.certificate.subject)
        .add_extension(identifier, critical=False)
        .add_extension(x509.CRLDistributionPoints([point]), critical=False)
        .add_extension(x509.AuthorityInformationAccess(access), critical=False)
    )


def _sign(draft: x509.CertificateBuilder, issuer: _Issuer, digest: DigestAlgorithm) -> x509.Certificate:
    return draft.sign(issuer.key, certificates.HASHES[digest])  # type: ignore[arg-type]  # one of the three it takes


def _certify_root(key: rsa.RSAPrivateKey, organisation: str, start: datetime) -> _Issuer:
    name = _issuer_name(_marked(organisation), "Root CA", key)
    draft = (
        _draft(name, key.public_key(), start, ROOT_DAYS)
        .issuer_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(key_usage(ca=True), critical=True)
    )
    return _Issuer(draft.sign(key, certificates.HASHES["sha256"]), key)  # type: ignore[arg-type]


def _certify_issuer(root: _Issuer, key: rsa.RSAPrivateKey, part: Part, start: datetime) -> _Issuer:
    organisation = root.certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value
    what = "Code Signing CA" if part == "code-signing" else "Timestamp CA"
    draft = _draft(_issuer_name(str(organisation), what, key), key.public_key(), start, ISSUER_DAYS)
    draft = (
        _issued_by(draft, root, "root")
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(ca=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([_purpose(part)]), critical=False)
        .add_extension(_policy(part), critical=False)
    )
    return _Issuer(_sign(draft, root, "sha256"), key)


def _crl(issuer: _Issuer, days: int, now: datetime, number: int, revoked: Sequence[Revocation]) -> bytes:
    own = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    start = now.replace(microsecond=0)
    draft = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(start)
        .next_update(start + timedelta(days=days) - _SECOND)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own), critical=False)
        .add_extension(x509.CRLNumber(number), critical=False)
    )
    for one in revoked:
        taken = certificates.load(one.certificate)
        if taken.issuer == issuer.certificate.subject:
            entry = x509.RevokedCertificateBuilder().serial_number(taken.serial_number).revocation_date(one.at)
            if one.reason != "unspecified":  # RFC 5280 5.3.1: then the extension SHOULD be absent
                entry = entry.add_extension(x509.CRLReason(x509.ReasonFlags(one.reason)), critical=False)
            draft = draft.add_revoked_certificate(entry.build())
    signed = draft.sign(issuer.key, certificates.HASHES["sha256"])  # type: ignore[arg-type]
    return signed.public_bytes(_PEM)
