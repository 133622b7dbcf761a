"""Who takes part: the Signing Service as an organisation, its Subscribers, their members, whoever acts (CSBR 1.6.1)."""

from __future__ import annotations

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
    ADMINISTRATOR = "administrator"
    AUDITOR = "auditor"


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
    CLIENT_CERTIFICATE = "client-certificate"


class Actor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A Member who has just been authenticated, with the factors by which."""

    member: Member
    factors: tuple[Factor, ...]

    @property
    def proof(self) -> str:
        """Name the factors, as records keep them."""
        return " and ".join(self.factors)

    @property
    def subscriber(self) -> str:
        """Name the Subscriber for whom this Actor acts."""
        return self.member.subscriber
