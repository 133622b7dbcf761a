"""Packages, RDP files and ClickOnce manifests through a real service, in both modes, with the commands people type."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.formats import clickonce_builder, opc_rules, rdp_rules
from tests.formats.opc_builder import TYPES, document, vsix
from tests.formats.pe_builder import program
from tests.formats.rdp_rules import connection
from tests.formats.signing import signatory
from tests.formats.test_navx import app
from tests.formats.test_opc_strangers import by_xmlsec
from tests.formats.test_xap import application
from tests.formats.walking import sign
from tests.formats.zip_builder import app_package, nuget_package
from tests.rehearsal import Rehearsal, initialise, serving

from privyseal.formats import publisher_name
from privyseal.formats.catalogue import recognise
from privyseal.formats.examine import examine
from privyseal.formats.source import FileSource

MANIFESTS = {
    "example.rdp": connection(),
    "ascii.rdp": connection(encoding="ascii", end="\n", closed=False),
    "Example.exe.manifest": clickonce_builder.application(),
    "Example.application": clickonce_builder.deployment(),
    "Example.vsto": clickonce_builder.deployment(name="Example.vsto"),
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    directory = tmp_path_factory.mktemp("packages") / "seal"
    initialise(directory, "--scheme", "rsa-3072")
    with serving(directory) as running:
        yield running


@pytest.fixture(scope="module")
def publisher(service: Rehearsal, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return whom the service's certificate is for, as a manifest names it; a signed program tells."""
    path = tmp_path_factory.mktemp("known") / "program.exe"
    path.write_bytes(program())
    assert service.run("sign", path).returncode == 0
    with FileSource.open(path) as code:
        (found,) = examine(recognise(code), code).signatures
    assert found.signer is not None
    return publisher_name.of_certificate(found.signer)


@pytest.mark.parametrize("mode", ["local", "server"])
def test_there_and_back(service: Rehearsal, publisher: str, tmp_path: Path, mode: str) -> None:
    """Signed in one command, verified with receipts, judged by strangers, looked at, taken apart."""
    names = {
        "example.msix": app_package(publisher),
        "fields.appx": app_package(publisher, dialect="makemsix", digest="sha512"),
        "all.msixbundle": app_package(publisher, bundle=True),
        "Example.Package.1.2.3.nupkg": nuget_package(),
        "example.app": app(),
        "example.xap": application(),
        "example.vsix": vsix(),
        "example.xps": document(),
    }
    out = tmp_path / "out"
    out.mkdir()
    for name, octets in names.items():
        (tmp_path / name).write_bytes(octets)
    done = service.run("sign", "--mode", mode, "--json", "-o", out, *(tmp_path / name for name in names))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)["files"]
    assert [(one["status"], one["verdict"]) for one in said] == [("signed", "valid")] * len(names)
    assert [one["format"] for one in said] == ["appx", "appx", "appx", "nuget", "navx", "xap", "vsix", "opc"]
    files = [out / name for name in names]
    for one in json.loads(service.run("verify", *files, "--json").stdout)["files"]:
        assert one["verdict"] == "valid" and one["signatures"][0]["log"]["index"] > 0, one
        assert one["signatures"][0]["timestamp"] is not None
    anchors, crl = service.directory / "ca.pem", service.directory / "ca.crl"
    for path in files[:3]:
        command = ["osslsigncode", "verify", "-CAfile", anchors, "-TSA-CAfile", anchors, "-CRLfile", crl, "-in", path]
        judged = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert judged.returncode == 0 and "Signature verification: ok" in judged.stdout, judged.stdout + judged.stderr
    for path in files[-2:]:
        (found,) = opc_rules.signatures(path)
        assert found.wrong == [] and by_xmlsec(found.document, anchors, tmp_path)
    shown = json.loads(service.run("inspect", out / "all.msixbundle", "--json", profile=False).stdout)
    assert shown["kind"] == f"bundle Example.App of {publisher}, 5 entries"
    assert service.run("remove", *files, profile=False).returncode == 0
    for name in ("Example.Package.1.2.3.nupkg", "example.app", "example.xap"):
        assert (out / name).read_bytes() == names[name]
    unsigned = json.loads(service.run("verify", *files, "--json").stdout)["files"]
    assert [one["verdict"] for one in unsigned] == ["unsigned"] * len(names)


