"""The overview: who one is here, what to do next, what waits, what is frozen, what ends soon."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from datetime import datetime, timedelta

import msgspec

from privyseal.compliance.outcome import Verdict
from privyseal.errors import PrivySealError
from privyseal.pki import certificates
from privyseal.records import findings, freezes, keys, parties
from privyseal.records.database import Transaction
from privyseal.signing import people, stamped
from privyseal.strongroom.messages_of_stamps import StamperState
from privyseal.terms.agreements import PaperKind
from privyseal.terms.keys import KeyPair
from privyseal.terms.parties import Role
from privyseal.web.console import asked, papers
from privyseal.web.console.frozen import words
from privyseal.web.console.visit import Reply, Visit

SOON = timedelta(days=30)
"""How long before its end a certificate is called to attention."""
WORDS = {
    Verdict.NOT_MET: "not met",
    Verdict.NOT_EVIDENCED: "not evidenced",
    Verdict.JUDGEMENT: "for a person to judge",
    Verdict.MET: "met",
}
"""How the line of findings calls verdicts, the weightiest first; that all are met is nobody's to say here."""


class Todo(msgspec.Struct, frozen=True):
    """Something to do next, and where."""

    what: str
    path: str
    button: str


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A Key Pair with the end of its newest certificate."""

    pair: KeyPair
    until: str
    soon: bool


def home(visit: Visit) -> Reply:
    """Greet, and say what there is to do."""
    session, now = visit.signed_in, visit.seal.clock()
    known = people.means(visit.seal, session.member)
    with visit.seal.records.reading(session.member.subscriber) as tx:
        waiting = asked.for_me(tx, session.member.id, {}) if visit.may("approve") else []
        unaccepted = _unaccepted(tx) if visit.may("accept-agreement") else []
        pairs = keys.key_pairs_of(tx) if visit.may("see-keys") else []
        held = [_held(tx, pair, now + SOON) for pair in pairs]
        names = parties.names(tx)
        frozen = [words(each, names) for each in freezes.holding(tx)]
        counts = _counts(tx) if visit.may("see-findings") else []
    todo = []
    if not known.second:
        todo.append(Todo("You have no second factor. Without one you cannot approve, freeze or administer.",
                         "/console/security", "Enrol a passkey"))  # fmt: skip
    if unaccepted:
        named = ", ".join(papers.CALLED[each] for each in unaccepted)
        what = f"Read and accept what your organisation promises: {named}."
        todo.append(Todo(what, "/console/agreements", "Read the agreements"))
    if Role.APPROVER in session.member.roles and known.usable and not _in_a_charter(pairs, session.member.id):
        what = "Have your passkey put into the charter of a key, so that you can approve with it."
        todo.append(Todo(what, "/console/approver-key", "Show my approver key"))
    shows = {"known": known, "me": session, "todo": todo, "waiting": waiting, "held": held, "frozen": frozen}
    shows |= {"counts": counts, "stamper": _stamper(visit), "reminders": _reminders(visit, now)}
    return Reply("home.html", shows)


def _stamper(visit: Visit) -> StamperState | None:
    """Return how the Timestamp Authority stands: to everybody where it gives no time, to the operator's members always.

    None where it does not answer, of which the readiness tells, or where there is nothing to say.
    """
    with suppress(PrivySealError):
        state: object = visit.seal.stamper.health()
        ours = visit.signed_in.member.subscriber == visit.seal.service.operator
        if isinstance(state, StamperState) and (ours or not state.ready):
            return state
    return None


def _reminders(visit: Visit, now: datetime) -> tuple[str, ...]:
    """Say to the operator's members what is to be done with timestamp keys."""
    if visit.signed_in.member.subscriber != visit.seal.service.operator:
        return ()
    with visit.seal.records.reading_all_subscribers() as connection:
        return stamped.reminders(visit.seal.stated.known_of_all_subscribers(connection), now)


def _unaccepted(tx: Transaction) -> list[PaperKind]:
    in_force = papers.accepted(tx)
    newest = papers.newest(tx)
    return [kind for kind, version in newest.items() if kind not in in_force or in_force[kind].sha256 != version.sha256]


def _held(tx: Transaction, pair: KeyPair, soon: datetime) -> Held:
    chains = keys.certificate_chains_of(tx, pair.key_id)
    if not chains:
        return Held(pair=pair, until="", soon=True)
    end = certificates.read(chains[0][0]).not_after
    return Held(pair=pair, until=f"{end:%Y-%m-%d}", soon=end <= soon)


def _counts(tx: Transaction) -> list[str]:
    found = Counter(each.verdict for each in findings.current(tx.connection, tx.subscriber))
    return [f"{found[verdict]} {words}" for verdict, words in WORDS.items() if found[verdict]]


def _in_a_charter(pairs: list[KeyPair], member: str) -> bool:
    return any(each.member == member for pair in pairs for each in pair.approvers)
