"""Separation of duties, proven over all at once: policy set, members, roles and the charters of keys. No I/O.

Nobody may both ask and agree for one key; nobody alone may enable a key, change a policy and use it (CSBR 5.2.4, NIST
SP 800-53 AC-5). Members are not persons: two members with the same name, e-mail address or subject at an identity
provider are taken for one person, and said to be, because the conflict that they would hide is the one that matters.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Literal

import msgspec

from privyseal.access.permissions import MAY, Verb
from privyseal.access.policies import PolicySet
from privyseal.access.reach import Party, reach
from privyseal.errors import NotPermitted
from privyseal.terms.keys import KeyPair
from privyseal.terms.parties import Role

APART: tuple[tuple[frozenset[Verb], str], ...] = (
    (frozenset[Verb]({"request", "approve"}), "asks for signatures and agrees to them"),
    (frozenset[Verb]({"manage-keys", "manage-policies"}), "enables keys and says what they may be used for"),
    (frozenset[Verb]({"manage-keys", "request"}), "enables keys and uses them"),
    (frozenset[Verb]({"manage-policies", "request"}), "says what keys may be used for and uses them"),
    (frozenset[Verb]({"manage-members", "approve"}), "says who agrees and agrees"),
    (frozenset[Verb]({"thaw", "request"}), "takes a freeze away and uses the key"),
)
"""Verbs that no one role may have together, and what somebody with them does."""


class Conflict(msgspec.Struct, frozen=True, kw_only=True):
    """A duty that is not apart, with the way that leads to it, in words."""

    kind: Literal["asks-and-agrees", "alone", "one-person-twice", "outvoted"]
    person: str
    key: str = ""
    path: str

    @property
    def warning(self) -> bool:
        """Tell whether it is only to be looked at: nothing is refused for it."""
        return self.kind == "one-person-twice"


class Person(msgspec.Struct, frozen=True):
    """One person, by all its members."""

    members: tuple[Party, ...]

    @property
    def shown(self) -> str:
        """Name the person for people."""
        return " alias ".join(each.shown for each in self.members)

    @property
    def roles(self) -> frozenset[Role]:
        """Return the roles of all its members."""
        return frozenset(role for each in self.members for role in each.roles)

    def role_for(self, verb: Verb) -> Role | None:
        """Return a role by which it may do something; None where none lets it."""
        return next((role for role in sorted(self.roles) if verb in MAY[role]), None)


def persons(parties: Sequence[Party]) -> list[Person]:
    """Put members together that are one person by name, e-mail address or subject; runs of machines are left out."""
    groups: list[tuple[set[str], list[Party]]] = []
    for party in parties:
        if party.claims is not None:
            continue
        marks, members = {_plain(each) for each in (party.name, *party.known_as)}, [party]
        apart = []
        for theirs, others in groups:
            if theirs & marks:
                marks |= theirs
                members = [*others, *members]
            else:
                apart.append((theirs, others))
        groups = [*apart, (marks, members)]
    return [Person(tuple(members)) for _, members in groups]


def conflicts(
    policy: PolicySet | None, parties: Sequence[Party], pairs: Sequence[KeyPair], formats: Sequence[str]
) -> list[Conflict]:
    """Return every conflict of duties that there is, warnings last; nothing means that duties are proven apart."""
    reached = reach(policy, (parties, [pair.name for pair in pairs], formats))
    using: dict[tuple[str, str], str] = {}
    for what, rules in reached.items():
        using.setdefault((what.party, what.key), rules[0])
    found = []
    for person in persons(parties):
        for pair in pairs:
            found += _asks_and_agrees(person, pair, using)
        found += _alone(person, using)
    for pair in pairs:
        found += _outvoted(pair, parties)
    return [*found, *_twice(parties)]


def _asks_and_agrees(person: Person, pair: KeyPair, using: dict[tuple[str, str], str]) -> list[Conflict]:
    if pair.quorum == 0:
        return []  # nobody agrees: a key of a rehearsal
    by = next((using[(each.shown, pair.name)] for each in person.members if (each.shown, pair.name) in using), None)
    agrees = _approver(person, pair)
    if by is None or agrees is None:
        return []
    path = (
        f"{person.shown} may ask for signatures with key {pair.name!r} (role {person.role_for('request')}, {_by(by)}) "
        f"and is approver {agrees!r} of its charter."
    )
    return [Conflict(kind="asks-and-agrees", person=person.shown, key=pair.name, path=path)]


def _approver(person: Person, pair: KeyPair) -> str | None:
    marks = {_plain(each) for member in person.members for each in (member.id, member.name, *member.known_as)}
    return next((each.name for each in pair.approvers if _plain(each.name) in marks), None)


def _alone(person: Person, using: dict[tuple[str, str], str]) -> list[Conflict]:
    """Find who could enable a key, change a policy and use it without anybody else.

    Who changes policies can allow himself whatever his roles let him ask for; so rules are not asked here.
    """
    enables, changes = person.role_for("manage-keys"), person.role_for("manage-policies")
    uses = person.role_for("request")
    if enables is None or changes is None or uses is None:
        return []
    path = (
        f"{person.shown} may enable a key (role {enables}), change the policy (role {changes}) and ask for signatures "
        f"(role {uses}), all alone."
    )
    key = next((key for shown, key in using if shown in {each.shown for each in person.members}), "")
    return [Conflict(kind="alone", person=person.shown, key=key, path=path)]


def _outvoted(pair: KeyPair, parties: Sequence[Party]) -> list[Conflict]:
    """Find one person who alone is a quorum, being several of a charter's approvers."""
    if pair.quorum < 2:
        return []
    found = []
    for person in persons(parties):
        marks = {_plain(each) for member in person.members for each in (member.id, member.name, *member.known_as)}
        names = [each.name for each in pair.approvers if _plain(each.name) in marks]
        if len(names) >= pair.quorum:
            path = (
                f"{person.shown} is {len(names)} approvers of key {pair.name!r} ({', '.join(names)}), whose charter "
                f"asks for {pair.quorum}."
            )
            found.append(Conflict(kind="outvoted", person=person.shown, key=pair.name, path=path))
    return found


def _twice(parties: Sequence[Party]) -> list[Conflict]:
    return [
        Conflict(
            kind="one-person-twice",
            person=each.shown,
            path=f"{each.shown}: members with the same name, e-mail address or subject are taken for one person.",
        )
        for each in persons(parties)
        if len(each.members) > 1
    ]


def of_roles(roles: Sequence[Role]) -> list[str]:
    """Say what a set of roles would let one member do that should be apart; nothing where all is well."""
    verbs = frozenset[Verb]().union(*(MAY[role] for role in roles))
    return [f"One member with the roles {', '.join(sorted(roles))} {does}." for both, does in APART if both <= verbs]


def require_roles_apart(roles: Sequence[Role]) -> None:
    """Raise NotPermitted where one member with all these roles could do what nobody should do alone."""
    found = of_roles(roles)
    if found:
        raise NotPermitted(
            found[0], hint="give the roles to two members; where there is one person, say so at the machine: invite"
        )


def require_not_oneself(actor: str, member: str) -> None:
    """Refuse that somebody changes their own roles: with that, every other separation would hang on good will."""
    if actor == member:
        raise NotPermitted("Nobody changes their own roles.", hint="another administrator does")


def _by(rule: str) -> str:
    return rule if " " in rule else f"rule {rule!r}"


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().strip()
