"""Who leaves comes in no more: every credential and session of theirs ends in the one transaction that says so.

NSR 2.2.1.3 gives 24 hours from the day they left; here it is done at once, and the record says how late that was.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from privyseal.access import permissions
from privyseal.compliance.statements_of_parties import Left
from privyseal.errors import BadInput, NotPermitted
from privyseal.records import parties, people, sessions, trust
from privyseal.records.database import Transaction
from privyseal.records.events import Event
from privyseal.signing import announce, voice
from privyseal.signing.instance import PrivySeal
from privyseal.terms.parties import Actor, Member

ENDS: tuple[Callable[[Transaction, str], object], ...] = (
    parties.forget_tokens,
    parties.forget_client_certificates,
    trust.forget_tokens,
    sessions.end_all,
    people.forget_credentials,
)
"""What ends one kind of credential or session of a member, by their id. Every kind there is has its line here; a
member who left is let in by none of them, whatever is forgotten here (``parties.is_in``)."""


def leave(seal: PrivySeal, actor: Actor, member: str, left: datetime) -> Left:
    """End everything by which a member, by id or name, comes in; ``left`` is when the person left.

    Raises BadInput for a moment that has not come, NotFound where there is no such member, NotPermitted where one
    would shut out oneself: so an administrator always remains. For one who left already it changes nothing.
    """
    permissions.require(actor, "manage-members", actor.subscriber)
    now = seal.clock()
    if left > now:
        raise BadInput("Nobody has left at a moment that has not come.", hint="say it when they have left")
    with seal.records.writing(actor.subscriber) as tx:
        leaver = parties.member(tx, member)
        _require_another(actor, leaver)
        gone = Left(
            about=voice.about(seal, actor.subscriber),
            member=leaver.id,
            left=left.astimezone(UTC).replace(microsecond=0),
            ended=now.replace(microsecond=0),
            by=actor.member.id,
        )
        if parties.end(tx, leaver.id, now):
            for end in ENDS:
                end(tx, leaver.id)
            announce.stated(seal, tx, Event(now, actor.member.id, "member left", leaver.id), gone)
    return gone


def _require_another(actor: Actor, leaver: Member) -> None:
    if leaver.id == actor.member.id:
        raise NotPermitted("Nobody ends their own account; another administrator does.")
