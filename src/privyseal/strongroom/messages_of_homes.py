"""What the signer is asked of the homes of its keys, and answers only when it has asked them: tokens, and clouds."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from privyseal.terms.clouds import CloudUses
from privyseal.terms.keys import TokenKeys


class _Message(Struct, frozen=True, forbid_unknown_fields=True, tag_field="is"):
    pass


class TokenKeysAsked(_Message, frozen=True, tag="token-keys-asked"):
    """Which keys are in the tokens; unlike for the signer's health, each token is asked."""


class TokenKeysRead(_Message, frozen=True, tag="token-keys-read"):
    """What is in each token, held against the signer's charters."""

    tokens: tuple[TokenKeys, ...]


class CloudsAsked(_Message, frozen=True, tag="clouds-asked"):
    """How often the clouds' own audit logs say that keys signed, from ``since`` on (``counting.py``)."""

    since: datetime


class CloudsCounted(_Message, frozen=True, tag="clouds-counted"):
    """Each home in a cloud that keys are in, with both sides' counts; none where there is no such home."""

    homes: tuple[CloudUses, ...]
