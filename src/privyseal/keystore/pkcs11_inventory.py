"""Which keys are in a token, read in one pass: looking for each by its name would take a pass for every key."""

from __future__ import annotations

from typing import Any

from pkcs11 import Attribute, ObjectClass
from pkcs11.exceptions import AttributeTypeInvalid

from privyseal.errors import Misused
from privyseal.keystore.messages import Inventoried, Kept

MOST_KEYS = 20_000
"""Private Keys of one token that are listed; network modules hold some thousands in a partition."""


def inventory(session: Any) -> Inventoried:
    """Return every Private Key by label and identifier; Misused where there are more than anybody looks through."""
    found: list[Kept] = []
    for each in session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY}):
        if len(found) == MOST_KEYS:
            raise Misused(f"The token holds more than {MOST_KEYS} keys; that many are listed.")
        found.append(Kept(str(_said(each, Attribute.LABEL) or ""), bytes(_said(each, Attribute.ID) or b"")))
    return Inventoried(tuple(found))


def _said(key: Any, attribute: Attribute) -> Any:
    """Return an attribute, or None of a stranger's key that has it not."""
    try:
        return key[attribute]
    except (AttributeTypeInvalid, KeyError):
        return None
