"""Which certificates are under a CMS signature: signing-certificate-v2 (RFC 5035) over the whole chain.

Without it most of each certificate is not under the signature, and the same signature would stand as well under another
certificate for the same key. With every certificate of the chain named by its hash, each of its octets is bound.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final

from privyseal.errors import BadInput
from privyseal.pki import algorithms, certificates, cms, der
from privyseal.terms.signatures import DIGEST_SIZES, Family

ID_SIGNING_CERTIFICATE: Final = "1.2.840.113549.1.9.16.2.47"
"""id-aa-signingCertificateV2 (RFC 5035 3)."""
MAX_CHAIN: Final = 16
"""Certificates put into one signature; the longest code signing chains have 4."""
MAX_NAMED: Final = 64
"""Certificates named by one that is read; as many as a message may carry."""


def require_rsa(chain: tuple[bytes, ...], scheme: str, who: str) -> None:
    """Refuse with BadInput a chain that is none, contradicts the scheme, or is for another key than RSA.

    ``who`` accepts no others, such as ``NuGet``.
    """
    if not 1 <= len(chain) <= MAX_CHAIN:
        raise BadInput(f"A signature carries from 1 to {MAX_CHAIN} certificates; {len(chain)} were given.")
    actual = certificates.scheme_of(certificates.outline(chain[0]).spki)
    if actual.name != scheme:
        raise BadInput(f"The signer's certificate is for a key of scheme {actual.name}, and {scheme} was named.")
    if actual.family != Family.RSA:
        raise BadInput(
            f"{who} accepts signatures by RSA keys; the certificate is for one of scheme {scheme}.",
            hint="sign with an RSA key",
        )


@lru_cache(maxsize=256)
def attribute(chain: tuple[bytes, ...]) -> bytes:
    """Return the SigningCertificateV2 attribute over the whole chain; ESSCertIDv2 with its default, SHA-256."""
    return cms.attribute(ID_SIGNING_CERTIFICATE, der.sequence(der.sequence(*map(_named, chain))))


def _named(certificate: bytes) -> bytes:
    """Return the ESSCertIDv2 of a certificate, with issuer and serial number."""
    parts = certificates.outline(certificate)
    issuer = der.sequence(der.sequence(der.explicit(4, parts.issuer)), parts.serial_element)
    return der.sequence(der.octet_string(hashlib.sha256(certificate).digest()), issuer)


def bound(signer: cms.SignerInfo, carried: tuple[bytes, ...]) -> list[bytes | None]:
    """Return the certificates under a signature, None for each that is not carried; BadInput for nonsense."""
    values = signer.attributes.get(ID_SIGNING_CERTIFICATE, ())
    if len(values) != 1:
        raise BadInput("The signature does not state its certificate exactly once.")
    found: list[bytes | None] = []
    listed = der.Fields(der.read(values[0]), "A SigningCertificateV2").take(der.SEQUENCE)
    for element in der.children(listed, MAX_NAMED):
        entry = der.Fields(element, "An ESSCertIDv2")
        stated = entry.maybe(der.SEQUENCE)
        algorithm = "sha256" if stated is None else algorithms.digest_name(stated)
        if algorithm not in DIGEST_SIZES:
            raise BadInput(f"The signature names its certificate by {algorithm}; SHA-256 or stronger was expected.")
        digest = der.octets_of(entry.take(der.OCTET_STRING))
        found.append(next((one for one in carried if hashlib.new(algorithm, one).digest() == digest), None))
    return found


def binds(signer: cms.SignerInfo, carried: tuple[bytes, ...], certificate: bytes) -> bool:
    """Tell whether the signer's own certificate is the first under the signature, and all others are carried."""
    named = bound(signer, carried)
    return bool(named) and None not in named and named[0] == certificate
