"""``privyseal key verify-attestation``: exit codes, words and JSON, without a service."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.pki import mint
from tests.pki.attestation import makers, nshield_maker
from tests.pki.attestation.makers import SAMPLES

from privyseal.cli.main import run
from privyseal.pki import certificates

REGISTER = """
[[module]]
name = "YubiKey 5 FIPS of the example"
scheme = "FIPS 140-2"
number = "4711"
level = {level}
maker = "Yubico"
models = ["YubiKey 5 FIPS"]
firmware = ["5.7.4"]
history = [{history}]
"""
ACTIVE = '{ status = "active", since = 2021-05-05 }'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Fill a folder with an attestation of ours, and go there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "leaf.der").write_bytes(makers.yubikey().der)
    (tmp_path / "device.pem").write_bytes(certificates.pem(makers.yubikey_device().der))
    (tmp_path / "root.pem").write_bytes(certificates.pem(makers.root().der))
    (tmp_path / "key.csr").write_bytes(makers.request())
    (tmp_path / "other.csr").write_bytes(makers.request(makers.OTHER))
    (tmp_path / "forged.csr").write_bytes(makers.broken_request())
    (tmp_path / "stranger.pem").write_bytes(certificates.pem(mint.certify("Stranger", makers.OTHER).der))
    return tmp_path


GOOD = ("leaf.der", "device.pem", "--anchors", "root.pem")


def verified(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    """Run the command for a program; return its exit code and its one object."""
    code = run(["key", "verify-attestation", "--json", *arguments])
    return code, json.loads(capsys.readouterr().out)


def test_attested(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In any order, with strangers, with the request of the key; the level was not asked."""
    code, report = verified(capsys, "device.pem", "stranger.pem", *GOOD, "--csr", "key.csr")
    assert code == 0
    assert (report["schema"], report["verdict"], report["suitable"]) == ("privyseal/attestation/1", "attested", True)
    assert (report["format"], report["model"], report["requests"]) == ("yubikey-piv", "YubiKey 5 FIPS", 1)
    assert report["key_id"] == certificates.key_id(mint.spki(makers.KEY))
    assert [each["subject"] for each in report["chain"]] == [
        "YubiKey PIV Attestation 9c",
        "Yubico PIV Attestation",
        "Maker Root",
    ]
    assert report["level"] is None
    assert "was not asked" in report["notes"][0]
    assert "Its root was given by you" in report["notes"][1]


@pytest.mark.parametrize(
    ("level", "history", "role", "code", "verdict"),
    [
        (3, ACTIVE, "signing-service", 0, "met"),
        (2, ACTIVE, "signing-service", 3, "not-met"),
        (2, ACTIVE, "subscriber", 0, "met"),
        (3, ACTIVE + ', { status = "historical", because = "sunset", since = 2026-09-22 }', "subscriber", 0, "met"),
        (3, ACTIVE + ', { status = "historical", because = "cause", since = 2026-09-22 }', None, 3, "judgement"),
        (3, ACTIVE + ', { status = "revoked", since = 2026-09-22 }', "subscriber", 3, "not-met"),
    ],
)
def test_the_level_is_judged_by_the_register(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    level: int,
    history: str,
    role: str | None,
    code: int,
    verdict: str,
) -> None:
    """For a Signing Service where no role is given."""
    (folder / "modules.toml").write_text(REGISTER.format(level=level, history=history))
    asked = [] if role is None else ["--role", role]
    ended, report = verified(capsys, *GOOD, "--register", "modules.toml", "--at", "2026-11-30", *asked)
    assert (ended, report["level"]["verdict"], report["suitable"]) == (code, verdict, code == 0)
    assert report["level"]["certificate"] == "FIPS 140-2 certificate 4711"
    assert report["level"]["role"] == (role or "signing-service")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("leaf.der", "device.pem"), 3, "No path leads"),
        ((*GOOD, "--csr", "other.csr"), 3, "and the certificate request for the key"),
        ((*GOOD, "forged.csr"), 3, "own signature does not verify"),
        ((*GOOD, "--at", "2020-01-01"), 3, "in force from"),
        ((*GOOD, "--at", "2060-01-01"), 3, "expired on"),
        (("stranger.pem",), 3, "No attestation was found"),
        ((*GOOD, "--csr", "stranger.pem"), 2, "holds none"),
        (("nowhere",), 2, "cannot be read"),
        ((*GOOD, "empty"), 2, "is empty"),
        ((*GOOD, "cut"), 2, "announces"),
        ((*GOOD, "trailing"), 2, "follow the end"),
        ((*GOOD, "--register", "broken.toml"), 2, "register of modules cannot be read"),
        ((*GOOD, "--role", "subscriber"), 2, "--register"),
        ((*GOOD, "--anchors", "key.csr"), 2, "holds no certificate"),
        ((*GOOD, "--at", "yesterday"), 2, "is no time"),
    ],
)
def test_what_is_not_attested(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, says: str
) -> None:
    """One sentence each, without a traceback, and never attested by default."""
    (folder / "empty").touch()
    (folder / "cut").write_bytes(makers.yubikey().der[:-1])
    (folder / "trailing").write_bytes(makers.yubikey().der + b"\0")
    (folder / "broken.toml").write_text("[[module]]\nname = 1\n")
    assert run(["key", "verify-attestation", *arguments]) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert says in " ".join(told.err.split())
    assert "Traceback" not in told.err
    assert not told.err.startswith(("✓", "ok"))


