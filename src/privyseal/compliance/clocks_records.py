"""The clocks of what may serve again and of what has to stay: proofs and records (CSBR 4.2.1, 5.4.3).

Proof of the kinds numbered 4, 5 and 7 may serve again for 13 months after its validation, its last day included. That
is a permission: its end breaks nothing, and an issuance after it does. Records stay for two years after what they are
about has ended; before that, nothing may delete them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from privyseal.compliance import spans
from privyseal.compliance.due import Clock, Due, State, read, shown
from privyseal.compliance.duty_facts import DutyFacts, KeyProof, Proof, Record, RecordOf
from privyseal.compliance.requirement import Nature

REUSE_MONTHS = 13
"""CSBR 4.2.1."""
MODULE_WARNING = timedelta(days=180)
"""House rule: keys have to be made anew in another module, and new certificates asked for."""
REUSE_WARNING = timedelta(days=30)
"""House rule."""
KEPT_MONTHS = 24
"""CSBR 5.4.3: two years at least."""

KEPT_BY: dict[RecordOf, str] = {
    RecordOf.CA_KEY: "CSBR-5.4.3-01",
    RecordOf.SUBSCRIBER_CERTIFICATE: "CSBR-5.4.3-02",
    RecordOf.TIMESTAMP_KEY: "CSBR-5.4.3-03",
    RecordOf.SECURITY_EVENT: "CSBR-5.4.3-04",
    RecordOf.SIGNING_KEY: "HOUSE-5.4.3-01",
}
"""Which entry has a record kept."""


def of_proofs(facts: DutyFacts) -> Iterator[Clock]:
    """Yield the clocks of proofs that may serve again."""
    for proof in facts.proofs:
        if proof.method is not Proof.OTHER:
            yield _proof(proof, printed=facts.choices.get("CSBR-4.2.1-04") == "printed")


def _proof(proof: KeyProof, *, printed: bool) -> Clock:
    validated, used = proof.validated_on, proof.last_issued_on
    last = None if validated is None else spans.months_later(validated, REUSE_MONTHS)
    if printed:
        return Clock(
            requirement="CSBR-4.2.1-04",
            what="validate key protection anew",
            whom=f"{proof.subscriber} ({proof.method})",
            nature=Nature.INTERPRETATION,
            unknown="By the reading that was chosen this kind of proof never serves again: validate it for each key.",
        )
    late = last is not None and used is not None and used > last
    return Clock(
        requirement="CSBR-4.2.1-04",
        what="validate key protection anew",
        whom=f"{proof.subscriber} ({proof.method})",
        nature=Nature.INTERPRETATION,
        starts=None if validated is None else spans.beginning(validated),
        warning=None if last is None else spans.beginning(last - REUSE_WARNING),
        due=None if last is None else spans.end(last),
        done=spans.end(used) if used is not None and late else None,
        note=f"A certificate of {used} relied on it." if late else "No later certificate may rely on it.",
        unknown="It is not known when it was validated, so it may not serve again.",
        permission=True,
    )


def of_modules(facts: DutyFacts) -> Iterator[Clock]:
    """Yield until when the certificates of modules show their level; that they end is an interpretation."""
    for each in facts.modules:
        held, last = each.held_since, each.valid_until
        yield Clock(
            requirement="CSBR-6.2.7.3-04",
            what="have the module's level shown by a newer certificate",
            whom=f"{each.module} ({each.certificate})",
            nature=Nature.INTERPRETATION,
            starts=None if held is None else spans.beginning(held),
            warning=None if last is None else spans.beginning(last - MODULE_WARNING),
            due=None if last is None else spans.end(last),
            note="" if last is None else f"Its certificate is valid until {last}.",
            unknown="It is not known since when the certificate is relied on, and until when it is valid.",
            permission=True,
        )


def records_due(facts: DutyFacts, at: datetime) -> Iterator[Due]:
    """Yield how long records still have to stay; these run the other way: what is early is the breach."""
    for record in facts.records:
        clock = Clock(
            requirement=KEPT_BY[record.of],
            what="keep records for two years",
            whom=f"{record.label} ({record.of})",
            nature=Nature.HOUSE_RULE if record.of is RecordOf.SIGNING_KEY else Nature.TEXT,
            starts=record.ended_at,
            due=None if record.ended_at is None else kept_until(record.ended_at),
            unknown="It has not ended as far as is known, and two years are counted from its end.",
        )
        due = read(clock, at, facts.choices)
        if due is not None:
            yield _kept(due, record, at)


def kept_until(ended: datetime) -> datetime:
    """Return the first second at which records of something that ended then may go."""
    utc = ended.astimezone(UTC)
    return datetime.combine(spans.kept_for_months(utc.date(), KEPT_MONTHS), utc.timetz())


def _kept(due: Due, record: Record, at: datetime) -> Due:
    deleted = record.deleted_at if record.deleted_at is not None and record.deleted_at <= at else None
    if deleted is not None and (due.due is None or deleted < due.due):
        until = "its end, and two years on" if due.due is None else f"{shown(due.due)}"
        text = f"Deleted on {shown(deleted)}; it was to be kept until {until}."
        return replace(due, state=State.BREACHED, text=text)
    if due.state is State.CLOCK_SET_BACK or due.due is None:
        return due
    if at >= due.due:
        return replace(due, state=State.DONE, text=f"Kept for long enough on {shown(due.due)}.")
    left = spans.in_words(due.due - at)
    return replace(due, state=State.IN_TIME, text=f"Nothing may delete them for another {left}.")
