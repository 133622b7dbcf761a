"""A running rehearsal service under load from ``wrk``, and what it costs: processor time by process, syncs, batches.

The load comes from another program, because a generator in Python would take as much of the cores as the service. It
checks the status of each answer; that each was a released signature is checked by the log, which must have grown by an
intent and a completion for each, and by one answer that is read.
"""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from bench.files import PRIVYSEAL
from bench.material import launcher
from privyseal.cli import profile
from privyseal.cli.client import Service
from privyseal.formats import catalogue
from privyseal.formats.protocol import Identity
from privyseal.formats.source import FileSource
from privyseal.terms.requests import SigningRequest
from privyseal.terms.signatures import Options

LOAD = Path(__file__).with_name("load.lua")
TICKS = os.sysconf("SC_CLK_TCK")
_MARK = bytes(range(32))
"""Stands in the template where a digest is put in."""


class Load(msgspec.Struct, frozen=True):
    """What wrk says of one run, and what the service spent on it."""

    requests: int
    seconds: float
    refused: int
    broken: int
    p50_ms: float
    p99_ms: float
    cpu_ms: dict[str, float] = {}
    """Processor time of each process, user and system, milliseconds a request."""

    @property
    def rate(self) -> float:
        """Return answers a second."""
        return self.requests / self.seconds

    def spent(self) -> str:
        """Say what one request costs, in all and by process."""
        each = ", ".join(f"{name} {value:.2f}" for name, value in self.cpu_ms.items())
        return f"{sum(self.cpu_ms.values()):.2f} ms of processor a request ({each})"


class Syncs(msgspec.Struct, frozen=True):
    """Syncs of the disk by process while batches went through."""

    batches: int
    by_process: dict[str, int]

    def said(self) -> str:
        """Say how many syncs a batch costs, in all and by process."""
        each = ", ".join(f"{name} {count / self.batches:.1f}" for name, count in self.by_process.items())
        return f"{sum(self.by_process.values()) / self.batches:.1f} syncs a batch ({each})"


class _Certificate(msgspec.Struct):
    fingerprint: str
    chain: list[bytes]


class _Key(msgspec.Struct):
    key_id: str
    scheme: str
    certificates: list[_Certificate]


