"""The signer believes one log, of which it has seen a head: whatever does not extend that head is refused."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.strongroom.logroom import KEY, ORIGIN, VERIFIER
from tests.strongroom.signroom import SignRoom

from privyseal.errors import LogRolledBack, Unlogged
from privyseal.strongroom import logkey
from privyseal.strongroom.messages import SignedBatch, Stale
from privyseal.terms.keys import KeyPair
from privyseal.tlog.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from privyseal.tlog.note import Signer as NoteSigner


def test_a_head_by_another_key_is_refused(room: SignRoom, pair: KeyPair, certificate: bytes):
    """A note of the same name and content that another key signed proves nothing."""
    canonical = room.request(pair, certificate).canonical()
    appended = room.logged(canonical, tag=pair.key_tag)
    items = room.items(appended, [canonical], certificate)
    head = open_checkpoint(appended.checkpoint, VERIFIER)
    other = Ed25519PrivateKey.generate()
    forged = sign_checkpoint(head, NoteSigner(logkey.verifier(ORIGIN, other), other.sign))
    flipped = appended.checkpoint[:-10] + b"AAAA" + appended.checkpoint[-6:]
    for checkpoint in (forged, flipped, b"", b"x" * 100_000, head.body()):
        with pytest.raises(Unlogged, match="not one that the log signed"):
            room.send(appended, items, checkpoint=checkpoint)
    assert isinstance(room.send(appended, items), SignedBatch)


def test_a_head_of_another_log_by_the_same_key_is_refused(room: SignRoom, pair: KeyPair, certificate: bytes):
    """The name is part of what the signer believes."""
    canonical = room.request(pair, certificate).canonical()
    appended = room.logged(canonical, tag=pair.key_tag)
    head = open_checkpoint(appended.checkpoint, VERIFIER)
    other = sign_checkpoint(
        Checkpoint("log.example/other", head.size, head.root),
        NoteSigner(logkey.verifier("log.example/other", KEY), KEY.sign),
    )
    with pytest.raises(Unlogged):
        room.send(appended, room.items(appended, [canonical], certificate), checkpoint=other)


def forked(size: int) -> bytes:
    """A head that the log's own key signed over another tree."""
    return sign_checkpoint(Checkpoint(ORIGIN, size, bytes(32)), NoteSigner(VERIFIER, KEY.sign))


def test_a_head_that_does_not_extend_the_mark_is_refused(room: SignRoom, pair: KeyPair, certificate: bytes):
    """A log with two histories, both signed by its key, gets nowhere: the signer remembers which one it saw."""
    canonical = room.request(pair, certificate).canonical()
    appended = room.logged(canonical, tag=pair.key_tag)
    items = room.items(appended, [canonical], certificate)
    for consistency in (appended.consistency, (), (bytes(32),) * 64, (*appended.consistency, bytes(32))):
        with pytest.raises(Unlogged, match="not proven to extend"):
            room.send(appended, items, checkpoint=forked(appended.size), consistency=consistency)
    with pytest.raises(Unlogged, match="not proven to extend"):
        room.send(appended, items, consistency=())
    assert isinstance(room.send(appended, items), SignedBatch)


def test_a_log_that_was_put_back_is_refused_with_both_sizes(room: SignRoom, pair: KeyPair, certificate: bytes):
    """A smaller head, and another root at the same size, are LogRolledBack, also after a restart."""
    canonical = room.request(pair, certificate).canonical()
    appended = room.logged(canonical, tag=pair.key_tag)
    items = room.items(appended, [canonical], certificate)
    room.send(appended, items)
    for _ in range(2):
        with pytest.raises(LogRolledBack, match=f"shows 1 entries, and this signer has acted under {room.mark}"):
            room.send(appended, items, checkpoint=forked(1), since=room.mark, consistency=())
        with pytest.raises(LogRolledBack, match="another root"):
            room.send(appended, items, checkpoint=forked(room.mark), since=room.mark, consistency=())
        room.restart()


def test_a_proof_from_another_mark_is_stale_and_changes_nothing(room: SignRoom, pair: KeyPair, certificate: bytes):
    """The signer says where it stands; asked from there, the same items are signed."""
    canonical = room.request(pair, certificate).canonical()
    appended = room.logged(canonical, tag=pair.key_tag)
    items = room.items(appended, [canonical], certificate)
    for since in (0, room.mark + 1, 2**60, -1):
        answer = room.send(appended, items, since=since)
        assert answer == Stale(room.mark)
    assert isinstance(room.send(appended, items), SignedBatch)
