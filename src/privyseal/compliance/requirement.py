"""What a requirement is: a clause, who is bound by it, since when, and how one finds out whether it is met.

A requirement is a record and at most one small function. Where no function can tell, ``wants`` says which evidence or
whose judgement would; so each requirement has a verdict, and unknown is never met. The sentence in ``text`` is ours:
the Requirements themselves are the CA/Browser Forum's (CC BY 4.0), and where the two differ, theirs are right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, datetime
from enum import StrEnum
from typing import Any

import msgspec

from privyseal.compliance.outcome import Outcome


class Party(StrEnum):
    """Whom a requirement binds (CSBR 1.3)."""

    CA = "ca"
    SIGNING_SERVICE = "signing-service"
    SUBSCRIBER = "subscriber"
    TIMESTAMP_AUTHORITY = "timestamp-authority"
    DELEGATED_THIRD_PARTY = "delegated-third-party"


class Scope(StrEnum):
    """For which kind of certificate a requirement speaks."""

    EV = "ev"
    NON_EV = "non-ev"
    TIMESTAMP = "timestamp"


class Obligation(StrEnum):
    """The word of RFC 2119 that the clause uses; MUST is recorded as SHALL, RECOMMENDED as SHOULD."""

    SHALL = "SHALL"
    SHALL_NOT = "SHALL NOT"
    SHOULD = "SHOULD"
    SHOULD_NOT = "SHOULD NOT"
    MAY = "MAY"


class Nature(StrEnum):
    """What a requirement rests on."""

    TEXT = "text"
    INTERPRETATION = "interpretation"
    """The text allows another reading; ``Conflict`` or a note says which."""
    HOUSE_RULE = "house-rule"
    """Ours, in no text: good practice that a clause leaves open."""


class EnforcedBy(StrEnum):
    """What makes anybody keep to it."""

    AUDIT = "audit"
    CONTRACT = "contract"
    REVOCATION = "revocation"
    TECHNICAL_GATE = "technical-gate"
    NOBODY = "nobody"


class Severity(StrEnum):
    """How much harm it does when it is not met."""

    CRITICAL = "critical"
    """Somebody else could use the key, or relying parties trust what they must not."""
    HIGH = "high"
    """Certificates have to be revoked, or the audit is qualified."""
    MEDIUM = "medium"
    LOW = "low"
    NOTICE = "notice"
    """Nothing is broken: a permission, or advice."""


class DatedBy(StrEnum):
    """Which moment decides whether a requirement was in force for a subject."""

    ISSUANCE = "issuance"
    KEY_GENERATION = "key-generation"
    SIGNING = "signing"
    GEN_TIME = "genTime"
    PRODUCTION = "production"
    """thisUpdate of a CRL or of an OCSP response."""
    AUDIT_PERIOD_START = "audit-period-start"
    EVENT = "event"
    """When the thing that is judged happened: a report came in, an agreement was accepted."""
    DAY = "day"
    """The day for which the question is asked."""


class Kind(StrEnum):
    """What a requirement is judged on."""

    CERTIFICATE = "certificate"
    CERTIFICATE_REQUEST = "certificate-request"
    CRL = "crl"
    OCSP_RESPONSE = "ocsp-response"
    TIMESTAMP_TOKEN = "timestamp-token"  # noqa: S105 - a kind of thing, not a secret
    KEY_PAIR = "key-pair"
    SIGNATURE = "signature"
    MEMBER = "member"
    SUBSCRIBER = "subscriber"
    AUDIT_PERIOD = "audit-period"
    INCIDENT = "incident"
    TIMESTAMP_AUTHORITY = "timestamp-authority"
    LOG = "log"
    ORGANISATION = "organisation"
    """The Signing Service, the CA or the Timestamp Authority as an organisation: its documents, people, premises."""


class InForce(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From which day a text binds, and the last day on which it did; both days included, both in UTC."""

    since: date
    until: date | None = None

    def on(self, day: date) -> bool:
        """Tell whether the text binds on ``day``."""
        return self.since <= day and (self.until is None or day <= self.until)


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which ballot brought the text, in which version of the document it stands first, and how sure we are."""

    ballot: str
    version: str
    certainty: str = "confirmed"
    """``confirmed``: seen in a diff or on the ballot's page. ``inferred``: from the ballot's title or summary.
    ``window``: somewhere between two known versions, and ``since`` is the latest possible date."""


class Reading(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of two ways to read a text that contradicts itself."""

    name: str
    text: str
    since: date | None = None
    """The first day under this reading, where the readings differ in the date."""


class Conflict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A text that contradicts itself: two readings at least, and the one that holds until the operator chooses."""

    text: str
    readings: tuple[Reading, ...]
    default: str
    """The name of a reading."""


class Wants(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What would have to be there for a verdict, where no function can give one."""

    text: str
    """What to look for, in one sentence."""
    evidence: tuple[str, ...] = ()
    """Kinds of documents or of log entries (``evidence.KINDS``); none where only a person can judge."""
    judgement: bool = False
    """A person has to judge, whatever documents there are."""


class Asked(msgspec.Struct, frozen=True):
    """What a check is told beside its subject."""

    at: datetime
    """The moment for which the question is asked."""
    choices: dict[str, str] = {}
    """The operator's recorded readings of conflicting texts: a requirement's id to the name of a reading."""


Check = Callable[[Any, Asked], Outcome | Iterable[Outcome]]
"""Judges one subject. Pure: no clock, no file, no database. What it raises becomes a finding of its own, ``broken``."""


class Requirement(msgspec.Struct, frozen=True, kw_only=True):
    """One sentence of the Requirements that somebody can keep or break."""

    id: str
    """Stable: ``CSBR-6.3.2-01``, ``NSR-2.1-01``, ``HOUSE-...`` for rules of ours. Superseded texts count from 90."""
    clause: str
    """The section's number without a title, such as ``6.3.2``."""
    title: str
    text: str
    """Our paraphrase, one sentence."""
    obligation: Obligation
    binds: tuple[Party, ...]
    applies_to: tuple[Scope, ...]
    source: Source
    in_force: InForce
    dated_by: DatedBy
    kinds: tuple[Kind, ...]
    """On what it is judged."""
    severity: Severity
    enforced_by: tuple[EnforcedBy, ...]
    check: Check | None = None
    wants: Wants | None = None
    """Set exactly where ``check`` is not."""
    nature: Nature = Nature.TEXT
    gate: bool = False
    """A signature under a publicly trusted certificate is refused while this is not met (house.md, decision 12)."""
    superseded_by: str | None = None
    conflict: Conflict | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError for a record that could give no verdict, or whose conflict has no default."""
        if (self.check is None) == (self.wants is None):
            raise ValueError(f"{self.id} needs either a check or what it wants instead")
        if self.conflict is not None and self.conflict.default not in {each.name for each in self.conflict.readings}:
            raise ValueError(f"{self.id}: the default is none of the readings")

    @property
    def document(self) -> str:
        """Name the document that the clause is in: ``CSBR``, ``NSR`` or ``HOUSE``."""
        return self.id.partition("-")[0]

    @property
    def cited(self) -> str:
        """Cite the clause as people do: ``CSBR 6.3.2``."""
        return f"{self.document} {self.clause}"

    def binding_since(self, choices: dict[str, str]) -> InForce:
        """Return when it binds under the operator's reading of a text that contradicts itself."""
        if self.conflict is None:
            return self.in_force
        name = choices.get(self.id, self.conflict.default)
        reading = next((each for each in self.conflict.readings if each.name == name), None)
        if reading is None or reading.since is None:
            return self.in_force
        return InForce(reading.since, self.in_force.until)
