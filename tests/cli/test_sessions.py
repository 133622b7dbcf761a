"""Every session beside this file is played, each in a folder of its own with the same small world in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.sessions import Step, complaint, parse, play

SESSIONS = sorted(Path(__file__).parent.glob("*.txt"))


@pytest.mark.parametrize("session", SESSIONS, ids=lambda path: path.stem)
def test_session(session: Path, request: pytest.FixtureRequest) -> None:
    """What one types is answered as the session says; those called service-... have a service to talk to."""
    shell = request.getfixturevalue("service_shell" if session.stem.startswith("service-") else "shell")
    folder, environment = shell
    play(session, folder, environment)


def test_there_are_sessions() -> None:
    """A pattern that finds nothing would pass."""
    assert len(SESSIONS) >= 4


def test_the_player_itself_can_fail() -> None:
    """Each expectation of a step, unmet, is a complaint."""
    step = parse("# s\n$ x\n? 3\n1> a+\n2> b\n2> c\n2! d\n")[0]
    assert (step.about, step.command, step.code) == ("s", "x", 3)
    assert complaint(step, 3, "aaa\n", "xb\n\ncc\n") is None
    assert complaint(step, 0, "aaa\n", "xb\ncc\n") == "exit code 3 was expected"
    assert "lines on stdout" in (complaint(step, 3, "", "b\nc\n") or "")
    assert "does not match" in (complaint(step, 3, "ab\n", "b\nc\n") or "")
    assert "missing" in (complaint(step, 3, "a\n", "c\nb\n") or "")
    assert "must not be" in (complaint(step, 3, "a\n", "b\nc\nd\n") or "")
    assert "traceback" in (complaint(Step(1, "", ""), 1, "", "Traceback (most recent call last):\n") or "")
    assert "200 columns" in (complaint(Step(1, "", ""), 0, "", "x" * 201) or "")
    with pytest.raises(ValueError, match="line 2"):
        parse("$ x\n3> y\n")
