"""UEFI variables and capsules through a real service, in both modes, with the commands that people type."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.formats.signing import signatory
from tests.formats.uefi_builder import (
    MINE,
    SECURITY,
    TIME,
    authentication,
    authentications,
    capsule,
    db,
    openssl_verifies,
    pieces,
    signed_octets,
)
from tests.rehearsal import Rehearsal, initialise, serving

from privyseal.pki import certificates


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    directory = tmp_path_factory.mktemp("firmware") / "seal"
    initialise(directory, "--scheme", "rsa-3072")
    with serving(directory) as running:
        yield running


@pytest.mark.parametrize("mode", ["local", "server"])
def test_there_and_back(service: Rehearsal, tmp_path: Path, mode: str) -> None:
    """Signed without a timestamp being asked for, verified with receipts, judged by openssl, taken apart."""
    setup = f"Setup-{MINE}.var"
    names = {"db.esl": db(), "dbxupdate_x64.esl": db(3), setup: b"any content"}
    out = tmp_path / "out"
    out.mkdir()
    for name, octets in {**names, "firmware.cap": capsule()}.items():
        (tmp_path / name).write_bytes(octets)
    command = ["sign", "--mode", mode, "--json", "-o", out]
    first = service.run(*command, "--efi-time", TIME, tmp_path / "db.esl", tmp_path / setup)
    second = service.run(*command, "--efi-time", "now", "--efi-append", tmp_path / "dbxupdate_x64.esl")
    third = service.run(*command, "--monotonic-count", "7", tmp_path / "firmware.cap")
    for done in (first, second, third):
        assert done.returncode == 0, done.stderr
        assert {(one["status"], one["verdict"]) for one in json.loads(done.stdout)["files"]} == {("signed", "valid")}
    files = [out / name for name in (*names, "firmware.cap")]
    verdicts = json.loads(service.run("verify", *files, "--json").stdout)["files"]
    assert [one["format"] for one in verdicts] == ["uefi-variable"] * 3 + ["uefi-capsule"]
    for one in verdicts:
        assert one["verdict"] == "valid" and one["signatures"][0]["log"]["index"] > 0, one
        assert one["signatures"][0]["timestamp"] is None
    root = certificates.pem_certificates((service.directory / "ca.pem").read_bytes())[0]
    time, message, content = pieces(files[0].read_bytes())
    assert openssl_verifies(message, signed_octets("db", SECURITY, 0x27, time, content), root, tmp_path)
    time, message, content = pieces(files[1].read_bytes())
    assert openssl_verifies(message, signed_octets("dbx", SECURITY, 0x67, time, content), root, tmp_path)
    count, message, image, _ = authentication(files[3].read_bytes())
    assert count == 7 and openssl_verifies(message, image + count.to_bytes(8, "little"), root, tmp_path)
    shown = json.loads(service.run("inspect", files[0], "--json", profile=False).stdout)
    assert shown["kind"] == f"UEFI variable db with 1 certificate, 2 SHA-256, in its place as of {TIME}"
    assert service.run("remove", *files, profile=False).returncode == 0
    for name, octets in names.items():
        assert (out / name).read_bytes() == octets


@pytest.mark.parametrize("mode", ["local", "server"])
def test_a_capsule_of_several_images(service: Rehearsal, tmp_path: Path, mode: str) -> None:
    """All are signed by one request under one receipt, also two that are the same."""
    path = tmp_path / "several.cap"
    images = (b"image " + mode.encode(), b"another " + mode.encode(), b"image " + mode.encode())
    path.write_bytes(original := capsule(images=images, drivers=(b"driver",)))
    command = ["sign", "--mode", mode, "--json", "--monotonic-count", "7", path]
    done = service.run(*command)
    assert done.returncode == 0, done.stderr
    (said,) = json.loads(done.stdout)["files"]
    assert (said["status"], said["verdict"], len(said["signatures"])) == ("signed", "valid", 3)
    root = certificates.pem_certificates((service.directory / "ca.pem").read_bytes())[0]
    octets = path.read_bytes()
    assert [image for _, _, image, _ in authentications(octets)] == list(images)
    for count, message, image, _ in authentications(octets):
        assert count == 7 and openssl_verifies(message, image + count.to_bytes(8, "little"), root, tmp_path)
    (found,) = json.loads(service.run("verify", path, "--json").stdout)["files"]
    assert found["verdict"] == "valid" and len({one["log"]["index"] for one in found["signatures"]}) == 1, found
    assert len(found["signatures"]) == 3
    again = json.loads(service.run(*command).stdout)["files"]
    assert [one["status"] for one in again] == ["kept"] and path.read_bytes() == octets
    at = octets.rindex(b"another")
    path.write_bytes(octets[:at] + b"A" + octets[at + 1 :])
    (found,) = json.loads(service.run("verify", path, "--json").stdout)["files"]
    assert found["verdict"] == "invalid" and [bool(one["problems"]) for one in found["signatures"]] == [0, 1, 0]
    path.write_bytes(octets)
    assert service.run("remove", path, profile=False).returncode == 0
    assert path.read_bytes() == original


@pytest.mark.parametrize("mode", ["local", "server"])
def test_what_cannot_be_signed_is_exit_2_and_untouched(service: Rehearsal, tmp_path: Path, mode: str) -> None:
    """No time, a broken list, an option of another format, a digest that firmware has not: one sentence each."""
    octets = {"KEK.esl": db(), "db.esl": db()[:-1], "firmware.cap": capsule(), "PK.esl": db(0)}
    for name, content in octets.items():
        (tmp_path / name).write_bytes(content)
    cases = {
        ("KEK.esl",): "firmware takes only what is newer",
        ("--efi-time", TIME, "db.esl"): "claims 124 octets",
        ("--efi-time", TIME, "firmware.cap"): "only uefi-variable has",
        ("--efi-time", TIME, "--digest", "sha384", "PK.esl"): "by SHA-256",
        ("--efi-attributes", "many", "PK.esl"): "is no number",
        ("--efi-time", "soon", "PK.esl"): "is no time",
    }
    for (*options, name), words in cases.items():
        done = service.run("sign", "--mode", mode, *options, tmp_path / name)
        assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
        assert words in " ".join(done.stderr.split()), done.stderr
    assert {name: (tmp_path / name).read_bytes() for name in octets} == octets


def test_with_a_key_file_too(service: Rehearsal, tmp_path: Path) -> None:
    """No service, an authority named: it is not asked, for there is no place for its token."""
    chain, key, root = signatory().write_pem(tmp_path)
    key.chmod(0o600)
    (tmp_path / "db.esl").write_bytes(db())
    given = ["--keyfile", key, "--certs", chain, "--rehearsal-anchor", root, "--tsa", "http://127.0.0.1:9/"]
    done = service.run("sign", *given, "--efi-time", TIME, tmp_path / "db.esl", profile=False)
    assert done.returncode == 0, done.stderr
    large = tmp_path / "firmware.cap"  # large enough to be written by two threads
    large.write_bytes(original := capsule(images=(bytes(range(256)) * 40_000,)))
    done = service.run("sign", *given, large, profile=False)
    assert done.returncode == 0, done.stderr
    _, message, image, _ = authentication(large.read_bytes())
    assert image == original[-len(image) :]
    assert openssl_verifies(message, image + bytes(8), signatory().root, tmp_path)
    later = service.run("timestamp", "--tsa", "http://127.0.0.1:9/", tmp_path / "db.esl", large, profile=False)
    assert later.returncode == 2 and "reads no timestamp" in " ".join(later.stderr.split()), later.stderr
    kept = (tmp_path / "db.esl").read_bytes()
    again = service.run(
        "sign", *given, "--again", "--efi-time", "2027-01-01T00:00:00Z", tmp_path / "db.esl", profile=False
    )
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "db.esl").read_bytes()[:2] != kept[:2] and pieces(kept)[2] == db()
