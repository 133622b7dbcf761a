"""`privyseal sign --inside sign` where there is much of it, and where it is broken off; the rest is in inside.txt."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from tests.formats import opc_builder, opc_rules, pe_builder
from tests.formats.test_packages_strangers import all_rsa, judged
from tests.formats.zip_builder import File, app_package, archive, nuget_files
from tests.pki import mint
from tests.rehearsal import PRIVYSEAL, program

from privyseal.cli import keyfile
from privyseal.cli.inside_signing import sign_with_inside
from privyseal.cli.outcomes import InsideReport
from privyseal.cli.pieces import Job, Made, Pending, Wishes, write_receipt
from privyseal.errors import BadInput, Unavailable
from privyseal.formats import catalogue, inside, publisher_name
from privyseal.formats.protocol import EmbeddedSignature, Prepared
from privyseal.formats.source import FileSource
from privyseal.terms.signatures import Options

Shell = tuple[Path, Mapping[str, str]]


def packed(path: Path, count: int) -> Path:
    """Write an archive of programs, each different from all that were ever signed, and the first once more."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for number in range(count):
            program = pe_builder.program(sections=(os.urandom(16) + b"\xc3" * 300,))
            made.writestr(f"bin/{number:03}.dll", program)
            if number == 0:
                made.writestr("copy/of-the-first.dll", program)
    return path


