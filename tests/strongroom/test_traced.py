"""Ids that travel with a question: bounded, fit for a log, and outside of what is asked."""

from __future__ import annotations

import msgspec
import pytest

from privyseal.errors import Unavailable
from privyseal.strongroom import messages
from privyseal.strongroom.messages import (
    MOST_IDS,
    Answer,
    LogHealth,
    LogState,
    Prove,
    Question,
    Traced,
    decode_traced,
    encode,
    encode_traced,
)
from privyseal.strongroom.watched import watched

QUESTION = Prove((1, 2), 7)


def test_a_question_comes_with_the_ids_it_was_sent_with() -> None:
    """And is the same question; without ids its octets are those it always had."""
    assert decode_traced(encode_traced(QUESTION, ("Q-1", "Q-2"))) == (QUESTION, ("Q-1", "Q-2"))
    assert encode_traced(QUESTION, ()) == encode(QUESTION)
    assert decode_traced(encode(QUESTION)) == (QUESTION, ())


def test_more_ids_than_a_batch_has_are_left_out() -> None:
    """Nobody is refused a signature for the sake of a log line."""
    _, ids = decode_traced(encode_traced(QUESTION, tuple(f"Q-{number}" for number in range(MOST_IDS + 9))))
    assert len(ids) == MOST_IDS


@pytest.mark.parametrize("ids", [("a b",), ("a\nb",), ("",), ("x" * 65,), ("ä",), ("Q",) * (MOST_IDS + 1)])
def test_ids_that_could_forge_a_line_are_no_question(ids: tuple[str, ...]) -> None:
    """The guarded process does not believe that the other side checked them."""
    octets = msgspec.msgpack.encode(Traced(ids, msgspec.Raw(encode(QUESTION))))
    with pytest.raises(msgspec.ValidationError):
        decode_traced(octets)


def test_an_envelope_in_an_envelope_is_no_question() -> None:
    """One is enough; a thousand would be a way to keep a process busy."""
    once = encode_traced(QUESTION, ("Q-1",))
    with pytest.raises(msgspec.ValidationError):
        decode_traced(msgspec.msgpack.encode(Traced(("Q-1",), msgspec.Raw(once))))


def test_steps_are_measured_where_they_are_asked() -> None:
    """Also one that fails; a question that is no step of a walk is not told."""
    told: list[tuple[str, int]] = []

    def ask(question: Question) -> Answer:
        if isinstance(question, Prove):
            raise Unavailable("Gone.")
        return LogState(1, "origin", "vkey")

    asking = watched(ask, lambda name, items, seconds: told.append((name, items)) if seconds >= 0 else None)
    assert asking(LogHealth()) == LogState(1, "origin", "vkey")
    with pytest.raises(Unavailable):
        asking(QUESTION)
    assert told == [("prove", 2)]
    assert messages.decode_question(encode(QUESTION)) == QUESTION
