"""Who must still agree: m of n counted over a key's charter, without I/O, so that the signer judges by the same rule.

Whether an approval is genuine (an Ed25519 signature over the request's digest) is for the caller to find out; only the
names of approvers whose signatures verified are handed in. Every outcome is a value, not an exception.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from privyseal.terms.keys import Approver


class Granted(msgspec.Struct, frozen=True, tag="granted"):
    """Enough approvers agreed: their names in the charter's order, empty where the charter asks for nobody."""

    by: tuple[str, ...]


class Waiting(msgspec.Struct, frozen=True, tag="waiting"):
    """Not enough approvers agreed yet: ``missing`` more of those in ``for_whom`` must."""

    for_whom: tuple[str, ...]
    missing: int


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """The charter itself cannot be satisfied or cannot be counted: why, in one sentence."""

    why: str


def decide(approvers: Sequence[Approver], quorum: int, agreed: Collection[str]) -> Granted | Waiting | Refused:
    """Count who of the charter's ``approvers`` is among ``agreed`` and compare with ``quorum``.

    ``agreed`` holds the names of those whose signatures over this very request verified under the public key that the
    charter gives for that name. A name that is not in the charter (any more) counts for nothing, and nobody counts
    twice. A charter that names one approver, or one public key, twice is refused: one person must not be two. A quorum
    of zero is Granted; whether a key may have it (only one born in rehearsal) is the signer's to say.
    """
    if quorum < 0:
        return Refused(f"The charter asks for {quorum} approvals; it must ask for none or more.")
    names = [approver.name for approver in approvers]
    if len(set(names)) < len(names):
        return Refused("The charter names one approver twice, so approvals cannot be counted; it must be amended.")
    if len({approver.public_key for approver in approvers}) < len(names):
        return Refused("The charter gives two approvers the same public key; it must be amended.")
    if quorum > len(names):
        return Refused(f"The charter asks for {quorum} approvals and names {len(names)} approvers; amend it.")
    given = tuple(name for name in names if name in agreed)
    if len(given) >= quorum:
        return Granted(given)
    return Waiting(tuple(name for name in names if name not in agreed), quorum - len(given))
