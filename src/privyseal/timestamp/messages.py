"""What client and authority say to each other: TimeStampReq and TimeStampResp (RFC 3161 2.4)."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from privyseal.errors import BadInput, TimestampUnavailable
from privyseal.pki import algorithms, ber, der
from privyseal.terms.signatures import DIGEST_SIZES, DigestAlgorithm

QUERY_TYPE = "application/timestamp-query"
"""Media type of a TimeStampReq (RFC 3161 3.4)."""
REPLY_TYPE = "application/timestamp-reply"
"""Media type of a TimeStampResp (RFC 3161 3.4)."""

MAX_REQUEST_OCTETS = 16 << 10
"""Octets of a request; one with a SHA-512 imprint, nonce and policy has about 110."""
MAX_RESPONSE_OCTETS = 1 << 20
"""Octets of a response; the longest met, with a chain of four RSA-4096 certificates, has 9,000."""
MAX_NONCE_BITS = 1024
"""Bits of a nonce; clients send 64."""


class Failure(IntEnum):
    """PKIFailureInfo: the bit that says why there is no token (RFC 3161 2.4.2)."""

    BAD_ALG = 0
    BAD_REQUEST = 2
    BAD_DATA_FORMAT = 5
    TIME_NOT_AVAILABLE = 14
    UNACCEPTED_POLICY = 15
    UNACCEPTED_EXTENSION = 16
    ADD_INFO_NOT_AVAILABLE = 17
    SYSTEM_FAILURE = 25


_FAILURES = {
    Failure.BAD_ALG: "unrecognized or unsupported algorithm",
    Failure.BAD_REQUEST: "request not permitted or supported",
    Failure.BAD_DATA_FORMAT: "data in the wrong format",
    Failure.TIME_NOT_AVAILABLE: "time source not available",
    Failure.UNACCEPTED_POLICY: "policy not supported",
    Failure.UNACCEPTED_EXTENSION: "extension not supported",
    Failure.ADD_INFO_NOT_AVAILABLE: "additional information not available",
    Failure.SYSTEM_FAILURE: "system failure",
}
_STATUSES = {
    0: "granted",
    1: "granted with modifications",
    2: "rejection",
    3: "waiting",
    4: "revocation warning",
    5: "revocation notification",
}


class TimestampRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A TimeStampReq as it was sent."""

    imprint: bytes
    """The MessageImprint, one raw element; a token repeats it as it stands."""
    digest_algorithm: str
    """As in ``hashlib``, also those an authority refuses; a dotted OID if unknown."""
    digest: bytes
    policy: str | None
    nonce: int | None
    certificates: bool
    """The client wants the authority's certificates in the token."""
    extensions: tuple[str, ...]
    """Dotted OIDs of the extensions asked for."""
    version: int = 1
    """1 is all there is; an authority refuses others."""


def message_imprint(algorithm: DigestAlgorithm, digest: bytes) -> bytes:
    """Return a MessageImprint, DER; BadInput if the digest has not the algorithm's size."""
    if len(digest) != DIGEST_SIZES[algorithm]:
        raise BadInput(f"A {algorithm} digest has {DIGEST_SIZES[algorithm]} octets; {len(digest)} were given.")
    return der.sequence(algorithms.digest_identifier(algorithm), der.octet_string(digest))


def imprint_parts(element: der.Element) -> tuple[str, bytes]:
    """Return algorithm name and digest of a MessageImprint; BadInput if it is none or of a wrong size."""
    fields = der.Fields(element, "A MessageImprint")
    name = algorithms.digest_name(fields.take(der.SEQUENCE))
    digest = der.octets_of(fields.take(der.OCTET_STRING))
    fields.end()
    for known, size in DIGEST_SIZES.items():
        if name == known and len(digest) != size:
            raise BadInput(f"A {name} digest has {size} octets; the imprint's has {len(digest)}.")
    return name, digest


def build_request(
    algorithm: DigestAlgorithm,
    digest: bytes,
    *,
    nonce: int | None = None,
    policy: str | None = None,
    certificates: bool = True,
) -> bytes:
    """Return a TimeStampReq, DER, for a digest; ``nonce`` is positive, ``policy`` a dotted OID."""
    return der.sequence(
        b"\x02\x01\x01",
        message_imprint(algorithm, digest),
        b"" if policy is None else der.oid(policy),
        b"" if nonce is None else der.integer(nonce),
        der.boolean(True) if certificates else b"",
    )


