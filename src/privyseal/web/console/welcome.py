"""The page behind an invitation: a passkey, a password, or an identity at a provider, and one is inside."""

from __future__ import annotations

from privyseal.signing import people, signin
from privyseal.terms.parties import Factor, Member
from privyseal.web.console.visit import Reply, Visit, go, session_cookie


def show(visit: Visit) -> Reply:
    """Offer the ways in to whom the link is for."""
    token = visit.query.get("invitation", "")
    member = people.invited(visit.seal, token)
    options, note = people.begin_passkey(visit.seal, member, visit.origin)
    login = people.means(visit.seal, member).login
    shows = {
        "member": member,
        "account": f"{login}@{member.subscriber}",
        "invitation": token,
        "options": options,
        "note": note,
        "providers": sorted(visit.gate.providers),
    }
    return Reply("welcome.html", shows)


def password(visit: Visit) -> Reply:
    """Take the first password; the second factor is the next page."""
    token, member = _invited(visit)
    people.set_password(visit.seal, member, visit.text("password"), token)
    return _inside(
        visit, signin.Proof(member=member, factors=(Factor.PASSWORD,)), "/console/security?said=password-set"
    )


def passkey(visit: Visit) -> Reply:
    """Take the first passkey."""
    token, member = _invited(visit)
    enrolment = people.Enrolment(
        note=visit.text("note"), answer=visit.text("answer"), origin=visit.origin, label=visit.form.get("label", "")
    )
    made = people.add_passkey(visit.seal, member, enrolment, token)
    proof = signin.Proof(member=member, factors=(made.factor,), whole=True)
    return _inside(visit, proof, "/console/security?said=passkey-added")


def _invited(visit: Visit) -> tuple[str, Member]:
    token = visit.text("invitation")
    return token, people.invited(visit.seal, token)


def _inside(visit: Visit, proof: signin.Proof, to: str) -> Reply:
    session, _ = signin.begin(visit.seal, proof, visit.visitor)
    return go(to, session_cookie(visit, session))
