"""What is frozen: stopping harm takes one person here, and letting it sign again two."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from privyseal.errors import BadInput
from privyseal.records import freezes as kept
from privyseal.records import keys, parties, policies
from privyseal.signing import freezes
from privyseal.signing.forms_of_requests import Agreement
from privyseal.signing.freezes import Asked, Standing
from privyseal.terms.freezes import Frozen
from privyseal.web.console.visit import Reply, Visit, go

PATH = "/console/freezes"
MOST_SHOWN = 100
"""Freezes on the page, the newest first."""


def show(visit: Visit) -> Reply:
    """List what is and was frozen, and offer to freeze what can be."""
    with visit.seal.records.reading(visit.actor.subscriber) as tx:
        found = kept.listed(tx, MOST_SHOWN)
        standings = [Standing(frozen=each, agreed=tuple(kept.agreed(tx, each.id))) for each in found]
        names = parties.names(tx)
        policy = policies.current(tx)
        things = [("key", pair.name) for pair in keys.key_pairs_of(tx)]
    things += [("policy", name) for name in sorted(policy.rules if policy else ())]
    things += [("subscriber", visit.actor.subscriber)]
    held = {(each.frozen.kind, each.frozen.name) for each in standings if each.frozen.thawed is None}
    shows = {
        "holding": [each for each in standings if each.frozen.thawed is None],
        "over": [each for each in standings if each.frozen.thawed is not None],
        "names": names,
        "things": [each for each in things if each not in held],
        "need": freezes.AGREE,
        "me": f"member {visit.actor.member.id}",
        "may_freeze": visit.may("freeze"),
        "may_thaw": visit.may("thaw"),
        "recent": visit.recent,
    }
    return Reply("freezes.html", shows)


def words(frozen: Frozen, names: Mapping[str, str]) -> str:
    """Say what is frozen, why, and by whom by name."""
    return freezes.sentence(msgspec.structs.replace(frozen, frozen_by=names.get(frozen.frozen_by, frozen.frozen_by)))


def freeze(visit: Visit) -> Reply:
    """Freeze a key, a policy or the Subscriber from now on."""
    kind, _, name = visit.text("what").partition(" ")
    try:
        asked = msgspec.convert({"kind": kind, "name": name, "reason": visit.text("reason").strip()}, Asked)
    except msgspec.ValidationError as error:
        raise BadInput(
            "What is to be frozen, or why, is not said.", hint="choose one of the list, and give a reason"
        ) from error
    freezes.freeze(visit.seal, visit.actor, asked)
    return go(f"{PATH}?said=frozen")


def thaw(visit: Visit) -> Reply:
    """Agree that something signs again; the second person's word thaws it."""
    standing = freezes.agree(visit.seal, visit.actor, visit.text("freeze"), Agreement())
    return go(f"{PATH}?said={'thaw-agreed' if standing.frozen.thawed is None else 'thawed'}")
