"""What you may: one table from Role to verbs, and the rule that another Subscriber's things do not exist for you."""

from __future__ import annotations

from typing import Literal

from privyseal.errors import NotFound, NotPermitted
from privyseal.terms.parties import Actor, Role

Verb = Literal[
    "see-keys",
    "see-requests",
    "request",
    "approve",
    "send-code",
    "fetch-code",
    "see-evidence",
    "state",
    "see-findings",
    "override-gate",
]
"""What somebody may be allowed: see keys and certificates, see requests, ask for a signature, agree to one, send code
and take it back, fetch signed code and delete it, see what was stated and the documents, state something oneself, see
what was found of Requirements, hand in an override of a gate."""

MAY: dict[Role, frozenset[Verb]] = {
    Role.REQUESTER: frozenset({"see-keys", "see-requests", "request", "send-code", "fetch-code"}),
    Role.APPROVER: frozenset({"see-keys", "see-requests", "approve", "see-findings"}),
    Role.ADMINISTRATOR: frozenset(
        {"see-keys", "see-requests", "see-evidence", "state", "see-findings", "override-gate"}
    ),
    Role.AUDITOR: frozenset({"see-keys", "see-requests", "see-evidence", "see-findings"}),
}
"""Who asks does not agree and who agrees does not ask, unless one Member was given both roles on purpose."""


def may(actor: Actor, verb: Verb) -> bool:
    """Tell whether one of the Actor's roles allows the verb within its own Subscriber."""
    return any(verb in MAY[role] for role in actor.member.roles)


def require(actor: Actor, verb: Verb, subscriber: str) -> None:
    """Let pass an Actor who may do ``verb`` for ``subscriber``.

    Raises NotFound for every Subscriber but the Actor's own, in the words used where there is none of that name and
    before anything is looked up, so that neither text nor time tells the two apart. Raises NotPermitted where none of
    the Actor's roles allows the verb.
    """
    if subscriber != actor.subscriber:
        raise NotFound(f"There is no Subscriber named {subscriber!r}.")
    if not may(actor, verb):
        roles = ", ".join(actor.member.roles) or "none"
        raise NotPermitted(
            f"This member's roles ({roles}) do not allow {verb!r}.", hint="an administrator can give another role"
        )
