"""A PostgreSQL server of Debian's in a temporary folder, as an unprivileged user; also a streaming standby of it."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psycopg

SECONDS = 60
SETTINGS = (
    "fsync=off\nfull_page_writes=off\nmax_connections=60\nwal_level=replica\nmax_wal_senders=4\nwal_keep_size=64\n"
)
"""No power fails here, so nothing is synced; everything else is as Debian ships it."""


def binaries() -> Path:
    """Where Debian puts the newest PostgreSQL's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    assert found, "PostgreSQL is missing; `./seal test` as root installs postgresql."
    return found[-1]


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Cluster:
    """One server; its files are below ``folder``, which belongs to the unprivileged user."""

    def __init__(self, folder: Path, name: str = "primary", port: int = 0) -> None:
        self.folder = folder
        self.data = folder / name
        self.port = port or free_port()
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://privyseal@127.0.0.1:{self.port}/postgres"

    def create(self) -> Cluster:
        self._run("initdb", "-D", str(self.data), "-A", "trust", "-U", "privyseal", "-N", "-E", "UTF8", "--locale=C")
        (self.data / "postgresql.auto.conf").write_text(SETTINGS)
        return self

    def standby_of(self, primary: Cluster) -> Cluster:
        arguments = ["-h", "127.0.0.1", "-p", str(primary.port), "-U", "privyseal", "-D", str(self.data)]
        self._run("pg_basebackup", *arguments, "-R", "-X", "stream", "-c", "fast")
        return self.start()

    def start(self) -> Cluster:
        log = (self.folder / f"{self.data.name}.log").open("ab")
        command = [str(binaries() / "postgres"), "-D", str(self.data), "-p", str(self.port)]
        command += ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self.folder}"]
        with log:
            self._server = subprocess.Popen(
                command,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                **_user(),
            )
        until = time.monotonic() + SECONDS
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=2).close()
                return self
            except psycopg.Error:
                assert time.monotonic() < until, (self.folder / f"{self.data.name}.log").read_text()
                time.sleep(0.05)

    def stop(self, number: int = 3) -> None:
        """End the server: SIGQUIT, which is PostgreSQL's immediate shutdown, if nothing else is said."""
        if self._server is not None:
            self._server.send_signal(number)
            try:
                self._server.wait(SECONDS)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()
            self._server = None

    def cut_off(self) -> None:
        """Have a streaming standby receive nothing more, as when the network between the two is gone."""
        self.execute("ALTER SYSTEM SET primary_conninfo = ''")
        self.execute("SELECT pg_reload_conf()")
        until = time.monotonic() + SECONDS
        while self.execute("SELECT 1 FROM pg_stat_wal_receiver"):
            assert time.monotonic() < until
            time.sleep(0.02)

    def remove(self) -> None:
        """Delete the files of a stopped server."""
        shutil.rmtree(self.data)

    def promote(self) -> None:
        self.execute("SELECT pg_promote(true, 60)")

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.url, autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(statement)  # type: ignore[call-overload]
            return list(cursor.fetchall()) if cursor.description else []

    def keep(self, tables: Sequence[str]) -> dict[str, bytes]:
        """Dump tables, for :meth:`put_back`."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            found = {}
            for table in tables:
                with connection.cursor().copy(f"COPY {table} TO STDOUT") as copy:  # type: ignore[call-overload]
                    found[table] = b"".join(copy)
            return found

    def put_back(self, dump: dict[str, bytes]) -> None:
        """Restore tables as they were, in one transaction, as a restored dump does."""
        with psycopg.connect(self.url) as connection:
            for table, content in dump.items():
                connection.execute(f"TRUNCATE {table}")  # type: ignore[call-overload]
                with connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:  # type: ignore[call-overload]
                    copy.write(content)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(binaries() / program), *arguments], cwd=self.folder, capture_output=True, check=False, **_user()
        )
        assert done.returncode == 0, done.stderr.decode()


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A folder that the unprivileged user may use, which pytest's own are not."""
    made = Path(tempfile.mkdtemp(prefix="privyseal-pg-"))
    try:
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(made, user.pw_uid, user.pw_gid)
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _user() -> dict[str, object]:
    """PostgreSQL refuses to run as root."""
    return {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
