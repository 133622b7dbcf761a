"""What the service states of a Key Pair's protection: that its module attested it, and what that attestation says.

The verdict is not in it: whether the module is certified may change, and is judged anew by the register on the day that
is asked about. What the attestation proved of the key is a fact of the day on which it was verified.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from privyseal.compliance.modules import AttestedModule, module_of
from privyseal.compliance.statement_words import Digest, Name, Topic
from privyseal.pki.attestation.judge import VERIFIER, NotEvidenced
from privyseal.pki.attestation.protocol import Attested


class KeyAttested(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="key-attested"):
    """What files proved of a Key Pair's module, or that nothing we know was in them (CSBR 6.2.7.3, 6.2.7.4.2)."""

    key_id: Digest
    evidence: Annotated[tuple[Digest, ...], Meta(min_length=1, max_length=32)]
    """SHA-256 of each file, in the order in which they were given."""
    verifier: Name
    """Which version of ours judged."""
    as_of: Annotated[datetime, Meta(tz=True)]
    """For which moment the dates of certificates were judged."""
    format: Annotated[str, Meta(max_length=40)] = ""
    """Of the attestation; empty where none of ours knows it."""
    module: AttestedModule | None = None
    """What the attestation says; None where none of ours knows it, which is not evidenced."""
    claims: Annotated[dict[str, Annotated[str, Meta(max_length=500)]], Meta(max_length=32)] = {}
    anchor: Annotated[str, Meta(pattern=r"\A([0-9a-f]{64})?\Z")] = ""
    """SHA-256 of the maker's pinned root."""
    by: Name
    """Id of the member who handed it in, or ``service``."""

    @property
    def slot(self) -> str:
        """Return what a later statement must be of to take this one's place: the same key."""
        return f"attested:{self.key_id}"

    @property
    def topic(self) -> Topic:
        """Return what the log says of it."""
        return "key"


def stating(
    key_id: str, evidence: Sequence[str], found: Attested | NotEvidenced, as_of: datetime, by: str
) -> KeyAttested:
    """Return what there is to state of a key; ``evidence`` are the files' SHA-256, ``found`` is for that key."""
    common = {"key_id": key_id, "evidence": tuple(evidence), "verifier": VERIFIER, "as_of": as_of, "by": by}
    if isinstance(found, NotEvidenced):
        return KeyAttested(**common)  # type: ignore[arg-type]
    return KeyAttested(
        **common,  # type: ignore[arg-type]
        format=found.format,
        module=module_of(found),
        claims={name[:40]: text[:500] for name, text in list(found.claims.items())[:32]},
        anchor=found.anchor,
    )
