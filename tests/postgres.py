"""A real PostgreSQL for the tests: one cluster for each test process, a fresh database for each test.

The cluster lies in memory where that is possible, so that it runs with ``fsync=on`` and costs nothing; it listens on a
Unix socket only, as an unprivileged user, and ends with the process that started it, however that ends.
"""

from __future__ import annotations

import atexit
import functools
import glob
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

from privyseal.records import schema

OWNER, SERVE = "privyseal_owner", "privyseal"
"""The role that owns the tables, and the one of ``serve``."""
START_LIMIT = 60.0


class Database:
    """One database of the cluster, under the URLs of both roles."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.name = name
        self.url = cluster.url(name, SERVE)
        self.owner = cluster.url(name, OWNER)

    def drop(self) -> None:
        """Delete it, whoever is still connected."""
        self.cluster.execute(f'DROP DATABASE IF EXISTS "{self.name}" WITH (FORCE)')

    def connect(self, role: str = "postgres") -> psycopg.Connection:
        """Connect without any of our code; as ``postgres``, past every policy."""
        return psycopg.connect(self.cluster.dsn(self.name, role), autocommit=True)


class Cluster:
    """One PostgreSQL server, started now and stopped by :meth:`stop`."""

    def __init__(self, *settings: str, wal: Path | None = None) -> None:
        """Start it with these settings; ``wal`` is a folder on a disk of its own, where the log is kept in segments of
        1 MiB."""
        memory = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(prefix="pg-", dir=memory if os.access(memory, os.W_OK) else None))
        self._bin = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[4]))[-1]
        # Some thousand databases are made: to copy the files takes the server two thirds of the time that it takes to
        # copy every page by way of the log, which is what PostgreSQL 15 and newer do unasked.
        self._copying = "STRATEGY FILE_COPY" if int(self._bin.split("/")[4]) >= 15 else ""
        self._settings = settings
        self._count = itertools.count()
        self._templates: dict[str, str] = {}
        self._as = as_unprivileged(self.folder)
        command = [*self._as, f"{self._bin}/initdb", "-D", f"{self.folder}/data", "-A", "trust", "-U", "postgres", "-N"]
        if wal is not None:
            as_unprivileged(wal)
            command += ["-X", f"{wal}/wal", "--wal-segsize=1"]
        subprocess.run([*command, "--locale=C", "-E", "UTF8"], check=True, cwd=self.folder, stdout=subprocess.DEVNULL)
        self.start()
        atexit.register(self.stop)
        self.execute(f"CREATE ROLE {OWNER} LOGIN CREATEDB")
        self.execute(f"CREATE ROLE {SERVE} LOGIN")

    def start(self) -> None:
        """Start the server and wait until it answers."""
        given = ["listen_addresses=", f"unix_socket_directories={self.folder}", "max_connections=300", *self._settings]
        options = [word for setting in given for word in ("-c", setting)]
        with (self.folder / "log").open("ab") as log:
            command = [*self._as, f"{self._bin}/postgres", "-D", f"{self.folder}/data", *options]
            self.process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        until = time.monotonic() + START_LIMIT
        while True:
            try:
                return self.execute("SELECT 1")
            except psycopg.Error:
                assert self.process.poll() is None and time.monotonic() < until, (self.folder / "log").read_text()
                time.sleep(0.05)

    def restart_immediately(self) -> None:
        """Let the server end without a checkpoint, as ``pg_ctl -m immediate restart`` does, and start it again."""
        self.end_immediately()
        self.start()

    def end_immediately(self) -> None:
        """Let the server end without a checkpoint, as ``pg_ctl -m immediate stop`` does."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(START_LIMIT)

    def stop(self) -> None:
        """End the server and delete everything."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(START_LIMIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def execute(self, statement: str) -> None:
        """Carry out one statement as the superuser."""
        with psycopg.connect(self.dsn("postgres", "postgres"), autocommit=True) as connection:
            connection.execute(statement)

    def dsn(self, name: str, role: str) -> str:
        """Return where psycopg finds a database."""
        return f"host={self.folder} dbname={name} user={role}"

    def url(self, name: str, role: str) -> str:
        """Return where SQLAlchemy finds a database."""
        return f"postgresql+psycopg://{role}@/{name}?host={self.folder}"

    def database(self, template: str = "template0") -> Database:
        """Make a database that is a copy of another one."""
        name = f"t{next(self._count)}"
        self.execute(f'CREATE DATABASE "{name}" OWNER {OWNER} TEMPLATE "{template}" {self._copying}')
        return Database(self, name)

    def migrated(self) -> Database:
        """Make a database with the newest schema and no rows."""
        if "migrated" not in self._templates:
            made = self.database()
            schema.migrate_for_serve(made.url, made.owner)
            self._templates["migrated"] = made.name
        return self.database(self._templates["migrated"])


class Bouncer:
    """A pgbouncer in transaction mode in front of a cluster, with few enough connections that they are shared."""

    def __init__(self, behind: Cluster) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="bouncer-"))
        command = as_unprivileged(self.folder)
        (self.folder / "users").write_text(f'"{SERVE}" ""\n"{OWNER}" ""\n')
        (self.folder / "ini").write_text(
            f"[databases]\n* = host={behind.folder} port=5432\n"
            f"[pgbouncer]\nlisten_port = 6432\nunix_socket_dir = {self.folder}\nauth_type = trust\n"
            f"auth_file = {self.folder}/users\npool_mode = transaction\ndefault_pool_size = 2\n"
        )
        with (self.folder / "log").open("wb") as log:
            program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
            self._process = subprocess.Popen(
                [*command, program, f"{self.folder}/ini"], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        until = time.monotonic() + START_LIMIT
        while not (self.folder / ".s.PGSQL.6432").exists():
            assert self._process.poll() is None and time.monotonic() < until, (self.folder / "log").read_text()
            time.sleep(0.02)

    def url(self, database: Database) -> str:
        """Return where SQLAlchemy finds a database behind the pooler, as serve's role."""
        return f"postgresql+psycopg://{SERVE}@/{database.name}?host={self.folder}&port=6432"

    def stop(self) -> None:
        """End it."""
        self._process.terminate()  # pgbouncer ends at once (SIGTERM); SIGQUIT a shell may have had ignored
        self._process.wait(START_LIMIT)
        shutil.rmtree(self.folder, ignore_errors=True)


@functools.cache
def cluster() -> Cluster:
    """Return this process's cluster, started when it is asked for first; no database in it lives to be vacuumed."""
    return Cluster("autovacuum=off")


def as_unprivileged(folder: Path) -> list[str]:
    """Give ``folder`` to an unprivileged user and return the command line that runs a program as that user.

    The program ends when we do, however we end.
    """
    command = ["setpriv", "--pdeathsig", "QUIT"]
    if os.geteuid() != 0:
        return command
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        user = pwd.getpwnam("nobody")
    os.chown(folder, user.pw_uid, user.pw_gid)
    folder.chmod(0o755)
    return [*command, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
