"""ClickOnce manifests with the files that they name: signed, said what is wrong, refused, cut off and gone on with.

Strangers judge: mono's SignedXml the manifests, osslsigncode the programs; sizes and hashes are counted anew here.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest
from tests.cli.test_inside import DOWN, Moody, run
from tests.formats import pe_builder
from tests.formats.clickonce_builder import application, dependency, deployment, judged
from tests.formats.signing import sign as sign_by
from tests.formats.signing import signatory
from tests.formats.test_packages_strangers import all_rsa

from privyseal.cli import keyfile, neighbours, neighbours_looking
from privyseal.cli.inside_signing import sign_with_inside
from privyseal.cli.outcomes import InsideReport, Outcome
from privyseal.cli.pieces import Job, Pending, Wishes
from privyseal.errors import BadInput, Unavailable
from privyseal.formats import clickonce_manifest, inside
from privyseal.formats.source import FileSource
from privyseal.terms.signatures import Options

Shell = tuple[Path, Mapping[str, str]]
NS = {"a": "urn:schemas-microsoft-com:asm.v2", "d": "http://www.w3.org/2000/09/xmldsig#"}
WISHES = Wishes(options=Options(timestamp=False), digest="sha256", inside="sign")
PROGRAM = pe_builder.program(sections=(b"\x90" * 300,))
LIBRARY = pe_builder.program(sections=(b"\xc3" * 700,))
THEIRS = signatory("rsa-4096")
SCRIPT = b"Write-Host 'hello'\r\n"
BELOW = "Application Files/Example_1_2_3_4"
MANIFEST = f"{BELOW}/Example.exe.manifest"


@pytest.fixture
def maker(tmp_path: Path) -> keyfile.KeyFileMaker:
    (folder := tmp_path / "keys").mkdir()
    chain, key, root = all_rsa().write_pem(folder)
    key.chmod(0o600)
    return keyfile.KeyFileMaker(keyfile.load(key, chain, (root,), datetime.now(UTC)), None)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Write an application of a program, a library, a script and a file of settings, and return its manifest."""
    return write_program(tmp_path / "app")


def write_program(folder: Path, more: str = "", behind: str = "", algorithm: str = "sha256") -> Path:
    (folder / "data").mkdir(parents=True)
    files = {"Example.exe": PROGRAM, "lib.dll": LIBRARY, "first.ps1": SCRIPT, "data/Example.exe.config": b"settings"}
    for name, octets in files.items():
        (folder / (name + behind)).write_bytes(octets)
    others = dependency("lib.dll", LIBRARY, algorithm) + dependency("first.ps1", SCRIPT, algorithm)
    path = folder / "Example.exe.manifest"
    path.write_bytes(application(others, more, program=PROGRAM, algorithm=algorithm))
    return path


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """Write a deployment as Visual Studio publishes one, and return its manifest."""
    manifest = write_program(tmp_path / "site" / BELOW, behind=".deploy").read_bytes()
    path = tmp_path / "site" / "Example.application"
    path.write_bytes(deployment(manifest))
    return path


def signed(path: Path, maker: keyfile.KeyFileMaker, out: Path | None = None, **how: object) -> Outcome | None:
    wishes = Wishes(**{**{name: getattr(WISHES, name) for name in WISHES.__struct_fields__}, **how})  # type: ignore[arg-type]
    return sign_with_inside(Job(str(path), str(out or path)), maker, wishes, lambda _octets: None)


def holds(path: Path, mapped: bool = False) -> list[str]:
    """Count sizes and hashes anew of all that a manifest names; return the names, those of its application too."""
    root = ElementTree.parse(path).getroot()  # noqa: S314 - our own
    deployed = root.findall("a:deployment", NS)
    mapped = mapped or any(each.get("mapFileExtensions") == "true" for each in deployed)
    found = []
    for one in [*root.findall("a:file", NS), *root.findall("a:dependency/a:dependentAssembly", NS)]:
        name = (one.get("name") or one.get("codebase") or "").replace("\\", "/")
        inner = bool(deployed)
        octets = (path.parent / (name + ".deploy" * (mapped and not inner))).read_bytes()
        stated = one.find("a:hash/d:DigestValue", NS)
        method = one.find("a:hash/d:DigestMethod", NS)
        assert stated is not None and method is not None
        assert (one.get("size"), method.get("Algorithm")) == (str(len(octets)), f"{NS['d']}sha256"), name
        assert base64.b64decode(stated.text or "") == hashlib.sha256(octets).digest(), name
        found.append(name)
        if inner:
            token = ElementTree.fromstring(octets)[0].get("publicKeyToken")  # noqa: S314 - our own
            identity = one.find("a:assemblyIdentity", NS)
            assert identity is not None and token not in (None, "0" * 16) and identity.get("publicKeyToken") == token
            found += holds(path.parent / name, mapped)
    return found


