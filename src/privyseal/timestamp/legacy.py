"""The timestamps that Authenticode had before RFC 3161: a PKCS #9 counter-signature, asked for in base64.

Microsoft documents it as "Time Stamping Authenticode Signatures". Old tools ask so (``signtool /t``, ``osslsigncode
-t``). Nothing binds the authority's certificate but the signature, there is no serial number, no nonce and no policy;
so it is answered only where an operator asks for it, and never with a publicly trusted key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime

from privyseal.errors import BadInput
from privyseal.pki import certificates, cms, der
from privyseal.terms.signatures import ToBeSigned

ID_TIMESTAMP_REQUEST = "1.3.6.1.4.1.311.3.2.1"
"""SPC_TIME_STAMP_REQUEST_OBJID."""
MAX_REQUEST_OCTETS = 16 << 10
"""Octets of a request in base64; one for an RSA-4096 signature has about 800."""
MAX_SIGNATURE_OCTETS = 2048
"""Octets of the signature that is stamped; one of RSA-8192 has half."""


def read_request(octets: bytes) -> bytes:
    """Return the signature value that is to be stamped; BadInput if the octets are no such request."""
    if len(octets) > MAX_REQUEST_OCTETS:
        raise BadInput(f"The request has {len(octets)} octets; at most {MAX_REQUEST_OCTETS} are read.")
    try:
        raw = base64.b64decode(b"".join(octets.split()).rstrip(b"\0"), validate=True)
    except binascii.Error:
        raise BadInput("The request is not base64.") from None
    fields = der.Fields(der.read(raw), "A timestamp request of Authenticode")
    if der.oid_of(fields.take(der.OID)) != ID_TIMESTAMP_REQUEST:
        raise BadInput("The request is not one for an Authenticode timestamp.")
    first = fields.take()
    content = first if first.tag == der.SEQUENCE else fields.take(der.SEQUENCE)  # attributes are a SET, and unused
    fields.end()
    inner = der.Fields(content, "A ContentInfo")
    if der.oid_of(inner.take(der.OID)) != cms.ID_DATA:
        raise BadInput("The request's content is no data.")
    (value,) = _only(inner.take(0xA0))
    inner.end()
    signature = der.octets_of(value)
    if not 0 < len(signature) <= MAX_SIGNATURE_OCTETS:
        raise BadInput(f"A signature of {len(signature)} octets cannot be stamped.")
    return signature


def _only(element: der.Element) -> list[der.Element]:
    found = der.children(element, 2)
    if len(found) != 1:
        raise BadInput("A ContentInfo holds one thing.")
    return found


def answer(
    signature: bytes, chain: Sequence[bytes], moment: datetime, sign: Callable[[list[ToBeSigned]], list[bytes]]
) -> bytes:
    """Return the reply, base64: a SignedData over the signature value, with the time among what is signed.

    ``chain`` is DER, the authority's own certificate first. The digest is the one that signed that certificate.
    """
    algorithm = certificates.signature_digest(chain[0])
    attributes = signed_attributes(signature, chain, moment)
    (value,) = sign([ToBeSigned(cms.attributes_to_be_signed(attributes), algorithm)])
    signer = cms.signer_info(
        certificate=chain[0], digest_algorithm=algorithm, signed_attributes=attributes, signature=value
    )
    data = cms.build_signed_data(
        content_type=cms.ID_DATA,
        content=der.octet_string(signature),
        digest_algorithm=algorithm,
        certificates=chain,
        signers=[signer],
        version=1,
    )
    return base64.encodebytes(data)


def signed_attributes(signature: bytes, chain: Sequence[bytes], moment: datetime) -> list[bytes]:
    """Return what the authority signs (RFC 2985 5.3.6: content type, digest and signing time), each an Attribute."""
    digest = hashlib.new(certificates.signature_digest(chain[0]), signature).digest()
    return [
        cms.attribute(cms.ID_CONTENT_TYPE, der.oid(cms.ID_DATA)),
        cms.attribute(cms.ID_SIGNING_TIME, der.utc_time(moment)),
        cms.attribute(cms.ID_MESSAGE_DIGEST, der.octet_string(digest)),
    ]
