"""``privyseal serve``: the guarded processes, the duties, the web, until SIGTERM."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import functools
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec

from privyseal import config, telemetry
from privyseal.cli.lifetime import importing
from privyseal.cli.processes import ROOMS, Processes
from privyseal.errors import Misused, PrivySealError, Unavailable
from privyseal.formats import catalogue
from privyseal.records import schema
from privyseal.records.listening import Listener
from privyseal.signing import artifacts, authorities, duties, granted, notices, rehearsal_ca, renewals, revoking
from privyseal.signing.instance import PrivySeal
from privyseal.terms.learnt import learn_types
from privyseal.web.tls import TlsFiles

DUTY_PERIOD = 30.0
"""Seconds between two looks at what was left behind, at most; no more than a lease where that is shorter. A client
that lost its answer asks again within about as long."""
TELL_PERIOD = 2.0
"""Seconds between two looks at what is to be told."""
JUDGE_PERIOD = 3600
"""Seconds between two evaluations by the Requirements; what they count grows by a few rows a key each time."""
BREATH = 0.1
"""Seconds that an evaluation rests after each 30 ms of work, so that signing has the processor."""

REHEARSAL = (
    "REHEARSAL: one user runs every process, keys are files, and the CA is our own. Nothing signed here is for release."
)
"""What a rehearsal says of itself at every start."""

SWITCH_SECONDS = 0.0005
"""Seconds a batch's thread may compute before the event loop has its turn. With Python's own 0.005 every step of a
request waits so long behind a batch."""

MALLOC_ARENAS = 2
"""Heaps that glibc keeps for our threads instead of eight for each core (mallopt(3)). What one thread frees serves all:
under overload two hold about 10 MiB less and level off in one minute instead of five. The interpreter's lock leaves
little for threads to wait for."""
_M_ARENA_MAX = -8


FORGET_PERIOD = 24 * 3600.0
"""Seconds between two times that old deliveries are forgotten."""
COUNT_PERIOD = 900.0
"""Seconds between two looks whether clouds are to be asked what they counted, which is once a day."""
INSIST_PERIOD = 300.0
"""Seconds between two looks whether a CA is to be asked again to revoke, because it did not answer."""
ASK_PERIOD = 30.0
"""Seconds between two rounds at certificate authorities; each order says itself when it is worth asking again."""


@click.command()
@click.option("--dir", "directory", type=click.Path(path_type=Path), required=True, help="The service's directory.")
@click.option("--bind", metavar="HOST:PORT", help="Where to listen; port 0 is any free one.")
@click.option("--check", is_flag=True, help="Check the configuration and stop.")
@click.option(
    "--evaluate-every",
    "judge_period",
    type=click.IntRange(1, 86_400),
    default=JUDGE_PERIOD,
    show_default=True,
    metavar="SECONDS",
    help="How often the Requirements are asked; the first time after so long, or after half a minute.",
)
def serve(directory: Path, bind: str | None, check: bool, judge_period: int) -> None:
    """Run the service that lives in a directory.

    Prints one line "ready URL" on stdout when it accepts requests. SIGTERM finishes what is under way and exits 0.
    """
    settings = config.load(directory)
    host, port = config.bind_address(bind or settings.service.bind)
    _check_rooms(settings, directory)
    tls = tls_files(settings, directory)
    if tls is not None:
        tls.context()
    if check:
        config.check(settings, directory)
        click.echo(f"{directory / config.FILE} is right.", err=True)
        return
    with contextlib.suppress(AttributeError, OSError):  # another C library than glibc has no such call
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, MALLOC_ARENAS)
    telemetry.set_up("serve", settings.telemetry.log, settings.telemetry.level)
    # Its default would end us with requests under way, whoever sends it before the server hears it or after.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if settings.service.rehearsal:
        telemetry.tell("rehearsal", telemetry.Facts(detail=REHEARSAL), logging.WARNING)
    with alone(directory), _rooms(settings, directory) as (sockets, processes):
        whole = _Running(settings, directory, sockets, processes).until_stopped(host, port, judge_period)
    if not whole:
        raise Unavailable(
            "Not all that was under way had ended in time, or a second signal came.",
            hint="what was acknowledged is on the disk; the next start takes up the rest",
        )


def _telling(settings: config.Settings) -> list[str]:
    """Return the arguments by which a guarded process logs as we do."""
    how = ["--log", settings.telemetry.log] if settings.telemetry.log else []
    return [*how, "--log-level", settings.telemetry.level]


@contextmanager
def _rooms(settings: config.Settings, directory: Path) -> Iterator[tuple[config.Sockets, Processes | None]]:
    """Start the guarded processes, or join those that another node on this machine has started; a further logger is
    this node's own in either case."""
    joined, standby = config.sockets_to_join(settings, directory), settings.log.standby
    if joined is not None and standby is None:
        yield joined, None
        return
    rooms = ROOMS if joined is None else ()
    with Processes(directory, rooms, arguments=_telling(settings), standby=standby) as processes:
        own = processes.sockets
        yield (own if joined is None else msgspec.structs.replace(joined, standby=own.standby)), processes


