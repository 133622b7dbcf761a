"""The table of roles, written out once more by hand so that a change is seen, and the wall between Subscribers."""

from typing import get_args

import pytest
from tests.every import every

from privyseal.access.permissions import MAY, Verb, require
from privyseal.errors import NotFound, NotPermitted
from privyseal.terms.parties import Actor, Factor, Member, Role

_SEEN = (
    "see-keys see-requests see-findings see-evidence see-members see-policies see-trust see-grants see-incidents "
    "see-agreements who-signed "
)
TABLE = {
    Role.REQUESTER: "see-keys see-requests request send-code fetch-code see-grants report-incident",
    Role.APPROVER: "see-keys see-requests approve see-findings see-grants freeze report-incident who-signed "
    "agree-to-acts",
    Role.CUSTODIAN: "see-keys see-requests see-findings see-grants manage-keys freeze agree-to-acts "
    "order-certificate revoke-certificate",
    Role.ADMINISTRATOR: _SEEN + "state override-gate manage-members manage-policies "
    "manage-trust freeze report-incident accept-agreement manage-notifications "
    "order-certificate accept-certificate revoke-certificate",
    Role.AUDITOR: _SEEN,
    Role.OPERATOR: _SEEN + "manage-subscribers manage-agreements state freeze report-incident agree-to-acts",
    Role.SECURITY_OFFICER: _SEEN + "freeze thaw report-incident handle-incidents agree-to-acts revoke-certificate",
}
EXPECTED = {(role, verb) for role, verbs in TABLE.items() for verb in verbs.split()}


def actor(*roles: Role) -> Actor:
    return Actor(Member("M-1", "demo", "Ada", roles), (Factor.BEARER,))


@pytest.mark.parametrize("role", Role)
def test_each_role_may_what_the_table_says_and_nothing_else(role: Role) -> None:
    """Every role with every verb; a verb that nobody listed is refused."""
    with every() as case:
        for verb in get_args(Verb):
            with case(verb):
                refused = False
                try:
                    require(actor(role), verb, "demo")
                except NotPermitted:
                    refused = True
                assert refused == ((role, verb) not in EXPECTED)


def test_every_role_has_a_row() -> None:
    """A new role without a row would be a KeyError in front of a user."""
    assert set(MAY) == set(Role)


def test_a_member_without_roles_may_nothing_and_two_roles_add_up() -> None:
    """Roles are a union."""
    with pytest.raises(NotPermitted):
        require(actor(), "see-keys", "demo")
    require(actor(Role.REQUESTER, Role.APPROVER), "approve", "demo")
    require(actor(Role.REQUESTER, Role.APPROVER), "request", "demo")


@pytest.mark.parametrize("verb", get_args(Verb))
def test_another_subscriber_does_not_exist_whatever_ones_roles(verb: Verb) -> None:
    """Not found, even for what one's role would not allow anyway, and in the same words for any name."""
    with pytest.raises(NotFound) as one:
        require(actor(*Role), verb, "other")
    with pytest.raises(NotFound) as two:
        require(actor(), verb, "none!")
    assert one.value.detail.replace("other", "") == two.value.detail.replace("none!", "")
