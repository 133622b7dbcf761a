"""No octet of an installer signed here is loose: each is flipped once, and each time somebody must object.

Left out are the five things that ``cfb_tidy`` names: minor version, transaction number, the root's times, colours.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.formats.cfb_builder import build
from tests.formats.signing import APPEND, sign, signatory
from tests.formats.test_msi_strangers import PLAIN_MSI
from tests.formats.test_pe_every_octet import FLIPS
from tests.formats.test_pe_layout import Held

from privyseal.errors import BadInput, MalformedCode, VerificationFailed
from privyseal.formats import catalogue, cfb, cfb_directory, cfb_table
from privyseal.formats.examine import examine
from privyseal.timestamp.token import verify_token

pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number")

MSI = catalogue.BY_NAME["msi"]


def objections(octets: bytes) -> set[str]:
    """Return the slugs of what is wrong with a file, timestamps included."""
    try:
        found = examine(MSI, Held(octets))
    except MalformedCode:
        return {"malformed"}
    slugs = {problem.code for problem in found.problems}
    if not found.signatures:
        slugs.add("unsigned")
    for one in found.signatures:
        slugs |= {problem.code for problem in one.problems}
        if one.timestamp is not None:
            try:
                verify_token(one.timestamp, octets=one.signature_value)
            except (VerificationFailed, BadInput):
                slugs.add("timestamp")
    return slugs


def chosen(octets: bytes) -> set[int]:
    """Return the places that a writer may choose and no reader heeds."""
    found = cfb.read(Held(octets))
    free = {24, 25, *range(52, 56)}
    for number in found.entries:
        at = number * cfb_directory.SIZE
        sectors = list(cfb_table.sectors_of(found.directory_runs))
        start = found.offset(sectors[at // found.header.sector]) + at % found.header.sector
        free.add(start + 67)
        if number == 0:
            free |= set(range(start + 100, start + 116))
    return free


def places(octets: bytes, step: int) -> Iterator[int]:
    """Yield places of structure and signature one by one, of what is zero or free in steps."""
    free = chosen(octets)
    for at, value in enumerate(octets):
        if at not in free and (at % step == 0 or value not in (0, 0xFF)):
            yield at


@pytest.mark.parametrize("kind", ["extended", "plain", "nested"])
def test_every_octet_counts(tmp_path: Path, kind: str):
    """Header, FAT, MiniFAT, directory, room between; under the plain signature all but names."""
    path = build(tmp_path / "x.msi", {"a": b"1" * 70, "Sub": {"b": b"2" * 10}, "Data": b"3" * 4100}, major=3)
    who = signatory("ecdsa-p256")
    sign(path, who, options=PLAIN_MSI if kind == "plain" else APPEND, stamped=kind == "nested")
    if kind == "nested":
        sign(path, who, options=APPEND)
    octets = bytearray(path.read_bytes())
    assert not objections(bytes(octets))
    skip = names_of(bytes(octets)) if kind == "plain" else set()
    silent = []
    for at in places(bytes(octets), 31 if kind == "extended" else 97):
        if at in skip or (kind != "extended" and at % 5) or (kind == "nested" and at % 3):
            continue
        flip = FLIPS[at % 3]
        octets[at] ^= flip
        if not objections(bytes(octets)):
            silent.append((at, flip, octets[at]))
        octets[at] ^= flip
    assert not silent, silent


def names_of(octets: bytes) -> set[int]:
    """Return the places of names, flags and times, which a plain signature does not cover."""
    found = cfb.read(Held(octets))
    sectors = list(cfb_table.sectors_of(found.directory_runs))
    loose: set[int] = set()
    for number in found.entries:
        at = number * cfb_directory.SIZE
        start = found.offset(sectors[at // found.header.sector]) + at % found.header.sector
        loose |= {*range(start, start + 66), *range(start + 96, start + 116)}
    return loose


@pytest.mark.nightly
@pytest.mark.parametrize("major", [3, 4])
def test_every_octet_with_every_bit(tmp_path: Path, major: int):
    """All eight bits of every octet of structure and signature; of what is zero or free, and of content, every 31st."""
    path = build(tmp_path / "x.msi", {"a": b"1" * 70, "Sub": {"b": b"2" * 10}}, major=major)
    sign(path, signatory("ecdsa-p256"))
    octets = bytearray(path.read_bytes())
    silent = []
    for at in places(bytes(octets), 31):
        for bit in range(8):
            octets[at] ^= 1 << bit
            if not objections(bytes(octets)):
                silent.append((at, bit))
            octets[at] ^= 1 << bit
    assert not silent, silent