@pytest.mark.parametrize("mode", ["local", "server"])
def test_what_cannot_be_signed_is_exit_2_and_untouched(
    service: Rehearsal, publisher: str, tmp_path: Path, mode: str
) -> None:
    """Another publisher, an archive that contradicts itself, a second signature: one sentence each, no traceback."""
    bad = {
        "other.msix": app_package("CN=Contoso, C=US"),
        "cut.nupkg": nuget_package()[:-1],
        "two.nupkg": nuget_package() + nuget_package()[-22:],
        "untyped.vsix": vsix(types=TYPES.replace('"DLL"', '"dlx"')),
    }
    for name, octets in bad.items():
        (tmp_path / name).write_bytes(octets)
    done = service.run("sign", "--mode", mode, *(tmp_path / name for name in bad))
    assert done.returncode == 2 and "Traceback" not in done.stderr
    said = " ".join(done.stderr.split())
    for words in (
        "names the publisher 'CN=Contoso, C=US'",
        "no end of a central directory",
        "end records begin at",
        "says nothing of 'Example.dll'",
    ):
        assert words in said, done.stderr
    assert publisher in said
    assert {name: (tmp_path / name).read_bytes() for name in bad} == bad
    theirs = tmp_path / "theirs.nupkg"
    theirs.write_bytes(nuget_package())
    sign(theirs, signatory())
    once = theirs.read_bytes()
    more = service.run("sign", "--mode", mode, "--if-signed", "add", theirs)
    assert more.returncode == 2 and "replace it instead" in " ".join(more.stderr.split()), more.stderr
    assert theirs.read_bytes() == once


@pytest.mark.parametrize("mode", ["local", "server"])
def test_as_a_repository(service: Rehearsal, tmp_path: Path, mode: str) -> None:
    """Beside an author of elsewhere, whose signature stays as it was, and alone."""
    index = "https://packages.example.com/v3/index.json"
    as_repository = ["--nuget-repository", index, "--nuget-owner", "Example", "--nuget-owner", "Contoso"]
    theirs, alone = tmp_path / "theirs.nupkg", tmp_path / "alone.nupkg"
    for path in (theirs, alone):
        path.write_bytes(nuget_package())
    author = sign(theirs, signatory(), stamped=True)
    command = ["sign", "--mode", mode, "--if-signed", "add", "-d", "Example", *as_repository, theirs, alone]
    done = service.run(*command)
    assert done.returncode == 0, done.stderr
    with FileSource.open(theirs) as code:
        first, second = examine(recognise(code), code).signatures
    assert first.blob == author and second.program_url == index and second.timestamp is not None
    found = json.loads(service.run("verify", theirs, alone, "--json").stdout)["files"]
    assert [len(one["signatures"]) for one in found] == [2, 1]
    assert found[1]["verdict"] == "valid", json.dumps(found[1])
    assert found[0]["signatures"][1]["log"]["index"] > 0 and not found[0]["signatures"][1]["problems"], found
    refused = service.run("sign", "--mode", mode, "--again", "--nuget-repository", "http://example.com/", alone)
    assert refused.returncode == 2 and "is an https address" in " ".join(refused.stderr.split()), refused.stderr


