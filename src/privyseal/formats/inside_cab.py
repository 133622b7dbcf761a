"""Cabinets as containers: their files, and the cabinet with some of them replaced.

Source: Microsoft, [MS-CAB] 2.1 to 2.4 and 3.1 (checksums), and [MS-MCI] 2 (MSZIP). The files of a folder are one
stream, cut into blocks of 32 KiB; MSZIP packs each by deflate, with the block before it as its dictionary. A folder
without a replaced file keeps its blocks as they stand. LZX and Quantum are not unpacked here.

cabextract and 7z judge what is written.
"""

from __future__ import annotations

import hashlib
import itertools
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Final, NoReturn

import msgspec

from privyseal.errors import MalformedCode
from privyseal.formats import cab_layout
from privyseal.formats.protocol import Layout, Source

BLOCK: Final = 32768
"""Octets of one block, unpacked; all but a folder's last have as many."""
LARGEST_BLOCK: Final = BLOCK + 12
"""Octets of one packed by MSZIP ([MS-MCI] 2.1)."""
MAX_BLOCKS: Final = 0xFFFF
"""Of one folder: they are counted in 16 bits."""
MAX_NAME: Final = 257
"""Octets of a name with the zero behind it ([MS-CAB] 2.3)."""

_FILE = struct.Struct("<IIHHHH")  # size, where it begins in its folder, folder, date, time, attributes
_FOLDER = struct.Struct("<IHH")
_BLOCK = struct.Struct("<IHH")
_STORED, _MSZIP = 0, 1
_HOW = {2: "Quantum", 3: "LZX"}
_IS_UTF = 0x80
_LEVEL = 9


class CabFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file in a cabinet."""

    name: bytes
    size: int
    start: int
    """Where in its folder it begins, unpacked."""
    folder: int
    entry_at: int
    """Where its entry is in the cabinet."""
    utf: bool

    @property
    def text(self) -> str:
        """Its name; what is no UTF-8 and not said to be is taken for Latin-1."""
        return self.name.decode("utf-8" if self.utf else "latin-1", "replace")


class Folder(msgspec.Struct, frozen=True):
    """One folder: where its blocks begin, how many there are, and how they are packed."""

    at: int
    blocks: int
    packing: int


class CabContainer:
    """A cabinet."""

    def __init__(self, code: Source, layout: Layout | None = None) -> None:
        """Read headers, folders and the entries of files; MalformedCode where they contradict each other."""
        self.code = code
        self.spend: Callable[[int], object] = int
        self.layout = layout if isinstance(layout, cab_layout.CabLayout) else cab_layout.read_layout(code)
        stride = _FOLDER.size + self.layout.folder_reserve
        table = code.pread(self.layout.folders_at, self.layout.folders * stride)
        self.folders = [Folder(*_FOLDER.unpack_from(table, at)) for at in range(0, len(table), stride)]
        self.files, self.files_end = self._files()
        self.members: Sequence[CabFile] = sorted(
            (one for one in self.files if one.size), key=lambda one: (one.folder, one.start)
        )
        self._numbers = {one.entry_at: number for number, one in enumerate(self.members)}
        self._cursor = _Cursor(-1, iter(()))
        self._same: dict[int, bool] = {}

    def _refuse(self, why: str) -> NoReturn:
        raise MalformedCode(f"{self.code.filename} {why}.")

    def _files(self) -> tuple[list[CabFile], int]:
        found: list[CabFile] = []
        at = self.layout.files_at
        for _ in range(self.layout.files):
            if at + _FILE.size > self.layout.end:
                self._refuse(f"has {self.layout.files} files by its header, and {len(found)} entries of such")
            size, start, folder, _, _, attributes = _FILE.unpack(self.code.pread(at, _FILE.size))
            name_at = at + _FILE.size
            octets = self.code.pread(name_at, min(MAX_NAME, self.layout.end - name_at))
            length = octets.find(b"\0")
            if length <= 0:
                self._refuse(f"has a file whose name does not end within {MAX_NAME} octets, or is empty")
            if folder >= len(self.folders):
                self._refuse(f"has a file in folder {folder}; it has {len(self.folders)} whole folders")
            one = CabFile(
                name=octets[:length], size=size, start=start, folder=folder, entry_at=at, utf=bool(attributes & _IS_UTF)
            )
            found.append(one)
            at = name_at + length + 1
        return found, at

    # -- reading -------------------------------------------------------------------------------------------------------
    def octets(self, number: int) -> Iterator[bytes]:
        """Yield the content of a file; MalformedCode where its folder is packed in a way that is not read here.

        Who reads files in their order has each block unpacked once.
        """
        one = self.members[number]
        if self._cursor.folder != one.folder or self._cursor.start > one.start:
            self._cursor = _Cursor(one.folder, self._plain(one.folder))
        cursor, at, end = self._cursor, one.start, one.start + one.size
        while at < end:
            while cursor.start + len(cursor.block) <= at:
                if not cursor.advance():
                    self._refuse(f"ends folder {one.folder} at {at}, and a file in it at {end}")
            piece = cursor.block[at - cursor.start : end - cursor.start]
            at += len(piece)
            yield piece

    def _plain(self, number: int) -> Iterator[bytes]:
        """Yield the blocks of a folder, unpacked."""
        packing = self.folders[number].packing & 0xF
        if packing not in (_STORED, _MSZIP):
            self._refuse(f"is packed by {_HOW.get(packing, f'method {packing}')}, which is not read here")
        before = b""
        for plain, octets in self._blocks(number):
            before = octets if packing == _STORED else self._unzipped(octets, before, plain)
            self.spend(plain)
            if len(before) != plain:
                self._refuse(f"has a block of {len(before)} octets that says it has {plain}")
            yield before

    def _blocks(self, number: int) -> Iterator[tuple[int, bytes]]:
        """Yield how many octets each block has unpacked, and what stands in it."""
        at, reserve = self.folders[number].at, self.layout.block_reserve
        for _ in range(self.folders[number].blocks):
            if at + _BLOCK.size + reserve > self.layout.end:
                self._refuse(f"has a block at {at} that passes its end")
            checksum, size, plain = _BLOCK.unpack(self.code.pread(at, _BLOCK.size))
            whole = _BLOCK.size + reserve + size
            if at + whole > self.layout.end or not 0 < plain <= BLOCK or size > LARGEST_BLOCK:
                self._refuse(f"has a block at {at} of {size} octets, {plain} unpacked, which cannot be")
            octets = self.code.pread(at + 4, whole - 4)
            if checksum and checksum != checksum_of(octets[: 4 + reserve], octets[4 + reserve :]):
                self._refuse(f"has a block at {at} whose checksum is another")
            at += whole
            yield plain, octets[4 + reserve :]

    def _unzipped(self, octets: bytes, before: bytes, plain: int) -> bytes:
        if octets[:2] != b"CK":
            self._refuse("has a block that does not begin as MSZIP's do")
        try:
            unpacker = zlib.decompressobj(-15, before)
            found = unpacker.decompress(octets[2:], plain + 1)
        except zlib.error:
            self._refuse("has a block that cannot be unpacked")
        if not unpacker.eof:
            self._refuse("has a block that does not end where it should")
        return found

    def unchanged(self, number: int, other: CabContainer) -> bool:
        """Tell whether a file is the same in another cabinet."""
        mine, theirs = self.members[number], other.members[number]
        if (mine.name, mine.size) != (theirs.name, theirs.size):
            return False
        if mine.start == theirs.start and self._same_folder(mine.folder, other):
            return True
        return _digest(self.octets(number)) == _digest(other.octets(number))

    def _same_folder(self, folder: int, other: CabContainer) -> bool:
        """Tell, once, whether the blocks of a folder are the same, octet for octet."""
        if folder not in self._same:
            both = itertools.zip_longest(self._blocks(folder), other._blocks(folder))
            self._same[folder] = all(one == another for one, another in both)
        return self._same[folder]

    # -- writing -------------------------------------------------------------------------------------------------------
    def rebuild(self, replaced: Mapping[int, Source], out: IO[bytes]) -> None:
        """Write the cabinet with these files replaced, and without its signature."""
        new = {self.members[number].entry_at: code for number, code in replaced.items()}
        touched = {self.members[number].folder for number in replaced}
        if self.layout.block_reserve:
            self._refuse("reserves octets in its blocks, and what belongs into new ones is not known")
        out.write(self._head())
        data_at = self.files_end
        out.write(self.code.pread(self.layout.files_at, data_at - self.layout.files_at))
        for number in sorted(range(len(self.folders)), key=lambda one: self.folders[one].at):
            at = out.tell()
            if number in touched:
                blocks = self._pack(number, new, out)
            else:
                blocks = self.folders[number].blocks
                self._copy(number, out)
            stride = _FOLDER.size + self.layout.folder_reserve
            _put(out, self.layout.folders_at + number * stride, struct.pack("<IH", at, blocks))
        end = out.tell()
        if end > cab_layout.MAX_FILE:
            self._refuse("would pass 4 GiB, and its offsets have 32 bits")
        _put(out, 8, struct.pack("<I", end))

    def _head(self) -> bytes:
        """Return header and folders, with room for a signature where there was, and none in it."""
        layout = self.layout
        if len(layout.pointer) not in (0, cab_layout.POINTER):
            self._refuse("has its signature in its header, where nothing can be put in its place")
        return cab_layout.headers(
            self.code, layout, layout.reserve if layout.has_reserve else None, bytes(len(layout.pointer))
        )

    def _copy(self, number: int, out: IO[bytes]) -> None:
        at = self.folders[number].at
        for _, octets in self._blocks(number):
            whole = _BLOCK.size + len(octets)
            out.write(self.code.pread(at, whole))
            at += whole

    def _pack(self, number: int, new: Mapping[int, Source], out: IO[bytes]) -> int:
        """Write the blocks of a folder with its files, some of them new; return how many there are."""
        packing = self.folders[number].packing & 0xF
        inside = sorted((one for one in self.files if one.folder == number), key=lambda one: (one.start, one.size))
        expected, start = 0, 0
        for one in inside:
            if one.start != expected:
                self._refuse(f"has files in folder {number} that overlap, or octets between them")
            expected += one.size
            size = new[one.entry_at].size if one.entry_at in new else one.size
            if start + size > MAX_BLOCKS * BLOCK:
                self._refuse(f"would have more in folder {number} than one folder holds")
            _put(out, one.entry_at, struct.pack("<II", size, start))
            start += size
        blocks, before = 0, b""
        for octets in _in_blocks(piece for one in inside for piece in self._content(one, new)):
            data = octets if packing == _STORED else _zipped(octets, before)
            head = struct.pack("<HH", len(data), len(octets))
            out.write(struct.pack("<I", checksum_of(head, data)) + head + data)
            blocks, before = blocks + 1, octets
        return blocks

    def _content(self, one: CabFile, new: Mapping[int, Source]) -> Iterator[bytes]:
        if (code := new.get(one.entry_at)) is None:
            if one.size:
                yield from self.octets(self._numbers[one.entry_at])
            return
        for at in range(0, code.size, BLOCK):
            yield code.pread(at, min(BLOCK, code.size - at))


class _Cursor:
    """How far a folder has been unpacked: the block that was unpacked last, and where it begins."""

    def __init__(self, folder: int, blocks: Iterator[bytes]) -> None:
        self.folder, self._blocks = folder, blocks
        self.start, self.block = 0, b""

    def advance(self) -> bool:
        """Unpack the next block; False where there is none."""
        following = next(self._blocks, None)
        if following is None:
            return False
        self.start, self.block = self.start + len(self.block), following
        return True


def _digest(pieces: Iterator[bytes]) -> bytes:
    hashed = hashlib.sha256()
    for piece in pieces:
        hashed.update(piece)
    return hashed.digest()


def checksum_of(head: bytes, data: bytes) -> int:
    """Return the checksum of a block of data, of what stands between it and the data and of the data ([MS-CAB] 3.1)."""
    return _folded(data) ^ _folded(head)


def _folded(octets: bytes) -> int:
    """Return the sum by exclusive or of 32-bit words; the last octets, if fewer than 4, count from the other end."""
    whole = len(octets) & ~3
    total = int.from_bytes(octets[whole:], "big")
    number, bits = int.from_bytes(octets[:whole], "little"), whole * 8
    while bits > 32:  # fold it in half, at a whole word
        half = -(-bits // 64) * 32
        number, bits = (number >> half) ^ (number & ((1 << half) - 1)), half
    return total ^ number


def _zipped(octets: bytes, before: bytes) -> bytes:
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, before)
    data = b"CK" + packer.compress(octets) + packer.flush()
    if len(data) <= LARGEST_BLOCK:
        return data
    return b"CK\x01" + struct.pack("<HH", len(octets), len(octets) ^ 0xFFFF) + octets


def _in_blocks(pieces: Iterator[bytes]) -> Iterator[bytes]:
    held = bytearray()
    for piece in pieces:
        held += piece
        while len(held) >= BLOCK:
            yield bytes(held[:BLOCK])
            del held[:BLOCK]
    if held:
        yield bytes(held)


def _put(out: IO[bytes], at: int, octets: bytes) -> None:
    """Overwrite what stands at a place, and go back to the end."""
    end = out.tell()
    out.seek(at)
    out.write(octets)
    out.seek(end)
