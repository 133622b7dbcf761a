"""What the stand-ins of certificate authorities share: a CA with a real key, that signs what a CSR asks for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PEM, DER = Encoding.PEM, Encoding.DER


class Ca:
    """A root and an issuing CA, P-256, and what the latter has signed and revoked."""

    def __init__(self, name: str) -> None:
        now = datetime.now(UTC).replace(microsecond=0)
        self._root_key, self._key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        self.root = _signed(_named(f"{name} Root"), _named(f"{name} Root"), self._root_key, self._root_key, now)
        self.issuer = _signed(_named(f"{name} Issuing CA"), _named(f"{name} Root"), self._key, self._root_key, now)
        self.issued: dict[int, x509.Certificate] = {}
        self.revoked: dict[int, tuple[datetime, object]] = {}

    def sign(self, request: x509.CertificateSigningRequest, subject: x509.Name | None = None) -> x509.Certificate:
        """Sign a certificate for the CSR's key, for code signing."""
        assert request.is_signature_valid
        return self.sign_key(request.public_key(), subject or request.subject)

    def sign_key(
        self, public: object, subject: x509.Name, usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.CODE_SIGNING
    ) -> x509.Certificate:
        now = datetime.now(UTC).replace(microsecond=0)
        draft = _draft(subject, self.issuer.subject, public, now, 90)
        draft = draft.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        made = draft.sign(self._key, hashes.SHA256())
        self.issued[made.serial_number] = made
        return made


@cache
def ca(name: str) -> Ca:
    """Return one CA of a name for the whole run."""
    return Ca(name)


def pem(*certificates: x509.Certificate) -> str:
    return "".join(each.public_bytes(PEM).decode("ascii") for each in certificates)


def common_name(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[-1].value) if found else ""


def _named(text: str) -> x509.Name:
    organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Stub, Trust & Söhne")
    return x509.Name([organisation, x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _draft(subject: x509.Name, issuer: x509.Name, public: object, now: datetime, days: int) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)  # type: ignore[arg-type]
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=days))
    )


def _signed(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    by: ec.EllipticCurvePrivateKey,
    now: datetime,
) -> x509.Certificate:
    draft = _draft(subject, issuer, key.public_key(), now, 3650)
    draft = draft.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return draft.sign(by, hashes.SHA256())
