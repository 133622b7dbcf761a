"""What of a service's directory goes into a backup, and how it is read while everything runs.

An explicit list, so that what nobody thought of stays out: PINs, tokens and passwords of clouds, keys of TLS, the spool
and the marks are in no backup. Of settings the passphrase of ``softfile`` and the passwords of databases are taken out.

The order makes the parts fit: the records first, then the signer's journal and the stamper's books, then the log. So
the log knows whatever the others do, and what it knows more is seen when it is restored (``restoring.py``,
``restoring_books.py``). Of the log there are the signed head and the tiles of that very size; the logger's journal
follows from them.

A Private Key is in it only where it is in a ``softfile``, which no publicly trusted certificate may be for, and only
where its Subscriber agreed (CSBR 6.1.2). Keys in tokens and clouds are ``CKA_EXTRACTABLE=false`` there and stay.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from privyseal.errors import LogUnavailable, Unavailable
from privyseal.keystore.catalogue import store_name
from privyseal.strongroom import logkey, older_books, settings
from privyseal.strongroom.age import Kept
from privyseal.strongroom.attesting import LABEL
from privyseal.strongroom.backup_file import KeyInIt
from privyseal.strongroom.charters import Holding
from privyseal.strongroom.older_books import Copied
from privyseal.strongroom.settings import LoggerSettings, SignerSettings, StamperSettings
from privyseal.tlog.checkpoint import Checkpoint, open_checkpoint
from privyseal.tlog.note import Signer
from privyseal.tlog.tiles import TILE_WIDTH, edge, entries_path, tile_path, width_at
from privyseal.tlog.tilestore import CHECKPOINT, DirectoryTileStore

BESIDE = ("serve.toml", "log-policy", "ca.pem", "ca.crl")
"""Files beside the rooms that are nobody's secret."""
OF_SERVE = ("people.key", "notices.key")
"""Secrets of ``serve`` without which what the records hold of people and webhooks cannot be read."""
JOURNAL, RECORDS = "signer/journal.sqlite3", "records.db"
PASSPHRASES = {"signer": "signer/passphrase", "stamper": "stamper/passphrase"}
"""Under which names the passphrases of key stores are in the part ``keys``."""

Consent = Callable[[Holding], str | None]
"""Tells why a Subscriber's key may be backed up, as the end of a sentence; None where it may not."""

_holdings = msgspec.json.Decoder(Holding)
_PASSPHRASE = re.compile(rb'(?m)^(passphrase = )"((?:[^"\\\n]|\\.)*)"$')
_PASSWORD = re.compile(rb"(://[^\s:/@\"']*):[^\s@\"']*@")
_PASSWORD_WORD = re.compile(rb"(password=)[^\s&\"']*")


class House(Struct, frozen=True):
    """Where a service and its rooms are, and what their settings say."""

    directory: Path
    logger: LoggerSettings
    signer: SignerSettings
    stamper: StamperSettings

    @classmethod
    def of(cls, directory: Path) -> House:
        """Read the settings of the rooms; Misused where one is wrong."""
        return cls(
            directory,
            settings.load(directory / "logger" / "logger.toml", LoggerSettings),
            settings.load(directory / "signer" / "signer.toml", SignerSettings),
            settings.load(directory / "stamper" / "stamper.toml", StamperSettings),
        )

    @property
    def public(self) -> Path:
        """Return where the log's tiles are."""
        return self.directory / "logger" / self.logger.public

    def log_signer(self) -> Signer:
        """Return the log's key."""
        key = logkey.read(self.directory / "logger" / self.logger.key)
        return Signer(logkey.verifier(self.logger.origin, key), key.sign)


class Taken(Struct, frozen=True):
    """What was read of a running service: the copies of its databases, then the head of its log."""

    house: House
    journal: Path
    records: Path | None
    """None where the records are in PostgreSQL."""
    books: Path | None
    """None where the stamper has none yet."""
    checkpoint: bytes
    head: Checkpoint
    holdings: tuple[Holding, ...]


def take(house: House, records: Path | None, folder: Path) -> Taken:
    """Copy the databases into a folder, and read the log's newest published head after them.

    ``records`` is the file of the records, if they are one.
    """
    copied = None
    if records is not None:
        copied = folder / RECORDS
        _copy(records, copied)
    journal = folder / "journal.sqlite3"
    _copy(house.directory / "signer" / house.signer.journal, journal)
    books = _copied_books(house, folder)
    octets, head = _published(house)
    return Taken(house, journal, copied, books, octets, head, _read_holdings(journal))


def _published(house: House) -> tuple[bytes, Checkpoint]:
    octets = DirectoryTileStore(house.public).read(CHECKPOINT)
    if octets is None:
        raise LogUnavailable("The log has no published head, so there is nothing to bind a backup to.")
    return octets, open_checkpoint(octets, house.log_signer().verifier)


def _copied_books(house: House, folder: Path) -> Path | None:
    """Copy the stamper's books, and note in the copy how long the log was before: what is stated later is not in it."""
    source, target = house.directory / "stamper" / house.stamper.stamps, folder / "stamps.sqlite3"
    if not source.is_file():
        return None
    copied = Copied(datetime.now(UTC), _published(house)[1].size)
    _copy(source, target)
    with closing(sqlite3.connect(target)) as connection:
        older_books.note_copied(connection, copied)
    return target


