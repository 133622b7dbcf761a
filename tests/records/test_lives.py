"""How keys stand: one row each, moved by compare-and-swap, and made for keys that were there before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text

from privyseal.errors import Conflict
from privyseal.records import key_acts, lives
from privyseal.records.database import Records, open_records
from privyseal.records.key_acts import Proposed
from privyseal.records.schema import migrate
from privyseal.terms.life import KeyState
from privyseal.terms.requests import Approval

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def test_a_row_moves_from_what_was_read(sqlite_records: Records) -> None:
    """Whoever read an older state writes nothing; another Subscriber's key of the name is another one."""
    with sqlite_records.writing("demo") as tx:
        life = lives.add(tx, "release", KeyState.PLANNED, NOW)
        lives.move(tx, life, KeyState.GENERATED, NOW + DAY, "a" * 64)
        found = lives.find(tx, "release")
        assert found is not None
        assert (found.state, found.since, found.key_id) == (KeyState.GENERATED, NOW + DAY, "a" * 64)
        with pytest.raises(Conflict):
            lives.move(tx, life, KeyState.DESTROYED, NOW + DAY, "")
    with sqlite_records.writing("other") as tx:
        assert lives.find(tx, "release") is None


def test_idle_keys_are_those_that_are_active_and_were_not_used(sqlite_records: Records) -> None:
    """Neither a used one, nor one that became active since, nor one in another state."""
    with sqlite_records.writing("demo") as tx:
        for name, state, since in (
            ("idle", KeyState.ACTIVE, NOW),
            ("used", KeyState.ACTIVE, NOW),
            ("new", KeyState.ACTIVE, NOW + DAY),
            ("stopped", KeyState.SUSPENDED, NOW),
        ):
            lives.add(tx, name, state, since)
        lives.note_use(tx, "used", NOW + DAY)
    with sqlite_records.reading_all_subscribers() as connection:
        found = lives.idle_of_all_subscribers(connection, NOW + DAY, 10)
        wanted = [("demo", "idle"), ("demo", "new"), ("other", "idle")]
        known = lives.of_all_subscribers(connection, wanted)
    assert [each.name for each in found] == ["idle"]
    assert set(known) == {("demo", "idle"), ("demo", "new")}


def _back_to(url: str, revision: str) -> None:
    """Take the schema back to what it was at a revision."""
    config = Config()
    config.attributes |= {"serve_role": None, "url": url}
    with resources.as_file(resources.files("privyseal.records") / "migrations") as folder:
        config.set_main_option("script_location", str(folder))
        command.downgrade(config, revision)


def test_keys_of_before_stand_as_they_were_used(tmp_path: Path) -> None:
    """With a certificate active, frozen suspended, without one generated."""
    url = f"sqlite:///{tmp_path / 'records.db'}"
    migrate(url)
    records = open_records(url)
    with records.engine.begin() as connection:
        connection.execute(text("INSERT INTO subscribers VALUES ('demo', 'Demo', x'00', 'active')"))
        for name, frozen in (("bare", 0), ("used", 0), ("cold", 1)):
            row = f"INSERT INTO key_pairs VALUES ('demo', '{name}', '{name}', {frozen}, x'00')"
            connection.execute(text(row))
            if name != "bare":
                chain = f"INSERT INTO certificates VALUES ('{name}', 'demo', '{name}', 0, x'00')"
                connection.execute(text(chain))
    records.close()
    _back_to(url, "0016")
    migrate(url)
    records = open_records(url)
    with records.reading("demo") as tx:
        found = {each.name: each for each in lives.listed(tx)}
    records.close()
    assert {name: each.state.value for name, each in found.items()} == {
        "bare": "generated",
        "used": "active",
        "cold": "suspended",
    }
    assert all(abs(each.since - datetime.now(UTC)) < DAY for each in found.values())


def test_an_act_is_ended_once_and_agreed_to_once_by_each(sqlite_records: Records) -> None:
    """By compare-and-swap on its state; the same agreement twice is a Conflict."""
    act = Proposed(
        id="K-1",
        subscriber="demo",
        key_name="release",
        purpose="destroy",
        canonical=b"{}",
        why="over",
        proposer="M-1",
        created=NOW,
        expires=NOW + DAY,
    )
    given = Approval(approver="olga", public_key=b"k" * 32, request_digest=b"d" * 32, signature=b"s" * 64)
    with sqlite_records.writing("demo") as tx:
        key_acts.add(tx, act)
        key_acts.agree(tx, "K-1", given, NOW)
        assert key_acts.approvals_of(tx, "K-1") == [given]
        key_acts.move(tx, act, "done", NOW + DAY)
        with pytest.raises(Conflict):
            key_acts.move(tx, act, "withdrawn", NOW + DAY)
        assert key_acts.get(tx, "K-1").ended == NOW + DAY
    with pytest.raises(Conflict), sqlite_records.writing("demo") as tx:
        key_acts.agree(tx, "K-1", given, NOW)
    with sqlite_records.reading_all_subscribers() as connection:
        assert key_acts.open_of_all_subscribers(connection) == []
        assert key_acts.owner_of_all_subscribers(connection, "K-1") == "demo"
