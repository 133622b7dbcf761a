"""What comes to an Authenticode signature after it was made: a second one nested in it, a timestamp.

Both are unsigned attributes, so what is signed keeps its octets. Source: Microsoft, "Authenticode" (the timestamp as
1.3.6.1.4.1.311.3.3.1), and what ``signtool /as`` writes (1.3.6.1.4.1.311.2.4.1).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import count

from privyseal.errors import BadInput, MalformedCode
from privyseal.formats import authenticode, authenticode_blob
from privyseal.pki import cms
from privyseal.terms.signatures import TimestampToken

ID_COUNTERSIGNATURE = "1.2.840.113549.1.9.6"
"""The timestamp of before RFC 3161, a PKCS#9 counter-signature."""


def nest(first: bytes, blob: bytes, content_type: str = authenticode.ID_INDIRECT_DATA) -> bytes:
    """Return the signature ``first`` with one more nested in it; MalformedCode where it cannot take one."""
    try:
        if authenticode_blob.read(first, content_type).signed.ber:
            raise BadInput("It is not in DER.")
        return cms.with_unsigned_attribute(first, authenticode.ID_NESTED_SIGNATURE, blob)
    except BadInput as error:
        raise MalformedCode(
            f"The signature that the file carries cannot take a second one: {error.detail}",
            hint="replace it instead",
        ) from None


def timestamped(
    blobs: Sequence[bytes],
    tokens: Mapping[int, TimestampToken],
    content_type: str = authenticode.ID_INDIRECT_DATA,
) -> list[bytes]:
    """Return a file's blobs with a token in each signature that ``tokens`` names, in the numbering of ``walk``.

    A token takes the place of all that are there, an old counter-signature included. BadInput where there is no
    signature of a number, MalformedCode where it cannot take a token.
    """
    numbers = count()
    changed = [_timestamped(blob, tokens, content_type, numbers, 0) for blob in blobs]
    there = next(numbers)
    if (missing := [number for number in tokens if not 0 <= number < there]) or there == 0:
        raise BadInput(f"The file carries {there} signatures; there is no number {min(missing, default=0)}.")
    return changed


def _timestamped(
    octets: bytes, tokens: Mapping[int, TimestampToken], content_type: str, numbers: Iterator[int], depth: int
) -> bytes:
    number = next(numbers)
    if number >= authenticode_blob.MAX_SIGNATURES or depth > authenticode_blob.MAX_DEPTH:
        raise MalformedCode("The file carries more signatures than are read, so none is timestamped.")
    token = tokens.get(number)
    try:
        blob = authenticode_blob.read(octets, content_type)
    except BadInput as error:
        if token is None:
            return octets
        raise MalformedCode(f"Signature {number} cannot take a timestamp: {error.detail}") from None
    nested = tuple(_timestamped(inner, tokens, content_type, numbers, depth + 1) for inner in blob.nested)
    if token is None and nested == blob.nested:
        return octets
    if blob.signed.ber:
        raise MalformedCode(f"Signature {number} cannot take a timestamp: it is not in DER.")
    unsigned = dict(blob.signer.unsigned)
    if token is not None:
        unsigned[authenticode.ID_TIMESTAMP] = (token.der,)
        unsigned.pop(ID_COUNTERSIGNATURE, None)
    if nested:
        unsigned[authenticode.ID_NESTED_SIGNATURE] = nested
    rows = [cms.attribute(kind, *values) for kind, values in unsigned.items()]
    return authenticode_blob.with_unsigned(blob.signed, rows)