def keys_in_it(taken: Taken, consent: Consent) -> tuple[KeyInIt, ...]:
    """Say of each key that is not destroyed whether it is in the backup."""
    found = []
    for held in taken.holdings:
        charter, store = held.charter, store_name(held.charter.uri)
        if held.destroyed:
            continue
        agreed = consent(held) if store == "softfile" else None
        why = agreed or "its Subscriber did not agree to a copy (CSBR 6.1.2)"
        if store != "softfile":
            why = "it cannot leave its module; back that up by its own means"
        found.append(
            KeyInIt(
                subscriber=charter.subscriber,
                key=held.name,
                key_id=charter.key_id,
                store=store,
                kept=agreed is not None,
                why=why,
            )
        )
    return tuple(found)


def service_files(taken: Taken) -> Iterator[Kept]:
    """Yield everything but private keys of key stores."""
    house, root = taken.house, taken.house.directory
    for name in BESIDE:
        if (root / name).is_file():
            yield Kept(name, without_secrets((root / name).read_bytes()))
    yield from (Kept(name, root / name) for name in OF_SERVE if (root / name).is_file())
    for room in ("logger", "signer", "stamper", "issuer"):
        if (root / room / f"{room}.toml").is_file():
            yield Kept(f"{room}/{room}.toml", without_secrets((root / room / f"{room}.toml").read_bytes()))
    yield Kept("logger/log.key", root / "logger" / house.logger.key)
    yield Kept(JOURNAL, taken.journal)
    own = house.stamper
    waits = (own.waiting.request,) if own.waiting is not None and own.waiting.request else ()
    for name in (own.chain, own.mark, *(each.chain for each in own.former), *waits):
        yield Kept(f"stamper/{Path(name).name}", root / "stamper" / name)
    if taken.books is not None:
        yield Kept(f"stamper/{Path(house.stamper.stamps).name}", taken.books)
    if (root / "issuer" / "register.sqlite3").is_file():
        copied = taken.journal.with_name("register.sqlite3")
        _copy(root / "issuer" / "register.sqlite3", copied)
        yield Kept("issuer/register.sqlite3", copied)
    if taken.records is not None:
        yield Kept(RECORDS, taken.records)
    yield Kept(f"log/{CHECKPOINT}", taken.checkpoint)
    yield from _tiles(house, taken.head.size)


def documents(folder: Path) -> Iterator[Kept]:
    """Yield the documents that were taken in as evidence; those on their way in are left out."""
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        inside = path.relative_to(folder)
        if path.is_file() and not path.is_symlink() and not any(part.startswith(".") for part in inside.parts):
            yield Kept(f"evidence/{inside.as_posix()}", path)


def key_files(taken: Taken, listed: tuple[KeyInIt, ...]) -> Iterator[Kept]:
    """Yield the sealed keys that may be in a backup, and the passphrases that open them.

    With them go the service's own: the one that signs Evidence, the timestamp key, and a rehearsal's CA.
    """
    house, root = taken.house, taken.house.directory
    agreed = {each.key_id for each in listed if each.kept}
    if house.signer.softfile is not None:
        store = root / "signer" / house.signer.softfile.directory
        yield Kept(PASSPHRASES["signer"], house.signer.softfile.passphrase.encode("utf-8"))
        yield Kept("signer/keys/store.json", store / "store.json")
        uris = [held.charter.uri for held in taken.holdings if held.charter.key_id in agreed]
        for name in [uri.removeprefix("softfile:") for uri in uris] + [LABEL]:
            if (store / f"{name}.key").is_file():
                yield Kept(f"signer/keys/{name}.key", store / f"{name}.key")
    if house.stamper.softfile is not None:
        yield Kept(PASSPHRASES["stamper"], house.stamper.softfile.passphrase.encode("utf-8"))
        store = root / "stamper" / house.stamper.softfile.directory
        for path in sorted(store.rglob("*")):
            if path.is_file() and path.suffix in (".key", ".json") and not path.name.startswith("."):
                yield Kept(f"stamper/keys/{path.relative_to(store).as_posix()}", path)
    if house.signer.rehearsal and (root / "rehearsal-ca" / "ca.key").is_file():
        yield Kept("rehearsal-ca/ca.key", root / "rehearsal-ca" / "ca.key")


def without_secrets(settings_file: bytes) -> bytes:
    """Return settings without passphrases and without the passwords of databases."""
    cut = _PASSPHRASE.sub(rb'\1""', settings_file)
    return _PASSWORD_WORD.sub(rb"\1", _PASSWORD.sub(rb"\1@", cut))


def _tiles(house: House, size: int) -> Iterator[Kept]:
    """Yield the files of a tree of this size, and of no other one."""
    names, level = [], 0
    while size >> 8 * level:
        names += [tile_path(level, index) for index in range((size >> 8 * level) // TILE_WIDTH)]
        level += 1
    names += [tile_path(*each) for each in edge(size)]
    names += [entries_path(index, width_at(size, 0, index)) for index in range(-(-size // TILE_WIDTH))]
    store = DirectoryTileStore(house.public)
    for name in names:
        octets = store.read(name)
        if octets is None:
            raise LogUnavailable(f"The log's file {name} is missing.", hint="privyseal log fsck says what else is")
        yield Kept(f"log/{name}", octets)


def _copy(source: Path, target: Path) -> None:
    """Copy a SQLite file as it stands at one moment, while others may write it (SQLite's backup API)."""
    try:
        with (
            closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True, timeout=30.0)) as reading,
            closing(sqlite3.connect(target)) as writing,
        ):
            reading.backup(writing)
            writing.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise Unavailable(f"{source} could not be copied: {error}.") from None
    target.chmod(0o600)


def _read_holdings(journal: Path) -> tuple[Holding, ...]:
    with closing(sqlite3.connect(journal)) as database:
        rows = database.execute("SELECT holding FROM keys ORDER BY label").fetchall()
    return tuple(_holdings.decode(row[0]) for row in rows)
