"""Administrative acts: what is agreed, signed and logged when a key is born, changes its rules, sleeps or dies.

An act is stored, approved, logged and sent as canonical JSON, like a request. It holds for one state of the
charter, whose ``version`` it names, and until ``expires_at``, so an approval of it is good for one change and
cannot be played again. Who must agree:

=========  ==================================================================================================
Generate   the operators' quorum, of two at least outside a rehearsal
Amend      the operators' quorum, and the key's own approvers under the charter as it still stands
Unfreeze   the operators' quorum, and the key's own approvers
Destroy    the operators' quorum, and the key's own approvers
Freeze     any one operator or any one of the key's approvers: what stops harm must not wait for a second person
Request    (a certificate) the key's own approvers: it is a use of the key, though not over code
Revoke     (a Grant) any one operator or any one of the key's approvers, likewise
Probe      nobody: it signs no code, says what it is, and its value never leaves the signer
=========  ==================================================================================================

The key's own approvers agree in the stages of its charter, as they agree to a request. An act has no requester:
proposing one is nobody's privilege, so whoever did is not kept from agreeing.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from privyseal.errors import BadInput
from privyseal.terms.canonical import canonical_json, tagged_digest
from privyseal.terms.keys import Approver, Stage
from privyseal.terms.limits import UseLimits

LARGEST_ATTESTATION = 64 << 10
"""Octets of what a request for a certificate carries to attest its key; four certificates have about 8 KiB."""
PROBE = b"Privy Seal probe v1: this shows that a key signs, and agrees to nothing.\n"
"""With what the octets of a probe begin."""
ACT_TAG = "privyseal/act/v1"
"""Domain tag of an act's digest, which operators and approvers sign as they sign a request's."""


class _Act(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="verb"):
    expires_at: datetime
    """After this the act is not carried out. UTC, whole seconds."""


class Generate(_Act, frozen=True, kw_only=True, tag="generate"):
    """A Key Pair is to be born, under this charter."""

    subscriber: str
    key: str
    """The key's name within the Subscriber."""
    scheme: str
    approvers: tuple[Approver, ...]
    quorum: int
    rehearsal: bool
    tag_key_sha256: str
    """SHA-256, lower-case hex, of the Subscriber's tag key, which travels beside the act and is in no opening."""
    stages: tuple[Stage, ...] | UnsetType = UNSET
    """Unset where any ``quorum`` of the approvers are enough, in any order."""
    grants: bool | UnsetType = UNSET
    """False where nothing is signed with it under a Grant."""
    limits: UseLimits | UnsetType = UNSET
    """When and how often it signs; unset for no limit."""
    asleep: bool | UnsetType = UNSET
    """Whether it is born frozen: it signs nothing before it is unfrozen, to which its own approvers agree as well."""

    @property
    def label(self) -> str:
        """Return ``subscriber/key``: the key store's label, and what the tag is made of at first."""
        return f"{self.subscriber}/{self.key}"


class Amend(_Act, frozen=True, kw_only=True, tag="amend"):
    """A charter's approvers, their roles and keys, quorum or stages are to change."""

    key_id: str
    version: int
    """Of the charter that is to be changed."""
    approvers: tuple[Approver, ...]
    quorum: int
    stages: tuple[Stage, ...] | UnsetType = UNSET
    grants: bool | UnsetType = UNSET
    """Whether Grants are used from now on; unset leaves it as it is."""
    limits: UseLimits | UnsetType | None = UNSET
    """When and how often it signs from now on; None takes all limits away, and unset leaves them as they are."""


class Freeze(_Act, frozen=True, kw_only=True, tag="freeze"):
    """A key is to sign nothing until it is unfrozen."""

    key_id: str
    version: int
    reason: str


class Unfreeze(_Act, frozen=True, kw_only=True, tag="unfreeze"):
    """A frozen key is to sign again."""

    key_id: str
    version: int
    reason: str


class Destroy(_Act, frozen=True, kw_only=True, tag="destroy"):
    """A Private Key is to be destroyed for good."""

    key_id: str
    version: int
    reason: str


class RevokeGrant(_Act, frozen=True, kw_only=True, tag="revoke-grant"):
    """Nothing is to be signed under a Grant any more. It holds whatever the charter's version: it only takes away."""

    key_id: str
    grant: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    """The Grant's digest."""
    reason: str


class RequestCertificate(_Act, frozen=True, kw_only=True, tag="request-certificate"):
    """A request for a certificate (PKCS #10) is to be signed with a key: one signature, and over no code.

    The signer builds what is signed from these fields and its own copy of the public key, so that nothing else can be
    had signed in this way.
    """

    key_id: str
    version: int
    """Of the charter under which it is agreed to."""
    subject: Annotated[bytes, Meta(max_length=4096)]
    """The Name, DER."""
    attestation: Annotated[bytes, Meta(max_length=LARGEST_ATTESTATION)] = b""
    """The value of id-aa-attestation, DER; empty for none."""


class Probe(_Act, frozen=True, kw_only=True, tag="probe"):
    """A key is to show that it signs: the signer signs a text of its own, verifies it, and throws the value away."""

    key_id: str
    version: int
    """Of the charter as it stands."""


Act = Generate | Amend | Freeze | Unfreeze | Destroy | RevokeGrant | RequestCertificate | Probe
"""What can be done to a Key Pair besides signing with it."""

_decoder: msgspec.json.Decoder[Act] = msgspec.json.Decoder(Act)


def decode_act(octets: bytes) -> Act:
    """Read an act's canonical bytes; BadInput where they are not exactly that."""
    try:
        act = _decoder.decode(octets)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"Not an administrative act: {error}.") from None
    if canonical_json(act) != octets:
        raise BadInput("An administrative act is not in canonical form (RFC 8785).", hint="encode it anew")
    return act


def uses_of(act: Act) -> int:
    """Return how many signatures with the Subscriber's key an act makes; its intent says so, and counts rely on it."""
    return 1 if isinstance(act, RequestCertificate | Probe) else 0


def probe_text(digest: bytes) -> bytes:
    """Return what a probe signs: a text that no code format, certificate or request begins with, and the act's digest.

    Whatever else a key signs begins with a SET or a SEQUENCE (0x31, 0x30); this begins with a letter and says what it
    is, so that even a value that got out would be good for nothing.
    """
    return PROBE + digest.hex().encode("ascii") + b"\n"


def act_digest(canonical: bytes) -> bytes:
    """Return the digest of an act's canonical bytes, 32 octets; ``approved_octets`` of it is what is signed."""
    return tagged_digest(ACT_TAG, canonical)
