"""No octet of a signed script, cabinet or catalogue is loose: each is flipped once, and somebody must object.

As in ``test_pe_every_octet.py``; the format is told anew each time, so an octet by which it is told counts too.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.formats.cab_builder import cabinet
from tests.formats.cat_builder import catalogue, member
from tests.formats.script_rules import SAMPLES
from tests.formats.signing import APPEND, signatory
from tests.formats.test_pe_layout import Held
from tests.formats.walking import sign

from privyseal.errors import BadInput, MalformedCode, VerificationFailed
from privyseal.formats.catalogue import recognise
from privyseal.formats.examine import examine
from privyseal.timestamp.token import verify_token

pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number")

FLIPS = (0x01, 0x80, 0xFF)
"""One of the three at each place, by turns; the nightly test flips every bit."""
KINDS: dict[str, bytes] = {
    **{kind: SAMPLES[kind].encode() for kind in ("ps1", "ps1xml", "mof", "vbs", "js", "wsf")},
    "utf-16.ps1": SAMPLES["ps1"].encode("utf-16"),
    "utf-16.wsf": SAMPLES["wsf"].encode("utf-16"),
    "utf-8.vbs": SAMPLES["vbs"].encode("utf-8-sig"),
    "cab": cabinet(),
    "reserved.cab": cabinet(reserve=bytes(70), folder_reserve=5, block_reserve=3, folders=[[b"a" * 50], [b"b" * 70]]),
    "cat": catalogue(member(bytes(32))),
}
SIGNATURE = 40
"""The base64 of a signature is sampled, one octet in so many: what it holds, ``test_pe_every_octet.py`` flips."""


def objections(octets: bytes, filename: str) -> set[str]:
    """Return the slugs of what is wrong with a file, timestamps included."""
    code = Held(octets)
    code.filename = filename
    try:
        found = examine(recognise(code), code)
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


def flipped(path: Path, places: list[int], flips: tuple[int, ...] = ()) -> list[tuple[int, int]]:
    octets, silent = bytearray(path.read_bytes()), []
    assert not objections(bytes(octets), path.name)
    for at in places:
        for flip in flips or (FLIPS[at % 3],):
            octets[at] ^= flip
            if not objections(bytes(octets), path.name):
                silent.append((at, flip))
            octets[at] ^= flip
    return silent


@pytest.mark.parametrize("kind", KINDS)
def test_every_octet_counts(tmp_path: Path, kind: str):
    """All of the content and of what stands around the signature, the signature itself in samples."""
    path = tmp_path / f"x.{kind}"
    path.write_bytes(KINDS[kind])
    size = len(KINDS[kind])
    blob = sign(path, signatory("ecdsa-p256"), stamped=kind in ("cab", "cat"))
    total = path.stat().st_size
    edges = min(size + 250, total)
    places = [*range(edges), *range(edges, total - 120, SIGNATURE), *range(max(edges, total - 120), total)]
    assert len(blob) < total
    assert not (silent := flipped(path, sorted(set(places)))), silent


def test_every_octet_of_nested_ones(tmp_path: Path):
    """With a second signature nested in the first, in samples of both."""
    for kind in ("ps1", "cab", "cat"):
        path = tmp_path / f"x.{kind}"
        path.write_bytes(KINDS[kind])
        sign(path, signatory("ecdsa-p256"), stamped=True)
        sign(path, signatory("ecdsa-p384"), options=APPEND, digest="sha384")
        places = list(range(0, path.stat().st_size, 23))
        assert not (silent := flipped(path, places, (0x01,))), (kind, silent)


@pytest.mark.nightly
@pytest.mark.parametrize("kind", KINDS)
def test_every_bit_counts(tmp_path: Path, kind: str):
    """Every bit of the whole file."""
    path = tmp_path / f"x.{kind}"
    path.write_bytes(KINDS[kind])
    sign(path, signatory("ecdsa-p256"))
    places = list(range(path.stat().st_size))
    assert not (silent := flipped(path, places, tuple(1 << bit for bit in range(8)))), silent


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_can_be_added_or_taken_away(tmp_path: Path, kind: str):
    """An octet put in or taken out anywhere, and whatever is put behind."""
    path = tmp_path / f"x.{kind}"
    path.write_bytes(KINDS[kind])
    sign(path, signatory("ecdsa-p256"))
    octets = path.read_bytes()
    near = len(KINDS[kind]) + 100
    for at in {*range(0, min(near, len(octets)), 5), *range(near, len(octets), 97), len(octets) - 1, len(octets) - 2}:
        assert objections(octets[:at] + octets[at + 1 :], path.name), at
        for more in (b"\0", b"\n", b"A", octets[at : at + 1]):
            assert objections(octets[:at] + more + octets[at:], path.name), (at, more)
    for more in (b"\0", b"\r\n", b" ", b"\0" * 8, octets[-2:]):
        assert objections(octets + more, path.name)