class Running:
    """One service with one key, and requests for it."""

    def __init__(self, directory: Path, url: str, pid: int, *, runs: int = 0) -> None:
        """Ask the service for its key, and build the description of a program.

        ``runs`` is where its runs are counted from: two nodes of one service must not ask for the same.
        """
        self.directory, self.url = directory, url
        self.pids = {"serve": pid} | _children(pid)
        _as_urgent_as_we_are(self.pids.values())
        self._runs = runs
        self._profile = profile.load({"url": url}, str(directory / "client.toml"))
        self._service = Service(self._profile)
        key = self._service.get(self._service.path("keys", "release")).read(_Key)
        program = directory / "program.exe"
        program.write_bytes(launcher())
        identity = Identity(tuple(key.certificates[0].chain), key.scheme)
        with FileSource.open(program) as source:
            code_format = catalogue.recognise(source)
            described = code_format.prepare(source, code_format.inspect(source), identity, Options(), "sha256")
        self._request = SigningRequest(
            subscriber="demo",
            key="release",
            key_id=key.key_id,
            scheme=key.scheme,
            certificate=key.certificates[0].fingerprint,
            mode="local",
            options=Options(),
            described=(msgspec.structs.replace(described.described[0], digest=_MARK),),
            expires_at=(datetime.now(UTC) + timedelta(days=2)).replace(microsecond=0),
        )

    def watch(self, name: str, pid: int) -> None:
        """Count the processor time of one more process that works for this service."""
        self.pids[name] = pid
        _as_urgent_as_we_are([pid])

    def apply_policy(self, rules: str) -> None:
        """Put rules in force for the Subscriber, as its administrator does."""
        folder = self.directory / "policy"
        folder.mkdir()
        (folder / "bench.toml").write_text(rules)
        administrator = ["--profile", self.directory / "administrator.toml", "--url", self.url]
        subprocess.run([PRIVYSEAL, "policy", "apply", folder, "--yes", *administrator], check=True, capture_output=True)

    def one(self, *, timestamp: bool) -> None:
        """Have one request signed and read the answer: 201 with a receipt, or the bench ends here."""
        digest = hashlib.sha256(os.urandom(32)).digest()
        described = msgspec.structs.replace(self._request.described[0], digest=digest)
        request = msgspec.structs.replace(self._request, described=(described,), options=Options(timestamp=timestamp))
        answer = self._service.post(self._service.path("requests"), request.canonical(), os.urandom(16).hex())
        if answer.status != 201 or b'"receipt":"c2sp.org' not in answer.body:
            sys.exit(f"the service answered {answer.status}: {answer.body[:300]!r}")

    # Each is one knob of the load; all have defaults.
    def load(
        self, *, seconds: float, clients: int = 64, pieces: int = 1, timestamp: bool = False, pause_ms: int = 0
    ) -> Load:
        """Send requests for ``pieces`` of code each, from ``clients`` connections; ``pause_ms`` between two of one."""
        self.one(timestamp=timestamp)
        self._runs += 1
        environment = self._template(pieces, timestamp) | {
            "BENCH_PIECES": str(pieces),
            "BENCH_PAUSE_MS": str(pause_ms),
            "BENCH_RUN": f"{(int(time.time()) + self._runs) & 0xFFFFFFFF:08x}",
            "BENCH_TOKEN": self._profile.token or "",
        }
        command = ["wrk", "-t1", f"-c{clients}", f"-d{max(1, round(seconds))}s", "--timeout", "30s", "-s", str(LOAD)]
        size, before = self._log_size(), self._spent()
        said = subprocess.run(
            [*command, self.url + "/v1/demo/requests"],
            env=os.environ | environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        load = msgspec.json.decode(said.splitlines()[-1], type=Load)
        spent = {name: after - before[name] for name, after in self._spent().items()}
        self._settled()
        entries = self._log_size() - size
        if load.refused or load.broken or entries < 2 * load.requests:
            sys.exit(f"{load.requests} requests were answered and {entries} entries logged:\n{said}")
        return msgspec.structs.replace(load, cpu_ms={name: 2 * ms / entries for name, ms in spent.items()})

    def syncs(self, load_seconds: float = 3.0) -> Syncs:
        """Count the syncs under load with strace, which slows everything: nothing else is measured meanwhile.

        The signer syncs once for a batch, so its count is the number of batches.
        """
        tracers = {
            name: subprocess.Popen(
                ["strace", "-f", "-c", "-e", "trace=fsync,fdatasync", "-p", str(pid)],
                stderr=subprocess.PIPE,
                text=True,
            )
            for name, pid in self.pids.items()
        }
        time.sleep(1)
        self.load(seconds=load_seconds)
        counted: dict[str, int] = {}
        for name, tracer in tracers.items():
            tracer.send_signal(signal.SIGINT)
            said = tracer.communicate()[1]
            lines = re.findall(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s.*f(?:data)?sync$", said, re.MULTILINE)
            counted[name] = sum(map(int, lines))
        return Syncs(max(1, counted["signer"]), counted)

    def _template(self, pieces: int, timestamp: bool) -> dict[str, str]:
        request = msgspec.structs.replace(self._request, options=Options(timestamp=timestamp))
        whole = request.canonical().decode()
        item = msgspec.json.encode(self._request.described[0], order="sorted").decode()
        head, tail = whole.split(item)
        encoded = msgspec.json.encode(_MARK).decode().strip('"')
        return {"BENCH_HEAD": head, "BENCH_ITEM": item.replace(encoded, "@"), "BENCH_TAIL": tail}

    def _log_size(self) -> int:
        return int((self.directory / "log" / "checkpoint").read_bytes().split(b"\n")[1])

    def _settled(self) -> None:
        """Wait until what wrk left unanswered is worked off."""
        before = -1
        while before != (before := self._log_size()):
            time.sleep(0.3)

    def _spent(self) -> dict[str, float]:
        return {name: _milliseconds(pid) for name, pid in self.pids.items()}


@contextmanager
def running(directory: Path, scheme: str, options: Iterable[str | Path] = ()) -> Iterator[Running]:
    """Make a rehearsal service with a key of this scheme, run it, and stop it at the end; ``options`` go to init."""
    made: list[str | Path] = [PRIVYSEAL, "init", "--dir", directory, "--rehearsal", "--scheme", scheme, *options]
    subprocess.run(made, check=True, capture_output=True)
    command: list[str | Path] = [PRIVYSEAL, "serve", "--dir", directory, "--bind", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as serving:
        try:
            assert serving.stdout is not None
            yield Running(directory, serving.stdout.readline().split()[1], serving.pid)
        finally:
            serving.terminate()
            serving.wait(60)


def _children(pid: int) -> dict[str, int]:
    """Find the guarded processes by what they were started as."""
    found: dict[str, int] = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        words = Path(f"/proc/{child}/cmdline").read_bytes().decode().split("\0")
        for room in ("signer", "logger", "stamper"):
            if room in words:
                found[room] = int(child)
    return found


def _as_urgent_as_we_are(pids: Iterable[int]) -> None:
    """Give every process of the service this bench's own share of a busy machine.

    The guarded processes begin sessions of their own, and Linux shares processors among sessions first (sched(7),
    autogroup): a bench that was started with a raised priority would measure them without it.
    """
    with suppress(OSError):
        nice = Path("/proc/self/autogroup").read_text().split()[-1]
        for pid in pids:
            Path(f"/proc/{pid}/autogroup").write_text(nice)


def _milliseconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / TICKS
