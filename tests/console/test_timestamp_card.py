"""The overview says how the Timestamp Authority's clock stands, and in red why it gives no time."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from privyseal.errors import TimestampUnavailable
from privyseal.strongroom.messages_of_stamps import LostLeaves, StamperState
from privyseal.timestamp.clock import ClockState, SourceState
from privyseal.web.console import overview
from privyseal.web.console.mount import environment

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
SOURCES = (SourceState("a.example", 0.002, 1, ""), SourceState("b.example", 7.1, 2, "It disagrees."),
           SourceState("<c>", None, None, "It did not answer."))  # fmt: skip


def a_state(clock: ClockState | None, why: str = "") -> StamperState:
    return StamperState(not why, why, "CN=TSA", NOW, (), clock, NOW)


def page(state: StamperState | None, *reminders: str) -> str:
    """Return the block of the overview, as anybody would be shown it."""
    member = SimpleNamespace(name="Ada", subscriber="demo", roles=())
    session = SimpleNamespace(member=member, factors=("passkey",), said="", proved_at=None)
    shows: dict[str, Any] = dict.fromkeys(("todo", "waiting", "held", "frozen", "counts"), ())
    template = environment().get_template("home.html")
    context = template.new_context(shows | {"me": session, "stamper": state, "reminders": reminders})
    return "".join(template.blocks["main"](context))


def test_a_clock_that_is_believed() -> None:
    clock = ClockState(standing="agreed", offset=0.0021, drift_ppm=-3.25, agreed_at=NOW, leap="insert", sources=SOURCES)
    shown = page(a_state(clock))
    for words in ("time servers agree, +0.002 s off, drift -3.2 ppm", "It disagrees.", "&lt;c&gt;", "Leap second"):
        assert words in shown, shown
    assert "No timestamps are given" not in shown and "2026-11-30 12:00 UTC" in shown


@pytest.mark.parametrize("standing", ["refusing", "holding", "unwatched"])
def test_every_standing_has_words(standing: Any) -> None:
    why = "The clock is 60 min ahead of the time servers." if standing == "refusing" else ""
    shown = page(a_state(ClockState(standing=standing, why=why), why))
    assert ("No timestamps are given: The clock is 60 min ahead" in shown) == bool(why)
    assert "Timestamps" not in page(None)


def test_books_that_were_put_back_are_told() -> None:
    lost = LostLeaves(2, 40, 3, 40, "20261130120000Z", "20261130140000Z")
    shown = page(msgspec.structs.replace(a_state(None), lost=(lost,)))
    assert "leaves of tokens from 20261130120000Z to 20261130140000Z may be lost" in shown
    assert "put back" not in page(a_state(None))


def test_a_key_that_ends_is_told_in_the_card() -> None:
    shown = page(a_state(None), "Make a new timestamp key: <aa> signs until 2026-06-01.")
    assert '<p class="notice">Make a new timestamp key: &lt;aa&gt; signs until 2026-06-01.</p>' in shown


@pytest.mark.parametrize(("subscriber", "ready", "shown"), [
    ("demo", True, True), ("other", True, False), ("other", False, True), ("demo", False, True),
])  # fmt: skip
def test_who_is_shown_it(subscriber: str, ready: bool, shown: bool) -> None:
    """The operator's members always; everybody else where no time is given; nobody where the stamper is silent."""
    state = a_state(None, "" if ready else "No.")

    def visit(health: Any) -> Any:
        service = SimpleNamespace(operator="demo")
        member = SimpleNamespace(subscriber=subscriber)
        seal = SimpleNamespace(service=service, stamper=SimpleNamespace(health=health))
        return SimpleNamespace(seal=seal, signed_in=SimpleNamespace(member=member))

    def silent() -> StamperState:
        raise TimestampUnavailable("It is away.")

    assert (overview._stamper(visit(lambda: state)) is not None) == shown
    assert overview._stamper(visit(silent)) is None
