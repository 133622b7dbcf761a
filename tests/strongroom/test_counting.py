"""The signer counts what its keys in clouds are asked for, and holds it against what the cloud's own log says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asn1crypto.x509 import Name
from tests.homes import azure_section, store
from tests.strongroom.signroom import SignRoom, signed
from tests.stubs.azurekv import RESOURCE, WORKSPACE, AzureStub

from privyseal.errors import BadInput
from privyseal.keystore.azurekv import AzureKv
from privyseal.strongroom.acts import Probe, RequestCertificate
from privyseal.strongroom.durable import Database
from privyseal.strongroom.messages_of_homes import CloudsAsked
from privyseal.strongroom.tally import KEPT, SCHEMA, SLOT, Tally, slot_of
from privyseal.terms.clouds import CloudUses, KeyUses
from privyseal.terms.keys import KeyPair

HOUR = timedelta(hours=1)


class Room:
    """A signer with a key in a vault whose log it may read, and one in a file."""

    def __init__(self, folder: Path, azure: AzureStub, keys: object) -> None:
        (folder / "room").mkdir()
        self.azure = azure
        self.signroom = room = SignRoom(folder / "room")
        room.signer.close()
        room.stores.clear()
        room.stores["azurekv"] = keys  # type: ignore[assignment]
        room.start()
        azure.now = lambda: room.now
        self.pair: KeyPair = room.key()
        self.own = room.rehearsal_ca.issue(self.pair.public_key)
        self.number = 0

    def sign(self, times: int = 1) -> None:
        room = self.signroom
        for _ in range(times):
            self.number += 1
            request = room.request(self.pair, self.own, self.number)
            signed(room.sign(self.pair, self.own, request), self.pair, self.own, request)

    def counted(self, since: datetime | None = None) -> tuple[CloudUses, ...]:
        return self.signroom.client.clouds(since or self.signroom.now - timedelta(days=30))

    def uses(self) -> KeyUses:
        (home,) = self.counted()
        assert (home.store, home.home, home.trouble) == ("azurekv", "prod", "")
        (found,) = home.keys
        return found


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    azure = AzureStub(tmp_path / "azure")
    section = azure_section(azure, resource=RESOURCE, workspace=WORKSPACE)
    with store(tmp_path, AzureKv, section) as (keys, _, _):
        made = Room(tmp_path, azure, keys)
        yield made
        made.signroom.close()
    azure.close()


def test_what_was_asked_for_is_what_the_cloud_counted(room: Room) -> None:
    """The signer's two bounds hold the cloud's count, also where one signature was lost on its way here."""
    room.sign()
    room.signroom.now += HOUR
    room.sign(3)
    room.azure.order("sign", "drop after")
    request = room.signroom.request(room.pair, room.own, 99)
    room.signroom.sign(room.pair, room.own, request)
    room.signroom.now += HOUR
    room.sign()
    room.signroom.now += 3 * HOUR
    found = room.uses()
    assert (found.subscriber, found.name, found.key_id) == ("demo", "release", room.pair.key_id)
    assert (found.at_least, found.counted, found.at_most) == (4, 5, 5)
    assert found.difference == ""
    (home,) = room.counted()
    assert home.on and home.gaps == () and home.source.startswith(RESOURCE)
    assert home.until == room.signroom.now - HOUR
    (later,) = room.counted(home.until - timedelta(hours=1))
    assert later.since == home.until - timedelta(hours=1) and later.keys[0].counted == 0


def test_a_probe_and_a_request_for_a_certificate_are_counted_as_well(room: Room) -> None:
    """They are uses of the key, and the cloud counts them: one that is forgotten would look like a stranger's."""
    room.sign()
    room.signroom.now += HOUR
    at = {"expires_at": room.signroom.now + HOUR, "key_id": room.pair.key_id, "version": 1}
    room.signroom.act(Probe(**at))
    room.signroom.act(RequestCertificate(**at, subject=Name.build({"common_name": "Demo"}).dump()))
    room.signroom.now += HOUR
    room.sign()
    room.signroom.now += 3 * HOUR
    found = room.uses()
    assert (found.at_least, found.counted, found.at_most, found.difference) == (3, 3, 3, "")


