"""The CMS message in a NuGet package: what an author signs, and one that is found, cut and judged.

Source: NuGet, "Package Signatures Technical Details" and "Repository Signatures and Countersignatures Technical
Specification". The content is a text with the package's hash; the signed attributes say that the signer is where the
package comes from (RFC 5126 5.11.1, proof of origin) and by which certificate (RFC 5035). The timestamp is the unsigned
attribute of RFC 3161 appendix A. Keys are RSA: NuGet has no other.

NuGet wants a signing time (RFC 5652 11.3) and believes only the timestamp. No clock is read here: what is stated is the
earliest moment at which it can have been signed, when the package was complete and the certificate had become valid.

As in Authenticode, every certificate of the chain is named by its hash under the signature, so that each of its octets
is bound.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from privyseal.errors import BadInput
from privyseal.formats import bound_certificates, nuget_counter
from privyseal.formats.nuget_counter import (
    ID_COMMITMENT,
    ID_COUNTER_SIGNATURE,
    ID_RECEIPT,
    ID_TIMESTAMP,
    Found,
    Repository,
)
from privyseal.formats.protocol import Identity, Problem
from privyseal.pki import certificates, cms, der
from privyseal.terms.signatures import (
    DIGEST_SIZES,
    Described,
    DigestAlgorithm,
    Family,
    Signature,
    TimestampToken,
    ToBeSigned,
)

ID_ORIGIN: Final = "1.2.840.113549.1.9.16.6.1"
"""What an author commits itself to: that the package is from it."""

_OIDS: dict[DigestAlgorithm, str] = {
    "sha256": "2.16.840.1.101.3.4.2.1",
    "sha384": "2.16.840.1.101.3.4.2.2",
    "sha512": "2.16.840.1.101.3.4.2.3",
}
_BY_OID = {dotted: name for name, dotted in _OIDS.items()}
_CONTENT = re.compile(rb"Version:1\n\n([0-9.]{1,40})-Hash:([A-Za-z0-9+/]{1,100}={0,2})\n\n", re.ASCII)
_RSA_PSS = "1.2.840.113549.1.1.10"


class Blob(msgspec.Struct, frozen=True, kw_only=True):
    """A package's signature in its parts."""

    signed: cms.SignedData
    signer: cms.SignerInfo
    digest_algorithm: DigestAlgorithm
    digest: bytes
    """What its content says the package hashes to."""
    repository: bool
    """A repository made it, and no author."""
    timestamps: tuple[bytes, ...]


# -- making ------------------------------------------------------------------------------------------------------------
def content(algorithm: DigestAlgorithm, digest: bytes) -> bytes:
    """Return the text that is signed."""
    return f"Version:1\n\n{_OIDS[algorithm]}-Hash:{base64.b64encode(digest).decode()}\n\n".encode()


class Said(msgspec.Struct, frozen=True):
    """What a signature says beside the package's hash."""

    complete: datetime
    """When the package was complete."""
    repository: Repository | None = None
    """Who signs as a repository; None for an author."""
    counter: bool = False
    """It is over an author's signature, and the digest described is that of its value."""


def to_be_signed(described: Described, identity: Identity, said: Said) -> ToBeSigned:
    """Return the signed attributes as the octets a key signs; BadInput where the identity is no RSA chain."""
    attributes = _attributes(described, identity, said)
    return ToBeSigned(cms.attributes_to_be_signed(attributes), described.digest_algorithm)


def finish(
    described: Described, identity: Identity, said: Said, signed: Signature, token: TimestampToken | None
) -> bytes:
    """Return the blob, a DER ContentInfo; BadInput also where ``signed`` is a signature over other octets."""
    if signed.to_be_signed != to_be_signed(described, identity, said):
        raise BadInput("The signature is over other octets than this description and identity make.")
    signer = cms.signer_info(
        certificate=identity.chain[0],
        digest_algorithm=described.digest_algorithm,
        signed_attributes=_attributes(described, identity, said),
        signature=signed.value,
        unsigned_attributes=() if token is None else (cms.attribute(ID_TIMESTAMP, token.der),),
    )
    if said.counter:
        return nuget_counter.message(identity, described.digest_algorithm, signer)
    return cms.build_signed_data(
        content_type=cms.ID_DATA,
        content=der.octet_string(content(described.digest_algorithm, described.digest)),
        digest_algorithm=described.digest_algorithm,
        certificates=identity.chain,
        signers=(signer,),
        version=1,
    )


