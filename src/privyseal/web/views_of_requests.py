"""What goes in and out about requests, grants, policies, freezes, signatures and webhooks.

Light to import, as ``views.py`` is: the command line reads these, and starts once a file.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from privyseal.access.duties_apart import Conflict
from privyseal.access.policies import Rules, Version
from privyseal.signing.forms_of_requests import Fitting, GrantShown, Signed
from privyseal.terms.deliveries import DeliveryState
from privyseal.terms.freezes import Follows, What
from privyseal.terms.requests import State


class Denial(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why an approver says no."""

    reason: str


class RequestSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A request in a list."""

    id: str
    state: State
    key: str
    requester: str
    """Id of the member who asked."""
    created: datetime
    expires: datetime
    files: tuple[str, ...]


class RequestList(msgspec.Struct, frozen=True):
    """The Subscriber's newest requests, the newest first."""

    requests: tuple[RequestSummary, ...]


class GrantList(msgspec.Struct, frozen=True):
    """The Subscriber's newest grants, the newest first."""

    grants: tuple[GrantShown, ...]


class FittingList(msgspec.Struct, frozen=True):
    """The grants under which a request may come, the first to end first."""

    grants: tuple[Fitting, ...]


class PolicyList(msgspec.Struct, frozen=True, kw_only=True):
    """The policy sets that were applied, the newest first: that one is in force. None means that roles alone decide."""

    versions: tuple[Version, ...]
    conflicts: tuple[Conflict, ...]
    """Duties that are not apart as things are now."""


class PolicyView(msgspec.Struct, frozen=True, kw_only=True):
    """One policy set."""

    digest: str
    rules: Rules
    octets: bytes
    """What the digest is over, in base64."""


class Brought(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An attestation that a file brings."""

    envelope: bytes
    """A DSSE envelope, JSON, in base64."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """An attestation that was taken in."""

    digest: str
    """SHA-256 of the envelope, lower-case hex."""


class SignedList(msgspec.Struct, frozen=True, kw_only=True):
    """Every request that signed it, the newest last."""

    signed: tuple[Signed, ...]


class FreezeView(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was frozen, and who agrees that it is thawed."""

    id: str
    subscriber: str
    kind: What
    name: str
    reason: str
    frozen_by: str
    at: datetime
    signer: Follows
    """How far the guarded signer has followed; a freeze holds in any case."""
    thawed: datetime | None
    agreed: tuple[str, ...]
    digest: bytes
    """What an overseer signs to agree to the thaw."""


class FreezeList(msgspec.Struct, frozen=True, kw_only=True):
    """What is and was frozen, the newest first."""

    freezes: tuple[FreezeView, ...]


class WebhookView(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook; its secret is shown once, when it is added."""

    id: str
    url: str
    topics: tuple[str, ...]
    created: datetime
    secret: str | None = None


class WebhookList(msgspec.Struct, frozen=True, kw_only=True):
    """The Subscriber's webhooks."""

    webhooks: tuple[WebhookView, ...]


class DeliveryView(msgspec.Struct, frozen=True, kw_only=True):
    """One message, and what came of its last try."""

    id: str
    webhook: str
    topic: str
    made: datetime
    state: DeliveryState
    tries: int
    next: datetime | None
    said: str
    body: msgspec.Raw


class DeliveryList(msgspec.Struct, frozen=True, kw_only=True):
    """The newest messages to the Subscriber's webhooks."""

    deliveries: tuple[DeliveryView, ...]
