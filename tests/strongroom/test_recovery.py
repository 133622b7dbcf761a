"""A journal or mark that was put back is rolled forward to what the log has shown, proven whole, or not touched."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.strongroom.cluster import Cluster, folder
from tests.strongroom.logroom import client, completion, intent, statement
from tests.strongroom.witnessroom import WitnessProcess
from tests.tlog.sumdb_verifier import verify_with_go

from privyseal.cli.audit import log
from privyseal.errors import LogRolledBack, PrivySealError
from privyseal.strongroom.founding import add_witness, create_logger
from privyseal.strongroom.logger import Logger
from privyseal.strongroom.rooms import ROOMS
from privyseal.strongroom.run import clock
from privyseal.tlog.audit import fsck
from privyseal.tlog.checkpoint import open_checkpoint
from privyseal.tlog.note import parse_vkey
from privyseal.tlog.tilestore import DirectoryTileStore


class Site:
    """A service's directory with a logger in it, whose parts can be put back."""

    def __init__(self, directory: Path, journal: str | None = None) -> None:
        self.directory = directory
        self.public = directory / "log"
        self.mark = directory / "marks/log.mark"
        self.journal = directory / "logger/journal.sqlite3"
        self.vkey = create_logger(directory / "logger", self.public, self.mark, "log.example/r", journal=journal)
        self.logged = 0

    def logger(self) -> Logger:
        room = ROOMS["logger"](self.directory / "logger/logger.toml", clock).room
        assert isinstance(room, Logger)
        return room

    def log(self, count: int) -> None:
        logger = self.logger()
        for n in range(self.logged, self.logged + count, 50):
            upto = min(n + 50, self.logged + count)
            client(logger).append(tuple(intent(m, f"key {m % 3}") for m in range(n, upto)), 0)
        logger.close()
        self.logged += count

    def recover(self, *arguments: str) -> list[str]:
        """Run the command and return its lines; what it refuses is raised."""
        done = CliRunner().invoke(log, ["recover", "--dir", str(self.directory), *arguments])
        if done.exception is not None:
            raise done.exception
        return done.output.splitlines()

    def check(self) -> int:
        store, log_key = DirectoryTileStore(self.public), parse_vkey(self.vkey)
        note = store.read("checkpoint")
        assert note is not None
        assert [f for f in fsck(store.read, note, log_key, store.widths) if f.severity == "problem"] == []
        return open_checkpoint(note, log_key).size


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def refused_then(site: Site, match: str) -> None:
    """The logger refuses; the dry run changes nothing; the recovery brings the log back with every place it gave."""
    logger = site.logger()
    with pytest.raises(LogRolledBack, match=match):
        client(logger).health()
    logger.close()
    before = {p: p.read_bytes() for p in site.directory.rglob("*") if p.is_file() and "journal" not in p.name}
    said = site.recover()
    assert said[-1] == "nothing was changed; say --apply to do it"
    assert {p: p.read_bytes() for p in before} == before
    site.recover("--apply")
    assert site.recover()[-1] == "journal and mark know it; there is nothing to do"
    goes_on(site)


