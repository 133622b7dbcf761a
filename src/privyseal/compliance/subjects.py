"""What the Requirements are judged on in a running service: Key Pairs, signatures, Subscribers, the log, and the rest.

Each holds the facts of one moment, and says None where nobody knows: a check on an unknown fact answers
``not-evidenced`` and says what would show it. Nothing here reads a database; ``records/evidence.py`` fills them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from privyseal.compliance.held import Held
from privyseal.compliance.modules import Validation
from privyseal.compliance.requirement import DatedBy, Kind, Scope
from privyseal.compliance.statements_of_clouds import CloudReconciled
from privyseal.compliance.statements_of_keys import KeyAttested
from privyseal.terms.keys import Assurance
from privyseal.terms.parties import Factor, Role

CODE_SIGNING = frozenset({Scope.EV, Scope.NON_EV})
"""What a Subscriber's key is for; which of the two, its certificate says."""

TIMESTAMPS = frozenset({Scope.TIMESTAMP})
"""What the stamper's key is for."""


class _Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all subjects share."""

    label: str
    at: datetime
    """The moment of these facts, aware."""
    scopes: frozenset[Scope] = CODE_SIGNING
    evidence: tuple[Held, ...] = ()


class Authentication(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one who asked for a signature, or agreed to it, proved who they are (CSBR 6.2.7.3)."""

    who: str
    did: Literal["asked", "agreed"]
    factors: tuple[Factor, ...] | None = None
    workload: bool | None = None
    """Whether it is a machine; None where that was not recorded when it was taken in."""


