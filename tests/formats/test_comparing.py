"""The outcome is compared while the source is hashed: the same digest without another hashing, and never a digest of
what is not in the draft."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.formats.cab_builder import cabinet
from tests.formats.cfb_builder import build
from tests.formats.msi_builder import tree
from tests.formats.opc_builder import document, vsix, vsix_files
from tests.formats.pe_builder import program
from tests.formats.signing import PLAIN, blobs_for, signatory
from tests.formats.test_navx import app
from tests.formats.test_xap import application
from tests.formats.uefi_builder import capsule
from tests.formats.zip_builder import File, app_files, app_package, archive, nuget_package, publisher_of

from privyseal.cli import pieces
from privyseal.confirm import Expected
from privyseal.errors import MalformedCode, Unavailable, VerificationFailed
from privyseal.formats import content, operations
from privyseal.formats.draft import Draft
from privyseal.formats.following import Followed
from privyseal.formats.patch import Ahead
from privyseal.formats.protocol import Copy, Insert, PatchPlan, Source
from privyseal.formats.script import Widened
from privyseal.formats.source import FileSource
from privyseal.terms.signatures import Options

BIG = bytes(range(251)) * 40_000
"""Just under 10 MB, no two pages alike."""


NOISE = random.Random(7).randbytes(9 << 20)
"""Octets of which packing makes none less."""

TEXT = "".join(f'Write-Host "line {number}"\r\n' for number in range(400_000))


def _msi(folder: Path) -> bytes:
    return build(folder / "built.msi", {**tree(), "large": BIG}).read_bytes()


def _moved(folder: Path) -> bytes:
    """Return an app package whose content types stand first: all else moves when they get longer."""
    files = app_files(publisher_of(signatory()), content=BIG)
    return archive(sorted(files, key=lambda one: one.name != b"[Content_Types].xml"), zip64=True)


KINDS: dict[str, Callable[[Path], bytes]] = {
    "large.cab": lambda folder: cabinet(folders=[[BIG]]),
    "roomy.cab": lambda folder: cabinet(folders=[[BIG]], reserve=bytes(6144)),
    "large.exe": lambda folder: program(sections=(BIG[: 9 << 20],)),
    "odd.exe": lambda folder: program(sections=(BIG,), overlay=b"odd"),
    "large.msi": _msi,
    "large.app": lambda folder: app(BIG),
    "ascii.ps1": lambda folder: TEXT.encode("ascii"),
    "marked.ps1": lambda folder: f"\ufeff# \u00e4\u20ac\r\n{TEXT}".encode(),
    "wide.ps1": lambda folder: b"\xff\xfe" + TEXT.encode("utf-16-le"),
    "swapped.psm1": lambda folder: b"\xfe\xff" + TEXT.encode("utf-16-be"),
    "large.msix": lambda folder: app_package(publisher_of(signatory()), content=BIG),
    "moved.msix": _moved,
    "large.nupkg": lambda folder: nuget_package(BIG),
    "large.xap": lambda folder: application(NOISE),
    "stored.vsix": lambda folder: archive([*vsix_files(), File(b"large.dll", BIG, packed=False)]),
    "packed.vsix": lambda folder: vsix(NOISE),
    "stored.oxps": lambda folder: document(BIG),
    "large.cap": lambda folder: capsule([BIG]),
    "several.cap": lambda folder: capsule([BIG, BIG]),
}


PACKAGES = ["large.msix", "moved.msix", "large.nupkg", "large.xap", "stored.vsix", "packed.vsix", "stored.oxps"]
SCRIPTS = ["ascii.ps1", "marked.ps1", "wide.ps1", "swapped.psm1"]


class Signing:
    """The way of one file, as the command line takes it, with how many octets of the outcome were read back."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch, options: Options = PLAIN) -> None:
        self.path, self.out, self.options = path, path.with_name("signed" + path.suffix), options
        self.read_back = 0
        readinto = Followed.readinto

        def counted(source: Followed, offset: int, buffer: memoryview) -> int:
            count = readinto(source, offset, buffer)
            self.read_back += count
            return count

        monkeypatch.setattr(Followed, "readinto", counted)

    def run(self) -> None:
        who = signatory()
        with FileSource.open(self.path) as code:
            opened = pieces.open_piece(code)
            self.options = operations.fitting(opened.format, self.options)
            with Ahead(code, self.out, opened.examined.layout.shift) as draft:
                assert draft.comparing is not None
                prepared = pieces.prepare(
                    opened, who.identity, self.options, "sha256", lambda _count: None, draft.comparing
                )
                expected = Expected(
                    blobs=tuple(blobs_for(prepared, who, self.options)),
                    prepared=prepared,
                    certificate=who.identity.chain[0],
                    timestamped=False,
                    known_problems=frozenset(),
                )
                pieces.put_back(opened, draft, self.options, expected, lambda _count: None, lambda _found: None)
        with FileSource.open(self.out) as code:
            again = pieces.open_piece(code)
            assert not again.examined.problems and not [p for one in again.examined.signatures for p in one.problems]