class _Running:
    """One ``serve`` from its first request to its last."""

    def __init__(
        self, settings: config.Settings, directory: Path, sockets: config.Sockets, processes: Processes | None
    ) -> None:
        with importing():  # half a second that --check does without
            from privyseal.web import app, tracing
            from privyseal.web.metrics import Metrics

            catalogue.every()  # before there are threads: what is imported later is not learnt
            learn_types()
        self._settings = settings
        self._directory = directory
        self._tls = tls_files(settings, directory)
        self._metrics = Metrics(settings.telemetry, tracing.start(settings.telemetry.traces))
        if processes is not None:
            self._metrics.living.children = processes.children
        self._build = app.build
        summon: Callable[[], None] | None = None
        if processes is not None and settings.node.rooms == "start":
            summon = functools.partial(processes.summon, "issuer")
        self._seal = config.privy_seal(settings, directory, sockets, self._metrics, summon)

    def until_stopped(self, host: str, port: int, judge_period: int) -> bool:
        """Serve until a signal comes; tell whether everything was finished then."""
        try:
            schema.require_fit(self._seal.records)
            duties.begin(self._seal)
            period = min(DUTY_PERIOD, self._settings.node.lease_seconds, judge_period)
            with _telling_others(self._seal), _duties(self._seal, period, judge_period), _asking(self._seal):
                return self._web(host, port)
        finally:
            if self._seal.premises is not None:
                self._seal.premises.workshop.close()
            self._seal.records.close()
            self._metrics.close()

    def _web(self, host: str, port: int) -> bool:
        from privyseal.web import serving
        from privyseal.web.desk import Desk
        from privyseal.web.front import Front
        from privyseal.web.readiness import Readiness

        sys.setswitchinterval(SWITCH_SECONDS)
        limits, public_log = self._settings.limits, config.public_log(self._settings, self._directory)
        written = {"service": self._directory.resolve(), "log": public_log}
        if self._seal.premises is not None and self._seal.premises.spool.directory.is_dir():
            written["spool"] = self._seal.premises.spool.directory
        written |= {name: path for name in (*ROOMS, "marks") if (path := self._directory / name).is_dir()}
        desk = Desk(
            self._seal,
            public_log,
            metrics=self._metrics,
            readiness=Readiness(self._seal, written, limits.least_free_mib << 20),
            longest_wait=limits.longest_wait_s,
        )
        listen = self._settings.records.listen
        listener = Listener(listen, desk.tell) if listen else None
        front = Front(self._build(desk), requests=limits.requests, metrics=self._metrics)

        def on_ready(server: serving.Server) -> None:
            self._metrics.living.connections = server.connections
            print(f"ready {server.url}", flush=True)

        def on_stop() -> None:
            front.stop()
            desk.stop()

        bounds = serving.Bounds(
            connections=limits.connections, drain_s=limits.drain_s, under_way=lambda: front.under_way
        )
        try:
            return serving.run(front, host, port, on_ready=on_ready, on_stop=on_stop, bounds=bounds, tls=self._tls)
        finally:
            if listener is not None:
                listener.close()


def tls_files(settings: config.Settings, directory: Path) -> TlsFiles | None:
    """Return the files of ``[tls]``, relative to the service's directory, or None where it speaks plain HTTP."""
    asked = settings.tls
    if asked is None:
        return None
    authorities = directory / asked.client_authorities if asked.client_authorities else None
    return TlsFiles(directory / asked.certificate, directory / asked.key, authorities)


