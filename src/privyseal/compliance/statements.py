"""What people state, and the log fixes: documents taken in as evidence, reviews of them, declared facts, choices.

A machine cannot see a contract, the first day of an audit period, or which of two readings the operator follows. A
person says it, and it counts from then on as said by that person, on that day. What is said is octets (canonical JSON
of a :class:`Said`) to which a statement in the log commits; nothing here is stored or read.

What is said anew takes the place of what was said of the same thing, which is its *slot*; both stay. Each slot counts
its statements from 0 without gaps, so that one that is left out of a report is seen to be missing.

The matters of most subjects have files of their own, ``statements_of_...``; the lists of them all are here.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from privyseal.compliance.catalogue import BY_ID
from privyseal.compliance.evidence import DOCUMENTS
from privyseal.compliance.facts import Facts
from privyseal.compliance.modules import Validation
from privyseal.compliance.statement_words import About, Digest, Ids, Name, Note, Topic
from privyseal.compliance.statements_of_backups import BackupAllowed, KeyCopied
from privyseal.compliance.statements_of_certificates import CertificateAccepted, RevocationAsked
from privyseal.compliance.statements_of_clouds import CloudReconciled
from privyseal.compliance.statements_of_identity import IdentityValidated
from privyseal.compliance.statements_of_keys import KeyAttested
from privyseal.compliance.statements_of_lives import CeremonyHeld, KeyStateChanged
from privyseal.compliance.statements_of_parties import (
    Accepted,
    AccountsReviewed,
    CaToTell,
    Left,
    Linked,
    PartyStands,
    Stands,
)
from privyseal.compliance.statements_of_timestamps import (
    AuthorityWatched,
    BooksCompared,
    StamperNoted,
    TimestampCa,
    TimestampKeyRemoved,
    TimestampKeyUsed,
    TokensGiven,
)
from privyseal.compliance.statements_of_verdicts import Found, Override
from privyseal.errors import BadInput
from privyseal.terms.canonical import decode_canonical

LARGEST_SAID = 64 * 1024
"""Octets of one statement's text; names and a note have some hundreds. A file of facts may have as many."""

M = TypeVar("M")


class Document(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="document"):
    """A document that is taken in as evidence; its octets are kept beside, by their digest."""

    sha256: Digest
    size: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    """Octets."""
    filename: Annotated[str, Meta(min_length=1, max_length=255)]
    """For people only."""
    kind: Name
    """One of ``compliance.evidence.DOCUMENTS``."""
    issuer: Name
    """Who wrote or signed it."""
    about: About = "service"
    valid_from: date | None = None
    valid_until: date | None = None
    """Its last day."""
    requirements: Ids = ()
    """What it is for; nothing means every requirement that wants its kind."""

    @property
    def slot(self) -> str:
        """Return what a later statement must be of to take this one's place: the same content."""
        return f"document:{self.sha256}"

    @property
    def topic(self) -> Topic:
        """Return what the log says of it."""
        return "evidence"

    def trouble(self) -> str | None:
        """Say what cannot be, in one sentence; None where nothing is wrong."""
        if self.kind not in DOCUMENTS:
            return f"There is no kind of evidence called {self.kind[:60]!r}."
        if self.valid_from is not None and self.valid_until is not None and self.valid_until < self.valid_from:
            return f"It cannot be valid from {self.valid_from} and until {self.valid_until}."
        strange = [each for each in self.requirements if each not in BY_ID and each not in CLAUSES]
        return f"No requirement or clause is called {strange[0][:60]!r}." if strange else None


class Review(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="review"):
    """Somebody looked at a document and says what it shows of one requirement."""

    document: Digest
    requirement: Name
    verdict: Literal["met", "not-met", "not-evidenced"]
    note: Note
    """What was looked at, and why it shows that."""

    @property
    def slot(self) -> str:
        """Return what a later statement must be of to take this one's place: the same document and requirement."""
        return f"review:{self.document}:{self.requirement}"

    @property
    def topic(self) -> Topic:
        """Return what the log says of it."""
        return "review"

    def trouble(self) -> str | None:
        """Say what cannot be, in one sentence; None where nothing is wrong."""
        return _unknown(self.requirement)


