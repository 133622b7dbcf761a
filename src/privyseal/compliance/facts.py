"""What is known of an organisation that has to do with other people's certificates or keys, for ``classify``.

A fact that nobody knows is None, and in a file it is left out or called "unknown". The facts are about one offer: who
both runs modules for customers and sells tokens asks twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from enum import StrEnum

import msgspec

from privyseal.errors import BadInput

MOST_TEXT = 200
"""Characters of a name; more is no name of an organisation."""


class Hand(StrEnum):
    """Who does or has something: the organisation asked about, the Subscriber that it serves, or a third."""

    ORGANISATION = "organisation"
    SUBSCRIBER = "subscriber"
    OTHER = "other"


class ForWhom(StrEnum):
    """Whose certificates they are: who the Subscriber is, seen from the organisation (CSBR 1.6.1)."""

    OTHERS = "others"
    AFFILIATE = "affiliate"
    """An organisation of the same group."""
    ITSELF = "itself"


class WithCA(StrEnum):
    """What the organisation is to the CA that issues the certificates (minutes of 2023-10-19)."""

    ITSELF = "itself"
    """It is that CA."""
    PARTNER = "partner"
    """There is a contract between the two (CSBR 2.2, 9.6.5)."""
    NONE = "none"
    """The CA need not even know of it."""


class Facts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One organisation and one offer of it; None is what nobody knows."""

    name: str = "The organisation"
    for_whom: ForWhom | None = None
    generates: Hand | None = None
    """Who generates the Key Pair."""
    holds: Hand | None = None
    """Who guards the Private Key and decides what it may be used for, whoever owns the module."""
    signs: bool | None = None
    """Whether the organisation carries out the act of signing: what decided until CSC-21."""
    ca: WithCA | None = None
    module: Hand | None = None
    """Whose cryptographic module it is, a cloud's being ``other``: it never decides, and is reported upon only."""
    key_leaves: bool | None = None
    """Whether the Private Key, or a copy, is ever given to the Subscriber."""
    sells_only: bool | None = None
    """Whether it sells certificates and does nothing else about them."""
    ships_tokens: bool | None = None
    """Whether it ships tokens with the key already in them."""
    hosts_keys: bool | None = None
    """Whether customers' keys are in modules that it runs."""
    audit_period_starts: date | None = None
    """The first day of any of its audit periods, from which others are counted by years (CSBR 8.1)."""
    choices: dict[str, str] = {}
    """The operator's readings of texts that allow two: a requirement's id to the name of a reading."""

    def contradiction(self) -> str | None:
        """Say which facts cannot both be, in one sentence; None where none exclude each other."""
        if self.sells_only:
            more = self._more_than_selling()
            if more:
                return f"It cannot only sell certificates (sells_only) and have {more} as well."
        if self.ships_tokens and self.holds is Hand.ORGANISATION:
            return 'The key cannot be shipped in a token (ships_tokens) and be held here (holds = "organisation").'
        if self.hosts_keys and self.for_whom is ForWhom.ITSELF:
            return 'Customers\' keys (hosts_keys) cannot be its own (for_whom = "itself").'
        if self.hosts_keys and self.module in (Hand.SUBSCRIBER, Hand.OTHER):
            return f'The modules cannot be run here (hosts_keys) and be somebody else\'s (module = "{self.module}").'
        return None

    def _more_than_selling(self) -> str | None:
        more = {
            'for_whom = "itself"': self.for_whom is ForWhom.ITSELF,
            'generates = "organisation"': self.generates is Hand.ORGANISATION,
            'holds = "organisation"': self.holds is Hand.ORGANISATION,
            "signs": self.signs,
            "ships_tokens": self.ships_tokens,
            "hosts_keys": self.hosts_keys,
        }
        return next((name for name, true in more.items() if true), None)


def facts_of(document: Mapping[str, object]) -> Facts:
    """Return the facts in a document that was read from TOML or JSON.

    Raises BadInput for a fact that there is none of, for a value that it cannot have, and for facts that cannot be
    true together.
    """
    known = {name: value for name, value in document.items() if value != "unknown"}
    try:
        facts = msgspec.convert(known, Facts)
    except msgspec.ValidationError as error:
        raise BadInput(f"{error}.", hint=_values(str(error))) from error
    if not 0 < len(facts.name) <= MOST_TEXT:
        raise BadInput(f"The name has {len(facts.name)} characters; 1 to {MOST_TEXT} were expected.")
    contradiction = facts.contradiction()
    if contradiction is not None:
        raise BadInput(contradiction, hint="ask about one offer at a time, and leave out what nobody knows")
    return facts


def _values(complaint: str) -> str:
    kinds = {"for_whom": ForWhom, "ca": WithCA, "generates": Hand, "holds": Hand, "module": Hand}
    for name, kind in kinds.items():
        if f"`$.{name}`" in complaint:
            return f'{name} is one of {", ".join(kind)}, or "unknown"'
    return "the facts are " + ", ".join(Facts.__struct_fields__)
