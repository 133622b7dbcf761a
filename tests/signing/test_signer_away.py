"""The signer cannot be asked, or refuses a whole batch: requests wait, and the next walk signs with their intents."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.world import World

from privyseal.errors import Failed, KeyStoreUnavailable, LogUnavailable
from privyseal.records import requests
from privyseal.signing import duties
from privyseal.strongroom import signer
from privyseal.strongroom.client import SignerClient, SocketAsk
from privyseal.strongroom.messages import SignBatch, SignedBatch, Stale
from privyseal.terms.requests import Dossier, State
from privyseal.tlog.entry import Completion, Intent, decode


def _waits(world: World) -> None:
    """There is one request that is not over, and nobody holds it."""
    with world.seal.records.batch() as batch:
        waiting = requests.unfinished_of_all_subscribers(
            batch.across_subscribers(), [State.SIGNING], unleased_at=world.now
        )
    assert len(waiting) == 1


def _goes_on(world: World, before: int) -> None:
    """Asked again it is released: one use of the key, and the completion is the only new entry of the log."""
    (done,) = world.ask(world.ledgers)
    assert isinstance(done, Dossier) and done.state is State.RELEASED
    assert world.key_uses == 1
    assert len(world.entries()) == before + 1
    world.check()


def test_a_signer_that_cannot_be_asked_costs_no_request(world: World, tmp_path: Path) -> None:
    """Its socket is not there, as while it starts again: safe to run again, and then signed with the same intent."""
    signing = world.seal.signer
    world.seal.signer = SignerClient(SocketAsk(tmp_path / "nobody.sock"))
    for _ in range(3):
        (refused,) = world.ask(world.ledgers or [world.client(1)])
        assert isinstance(refused, KeyStoreUnavailable)
        _waits(world)
    before = len(world.entries())
    world.seal.signer = signing
    _goes_on(world, before)


def test_a_signer_whose_journal_was_put_back_costs_no_request(world: World, tmp_path: Path) -> None:
    """It refuses every batch; when the newest journal is there again, the waiting request is signed by the duty."""
    journal = world.directory / "signer"
    old, new = tmp_path / "old", tmp_path / "new"
    world.stop()
    shutil.copytree(journal, old)
    world._start()
    first = world.client(7)
    assert isinstance(world.ask([first])[0], Dossier)
    world.ledgers.remove(first)
    world.key_uses = 0
    world.stop()
    shutil.copytree(journal, new)
    mark = {path.name: path.read_bytes() for path in journal.glob("*mark*")}
    shutil.rmtree(journal)
    shutil.copytree(old, journal)
    for name, octets in mark.items():
        (journal / name).write_bytes(octets)
    world._start()
    (refused,) = world.ask([world.client(1)])
    assert isinstance(refused, KeyStoreUnavailable) and "put back to an older state" in refused.detail
    _waits(world)
    before = len(world.entries())
    world.stop()
    shutil.rmtree(journal)
    shutil.copytree(new, journal)
    world._start()
    (done,) = duties.recover(world.seal)
    assert isinstance(done, Dossier) and done.state is State.RELEASED
    added = [type(decode(each)) for each in world.entries()[before:]]  # among what the stamper says of its starts
    assert (world.key_uses, added.count(Intent), added.count(Completion)) == (1, 0, 1)


def test_a_log_that_cannot_be_proven_to_the_signer_costs_no_request(world: World) -> None:
    """The signer said that it did nothing, and the log then does not answer."""
    mark = world.seal.signer.health().mark
    answer, prove = world.seal.signer.sign, world.seal.logger.prove

    def stale(batch: SignBatch) -> SignedBatch | Stale:
        return Stale(mark)

    def away(*_: object, **__: object) -> None:
        raise LogUnavailable("The logger does not answer.")

    world.seal.signer.sign, world.seal.logger.prove = stale, away  # type: ignore[method-assign, assignment]
    (refused,) = world.ask([world.client(1)])
    assert isinstance(refused, LogUnavailable)
    _waits(world)
    before = len(world.entries())
    world.seal.signer.sign, world.seal.logger.prove = answer, prove  # type: ignore[method-assign]
    _goes_on(world, before)


def test_a_batch_that_is_refused_for_good_ends_with_the_signer_s_reason(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no waiting mends is not left waiting, and nobody is told that the key may have been used."""
    monkeypatch.setattr(signer, "MAX_ITEMS", 0)
    (refused,) = world.ask([world.client(1)])
    assert isinstance(refused, Failed)
    assert "1 requests were handed in at once" in refused.detail
    assert not world.key_uses
    monkeypatch.undo()
    world.insist()
    world.check()