def test_a_signature_that_nobody_here_asked_for_is_seen(room: Room) -> None:
    """Somebody with rights at the cloud signs past the log: more than was asked for."""
    room.sign()
    room.signroom.now += HOUR
    room.sign(2)
    ((key,),) = room.azure.keys.values()
    room.azure.events.append((room.signroom.now, room.azure._kid(key), True))
    room.signroom.now += 3 * HOUR
    found = room.uses()
    assert (found.counted, found.at_most, found.difference) == (3, 2, "more")


def test_a_signature_that_the_cloud_s_log_lacks_is_seen(room: Room) -> None:
    """What was made and written down is missing there: fewer; and a log that is off says so."""
    room.sign()
    room.signroom.now += HOUR
    room.sign(3)
    room.signroom.now += HOUR
    room.sign()
    del room.azure.events[1:3]
    room.signroom.now += 3 * HOUR
    found = room.uses()
    assert (found.at_least, found.counted, found.difference) == (4, 2, "fewer")
    room.azure.settings = []
    (home,) = room.counted()
    assert not home.on and "No diagnostic setting" in home.gaps[0]


def test_a_cloud_that_cannot_be_asked_says_why(room: Room, tmp_path: Path) -> None:
    """Its log refuses: one sentence, which quotes nothing of it, and no count."""
    room.sign()
    room.signroom.now += 4 * HOUR
    room.azure.order("query", "403", "403", "403")
    (home,) = room.counted()
    assert home.trouble == "Azure does not let this identity do that." and home.keys == ()
    with pytest.raises(BadInput, match="without a zone"):
        room.signroom.signer.handle(CloudsAsked(datetime(2026, 11, 1)))  # noqa: DTZ001


def test_nothing_is_compared_that_was_not_counted(room: Room) -> None:
    """What a key signed before the signer began to count, and what is too young for the cloud's log, are left out."""
    assert room.counted() == ()
    room.signroom.now += timedelta(minutes=30)
    assert room.counted() == ()
    room.signroom.now += 2 * HOUR
    (home,) = room.counted()
    assert home.keys[0].counted == home.keys[0].at_most == 0
    assert home.since.timestamp() % SLOT == 0 and home.until == room.signroom.now - HOUR


def test_a_signer_with_no_key_in_a_cloud_has_nothing_to_say(tmp_path: Path) -> None:
    """Keys in files are logged by nobody else."""
    room = SignRoom(tmp_path)
    room.key()
    assert room.client.clouds(room.now) == ()
    room.close()


def test_counts_are_kept_for_a_hundred_days_and_made_ones_survive_the_next_batch(tmp_path: Path) -> None:
    """Both counts by the minute; what was made is written with the next batch, and what is old is forgotten."""
    database = Database(tmp_path / "j", SCHEMA, RuntimeError)  # type: ignore[arg-type]
    tally, at = Tally(database), datetime(2026, 11, 30, 12, 5, tzinfo=UTC)
    assert tally.begun() is None
    tally.make("k", at, 2)
    with database.writing() as transaction:
        tally.begin(transaction, at)
        tally.ask(transaction, "k", at, 3)
    assert tally.begun() == at.replace(minute=7)
    since, until = at - HOUR, at + HOUR
    assert Tally(database).bounds("k", since, until) == (2, 3)
    assert tally.bounds("k", at, until) == (0, 3), "the slot at the edge may be counted on either side"
    assert tally.bounds("other", since, until) == (0, 0)
    with database.writing() as transaction:
        tally.begin(transaction, at + HOUR)
        tally.forget(transaction, at + timedelta(seconds=KEPT - 600))
    assert tally.bounds("k", since, until) == (2, 3) and tally.begun() == at.replace(minute=7)
    with database.writing() as transaction:
        tally.forget(transaction, at + timedelta(seconds=KEPT + 600))
    assert tally.bounds("k", since, until) == (0, 0)
    assert slot_of(at) % SLOT == 0
