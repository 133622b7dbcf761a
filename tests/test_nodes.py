"""Several ``serve`` processes on one PostgreSQL: any takes any request, a dead one's are finished, a frozen one's late
writes are refused."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from psycopg.rows import dict_row
from rfc3161_client import TimestampRequestBuilder, decode_timestamp_response
from tests.rehearsal import run_here, stop
from tests.town import LEASE_S, Node, Town, logger_of, room_of

from privyseal import config
from privyseal.errors import Misused
from privyseal.terms.requests import SigningRequest


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Return the one town of all these tests: each leaves three nodes running, whatever it did to them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).with_name("turned")))  # so that the stamper's clock can be turned
        made = Town(tmp_path_factory.mktemp("town"))
        yield made
        made.stop()


def _insist(town: Town, number: int, request: SigningRequest, answers: dict[str, dict[str, Any]]) -> None:
    """Ask node after node until one answers with a signature, under a derived key after a failure for good."""
    key, node = request.timeless_digest(), number
    until = time.monotonic() + 120
    while time.monotonic() < until:
        status, document = town.ask(town.nodes[node % 3], request, key)
        if status == 201:
            answers[key] = document
            return
        if document.get("code") == "failed":
            key = hashlib.sha256(key.encode()).hexdigest()
        elif status != 202:
            assert status in (0, 409, 503), document
        node += 1
        time.sleep(0.1)


def test_a_killed_nodes_requests_are_finished_by_the_others(town: Town) -> None:
    """kill -9 of one of three under load: every client is served, and each key has one answer on every node."""
    asked = town.requests(90)
    answers: dict[str, dict[str, Any]] = {}
    served = threading.Semaphore(0)

    def client(start: int) -> None:
        for number in range(start, len(asked), 6):
            _insist(town, number, asked[number], answers)
            served.release()

    clients = [threading.Thread(target=client, args=(each,)) for each in range(6)]
    for each in clients:
        each.start()
    for _ in range(20):
        assert served.acquire(timeout=120)
    town.nodes[2].process.kill()
    for each in clients:
        each.join(180)
    assert len(answers) == len(asked)
    by_digest = {request.timeless_digest(): request for request in asked}
    for key in list(by_digest)[::6]:
        if key in answers:
            for node in town.nodes[:2]:
                status, again = town.ask(node, by_digest[key], key)
                assert (status, again) == (201, answers[key])
    until = time.monotonic() + 30 + LEASE_S
    while time.monotonic() < until:
        with town.database.connect() as connection:
            rows = connection.execute("SELECT state, lease_node FROM requests").fetchall()
        if {state for state, _ in rows} <= {"released", "failed"}:
            break
        time.sleep(0.2)
    assert {node for _, node in rows} == {None}
    assert {state for state, _ in rows} <= {"released", "failed"}, "a request of the dead node was left lying"
    assert town.intents() >= len(asked)
    stop(town.nodes[2].process)
    town.nodes[2] = Node(town.nodes[2].directory)


def test_a_frozen_nodes_late_write_is_refused(town: Town) -> None:
    """SIGSTOP while it holds a lease: another node finishes; what the frozen one does when it wakes changes nothing."""
    *_, request = town.requests(91)
    before, logger = town.intents(), logger_of(town.nodes[0])
    key, frozen, late = "frozen", town.nodes[1], []
    asking = threading.Thread(target=lambda: late.append(town.ask(frozen, request, key)))
    with _woken_at_the_end(frozen.process.pid):
        with _woken_at_the_end(logger):
            _freeze(logger)  # so that the walk stands still after it has taken the request
            asking.start()
            until = time.monotonic() + 30
            while _row(town, key)["lease_node"] != "n2":
                assert time.monotonic() < until, "the node never took the request"
                time.sleep(0.05)
            _freeze(frozen.process.pid)
        status, done = 202, {}
        until = time.monotonic() + 60
        while status != 201:
            assert time.monotonic() < until, f"nobody took it over: {status} {done}"
            status, done = town.ask(town.nodes[2], request, key)
        released = _row(town, key)
    asking.join(60)
    assert late[0][0] in (201, 409), late
    assert late[0][0] == 409 or late[0][1] == done, "the frozen node answered something else"
    assert _row(town, key) == released
    assert released["fence"] >= 2, "nobody took it over, so nothing was proven"
    for node in town.nodes:
        assert town.ask(node, request, key) == (201, done)
    assert town.intents() == before + 1


def _freeze(pid: int) -> None:
    """Stop a process, and wait until each of its threads has: they hear of it one after the other."""
    os.kill(pid, signal.SIGSTOP)
    until = time.monotonic() + 30
    while not all(_is_stopped(task) for task in Path(f"/proc/{pid}/task").iterdir()):
        assert time.monotonic() < until, "the process does not stand still"
        time.sleep(0.005)


def _is_stopped(task: Path) -> bool:
    """Tell whether a thread is stopped (state T of proc_pid_stat(5)) or gone."""
    try:
        return (task / "stat").read_text().rpartition(")")[2].split()[0] == "T"
    except (FileNotFoundError, ProcessLookupError):
        return True


@contextmanager
def _woken_at_the_end(pid: int) -> Iterator[None]:
    """Let a process go on when the block ends, however it ends, for the tests that come after share it."""
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_who_waits_at_one_node_hears_of_another(town: Town) -> None:
    """A client that waits with Prefer: wait at n3 is answered when the request is finished through n2."""
    *_, request = town.requests(92)
    logger = logger_of(town.nodes[0])
    asking = threading.Thread(target=lambda: town.ask(town.nodes[1], request, "heard"))
    with _woken_at_the_end(logger):
        _freeze(logger)
        asking.start()
        until = time.monotonic() + 30
        while _row(town, "heard")["lease_node"] is None:
            assert time.monotonic() < until
            time.sleep(0.05)
        request_id = _row(town, "heard")["id"]
        headers = {"Authorization": f"Bearer {town.token}", "Prefer": "wait=40"}
        waiting = urllib.request.Request(f"{town.nodes[2].url}/v1/demo/requests/{request_id}", headers=headers)
        seen: list[dict[str, Any]] = []
        reader = threading.Thread(target=lambda: seen.append(json.loads(urllib.request.urlopen(waiting).read())))
        reader.start()
    asking.join(60)
    reader.join(60)
    assert seen[0]["state"] == "released"


def test_all_nodes_stamp_by_one_key_whose_time_never_goes_back(town: Town) -> None:
    """There is one stamper for all of them. Whatever of it dies, and however the clock is set meanwhile."""
    given = [_stamped(node) for node in town.nodes for _ in range(3)]
    ahead, behind = town.first / "stamper" / "ahead", 0.0
    for turned, whole in ((-0.9, False), (-0.9, True), (-3.0, False)):
        behind += turned
        ahead.write_text(str(behind))
        if whole:
            town.nodes[0].kill()
            town.nodes[0] = Node(town.nodes[0].directory)
        else:
            os.kill(room_of(town.nodes[0], "stamper"), signal.SIGKILL)
        given += [_stamped(node) for node in town.nodes[::-1] for _ in range(3)]
    ahead.unlink()
    os.kill(room_of(town.nodes[0], "stamper"), signal.SIGKILL)
    given += [_stamped(node) for node in town.nodes]
    times = [time for time, _, _ in given]
    assert times == sorted(times), times
    assert len({serial for _, serial, _ in given}) == len(given)
    assert len({certificates for _, _, certificates in given}) == 1


def _stamped(node: Node) -> tuple[datetime, int, frozenset[bytes]]:
    """Ask a node until it gives a token, as rfc3161-client reads it: its time, its serial number, who signed it."""
    query = TimestampRequestBuilder().data(os.urandom(8)).build().as_bytes()
    sent = urllib.request.Request(f"{node.url}/tsa", query, {"Content-Type": "application/timestamp-query"})
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with suppress(OSError), urllib.request.urlopen(sent, timeout=20) as answered:
            reply = decode_timestamp_response(answered.read())
            if reply.status == 0:
                info = reply.tst_info
                return info.gen_time, info.serial_number, frozenset(reply.signed_data.certificates)
        time.sleep(0.05)
    raise AssertionError("no token is given any more")


def test_what_cannot_be_a_node_is_refused(tmp_path: Path) -> None:
    """A node that joins needs sockets and PostgreSQL; a password in a file that others can read is refused."""
    joins = '[node]\nrooms = "join"\n'
    settings = tmp_path / "serve.toml"
    for more, sentence in (
        (joins, "sockets"),
        ('[node]\nsockets = "/run"\n', "sockets"),
        (joins + 'sockets = "/run"\n', "PostgreSQL"),
        ('[node]\nname = "a b"\n', "name"),
        ("[node]\nlease_seconds = 0\n", "lease_seconds"),
        ('[records]\nurl = "postgresql://u:secret@h/d"\n', "password"),
        ('[records]\nurl = "postgresql://u@/d?password=secret"\n', "password"),
        ('[records]\nlisten = "sqlite:///x"\n', "listen"),
    ):
        settings.write_text('[service]\nname = "x"\n' + more)
        with pytest.raises(Misused, match=sentence) as refused:
            config.load(tmp_path)
        assert "secret" not in str(refused.value)


def test_a_password_is_fine_where_nobody_else_can_read_it(tmp_path: Path) -> None:
    """chmod 600 is all that is asked."""
    settings = tmp_path / "serve.toml"
    settings.write_text('[service]\nname = "x"\n[records]\nurl = "postgresql://u:secret@h/d"\n')
    settings.chmod(0o600)
    assert config.load(tmp_path).records.url.endswith("@h/d")


def test_serve_and_doctor_say_what_is_wrong_with_the_database(town: Town) -> None:
    """Weak where it only lacks a standby; an older schema stops serve with exit 2, and migrate mends it."""
    stop(town.nodes[2].process)
    first, third = town.nodes[0].directory, town.nodes[2].directory
    assert "no synchronous standby" in _said("doctor", "--dir", str(first), "--url", town.nodes[0].url)[1]
    with town.database.connect() as connection:  # what the newest migration did, undone
        connection.execute("UPDATE alembic_version SET version_num = '0019'")
        connection.execute("DROP TABLE enclosures")
    code, said = _said("serve", "--dir", str(third), "--bind", "127.0.0.1:0")
    assert (code, "this program needs" in said) == (2, True), said
    assert _said("doctor", "--dir", str(third))[0] == 8
    code, said = _said("migrate", "--dir", str(third), "--owner", town.database.owner)
    assert code == 0, said
    with town.database.connect() as connection:  # a key that has its certificate goes on signing
        assert connection.execute("SELECT DISTINCT state FROM key_lives").fetchall() == [("active",)]
    town.nodes[2] = Node(third)


def _said(*arguments: str) -> tuple[int, str]:
    done = run_here(*arguments)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def _row(town: Town, key: str) -> dict[str, Any]:
    """Read a request past every policy."""
    with town.database.connect() as connection, connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute("SELECT * FROM requests WHERE idempotency_key = %s", [key]).fetchone()
    return row or {"lease_node": None}
