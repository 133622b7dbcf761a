"""Sign-in, the second factor, and sign-out."""

from __future__ import annotations

from urllib.parse import quote

from privyseal.signing import people, signin
from privyseal.web.console.visit import Reply, Visit, go, session_cookie


def show(visit: Visit) -> Reply:
    """Offer a passkey, a provider, or name and password."""
    options, note = signin.begin_passkey(visit.seal, visit.origin)
    return Reply("sign_in.html", {"options": options, "note": note, "providers": sorted(visit.gate.providers)})


def password(visit: Visit) -> Reply:
    """Take name and password."""
    login, _, subscriber = visit.text("account").strip().partition("@")
    proof = signin.by_password(visit.seal, subscriber, login, visit.text("password"))
    return enter(visit, proof)


def passkey(visit: Visit) -> Reply:
    """Take a passkey, which is two factors by itself."""
    return enter(visit, signin.by_passkey(visit.seal, visit.origin, visit.text("note"), visit.text("answer")))


def enter(visit: Visit, proof: signin.Proof) -> Reply:
    """Begin a session in which the second factor may be owed; the one of before ends."""
    if visit.session is not None:
        signin.end(visit.seal, visit.session.member, visit.session.id)
    token, session = signin.begin(visit.seal, proof, visit.visitor)
    to = f"/console/second-factor?next={quote(visit.next, safe='')}" if session.pending else visit.next
    return go(to, session_cookie(visit, token))


def second(visit: Visit) -> Reply:
    """Ask for the second factor, at sign-in or again."""
    member = visit.signed_in.member
    known = people.means(visit.seal, member)
    options, note = signin.begin_passkey(visit.seal, visit.origin, member)
    shows = {"known": known, "options": options, "note": note, "owed": visit.signed_in.pending}
    return Reply("second_factor.html", shows)


def second_passkey(visit: Visit) -> Reply:
    """Take a passkey of the session's own member."""
    member = visit.signed_in.member
    proof = signin.by_passkey(visit.seal, visit.origin, visit.text("note"), visit.text("answer"), member)
    return _grown(visit, proof)


def second_code(visit: Visit) -> Reply:
    """Take a code of the app, or a recovery code."""
    return _grown(visit, signin.by_code(visit.seal, visit.signed_in.member, visit.text("code")))


def sign_out(visit: Visit) -> Reply:
    """End this session."""
    session = visit.signed_in
    signin.end(visit.seal, session.member, session.id)
    return go("/console/sign-in?said=signed-out", session_cookie(visit, ""))


def _grown(visit: Visit, proof: signin.Proof) -> Reply:
    token, _ = signin.grow(visit.seal, visit.signed_in, proof, visit.visitor)
    to = visit.next
    return go(f"{to}?said=confirmed" if "?" not in to else to, session_cookie(visit, token))
