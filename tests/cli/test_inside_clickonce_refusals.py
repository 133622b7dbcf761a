"""ClickOnce manifests whose files cannot be signed with them, and what is said of those that are not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from tests.cli.clickonce_folder import BELOW, LIBRARY, MANIFEST, THEIRS, holds, layout_of, signed, tree, write_program
from tests.cli.test_inside import run
from tests.formats.clickonce_builder import dependency
from tests.formats.signing import sign as sign_by

from privyseal.cli import keyfile, neighbours_looking
from privyseal.errors import BadInput
from privyseal.formats import inside

Shell = tuple[Path, Mapping[str, str]]


def _away(folder: Path, name: str) -> None:
    (folder.parent / "away.dll").write_bytes(LIBRARY)
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(folder.parent / "away.dll")


def _folder_away(folder: Path, _name: str) -> None:
    (folder / "lib2.dll").write_bytes(LIBRARY)
    shutil.move(folder / "data", folder.parent / "data")
    (folder / "data").symlink_to(folder.parent / "data")


REFUSED: dict[str, tuple[str, Callable[[Path, str], None] | None, str]] = {
    "missing": ("more.dll", None, "more.dll is missing"),
    "above": ("..\\away.dll", _away, "not beside or below"),
    "from the root": ("\\away.dll", None, "not beside or below"),
    "another drive": ("C:\\away.dll", None, "not beside or below"),
    "a server": ("https://example.com/more.dll", None, "not beside or below"),
    "a link": ("more.dll", _away, "more.dll cannot be opened"),
    "a link to a folder": ("lib2.dll", _folder_away, "reached by a link"),
    "twice": ("lib.dll", None, "stands for another already"),
    "in capitals": ("LIB.dll", lambda folder, name: shutil.copy(folder / "lib.dll", folder / name) and None, "another"),
    "itself": ("Example.exe.manifest", None, "stands for another already"),
    "a folder": ("data", None, "data is a folder"),
}


@pytest.mark.parametrize("how", REFUSED)
def test_what_is_refused(tmp_path: Path, maker: keyfile.KeyFileMaker, how: str) -> None:
    """In one sentence; nothing is signed then, neither here nor elsewhere."""
    name, prepared, why = REFUSED[how]
    path = write_program(tmp_path / "app", dependency(name, LIBRARY))
    if prepared is not None:
        prepared(path.parent, name)
    before = tree(tmp_path)
    with pytest.raises(BadInput, match=why):
        signed(path, maker)
    assert tree(tmp_path) == before
    found = neighbours_looking.look(str(path), layout_of(path))
    assert found.missing == (("more.dll",) if how == "missing" else ())
    assert bool(found.unseen) == (how not in ("missing", "twice", "in capitals", "itself"))
    assert "away.dll" not in " ".join(found.unsigned)


def test_what_cannot_be_signed_is_told_before_anything_is(
    tmp_path: Path, program: Path, published: Path, maker: keyfile.KeyFileMaker
) -> None:
    """A hash by an algorithm that is not known, another hash for the manifest, no application's manifest."""
    made: list[object] = []
    maker.make = lambda *arguments, **_how: made.append(arguments)  # type: ignore[method-assign,assignment]
    program.write_bytes(program.read_bytes().replace(b"xmldsig#sha256", b"xmldsig#md5"))
    with pytest.raises(BadInput, match="states no hash of the file 'Example"):
        signed(program, maker)
    with pytest.raises(BadInput, match="no name for sha384"):
        signed(published, maker, digest="sha384")
    inner = published.parent / MANIFEST
    inner.write_bytes(b"<x/>")
    with pytest.raises(BadInput, match="names 0 application manifests"):
        signed(published, maker)
    inner.unlink()
    with pytest.raises(BadInput, match=r"Example\.exe\.manifest is missing"):
        signed(published, maker)
    assert not made


# -- what is said ------------------------------------------------------------------------------------------------------
def test_what_looking_finds(published: Path, maker: keyfile.KeyFileMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unsigned, missing and changed files, those of the application of a deployment too, and not more than is read."""
    below = published.parent / BELOW
    look = neighbours_looking.look
    found = look(str(published), layout_of(published))
    names = ("Example.exe.manifest", "Example.exe", "lib.dll", "first.ps1")
    assert found == neighbours_looking.Found(unsigned=tuple(f"{BELOW}/{name}" for name in names))
    (below / "first.ps1.deploy").unlink()
    (below / "data/Example.exe.config.deploy").write_bytes(b"Settings")  # as long as before
    (below / "lib.dll.deploy").write_bytes(LIBRARY + b"more")
    found = look(str(published), layout_of(published))
    assert found.missing == (f"{BELOW}/first.ps1",) and not found.unseen
    assert found.changed == (f"{BELOW}/lib.dll", f"{BELOW}/data/Example.exe.config")
    monkeypatch.setattr(neighbours_looking, "READ", 1 << 10)
    assert "have more than" in look(str(published), layout_of(published)).unseen
    sign_by(below / "Example.exe.manifest", THEIRS)
    monkeypatch.undo()
    found = look(str(published), layout_of(published))
    assert f"{BELOW}/Example.exe.manifest" in found.changed and f"{BELOW}/Example.exe.manifest" not in found.unsigned


def test_a_strong_name_that_did_not_follow(published: Path, maker: keyfile.KeyFileMaker) -> None:
    """Though the hash holds, the deployment names an application by another key."""
    assert signed(published, maker) is not None
    octets = published.read_bytes()
    at = octets.rindex(b'publicKeyToken="', 0, octets.index(b"<hash>"))
    published.write_bytes(octets[: at + 16] + b"0" * 16 + octets[at + 32 :])
    assert neighbours_looking.look(str(published), layout_of(published)).changed == (MANIFEST,)
    assert signed(published, maker) is not None and len(holds(published)) == 5


def test_the_words_and_the_report(shell: Shell) -> None:
    """Looking refuses nothing, and looks again at what is kept; ``--inside sign`` refuses what is missing."""
    folder, _ = shell
    path = write_program(folder / "app")
    line = ["sign", "--keyfile", "key.pem", "--certs", "chain.pem", "--rehearsal-anchor", "root.pem"]
    done = run(shell, *line, "app/Example.exe.manifest", "--json")
    (file,) = json.loads(done.stdout)["files"]
    assert (done.returncode, file["status"]) == (0, "signed"), done.stderr
    assert file["inside"] == {"unsigned": ["Example.exe", "lib.dll", "first.ps1"]}
    assert "inside   lib.dll carries no signature" in done.stderr
    (path.parent / "first.ps1").unlink()
    (path.parent / "lib.dll").write_bytes(LIBRARY + b"more")
    done = run(shell, *line, "app/Example.exe.manifest", "--json")
    (file,) = json.loads(done.stdout)["files"]
    assert (done.returncode, file["status"]) == (0, "kept"), done.stderr
    assert (file["inside"]["missing"], file["inside"]["changed"]) == (["first.ps1"], ["lib.dll"])
    assert "first.ps1 is missing, so it will not install" in done.stderr
    assert "lib.dll is not as the manifest states, so it will not install" in done.stderr
    before = tree(path.parent)
    done = run(shell, *line, "--inside", "sign", "app/Example.exe.manifest")
    assert done.returncode == 2 and "first.ps1 is missing" in done.stderr and tree(path.parent) == before


def test_formats_over_neighbours_are_looked_at() -> None:
    from privyseal.cli.inside_looking import NAMES_OTHERS

    assert NAMES_OTHERS == inside.OVER_NEIGHBOURS
