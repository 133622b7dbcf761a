"""What the service knows beside its records: what people stated, as far as the log has it, for evaluations and gates.

Commitments that a representative accepted, papers, leavers and reviews of accounts come from what the service states of
its parties (``accepted.py``); that a certificate was accepted, or revoked, from what it states of certificates. What
nobody stated is unknown, and unknown is never met. Whoever keeps such statements fills them in here, and nowhere else.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import UTC, datetime, time

import msgspec
from sqlalchemy import Connection

from privyseal.compliance.held import Held, Review
from privyseal.compliance.incidents import believed
from privyseal.compliance.known import NOTHING, Known, of_key
from privyseal.compliance.modules import Validation
from privyseal.compliance.statements import AuditPeriod, Choice, Document, ModuleCertificate, Stated
from privyseal.compliance.statements import Review as Reviewed
from privyseal.compliance.statements_of_backups import BackupAllowed
from privyseal.compliance.statements_of_clouds import CloudReconciled
from privyseal.compliance.statements_of_keys import KeyAttested
from privyseal.records import incidents, statements
from privyseal.signing import accepted, declared_authority, stamped

TOPICS = (
    "evidence",
    "review",
    "declaration",
    "choice",
    "agreement",
    "access",
    "party",
    "notice",
    "key",
    "certificate",
    "clock",
    "timestamp",
)
"""Topics of all that is taken into account."""


class Memory:
    """All that was stated, read again only when there is more: a gate asks before each batch of signatures."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._mark = ((0, 0), (0, 0))
        self._known = NOTHING

    def known_of_all_subscribers(self, connection: Connection) -> Known:
        """Return all that was stated, read through a transaction that looks across Subscribers."""
        mark = (statements.extent_of_all_subscribers(connection), incidents.extent_of_all_subscribers(connection))
        with self._guard:
            if mark == self._mark:
                return self._known
        known = known_from(statements.stated_of_all_subscribers(connection, TOPICS))
        cases = [each.case for each in incidents.cases_of_all_subscribers(connection)]
        known = msgspec.structs.replace(known, believed=believed(cases))
        with self._guard:
            self._mark, self._known = mark, known
        return known


def known_from(stated: Iterable[Stated]) -> Known:
    """Return what statements make known, given in the order of the log: of each slot the last one counts.

    A review counts for the document of the same Subscriber: nobody judges what others handed in.
    """
    listed = list(stated)
    last = {(each.said.subscriber, each.said.matter.slot): each for each in listed}
    reviews: dict[tuple[str, str], list[Review]] = {}
    for each in last.values():
        matter = each.said.matter
        if isinstance(matter, Reviewed):
            review = Review(
                requirement=matter.requirement,
                verdict=matter.verdict,
                who=each.said.by,
                at=each.said.at,
                why=matter.note,
            )
            reviews.setdefault((each.said.subscriber, matter.document), []).append(review)
    held: dict[str, tuple[Held, ...]] = {}
    choices: dict[str, str] = {}
    periods: list[tuple[datetime, datetime]] = []
    for each in last.values():
        matter = each.said.matter
        if isinstance(matter, Document):
            mine = tuple(reviews.get((each.said.subscriber, matter.sha256), ()))
            held[matter.about] = (*held.get(matter.about, ()), _held(matter, mine))
        elif isinstance(matter, Choice):
            choices[matter.requirement] = matter.reading
        elif isinstance(matter, AuditPeriod) and matter.of is msgspec.UNSET:
            first = datetime.combine(matter.start, time(), UTC)
            periods.append((first, datetime.combine(matter.end, time(23, 59, 59), UTC)))
    attested = _attested(last.values())
    for each_attested in attested.values():
        if each_attested.module is not None:
            about = of_key(each_attested.key_id)
            held[about] = (*held.get(about, ()), _attestation(each_attested))
    for about, record in accepted.papers(listed) + accepted.accounts(listed) + stamped.records(listed):
        held[about] = (*held.get(about, ()), record)
    for about, record in declared_authority.records(list(last.values())):
        held[about] = (*held.get(about, ()), record)
    return Known(
        held=held,
        choices=choices,
        audit_periods=tuple(sorted(periods)),
        commitments=accepted.commitments(listed),
        accepted=accepted.certificates(listed),
        status=accepted.statuses(last.values()),
        attested=attested,
        clouds=tuple(each.said.matter for each in last.values() if isinstance(each.said.matter, CloudReconciled)),
        modules=_modules(last.values()),
        copies_allowed=_copies_allowed(last.values()),
        timestamp_keys=stamped.keys(last.values()),
        timestamp_keys_removed=stamped.removed(listed),
        authority_audits=declared_authority.audits(last.values()),
    )


def _copies_allowed(last: Iterable[Stated]) -> frozenset[str]:
    """Return the key ids of keys that may be copied: what their own Subscriber said last."""
    said = [each.said.matter for each in last if isinstance(each.said.matter, BackupAllowed)]
    return frozenset(each.key_id for each in said if each.allowed)


def _attested(last: Iterable[Stated]) -> dict[str, KeyAttested]:
    """Return what modules attested, by key id."""
    return {each.said.matter.key_id: each.said.matter for each in last if isinstance(each.said.matter, KeyAttested)}


def _attestation(stated: KeyAttested) -> Held:
    """Return an attestation that was verified as the document it is: the files are kept by their SHA-256."""
    module = stated.module
    maker = "" if module is None else module.maker
    if module is not None and module.root != "maker":
        maker = f"{maker} by the operator's word"
    return Held(kind="key-attestation", sha256=stated.evidence[0], issuer=maker, valid_from=stated.as_of.date())


def _modules(last: Iterable[Stated]) -> tuple[Validation, ...]:
    """Return the register of modules: what was declared of their certificates with versions and history."""
    declared = [each.said.matter for each in last if isinstance(each.said.matter, ModuleCertificate)]
    return tuple(each.validation for each in declared if isinstance(each.validation, Validation))


def _held(document: Document, reviews: tuple[Review, ...]) -> Held:
    return Held(
        kind=document.kind,
        sha256=document.sha256,
        issuer=document.issuer,
        valid_from=document.valid_from,
        valid_until=document.valid_until,
        clauses=document.requirements,
        reviews=reviews,
    )