def stranger_accepts(maker_folder: Path, *programs: Path) -> None:
    for each in programs:
        line = ["osslsigncode", "verify", "-CAfile", maker_folder / "root.pem", "-in", each]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        assert "Signature verification: ok" in done.stdout, done.stdout


def tree(folder: Path) -> dict[str, bytes]:
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


# -- what is signed ----------------------------------------------------------------------------------------------------
def test_an_application(program: Path, maker: keyfile.KeyFileMaker, tmp_path: Path) -> None:
    """Programs, script and manifest are signed, data stays as it is; again there is nothing to do."""
    os.chmod(program.parent / "lib.dll", 0o640)
    outcome = signed(program, maker)
    assert outcome is not None and outcome.report.status == "signed", outcome
    assert outcome.report.inside == InsideReport(signed=("Example.exe", "lib.dll", "first.ps1"))
    assert (outcome.report.path, outcome.report.output) == (str(program), str(program))
    assert sorted(holds(program)) == ["Example.exe", "data/Example.exe.config", "first.ps1", "lib.dll"]
    assert judged(program)
    stranger_accepts(tmp_path / "keys", program.parent / "Example.exe", program.parent / "lib.dll")
    assert b"# SIG # Begin signature block" in (program.parent / "first.ps1").read_bytes()
    assert (program.parent / "data/Example.exe.config").read_bytes() == b"settings"
    assert (program.parent / "lib.dll").stat().st_mode & 0o777 == 0o640
    before = tree(program.parent)
    assert signed(program, maker) is None and tree(program.parent) == before
    assert neighbours_looking.look(str(program), layout_of(program)) == neighbours_looking.Found()


def layout_of(path: Path) -> clickonce_manifest.ClickOnceLayout:
    with FileSource.open(path) as code:
        return clickonce_manifest.read(code, "clickonce")


def test_a_deployment(published: Path, maker: keyfile.KeyFileMaker, tmp_path: Path) -> None:
    """The files under their ``.deploy`` names, the application's manifest, then the deployment's."""
    outcome = signed(published, maker)
    assert outcome is not None and outcome.report.status == "signed", outcome
    names = ("Example.exe", "lib.dll", "first.ps1", "Example.exe.manifest")
    assert outcome.report.inside == InsideReport(signed=tuple(f"{BELOW}/{name}" for name in names))
    assert len(holds(published)) == 5
    assert judged(published, published.parent / MANIFEST)
    stranger_accepts(tmp_path / "keys", published.parent / BELOW / "lib.dll.deploy")
    before = tree(published.parent)
    assert signed(published, maker) is None and tree(published.parent) == before
    assert not [name for name in before if name.endswith((".dll", ".tlog-proof"))]


def test_into_another_folder(published: Path, maker: keyfile.KeyFileMaker, tmp_path: Path) -> None:
    """What the manifests name goes along, signed or not, so that it installs from there; here nothing changes."""
    before, out = tree(published.parent), tmp_path / "out"
    out.mkdir()
    outcome = signed(published, maker, out / "Example.application")
    assert outcome is not None and outcome.report.output == str(out / "Example.application")
    assert len(holds(out / "Example.application")) == 5 and judged(out / "Example.application", out / MANIFEST)
    assert tree(published.parent) == before and tree(out).keys() == before.keys()
    with pytest.raises(BadInput, match="one manifest only"):
        signed(published, maker, published.parent / "Other.application")
    (away := tmp_path / "away").mkdir()
    (shorter := tmp_path / "shorter").mkdir()
    (shorter / "Application Files").symlink_to(away)
    with pytest.raises(BadInput, match="reached by a link"):
        signed(published, maker, shorter / "Example.application")
    assert not list(away.iterdir()) and not (shorter / "Example.application").exists()


