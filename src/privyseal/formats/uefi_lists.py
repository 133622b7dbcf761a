"""EFI signature lists: what PK, KEK, db and dbx hold.

Source: UEFI specification 2.10, 32.4.1 (EFI_SIGNATURE_LIST: type, octets, octets of its header, octets of each entry;
then the header, then entries of an owner and data).
"""

from __future__ import annotations

import struct
from collections import Counter
from typing import Final

from privyseal.errors import BadInput
from privyseal.formats.uefi_blob import guid

MAX_OCTETS: Final = 32 << 10
"""Octets of a variable's content: OVMF keeps 33 KiB for one (PcdMaxAuthVariableSize, 0x8400)."""
HEADER: Final = struct.Struct("<16sIII")
"""EFI_SIGNATURE_LIST."""
_OWNER = 16
X509: Final = guid("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")
"""EFI_CERT_X509_GUID, the one type whose entries may differ in length from list to list."""
TYPES: dict[bytes, tuple[str, str, int]] = {
    X509: ("certificate", "certificates", 0),
    guid("c1c41626-504c-4092-aca9-41f936934328"): ("SHA-256", "SHA-256", 32),
    guid("ff3e5307-9fd0-48c9-85f1-8ad56c701e01"): ("SHA-384", "SHA-384", 48),
    guid("093e0fae-a6c4-4f50-9f1b-d41e2b89c19a"): ("SHA-512", "SHA-512", 64),
    guid("826ca512-cf10-4ac9-b187-be01496631bd"): ("SHA-1", "SHA-1", 20),
    guid("3c5766e8-269c-4e34-aa14-ed776e85b3b6"): ("RSA-2048 key", "RSA-2048 keys", 256),
    guid("3bd2a492-96c0-4079-b420-fcf98ef103ed"): ("certificate's SHA-256", "certificates' SHA-256", 32 + 16),
    guid("7076876e-80c2-4ee6-aad2-28b349a6865b"): ("certificate's SHA-384", "certificates' SHA-384", 48 + 16),
    guid("446dbf63-2502-4cda-bcfa-2465d2b0fe9d"): ("certificate's SHA-512", "certificates' SHA-512", 64 + 16),
}
"""Types of entries: what one is called, what several are, and octets of its data, 0 where that is open."""


def is_one(head: bytes) -> bool:
    """Tell whether octets begin as a signature list of a known type does."""
    if len(head) < HEADER.size:
        return False
    kind, size, header, entry = HEADER.unpack_from(head)
    return kind in TYPES and header == 0 and entry > _OWNER and size >= HEADER.size + entry


def count(content: bytes) -> Counter[bytes]:
    """Count the entries of all lists by their type; BadInput where they are not whole."""
    found: Counter[bytes] = Counter()
    at = 0
    if len(content) > MAX_OCTETS:
        raise BadInput(f"it has {len(content)} octets, and at most {MAX_OCTETS} are signed")
    while at < len(content):
        if len(content) - at < HEADER.size:
            raise BadInput(f"{len(content) - at} octets at {at} are no signature list")
        kind, size, header, entry = HEADER.unpack_from(content, at)
        if kind not in TYPES:
            raise BadInput(f"the list at {at} is of no known type")
        if header != 0 or not HEADER.size <= size <= len(content) - at:
            raise BadInput(f"the list at {at} claims {size} octets, {header} of them header")
        room = size - HEADER.size
        if entry <= _OWNER or not room or room % entry or TYPES[kind][2] not in (0, entry - _OWNER):
            raise BadInput(f"the list at {at} has {room} octets for entries of {entry}")
        if kind == X509:
            for start in range(at + HEADER.size + _OWNER, at + size, entry):
                if content[start] != 0x30:
                    raise BadInput(f"the certificate at {start} is none in DER")
        found[kind] += room // entry
        at += size
    return found


def words(content: bytes) -> str:
    """Say what lists hold, such as ``2 certificates, 1 SHA-256``; BadInput where they are not whole."""
    found = count(content)
    said = [
        f"{found[kind]} {one if found[kind] == 1 else many}" for kind, (one, many, _) in TYPES.items() if found[kind]
    ]
    return ", ".join(said) or "nothing"
