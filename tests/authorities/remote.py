"""What tests of remote CAs need: a CSR with a key, wishes, and files with credentials."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from privyseal.authorities.protocol import Issued, Wishes
from privyseal.pki import bundle, csr

PRIVATE = ec.generate_private_key(ec.SECP256R1())
WISHES = Wishes(reference="O-abc", subscriber="demo", key="release")


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def request(*dns: str, name: str = "Acme, Söhne GmbH", key: ec.EllipticCurvePrivateKey = PRIVATE) -> bytes:
    """Return a CSR, DER; code signing ones have no DNS names, pebble wants some."""
    parts = [x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"), x509.NameAttribute(NameOID.ORGANIZATION_NAME, name)]
    parts += [x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else []
    draft = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(parts if not dns else []))
    if dns:
        names = x509.SubjectAlternativeName([x509.DNSName(each) for each in dns])
        draft = draft.add_extension(names, critical=False)
    return draft.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def chain_of(answer: object, octets: bytes) -> tuple[bytes, ...]:
    """Return the chain that the service would make of an answer."""
    assert isinstance(answer, Issued), answer
    return bundle.chain_of(csr.read(octets).key_id, answer.chain, now())


def kept(folder: Path, name: str, text: str | bytes, mode: int = 0o600) -> str:
    """Write a credential into a file of its own, and return its name."""
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(mode)
    return name
