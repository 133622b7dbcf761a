"""The structure of a cabinet: its header, the reserve in it, its folders, and what follows its end.

Source: Microsoft, [MS-CAB] 2.1 to 2.4. A signature is announced in the header's reserve, which holds the lengths of two
structures and then both: the first is somebody else's, the second says where behind the cabinet the signature is and
how many octets it has. (jsign found that Windows also takes a signature that is the second structure itself.)

Cabinets nest nothing, but every number in them can lie. Each is held against the file, and against the others, before
it is used; octets that belong to nothing are refused, because nothing that is signed fixes them.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from privyseal.errors import MalformedCode
from privyseal.formats.protocol import Layout, Source

NAME: Final = "cab"
MAGIC: Final = b"MSCF"
MAX_FILE: Final = 0xFFFFFFFF
"""Octets, the signature included: every offset in a cabinet has 32 bits."""
MAX_SIGNATURE: Final = 8 << 20
"""Octets of a signature, as of the certificate table of a PE file."""
FIXED: Final = 36
"""Octets of the header before anything optional."""
POINTER: Final = 16
"""Octets of the structure that says where the signature is: its offset, its size, and eight octets of zero."""

_PREVIOUS, _NEXT, _RESERVE = 1, 2, 4
_HEADER = struct.Struct(
    "<4sIIIIIBBHHHHH"
)  # MSCF, checksum, size, 0, files at, 0, minor, major, folders, files, flags..
_FOLDER = struct.Struct("<IHH")  # where its data begin, how many blocks, how they are compressed
_BLOCK = struct.Struct("<IHH")  # checksum, octets compressed, octets plain
_COMPRESSIONS = {0: "not compressed", 1: "MSZIP", 2: "Quantum", 3: "LZX"}


class CabLayout(Layout, frozen=True, kw_only=True):
    """Where things are in one cabinet; offsets are from its beginning."""

    end: int
    """``cbCabinet``: where the cabinet ends, and a signature may begin."""
    files_at: int
    """``coffFiles``: where the headers end, for the entries of the files follow at once."""
    files: int
    folders: int
    head: bytes
    """The fixed header, as it stands."""
    has_reserve: bool
    reserve: int
    """Octets of the reserve in the header, 0 where there is none."""
    folder_reserve: int
    block_reserve: int
    """Octets reserved in each folder's entry and in each block of data."""
    other: bytes
    """The first structure of the reserve, which is not ours."""
    pointer: bytes
    """The second structure: empty, the 16 octets that point at a signature, or a signature."""
    compression: int

    @property
    def folders_at(self) -> int:
        """Return where the entries of the folders begin."""
        return FIXED + (4 + self.reserve if self.has_reserve else 0)

    @property
    def room(self) -> int:
        """Return how many octets of reserve the signed cabinet has: as many as there are, if they are enough."""
        return max(self.reserve, 4 + len(self.other) + POINTER)

    @property
    def shift(self) -> int:
        """Return by how many octets the header grows, and so everything behind it moves."""
        return FIXED + 4 + self.room - self.folders_at

    @property
    def carries_signature(self) -> bool:
        """Tell whether there is a signature, good or not."""
        return self.signature is not None

    @property
    def signature(self) -> tuple[int, int] | None:
        """Return offset and size of the signature, None where there is none."""
        if len(self.pointer) == POINTER:
            at, size = struct.unpack_from("<II", self.pointer)
            return (at, size) if size else None
        return (FIXED + 8 + len(self.other), len(self.pointer)) if self.pointer else None


