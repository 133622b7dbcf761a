"""The signature in an OPC package: XML-DSig over a list of the parts and their digests.

Sources: ECMA-376 part 2, section 13; W3C, "XML Signature Syntax and Processing"; RFC 4051 and 6931 for algorithm names.
SignedInfo covers one Object, ``idPackageObject``, by its digest; that holds the Manifest, a Reference for each part,
and the time. So the key side needs only the Object's digest. It writes the document without that Object, which the file
side puts in.

We add a second Object, with the hash of every certificate in the document (ETSI EN 319 132-1, SigningCertificateV2).
Without it no certificate would be under the signature. OPC allows Objects of one's own (13.2.4.16); .NET finds them by
their Id. What is written is in canonical form as it stands: what is signed of it are octets of the document.

The timestamp (RFC 3161) is over the signature value, in an Object that no Reference names, as VSIXSignTool has it.
Keys are RSA: .NET Framework, which reads these signatures in Visual Studio and elsewhere, has no other.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from privyseal.errors import BadInput
from privyseal.formats.protocol import Identity
from privyseal.formats.xml_canonical import quoted
from privyseal.pki import certificates
from privyseal.terms.signatures import (
    DIGEST_SIZES,
    Described,
    DigestAlgorithm,
    Family,
    Signature,
    TimestampToken,
    ToBeSigned,
)

DSIG: Final = "http://www.w3.org/2000/09/xmldsig#"
OPC: Final = "http://schemas.openxmlformats.org/package/2006/digital-signature"
C14N: Final = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
RELATIONSHIP_TRANSFORM: Final = "http://schemas.openxmlformats.org/package/2006/RelationshipTransform"
MAX_CHAIN: Final = 16
"""Certificates put into one signature; the longest code signing chains have 4."""

XADES = "http://uri.etsi.org/01903/v1.3.2#"
"""The namespace of the hashes of certificates (ETSI EN 319 132-1)."""
PACKAGE, BOUND = "idPackageObject", "idSigningCertificates"
"""The Ids of the Object with the list of parts, which OPC fixes, and of ours with the hashes of certificates."""
_FORMAT = "YYYY-MM-DDThh:mm:ss.sTZD"
DIGESTS: dict[DigestAlgorithm, str] = {
    "sha256": "http://www.w3.org/2001/04/xmlenc#sha256",
    "sha384": "http://www.w3.org/2001/04/xmldsig-more#sha384",
    "sha512": "http://www.w3.org/2001/04/xmlenc#sha512",
}
"""The URI of each digest algorithm (RFC 6931 2.1)."""
METHODS: dict[DigestAlgorithm, str] = {
    name: f"http://www.w3.org/2001/04/xmldsig-more#rsa-{name}" for name in DIGEST_SIZES
}
"""The URI of RSA, PKCS#1 v1.5, with each of them (RFC 6931 2.3.2 to 2.3.4)."""
_DECLARATION = '<?xml version="1.0" encoding="utf-8"?>'
COMMENTED = C14N + "#WithComments"
"""The canonical form in which comments stay."""


class Reference(msgspec.Struct, frozen=True, gc=False):
    """One part under a signature."""

    name: str
    """Of the entry, without a slash at its beginning."""
    content_type: str
    algorithm: str
    """A name in DIGEST_SIZES, or the URI of another one."""
    digest: bytes
    transforms: tuple[str, ...] = ()
    identifiers: frozenset[str] = frozenset()
    """The relationships that the relationship transform takes, by their Id."""
    kinds: frozenset[str] = frozenset()
    """The same by their type."""


# -- making ------------------------------------------------------------------------------------------------------------
def package_object(references: Iterable[Reference], algorithm: DigestAlgorithm, time: str) -> bytes:
    """Return the Object with the list of parts, as it stands in the document; ``time`` ends with ``Z``."""
    value = time.removesuffix("Z") + ".0+00:00"
    made = bytearray(f'<Object Id="{PACKAGE}"><Manifest>'.encode())
    for one in references:
        made += _reference(one, algorithm).encode()
    made += (
        '</Manifest><SignatureProperties><SignatureProperty Id="idSignatureTime" Target="">'
        f'<SignatureTime xmlns="{OPC}"><Format>{_FORMAT}</Format><Value>{value}</Value></SignatureTime>'
        "</SignatureProperty></SignatureProperties></Object>"
    ).encode()
    return bytes(made)


def digest_of_object(octets: bytes, algorithm: DigestAlgorithm) -> bytes:
    """Return what an Object of ours hashes to: it is in canonical form but for the namespace, said around it."""
    return hashlib.new(algorithm, _with_namespace(octets)).digest()


def _with_namespace(octets: bytes) -> bytes:
    name = octets[1:].split(b" ", 1)[0].split(b">", 1)[0]
    return octets[: 1 + len(name)] + f' xmlns="{DSIG}"'.encode() + octets[1 + len(name) :]


