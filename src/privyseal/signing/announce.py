"""Where what becomes of Requirements is told: the one place from which the service's own statements come.

Each function is called once for what it is about, in the transaction that writes it down; ``paper.finish`` then has the
statement logged.
"""

from __future__ import annotations

from collections.abc import Sequence

from privyseal.compliance.gates import Overridden
from privyseal.compliance.requirement import Kind
from privyseal.compliance.statements import Administered, Own
from privyseal.compliance.statements_of_verdicts import Found, Override
from privyseal.records import events
from privyseal.records.database import Batch, Transaction
from privyseal.records.events import Event
from privyseal.records.findings import Kept
from privyseal.signing import paper
from privyseal.signing.instance import PrivySeal

LONGEST_TEXT = 2000
"""Characters of a finding's sentence that go into its statement, as ``statements_of_verdicts.Found`` has it."""
LONGEST_SUBJECT = 200
"""Characters of a subject's label that go into it."""


def verdicts_changed(seal: PrivySeal, batch: Batch, changed: Sequence[Kept]) -> None:
    """State which verdicts are others than before; first verdicts are not, and signatures are only counted.

    Of the service itself its operator's Subscriber states them; where there is none, the findings alone have it.
    """
    for each in changed:
        owner = each.subscriber or seal.service.operator
        if owner is None or each.kind is Kind.SIGNATURE:
            continue
        with batch.item(owner) as tx:
            what = f"verdict {each.verdict}"
            events.record(tx, Event(each.at, paper.SERVICE, what, f"{each.kind} {each.subject} {each.requirement}"))
            found = Found(
                kind=each.kind,
                subject=each.subject[:LONGEST_SUBJECT],
                requirement=each.requirement,
                verdict=each.verdict,
                text=each.text[:LONGEST_TEXT],
            )
            paper.note(tx, seal, found)


def gate_overridden(seal: PrivySeal, tx: Transaction, given: Overridden) -> None:
    """State that two people overrode a gate."""
    lifted = given.override
    people = sorted({each.approver for each in given.approvals})
    said = f"{lifted.requirement} until {lifted.until.isoformat()} by {' and '.join(people)}"
    events.record(tx, Event(lifted.since, paper.SERVICE, "gate overridden", said))
    paper.note(
        tx,
        seal,
        Override(
            requirement=lifted.requirement,
            subject=f"subscriber:{tx.subscriber}",
            since=lifted.since,
            until=lifted.until,
            approvers=tuple(people),
            note=lifted.reason,
        ),
    )


def administered(seal: PrivySeal, tx: Transaction, act: Administered) -> None:
    """State an administrative act, in the transaction that carries it out.

    Who does it first and last calls this exactly once for an act; nothing of it counts if the transaction is lost.
    """
    events.record(tx, Event(seal.clock(), act.actor, act.what, act.subject))
    paper.note(tx, seal, act)


def stated(seal: PrivySeal, tx: Transaction, event: Event, own: Own) -> None:
    """State something of a party that is evidence in itself, with the event that tells who did it.

    It is an administrative act like those of :func:`administered`, and has its entry in the log instead of one of
    these, not beside it.
    """
    events.record(tx, event)
    paper.note(tx, seal, own)
