"""The story fits a narrow terminal, shows commands that can be typed, and stops where a command ends otherwise."""

from __future__ import annotations

import shlex

import pytest

from privyseal.cli import demo_story as story
from privyseal.cli.demo_story import Story
from privyseal.cli.output import WIDTH
from privyseal.errors import BadInput, VerificationFailed


def test_steps_count_and_fit(capsys: pytest.CaptureFixture[str]) -> None:
    """Two steps are 1 and 2, whatever part they are in, and no line is wider than the terminal."""
    told = Story()
    told.part("Part")
    told.step("word " * 40)
    told.part("Another")
    told.step("short")
    story.note("word " * 40)
    story.done("word " * 40)
    lines = capsys.readouterr().err.splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert [line[:3] for line in lines if line[:2].strip().isdigit()] == [" 1.", " 2."]


def test_a_command_is_shown_as_it_can_be_typed(capsys: pytest.CaptureFixture[str]) -> None:
    """A shell reads from the lines the very words; no line ends within a quoted one."""
    words = (
        "subscriber",
        "resume",
        "acme",
        "--identity",
        "it's a sentence of " + "many words " * 5,
        "--because",
        "x y",
    )
    story.show(*words)
    shown = capsys.readouterr().err
    assert shown.startswith("  $ privyseal ")
    assert shlex.split(shown.removeprefix("  $ ").replace("\\\n", " ")) == ["privyseal", *words]


def test_another_end_stops_the_story(capsys: pytest.CaptureFixture[str]) -> None:
    """What was to fail and went well stops it, as does what was to go well and failed."""
    story.call("requirement", "show", "CSBR-9.6.5-04")
    assert story.asked("requirement", "show", "CSBR-9.6.5-04")["schema"] == "privyseal/requirement/1"
    with pytest.raises(VerificationFailed, match="exit code 0 and not 3"):
        story.call("requirement", "show", "CSBR-9.6.5-04", code=3)
    with pytest.raises(BadInput, match="exit code 2"):
        story.call("requirement", "show", "NO-SUCH")


def test_a_users_own_environment_stays_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither another service's token nor a real job's gets into a command of the demo."""
    monkeypatch.setenv("PRIVYSEAL_TOKEN", "secret")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "secret")
    found = story.environment({"GITHUB_ACTIONS": "true"})
    assert "secret" not in found.values() and found["GITHUB_ACTIONS"] == "true"
