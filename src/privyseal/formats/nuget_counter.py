"""What a repository says of a NuGet package: in a signature of its own, or counter-signing the author's.

Source: NuGet, "Repository Signatures and Countersignatures Technical Specification". A repository states that it has
received the package (RFC 5126 5.11.1, proof of receipt), at which V3 service index it serves it, and whose it is. A
counter-signature (RFC 5652 11.4) is over the value of the author's signature and stands among its unsigned attributes,
so nothing of the author's changes; its certificates come to the author's in the message.

What the log binds of a counter-signature is a message of its own: its SignerInfo and the certificates under it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

import msgspec

from privyseal.errors import BadInput
from privyseal.formats import bound_certificates
from privyseal.formats.protocol import EmbeddedSignature, Identity, Problem
from privyseal.pki import certificates, cms, der
from privyseal.terms.signatures import DIGEST_SIZES, DigestAlgorithm, Family, Options

ID_COUNTER_SIGNATURE: Final = "1.2.840.113549.1.9.6"
ID_TIMESTAMP: Final = "1.2.840.113549.1.9.16.2.14"
ID_COMMITMENT: Final = "1.2.840.113549.1.9.16.2.16"
ID_RECEIPT: Final = "1.2.840.113549.1.9.16.6.2"
"""What a repository commits itself to: that it has received the package."""
ID_INDEX: Final = "1.3.6.1.4.1.311.84.2.1.1.1"
"""nuget-v3-service-index-url."""
ID_OWNERS: Final = "1.3.6.1.4.1.311.84.2.1.1.2"
"""nuget-package-owners."""
MAX_URL: Final = 2048
"""Characters of a service index's address."""
MAX_OWNERS: Final = 64
"""Owners of a package; those of nuget.org have a handful."""
MAX_OWNER: Final = 256
"""Characters of an owner's name; nuget.org allows 64."""


class Repository(msgspec.Struct, frozen=True):
    """Who signs as a repository."""

    index: str
    """The address of its V3 service index."""
    owners: tuple[str, ...]


def of_options(options: Options) -> Repository | None:
    """Return the repository that the options name, None for an author; BadInput where it is none."""
    if options.nuget_repository is None:
        if options.nuget_owners:
            raise BadInput("Owners of a package are for a repository to state.", hint="--nuget-repository URL")
        return None
    index = options.nuget_repository
    try:
        parts = urlsplit(index)
    except ValueError:
        parts = urlsplit("")
    if (
        parts.scheme != "https"
        or not parts.hostname
        or len(index) > MAX_URL
        or not (index.isascii() and index.isprintable())
    ):
        raise BadInput(
            f"The V3 service index of a repository is an https address of at most {MAX_URL} ASCII characters.",
            hint="such as https://api.nuget.org/v3/index.json",
        )
    owners = options.nuget_owners
    if len(owners) > MAX_OWNERS or not all(0 < len(one) <= MAX_OWNER and one.isprintable() for one in owners):
        raise BadInput(f"A package has at most {MAX_OWNERS} owners, each of 1 to {MAX_OWNER} printable characters.")
    return Repository(index, owners)


def statements(repository: Repository) -> tuple[bytes, ...]:
    """Return the signed attributes by which a repository says what it is."""
    owners = der.sequence(*map(der.utf8_string, repository.owners))
    return (
        cms.attribute(ID_COMMITMENT, der.sequence(der.oid(ID_RECEIPT))),
        cms.attribute(ID_INDEX, der.ia5_string(repository.index)),
        *((cms.attribute(ID_OWNERS, owners),) if repository.owners else ()),
    )


def index_of(signer: cms.SignerInfo) -> str | None:
    """Return the service index that a signer states, None where it states none that could be one."""
    values = signer.attributes.get(ID_INDEX, ())
    text = der.read(values[0]).content.decode("ascii", "replace") if len(values) == 1 else ""
    return text if text.startswith("https://") and text.isprintable() and len(text) <= MAX_URL else None


# -- the message that the log binds ------------------------------------------------------------------------------------
def message(identity: Identity, digest: DigestAlgorithm, signer: bytes) -> bytes:
    """Return a counter-signature as a message of its own."""
    return _message(identity.chain, digest, signer)


def _message(chain: tuple[bytes, ...], digest: DigestAlgorithm, signer: bytes) -> bytes:
    return cms.build_signed_data(
        content_type=cms.ID_DATA,
        content=None,
        digest_algorithm=digest,
        certificates=chain,
        signers=(signer,),
        version=1,
    )