@pytest.mark.parametrize(
    "name",
    ["large.cab", "roomy.cab", "large.exe", "large.msi", "large.app", *PACKAGES, "large.cap", *SCRIPTS],
)
def test_the_content_is_not_read_back_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Signed and verified, replaced and verified again, and what is read of the outcome is its structure."""
    path = tmp_path / name
    path.write_bytes(KINDS[name](tmp_path))
    for _ in range(2):
        signing = Signing(path, monkeypatch)
        signing.run()
        assert signing.read_back < path.stat().st_size // 8, name
        path = signing.out.rename(tmp_path / f"again{path.suffix}")
        monkeypatch.undo()


def test_where_octets_are_filled_in_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Zeros that signing puts behind the last section are of another recipe."""
    path = tmp_path / "odd.exe"
    path.write_bytes(KINDS["odd.exe"](tmp_path))
    signing = Signing(path, monkeypatch)
    signing.run()
    assert signing.read_back > len(BIG) // 2


@pytest.mark.parametrize(
    ("name", "at"),
    [
        ("large.cab", 5_000_000),
        ("large.exe", 100),
        ("large.exe", 5_000_000),
        ("large.msi", 5_000_000),
        *((name, 5_000_000) for name in SCRIPTS),
        *((name, 5_000_000) for name in PACKAGES),
        ("large.cap", 5_000_000),
        ("several.cap", 5_000_000),
    ],
)
def test_a_wrong_copy_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, at: int) -> None:
    """One bit that the disk, the kernel or we put wrong into the draft: nothing gets the name of the outcome."""
    path = tmp_path / name
    path.write_bytes(KINDS[name](tmp_path))

    def copy(draft: Draft, source: Source, step: Copy, to: int) -> Iterator[int]:
        done = 0
        while done < step.count:
            octets = bytearray(source.pread(step.offset + done, min(1 << 20, step.count - done)))
            if step.offset + done <= at < step.offset + done + len(octets):
                octets[at - step.offset - done] ^= 1
            draft._put([memoryview(octets)], to + done)
            done += len(octets)
            yield done

    monkeypatch.setattr(Draft, "copy", copy)
    signing = Signing(path, monkeypatch)
    with pytest.raises((VerificationFailed, MalformedCode)):  # the latter where a checksum of ZIP tells first
        signing.run()
    assert not signing.out.exists()


def _sources(code: FileSource, draft: Ahead) -> pieces.Watched:
    assert draft.comparing is not None
    return pieces.Watched(code, lambda _count: None, draft.comparing)


def test_a_recipe_is_taken_word_for_word(tmp_path: Path) -> None:
    """Another range, other octets between, another algorithm, a plan that writes into it: nothing is known."""
    path, out = tmp_path / "in", tmp_path / "out"
    path.write_bytes(BIG)
    size = len(BIG)
    head = Insert(bytes(34))
    with FileSource.open(path) as code, Ahead(code, out, 24) as draft:
        comparing = draft.comparing
        assert comparing is not None
        found = content.digests(_sources(code, draft), ("sha256", content.CRC), [b"head", (10, size)])
        assert found["sha256"] == hashlib.sha256(b"head" + BIG[10:]).digest()
        assert found[content.CRC] == zlib.crc32(b"head" + BIG[10:]).to_bytes(4, "little")
        right: list[content.Part] = [b"head", (34, size + 24)]
        hashed = comparing.after(PatchPlan((head, Copy(10, size - 10))))
        assert hashed(("sha256", content.CRC), right, None) == found
        assert hashed(("sha256",), right, None) == {"sha256": found["sha256"]}
        assert hashed(("sha512",), right, None) is None
        others: list[list[content.Part]] = [[b"heap", right[1]], [right[1]]]
        others += [[b"head", (34, size + 23)], [b"head", (35, size + 24)]]
        for wrong in others:
            assert hashed(("sha256",), wrong, None) is None
        assert hashed(("sha256",), right, Widened("utf-8")) is None
        for plan, holds in (
            ((head, Copy(10, size - 10)), True),
            ((head, Copy(10, 100), Copy(110, size - 110), Insert(b"more")), True),
            ((head, Insert(b"x"), Copy(11, size - 11)), False),
            ((head, Copy(10, size - 11)), False),
            ((head, Copy(10, 100), Insert(b"y"), Copy(111, size - 111)), False),
            ((Insert(bytes(33)), Copy(10, size - 10)), False),
        ):
            known = comparing.after(PatchPlan(plan))(("sha256",), right, None)
            assert (known is not None) is holds, plan


