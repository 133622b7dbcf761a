"""WiX bundles (Burn): programs that carry packages behind themselves, and why most cannot be signed as they are.

A bundle is an engine, the container of its user interface, and behind both the attached container with the packages.
When it is run, Windows' list of programs gets a copy of the engine alone, which is what asks to be elevated later. So
the engine is signed first: it is detached, signed, attached again, and then the whole is signed. A signature over the
whole alone is not in the copy, and a repair or an uninstallation runs an unsigned program.

Source: WiX, ``burn/engine/section.cpp`` and ``BurnReader.cs`` (MS-RL): the section ``.wixburn`` begins with a magic
number; where the engine ends follows from the signature that it had before the container was attached again, or from
the sizes of engine and user interface.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from privyseal.errors import MalformedCode
from privyseal.formats.pe_layout import PeLayout
from privyseal.formats.protocol import Source

MAGIC: Final = 0x00F14300
"""What the section begins with (BURN_SECTION_MAGIC)."""
MAX_CONTAINERS: Final = 64
"""Containers of one bundle; WiX writes two at most, and reads as many as the section has room for."""
_NAME = b".wixburn"
_HEADER = struct.Struct("<II16sIIIIII")  # magic, version, id, stub, checksum, signature at, its size, kind, containers
_CERTIFICATE = struct.Struct("<IHH")
_PKCS7 = 0x0002


class Bundle(msgspec.Struct, frozen=True):
    """What a bundle says of itself."""

    engine_end: int
    """Where the engine with its user interface, and its signature if it was signed, ends."""
    signature: tuple[int, int]
    """Where the engine's signature was before the container was attached again, and its octets; zeros if nowhere."""
    attached: int
    """Octets of the attached containers."""


def find(code: Source) -> Bundle | None:
    """Return what the section of a bundle says; None for every other program, whose structure has been read before."""
    header = int.from_bytes(code.pread(60, 4), "little")
    count = int.from_bytes(code.pread(header + 6, 2), "little")
    table = header + 24 + int.from_bytes(code.pread(header + 20, 2), "little")
    rows = code.pread(table, 40 * count)
    for at in range(0, len(rows), 40):
        size, start = struct.unpack_from("<II", rows, at + 16)
        if rows[at : at + 8] != _NAME or size < _HEADER.size or start + size > code.size:
            continue
        magic, _, _, stub, _, signed_at, signed, _, containers = _HEADER.unpack(code.pread(start, _HEADER.size))
        if magic != MAGIC:
            continue
        fitting = min(containers, MAX_CONTAINERS, (size - _HEADER.size) // 4)
        interface, *others = (*struct.unpack(f"<{fitting}I", code.pread(start + _HEADER.size, 4 * fitting)), 0)
        end = signed_at + signed if signed_at else stub + interface
        return Bundle(end, (signed_at, signed), sum(others))
    return None


def require_signed_engine(code: Source, layout: PeLayout) -> None:
    """Refuse a bundle with an attached container and an engine that is not signed; MalformedCode says what to do.

    Allowed are a detached engine, a bundle with nothing attached, and one whose engine's signature is inside.
    """
    bundle = find(code)
    if bundle is None or bundle.attached == 0 or 0 <= layout.content_end - bundle.engine_end < 8:
        return
    if bundle.signature[0] and _holds_certificate(code, layout, bundle):
        return
    name = code.filename
    raise MalformedCode(
        f"{name} is a WiX bundle (Burn) whose engine is not signed. Windows keeps a copy of the engine to repair and "
        "to uninstall, and a signature over the whole bundle would not be in that copy.",
        hint=f"(1) wix burn detach {name} -engine engine.exe; (2) privyseal sign engine.exe; (3) wix burn reattach "
        f"{name} -engine engine.exe -o {name}; then sign {name} (WiX 3: insignia -ib {name} -o engine.exe, and "
        f"insignia -ab engine.exe {name} -o {name})",
    )


def _holds_certificate(code: Source, layout: PeLayout, bundle: Bundle) -> bool:
    """Tell whether a certificate table stands where the bundle says that the engine's signature is."""
    at, size = bundle.signature
    if size < _CERTIFICATE.size + 2 or not layout.sections_end <= at <= at + size <= layout.content_end:
        return False
    length, _, kind = _CERTIFICATE.unpack(code.pread(at, _CERTIFICATE.size))
    first = code.pread(at + _CERTIFICATE.size, 1)
    return kind == _PKCS7 and _CERTIFICATE.size < length <= size and first == b"\x30"
