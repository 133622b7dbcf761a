"""What the service states of its parties: how they stand, what they accepted, who left, who is to be told.

Each is written down in the transaction that makes it so, and the log fixes it. The records of all these things are the
statements themselves, so nothing can be said of a party that the log does not have.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from privyseal.compliance.statement_words import About, Digest, Ids, Name, Topic
from privyseal.terms.agreements import PaperKind, Representative
from privyseal.terms.subscribers import Standing, Step


class Accepted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="accepted"):
    """A version of a paper that a named representative accepted, with the requirements that its clauses answer."""

    kind: PaperKind
    version: Annotated[int, Meta(ge=1)]
    sha256: Digest
    """Of the paper, as ``terms.agreements.Paper.digest``."""
    about: About
    """Who is bound: ``service`` for the Signing Service's own papers, else the Subscriber."""
    answers: Ids
    representative: Representative
    by: Name
    """Id of the member who recorded it, or ``service``."""
    factors: Annotated[tuple[Name, ...], Meta(max_length=16)] = ()
    """By what that member proved who they are."""

    @property
    def slot(self) -> str:
        """Return what a later statement must be of to take this one's place: the same kind of paper."""
        return f"accepted:{self.kind}"

    @property
    def topic(self) -> Topic:
        """Return what the log says of it."""
        return "agreement"


class Stands(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="standing"):
    """How a Subscriber stands from now on, or that its identity was checked, who said so, and why."""

    subscriber: Name
    becomes: Standing | None = None
    """Its state; None where only a step of its enrolment is done."""
    done: Step | None = None
    by: Name
    because: Annotated[str, Meta(max_length=2000)] = ""

    @property
    def slot(self) -> str:
        """Return what a later statement must be of to take this one's place: the state, or the step."""
        return "standing" if self.done is None else f"step:{self.done}"

    @property
    def topic(self) -> Topic:
        """Return what the log says of it."""
        return "standing"


class Left(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="left"):
    """A member who left, and when every credential of theirs was ended (NSR 2.2.1.3)."""

    about: About
    """Whose account it was: ``service`` where it was one of the operator's."""
    member: Name
    """The id."""
    left: Annotated[datetime, Meta(tz=True)]
    ended: Annotated[datetime, Meta(tz=True)]
    by: Name

    @property
    def slot(self) -> str:
        """Return what a later statement must be of to take this one's place: the same member."""
        return f"left:{self.member}"

    @property
    def topic(self) -> Topic:
        """Return what the log says of it."""
        return "access"


class AccountsReviewed(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="accounts-reviewed"
):
    """Somebody looked through all accounts of a Subscriber (NSR 2.2.1.4)."""

    about: About
    """Whose accounts: ``service`` where they were the operator's."""
    reviewer: Name
    """The named person who looked through them."""
    on: date
    accounts: Annotated[int, Meta(ge=0)]
    """How many there were."""
    sha256: Digest
    """Of the list that was looked through, as canonical JSON."""
    by: Name
    note: Annotated[str, Meta(max_length=2000)] = ""
    """What was decided."""

    @property
    def slot(self) -> str:
        """Return what a later statement must be of to take this one's place: the review of the same day."""
        return f"accounts-reviewed:{self.on}"

    @property
    def topic(self) -> Topic:
        """Return what the log says of it."""
        return "access"


class PartyStands(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="party"):
    """A CA, reseller or partner, with its contract and its audit report."""

    name: Name
    kind: Literal["ca", "reseller", "partner"]
    display_name: Name
    contract: Annotated[str, Meta(pattern=r"\A([0-9a-f]{64})?\Z")] = ""
    """SHA-256 of the contract with it, where that was taken in as evidence; empty for none."""
    audit_report: Annotated[str, Meta(pattern=r"\A([0-9a-f]{64})?\Z")] = ""
    """SHA-256 of its newest audit report; empty for none."""
    report_to: Annotated[str, Meta(max_length=200)] = ""
    """Of a CA: where it takes problem reports."""
    by: Name

    @property
    def slot(self) -> str:
        """Return what a later statement must be of to take this one's place: the same party."""
        return f"party:{self.name}"

    @property
    def topic(self) -> Topic:
        """Return what the log says of it."""
        return "party"


class Linked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="linked"):
    """That a Subscriber came through a party, or has its certificates from it."""

    party: Name
    subscriber: Name
    by: Name

    @property
    def slot(self) -> str:
        """Return what a later statement must be of to take this one's place: the same two."""
        return f"linked:{self.party}:{self.subscriber}"

    @property
    def topic(self) -> Topic:
        """Return what the log says of it."""
        return "party"


class CaToTell(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="ca-to-tell"):
    """That a CA is to be told within 24 hours of what became known of a Subscriber, and when it was (CSBR 9.6.5)."""

    ca: Name
    subscriber: Name
    what: Literal["compromise", "suspect-code"]
    known: Annotated[datetime, Meta(tz=True)]
    """When the service knew."""
    told: Annotated[datetime, Meta(tz=True)] | None = None
    by: Name

    @property
    def slot(self) -> str:
        """Return what a later statement must be of to take this one's place: the same CA, Subscriber and moment."""
        return f"ca-to-tell:{self.ca}:{self.subscriber}:{self.known:%Y%m%dT%H%M%SZ}"

    @property
    def topic(self) -> Topic:
        """Return what the log says of it."""
        return "notice"
