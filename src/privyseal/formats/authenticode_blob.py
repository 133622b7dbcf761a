"""An Authenticode blob found in a file: cut into its parts, judged, and held against what we would have written.

Judging (:func:`judge`) says what is wrong with the signature itself, whoever made it. :func:`loose` says which octets
are under no signature, so that they could be changed unseen: it builds the blob anew from its parts and compares.
Whom the signer's certificate chains to, and whether the timestamp holds, is for others to say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from privyseal.errors import BadInput
from privyseal.formats import authenticode
from privyseal.formats.protocol import EmbeddedSignature, Problem
from privyseal.pki import algorithms, certificates, cms, der
from privyseal.terms.signatures import DIGEST_SIZES, DigestAlgorithm

MAX_SIGNATURES = 32
"""Signatures judged in one file, nested ones included; signtool's users nest one or two."""
MAX_DEPTH = 4
"""How deep signatures may be nested; signtool and osslsigncode nest all of them in the first."""


_REMEMBERED = 64 << 10
"""Octets of the largest blob that is kept cut; 64 of them are 4 MiB."""
_CONTENTS = {
    authenticode.ID_INDIRECT_DATA: "SpcIndirectDataContent",
    authenticode.ID_TRUST_LIST: "certificate trust list",
}
_RSA_PSS = "1.2.840.113549.1.1.10"


class Blob(msgspec.Struct, frozen=True, kw_only=True):
    """One signature's blob in its parts."""

    raw: bytes
    """The ContentInfo, DER, without the signatures nested in it: what ``finish`` returned, or another's like it."""
    whole: bytes
    """The same as it stands in the file."""
    signed: cms.SignedData
    """Of ``whole``."""
    signer: cms.SignerInfo
    subject: authenticode.Subject
    digest_algorithm: str
    digest: bytes
    nested: tuple[bytes, ...]
    timestamps: tuple[bytes, ...]
    program_name: str | None
    program_url: str | None
    bound: tuple[tuple[str, bytes], ...] | None
    """Algorithm and hash of each certificate in its signing-certificate-v2 attribute; None where it has none."""


class Found(msgspec.Struct, frozen=True):
    """A blob in its place among the signatures of a file, or why it is none."""

    octets: bytes
    depth: int
    blob: Blob | None
    error: str = ""


# -- cutting -----------------------------------------------------------------------------------------------------------
def read(octets: bytes, content_type: str = authenticode.ID_INDIRECT_DATA) -> Blob:
    """Cut a blob into its parts; BadInput where it is no Authenticode signature over content of that type.

    Of a trust list the subject is the type alone, and the digest that of the list, by the signer's algorithm.
    """
    return _read_before(octets, content_type) if len(octets) <= _REMEMBERED else _read(octets, content_type)


@lru_cache(maxsize=64)
def _read_before(octets: bytes, content_type: str) -> Blob:
    """Judging and looking for loose octets cut the same blob, one after the other; for small files that counts."""
    return _read(octets, content_type)


def _read(octets: bytes, content_type: str) -> Blob:
    signed = cms.parse(octets)
    if signed.content_type != content_type or signed.content is None:
        raise BadInput(f"The signature is no Authenticode signature: its content is no {_CONTENTS[content_type]}.")
    if signed.version != 1 or len(signed.signers) != 1:
        raise BadInput(
            f"The signature is of version {signed.version} and has {len(signed.signers)} signers; "
            "Authenticode has version 1 and one signer."
        )
    signer = signed.signers[0]
    subject, algorithm, digest = _subject(signed, signer)
    name, url = _opus_info(signer.attributes.get(authenticode.ID_OPUS_INFO, ()))
    nested = signer.unsigned.get(authenticode.ID_NESTED_SIGNATURE, ())
    return Blob(
        raw=_without_nested(signed) if nested else octets,
        whole=octets,
        signed=signed,
        signer=signer,
        subject=subject,
        digest_algorithm=algorithm,
        digest=digest,
        nested=nested,
        timestamps=signer.unsigned.get(authenticode.ID_TIMESTAMP, ()),
        program_name=name,
        program_url=url,
        bound=_bound(signer.attributes.get(authenticode.ID_SIGNING_CERTIFICATE)),
    )


