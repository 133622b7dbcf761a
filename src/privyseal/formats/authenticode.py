"""What the Windows formats share: the octets that are signed, and the PKCS#7 blob that carries the signature.

Source: Microsoft, "Windows Authenticode Portable Executable Signature Format" (2008). An Authenticode signature is a
PKCS#7 SignedData of version 1 with exactly one signer, whose content, SpcIndirectDataContent, says what kind of thing
was hashed and to what. PE, CAB, MSI, scripts and others differ only in that kind (``SUBJECTS``) and in what they hash.

We add one signed attribute to Microsoft's: signing-certificate-v2 (RFC 5035) with the hash of every certificate in the
blob. Without it, most of each certificate is not under the signature, and the same signature would stand as well under
another certificate for the same key; with it every octet of the blob is bound. Windows, like every verifier we tried,
hashes signed attributes it does not know and goes on.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import NamedTuple

import msgspec

from privyseal.errors import BadInput
from privyseal.formats.protocol import Identity
from privyseal.pki import algorithms, certificates, cms, der
from privyseal.terms.signatures import (
    DIGEST_SIZES,
    Described,
    DigestAlgorithm,
    Family,
    Options,
    Signature,
    TimestampToken,
    ToBeSigned,
)

ID_INDIRECT_DATA = "1.3.6.1.4.1.311.2.1.4"
"""SPC_INDIRECT_DATA_OBJID: the content that is signed."""
ID_STATEMENT_TYPE = "1.3.6.1.4.1.311.2.1.11"
"""SPC_STATEMENT_TYPE_OBJID: the attribute that says for whom was signed."""
ID_OPUS_INFO = "1.3.6.1.4.1.311.2.1.12"
"""SPC_SP_OPUS_INFO_OBJID: the attribute with the program's name and address."""
ID_PE_IMAGE_DATA = "1.3.6.1.4.1.311.2.1.15"
"""SPC_PE_IMAGE_DATAOBJ: that the digest is one of a PE image."""
ID_INDIVIDUAL = "1.3.6.1.4.1.311.2.1.21"
"""SPC_INDIVIDUAL_SP_KEY_PURPOSE_OBJID: for an individual, in the statement type."""
ID_CAB_DATA = "1.3.6.1.4.1.311.2.1.25"
"""SPC_CAB_DATA_OBJID: that the digest is one of a cabinet."""
ID_SIP_INFO = "1.3.6.1.4.1.311.2.1.30"
"""SPC_SIPINFO_OBJID: that a subject interface package, named by its GUID, made the digest."""
ID_NESTED_SIGNATURE = "1.3.6.1.4.1.311.2.4.1"
"""szOID_NESTED_SIGNATURE: the unsigned attribute with a further signature of the same file."""
ID_TIMESTAMP = "1.3.6.1.4.1.311.3.3.1"
"""szOID_RFC3161_counterSign: the unsigned attribute with an RFC 3161 token."""
ID_SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.2.47"
"""id-aa-signingCertificateV2 (RFC 5035 3): the attribute with the certificate's digest."""

FAMILIES = frozenset({Family.RSA, Family.ECDSA})
"""Keys under whose signatures Windows runs code; it has no verifier of Authenticode for others."""
MAX_PROGRAM_NAME = 1024
"""Characters. Windows shows some 60 of them; signtool sets no limit."""
MAX_PROGRAM_URL = 2048
"""Characters, as Internet Explorer had it (INTERNET_MAX_URL_LENGTH, 2083)."""
MAX_CHAIN = 16
"""Certificates put into one signature; the longest code signing chains have 4."""


class Subject(msgspec.Struct, frozen=True):
    """The kind of thing an SpcIndirectDataContent is about: its type, a dotted OID, and that type's value, DER."""

    kind: str
    value: bytes


_OBSOLETE = der.explicit(2, der.implicit(0, "<<<Obsolete>>>".encode("utf-16-be"), constructed=False))


def _sip(version: int, guid: str) -> Subject:
    """Return the SpcSipInfo of a subject interface package; ``guid`` in the order of its octets in the file."""
    zeros = (der.integer(0),) * 5
    return Subject(ID_SIP_INFO, der.sequence(der.integer(version), der.octet_string(bytes.fromhex(guid)), *zeros))


