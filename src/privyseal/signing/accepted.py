"""What statements on papers, accounts and certificates show: commitments, documents, named people's words. Pure.

An accepted paper counts as a document of its kind for the requirements that its clauses answer, and a person still has
to judge it, as any document. A commitment counts as what it is: accepted by whom, on which day. A review of accounts is
itself a named person's word, and speaks for three months; what leavers show, the times alone say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime

from privyseal.compliance import spans
from privyseal.compliance.clocks_networks import ACCESS_REVIEW_MONTHS, ANSWER
from privyseal.compliance.held import Held, Review
from privyseal.compliance.statements import Stated
from privyseal.compliance.statements_of_certificates import CertificateAccepted, RevocationAsked
from privyseal.compliance.statements_of_parties import Accepted, AccountsReviewed, Left
from privyseal.compliance.subjects import CertificateStatus, Commitment
from privyseal.terms.agreements import EVIDENCE, PaperKind

REVIEWED, LEFT = "NSR-2.2.1.4-01", "NSR-2.2.1.3-01"
About = tuple[str, Held]
"""Of whom or what a document speaks, and the document."""


def commitments(stated: Sequence[Stated]) -> dict[str, tuple[Commitment, ...]]:
    """Return what each Subscriber has committed itself to: what the version in force has, since it was first accepted.

    What a later version no longer has is committed no longer.
    """
    found: dict[str, dict[str, Commitment]] = {}
    for each in stated:
        matter = each.said.matter
        if isinstance(matter, Accepted) and matter.kind is PaperKind.COMMITMENTS:
            before = found.get(each.said.subscriber, {})
            who = f"{matter.representative.name} ({matter.representative.title})"
            found[each.said.subscriber] = {
                answered: before.get(answered) or Commitment(requirement=answered, accepted=each.said.at, by=who)
                for answered in matter.answers
            }
    return {name: tuple(each.values()) for name, each in found.items()}


def certificates(stated: Sequence[Stated]) -> dict[str, datetime]:
    """Return when each certificate was accepted first, by its fingerprint (CSBR 9.6.3)."""
    found: dict[str, datetime] = {}
    for each in stated:
        if isinstance(each.said.matter, CertificateAccepted):
            found.setdefault(each.said.matter.fingerprint, each.said.at)
    return found


def statuses(stated: Iterable[Stated]) -> dict[str, CertificateStatus]:
    """Return of which certificates a CA said that it has revoked them, by fingerprint, given the last of each slot.

    Such a word has no end, for nobody takes a revocation back (CSBR 4.9.13).
    """
    asked = [(each.said.matter, each.said.at) for each in stated if isinstance(each.said.matter, RevocationAsked)]
    return {
        each.fingerprint: CertificateStatus(said_at=at, good_until=at, revoked_at=each.since)
        for each, at in asked
        if each.since is not None
    }


def papers(stated: Sequence[Stated]) -> list[About]:
    """Return the papers in force as documents; commitments are known as what they are, and not once more as these."""
    newest = {(each.said.subscriber, each.said.matter.slot): each for each in stated}
    return [
        (
            matter.about,
            Held(
                kind=EVIDENCE[matter.kind],
                sha256=matter.sha256,
                issuer=matter.representative.name,
                valid_from=each.said.at.astimezone(UTC).date(),
                clauses=matter.answers,
            ),
        )
        for each in newest.values()
        if isinstance(matter := each.said.matter, Accepted)
        and matter.kind is not PaperKind.COMMITMENTS
        and matter.answers  # a document for no requirement in particular would be one for all that want its kind
    ]


def accounts(stated: Sequence[Stated]) -> list[About]:
    """Return reviews of accounts, and what became of those of leavers, as records with the verdict that they show."""
    left: dict[str, list[Stated]] = {}
    found: list[About] = []
    for each in stated:
        matter = each.said.matter
        if isinstance(matter, AccountsReviewed):
            found += [(matter.about, record) for record in _reviewed(each, matter)]
        elif isinstance(matter, Left):
            left.setdefault(matter.about, []).append(each)
    return found + [(about, _left(some)) for about, some in left.items()]


def _reviewed(stated: Stated, matter: AccountsReviewed) -> list[Held]:
    """Return the log's entry and the dated record that it is of: the requirement wants both kinds."""
    words = f"{matter.accounts} accounts were looked through on {matter.on}"
    return [
        Held(
            kind=kind,
            sha256=_digest(stated),
            issuer=matter.reviewer,
            valid_from=matter.on,
            valid_until=spans.months_later(matter.on, ACCESS_REVIEW_MONTHS),
            clauses=(REVIEWED,),
            reviews=(Review(requirement=REVIEWED, verdict="met", who=matter.reviewer, at=stated.said.at, why=words),),
        )
        for kind in ("log:access-review", "review-record")
    ]


def _left(some: Sequence[Stated]) -> Held:
    """Return one record of all leavers: one who was let in for too long is not made good by the next one."""
    last = some[-1]
    matters = [each.said.matter for each in some if isinstance(each.said.matter, Left)]
    late = [each for each in matters if each.ended - each.left > ANSWER]
    words = f"of {len(matters)} who left, the access of {len(late)} ended after more than 24 hours"
    if not late:
        words = f"the access of all {len(matters)} who left ended within 24 hours"
    review = Review(
        requirement=LEFT,
        verdict="not-met" if late else "met",
        who=f"The log's record of {_day(last)}",
        at=last.said.at,
        why=words,
    )
    return Held(kind="log:leaver", sha256=_digest(last), clauses=(LEFT,), reviews=(review,))


def _day(stated: Stated) -> date:
    return stated.said.at.astimezone(UTC).date()


def _digest(stated: Stated) -> str:
    return hashlib.sha256(stated.octets).hexdigest()
