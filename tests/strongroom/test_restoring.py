"""A signer out of an older copy takes from the log what it missed: it signs nothing twice, and every key sleeps."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.signing.test_custody import certify, generate
from tests.world import SUBSCRIBER, World, found

from privyseal.errors import KeyStoreUnavailable, LogRolledBack, LogUnavailable, NotPermitted, PrivySealError
from privyseal.errors import VerificationFailed as Wrong
from privyseal.signing import backups, custody, life
from privyseal.strongroom import logkey
from privyseal.strongroom.acts import Amend, Destroy
from privyseal.strongroom.backing_up import House, take
from privyseal.strongroom.backup_file import Manifest, OperatorNamed, Part
from privyseal.strongroom.charters import Holding
from privyseal.strongroom.restoring import (
    Agreement,
    Brought,
    bring_forward,
    recover_log,
    require_agreed,
    require_newest,
)
from privyseal.terms.keys import Approver
from privyseal.terms.life import KeyState
from privyseal.terms.requests import approved_octets

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
PEOPLE = {name: Ed25519PrivateKey.generate() for name in ("ann", "bob", "cem")}


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service to copy."""
    return found(tmp_path_factory.mktemp("restoring") / "founded")


def manifest(size: int = 7, origin: str = "backup.test/log") -> Manifest:
    """Return what a backup says of itself: two of three agree."""
    return Manifest(
        made=NOW,
        origin=origin,
        size=size,
        root="00" * 32,
        records="sqlite",
        operators=tuple(OperatorNamed(name, key.public_key().public_bytes_raw()) for name, key in PEOPLE.items()),
        quorum=2,
        rehearsal=False,
        recipients=("age1a", "age1b"),
        keys=(),
        parts=(Part(name="service", octets=0, sha256="00" * 32),),
    )


def agreed(who: str, **changes: object) -> Agreement:
    """Return somebody's word, over what ``changes`` make of it."""
    key, about = PEOPLE[who], manifest()
    word = Agreement(
        backup=about.sha256,
        origin=about.origin,
        size=about.size,
        until=NOW + timedelta(days=1),
        operator=who,
        public_key=key.public_key().public_bytes_raw(),
    )
    word = msgspec.structs.replace(word, **changes)
    return msgspec.structs.replace(word, signature=key.sign(approved_octets(word.digest())))


def test_so_many_operators_agree() -> None:
    """Two of three do; one does not, and not by saying it twice."""
    assert require_agreed(manifest(), [agreed("ann"), agreed("cem")], NOW) == ("ann", "cem")
    for words in ([], [agreed("ann")], [agreed("ann"), agreed("ann")]):
        with pytest.raises(NotPermitted, match="of 2 operators agreed"):
            require_agreed(manifest(), words, NOW)


@pytest.mark.parametrize(
    ("word", "refused"),
    [
        (agreed("bob", backup="11" * 32), NotPermitted),
        (agreed("bob", size=8), NotPermitted),
        (agreed("bob", origin="other"), NotPermitted),
        (agreed("bob", until=NOW - timedelta(seconds=1)), NotPermitted),
        (agreed("bob", operator="ann"), NotPermitted),
        (agreed("bob", public_key=bytes(32)), NotPermitted),
        (msgspec.structs.replace(agreed("bob"), until=NOW + timedelta(days=9)), Wrong),
        (msgspec.structs.replace(agreed("bob"), signature=bytes(64)), Wrong),
    ],
    ids=["other backup", "other size", "other log", "too late", "other name", "other key", "changed", "no signature"],
)
def test_a_word_that_is_none_stops_it(word: Agreement, refused: type[PrivySealError]) -> None:
    """Whoever hands in a wrong one hears of it, also where others were enough."""
    with pytest.raises(refused):
        require_agreed(manifest(), [agreed("ann"), agreed("cem"), word], NOW)


# -- the signer --------------------------------------------------------------------------------------------------------
def brought(world: World, missed: Callable[[World], object], folder: Path) -> dict[str, Brought]:
    """Copy the signer, let it miss something, put the copy back, and bring it up to the log."""
    folder.mkdir()
    taken = take(House.of(world.directory), None, folder)
    missed(world)
    world.stop()
    for name in ("journal.sqlite3", "journal.sqlite3-wal", "journal.sqlite3-shm"):
        (world.directory / "signer" / name).unlink(missing_ok=True)
    shutil.copy(taken.journal, world.directory / "signer" / "journal.sqlite3")
    accepted = world.policy().check((world.directory / "log" / "checkpoint").read_bytes())
    became = bring_forward(House.of(world.directory), accepted, world.now)
    return {each.pair.name: each for each in became}


