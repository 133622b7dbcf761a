"""What ``inspect`` says of a file in which several things are signed apart."""

from __future__ import annotations

import hashlib

from tests.formats.test_pe_layout import Held
from tests.formats.uefi_builder import capsule
from tests.formats.vba_builder import Macros, digests, document, project

from privyseal.cli import inspect
from privyseal.formats.protocol import Source


def looked(octets: bytes) -> tuple[inspect.Inspected, list[str]]:
    """Return what is found in a file, and what its content hashes to as people read it."""
    code: Source = Held(octets)
    found = inspect.look(code, "a file")
    lines = inspect.in_words(found, "a file")
    start = next(at for at, line in enumerate(lines) if line.startswith("  content "))
    end = next(at for at, line in enumerate(lines) if line == "It is not signed.")
    return found, [line[11:] for line in lines[start:end]]


def test_both_hashes_of_macros() -> None:
    macros = Macros()
    v3, agile = (each.hex() for each in digests(macros))
    found, lines = looked(document(octets=project(macros)))
    assert found.contents == (inspect.Content("hash v3", v3), inspect.Content("hash agile", agile))
    assert found.content_sha256 == v3
    assert " ".join(lines) == f"{v3} (hash v3) {agile} (hash agile)"


def test_every_image_of_a_capsule() -> None:
    """Each is signed with its count, which is taken for 0 before there is one."""
    images = (b"first image", b"second image")
    expected = [hashlib.sha256(image + bytes(8)).hexdigest() for image in images]
    found, lines = looked(capsule(images=images))
    assert [each.sha256 for each in found.contents] == expected
    assert len({each.what for each in found.contents}) == 2 and "monotonic" not in str(found.contents)
    assert all(digest in " ".join(lines) for digest in expected)


def test_one_content_needs_no_name() -> None:
    found, lines = looked(capsule(images=(b"only image",)))
    assert [each.what for each in found.contents] == [""] and lines == [found.content_sha256]
