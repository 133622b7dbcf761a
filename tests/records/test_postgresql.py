"""What PostgreSQL refuses, loses and says; and what serve refuses of a PostgreSQL."""

from __future__ import annotations

import hashlib
import queue
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from tests import postgres
from tests.records.test_requests import NOW, submitted

from privyseal.errors import Conflict, Misused, PrivySealError, Unavailable
from privyseal.records import parties, requests, schema
from privyseal.records.database import Records, open_records
from privyseal.records.dialect import CREDENTIALS
from privyseal.records.listening import Listener
from privyseal.terms.parties import Member
from privyseal.terms.requests import State


def test_these_records_are_fit(records: Records) -> None:
    """Freshly migrated, either kind of database may be used."""
    schema.require_fit(records)


def test_signatures_and_receipts_are_kept_as_they_are(database: postgres.Database) -> None:
    """They look random: the server would try to compress each of them, in vain. Long JSON it may."""
    asked = "SELECT attname, attstorage FROM pg_attribute WHERE attrelid = 'requests'::regclass AND attnum > 0"
    engine = create_engine(database.url)
    with engine.connect() as connection:
        how = {name: str(storage) for name, storage in connection.execute(text(asked))}
    engine.dispose()
    assert {name for name, storage in how.items() if storage == "e"} == {"signatures", "tokens", "blobs", "receipt"}
    assert how["canonical"] == "x"


@pytest.mark.parametrize("value", ["off", "local"])
def test_a_server_that_forgets_commits_is_refused(database: postgres.Database, value: str) -> None:
    """synchronous_commit off or local, for serve's role in this database: exit 2, and the sentence names it."""
    database.cluster.execute(f"ALTER ROLE privyseal IN DATABASE {database.name} SET synchronous_commit = {value}")
    records = open_records(database.url)
    with pytest.raises(Misused, match=f"synchronous_commit is {value}"):
        schema.require_fit(records)
    records.close()


@pytest.mark.parametrize("value", ["remote_write", "remote_apply"])
def test_a_server_that_asks_its_standby_is_fine(database: postgres.Database, value: str) -> None:
    """Both wait for our own disk, too."""
    database.cluster.execute(f"ALTER ROLE privyseal IN DATABASE {database.name} SET synchronous_commit = {value}")
    records = open_records(database.url)
    schema.require_fit(records)
    records.close()


def test_a_server_without_fsync_is_refused() -> None:
    """A power cut could destroy what it acknowledged."""
    careless = postgres.Cluster("fsync=off")
    try:
        records = open_records(careless.migrated().url)
        with pytest.raises(Unavailable, match="fsync=off"):
            schema.require_fit(records)
        records.close()
    finally:
        careless.stop()


@pytest.mark.parametrize("role", ["postgres", "above_the_rules"])
def test_a_role_that_sees_everything_is_refused(database: postgres.Database, role: str) -> None:
    """For a superuser and for BYPASSRLS there is no row-level security."""
    if role != "postgres":
        database.cluster.execute(f"DROP ROLE IF EXISTS {role}")
        database.cluster.execute(f"CREATE ROLE {role} LOGIN BYPASSRLS IN ROLE privyseal")
    records = open_records(database.cluster.url(database.name, role))
    with pytest.raises(Misused, match="BYPASSRLS"):
        schema.require_fit(records)
    records.close()


def test_a_table_without_a_policy_is_refused(postgres_records: Records, database: postgres.Database) -> None:
    """Whoever put a table in by hand, or took security away, is told which it is; migrating mends it."""
    with database.connect() as connection:
        connection.execute("ALTER TABLE approvals NO FORCE ROW LEVEL SECURITY")
    with pytest.raises(Misused, match=r"Without row-level security: approvals\."):
        schema.require_fit(postgres_records)
    schema.migrate_for_serve(database.url, database.owner)
    schema.require_fit(postgres_records)


def _set_revision(records: Records, revision: str) -> None:
    engine = records.engine
    if records.dialect.shared:
        engine = open_records(str(records.engine.url.set(username="postgres"))).engine
    with engine.connect() as connection:
        connection.execution_options(privyseal_writes=True)
        connection.execute(text("UPDATE alembic_version SET version_num = :r"), {"r": revision})
        connection.commit()
    engine.dispose()


def test_an_older_and_a_newer_schema_are_refused(records: Records) -> None:
    """Each in a sentence that says what to do."""
    for revision, sentence in (("0001", "needs"), ("9999", "newer than this program")):
        _set_revision(records, revision)
        with pytest.raises(Misused, match=sentence):
            schema.require_fit(records)


