"""Who is a Signing Service: from an organisation's facts to its role, what binds it, and its audit (CSBR 1.6.1, 8.4).

The rules, as the text and the minutes of 2023-10-19 have them:

* Since CSC-21 a Signing Service is whoever generates the Key Pair *and* guards the Private Key *for another party*.
  Before, it was whoever signed code for another party, and where the key lay did not matter.
* No sentence excludes a Subscriber that runs a service for itself, or a CA that is its own Subscriber. Both follow
  from "for another party".
* Whose module it is decides nothing, and neither does what the CA knows: that only tells three kinds of Signing
  Services apart.
* Selling certificates is in no clause.

What is unknown is tried both ways: the role is decided when every possible completion of the facts gives the same, and
otherwise the facts are named on which it depends. Pure; the day is handed in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from enum import StrEnum
from itertools import product

import msgspec

from privyseal.compliance.audited import Audit, audit_of, governing_day
from privyseal.compliance.catalogue import BY_ID, REQUIREMENTS
from privyseal.compliance.facts import Facts, ForWhom, Hand, WithCA
from privyseal.compliance.requirement import Conflict, DatedBy, Nature, Party, Reading, Requirement
from privyseal.errors import BadInput

FIRST_DAY = date(2019, 8, 13)
"""Version 1.2 (CSC-1), before which there were no such Requirements."""

BY_GUARDING = date(2024, 2, 28)
"""CSC-21: from here it is who generates and guards the key that decides, and no longer who signs (CSBR 1.6.1)."""

AFFILIATES = Conflict(
    "A Signing Service acts on behalf of a Subscriber (1.6.1), and whether an affiliate is another party is not said.",
    (
        Reading("another", "An affiliate is a legal entity of its own, and so another party."),
        Reading("same", "A group acts for itself; 9.6.3 too has affiliates sign Terms of Use and no agreement."),
    ),
    "another",
)
"""The two readings; the operator's choice is kept under the definition's id, ``CSBR-1.6.1-01``."""


class ServiceRole(StrEnum):
    """What an organisation is, as far as Signing Services go."""

    OPERATED_BY_CA = "signing-service-operated-by-ca"
    PARTNER_OF_CA = "signing-service-partner-of-ca"
    UNAFFILIATED = "signing-service-unaffiliated"
    SUBSCRIBER_MANAGED = "subscriber-managed"
    CA_AS_SUBSCRIBER = "ca-as-subscriber"
    RESELLER_ONLY = "reseller-only"
    NOT_A_SIGNING_SERVICE = "not-a-signing-service"
    UNDETERMINED = "undetermined"


WORDS: dict[ServiceRole, str] = {
    ServiceRole.OPERATED_BY_CA: "a Signing Service that a CA operates",
    ServiceRole.PARTNER_OF_CA: "a Signing Service that is a CA's partner",
    ServiceRole.UNAFFILIATED: "a Signing Service that no CA is affiliated with",
    ServiceRole.SUBSCRIBER_MANAGED: "a Subscriber that manages its own key",
    ServiceRole.CA_AS_SUBSCRIBER: "a CA that is its own Subscriber",
    ServiceRole.RESELLER_ONLY: "a reseller and nothing more",
    ServiceRole.NOT_A_SIGNING_SERVICE: "no Signing Service",
    ServiceRole.UNDETERMINED: "undetermined",
}
"""Each role as a sentence names it."""

SERVICES = frozenset({ServiceRole.OPERATED_BY_CA, ServiceRole.PARTNER_OF_CA, ServiceRole.UNAFFILIATED})
"""The roles that are a Signing Service (CSBR 1.6.1)."""

_BY_CA = {
    WithCA.ITSELF: ServiceRole.OPERATED_BY_CA,
    WithCA.PARTNER: ServiceRole.PARTNER_OF_CA,
    WithCA.NONE: ServiceRole.UNAFFILIATED,
}

_NEEDS_A_CONTRACT = frozenset({"CSBR-2.2-03", "CSBR-9.6.5-01", "CSBR-9.6.5-02", "CSBR-9.6.5-90"})
"""What a CA writes into its contract with a Signing Service, and so does not reach one that has none."""

_TOWARDS_A_SERVICE = frozenset({"CSBR-6.2.7.4.1-09", "CSBR-6.2.7.4.2-08"})
"""What a Subscriber does only where a Signing Service holds its key, beside all of 6.2.7.3 and 9.6.5."""

_DECIDING: dict[str, tuple[object, ...]] = {
    "for_whom": tuple(ForWhom),
    "sells_only": (True, False),
    "generates": tuple(Hand),
    "holds": tuple(Hand),
    "signs": (True, False),
    "ca": tuple(WithCA),
}
"""The facts on which a role can depend, and all that each can be: 324 completions where nothing is known. The others
decide only by excluding some of these."""


class Classification(msgspec.Struct, frozen=True, kw_only=True):
    """What an organisation is on a day, and what follows."""

    name: str
    day: date
    role: ServiceRole
    candidates: tuple[ServiceRole, ...]
    """The roles that the facts allow: one, or several where it is undetermined."""
    undecided: tuple[str, ...]
    """The unknown facts on which the role depends, the one to find out first in front."""
    definition: str
    """The id of the definition that decided."""
    nature: Nature
    sentence: str
    """The one that decides."""
    clauses: tuple[str, ...]
    """Ids of the requirements that bind in all candidates, house rules left out."""
    audit: Audit | None
    """None where no audit of a Signing Service is due in any, or not in all candidates."""
    notes: tuple[str, ...]


def classify(facts: Facts, day: date, requirements: Sequence[Requirement] = REQUIREMENTS) -> Classification:
    """Return what an organisation with these facts is on this day.

    Raises BadInput for a day before the first Requirements, for facts that exclude each other, and for a choice that
    is none of the readings.
    """
    if day < FIRST_DAY:
        raise BadInput(f"On {day} there were no Requirements yet; the first are of {FIRST_DAY}.")
    choices = _alike(facts.choices)
    facts = msgspec.structs.replace(facts, choices=choices)
    possible = [(whole, _role(whole, day)) for whole in _completions(facts)]
    if not possible:
        raise BadInput(facts.contradiction() or "These facts exclude each other.")
    candidates = tuple(role for role in ServiceRole if role in {found for _, found in possible})
    role = candidates[0] if len(candidates) == 1 else ServiceRole.UNDETERMINED
    undecided = _undecided(facts, possible)
    kinds = {(found, _for_itself(whole)) for whole, found in possible}
    bound = set.intersection(*(_bound(*kind, facts, day, requirements) for kind in kinds))
    return Classification(
        name=facts.name,
        day=day,
        role=role,
        candidates=candidates,
        undecided=tuple(undecided),
        definition="CSBR-1.6.1-01" if day >= BY_GUARDING else "CSBR-1.6.1-90",
        nature=Nature.INTERPRETATION if facts.for_whom is ForWhom.AFFILIATE else Nature.TEXT,
        sentence=_doubt(candidates, undecided) if undecided else _sentence(role, facts, day),
        clauses=tuple(each.id for each in requirements if each.id in bound),
        audit=audit_of(bound, day, facts.audit_period_starts, choices) if SERVICES.issuperset(candidates) else None,
        notes=tuple(_notes(facts, candidates, day)),
    )


def _alike(choices: Mapping[str, str]) -> dict[str, str]:
    """Return the choices, each also for the other entries that carry the same conflict."""
    made: dict[str, str] = {}
    for name, choice in choices.items():
        conflict = AFFILIATES if name == "CSBR-1.6.1-01" else BY_ID[name].conflict if name in BY_ID else None
        readings = () if conflict is None else tuple(each.name for each in conflict.readings)
        if choice not in readings:
            offered = f"its readings are {', '.join(readings)}" if readings else "it is no text with two readings"
            raise BadInput(f"{choice!r} cannot be chosen for {name}: {offered}.")
        made.update({each.id: choice for each in REQUIREMENTS if each.conflict is conflict and conflict is not None})
        made[name] = choice
    return made | dict(choices)


def _completions(facts: Facts) -> Iterator[Facts]:
    """Yield the facts with every possible value for each unknown one on which a role can depend."""
    unknown = [name for name in _DECIDING if getattr(facts, name) is None]
    for values in product(*(_DECIDING[name] for name in unknown)):
        whole = msgspec.structs.replace(facts, **dict(zip(unknown, values, strict=True)))
        if whole.contradiction() is None:
            yield whole


def _for_itself(facts: Facts) -> bool:
    """Tell whether no other party is acted for, as far as is known."""
    same = facts.choices.get("CSBR-1.6.1-01", AFFILIATES.default) == "same"
    return facts.for_whom is ForWhom.ITSELF or (same and facts.for_whom is ForWhom.AFFILIATE)


def _role(facts: Facts, day: date) -> ServiceRole:
    """Return the role where nothing is unknown."""
    if facts.sells_only:
        return ServiceRole.RESELLER_ONLY
    if _for_itself(facts):
        if facts.ca is WithCA.ITSELF:
            return ServiceRole.CA_AS_SUBSCRIBER
        held_elsewhere = facts.holds is Hand.OTHER
        return ServiceRole.NOT_A_SIGNING_SERVICE if held_elsewhere else ServiceRole.SUBSCRIBER_MANAGED
    guards = facts.generates is Hand.ORGANISATION and facts.holds is Hand.ORGANISATION
    if facts.ca is None or not (guards if day >= BY_GUARDING else facts.signs):
        return ServiceRole.NOT_A_SIGNING_SERVICE
    return _BY_CA[facts.ca]


def _undecided(facts: Facts, possible: Sequence[tuple[Facts, ServiceRole]]) -> list[str]:
    """Return the unknown facts on which the role depends; in front the one that leaves the fewest roles over."""
    found: dict[str, int] = {}
    for name in _DECIDING:
        if getattr(facts, name) is not None:
            continue
        others = [other for other in _DECIDING if other != name]
        by_rest: dict[tuple[object, ...], set[ServiceRole]] = {}
        by_value: dict[object, set[ServiceRole]] = {}
        for whole, role in possible:
            by_rest.setdefault(tuple(getattr(whole, other) for other in others), set()).add(role)
            by_value.setdefault(getattr(whole, name), set()).add(role)
        if any(len(roles) > 1 for roles in by_rest.values()):
            found[name] = max(len(roles) for roles in by_value.values())
    return sorted(found, key=found.__getitem__)


def _bound(role: ServiceRole, itself: bool, facts: Facts, day: date, requirements: Sequence[Requirement]) -> set[str]:
    """Return the ids of what binds somebody in this role on this day."""
    parties = _parties(role, itself)
    period = governing_day(day, facts.audit_period_starts)
    bound = set()
    for each in requirements:
        governs = period if each.dated_by is DatedBy.AUDIT_PERIOD_START else day
        if (
            parties.intersection(each.binds)
            and each.nature is not Nature.HOUSE_RULE
            and each.binding_since(facts.choices).on(governs)
            and not _spared(role, each)
        ):
            bound.add(each.id)
    return bound


def _parties(role: ServiceRole, itself: bool) -> frozenset[Party]:
    """Return as whom the Requirements bind somebody in this role."""
    if role is ServiceRole.OPERATED_BY_CA:
        return frozenset({Party.CA, Party.SIGNING_SERVICE})
    if role in SERVICES:
        return frozenset({Party.SIGNING_SERVICE})
    if role is ServiceRole.CA_AS_SUBSCRIBER:
        return frozenset({Party.CA, Party.SUBSCRIBER})
    if role is ServiceRole.SUBSCRIBER_MANAGED or itself:
        return frozenset({Party.SUBSCRIBER})
    return frozenset()


def _spared(role: ServiceRole, requirement: Requirement) -> bool:
    """Tell whether a requirement presupposes what is not there: a contract with a CA, or a service for the key."""
    if role is ServiceRole.UNAFFILIATED:
        return requirement.id in _NEEDS_A_CONTRACT
    if role in (ServiceRole.SUBSCRIBER_MANAGED, ServiceRole.CA_AS_SUBSCRIBER):
        return requirement.clause in ("6.2.7.3", "9.6.5") or requirement.id in _TOWARDS_A_SERVICE
    return False


def _doubt(candidates: Sequence[ServiceRole], undecided: Sequence[str]) -> str:
    """Say what it may be, and which fact would decide."""
    first, *more = undecided
    find_out = f"find out {first} first, then {' and '.join(more)}" if more else f"{first} decides, and is not known"
    if set(candidates) == SERVICES:
        return f"It is a Signing Service (CSBR 1.6.1); of which kind depends: {find_out}."
    kinds = [WORDS[each] for each in candidates]
    if set(candidates) > SERVICES:
        kinds = ["a Signing Service", *(WORDS[each] for each in candidates if each not in SERVICES)]
    return f"It may be {' or '.join(kinds)}: {find_out}."


def _sentence(role: ServiceRole, facts: Facts, day: date) -> str:
    """Say why it is what it is, by what is known."""
    if role in SERVICES:
        if day < BY_GUARDING:
            return f"It signs code for another party, so until CSC-21 it is {WORDS[role]} (CSBR 1.6.1 before 3.6)."
        return (
            f"It generates the Key Pair and guards the Private Key for another party, so it is {WORDS[role]}"
            " (CSBR 1.6.1)."
        )
    if role is ServiceRole.RESELLER_ONLY:
        return "It sells certificates and touches no key, and no clause speaks of resellers."
    if role is ServiceRole.CA_AS_SUBSCRIBER:
        return "CA and Subscriber are the same, so it acts for no other party (CSBR 1.6.1), under Terms of Use (9.6.3)."
    if role is ServiceRole.SUBSCRIBER_MANAGED:
        return (
            "Its keys are for its own certificates, so it acts for no other party (CSBR 1.6.1), and 6.2.7.4 binds it."
        )
    return _why_not(facts, day)


def _why_not(facts: Facts, day: date) -> str:
    if _for_itself(facts):
        return "Somebody else guards its key, so it is that one's facts that say who is a Signing Service (CSBR 1.6.1)."
    if day < BY_GUARDING and facts.signs is False:
        return "It does not sign, and until CSC-21 it is the act of signing that decides (CSBR 1.6.1 before 3.6)."
    if facts.ships_tokens:
        return "The key goes to the Subscriber in a token, so it is not guarded for the Subscriber (CSBR 1.6.1)."
    if facts.hosts_keys and facts.holds is Hand.SUBSCRIBER:
        return (
            "It runs the modules, but the Subscriber guards the keys in them: its cloud, not its service (CSBR 1.6.1)."
        )
    if facts.holds is not None and facts.holds is not Hand.ORGANISATION:
        return "It does not guard the Private Key, and a Signing Service does (CSBR 1.6.1)."
    return "It does not generate the Key Pair, and a Signing Service does, besides guarding the key (CSBR 1.6.1)."


def _notes(facts: Facts, candidates: Sequence[ServiceRole], day: date) -> Iterator[str]:
    """Say what else somebody in this position should know."""
    service = SERVICES.issuperset(candidates)
    if facts.for_whom is ForWhom.AFFILIATE:
        reading = facts.choices.get("CSBR-1.6.1-01", AFFILIATES.default)
        yield f"{AFFILIATES.text} It is read as: {reading}."
    if service and facts.key_leaves and day >= BY_GUARDING:
        yield "The key is given to the Subscriber, which a Signing Service must not do (CSBR 6.1.2, 6.2.6)."
    if candidates == (ServiceRole.OPERATED_BY_CA,) and day >= BY_GUARDING:
        yield "The CA has an audit of its own (CSBR 8.4.1); one report may serve both, by one auditor (8.6)."
    if candidates == (ServiceRole.UNAFFILIATED,) and day >= BY_GUARDING:
        yield "No text tells a CA how to find it, and the Subscriber's agreement (6.2.7.4.2) asks for no audit."
    if candidates == (ServiceRole.CA_AS_SUBSCRIBER,):
        yield "The minutes of 2023-10-19 cite an agreement between two teams of one organisation; no text asks for it."
    if candidates == (ServiceRole.RESELLER_ONLY,):
        yield "If it validated for a CA, it would be a Delegated Third Party (CSBR 1.3.2)."
    imports = facts.holds is Hand.ORGANISATION and facts.generates in (Hand.SUBSCRIBER, Hand.OTHER)
    if imports and not _for_itself(facts) and day >= BY_GUARDING:
        yield "A key that is brought to it fits none of the ways in which a Subscriber can protect its key (6.2.7.4.1)."
    if facts.module is not None:
        yield "Whose module it is does not decide."
