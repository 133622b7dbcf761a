"""The signature in an ``.rdp`` file: twelve octets, a PKCS#7 message over the signed text, and the line they stand in.

``rdpsign.exe`` signs the text itself, without signed attributes, and so does this: nobody has shown that Remote Desktop
reads others. So no hash binds the certificates; each but the highest is bound by its issuer's signature.

A timestamp is the unsigned attribute of RFC 3161 appendix A. Windows is not known to look at it here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from privyseal.errors import BadInput
from privyseal.formats import authenticode_blob, rdp_settings
from privyseal.formats.protocol import Identity, Problem
from privyseal.formats.rdp_settings import SIGNATURE, RdpLayout
from privyseal.pki import certificates, cms, der
from privyseal.terms.signatures import DIGEST_SIZES, DigestAlgorithm, Family, Signature, TimestampToken, ToBeSigned

MAX_SIGNATURE: Final = 256 << 10
"""Octets of a signature, with certificates and timestamp; usual ones have 10 KiB."""
MAX_CHAIN: Final = 16
"""Certificates put into one signature; the longest code signing chains have 4."""
ID_TIMESTAMP: Final = "1.2.840.113549.1.9.16.2.14"
"""The unsigned attribute of a timestamp (RFC 3161 appendix A)."""

_HEAD = struct.Struct("<III")
_VERSION, _KIND = 0x00010001, 1
_WIDTH = 64
_RSA_PSS = "1.2.840.113549.1.1.10"


class Blob(msgspec.Struct, frozen=True, kw_only=True):
    """A signature in its parts."""

    raw: bytes
    """The PKCS#7 message, DER."""
    signed: cms.SignedData
    signer: cms.SignerInfo

    @property
    def timestamps(self) -> tuple[bytes, ...]:
        """Return the RFC 3161 tokens it carries."""
        return self.signer.unsigned.get(ID_TIMESTAMP, ())


# -- the line ----------------------------------------------------------------------------------------------------------
def value(blob: bytes) -> str:
    """Return what stands behind ``signature:s:``, as ``rdpsign.exe`` has it: two blanks behind every 64 characters."""
    encoded = base64.b64encode(_HEAD.pack(_VERSION, _KIND, len(blob)) + blob).decode("ascii")
    return "".join(encoded[at : at + _WIDTH] + "  " for at in range(0, len(encoded), _WIDTH))


def of_line(written: str) -> bytes:
    """Return the PKCS#7 message in a signature line's value; BadInput where it holds none."""
    if len(written) > 2 * MAX_SIGNATURE:
        raise BadInput(f"The signature has {len(written)} characters; at most {2 * MAX_SIGNATURE} are read.")
    try:
        octets = base64.b64decode("".join(written.split()).encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error, ValueError):
        raise BadInput("The signature is no base64.") from None
    if len(octets) < _HEAD.size or _HEAD.unpack_from(octets) != (_VERSION, _KIND, len(octets) - _HEAD.size):
        raise BadInput("The signature does not begin with its version, 1.1, its kind, 1, and its length.")
    return octets[_HEAD.size :]


def as_written(layout: RdpLayout, blob: bytes) -> bool:
    """Tell whether the signature's line is one that is written here or by others, so that no octet of it is loose.

    Some leave the blanks out. Its name begins as the scope's does, which is signed.
    """
    line, scope = layout.find(SIGNATURE), layout.find(rdp_settings.SCOPE)
    if line is None or scope is None:
        return False
    name = SIGNATURE.title() if scope.text.startswith("S") else SIGNATURE
    wide = value(blob)
    return line.text in {f"{name}:s:{one}" for one in (wide, wide.rstrip(), wide.replace(" ", ""))}


# -- making ------------------------------------------------------------------------------------------------------------
def to_be_signed(text: bytes, algorithm: DigestAlgorithm, identity: Identity) -> ToBeSigned:
    """Return the octets a key signs: the text. BadInput where the identity is no RSA chain."""
    if not 1 <= len(identity.chain) <= MAX_CHAIN:
        raise BadInput(f"A signature carries from 1 to {MAX_CHAIN} certificates; {len(identity.chain)} were given.")
    actual = certificates.scheme_of(certificates.outline(identity.chain[0]).spki)
    if actual.name != identity.scheme:
        raise BadInput(
            f"The signer's certificate is for a key of scheme {actual.name}, and {identity.scheme} was named."
        )
    if actual.family != Family.RSA:
        raise BadInput(
            f"RDP files are signed with RSA keys; the certificate is for one of scheme {actual.name}.",
            hint="sign with an RSA key",
        )
    return ToBeSigned(text, algorithm)


