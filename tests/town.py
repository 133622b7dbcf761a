"""A service of three nodes on one PostgreSQL: real processes, ended with the tests."""

from __future__ import annotations

import hashlib
import json
import signal
import tomllib
import urllib.error
import urllib.request
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from tests import postgres
from tests.rehearsal import initialise, run_here, start, stop, wait_ready
from tests.world import a_description

from privyseal.records import keys
from privyseal.records.database import open_records
from privyseal.terms.requests import SigningRequest
from privyseal.terms.signatures import Options

NAMES = ("n1", "n2", "n3")
LEASE_S = 2


class Node:
    """One ``serve`` process with a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.process = start(directory, real=True)
        try:
            self.url = wait_ready(self.process)
        except BaseException:
            stop(self.process)
            raise

    def kill(self) -> None:
        """End it as a crash does; its processes end with it."""
        self.process.kill()
        stop(self.process)


class Town:
    """One rehearsal service on PostgreSQL: a node that starts the guarded processes and two that join it.

    With ``loggers`` the log's journal is in the database too, and each node that joins runs a logger of its own.
    """

    def __init__(self, folder: Path, *, loggers: bool = False) -> None:
        self.database = postgres.cluster().database()
        first = self.first = folder / "n1"
        initialise(first, "--scheme", "ecdsa-p256", "--records", self.database.url, "--owner", self.database.owner)
        settings = first / "serve.toml"
        plain = settings.read_text().replace("[records]", f'[records]\nlisten = "{self.database.url}"')
        self.token = tomllib.loads((first / "client.toml").read_text())["token"]
        joins = f'rooms = "join"\nsockets = "{first}/run"\n'
        logs = {"n1": 'public = "log"'} | dict.fromkeys(NAMES[1:], f'public = "{first}/log"')
        if loggers:
            self._share_the_log(folder)
            sockets = {name: str(folder / name / "run/logger2.sock") for name in NAMES[1:]}
            for name in NAMES:
                others = [socket for node, socket in sockets.items() if node != name]
                logs[name] += f"\nloggers = {json.dumps(others)}" + ('\nstandby = "logger2"' if name in sockets else "")
        for name in NAMES:
            (folder / name).mkdir(exist_ok=True)
            node = f'[node]\nname = "{name}"\nlease_seconds = {LEASE_S}\n' + (joins if name != "n1" else "")
            (folder / name / "serve.toml").write_text(plain.replace('public = "log"', logs[name]) + node)
        self.nodes: list[Node] = []
        try:
            for name in NAMES:
                self.nodes.append(Node(folder / name))
        except BaseException:
            self.stop()
            raise

    def _share_the_log(self, folder: Path) -> None:
        """Move the log's journal into the database and make a logger for each further node."""
        settings = self.first / "logger" / "logger.toml"
        journal = self.database.owner.replace("postgresql+psycopg://", "postgresql://")
        settings.write_text(f'journal = "{journal}"\n' + settings.read_text())
        recover = [["recover", "--dir", self.first, "--apply"]]
        for command in recover + [["add-logger", "--dir", folder / n, "--beside", self.first] for n in NAMES[1:]]:
            done = run_here("log", *command)
            assert done.returncode == 0, done.stderr

    def stop(self) -> None:
        for node in reversed(self.nodes):
            with suppress(ProcessLookupError):
                node.process.send_signal(signal.SIGCONT)
            stop(node.process)
        self.database.drop()

    def requests(self, count: int) -> list[SigningRequest]:
        """Build requests as the command line would."""
        records = open_records(self.database.url)
        with records.reading("demo") as tx:
            pair = keys.key_pair(tx, "release")
            chain = keys.certificate_chains_of(tx, pair.key_id)[0]
        records.close()
        plain = SigningRequest(
            subscriber="demo",
            key="release",
            key_id=pair.key_id,
            scheme=pair.scheme,
            certificate=hashlib.sha256(chain[0]).hexdigest(),
            mode="local",
            options=Options(),
            described=(a_description(0),),
            expires_at=datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1),
        )
        return [msgspec.structs.replace(plain, described=(a_description(n),)) for n in range(count)]

    def ask(self, node: Node, request: SigningRequest, key: str) -> tuple[int, dict[str, Any]]:
        """Post a request to one node; 0 where it does not answer."""
        headers = {"Authorization": f"Bearer {self.token}", "Idempotency-Key": key, "Content-Type": "application/json"}
        posted = urllib.request.Request(f"{node.url}/v1/demo/requests", request.canonical(), headers)
        try:
            with urllib.request.urlopen(posted, timeout=60) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())
        except OSError:
            return 0, {}

    def intents(self) -> int:
        """Verify the whole log with our own auditor, and count the signatures that it knows intents of."""
        done = run_here("log", "fsck", "--dir", self.first)
        assert done.returncode == 0, done.stderr
        with self.database.connect() as connection:
            rows = connection.execute("SELECT intent_index FROM requests WHERE intent_index IS NOT NULL").fetchall()
        assert len({index for (index,) in rows}) == len(rows), "two requests claim one intent"
        return len(rows)


def logger_of(node: Node) -> int:
    """The pid of the logger that a node runs."""
    return room_of(node, "logger")


def room_of(node: Node, which: str) -> int:
    """The pid of a guarded process that a node runs."""
    for entry in Path(f"/proc/{node.process.pid}/task").glob("*/children"):
        for child in entry.read_text().split():
            words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
            if which.encode() in words:
                return int(child)
    raise AssertionError(f"the node has no {which}")
