"""The functions of ``cryptography`` that load keys and certificates, from where they are made.

``cryptography.x509`` and ``cryptography.hazmat.primitives.serialization`` are the public names of the same functions.
To import these reads all that is known there of names, extensions, e-mail addresses, networks and OpenSSH: 45 ms, a
fifth of what it took to sign one small file. Whoever asks a certificate for names or extensions pays for that then.
The names here are not promised; ``cryptography`` is pinned, and a test compares them with the public ones.
"""

from __future__ import annotations

from cryptography.hazmat._oid import ExtendedKeyUsageOID
from cryptography.hazmat.bindings._rust import ObjectIdentifier, openssl, x509
from cryptography.hazmat.primitives._serialization import Encoding, PublicFormat

__all__ = [
    "Certificate",
    "CertificateRevocationList",
    "Encoding",
    "ExtendedKeyUsageOID",
    "ObjectIdentifier",
    "PublicFormat",
    "load_der_private_key",
    "load_der_public_key",
    "load_der_x509_certificate",
    "load_der_x509_crl",
    "load_pem_private_key",
    "load_pem_x509_crl",
]

Certificate = x509.Certificate
"""A loaded certificate."""
CertificateRevocationList = x509.CertificateRevocationList
"""A loaded CRL."""
load_der_x509_certificate = x509.load_der_x509_certificate
"""Loads a certificate, and imports ``cryptography.x509`` all the same, for it looks up the version there."""
load_der_x509_crl = x509.load_der_x509_crl
"""Loads a CRL, DER."""
load_pem_x509_crl = x509.load_pem_x509_crl
"""Loads a CRL, PEM."""
load_der_public_key = openssl.keys.load_der_public_key
"""Loads a SubjectPublicKeyInfo."""
load_der_private_key = openssl.keys.load_der_private_key
"""Loads a private key, DER."""
load_pem_private_key = openssl.keys.load_pem_private_key
"""Loads a private key, PEM."""