def read_layout(code: Source) -> CabLayout:
    """Read headers and folders; MalformedCode with one sentence that names what is wrong."""
    if code.size < FIXED:
        raise _malformed(code, f"it has {code.size} octets, and the smallest has {FIXED}")
    head = code.pread(0, FIXED)
    magic, checksum, end, zero, files_at, zero2, minor, major, folders, files, flags, _, number = _HEADER.unpack(head)
    if magic != MAGIC:
        raise _malformed(code, "it does not begin with MSCF")
    if (major, minor) != (1, 3):
        raise _malformed(code, f"it is of version {major}.{minor}; 1.3 was expected")
    if flags & (_PREVIOUS | _NEXT) or number:
        raise MalformedCode(
            f"{code.filename} is one of a set of cabinets (number {number + 1}), and only a cabinet that is whole "
            "can be signed.",
            hint="sign a cabinet made without a limit of size",
        )
    if flags & ~(_PREVIOUS | _NEXT | _RESERVE):
        raise _malformed(code, f"its flags are {flags:#x}, of which some have no meaning")
    if checksum or zero or zero2:
        raise _malformed(code, "reserved fields of its header are not zero, and a signature does not cover all of them")
    if end > code.size:
        raise _malformed(code, f"its header says {end} octets, and the file ends at {code.size} (cut short?)")
    reserve = _reserve(code) if flags & _RESERVE else _NO_RESERVE
    _check_ends(code, end, files_at, folders, reserve)
    layout = CabLayout(
        format=NAME,
        size=code.size,
        end=end,
        files_at=files_at,
        files=files,
        folders=folders,
        head=head,
        has_reserve=bool(flags & _RESERVE),
        reserve=reserve.size,
        folder_reserve=reserve.folder,
        block_reserve=reserve.block,
        other=reserve.other,
        pointer=reserve.pointer,
        compression=0,
    )
    _check_signature(code, layout)
    return msgspec.structs.replace(layout, compression=_check_folders(code, layout))


class _Reserve(msgspec.Struct, frozen=True):
    """What the header says is reserved, and what is in its own reserve."""

    size: int
    folder: int
    block: int
    other: bytes
    pointer: bytes


_NO_RESERVE = _Reserve(0, 0, 0, b"", b"")


def _malformed(code: Source, why: str) -> MalformedCode:
    return MalformedCode(f"{code.filename} is no cabinet that can be signed: {why}.")


def _reserve(code: Source) -> _Reserve:
    size, folder, block = struct.unpack("<HBB", code.pread(FIXED, 4))
    if FIXED + 4 + size > code.size:
        raise _malformed(code, f"its header reserves {size} octets, and the file ends at {code.size}")
    octets = code.pread(FIXED + 4, size)
    if size == 0:
        return _Reserve(0, folder, block, b"", b"")
    if size < 4:
        raise _malformed(code, f"its header reserves {size} octets, too few to say what is in them")
    first, second = struct.unpack_from("<HH", octets)
    if 4 + first + second > size or any(octets[4 + first + second :]):
        raise _malformed(code, f"the {size} octets that its header reserves hold something unknown")
    return _Reserve(size, folder, block, octets[4 : 4 + first], octets[4 + first : 4 + first + second])


def _check_ends(code: Source, end: int, files_at: int, folders: int, reserve: _Reserve) -> None:
    """Check that the entries of the files follow those of the folders at once, and lie within the cabinet."""
    begin = FIXED if reserve is _NO_RESERVE else FIXED + 4 + reserve.size
    headers_end = begin + folders * (_FOLDER.size + reserve.folder)
    if headers_end > end:
        raise _malformed(code, f"its {folders} folders would end at {headers_end}, and it ends at {end}")
    if files_at != headers_end:
        raise _malformed(code, f"its files begin at {files_at} and its headers end at {headers_end}; one was expected")


def _check_signature(code: Source, layout: CabLayout) -> None:
    """Check that a signature stands directly behind the cabinet and nothing stands behind it."""
    behind = code.size - layout.end
    if len(layout.pointer) != POINTER:
        if behind:
            raise _malformed(code, f"{behind} octets follow its end at {layout.end}, and no signature would cover them")
        return
    at, size = struct.unpack_from("<II", layout.pointer)
    if any(layout.pointer[8:]):
        raise _malformed(code, "behind the place of its signature its header has something unknown")
    if (at, size) == (0, 0) and behind == 0:
        return
    if at != layout.end or size != behind:
        raise _malformed(
            code,
            f"its header says that a signature of {size} octets is at {at}; it ends at {layout.end}, and {behind} "
            "octets follow",
        )
    if size > MAX_SIGNATURE:
        raise _malformed(code, f"its signature has {size} octets; at most {MAX_SIGNATURE} are read")


