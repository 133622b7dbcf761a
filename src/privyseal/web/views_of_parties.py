"""What goes in and out about Subscribers, members, papers, parties and what lets them in.

Light to import, as ``views.py`` is: the command line reads these, and starts once a file.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from privyseal.compliance.statements_of_parties import Accepted
from privyseal.signing.forms_of_parties import Enrolled, Party
from privyseal.terms.agreements import Paper, Version
from privyseal.terms.parties import Factor, Role, Scope
from privyseal.terms.subscribers import Standing


class NewPaper(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The next version of a paper, and whose it is; the operator's own where no Subscriber is named."""

    paper: Paper
    of: str = ""


class PaperList(msgspec.Struct, frozen=True, kw_only=True):
    """All versions of papers, and which of them were accepted last."""

    papers: tuple[Version, ...]
    in_force: tuple[Accepted, ...]


class PartyList(msgspec.Struct, frozen=True):
    """All parties."""

    parties: tuple[Party, ...]


class Link(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a party has to do with a Subscriber: that it came through it, what it is to be told, when it was."""

    subscriber: str
    tell: Literal["compromise", "suspect-code"] | None = None
    known: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    told: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class Roles(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All roles that a member is to have."""

    roles: tuple[Role, ...]


class Leaving(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a member left."""

    left: Annotated[datetime, msgspec.Meta(tz=True)]


class NewSubscriber(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is to be taken in, and who is to administer it."""

    name: str
    display_name: str
    administrator: str
    """What its first administrator is called."""


class TakenIn(msgspec.Struct, frozen=True, kw_only=True):
    """A Subscriber that was taken in, and what lets its first administrator in, shown this once."""

    subscriber: Enrolled
    administrator: str
    """The member's id."""
    token: str
    """Good for a day."""


class Change(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to become of a Subscriber; of ``identity`` how it was checked, of a state why."""

    because: str = ""
    identity: str = ""
    becomes: Standing | None = None


class SubscriberList(msgspec.Struct, frozen=True):
    """All Subscribers."""

    subscribers: tuple[Enrolled, ...]


class RuleView(msgspec.Struct, frozen=True, kw_only=True):
    """A trust rule: runs with these claims act as this member."""

    id: str
    platform: str
    issuer: str
    name: str
    """What people call it; nothing is decided by it."""
    member: str
    conditions: dict[str, str]
    policy: str
    exchanges: int


class RuleList(msgspec.Struct, frozen=True):
    """The Subscriber's trust rules, the oldest first."""

    rules: tuple[RuleView, ...]


class TokenView(msgspec.Struct, frozen=True, kw_only=True):
    """A static token of a machine, without the token: a single factor (CSBR 6.2.7.3)."""

    id: str
    member: str
    label: str
    scope: Scope
    created: datetime
    expires: datetime
    used: str
    """The day of the last use, empty where there was none."""


class TokenList(msgspec.Struct, frozen=True):
    """The Subscriber's static tokens, the oldest first, with those that have ended."""

    tokens: tuple[TokenView, ...]


class TokenOnce(msgspec.Struct, frozen=True, kw_only=True):
    """A new static token, shown this once."""

    token: str
    about: TokenView

    def __repr__(self) -> str:
        """Show no token."""
        return f"TokenOnce(about={self.about.id!r})"


class DeviceAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What it shows its user, and how often it may ask (RFC 8628 3.2)."""

    device_code: str
    user_code: str
    verification_path: str
    expires_in: int
    interval: int


class TokenAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The token, or that nobody has said yes yet."""

    state: Literal["in", "pending"]
    token: str = ""
    expires: datetime | None = None
    subscriber: str = ""
    name: str = ""
    factors: tuple[Factor, ...] = ()
