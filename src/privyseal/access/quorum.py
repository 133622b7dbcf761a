"""Who must still agree: m of n, stage after stage, counted over a charter without I/O, so that the signer judges alike.

Whether an approval is genuine (a signature over the request's digest and the earlier stages) is for the caller to find
out; only the names of approvers whose signatures verified are handed in. Every outcome is a value, not an exception.

People are counted, not names: several approvers of one member are one person, a person counts once over all stages,
and whoever asked is not counted at all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import msgspec

from privyseal.terms.keys import Approver, Stage


class Granted(msgspec.Struct, frozen=True, tag="granted"):
    """Enough approvers agreed: their names in the charter's order, empty where the charter asks for nobody."""

    by: tuple[str, ...]


class Waiting(msgspec.Struct, frozen=True, tag="waiting"):
    """Not enough approvers agreed yet: ``missing`` more of those in ``for_whom`` must, in this stage."""

    for_whom: tuple[str, ...]
    missing: int
    stage: int = 0


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """The charter itself cannot be satisfied or cannot be counted: why, in one sentence."""

    why: str


def decide(
    approvers: Sequence[Approver],
    stages: Sequence[Stage],
    agreed: Sequence[Collection[str]],
    requester: str | None = None,
) -> Granted | Waiting | Refused:
    """Count, stage after stage, who of the charter's ``approvers`` agreed.

    ``agreed`` holds for each stage the names of those whose signatures for it verified under the public key that the
    charter gives for that name. A name that is not in the charter (any more) counts for nothing. A charter that names
    one approver, or one public key, twice is Refused, and so is what can no longer be satisfied by anybody. No stages
    are Granted; whether a key may have none (only one born in rehearsal) is the signer's to say.
    """
    wrong = uncountable(approvers, stages)
    if wrong is not None:
        return Refused(wrong)
    used = set[str]() if requester is None else {requester}
    by: list[str] = []
    for place, stage in enumerate(stages):
        given = counted(approvers, stage, agreed[place] if place < len(agreed) else (), used)
        by += [each.name for each in given]
        used |= {each.person for each in given}
        missing = stage.need - len(given)
        if missing > 0:
            if not satisfiable(approvers, [msgspec.structs.replace(stage, need=missing), *stages[place + 1 :]], used):
                return Refused("Too few of the charter's approvers are left for what it asks; it must be amended.")
            free = [each.name for each in approvers if stage.admits(each) and each.person not in used]
            return Waiting(tuple(free), missing, place)
    return Granted(tuple(each.name for each in approvers if each.name in by))


def counted(
    approvers: Iterable[Approver], stage: Stage, agreed: Collection[str], used: Collection[str]
) -> list[Approver]:
    """Return who counts in a stage, in the charter's order: admitted, agreed, one for each person, none of ``used``."""
    found: dict[str, Approver] = {}
    for each in approvers:
        if each.name in agreed and stage.admits(each) and each.person not in used:
            found.setdefault(each.person, each)
    return list(found.values())


def uncountable(approvers: Sequence[Approver], stages: Sequence[Stage]) -> str | None:
    """Return why approvals cannot be counted under such a charter, in one sentence, or None."""
    names = [approver.name for approver in approvers]
    if len(set(names)) < len(names):
        return "The charter names one approver twice, so approvals cannot be counted; it must be amended."
    if len({approver.public_key for approver in approvers}) < len(names):
        return "The charter gives one public key twice; it must be amended."
    for stage in stages:
        if stage.need < 1:
            return f"The charter asks for {stage.need} approvals in a stage; it must ask for one or more."
        strange = sorted(set(stage.names) - set(names))
        if strange:
            return f"A stage of the charter names {strange[0][:60]!r}, who is not among its approvers; amend it."
    return None


def satisfiable(approvers: Sequence[Approver], stages: Sequence[Stage], used: Collection[str] = ()) -> bool:
    """Tell whether different people, none of them ``used``, can fill every place of every stage.

    A place looks for a person; where all it may have are taken, one of those who took them moves on (Kuhn's algorithm).
    """
    places = [stage for stage in stages for _ in range(stage.need)]
    people = {each.person for each in approvers} - set(used)
    if len(places) > len(people):
        return False
    fit = [{each.person for each in approvers if stage.admits(each)} & people for stage in places]
    taken: dict[str, int] = {}
    return all(_settled(place, fit, taken, set()) for place in range(len(places)))


def _settled(place: int, fit: Sequence[set[str]], taken: dict[str, int], tried: set[str]) -> bool:
    for person in sorted(fit[place] - tried):
        if person in tried:
            continue
        tried.add(person)
        if person not in taken or _settled(taken[person], fit, taken, tried):
            taken[person] = place
            return True
    return False