def _attributes(described: Described, identity: Identity, said: Said) -> tuple[bytes, ...]:
    algorithm, digest = described.digest_algorithm, described.digest
    if len(digest) != DIGEST_SIZES[algorithm]:
        raise BadInput(f"A {algorithm} digest has {DIGEST_SIZES[algorithm]} octets; {len(digest)} were given.")
    message = digest if said.counter else hashlib.new(algorithm, content(algorithm, digest)).digest()
    bound_certificates.require_rsa(identity.chain, identity.scheme, "NuGet")
    origin = (cms.attribute(ID_COMMITMENT, der.sequence(der.oid(ID_ORIGIN))),)
    earliest = max(said.complete, certificates.read(identity.chain[0]).not_before)
    return (
        *(() if said.counter else (cms.attribute(cms.ID_CONTENT_TYPE, der.oid(cms.ID_DATA)),)),
        cms.attribute(cms.ID_MESSAGE_DIGEST, der.octet_string(message)),
        cms.attribute(cms.ID_SIGNING_TIME, der.utc_time(earliest)),
        *(origin if said.repository is None else nuget_counter.statements(said.repository)),
        bound_certificates.attribute(identity.chain),
    )


# -- judging -----------------------------------------------------------------------------------------------------------
def read(octets: bytes) -> Blob:
    """Cut a blob into its parts; BadInput where it is no signature of a NuGet package."""
    signed = cms.parse(octets)
    if signed.content_type != cms.ID_DATA or len(signed.signers) != 1:
        raise BadInput("The signature is none of a NuGet package: its content is no plain data, or of several signers.")
    stated = _CONTENT.fullmatch(signed.content_octets or b"")
    algorithm = None if stated is None else _BY_OID.get(stated.group(1).decode())
    try:
        digest = b"" if stated is None else base64.b64decode(stated.group(2) + b"=" * (-len(stated.group(2)) % 4))
    except binascii.Error:  # one character more than octets can make
        digest = b""
    if (
        algorithm is None
        or len(digest) != DIGEST_SIZES[algorithm]
        or signed.content_octets != content(algorithm, digest)
    ):
        raise BadInput("The signature is none of a NuGet package: its content does not state one hash of version 1.")
    signer = signed.signers[0]
    commitments = signer.attributes.get(ID_COMMITMENT, ())
    return Blob(
        signed=signed,
        signer=signer,
        digest_algorithm=algorithm,
        digest=digest,
        repository=any(der.oid(ID_RECEIPT) in one for one in commitments),
        timestamps=signer.unsigned.get(ID_TIMESTAMP, ()),
    )


def problems(blob: Blob, digest: bytes) -> Iterator[Problem]:
    """Say what is wrong with a signature over a package that hashes to ``digest``."""
    if digest != blob.digest:
        yield Problem(
            "digest-mismatch",
            f"The content has changed since it was signed: it hashes to {digest.hex()}, "
            f"and {blob.digest.hex()} is signed.",
        )
    try:
        for flaw in cms.flaws(blob.signed, blob.signer, content=blob.signed.content_octets or b""):
            yield Problem(flaw.code, flaw.text)
        signer = cms.signer_certificate(blob.signed, blob.signer)
        if signer is not None and certificates.family_of(certificates.outline(signer).spki) != Family.RSA:
            yield Problem("signature-algorithm", "It is signed with another key than RSA; NuGet knows no other.")
        if signer is not None and not bound_certificates.binds(blob.signer, blob.signed.certificates, signer):
            yield Problem("certificate-binding", "The certificates are not those whose hashes are under the signature.")
    except BadInput as error:
        yield Problem("malformed-signature", error.detail)
    expected = (ID_ORIGIN, ID_RECEIPT)
    if blob.signer.attributes.get(ID_COMMITMENT) not in [(der.sequence(der.oid(one)),) for one in expected]:
        yield Problem("commitment", "The signature does not say whether an author or a repository made it.")
    if blob.repository and nuget_counter.index_of(blob.signer) is None:
        yield Problem("commitment", "The signature is of a repository and does not say of which.")


