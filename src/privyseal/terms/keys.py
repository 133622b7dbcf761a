"""Key Pairs, how they are protected, and the charter under which the signer uses one."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal

import msgspec

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


class Approver(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One whose signature counts as an approval: an Ed25519 public key, 32 octets, and the role it plays."""

    name: str
    public_key: bytes
    role: Role = Role.APPROVER


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
    frozen: bool = False


class Charter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rules for one key, kept by the signer itself and changed only by the verb Amend, agreed under the old ones.

    ``quorum`` of zero, approval by nobody, is allowed only for a key that was born in rehearsal.
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