def test_a_stated_hash_that_did_not_hold_and_one_by_sha1(tmp_path: Path, maker: keyfile.KeyFileMaker) -> None:
    """All are made to hold, by SHA-256; what is signed already keeps its signature."""
    path = write_program(tmp_path / "app", algorithm="sha1")
    (path.parent / "data/Example.exe.config").write_bytes(b"other settings")
    sign_by(path.parent / "lib.dll", THEIRS)
    theirs = (path.parent / "lib.dll").read_bytes()
    outcome = signed(path, maker)
    assert outcome is not None and outcome.report.inside == InsideReport(signed=("Example.exe", "first.ps1"))
    assert (path.parent / "lib.dll").read_bytes() == theirs
    assert len(holds(path)) == 4 and judged(path)
    (path.parent / "data/Example.exe.config").write_bytes(b"third settings")  # the manifest is signed now
    outcome = signed(path, maker)
    assert outcome is not None and outcome.report.status == "signed" and "no longer fits" in outcome.words
    assert len(holds(path)) == 4 and judged(path)


def test_an_application_that_somebody_else_signed(published: Path, maker: keyfile.KeyFileMaker) -> None:
    """``--if-signed`` is about manifests: refused, left with its files as it is, or signed anew."""
    inner = published.parent / MANIFEST
    sign_by(inner, THEIRS)
    before = tree(published.parent)
    with pytest.raises(BadInput, match="signed already"):
        signed(published, maker)
    assert tree(published.parent) == before
    outcome = signed(published, maker, if_signed="skip")
    assert outcome is not None and outcome.report.inside == InsideReport()
    after = tree(published.parent)
    assert [name for name in after if before[name] != after[name]] == ["Example.application"]
    assert len(holds(published)) == 5 and judged(published, inner)
    outcome = signed(published, maker, if_signed="replace")
    assert outcome is not None and outcome.report.status == "signed"
    assert (
        len(holds(published)) == 5 and judged(published, inner) and tree(published.parent)[MANIFEST] != after[MANIFEST]
    )


def test_the_manifest_of_a_library_is_data(tmp_path: Path, maker: keyfile.KeyFileMaker) -> None:
    """It looks like a manifest of ClickOnce, which would have to be signed first."""
    plain = b'<assembly xmlns="urn:schemas-microsoft-com:asm.v1" manifestVersion="1.0"><file name="a.dll"/></assembly>'
    path = write_program(
        tmp_path / "app", dependency("Native.manifest", plain) + dependency("a.manifest", application())
    )
    (path.parent / "Native.manifest").write_bytes(plain)
    (path.parent / "a.manifest").write_bytes(application())
    with pytest.raises(BadInput, match=r"^a\.manifest holds digests of the files beside it"):
        signed(path, maker)
    sign_by(path.parent / "a.manifest", THEIRS)
    assert signed(path, maker) is not None and len(holds(path)) == 6
    assert (path.parent / "Native.manifest").read_bytes() == plain


# -- what is cut off ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("puts", [0, 1, 3, 4])
def test_cut_off_and_run_again(published: Path, maker: keyfile.KeyFileMaker, monkeypatch, puts: int) -> None:
    """Before the first file, between files, before the application's manifest, before the deployment."""
    put, left = neighbours.Folder.put, [puts]

    def breaks(*arguments: object) -> str:
        left[0] -= 1
        if left[0] < 0:
            raise Unavailable("The disk is full.")
        return put(*arguments)  # type: ignore[arg-type]

    before = tree(published.parent)
    with monkeypatch.context() as patch, pytest.raises(Unavailable):
        patch.setattr(neighbours.Folder, "put", breaks)
        signed(published, maker)
    after = tree(published.parent)
    assert after.keys() == before.keys()
    assert len([name for name in after if after[name] != before[name]]) == puts
    assert after["Example.application"] == before["Example.application"]
    outcome = signed(published, maker)
    assert outcome is not None and outcome.report.status == "signed"
    assert len(holds(published)) == 5 and judged(published, published.parent / MANIFEST)
    assert {
        name for name in after if name.endswith((".exe.deploy", ".dll.deploy")) and after[name] != before[name]
    } <= {name for name, octets in tree(published.parent).items() if octets == after[name]}


