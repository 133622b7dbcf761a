"""Macros of Office through a real service, in both modes, with the commands that people type."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.formats import cfb_builder
from tests.formats.signing import signatory
from tests.formats.test_vba import message, openssl_accepts, parts_of, rewritten
from tests.formats.vba_builder import Code, Macros, document, files, project, relations
from tests.formats.walking import look, wrong
from tests.formats.zip_builder import File, archive
from tests.rehearsal import Rehearsal, initialise, serving


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    directory = tmp_path_factory.mktemp("macros") / "seal"
    initialise(directory)
    with serving(directory) as running:
        yield running


@pytest.mark.parametrize("mode", ["local", "server"])
def test_there_and_back(service: Rehearsal, tmp_path: Path, mode: str) -> None:
    """Signed in one command, both signatures logged under one receipt, verified, kept, stamped later, taken off."""
    names = {"book.xlsm": document("xlsm"), "text.docm": document("docm"), "slides.pptm": document("pptm")}
    out = tmp_path / "out"
    out.mkdir()
    for name, octets in names.items():
        (tmp_path / name).write_bytes(octets)
    done = service.run("sign", "--mode", mode, "--json", "-o", out, *(tmp_path / name for name in names))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)["files"]
    assert [(one["status"], one["format"], len(one["signatures"])) for one in said] == [("signed", "vba", 2)] * 3
    paths = [out / name for name in names]
    for one in json.loads(service.run("verify", *paths, "--json").stdout)["files"]:
        assert one["verdict"] == "valid" and len(one["signatures"]) == 2, one
        assert len({each["log"]["index"] for each in one["signatures"]}) == 1
        assert all(each["timestamp"] for each in one["signatures"])
    for name in ("V3", "Agile"):
        octets = message(parts_of(paths[0])[f"xl/vbaProjectSignature{name}.bin"])
        assert openssl_accepts(octets, tmp_path, service.directory / "ca.pem")
    before = [path.read_bytes() for path in paths]
    again = json.loads(service.run("sign", "--mode", mode, "--json", *paths).stdout)["files"]
    assert [one["status"] for one in again] == ["kept"] * 3 and [path.read_bytes() for path in paths] == before
    (out / "book.xlsm.tlog-proof").unlink(missing_ok=True)
    assert service.run("sign", "--mode", mode, paths[0]).returncode == 0  # its receipt is fetched
    assert json.loads(service.run("verify", paths[0], "--json").stdout)["files"][0]["verdict"] == "valid"
    shown = json.loads(service.run("inspect", paths[1], "--json", profile=False).stdout)
    assert shown["kind"] == "macros of Word, v3, agile signature" and len(shown["signatures"]) == 2
    assert service.run("remove", *paths, profile=False).returncode == 0
    assert [parts_of(path) for path in paths] == [parts_of(tmp_path / name) for name in names]


def test_a_timestamp_later(service: Rehearsal, tmp_path: Path) -> None:
    """Both signatures get one; the receipt of before still holds for both."""
    path = tmp_path / "book.xlsm"
    path.write_bytes(document())
    assert service.run("sign", "--no-timestamp", path).returncode == 0
    done = service.run("timestamp", "--tsa", f"{service.url}/tsa", path, profile=False)
    assert done.returncode == 0, done.stderr
    (one,) = json.loads(service.run("verify", path, "--json").stdout)["files"]
    assert one["verdict"] == "valid" and all(each["timestamp"] and each["log"] for each in one["signatures"]), one


@pytest.mark.parametrize("mode", ["local", "server"])
def test_what_cannot_be_signed_is_exit_2_and_untouched(service: Rehearsal, tmp_path: Path, mode: str) -> None:
    """No macros, a text of which it is not settled what Office hashes, an elder document: one sentence each."""
    plain = [File(one.name, relations()) if b"workbook.xml.rels" in one.name else one for one in files()]
    bad = {
        "plain.xlsm": archive(plain),
        "lines.xlsm": document(octets=project(Macros(modules=(Code("M", "Sub A()\nEnd Sub\n"),), forms={}))),
        "broken.docm": document("docm", b"no compound file" * 200),
    }
    for name, octets in bad.items():
        (tmp_path / name).write_bytes(octets)
    tree = {"Workbook": b"w" * 9000, "_VBA_PROJECT_CUR": {"PROJECT": b"p"}}
    elder = cfb_builder.build(tmp_path / "old.xls", tree, major=3, clsid=bytes(16))
    bad[elder.name] = elder.read_bytes()
    done = service.run("sign", "--mode", mode, *(tmp_path / name for name in bad))
    assert done.returncode == 2 and "Traceback" not in done.stderr
    said = " ".join(done.stderr.split())
    for words in (
        "has no macros",
        "not settled what Office hashes",
        "it does not begin as one",
        "save it in Office as xlsm",
    ):
        assert words in said, done.stderr
    judged = service.run("verify", elder)
    assert judged.returncode == 3 and "neither signed nor judged here" in " ".join(judged.stderr.split())
    assert {name: (tmp_path / name).read_bytes() for name in bad} == bad


def test_one_broken_signature_has_both_made_anew(service: Rehearsal, tmp_path: Path) -> None:
    """The other one holds, and would be kept if it stood alone."""
    path = tmp_path / "book.xlsm"
    path.write_bytes(document())
    assert service.run("sign", path).returncode == 0
    agile = parts_of(path)["xl/vbaProjectSignatureAgile.bin"]
    at = agile.index(b"2.16.840.1.101.3.4.2.1\0") + 25
    rewritten(path, Agile=agile[:at] + bytes([agile[at] ^ 1]) + agile[at + 1 :])
    (one,) = json.loads(service.run("verify", path, "--json").stdout)["files"]
    assert one["verdict"] == "invalid"
    (one,) = json.loads(service.run("sign", "--json", path).stdout)["files"]
    assert one["status"] == "signed" and not wrong(path)
    (one,) = json.loads(service.run("verify", path, "--json").stdout)["files"]
    assert one["verdict"] == "valid", one


def test_a_key_file_makes_both(service: Rehearsal, tmp_path: Path) -> None:
    """Without a service there is no receipt; both signatures are there all the same."""
    path = tmp_path / "book.xlsm"
    path.write_bytes(document())
    chain, key, root = signatory("ecdsa-p256").write_pem(tmp_path)
    key.chmod(0o600)
    given = ("--keyfile", key, "--certs", chain, "--rehearsal-anchor", root, "--tsa", f"{service.url}/tsa", "--json")
    done = service.run("sign", *given, path, profile=False)
    assert done.returncode == 0, done.stderr
    (one,) = json.loads(done.stdout)["files"]
    assert len(one["signatures"]) == 2 and all(each["timestamp"] for each in one["signatures"])
    assert not wrong(path) and len(look(path).signatures) == 2
