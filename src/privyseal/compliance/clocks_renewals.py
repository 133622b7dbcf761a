"""The clocks of certificates that end: the next one is here before (CSBR 9.6.3: nothing is signed after the end)."""

from __future__ import annotations

from collections.abc import Iterator

from privyseal.compliance.due import Clock
from privyseal.compliance.duty_facts import DutyFacts
from privyseal.compliance.renewal import ASK_BEFORE
from privyseal.compliance.requirement import Nature


def of_renewals(facts: DutyFacts) -> Iterator[Clock]:
    """Yield until when the next certificate of each key has to be here; when to ask is a house rule."""
    for each in facts.renewals:
        yield Clock(
            requirement="CSBR-9.6.3-11",
            what="have the next certificate before this one ends",
            whom=each.key,
            nature=Nature.HOUSE_RULE,
            starts=each.begins_at,
            warning=None if each.ends_at is None else each.ends_at - ASK_BEFORE,
            due=each.ends_at,
            done=each.renewed_at,
            note="" if each.certificate is None else f"It is {each.certificate}.",
            unknown="It is not known when the certificate ends.",
            permission=True,
        )
