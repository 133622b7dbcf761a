"""The facts from which duties follow: incidents, audits, reviews and the rest, each as far as it is known.

A fact that nobody knows is None; in a file it is left out or called "unknown". Moments carry a time zone, days are days
in UTC. Whoever feeds the facts out of a running service makes the same structs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated

import msgspec

from privyseal.compliance.catalogue import BY_ID
from privyseal.compliance.spans import EARLIEST, LATEST
from privyseal.errors import BadInput

MOST_THINGS = 10_000
"""Entries of one kind; a service with more incidents than that has no use for a list."""

MOST_PARTS = 100
"""CAs, notices and channels of one incident or alert."""

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
"""A name, an id or an address."""
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""A moment with its time zone."""


class _Fact(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all facts have in common: no fact that we do not know of is passed over."""


class IncidentKind(StrEnum):
    """What a Signing Service tells the issuing CA about (CSBR 9.6.5)."""

    COMPROMISE = "compromise"
    """A Subscriber's key or its activation data is compromised, or thought to be."""
    SUSPECT_CODE = "suspect-code"
    """The service found that it signed Suspect Code."""


class Reason(StrEnum):
    """Why a CA has to revoke (CSBR 4.9.1.1, 4.9.1.2)."""

    REQUESTED = "requested"
    NOT_AUTHORISED = "not-authorised"
    KEY_COMPROMISE = "key-compromise"
    KEY_COMPUTABLE = "key-computable"
    FLAWED_KEY = "flawed-key"
    SUSPECT_CODE = "suspect-code"
    KEY_SIZE = "key-size"
    MISUSE = "misuse"
    AGREEMENT_BROKEN = "agreement-broken"
    INFORMATION_CHANGED = "information-changed"
    MISISSUED = "misissued"
    INACCURATE = "inaccurate"
    RIGHT_LOST = "right-lost"
    POLICY = "policy"
    SUBORDINATE_CA = "subordinate-ca"


class Audited(StrEnum):
    """Whose audit it is (CSBR 8.4)."""

    CA = "ca"
    SIGNING_SERVICE = "signing-service"
    TIMESTAMP_AUTHORITY = "timestamp-authority"


class Proof(StrEnum):
    """By what a CA was shown how a key is protected, as far as it may serve again (CSBR 4.2.1, 6.2.7.4.2)."""

    IT_AUDIT = "it-audit"
    CLOUD_REPORT = "cloud-report"
    SIGNING_SERVICE = "signing-service"
    OTHER = "other"
    """Each key needs a proof of its own; no time runs."""


class RecordOf(StrEnum):
    """What a record is about, which decides how long it stays (CSBR 5.4.3)."""

    CA_KEY = "ca-key"
    SUBSCRIBER_CERTIFICATE = "subscriber-certificate"
    TIMESTAMP_KEY = "timestamp-key"
    SECURITY_EVENT = "security-event"
    SIGNING_KEY = "signing-key"
    """What a Signing Service logged on a Subscriber's key."""


class Notice(_Fact, frozen=True):
    """That a CA was told, or asked to revoke."""

    ca: Text
    at: Moment


class IssuingCA(_Fact, frozen=True):
    """A CA and where it takes problem reports (CSBR 4.9.3)."""

    name: Text
    report_to: Text | None = None


class Incident(_Fact, frozen=True):
    """A compromise, or Suspect Code that was signed."""

    id: Text
    kind: IncidentKind
    found_at: Moment | None = None
    """When the service identified it."""
    cas: Annotated[tuple[Text, ...], msgspec.Meta(max_length=MOST_PARTS)] = ()
    """Which CAs issued the certificates of the key."""
    notices: Annotated[tuple[Notice, ...], msgspec.Meta(max_length=MOST_PARTS)] = ()
    revocations_asked: Annotated[tuple[Notice, ...], msgspec.Meta(max_length=MOST_PARTS)] = ()


class Revocation(_Fact, frozen=True):
    """A certificate that a CA has to revoke."""

    certificate: Text
    reason: Reason
    assured_at: Moment | None = None
    """When the CA had the request, the evidence or the reasonable assurance: its own clock, whoever knew before."""
    revoked_at: Moment | None = None
    postponed_to: Moment | None = None
    """Until when an Application Software Supplier asked it to wait (4.9.1.1)."""
    supplier: Text | None = None


class KeyProof(_Fact, frozen=True):
    """A proof of key protection that a CA validated."""

    subscriber: Text
    method: Proof
    validated_on: date | None = None
    last_issued_on: date | None = None
    """The last issuance that relied on it."""


class AuditPeriod(_Fact, frozen=True):
    """An audit period, both days included, and its report."""

    of: Audited
    first_day: date
    last_day: date
    auditor: Text | None = None
    published_on: date | None = None
    explained_on: date | None = None
    """When an explanatory letter, signed by the auditor, was published."""


class Auditor(_Fact, frozen=True):
    """What is on record of an auditor (CSBR 8.2)."""

    name: Text
    accredited_until: date | None = None
    """The last day of the licence or accreditation."""
    insured_until: date | None = None
    insurance_usd: Annotated[int, msgspec.Meta(ge=0)] | None = None
    independent: bool | None = None
    """Whether a declaration of independence is on file."""
    government: bool = False
    """An Internal Government Auditing Agency, which needs no insurance."""


class ModuleCertificate(_Fact, frozen=True):
    """The certificate that shows the level of a cryptographic module (CSBR 6.2.7.3)."""

    module: Text
    certificate: Text
    """Its scheme and number."""
    held_since: date | None = None
    """Since when somebody relies on it."""
    valid_until: date | None = None
    """Its last day."""


class Renewal(_Fact, frozen=True):
    """A certificate that ends, and since when the next one of its key is here."""

    key: Text
    certificate: Text | None = None
    begins_at: Moment | None = None
    ends_at: Moment | None = None
    renewed_at: Moment | None = None


class TimestampKey(_Fact, frozen=True):
    """A key of the service's Timestamp Authority (CSBR 6.3.2)."""

    key: Text
    issued_at: Moment | None = None
    """notBefore of its certificate."""
    ends_at: Moment | None = None
    """notAfter of its certificate."""
    followed_at: Moment | None = None
    """When another key was first used in its place."""
    removed_at: Moment | None = None
    """When it left its module, before witnesses."""


class Record(_Fact, frozen=True):
    """Records that have to be kept, all about one thing."""

    of: RecordOf
    label: Text
    ended_at: Moment | None = None
    """The key destroyed, the last certificate expired or revoked, the event over."""
    deleted_at: Moment | None = None


class Change(_Fact, frozen=True):
    """A change of the configuration (NSR 1.3)."""

    id: Text
    made_at: Moment | None = None
    made_by: Text | None = None
    approved_at: Moment | None = None
    approved_by: Text | None = None
    significant: bool = False
    """One that calls for a penetration test (NSR 4.2.1.1)."""
    tested_on: date | None = None


class Alert(_Fact, frozen=True):
    """An alert, and what came of it (NSR 3.2.2, 3.2.3)."""

    id: Text
    raised_at: Moment | None = None
    channels: Annotated[tuple[Text, ...], msgspec.Meta(max_length=MOST_PARTS)] = ()
    """By which ways people were told."""
    answered_at: Moment | None = None
    """When somebody began on it."""


class Vulnerability(_Fact, frozen=True):
    """A vulnerability that was found (NSR 4.3)."""

    id: Text
    severity: Text
    found_at: Moment | None = None
    mended_at: Moment | None = None


class Leaver(_Fact, frozen=True):
    """Somebody who left (NSR 2.2.1.3)."""

    member: Text
    left_at: Moment | None = None
    disabled_at: Moment | None = None


class Network(_Fact, frozen=True):
    """What is done again and again for the systems in scope."""

    inventory_on: date | None = None
    change_process_reviewed_on: date | None = None
    accounts_reviewed_on: date | None = None
    penetration_tested_on: date | None = None
    mending_hours: dict[Text, Annotated[int, msgspec.Meta(ge=1, le=87_600)]] = {}
    """The deadlines that the policy sets, by severity; ten years at most."""


class LogState(_Fact, frozen=True):
    """How the log's integrity is looked after (NSR 3.1.2)."""

    checked_at: Moment | None = None
    continuous: bool | None = None
    """A machine watches it all the time."""
    intact: bool | None = None
    """What the last check found."""


class DutyFacts(_Fact, frozen=True):
    """All that is known, and the operator's readings of texts that allow two."""

    name: Text = "The organisation"
    signing_service_since: date | None = None
    """The first day on which it held other people's keys; None where it is no Signing Service, or nobody knows."""
    choices: dict[str, str] = {}
    network: Network = Network()
    log: LogState = LogState()
    cas: tuple[IssuingCA, ...] = ()
    incidents: tuple[Incident, ...] = ()
    revocations: tuple[Revocation, ...] = ()
    proofs: tuple[KeyProof, ...] = ()
    audits: tuple[AuditPeriod, ...] = ()
    auditors: tuple[Auditor, ...] = ()
    modules: tuple[ModuleCertificate, ...] = ()
    records: tuple[Record, ...] = ()
    renewals: tuple[Renewal, ...] = ()
    timestamp_keys: tuple[TimestampKey, ...] = ()
    changes: tuple[Change, ...] = ()
    alerts: tuple[Alert, ...] = ()
    vulnerabilities: tuple[Vulnerability, ...] = ()
    leavers: tuple[Leaver, ...] = ()


def duty_facts_of(document: Mapping[str, object]) -> DutyFacts:
    """Return the facts in a document that was read from TOML or JSON.

    Raises BadInput for a fact that there is none of, for a value that it cannot have, and for facts that cannot be
    true together.
    """
    try:
        facts = msgspec.convert(_known(document), DutyFacts)
    except msgspec.ValidationError as error:
        raise BadInput(f"{error}.", hint="docs/reference/duties.md lists the facts and their values") from error
    wrong = next(_contradictions(facts), None)
    if wrong is not None:
        raise BadInput(wrong, hint="one of them is wrong; leave out what nobody knows")
    return facts


def _known(value: object) -> object:
    """Leave out what is called unknown, however deep; a document of TOML is never deep enough to matter."""
    if isinstance(value, Mapping):
        return {name: _known(each) for name, each in value.items() if each != "unknown"}
    if isinstance(value, list):
        if len(value) > MOST_THINGS:
            raise BadInput(f"A list has {len(value)} entries; at most {MOST_THINGS} are read.")
        return [_known(each) for each in value]
    if isinstance(value, date) and not EARLIEST <= value.year <= LATEST:
        raise BadInput(f"{value} is not in the years {EARLIEST} to {LATEST}.")
    return value


_ORDER: dict[str, tuple[tuple[str, str], ...]] = {
    "revocations": (("assured_at", "revoked_at"), ("assured_at", "postponed_to")),
    "proofs": (("validated_on", "last_issued_on"),),
    "renewals": (("begins_at", "ends_at"),),
    "timestamp_keys": (("issued_at", "ends_at"), ("issued_at", "followed_at"), ("issued_at", "removed_at")),
    "audits": (("first_day", "last_day"), ("last_day", "published_on"), ("last_day", "explained_on")),
    "alerts": (("raised_at", "answered_at"),),
    "vulnerabilities": (("found_at", "mended_at"),),
    "leavers": (("left_at", "disabled_at"),),
}
"""Of each kind of fact the pairs of which the first comes first."""

_NAMED_BY = {
    "cas": "name",
    "incidents": "id",
    "auditors": "name",
    "changes": "id",
    "alerts": "id",
    "vulnerabilities": "id",
}
"""What tells the entries of a list apart, and so occurs once."""


def _contradictions(facts: DutyFacts) -> Iterator[str]:
    for kind, pairs in _ORDER.items():
        for number, each in enumerate(getattr(facts, kind), 1):
            for first, second in pairs:
                one, other = getattr(each, first), getattr(each, second)
                if one is not None and other is not None and other < one:
                    yield f"{kind} {number}: {second} ({other}) is before {first} ({one})."
    for incident in facts.incidents:
        for notice in (*incident.notices, *incident.revocations_asked):
            if incident.found_at is not None and notice.at < incident.found_at:
                yield f"incident {incident.id}: {notice.ca} was told before it was found."
    for kind, name in _NAMED_BY.items():
        yield from _twice(kind, [getattr(each, name) for each in getattr(facts, kind)])
    for name, choice in facts.choices.items():
        conflict = BY_ID[name].conflict if name in BY_ID else None
        readings = () if conflict is None else tuple(each.name for each in conflict.readings)
        if choice not in readings:
            offered = f"its readings are {', '.join(readings)}" if readings else "it is no text with two readings"
            yield f"{choice!r} cannot be chosen for {name}: {offered}."
    for revocation in facts.revocations:
        if revocation.postponed_to is not None and revocation.supplier is None:
            yield f"The revocation of {revocation.certificate} is postponed, and no supplier asked for that."


def _twice(kind: str, names: Sequence[str]) -> Iterator[str]:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            yield f"{name} stands twice among the {kind}."
        seen.add(name)
