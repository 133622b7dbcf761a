"""The structure of a UEFI capsule: its headers, drivers and images, and what authenticates an image.

Source: UEFI specification 2.10, 8.5.3 (EFI_CAPSULE_HEADER), 23.3.2 (EFI_FIRMWARE_MANAGEMENT_CAPSULE_HEADER and
..._IMAGE_HEADER, versions 1 to 3) and 23.1 (EFI_FIRMWARE_IMAGE_AUTHENTICATION). One is read only where its parts stand
one behind the other, as EDK2 writes and reads them, so that no octet belongs to nothing.
"""

from __future__ import annotations

import itertools
import struct
from typing import Final, NoReturn

import msgspec

from privyseal.errors import MalformedCode
from privyseal.formats import uefi_blob
from privyseal.formats.protocol import Layout, Source

NAME: Final = "uefi-capsule"
CAPSULE: Final = uefi_blob.guid("6dcbd5ed-e82d-4c44-bda1-7194199ad92a")
"""EFI_FIRMWARE_MANAGEMENT_CAPSULE_ID_GUID."""
MAX_FILE: Final = 0xFFFFFFFF
"""Octets: CapsuleImageSize is a 32-bit number."""
MAX_ITEMS: Final = 64
"""Drivers and images of one capsule; a system has some ten devices that are updated so."""
MAX_HEADER: Final = 4096
"""Octets before the items' table; EDK2 writes 32."""
HEADER: Final = struct.Struct("<16sIII")
"""EFI_CAPSULE_HEADER: what it is, octets of the header, flags, octets of all."""
TABLE: Final = struct.Struct("<IHH")
"""EFI_FIRMWARE_MANAGEMENT_CAPSULE_HEADER: version, drivers, images; offsets of 64 bits follow."""
_IMAGE = struct.Struct("<I16sB3sII")  # version, type, index, reserved, octets of image and of vendor's code
_HEADERS = {1: 32, 2: 40, 3: 48}
"""Octets of an image's header by its version: without the hardware's instance, with it, with what it supports too."""
_COUNT = 8
"""Octets of the monotonic count, which the certificate follows."""
_AUTHENTICATION = _COUNT + uefi_blob.CERTIFICATE.size
AUTHENTICATED: Final = 1
"""CAPSULE_SUPPORT_AUTHENTICATION."""


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """One image in a capsule."""

    item: int
    """Its number among the items."""
    at: int
    """Where its header begins."""
    version: int
    kind: str
    """ImageTypeId."""
    index: int
    supports: int
    """Bits that say what it comes with; 0 before version 3."""
    start: int
    """Where the image begins, its authentication included."""
    content: int
    """Where that ends and what is signed begins; ``start`` where it is not signed."""
    end: int
    """Where the image ends; code of the vendor may follow."""
    count: int | None
    """Monotonic count; None where it is not signed."""

    @property
    def signed(self) -> bool:
        """Tell whether an authentication stands before what it is about."""
        return self.count is not None


class CapsuleLayout(Layout, frozen=True, kw_only=True):
    """Where things are in one capsule."""

    header: int
    """Where the table of items begins."""
    offsets: tuple[int, ...]
    """Where each item begins, from the table on."""
    drivers: int
    images: tuple[Image, ...]

    @property
    def shift(self) -> None:
        """Return None: how long a signature is that stands before an image is known only when it is made."""
        return

    @property
    def carries_signature(self) -> bool:
        """Tell whether there is a signature, good or not."""
        return any(one.signed for one in self.images)


def read(code: Source) -> CapsuleLayout:
    """Read the structure; MalformedCode with one sentence that names what is wrong."""
    if not HEADER.size <= code.size <= MAX_FILE:
        _refuse(code, f"it has {code.size} octets")
    what, header, _, size = HEADER.unpack(code.pread(0, HEADER.size))
    if what != CAPSULE:
        _refuse(code, "it is no capsule with firmware to manage")
    if size != code.size or not HEADER.size <= header <= min(MAX_HEADER, size - TABLE.size):
        _refuse(code, f"it claims {size} octets, {header} of them header, and has {code.size}")
    version, drivers, count = TABLE.unpack(code.pread(header, TABLE.size))
    items = drivers + count
    if version != 1 or not count or items > MAX_ITEMS:
        _refuse(code, f"it is of version {version} with {drivers} drivers and {count} images")
    first = TABLE.size + 8 * items
    if header + first > size:
        _refuse(code, f"{items} items do not fit into it")
    offsets = struct.unpack(f"<{items}Q", code.pread(header + TABLE.size, 8 * items))
    places = [header + one for one in (*offsets, size - header)]
    if offsets[0] != first or any(one >= two for one, two in itertools.pairwise(places)):
        _refuse(code, "its drivers and images do not stand one behind the other")
    images = tuple(_image(code, item, places[item], places[item + 1]) for item in range(drivers, items))
    return CapsuleLayout(format=NAME, size=size, header=header, offsets=offsets, drivers=drivers, images=images)


def _refuse(code: Source, why: str) -> NoReturn:
    raise MalformedCode(f"{code.filename} is no UEFI capsule that can be signed: {why}.")


def _image(code: Source, item: int, at: int, limit: int) -> Image:
    """Read the header of an image between two places."""
    if limit - at < _HEADERS[1]:
        _refuse(code, f"the image at {at} has {limit - at} octets")
    version, kind, index, reserved, octets, vendor = _IMAGE.unpack(code.pread(at, _IMAGE.size))
    if version not in _HEADERS or index < 1 or reserved != bytes(3):
        _refuse(code, f"the image at {at} is of version {version} with the index {index}")
    start = at + _HEADERS[version]
    if start + octets + vendor != limit or not octets:
        _refuse(code, f"the image at {at} claims {octets} octets and {vendor} of its vendor; {limit - start} are there")
    supports = int.from_bytes(code.pread(at + 40, 8), "little") if version == 3 else 0
    content, count = _authentication(code, start, start + octets)
    return Image(
        item=item, at=at, version=version, kind=uefi_blob.shown(kind), index=index, supports=supports,
        start=start, content=content, end=start + octets, count=count,
    )  # fmt: skip


def _authentication(code: Source, start: int, end: int) -> tuple[int, int | None]:
    """Return where the authentication of an image ends, and its count; where it begins, and None, without one."""
    if end - start < _AUTHENTICATION:
        return start, None
    head = code.pread(start, _AUTHENTICATION)
    if not uefi_blob.is_header(head[_COUNT:]):
        return start, None
    length = int.from_bytes(head[_COUNT : _COUNT + 4], "little")
    content = start + _COUNT + length
    if (
        not uefi_blob.CERTIFICATE.size < length <= uefi_blob.CERTIFICATE.size + uefi_blob.MAX_SIGNATURE
        or content >= end
    ):
        _refuse(code, f"the signature of the image at {start} has {length} octets, and the image {end - start}")
    return content, int.from_bytes(head[:_COUNT], "little")


def blob(code: Source, image: Image) -> bytes:
    """Return the message in an image's authentication."""
    return code.pread(image.start + _AUTHENTICATION, image.content - image.start - _AUTHENTICATION)


def with_authentication(count: int, message: bytes) -> bytes:
    """Return EFI_FIRMWARE_IMAGE_AUTHENTICATION."""
    return count.to_bytes(_COUNT, "little") + uefi_blob.wrap(message)