class CertificateStatus(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a CRL or OCSP response said of a certificate."""

    said_at: datetime
    """Its thisUpdate."""
    good_until: datetime
    """Its nextUpdate; afterwards it says nothing any more."""
    revoked_at: datetime | None = None
    """None where it was not revoked."""


class Commitment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that a Subscriber committed to towards the Signing Service (CSBR 9.6.5)."""

    requirement: str
    """By its id, such as ``CSBR-9.6.5-04``."""
    accepted: datetime
    by: str


class KeyPairRecord(_Record, frozen=True):
    """A Key Pair and what guards its Private Key."""

    generated: datetime | None = None
    store: str | None = None
    """The kind of key store: ``softfile``, ``pkcs11``, ``awskms`` ..."""
    cloud: bool | None = None
    assurance: Assurance | None = None
    generated_inside: bool | None = None
    never_extractable: bool | None = None
    module: str = ""
    """Maker, model, versions and serial, as the module itself says."""
    attested: KeyAttested | None = None
    """What its module said in an attestation that was verified; None where there is none."""
    register: tuple[Validation, ...] = ()
    """The certificates of modules that the operator declared."""
    issued: datetime | None = None
    """notBefore of the newest certificate."""

    @property
    def kind(self) -> Kind:
        """What it is."""
        return Kind.KEY_PAIR

    def when(self, clock: DatedBy) -> datetime | None:
        """Return when it was generated, or when its newest certificate was issued."""
        return {DatedBy.KEY_GENERATION: self.generated, DatedBy.ISSUANCE: self.issued}.get(clock)


class SignatureRecord(_Record, frozen=True):
    """A finished request to sign, or one that is about to be signed: all its signatures under one certificate."""

    signed: datetime | None = None
    by: tuple[Authentication, ...] | None = None
    quorum: int | None = None
    agreed: int = 0
    """How many approvers agreed, by signatures over the request's digest."""
    logged: int | None = None
    """Where its intent stands in the log."""
    log_names_actors: bool = False
    """Whether what the log's entry commits to says who asked. Whoever agreed has signed that same request."""
    not_before: datetime | None = None
    not_after: datetime | None = None
    status: CertificateStatus | None = None
    accepted: datetime | None = None
    """When the Subscriber accepted the certificate after reading it (CSBR 9.6.3)."""
    believed: datetime | None = None
    """Since when the key is believed to be compromised or misused; None where nobody has said so."""
    frozen: bool = False
    """Whether the key was frozen when this was asked."""
    scan: Literal["clean", "outdated", "none"] | None = None
    """What scanners said of the file before it was signed, the worst of them; ``none`` where the service had the file
    and asked none, None where the file stayed with who asked."""

    @property
    def kind(self) -> Kind:
        """What it is."""
        return Kind.SIGNATURE

    def when(self, clock: DatedBy) -> datetime | None:
        """Return when it was signed; that is also the event."""
        return self.signed if clock in (DatedBy.SIGNING, DatedBy.EVENT) else None

    def limits(self) -> Iterable[datetime]:
        """Yield every moment at which a verdict on a later signature with the same facts may differ from this one's.

        Checks only ask whether ``signed`` lies before, at or after one of these, so signatures between two of them,
        alike in all else, have the same verdicts: that is how a million is judged by judging a few.
        """
        for limit in (self.not_before, self.accepted, self.believed):
            if limit is not None:
                yield limit
        if self.not_after is not None:  # itself still good
            yield self.not_after + timedelta(microseconds=1)
        if self.status is not None:
            yield self.status.good_until + timedelta(microseconds=1)
            if self.status.revoked_at is not None:
                yield self.status.revoked_at


class SubscriberRecord(_Record, frozen=True):
    """A Subscriber: what it agreed to and committed to."""

    enrolled: datetime | None = None
    first_signature: datetime | None = None
    commitments: tuple[Commitment, ...] | None = None
    """None where commitments are not recorded at all."""

    @property
    def kind(self) -> Kind:
        """What it is."""
        return Kind.SUBSCRIBER

    def when(self, clock: DatedBy) -> datetime | None:
        """Return the moment of the last acceptance; where there was none, the question is about today."""
        if clock is not DatedBy.EVENT:
            return None
        return max((each.accepted for each in self.commitments or ()), default=self.at)


class MemberRecord(_Record, frozen=True):
    """A person or machine of a Subscriber, and by what it can prove who it is."""

    roles: tuple[Role, ...] = ()
    workload: bool | None = None
    credentials: tuple[Factor, ...] | None = None

    @property
    def kind(self) -> Kind:
        """What it is."""
        return Kind.MEMBER

    def when(self, clock: DatedBy) -> datetime | None:
        """Return nothing: members are judged by the day."""
        return None


class Loss(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Records that were given up: when, and how many."""

    at: datetime
    missing: int


class LogRecord(_Record, frozen=True):
    """The service's log and the records that are held against it."""

    scopes: frozenset[Scope] = frozenset()
    begun: datetime | None = None
    """When the oldest thing that is kept happened."""
    entries: int | None = None
    whole_at: datetime | None = None
    """When the records were last held against the log and lacked nothing that it holds of them."""
    losses: tuple[Loss, ...] | None = None
    """What an operator gave up; None where that is not known."""
    checks: tuple[datetime, ...] | None = None
    """When the log's own integrity was checked, whole, and found good; None where checks are not recorded."""

    @property
    def kind(self) -> Kind:
        """What it is."""
        return Kind.LOG

    def when(self, clock: DatedBy) -> datetime | None:
        """Return nothing: the log is judged by the day."""
        return None


class TimestampAuthorityRecord(_Record, frozen=True):
    """The service's own Timestamp Authority."""

    scopes: frozenset[Scope] = TIMESTAMPS
    not_after: datetime | None = None
    """The end of its certificate."""
    synchronised: tuple[datetime, ...] | None = None
    """When its clock was set by UTC(k); None where that is not recorded."""

    @property
    def kind(self) -> Kind:
        """What it is."""
        return Kind.TIMESTAMP_AUTHORITY

    def when(self, clock: DatedBy) -> datetime | None:
        """Return nothing: it is judged by the day."""
        return None


class OrganisationRecord(_Record, frozen=True):
    """The Signing Service as an organisation: its documents, people and premises."""

    scopes: frozenset[Scope] = frozenset()
    teams: tuple[tuple[str, ...], tuple[str, ...]] | None = None
    """By the internal agreement: who is in the CA's team, and who in the Signing Service's; None without one."""
    clouds: tuple[CloudReconciled, ...] | None = None
    """How the audit logs of clouds that keys are in compared to ours, last; None where that is not recorded."""

    @property
    def kind(self) -> Kind:
        """What it is."""
        return Kind.ORGANISATION

    def when(self, clock: DatedBy) -> datetime | None:
        """Return the moment of these facts for an event, and nothing else."""
        return self.at if clock is DatedBy.EVENT else None


class AuditPeriodRecord(_Record, frozen=True):
    """One audit period: its first and its last moment."""

    scopes: frozenset[Scope] = frozenset()
    start: datetime | None = None
    end: datetime | None = None

    @property
    def kind(self) -> Kind:
        """What it is."""
        return Kind.AUDIT_PERIOD

    def when(self, clock: DatedBy) -> datetime | None:
        """Return when it began."""
        return self.start if clock is DatedBy.AUDIT_PERIOD_START else None


class IncidentRecord(_Record, frozen=True):
    """A report, suspicion or confirmation of a compromise or of Suspect Code, and what was done about it."""

    happened: datetime | None = None
    believed: datetime | None = None
    confirmed: datetime | None = None
    ca_notified: datetime | None = None
    revocation_asked: datetime | None = None
    last_signature: datetime | None = None
    """The last signature that the key made, whenever that was; None where it is not known."""

    @property
    def kind(self) -> Kind:
        """What it is."""
        return Kind.INCIDENT

    def when(self, clock: DatedBy) -> datetime | None:
        """Return when it was first believed, or else when it happened."""
        return (self.believed or self.happened) if clock is DatedBy.EVENT else None
