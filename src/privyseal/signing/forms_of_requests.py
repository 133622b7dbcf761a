"""What is said and answered of grants, policies, freezes, signatures and incidents.

Light to import: the command line reads these answers, and needs nothing of what makes them.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from privyseal.access.duties_apart import Conflict
from privyseal.compliance.subjects import Authentication
from privyseal.strongroom.acts import RevokeGrant
from privyseal.terms.canonical import canonical_json
from privyseal.terms.grants import LARGEST_PROOF, LONGEST, MOST_FORMATS, MOST_SIGNATURES
from privyseal.terms.keys import Approver, Stage
from privyseal.terms.parties import Workload
from privyseal.terms.requests import Approval
from privyseal.terms.signed import Kind

LONGEST_REASON = 1000
"""Characters of a reason."""


GrantState: TypeAlias = Literal["proposed", "agreed", "used up", "over", "revoked"]
"""How a grant stands."""


class NewGrant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A grant as it is proposed: for the runs of a trust rule, or for a public key and the member whose it is."""

    key: Annotated[str, Meta(min_length=1, max_length=63)]
    signatures: Annotated[int, Meta(ge=1, le=MOST_SIGNATURES)]
    hours: Annotated[int, Meta(ge=1, le=LONGEST // timedelta(hours=1))]
    """How long it holds, from ``not_before`` on."""
    rule: Annotated[str, Meta(max_length=40)] = ""
    where: Annotated[dict[str, str], Meta(max_length=16)] = {}
    """More claims than the trust rule names, or narrower values of them, such as one tag."""
    public_key: Annotated[bytes, Meta(max_length=512)] = b""
    """SubjectPublicKeyInfo, DER."""
    member: Annotated[str, Meta(max_length=64)] = ""
    """With ``public_key``: id or name of the member in whose name the requests come."""
    formats: Annotated[tuple[str, ...], Meta(max_length=MOST_FORMATS)] = ("pe",)
    mode: Literal["local", "server"] = "local"
    timestamp: bool = True
    publisher: Annotated[str, Meta(max_length=255)] = ""
    not_before: Annotated[datetime, Meta(tz=True)] | None = None


class Revocation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a grant is revoked; with act and approval the signer itself is told."""

    reason: Annotated[str, Meta(min_length=1, max_length=LONGEST_REASON)]
    act: bytes = b""
    """Canonical octets of a ``RevokeGrant``."""
    approval: Approval | None = None


class GrantShown(msgspec.Struct, frozen=True, kw_only=True):
    """A grant with everything that an agreement to it is made of."""

    id: str
    grant: bytes
    """The canonical octets."""
    digest: str
    """Of these, lower-case hex; whoever agrees computes it anew."""
    state: GrantState
    used: int
    signatures: int
    created: datetime
    until: datetime
    approvals: tuple[Approval, ...]
    approvers: tuple[Approver, ...]
    stages: tuple[Stage, ...]
    waiting_for: tuple[str, ...]
    revoked_by: str = ""


def act_octets(pair_key_id: str, digest: str, reason: str, expires: datetime) -> bytes:
    """Return the act by which a grant is revoked in the signer, for an approver to sign."""
    return canonical_json(RevokeGrant(key_id=pair_key_id, grant=digest, reason=reason, expires_at=expires))


class UseAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Under which grant a request is to come, and the proof of who asks."""

    grant: Annotated[str, Meta(min_length=1, max_length=40)]
    proof: Annotated[bytes, Meta(max_length=LARGEST_PROOF)]

    def __repr__(self) -> str:
        """Show no token."""
        return f"UseAsked(grant={self.grant!r})"


class Fitting(msgspec.Struct, frozen=True, kw_only=True):
    """A grant that covers a request, and the proof that it asks for."""

    id: str
    digest: str
    audience: str
    """Of the identity token that proves a run; empty where a signature by ``public_key`` does."""
    public_key: bytes
    left: int
    signatures: int


Files = dict[Annotated[str, msgspec.Meta(min_length=1, max_length=200)], Annotated[str, msgspec.Meta(max_length=2**20)]]
"""A folder of rules: each file's text by its name."""


CLEAN, NOT_SCANNED = "clean", "none"
"""What is known of a file's scan: every scanner found nothing, or not that."""


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """Something that somebody can have signed, and could not before or no longer can."""

    who: str
    key: str
    format: str
    rules: tuple[str, ...]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a set would change: in its rules, and for whom."""

    digest: str
    """Of the set that is planned."""
    was: str | None
    """Of the set in force; None where roles alone decide so far."""
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    gains: tuple[Moved, ...]
    losses: tuple[Moved, ...]
    conflicts: tuple[Conflict, ...]
    """Duties that would not be apart under it, warnings last."""
    idle: tuple[str, ...]
    """Rules that can never hold, each with why; a set with such a rule is not applied."""


class Proposal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A set to be planned or applied."""

    files: Files
    was: str | msgspec.UnsetType | None = msgspec.UNSET
    """Digest of the set that the plan began with; when given, nothing else may have been applied since."""
    accept_conflict: Annotated[str, msgspec.Meta(min_length=10, max_length=400)] | None = None
    """Why conflicts of duties are accepted; it goes into the log."""


class Trial(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request that nobody makes, to see what the policy in force, or ``files``, would say to it."""

    member: str
    """By id or name."""
    key: str
    format: str = "pe"
    mode: str = "local"
    publisher: str | None = None
    timestamp: bool = True
    scan: str = NOT_SCANNED
    claims: Annotated[dict[str, str], msgspec.Meta(max_length=64)] = {}
    at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    files: Files | None = None


class Agreement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One person's word that something is thawed: an overseer's signature, or nothing where a member says so itself."""

    approval: Approval | None = None


class Sibling(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was signed beside, and why it counts as beside."""

    request: str
    filename: str
    digest: str
    why: str


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A timestamp that the signature carries."""

    time: datetime
    authority: str
    serial: str


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """One request that signed what was asked about."""

    subscriber: str
    request: str
    matched: tuple[Kind, ...]
    """By what it was found; content alone may also be that of a file that carries no signature."""
    files: tuple[str, ...]
    key: str
    certificate: str
    """SHA-256 of the certificate, lower-case hex."""
    mode: str
    requester: str
    asked: datetime
    released: datetime | None
    by: tuple[Authentication, ...]
    """Who asked and who agreed, each with the factors."""
    workload: Workload | None
    """The run that asked, as its platform's identity token described it; None where it was no such run."""
    approvers: tuple[str, ...]
    """Who agreed: to the request, or beforehand to ``grant``."""
    grant: str | None
    """The grant under which it was signed; None where it was approved itself, or nobody was asked."""
    policies: tuple[str, ...]
    intent: int | None
    """Where its intent stands in the log."""
    completion: int | None
    digest: str
    """Of the request itself, lower-case hex."""
    timestamps: tuple[Token, ...]
    siblings: tuple[Sibling, ...]


class Fate(msgspec.Struct, frozen=True, kw_only=True):
    """What a revocation date makes of one signed file."""

    request: str
    filename: str
    stamped: datetime | None
    exchange: str = ""
    """Id of the exchange of the run that asked for it; empty where no run did."""


class Impact(msgspec.Struct, frozen=True, kw_only=True):
    """Which released files die if a certificate is revoked as of a date, and which live on."""

    certificate: str
    date: datetime
    dies: int
    lives: int
    dying: tuple[Fate, ...]
    living: tuple[Fate, ...]
