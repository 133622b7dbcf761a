"""ClickOnce manifests with the files that they name: signed, cut off and gone on with.

Strangers judge: mono's SignedXml the manifests, osslsigncode the programs; sizes and hashes are counted anew here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.cli.clickonce_folder import (
    BELOW,
    LIBRARY,
    MANIFEST,
    THEIRS,
    WISHES,
    holds,
    layout_of,
    signed,
    stranger_accepts,
    tree,
    write_program,
)
from tests.cli.test_inside import DOWN, Moody, run
from tests.formats import pe_builder
from tests.formats.clickonce_builder import application, dependency, deployment, judged
from tests.formats.signing import sign as sign_by

from privyseal.cli import keyfile, neighbours, neighbours_looking
from privyseal.cli.inside_signing import sign_with_inside
from privyseal.cli.outcomes import InsideReport
from privyseal.cli.pieces import Job, Pending
from privyseal.errors import BadInput, Unavailable

Shell = tuple[Path, Mapping[str, str]]


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


# -- by the command ----------------------------------------------------------------------------------------------------
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


def test_files_that_are_named_in_the_command_too(shell: Shell) -> None:
    """They are signed before the manifest, by themselves, and only once."""
    folder, _ = shell
    path = write_program(folder / "app")
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
    files = ("app/Example.exe.manifest", "app/lib.dll", "app/Example.exe")
    done = run(shell, *line, "--json", *files)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)["files"]
    assert [each["path"] for each in told] == ["app/lib.dll", "app/Example.exe", "app/Example.exe.manifest"]
    assert told[2]["inside"] == {"signed": ["first.ps1"]}
    assert len(holds(path)) == 4 and judged(path)


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
