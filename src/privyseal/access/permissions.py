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
    "see-members",
    "manage-members",
    "see-policies",
    "manage-policies",
    "see-trust",
    "manage-trust",
    "see-grants",
    "manage-keys",
    "agree-to-acts",
    "freeze",
    "thaw",
    "who-signed",
    "see-incidents",
    "report-incident",
    "handle-incidents",
    "see-agreements",
    "accept-agreement",
    "manage-agreements",
    "manage-subscribers",
    "manage-notifications",
    "order-certificate",
    "accept-certificate",
    "revoke-certificate",
]
"""What somebody may be allowed, each for the path's Subscriber. ``see-...`` reads and changes nothing; ``send-code``
and ``fetch-code`` move files; ``state`` states something as evidence; ``manage-keys`` proposes acts on keys, which the
signer judges by its own rules; ``agree-to-acts`` hands in a signature by which somebody agrees to one;
``order-certificate`` asks a CA and brings what it issued, ``accept-certificate`` speaks for the Subscriber as CSBR
9.6.3 has it; ``manage-subscribers`` is the operator's, for parties of the whole service."""

_SEE: frozenset[Verb] = frozenset(
    {
        "see-keys",
        "see-requests",
        "see-findings",
        "see-evidence",
        "see-members",
        "see-policies",
        "see-trust",
        "see-grants",
        "see-incidents",
        "see-agreements",
        "who-signed",
    }
)

OF_MACHINES: tuple[Verb, ...] = ("see-keys", "see-requests", "request", "send-code", "fetch-code", "see-grants")
"""What a static token can be for: enough to have code signed, and nothing that people answer for."""

_AGREE: frozenset[Verb] = frozenset({"agree-to-acts", "freeze"})

MAY: dict[Role, frozenset[Verb]] = {
    Role.REQUESTER: frozenset(
        {"see-keys", "see-requests", "request", "send-code", "fetch-code", "see-grants", "report-incident"}
    ),
    Role.APPROVER: _AGREE
    | {"see-keys", "see-requests", "approve", "see-findings", "see-grants", "report-incident", "who-signed"},
    Role.CUSTODIAN: _AGREE
    | {
        "see-keys",
        "see-requests",
        "see-findings",
        "see-grants",
        "manage-keys",
        "order-certificate",
        "revoke-certificate",
    },
    Role.ADMINISTRATOR: _SEE
    | {
        "state",
        "override-gate",
        "manage-members",
        "manage-policies",
        "manage-trust",
        "freeze",
        "report-incident",
        "accept-agreement",
        "manage-notifications",
        "order-certificate",
        "accept-certificate",
        "revoke-certificate",
    },
    Role.AUDITOR: _SEE,
    Role.OPERATOR: _SEE
    | {"manage-subscribers", "manage-agreements", "state", "freeze", "report-incident", "agree-to-acts"},
    Role.SECURITY_OFFICER: _SEE
    | {"freeze", "thaw", "report-incident", "handle-incidents", "agree-to-acts", "revoke-certificate"},
}
"""Who asks does not agree and who agrees does not ask, unless one Member was given both roles on purpose."""


ROUTINE: frozenset[Verb] = frozenset({"request", "send-code", "fetch-code", "report-incident"})
"""What is asked many times a day, or must not wait: for these a session is enough. An incident is reported at once."""


def needs_recent(verb: Verb) -> bool:
    """Tell whether a person who does this must have shown a second factor just now: who agrees, and who administers."""
    return not verb.startswith("see-") and verb != "who-signed" and verb not in ROUTINE


def may(actor: Actor, verb: Verb) -> bool:
    """Tell whether one of the Actor's roles, and its credential, allow the verb within its own Subscriber."""
    if actor.scope is not None and verb not in actor.scope.verbs:
        return False
    return any(verb in MAY[role] for role in actor.member.roles)


def require(actor: Actor, verb: Verb, subscriber: str) -> None:
    """Let pass an Actor who may do ``verb`` for ``subscriber``.

    Raises NotFound for every Subscriber but the Actor's own, in the words used where there is none of that name and
    before anything is looked up, so that neither text nor time tells the two apart. Raises NotPermitted where none of
    the Actor's roles allows the verb.
    """
    if subscriber != actor.subscriber:
        raise NotFound(f"There is no Subscriber named {subscriber!r}.")
    if actor.scope is not None and verb not in actor.scope.verbs:
        raise NotPermitted(f"This token is not for {verb!r}.", hint="privyseal token new makes one that is")
    if not may(actor, verb):
        roles = ", ".join(actor.member.roles) or "none"
        raise NotPermitted(
            f"This member's roles ({roles}) do not allow {verb!r}.", hint="an administrator can give another role"
        )


def rule_of(actor: Actor) -> str:
    """Return the one rule of the policy that the Actor's credential is for; empty where any may allow it."""
    if actor.workload is not None and actor.workload.policy:
        return actor.workload.policy
    return actor.scope.policy if actor.scope is not None else ""


def require_key(actor: Actor, key: str) -> None:
    """Let pass an Actor whose credential is for this Key Pair, or for any; NotPermitted for another one."""
    if actor.scope is not None and actor.scope.key not in ("", key):
        raise NotPermitted(f"This token is for the Key Pair {actor.scope.key!r} only.", hint="use a token for this key")