def walk(blobs: Iterable[bytes], content_type: str = authenticode.ID_INDIRECT_DATA) -> Iterator[Found]:
    """Yield each blob and, behind it, those nested in it; too many or too deep ones end the walk with an error."""
    waiting = [(octets, 0) for octets in reversed(list(blobs))]
    count = 0
    while waiting:
        octets, depth = waiting.pop()
        count += 1
        if count > MAX_SIGNATURES or depth > MAX_DEPTH:
            limit = f"{MAX_SIGNATURES} signatures, nested at most {MAX_DEPTH} deep, are read"
            yield Found(octets, depth, None, f"The file carries more signatures than are read: {limit}.")
            return
        try:
            blob = read(octets, content_type)
        except BadInput as error:
            yield Found(octets, depth, None, error.detail)
            continue
        yield Found(octets, depth, blob)
        waiting += [(inner, depth + 1) for inner in reversed(blob.nested)]


def algorithms_of(found: Iterable[Found]) -> tuple[DigestAlgorithm, ...]:
    """Return the algorithms by which the content has to be hashed so that these can be judged; weak ones need none."""
    named = {one.blob.digest_algorithm for one in found if one.blob is not None}
    return tuple(name for name in DIGEST_SIZES if name in named)


def _subject(signed: cms.SignedData, signer: cms.SignerInfo) -> tuple[authenticode.Subject, str, bytes]:
    """Return what the content is about, and the algorithm and digest it states or has."""
    if signed.content_type == authenticode.ID_INDIRECT_DATA:
        return _indirect_data(signed.content or b"")
    algorithm = signer.digest_algorithm
    known = algorithm in DIGEST_SIZES
    digest = hashlib.new(algorithm, signed.content_octets or b"").digest() if known else b""
    return authenticode.Subject(signed.content_type, b""), algorithm, digest


def _indirect_data(content: bytes) -> tuple[authenticode.Subject, str, bytes]:
    fields = der.Fields(der.read(content), "An SpcIndirectDataContent")
    data = der.Fields(fields.take(der.SEQUENCE), "An SpcAttributeTypeAndOptionalValue")
    subject = authenticode.Subject(der.oid_of(data.take(der.OID)), data.rest() or b"")
    info = der.Fields(fields.take(der.SEQUENCE), "A DigestInfo")
    algorithm = algorithms.digest_name(info.take(der.SEQUENCE))
    digest = der.octets_of(info.take(der.OCTET_STRING))
    info.end()
    fields.end()
    return subject, algorithm, digest


def _bound(values: tuple[bytes, ...] | None) -> tuple[tuple[str, bytes], ...] | None:
    if values is None:
        return None
    if len(values) != 1:
        raise BadInput("The signature states its certificates more than once.")
    fields = der.Fields(der.read(values[0]), "A SigningCertificateV2")
    found = []
    for element in der.children(fields.take(der.SEQUENCE), cms.MAX_CERTIFICATES):
        entry = der.Fields(element, "An ESSCertIDv2")
        stated = entry.maybe(der.SEQUENCE)
        algorithm = "sha256" if stated is None else algorithms.digest_name(stated)
        if algorithm not in DIGEST_SIZES:
            raise BadInput(f"The signature names its certificates by {algorithm}; SHA-256 or stronger was expected.")
        found.append((algorithm, der.octets_of(entry.take(der.OCTET_STRING))))
    return tuple(found)


def _opus_info(values: tuple[bytes, ...]) -> tuple[str | None, str | None]:
    """Return program name and URL as far as they can be read; what cannot is nobody's reason to refuse a signature."""
    name = url = None
    try:
        for field in der.children(der.read(values[0])) if values else ():
            inner = der.children(field)[0]
            if field.tag == 0xA0 and inner.tag == 0x80:
                name = inner.content.decode("utf-16-be", "replace")
            elif field.tag == 0xA0 and inner.tag == 0x81:
                name = inner.content.decode("latin-1")
            elif field.tag == 0xA1 and inner.tag == 0x80:
                url = inner.content.decode("latin-1")
    except (BadInput, IndexError):
        pass
    return name, url


def _without_nested(signed: cms.SignedData) -> bytes:
    """Return the ContentInfo without the nested signatures; all else keeps its octets."""
    unsigned = signed.signers[0].unsigned
    kept = [kind for kind in unsigned if kind != authenticode.ID_NESTED_SIGNATURE]
    return with_unsigned(signed, [cms.attribute(kind, *unsigned[kind]) for kind in kept])