SUBJECTS: dict[str, Subject] = {
    # SpcPeImageData: no flags, and as file the empty SpcString that signtool writes since Windows 8.
    "pe": Subject(
        ID_PE_IMAGE_DATA,
        der.sequence(der.bit_string(b""), der.explicit(0, der.explicit(2, der.implicit(0, b"", constructed=False)))),
    ),
    "cab": Subject(ID_CAB_DATA, _OBSOLETE),
    "msi": _sip(1, "f1100c00 00000000 c0000000 00000046"),
    "powershell": _sip(0x10000, "1fcc3b60 594b084e b724d2c6 297ef351"),
}
"""Every kind we can write, by the name of its format: a format is one row here and the way it hashes."""

_HASHES = {name: getattr(hashlib, name) for name in DIGEST_SIZES}
_STATEMENT_TYPE = cms.attribute(ID_STATEMENT_TYPE, der.sequence(der.oid(ID_INDIVIDUAL)))
_CONTENT_TYPE = cms.attribute(cms.ID_CONTENT_TYPE, der.oid(ID_INDIRECT_DATA))


def indirect_data(subject: Subject, algorithm: DigestAlgorithm, digest: bytes) -> bytes:
    """Return the SpcIndirectDataContent, DER, that says what a subject hashes to."""
    return der.sequence(
        _type_and_value(subject),
        der.sequence(algorithms.digest_identifier(algorithm), der.octet_string(digest)),
    )


@lru_cache(maxsize=64)
def _type_and_value(subject: Subject) -> bytes:
    return der.sequence(der.oid(subject.kind), subject.value)


def to_be_signed(subject: Subject, described: Described, identity: Identity, options: Options) -> ToBeSigned:
    """Return the signed attributes as the octets a key signs; the same for the same arguments, for they hold no time.

    BadInput where the digest has not its algorithm's size, the identity is no chain for its scheme, or the program name
    or URL cannot be written.
    """
    algorithm = described.digest_algorithm
    octets, _ = _attributes_of(_moulds(subject, algorithm, identity, options), algorithm, described.digest)
    return ToBeSigned(octets, algorithm)


def finish(
    subject: Subject,
    described: Described,
    identity: Identity,
    options: Options,
    signed: Signature,
    token: TimestampToken | None,
) -> bytes:
    """Return the blob, a DER ContentInfo; BadInput also where ``signed`` is a signature over other octets."""
    algorithm = described.digest_algorithm
    moulds = _moulds(subject, algorithm, identity, options)
    octets, message_digest = _attributes_of(moulds, algorithm, described.digest)
    if signed.to_be_signed != ToBeSigned(octets, algorithm):
        raise BadInput("The signature is over other octets than this description, identity and options make.")
    stamped = b"" if token is None else token.der
    blob = _blob_mould(subject, algorithm, identity, options, len(signed.value), len(stamped))
    return blob.fill(described.digest, message_digest, signed.value, stamped)


# -- the same octets for every file but for a few ----------------------------------------------------------------------
class _Moulds(NamedTuple):
    """What is signed of any file, with one hole each: its digest in the content, the content's in the attributes."""

    content: der.Skeleton
    attributes: der.Skeleton


@lru_cache(maxsize=4096)  # what is asked before a signature is asked again after it; half a KiB each
def _attributes_of(moulds: _Moulds, algorithm: DigestAlgorithm, digest: bytes) -> tuple[bytes, bytes]:
    """Return the octets to be signed, and the digest of the content that stands in them."""
    if len(digest) != DIGEST_SIZES[algorithm]:
        raise BadInput(f"A {algorithm} digest has {DIGEST_SIZES[algorithm]} octets; {len(digest)} were given.")
    message_digest = _HASHES[algorithm](moulds.content.fill(digest)).digest()
    return moulds.attributes.fill(message_digest), message_digest


