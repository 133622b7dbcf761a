"""One TOML file makes one PrivySeal; no other module reads it, and the service reads no environment at all."""

from __future__ import annotations

import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import msgspec

from privyseal.errors import Misused
from privyseal.records.database import open_records
from privyseal.records.spool import LARGEST_FILE, Limits, Spool
from privyseal.signing.instance import Premises, PrivySeal
from privyseal.signing.workshop import Workshop
from privyseal.strongroom.client import LoggerClient, SignerClient, SocketAsk, StamperClient
from privyseal.terms.parties import Affiliation, SigningService

FILE = "serve.toml"
"""The name of ``serve``'s configuration in a service's directory."""


class ServiceSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[service]``: who runs it, and where it listens."""

    name: str
    affiliation: Affiliation = Affiliation.UNAFFILIATED
    bind: str = "127.0.0.1:8470"
    rehearsal: bool = False


class RecordsSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[records]``: the database, a SQLAlchemy URL; a relative ``sqlite:///`` path starts at this file."""

    url: str = "sqlite:///records.db"


class LogSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[log]``: the directory that the logger writes for everybody to read."""

    public: str = "log"


class SpoolSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[spool]``: where files of mode ``server`` are, how large they may be, how long they are kept."""

    enabled: bool = True
    """Whether this service sees files at all."""
    directory: str = "spool"
    """Where they are; a relative path starts at this file. Several ``serve`` share it, with working ``flock``."""
    largest_file: Annotated[int, msgspec.Meta(ge=1)] = LARGEST_FILE
    """Octets of one file."""
    quota: Annotated[int, msgspec.Meta(ge=1)] = Limits().quota
    """Octets that one Subscriber may have in the spool."""
    spare: Annotated[int, msgspec.Meta(ge=0)] = Limits().spare
    """Octets of the disk that uploads leave free."""
    keep: Annotated[int, msgspec.Meta(ge=60)] = 24 * 3600
    """Seconds after its release for which a finished file can be fetched."""
    stale: Annotated[int, msgspec.Meta(ge=60)] = 24 * 3600
    """Seconds for which an upload is kept that nobody goes on sending or has signed."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything ``serve`` is told."""

    service: ServiceSection
    records: RecordsSection = RecordsSection()
    log: LogSection = LogSection()
    spool: SpoolSection = SpoolSection()


class Sockets(msgspec.Struct, frozen=True):
    """Where the doors of the guarded processes are."""

    logger: Path
    signer: Path
    stamper: Path

    @classmethod
    def under(cls, folder: Path) -> Sockets:
        """Name the three sockets in one folder."""
        return cls(folder / "logger.sock", folder / "signer.sock", folder / "stamper.sock")


def load(directory: Path) -> Settings:
    """Read ``serve.toml`` of a service's directory; raise Misused with the field's name where it is not right."""
    path = directory / FILE
    try:
        return msgspec.convert(tomllib.loads(path.read_text("utf-8")), Settings)
    except FileNotFoundError as error:
        raise Misused(
            f"There is no service in {directory}: {FILE} is missing.",
            hint=f"privyseal init --dir {directory} --rehearsal",
        ) from error
    except OSError as error:
        raise Misused(f"{path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Misused(f"{path} is not TOML: {error}.") from error
    except msgspec.ValidationError as error:
        raise Misused(f"{path}: {error}.") from error


def bind_address(text: str) -> tuple[str, int]:
    """Split ``host:port``; raise Misused where it is not that. Port 0 means any free one."""
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise Misused(f"{text!r} is not an address to listen on.", hint="host:port, such as 127.0.0.1:8470")
    return host.strip("[]"), int(port)


def records_url(settings: Settings, directory: Path) -> str:
    """Return the database's URL with a relative SQLite path resolved against the service's directory."""
    prefix = "sqlite:///"
    url = settings.records.url
    if url.startswith(prefix) and not url.startswith(prefix + "/"):
        return prefix + str(directory.resolve() / url.removeprefix(prefix))
    return url


def public_log(settings: Settings, directory: Path) -> Path:
    """Return the directory of tiles and checkpoint."""
    return directory.resolve() / settings.log.public


def premises(settings: Settings, directory: Path) -> Premises | None:
    """Return where files are kept and worked on; None where this service sees none. Nothing is made or started yet."""
    section = settings.spool
    if not section.enabled:
        return None
    limits = Limits(largest_file=section.largest_file, quota=section.quota, spare=section.spare)
    return Premises(
        Spool(directory.resolve() / section.directory, limits),
        Workshop(),
        keep=timedelta(seconds=section.keep),
        stale=timedelta(seconds=section.stale),
    )


def privy_seal(settings: Settings, directory: Path, sockets: Sockets) -> PrivySeal:
    """Build the running service that these settings describe; nothing is connected until it is used."""
    return PrivySeal(
        SigningService(settings.service.name, settings.service.affiliation),
        open_records(records_url(settings, directory)),
        LoggerClient(SocketAsk(sockets.logger)),
        SignerClient(SocketAsk(sockets.signer)),
        StamperClient(SocketAsk(sockets.stamper)),
        premises=premises(settings, directory),
    )