def goes_on(site: Site) -> None:
    logger = site.logger()
    old = tuple(intent(n, f"key {n % 3}") for n in range(site.logged))
    for start in range(0, site.logged, 500):
        answer = client(logger).append(old[start : start + 500], 0)
        assert [one.index for one in answer.items] == list(range(start, min(start + 500, site.logged)))
        assert [one.key_seq for one in answer.items] == [n // 3 for n in range(start, start + len(answer.items))]
    new = (intent("new", "key 0"), completion(7, tag="key 1"))
    added = client(logger).append(new, 0)
    assert (added.items[0].index, added.items[0].key_seq) == (site.logged, -(-site.logged // 3))
    logger.close()
    assert site.check() == site.logged + 2


@pytest.mark.parametrize("sizes", [(10, 5), (200, 56), (300, 700), (256, 256), (1, 254)])
def test_an_older_journal_is_rolled_forward(site: Site, sizes: tuple[int, int]):
    """Entries, places, sequences: all that was ever given is given again, whichever edges of tiles lie between."""
    site.log(sizes[0])
    old = site.journal.read_bytes()
    site.log(sizes[1])
    site.journal.write_bytes(old)
    refused_then(site, f"holds {sizes[0]} entries, and a head of {sum(sizes)}")


def test_statements_are_recovered_with_their_places(site: Site):
    """Each of them is known again afterwards, so that one that is repeated does not stand in the log twice."""
    site.log(10)
    old = site.journal.read_bytes()
    said = tuple(statement(n) for n in range(300))
    logger = site.logger()
    client(logger).append((*said, completion(7, tag="key 1")), 0)
    logger.close()
    site.journal.write_bytes(old)
    site.recover("--apply")
    logger = site.logger()
    again = client(logger).append((*said, statement("new"), completion(7, tag="key 1")), 0)
    logger.close()
    assert [one.index for one in again.items] == [*range(10, 310), 311, 310]
    assert site.check() == 312


def test_a_journal_that_is_gone_is_made_from_the_tiles(site: Site):
    """With an older mark besides: what is published says what there was."""
    site.log(300)
    old = site.mark.read_bytes()
    site.log(300)
    for each in site.journal.parent.glob("journal.sqlite3*"):
        each.unlink()
    site.mark.write_bytes(old)
    refused_then(site, "holds 0 entries, and a head of 600")


def test_a_head_from_elsewhere_counts_where_the_published_one_was_put_back(site: Site, tmp_path: Path):
    """The tiles may know more than the checkpoint beside them; one from a mirror proves it."""
    site.log(300)
    old = {p: p.read_bytes() for p in (site.journal, site.mark, site.public / "checkpoint")}
    site.log(100)
    newest = tmp_path / "newest"
    shutil.copy(site.public / "checkpoint", newest)
    for each, content in old.items():
        each.write_bytes(content)
    assert "nothing to do" in site.recover()[-1]
    assert "would go from 300 to 400" in "".join(site.recover("--checkpoint", str(newest)))
    site.recover("--checkpoint", str(newest), "--apply")
    goes_on(site)


def _delete(path: str) -> Callable[[Site], None]:
    return lambda site: (site.public / path).unlink()


def _flip(path: str) -> Callable[[Site], None]:
    def flip(site: Site) -> None:
        octets = bytearray((site.public / path).read_bytes())
        octets[len(octets) // 2] ^= 1
        (site.public / path).write_bytes(octets)

    return flip


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_delete("tile/entries/001"), "Entries 256 to"),
        (_delete("tile/entries/002.p/88"), "Entries 512 to 599 are missing"),
        (_flip("tile/entries/000"), "Entry|do not have the root|another number|ends within"),
        (_flip("tile/entries/002.p/88"), "Entry|do not have the root|another number|ends within"),
        (_delete("checkpoint"), "no signed head"),
        (_flip("checkpoint"), "no signed head"),
    ],
)
def test_missing_or_damaged_tiles_are_refused_and_nothing_is_written(
    site: Site, damage: Callable[[Site], None], said: str
):
    """One sentence says what is missing; journal and mark are as they were."""
    site.log(300)
    old = site.journal.read_bytes()
    site.log(300)
    site.journal.write_bytes(old)
    damage(site)
    mark = site.mark.read_bytes()
    for _ in range(2):
        with pytest.raises(PrivySealError, match=said):
            site.recover("--apply")
    assert site.mark.read_bytes() == mark
    with pytest.raises(PrivySealError):
        client(logger := site.logger()).health()
    logger.close()


def test_a_journal_of_another_history_is_refused(site: Site, tmp_path: Path):
    """What the journal holds is not thrown away: it is of another log, or somebody altered one of the two."""
    (tmp_path / "other").mkdir()
    other = Site(tmp_path / "other")
    logger = other.logger()
    client(logger).append((intent("other"),), 0)
    logger.close()
    site.log(10)
    site.journal.write_bytes(other.journal.read_bytes())
    with pytest.raises(LogRolledBack, match="the journal holds for 1 entries"):
        site.recover("--apply")


def test_a_crash_before_publishing_is_nothing_to_recover(site: Site):
    """A journal ahead of what is published is completed by the logger itself."""
    site.log(10)
    published = (site.public / "checkpoint").read_bytes()
    site.log(5)
    (site.public / "checkpoint").write_bytes(published)
    assert "nothing to do" in site.recover("--apply")[-1]
    goes_on(site)


def test_a_lost_mark_is_made_again_only_where_witnesses_vouch(site: Site):
    """Without witnesses nobody can tell whether the published head is the newest."""
    site.log(10)
    mark = site.mark.read_bytes()
    site.mark.unlink()
    with pytest.raises(LogRolledBack, match="no quorum of witnesses"):
        site.recover("--apply")
    site.mark.write_bytes(mark)
    witness = WitnessProcess(site.directory, "w")
    witness.admit(site.vkey)
    witness.start()
    add_witness(site.directory / "logger", witness.vkey, witness.url, 1)
    try:
        site.log(10)
        site.mark.write_bytes(bytes(10))
        assert "the mark is missing and would be set to 20" in site.recover()
        site.recover("--apply")
        goes_on(site)
    finally:
        witness.kill()


def test_a_witness_that_knows_more_than_what_is_left_forbids_it(site: Site):
    """All of the log's own files are of yesterday; only the newest ones can bring it back."""
    witness = WitnessProcess(site.directory, "w")
    witness.admit(site.vkey)
    witness.start()
    add_witness(site.directory / "logger", witness.vkey, witness.url, 1)
    try:
        site.log(10)
        old = {p: p.read_bytes() for p in (site.journal, site.mark, site.public / "checkpoint")}
        site.log(10)
        newest = (site.public / "checkpoint").read_bytes()
        for each, content in old.items():
            each.write_bytes(content)
        with pytest.raises(LogRolledBack, match="has cosigned 20 entries"):
            site.recover("--apply")
        (site.public / "checkpoint").write_bytes(newest)
        assert "cosigned by witness.example/w" in site.recover("--apply")[0]
        goes_on(site)
    finally:
        witness.kill()


# -- PostgreSQL --------------------------------------------------------------------------------------------------------
TABLES = ("privyseal_log_head", "privyseal_log_staged", "privyseal_log_places", "privyseal_log_sequences")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with folder() as where:
        cluster = Cluster(where).create().start()
        yield cluster
        cluster.stop()


def test_a_database_that_lost_commits_is_rolled_forward(tmp_path: Path, cluster: Cluster):
    """As after an asynchronous failover: an older dump of the tables; refused with both sizes, then brought back, and
    Go's own packages verify what came of it."""
    site = Site(tmp_path, cluster.url)
    site.log(300)
    old = cluster.keep(TABLES)
    site.log(310)
    cluster.put_back(old)
    refused_then(site, "holds 300 entries, and a head of 610")
    assert verify_with_go(site.public, site.vkey).startswith("612 entries")


def test_a_log_moves_from_a_file_into_a_database(site: Site, cluster: Cluster):
    """An empty database is a journal that lost everything: the recovery fills it."""
    cluster.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    site.log(300)
    settings = site.directory / "logger/logger.toml"
    settings.write_text(f'journal = "{cluster.url}"\n' + settings.read_text())
    refused_then(site, "holds 0 entries, and a head of 300")
