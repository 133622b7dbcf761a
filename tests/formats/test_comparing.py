"""The outcome is compared with its source while that is hashed: the same digest without hashing it again, and never a
digest of what is not in the draft."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.formats.cab_builder import cabinet
from tests.formats.cfb_builder import build
from tests.formats.msi_builder import tree
from tests.formats.pe_builder import program
from tests.formats.signing import PLAIN, blobs_for, signatory
from tests.formats.test_navx import app
from tests.formats.zip_builder import app_package, nuget_package, publisher_of

from privyseal.cli import pieces
from privyseal.confirm import Expected
from privyseal.errors import MalformedCode, Unavailable, VerificationFailed
from privyseal.formats import content
from privyseal.formats.draft import Draft
from privyseal.formats.following import Followed
from privyseal.formats.patch import Ahead
from privyseal.formats.protocol import Copy, Insert, PatchPlan, Source
from privyseal.formats.script import Widened
from privyseal.formats.source import FileSource
from privyseal.terms.signatures import Options

BIG = bytes(range(251)) * 40_000
"""Just under 10 MB, no two pages alike."""


TEXT = "".join(f'Write-Host "line {number}"\r\n' for number in range(400_000))


def _msi(folder: Path) -> bytes:
    return build(folder / "built.msi", {**tree(), "large": BIG}).read_bytes()


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
    "large.nupkg": lambda folder: nuget_package(BIG),
}


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
    ["large.cab", "roomy.cab", "large.exe", "large.msi", "large.app", "large.msix", "large.nupkg", *SCRIPTS],
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
        ("large.msix", 5_000_000),
        ("large.nupkg", 5_000_000),
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
    with pytest.raises(VerificationFailed):
        signing.run()
    assert not signing.out.exists()


def test_a_recipe_is_taken_word_for_word(tmp_path: Path) -> None:
    """Another range, other octets between, another algorithm, a plan that writes into it: nothing is known."""
    path, out = tmp_path / "in", tmp_path / "out"
    path.write_bytes(BIG)
    size = len(BIG)
    with FileSource.open(path) as code, Ahead(code, out, 24) as draft:
        comparing = draft.comparing
        assert comparing is not None
        watched = pieces.Watched(code, lambda _count: None, comparing)
        expected = content.digests(code, ("sha256",), [b"head", (10, size)])
        right: list[content.Part] = [b"head", (34, size + 24)]
        assert comparing.found(("sha256",), right, None) is None
        assert content.digests(watched, ("sha256",), [b"head", (10, size)]) == expected
        content.digests(watched, ("sha512",), [(0, size)])  # comes too late
        assert comparing.found(("sha256",), right, None) == expected
        assert comparing.found(("sha512",), right, None) is None
        for wrong in ([b"heap", right[1]], [right[1]], [b"head", (34, size + 23)], [b"head", (35, size + 24)]):
            assert comparing.found(("sha256",), wrong, None) is None
        assert comparing.found(("sha256",), right, Widened("utf-8")) is None
        head = Insert(bytes(34))
        for plan, holds in (
            ((head, Copy(10, size - 10)), True),
            ((head, Copy(10, 100), Copy(110, size - 110), Insert(b"more")), True),
            ((head, Insert(b"x"), Copy(11, size - 11)), False),
            ((head, Copy(10, size - 11)), False),
            ((head, Copy(10, 100), Insert(b"y"), Copy(111, size - 111)), False),
            ((Insert(bytes(33)), Copy(10, size - 10)), False),
        ):
            assert comparing.holds_after(PatchPlan(plan)) is holds, plan


def test_a_copy_that_breaks_off_keeps_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full half way: the source is hashed to its end, and nothing is known of the draft."""
    path, out = tmp_path / "in", tmp_path / "out"
    path.write_bytes(BIG)
    parts: list[content.Part] = [(0, len(BIG))]

    def copy(draft: Draft, source: Source, step: Copy, to: int) -> Iterator[int]:
        yield 1 << 20
        raise Unavailable("The disk is full.")

    monkeypatch.setattr(Draft, "copy", copy)
    with FileSource.open(path) as code, Ahead(code, out) as draft:
        watched = pieces.Watched(code, lambda _count: None, draft.comparing)
        assert content.digests(watched, ("sha256",), parts) == {"sha256": hashlib.sha256(BIG).digest()}
        assert draft.comparing is not None and draft.comparing.found(("sha256",), parts, None) is None
        with pytest.raises(Unavailable, match="is full"):
            draft.carry_out(PatchPlan((Copy(0, len(BIG)),)))
    assert list(tmp_path.iterdir()) == [path]


def test_what_fails_in_the_second_thread_is_raised(tmp_path: Path) -> None:
    """An error of somebody beside the digest ends the reading, and no thread is left."""
    path = tmp_path / "in"
    path.write_bytes(BIG)

    def refuse(_octets: memoryview) -> None:
        raise MalformedCode("No.")

    with FileSource.open(path) as code, pytest.raises(MalformedCode, match=r"^No\.$"):
        content.digests(code, ("sha256",), [(0, len(BIG))], [refuse])
    assert threading.active_count() == 1
