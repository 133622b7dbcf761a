"""The certificate table at the end of a signed PE file: WIN_CERTIFICATE after WIN_CERTIFICATE.

Source: Microsoft, "PE Format", "The Attribute Certificate Table": each entry is its length (of head and certificate), a
revision, a type, the certificate, and stands at a multiple of 8. The length we write counts the zero octets that fill
up to the next multiple, as signtool and osslsigncode have it.
"""

from __future__ import annotations

import struct

import msgspec

from privyseal.errors import MalformedCode
from privyseal.formats.protocol import Source

PKCS_SIGNED_DATA = 0x0002
"""WIN_CERT_TYPE_PKCS_SIGNED_DATA: the only type that Authenticode uses."""
REVISION = 0x0200
"""WIN_CERT_REVISION_2_0 of an entry (PE format, attribute certificate table)."""

MAX_TABLE = 8 << 20
"""Octets. Cutting a blob up takes some twenty times its size; the page hashes of 900 MiB of code need 8 MiB."""
MAX_ENTRIES = 32
"""Entries; the most we met are the two of Debian's shim."""

_HEAD = struct.Struct("<IHH")


class Entry(msgspec.Struct, frozen=True):
    """One WIN_CERTIFICATE: where it is in the file, and what its head says."""

    at: int
    length: int
    """``dwLength``: octets from ``at`` on, without what fills up to the next multiple of 8."""
    revision: int
    kind: int


def read_entries(code: Source, at: int, size: int) -> tuple[Entry, ...]:
    """Walk the table of ``size`` octets at ``at``, which lies within the file; MalformedCode if it does not add up."""
    if size > MAX_TABLE:
        raise _malformed(code, f"it has {size} octets; at most {MAX_TABLE} are read")
    found: list[Entry] = []
    end = at + size
    while at < end:
        if len(found) == MAX_ENTRIES:
            raise _malformed(code, f"it has more than {MAX_ENTRIES} entries")
        if end - at < 8:
            raise _malformed(code, f"{end - at} octets at {at} are too few for an entry")
        length, revision, kind = _HEAD.unpack(code.pread(at, 8))
        if not 8 < length <= end - at:
            raise _malformed(code, f"the entry at {at} says it has {length} octets, where {end - at} are left")
        found.append(Entry(at, length, revision, kind))
        at += length + -length % 8
    return tuple(found)


def _malformed(code: Source, why: str) -> MalformedCode:
    return MalformedCode(f"The certificate table of {code.filename} cannot be read: {why}.")


def certificate_of(code: Source, entry: Entry) -> bytes:
    """Return what an entry holds, without its head and, where it is a DER value, without what follows that."""
    octets = code.pread(entry.at + 8, entry.length - 8)
    size = _der_size(octets)
    return octets if size is None or size > len(octets) else octets[:size]


def _der_size(octets: bytes) -> int | None:
    """Return how many octets the DER value at the beginning says it has, or None where its length is none of DER's."""
    if len(octets) < 2 or octets[1] < 0x80:
        return None if len(octets) < 2 else 2 + octets[1]
    count = octets[1] & 0x7F
    if not 1 <= count <= 4 or len(octets) < 2 + count:
        return None
    return 2 + count + int.from_bytes(octets[2 : 2 + count], "big")


def write_entry(certificate: bytes, kind: int = PKCS_SIGNED_DATA, revision: int = REVISION) -> bytes:
    """Return a WIN_CERTIFICATE that is filled up with zero octets to a multiple of 8."""
    fill = -len(certificate) % 8
    return _HEAD.pack(8 + len(certificate) + fill, revision, kind) + certificate + bytes(fill)