def test_a_newer_schema_is_not_migrated(tmp_path: Path) -> None:
    """``migrate`` of an older program says that it does not know the schema, without a traceback."""
    url = f"sqlite:///{tmp_path / 'records.db'}"
    schema.migrate(url)
    records = open_records(url)
    _set_revision(records, "9999")
    with pytest.raises(Misused, match="cannot be migrated"):
        schema.migrate(url)
    records.close()


def test_an_empty_database_is_refused(tmp_path: Path) -> None:
    """Of either kind: the hint names the command."""
    for url in (f"sqlite:///{tmp_path / 'new.db'}", postgres.cluster().database().url):
        records = open_records(url)
        with pytest.raises(Misused, match="empty") as refused:
            schema.require_fit(records)
        assert "privyseal migrate" in str(refused.value)
        records.close()


def test_a_server_that_is_not_there_is_unavailable() -> None:
    """One sentence, and worth another try."""
    records = open_records("postgresql+psycopg://privyseal@/seal?host=/nowhere")
    with pytest.raises(Unavailable):
        schema.require_fit(records)
    with pytest.raises(Unavailable):
        schema.migrate("postgresql://privyseal@/seal?host=/nowhere")


@pytest.mark.parametrize("url", ["mysql://x/y", "postgresql+asyncpg://x/y", "not a url", ""])
def test_an_unusable_url_is_refused(url: str) -> None:
    """Also one of a driver that would block differently than ours."""
    with pytest.raises(Misused):
        open_records(url)


def test_a_database_that_takes_no_writes_says_so(postgres_records: Records, database: postgres.Database) -> None:
    """As on a standby: reading goes on, writing is Unavailable with the reason."""
    database.cluster.execute(f"ALTER DATABASE {database.name} SET default_transaction_read_only = on")
    postgres_records.close()
    with pytest.raises(Unavailable, match="takes no writes"):
        submitted(postgres_records)
    with postgres_records.reading("demo") as tx:
        assert requests.by_idempotency_key(tx, "k") is None


FAILURES = {
    "53100": (Unavailable, "disk is full"),
    "40001": (Unavailable, "safe to run again"),
    "40P01": (Unavailable, "safe to run again"),
    "55P03": (Unavailable, "safe to run again"),
    "57014": (Unavailable, "safe to run again"),
    "23505": (Conflict, "contradicts another one"),
    "42703": (Unavailable, "another schema"),
    "42501": (Unavailable, "does not let"),
}
"""By SQLSTATE: what becomes of a statement that the server refuses with it."""


@pytest.mark.parametrize("state", FAILURES)
def test_what_the_server_refuses_is_one_sentence_for_one_item(
    postgres_records: Records, database: postgres.Database, state: str
) -> None:
    """A full disk, a deadlock, a cancelled statement: its item alone fails, as the right kind of error."""
    with database.connect() as connection:
        raising = f"RAISE EXCEPTION 'so it went' USING ERRCODE = '{state}'"
        connection.execute(f"CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN {raising}; END $$ LANGUAGE plpgsql")
        when = "FOR EACH ROW WHEN (NEW.id = 'R-demo-bad') EXECUTE FUNCTION refuse()"
        connection.execute(f"CREATE TRIGGER refuse BEFORE UPDATE ON requests {when}")
    ids = [submitted(postgres_records, key=key).id for key in ("one", "bad", "two")]
    outcomes: list[object] = []
    with postgres_records.batch() as batch:
        for request_id in ids:
            try:
                with batch.item("demo") as tx:
                    outcomes.append(requests.claim(tx, request_id, NOW))
            except PrivySealError as error:
                outcomes.append(error)
    kind, sentence = FAILURES[state]
    assert type(outcomes[1]) is kind
    assert sentence in str(outcomes[1])
    with postgres_records.reading("demo") as tx:
        assert [requests.get(tx, each).fence for each in ids] == [1, 0, 1]


def _terminate(database: postgres.Database) -> None:
    others = f"datname = '{database.name}' AND pid <> pg_backend_pid()"
    database.cluster.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")


def test_a_connection_lost_between_transactions_is_not_noticed(
    postgres_records: Records, database: postgres.Database
) -> None:
    """The pool's connections are dead: a fresh one is taken, and nobody is refused."""
    submitted(postgres_records)
    _terminate(database)
    with postgres_records.reading("demo") as tx:
        assert requests.get(tx, "R-demo-k").fence == 0
    _terminate(database)
    submitted(postgres_records, key="again")


