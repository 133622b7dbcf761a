"""The way to an identity provider and back."""

from __future__ import annotations

from privyseal.signing import people, signin
from privyseal.terms.parties import Factor
from privyseal.web.console.enter import enter
from privyseal.web.console.visit import Reply, Visit, away_cookie, go

CALLBACK = "/console/provider/callback"
"""What is registered at a provider, behind our own address."""


def leave(visit: Visit) -> Reply:
    """Send the browser to a provider; the note of what was asked stays with it."""
    invitation = visit.query.get("invitation", "")
    if invitation:
        people.invited(visit.seal, invitation)
    url, note = signin.begin_at_provider(
        visit.seal,
        visit.query.get("name", ""),
        visit.origin + CALLBACK,
        after=visit.next,
        invitation=invitation,
    )
    return go(url, away_cookie(visit, note))


def come_back(visit: Visit) -> Reply:
    """Take what a provider says; link it to an invitation, or sign its member in.

    A page of our own leads on: the browser sends a strict cookie to nothing that another site began.
    """
    note = visit.away_note
    asked = signin.away(visit.seal, note)
    found = signin.identity_at_provider(visit.seal, note, dict(visit.query), visit.origin + CALLBACK)
    if asked.invitation:
        member = people.invited(visit.seal, asked.invitation)
        people.link(visit.seal, member, found.issuer, found.subject, asked.invitation)
        proof = signin.Proof(member=member, factors=(Factor.OIDC,), said=found.said)
    else:
        proof = signin.by_identity(visit.seal, found, note)
    inside = enter(visit, proof)
    to = asked.next if not inside.to.startswith("/console/second-factor") else inside.to
    return Reply("inside.html", {"to": to}, cookies=(*inside.cookies, away_cookie(visit, "")))
