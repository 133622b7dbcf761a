"""The disk may fail, be torn, put back or exchanged: nothing wrong is signed, and nothing given is taken back."""

import os
from pathlib import Path

import pytest
from tests.strongroom.logroom import LogRoom, client, intent, verified

from privyseal.errors import LogRolledBack, LogUnavailable
from privyseal.tlog.entry import CompletionSubmission, IntentSubmission
from privyseal.tlog.tilestore import DirectoryTileStore

Submissions = tuple[IntentSubmission | CompletionSubmission, ...]


@pytest.fixture
def room(tmp_path: Path) -> LogRoom:
    return LogRoom(tmp_path)


@pytest.fixture(autouse=True)
def settled_tile_by_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each full tile made durable after its batch, so that hundreds of entries show what thousands do."""
    monkeypatch.setattr("privyseal.strongroom.logger.MOST_UNSETTLED", 256)


EFFECTS = ["journal", "tiles write", "mark", "checkpoint"]
SETTLING = ["archive write", "archive sync", "tiles remove"]


@pytest.mark.parametrize("done", [False, True], ids=["not done", "done"])
@pytest.mark.parametrize("effect", EFFECTS + SETTLING)
@pytest.mark.parametrize("restarted", [False, True], ids=["same process", "new process"])
def test_every_effect_may_fail_done_or_not_done(room: LogRoom, effect: str, done: bool, restarted: bool):
    """Whatever fails once, in whichever way: nobody is told a place that changes, and asking again sets all right."""
    logger = room.logger()
    base = tuple(intent(f"base {n}") for n in range(254))
    known = {one.index: n for n, one in enumerate(client(logger).append(base, 0).items)}
    room.faults.seen.clear()
    room.faults.plan = (effect, 1, done)
    submissions = (intent("a"), intent("b"), intent("c"))  # over the edge of a tile
    told: list[int] | None = None
    try:
        told = [one.index for one in verified(client(logger).append(submissions, 254), submissions).items]
    except LogUnavailable as error:
        assert not isinstance(error, LogRolledBack)
    assert (told is None) == (effect in EFFECTS)
    if restarted:
        logger.close()
        room.faults.plan = None
        logger = room.logger()
    again = verified(client(logger).append(submissions, 254), submissions)
    assert [one.index for one in again.items] == [254, 255, 256]
    assert told in (None, [254, 255, 256])
    assert effect in room.faults.seen
    more = verified(client(logger).append((intent("d"),), again.size), (intent("d"),))
    assert (more.size, more.items[0].index) == (258, 257)
    assert {one.index: n for n, one in enumerate(client(logger).append(base, 0).items)} == known
    logger.close()
    assert room.check() == 258


def test_a_failed_sync_stops_the_logger_for_good(room: LogRoom):
    """After EIO nobody knows what is on the disk: every later question is refused until the process is a new one."""
    logger = room.logger()
    client(logger).append((intent("a"),), 0)

    def disk_error() -> Exception:
        error = LogUnavailable("could not")
        error.__cause__ = OSError(5, os.strerror(5))
        return error

    room.faults.error = disk_error
    room.faults.seen.clear()
    room.faults.plan = ("tiles write", 1, False)
    assert not logger.lost
    for _ in range(3):
        with pytest.raises(LogUnavailable, match="not known"):
            client(logger).append((intent("b"),), 0)
    assert logger.lost
    logger.close()
    logger = room.logger()
    assert client(logger).append((intent("b"),), 0).items[0].index == 1
    logger.close()
    assert room.check() == 2


# -- what was put back, or does not belong together --------------------------------------------------------------------
def filled(room: LogRoom, start: int, count: int) -> int:
    logger = room.logger()
    for n in range(start, start + count, 50):
        client(logger).append(tuple(intent(m) for m in range(n, min(n + 50, start + count))), 0)
    logger.close()
    return start + count


def refuses(room: LogRoom, match: str) -> None:
    """The logger refuses with LogRolledBack, every time, writes nothing, and says so on every question."""
    logger = room.logger()
    before = {p: p.read_bytes() for p in room.public.rglob("*") if p.is_file() and p.parent.name != ".incoming"}
    for _ in range(2):
        with pytest.raises(LogRolledBack, match=match):
            client(logger).append((intent("new"),), 0)
        with pytest.raises(LogRolledBack):
            client(logger).health()
    assert not logger.lost
    logger.close()
    assert (room.public / "checkpoint").read_bytes() == before[room.public / "checkpoint"]


def test_an_older_journal_is_found_out(room: LogRoom):
    """The mark names the size that was signed, the refusal both sizes; with the newest journal it goes on."""
    filled(room, 0, 300)
    old = room.journal.read_bytes()
    filled(room, 300, 100)
    newest = room.journal.read_bytes()
    room.journal.write_bytes(old)
    refuses(room, "holds 300 entries, and a head of 400")
    room.journal.write_bytes(newest)
    assert filled(room, 400, 1) == room.check()


def test_an_older_journal_and_mark_are_found_out_by_what_is_published(room: LogRoom):
    """Whoever puts back both has still shown the newer head to everybody."""
    filled(room, 0, 300)
    old, old_mark = room.journal.read_bytes(), room.mark.read_bytes()
    filled(room, 300, 100)
    room.journal.write_bytes(old)
    room.mark.write_bytes(old_mark)
    refuses(room, "holds 300 entries, and a head of 400")


def test_an_empty_journal_is_found_out(room: LogRoom):
    """A journal that was deleted does not begin a new history under the old name."""
    filled(room, 0, 10)
    for path in room.directory.glob("journal.sqlite3*"):
        path.unlink()
    refuses(room, "holds 0 entries, and a head of 10")


def test_another_history_of_the_same_size_is_found_out(tmp_path: Path):
    """A journal with as many entries and other content contradicts the mark; so does a longer one beside it."""
    rooms = []
    for name, first in (("one", "x"), ("two", "y"), ("three", "z")):
        (tmp_path / name).mkdir()
        room = LogRoom(tmp_path / name)
        logger = room.logger()
        client(logger).append((intent(first), intent("b")), 0)
        if name == "three":
            client(logger).append((intent("c"),), 0)
        logger.close()
        rooms.append(room)
    for other in rooms[1:]:
        rooms[0].journal.write_bytes(other.journal.read_bytes())
        refuses(rooms[0], "does not extend the head of 2")


@pytest.mark.parametrize("damage", ["flip", "delete"])
def test_tiles_that_are_behind_the_journal_are_found_out(room: LogRoom, damage: str):
    """The tile above the full ones is needed to go on, and was durable: it is not made up anew."""
    filled(room, 0, 600)
    for path in (room.public / "tile/1/000.p").iterdir():
        if damage == "delete":
            path.unlink()
        else:
            path.write_bytes(bytes(len(path.read_bytes())))
    refuses(room, "tiles do not hold the 512 entries .* when a head of 600")


def test_tiles_that_are_not_durable_yet_are_made_again(room: LogRoom):
    """A power cut takes tiles, bundles and checkpoint above the floor, whole or torn; the journal has all of them."""
    filled(room, 0, 600)
    before = {p: p.read_bytes() for p in room.public.rglob("*") if p.is_file()}
    for path in (room.public / "tile/0/002.p/88", room.public / "tile/entries/002.p/88", room.public / "checkpoint"):
        for torn in (None, b"", before[path][:-1]):
            path.unlink() if torn is None else path.write_bytes(torn)
            logger = room.logger()
            assert client(logger).health().size == 600
            logger.close()
            assert path.read_bytes() == before[path]


def test_full_tiles_that_were_never_settled_are_made_again(room: LogRoom, monkeypatch: pytest.MonkeyPatch):
    """Under steady load several full tiles are not durable: a power cut takes them all, and the journal has them."""
    monkeypatch.setattr("privyseal.strongroom.logger.QUIET_SECONDS", 3600.0)
    monkeypatch.setattr("privyseal.strongroom.logger.MOST_UNSETTLED", 2048)
    killed = room.logger()
    for n in range(0, 700, 70):
        client(killed).append(tuple(intent(n + m) for m in range(70)), 0)
    assert "archive write" not in room.faults.seen
    for path in (room.public / "tile").rglob("*"):
        if path.is_file():
            path.unlink()
    logger = room.logger()
    assert client(logger).append((intent("after"),), 700).size == 701
    assert client(logger).append((intent(3),), 701).items[0].index == 3
    logger.close()
    assert room.faults.seen.count("archive sync") == 1
    assert room.check() == 701


def test_a_bit_that_flips_between_hashing_and_storing_is_never_signed(room: LogRoom, monkeypatch: pytest.MonkeyPatch):
    """What is read back is not what was computed: no head is signed over it, and the next question sets it right."""
    logger = room.logger()
    client(logger).append((intent("a"),), 0)
    signed = (room.public / "checkpoint").read_bytes()
    write = DirectoryTileStore.write
    for path, content in (("tile/entries/000.p/2", -1), ("tile/0/000.p/2", 0)):

        def flipping(self: DirectoryTileStore, name: str, octets: bytes, path: str = path, at: int = content) -> None:
            if name == path:
                changed = bytearray(octets)
                changed[at] ^= 1
                octets = bytes(changed)
            write(self, name, octets)

        with monkeypatch.context() as broken:
            broken.setattr(DirectoryTileStore, "write", flipping)
            for _ in range(2):
                with pytest.raises(LogUnavailable):
                    client(logger).append((intent("b"),), 0)
        assert (room.public / "checkpoint").read_bytes() == signed
    assert client(logger).append((intent("b"),), 1).items[0].index == 1
    logger.close()
    assert room.check() == 2


def test_a_damaged_old_tile_is_that_question_s_trouble_only(room: LogRoom):
    """Who asks for a proof through it is refused; those who wait beside are answered."""
    filled(room, 0, 600)
    (room.public / "tile/0/000").write_bytes(b"damaged")
    logger = room.logger()
    for _ in range(2):
        with pytest.raises(LogUnavailable):
            client(logger).prove((3,), 0)
        assert client(logger).append((intent("x"),), 0).items[0].index == 600
    logger.close()
