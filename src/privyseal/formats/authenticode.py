"""What the Windows formats share: the octets that are signed, and the PKCS#7 blob that carries the signature.

Source: Microsoft, "Windows Authenticode Portable Executable Signature Format" (2008). An Authenticode signature is a
PKCS#7 SignedData of version 1 with exactly one signer, whose content, SpcIndirectDataContent, says what kind of thing
was hashed and to what. PE, CAB, MSI, scripts and others differ only in that kind (``SUBJECTS``) and in what they hash.
A catalogue is itself the content, of another type: :func:`to_be_signed_list` and :func:`finish_list`.

We add one signed attribute to Microsoft's: signing-certificate-v2 (RFC 5035) with the hash of every certificate in the
blob. Without it, most of each certificate is not under the signature, and the same signature would stand as well under
another certificate for the same key; with it every octet of the blob is bound. Windows, like every verifier we tried,
hashes signed attributes it does not know and goes on.
"""

from __future__ import annotations

import hashlib
import struct
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
ID_TRUST_LIST = "1.3.6.1.4.1.311.10.1"
"""szOID_CTL: what a catalogue holds (Microsoft, wincrypt.h)."""
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
_KEPT = 4096
"""Octets of a subject for which what is signed of any file is remembered; with page hashes each file has its own."""
MAX_CHAIN = 16
"""Certificates put into one signature; the longest code signing chains have 4."""


class Subject(msgspec.Struct, frozen=True, cache_hash=True):
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
    "msi-extended": _sip(2, "f1100c00 00000000 c0000000 00000046"),
    "powershell": _sip(0x10000, "1fcc3b60 594b084e b724d2c6 297ef351"),
    # Windows Script Host: each language has a subject interface package of its own.
    "vbs": _sip(1, "4ef02916 9927b54d 8fe5ace1 0f17ebab"),
    "js": _sip(1, "10e0c906 ce38d411 a2a30010 4bd35090"),
    "wsf": _sip(1, "7005611a ce38d411 a2a30010 4bd35090"),
    "appx": _sip(0x01010000, "4bdfc50a 07cee24d b76e23c8 39a09fd1"),
    "appxbundle": _sip(0x01010000, "b3585f0f deaa9a4b a4349574 2d92eceb"),
    "navx": _sip(1, "12341234 f8040000 781d1234 12341234"),
    "xap": _sip(1, "6fa608ba 3b11584d 9329a1b3 7af30f0e"),
    # [MS-OSHARED] 2.3.2.4.3: of Office's macros until 2013, and since (SigFormatDescriptorV1: size, version, format).
    "vba-legacy": Subject("1.3.6.1.4.1.311.2.1.29", der.octet_string(b"")),
    "vba": Subject("1.3.6.1.4.1.311.2.1.31", der.octet_string(struct.pack("<III", 12, 1, 1))),
}
"""Every kind we can write, by the name of its format: a format is one row here and the way it hashes."""


def same_kind(one: Subject, other: Subject) -> bool:
    """Tell whether two subjects are of one kind of file.

    Where the type is SpcSipInfo, its package tells; its version does not (signtool writes 2 for installers, others 1).
    """
    return one.kind == other.kind and (one.kind != ID_SIP_INFO or _package(one) == _package(other) is not None)


def _package(subject: Subject) -> bytes | None:
    """Return the identifier of a subject interface package, in the order of its octets; None where there is none."""
    try:
        return next(e.content for e in der.children(der.read(subject.value)) if e.tag == der.OCTET_STRING)
    except (BadInput, StopIteration):
        return None


_HASHES = {name: getattr(hashlib, name) for name in DIGEST_SIZES}
_STATEMENT_TYPE = cms.attribute(ID_STATEMENT_TYPE, der.sequence(der.oid(ID_INDIVIDUAL)))
_CONTENT_TYPES = {kind: cms.attribute(cms.ID_CONTENT_TYPE, der.oid(kind)) for kind in (ID_INDIRECT_DATA, ID_TRUST_LIST)}


