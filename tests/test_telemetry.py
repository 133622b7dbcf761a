"""Log lines: known fields only, one line an event, no value that forges another, no exception's text."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from privyseal import telemetry
from privyseal.telemetry import CALLS, Call, Facts, tell

CANARY = "canary-7f3a"


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Set the log up as a process does, and put back what that changed."""
    root, ours = logging.getLogger(), logging.getLogger("privyseal")
    handlers, level, own = root.handlers[:], root.level, ours.level
    stream = io.StringIO()
    monkeypatch.setattr("sys.excepthook", telemetry.sys.excepthook)
    monkeypatch.setattr("threading.excepthook", telemetry.threading.excepthook)
    telemetry.set_up("serve", "json", "info", stream)
    yield stream
    logging.captureWarnings(False)
    logging.raiseExceptions = True
    root.handlers[:] = handlers
    root.setLevel(level)
    ours.setLevel(own)


def read(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_line_of_json_with_its_time_in_utc(lines: io.StringIO) -> None:
    """Whatever its values hold, it is one line, and what is not known is not there."""
    tell("request", Facts(request_id="Q-1", status=201, detail='a "quoted"\nline', duration_ms=1.5))
    (line,) = read(lines)
    assert datetime.fromisoformat(line.pop("time")).utcoffset() is not None
    assert line == {
        "level": "info", "process": "serve", "event": "request", "request_id": "Q-1", "status": 201,
        "detail": 'a "quoted"\nline', "duration_ms": 1.5,
    }  # fmt: skip


def test_text_is_one_line_too(lines: io.StringIO) -> None:
    """Neither a newline nor an escape sequence of a terminal comes through."""
    telemetry.set_up("signer", "text", "info", lines)
    tell("note", Facts(detail="one\ntwo\x1b[31m", request_ids=("Q-1", "Q-2")))
    (line,) = lines.getvalue().splitlines()
    assert line.endswith(r"privyseal signer: INFO note: one\x0atwo\x1b[31m request_ids=Q-1,Q-2")


def test_what_is_below_the_level_is_not_told(lines: io.StringIO) -> None:
    """And libraries are heard from warnings on, at every level of ours."""
    tell("quiet", Facts(), logging.DEBUG)
    logging.getLogger("uvicorn.error").info("Started")
    assert lines.getvalue() == ""


def test_of_a_library_only_the_place_is_told(lines: io.StringIO) -> None:
    """Its text, its arguments and its exception's text may hold what somebody sent."""
    other = logging.getLogger("somebody.else")
    other.warning("token %s", CANARY)
    other.error(f"token {CANARY}")
    try:
        raise ValueError(CANARY)
    except ValueError:
        other.exception("it failed with %s", CANARY)
    warnings.showwarning(UserWarning(CANARY), UserWarning, "library.py", 1)
    assert CANARY not in lines.getvalue()
    found = read(lines)
    assert [each["event"] for each in found] == ["library somebody.else"] * 3 + ["library py.warnings"]
    assert found[2]["where"].startswith("ValueError at test_telemetry.py")


def test_what_nobody_caught_tells_its_class_and_its_way(lines: io.StringIO) -> None:
    """Through the hooks of the process and of its threads."""
    try:
        raise RuntimeError(CANARY) from KeyError(CANARY)
    except RuntimeError as error:
        telemetry.sys.excepthook(type(error), error, error.__traceback__)
    (line,) = read(lines)
    assert (line["event"], line["level"]) == ("uncaught", "error")
    assert line["where"].startswith("RuntimeError at ") and "because of KeyError" in line["where"]
    assert CANARY not in lines.getvalue()


def test_a_field_that_is_not_known_cannot_be_logged() -> None:
    """The list of fields is the redaction: a token has none to stand in."""
    with pytest.raises(TypeError):
        Facts(token=CANARY)  # type: ignore[call-arg]
    assert not set(Facts.__struct_fields__) & {
        "token",
        "passphrase",
        "pin",
        "salt",
        "headers",
        "body",
        "path",
        "message",
    }


@pytest.mark.parametrize(
    ("given", "parent", "expected"),
    [
        ("build-42.a_B", None, "build-42.a_B"),
        ("", f"00-{'a' * 32}-{'b' * 16}-01", "a" * 32),
        ("x" * 64, None, "x" * 64),
        ("mine", f"00-{'a' * 32}-{'b' * 16}-01", "mine"),
    ],
)
def test_a_caller_s_id_is_taken_where_it_is_fit(given: str, parent: str | None, expected: str) -> None:
    """The caller's own before the trace's."""
    assert telemetry.request_id(given, parent) == expected


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a\n", "ä", '"'])
def test_an_id_that_could_forge_a_line_is_replaced(given: str) -> None:
    """By one of ours."""
    assert telemetry.request_id(given, None).startswith("Q-")


@pytest.mark.parametrize(
    "given",
    ["", "00", f"01-{'a' * 32}-{'b' * 16}-01", f"00-{'0' * 32}-{'b' * 16}-01", f"00-{'a' * 32}-{'0' * 16}-01",
     f"00-{'A' * 32}-{'b' * 16}-01", f"00-{'a' * 32}-{'b' * 16}-01-x"],
)  # fmt: skip
def test_a_traceparent_that_is_none_is_not_one(given: str) -> None:
    """W3C Trace Context 3.2: version 00, lower-case hex, neither id all zeros."""
    assert telemetry.traceparent(given) is None


def test_whoever_works_knows_for_whom() -> None:
    """The ids of the present calls, in order; none outside of any."""
    assert telemetry.ids() == ()
    mine = CALLS.set((Call("Q-1"), Call("Q-2")))
    assert telemetry.ids() == ("Q-1", "Q-2")
    CALLS.reset(mine)