def test_a_key_that_can_leave_is_attested_and_not_suitable(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from privyseal.pki.attestation import yubihsm2

    for number, octets in enumerate(makers.yubihsm(origin=yubihsm2.IMPORTED)):
        (folder / f"hsm{number}.der").write_bytes(octets)
    code, report = verified(capsys, "hsm0.der", "hsm1.der", "hsm2.der", "--anchors", "root.pem")
    assert (code, report["verdict"], report["suitable"]) == (3, "attested", False)
    assert "not generated in the module" in report["text"]
    assert any("serves no method" in each for each in report["notes"])


def test_an_nshield_bundle_by_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of Entrust's documents: one key cannot leave, and the other can be had by whoever holds the cards."""
    monkeypatch.chdir(tmp_path)
    for which, ended in (("softcard", 0), ("module", 3)):
        (tmp_path / which).write_bytes(nshield_maker.documented(which))
        code, report = verified(capsys, which)
        assert (code, report["verdict"], report["format"], report["root"]) == (ended, "attested", "nshield", "maker")
        assert report["chain"] == []
        assert any("serves method 2" in each for each in report["notes"]) == (ended == 0)
    cut = nshield_maker.documented("softcard").replace(b"KWARN-1", b"KWARN-2")
    (tmp_path / "cut").write_bytes(cut)
    assert verified(capsys, "cut")[0] == 3


def test_words_fit_into_eighty_columns_and_move_no_cursor(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names in certificates are strangers' words."""
    device = makers.between("\x1b[2JYubico\u202e", 8, makers.root())
    (folder / "leaf.der").write_bytes(makers.yubikey(device=device).der)
    (folder / "device.pem").write_bytes(certificates.pem(device.der))
    (folder / "modules.toml").write_text(REGISTER.format(level=3, history=ACTIVE))
    assert run(["key", "verify-attestation", *GOOD, "--register", "modules.toml"]) == 0
    told = capsys.readouterr().err
    assert max(map(len, told.splitlines()[1:])) <= 80
    assert not {"\x1b", "\u202e"} & set(told)
    assert "method 2" in told
    assert "FIPS 140-2 certificate 4711" in " ".join(told.split())


def test_every_genuine_sample_by_command(capsys: pytest.CaptureFixture[str]) -> None:
    """As the samples' own notes expect."""
    if not SAMPLES.exists():
        pytest.skip("the genuine attestations are not here")
    for files, code in (
        (("tmc_5_2_7.pem",), 0),
        (("rsa-pkc.p7b", "rsa-test.csr"), 0),
        (("ecc-pkc.p7b", "ecc-test.csr"), 0),
        (("tpm.pem",), 3),
    ):
        ended, report = verified(capsys, *(str(SAMPLES / each) for each in files))
        assert ended == code
        assert any("serves method 2" in each for each in report["notes"]) == (code == 0)
