"""The journal in PostgreSQL: the same places as in a file, and only for the one who holds the lease."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tests.strongroom.cluster import Cluster, folder
from tests.strongroom.logroom import KEY, ORIGIN, LogRoom, client, completion, intent, statement, verified
from tests.strongroom.processes import wait_until

from privyseal.errors import Conflict, LogRolledBack, LogStandby, LogUnavailable
from privyseal.strongroom.archive import DurableTiles
from privyseal.strongroom.ledger import Shelves
from privyseal.strongroom.logger import Logger
from privyseal.strongroom.mark import MarkFile
from privyseal.strongroom.staging_postgresql import PostgresqlStaging
from privyseal.tlog.log import Head
from privyseal.tlog.merkle import EMPTY_ROOT
from privyseal.tlog.tilestore import DirectoryTileStore

TABLES = ("privyseal_log_head", "privyseal_log_staged", "privyseal_log_places", "privyseal_log_sequences")


@pytest.fixture(scope="module")
def server() -> Iterator[Cluster]:
    with folder() as where:
        cluster = Cluster(where).create().start()
        yield cluster
        cluster.stop()


@pytest.fixture
def cluster(server: Cluster) -> Cluster:
    server.execute(f"DROP TABLE IF EXISTS {', '.join(TABLES)}")
    return server


class PgRoom(LogRoom):
    """A log whose journal is in the cluster."""

    def __init__(self, directory: Path, cluster: Cluster) -> None:
        super().__init__(directory)
        self.cluster = cluster

    def logger(self) -> Logger:
        shelves = Shelves(
            PostgresqlStaging(self.cluster.url, ORIGIN),
            DirectoryTileStore(self.public, durable=False),
            DurableTiles(self.public),
            MarkFile(self.mark),
        )
        return Logger(ORIGIN, KEY, shelves, note=self.notes.append)


@pytest.fixture
def room(tmp_path: Path, cluster: Cluster) -> PgRoom:
    return PgRoom(tmp_path, cluster)


def test_entries_get_the_same_places_as_in_a_file(room: PgRoom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Indexes, sequences, dedup, completions and conflicts over several loggers; the files are octet for octet those
    of a log whose journal is a file."""
    monkeypatch.setattr("privyseal.strongroom.logger.MOST_UNSETTLED", 256)  # so that a tile leaves the journal
    (tmp_path / "file").mkdir()
    of_file = LogRoom(tmp_path / "file")
    for step in range(4):
        loggers = [room.logger(), of_file.logger()]
        answers = []
        for logger in loggers:
            intents = tuple(intent(f"{step}/{n}", f"key {n % 3}") for n in range(99))
            submissions = (*intents, statement(step))
            answer = verified(client(logger).append(submissions + submissions[:3], 0), submissions + submissions[:3])
            further = (completion(answer.items[5].index, tag="key 2"), intent("same", "key 1"), statement("same"))
            done = client(logger).append(further, 0)
            with pytest.raises(Conflict):
                client(logger).append((completion(answer.items[5].index, "other", tag="key 2"),), 0)
            with pytest.raises(Conflict):
                client(logger).append((completion(10**9, tag="key 2"),), 0)
            answers.append((answer, done, client(logger).prove(range(0, done.size, 17), 0)))
            logger.close()
        assert answers[0] == answers[1]
    contents = [
        {p.relative_to(each.public): p.read_bytes() for p in each.public.rglob("*") if p.is_file()}
        for each in (room, of_file)
    ]
    assert contents[0] == contents[1]
    assert room.check() == 4 * 101 + 2
    assert room.cluster.execute("SELECT min(entry), count(*) FROM privyseal_log_staged") == [(256, 150)]


def test_only_the_holder_of_the_lease_stages(cluster: Cluster):
    """A second one is on standby; when the first gives up, or its time is over, the second holds it; what the first
    then stages, with the head that it still believes, is refused."""
    first = PostgresqlStaging(cluster.url, ORIGIN, keep=False)
    second = PostgresqlStaging(cluster.url, ORIGIN, keep=False)
    zero, one = Head(0, EMPTY_ROOT), Head(1, bytes(32))
    assert first.term() == 1
    with pytest.raises(LogStandby):
        second.term()
    with pytest.raises(LogStandby):
        second.stage(zero, one, [], [], zero)
    cluster.execute("UPDATE privyseal_log_head SET until = '-infinity'")
    second.lease.look()
    assert second.term() == 2
    with pytest.raises(LogStandby):
        first.stage(zero, one, [], [], zero)
    with pytest.raises(LogStandby):
        first.confirm_term()
    second.stage(zero, one, [], [], zero)
    with pytest.raises(LogUnavailable, match="no longer the one of size 0"):
        second.stage(zero, one, [], [], zero)
    second.confirm_term()
    first.lease.look()  # finds out, and the lease is not free
    with pytest.raises(LogStandby):
        first.term()
    second.close()
    first.lease.look()
    assert first.term() == 3
    first.close()


