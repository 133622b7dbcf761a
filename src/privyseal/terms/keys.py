"""Key Pairs, how they are protected, and the charter under which the signer uses one."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal

import msgspec

from privyseal.terms.limits import UseLimits
from privyseal.terms.parties import Role


class Assurance(StrEnum):
    """What guards a Private Key, weakest first (CSBR 6.2.7.3 asks for the last)."""

    SOFTWARE = "software"
    HARDWARE = "hardware"
    CERTIFIED_HARDWARE = "certified-hardware"


class KeyProtection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a key store itself can prove of the key it holds."""

    store: str
    assurance: Assurance
    generated_inside: bool
    never_extractable: bool
    module: str = ""
    """Maker, model and versions of a hardware module, and which token of it; empty for a store that has none."""
    attributes: tuple[str, ...] = ()
    """What the module said when it was asked, such as ``CKA_NEVER_EXTRACTABLE=true``."""


class TokenState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a token is, as its signer knows it at this moment without asking it."""

    name: str
    state: Literal["usable", "away", "missing", "pin", "refused"]
    """``away``: it may come back by itself; ``missing``: no slot shows it; ``pin``: its PIN is held back, so that it
    does not lock; ``refused``: something else that a person must put right."""
    why: str = ""
    """One sentence, empty where it is usable."""
    keys: int = 0
    """Keys of this signer that are in it."""
    losses: int = 0
    """Workers with this token that were lost since the signer began."""
    pool: str = ""
    """The pool that it is in: another token of it that is usable does as well."""


class TokenKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which keys are in a token, held against those of its signer."""

    name: str
    ours: int
    strangers: tuple[str, ...] = ()
    """Labels of keys in it that this signer does not use: another's, or left by a birth that was interrupted."""
    missing: tuple[str, ...] = ()
    """Labels of keys that this signer would use and that are not in it."""
    pool: str = ""
    """The pool that it is in, where it should hold all keys of the pool."""


class Passkey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A WebAuthn credential, and where alone it may be asked (W3C Web Authentication 2, 7.2)."""

    rp_id: str
    """The relying party's id: a domain."""
    origins: tuple[str, ...]
    """The origins from which its owner may have been asked, such as ``https://seal.example``."""
    credential: str
    """SHA-256 of the credential's id, lower-case hex, by which the web finds it."""


class Approver(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One whose signature counts as an approval, and the role it plays.

    Without ``passkey`` the public key is an Ed25519 key, 32 octets. With it, it is a SubjectPublicKeyInfo, DER: ECDSA
    on P-256, Ed25519, or RSA of 2048 bits and more. What is unset is left out, so that an older charter stays octet
    for octet what was agreed to.
    """

    name: str
    public_key: bytes
    role: Role = Role.APPROVER
    member: str | msgspec.UnsetType = msgspec.UNSET
    """Id of the member that it is; several approvers of one member are one person."""
    passkey: Passkey | msgspec.UnsetType = msgspec.UNSET

    @property
    def person(self) -> str:
        """Return who it is, for counting people: the member, or the name where no member is given."""
        return self.name if self.member is msgspec.UNSET else self.member


class Stage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A step of agreement: how many people must agree, and which. Without names and roles it is any approver."""

    need: int
    names: tuple[str, ...] = ()
    roles: tuple[Role, ...] = ()

    def admits(self, approver: Approver) -> bool:
        """Tell whether an approver may agree in this stage: by name, or by role."""
        return not (self.names or self.roles) or approver.name in self.names or approver.role in self.roles


def in_order(quorum: int, stages: tuple[Stage, ...] | msgspec.UnsetType) -> tuple[Stage, ...]:
    """Return the stages of agreement; where only a quorum is given it is one stage that any approver may agree in."""
    if stages is not msgspec.UNSET:
        return stages
    return (Stage(quorum),) if quorum else ()


class KeyPair(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Subscriber's Key Pair: the public half, and where the private one is kept."""

    subscriber: str
    name: str
    key_id: str
    """SHA-256 of ``public_key``, 64 lower-case hex digits."""
    scheme: str
    uri: str
    public_key: bytes
    """SubjectPublicKeyInfo, DER."""
    key_tag: str
    """The pseudonym under which the log knows it, 64 lower-case hex digits (``tlog/entry.py``)."""
    protection: KeyProtection
    born: datetime
    rehearsal: bool
    approvers: tuple[Approver, ...] = ()
    """Who may agree, as in its Charter when it was born or last amended; the signer judges by its own copy."""
    quorum: int = 0
    """How many people must agree, over all stages."""
    frozen: bool = False
    stages: tuple[Stage, ...] | msgspec.UnsetType = msgspec.UNSET
    limits: UseLimits | msgspec.UnsetType = msgspec.UNSET
    """When and how often it signs; the signer judges by its own copy, and alone counts."""

    @property
    def in_order(self) -> tuple[Stage, ...]:
        """Return the stages in which people must agree, one after the other."""
        return in_order(self.quorum, self.stages)


class Charter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rules for one key, kept by the signer itself and changed only by the verb Amend, agreed under the old ones.

    ``quorum`` counts the people who must agree, over all stages; zero, approval by nobody, is allowed only for a key
    that was born in rehearsal.
    """

    subscriber: str
    key_id: str
    scheme: str
    uri: str
    public_key: bytes
    key_tag: str
    approvers: tuple[Approver, ...] = ()
    quorum: int
    rehearsal: bool
    frozen: bool = False
    version: int = 1
    stages: tuple[Stage, ...] | msgspec.UnsetType = msgspec.UNSET
    grants: bool | msgspec.UnsetType = msgspec.UNSET
    """Whether its people may agree beforehand (``terms/grants.py``); unset where nobody said, which is yes."""
    limits: UseLimits | msgspec.UnsetType = msgspec.UNSET
    limited_since: int | msgspec.UnsetType = msgspec.UNSET
    """The version with which ``limits`` came: what is counted under others does not count for these."""
    asleep: bool | msgspec.UnsetType = msgspec.UNSET
    """Whether it is frozen since its birth: until people enable it, it signs requests for its certificate alone."""

    @property
    def in_order(self) -> tuple[Stage, ...]:
        """Return the stages in which people must agree, one after the other."""
        return in_order(self.quorum, self.stages)
