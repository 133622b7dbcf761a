"""``privyseal requirement`` and ``privyseal gate``: what is printed, what goes from hand to hand, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.every import every

from privyseal.cli.main import run
from privyseal.compliance.catalogue import BY_ID, REQUIREMENTS
from privyseal.compliance.gates import GATES, Overridden
from privyseal.terms.requests import approved_octets


def document(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, object]:
    assert run([*arguments, "--json"]) == code
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def ids(found: dict[str, object]) -> list[str]:
    return [each["id"] for each in found["requirements"]]  # type: ignore[attr-defined]


def test_list_shows_what_is_in_force_on_a_day(capsys: pytest.CaptureFixture[str]) -> None:
    now = ids(document(capsys, "requirement", "list", "6.2.7.3", "--as-of", "2026-11-25"))
    then = ids(document(capsys, "requirement", "list", "6.2.7.3", "--as-of", "2024-02-27"))
    assert "CSBR-6.2.7.3-02" in now
    assert "CSBR-6.2.7.3-90" not in now
    assert "CSBR-6.2.7.3-90" in then
    assert "CSBR-6.2.7.3-02" not in then
    assert len(ids(document(capsys, "requirement", "list", "--all"))) == len(REQUIREMENTS)
    assert ids(document(capsys, "requirement", "list", "--gates")) == [each.id for each in GATES]


def test_a_clause_is_a_section_and_not_a_prefix(capsys: pytest.CaptureFixture[str]) -> None:
    found = ids(document(capsys, "requirement", "list", "6.1", "--all"))
    assert found
    assert all(BY_ID[each].clause.split(".")[:2] == ["6", "1"] for each in found)


def test_show_says_all_that_the_catalogue_knows(capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "requirement", "show", "csbr-6.2.7.3-03")
    assert (found["id"], found["gate"], found["checked"]) == ("CSBR-6.2.7.3-03", True, True)
    run(["requirement", "show", "CSBR-6.2.7.3-03"])
    said = capsys.readouterr().err
    assert "a gate" in said
    assert "table-of-dates" in said


def test_every_entry_can_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with every() as case:
        for each in REQUIREMENTS:
            with case(each.id):
                assert run(["requirement", "show", each.id]) == 0


def test_an_unknown_id_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["requirement", "show", "CSBR-99"]) == 2
    assert capsys.readouterr().err.count("\n") == 2


# -- an override goes around -----------------------------------------------------------------------------------------
@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "anna.pem"
    private = Ed25519PrivateKey.generate()
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    return path


PROPOSE = ("gate", "propose", "CSBR-9.6.3-08", "--subscriber", "acme", "--reason", "release 7, at once")


def test_who_agrees_signs_the_digest_of_the_whole_override_once(
    tmp_path: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "lift.json"
    said = document(capsys, *PROPOSE, "--hours", "4", "-o", str(file))
    for _ in range(2):
        document(capsys, "gate", "agree", str(file), "--name", "anna", "--key", str(key))
    given = msgspec.json.decode(file.read_bytes(), type=Overridden)
    assert said["digest"] == given.override.digest().hex()
    [mine] = given.approvals
    public = Ed25519PublicKey.from_public_bytes(mine.public_key)
    public.verify(mine.signature, approved_octets(given.override.digest()))


@pytest.mark.parametrize(
    ("requirement", "hours"), [("CSBR-6.2.7.3-03", "4"), ("CSBR-9.6.3-11", "4"), ("CSBR-6.7-01", "4")]
)
def test_what_cannot_be_lifted_is_not_proposed(
    tmp_path: Path, requirement: str, hours: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "lift.json"
    arguments = ["gate", "propose", requirement, *PROPOSE[3:], "--hours", hours, "-o", str(file)]
    assert run(arguments) == 2
    assert not file.exists()
    assert "Traceback" not in capsys.readouterr().err


def test_a_key_that_others_can_read_is_not_used(tmp_path: Path, key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "lift.json"
    run([*PROPOSE, "--hours", "4", "-o", str(file)])
    key.chmod(0o644)
    assert run(["gate", "agree", str(file), "--name", "anna", "--key", str(key)]) == 2
    assert "chmod 600" in capsys.readouterr().err


@pytest.mark.parametrize(
    "octets", [b"", b"{}", b"\xff\xfe", b"[" * 5000, b'{"override": 1, "approvals": []}', b"x" * 70000]
)
def test_any_octets_as_an_override_are_one_sentence(
    tmp_path: Path, key: Path, octets: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "lift.json"
    file.write_bytes(octets)
    assert run(["gate", "agree", str(file), "--name", "anna", "--key", str(key)]) == 2
    assert run(["gate", "override", str(file), "--url", "http://127.0.0.1:9"]) == 2
    assert "bug" not in capsys.readouterr().err


@pytest.mark.parametrize("octets", [b"", b"-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n", b"\xff" * 100])
def test_any_octets_as_a_key_are_one_sentence(
    tmp_path: Path, octets: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    file, key = tmp_path / "lift.json", tmp_path / "x.pem"
    run([*PROPOSE, "--hours", "4", "-o", str(file)])
    key.write_bytes(octets)
    key.chmod(0o600)
    assert run(["gate", "agree", str(file), "--name", "anna", "--key", str(key)]) == 2
    assert "bug" not in capsys.readouterr().err
