"""Duties apart: in the table of roles itself, and over members, charters and rules together."""

from __future__ import annotations

import itertools

import pytest
from tests.access.test_policies import policy
from tests.web.house import pair

from privyseal.access.duties_apart import APART, conflicts, of_roles, persons, require_not_oneself
from privyseal.access.permissions import MAY
from privyseal.access.reach import Party
from privyseal.errors import NotPermitted
from privyseal.terms.keys import Approver, KeyPair
from privyseal.terms.parties import Role

REQUESTER, APPROVER, CUSTODIAN, ADMINISTRATOR = Role.REQUESTER, Role.APPROVER, Role.CUSTODIAN, Role.ADMINISTRATOR


def somebody(name: str, *roles: Role, number: int = 1, known_as: tuple[str, ...] = ()) -> Party:
    return Party(id=f"M-{name.lower()}-{number}", name=name, roles=roles, known_as=known_as)


def key(*approvers: str, quorum: int = 1) -> KeyPair:
    return pair("release", b"spki", tuple(Approver(each, each.encode() * 8) for each in approvers), quorum)


def kinds(parties: list[Party], pairs: list[KeyPair], rules: str | None = None) -> list[str]:
    whole = None if rules is None else policy(rules)
    return [each.kind for each in conflicts(whole, parties, pairs, ["pe"])]


@pytest.mark.parametrize("role", Role)
def test_no_role_has_a_conflict_built_in(role: Role) -> None:
    """The table of roles lets no one role do two things that should be apart."""
    assert not [does for both, does in APART if both <= MAY[role]]


def test_an_auditor_only_reads() -> None:
    """Every verb of the role reads."""
    assert all(verb.startswith("see-") or verb == "who-signed" for verb in MAY[Role.AUDITOR])


def test_who_asks_and_agrees_for_one_key_is_found_with_the_way() -> None:
    """By name or id in the charter; the way names person, key, role, rule and approver."""
    ada = somebody("Ada", REQUESTER, APPROVER)
    (found,) = conflicts(policy('[all]\nkeys = ["*"]'), [ada], [key("ada")], ["pe"])
    assert found.path == (
        "Ada (M-ada-1) may ask for signatures with key 'release' (role requester, rule 'all') and is approver 'ada' of "
        "its charter."
    )
    assert kinds([ada], [key("M-ada-1")]) == ["asks-and-agrees"]


def test_a_rule_that_keeps_somebody_from_a_key_takes_the_conflict_away() -> None:
    """It is the whole that is judged, not roles alone."""
    ada, bob = somebody("Ada", REQUESTER, APPROVER), somebody("Bob", REQUESTER)
    assert kinds([ada, bob], [key("ada")], '[bob]\nkeys = ["release"]\nwho = { members = ["Bob"] }') == []
    assert kinds([ada, bob], [key("carol")]) == []
    assert kinds([ada, bob], [key(quorum=0)]) == []


def test_one_person_with_two_members_is_one_person() -> None:
    """By name however it is written, by e-mail address, by subject; the pair is told, and the conflict found."""
    asks = somebody("Ada L", REQUESTER)
    for name in ("ADA L", "Ada L ", "\uff21da L"):
        agrees = Party(id="M-9", name=name, roles=(APPROVER,))
        assert kinds([asks, agrees], [key("M-9")]) == ["asks-and-agrees", "one-person-twice"]
        assert kinds([asks, agrees], [key("M-8")]) == ["one-person-twice"]
    mail = Party(id="M-8", name="A. Lovelace", roles=(APPROVER,), known_as=("ada@example.org",))
    same = somebody("Ada L", REQUESTER, known_as=("Ada@Example.org",))
    assert kinds([same, mail], [key("M-8")]) == ["asks-and-agrees", "one-person-twice"]


def test_marks_join_members_across_a_third() -> None:
    """Two that share nothing are one person where a third has something of each, in any order."""
    three = [
        somebody("A", REQUESTER, known_as=("x",)),
        somebody("B", REQUESTER, known_as=("y",)),
        somebody("C", REQUESTER, known_as=("x", "y")),
    ]
    for order in itertools.permutations(three):
        assert len(persons(order)) == 1


def test_nobody_alone_enables_a_key_changes_a_policy_and_uses_it() -> None:
    """All three together, by one member or by several of one person; two of three are not it."""
    assert kinds([somebody("Ada", CUSTODIAN, ADMINISTRATOR, REQUESTER)], [key("bob")]) == ["alone"]
    twice = [somebody("Ada", CUSTODIAN, REQUESTER), somebody("Ada", ADMINISTRATOR, number=2)]
    assert kinds(twice, [key("bob")]) == ["alone", "one-person-twice"]
    assert kinds([somebody("Ada", CUSTODIAN, REQUESTER), somebody("Bob", ADMINISTRATOR)], [key("bob")]) == []


def test_one_person_is_no_quorum() -> None:
    """Two approvers of a charter that are one person do not make two."""
    ada = [somebody("Ada", APPROVER), Party(id="M-2", name="ada", roles=(APPROVER,))]
    assert kinds(ada, [key("M-ada-1", "M-2", quorum=2)]) == ["outvoted", "one-person-twice"]


def test_roles_of_one_member_are_judged_when_they_are_given() -> None:
    """In words, for who gives them; and nobody gives them to himself."""
    assert of_roles([REQUESTER]) == []
    assert "asks for signatures and agrees" in of_roles([REQUESTER, APPROVER])[0]
    require_not_oneself("M-1", "M-2")
    with pytest.raises(NotPermitted):
        require_not_oneself("M-1", "M-1")
