"""Where what becomes of Requirements is told: the one place from which a statement goes into the log.

Until statements are logged, the Subscriber's events have it. Whoever wires the log does so here: each function is
called once for what it is about, in the transaction that writes it down, with the service whose log it is for.
"""

from __future__ import annotations

from collections.abc import Sequence

from privyseal.compliance.requirement import Kind
from privyseal.records import events
from privyseal.records.database import Batch, Transaction
from privyseal.records.events import Event
from privyseal.records.findings import Kept
from privyseal.records.gates import Overridden
from privyseal.signing.instance import PrivySeal

MOST_SAID = 100
"""Changed verdicts of one walk that are told one by one; a new catalogue changes thousands at once."""


def verdicts_changed(seal: PrivySeal, batch: Batch, changed: Sequence[Kept]) -> None:
    """Tell of verdicts on Key Pairs, Subscribers and members that are others than before; first verdicts are not."""
    told = [each for each in changed if each.subscriber is not None and each.kind is not Kind.SIGNATURE]
    for each in told[:MOST_SAID]:
        with batch.item(each.subscriber or "") as tx:
            what = f"verdict {each.verdict}"
            events.record(tx, Event(each.at, "service", what, f"{each.kind} {each.subject} {each.requirement}"))


def gate_overridden(seal: PrivySeal, tx: Transaction, given: Overridden) -> None:
    """Tell that two people overrode a gate."""
    lifted = given.override
    who = " and ".join(sorted(each.approver for each in given.approvals))
    said = f"{lifted.requirement} until {lifted.until.isoformat()} by {who}"
    events.record(tx, Event(lifted.since, "service", "gate overridden", said))