def run(shell: Shell, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    folder, environment = shell
    return subprocess.run(
        [program(), *arguments],
        cwd=folder,
        env={**environment, **more},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def test_128_files_are_one_request(service_shell: Shell) -> None:
    """130 programs and a copy: two requests with a receipt each, and content that occurs twice is signed once."""
    folder, _ = service_shell
    packed(folder / "many.zip", 130)
    done = run(service_shell, "sign", "--inside", "sign", "--json", "many.zip")
    assert done.returncode == 0, done.stderr
    (file,) = json.loads(done.stdout)["files"]
    assert len(file["inside"]["signed"]) == 131
    assert file["inside"]["receipts"] == [f"many.zip.inside-{number}.tlog-proof" for number in (1, 2)]
    with zipfile.ZipFile(folder / "many.zip") as made:
        assert made.testzip() is None
        assert made.read("bin/000.dll") == made.read("copy/of-the-first.dll")
        made.extractall(folder)
    for name, receipt in (("000", 1), ("127", 1), ("128", 2), ("129", 2)):
        proof = f"many.zip.inside-{receipt}.tlog-proof"
        verified = run(service_shell, "verify", f"bin/{name}.dll", "--receipt", proof)
        assert verified.returncode == 0, verified.stderr
    again = run(service_shell, "sign", "--inside", "sign", "--json", "many.zip")
    assert json.loads(again.stdout)["files"][0]["status"] == "kept"


def test_ended_from_outside_nothing_is_left(shell: Shell, slow_tsa: str) -> None:
    folder, environment = shell
    before = packed(folder / "many.zip", 300).read_bytes()
    (folder / "room").mkdir()
    line = ["sign", "--keyfile", "own.key", "--certs", "own.pem", "--tsa", slow_tsa, "--inside", "sign", "many.zip"]
    client = subprocess.Popen(
        [PRIVYSEAL, *line], cwd=folder, env={**environment, "TMPDIR": str(folder / "room")}, stderr=subprocess.DEVNULL
    )
    while not any("signed" in name for _, _, names in os.walk(folder / "room") for name in names):
        assert client.poll() is None
        time.sleep(0.01)
    (room,) = (folder / "room").iterdir()
    assert room.stat().st_mode & 0o777 == 0o700
    client.send_signal(signal.SIGTERM)
    assert client.wait(timeout=30) == 143
    assert list((folder / "room").iterdir()) == []
    assert (folder / "many.zip").read_bytes() == before


# -- in this process, with a key file that does not always sign -------------------------------------------------------
class Moody(keyfile.KeyFileMaker):
    """Signs so many, then ends as it is told."""

    def __init__(self, key: keyfile.KeyFile, signs: int, then: Pending | Unavailable) -> None:
        super().__init__(key, None)
        self.left, self.then = signs, then
        self.described: list[str] = []

    def make(self, prepared: Prepared, options: Options, *, again: bool) -> Made | Pending:  # type: ignore[override]
        self.described.append(prepared.described[0].filename)
        self.left -= 1
        if self.left >= 0:
            made = super().make(prepared, options, again=again)
            return msgspec.structs.replace(made, request=f"R-{self.left}", receipt="a receipt")
        if isinstance(self.then, Unavailable):
            raise self.then
        return self.then

    def accept(self, made: Made, found: EmbeddedSignature, job: Job) -> None:
        write_receipt(job.receipt, made.receipt or "")


def key_in(folder: Path) -> keyfile.KeyFile:
    own = mint.certify("Self-made", mint.key("ecdsa-p256", 95), purposes=(mint.CODE_SIGNING,))
    (folder / "own.pem").write_bytes(own.pem + own.key_pem)
    (folder / "own.pem").chmod(0o600)
    return keyfile.load(folder / "own.pem", folder / "own.pem", (), datetime.now(UTC))


WISHES = Wishes(options=Options(timestamp=False), digest="sha256", inside="sign")
DOWN = Unavailable("The service does not answer.")


@pytest.mark.parametrize("signs", [0, 2, 3, 4])
@pytest.mark.parametrize("then", [DOWN, Pending("R-abcdefgh")])
def test_what_is_not_all_signed_stays_as_it_was(signs: int, then: Pending | Unavailable, tmp_path: Path) -> None:
    """Whether the first inside, the last inside or the outside is not signed; receipts are taken away again."""
    key = key_in(tmp_path)
    programs = {f"{n}.dll": pe_builder.program(sections=(bytes([n]) * 200,)) for n in range(3)}
    for name, octets in programs.items():
        (tmp_path / name).write_bytes(octets)
    subprocess.run(["gcab", "-c", "-n", "a.cab", *programs], cwd=tmp_path, check=True)
    path = str(tmp_path / "a.cab")
    before, there = Path(path).read_bytes(), set(os.listdir(tmp_path))
    maker = Moody(key, signs, then)
    if signs == 3 and isinstance(then, Unavailable):  # as with any file, whoever calls tells of it
        with pytest.raises(Unavailable):
            sign_with_inside(Job(path, path), maker, WISHES, lambda _octets: None)
    else:
        outcome = sign_with_inside(Job(path, path), maker, WISHES, lambda _octets: None)
        assert outcome is not None and outcome.report.path == path
        if signs == 4:  # but where all are, there is a receipt for each request
            assert outcome.report.status == "signed"
            assert {*there, "a.cab.tlog-proof", *(f"a.cab.inside-{n}.tlog-proof" for n in (1, 2, 3))} == {
                *os.listdir(tmp_path)
            }
            return
        assert outcome.report.status == ("waiting" if isinstance(then, Pending) else "failed")
        assert ("R-abcdefgh" if isinstance(then, Pending) else "inside it") in outcome.words
        if signs == 3:
            assert outcome.words.startswith("what is inside is signed, and the file itself waits for approval")
    assert Path(path).read_bytes() == before and set(os.listdir(tmp_path)) == there
    assert maker.described == ["0.dll", "1.dll", "2.dll", "a.cab"][: signs + 1]


def test_what_holds_digests_of_its_neighbours_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a ClickOnce manifest does; a script stands in for one, so that this does not wait for that format."""
    monkeypatch.setattr(inside, "OVER_NEIGHBOURS", frozenset({"powershell"}))
    path = tmp_path / "a.zip"
    path.write_bytes(archive([File(b"a.exe", pe_builder.program()), File(b"s.ps1", b"Write-Host 1\r\n")]))
    before = path.read_bytes()
    maker = keyfile.KeyFileMaker(key_in(tmp_path), None)
    with pytest.raises(BadInput, match=r"^s.ps1 holds digests of the files beside it"):
        sign_with_inside(Job(str(path), str(path)), maker, WISHES, lambda _octets: None)
    assert path.read_bytes() == before


def test_an_app_package_and_the_mode_of_the_file(tmp_path: Path) -> None:
    """The package is signed over the block map that was made anew; who may read the file stays as it was."""
    key = key_in(tmp_path)
    publisher = publisher_name.of_certificate(key.identity.chain[0])
    path = tmp_path / "a.msix"
    path.write_bytes(app_package(publisher, content=pe_builder.program()))
    path.chmod(0o640)
    outcome = sign_with_inside(Job(str(path), str(path)), keyfile.KeyFileMaker(key, None), WISHES, lambda _: None)
    assert outcome is not None and outcome.report.status == "signed", outcome
    assert path.stat().st_mode & 0o777 == 0o640
    done = subprocess.run(
        ["osslsigncode", "verify", "-CAfile", tmp_path / "own.pem", "-in", path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Signature verification: ok" in done.stdout, done.stdout
    with zipfile.ZipFile(path) as package:
        (tmp_path / "data.bin").write_bytes(package.read("data.bin"))
    with FileSource.open(tmp_path / "data.bin") as code:
        assert inside.is_signed(catalogue.BY_NAME["pe"], code)


@pytest.mark.parametrize("stated", [b"null", b'"' + b"0" * 64 + b'"'], ids=["null", "stated"])
def test_extensions_of_visual_studio(tmp_path: Path, stated: bytes) -> None:
    """What is inside, then the extension over the new parts; one that states digests of its files is refused whole."""
    chain, key, root = all_rsa().write_pem(tmp_path)
    key.chmod(0o600)
    maker = keyfile.KeyFileMaker(keyfile.load(key, chain, (root,), datetime.now(UTC)), None)
    path = tmp_path / "example.vsix"
    manifest = b'{"files": [{"fileName": "/Example.dll", "sha256": ' + stated + b"}]}"
    types = opc_builder.TYPES.replace(
        "<Default", '<Default Extension="json" ContentType="application/json"/><Default', 1
    )
    files = opc_builder.vsix_files(pe_builder.program(), types)
    path.write_bytes(original := archive([*files, File(b"manifest.json", manifest)]))
    job = Job(str(path), str(path))
    if stated != b"null":
        with pytest.raises(BadInput, match=r"manifest\.json states digests"):
            sign_with_inside(job, maker, WISHES, lambda _octets: None)
        assert path.read_bytes() == original
        return
    outcome = sign_with_inside(job, maker, WISHES, lambda _octets: None)
    assert outcome is not None and outcome.report.inside == InsideReport(signed=("Example.dll",))
    (found,) = opc_rules.signatures(path)
    assert not found.wrong
    with zipfile.ZipFile(path) as package:
        (tmp_path / "Example.dll").write_bytes(package.read("Example.dll"))
    with FileSource.open(tmp_path / "Example.dll") as code:
        assert inside.is_signed(catalogue.BY_NAME["pe"], code)


def test_nugets_client_accepts_a_package_made_anew(tmp_path: Path) -> None:
    chain, key, root = all_rsa().write_pem(tmp_path)
    key.chmod(0o600)
    maker = keyfile.KeyFileMaker(keyfile.load(key, chain, (root,), datetime.now(UTC)), None)
    path = tmp_path / "Example.Package.1.2.3.nupkg"
    files = nuget_files()
    types = files[3].octets.replace(
        b"<Default", b'<Default Extension="dll" ContentType="application/octet"/><Default', 1
    )
    files[3] = File(files[3].name, types)
    path.write_bytes(archive([*files, File(b"lib/net8.0/x.dll", pe_builder.program())]))
    outcome = sign_with_inside(Job(str(path), str(path)), maker, WISHES, lambda _octets: None)
    assert outcome is not None and outcome.report.status == "signed", outcome
    assert outcome.report.inside == InsideReport(signed=("lib/net8.0/x.dll",))
    said = judged(path)
    assert "Successfully verified package 'Example.Package.1.2.3'" in said, said
    assert not re.search(r"NU30(?!18|27)\d\d", said), said
