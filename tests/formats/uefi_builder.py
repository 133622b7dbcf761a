"""Signature lists, variables and capsules made by hand, and what is signed of them written down a second time.

Nothing here is from ``privyseal.formats``: GUIDs are written as octets, as the specification prints them.
"""

from __future__ import annotations

import hashlib
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.formats.signing import signatory

from privyseal.pki import certificates

OWNER = bytes(range(16))
X509 = bytes.fromhex("a159c0a5e494a74a87b5ab155c2bf072")
SHA256 = bytes.fromhex("2616c4c14c509240aca941f936934328")
GLOBAL = bytes.fromhex("61dfe48bca93d211aa0d00e098032b8c")
SECURITY = bytes.fromhex("cbb219d73a3d9645a3bcdad00e67656f")
PKCS7 = bytes.fromhex("9dd2af4adf68ee498aa9347d375665a7")
CAPSULE = bytes.fromhex("edd5cb6d2de8444cbda17194199ad92a")
MINE = "11223344-5566-7788-99aa-bbccddeeff00"


def signature_list(kind: bytes, entries: Sequence[bytes]) -> bytes:
    size = 16 + len(entries[0])
    return struct.pack("<16sIII", kind, 28 + size * len(entries), 0, size) + b"".join(OWNER + one for one in entries)


def db(hashes: int = 2) -> bytes:
    """Return a certificate, and in a second list some hashes."""
    digests = [hashlib.sha256(bytes([number])).digest() for number in range(hashes)]
    return signature_list(X509, [signatory().identity.chain[0]]) + (signature_list(SHA256, digests) if hashes else b"")


def efi_time(year: int, month: int, day: int, hour: int, minute: int, second: int) -> bytes:
    return struct.pack("<HBBBBB9x", year, month, day, hour, minute, second)


TIME = "2026-12-01T08:00:00Z"
TIME_OCTETS = efi_time(2026, 12, 1, 8, 0, 0)


def signed_octets(name: str, vendor: bytes, attributes: int, time: bytes, content: bytes) -> bytes:
    """Put together what is signed of a variable, as UEFI 8.2.2 has it."""
    return b"".join(bytes([ord(each), 0]) for each in name) + vendor + struct.pack("<I", attributes) + time + content


def pieces(octets: bytes) -> tuple[bytes, bytes, bytes]:
    """Cut a signed variable into time, message and content."""
    length, revision, kind = struct.unpack_from("<IHH", octets, 16)
    assert (revision, kind, octets[24:40]) == (0x0200, 0x0EF1, PKCS7)
    return octets[:16], octets[40 : 16 + length], octets[16 + length :]


def openssl_verifies(message: bytes, content: bytes, root: bytes, folder: Path) -> bool:
    """Have openssl verify a message over content that it does not carry; a bare SignedData gets a ContentInfo."""
    if message[4:7] == b"\x02\x01\x01":
        inner = b"\xa0\x82" + struct.pack(">H", len(message)) + message
        inner = bytes.fromhex("06092a864886f70d010702") + inner
        message = b"\x30\x82" + struct.pack(">H", len(inner)) + inner
    paths = {name: folder / f"judge.{name}" for name in ("p7", "bin", "pem")}
    paths["p7"].write_bytes(message)
    paths["bin"].write_bytes(content)
    paths["pem"].write_bytes(certificates.pem(root))
    command = ["openssl", "smime", "-verify", "-binary", "-inform", "DER", "-in", paths["p7"]]
    command += ["-content", paths["bin"], "-CAfile", paths["pem"], "-purpose", "any", "-out", "/dev/null"]
    return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0


def capsule(
    images: Sequence[bytes] = (b"firmware " * 50,),
    drivers: Sequence[bytes] = (),
    vendor: bytes = b"",
    version: int = 3,
    header: int = 32,
    supports: int = 0,
) -> bytes:
    """Return a capsule as EDK2 writes it: its header of 32 octets, the table of items, drivers, images."""
    kind = bytes.fromhex("00112233445566778899aabbccddeeff")
    items = list(drivers)
    for number, image in enumerate(images):
        row = struct.pack("<I16sB3xII", version, kind, number + 1, len(image), len(vendor))
        items.append(row + struct.pack("<QQ", 7, supports)[: {1: 0, 2: 8, 3: 16}[version]] + image + vendor)
    at, offsets = 8 + 8 * len(items), []
    for item in items:
        offsets.append(at)
        at += len(item)
    body = struct.pack(f"<IHH{len(items)}Q", 1, len(drivers), len(images), *offsets) + b"".join(items)
    return struct.pack("<16sIII", CAPSULE, header, 0x50000, header + len(body)) + bytes(header - 28) + body


def authentications(octets: bytes) -> list[tuple[int, bytes, bytes, bytes]]:
    """Cut a capsule with signed images into count, message, image and vendor's code of each, as UEFI 23.1 has it.

    The offsets of the table and the lengths in the headers have to agree, and nothing is left over.
    """
    (header,) = struct.unpack_from("<I", octets, 16)
    assert struct.unpack_from("<I", octets, 24) == (len(octets),)
    drivers, images = struct.unpack_from("<HH", octets, header + 4)
    offsets = struct.unpack_from(f"<{drivers + images}Q", octets, header + 8)
    found = []
    for item, limit in zip(offsets[drivers:], (*offsets[drivers + 1 :], len(octets) - header), strict=True):
        at = header + item
        version, size, vendor = struct.unpack_from("<I20xII", octets, at)
        at += {1: 32, 2: 40, 3: 48}[version]
        count, length, revision, kind = struct.unpack_from("<QIHH", octets, at)
        assert (revision, kind, octets[at + 16 : at + 32]) == (0x0200, 0x0EF1, PKCS7)
        message, image = octets[at + 32 : at + 8 + length], octets[at + 8 + length : at + size]
        assert header + limit == at + size + vendor
        found.append((count, message, image, octets[at + size : header + limit]))
    return found


def authentication(octets: bytes) -> tuple[int, bytes, bytes, bytes]:
    """Cut a capsule with one image, which is signed, likewise."""
    (only,) = authentications(octets)
    return only