def holding(world: World, name: str) -> Holding:
    """Return what the signer holds of a key."""
    with closing(sqlite3.connect(world.directory / "signer" / "journal.sqlite3")) as database:
        query = "SELECT holding FROM keys WHERE label = ?"
        return msgspec.json.decode(database.execute(query, (f"{SUBSCRIBER}/{name}",)).fetchone()[0], type=Holding)


def test_a_signer_from_a_copy_signs_nothing_again(founded: Path, tmp_path: Path) -> None:
    """What it missed is counted and spent, its key sleeps, Grants are closed, and the mark of the other disk agrees."""
    world = World(founded, tmp_path / "world")
    world.ask([world.client(0)])
    missed = [world.client(number) for number in (1, 2, 3)]
    became = brought(world, lambda it: it.ask(missed), tmp_path / "copy")
    assert (became["release"].uses, became["release"].amended, became["release"].missing) == (3, (), False)
    charter = holding(world, "release").charter
    assert charter.frozen and charter.grants is False
    world._start()
    world.ask([world.client(4)])
    assert not world.ledgers[-1].given  # it is frozen, whatever the records believe
    size = world.checkpoint().size
    with closing(sqlite3.connect(world.directory / "signer" / "journal.sqlite3")) as database:
        assert {row[0] for row in database.execute("SELECT entry FROM spent")} >= set(range(size - 4))
    world.check()
    world.stop()


def test_without_it_the_mark_stops_the_signer(founded: Path, tmp_path: Path) -> None:
    """The copy alone is what decision 25 refuses: what is above is no formality."""
    world = World(founded, tmp_path / "world")
    folder = tmp_path / "copy"
    folder.mkdir()
    taken = take(House.of(world.directory), None, folder)
    world.ask([world.client(1)])
    world.stop()
    shutil.copy(taken.journal, world.directory / "signer" / "journal.sqlite3")
    for name in ("journal.sqlite3-wal", "journal.sqlite3-shm"):
        (world.directory / "signer" / name).unlink(missing_ok=True)
    world._start()
    with pytest.raises(KeyStoreUnavailable, match="put back to an older state"):
        world.seal.signer.health()
    world.stop()


def test_what_nothing_was_missed_of_keeps_its_grants(founded: Path, tmp_path: Path) -> None:
    """Of the newest copy only that the key sleeps is another."""
    world = World(founded, tmp_path / "world")
    world.ask([world.client(0)])
    before = holding(world, "release").charter
    became = brought(world, lambda _: None, tmp_path / "copy")
    after = holding(world, "release").charter
    assert (became["release"].uses, after.grants) == (0, before.grants)
    assert (after.frozen, after.version) == (True, before.version + 1)


def test_a_key_that_was_destroyed_meanwhile_stays_destroyed(founded: Path, tmp_path: Path) -> None:
    """Also an amendment that was missed is told; of what was refused nothing is believed."""
    world = World(founded, tmp_path / "world")
    pair, other = generate(world, "old"), generate(world, "amended")
    certify(world, pair)
    soon = world.now + timedelta(hours=1)

    def missed(it: World) -> None:
        custody.carry_out(it.seal, pair, Destroy(expires_at=soon, key_id=pair.key_id, version=1, reason="over"))
        ann = Approver("ann", PEOPLE["ann"].public_key().public_bytes_raw())
        amend = Amend(expires_at=soon, key_id=other.key_id, version=1, approvers=(ann,), quorum=1)
        custody.carry_out(it.seal, other, amend)
        with pytest.raises(PrivySealError):  # refused and given up: its completion says aborted
            custody.carry_out(
                it.seal, it.pair()[0], Destroy(expires_at=soon, key_id=it.pair()[0].key_id, version=9, reason="")
            )

    became = brought(world, missed, tmp_path / "copy")
    assert became["old"].destroyed and holding(world, "old").destroyed
    assert len(became["amended"].amended) == 1 and not became["amended"].destroyed
    assert not became["release"].destroyed and became["release"].uses == 0
    world._start()
    backups.settle(world.seal, "ab" * 32, ("ann", "bob"), list(became.values()))
    with world.seal.records.reading(SUBSCRIBER) as tx:
        assert life.of(tx, "old").state is KeyState.DESTROYED
        assert life.of(tx, "release").state is KeyState.SUSPENDED
    world.stop()


