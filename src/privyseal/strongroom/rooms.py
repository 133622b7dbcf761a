"""Builds each guarded process from its settings, and imports what that one is made of and nothing else."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from privyseal.errors import Misused
from privyseal.keystore.protocol import KeyStore
from privyseal.strongroom import settings
from privyseal.strongroom.mark import MarkFile
from privyseal.strongroom.messages import Answer, LogHealth, Question, SignerHealth, StamperHealth
from privyseal.strongroom.nursery import Nursery

Clock = Callable[[], datetime]
Note = Callable[[str], None]
_Settings = settings.SignerSettings | settings.LoggerSettings | settings.StamperSettings


def _nobody(line: str) -> None:
    """Tell nobody."""


class Room(Protocol):
    """What stands behind a door."""

    def handle(self, question: Question) -> Answer:
        """Answer one question; raises what the client is to be told."""
        ...

    @property
    def lost(self) -> bool:
        """Tell whether a sync failed, so that this process must end."""
        ...

    def close(self) -> None:
        """Finish and close."""
        ...


class Built(NamedTuple):
    """A room that is ready, and the uids besides our own who may ask."""

    room: Room
    admitted: tuple[int, ...]


def territory(which: str, config: Path) -> set[Path]:
    """Return the directories in which a process of this configuration reads and writes."""
    asked: _Settings = settings.load(config, SETTINGS[which])
    if isinstance(asked, settings.LoggerSettings):
        named = {
            asked.public,
            str(Path(asked.mark).parent),
            str(Path(asked.journal).parent),
            str(Path(asked.key).parent),
        }
    elif isinstance(asked, settings.SignerSettings):
        named = {str(Path(asked.journal).parent)} | ({asked.softfile.directory} if asked.softfile else set())
    else:
        named = {asked.softfile.directory, str(Path(asked.mark).parent), str(Path(asked.chain).parent)}
    return {config.parent} | {config.parent / each for each in named}


def nursery_for(which: str, config: Path) -> Nursery | None:
    """Start the nursery that a process of this configuration needs for its tokens' workers, before it is confined."""
    if which != "signer" or not (sections := settings.load(config, settings.SignerSettings).pkcs11):
        return None
    return Nursery([each.placed(config.parent) for each in sections], config.parent / "pins")


def _signer(config: Path, clock: Clock, note: Note = _nobody, nursery: Nursery | None = None) -> Built:
    from privyseal.keystore.pkcs11 import Pkcs11
    from privyseal.keystore.softfile import SoftFile
    from privyseal.pki.chain import PinnedAnchor
    from privyseal.strongroom.children import TokenChild
    from privyseal.strongroom.journal import Journal
    from privyseal.strongroom.signer import Operators, Signer

    asked = settings.load(config, settings.SignerSettings)
    stores: dict[str, KeyStore] = {}  # new keys are born in the first
    nursery = nursery or nursery_for("signer", config)  # here only where nobody confined us: init, and tests
    if nursery is not None:
        tokens = [TokenChild(nursery, each, os.cpu_count() or 1, note) for each in range(len(asked.pkcs11))]
        stores["pkcs11"] = Pkcs11(tokens, nursery.close)
        for token in tokens:
            threading.Thread(target=token.warm, name="warm", daemon=True).start()
    if asked.softfile is not None:
        directory = config.parent / asked.softfile.directory
        stores["softfile"] = SoftFile.open(directory, asked.softfile.passphrase.encode("utf-8"), clock)
    signer = Signer(
        Journal(config.parent / asked.journal),
        stores,
        asked.log,
        tuple(PinnedAnchor(anchor.der(), anchor.standing) for anchor in asked.anchors),
        Operators.of(asked),
        clock,
        note=note,
    )
    return Built(signer, asked.admitted)


def _logger(config: Path, clock: Clock, note: Note = _nobody, nursery: Nursery | None = None) -> Built:
    from privyseal.strongroom import logkey
    from privyseal.strongroom.archive import DurableTiles
    from privyseal.strongroom.ledger import Shelves
    from privyseal.strongroom.logger import Logger
    from privyseal.strongroom.staging import Staging
    from privyseal.tlog.tilestore import DirectoryTileStore

    asked = settings.load(config, settings.LoggerSettings)
    logger = Logger(
        asked.origin,
        logkey.read(config.parent / asked.key),
        Shelves(
            Staging(config.parent / asked.journal),
            DirectoryTileStore(config.parent / asked.public, durable=False),
            DurableTiles(config.parent / asked.public),
            MarkFile(config.parent / asked.mark),
        ),
        note=note,
    )
    return Built(logger, asked.admitted)


def _stamper(config: Path, clock: Clock, note: Note = _nobody, nursery: Nursery | None = None) -> Built:
    from privyseal.keystore.softfile import SoftFile
    from privyseal.pki.certificates import pem_certificates
    from privyseal.strongroom.stamper import Stamper

    asked = settings.load(config, settings.StamperSettings)
    try:
        chain = pem_certificates((config.parent / asked.chain).read_bytes())
    except OSError as error:
        raise Misused(f"The stamper's certificates {asked.chain} cannot be read: {error.strerror}.") from None
    keys = SoftFile.open(config.parent / asked.softfile.directory, asked.softfile.passphrase.encode("utf-8"), clock)
    mark = MarkFile(config.parent / asked.mark)
    return Built(Stamper(keys, asked.key, chain, asked.policy, mark, clock), asked.admitted)


class Builder(Protocol):
    """Builds one process from its settings file; ``note`` is told what the operator should see.

    ``nursery`` is what ``nursery_for`` started for it, if anything.
    """

    def __call__(self, config: Path, clock: Clock, note: Note = _nobody, nursery: Nursery | None = None) -> Built:
        """Build it; Misused, Conflict or Unavailable where that cannot be."""
        ...


ROOMS: dict[str, Builder] = {"signer": _signer, "logger": _logger, "stamper": _stamper}
SETTINGS: dict[str, type[_Settings]] = {
    "signer": settings.SignerSettings,
    "logger": settings.LoggerSettings,
    "stamper": settings.StamperSettings,
}
HEALTH: dict[str, Question] = {"signer": SignerHealth(), "logger": LogHealth(), "stamper": StamperHealth()}