def finish(expected: ToBeSigned, identity: Identity, signed: Signature, token: TimestampToken | None) -> bytes:
    """Return the PKCS#7 message, DER; BadInput where ``signed`` is a signature over other octets."""
    if signed.to_be_signed != expected:
        raise BadInput("The signature is over other octets than this description and identity make.")
    unsigned = () if token is None else (cms.attribute(ID_TIMESTAMP, token.der),)
    info = cms.signer_info(
        certificate=identity.chain[0],
        digest_algorithm=expected.digest_algorithm,
        signed_attributes=(),
        signature=signed.value,
        unsigned_attributes=unsigned,
    )
    return _message(identity.chain, info, expected.digest_algorithm)


def timestamped(octets: bytes, token: TimestampToken) -> bytes:
    """Return a message with a token in place of those it carries; BadInput where it cannot take one."""
    blob = read(octets)
    if blob.signed.ber:
        raise BadInput("It is not in DER.")
    return cms.with_unsigned_attribute(octets, ID_TIMESTAMP, token.der, replace=True)


def _message(chain: Sequence[bytes], info: bytes, algorithm: DigestAlgorithm) -> bytes:
    return cms.build_signed_data(
        content_type=cms.ID_DATA,
        content=None,
        digest_algorithm=algorithm,
        certificates=chain,
        signers=(info,),
        version=1,
    )


# -- judging -----------------------------------------------------------------------------------------------------------
def read(octets: bytes) -> Blob:
    """Cut a message into its parts; BadInput where it is no signature of an RDP file."""
    signed = cms.parse(octets)
    if signed.content_type != cms.ID_DATA or signed.content is not None or len(signed.signers) != 1:
        raise BadInput("The signature is none of an RDP file: it holds content, or is not of one signer.")
    return Blob(raw=octets, signed=signed, signer=signed.signers[0])


def digest_of(blob: Blob, text: bytes) -> bytes:
    """Return what the signature says the text hashes to: as no attribute states it, what the text does hash to."""
    if blob.signer.digest_algorithm not in DIGEST_SIZES:
        return b""
    stated = blob.signer.attributes.get(cms.ID_MESSAGE_DIGEST, ())
    if len(stated) == 1 and stated[0][:1] == b"\x04":
        return der.octets_of(der.read(stated[0]))
    return hashlib.new(blob.signer.digest_algorithm, text).digest()


def problems(blob: Blob, text: bytes) -> Iterator[Problem]:
    """Say what is wrong with a signature over this text."""
    try:
        for flaw in cms.flaws(blob.signed, blob.signer, content=text):
            yield Problem(flaw.code, flaw.text)
        signer = cms.signer_certificate(blob.signed, blob.signer)
        if signer is not None and certificates.family_of(certificates.outline(signer).spki) != Family.RSA:
            yield Problem("signature-algorithm", "It is signed with another key than RSA; rdpsign takes no other.")
    except BadInput as error:
        yield Problem("malformed-signature", error.detail)


def loose(blob: Blob) -> Iterator[Problem]:
    """Say what of a message could be changed without its signature failing, timestamp tokens left out."""
    if blob.signed.ber:
        yield Problem("not-der", "The signature is not in DER, so it could be encoded otherwise.")
        return
    for kind in blob.signer.unsigned:
        if kind != ID_TIMESTAMP:
            yield Problem("unsigned-attribute", f"The signature carries an attribute that nothing covers ({kind}).")
    if len(blob.timestamps) > 1:
        yield Problem("several-timestamps", f"The signature carries {len(blob.timestamps)} timestamps; one is judged.")
    try:
        rebuilt = _rebuilt(blob)
        yield from authenticode_blob.unused(blob.signed, blob.signer)
    except BadInput as error:
        yield Problem("not-canonical", f"The signature could not be built anew: {error.detail}")
        return
    if rebuilt != blob.raw:
        text = "The signature is not encoded as it would be written, so octets of it are loose."
        yield Problem("not-canonical", text)


def _rebuilt(blob: Blob) -> bytes:
    signer = blob.signer
    certificate = cms.signer_certificate(blob.signed, signer)
    algorithm = next((name for name in DIGEST_SIZES if name == signer.digest_algorithm), None)
    if certificate is None or algorithm is None:
        raise BadInput("it lacks its signer's certificate or a digest of the SHA-2 family.")
    signed = () if signer.signed_attributes is None else der.children(der.read(signer.signed_attributes))
    info = cms.signer_info(
        certificate=certificate,
        digest_algorithm=algorithm,
        signed_attributes=[one.raw for one in signed],
        signature=signer.signature,
        unsigned_attributes=[cms.attribute(kind, *values) for kind, values in signer.unsigned.items()],
        padding="pss" if signer.signature_algorithm == _RSA_PSS else "pkcs1v15",
    )
    return _message(blob.signed.certificates, info, algorithm)
