"""``privyseal serve``: the guarded processes, the duties, the web, until SIGTERM."""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from privyseal import config, telemetry
from privyseal.cli.processes import ROOMS, Processes
from privyseal.errors import Misused, PrivySealError, Unavailable
from privyseal.signing import duties
from privyseal.signing.instance import PrivySeal

if TYPE_CHECKING:
    from privyseal.web.metrics import Metrics

DUTY_PERIOD = 30.0
"""Seconds between two looks at what was left behind; a client that lost its answer asks again within about as long."""


REHEARSAL = (
    "REHEARSAL: one user runs every process, keys are files, and the CA is our own. Nothing signed here is for release."
)

CRL_PERIOD = 24 * 3600.0
"""Seconds between two lists of a rehearsal's CA; CSBR 4.9.7 asks for one within seven days."""


@click.command()
@click.option("--dir", "directory", type=click.Path(path_type=Path), required=True, help="The service's directory.")
@click.option("--bind", metavar="HOST:PORT", help="Where to listen; port 0 is any free one.")
@click.option("--check", is_flag=True, help="Check the configuration and stop.")
def serve(directory: Path, bind: str | None, check: bool) -> None:
    """Run the service that lives in a directory.

    Prints one line "ready URL" on stdout when it accepts requests. SIGTERM finishes what is under way and exits 0.
    """
    settings = config.load(directory)
    host, port = config.bind_address(bind or settings.service.bind)
    _check_rooms(directory)
    if check:
        click.echo(f"{directory / config.FILE} is right.", err=True)
        return
    telemetry.set_up("serve", settings.telemetry.log, settings.telemetry.level)
    if settings.service.rehearsal:
        telemetry.tell("rehearsal", telemetry.Facts(detail=REHEARSAL), logging.WARNING)
    with _alone(directory), Processes(directory, arguments=_telling(settings)) as processes:
        metrics = _metrics(settings, processes)
        seal = config.privy_seal(settings, directory, processes.sockets, metrics)
        try:
            duties.begin(seal)
            with _duties(seal, directory):
                whole = _web(seal, settings, directory, host, port, metrics)
        finally:
            seal.records.close()
            metrics.close()
    if not whole:
        raise Unavailable(
            "Not all that was under way had ended in time, or a second signal came.",
            hint="what was acknowledged is on the disk; the next start takes up the rest",
        )


def _telling(settings: config.Settings) -> list[str]:
    """Return the arguments by which a guarded process logs as we do."""
    how = ["--log", settings.telemetry.log] if settings.telemetry.log else []
    return [*how, "--log-level", settings.telemetry.level]


def _metrics(settings: config.Settings, processes: Processes) -> Metrics:
    from privyseal.web import tracing  # half a second of imports that --check does without
    from privyseal.web.metrics import Metrics

    metrics = Metrics(settings.telemetry, tracing.start(settings.telemetry.traces))
    metrics.living.children = processes.children
    return metrics


# All that a running service is made of, which nobody else wants together.
def _web(seal: PrivySeal, settings: config.Settings, directory: Path, host: str, port: int, metrics: Metrics) -> bool:
    """Serve until a signal comes; tell whether everything that was under way was finished then."""
    from privyseal.web import app, serving
    from privyseal.web.desk import Desk
    from privyseal.web.front import Front
    from privyseal.web.readiness import Readiness

    limits, public_log = settings.limits, config.public_log(settings, directory)
    written = {"service": directory.resolve(), "log": public_log}
    written |= {name: path for name in (*ROOMS, "marks") if (path := directory / name).is_dir()}
    readiness = Readiness(seal, written, limits.least_free_mib << 20)
    desk = Desk(seal, public_log, metrics=metrics, readiness=readiness, longest_wait=limits.longest_wait_s)
    front = Front(app.build(desk), requests=limits.requests, metrics=metrics)

    def on_ready(server: serving.Server) -> None:
        metrics.living.connections = server.connections
        print(f"ready {server.url}", flush=True)

    def on_stop() -> None:
        front.stop()
        desk.stop()

    bounds = serving.Bounds(connections=limits.connections, drain_s=limits.drain_s, under_way=lambda: front.under_way)
    return serving.run(front, host, port, on_ready=on_ready, on_stop=on_stop, bounds=bounds)


def refresh_crl(directory: Path) -> None:
    """Issue a rehearsal CA's lists anew once a day, numbered by the time, so that none lapses while it is used."""
    from privyseal.pki.rehearsal import RehearsalAuthority
    from privyseal.strongroom.durable import write_whole

    private, now = directory / "rehearsal-ca" / "ca.key", datetime.now(UTC)
    if private.exists() and now.timestamp() - (directory / "ca.crl").stat().st_mtime > CRL_PERIOD:
        authority = RehearsalAuthority.load(private.read_bytes())
        write_whole(directory / "ca.crl", authority.crl(now, int(now.timestamp())))
        (directory / "ca.crl").chmod(0o644)


def _check_rooms(directory: Path) -> None:
    """Read the guarded processes' settings as they will, so that a mistake in them is found before anything starts."""
    from privyseal.cli.processes import settings_of
    from privyseal.strongroom import settings

    settings.load(settings_of(directory, "logger"), settings.LoggerSettings)
    settings.load(settings_of(directory, "signer"), settings.SignerSettings)
    settings.load(settings_of(directory, "stamper"), settings.StamperSettings)


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
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
def _duties(seal: PrivySeal, directory: Path) -> Iterator[None]:
    """Do what the house does unasked: at once, and then every DUTY_PERIOD, in a thread of its own."""
    ending = threading.Event()

    def _loop() -> None:
        while True:
            try:
                for outcome in duties.recover(seal):
                    if isinstance(outcome, PrivySealError):
                        _say("recovery", outcome)
                duties.expire(seal)
                refresh_crl(directory)
            except (PrivySealError, OSError) as error:
                _say("duties", error)
            if ending.wait(DUTY_PERIOD):
                return

    thread = threading.Thread(target=_loop, name="duties", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join(DUTY_PERIOD)


def _say(event: str, error: PrivySealError | OSError) -> None:
    if isinstance(error, PrivySealError):
        telemetry.tell(event, telemetry.Facts(code=error.code, detail=error.detail), logging.WARNING)
    else:
        detail = f"{error.filename}: {error.strerror}"
        telemetry.tell(event, telemetry.Facts(detail=detail), logging.WARNING)
