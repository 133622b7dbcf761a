"""No octet of a signed file is loose: each is flipped once, and each time somebody must object.

Objecting is: MalformedCode from ``inspect``, a problem of a signature, or a problem of the layout. For octets inside a
timestamp token the token's own verification counts too, as it does in ``privyseal verify``.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.formats.pe_builder import EFI_APPLICATION, program
from tests.formats.signing import APPEND, PE, sign, signatory
from tests.formats.test_pe_layout import Held

from privyseal.errors import BadInput, MalformedCode, VerificationFailed
from privyseal.formats import pe_layout
from privyseal.formats.examine import examine
from privyseal.timestamp.token import verify_token

pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number")
"""cryptography's remark on a flipped sign bit in a serial number."""

FLIPS = (0x01, 0x80, 0xFF)
"""One low bit, one high bit, all of them: a length one more, a tag's class, a value's sign. In every run one of the
three, in turn; nightly each of them, and every bit of two kinds."""


def objections(octets: bytes) -> set[str]:
    """Return the slugs of what is wrong with a file, timestamps included."""
    try:
        found = examine(PE, Held(octets))
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


def places(octets: bytes, content: range) -> Iterator[int]:
    """Yield every place of headers and certificate table, and of the content those in ``content``."""
    end = pe_layout.read_layout(Held(octets)).content_end
    yield from range(0x200)
    yield from content
    yield from range(end, len(octets))


KINDS = ("plain", "stamped", "with root", "nested", "efi", "ecdsa")


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.nightly)], ids=["sample", "whole"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_octet_counts(tmp_path: Path, kind: str, whole: bool):
    """Headers and certificate table octet by octet, content in samples, for every shape of signature we write.

    In every run that is each octet of the plain shape, and every third of the others.
    """
    path = tmp_path / "p.exe"
    subsystem = EFI_APPLICATION if kind == "efi" else 3
    path.write_bytes(program(overlay=b"odd", subsystem=subsystem))
    who = signatory("ecdsa-p256" if kind in ("ecdsa", "stamped") else "rsa-3072", with_root=kind == "with root")
    sign(path, who, stamped=kind in ("stamped", "nested"))
    if kind in ("nested", "efi"):
        sign(path, signatory("ecdsa-p256"), options=APPEND, digest="sha512")
    octets = bytearray(path.read_bytes())
    assert not objections(bytes(octets))
    silent, step = [], 1 if whole or kind == "plain" else 3
    for at in places(bytes(octets), range(0x200, 0x808, 37)):
        if at % step:
            continue
        for flip in FLIPS if whole else (FLIPS[at // step % 3],):
            octets[at] ^= flip
            if not objections(bytes(octets)):
                silent.append((at, flip, octets[at]))
            octets[at] ^= flip
    assert not silent, silent


def test_nothing_can_be_added_or_taken_away(tmp_path: Path):
    """Octets appended, cut off, or moved between content and table are noticed."""
    path = tmp_path / "p.exe"
    path.write_bytes(program(overlay=b"overlay"))
    sign(path, signatory())
    octets = path.read_bytes()
    layout = pe_layout.read_layout(Held(octets))
    for changed in (
        octets + b"\0",
        octets + bytes(8),
        octets + b"payload!",
        octets[:-1],
        octets[:-8],
        octets[: layout.content_end],
        octets[: layout.content_end] + bytes(8) + octets[layout.content_end :],
        octets[: layout.content_end - 8] + octets[layout.content_end :],
    ):
        assert objections(changed)


@pytest.mark.parametrize("extra", [1, 7, 8, 64])
@pytest.mark.parametrize("filling", [b"\0", b"x"])
def test_nothing_hides_behind_the_signature(tmp_path: Path, extra: int, filling: bytes):
    """Octets inside the WIN_CERTIFICATE but behind the blob, in the manner of MS13-098, are noticed by us."""
    path = tmp_path / "p.exe"
    path.write_bytes(program())
    sign(path, signatory())
    octets = path.read_bytes()
    layout = pe_layout.read_layout(Held(octets))
    start = layout.content_end
    entry = layout.entries[0]
    size = entry.length + extra
    table = size.to_bytes(4, "little") + octets[start + 4 :] + filling * extra + bytes(-size % 8)
    changed = bytearray(octets[:start] + table)
    changed[layout.directory_at + 4 : layout.directory_at + 8] = len(table).to_bytes(4, "little")
    assert {"padding", "checksum"} <= objections(bytes(changed))


def test_every_value_of_the_unhashed_header_octets(tmp_path: Path):
    """The twelve octets that no digest covers, checksum and directory, with every value each can have."""
    path = tmp_path / "p.exe"
    path.write_bytes(program())
    sign(path, signatory("ecdsa-p256"))
    octets = bytearray(path.read_bytes())
    layout = pe_layout.read_layout(Held(bytes(octets)))
    for at in (
        *range(layout.checksum_at, layout.checksum_at + 4),
        *range(layout.directory_at, layout.directory_at + 8),
    ):
        right = octets[at]
        for value in set(range(256)) - {right}:
            octets[at] = value
            assert objections(bytes(octets)), (at, value)
        octets[at] = right


@pytest.mark.nightly
@pytest.mark.parametrize("kind", ["plain", "nested"])
def test_every_octet_with_every_bit(tmp_path: Path, kind: str):
    """All eight bits of every octet of the whole file."""
    path = tmp_path / "p.exe"
    path.write_bytes(program(overlay=b"odd"))
    sign(path, signatory(), stamped=kind == "nested")
    if kind == "nested":
        sign(path, signatory("ecdsa-p256"), options=APPEND, digest="sha512")
    octets = bytearray(path.read_bytes())
    for at in range(len(octets)):
        for bit in range(8):
            octets[at] ^= 1 << bit
            assert objections(bytes(octets)), (at, bit)
            octets[at] ^= 1 << bit