def loose(blob: Blob) -> Iterator[Problem]:
    """Say what of a blob could be changed without its signature failing, timestamp tokens left out."""
    if blob.signed.ber:
        yield Problem("not-der", "The signature is not in DER, so it could be encoded otherwise.")
        return
    for kind in blob.signer.unsigned:
        if kind not in (ID_TIMESTAMP, ID_COUNTER_SIGNATURE):
            yield Problem("unsigned-attribute", f"The signature carries an attribute that nothing covers ({kind}).")
    if len(blob.signer.unsigned.get(ID_COUNTER_SIGNATURE, ())) > 1:
        yield Problem("several-counter-signatures", "The signature is counter-signed more than once.")
    if len(blob.timestamps) > 1:
        yield Problem("several-timestamps", f"The signature carries {len(blob.timestamps)} timestamps; one is judged.")
    try:
        rebuilt = with_unsigned(blob, {kind: tuple(blob.signer.unsigned[kind]) for kind in blob.signer.unsigned})
        bound = bound_certificates.bound(blob.signer, blob.signed.certificates)
    except BadInput as error:
        yield Problem("not-canonical", f"The signature could not be built anew: {error.detail}")
        return
    if rebuilt != blob.signed.der or blob.signed.version != (1 if blob.signer.version == 1 else 3):  # RFC 5652 5.1
        text = "The signature is not encoded as it would be written, so octets of it are loose."
        yield Problem("not-canonical", text)
    if len(bound) > 1 and tuple(bound) != blob.signed.certificates[: len(bound)]:
        yield Problem("certificate-order", "The certificates do not stand in the order in which they are signed.")
    for found in counters(blob):
        yield from nuget_counter.loose(found)


def countersigned(octets: bytes, counter: bytes) -> bytes:
    """Return an author's signature with a repository's in it; BadInput where it cannot take one."""
    blob = read(octets)
    if blob.signed.ber or blob.repository:
        raise BadInput("it is of a repository already." if blob.repository else "it is not in DER.")
    if ID_COUNTER_SIGNATURE in blob.signer.unsigned:
        raise BadInput("a repository has counter-signed it already, and NuGet takes one.")
    signer, chain = nuget_counter.parts(counter)
    more = (*blob.signed.certificates, *(one for one in chain if one not in blob.signed.certificates))
    return with_unsigned(blob, {**blob.signer.unsigned, ID_COUNTER_SIGNATURE: (signer,)}, more)


def counters(blob: Blob) -> list[Found]:
    """Return what has been counter-signed; BadInput for nonsense."""
    return list(nuget_counter.find(blob.signer, blob.signed.certificates))


def alone(blob: Blob) -> bytes:
    """Return the signature as it was before it was counter-signed, as far as that is known."""
    if ID_COUNTER_SIGNATURE not in blob.signer.unsigned:
        return blob.signed.der
    own = bound_certificates.bound(blob.signer, blob.signed.certificates)
    others = {one for found in counters(blob) for one in found.named} - set(own)
    kept = list(blob.signed.certificates)
    while kept and kept[-1] in others:
        kept.pop()
    unsigned = {kind: values for kind, values in blob.signer.unsigned.items() if kind != ID_COUNTER_SIGNATURE}
    return with_unsigned(blob, unsigned, tuple(kept))


def with_unsigned(
    blob: Blob, unsigned: Mapping[str, Sequence[bytes]], carried: tuple[bytes, ...] | None = None
) -> bytes:
    """Return the message built anew from its signed parts, with these unsigned attributes and certificates."""
    signed, signer = blob.signed, blob.signer
    certificate = cms.signer_certificate(signed, signer)
    if certificate is None or signer.signed_attributes is None or signer.digest_algorithm not in DIGEST_SIZES:
        raise BadInput("it lacks its signer's certificate, signed attributes or a digest of the SHA-2 family.")
    algorithm = next(name for name in DIGEST_SIZES if name == signer.digest_algorithm)
    info = cms.signer_info(
        certificate=certificate,
        digest_algorithm=algorithm,
        signed_attributes=[one.raw for one in der.children(der.read(signer.signed_attributes))],
        signature=signer.signature,
        unsigned_attributes=[cms.attribute(kind, *values) for kind, values in unsigned.items()],
        padding="pss" if signer.signature_algorithm == _RSA_PSS else "pkcs1v15",
    )
    return cms.build_signed_data(
        content_type=signed.content_type,
        content=signed.content,
        digest_algorithm=algorithm,
        certificates=signed.certificates if carried is None else carried,
        signers=(info,),
        version=signed.version,
    )
