"""One TOML file makes one PrivySeal; no other module reads it, and the service reads no environment at all."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from privyseal.errors import Misused
from privyseal.records.database import open_records
from privyseal.signing.instance import PrivySeal
from privyseal.signing.watch import Watch
from privyseal.strongroom.client import LoggerClient, SignerClient, SocketAsk, StamperClient
from privyseal.strongroom.watched import watched
from privyseal.telemetry import Level, Style
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


class LimitsSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[limits]``: what ``serve`` takes on at once, and how long anybody waits."""

    connections: Annotated[int, Meta(ge=16, le=100_000)] = 2000
    """Open at once; twice the requests, for half of them are idle between two files. nginx: 512 to 1024 a worker."""
    requests: Annotated[int, Meta(ge=1, le=100_000)] = 1000
    """In handlers at once; with 1 MiB of body each that is a gigabyte at the worst. gunicorn: 1000 a worker."""
    longest_wait_s: Annotated[float, Meta(gt=0, le=600)] = 10.0
    """Seconds a request may expect to wait for its batch; a third of the 30 s for which a POST waits."""
    drain_s: Annotated[float, Meta(gt=0, le=3600)] = 40.0
    """Seconds that what is under way has after SIGTERM; a POST that waits for its signature gives up after 30."""
    least_free_mib: Annotated[int, Meta(ge=0)] = 256
    """MiB that must be free where we write; a day's log of a busy service takes about a tenth."""


class TelemetrySection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[telemetry]``: what the service tells about itself, and whom."""

    log: Style | None = None
    """``json`` or ``text``; where it is not said, text on a terminal and JSON elsewhere."""
    level: Level = "warning"
    """``info`` has a line for every request and every question to a guarded process."""
    metrics: Literal["loopback", "anybody", "off"] = "loopback"
    """Who may read ``/metrics`` without a token."""
    metrics_token_sha256: Annotated[str, Meta(pattern="^([0-9a-f]{64})?$")] = ""
    """SHA-256, lower-case hex, of the bearer token with which ``/metrics`` may be read from anywhere."""
    traces: str = "off"
    """``off``, ``otlp``, ``console``, or ``module:exporter`` naming a callable that makes a SpanExporter."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything ``serve`` is told."""

    service: ServiceSection
    records: RecordsSection = RecordsSection()
    log: LogSection = LogSection()
    limits: LimitsSection = LimitsSection()
    telemetry: TelemetrySection = TelemetrySection()


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


def privy_seal(settings: Settings, directory: Path, sockets: Sockets, watch: Watch | None = None) -> PrivySeal:
    """Build the running service that these settings describe; nothing is connected until it is used."""
    looking = watch or Watch()
    return PrivySeal(
        SigningService(settings.service.name, settings.service.affiliation),
        open_records(records_url(settings, directory)),
        LoggerClient(watched(SocketAsk(sockets.logger), looking.step)),
        SignerClient(watched(SocketAsk(sockets.signer), looking.step)),
        StamperClient(watched(SocketAsk(sockets.stamper), looking.step)),
        watch=looking,
    )