class AuditPeriod(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="audit-period"):
    """A period for which the Signing Service, or its Timestamp Authority, is or was audited (CSBR 8.1, 8.4)."""

    scheme: Name
    start: date
    end: date
    """Its last day."""
    auditor: Name
    report: Digest | None = None
    """The report's SHA-256, once there is one."""
    published: date | None = None
    """The day on which the report was made public (CSBR 8.6)."""
    of: Literal["timestamp-authority"] | msgspec.UnsetType = msgspec.UNSET
    """Whose audit it is; unset for the Signing Service's."""

    @property
    def slot(self) -> str:
        """Return what a later statement must be of to take this one's place: the period with the same first day."""
        return f"audit-period:{self.start}" if self.of is msgspec.UNSET else f"audit-period:{self.of}:{self.start}"

    @property
    def topic(self) -> Topic:
        """Return what the log says of it."""
        return "declaration"

    def trouble(self) -> str | None:
        """Say what cannot be, in one sentence; None where nothing is wrong."""
        if self.end < self.start:
            return f"An audit period cannot begin on {self.start} and end on {self.end}."
        if self.published is not None and self.published <= self.end:
            return f"A report on a period to {self.end} cannot be public on {self.published}."
        return None


class Organisation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="organisation"):
    """What the organisation is, by which it is found out what binds it (``classify``)."""

    facts: Facts

    @property
    def slot(self) -> str:
        """Return what a later statement must be of to take this one's place: there is one organisation."""
        return "organisation"

    @property
    def topic(self) -> Topic:
        """Return what the log says of it."""
        return "declaration"

    def trouble(self) -> str | None:
        """Say what cannot be, in one sentence; None where nothing is wrong."""
        return self.facts.contradiction()


class Choice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="choice"):
    """Which reading of a text that contradicts itself the operator follows, and why."""

    requirement: Name
    reading: Name
    note: Note

    @property
    def slot(self) -> str:
        """Return what a later statement must be of to take this one's place: the same requirement."""
        return f"choice:{self.requirement}"

    @property
    def topic(self) -> Topic:
        """Return what the log says of it."""
        return "choice"

    def trouble(self) -> str | None:
        """Say what cannot be, in one sentence; None where nothing is wrong."""
        found = BY_ID.get(self.requirement)
        if found is None:
            return _unknown(self.requirement)
        if found.conflict is None:
            return f"The text of {found.id} does not contradict itself, so there is nothing to choose."
        names = [each.name for each in found.conflict.readings]
        return None if self.reading in names else f"The readings of {found.id} are {', '.join(names)}."


class ModuleCertificate(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="module-certificate"
):
    """The certificate of a cryptographic module in which keys are kept (CSBR 6.2.7.3)."""

    module: Name
    """The module as its certificate names it, with its version."""
    scheme: Name
    """Such as ``FIPS 140-2 Level 3`` or ``Common Criteria EAL 4+``."""
    number: Name
    """The certificate's number."""
    valid_until: date | None = None
    """Its last day."""
    document: Digest | None = None
    """The SHA-256 of the certificate, where it was taken in as a document."""
    validation: Validation | msgspec.UnsetType = msgspec.UNSET
    """Its line in the register of modules, by which keys that a module attested are judged. Left out where it is
    unset, so that older statements stay octet for octet what was logged."""

    @property
    def slot(self) -> str:
        """Return what a later statement must be of to take this one's place: the same certificate."""
        return f"module-certificate:{self.scheme}:{self.number}"

    @property
    def topic(self) -> Topic:
        """Return what the log says of it."""
        return "declaration"

    def trouble(self) -> str | None:
        """Say what cannot be, in one sentence; None where nothing is wrong."""
        if not isinstance(self.validation, Validation):
            return None
        if (self.scheme, self.number) != (self.validation.scheme, self.validation.number):
            return f"It is declared as {self.scheme} {self.number}, and its line of the register is another."
        return self.validation.trouble()


