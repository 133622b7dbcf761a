"""Who speaks for whom in administration: the operator's members for the service, everybody else for their own."""

from __future__ import annotations

from privyseal.access import permissions
from privyseal.access.permissions import Verb
from privyseal.errors import NotPermitted
from privyseal.signing.instance import PrivySeal
from privyseal.terms.parties import Actor

ITSELF = "service"
"""Who acts where nobody was authenticated: whoever founds the service at its own machine."""


def of(actor: Actor | None) -> str:
    """Return whom records name as having done something: a member's id, or ``service``."""
    return ITSELF if actor is None else actor.member.id


def factors_of(actor: Actor | None) -> tuple[str, ...]:
    """Return by what whoever acts proved who they are; nothing for the service itself."""
    return () if actor is None else tuple(actor.factors)


def require(actor: Actor | None, verb: Verb, subscriber: str) -> None:
    """Let pass the service itself, and an Actor who may do ``verb`` for its own Subscriber; see ``permissions``."""
    if actor is not None:
        permissions.require(actor, verb, subscriber)


def require_operator(seal: PrivySeal, actor: Actor | None, verb: Verb) -> None:
    """Let pass the service itself, and those of the operator's members whose role allows ``verb``."""
    if actor is None:
        return
    if actor.subscriber != seal.service.operator:
        raise NotPermitted(
            f"Members of {actor.subscriber!r} do not speak for the Signing Service.",
            hint="[service] operator in its configuration names whose members do",
        )
    permissions.require(actor, verb, actor.subscriber)


def about(seal: PrivySeal, subscriber: str) -> str:
    """Return of whom a statement on a Subscriber's accounts or papers speaks: of the service for the operator's."""
    return "service" if subscriber == seal.service.operator else f"subscriber:{subscriber}"
