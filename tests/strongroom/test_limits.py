"""The signer keeps a key's limits by itself: moments, windows, counts that survive everything, and idleness."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from tests.strongroom.signroom import START, SignRoom, refused, signed

from privyseal.errors import Conflict
from privyseal.strongroom.acts import Amend, Freeze, Unfreeze
from privyseal.terms.keys import KeyPair
from privyseal.terms.limits import UseLimits, read_window


@pytest.fixture
def room(tmp_path: Path) -> Iterator[SignRoom]:
    """A rehearsal signer, whose acts ask nobody."""
    room = SignRoom(tmp_path)
    yield room
    room.close()


def tried(room: SignRoom, pair: KeyPair, number: int) -> object:
    certificate = room.rehearsal_ca.issue(pair.public_key)
    return room.sign(pair, certificate, room.request(pair, certificate, number))


def amend(room: SignRoom, pair: KeyPair, limits: UseLimits | msgspec.UnsetType | None) -> None:
    version = room.client.charter(pair.key_id).charter.version
    until = room.now + timedelta(hours=1)
    room.act(Amend(key_id=pair.key_id, version=version, approvers=(), quorum=0, limits=limits, expires_at=until))


def test_outside_its_window_a_key_signs_nothing(room: SignRoom) -> None:
    """Denied after the log, with the window in words; nothing is spent."""
    weekday = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"][START.weekday()]
    hour = f"{START:%H}"
    pair = room.key(limits=UseLimits(windows=(read_window(f"{weekday} {hour}:00-24:00"),)))
    certificate = room.rehearsal_ca.issue(pair.public_key)
    request = room.request(pair, certificate)
    signed(room.sign(pair, certificate, request), pair, certificate, request)
    room.now += timedelta(days=1)
    refused(tried(room, pair, 1), "denied", "signs within")
    assert pair.limits == room.client.charter(pair.key_id).charter.limits


def test_so_many_signatures_and_not_one_more(room: SignRoom) -> None:
    """Also after a restart and in one batch; other limits begin anew, the same ones left in place do not."""
    pair = room.key(limits=UseLimits(signatures=2))
    assert not hasattr(tried(room, pair, 1), "code")
    room.restart()
    assert not hasattr(tried(room, pair, 2), "code")
    refused(tried(room, pair, 3), "denied", "has 0 of 2 signatures left, and 1 are asked for")
    amend(room, pair, msgspec.UNSET)
    refused(tried(room, pair, 4), "denied", "signatures left")
    amend(room, pair, UseLimits(signatures=1))
    assert not hasattr(tried(room, pair, 5), "code")
    refused(tried(room, pair, 6), "denied", "signatures left")
    amend(room, pair, None)
    assert not hasattr(tried(room, pair, 7), "code")


def test_two_in_one_batch_do_not_both_get_the_last_one(room: SignRoom) -> None:
    """They are counted one after the other, in the transaction that spends their intents."""
    pair = room.key(limits=UseLimits(signatures=1))
    certificate = room.rehearsal_ca.issue(pair.public_key)
    both = [room.request(pair, certificate, number).canonical() for number in (1, 2)]
    appended = room.logged(*both, tag=pair.key_tag)
    answer = room.send(appended, room.items(appended, both, certificate))
    refused(answer.results[1], "denied", "signatures left")
    assert not hasattr(answer.results[0], "code")


def test_an_idle_key_stops_until_it_is_woken(room: SignRoom) -> None:
    """The last second of its days signs, and begins them anew; then two acts wake it."""
    pair = room.key(limits=UseLimits(idle_days=7))
    room.now += timedelta(days=7)
    assert not hasattr(tried(room, pair, 1), "code")
    room.now += timedelta(days=7, seconds=1)
    refused(tried(room, pair, 2), "denied", "not used for more than 7 days")
    until = room.now + timedelta(hours=1)
    for version, kind in enumerate((Freeze, Unfreeze), 1):
        room.act(kind(key_id=pair.key_id, version=version, reason="looked at", expires_at=until))
    assert not hasattr(tried(room, pair, 3), "code")


def test_a_key_that_is_born_asleep_signs_after_it_was_unfrozen(room: SignRoom) -> None:
    """Its charter is frozen from the first moment."""
    pair = room.key(asleep=True)
    assert pair.frozen
    refused(tried(room, pair, 1), "denied", "frozen")
    until = room.now + timedelta(hours=1)
    room.act(Unfreeze(key_id=pair.key_id, version=1, reason="enabled", expires_at=until))
    assert not hasattr(tried(room, pair, 2), "code")
    with pytest.raises(Conflict):
        room.act(Unfreeze(key_id=pair.key_id, version=2, reason="enabled", expires_at=until))


def test_the_signer_says_who_agrees(room: SignRoom) -> None:
    """So that people can be asked; in a rehearsal without operators it is nobody."""
    state = room.client.health()
    assert (state.operators, state.operator_quorum) == ((), 0)
