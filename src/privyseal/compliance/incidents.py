"""Reports of Suspect Code or of a compromise, and what follows from them: clocks, verdicts, and a belief.

A report starts the clocks at once (CSBR 9.6.5, 4.9.3): the service knows from then on. That it was unfounded a person
decides, and from then on nothing follows from it. A key that is reported compromised is believed to be from that moment
on, whatever comes of it later; of Suspect Code that alone does not follow.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from privyseal.compliance import duty_facts
from privyseal.compliance.duty_facts import IncidentKind, IssuingCA, Notice
from privyseal.compliance.held import Held
from privyseal.compliance.subjects import IncidentRecord

MOST_SIGNED = 500
"""Requests, keys and certificates that one report is about, of each."""

Judged: TypeAlias = Literal["open", "founded", "unfounded"]
"""What a person decided that a report is."""
Text = Annotated[str, Meta(min_length=3, max_length=2000)]
"""What happened, in words: 3 to 2000 characters."""
Digest = Annotated[str, Meta(pattern=r"\A[0-9a-f]{40,128}\Z")]
"""A digest of a file in lower-case hex, by any algorithm from SHA-1 to SHA-512."""


class Report(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What somebody reports: of which kind, about what, in words."""

    kind: IncidentKind
    text: Text
    keys: Annotated[tuple[Annotated[str, Meta(max_length=63)], ...], Meta(max_length=20)] = ()
    """Names of Key Pairs."""
    digests: Annotated[tuple[Digest, ...], Meta(max_length=100)] = ()
    """Of content, signatures or files that are suspect."""
    since: Annotated[datetime, Meta(tz=True)] | None = None
    """Since when, as far as anybody knows."""


class OutsideReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What somebody without an account reports (CSBR 4.9.3)."""

    kind: IncidentKind
    text: Text
    digests: Annotated[tuple[Digest, ...], Meta(max_length=100)] = ()
    contact: Annotated[str, Meta(max_length=200)] = ""
    """How the reporter can be asked; nothing is sent there by itself."""


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A report and what came of it so far."""

    id: str
    kind: IncidentKind
    text: str
    reported_by: str
    reported_at: datetime
    since: datetime | None = None
    keys: tuple[str, ...] = ()
    key_ids: tuple[str, ...] = ()
    requests: tuple[str, ...] = ()
    """Which of the Subscriber's requests signed what was reported."""
    certificates: tuple[str, ...] = ()
    """SHA-256 of the certificates concerned."""
    cas: tuple[str, ...] = ()
    """Who issued them."""
    judged: Judged = "open"
    decided_by: str = ""
    decided_at: datetime | None = None
    note: str = ""
    outside: bool = False
    """Whether somebody without an account reported it: then nothing is believed before a person decided."""
    contact: str = ""
    notices: tuple[Notice, ...] = ()
    revocations_asked: tuple[Notice, ...] = ()
    closed: datetime | None = None


def facts(cases: Iterable[Case], at: datetime) -> tuple[tuple[duty_facts.Incident, ...], tuple[IssuingCA, ...]]:
    """Return what the clocks of duties start from, up to a moment: incidents, and the CAs that are concerned."""
    counted = [each for each in cases if each.judged != "unfounded" and each.reported_at <= at]
    incidents = tuple(
        duty_facts.Incident(
            id=each.id,
            kind=each.kind,
            found_at=each.reported_at,
            cas=each.cas,
            notices=tuple(one for one in each.notices if one.at <= at),
            revocations_asked=tuple(one for one in each.revocations_asked if one.at <= at),
        )
        for each in counted
    )
    return incidents, tuple(IssuingCA(name=name) for name in dict.fromkeys(ca for each in counted for ca in each.cas))


def believed(cases: Iterable[Case]) -> dict[str, datetime]:
    """Return since when each key, by its id, is believed to be compromised or misused (CSBR 9.6.3)."""
    found: dict[str, datetime] = {}
    for each in cases:
        wanted = ("founded",) if each.outside else ("founded", "open")
        if each.judged in wanted and each.kind is IncidentKind.COMPROMISE:
            since = each.reported_at if each.since is None else min(each.since, each.reported_at)
            for key_id in each.key_ids:
                found[key_id] = min(since, found.get(key_id, since))
    return found


def record(case: Case, at: datetime, evidence: tuple[Held, ...], last_signature: datetime | None) -> IncidentRecord:
    """Return one case as the Requirements judge it; ``last_signature`` is the last one that its keys made."""
    founded = case.judged == "founded"
    return IncidentRecord(
        label=case.id,
        at=at,
        evidence=evidence,
        happened=case.since or case.reported_at,
        believed=case.reported_at,
        confirmed=case.decided_at if founded else None,
        ca_notified=min((each.at for each in case.notices), default=None),
        revocation_asked=min((each.at for each in case.revocations_asked), default=None),
        last_signature=last_signature,
    )
