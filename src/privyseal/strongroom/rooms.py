"""Builds each guarded process from its settings, and imports what that one is made of and nothing else."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import urlsplit

from privyseal.errors import Misused
from privyseal.keystore.away import Away
from privyseal.keystore.catalogue import AWAY
from privyseal.keystore.protocol import KeyStore
from privyseal.strongroom import settings
from privyseal.strongroom.children import TokenChild
from privyseal.strongroom.mark import MarkFile
from privyseal.strongroom.messages import Answer, IssuerHealth, LogHealth, Question, SignerHealth
from privyseal.strongroom.messages_of_stamps import StamperHealth
from privyseal.strongroom.nursery import Nursery
from privyseal.strongroom.pools import pooled
from privyseal.strongroom.seccomp import Needs
from privyseal.strongroom.timesource import TimeServers

if TYPE_CHECKING:
    from privyseal.strongroom.staging import LogJournal

Clock = Callable[[], datetime]
"""Tells the time, aware and in UTC."""
Note = Callable[[str], None]
"""Takes one line for whoever keeps the process's standard error."""
_Settings = settings.SignerSettings | settings.LoggerSettings | settings.StamperSettings | settings.IssuerSettings


SESSIONS_A_CORE = 2
"""Sessions with a token where its settings say nothing: one signs while the answer of the other is verified."""


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
    noted: Note = _nobody
    """Is told what its door saw, such as whom it turned away, where the room writes that down."""


def territory(which: str, config: Path) -> set[Path]:
    """Return the directories in which a process of this configuration reads and writes."""
    asked: _Settings = settings.load(config, SETTINGS[which])
    if isinstance(asked, settings.LoggerSettings):
        files = [asked.mark, asked.key, *([] if asked.on_postgresql else [asked.journal])]
        named = {asked.public, *(str(Path(each).parent) for each in files)}
    elif isinstance(asked, settings.SignerSettings):
        named = {str(Path(asked.journal).parent)} | ({asked.softfile.directory} if asked.softfile else set())
        named |= {str(Path(asked.mark).parent)} if asked.mark else set()
    elif isinstance(asked, settings.IssuerSettings):
        named = {str(Path(asked.key).parent), str(Path(asked.register).parent)}
    else:
        named = {str(Path(each).parent) for each in (asked.mark, asked.chain, asked.stamps)}
        named |= {asked.softfile.directory} if asked.softfile else set()
    return {config.parent} | {config.parent / each for each in named}


def nursery_for(which: str, config: Path) -> Nursery | None:
    """Start the nursery that a process of this configuration needs for its keys' workers, before it is confined."""
    if which == "signer":
        homes = settings.load(config, settings.SignerSettings).homes()
    else:
        token = settings.load(config, settings.StamperSettings).pkcs11 if which == "stamper" else None
        homes = () if token is None else (("pkcs11", token),)
    if not homes:
        return None
    return Nursery([(store, home.placed(config.parent)) for store, home in homes], config.parent / "pins")


def _away(nursery: Nursery, note: Note) -> dict[str, Away]:
    """Return the stores of a nursery's homes, watched, in the catalogue's order."""
    children: dict[str, list[TokenChild]] = {}
    for number, (store, _) in enumerate(nursery.homes):
        child = TokenChild(nursery, number, SESSIONS_A_CORE * (os.cpu_count() or 1), note)
        children.setdefault(store, []).append(child)
        threading.Thread(target=child.watch, name="watch", daemon=True).start()
    return {store: AWAY[store](pooled(children[store]), nursery.close) for store in AWAY if store in children}


def _signer(config: Path, clock: Clock, note: Note = _nobody, nursery: Nursery | None = None) -> Built:
    from privyseal.formats import catalogue
    from privyseal.keystore.softfile import SoftFile
    from privyseal.pki.chain import PinnedAnchor
    from privyseal.strongroom.journal import Journal
    from privyseal.strongroom.signer import Operators, Signer

    catalogue.every()  # before anybody asks: what is imported in the middle of a signature keeps it waiting
    asked = settings.load(config, settings.SignerSettings)
    nursery = nursery or nursery_for("signer", config)  # here only where nobody confined us: init, and tests
    stores: dict[str, KeyStore] = {} if nursery is None else {**_away(nursery, note)}  # new keys are born in the first
    if asked.softfile is not None:
        directory = config.parent / asked.softfile.directory
        stores["softfile"] = SoftFile.open(directory, asked.softfile.passphrase.encode("utf-8"), clock)
    sessions = SESSIONS_A_CORE * (os.cpu_count() or 1)
    signer = Signer(
        Journal(config.parent / asked.journal, MarkFile(config.parent / asked.mark) if asked.mark else None),
        stores,
        asked.log,
        tuple(PinnedAnchor(anchor.der(), anchor.standing) for anchor in asked.anchors),
        Operators.of(asked),
        clock,
        distant=sum(home.sessions or sessions for _, home in asked.homes()) or None,
        note=note,
    )
    return Built(signer, asked.admitted)


