"""What is said and answered of Subscribers, members, papers, parties and tokens.

Light to import: the command line reads these answers, and needs nothing of what makes them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from privyseal.access.permissions import OF_MACHINES
from privyseal.compliance.clocks_incidents import NOTICE
from privyseal.compliance.statements_of_parties import CaToTell, PartyStands
from privyseal.terms.agreements import PaperKind, Representative
from privyseal.terms.parties import Account, Role
from privyseal.terms.subscribers import Standing, Step

Steps = dict[Step, str]
"""Of each step what is still missing, in words; empty where it is done."""


class Enrolled(msgspec.Struct, frozen=True, kw_only=True):
    """A Subscriber, how it stands, and how far its enrolment is."""

    name: str
    display_name: str
    standing: Standing
    steps: Steps


class NewMember(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is to be taken in."""

    name: str
    roles: tuple[Role, ...]
    workload: bool
    """Whether it is a machine (CSBR 6.2.7.3)."""
    until: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    """From when on nobody comes in by this account, such as an auditor's; None for no end."""


class AccountList(msgspec.Struct, frozen=True, kw_only=True):
    """All accounts of a Subscriber, and the digest by which a review says that it was this list."""

    accounts: tuple[Account, ...]
    sha256: str


class Reviewed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said of a review."""

    reviewer: str
    """The named person who looked through the accounts."""
    sha256: str
    """Of the list that they saw."""
    note: str = ""
    """What was decided."""


class Acceptance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a representative accepts: one version, by its digest, so that it is the one that was read."""

    kind: PaperKind
    sha256: str
    representative: Representative


class NewParty(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said of a party; said again of the same name it takes the place of what was said before."""

    name: str
    kind: Literal["ca", "reseller", "partner"]
    display_name: str
    contract: str = ""
    """SHA-256 of a document that was taken in as evidence; empty for none."""
    audit_report: str = ""
    report_to: str = ""


class Party(msgspec.Struct, frozen=True, kw_only=True):
    """A party with what follows from it."""

    stands: PartyStands
    subscribers: tuple[str, ...]
    """Who came through it, or has its certificates from it."""
    to_tell: tuple[CaToTell, ...]
    """Of a CA: what it is to be told, and what it was told."""


def due(notice: CaToTell) -> datetime:
    """Return the last moment at which telling a CA is in time."""
    return notice.known + NOTICE


MOST_DAYS = 90
"""Days that a static token may live; GitHub warns of tokens that live longer."""


class NewToken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A static token as it is asked for."""

    member: Annotated[str, Meta(min_length=1, max_length=64)]
    """A machine's id or name; one of that name is taken in as a requester where there is none."""
    label: Annotated[str, Meta(max_length=64)] = ""
    """For what, so that people know which one to revoke."""
    verbs: Annotated[tuple[str, ...], Meta(max_length=len(OF_MACHINES))] = OF_MACHINES
    key: Annotated[str, Meta(max_length=63)] = ""
    policy: Annotated[str, Meta(max_length=63)] = ""
    days: Annotated[int, Meta(ge=1, le=MOST_DAYS)] = 1