@lru_cache(maxsize=256)  # one for each way in which a build signs; 4 KiB each
def _moulds(subject: Subject, algorithm: DigestAlgorithm, identity: Identity, options: Options) -> _Moulds:
    # PKCS#7, unlike CMS, hashes the content's value octets without its tag and length (Authenticode, "ContentInfo").
    size = DIGEST_SIZES[algorithm]
    return _Moulds(
        der.Skeleton(lambda digest: der.read(indirect_data(subject, algorithm, digest)).content, size),
        der.Skeleton(lambda digest: cms.attributes_to_be_signed(_attributes(digest, identity, options)), size),
    )


@lru_cache(maxsize=256)  # as above, 8 KiB each: an ECDSA signature has three sizes or four
def _blob_mould(
    subject: Subject, algorithm: DigestAlgorithm, identity: Identity, options: Options, signature: int, token: int
) -> der.Skeleton:
    """Return the blob of any file, with holes for its digest, the content's, the signature and the timestamp."""

    def _write(digest: bytes, message_digest: bytes, value: bytes, stamped: bytes) -> bytes:
        signer = cms.signer_info(
            certificate=identity.chain[0],
            digest_algorithm=algorithm,
            signed_attributes=_attributes(message_digest, identity, options),
            signature=value,
            unsigned_attributes=(cms.attribute(ID_TIMESTAMP, stamped),) if stamped else (),
        )
        return cms.build_signed_data(
            content_type=ID_INDIRECT_DATA,
            content=indirect_data(subject, algorithm, digest),
            digest_algorithm=algorithm,
            certificates=identity.chain,
            signers=(signer,),
            version=1,
        )

    size = DIGEST_SIZES[algorithm]
    return der.Skeleton(_write, size, size, signature, token)


def _attributes(message_digest: bytes, identity: Identity, options: Options) -> tuple[bytes, ...]:
    """Return the signed attributes over content of this digest."""
    return (
        _CONTENT_TYPE,
        cms.attribute(cms.ID_MESSAGE_DIGEST, der.octet_string(message_digest)),
        _opus_info(options.program_name, options.program_url),
        _STATEMENT_TYPE,
        _signing_certificate(identity.chain, identity.scheme),
    )


@lru_cache(maxsize=256)
def _opus_info(name: str | None, url: str | None) -> bytes:
    """Return the SpcSpOpusInfo attribute, which is there even where it says nothing."""
    parts: list[bytes] = []
    if name is not None:
        if not 0 < len(name) <= MAX_PROGRAM_NAME or not name.isprintable():
            raise BadInput(
                f"A program name has from 1 to {MAX_PROGRAM_NAME} printable characters; {name[:80]!r} does not."
            )
        parts.append(der.explicit(0, der.implicit(0, der.read(der.bmp_string(name)).content, constructed=False)))
    if url is not None:
        plain = url.isascii() and url.isprintable() and " " not in url and url.startswith(("https://", "http://"))
        if not plain or len(url) > MAX_PROGRAM_URL:
            raise BadInput(
                f"A program URL begins with https:// or http:// and has at most {MAX_PROGRAM_URL} ASCII characters; "
                f"{url[:80]!r} does not."
            )
        parts.append(der.explicit(1, der.implicit(0, url.encode("ascii"), constructed=False)))
    return cms.attribute(ID_OPUS_INFO, der.sequence(*parts))


@lru_cache(maxsize=256)
def _signing_certificate(chain: tuple[bytes, ...], scheme: str) -> bytes:
    """Return the SigningCertificateV2 attribute over the whole chain; ESSCertIDv2 with its default, SHA-256."""
    if not 1 <= len(chain) <= MAX_CHAIN:
        raise BadInput(f"A signature carries from 1 to {MAX_CHAIN} certificates; {len(chain)} were given.")
    actual = certificates.scheme_of(certificates.outline(chain[0]).spki)
    if actual.name != scheme:
        raise BadInput(f"The signer's certificate is for a key of scheme {actual.name}, and {scheme} was named.")
    if actual.family not in FAMILIES:
        raise BadInput(
            f"Windows knows no Authenticode signature by a key of scheme {scheme}.", hint="sign with RSA or ECDSA"
        )
    hashes = (der.sequence(der.octet_string(hashlib.sha256(certificate).digest())) for certificate in chain)
    return cms.attribute(ID_SIGNING_CERTIFICATE, der.sequence(der.sequence(*hashes)))
