"""From inside each guarded process, as an intruder would try it: out is nowhere, and the work goes on."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.strongroom.processes import Process
from tests.strongroom.test_processes import Site

from privyseal.strongroom.messages import SignedBatch, SignedItem
from privyseal.timestamp.token import verify_token

INTRUDER = """
import ctypes, errno, json, os, pathlib, platform, socket, subprocess, sys, threading
from privyseal.strongroom import rooms, run, seccomp

which, secret = sys.argv[1], os.environ["ELSEWHERE"]
web = os.getppid()
column = {"x86_64": 0, "aarch64": 1}[platform.machine()]
libc = ctypes.CDLL(None, use_errno=True)

def call(name, *arguments):
    answer = libc.syscall(seccomp.CALLS[name][column], *map(ctypes.c_long, arguments))
    if answer < 0:
        raise OSError(ctypes.get_errno(), name)

def read_memory_of_web():
    here = ctypes.create_string_buffer(8)
    target, own = (ctypes.c_size_t * 2)(id(call), 8), (ctypes.c_size_t * 2)(ctypes.addressof(here), 8)
    call("process_vm_readv", web, ctypes.addressof(own), 1, ctypes.addressof(target), 1, 0)

def thread():
    done = []
    one = threading.Thread(target=lambda: done.append(1)); one.start(); one.join()
    raise OSError(0, "threads work" if done else "no")

TRIALS = {
    "run a program": lambda: os.execv("/bin/true", ["true"]),
    "run a program in a child": lambda: subprocess.run(["/bin/true"]),
    "fork": lambda: os.fork() or os._exit(0),
    "trace the web process": lambda: call("ptrace", 16, web, 0, 0),
    "read the web process's memory": read_memory_of_web,
    "kill the web process": lambda: os.kill(web, 0),
    "read /etc/passwd": lambda: pathlib.Path("/etc/passwd").read_bytes(),
    "read another's file": lambda: pathlib.Path(secret).read_bytes(),
    "open a TCP socket": lambda: socket.socket(),
    "open a UDP socket": lambda: socket.socket(type=socket.SOCK_DGRAM),
    "open a Unix socket": lambda: socket.socket(socket.AF_UNIX),
    "io_uring": lambda: call("io_uring_setup", 8, 0),
    "bpf": lambda: call("bpf", 0, 0, 0),
    "keyrings": lambda: call("keyctl", 0, -4, 0),
    "a namespace": lambda: call("unshare", 0x10000000),
    "mount": lambda: call("mount", 0, 0, 0, 0, 0),
    "a page to write and run": lambda: call("mprotect", 0, 0, 7),
    "dumpable again": lambda: call("prctl", 4, 1, 0, 0, 0),
    "threads": thread,
}

def tried(act):
    try:
        act()
        return "allowed"
    except OSError as error:
        return errno.errorcode.get(error.errno, error.strerror)

def intruded(builder):
    def build(config, clock, note, **more):
        built = builder(config, clock, note, **more)
        handle, asked = built.room.handle, []
        def handler(question):
            if len(asked) == 1:  # the first question from outside; the look at the start came before it was shut in
                said = {name: tried(act) for name, act in TRIALS.items()}
                pathlib.Path(config.parent, "tried.json").write_text(json.dumps(said))
            asked.append(question)
            return handle(question)
        built.room.handle = handler
        return built
    return build

rooms.ROOMS[which] = intruded(rooms.ROOMS[which])
sys.exit(run.main(sys.argv[1:]))
"""


class IntrudedSite(Site):
    """A site in whose processes somebody has got to run code of his own."""

    def start(self, which: str) -> Process:
        config = self.directory / f"{which}/{which}.toml"
        process = Process(which, config, self.directory / f"{which}.sock", "-c", INTRUDER)
        assert process.ready, process.said()
        return process


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    (tmp_path / "client.toml").write_text("a token")
    monkeypatch.setenv("ELSEWHERE", str(tmp_path / "client.toml"))
    site = IntrudedSite(tmp_path)
    yield site
    site.end()


def test_an_intruder_in_a_guarded_process_reaches_nothing_and_it_still_works(site: Site):
    """Programs, processes, memory, files, sockets, kernel: all refused, in each of the three; then they sign."""
    pair, certificate = site.born()
    signed = site.signer.sign(site.batch(pair, certificate, range(2)))
    assert isinstance(signed, SignedBatch)
    values = [each.values[0] for each in signed.results if isinstance(each, SignedItem)]
    assert len(values) == 2
    (token,) = site.stamper.stamp("sha256", [hashlib.sha256(values[0]).digest()])
    verify_token(token, octets=values[0])
    for which in ("logger", "signer", "stamper"):
        outcome = json.loads((site.directory / which / "tried.json").read_text())
        assert outcome.pop("threads") == "threads work"
        files = {outcome.pop("read /etc/passwd"), outcome.pop("read another's file")}
        assert files == {"EACCES"}, which  # by Landlock; the rest by seccomp
        assert set(outcome.values()) == {"EPERM"}, (which, outcome)
        said = site.processes[which].errors.read_text()
        assert "ready; landlock" in said and ", seccomp, memory " in said and "no core dumps" in said


def test_an_intruder_in_the_web_tier_cannot_open_the_signers_files(site: Site):
    """As another user than the signer's, which is what production has: nothing of it can be listed, read or asked."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    site.directory.chmod(0o755)
    code = (
        "import os, pathlib, socket, sys\n"
        "os.chdir(sys.argv[1]); os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "root = pathlib.Path('.'); listed = os.listdir(root)\n"
        "def tried(act):\n"
        "    try: return repr(act())\n"
        "    except PermissionError: return 'refused'\n"
        "print('signer' in listed, *(tried(act) for act in (\n"
        "    lambda: os.listdir(root / 'signer'),\n"
        "    lambda: (root / 'signer/signer.toml').read_bytes(),\n"
        "    lambda: os.listdir(root / 'signer/keys'),\n"
        "    lambda: (root / 'stamper/stamper.toml').read_bytes(),\n"
        "    lambda: (root / 'logger/log.key').read_bytes(),\n"
        "    lambda: socket.socket(socket.AF_UNIX).connect(str(root / 'signer.sock')))))\n"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code, str(site.directory)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout, done.stderr) == ("True " + " ".join(["refused"] * 6) + "\n", "")


def test_what_the_kernel_says_of_a_running_process(site: Site):
    """Not our word: /proc shows two filters, no new privileges, locked memory, and that nobody may dump it."""
    site.signer.health()
    status = dict(
        line.split(":\t", 1)
        for line in Path(f"/proc/{site.processes['signer'].popen.pid}/status").read_text().splitlines()
        if ":\t" in line
    )
    assert (status["Seccomp"], status["Seccomp_filters"], status["NoNewPrivs"]) == ("2", "2", "1")
    if os.geteuid() == 0:
        assert int(status["VmLck"].split()[0]) > 10_000
