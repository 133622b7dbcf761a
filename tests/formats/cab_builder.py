"""Cabinets made by hand from [MS-CAB], so that every field can be wrong and nothing depends on a sample."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field


@dataclass
class Built:
    """One cabinet of stored files before it is octets; each list of ``folders`` holds the files of one folder."""

    folders: list[list[bytes]] = field(default_factory=lambda: [[b"hello, cabinet\r\n" * 40, b"x"]])
    reserve: bytes | None = None
    """What the header's reserve holds; None where there is none."""
    folder_reserve: int = 0
    block_reserve: int = 0
    flags: int = 0
    number: int = 0
    names: bytes = b""
    """Names of the neighbours in a set, behind the header."""
    block: int = 32768
    """Octets of data in one block."""
    behind: bytes = b""
    fields: dict[int, tuple[str, int]] = field(default_factory=dict)
    """Offset to format and value: what overwrites the header at last."""

    def build(self) -> bytes:
        has_reserve = self.reserve is not None or self.folder_reserve or self.block_reserve
        flags = self.flags | (4 if has_reserve else 0)
        head = 36 + (4 + len(self.reserve or b"") if has_reserve else 0) + len(self.names)
        files_at = head + len(self.folders) * (8 + self.folder_reserve)
        entries = b""
        for number, folder in enumerate(self.folders):
            at = 0
            for index, content in enumerate(folder):
                entries += struct.pack("<IIHHHH", len(content), at, number, 0x5A21, 0x6000, 0x20)
                entries += b"file-%d-%d.txt\0" % (number, index)
                at += len(content)
        data_at = files_at + len(entries)
        table, data = b"", b""
        for folder in self.folders:
            plain = b"".join(folder)
            blocks = [plain[at : at + self.block] for at in range(0, len(plain), self.block)]
            table += struct.pack("<IHH", data_at + len(data), len(blocks), 0) + b"\xf0" * self.folder_reserve
            for octets in blocks:
                data += struct.pack("<IHH", 0, len(octets), len(octets)) + b"\xb0" * self.block_reserve + octets
        end = data_at + len(data)
        count = sum(map(len, self.folders))
        octets = bytearray(
            struct.pack("<4sIIIIIBBHHHHH", b"MSCF", 0, end, 0, files_at, 0, 3, 1, len(self.folders), count, flags, 7, 0)
        )
        struct.pack_into("<H", octets, 34, self.number)
        if has_reserve:
            octets += struct.pack("<HBB", len(self.reserve or b""), self.folder_reserve, self.block_reserve)
            octets += self.reserve or b""
        octets += self.names + table + entries + data + self.behind
        for at, (form, value) in self.fields.items():
            struct.pack_into(form, octets, at, value)
        return bytes(octets)


def cabinet(**how: object) -> bytes:
    """Return a cabinet with what :class:`Built` takes."""
    return Built(**how).build()  # type: ignore[arg-type]


def digest_as_jsign(octets: bytes, algorithm: str = "sha256") -> bytes:
    """Hash a cabinet by the rules of jsign's MSCabinetFile, written down again field by field."""
    (end, files_at), (folders, files, flags, set_id, number) = (
        struct.unpack_from("<I4xI", octets, 8),
        struct.unpack_from("<HHHHH", octets, 26),
    )
    at, reserve, first, folder_reserve = 36, 0, b"", 0
    if flags & 4:
        reserve, folder_reserve = struct.unpack_from("<HB", octets, 36)
        at = 40 + reserve
        if reserve:
            first = octets[44 : 44 + int.from_bytes(octets[40:42], "little")]
    wanted = max(reserve, 4 + len(first) + 16)
    shift = (40 + wanted) - at
    hashed = hashlib.new(algorithm)
    hashed.update(b"MSCF" + struct.pack("<IIII", end + shift, 0, files_at + shift, 0) + octets[24:26])
    hashed.update(struct.pack("<HHHHH", folders, files, flags | 4, set_id, number))
    hashed.update(struct.pack("<H", len(first)) + first)
    for _ in range(folders):
        start, rest = struct.unpack_from("<I4s", octets, at)
        hashed.update(struct.pack("<I", start + shift) + rest + octets[at + 8 : at + 8 + folder_reserve])
        at += 8 + folder_reserve
    hashed.update(octets[at:end])
    return hashed.digest()
