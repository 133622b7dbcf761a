"""``privyseal key reconcile`` says of each cloud whether it logs and counts as the signer does, and exits by that."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from privyseal.cli import main
from privyseal.strongroom.door import Door
from privyseal.strongroom.messages import Answer, Question
from privyseal.strongroom.messages_of_homes import CloudsAsked, CloudsCounted
from privyseal.terms.clouds import CloudUses, KeyUses

SINCE, UNTIL = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 30, tzinfo=UTC)
HOME = {"store": "gcpkms", "home": "prod", "since": SINCE, "until": UNTIL, "source": "the log", "on": True}


def uses(counted: int, at_least: int = 6) -> KeyUses:
    return KeyUses(subscriber="demo", name="release", key_id="a" * 64, counted=counted, at_least=at_least, at_most=7)


GOOD = uses(7, 7)


@contextmanager
def signer(folder: Path, *homes: CloudUses) -> Iterator[list[Question]]:
    """Answer at the signer's door."""
    (folder / "run").mkdir(exist_ok=True)
    asked: list[Question] = []

    def answer(question: Question) -> Answer:
        asked.append(question)
        return CloudsCounted(homes)

    door = Door(folder / "run" / "signer.sock", answer)
    door.open()
    thread = threading.Thread(target=door.serve)
    thread.start()
    try:
        yield asked
    finally:
        door.stop()
        thread.join()
        door.dispose()


def run(*arguments: str) -> int:
    return main.run(["key", "reconcile", *arguments])


def test_counts_that_agree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 0, with what was compared; without a cloud as well."""
    with signer(tmp_path, CloudUses(**HOME, keys=(GOOD,))) as asked:  # type: ignore[arg-type]
        assert run("--dir", str(tmp_path), "--since", "2026-11-01") == 0
    assert asked == [CloudsAsked(SINCE)]
    said = capsys.readouterr().err
    assert "gcpkms prod, 2026-11-01 00:00 to 2026-11-30 00:00 UTC" in said
    assert "release: 7 signatures, as the signer (7)" in said
    with signer(tmp_path):
        assert run("--dir", str(tmp_path)) == 0
    assert "No key is in a cloud" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"keys": (uses(9),)}, "MORE than the signer asked for: somebody else used the key (6 to 7)"),
        ({"keys": (uses(5),)}, "FEWER than the signer made"),
        ({"keys": (GOOD,), "on": False}, "the log is off"),
        ({"keys": (GOOD,), "gaps": ("The trail excludes x.",)}, "The trail excludes x."),
        ({"trouble": "No trail is named.", "on": False}, "it could not be asked: No trail is named."),
    ],
    ids=["more", "fewer", "off", "gaps", "trouble"],
)
def test_what_is_wrong_is_exit_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, object], words: str
) -> None:
    """In words, and as one document."""
    with signer(tmp_path, CloudUses(**(HOME | changes))):  # type: ignore[arg-type]
        assert run("--dir", str(tmp_path)) == 3
        assert words in capsys.readouterr().err
        assert run("--dir", str(tmp_path), "--json") == 3
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["agree"], len(document["homes"])) == ("privyseal/reconciled/1", False, 1)


def test_a_signer_that_is_not_there_is_exit_8(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence."""
    assert run("--dir", str(tmp_path)) == 8
    assert "cannot be reached" in capsys.readouterr().err
