"""The directory of a compound file: entries, and the tree in which the children of a storage hang.

Source: MS-CFB 2.6. Children are a binary tree ordered by length of the name, then by its upper-case UTF-16 code units
(2.6.4). It is called red-black, but what is asked is only that its root is black and that no red one hangs below a red
one. So a new entry is hung up as a black leaf, which every tree may have: nothing else moves, and taking it down again
gives the tree that was.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

import msgspec

from privyseal.formats.cfb_table import Refusal

ENTRY = struct.Struct("<64sHBBIII16s4s16sIQ")
SIZE = ENTRY.size
UNUSED, STORAGE, STREAM, ROOT = 0, 1, 2, 5
RED, BLACK = 0, 1
NOBODY = 0xFFFFFFFF
"""NOSTREAM: no sibling, no child."""

MAX_ENTRIES = 1 << 16
"""Entries read, 8 MiB; an installer with a stream for each of its files has some thousands."""
MAX_DEPTH = 32
"""Storages within storages; a patch (MSP) has two levels, and Windows Installer opens no deeper ones."""

EMPTY = bytes(68) + b"\xff" * 12 + bytes(48)
"""An entry that is not used (MS-CFB 2.6.3)."""
BLANK = bytes(SIZE)
"""The same as some writers have it."""

_LEFT, _RIGHT, _CHILD, _COLOUR = 68, 72, 76, 67


class Entry(msgspec.Struct, frozen=True):
    """A storage, a stream or the root, as the directory has it."""

    number: int
    name: bytes
    """UTF-16LE, without the NUL that ends it."""
    kind: int
    colour: int
    left: int
    right: int
    child: int
    clsid: bytes
    state: bytes
    """Four octets of user-defined flags."""
    times: bytes
    """Created and modified, eight octets each (FILETIME)."""
    start: int
    size: int

    @property
    def text(self) -> str:
        """What people may be shown of its name."""
        plain = self.name.decode("utf-16-le", "replace")
        return "".join(one if one.isprintable() else f"[{ord(one)}]" for one in plain)


def entry_at(directory: bytes | bytearray, number: int, major: int) -> Entry:
    """Cut one entry out of the directory; nothing is checked yet."""
    raw, length, kind, colour, left, right, child, clsid, state, times, start, size = ENTRY.unpack_from(
        directory, number * SIZE
    )
    # The upper half is not looked at in files of version 3, in which some writers left it unset (MS-CFB 2.6.3).
    size = size if major == 4 else size & 0xFFFFFFFF
    return Entry(number, raw[: max(0, length - 2)], kind, colour, left, right, child, clsid, state, times, start, size)


def read_tree(directory: bytes, major: int, refuse: Refusal) -> tuple[dict[int, Entry], dict[int, tuple[int, ...]]]:
    """Return every entry that the root leads to, and the children of each storage in the order of the tree.

    MalformedCode for a tree that meets itself or leaves the directory, a storage too deep, an impossible name, and two
    children of one name.
    """
    count = len(directory) // SIZE
    root = entry_at(directory, 0, major)
    if root.kind != ROOT:
        raise refuse("its directory does not begin with a root")
    entries, children = {0: root}, {}
    waiting = [(0, 0)]
    while waiting:
        above, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise refuse(f"its storages are more than {MAX_DEPTH} deep")
        hanging = _in_order(directory, entries[above].child, entries, major, count, refuse)
        children[above] = tuple(one.number for one in hanging)
        names = {one.name for one in hanging}
        if len(names) != len(hanging):
            raise refuse(f"two of the {len(hanging)} entries in {entries[above].text or 'the root'} have the same name")
        waiting += [(one.number, depth + 1) for one in hanging if one.kind == STORAGE]
    return entries, children


def _in_order(
    directory: bytes, top: int, entries: dict[int, Entry], major: int, count: int, refuse: Refusal
) -> list[Entry]:
    """Walk one storage's tree from left to right without recursion, and note every entry met in ``entries``."""
    found: list[Entry] = []
    above: list[Entry] = []
    at = top
    while at != NOBODY or above:
        while at != NOBODY:
            if at >= count:
                raise refuse(f"its directory leads to entry {at}, and has {count}")
            if at in entries:
                raise refuse(f"its directory leads to entry {at} twice")
            one = entry_at(directory, at, major)
            entries[at] = one
            _check(directory, one, refuse)
            above.append(one)
            at = one.left
        one = above.pop()
        found.append(one)
        at = one.right
    return found


def _check(directory: bytes, one: Entry, refuse: Refusal) -> None:
    length = int.from_bytes(directory[one.number * SIZE + 64 : one.number * SIZE + 66], "little")
    if one.kind not in (STORAGE, STREAM):
        raise refuse(f"entry {one.number} of its directory is of kind {one.kind}; a storage or stream was expected")
    if not 4 <= length <= 64 or length % 2:
        raise refuse(f"the name of entry {one.number} is said to have {length} octets; from 4 to 64 were expected")
    end = one.number * SIZE + length
    if directory[end - 2 : end] != b"\0\0":
        raise refuse(f"the name of entry {one.number} does not end where it is said to")
    if one.kind == STREAM and one.child != NOBODY:
        raise refuse(f"the stream {one.text} has children")


