"""By what one signs in: password, passkeys, an app's codes, recovery codes."""

from __future__ import annotations

from privyseal.errors import BadInput
from privyseal.signing import people, signin
from privyseal.terms.parties import Factor
from privyseal.web.console.visit import Reply, Visit, go, session_cookie


def show(visit: Visit) -> Reply:
    """Show by what one signs in, and offer what is missing."""
    member = visit.signed_in.member
    options, note = people.begin_passkey(visit.seal, member, visit.origin)
    shows = {"known": people.means(visit.seal, member), "options": options, "note": note}
    return Reply("security.html", shows)


def password(visit: Visit) -> Reply:
    """Set another password."""
    people.set_password(visit.seal, visit.actor, visit.text("password"))
    return go("/console/security?said=password-set")


def passkey(visit: Visit) -> Reply:
    """Enrol a passkey; it was shown this very moment, so the session grows by it."""
    enrolment = people.Enrolment(
        note=visit.text("note"), answer=visit.text("answer"), origin=visit.origin, label=visit.form.get("label", "")
    )
    made = people.add_passkey(visit.seal, visit.actor, enrolment)
    session = visit.signed_in
    proof = signin.Proof(member=session.member, factors=(made.factor,), whole=True)
    token, _ = signin.grow(visit.seal, session, proof, visit.visitor)
    return go("/console/security?said=passkey-added", session_cookie(visit, token))


def remove_passkey(visit: Visit) -> Reply:
    """Forget a passkey."""
    try:
        credential = bytes.fromhex(visit.text("credential"))
    except ValueError as error:
        raise BadInput("That is not the id of a passkey.") from error
    people.remove_passkey(visit.seal, visit.actor, credential)
    return go("/console/security?said=passkey-removed")


def begin_app(visit: Visit) -> Reply:
    """Show a secret for an app, once."""
    secret, uri = people.begin_totp(visit.seal, visit.actor, visit.seal.service.name)
    return Reply("app.html", {"secret": secret, "uri": uri})


def confirm_app(visit: Visit) -> Reply:
    """Take the app in by its first code, and show recovery codes, once."""
    codes = people.confirm_totp(visit.seal, visit.actor, visit.text("code"))
    session = visit.signed_in
    proof = signin.Proof(member=session.member, factors=(Factor.TOTP,))
    token, _ = signin.grow(visit.seal, session, proof, visit.visitor)
    return Reply("recovery_codes.html", {"codes": codes}, cookies=(session_cookie(visit, token),))


def recovery_codes(visit: Visit) -> Reply:
    """Draw new recovery codes, and show them once."""
    return Reply("recovery_codes.html", {"codes": people.new_recovery_codes(visit.seal, visit.actor)})