class Administered(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="administered"):
    """An administrative act on the service's own records: somebody did something to somebody or something."""

    actor: Name
    """Id of the member who did it, ``service`` for the service itself, ``console`` for who sits at the machine."""
    what: Annotated[str, Meta(pattern=r"\A[a-z][a-z -]{0,39}\Z")]
    """Such as ``policy applied``, ``member taken in``, ``subscriber suspended``."""
    subject: Name
    """Of what: an id or a name."""
    detail: Annotated[str, Meta(max_length=2000)] = ""
    """What changed, in a sentence or as the SHA-256 of it; never a secret."""

    @property
    def slot(self) -> str:
        """Return the one slot of all acts for a Subscriber: its numbers have no gap, so one left out is seen."""
        return "administration"

    @property
    def topic(self) -> Topic:
        """Return what the log says of it."""
        return "administration"


Matter = (
    Document
    | Review
    | AuditPeriod
    | Organisation
    | Choice
    | ModuleCertificate
    | BackupAllowed
    | KeyCopied
    | TimestampCa
    | AuthorityWatched
)
"""What people may state."""
Own = (
    Found
    | Override
    | Administered
    | Accepted
    | Stands
    | Left
    | AccountsReviewed
    | PartyStands
    | Linked
    | CaToTell
    | KeyAttested
    | IdentityValidated
    | KeyStateChanged
    | CeremonyHeld
    | CertificateAccepted
    | RevocationAsked
    | CloudReconciled
    | StamperNoted
    | TokensGiven
    | TimestampKeyUsed
    | TimestampKeyRemoved
    | BooksCompared
)
"""What the service itself states; nobody can send it in."""
CLAUSES: frozenset[str] = frozenset(each.cited for each in BY_ID.values())
"""Every clause that has a requirement, as it is cited."""


class Said(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that was said, by whom and when: to these octets the log commits."""

    v: Literal[1] = 1
    subscriber: Name
    """Of which Subscriber whoever said it is a member."""
    by: Name
    """The member's id."""
    at: Annotated[datetime, Meta(tz=True)]
    """Whole seconds, UTC."""
    number: Annotated[int, Meta(ge=0, le=2**53 - 1)]
    """Its place among what was said of the same slot by members of this Subscriber, from 0 without gaps."""
    matter: Matter | Own


class Stated(Struct, frozen=True, kw_only=True):
    """Something said, and where it stands in the log."""

    said: Said
    octets: bytes
    """Of ``said``, as they were committed to."""
    salt: bytes
    entry: int
    """Index of the log's entry."""

    @property
    def slot(self) -> tuple[str, str]:
        """Return of which thing it is: the Subscriber, and the matter's own slot."""
        return self.said.subscriber, self.said.matter.slot


def require_sound(matter: Matter) -> None:
    """Raise BadInput where something is stated that cannot be."""
    trouble = matter.trouble()
    if trouble is not None:
        raise BadInput(trouble)


def read_said(octets: bytes) -> Said:
    """Read a statement's text; BadInput where it is not exactly one."""
    if len(octets) > LARGEST_SAID:
        raise BadInput(f"A statement of {len(octets)} octets was given; {LARGEST_SAID} is the most there can be.")
    return decode_canonical(octets, Said)


def current(stated: list[Stated]) -> list[Stated]:
    """Return what counts now: the last one of each slot, in the order of the log."""
    last: dict[tuple[str, str], Stated] = {}
    for each in sorted(stated, key=lambda one: one.entry):
        last[each.slot] = each
    return sorted(last.values(), key=lambda one: one.entry)


def of_kind(stated: list[Stated], kind: type[M]) -> list[M]:
    """Return the matters of one kind that count now, in the order of the log."""
    return [each.said.matter for each in current(stated) if isinstance(each.said.matter, kind)]


def _unknown(requirement: str) -> str | None:
    return None if requirement in BY_ID else f"No requirement is called {requirement[:60]!r}."
