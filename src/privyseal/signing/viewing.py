"""What auditors look at: each view is an event of the records, and the first of a day is stated in the log.

An auditor sees everything and changes nothing, so what is left to be wrong is what was looked at. A view that cannot be
written down is not given. The log has one statement for an auditor and day (UTC), for a leaf for each page would tell
more about the auditor's work than about ours (ADR 0041).
"""

from __future__ import annotations

from privyseal.compliance.statements import Administered
from privyseal.records import events
from privyseal.records.events import Event
from privyseal.signing import announce
from privyseal.signing.instance import PrivySeal
from privyseal.terms.parties import Actor, Role

VIEWED = "viewed"
"""What the events say; their subject is the path."""
LONGEST_PATH = 300
"""Characters of a path that are kept."""


def is_watched(actor: Actor) -> bool:
    """Tell whether what somebody reads is written down."""
    return Role.AUDITOR in actor.member.roles


def seen(seal: PrivySeal, actor: Actor, subscriber: str, path: str) -> None:
    """Write down that an auditor is about to be shown something; Unavailable where that cannot be."""
    now, who = seal.clock(), actor.member.id
    day = f"{who} on {now:%Y-%m-%d}"
    with seal.records.writing(subscriber) as tx:
        events.record(tx, Event(now, who, VIEWED, path[:LONGEST_PATH]))
        if not events.events_about(tx, day):
            announce.administered(seal, tx, Administered(actor=who, what="auditor looked", subject=day))
