"""A Key Pair moves from one state to the next, and nothing is signed with one that is not active.

Whoever carries out the act that moves a key calls :func:`move` in the transaction of that act. The states and their
rules stand in ``terms/life.py``; what the records say here the signer does not believe, and judges by its charter.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

from sqlalchemy import Connection

from privyseal.compliance.statements_of_lives import KeyStateChanged
from privyseal.errors import Conflict, NotFound, PrivySealError
from privyseal.records import lives, statements
from privyseal.records.database import Transaction
from privyseal.records.events import Event
from privyseal.signing import announce, voice
from privyseal.signing.case import Case
from privyseal.signing.instance import PrivySeal
from privyseal.terms.keys import KeyPair
from privyseal.terms.life import KeyState, Life, is_behind, may_follow, require_active
from privyseal.terms.parties import Actor


# The transaction, the key, where to, why and by whom: each caller knows all of it, and an act by which it was agreed.
def move(  # noqa: PLR0913
    seal: PrivySeal,
    tx: Transaction,
    key_name: str,
    to: KeyState,
    why: str = "",
    actor: Actor | str | None = None,
    *,
    act: str = "",
    key_id: str = "",
) -> Life:
    """Move a Key Pair to a state, and state it; where it is there, or has that step behind it, nothing is written.

    ``actor`` is whoever does it, a member's id, or None for the service itself; ``act`` is the id of the proposed act
    by which people agreed to it. Raises Conflict where the table does not lead there, NotFound where no key of that
    name was ever planned.
    """
    life = lives.find(tx, key_name)
    if life is None:
        if to not in (KeyState.PLANNED, KeyState.GENERATED):
            raise NotFound(f"There is no Key Pair named {key_name[:63]!r}.")
        _state(seal, tx, (None, to), (key_name, key_id), why, actor, act)
        return lives.add(tx, key_name, to, seal.clock(), key_id)
    if is_behind(life.state, to):
        return life
    if not may_follow(life.state, to):
        raise Conflict(f"Key Pair {key_name!r} is {life.state} and cannot become {to}.", hint="privyseal key show")
    now, known = seal.clock(), key_id or life.key_id
    lives.move(tx, life, to, now, known)
    _state(seal, tx, (life.state, to), (key_name, known), why, actor, act)
    return Life(subscriber=tx.subscriber, name=key_name, key_id=known, state=to, since=now, used=life.used)


# As many as a statement has parts; bundling them would make the statement twice.
def _state(  # noqa: PLR0913
    seal: PrivySeal,
    tx: Transaction,
    states: tuple[KeyState | None, KeyState],
    key: tuple[str, str],
    why: str,
    actor: Actor | str | None,
    act: str,
) -> None:
    was, becomes = states
    by = actor if isinstance(actor, str) else voice.of(actor)
    changed = KeyStateChanged(key=key[0], key_id=key[1], was=was, becomes=becomes, by=by, because=why[:2000], act=act)
    announce.stated(seal, tx, Event(seal.clock(), by, f"key {becomes}", key[1] or key[0]), changed)


def certified(seal: PrivySeal, tx: Transaction, pair: KeyPair, fingerprint: str, actor: Actor | None = None) -> None:
    """Note that a certificate was installed for a key: one born in rehearsal is enabled with it, others by people."""
    move(seal, tx, pair.name, KeyState.CERTIFIED, f"certificate {fingerprint[:16]}", actor)
    if pair.rehearsal:
        move(seal, tx, pair.name, KeyState.ACTIVE, "a key that was born in rehearsal", actor)


def of(tx: Transaction, key_name: str) -> Life:
    """Return how a Key Pair stands; NotFound where none of that name was ever planned."""
    life = lives.find(tx, key_name)
    if life is None:
        raise NotFound(f"There is no Key Pair named {key_name[:63]!r}.")
    return life


def history(tx: Transaction, key_name: str) -> list[KeyStateChanged]:
    """Return every change of a key's state that is written down, the oldest first."""
    said = statements.of_slot(tx, f"key-state:{key_name}")
    return [each.matter for each in said if isinstance(each.matter, KeyStateChanged)]


def refuse(cases: Sequence[Case], connection: Connection) -> None:
    """Give every case whose key is not active its refusal; one question for the whole batch."""
    wanted = {(case.dossier.subscriber, case.request.key) for case in cases if case.refused is None}
    if not wanted:
        return
    known = lives.of_all_subscribers(connection, wanted)
    for case in cases:
        life = known.get((case.dossier.subscriber, case.request.key))
        if case.refused is not None:
            continue
        try:
            if life is None:
                raise NotFound(f"There is no Key Pair named {case.request.key!r}.")
            require_active(life)
        except PrivySealError as error:
            case.refused = (error.code, error.detail)


def suspend_idle(seal: PrivySeal, days: int, limit: int = 256) -> int:
    """Suspend active keys that nobody used for so many days; return how many. Zero days suspend none."""
    if not days:
        return 0
    before = seal.clock() - timedelta(days=days)
    with seal.records.reading_all_subscribers() as connection:
        idle = lives.idle_of_all_subscribers(connection, before, limit)
    for each in idle:
        with suppress(Conflict), seal.records.writing(each.subscriber) as tx:
            now = of(tx, each.name)
            if now.state is KeyState.ACTIVE and (now.used is None or now.used < before):
                move(seal, tx, each.name, KeyState.SUSPENDED, f"nobody used it for {days} days")
    return len(idle)
