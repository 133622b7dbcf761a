"""Members: who is here, who comes, who left."""

from __future__ import annotations

import re

from privyseal.errors import BadInput
from privyseal.records import parties
from privyseal.signing import enrol, forms_of_parties, leavers, people
from privyseal.terms.parties import Role
from privyseal.web.console.visit import Reply, Visit, go

PATH = "/console/members"
"""The page of the members."""


def show(visit: Visit) -> Reply:
    """List all accounts, and offer to invite somebody."""
    with visit.seal.records.reading(visit.actor.subscriber) as tx:
        accounts = parties.accounts(tx)
        ways = {each.member.id: _ways(people.means_in(tx, each.member)) for each in accounts if each.ended is None}
    shows = {
        "present": [each for each in accounts if each.ended is None],
        "ways": ways,
        "left": [each for each in accounts if each.ended is not None],
        "roles": [each for each in Role if each is not Role.OPERATOR],
        "may": visit.may("manage-members"),
        "recent": visit.recent,
        "me": visit.actor.member.id,
    }
    return Reply("members.html", shows)


def invite(visit: Visit) -> Reply:
    """Take somebody in with a role, and show the link that lets them in, once."""
    name = visit.text("name").strip()
    login = visit.form.get("login", "").strip() or re.sub(r"[^a-z0-9]+", ".", name.lower()).strip(".")
    if not people.LOGIN.match(login):
        raise BadInput("The name to sign in with is missing.", hint="lower-case letters, digits, dots, dashes")
    try:
        role = Role(visit.text("role"))
    except ValueError as error:
        raise BadInput("No role is called so.", hint="choose one of the list") from error
    new = forms_of_parties.NewMember(name=name, roles=(role,), workload=False)
    member = enrol.by_an_administrator(visit.seal, visit.actor, new)
    token = people.invite(visit.seal, visit.actor, member.subscriber, member.id, login)
    link = f"{visit.origin}/console/welcome?invitation={token}"
    return Reply("invited.html", {"member": member, "account": f"{login}@{member.subscriber}", "link": link})


def leave(visit: Visit) -> Reply:
    """End everything by which somebody comes in, from now on."""
    leavers.leave(visit.seal, visit.actor, visit.text("member"), visit.seal.clock())
    return go(f"{PATH}?said=left")


def _ways(means: people.Means) -> list[str]:
    """Say by what somebody signs in."""
    known = {
        "passkey": any(not each.synced for each in means.usable),
        "synced passkey": any(each.synced for each in means.usable),
        "password": means.password,
        "codes of an app": means.totp,
        "provider": bool(means.identities),
    }
    return [name for name, is_so in known.items() if is_so]