def parse_request(octets: bytes) -> TimestampRequest:
    """Read a TimeStampReq; BadInput if it is not one. What it asks for may still be more than an authority gives."""
    fields = der.Fields(der.read(octets, MAX_REQUEST_OCTETS), "A TimeStampReq")
    version = der.integer_of(fields.take(der.INTEGER))
    imprint = fields.take(der.SEQUENCE)
    name, digest = imprint_parts(imprint)
    policy, nonce = fields.maybe(der.OID), fields.maybe(der.INTEGER)
    wanted, extensions = fields.maybe(der.BOOLEAN), fields.maybe(0xA0)
    fields.end()
    number = None if nonce is None else der.integer_of(nonce)
    if number is not None and number.bit_length() > MAX_NONCE_BITS:
        raise BadInput(f"The nonce has {number.bit_length()} bits; at most {MAX_NONCE_BITS} are read.")
    return TimestampRequest(
        imprint=imprint.raw,
        digest_algorithm=name,
        digest=digest,
        policy=None if policy is None else der.oid_of(policy),
        nonce=number,
        # An explicit FALSE is not DER, but some clients send it and nothing hangs on it.
        certificates=wanted is not None and der.boolean_of(wanted),
        extensions=() if extensions is None else tuple(dotted for dotted, _ in read_extensions(extensions)),
        version=version,
    )


def read_extensions(element: der.Element) -> list[tuple[str, bool]]:
    """Return the dotted OID of each of Extensions and whether it is critical (RFC 5280 4.1); BadInput if it is none."""
    found: list[tuple[str, bool]] = []
    for extension in der.children(element):
        fields = der.Fields(extension, "An Extension")
        dotted = der.oid_of(fields.take(der.OID))
        critical = fields.maybe(der.BOOLEAN)
        der.octets_of(fields.take())
        fields.end()
        found.append((dotted, critical is not None and der.boolean_of(critical)))
    return found


_GRANTED = der.sequence(der.integer(0))


def granted(token: bytes) -> bytes:
    """Return the TimeStampResp that carries a token."""
    return der.sequence(_GRANTED, token)


def rejected(failure: Failure, why: str) -> bytes:
    """Return the TimeStampResp of status rejection with one failure bit and a sentence."""
    octets = bytearray(failure // 8 + 1)
    octets[-1] = 0x80 >> failure % 8
    info = der.bit_string(bytes(octets), 7 - failure % 8)
    return der.sequence(der.sequence(der.integer(2), der.sequence(der.utf8_string(why)), info))


def parse_response(octets: bytes) -> bytes:
    """Return the token, DER ContentInfo, that a TimeStampResp carries.

    TimestampUnavailable, with the authority's status in words, if it carries none; BadInput if it is no TimeStampResp.
    """
    if len(octets) > MAX_RESPONSE_OCTETS:
        raise BadInput(f"The timestamp response has {len(octets)} octets; at most {MAX_RESPONSE_OCTETS} are read.")
    try:
        element = der.read(octets)
        fields = der.Fields(element, "A TimeStampResp")
    except BadInput:
        fields = der.Fields(der.read(ber.to_der(octets)), "A TimeStampResp")
    info = der.Fields(fields.take(der.SEQUENCE), "A PKIStatusInfo")
    status = der.integer_of(info.take(der.INTEGER))
    sentences, bits = info.maybe(der.SEQUENCE), info.maybe(der.BIT_STRING)
    info.end()
    token = fields.rest()
    if status in (0, 1) and token is not None:
        return token
    words = [_STATUSES.get(status, f"status {status}")]
    if bits is not None:
        words += _failures(der.bits_of(bits))
    if sentences is not None:
        # The authority's own words: at most one line of them, without control characters.
        words += [_printable(one.content) for one in der.children(sentences)[:3]]
    raise TimestampUnavailable(f"The timestamp authority gave no token: {', '.join(words)}.")


def _failures(octets: bytes) -> list[str]:
    number = int.from_bytes(octets[:4].ljust(4, b"\0"), "big")
    return [text for failure, text in _FAILURES.items() if number & (1 << (31 - failure))]


def _printable(octets: bytes) -> str:
    text = octets[:200].decode("utf-8", "replace")
    return "".join(character if character.isprintable() else " " for character in text)
