"""Where ``privyseal login`` keeps its token: with the real keyring library over a keyring in memory, and without."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import fail
from keyring.errors import KeyringLocked, PasswordDeleteError

from privyseal.cli import session
from privyseal.cli.session import Kept
from privyseal.errors import Misused

URL = "https://seal.example"


class Desktop(KeyringBackend):
    """A keyring in memory, of one user, that can be locked."""

    priority = 1.0  # type: ignore[assignment]  # a property of the class in theirs

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[tuple[str, str], str] = {}
        self.locked = False

    def _open(self) -> dict[tuple[str, str], str]:
        if self.locked:
            raise KeyringLocked("locked")
        return self.held

    def get_password(self, service: str, username: str) -> str | None:
        return self._open().get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._open()[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if self._open().pop((service, username), None) is None:
            raise PasswordDeleteError("none")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def desktop() -> Iterator[Desktop]:
    """Put a keyring of ours in the place of the system's."""
    before, mine = keyring.get_keyring(), Desktop()
    keyring.set_keyring(mine)
    yield mine
    keyring.set_keyring(before)


@pytest.fixture
def headless() -> Iterator[None]:
    """Take the system's keyring away, as on a machine that has none."""
    before = keyring.get_keyring()
    keyring.set_keyring(fail.Keyring())  # type: ignore[no-untyped-call]
    yield
    keyring.set_keyring(before)


def kept(url: str = URL, hours: int = 1) -> Kept:
    return Kept(url=url, subscriber="demo", token="psb_secret", expires=datetime.now(UTC) + timedelta(hours=hours))


def files(home: Path) -> list[Path]:
    return [each for each in home.rglob("*") if each.is_file()]


def test_a_keyring_holds_the_token_and_no_file_does(desktop: Desktop, home: Path) -> None:
    """It is found by its service's url only, with and without the stroke at the end, and forgotten for good."""
    assert session.keep(kept()) is None
    assert files(home) == []
    assert session.recall(URL) == session.recall(f"{URL}/") == kept_again(desktop)
    assert session.recall("https://other.example") is None
    session.forget(URL)
    assert session.recall(URL) is None
    assert desktop.held == {}
    session.forget(URL)  # again: nothing to forget is no error


def kept_again(desktop: Desktop) -> Kept | None:
    """Return what the keyring itself holds, read by nobody of ours but msgspec."""
    import msgspec

    (held,) = desktop.held.values()
    return msgspec.json.decode(held, type=Kept)


def test_what_has_expired_opens_nothing(desktop: Desktop) -> None:
    session.keep(kept(hours=-1))
    assert session.recall(URL) is None


def test_a_locked_keyring_is_no_wall(desktop: Desktop, home: Path) -> None:
    """The file of 0600 is the way out, and the keyring takes over again where it opens."""
    desktop.locked = True
    path = session.keep(kept())
    assert path is not None
    assert path.stat().st_mode & 0o777 == 0o600
    found = session.recall(URL)
    assert found is not None
    assert found.token == "psb_secret"
    desktop.locked = False
    assert session.keep(kept()) is None
    assert files(home) == []
    assert session.recall(URL) is not None


@pytest.mark.usefixtures("headless")
def test_a_file_that_others_can_read_is_refused(home: Path) -> None:
    path = session.keep(kept())
    assert path is not None
    assert files(home) == [path]
    os.chmod(path, 0o640)
    with pytest.raises(Misused, match="holds a token"):
        session.recall(URL)
    os.chmod(path, 0o600)
    path.write_bytes(b"{")
    with pytest.raises(Misused, match="cannot be read"):
        session.recall(URL)
    session.forget(URL)
    assert files(home) == []


def test_no_secret_is_shown() -> None:
    assert "psb_secret" not in repr(kept())