def _reference(one: Reference, algorithm: DigestAlgorithm) -> str:
    transforms = ""
    if one.transforms:
        taken = "".join(
            f'<opc:RelationshipReference xmlns:opc="{OPC}" SourceId="{quoted(each)}"></opc:RelationshipReference>'
            for each in sorted(one.identifiers)
        )
        transforms = (
            f'<Transforms><Transform Algorithm="{RELATIONSHIP_TRANSFORM}">{taken}</Transform>'
            f'<Transform Algorithm="{C14N}"></Transform></Transforms>'
        )
    uri = quoted(f"/{one.name}?ContentType={one.content_type}")
    return f'<Reference URI="{uri}">{transforms}{_hashed(algorithm, one.digest)}</Reference>'


def _hashed(algorithm: DigestAlgorithm, digest: bytes, space: str = "") -> str:
    return (
        f'<DigestMethod{space} Algorithm="{DIGESTS[algorithm]}"></DigestMethod>'
        f"<DigestValue{space}>{base64.b64encode(digest).decode()}</DigestValue>"
    )


@lru_cache(maxsize=256)
def _binding(chain: tuple[bytes, ...], scheme: str) -> bytes:
    """Return the Object with the hash of each certificate; BadInput where they are none for an RSA signature."""
    if not 1 <= len(chain) <= MAX_CHAIN:
        raise BadInput(f"A signature carries from 1 to {MAX_CHAIN} certificates; {len(chain)} were given.")
    actual = certificates.scheme_of(certificates.outline(chain[0]).spki)
    if actual.name != scheme:
        raise BadInput(f"The signer's certificate is for a key of scheme {actual.name}, and {scheme} was named.")
    if actual.family != Family.RSA:
        raise BadInput(
            f"OPC packages are read by programs that know RSA only; the certificate is for a key of scheme {scheme}.",
            hint="sign with an RSA key",
        )
    space = f' xmlns="{DSIG}"'
    listed = "".join(
        f"<Cert><CertDigest>{_hashed('sha256', hashlib.sha256(one).digest(), space)}</CertDigest></Cert>"
        for one in chain
    )
    return (
        f'<Object Id="{BOUND}"><SigningCertificateV2 xmlns="{XADES}">{listed}</SigningCertificateV2></Object>'
    ).encode()


def _signed_info(described: Described, identity: Identity) -> bytes:
    """Return SignedInfo as it stands in the document."""
    algorithm = described.digest_algorithm
    if len(described.digest) != DIGEST_SIZES[algorithm]:
        raise BadInput(
            f"A {algorithm} digest has {DIGEST_SIZES[algorithm]} octets; {len(described.digest)} were given."
        )
    bound = digest_of_object(_binding(identity.chain, identity.scheme), algorithm)
    references = "".join(
        f'<Reference Type="{DSIG}Object" URI="#{name}"><Transforms><Transform Algorithm="{C14N}"></Transform>'
        f"</Transforms>{_hashed(algorithm, digest)}</Reference>"
        for name, digest in ((PACKAGE, described.digest), (BOUND, bound))
    )
    return (
        f'<SignedInfo><CanonicalizationMethod Algorithm="{C14N}"></CanonicalizationMethod>'
        f'<SignatureMethod Algorithm="{METHODS[algorithm]}"></SignatureMethod>{references}</SignedInfo>'
    ).encode()


def to_be_signed(described: Described, identity: Identity) -> ToBeSigned:
    """Return SignedInfo in canonical form as the octets a key signs; BadInput where the identity is no RSA chain."""
    return ToBeSigned(_with_namespace(_signed_info(described, identity)), described.digest_algorithm)


def finish(described: Described, identity: Identity, signed: Signature, token: TimestampToken | None) -> bytes:
    """Return the document without its list of parts; BadInput where ``signed`` is a signature over other octets."""
    if signed.to_be_signed != to_be_signed(described, identity):
        raise BadInput("The signature is over other octets than this description and identity make.")
    return document(
        _signed_info(described, identity),
        signed.value,
        identity.chain,
        _binding(identity.chain, identity.scheme),
        () if token is None else (token.der,),
    )


def document(info: bytes, value: bytes, chain: Sequence[bytes], objects: bytes, tokens: Sequence[bytes]) -> bytes:
    """Return the document of these parts, without its list; ``objects`` are those that are signed besides."""
    listed = "".join(f"<X509Certificate>{base64.b64encode(one).decode()}</X509Certificate>" for one in chain)
    stamped = "".join(map(timestamp, tokens))
    return (
        f'{_DECLARATION}<Signature xmlns="{DSIG}">'.encode()
        + info
        + f"<SignatureValue>{base64.b64encode(value).decode()}</SignatureValue>"
        f"<KeyInfo><X509Data>{listed}</X509Data></KeyInfo>".encode()
        + objects
        + f"{stamped}</Signature>".encode()
    )


def timestamp(token: bytes) -> str:
    """Return the Object with a timestamp."""
    return (
        f'<Object><TimeStamp xmlns="{OPC}" Id="idSignatureTimestamp"><Comment></Comment>'
        f"<EncodedTime>{base64.b64encode(token).decode()}</EncodedTime></TimeStamp></Object>"
    )


def whole(blob: bytes, listed: bytes) -> bytes:
    """Return the document with its list of parts put in; BadInput where the blob is none of :func:`finish`."""
    before, mark, after = blob.partition(b"</KeyInfo>")
    if not mark:
        raise BadInput("The signature is none of an OPC package: it has no KeyInfo.")
    return before + mark + listed + after
