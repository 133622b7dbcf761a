"""Runs a witness: hardened and confined like the guarded processes, but reached over HTTP and started by nobody of
ours, because whoever runs the service should not be the one who watches it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from privyseal.errors import Misused, Unavailable
from privyseal.strongroom import logkey, settings
from privyseal.strongroom.confinement import confine
from privyseal.strongroom.durable import lock_room
from privyseal.strongroom.hardening import harden
from privyseal.strongroom.witness import Witness
from privyseal.strongroom.witness_door import WitnessDoor
from privyseal.terms.learnt import learn_types
from privyseal.tlog.note import Signer, parse_vkey

FILE = "witness.toml"
"""The configuration of a witness, in its directory."""


def build(directory: Path, clock: Callable[[], datetime], note: Callable[[str], None]) -> Witness:
    """Build the witness of a directory; Misused for wrong settings, LogRolledBack where a record is missing."""
    asked = settings.load(directory / FILE, settings.WitnessSettings)
    key = logkey.read(directory / asked.key)
    directories = (directory / asked.records, directory / asked.second_records)
    signer = Signer(logkey.witness_verifier(asked.name, key), key.sign)
    return Witness(signer, [parse_vkey(each) for each in asked.logs], directories, clock, note)


def run(
    directory: Path, address: tuple[str, int], on_ready: Callable[[str], None], note: Callable[[str], None]
) -> None:
    """Answer until SIGTERM or SIGINT; ``on_ready`` is told the submission prefix.

    Unavailable if a sync failed: what is on the disk is then what the next start reads.
    """
    directory = directory.resolve()
    asked = settings.load(directory / FILE, settings.WitnessSettings)
    harden()
    learn_types()
    os.umask(0o077)
    lock = lock_room(directory)
    try:
        witness = build(directory, lambda: datetime.now(UTC), note)
        try:
            door = WitnessDoor(address, witness, note)  # listens; after this the process may bind no port any more
        except OSError as error:
            raise Misused(f"{address[0]}:{address[1]} cannot be listened on: {error.strerror}.") from None
        confine([directory, directory / asked.records, directory / asked.second_records], directory)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: threading.Thread(target=door.shutdown, daemon=True).start())
        host = f"[{address[0]}]" if ":" in address[0] else address[0]
        on_ready(f"http://{host}:{door.server_address[1]}")
        door.serve_forever(0.5)
        door.server_close()
        if witness.lost:
            raise Unavailable("A record was lost to a failing disk.", hint="look at the disk, start the witness again")
        witness.close()
    finally:
        os.close(lock)
