"""A timestamp that comes to an Authenticode signature later: an unsigned attribute, so nothing else moves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import count

from privyseal.errors import BadInput, MalformedCode
from privyseal.formats import authenticode, authenticode_blob
from privyseal.pki import cms
from privyseal.terms.signatures import TimestampToken

ID_COUNTERSIGNATURE = "1.2.840.113549.1.9.6"
"""PKCS #9 counter-signature: the timestamp of before RFC 3161, whose place a token takes."""


def timestamped(blobs: Sequence[bytes], tokens: Mapping[int, TimestampToken]) -> list[bytes]:
    """Return a file's blobs with a token in each signature that ``tokens`` names, in the numbering of ``walk``.

    BadInput where there is no signature of a number, MalformedCode where it cannot take a token.
    """
    numbers = count()
    changed = [_timestamped(blob, tokens, numbers, 0) for blob in blobs]
    there = next(numbers)
    if missing := [number for number in tokens if not 0 <= number < there]:
        raise BadInput(f"The file carries {there} signatures; there is no number {min(missing)}.")
    return changed


def _timestamped(octets: bytes, tokens: Mapping[int, TimestampToken], numbers: Iterator[int], depth: int) -> bytes:
    number = next(numbers)
    if number >= authenticode_blob.MAX_SIGNATURES or depth > authenticode_blob.MAX_DEPTH:
        raise MalformedCode("The file carries more signatures than are read, so none is timestamped.")
    token = tokens.get(number)
    try:
        blob = authenticode_blob.read(octets)
    except BadInput as error:
        if token is None:
            return octets
        raise MalformedCode(f"Signature {number} cannot take a timestamp: {error.detail}") from None
    nested = tuple(_timestamped(inner, tokens, numbers, depth + 1) for inner in blob.nested)
    if token is None and nested == blob.nested:
        return octets
    if blob.signed.ber:
        raise MalformedCode(f"Signature {number} cannot take a timestamp: it is not in DER.")
    unsigned = dict(blob.signer.unsigned)
    if token is not None:
        unsigned.pop(ID_COUNTERSIGNATURE, None)
        unsigned[authenticode.ID_TIMESTAMP] = (token.der,)
    if nested:
        unsigned[authenticode.ID_NESTED_SIGNATURE] = nested
    return authenticode_blob.with_unsigned(blob.signed, [cms.attribute(kind, *unsigned[kind]) for kind in unsigned])
