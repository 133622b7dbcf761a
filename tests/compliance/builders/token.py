"""Timestamp tokens from a case's words, signed with a key of the test's own.

The words of ``subject``, all of which may be left out:

``gen_time``            a time; 2026-06-20T00:00:00Z unless said otherwise
``not_before``          of the timestamp certificate; 2026-01-01T00:00:00Z unless said otherwise
``digest``              with which the token is signed: ``sha256`` (default), ``sha384``, ``sha512``
``certificate_digest``  with which its certificate is signed: the same words, and ``ed25519`` for none
``imprint``             the digest of what is timestamped: the same words, or ``sha1``
``lacks``               ``["hash"]``: the signed hash of its certificate; ``["purpose"]``: timeStamping in that
``bare``                true: it carries no certificate
``broken``              true: its signature is another's
"""

import hashlib
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from privyseal.compliance.token import ID_TST_INFO, Token, read
from privyseal.pki import cms, der

DEFAULT = datetime(2026, 6, 20, tzinfo=UTC)
_WORDS = {"gen_time", "not_before", "digest", "certificate_digest", "imprint", "bare", "broken", "lacks"}
_HASHES: dict[str, Any] = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}
_OIDS = {"sha1": "1.3.14.3.2.26", "sha256": "2.16.840.1.101.3.4.2.1"}
_OIDS |= {"sha384": "2.16.840.1.101.3.4.2.2", "sha512": "2.16.840.1.101.3.4.2.3"}


def build(words: dict[str, Any]) -> Token:
    """Make the token and read it; KeyError or ValueError for a word that is not known."""
    return read(octets(words), "case")


def octets(words: dict[str, Any]) -> bytes:
    """Make the token's BER, which is DER."""
    if unknown := set(words) - _WORDS:
        raise ValueError(f"a timestamp token has no {sorted(unknown)}")
    digest: Any = words.get("digest", "sha256")
    info = _info(words.get("gen_time", DEFAULT), words.get("imprint", "sha256"))
    not_before = words.get("not_before", datetime(2026, 1, 1, tzinfo=UTC))
    lacks = words.get("lacks", ())
    made = certificate(not_before, words.get("certificate_digest", "sha256"), "purpose" not in lacks)
    attributes = [] if "hash" in lacks else [cms.attribute("1.2.840.113549.1.9.16.2.47", _hash_of(made))]
    attributes += [
        cms.attribute(cms.ID_CONTENT_TYPE, der.oid(ID_TST_INFO)),
        cms.attribute(cms.ID_MESSAGE_DIGEST, der.octet_string(hashlib.new(digest, info).digest())),
    ]
    signed = cms.attributes_to_be_signed(attributes) + (b"!" if words.get("broken") else b"")
    signer = cms.signer_info(
        certificate=made,
        digest_algorithm=digest,
        signed_attributes=attributes,
        signature=_key().sign(signed, ec.ECDSA(_HASHES[digest])),
    )
    return cms.build_signed_data(
        content_type=ID_TST_INFO,
        content=der.octet_string(info),
        digest_algorithm=digest,
        certificates=[] if words.get("bare") else [made],
        signers=[signer],
        version=3,
    )


def _hash_of(made: bytes) -> bytes:
    """Return a SigningCertificateV2 with SHA-256, which is left out where it is meant (RFC 5035 4)."""
    return der.sequence(der.sequence(der.sequence(der.octet_string(hashlib.sha256(made).digest()))))


def _info(gen_time: datetime, imprint: str) -> bytes:
    octets = hashlib.new(imprint, b"code").digest()
    return der.sequence(
        der.integer(1),
        der.oid("1.3.6.1.4.1.99999.1"),
        der.sequence(der.sequence(der.oid(_OIDS[imprint]), der.null()), der.octet_string(octets)),
        der.integer(4711),
        der.generalized_time(gen_time),
    )


@cache
def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@cache
def certificate(not_before: datetime, digest: str, purpose: bool = True) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Example Timestamp 1")])
    builder = x509.CertificateBuilder(name, name, _key().public_key(), 5, not_before, not_before + timedelta(days=4000))
    if purpose:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), True)
    if digest == "ed25519":
        return builder.sign(ed25519.Ed25519PrivateKey.generate(), None).public_bytes(Encoding.DER)
    return builder.sign(_key(), _HASHES[digest]).public_bytes(Encoding.DER)