def indirect_data(subject: Subject, algorithm: DigestAlgorithm, digest: bytes) -> bytes:
    """Return the SpcIndirectDataContent, DER, that says what a subject hashes to."""
    return der.sequence(
        der.sequence(der.oid(subject.kind), subject.value),
        der.sequence(algorithms.digest_identifier(algorithm), der.octet_string(digest)),
    )


def to_be_signed(
    subject: Subject, described: Described, identity: Identity, options: Options, imprint: bytes | None = None
) -> ToBeSigned:
    """Return the signed attributes as the octets a key signs; the same for the same arguments, for they hold no time.

    ``imprint`` stands in the content in place of the description's digest, where a format has more than one (APPX).
    BadInput where the digest has not its algorithm's size, the identity is no chain for its scheme, or the program name
    or URL cannot be written.
    """
    algorithm, imprint = described.digest_algorithm, _imprint(described, imprint)
    return ToBeSigned(_filled(subject, algorithm, identity, options, imprint)[0], algorithm)


# The key side's whole view of one file.
def finish(  # noqa: PLR0913
    subject: Subject,
    described: Described,
    identity: Identity,
    options: Options,
    signed: Signature,
    token: TimestampToken | None,
    imprint: bytes | None = None,
) -> bytes:
    """Return the blob, a DER ContentInfo; BadInput also where ``signed`` is a signature over other octets."""
    algorithm, imprint = described.digest_algorithm, _imprint(described, imprint)
    octets, message_digest = _filled(subject, algorithm, identity, options, imprint)
    _check_signed(signed, octets, algorithm)
    stamped = b"" if token is None else token.der
    if len(subject.value) > _KEPT:
        content = indirect_data(subject, algorithm, imprint)
        attributes = _attributes(message_digest, identity, options)
        return _written(algorithm, identity, content, attributes, signed.value, stamped)
    sizes = (len(imprint), len(signed.value), len(stamped))
    blob = _blob_mould(subject, algorithm, identity, options, sizes)
    return blob.form % (imprint, message_digest, signed.value, stamped)


def to_be_signed_list(described: Described, identity: Identity, options: Options) -> ToBeSigned:
    """Return the signed attributes over a certificate trust list, whose value octets the description's digest covers.

    Such a list is what a catalogue (CAT) holds. BadInput as in :func:`to_be_signed`.
    """
    digest = _imprint(described, None)
    attributes = _attributes(digest, identity, options, ID_TRUST_LIST)
    return ToBeSigned(cms.attributes_to_be_signed(attributes), described.digest_algorithm)


# As with finish.
def finish_list(
    described: Described,
    identity: Identity,
    options: Options,
    signed: Signature,
    token: TimestampToken | None,
    content: bytes | None = None,
) -> bytes:
    """Return the blob over a trust list, with ``content``, its complete element, or without it (the key side's way).

    BadInput where ``signed`` is a signature over other octets.
    """
    octets = to_be_signed_list(described, identity, options).octets
    _check_signed(signed, octets, described.digest_algorithm)
    signer = cms.signer_info(
        certificate=identity.chain[0],
        digest_algorithm=described.digest_algorithm,
        signed_attributes=_attributes(described.digest, identity, options, ID_TRUST_LIST),
        signature=signed.value,
        unsigned_attributes=() if token is None else (cms.attribute(ID_TIMESTAMP, token.der),),
    )
    return cms.build_signed_data(
        content_type=ID_TRUST_LIST,
        content=content,
        digest_algorithm=described.digest_algorithm,
        certificates=identity.chain,
        signers=(signer,),
        version=1,
    )


