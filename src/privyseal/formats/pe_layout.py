"""The structure of a Portable Executable: where its headers, sections and certificate table are.

Source: Microsoft, "PE Format" (headers, data directories, "The Attribute Certificate Table"), and "Windows Authenticode
Portable Executable Signature Format" (2008), for what a signature leaves out. Nothing is trusted: every offset and
count is bounded before it is used, and headers that contradict each other or the file are refused with a sentence,
because two readers that resolve a contradiction differently are what an attacker wants.
"""

from __future__ import annotations

import struct
from typing import Final

from privyseal.errors import MalformedCode
from privyseal.formats.pe_table import PKCS_SIGNED_DATA, Entry, read_entries
from privyseal.formats.protocol import Layout, Source

NAME: Final = "pe"
"""What the format is called in requests, results and records."""

PE32, PE32_PLUS = 0x10B, 0x20B
MAGICS = {PE32: "PE32", PE32_PLUS: "PE32+"}
"""Magic numbers of the optional header."""

MACHINES: dict[int, str] = {
    0x014C: "x86",
    0x0160: "MIPS R3000, big endian",
    0x0162: "MIPS R3000",
    0x0166: "MIPS R4000",
    0x0168: "MIPS R10000",
    0x0169: "MIPS for Windows CE",
    0x0184: "Alpha",
    0x01A2: "SH3",
    0x01A3: "SH3 DSP",
    0x01A6: "SH4",
    0x01A8: "SH5",
    0x01C0: "ARM",
    0x01C2: "ARM Thumb",
    0x01C4: "ARM Thumb-2",
    0x01D3: "AM33",
    0x01F0: "PowerPC",
    0x01F1: "PowerPC with floating point",
    0x01F2: "PowerPC, big endian",
    0x0200: "Itanium",
    0x0266: "MIPS16",
    0x0284: "Alpha 64",
    0x0366: "MIPS with floating point",
    0x0466: "MIPS16 with floating point",
    0x0EBC: "EFI byte code",
    0x3A64: "x86 in ARM64 (CHPE)",
    0x5032: "RISC-V 32",
    0x5064: "RISC-V 64",
    0x5128: "RISC-V 128",
    0x6232: "LoongArch 32",
    0x6264: "LoongArch 64",
    0x8664: "x64",
    0x9041: "M32R",
    0xA641: "ARM64EC",
    0xA64E: "ARM64X",
    0xAA64: "ARM64",
}
"""IMAGE_FILE_MACHINE_...: Microsoft, "PE Format", "Machine Types", and winnt.h; what is not here is not refused."""
_ONLY_PE32 = {0x014C, 0x01C0, 0x01C2, 0x01C4, 0x5032, 0x6232}
_ONLY_PE32_PLUS = {0x0200, 0x5064, 0x6264, 0x8664, 0xA641, 0xA64E, 0xAA64}
SUBSYSTEMS = {
    1: "driver",
    2: "with windows",
    3: "for the console",
    5: "OS/2, for the console",
    7: "POSIX, for the console",
    8: "driver of Windows 9x",
    9: "Windows CE",
    10: "EFI application",
    11: "EFI boot driver",
    12: "EFI runtime driver",
    13: "EFI ROM",
    14: "Xbox",
    16: "boot application",
    17: "Xbox code catalogue",
}
"""IMAGE_SUBSYSTEM_...: Microsoft, "PE Format", "Windows Subsystem", and winnt.h."""
_EFI_SUBSYSTEMS = {10, 11, 12, 13}

MAX_FILE = 0xFFFFFFFF
"""Octets: offset and size of the certificate table are 32-bit numbers, and so are all others in a PE file."""
MAX_STUB = 1 << 20
"""Octets before the PE header. Linkers write 64 to 512; Windows itself takes any offset below 256 MiB."""
_FIRST_READ = 4096
"""Octets: almost every file has its headers in its first page."""

_COFF = struct.Struct("<4sHH12xHH")  # signature, Machine, NumberOfSections, SizeOfOptionalHeader, Characteristics
_SECTION = struct.Struct("<16xII16x")  # SizeOfRawData, PointerToRawData
_ALIGNMENT_AT, _SIZE_OF_HEADERS_AT, _CHECKSUM_AT, _SUBSYSTEM_AT = 32, 60, 64, 68  # in the optional header
_COUNT_AT = {PE32: 92, PE32_PLUS: 108}  # NumberOfRvaAndSizes, which the directories follow
_CERTIFICATE_TABLE = 4  # the index of its data directory


