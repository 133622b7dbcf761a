"""WiX Burn bundles: programs that carry other installers behind them, and whose engine has to be signed first.

Source: the WiX Toolset's ``burn/engine/section.cpp`` and ``burn/stub/StubSection.cpp``, versions 2 and 3 of the section
``.wixburn``: magic, version, GUID, size of the stub, then checksum, place and size of the *engine's* signature, the
containers' format, their number and their sizes. When it runs, the engine (the stub, and the first container behind it)
is copied out and started by itself; in a bundle that was signed as a plain program that copy has no signature.
"""

from __future__ import annotations

import struct
from typing import Final

from privyseal.errors import MalformedCode
from privyseal.formats.pe_layout import PeLayout
from privyseal.formats.protocol import Source

SECTION: Final = b".wixburn"
MAGIC: Final = 0x00F14300
"""The name of Burn's section, and what it begins with."""
_HEAD = struct.Struct("<II16xIIIIIII")
"""Up to the size of the first container, which belongs to the engine."""
_FILLED = 8
"""Octets that fill up a program before its signature, at most."""


def require_signed_engine(code: Source, layout: PeLayout) -> None:
    """Refuse a bundle whose engine is not signed, with the commands that do it right; MalformedCode."""
    if layout.content_end <= layout.sections_end:
        return
    section = _section(code)
    if section is None or section[1] < _HEAD.size:
        return
    magic, _, stub, _, _, signature, _, containers, first = _HEAD.unpack(code.pread(section[0], _HEAD.size))
    if magic != MAGIC or signature or containers < 2 or layout.content_end <= stub + first + _FILLED:
        return  # not of WiX, signed before, or an engine by itself
    name = code.filename
    raise MalformedCode(
        f"{name} is a WiX bundle whose engine is not signed; signed as it is, Windows would run an unsigned program.",
        hint=f"wix burn detach {name} -engine engine.exe; privyseal sign engine.exe; "
        f"wix burn reattach {name} -engine engine.exe -o signed-{name}; then sign that (WiX 3: insignia -ib, -ab)",
    )


def _section(code: Source) -> tuple[int, int] | None:
    """Return where Burn's section begins and how many octets it has; the headers were held against the file before."""
    header = int.from_bytes(code.pread(60, 4), "little")
    count, optional = struct.unpack("<6xH12xH", code.pread(header, 22))
    table = code.pread(header + 24 + optional, 40 * count)
    for at in range(0, len(table), 40):
        if table[at : at + 8] == SECTION:
            size, pointer = struct.unpack_from("<II", table, at + 16)
            return (pointer, size) if pointer and pointer + size <= code.size else None
    return None
