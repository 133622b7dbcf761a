"""PE files made by hand: every field can be wrong, nothing depends on a sample.

What is built is as plain as a linker's output; osslsigncode and lief read it as a program. ``fields`` overwrites any
number of the headers after everything else has been computed, by the names below.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

MACHINES = {"x86": 0x014C, "x64": 0x8664, "arm64": 0xAA64}
PE32, PE32_PLUS = 0x10B, 0x20B
GUI, CONSOLE, EFI_APPLICATION = 2, 3, 10

_PE = 0x80  # where the PE header stands unless a test moves it
_ALIGNMENT = 0x200


def program(machine: str = "x64", **how: object) -> bytes:
    """Return a small program for a machine, with what else :class:`Image` takes."""
    magic = PE32 if machine == "x86" else PE32_PLUS
    return Image(machine=MACHINES[machine], magic=magic, **how).build()  # type: ignore[arg-type]


@dataclass
class Image:
    """One PE file before it is octets."""

    machine: int = 0x8664
    magic: int = PE32_PLUS
    subsystem: int = CONSOLE
    sections: Sequence[bytes] = (b"\xc3" * 700, b"data " * 50)
    overlay: bytes = b""
    directories: int = 16
    pe_at: int = _PE
    table: bytes | None = None
    """A certificate table to put at the end, padded content first."""
    fields: Mapping[str, int] = field(default_factory=dict)

    @property
    def optional_at(self) -> int:
        return self.pe_at + 24

    @property
    def first_directory(self) -> int:
        return self.optional_at + (112 if self.magic == PE32_PLUS else 96)

    @property
    def section_table(self) -> int:
        return self.first_directory + 8 * self.directories

    @property
    def headers(self) -> int:
        return _up(self.section_table + 40 * len(self.sections), _ALIGNMENT)

    def places(self) -> dict[str, tuple[int, int]]:
        """Return where each number of the headers is, and how many octets it has."""
        optional = self.optional_at
        found = {
            "e_lfanew": (0x3C, 4),
            "signature": (self.pe_at, 4),
            "machine": (self.pe_at + 4, 2),
            "number_of_sections": (self.pe_at + 6, 2),
            "size_of_optional_header": (self.pe_at + 20, 2),
            "magic": (optional, 2),
            "size_of_headers": (optional + 60, 4),
            "checksum": (optional + 64, 4),
            "subsystem": (optional + 68, 2),
            "number_of_directories": (self.first_directory - 4, 4),
            "table_at": (self.first_directory + 32, 4),
            "table_size": (self.first_directory + 36, 4),
        }
        for number in range(len(self.sections)):
            row = self.section_table + 40 * number
            found[f"section_{number}_size"] = (row + 16, 4)
            found[f"section_{number}_at"] = (row + 20, 4)
        return found

    def build(self) -> bytes:
        """Return the octets."""
        image = bytearray(self.headers)
        image[:2] = b"MZ"
        struct.pack_into("<I", image, 0x3C, self.pe_at)
        size = self.first_directory - self.optional_at + 8 * self.directories
        struct.pack_into(
            "<4sHHIIIHH", image, self.pe_at, b"PE\0\0", self.machine, len(self.sections), 0, 0, 0, size, 0x22
        )
        struct.pack_into("<HBBIIIII", image, self.optional_at, self.magic, 14, 0, 0x400, 0x200, 0, 0x1000, 0x1000)
        virtual = 0x1000
        for number, content in enumerate(self.sections):
            raw = content + bytes(-len(content) % _ALIGNMENT)
            row = (f".s{number}".encode(), len(content), virtual, len(raw), len(image), 0x60000020)
            struct.pack_into("<8sIIII12xI", image, self.section_table + 40 * number, *row)
            image += raw
            virtual += _up(max(len(content), 1), 0x1000)
        wide = "Q" if self.magic == PE32_PLUS else "I"
        if self.magic == PE32_PLUS:
            struct.pack_into("<Q", image, self.optional_at + 24, 0x140000000)
        else:
            struct.pack_into("<II", image, self.optional_at + 24, 0x2000, 0x400000)
        numbers = (0x1000, _ALIGNMENT, 6, 0, 0, 0, 6, 0, 0, virtual, self.headers, 0, self.subsystem, 0x8160)
        struct.pack_into("<IIHHHHHHIIIIHH", image, self.optional_at + 32, *numbers)
        struct.pack_into(f"<{wide * 4}", image, self.optional_at + 72, 1 << 20, 4096, 1 << 20, 4096)
        struct.pack_into("<I", image, self.first_directory - 4, self.directories)
        image += self.overlay
        if self.table is not None:
            image += bytes(-len(image) % 8)
            struct.pack_into("<II", image, self.first_directory + 32, len(image), len(self.table))
            image += self.table
        places = self.places()
        for name, value in self.fields.items():
            at, octets = places[name]
            image[at : at + octets] = (value % (1 << (8 * octets))).to_bytes(octets, "little")
        return bytes(image)


def _up(number: int, multiple: int) -> int:
    return number + -number % multiple


def slow_checksum(image: bytes, checksum_at: int) -> int:
    """Return the PE checksum as IMAGHELP.DLL computes it: word by word, every carry brought back at once."""
    octets = image[:checksum_at] + bytes(4) + image[checksum_at + 4 :]
    octets += bytes(len(octets) % 2)
    total = 0
    for at in range(0, len(octets), 2):
        total += octets[at] | octets[at + 1] << 8
        total = (total & 0xFFFF) + (total >> 16)
    return total + len(image)


def sectioned_digest(image: bytes, algorithm: str = "sha256") -> bytes:
    """Return the Authenticode digest the way the document walks: headers, sections by place, then what is left.

    It is the second opinion on our walk from front to back; steps 1 to 15 of "Calculating the PE Image Hash".
    """
    pe = int.from_bytes(image[0x3C:0x40], "little")
    optional = pe + 24
    wide = image[optional : optional + 2] == b"\x0b\x02"
    directory = optional + (112 if wide else 96) + 32
    headers = int.from_bytes(image[optional + 60 : optional + 64], "little")
    table_size = int.from_bytes(image[directory + 4 : directory + 8], "little")
    hashed = hashlib.new(algorithm)
    hashed.update(image[: optional + 64])
    hashed.update(image[optional + 68 : directory])
    hashed.update(image[directory + 8 : headers])
    count, optional_size = struct.unpack_from("<H12xH", image, pe + 6)
    rows = [struct.unpack_from("<16xII", image, optional + optional_size + 40 * n) for n in range(count)]
    done = headers
    for size, at in sorted(rows, key=lambda row: row[1]):
        hashed.update(image[at : at + size])
        done += size
    rest = image[done : len(image) - table_size]
    hashed.update(rest + bytes(-(done + len(rest)) % 8))
    return hashed.digest()
