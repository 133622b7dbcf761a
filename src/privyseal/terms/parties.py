"""Who takes part: the Signing Service as an organisation, its Subscribers, their members, whoever acts (CSBR 1.6.1)."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec


class Affiliation(StrEnum):
    """How a Signing Service relates to the CA whose certificates it serves; requirements differ by it (CSBR 8.4)."""

    OPERATED_BY_CA = "operated-by-ca"
    PARTNER_OF_CA = "partner-of-ca"
    UNAFFILIATED = "unaffiliated"


class SigningService(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The organisation that generates and guards Key Pairs on behalf of Subscribers (CSBR 1.6.1)."""

    name: str
    affiliation: Affiliation
    operator: str | None = None
    """The Subscriber whose administrators speak for the Signing Service itself, where there is one."""


class Subscriber(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A Subscriber: whose code is signed. ``name`` stands in URLs: lower-case letters, digits and dashes."""

    name: str
    display_name: str
    tag_key: bytes = b""
    """32 secret octets under which the log's key tags of this Subscriber are made (``tlog/entry.py``)."""


class Role(StrEnum):
    """What a member is trusted with."""

    REQUESTER = "requester"
    APPROVER = "approver"
    CUSTODIAN = "key-custodian"
    ADMINISTRATOR = "administrator"
    AUDITOR = "auditor"
    OPERATOR = "service-operator"
    """Runs the service: enrols Subscribers, keeps its parties and papers. A member of the operator's Subscriber."""
    SECURITY_OFFICER = "security-officer"
    """Answers incidents: freezes, thaws together with another one, reports Suspect Code."""


class Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A person or workload of one Subscriber."""

    id: str
    subscriber: str
    name: str
    roles: tuple[Role, ...]
    workload: bool | None = None
    """Whether it is a machine; None where nobody said so. A client certificate is one server to another only then."""


class Factor(StrEnum):
    """By what somebody proved who they are; CSBR 6.2.7.3 asks for multi-factor or server-to-server authentication."""

    BEARER = "bearer"
    """A static token of ours: one factor, whoever holds it."""
    CLIENT_CERTIFICATE = "client-certificate"
    PASSWORD = "password"  # noqa: S105 - the name of a factor
    OIDC = "oidc"
    """Sign-in at an identity provider; what it asked for itself we do not know."""
    PASSKEY = "passkey"
    """WebAuthn with user verification, by a credential that its device does not give away."""
    SYNCED_PASSKEY = "synced-passkey"
    """The same by a credential whose backup flag says that it may be copied to other devices."""
    TOTP = "totp"
    RECOVERY_CODE = "recovery-code"
    WORKLOAD_TOKEN = "workload-token"  # noqa: S105 - the name of a factor
    """A CI system's or platform's identity token for one run, exchanged under a trust rule; nothing is stored."""


class Workload(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One run of a machine, as its platform's verified identity token describes it."""

    provider: str
    """Of which kind the platform is, such as ``github``."""
    issuer: str
    subject: str
    claims: tuple[tuple[str, str], ...]
    """The verified claims that trust rules and policies may speak of, by name, as text, in the order of their names."""
    run: str
    """The platform's id of the run."""
    attempt: str
    trust: str
    """Id of the trust rule under which it was let in."""
    policy: str = ""
    """The one rule of the policy that may allow what it asks with the exchanged token; empty for any of them."""
    exchange: str = ""
    """Id of the exchange of its identity token: what records call the run."""


class Scope(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a static token is good for, of what its member may; everything that is not said is not narrowed."""

    verbs: tuple[str, ...]
    key: str = ""
    """The one Key Pair by name that it may use; empty for any."""
    policy: str = ""
    """The one rule of the policy that may allow what it asks; empty for any of them."""


class Actor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A Member who has just been authenticated, with the factors by which."""

    member: Member
    factors: tuple[Factor, ...]
    proved_at: datetime | None = None
    """When a second factor was last shown in this session; None where there is no session. UTC."""
    session: str = ""
    """The session's id; empty for none."""
    workload: Workload | None = None
    """The run that asks; None for people and for machines with a credential of their own."""
    scope: Scope | None = None
    """To what its credential narrows the member's roles; None for nothing."""

    @property
    def proof(self) -> str:
        """Name the factors, as records keep them."""
        return " and ".join(self.factors)

    @property
    def subscriber(self) -> str:
        """Name the Subscriber for whom this Actor acts."""
        return self.member.subscriber


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """A member's account, as whoever looks through accounts sees it."""

    member: Member
    until: datetime | None
    """From when on nobody comes in by it; None for no end."""
    ended: datetime | None
    """When all its credentials were ended; None while it is in use."""
    factors: tuple[Factor, ...]
    """By which it can prove itself."""
    last_act: datetime | None
    """When it last did something that is kept; reading is not."""
