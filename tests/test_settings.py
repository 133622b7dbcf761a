"""What an operator mistypes in ``serve.toml``: one sentence that names the file, the place, and what was expected."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from privyseal import config
from privyseal.cli.backup import create
from privyseal.cli.serve import serve
from privyseal.errors import Misused
from privyseal.strongroom.settings import SignerSettings
from privyseal.strongroom.settings import load as load_room

SERVICE = '[service]\nname = "World"\n'


def refused(folder: Path, text: str) -> Misused:
    (folder / config.FILE).write_text(text)
    with pytest.raises(Misused) as caught:
        config.load(folder)
    assert str(folder / config.FILE) in caught.value.detail and "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        (SERVICE + "[servic]\n", "`servic`", "did you mean service? the names here are service, records, "),
        (SERVICE + 'bidn = "x"\n', "$.service", "did you mean bind? the names here are name, affiliation, "),
        (SERVICE + 'affiliation = "ca"\n', "$.service.affiliation", "one of operated-by-ca, partner-of-ca, "),
        (SERVICE + '[telemetry]\nlevel = "warn"\n', "$.telemetry.level", "did you mean warning? one of debug, error, "),
        (SERVICE + '[node]\nrooms = "both"\n', "$.node.rooms", "one of join, start"),
        (SERVICE + '[[scanners]]\nname = "x"\n', "$.scanners[0]", "one of clamav, command, yara"),
        (SERVICE + '[[scanners]]\nkind = "clam"\n', "$.scanners[0].kind", "did you mean clamav? one of clamav, "),
        (SERVICE + '[[gates.overseers]]\nkey = "x"\n', "$.gates.overseers[0]", "the names here are name, public_key"),
    ],
)
def test_an_unknown_name_or_value_is_told_with_those_there_are(
    text: str, place: str, expected: str, tmp_path: Path
) -> None:
    error = refused(tmp_path, text)
    assert place in error.detail
    assert error.hint is not None and error.hint.startswith(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SERVICE + 'rehearsal = "yes"\n', "Expected `bool`, got `str` - at `$.service.rehearsal`"),
        (SERVICE + "[limits]\nrequests = 0\n", "Expected `int` >= 1 - at `$.limits.requests`"),
        ("", "missing required field `service`"),
        (SERVICE + '[[timestamps.authorities]]\nurl = "ftp"\n', "is no address of a timestamp authority"),
    ],
)
def test_a_wrong_type_is_told(text: str, expected: str, tmp_path: Path) -> None:
    assert expected in refused(tmp_path, text).detail


@pytest.mark.parametrize("text", ["[service\n", "a = " + "[" * 100_000, f"a = {'9' * 5000}\n", "\0"])
def test_what_is_no_toml_is_told(text: str, tmp_path: Path) -> None:
    """Nested too deep, or with a number of thousands of digits, too: the parser has other errors for those."""
    assert "is not TOML" in refused(tmp_path, text).detail
    (tmp_path / "signer.toml").write_text(text)
    (tmp_path / "signer.toml").chmod(0o600)
    with pytest.raises(Misused, match=r"signer.toml is not TOML\.$"):
        load_room(tmp_path / "signer.toml", SignerSettings)


def test_a_guarded_process_is_told_likewise(tmp_path: Path) -> None:
    """Names, and no value: the file holds secrets."""
    path = tmp_path / "signer.toml"
    path.write_text('log = "x"\noperator_quorum = 0\nsecret-value = "hunter2"\n')
    path.chmod(0o600)
    with pytest.raises(Misused, match=r"signer\.toml") as caught:
        load_room(path, SignerSettings)
    assert caught.value.hint is not None and "operator_quorum, anchors" in caught.value.hint
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ('[records]\nurl = "mysql://x"\n', "The records cannot be kept in 'mysql'"),
        ('[[gates.overseers]]\nname = "x"\npublic_key = "y"\n', "The public key of the overseer 'x'"),
        ('bind = "localhost"\n', "'localhost' is not an address to listen on"),
    ],
)
def test_check_finds_what_a_start_would(more: str, expected: str, tmp_path: Path) -> None:
    """By the file's name, and without a file of its own left in the directory."""
    (tmp_path / config.FILE).write_text(SERVICE + more)
    settings = config.load(tmp_path)
    with pytest.raises(Misused) as caught:
        config.check(settings, tmp_path)
    assert caught.value.detail.startswith(f"{tmp_path / config.FILE}: {expected}")
    assert os.listdir(tmp_path) == [config.FILE]
    done = CliRunner().invoke(serve, ["--dir", str(tmp_path), "--check"], standalone_mode=False)
    assert isinstance(done.exception, Misused)


def test_a_backup_has_a_folder_to_go_to(tmp_path: Path) -> None:
    """And no name of a file that nobody asked for is told."""
    there = tmp_path / "no" / "backup"
    with pytest.raises(Misused, match="its folder is not there") as caught:
        create.callback(file=there, directory=tmp_path, to=("age1a", "age1b"), json_mode=None)  # type: ignore[misc]
    assert ".backup-" not in caught.value.detail