class PeLayout(Layout, frozen=True, kw_only=True):
    """Where things are in one PE file; offsets are from its beginning."""

    machine: int
    magic: int
    subsystem: int
    checksum: int
    """As the header states it."""
    checksum_at: int
    directory_at: int
    """Where the certificate table's data directory is: offset and size, 4 octets each."""
    content_end: int
    """Where the content ends that a signature covers: at the certificate table, or at the end of the file."""
    entries: tuple[Entry, ...] = ()
    """The WIN_CERTIFICATEs of the certificate table, in their order."""
    sections_end: int = 0
    """Where headers and sections end; what follows up to ``content_end`` is overlay."""
    gap: tuple[int, int] | None = None
    """The first octets before the last section's end that belong to no section and no header."""
    headers: int = 0
    """SizeOfHeaders."""
    alignment: int = 0
    """SectionAlignment: how long a page is in memory."""
    spans: tuple[tuple[int, int], ...] = ()
    """Where sections begin and end in the file, in the order of the file."""
    in_order: bool = True
    """Whether that is the order of the section table."""
    word_sum: int | None = None
    """Checksum of the content alone (``pe_checksum``), once it has been read."""

    @property
    def carries_signature(self) -> bool:
        """Tell whether there is a signature, good or not; entries of other kinds are none."""
        return any(entry.kind == PKCS_SIGNED_DATA for entry in self.entries)

    @property
    def efi(self) -> bool:
        """Tell whether firmware runs it, which reads certificate tables in its own way."""
        return self.subsystem in _EFI_SUBSYSTEMS


def kind(machine: int, magic: int) -> str:
    """Name a machine and magic number for people, such as ``PE32+ for ARM64``."""
    size = MAGICS.get(magic, f"image of magic {magic:#x}")
    return f"{size} for {MACHINES.get(machine, f'machine {machine:#06x}')}"


def words(layout: PeLayout) -> str:
    """Say what kind of program it is, such as ``PE32+ for x64, for the console``."""
    return f"{kind(layout.machine, layout.magic)}, {SUBSYSTEMS.get(layout.subsystem, f'subsystem {layout.subsystem}')}"


def sections(code: Source) -> tuple[tuple[str, int], ...]:
    """List names and sizes of the sections of a file whose structure has been read before."""
    header = int.from_bytes(code.pread(60, 4), "little")
    count = int.from_bytes(code.pread(header + 6, 2), "little")
    table = header + 24 + int.from_bytes(code.pread(header + 20, 2), "little")
    rows = [code.pread(table + 40 * number, 40) for number in range(count)]
    return tuple((row[:8].rstrip(b"\0").decode("latin-1"), int.from_bytes(row[16:20], "little")) for row in rows)


def contradiction(machine: int, magic: int) -> str | None:
    """Say why no linker makes an image of this machine and magic number, or None."""
    if magic not in _COUNT_AT:
        return f"its optional header has the magic number {magic:#x}; {PE32:#x} or {PE32_PLUS:#x} was expected"
    wrong = _ONLY_PE32_PLUS if magic == PE32 else _ONLY_PE32
    return f"there is no {kind(machine, magic)}" if machine in wrong else None


def header_at(head: bytes) -> int | None:
    """Return where the PE header of a file that begins with ``head`` should be, or None if it begins with no MZ."""
    if len(head) < 64 or head[:2] != b"MZ":
        return None
    return int.from_bytes(head[60:64], "little")


def read_layout(code: Source) -> PeLayout:
    """Read the structure of a PE file; MalformedCode with one sentence that names what is wrong."""
    if code.size > MAX_FILE:
        raise _malformed(code, f"it has {code.size} octets, and a PE file has at most {MAX_FILE}")
    head = code.pread(0, min(code.size, _FIRST_READ))
    at = _pe_header(code, head)
    if len(head) < at + 24:
        head = _more(code, at + 24, "its PE header")
    signature, machine, sections, optional_size, _ = _COFF.unpack_from(head, at)
    if signature != b"PE\0\0":
        raise _malformed(code, _other_than_pe(signature))
    if at % 2:
        raise _malformed(code, f"e_lfanew is {at}, an odd number, so the checksum would not consist of whole words")
    optional = at + 24
    table_end = optional + optional_size + 40 * sections
    if len(head) < table_end:
        head = _more(code, table_end, "its section table")
    if optional_size < 2:
        raise _malformed(code, f"its optional header has {optional_size} octets")
    magic = int.from_bytes(head[optional : optional + 2], "little")
    if (why := contradiction(machine, magic)) is not None:
        raise _malformed(code, why)
    directory = _directory(code, head, optional, optional_size, magic)
    checksum, headers = _number(head, optional + _CHECKSUM_AT), _number(head, optional + _SIZE_OF_HEADERS_AT)
    if not table_end <= headers <= code.size:
        raise _malformed(code, f"SizeOfHeaders is {headers}; the headers end at {table_end}, the file at {code.size}")
    listed = [
        (pointer, pointer + size)
        for size, pointer in _SECTION.iter_unpack(head[table_end - 40 * sections : table_end])
        if size and pointer
    ]
    spans = sorted(listed)
    gap = _walk_sections(code, spans, headers)
    sections_end = max(headers, spans[-1][1] if spans else 0)
    end, size = _table(code, head, directory, sections_end)
    return PeLayout(
        format=NAME,
        size=code.size,
        machine=machine,
        magic=magic,
        subsystem=int.from_bytes(head[optional + _SUBSYSTEM_AT : optional + _SUBSYSTEM_AT + 2], "little"),
        checksum=checksum,
        checksum_at=optional + _CHECKSUM_AT,
        directory_at=directory,
        content_end=end,
        sections_end=sections_end,
        entries=read_entries(code, end, size) if size else (),
        gap=gap,
        headers=headers,
        alignment=_number(head, optional + _ALIGNMENT_AT),
        spans=tuple(spans),
        in_order=listed == spans,
    )