def _check_folders(code: Source, layout: CabLayout) -> int:
    """Check where the folders' data begin, and that the blocks of one of them end where they should.

    Which of its octets a block of data reserves is under no signature; that the shortest chain of blocks ends at the
    end or where another begins ties it down. Returns the first folder's compression.
    """
    stride = _FOLDER.size + layout.folder_reserve
    table = code.pread(layout.folders_at, layout.folders * stride)
    entries = [_FOLDER.unpack_from(table, at) for at in range(0, len(table), stride)]
    for number, (start, blocks, _) in enumerate(entries):
        if blocks and not layout.files_at <= start < layout.end:
            raise _malformed(
                code,
                f"the data of folder {number} begin at {start}; from {layout.files_at} to {layout.end} was expected",
            )
    counted = [(blocks, start) for start, blocks, _ in entries if blocks]
    if counted:
        blocks, start = min(counted)
        begins = {other for _, other in counted} | {layout.end}
        if _chain_end(code, layout, start, blocks) not in begins:
            raise _malformed(code, f"the {blocks} blocks of data at {start} do not end where others begin")
    elif layout.block_reserve:
        raise _malformed(code, "it reserves octets in blocks of data and has no blocks")
    return entries[0][2] if entries else 0


def _chain_end(code: Source, layout: CabLayout, at: int, blocks: int) -> int:
    """Walk the blocks of a folder, 65,535 at most, and return where they end."""
    head, end = _BLOCK.size + layout.block_reserve, layout.end
    read, unpack, count = code.pread, _BLOCK.unpack, _BLOCK.size  # looked up once: 3,200 blocks are 100 MiB
    for _ in range(blocks):
        if at + head > end:
            raise _malformed(code, f"a block of data at {at} passes its end at {end}")
        at += head + unpack(read(at, count))[1]
    return at


# -- what is written ---------------------------------------------------------------------------------------------------
def headers(code: Source, layout: CabLayout, reserve: int | None, pointer: bytes) -> bytes:
    """Return header and folders with a reserve of so many octets (None: without any) and this second structure.

    Every offset moves by as many octets as the header grows. MalformedCode where one would pass 4 GiB.
    """
    begin = FIXED if reserve is None else FIXED + 4 + reserve
    shift = begin - layout.folders_at
    fields = list(_HEADER.unpack(layout.head))
    fields[2] += shift
    fields[4] += shift
    fields[10] = 0 if reserve is None else _RESERVE
    if fields[2] > MAX_FILE:
        raise _malformed(code, "it would pass 4 GiB, and its offsets have 32 bits")
    parts = [_HEADER.pack(*fields)]
    if reserve is not None:
        parts.append(struct.pack("<HBB", reserve, layout.folder_reserve, layout.block_reserve))
    if reserve:
        held = struct.pack("<HH", len(layout.other), len(pointer)) + layout.other + pointer
        parts.append(held + bytes(reserve - len(held)))
    return b"".join(parts) + _shifted(code, layout, shift)


def _shifted(code: Source, layout: CabLayout, shift: int) -> bytes:
    """Return the folders' entries with the offsets of their data moved."""
    table = bytearray(code.pread(layout.folders_at, layout.files_at - layout.folders_at))
    for at in range(0, len(table) if shift else 0, _FOLDER.size + layout.folder_reserve):
        (start,) = struct.unpack_from("<I", table, at)
        if start + shift > MAX_FILE or start + shift < 0:
            raise _malformed(code, f"data begin at {start}, which cannot move by {shift} octets")
        struct.pack_into("<I", table, at, start + shift)
    return bytes(table)


def words(layout: CabLayout) -> str:
    """Say what is in it, such as ``cabinet of 3 files, MSZIP``."""
    how = _COMPRESSIONS.get(layout.compression & 0xF, f"compression {layout.compression & 0xF}")
    return f"cabinet of {layout.files} file{'s' * (layout.files != 1)}, {how}"
