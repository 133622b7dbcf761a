"""The stamper's books are taken over into the log: its diary, entry by entry, and its tokens, a root for each hour.

The stamper is asked for what stands behind the last number that was stated; so nothing is left out, whenever either of
the two was away. Another node that is quicker makes it a Conflict, which is as good.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import timedelta

from privyseal.compliance.statements import Matter, Own
from privyseal.compliance.statements_of_timestamps import BooksCompared, StamperNoted, TimestampKeyUsed, TokensGiven
from privyseal.errors import NotFound, NotYet
from privyseal.pki import certificates
from privyseal.records import statements
from privyseal.records.database import Transaction
from privyseal.records.events import Event
from privyseal.signing import announce, paper
from privyseal.signing.instance import PrivySeal
from privyseal.strongroom.messages_of_stamps import DiaryEntry, PlaceRead, StampBatch, StamperState
from privyseal.tlog.entry import StatementSubmission

EACH = "token"
"""What the log says that the entry of one token is about; reports have the hours, and not these."""
AT_ONCE = 1000
"""Tokens in one question to the logger."""
MOST_EACH = 20_000
"""Tokens in one round of duties."""
TOLD = {
    "adjusted": "clock adjusted",
    "refused": "clock refused",
    "trusted": "clock trusted",
    "restored": "stamper restored",
    "begun anew": "stamper books lost",
}
"""What of the diary is an event, too, so that people are told of it, and what that is called."""
COMPARED_EVERY = timedelta(days=1)
"""How often the stamper's books are held against the log."""
COMPARED = 256
"""The newest entries and batches that are: as many as the stamper tells at once."""
MOST_ALTERED = 32
"""Differences that are named."""


def take_over(seal: PrivySeal) -> int:
    """State what the stamper wrote down since the last time; return how many statements that are.

    Where no Subscriber is the operator's, nobody can state it, and it waits in the stamper's books.
    """
    owner = seal.service.operator
    if owner is None:
        return 0
    state = seal.stamper.health()
    name, key = state.books, _key_of(state)
    if not name:
        return 0
    with seal.records.reading(owner) as tx:
        entry, batch = _said_last(tx, f"stamper:{name}"), _said_last(tx, f"tokens:{name}")
        new_key = key is not None and _said_last(tx, key.slot) != key
    noted = DiaryEntry(entry.number, entry.at, entry.what, entry.detail) if isinstance(entry, StamperNoted) else None
    number, root = (batch.number, bytes.fromhex(batch.root)) if isinstance(batch, TokensGiven) else (0, b"")
    books = seal.stamper.books(0 if noted is None else noted.number, number, noted, root)
    if not books.entries and not books.batches and not new_key:
        return 0
    with seal.records.writing(owner) as tx:
        if key is not None:
            paper.note(tx, seal, key)
        for each in books.entries:
            matter = _noted(name, each)
            if each.what in TOLD:
                event = Event(seal.clock(), paper.SERVICE, TOLD[each.what], each.detail)
                announce.stated(seal, tx, event, matter)
            else:
                paper.note(tx, seal, matter)
        for one in books.batches:
            paper.note(tx, seal, _given(name, one))
    paper.finish(seal)
    return len(books.entries) + len(books.batches)


def log_each(seal: PrivySeal, most: int = MOST_EACH) -> int:
    """Give each token an entry of its own in the log, where the operator wants that; return how many got one.

    The logger knows what it has, so that whoever is interrupted gives none two.
    """
    if not seal.each_token:
        return 0
    done, told = 0, seal.stamper.leaves()
    while told.leaves and done < most:
        for start in range(0, len(told.leaves), AT_ONCE):
            seal.logger.append([_entry(each) for each in told.leaves[start : start + AT_ONCE]], since=0)
        done += len(told.leaves)
        told = seal.stamper.leaves((told.batch, told.place + len(told.leaves)))
    return done


def own_place(seal: PrivySeal, leaf: bytes) -> int:
    """Return the log's entry of a token that has one of its own, and give it one where it has none yet."""
    return seal.logger.append([_entry(leaf)], since=0).items[0].index


def _entry(leaf: bytes) -> StatementSubmission:
    """Return what stands in the log of one token; its leaf is salted by the serial number's 158 random bits."""
    return StatementSubmission(about=EACH, commitment=leaf)


def place(seal: PrivySeal, time: str, leaf: bytes) -> tuple[PlaceRead, statements.Written]:
    """Return where a token is: its place in its batch, and the statement about that batch, which the log has.

    ``time`` is its genTime, ``YYYYMMDDHHMMSSZ``, and ``leaf`` the leaf hash of its TSTInfo. NotFound for a token that
    was not given out here or is never logged, NotYet for one whose hour is not in the log yet.
    """
    state = seal.stamper.health()
    found = seal.stamper.place(time, leaf)
    owner = seal.service.operator
    if owner is None:
        raise NotFound(
            "Tokens of this service are not logged: it has no Subscriber of the operator's, who would state them.",
            hint="name one as operator in [service] of serve.toml",
        )
    with seal.records.reading(owner) as tx:
        written = _stated(tx, f"tokens:{state.books}", found.batch)
    if written is None or written.entry is None:
        raise NotYet(
            "The token is not in the log yet: its hour is over, and about to be logged.",
            hint="run this again in a minute",
        )
    return found, written