def test_several_digests_are_known_each_by_its_recipe(tmp_path: Path) -> None:
    """As of a package, whose parts have a digest each."""
    path, out = tmp_path / "in", tmp_path / "out"
    path.write_bytes(BIG)
    size, half = len(BIG), len(BIG) // 2
    with FileSource.open(path) as code, Ahead(code, out) as draft:
        comparing = draft.comparing
        assert comparing is not None
        source = _sources(code, draft)
        for start, end in ((half, size), (0, half)):
            content.digests(source, ("sha256",), [(start, end)])
        hashed = comparing.after(PatchPlan((Copy(0, half + 1), Insert(b"end"))))
        assert hashed(("sha256",), [(0, half)], None) == {"sha256": hashlib.sha256(BIG[:half]).digest()}
        assert hashed(("sha256",), [(half, size)], None) is None


def test_after_a_difference_nothing_is_known(tmp_path: Path) -> None:
    """A source that changes between its copying and its hashing: what was hashed is not in the draft."""
    path, out = tmp_path / "in", tmp_path / "out"
    path.write_bytes(BIG)
    size = len(BIG)
    with FileSource.open(path) as code, Ahead(code, out) as draft:
        comparing = draft.comparing
        assert comparing is not None
        draft._copied.wait()
        with path.open("r+b") as file:
            file.seek(size - 1)
            file.write(b"?")
        source = _sources(code, draft)
        content.digests(source, ("sha256",), [(0, size // 2)])
        content.digests(source, ("sha256",), [(0, size)])
        hashed = comparing.after(PatchPlan((Copy(0, size),)))
        assert hashed(("sha256",), [(0, size // 2)], None) is None
        assert hashed(("sha256",), [(0, size)], None) is None


def test_what_is_not_copied_yet_is_compared_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who hashes the end of a file first does not wait for all of it to be copied; what is wrong there is found out."""
    path = tmp_path / "in"
    path.write_bytes(BIG)
    size, real = len(BIG), Draft.copy
    for wrong in (False, True):
        go_on = threading.Event()

        def copy(draft: Draft, source: Source, step: Copy, to: int, go_on: threading.Event = go_on) -> Iterator[int]:
            go_on.wait()
            yield from real(draft, source, step, to)

        monkeypatch.setattr(Draft, "copy", copy)
        with FileSource.open(path) as code, Ahead(code, tmp_path / "out") as draft:
            found = content.digests(_sources(code, draft), ("sha256",), [(size - 100, size)])
            with path.open("r+b") as file:
                file.seek(size - 1)
                file.write(b"?" if wrong else BIG[-1:])
            go_on.set()
            draft._copied.wait()
            assert draft.comparing is not None
            hashed = draft.comparing.after(PatchPlan((Copy(0, size),)))
            assert hashed(("sha256",), [(size - 100, size)], None) == (None if wrong else found)


def test_nobody_waits_for_a_copy_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up: the source is hashed to its end, and the refusal comes when the plan is carried out."""
    path, out = tmp_path / "in", tmp_path / "out"
    path.write_bytes(BIG)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "copy_file_range", full)
    with FileSource.open(path) as code, Ahead(code, out) as draft:
        found = content.digests(_sources(code, draft), ("sha256",), [(0, len(BIG))])
        assert found["sha256"] == hashlib.sha256(BIG).digest()
        with pytest.raises(Unavailable, match="No space"):
            draft.carry_out(PatchPlan((Copy(0, len(BIG)),)))
    assert list(tmp_path.iterdir()) == [path]


def test_what_fails_in_the_second_thread_is_raised(tmp_path: Path) -> None:
    """An error of somebody beside the digest ends the reading, and no thread is left."""
    path = tmp_path / "in"
    path.write_bytes(BIG)

    def refuse(_octets: memoryview) -> None:
        raise MalformedCode("No.")

    before = set(threading.enumerate())
    with FileSource.open(path) as code, pytest.raises(MalformedCode, match=r"^No\.$"):
        content.digests(code, ("sha256",), [(0, len(BIG))], [refuse])
    assert set(threading.enumerate()) <= before