def test_a_holder_that_froze_with_the_row_locked_locks_nobody_out(cluster: Cluster):
    """In the middle of a pipeline a session waits for its client and counts as active, so no timeout of the server's
    ends it: who finds the lease over does, and what the frozen one sends when it wakes changes nothing."""
    frozen = PostgresqlStaging(cluster.url, ORIGIN, keep=False)
    other = PostgresqlStaging(cluster.url, ORIGIN, keep=False)
    locked = "SELECT 1 FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND state_change < now() - interval '3 s'"
    with (
        pytest.raises(psycopg.OperationalError, match="connection"),
        psycopg.connect(cluster.url) as connection,
        connection.pipeline(),
    ):
        connection.execute("SET LOCAL idle_in_transaction_session_timeout = '100ms'")
        connection.execute("UPDATE privyseal_log_head SET size = 7")
        connection.pgconn.send_flush_request()
        connection.pgconn.flush()  # carried out, and no end of the transaction comes after it
        wait_until(lambda: cluster.execute(locked))
        other.lease.look()
        assert (other.term(), other.head().size) == (2, 0)
    with pytest.raises(LogStandby):
        frozen.stage(Head(0, EMPTY_ROOT), Head(1, bytes(32)), [], [], Head(0, EMPTY_ROOT))
    frozen.close()
    other.close()


def test_a_holder_whose_batch_is_being_written_is_not_ended(cluster: Cluster):
    """The lease may be over while its holder's statement is at work: the standby leaves it alone and looks again."""
    holder = PostgresqlStaging(cluster.url, ORIGIN, keep=False)
    other = PostgresqlStaging(cluster.url, ORIGIN, keep=False)
    cluster.execute("UPDATE privyseal_log_head SET until = '-infinity'")

    def write() -> None:
        with psycopg.connect(cluster.url, autocommit=True) as connection:
            connection.execute("UPDATE privyseal_log_head SET size = 8; SELECT pg_sleep(2.5)")  # one transaction

    writing = threading.Thread(target=write)
    writing.start()
    while writing.is_alive():
        other.lease.look()
        time.sleep(0.05)
    writing.join()
    assert holder.head().size == 8
    holder.close()
    other.close()


def test_a_standby_answers_how_it_is_and_nothing_else(room: PgRoom, tmp_path: Path):
    """Health says standby, Append is refused; when the active one closes, the standby goes on at once."""
    active = room.logger()
    answer = client(active).append((intent("a"),), 0)
    room.mark = tmp_path / "mark2"
    MarkFile.create(room.mark, MarkFile(tmp_path / "mark").read())
    standby = room.logger()
    assert client(standby).health().standby and not client(active).health().standby
    for _ in range(2):
        with pytest.raises(LogStandby):
            client(standby).append((intent("b"),), 0)
    active.close()
    wait_until(lambda: not client(standby).health().standby)
    again = verified(client(standby).append((intent("b"), intent("a")), 1), (intent("b"), intent("a")))
    assert [one.index for one in again.items] == [1, answer.items[0].index]
    standby.close()
    assert room.check() == 2


def test_a_connection_that_is_cut_costs_one_question(room: PgRoom):
    """pg_terminate_backend, as often as one likes: who asked is told, asking again is answered, no place changes."""
    logger = room.logger()
    places: dict[int, set[int]] = {}
    refused = 0
    for n in range(12):
        room.cluster.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
            "AND backend_type = 'client backend'"
        )
        for _ in range(3):
            try:
                answer = client(logger).append((intent(n), intent(n // 2)), 0)
            except LogStandby:
                raise
            except LogUnavailable as error:
                refused += 1
                assert "database" in error.detail
                continue
            places.setdefault(n, set()).add(answer.items[0].index)
            places.setdefault(n // 2, set()).add(answer.items[1].index)
    assert refused >= 12
    assert len(places) == 12 and all(len(each) == 1 for each in places.values())
    logger.close()
    assert room.check() == 12


def test_a_database_that_was_put_back_is_found_out(room: PgRoom):
    """An older dump of the log's tables is behind the mark: nothing is logged, and both sizes are told."""
    logger = room.logger()
    client(logger).append(tuple(intent(n) for n in range(300)), 0)
    old = room.cluster.keep(TABLES)
    client(logger).append(tuple(intent(n) for n in range(300, 350)), 0)
    room.cluster.put_back(old)
    with pytest.raises(LogUnavailable, match="no longer the one of size 350"):
        client(logger).append((intent("new"),), 0)
    for _ in range(2):
        with pytest.raises(LogRolledBack, match="holds 300 entries, and a head of 350"):
            client(logger).append((intent("new"),), 0)
    logger.close()


def test_a_database_that_cannot_be_reached_is_told_without_secrets(room: PgRoom):
    """One sentence, and no password of the address in it."""
    url = room.cluster.url.replace("privyseal@", "privyseal:canary@").replace(str(room.cluster.port), "1")
    began = time.monotonic()
    with pytest.raises(LogUnavailable, match="could not be used") as refused:
        PostgresqlStaging(url, ORIGIN)
    assert "canary" not in str(refused.value)
    assert time.monotonic() - began < 60
