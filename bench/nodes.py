"""Several nodes and PostgreSQL: what a database server costs against a file, and how long a receipt takes over three
nodes on one machine.

What is in the server: the *records* (requests, events, spool's table), and in the second arrangement, which is that
of an operator of several nodes, the *log's journal* as well. The signer's and the stamper's own files, tiles and marks
are files in every arrangement. The server has Debian's settings, so each commit is synced, and its files are on the
same disk as SQLite's.
"""

from __future__ import annotations

import glob
import os
import pwd
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg

from bench.files import PRIVYSEAL
from bench.harness import Row, against
from bench.running import Load, Running, running

SECONDS = 6.0
"""How long one round sends requests."""
NODES = 3
STEADY = 17
"""Connections to each node in the row of latency; each pauses so that all nodes together get 100 requests a second."""
OWNER, SERVE = "privyseal_owner", "privyseal"


def postgresql(folder: Path, rounds: int) -> list[Row]:
    """Measure a service on PostgreSQL against one on SQLite, and the latency of three nodes."""
    rounds = max(1, rounds - 2)
    with ExitStack() as stack:
        server = stack.enter_context(_server(folder / "pg"))
        sqlite = stack.enter_context(running(folder / "sqlite", "rsa-3072"))
        records = stack.enter_context(_on_server(folder / "records", server, journal=False))
        whole = stack.enter_context(_on_server(folder / "n1", server, journal=True))
        for each in (sqlite, records, whole):
            each.load(seconds=1)
        rows = [
            _against_sqlite("PostgreSQL (records and log's journal) / SQLite", sqlite, whole, rounds),
            _against_sqlite("PostgreSQL (records alone) / SQLite", sqlite, records, rounds),
        ]
        nodes = [whole, *(stack.enter_context(_joined(folder / f"n{n}", whole.directory)) for n in range(2, NODES + 1))]
        rows.append(_latency(nodes, rounds))
    return rows


def _against_sqlite(work: str, sqlite: Running, subject: Running, rounds: int) -> Row:
    last: dict[str, Load] = {}

    def rate(service: Running, name: str) -> Callable[[], float]:
        def measured() -> float:
            last[name] = service.load(seconds=SECONDS)
            return last[name].rate

        return measured

    ours, limit, ratio, each = against(rate(sqlite, "SQLite"), rate(subject, "PostgreSQL"), rounds)
    notes = "; ".join(f"{name}: {load.spent()}, p99 {load.p99_ms:.0f} ms" for name, load in last.items())
    return Row(f"HTTP, RSA-3072, {work}", ours, limit, ratio, "/s", "0.85 (1)", notes=notes, rounds=each)


def _latency(nodes: list[Running], rounds: int) -> Row:
    """Load all nodes at once; the figure is the p99 of the node that was slowest."""
    pause = round(1000 * STEADY * len(nodes) / 100)
    p99s, rates, halves = [], [], []
    for _ in range(rounds):
        with ThreadPoolExecutor(len(nodes)) as pool:
            loads = list(pool.map(lambda node: node.load(seconds=10, clients=STEADY, pause_ms=pause), nodes))
        p99s.append(max(load.p99_ms for load in loads))
        rates.append(sum(load.rate for load in loads))
        halves.append(max(load.p50_ms for load in loads))
    at = sorted(range(rounds), key=p99s.__getitem__)[rounds // 2]
    return Row(
        "HTTP, RSA-3072, p99 at 100 a second, 3 nodes",
        p99s[at],
        500.0,
        p99s[at] / 500.0,
        "ms",
        "500 (200)",
        "lower",
        f"{rates[at]:.0f} a second came, slowest node's p50 {halves[at]:.0f} ms; records and journal in PostgreSQL",
        tuple(p99s),
    )


@contextmanager
def _server(folder: Path) -> Iterator[Path]:
    """Run a PostgreSQL server as an unprivileged user and yield the folder of its socket."""
    programs = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[4]))[-1]
    folder.mkdir(mode=0o755)
    drop: list[str] = []
    if os.geteuid() == 0:  # which PostgreSQL refuses to run as
        user = pwd.getpwnam("postgres")
        os.chown(folder, user.pw_uid, user.pw_gid)
        for above in folder.parents[: len(folder.parents) - 2]:
            above.chmod(above.stat().st_mode | 0o011)
        drop = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    made = [*drop, f"{programs}/initdb", "-D", f"{folder}/data", "-A", "trust", "-U", "postgres", "--locale=C"]
    subprocess.run([*made, "-E", "UTF8"], check=True, cwd=folder, stdout=subprocess.DEVNULL)
    command = [*drop, f"{programs}/postgres", "-D", f"{folder}/data", "-c", "listen_addresses="]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "-c", f"unix_socket_directories={folder}"], cwd=folder, stdout=log, stderr=log
        )
    try:
        until = time.monotonic() + 60
        while True:
            try:
                for role in (f"{OWNER} LOGIN CREATEDB", f"{SERVE} LOGIN"):
                    _execute(folder, f"CREATE ROLE {role}")
                break
            except psycopg.OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)
        yield folder
    finally:
        server.terminate()
        server.wait(60)


def _execute(server: Path, statement: str) -> None:
    with psycopg.connect(f"host={server} user=postgres dbname=postgres", autocommit=True) as connection:
        connection.execute(statement.encode("ascii"))


@contextmanager
def _on_server(directory: Path, server: Path, *, journal: bool) -> Iterator[Running]:
    """Make a rehearsal service with a database of its own and run it."""
    name = f"bench_{directory.name}"
    _execute(server, f"CREATE DATABASE {name} OWNER {OWNER}")
    url, owner = (f"postgresql+psycopg://{role}@/{name}?host={server}" for role in (SERVE, OWNER))
    made: list[str | Path] = [PRIVYSEAL, "init", "--dir", directory, "--rehearsal", "--scheme", "rsa-3072"]
    subprocess.run([*made, "--records", url, "--owner", owner], check=True, capture_output=True)
    _change(directory / "serve.toml", "[records]", f'[records]\nlisten = "{url}"')
    if journal:
        settings = directory / "logger" / "logger.toml"
        settings.write_text(f'journal = "{owner.replace("+psycopg", "")}"\n' + settings.read_text())
        recovered: list[str | Path] = [PRIVYSEAL, "log", "recover", "--dir", directory, "--apply"]
        subprocess.run(recovered, check=True, capture_output=True)
    with _serving(directory) as (address, pid):
        yield Running(directory, address, pid)


@contextmanager
def _joined(directory: Path, first: Path) -> Iterator[Running]:
    """Run one more node beside the first one, with a logger of its own on standby."""
    added: list[str | Path] = [PRIVYSEAL, "log", "add-logger", "--dir", directory, "--beside", first]
    subprocess.run(added, check=True, capture_output=True)
    settings = directory / "serve.toml"
    settings.write_text((first / "serve.toml").read_text())
    _change(settings, 'public = "log"', f'public = "{first}/log"\nstandby = "logger2"')
    with settings.open("a") as file:
        file.write(f'[node]\nname = "{directory.name}"\nrooms = "join"\nsockets = "{first}/run"\n')
    with _serving(directory) as (address, pid):
        yield Running(first, address, pid, runs=1000 * int(directory.name[1:]))


def _change(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


@contextmanager
def _serving(directory: Path) -> Iterator[tuple[str, int]]:
    command: list[str | Path] = [PRIVYSEAL, "serve", "--dir", directory, "--bind", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as serving:
        try:
            assert serving.stdout is not None
            yield serving.stdout.readline().split()[1], serving.pid
        finally:
            serving.terminate()
            serving.wait(60)