def with_unsigned(signed: cms.SignedData, attributes: Sequence[bytes]) -> bytes:
    """Return the ContentInfo of one signer with these unsigned attributes in place of its own."""
    kept = [field.raw for field in der.children(der.read(signed.signers[0].raw)) if field.tag != 0xA1]
    if attributes:
        kept.append(b"\xa1" + der.set_of(*attributes)[1:])
    outer = der.children(der.read(signed.der))
    inner = [field.raw for field in der.children(der.children(outer[1])[0])]
    return der.sequence(outer[0].raw, der.explicit(0, der.sequence(*inner[:-1], der.set_of(der.sequence(*kept)))))


# -- judging -----------------------------------------------------------------------------------------------------------
def judge(
    found: Found, index: int, kind: str, subject: authenticode.Subject, digests: Mapping[str, bytes]
) -> EmbeddedSignature:
    """Judge one signature of the format ``kind``, whose content has ``digests``, by algorithm."""
    blob = found.blob
    if blob is None:
        return EmbeddedSignature(
            format=kind,
            blob=found.octets,
            index=index,
            nested=found.depth > 0,
            digest_algorithm="",
            digest=b"",
            signature_value=b"",
            signer=None,
            certificates=(),
            timestamp=None,
            problems=(Problem("malformed-signature", found.error),),
        )
    return EmbeddedSignature(
        format=kind,
        blob=blob.raw,
        index=index,
        nested=found.depth > 0,
        digest_algorithm=blob.digest_algorithm,
        digest=blob.digest,
        signature_value=blob.signer.signature,
        signer=cms.signer_certificate(blob.signed, blob.signer),
        certificates=blob.signed.certificates,
        timestamp=blob.timestamps[0] if blob.timestamps else None,
        program_name=blob.program_name,
        program_url=blob.program_url,
        problems=tuple(_problems(blob, subject, digests)),
    )


def _problems(blob: Blob, subject: authenticode.Subject, digests: Mapping[str, bytes]) -> Iterator[Problem]:
    if not authenticode.same_kind(blob.subject, subject):
        known = authenticode.SUBJECTS.items()
        kind = next((name for name, one in known if authenticode.same_kind(one, blob.subject)), blob.subject.kind)
        yield Problem("other-format", f"The signature is about another kind of file ({kind}).")
    algorithm = blob.digest_algorithm
    if algorithm not in DIGEST_SIZES:
        yield Problem("weak-digest", f"The content is hashed with {algorithm}; SHA-256 or stronger was expected.")
    elif digests[algorithm] != blob.digest:
        yield Problem(
            "digest-mismatch",
            f"The content has changed since it was signed: it hashes to {digests[algorithm].hex()}, "
            f"and {blob.digest.hex()} is signed.",
        )
    try:
        for flaw in cms.flaws(blob.signed, blob.signer, content=blob.signed.content_octets or b""):
            yield Problem(flaw.code, flaw.text)
        yield from _binding_problems(blob)
        signer = cms.signer_certificate(blob.signed, blob.signer)
        family = None if signer is None else certificates.family_of(certificates.outline(signer).spki)
        if family is not None and family not in authenticode.FAMILIES:
            yield Problem("signature-algorithm", f"It is signed with {family}; Authenticode knows RSA and ECDSA.")
    except BadInput as error:
        yield Problem("malformed-signature", error.detail)


def _binding_problems(blob: Blob) -> Iterator[Problem]:
    if blob.bound is None:
        return
    signer = cms.signer_certificate(blob.signed, blob.signer)
    named = [_named(entry, blob.signed.certificates) for entry in blob.bound]
    if not named or None in named or signer != named[0]:
        yield Problem("certificate-binding", "The certificates are not those whose hashes are under the signature.")


@lru_cache(maxsize=64)  # asked three times of every blob, and the certificates of a build are the same; 20 KiB each
def _named(entry: tuple[str, bytes], carried: tuple[bytes, ...]) -> bytes | None:
    algorithm, digest = entry
    return next((one for one in carried if hashlib.new(algorithm, one).digest() == digest), None)


# -- loose octets ------------------------------------------------------------------------------------------------------
def unbound(found: Iterable[Found], deepest: int = 1, who: str = "Windows does") -> Iterator[Problem]:
    """Say of each blob whether it can be read, is nested deeper than ``who`` looks, and what is :func:`loose` in it."""
    for one in found:
        if one.blob is None:
            yield Problem("malformed-signature", one.error)
            continue
        if one.depth > deepest:
            yield Problem("nesting", f"A signature is nested where {who} not look for it.")
        yield from loose(one.blob)


