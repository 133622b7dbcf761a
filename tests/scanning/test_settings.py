"""What ``serve.toml`` may say of scanners, and what is said of it where it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from privyseal import config
from privyseal.errors import Misused

SERVICE = '[service]\nname = "World"\n'


def _load(folder: Path, more: str) -> config.Settings:
    (folder / config.FILE).write_text(SERVICE + more)
    settings = config.load(folder)
    config.premises(settings, folder)
    return settings


def test_each_kind_is_read(tmp_path: Path) -> None:
    """In the order in which they are asked, with the names that requests will say."""
    settings = _load(
        tmp_path,
        '[[scanners]]\nkind = "clamav"\n'
        '[[scanners]]\nkind = "yara"\nrules = ["own.yar"]\n'
        '[[scanners]]\nkind = "command"\nname = "own"\ncommand = ["scan", "{file}"]\n',
    )
    premises = config.premises(settings, tmp_path)
    assert premises is not None
    assert [each.name for each in premises.scanners] == ["clamav", "yara", "own"]
    assert premises.infected == "delete"


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ('[[scanners]]\nkind = "mcafee"\n', "mcafee"),
        ("[[scanners]]\n", "kind"),
        ('[[scanners]]\nkind = "clamav"\nsocket = "/run/clamd"\n', "socket"),
        ('[[scanners]]\nkind = "clamav"\noutdated = "pass"\n', "outdated"),
        ('[[scanners]]\nkind = "clamav"\naddress = "av.example.org:3310"\n', "no port of this machine"),
        ('[[scanners]]\nkind = "clamav"\n[[scanners]]\nkind = "clamav"\n', "one name"),
        ('[[scanners]]\nkind = "yara"\n', "rules"),
        ('[[scanners]]\nkind = "command"\nname = "own"\ncommand = ["scan"]\n', "command"),
        ('[[scanners]]\nkind = "command"\nname = "own"\ncommand = ["scan", "file"]\n', "{file}"),
        ('[[scanners]]\nkind = "command"\nname = "own"\ncommand = ["a", "{file}"]\ninfected = [127]\n', "infected"),
        ('[spool]\ninfected = "keep"\n', "infected"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, more: str, named: str) -> None:
    """One sentence, before the service takes anything in."""
    with pytest.raises(Misused) as refused:
        _load(tmp_path, more)
    assert named in refused.value.detail
