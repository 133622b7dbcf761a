"""What a terminal gets to see, and what a program."""

from __future__ import annotations

import json

import pytest

from privyseal.cli import output
from privyseal.cli.output import Output, fill, path_text, printable, shown_path


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Acme Gmbh", "Acme Gmbh"),
        ("Ünïcödé 株式会社 ✓", "Ünïcödé 株式会社 ✓"),
        ("a\x1b[31mb\r\nc\x07", "a\\x1b[31mb\\r\\nc\\x07"),
        ("exe.\u202egpj", "exe.\\u202egpj"),
        ("zero\u200bwidth\u2028line", "zero\\u200bwidth\\u2028line"),
        ("lone \udcff", "lone \\udcff"),
        ("c1 \x9b31m", "c1 \\x9b31m"),
        ("x" * 300, "x" * 199 + "…"),
    ],
)
def test_text_from_outside_cannot_act_on_a_terminal(text: str, shown: str) -> None:
    """Controls, bidi overrides and what is invisible are escaped; people's names in any script are not."""
    assert printable(text) == shown


def test_a_path_that_is_not_utf8_still_has_a_json_text() -> None:
    """Linux file names are octets; JSON holds text."""
    assert path_text("a\udcffb") == "a\\xffb"
    assert shown_path("/x/" + "y" * 250).endswith("y" * 250)


def test_json_goes_to_stdout_and_nothing_else_does(capsys: pytest.CaptureFixture[str]) -> None:
    """One object; with lines the events first and the result last; sentences about success only without JSON."""
    Output("object").event("signed", path="x")
    Output("object").say("done")
    Output("object").result({"a": 1})
    out, err = capsys.readouterr()
    assert (json.loads(out), err) == ({"a": 1}, "")
    lines = Output("lines")
    lines.event("signed", path="x")
    lines.result({"a": 1})
    lines.warn("careful")
    out, err = capsys.readouterr()
    assert [json.loads(line) for line in out.splitlines()] == [
        {"event": "signed", "path": "x"},
        {"event": "result", "a": 1},
    ]
    assert err == "careful\n"
    Output(quiet=True).say("done")
    Output().result({"a": 1})
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("tty", "environment", "wanted"),
    [
        (True, {"TERM": "xterm"}, True),
        (True, {"TERM": "xterm", "NO_COLOR": ""}, False),
        (True, {"TERM": "dumb"}, False),
        (True, {}, False),
        (True, {"TERM": "xterm", "CI": "true"}, False),
        (False, {"TERM": "xterm"}, False),
    ],
)
def test_colour_only_where_it_is_wanted(
    tty: bool, environment: dict[str, str], wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NO_COLOR, CI, TERM and a pipe each mean: plain text."""
    for name in ("TERM", "NO_COLOR", "CI"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stderr.isatty", lambda: tty, raising=False)
    assert output.colours() is wanted
    assert ("\x1b" in output.mark(True)) is wanted


def test_long_facts_are_wrapped_at_80_columns() -> None:
    """A label, then the words; a word that fits nowhere is not cut."""
    lines = fill("when", "word " * 40 + "x" * 90)
    assert lines[0].startswith("  when     word") and lines[1].startswith(" " * 11 + "word")
    assert all(len(line) <= 80 for line in lines[:-1]) and lines[-1].strip() == "x" * 90