def loose(blob: Blob) -> Iterator[Problem]:
    """Say what of a blob could be changed without any signature in it failing, timestamp tokens left out."""
    if blob.signed.ber:
        yield Problem("not-der", "The signature is not in DER, so it could be encoded otherwise.")
        return
    known = (authenticode.ID_TIMESTAMP, authenticode.ID_NESTED_SIGNATURE)
    for kind in blob.signer.unsigned:
        if kind not in known:
            yield Problem("unsigned-attribute", f"The signature carries an attribute that nothing covers ({kind}).")
    named = tuple(_named(entry, blob.signed.certificates) for entry in blob.bound or ())
    if named != blob.signed.certificates[: len(named)]:
        yield Problem("certificate-order", "The certificates do not stand in the order in which they are signed.")
    if len(blob.timestamps) > 1:
        yield Problem("several-timestamps", f"The signature carries {len(blob.timestamps)} timestamps; one is judged.")
    try:
        rebuilt = _rebuilt(blob)
        yield from unused(blob.signed, blob.signer, blob.bound or ())
        for token in blob.timestamps[:1]:
            signed = cms.parse(token)
            for signer in signed.signers:
                yield from unused(signed, signer)
    except BadInput as error:
        yield Problem("not-canonical", f"The signature could not be built anew: {error.detail}")
        return
    if rebuilt != blob.whole:
        yield Problem(
            "not-canonical", "The signature is not encoded as it would be written, so octets of it are loose."
        )


def _rebuilt(blob: Blob) -> bytes:
    """Build the blob from its signed parts alone, in the one way in which we write it."""
    signer, signed = blob.signer, blob.signed
    certificate = cms.signer_certificate(signed, signer)
    if certificate is None or signer.signed_attributes is None or signer.digest_algorithm not in DIGEST_SIZES:
        raise BadInput("it lacks its signer's certificate, signed attributes or a digest of the SHA-2 family.")
    algorithm = next(name for name in DIGEST_SIZES if name == signer.digest_algorithm)
    unsigned = [
        cms.attribute(kind, *signer.unsigned[kind])
        for kind in (authenticode.ID_TIMESTAMP, authenticode.ID_NESTED_SIGNATURE)
        if kind in signer.unsigned
    ]
    info = cms.signer_info(
        certificate=certificate,
        digest_algorithm=algorithm,
        signed_attributes=[one.raw for one in der.children(der.read(signer.signed_attributes))],
        signature=signer.signature,
        unsigned_attributes=unsigned,
        padding="pss" if signer.signature_algorithm == _RSA_PSS else "pkcs1v15",
    )
    return cms.build_signed_data(
        content_type=signed.content_type,
        content=signed.content,
        digest_algorithm=algorithm,
        certificates=signed.certificates,
        signers=(info,),
        version=1,
    )


def unused(
    signed: cms.SignedData, signer: cms.SignerInfo, bound: tuple[tuple[str, bytes], ...] = ()
) -> Iterator[Problem]:
    """Name each certificate that neither ``bound`` hashes name nor a signature binds on the way up from the signer."""
    named = [_named(entry, signed.certificates) for entry in bound]
    return unclaimed(signed.certificates, cms.signer_certificate(signed, signer), named)


def unclaimed(carried: Sequence[bytes], signer: bytes | None, bound: Iterable[bytes | None] = ()) -> Iterator[Problem]:
    """Name each carried certificate that is neither ``bound`` nor, by its signature, on the way up from the signer."""
    used = set(bound)
    current = signer
    while current is not None:
        used.add(current)
        current = next((one for one in carried if one not in used and _issued(current, one)), None)
    for one in carried:
        if one not in used:
            yield Problem("unused-certificate", f"The signature carries a certificate without use: {_name(one)}.")


@lru_cache(maxsize=512)
def _issued(child: bytes, issuer: bytes) -> bool:
    """Tell whether one certificate names the other as its issuer and holds a signature by its key."""
    try:
        if certificates.outline(child).issuer != certificates.outline(issuer).subject:
            return False
        certificates.load(child).verify_directly_issued_by(certificates.load(issuer))
    except (BadInput, InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def _name(certificate: bytes) -> str:
    try:
        return certificates.read(certificate).subject
    except BadInput:
        return "one that cannot be read"