def test_a_connection_lost_in_a_transaction_undoes_all_of_it(
    postgres_records: Records, database: postgres.Database
) -> None:
    """Every item after it and the batch itself are Unavailable, even where each item's error was caught."""
    ids = [submitted(postgres_records, key=key).id for key in ("one", "two", "three")]
    outcomes: list[object] = []
    with pytest.raises(Unavailable), postgres_records.batch() as batch:
        for request_id in ids:
            try:
                with batch.item("demo") as tx:
                    outcomes.append(requests.claim(tx, request_id, NOW))
                    if request_id == ids[0]:
                        _terminate(database)
            except Unavailable as error:
                outcomes.append(error)
    assert [type(each).__name__ for each in outcomes] == ["Dossier", "Unavailable", "Unavailable"]
    with postgres_records.reading("demo") as tx:
        assert [requests.get(tx, each).fence for each in ids] == [0, 0, 0]


def test_a_statement_that_failed_unseen_is_not_committed_as_if_it_had_not(postgres_records: Records) -> None:
    """PostgreSQL answers COMMIT of a failed transaction with ROLLBACK and no error; we do not believe it."""
    with pytest.raises(Unavailable, match="had failed"), postgres_records.writing("demo") as tx:
        submitted(postgres_records, key="other")
        with suppress(DBAPIError):
            tx.connection.execute(text("SELECT 1/0"))


def test_a_request_that_another_node_is_taking_is_passed_over(postgres_records: Records) -> None:
    """SKIP LOCKED: nobody waits for the other's commit, and one of the two has it."""
    dossier = submitted(postgres_records)
    with postgres_records.writing("demo") as first:
        assert requests.claim(first, dossier.id, NOW) is not None
        with postgres_records.writing("demo") as second:
            assert requests.claim(second, dossier.id, NOW) is None
            assert requests.locked_if_free(second, dossier.id) is None
    with postgres_records.writing("demo") as third:
        assert requests.claim(third, dossier.id, NOW + timedelta(seconds=61)) is not None


def test_only_a_former_life_loses_its_leases(records: Records) -> None:
    """A node that starts again drops what it held before, and neither another node's leases nor its own new ones."""
    held = {}
    for key, holder in {
        "mine-before": requests.Holder("a", "1"),
        "mine-now": requests.Holder("a", "2"),
        "other's": requests.Holder("b", "1"),
    }.items():
        held[key] = submitted(records, key=key)
        with records.writing("demo") as tx:
            assert requests.claim(tx, held[key].id, NOW, holder) is not None
    with records.batch() as batch:
        requests.forget_leases_of_all_subscribers(batch.across_subscribers(), requests.Holder("a", "2"))
    with records.reading_all_subscribers() as connection:
        free = requests.unfinished_of_all_subscribers(connection, (State.APPROVED,), unleased_at=NOW)
    assert free == [("demo", held["mine-before"].id)]


def test_changes_are_heard_on_another_connection(postgres_records: Records, database: postgres.Database) -> None:
    """What is committed is told at once, what was undone never is; a new connection tells everybody to look."""
    heard: queue.Queue[object] = queue.Queue()
    here: list[str] = []
    postgres_records.tell = lambda changed: here.extend(changed or ())
    listener = Listener(database.url, heard.put)
    try:
        assert heard.get(timeout=30) is None
        waits, undone = (submitted(postgres_records, State.REQUESTED, key=key) for key in ("waits", "undone"))
        with postgres_records.batch() as batch:
            with batch.item("demo") as tx:
                requests.move(tx, waits, State.APPROVED)
            with pytest.raises(RuntimeError), batch.item("demo") as tx:
                requests.move(tx, undone, State.APPROVED)
                raise RuntimeError
        assert heard.get(timeout=30) == [waits.id]
        assert here == [waits.id]
        digest = hashlib.sha256(b"pst_revoked").digest()
        with postgres_records.writing("demo") as tx:
            parties.add_member(tx, Member("M-ends", "demo", "ends", ()))
            parties.add_token(tx, "M-ends", digest, NOW, None)
        with postgres_records.writing("demo") as tx:
            parties.remove_token(tx, digest)
        assert heard.get(timeout=30) == [CREDENTIALS]
        database.cluster.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
        assert heard.get(timeout=30) is None
        assert heard.empty()
    finally:
        listener.close()