def _malformed(code: Source, why: str) -> MalformedCode:
    return MalformedCode(f"{code.filename} is no PE file that can be signed: {why}.")


def _number(head: bytes, at: int) -> int:
    return int.from_bytes(head[at : at + 4], "little")


def _more(code: Source, count: int, what: str) -> bytes:
    if count > code.size:
        raise _malformed(code, f"{what} would end at {count}, and the file ends at {code.size}")
    return code.pread(0, count)


def _pe_header(code: Source, head: bytes) -> int:
    at = header_at(head)
    if at is None:
        raise _malformed(code, "it does not begin with an MZ header of 64 octets")
    if at < 4 or at > MAX_STUB:
        raise _malformed(code, f"e_lfanew says that the PE header is at {at}; from 4 to {MAX_STUB} was expected")
    if at + 24 > code.size:
        raise _malformed(
            code, f"e_lfanew says that the PE header is at {at}, and the file ends at {code.size} (a DOS program?)"
        )
    return at


def _other_than_pe(signature: bytes) -> str:
    elder = {
        b"NE": "a 16-bit Windows program (NE)",
        b"LE": "a driver of Windows 9x (LE)",
        b"LX": "an OS/2 program (LX)",
    }
    if (name := elder.get(signature[:2])) is not None:
        return f"it is {name}, which cannot carry a signature"
    return "there is no PE signature where e_lfanew points (a DOS program?)"


def _directory(code: Source, head: bytes, optional: int, optional_size: int, magic: int) -> int:
    """Return where the certificate table's data directory is."""
    first = _COUNT_AT[magic] + 4
    if optional_size < first:
        raise _malformed(code, f"its optional header has {optional_size} octets; a {kind(0, magic)[:5]} has {first}")
    count = _number(head, optional + _COUNT_AT[magic])
    if count <= _CERTIFICATE_TABLE:
        raise _malformed(code, f"it has {count} data directories, and the certificate table's would be the fifth")
    if first + 8 * count > optional_size:
        raise _malformed(code, f"{count} data directories do not fit into an optional header of {optional_size} octets")
    return optional + first + 8 * _CERTIFICATE_TABLE


def _walk_sections(code: Source, spans: list[tuple[int, int]], headers: int) -> tuple[int, int] | None:
    """Check that the sections lie behind the headers and each other, within the file; return the first gap."""
    gap, before = None, headers
    for start, end in spans:
        if start < before:
            other = "the headers" if before == headers else "another section"
            raise _malformed(code, f"a section at {start} overlaps {other}, which end at {before}")
        if end > code.size:
            raise _malformed(code, f"a section at {start} ends at {end}, and the file ends at {code.size}")
        if start > before and gap is None:
            gap = (before, start)
        before = end
    return gap


def _table(code: Source, head: bytes, directory: int, earliest: int) -> tuple[int, int]:
    """Return where the signed content ends, and how many octets of certificate table follow."""
    at, size = _number(head, directory), _number(head, directory + 4)
    if at == 0 and size == 0:
        return code.size, 0
    table = f"its certificate table ({size} octets at {at})"
    if at == 0 or size == 0:
        raise _malformed(code, f"{table} has a place but no size, or a size but no place")
    if at < earliest:
        raise _malformed(code, f"{table} begins before headers and sections end, at {earliest}")
    if at % 8:
        raise _malformed(code, f"{table} does not begin at a multiple of 8")
    if at + size > code.size:
        raise _malformed(code, f"{table} passes the end of the file at {code.size}")
    if at + size < code.size:
        # osslsigncode and signtool refuse these too: nothing covers what stands behind the table.
        raise _malformed(code, f"{code.size - at - size} octets follow {table}, and no signature would cover them")
    return at, size
