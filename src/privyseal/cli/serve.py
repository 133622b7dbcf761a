"""``privyseal serve``: the guarded processes, the duties, the web, until SIGTERM."""

from __future__ import annotations

import fcntl
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click

from privyseal import config
from privyseal.cli.processes import Processes
from privyseal.errors import Misused, PrivySealError
from privyseal.signing import artifacts, duties
from privyseal.signing.instance import PrivySeal

DUTY_PERIOD = 30.0
"""Seconds between two looks at what was left behind; a client that lost its answer asks again within about as long."""


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
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="privyseal: %(levelname)s %(message)s")
    if settings.service.rehearsal:
        _say_rehearsal()
    with _alone(directory), Processes(directory) as processes:
        seal = config.privy_seal(settings, directory, processes.sockets)
        try:
            duties.begin(seal)
            with _duties(seal, directory):
                _web(seal, config.public_log(settings, directory), host, port)
        finally:
            if seal.premises is not None:
                seal.premises.workshop.close()
            seal.records.close()


def _web(seal: PrivySeal, public_log: Path, host: str, port: int) -> None:
    from privyseal.web import app, serving  # half a second of imports that --check does without
    from privyseal.web.desk import Desk

    desk = Desk(seal, public_log)
    serving.run(
        app.build(desk),
        host,
        port,
        on_ready=lambda url: print(f"ready {url}", flush=True),
        on_stop=desk.stop,
    )


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
                        logging.getLogger("privyseal").warning("recovery: %s", outcome)
                duties.expire(seal)
                artifacts.tidy(seal)
                refresh_crl(directory)
            except (PrivySealError, OSError) as error:
                logging.getLogger("privyseal").warning("duties: %s", error)
            if ending.wait(DUTY_PERIOD):
                return

    thread = threading.Thread(target=_loop, name="duties", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join(DUTY_PERIOD)


def _say_rehearsal() -> None:
    click.echo(
        "REHEARSAL: one user runs every process, keys are files, and the CA is our own.\n"
        "Nothing signed here is for release.",
        err=True,
    )