@pytest.mark.parametrize("signs", range(6))
@pytest.mark.parametrize("then", [DOWN, Pending("R-abcdefgh")])
def test_what_is_not_all_signed_stays_as_it_was(
    published: Path, maker: keyfile.KeyFileMaker, signs: int, then: Pending | Unavailable
) -> None:
    """Three files, the application's manifest and the deployment: whichever of them is not signed, or all are."""
    before = tree(published.parent)
    moody = Moody(maker._key, signs, then)
    job = Job(str(published), str(published))
    try:
        outcome = sign_with_inside(job, moody, WISHES, lambda _octets: None)
    except Unavailable:  # as with any file, whoever calls tells of it
        assert signs == 4 and then is DOWN
    else:
        assert outcome is not None and outcome.report.path == str(published)
        if signs == 5:
            receipts = {name for name in tree(published.parent) if name.endswith(".tlog-proof")}
            inner = {f"Example.application.inside-{number}.tlog-proof" for number in range(1, 5)}
            assert receipts == {"Example.application.tlog-proof", *inner}
            assert outcome.report.receipt == f"{published}.tlog-proof" and len(holds(published)) == 5
            return
        assert outcome.report.status == ("waiting" if isinstance(then, Pending) else "failed")
    assert tree(published.parent) == before


def test_changed_meanwhile(program: Path, maker: keyfile.KeyFileMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    finished = neighbours.Folder.put

    def changes(folder: neighbours.Folder, path: str, *rest: object) -> str:
        (program.parent / "lib.dll").write_bytes(LIBRARY + b"built again")
        return finished(folder, path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(neighbours.Folder, "put", changes)
    before = program.read_bytes()
    with pytest.raises(BadInput, match=r"^lib.dll changed while it was signed"):
        signed(program, maker)
    assert program.read_bytes() == before and (program.parent / "lib.dll").read_bytes() == LIBRARY + b"built again"


# -- what is refused ---------------------------------------------------------------------------------------------------
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


def test_both_manifests_in_one_run(shell: Shell) -> None:
    """Whichever is first waits for nobody, and both end well; a program beside them is signed once."""
    folder, _ = shell
    manifest = write_program(folder / BELOW, behind=".deploy").read_bytes()
    (folder / "Example.application").write_bytes(deployment(manifest))
    line = [
        "sign",
        "--keyfile",
        "key.pem",
        "--certs",
        "chain.pem",
        "--rehearsal-anchor",
        "root.pem",
        "--inside",
        "sign",
    ]
    done = run(shell, *line, MANIFEST, "Example.application")
    assert done.returncode == 0, done.stderr
    assert len(holds(folder / "Example.application")) == 5
    assert judged(folder / "Example.application", folder / MANIFEST)


def test_formats_over_neighbours_are_looked_at() -> None:
    from privyseal.cli.inside_looking import NAMES_OTHERS

    assert NAMES_OTHERS == inside.OVER_NEIGHBOURS


@pytest.mark.parametrize("mode", ["local", "server"])
def test_with_a_service(service_shell: Shell, mode: str) -> None:
    """Receipts stand beside the deployment; a run that goes on does not write over those of the one before."""
    folder, _ = service_shell
    path = folder / "site" / "Example.application"
    manifest = write_program(folder / "site" / BELOW, behind=".deploy")
    program = pe_builder.program(sections=(os.urandom(16) + b"\xc3" * 300,))
    below = manifest.parent
    (below / "Example.exe.deploy").write_bytes(program)
    path.write_bytes(deployment(manifest.read_bytes()))
    done = run(service_shell, "sign", "--inside", "sign", "--mode", mode, "--json", "site/Example.application")
    assert done.returncode == 0, done.stderr
    (file,) = json.loads(done.stdout)["files"]
    assert len(holds(path)) == 5
    receipts = file["inside"]["receipts"]
    assert len(receipts) == (2 if mode == "local" else 4)
    verified = run(service_shell, "verify", f"site/{BELOW}/Example.exe.deploy", "--receipt", receipts[0])
    assert verified.returncode == 0, verified.stderr
    verified = run(service_shell, "verify", "site/Example.application")
    assert verified.returncode == 0, verified.stderr
    first = {name: (folder / name).read_bytes() for name in receipts}
    (below / "lib.dll.deploy").write_bytes(pe_builder.program(sections=(os.urandom(16) + b"\xc3" * 300,)))
    done = run(service_shell, "sign", "--inside", "sign", "--mode", mode, "--json", "site/Example.application")
    assert done.returncode == 0, done.stderr
    assert len(holds(path)) == 5
    again = json.loads(done.stdout)["files"][0]["inside"]["receipts"]
    assert len(again) == 2 and not set(again) & set(receipts)
    assert first == {name: (folder / name).read_bytes() for name in receipts}