def _stated(tx: Transaction, slot: str, batch: int) -> statements.Written | None:
    """Return the statement of a batch: the one of its own place, or one before it where numbers are missing."""
    low, high = 0, batch
    while low < high:
        middle = high - 1 if high == batch else (low + high) // 2  # most books have no gap, so the last is tried first
        written = statements.numbered(tx, slot, middle)
        number = None if written is None else _number(written)
        if number == batch:
            return written
        if number is not None and number < batch:
            low = middle + 1
        else:
            high = middle
    return None


def _number(written: statements.Written) -> int:
    matter = statements.said_in(written.octets).matter
    return matter.number if isinstance(matter, TokensGiven) else 0


def _said_last(tx: Transaction, slot: str) -> Matter | Own | None:
    before = statements.last(tx, slot)
    return None if before is None else statements.said_in(before.octets).matter


def _key_of(state: StamperState) -> TimestampKeyUsed | None:
    """Return which key the stamper signs with; None where it does not tell."""
    if not state.chain or state.used_until is None:
        return None
    own = certificates.read(state.chain[0])
    return TimestampKeyUsed(
        key_id=own.key_id,
        certificate=hashlib.sha256(state.chain[0]).hexdigest(),
        issued=own.not_before,
        until=own.not_after,
        used_until=state.used_until,
        protection=state.protection,
        issuers=tuple(hashlib.sha256(each).hexdigest() for each in state.chain[1:]),
    )


def compare(seal: PrivySeal) -> tuple[str, ...]:
    """Hold the stamper's newest entries and batches against what was stated of them, once a day; return what differs.

    What the log has cannot be taken back, so whoever changes the books, or puts an older copy in their place, is seen.
    """
    owner = seal.service.operator
    state = seal.stamper.health()
    if owner is None or not (name := state.books):
        return ()
    now = seal.clock()
    with seal.records.reading(owner) as tx:
        before = _said_last(tx, f"books-compared:{name}")
        if isinstance(before, BooksCompared) and now - before.at < COMPARED_EVERY:
            return ()
        stated, given = _newest(tx, f"stamper:{name}"), _newest(tx, f"tokens:{name}")
    books = seal.stamper.books(min(stated, default=1) - 1, min(given, default=1) - 1)
    lost = state.lost  # the log says itself that these are left out
    held: dict[int, Own] = {each.number: _noted(name, each) for each in books.entries}
    held |= {n: stated[n] for n in stated if any(gap.entry <= n <= gap.last_entry for gap in lost)}
    closed: dict[int, Own] = {each.number: _given(name, each) for each in books.batches}
    closed |= {n: given[n] for n in given if any(gap.first <= n <= gap.last for gap in lost)}
    altered = _differing("entry", stated, held) + _differing("batch", given, closed)
    compared = BooksCompared(
        books=name,
        at=now.replace(microsecond=0),
        entries=len(stated),
        batches=len(given),
        altered=tuple(altered[:MOST_ALTERED]),
    )
    with seal.records.writing(owner) as tx:
        if altered:
            event = Event(now, paper.SERVICE, "timestamp books altered", ", ".join(altered)[:200])
            announce.stated(seal, tx, event, compared)
        else:
            paper.note(tx, seal, compared)
    paper.finish(seal)
    return tuple(altered)


def _differing(what: str, stated: Mapping[int, Own], held: Mapping[int, Own]) -> list[str]:
    """Say which of what was stated is missing in the books, or otherwise there."""
    return [
        f"{what} {number} {'is changed' if number in held else 'is missing'}"
        for number, each in stated.items()
        if held.get(number) != each
    ]


def _newest(tx: Transaction, slot: str) -> dict[int, Own]:
    """Return what was stated last of a stamper's books, by the books' own numbers, which rise but may have gaps."""
    last = statements.last(tx, slot)
    found: dict[int, Own] = {}
    for place in range(max(0, last.number + 1 - COMPARED), last.number + 1) if last else ():
        written = statements.numbered(tx, slot, place)
        matter = None if written is None else statements.said_in(written.octets).matter
        if isinstance(matter, StamperNoted | TokensGiven):
            found[matter.number] = matter
    return found


def _noted(name: str, each: DiaryEntry) -> StamperNoted:
    return StamperNoted(books=name, number=each.number, at=each.at, what=each.what, detail=each.detail)


def _given(name: str, each: StampBatch) -> TokensGiven:
    return TokensGiven(
        books=name, number=each.number, first=each.first, last=each.last, count=each.count, root=each.root.hex()
    )