def log_journal(config: Path, asked: settings.LoggerSettings) -> LogJournal:
    """Open the journal that a logger's settings name: a file, or a database that a standby shares."""
    if asked.on_postgresql:
        from privyseal.strongroom.staging_postgresql import PostgresqlStaging  # psycopg only where it is used

        return PostgresqlStaging(asked.journal, asked.origin)
    from privyseal.strongroom.staging import Staging

    return Staging(config.parent / asked.journal)


def ports(which: str, config: Path) -> tuple[int, ...]:
    """Return the TCP ports that a process of this configuration calls: its witnesses', and its database's."""
    if which != "logger":
        return ()
    asked = settings.load(config, settings.LoggerSettings)
    addresses = [urlsplit(each.url) for each in asked.witness]
    found = {each.port or (443 if each.scheme == "https" else 80) for each in addresses}
    if asked.on_postgresql:
        found |= _database_ports(asked.journal)
    return tuple(sorted(found))


def _database_ports(url: str) -> set[int]:
    """Return the ports of a connection URI, of several hosts where it names them; Misused if it is none."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    try:
        return {int(each or 5432) for each in str(conninfo_to_dict(url).get("port") or 5432).split(",")}
    except (psycopg.Error, ValueError):
        raise Misused("The journal is not a PostgreSQL connection URI.") from None  # it may hold a password


def _logger(config: Path, clock: Clock, note: Note = _nobody, nursery: Nursery | None = None) -> Built:
    from privyseal.strongroom import logkey
    from privyseal.strongroom.archive import DurableTiles
    from privyseal.strongroom.ledger import Shelves
    from privyseal.strongroom.logger import Logger
    from privyseal.strongroom.witnesses import Witnesses
    from privyseal.tlog.tilestore import DirectoryTileStore

    asked = settings.load(config, settings.LoggerSettings)
    logger = Logger(
        asked.origin,
        logkey.read(config.parent / asked.key),
        Shelves(
            log_journal(config, asked),
            DirectoryTileStore(config.parent / asked.public, durable=False),
            DurableTiles(config.parent / asked.public),
            MarkFile(config.parent / asked.mark),
            Witnesses.of(asked, note),
        ),
        note=note,
    )
    return Built(logger, asked.admitted)


def servers_for(which: str, config: Path) -> TimeServers | None:
    """Start to ask the time servers that a process of this configuration needs, before it is confined."""
    if which != "stamper":
        return None
    asked = settings.load(config, settings.StamperSettings)
    return TimeServers(asked.time_servers, asked.time_period, asked.chrony_port)


def _stamper(
    config: Path,
    clock: Clock,
    note: Note = _nobody,
    nursery: Nursery | None = None,
    servers: TimeServers | None = None,
) -> Built:
    from privyseal.keystore.softfile import SoftFile
    from privyseal.pki import certificates
    from privyseal.pki.chain import PinnedAnchor
    from privyseal.strongroom.stamper import Books, Stamper
    from privyseal.strongroom.stamps import Stamps
    from privyseal.strongroom.timekeeping import Timekeeping
    from privyseal.timestamp.clock import Timekeeper

    asked = settings.load(config, settings.StamperSettings)
    try:
        chain = certificates.pem_certificates((config.parent / asked.chain).read_bytes())
    except OSError as error:
        raise Misused(f"The stamper's certificates {asked.chain} cannot be read: {error.strerror}.") from None
    keys: KeyStore
    if asked.softfile is not None:
        keys = SoftFile.open(config.parent / asked.softfile.directory, asked.softfile.passphrase.encode("utf-8"), clock)
    elif (nursery := nursery or nursery_for("stamper", config)) is None:
        raise Misused("The stamper's settings name neither a file nor a token for its key.")
    else:
        (keys,) = _away(nursery, note).values()
    stamps = Stamps(config.parent / asked.stamps)
    books = Books(MarkFile(config.parent / asked.mark), stamps)
    wall = clock  # which tells the time of day even where it is not believed
    if (given := books.mark.read().number) and not stamps.entries(0):
        stamps.note(wall(), [("begun anew", _LOST.format(datetime.fromtimestamp(given, UTC)))])
    stamps.note(wall(), [("started", "The stamper starts.")])
    stamps.note_once(clock(), "configured", _said_of(asked, chain))
    if servers is not None:  # else the clock is somebody's who turns it: init's for a moment, or a test's
        keeper = Timekeeper(asked.time_servers, limit=asked.time_limit)
        clock = watched = Timekeeping(keeper, stamps, clock, note=note)
        threading.Thread(target=watched.watch, args=(servers,), name="watch", daemon=True).start()
    stamper = Stamper(keys, asked.key, chain, asked.policies, books, clock)
    if not asked.experiment and certificates.scheme_of(stamper.public_key).pure:
        raise Misused(
            "Timestamps by a key of this kind are an experiment: verifiers do not know them.",
            hint="experiment = true in stamper.toml, or a key that is rsa-3072, rsa-4096, ecdsa-p256 or ecdsa-p384",
        )
    if asked.legacy:
        stamper.offer_legacy([PinnedAnchor(anchor.der(), anchor.standing) for anchor in asked.anchors])
    return Built(stamper, asked.admitted, lambda line: stamps.note_once(wall(), "door", line[:1900]))


_LOST = (
    "These books begin anew, and time was given until {:%Y-%m-%d %H:%M:%S} UTC: nothing leads from its tokens to the "
    "log any more, where no proof was fetched. Whoever has the books before puts them back."
)


def _said_of(asked: settings.StamperSettings, chain: Sequence[bytes]) -> str:
    """Say how a stamper is configured, without secrets: what its diary keeps (CSBR 5.4.1.2)."""
    home = "in files" if asked.softfile is not None else "in a token"
    certificate = hashlib.sha256(chain[0]).hexdigest() if chain else "none"
    servers = ", ".join(asked.time_servers) or "none"
    return (
        f"Key {asked.key} {home}; certificate {certificate}; policies {', '.join(asked.policies)}; "
        f"time servers {servers}; limit {asked.time_limit} s{'; rehearsal' * asked.rehearsal}."
    )[:1900]


def _issuer(config: Path, clock: Clock, note: Note = _nobody, nursery: Nursery | None = None) -> Built:
    from privyseal.pki.rehearsal import RehearsalAuthority
    from privyseal.strongroom.issuer import Issuer
    from privyseal.strongroom.register import Register

    asked = settings.load(config, settings.IssuerSettings)
    try:
        authority = RehearsalAuthority.load((config.parent / asked.key).read_bytes())
    except OSError as error:
        raise Misused(f"The rehearsal CA's keys {asked.key} cannot be read: {error.strerror}.") from None
    return Built(Issuer(authority, Register(config.parent / asked.register), clock), asked.admitted)


class Builder(Protocol):
    """Builds one process from its settings file; ``note`` is told what the operator should see.

    ``nursery`` is what ``nursery_for`` started for it, if anything. The stamper's also takes ``servers``, what
    ``servers_for`` started; without, its clock is not watched.
    """

    def __call__(self, config: Path, clock: Clock, note: Note = _nobody, nursery: Nursery | None = None) -> Built:
        """Build it; Misused, Conflict or Unavailable where that cannot be."""
        ...


def needs(which: str, config: Path) -> Needs:
    """Return what a process of this configuration needs of the system beyond its files and its own door."""
    calls = bool(ports(which, config))
    # Who resolves names loads libraries as it does (nsswitch.conf(5)), and Python's own for international ones.
    return NEEDS[which]._replace(network=calls, late_code=calls)


NEEDS: dict[str, Needs] = {"signer": Needs(), "logger": Needs(), "stamper": Needs(), "issuer": Needs()}
"""What each kind of process needs of the system where its configuration asks for nothing more."""
ROOMS: dict[str, Builder] = {"signer": _signer, "logger": _logger, "stamper": _stamper}
"""Each kind of guarded process that every service has, and who builds it."""
SUMMONED: dict[str, Builder] = {"issuer": _issuer}
"""What only a rehearsal has, and only once somebody asks it."""
SETTINGS: dict[str, type[_Settings]] = {
    "signer": settings.SignerSettings,
    "logger": settings.LoggerSettings,
    "stamper": settings.StamperSettings,
    "issuer": settings.IssuerSettings,
}
"""What the configuration of each may say."""
HEALTH: dict[str, Question] = {
    "signer": SignerHealth(),
    "logger": LogHealth(),
    "stamper": StamperHealth(),
    "issuer": IssuerHealth(),
}
"""The question that each is asked to find out how it is."""
