"""A guarded process leaves no core, cannot be traced, and where the kernel can, is kept to its own room."""

import ctypes
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from privyseal.strongroom.confinement import confine

TRIALS = """
import ctypes, os, pathlib, socket, subprocess, sys
from privyseal.strongroom.hardening import harden
from privyseal.strongroom.confinement import confine
room, sockets, other = map(pathlib.Path, sys.argv[1:])
harden()
if not confine([room], sockets):
    print("at home all goes well")
    raise SystemExit

def tried(name, act):
    try:
        act()
        print(name, "allowed")
    except OSError as error:
        print(name, error.errno in (1, 13))

tried("read outside", (other / "file").read_bytes)
tried("list outside", lambda: os.listdir(other))
tried("write outside", lambda: (other / "new").write_bytes(b""))
tried("remove outside", (other / "file").unlink)
tried("read /etc/passwd", pathlib.Path("/etc/passwd").read_bytes)
tried("run a program", lambda: subprocess.run(["/bin/true"]))
tried("call somebody", lambda: socket.create_connection(("127.0.0.1", int(os.environ["PORT"]))))
tried("write among the sockets", lambda: (sockets / "new").write_bytes(b""))

(room / "a").mkdir()
(room / "a/file").write_bytes(b"x")
(room / "b").mkdir()
os.replace(room / "a/file", room / "b/file")
os.link(room / "b/file", room / "b/link")
os.truncate(room / "b/file", 0)
(room / "b/file").unlink()
import sqlite3
database = sqlite3.connect(room / "d.sqlite3")
database.execute("pragma journal_mode=wal")
database.execute("create table t (n)")
database.execute("insert into t values (1)")
database.commit()
database.close()
import email.mime.multipart, cryptography.x509  # what is imported late
door = socket.socket(socket.AF_UNIX)
door.bind(str(sockets / "s"))
(sockets / "s").unlink()
print("at home all goes well")
"""


def landlock() -> int:
    """The version of Landlock that this kernel has; below 1 it has none, and then nothing can be confined here."""
    return ctypes.CDLL(None).syscall(444, None, 0, 1)


def test_a_confined_process_is_kept_to_its_room(tmp_path: Path):
    """Reading, writing, running and calling outside are refused; what a room needs to do in its own place is not."""
    for name in ("room", "sockets", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "other/file").write_bytes(b"secret")
    listener = socket.create_server(("127.0.0.1", 0))
    outcome = subprocess.run(
        [sys.executable, "-c", TRIALS, *(str(tmp_path / name) for name in ("room", "sockets", "other"))],
        capture_output=True,
        text=True,
        check=False,
        env={"PORT": str(listener.getsockname()[1])},
    )
    listener.close()
    said = outcome.stdout.splitlines()
    assert outcome.returncode == 0, outcome.stderr
    assert said[-1] == "at home all goes well"
    refused = [line.rsplit(" ", 1)[1] for line in said[:-1]]
    expected = ["True"] * 6 + ["True" if landlock() >= 4 else "allowed", "True"]  # TCP: Linux 6.7
    assert refused == (expected if landlock() >= 1 else []), said
    assert (tmp_path / "other/file").read_bytes() == b"secret"


def test_a_hardened_process_leaves_no_core_and_cannot_be_traced():
    """In a real process: no core file, not dumpable, no new privileges."""
    code = (
        "import resource, pathlib; from privyseal.strongroom.hardening import harden; harden();"
        "status = pathlib.Path('/proc/self/status').read_text();"
        "print(resource.getrlimit(resource.RLIMIT_CORE), 'NoNewPrivs:\\t1' in status);"
        "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"  # PR_GET_DUMPABLE
    )
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert outcome.stdout == "(0, 0) True\n0\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_the_little_memory_that_an_ordinary_user_may_lock_is_not_locked():
    """8 MiB are less than the process maps, and it would run out of them at work; it says so and works unlocked."""
    code = (
        "import os, resource, threading\n"
        "from privyseal.strongroom.hardening import harden\n"
        "resource.setrlimit(resource.RLIMIT_MEMLOCK, (4 << 20, 8 << 20))\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "said = harden(); octets = bytearray(64 << 20)\n"
        "thread = threading.Thread(target=lambda: None); thread.start(); thread.join()\n"
        "status = open('/proc/self/status', 'rb').read()\n"
        "print(said, b'VmLck:\\t       0 kB' in status)\n"
    )
    outcome = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert outcome.stdout == "False True\n", outcome.stderr


def test_where_the_kernel_has_no_landlock_nothing_is_promised(monkeypatch):
    """The caller is told; nothing is raised, because a container or unit may confine instead."""

    class Without:
        def syscall(self, *_: object) -> int:
            return -1

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Without())
    assert confine([], Path("/")) == 0


CALLS = """
import pathlib, socket, sys
from privyseal.strongroom.hardening import harden
from privyseal.strongroom.confinement import confine
harden()
confine([], pathlib.Path(sys.argv[1]), (int(sys.argv[2]),))
for port in sys.argv[2:]:
    try:
        socket.create_connection(("localhost", int(port)), 20).close()
        print("called")
    except OSError as error:
        print(error.errno in (1, 13))
"""


def test_a_confined_process_may_call_the_ports_it_needs_and_no_other(tmp_path: Path):
    """The logger reaches its witness, by a name too, and not what listens beside it."""
    wanted, other = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    ports = [str(each.getsockname()[1]) for each in (wanted, other)]
    command = [sys.executable, "-c", CALLS, str(tmp_path), *ports]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    wanted.close()
    other.close()
    assert outcome.stdout.split() == ["called", "True" if landlock() >= 4 else "called"], outcome.stderr