def rank(name: bytes) -> tuple[int, list[int]]:
    """Return what a name is sorted by in the tree: its length, then its upper-case code units (MS-CFB 2.6.4)."""
    units = [int.from_bytes(name[at : at + 2], "little") for at in range(0, len(name), 2)]
    return len(name), [_upper(unit) for unit in units]


def _upper(unit: int) -> int:
    """Return the simple upper case of one code unit, as far as it is one character to one."""
    if 0xD800 <= unit < 0xE000:
        return unit
    upper = chr(unit).upper()
    return ord(upper) if len(upper) == 1 and ord(upper) < 0x10000 else unit


# -- changing a directory ----------------------------------------------------------------------------------------------
def written(name: str, start: int, size: int) -> bytes:
    """Return the entry of a stream that hangs nowhere yet; it has no times, as MS-CFB 2.6.3 asks of streams."""
    raw = name.encode("utf-16-le")
    return ENTRY.pack(
        raw, len(raw) + 2, STREAM, BLACK, NOBODY, NOBODY, NOBODY, bytes(16), bytes(4), bytes(16), start, size
    )


def hang(directory: bytearray, number: int, above: int) -> None:
    """Hang entry ``number`` into the tree of the storage ``above``, as a black leaf."""
    name = entry_at(directory, number, 4).name
    slot, at = above * SIZE + _CHILD, _link(directory, above * SIZE + _CHILD)
    for _ in range(len(directory) // SIZE):
        if at == NOBODY:
            break
        other = entry_at(directory, at, 4).name
        slot = at * SIZE + (_LEFT if rank(name) < rank(other) else _RIGHT)
        at = _link(directory, slot)
    _set(directory, slot, number)


def take_down(directory: bytearray, number: int, above: int) -> None:
    """Take entry ``number`` out of the tree of the storage ``above`` and leave its place in the directory unused.

    A leaf just goes. In the place of one with two branches comes the last of its left branch, whose own left branch
    moves up; whatever moves becomes black, so that no two red ones meet.
    """
    slot = _slot_of(directory, number, above)
    left, right = (_link(directory, number * SIZE + side) for side in (_LEFT, _RIGHT))
    if left != NOBODY and right != NOBODY:
        heir, before = left, number * SIZE + _LEFT
        while (further := _link(directory, heir * SIZE + _RIGHT)) != NOBODY:
            heir, before = further, heir * SIZE + _RIGHT
        orphan = _link(directory, heir * SIZE + _LEFT)
        _set(directory, before, orphan)
        _blacken(directory, orphan)
        _set(directory, heir * SIZE + _LEFT, _link(directory, number * SIZE + _LEFT))
        _set(directory, heir * SIZE + _RIGHT, right)
    else:
        heir = right if left == NOBODY else left
    _set(directory, slot, heir)
    _blacken(directory, heir)
    directory[number * SIZE : (number + 1) * SIZE] = unused_as_elsewhere(directory)


def unused_as_elsewhere(directory: bytearray) -> bytes:
    """Return an unused entry as this file's writer has them, so that what was added goes without a trace."""
    last = bytes(directory[-SIZE:])
    return BLANK if last == BLANK else EMPTY


def free_place(directory: bytearray) -> int | None:
    """Return the number of the first unused entry; None where there is none."""
    for at in range(SIZE, len(directory), SIZE):
        if directory[at + 66] == UNUSED:
            return at // SIZE
    return None


def set_stream(directory: bytearray, number: int, start: int, size: int) -> None:
    """Say where a stream begins and how large it is."""
    struct.pack_into("<IQ", directory, number * SIZE + 116, start, size)


def _slot_of(directory: bytearray, number: int, above: int) -> int:
    """Return where in the directory the link to entry ``number`` stands."""
    waiting = [above * SIZE + _CHILD]
    while waiting:
        slot = waiting.pop()
        at = _link(directory, slot)
        if at == number:
            return slot
        if at != NOBODY:
            waiting += [at * SIZE + _LEFT, at * SIZE + _RIGHT]
    raise AssertionError(f"entry {number} does not hang below {above}")


def _link(directory: bytearray, slot: int) -> int:
    return int.from_bytes(directory[slot : slot + 4], "little")


def _set(directory: bytearray, slot: int, number: int) -> None:
    directory[slot : slot + 4] = number.to_bytes(4, "little")


def _blacken(directory: bytearray, number: int) -> None:
    if number != NOBODY:
        directory[number * SIZE + _COLOUR] = BLACK


def named(entries: Mapping[int, Entry], children: Sequence[int], name: str) -> Entry | None:
    """Return the child of this name, case and all; None where there is none."""
    wanted = name.encode("utf-16-le")
    return next((entries[one] for one in children if entries[one].name == wanted), None)
