"""What the signer must never forget: a journal that is put back to an older state is found out by its mark."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.strongroom.signroom import SignRoom

from privyseal.errors import KeyStoreUnavailable, LogUnavailable
from privyseal.strongroom.journal import Journal
from privyseal.strongroom.mark import Mark, MarkFile
from privyseal.strongroom.messages import SignedItem, SignerHealth
from privyseal.terms.keys import KeyPair


def sign_one(room: SignRoom, pair: KeyPair, certificate: bytes, number: int) -> None:
    assert isinstance(room.sign(pair, certificate, room.request(pair, certificate, number)), SignedItem)


def put_back(room: SignRoom, older: Path) -> None:
    """Restore the signer's directory but for its mark, as a backup of the one disk would."""
    for name in ("journal.sqlite3", "journal.sqlite3-wal", "journal.sqlite3-shm"):
        (room.directory / name).unlink(missing_ok=True)
        if (older / name).exists():
            shutil.copy(older / name, room.directory / name)


def test_an_older_journal_is_found_out(room: SignRoom, pair: KeyPair, certificate: bytes, tmp_path: Path):
    """A signer whose journal forgets one signature uses no key and says what both know; the newest one goes on."""
    sign_one(room, pair, certificate, 0)
    room.restart()
    older, newest = tmp_path / "older", tmp_path / "newest"
    shutil.copytree(room.directory, older)
    sign_one(room, pair, certificate, 1)
    room.restart()
    shutil.copytree(room.directory, newest)
    put_back(room, older)
    room.restart()
    with pytest.raises(KeyStoreUnavailable, match="put back to an older state") as caught:
        room.signer.handle(SignerHealth())
    assert caught.value.hint is not None and "restore" in caught.value.hint
    with pytest.raises(KeyStoreUnavailable, match="put back"):
        sign_one(room, pair, certificate, 2)
    with pytest.raises(KeyStoreUnavailable, match="put back"):
        room.key("another")
    put_back(room, newest)
    room.restart()
    sign_one(room, pair, certificate, 3)


def test_a_mark_that_a_power_cut_left_behind_accuses_nobody(
    room: SignRoom, pair: KeyPair, certificate: bytes, tmp_path: Path
):
    """The mark is not waited for, so it may be older than the journal; then the journal is believed."""
    mark = room.directory / "signer.mark"
    before = mark.read_bytes()
    sign_one(room, pair, certificate, 0)
    assert mark.read_bytes() != before
    mark.write_bytes(before)
    room.restart()
    sign_one(room, pair, certificate, 1)


def test_a_mark_that_cannot_be_written_uses_no_key(
    room: SignRoom, pair: KeyPair, certificate: bytes, monkeypatch: pytest.MonkeyPatch
):
    """Where the mark fails the intents are spent in vain, and nothing is signed that it does not know of."""

    def fail(self: MarkFile, mark: Mark, *, durable: bool = True) -> None:
        raise LogUnavailable("The disk is full.")

    used: list[object] = []
    monkeypatch.setattr(room.keys, "sign", lambda *asked: used.append(asked))
    with monkeypatch.context() as patch:
        patch.setattr(MarkFile, "raise_to", fail)
        with pytest.raises(LogUnavailable):
            sign_one(room, pair, certificate, 0)
    assert used == []


def test_a_signer_without_a_mark_believes_its_journal(tmp_path: Path):
    """Services that were founded before the mark was go on; an older journal then goes unnoticed."""
    journal = Journal(tmp_path / "journal.sqlite3")
    with journal.writing(Mark(7, bytes(32))):
        pass
    assert journal.mark() == Mark(7, bytes(32)) and not journal.lost
    journal.close()