def parts(blob: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    """Return the SignerInfo and the certificates of such a message; BadInput where it is none."""
    signed = cms.parse(blob)
    if len(signed.signers) != 1 or signed.content is not None:
        raise BadInput("The counter-signature is no message by one signer without content.")
    return signed.signers[0].raw, signed.certificates


# -- judging -----------------------------------------------------------------------------------------------------------
class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A counter-signature that stands in an author's signature."""

    signed: cms.SignedData
    """The message of its own, as it would have been made."""
    named: tuple[bytes | None, ...]
    """The certificates under it, None for each that is not carried."""

    @property
    def signer(self) -> cms.SignerInfo:
        """Return who made it."""
        return self.signed.signers[0]


def find(primary: cms.SignerInfo, carried: tuple[bytes, ...]) -> Iterator[Found]:
    """Yield the counter-signatures of a signature whose message carries these certificates; BadInput for nonsense."""
    for raw in primary.unsigned.get(ID_COUNTER_SIGNATURE, ()):
        (signer,) = cms.parse(_message((), "sha256", raw)).signers
        named = tuple(bound_certificates.bound(signer, carried))
        chain = tuple(one for one in named if one is not None)
        yield Found(signed=cms.parse(_message(chain, _algorithm(signer), raw)), named=named)


def _algorithm(signer: cms.SignerInfo) -> DigestAlgorithm:
    found = next((name for name in DIGEST_SIZES if name == signer.digest_algorithm), None)
    if found is None:
        raise BadInput(f"The counter-signature is by {signer.digest_algorithm}; SHA-2 was expected.")
    return found


def judge(found: Found, index: int, name: str, digests: Mapping[DigestAlgorithm, bytes]) -> EmbeddedSignature:
    """Judge a counter-signature; ``digests`` are of the value that it is over, by algorithm."""
    signer = found.signer
    algorithm = _algorithm(signer)
    certificate = cms.signer_certificate(found.signed, signer)
    stated = signer.attributes.get(cms.ID_MESSAGE_DIGEST, ())
    # Of what it is over only the digest is known here, and no type of content is stated (RFC 5652 11.4).
    flaws = cms.flaws(found.signed, signer, content=b"")
    problems = [Problem(one.code, one.text) for one in flaws if one.code not in ("message-digest", "content-type")]
    if stated != (der.octet_string(digests[algorithm]),):
        problems.append(Problem("message-digest", "The counter-signature is not over the author's signature."))
    if cms.ID_CONTENT_TYPE in signer.attributes or signer.signed_attributes is None:
        problems.append(Problem("signed-attributes", "The counter-signature has not the attributes of one."))
    if certificate is not None and certificates.family_of(certificates.outline(certificate).spki) != Family.RSA:
        problems.append(Problem("signature-algorithm", "It is signed with another key than RSA; NuGet knows no other."))
    if None in found.named or not found.named or found.named[0] != certificate:
        text = "The certificates are not those whose hashes are under the counter-signature."
        problems.append(Problem("certificate-binding", text))
    if signer.attributes.get(ID_COMMITMENT) != (der.sequence(der.oid(ID_RECEIPT)),) or index_of(signer) is None:
        problems.append(Problem("commitment", "The counter-signature does not say of which repository it is."))
    stamps = signer.unsigned.get(ID_TIMESTAMP, ())
    return EmbeddedSignature(
        format=name,
        blob=found.signed.der,
        index=index,
        nested=True,
        digest_algorithm=algorithm,
        digest=der.octets_of(der.read(stated[0])) if len(stated) == 1 else b"",
        signature_value=signer.signature,
        signer=certificate,
        certificates=found.signed.certificates,
        timestamp=stamps[0] if stamps else None,
        program_url=index_of(signer),
        problems=tuple(problems),
    )


def loose(found: Found) -> Iterator[Problem]:
    """Say what of a counter-signature could be changed without it failing, timestamp tokens left out."""
    signer = found.signer
    for kind in signer.unsigned:
        if kind != ID_TIMESTAMP:
            yield Problem("unsigned-attribute", f"A counter-signature has an attribute that nothing covers ({kind}).")
    if len(signer.unsigned.get(ID_TIMESTAMP, ())) > 1:
        yield Problem("several-timestamps", "A counter-signature carries several timestamps; one is judged.")
    if _rebuilt(found, [cms.attribute(kind, *values) for kind, values in signer.unsigned.items()]) != signer.raw:
        yield Problem("not-canonical", "A counter-signature is not encoded as it would be written.")


def stamped(found: Found, token: bytes) -> bytes:
    """Return the SignerInfo with a timestamp in place of the one that is there; BadInput where it cannot take one."""
    signer = _rebuilt(found, [cms.attribute(ID_TIMESTAMP, token)])
    if signer is None:
        raise BadInput("It lacks its signer's certificate or signed attributes.")
    return signer


def _rebuilt(found: Found, unsigned: Sequence[bytes]) -> bytes | None:
    """Return the SignerInfo as it would be written; None where that is not known."""
    signer, certificate = found.signer, cms.signer_certificate(found.signed, found.signer)
    if certificate is None or signer.signed_attributes is None:
        return None
    return cms.signer_info(
        certificate=certificate,
        digest_algorithm=_algorithm(signer),
        signed_attributes=[one.raw for one in der.children(der.read(signer.signed_attributes))],
        signature=signer.signature,
        unsigned_attributes=unsigned,
    )
