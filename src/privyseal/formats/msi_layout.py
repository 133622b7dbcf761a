"""The structure of a Windows Installer file: which of its streams are signed, and in what order.

An installer (MSI), a patch (MSP), a merge module (MSM) and a transform (MST) are compound files that the class of the
root tells apart from others. The signature is a stream of the root, ``\\5DigitalSignature``. Microsoft describes
nowhere what it covers; every implementation, and every file that Windows accepts, has it so:

* content: the octets of every stream, in each storage in the order of the names' UTF-16LE octets with the NUL that ends
  them, storages by their own content in the same order; behind the last of each storage its class;
* if there is ``\\5MsiDigitalSignatureEx``: before the content what that stream holds, a digest of the metadata: names,
  classes, sizes, state bits and times, in the same order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from privyseal.errors import MalformedCode
from privyseal.formats import cfb, content, elder_documents
from privyseal.formats.cfb import Compound
from privyseal.formats.cfb_directory import ROOT, STORAGE, STREAM, Entry
from privyseal.formats.protocol import Layout, Source

NAME = "msi"
"""What requests call the format."""
SIGNATURE = "\5DigitalSignature"
EXTENDED = "\5MsiDigitalSignatureEx"
"""The streams of the signature, and of the digest over names, sizes and times."""
_SIGNATURES = frozenset(name.encode("utf-16-le") for name in (SIGNATURE, EXTENDED))

KINDS: dict[bytes, str] = {
    bytes.fromhex("84100c0000000000c000000000000046"): "installer",
    bytes.fromhex("86100c0000000000c000000000000046"): "patch",
    bytes.fromhex("82100c0000000000c000000000000046"): "transform",
}
"""What the root's class says the file is; a merge module has an installer's."""

MAX_SIGNATURE = 8 << 20
"""Octets of the signature read; cutting it up takes some twenty times as much."""
MAX_EXTENDED = 64
"""Octets of the extended signature: the longest digest."""


class MsiLayout(Layout, frozen=True, kw_only=True):
    """Where everything is in one Windows Installer file."""

    compound: Compound
    kind: str
    """A value of KINDS."""
    signature: Entry | None
    extended: bytes | None
    """What the extended signature's stream holds; None where there is none."""
    metadata: bytes | None = None
    """The digest of the metadata that a new signature covers, once the content has been read for one."""

    @property
    def carries_signature(self) -> bool:
        """Tell whether there is a signature, good or not."""
        return self.signature is not None

    @property
    def covered(self) -> int:
        """How many octets of content a signature covers: of streams, and a class for each storage."""
        return sum(
            one.size if one.kind == STREAM else 16 for one in self.compound.entries.values() if not self.apart(one)
        )

    def apart(self, one: Entry) -> bool:
        """Tell whether an entry is one of the two of the signature, which covers neither."""
        return one.name in _SIGNATURES and one.number in self.compound.children[0]


def read_layout(code: Source) -> MsiLayout:
    """Read the structure of a Windows Installer file; MalformedCode with a sentence that names what is wrong."""
    found = cfb.read(code)
    kind = KINDS.get(found.entries[0].clsid)
    if kind is None:
        raise elder_documents.refusal(code, found) or MalformedCode(
            f"{code.filename} is a compound file, but none of Windows Installer: the class of its root is "
            f"{class_text(found.entries[0].clsid)}.",
            hint="expected an MSI, MSP, MSM or MST",
        )
    signature, extended = found.named(SIGNATURE), found.named(EXTENDED)
    for one in (signature, extended):
        if one is not None and one.kind != STREAM:
            raise MalformedCode(f"{code.filename} has a storage where its signature would be, {one.text}.")
    return MsiLayout(
        format=NAME,
        size=code.size,
        compound=found,
        kind=kind,
        signature=signature,
        extended=None if extended is None else cfb.stream(code, found, extended, MAX_EXTENDED),
    )


def class_text(clsid: bytes) -> str:
    """Return a class as people write it."""
    first, second, third = clsid[3::-1], clsid[5:3:-1], clsid[7:5:-1]
    return f"{{{first.hex()}-{second.hex()}-{third.hex()}-{clsid[8:10].hex()}-{clsid[10:].hex()}}}".upper()


# -- what is covered ---------------------------------------------------------------------------------------------------
def in_order(layout: MsiLayout, storage: int = 0) -> Iterator[Entry]:
    """Yield what is covered of a storage: its streams and storages in their order, then the storage itself."""
    entries = layout.compound.entries
    children = (entries[number] for number in layout.compound.children[storage])
    for one in sorted(children, key=lambda one: one.name + b"\0\0"):
        if layout.apart(one):
            continue
        if one.kind == STORAGE:
            yield from in_order(layout, one.number)
        else:
            yield one
    yield entries[storage]


def covered(layout: MsiLayout, metadata: bytes | None) -> Iterator[content.Part]:
    """Yield what is hashed, in its order: a digest of the metadata, where there is one, then content and classes."""
    if metadata:
        yield metadata
    for one in in_order(layout):
        if one.kind != STREAM:
            yield one.clsid
            continue
        for at, count in cfb.pieces(layout.compound, one):
            yield at, at + count


def metadata_digest(layout: MsiLayout, algorithm: str) -> bytes:
    """Return the digest that an extended signature holds: of what the directory says, and not of content."""
    hashed = hashlib.new(algorithm)
    for octets in _metadata(layout, 0):
        hashed.update(octets)
    return hashed.digest()


def _metadata(layout: MsiLayout, number: int) -> Iterator[bytes]:
    one = layout.compound.entries[number]
    if one.kind != ROOT:
        yield one.name
    yield (one.size & 0xFFFFFFFF).to_bytes(4, "little") if one.kind == STREAM else one.clsid
    yield one.state
    if one.kind != ROOT:
        yield one.times
    children = (layout.compound.entries[child] for child in layout.compound.children.get(number, ()))
    for child in sorted(children, key=lambda child: child.name + b"\0\0"):
        if not layout.apart(child):
            yield from _metadata(layout, child.number)


# -- names -------------------------------------------------------------------------------------------------------------
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._"


def readable(name: bytes) -> str:
    """Return a stream's name as Windows Installer means it: two letters are packed into one code unit of 3800-47FF."""
    said: list[str] = []
    for at in range(0, len(name), 2):
        unit = int.from_bytes(name[at : at + 2], "little")
        if 0x3800 <= unit < 0x4800:
            said += (_LETTERS[unit - 0x3800 & 0x3F], _LETTERS[unit - 0x3800 >> 6])
        elif 0x4800 <= unit < 0x4840:
            said.append(_LETTERS[unit - 0x4800])
        elif unit == 0x4840:
            said.append("!")  # a table's
        else:
            said.append(chr(unit) if chr(unit).isprintable() else f"[{unit}]")
    return "".join(said)
