"""What is signed of an app package: digests of its entries, its directory, and three of its files.

Source: as in ``appx.py``, which says what each is of.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from privyseal.formats import appx_layout, content, zipdir
from privyseal.formats.appx_layout import AppxLayout
from privyseal.formats.protocol import Source
from privyseal.formats.zipdir_writing import Placed
from privyseal.terms.signatures import DigestAlgorithm

PARTS: Final = ("axpc", "axcd", "axct", "axbm", "axci")
"""The names of the digests in the order in which they are signed, in lower case."""
_SMALL = 1 << 20
"""Octets of packed content types that are held; real ones have some hundreds."""


# What the digests are of, and by what.
def of(
    code: Source,
    layout: AppxLayout,
    placed: Sequence[Placed],
    directory: bytes,
    types: bytes,
    algorithms: tuple[DigestAlgorithm, ...],
) -> dict[str, dict[str, bytes]]:
    """Return by algorithm each digest by its name in lower case; an empty one for a catalogue that is not there."""
    if not algorithms:
        return {}
    entries = content.digests(code, algorithms, _parts(code, placed))
    found: dict[str, dict[str, bytes]] = {
        one: {
            "axpc": entries[one],
            "axcd": hashlib.new(one, directory).digest(),
            "axct": hashlib.new(one, types).digest(),
        }
        for one in algorithms
    }
    for name, part in (("axbm", appx_layout.BLOCK_MAP), ("axci", appx_layout.CODE_INTEGRITY)):
        entry = layout.archive.find(part)
        streamed = {one: hashlib.new(one) for one in algorithms}
        if entry is not None:
            for piece in zipdir.unpacked(code, entry, appx_layout.MAX_STREAM):
                for each in streamed.values():
                    each.update(piece)
        for one in algorithms:
            found[one][name] = b"" if entry is None else streamed[one].digest()
    return found


def _parts(code: Source, placed: Sequence[Placed]) -> Iterator[content.Part]:
    """Yield what AXPC is of: the entries, those of content types as octets.

    Signing writes those anew, so they come from the plan before and from the file after. All else has its place in
    both, and what was hashed of the draft while the source was read need not be read again.
    """
    start = at = 0
    for one in placed:
        entry, octets = one.entry, one.octets
        if octets is None and entry.name == appx_layout.TYPES and entry.end - entry.at <= _SMALL:
            octets = code.pread(entry.at, entry.end - entry.at)
        if octets is None and entry.at == at:
            at = entry.end
            continue
        if start < at:
            yield start, at
        start = at = entry.end  # of an entry written anew it is no place in the file, and the next one begins a range
        if octets is None:
            start = entry.at
        else:
            yield octets
    if start < at:
        yield start, at


def imprint(digests: Mapping[str, bytes]) -> bytes:
    """Return the list of digests as it is signed."""
    return b"APPX" + b"".join(name.upper().encode() + digests[name] for name in PARTS if digests[name])
