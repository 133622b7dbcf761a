"""What UEFI's variables and capsules share: identifiers, WIN_CERTIFICATE_UEFI_GUID, and the PKCS#7 message in it.

Source: UEFI specification 2.10, appendix A (an EFI_GUID's first three fields are little-endian), 32.2.4
(WIN_CERTIFICATE_UEFI_GUID) and 8.2.2 (EFI_VARIABLE_AUTHENTICATION_2: SignedData of version 1 over data that it does not
carry, with and without a ContentInfo around it). Keys are RSA, which is all that 8.2.2 has.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from privyseal.errors import BadInput
from privyseal.formats.protocol import Identity, Problem
from privyseal.pki import certificates, cms, der
from privyseal.terms.signatures import DIGEST_SIZES, DigestAlgorithm, Family, Signature

CERTIFICATE: Final = struct.Struct("<IHH16s")
"""WIN_CERTIFICATE_UEFI_GUID: octets with this header, revision, type, what the data is."""
REVISION, KIND = 0x0200, 0x0EF1
"""WIN_CERT_REVISION, and WIN_CERT_TYPE_EFI_GUID."""
MAX_SIGNATURE: Final = 64 << 10
"""Octets of a PKCS#7 message; one with a chain of four RSA-4096 certificates has 8 KiB."""


def guid(text: str) -> bytes:
    """Return the 16 octets of an EFI_GUID that is written as 8-4-4-4-12 hex digits."""
    return uuid.UUID(text).bytes_le


def shown(octets: bytes) -> str:
    """Write an EFI_GUID as 8-4-4-4-12 hex digits, lower case."""
    return str(uuid.UUID(bytes_le=octets))


PKCS7: Final = guid("4aafd29d-68df-49ee-8aa9-347d375665a7")
"""EFI_CERT_TYPE_PKCS7_GUID."""


def wrap(blob: bytes) -> bytes:
    """Return a message with the header of a WIN_CERTIFICATE_UEFI_GUID in front."""
    if len(blob) > MAX_SIGNATURE:
        raise BadInput(f"The signature would have {len(blob)} octets; firmware is given {MAX_SIGNATURE} at most.")
    return CERTIFICATE.pack(CERTIFICATE.size + len(blob), REVISION, KIND, PKCS7) + blob


def is_header(octets: bytes) -> bool:
    """Tell whether these 24 octets are the header of a WIN_CERTIFICATE_UEFI_GUID with a PKCS#7 message."""
    if len(octets) < CERTIFICATE.size:
        return False
    _, revision, kind, what = CERTIFICATE.unpack_from(octets)
    return (revision, kind, what) == (REVISION, KIND, PKCS7)


# -- the message -------------------------------------------------------------------------------------------------------
def build(
    identity: Identity,
    digest: DigestAlgorithm,
    signature: Signature,
    attributes: tuple[bytes, ...] = (),
    *,
    bare: bool,
) -> bytes:
    """Return the message over data that it does not carry; ``bare`` without a ContentInfo around it."""
    signer = cms.signer_info(
        certificate=identity.chain[0],
        digest_algorithm=digest,
        signed_attributes=attributes,
        signature=signature.value,
    )
    return _message(identity.chain, digest, signer, bare=bare)


def _message(chain: tuple[bytes, ...], digest: DigestAlgorithm, signer: bytes, *, bare: bool) -> bytes:
    whole = cms.build_signed_data(
        content_type=cms.ID_DATA,
        content=None,
        digest_algorithm=digest,
        certificates=chain,
        signers=(signer,),
        version=1,
    )
    return der.children(der.children(der.read(whole))[1])[0].raw if bare else whole


@lru_cache(maxsize=64)
def read(blob: bytes) -> cms.SignedData:
    """Cut a message into its parts, with a ContentInfo or without; BadInput where it is none by one signer."""
    fields = der.children(der.read(blob), 8)
    if fields and fields[0].tag == der.INTEGER:
        blob = der.sequence(der.oid(cms.ID_SIGNED_DATA), der.explicit(0, blob))
    signed = cms.parse(blob)
    if signed.content_type != cms.ID_DATA or signed.content is not None or len(signed.signers) != 1:
        raise BadInput("The signature is none of UEFI: it carries content, or is not by exactly one signer.")
    return signed


def family_problems(signed: cms.SignedData) -> Iterator[Problem]:
    """Say where firmware wants another key."""
    certificate = cms.signer_certificate(signed, signed.signers[0])
    if certificate is not None and certificates.family_of(certificates.outline(certificate).spki) != Family.RSA:
        yield Problem("signature-algorithm", "It is signed with another key than RSA; UEFI knows no other.")


def loose(blob: bytes, signed: cms.SignedData) -> Iterator[Problem]:
    """Say what of a message could be changed without its signature failing."""
    (signer,) = signed.signers
    if signed.ber:
        yield Problem("not-der", "The signature is not in DER, so it could be encoded otherwise.")
        return
    for kind in signer.unsigned:
        yield Problem("unsigned-attribute", f"The signature carries an attribute that nothing covers ({kind}).")
    certificate = cms.signer_certificate(signed, signer)
    algorithm = next((name for name in DIGEST_SIZES if name == signer.digest_algorithm), None)
    rebuilt: list[bytes] = []
    if certificate is not None and algorithm is not None:
        held = signer.signed_attributes
        info = cms.signer_info(
            certificate=certificate,
            digest_algorithm=algorithm,
            signed_attributes=() if held is None else [one.raw for one in der.children(der.read(held))],
            signature=signer.signature,
            unsigned_attributes=[cms.attribute(kind, *values) for kind, values in signer.unsigned.items()],
        )
        rebuilt = [_message(signed.certificates, algorithm, info, bare=bare) for bare in (True, False)]
    if blob not in rebuilt:
        yield Problem("not-canonical", "The signature is not encoded as it would be written, so octets are loose.")


def unrelated(signed: cms.SignedData) -> Iterator[Problem]:
    """Name certificates that nothing binds: neither on the way up from the signer, nor what they say.

    Each certificate on that way is signed by the next, and what signs the last is not in the message.
    """
    (signer,) = signed.signers
    at = cms.signer_certificate(signed, signer)
    left = [one for one in dict.fromkeys(signed.certificates) if one != at]
    while at is not None and left:
        wanted = certificates.outline(at).issuer
        above = next((one for one in left if certificates.outline(one).subject == wanted), None)
        if above is None:
            break
        if not _issued(at, above):
            yield Problem(
                "certificate-binding", "A certificate is not signed by the one above it in a way that is believed."
            )
        left.remove(above)
        at = above
    if at is not None and certificates.outline(at).issuer == certificates.outline(at).subject and not _issued(at, at):
        yield Problem("certificate-binding", "A root is not signed by itself in a way that is believed.")
    if left:
        yield Problem("certificate-binding", "The signature carries certificates that have nothing to do with it.")


def _issued(certificate: bytes, issuer: bytes) -> bool:
    try:
        certificates.load(certificate).verify_directly_issued_by(certificates.load(issuer))
    except Exception:  # whatever cryptography says of a certificate that somebody broke
        return False
    return True
