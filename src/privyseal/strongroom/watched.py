"""How long the guarded processes take for each step of a walk, measured where they are asked."""

from __future__ import annotations

import time
from collections.abc import Callable

from privyseal.strongroom.client import Ask
from privyseal.strongroom.messages import Answer, Append, Prove, Question, SignBatch
from privyseal.strongroom.messages_of_stamps import Reply, Stamp
from privyseal.tlog.entry import IntentSubmission, StatementSubmission

Tell = Callable[[str, int, float], None]
"""Is told a step's name, how many items it was for, and the seconds it took, whether it went well or not."""


def watched(ask: Ask, tell: Tell) -> Ask:
    """Return ``ask``, telling of each question that is a step of a walk."""

    def asked(question: Question) -> Answer:
        name, items = step(question)
        began = time.monotonic()
        try:
            return ask(question)
        finally:
            if name:
                tell(name, items, time.monotonic() - began)

    return asked


def step(question: Question) -> tuple[str, int]:
    """Return the step that a question is, and its items; no name for what is none."""
    if isinstance(question, Append):
        kinds = {type(each) for each in question.submissions}
        name = "complete"
        if StatementSubmission in kinds:
            name = "log statements"
        elif IntentSubmission in kinds:
            name = "log intents"
        return name, len(question.submissions)
    if isinstance(question, SignBatch):
        return "sign", len(question.items)
    if isinstance(question, Stamp):
        return "timestamp", len(question.digests)
    if isinstance(question, Reply):
        return "reply", len(question.requests)
    if isinstance(question, Prove):
        return "prove", len(question.indexes)
    return "", 0