def _check_rooms(settings: config.Settings, directory: Path) -> None:
    """Read the guarded processes' settings as they will, so that a mistake in them is found before anything starts."""
    from privyseal.cli.processes import settings_of
    from privyseal.strongroom import founding
    from privyseal.strongroom import settings as rooms

    if settings.node.rooms == "start":
        rooms.load(settings_of(directory, "logger"), rooms.LoggerSettings)
        rooms.load(settings_of(directory, "signer"), rooms.SignerSettings)
        rooms.load(settings_of(directory, "stamper"), rooms.StamperSettings)
        if settings.service.rehearsal and (directory / rehearsal_ca.KEY).exists():
            if not settings_of(directory, "issuer").exists():  # it was made before there was an issuer
                founding.create_issuer(directory / "issuer")
            rooms.load(settings_of(directory, "issuer"), rooms.IssuerSettings)
    if settings.log.standby is not None:
        rooms.load(directory / settings.log.standby / "logger.toml", rooms.LoggerSettings)


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Hold the service's lock; raise Misused where another ``serve`` holds it."""
    holder = os.open(directory / "serve.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Misused(f"Another serve runs in {directory} already.", hint="stop it first") from error
        yield
    finally:
        os.close(holder)


@contextmanager
def _duties(seal: PrivySeal, period: float, judge_period: int) -> Iterator[None]:
    """Do what the house does unasked: at once, and then every ``period`` seconds, in a thread of its own."""
    ending = threading.Event()
    judge_at = time.monotonic() + period  # not while everything else begins

    def _loop() -> None:
        nonlocal judge_at
        while True:
            try:
                for outcome in duties.recover(seal):
                    if isinstance(outcome, PrivySealError):
                        _say("recovery", outcome)
                duties.expire(seal)
                granted.tell_expiring(seal)
                duties.mind_keys(seal, breathe=lambda: ending.wait(BREATH))
                artifacts.tidy(seal)
                if time.monotonic() >= judge_at:
                    judge_at = time.monotonic() + judge_period
                    _judge(seal, lambda: ending.wait(BREATH))
            except (PrivySealError, OSError) as error:
                _say("duties", error)
            if ending.wait(period):
                return

    thread = threading.Thread(target=_loop, name="duties", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join(DUTY_PERIOD)


@contextmanager
def _asking(seal: PrivySeal) -> Iterator[None]:
    """Ask authorities and clouds in a thread of its own, so that one that hangs keeps nobody else waiting."""
    ending = threading.Event()
    count_at = insist_at = time.monotonic()

    def _loop() -> None:
        nonlocal count_at, insist_at
        while True:
            try:
                for outcome in duties.countersign(seal):
                    if isinstance(outcome, PrivySealError):
                        _say("timestamps", outcome)
                authorities.tend(seal)
                if time.monotonic() >= insist_at:
                    insist_at = time.monotonic() + INSIST_PERIOD
                    revoking.insist(seal)
            except (PrivySealError, OSError) as error:
                _say("authorities", error)
            if time.monotonic() >= count_at:
                count_at = time.monotonic() + COUNT_PERIOD
                try:
                    duties.reconcile(seal)
                except (PrivySealError, OSError) as error:
                    _say("clouds", error)
            if ending.wait(ASK_PERIOD):
                return

    thread = threading.Thread(target=_loop, name="authorities", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join(TELL_PERIOD)


@contextmanager
def _telling_others(seal: PrivySeal) -> Iterator[None]:
    """Send what is to be told in a thread of its own, so that a receiver who hangs keeps nobody waiting."""
    ending = threading.Event()
    forget_at = time.monotonic()

    def _loop() -> None:
        nonlocal forget_at
        while not ending.wait(TELL_PERIOD):
            try:
                notices.make(seal)
                notices.send(seal, stopping=ending.is_set)
                if time.monotonic() >= forget_at:
                    forget_at = time.monotonic() + FORGET_PERIOD
                    notices.forget(seal)
            except (PrivySealError, OSError) as error:
                _say("notices", error)

    thread = threading.Thread(target=_loop, name="notices", daemon=True)
    if seal.post is not None:
        thread.start()
    try:
        yield
    finally:
        ending.set()
        if thread.is_alive():
            thread.join(TELL_PERIOD)


def _judge(seal: PrivySeal, breathe: Callable[[], object]) -> None:
    """Check the log where that is due, and evaluate whatever came of it."""
    try:
        duties.check_log(seal, breathe=breathe)
    except PrivySealError as error:
        _say("log", error)
    renewals.remind(seal)
    duties.evaluate(seal, breathe=breathe)


def _say(event: str, error: PrivySealError | OSError) -> None:
    if isinstance(error, PrivySealError):
        telemetry.tell(event, telemetry.Facts(code=error.code, detail=error.detail), logging.WARNING)
    else:
        detail = f"{error.filename}: {error.strerror}"
        telemetry.tell(event, telemetry.Facts(detail=detail), logging.WARNING)