def _imprint(described: Described, imprint: bytes | None) -> bytes:
    algorithm, digest = described.digest_algorithm, described.digest
    if len(digest) != DIGEST_SIZES[algorithm]:
        raise BadInput(f"A {algorithm} digest has {DIGEST_SIZES[algorithm]} octets; {len(digest)} were given.")
    return digest if imprint is None else imprint


def _check_signed(signed: Signature, octets: bytes, algorithm: DigestAlgorithm) -> None:
    if signed.to_be_signed != ToBeSigned(octets, algorithm):
        raise BadInput("The signature is over other octets than this description, identity and options make.")


# -- the same octets for every file but for a few ----------------------------------------------------------------------
class _Moulds(NamedTuple):
    """What is signed of any file, with one hole each: its digest in the content, the content's in the attributes."""

    content: der.Skeleton
    attributes: der.Skeleton


def _filled(
    subject: Subject, algorithm: DigestAlgorithm, identity: Identity, options: Options, imprint: bytes
) -> tuple[bytes, bytes]:
    """Return the octets to be signed, and the digest of the content that stands in them."""
    if len(subject.value) > _KEPT:
        digest = _HASHES[algorithm](der.read(indirect_data(subject, algorithm, imprint)).content).digest()
        return cms.attributes_to_be_signed(_attributes(digest, identity, options)), digest
    content, attributes = _moulds(subject, algorithm, identity, options, len(imprint))
    message_digest = _HASHES[algorithm](content.form % imprint).digest()
    return attributes.form % message_digest, message_digest


@lru_cache(maxsize=256)  # one for each way in which a build signs; 4 KiB each
def _moulds(
    subject: Subject, algorithm: DigestAlgorithm, identity: Identity, options: Options, imprint: int
) -> _Moulds:
    # PKCS#7, unlike CMS, hashes the content's value octets without its tag and length (Authenticode, "ContentInfo").
    return _Moulds(
        der.Skeleton(lambda digest: der.read(indirect_data(subject, algorithm, digest)).content, imprint),
        der.Skeleton(
            lambda digest: cms.attributes_to_be_signed(_attributes(digest, identity, options)), DIGEST_SIZES[algorithm]
        ),
    )


@lru_cache(maxsize=256)  # as above, 8 KiB each: an ECDSA signature has three sizes or four
def _blob_mould(
    subject: Subject, algorithm: DigestAlgorithm, identity: Identity, options: Options, sizes: tuple[int, int, int]
) -> der.Skeleton:
    """Return the blob of any file, with holes for its digest, the content's, the signature and the timestamp.

    ``sizes`` are those of the first and the last two.
    """

    def _write(imprint: bytes, message_digest: bytes, value: bytes, stamped: bytes) -> bytes:
        content = indirect_data(subject, algorithm, imprint)
        attributes = _attributes(message_digest, identity, options)
        return _written(algorithm, identity, content, attributes, value, stamped)

    imprint, signature, token = sizes
    return der.Skeleton(_write, imprint, DIGEST_SIZES[algorithm], signature, token)


# All that a blob is made of.
def _written(
    algorithm: DigestAlgorithm,
    identity: Identity,
    content: bytes,
    attributes: tuple[bytes, ...],
    value: bytes,
    stamped: bytes,
) -> bytes:
    signer = cms.signer_info(
        certificate=identity.chain[0],
        digest_algorithm=algorithm,
        signed_attributes=attributes,
        signature=value,
        unsigned_attributes=(cms.attribute(ID_TIMESTAMP, stamped),) if stamped else (),
    )
    return cms.build_signed_data(
        content_type=ID_INDIRECT_DATA,
        content=content,
        digest_algorithm=algorithm,
        certificates=identity.chain,
        signers=(signer,),
        version=1,
    )


def _attributes(
    message_digest: bytes, identity: Identity, options: Options, content_type: str = ID_INDIRECT_DATA
) -> tuple[bytes, ...]:
    """Return the signed attributes over content of this digest."""
    return (
        _CONTENT_TYPES[content_type],
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
