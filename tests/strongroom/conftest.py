"""A signer with one key and its certificate, for tests that bring no room of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.strongroom.signroom import SignRoom

from privyseal.terms.keys import KeyPair


@pytest.fixture
def room(tmp_path: Path) -> Iterator[SignRoom]:
    room = SignRoom(tmp_path)
    yield room
    room.close()
    assert room.notes == []


@pytest.fixture
def pair(room: SignRoom) -> KeyPair:
    return room.key()


@pytest.fixture
def certificate(room: SignRoom, pair: KeyPair) -> bytes:
    return room.rehearsal_ca.issue(pair.public_key)
