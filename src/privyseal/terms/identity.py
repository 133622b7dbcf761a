"""Who a Subscriber is in law: what a CA validated and writes into the subject of its certificates (CSBR 7.1.4.2)."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from privyseal.errors import BadInput

Legal = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"\A\S(.*\S)?\Z")]
"""A name as the register has it: at most 64 characters (RFC 5280 A.1, ub-organization-name)."""
Place = Annotated[str, Meta(max_length=128, pattern=r"\A(\S(.*\S)?)?\Z")]
"""A place, or nothing (RFC 5280 A.1, ub-state-name and ub-locality-name)."""
Country = Annotated[str, Meta(pattern=r"\A[A-Z]{2}\Z")]
"""Two letters of ISO 3166-1, or XX for a place without a code (CSBR 7.1.4.2.3)."""
BusinessCategory = Literal["Private Organization", "Government Entity", "Business Entity", "Non-Commercial Entity"]
"""The four words that CSBR 7.1.4.2.4 allows."""

_EMPTY = re.compile(r"[\s.\-_*#/]*|n/?a|none|null|unknown|not applicable", re.IGNORECASE)
"""What says only that there is nothing to say; CSBR 7.1.4.2.2 keeps it out of subjects."""


class Jurisdiction(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where, and under which number, an organisation is registered: what an EV subject adds (CSBR 7.1.4.2.4)."""

    business_category: BusinessCategory
    country: Country
    state: Place = ""
    locality: Place = ""
    """Only as far down as the register reaches."""
    number: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"\A\S(.*\S)?\Z")]
    """The registration number, or the date, or what stands there for a government entity."""


class LegalIdentity(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Subscriber as a CA validated it."""

    organization: Legal
    """The full legal name, letter for letter: updaters compare it with the one before."""
    country: Country
    state: Place = ""
    locality: Place = ""
    jurisdiction: Jurisdiction | None = None
    """For EV certificates; None where the Subscriber was not validated for them."""

    def trouble(self) -> str | None:
        """Say what the Requirements do not allow in a subject, in one sentence; None where nothing is wrong."""
        if not (self.state or self.locality):
            return "A subject names a locality or a state (CSBR 7.1.4.2.3), and this identity has neither."
        words = [self.organization, self.state, self.locality]
        if self.jurisdiction is not None:
            words += [self.jurisdiction.state, self.jurisdiction.locality, self.jurisdiction.number]
            if self.jurisdiction.locality and not self.jurisdiction.state and self.jurisdiction.country == "US":
                return "A jurisdiction in a locality of the United States names its state too (CSBR 7.1.4.2.4)."
        for word in words:
            if word and (not word.isprintable() or _EMPTY.fullmatch(word)):
                return f"{word[:64]!r} says nothing, and a subject holds no placeholders (CSBR 7.1.4.2.2)."
        return None


def require_sound(identity: LegalIdentity) -> None:
    """Raise BadInput where an identity could stand in no subject."""
    trouble = identity.trouble()
    if trouble is not None:
        raise BadInput(trouble, hint="write it as the register and the CA's record have it")


def read_identity(document: bytes) -> LegalIdentity:
    """Read an identity from TOML; BadInput where it is none, with the field that is wrong."""
    try:
        identity = msgspec.toml.decode(document, type=LegalIdentity)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise BadInput(f"This is no legal identity: {str(error)[:300]}.") from None
    require_sound(identity)
    return identity
