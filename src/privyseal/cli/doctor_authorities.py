"""What ``privyseal doctor`` tells of the authorities elsewhere that timestamp what a service signs."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

from privyseal import __version__, config
from privyseal.cli.diagnosis import Diagnosis
from privyseal.cli.output import printable
from privyseal.timestamp.client import Stamped
from privyseal.timestamp.exchange import Lines


def timestamps(settings: config.Settings, directory: Path) -> Iterator[Diagnosis]:
    """Ask each once for a timestamp of random octets, and judge it as the service would.

    One that gives none is bad where nobody else could be asked, else weak.
    """
    lines = Lines(agent=f"privyseal/{__version__}")
    try:
        clients = settings.timestamps.clients(directory.resolve(), lines)
        outcomes = [client.ask(secrets.token_bytes(32), "sha256") for client in clients]
    finally:
        lines.close()
    others = settings.timestamps.own or any(isinstance(each, Stamped) for each in outcomes)
    for client, outcome in zip(clients, outcomes, strict=True):
        what = f"timestamp authority {printable(client.host, 100)}"
        if isinstance(outcome, Stamped):
            yield Diagnosis(what, "good", f"it stamps, as {printable(outcome.token.authority, 200)}")
        else:
            yield Diagnosis(what, "weak" if others else "bad", printable(outcome.why, 300))