def test_a_log_that_is_older_than_the_signer_is_refused(founded: Path, tmp_path: Path) -> None:
    """The signer's own journal says how long the log was."""
    world = World(founded, tmp_path / "world")
    world.ask([world.client(0)])
    early = (world.directory / "log" / "checkpoint").read_bytes()
    world.ask([world.client(1), world.client(2)])
    world.stop()
    with pytest.raises(LogRolledBack, match="has seen a log of"):
        bring_forward(House.of(world.directory), world.policy().check(early), world.now)


def test_the_newest_head_that_anybody_shows_counts(founded: Path, tmp_path: Path) -> None:
    """A longer one refuses, an older one does not; a head that our log's key did not sign is no head."""
    world = World(founded, tmp_path / "world")
    heads = [(world.directory / "log" / "checkpoint").read_bytes()]
    for number in range(2):
        world.ask([world.client(number)])
        heads.append((world.directory / "log" / "checkpoint").read_bytes())
    sizes = [world.policy().check(each).checkpoint.size for each in heads]
    (world.directory / "log" / "checkpoint").write_bytes(heads[1])
    about = manifest(sizes[1], world.checkpoint().origin)

    def newest(*others: bytes) -> int:
        asked = [("receipt", each) for each in others]
        return require_newest(world.directory, about, world.policy(), asked).checkpoint.size

    assert newest(*heads[:2]) == sizes[1]
    with pytest.raises(LogRolledBack, match=f"ends at entry {sizes[1]}, and receipt shows that the log had {sizes[2]}"):
        newest(heads[0], heads[2])
    with pytest.raises(Wrong):
        newest(heads[2].replace(heads[2][-20:-10], heads[1][-20:-10]))
    (world.directory / "log" / "checkpoint").write_bytes(heads[0])
    with pytest.raises(Wrong, match="not the backup's"):
        newest()
    world.stop()


def test_settling_again_changes_nothing(founded: Path, tmp_path: Path) -> None:
    """Where the command was cut short between signer and records, it is done again."""
    world = World(founded, tmp_path / "world")
    became = list(brought(world, lambda _: None, tmp_path / "copy").values())
    world._start()
    for _ in range(2):
        backups.settle(world.seal, "ab" * 32, (), became)
    with world.seal.records.reading(SUBSCRIBER) as tx:
        changes = [each.becomes for each in life.history(tx, "release")]
    assert changes.count(KeyState.SUSPENDED) == 1
    world.stop()


def test_a_mark_that_outlived_the_machine_refuses_an_older_log(founded: Path, tmp_path: Path) -> None:
    """It needs no witness and nobody's word; with the newest log the same mark is met."""
    world = World(founded, tmp_path / "world")
    world.ask([world.client(0)])
    public, early = world.directory / "log", tmp_path / "early"
    shutil.copytree(public, early)
    world.ask([world.client(1)])
    world.stop()
    house, log = House.of(world.directory), world.policy().logs[0].key

    def recovered() -> None:
        for path in (world.directory / "logger").glob("journal.sqlite3*"):
            path.unlink()
        accepted = world.policy().check((public / "checkpoint").read_bytes())
        recover_log(house, accepted, log, lambda _: None)

    recovered()
    public.rename(tmp_path / "newest")
    shutil.copytree(early, public)
    with pytest.raises(LogUnavailable):
        recovered()
    shutil.rmtree(public)
    (tmp_path / "newest").rename(public)
    recovered()
    world._start()
    assert world.seal.logger.health().size == world.checkpoint().size
    world.stop()


def test_another_logs_key_is_no_key_of_this_log(founded: Path, tmp_path: Path) -> None:
    """What the log policy does not name is not put to use."""
    world = World(founded, tmp_path / "world")
    world.stop()
    accepted = world.policy().check((world.directory / "log" / "checkpoint").read_bytes())
    other = logkey.verifier(accepted.checkpoint.origin, Ed25519PrivateKey.generate())
    with pytest.raises(Wrong, match="not the one that the log policy names"):
        recover_log(House.of(world.directory), accepted, other, lambda _: None)
