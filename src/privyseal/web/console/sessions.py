"""One's own sessions, to look at and to end."""

from __future__ import annotations

from privyseal.signing import people, signin
from privyseal.web.console.visit import Reply, Visit, go


def show(visit: Visit) -> Reply:
    """List the sessions that have not ended, this one first."""
    mine = visit.signed_in
    listed = sorted(signin.of_member(visit.seal, mine.member), key=lambda each: each.id != mine.id)
    return Reply("sessions.html", {"listed": listed, "mine": mine.id})


def end(visit: Visit) -> Reply:
    """End one of one's own sessions."""
    signin.end(visit.seal, visit.signed_in.member, visit.text("session"))
    return go("/console/sessions?said=session-ended")


def end_others(visit: Visit) -> Reply:
    """End all of one's own sessions but this one."""
    people.end_other_sessions(visit.seal, visit.actor)
    return go("/console/sessions?said=others-ended")
