"""What a CA hands over: certificates in any order, with strangers among them, from which the chain of one key is made.

Nothing is taken on the sender's word: the certificate is the one with the key's public key, and each that follows is
the one whose signature is on the one before.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs7

from privyseal.errors import BadInput, TooLarge, VerificationFailed
from privyseal.pki import certificates
from privyseal.pki.chain import MAX_CHECKS, MAX_DEPTH, issued_by

LARGEST = 1 << 20
"""Octets of one file or answer; a chain of RSA-4096 certificates in PEM is under 12 KiB."""
MOST = 64
"""Certificates in it; a chain has three or four, and cross-certificates may come along."""

_PKCS7 = b"-----BEGIN PKCS7-----"
_SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")
"""The OID of signedData (RFC 2315 14), with which PKCS #7 in DER begins."""
_HEAD = 24
"""Octets in which it stands, behind one tag and length."""
_PKCS8 = b"PRIVATE KEY-----"
_LIST = b"-----BEGIN X509 CRL-----"


def read(octets: bytes) -> list[bytes]:
    """Return the certificates, DER, in a file: PEM, one in DER, or a certs-only PKCS #7 (``.p7b``) in either.

    TooLarge beyond LARGEST octets or MOST certificates, BadInput where there is none, or where a private key came
    along, which has to be nowhere but in its module.
    """
    if len(octets) > LARGEST:
        raise TooLarge(
            f"{len(octets)} octets were given where a certificate chain was expected; at most {LARGEST} are read.",
            hint="give the certificates only, without revocation lists",
        )
    if _PKCS8 in octets:
        raise BadInput(
            "The file holds a private key, which nobody may send.", hint="give the certificates only; keep the key safe"
        )
    found = _unpacked(octets)
    if len(found) > MOST:
        raise TooLarge(f"{len(found)} certificates were given; at most {MOST} are read.")
    return list(dict.fromkeys(found))


def chain_of(key_id: str, bag: Sequence[bytes], at: datetime, known: Sequence[bytes] = ()) -> tuple[bytes, ...]:
    """Return the chain of a key's certificate, DER, its own first and without the root.

    ``bag`` is what came, ``known`` what is here from before and may complete it. Of several certificates for the key,
    as after a renewal with the same one, the newest is meant. VerificationFailed where none is for the key, or its
    issuer's did not come along.
    """
    own = [each for each in bag if _is_of(each, key_id)]
    if not own:
        count = f"None of the {len(bag)} certificates is" if len(bag) != 1 else "The certificate is not"
        raise VerificationFailed(
            f"{count} for this Key Pair's public key: what came is for another key.",
            hint=f"the CA must issue for the CSR that was handed in; the key's id is {key_id[:16]}...",
        )
    leaf = max(own, key=lambda each: (certificates.read(each).not_before, each))
    chain, others = [leaf], [each for each in (*bag, *known) if each != leaf]
    checks = MAX_CHECKS
    while len(chain) < MAX_DEPTH:
        above: list[bytes] = []
        for each in dict.fromkeys(others):
            if each not in chain and certificates.outline(each).subject == certificates.outline(chain[-1]).issuer:
                checks -= 1
                above += [each] if checks >= 0 and issued_by(chain[-1], each) else []
        if not above:
            break
        upward = max(above, key=lambda each: (certificates.read(each).in_force(at), certificates.read(each).not_after))
        if _is_root(upward):
            return tuple(chain)
        chain.append(upward)
    if len(chain) == 1:
        issuer = certificates.read(leaf).issuer
        raise VerificationFailed(
            f"The certificate of the issuer {issuer[:200]!r} did not come along, so the chain cannot be checked.",
            hint="give the CA's intermediate certificates too, in any order",
        )
    return tuple(chain)


def _unpacked(octets: bytes) -> list[bytes]:
    try:
        if _PKCS7 in octets:
            loaded = pkcs7.load_pem_pkcs7_certificates(octets)
        elif _SIGNED_DATA in octets[:_HEAD]:
            loaded = pkcs7.load_der_pkcs7_certificates(octets)
        elif octets[:1] == b"\x30":
            certificates.load(octets)
            return [octets]
        elif _LIST in octets and b"CERTIFICATE-----" not in octets:
            raise BadInput("The file holds a revocation list and no certificate.", hint="give the certificates")
        else:
            return certificates.pem_certificates(octets)
    except certificates.unreadable() as error:
        raise BadInput(f"The PKCS #7 file cannot be read: {str(error)[:200]}.") from None
    return [each.public_bytes(serialization.Encoding.DER) for each in loaded]


def _is_of(certificate: bytes, key_id: str) -> bool:
    """Tell whether a certificate is for a key and not a CA's."""
    if certificates.key_id(certificates.outline(certificate).spki) != key_id:
        return False
    try:
        found = certificates.load(certificate).extensions.get_extension_for_class(x509.BasicConstraints)
    except x509.ExtensionNotFound:
        return True
    except certificates.unreadable() as error:
        raise BadInput(f"A certificate's extensions cannot be read: {error}.") from None
    return not found.value.ca


def _is_root(certificate: bytes) -> bool:
    parts = certificates.outline(certificate)
    return parts.subject == parts.issuer and issued_by(certificate, certificate)