@pytest.mark.parametrize("mode", ["local", "server"])
def test_manifests_there_and_back(service: Rehearsal, tmp_path: Path, mode: str) -> None:
    """Signed in one command, verified with receipts, judged by strangers, looked at, taken apart."""
    out = tmp_path / "out"
    out.mkdir()
    for name, octets in MANIFESTS.items():
        (tmp_path / name).write_bytes(octets)
    done = service.run("sign", "--mode", mode, "--json", "-o", out, *(tmp_path / name for name in MANIFESTS))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)["files"]
    assert [(one["status"], one["verdict"]) for one in said] == [("signed", "valid")] * len(MANIFESTS)
    assert [one["format"] for one in said] == ["rdp", "rdp", "clickonce", "clickonce", "clickonce"]
    files = [out / name for name in MANIFESTS]
    for one in json.loads(service.run("verify", *files, "--json").stdout)["files"]:
        assert one["verdict"] == "valid" and one["signatures"][0]["log"]["index"] > 0, one
        assert one["signatures"][0]["timestamp"] is not None
    assert all(rdp_rules.by_openssl(path, tmp_path, service.directory / "ca.pem") for path in files[:2])
    assert sum(line.startswith("Timestamp") for line in clickonce_builder.judged(*files[2:])) == 3
    shown = json.loads(service.run("inspect", files[2], "--json", profile=False).stdout)
    assert shown["kind"] == "application manifest of Example.exe 1.2.3.4"
    shown = json.loads(service.run("inspect", files[0], "--json", profile=False).stdout)
    assert shown["kind"].startswith("connection to rds.example.com, ")
    assert service.run("remove", *files, profile=False).returncode == 0
    assert {name: (out / name).read_bytes() for name in MANIFESTS} == MANIFESTS
    unsigned = json.loads(service.run("verify", *files, "--json").stdout)["files"]
    assert [one["verdict"] for one in unsigned] == ["unsigned"] * len(MANIFESTS)


def test_a_timestamp_that_comes_later(service: Rehearsal, tmp_path: Path) -> None:
    """The receipt still fits: what was added is told apart from what was changed."""
    paths = [tmp_path / name for name in ("example.rdp", "Example.application")]
    for path in paths:
        path.write_bytes(MANIFESTS[path.name])
    done = service.run("sign", "--no-timestamp", *paths)
    assert done.returncode == 0, done.stderr
    done = service.run("timestamp", "--tsa", f"{service.url}/tsa", *paths, profile=False)
    assert done.returncode == 0, done.stderr
    for one in json.loads(service.run("verify", *paths, "--json").stdout)["files"]:
        (signature,) = one["signatures"]
        assert one["verdict"] == "valid" and signature["timestamp"] is not None, one
        assert [note["code"] for note in signature["notes"]] == ["added-after-release"], one
    clickonce_builder.judged(paths[1])


@pytest.mark.parametrize("mode", ["local", "server"])
def test_manifests_that_cannot_be_signed_are_exit_2_and_untouched(
    service: Rehearsal, tmp_path: Path, mode: str
) -> None:
    """One sentence each, no traceback, the files as they were."""
    bad = {
        "empty.rdp": b"screen mode id:i:2\r\n",
        "twice.rdp": connection("Full Address:s:evil.example.com"),
        "program.exe.manifest": clickonce_builder.application().replace(b"entryPoint", b"noPoint"),
        "entities.application": clickonce_builder.deployment().replace(b"?>", b'?><!DOCTYPE a [<!ENTITY x "y">]>', 1),
    }
    for name, octets in bad.items():
        (tmp_path / name).write_bytes(octets)
    done = service.run("sign", "--mode", mode, *(tmp_path / name for name in bad))
    assert done.returncode == 2 and "Traceback" not in done.stderr
    said = " ".join(done.stderr.split())
    for words in ("has no full address", "more than once", "is it the manifest of a program", "document type"):
        assert words in said, done.stderr
    assert {name: (tmp_path / name).read_bytes() for name in bad} == bad
    again = tmp_path / "example.rdp"
    again.write_bytes(connection())
    sign(again, signatory())
    once = again.read_bytes()
    more = service.run("sign", "--mode", mode, "--if-signed", "add", again)
    assert more.returncode == 2 and "replace it instead" in " ".join(more.stderr.split()), more.stderr
    assert again.read_bytes() == once
