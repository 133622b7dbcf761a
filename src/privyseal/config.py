"""One TOML file makes one PrivySeal; no other module reads it, and the service reads no environment at all.

Longer than our files are, for each section is bound here to the part that it makes, and they are read as one.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import platform
import stat
import tomllib
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from privyseal.authorities.catalogue import Section as AuthoritySection
from privyseal.authorities.catalogue import authorities
from privyseal.errors import BadInput, Misused
from privyseal.records.database import Records, make_url_or_refuse, open_records
from privyseal.records.documents import LARGEST_DOCUMENT, Documents
from privyseal.records.spool import LARGEST_FILE, Limits, Spool
from privyseal.scanning import catalogue
from privyseal.scanning.catalogue import Section as ScannerSection
from privyseal.signing import rehearsal_ca
from privyseal.signing.attestation_roots import AttestationSection, by_format
from privyseal.signing.doorkeys import ConsoleSection, OidcSection, gatehouse
from privyseal.signing.instance import Premises, PrivySeal
from privyseal.signing.postbox import NoticesSection, post
from privyseal.signing.recollection import Recollection, published_size, size_of
from privyseal.signing.timestamp_settings import TimestampsSection
from privyseal.signing.watch import Watch
from privyseal.signing.workload_settings import WorkloadsSection
from privyseal.signing.workshop import Workshop
from privyseal.strongroom.client import (
    LOGGER_SECONDS,
    ActiveLogger,
    Ask,
    LoggerClient,
    SignerClient,
    SocketAsk,
    StamperClient,
)
from privyseal.strongroom.watched import watched
from privyseal.telemetry import Level, Style
from privyseal.terms.keys import Approver
from privyseal.terms.limits import LONGEST_IDLE
from privyseal.terms.parties import Affiliation, SigningService
from privyseal.tlog.policy import MAX_POLICY, Policy, parse_policy
from privyseal.tlog.tilestore import DirectoryTileStore

FILE = "serve.toml"
"""The name of ``serve``'s configuration in a service's directory."""
LOG_POLICY = "log-policy"
"""The name of the C2SP log policy that verifiers are given, in the same directory."""


class ServiceSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[service]``: who runs it, and where it listens."""

    name: str
    affiliation: Affiliation = Affiliation.UNAFFILIATED
    bind: str = "127.0.0.1:8470"
    rehearsal: bool = False
    operator: str | None = None
    """The Subscriber whose administrators speak for the service itself: its audits, contracts, modules."""


class RecordsSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[records]``: the database, a SQLAlchemy URL; a relative ``sqlite:///`` path starts at this file."""

    url: str = "sqlite:///records.db"
    listen: str | None = None
    """PostgreSQL: the same database without a pooler in between, to hear at once of what other nodes did."""


NodeName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,63}$")]
"""What a ``serve`` may be called among several; leases say it, so that who reads them knows which one it is."""


class NodeSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[node]``: this ``serve`` among several on one PostgreSQL database."""

    name: NodeName | None = None
    """Its own, and the same after each start; made from host name and directory where it is not given."""
    rooms: Literal["start", "join"] = "start"
    """``join`` starts no guarded processes and uses those of the node on this machine that did."""
    sockets: str | None = None
    """Where the guarded processes' sockets are, for a node that joins: ``run`` in the other's directory."""
    lease_seconds: Annotated[int, msgspec.Meta(ge=1, le=3600)] = 60
    """How long a walk of this node may be silent before another node takes its requests."""


class LogSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[log]``: the directory that the logger writes for everybody to read, and where further loggers answer."""

    public: str = "log"
    standby: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,32}$")] | None = None
    """The folder beside this file of a further logger, which this node runs (``privyseal log add-logger``)."""
    loggers: tuple[str, ...] = ()
    """Sockets of the other nodes' further loggers, relative to this file; the one of ``rooms`` is known."""


class LimitsSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[limits]``: what ``serve`` takes on at once, and how long anybody waits."""

    connections: Annotated[int, Meta(ge=16, le=100_000)] = 2000
    """Open at once; twice the requests, for half of them are idle between two files. nginx: 512 to 1024 a worker."""
    requests: Annotated[int, Meta(ge=1, le=100_000)] = 1000
    """In handlers at once; with 1 MiB of body each that is a gigabyte at the worst. gunicorn: 1000 a worker."""
    longest_wait_s: Annotated[float, Meta(gt=0, le=600)] = 10.0
    """Seconds within which a request may expect to be answered; a third of the 30 s for which a POST waits."""
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


class TlsSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[tls]``: PEM files, relative to this file; without the section the service speaks plain HTTP."""

    certificate: str
    """The service's certificate, and behind it the intermediates."""
    key: str
    """Its key, not encrypted; refused where others can read it."""
    client_authorities: str | None = None
    """The CAs whose client certificates are let in; without it, clients are asked for none."""


class OverseerSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[gates.overseers]]``: one who can, together with another one, override a gate for a while."""

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    public_key: str
    """Ed25519, 32 octets in base64."""

    def approver(self) -> Approver:
        """Return the overseer as one whose signature counts; Misused where the key is none."""
        try:
            octets = base64.b64decode(self.public_key, validate=True)
        except ValueError:
            octets = b""
        if len(octets) != 32:
            raise Misused(f"The public key of the overseer {self.name!r} is not 32 octets in base64.")
        return Approver(self.name, octets)


class GatesSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[gates]``: who can override a requirement that refuses signatures; nobody, where nobody is named."""

    overseers: tuple[OverseerSection, ...] = ()


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
    infected: Literal["delete", "quarantine"] = "delete"
    """What becomes of an upload in which a scanner finds something; put away, it stays until somebody deletes it."""


class EvidenceSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[evidence]``: where documents taken in as evidence are kept."""

    directory: str = "evidence"
    """A relative path starts at this file. Several ``serve`` share it; it belongs into the backup."""
    largest_document: Annotated[int, msgspec.Meta(ge=1)] = LARGEST_DOCUMENT
    """Octets of one."""


class KeysSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[keys]``: what becomes of keys by themselves."""

    idle_days: Annotated[int, msgspec.Meta(ge=0, le=LONGEST_IDLE)] = 0
    """An active key that nobody used for so many days is suspended; 0 suspends none."""
    probe_hours: Annotated[int, msgspec.Meta(ge=0, le=8760)] = 24
    """An active key signs a probe, which is logged and thrown away, every so many hours; 0 probes none."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything ``serve`` is told."""

    service: ServiceSection
    records: RecordsSection = RecordsSection()
    log: LogSection = LogSection()
    keys: KeysSection = KeysSection()
    timestamps: TimestampsSection = TimestampsSection()
    node: NodeSection = NodeSection()
    limits: LimitsSection = LimitsSection()
    telemetry: TelemetrySection = TelemetrySection()
    tls: TlsSection | None = None
    spool: SpoolSection = SpoolSection()
    scanners: Annotated[tuple[ScannerSection, ...], Meta(max_length=8)] = ()
    evidence: EvidenceSection = EvidenceSection()
    gates: GatesSection = GatesSection()
    workloads: WorkloadsSection = WorkloadsSection()
    notices: NoticesSection = NoticesSection()
    console: ConsoleSection = ConsoleSection()
    oidc: tuple[OidcSection, ...] = ()
    authorities: Annotated[tuple[AuthoritySection, ...], Meta(max_length=16)] = ()
    attestation: AttestationSection = AttestationSection()


class Sockets(msgspec.Struct, frozen=True):
    """Where the doors of the guarded processes are."""

    logger: Path
    signer: Path
    stamper: Path
    issuer: Path
    """Of a rehearsal's CA, which is started when it is first asked."""
    standby: Path | None = None
    """Of this node's further logger, if it runs one."""

    @classmethod
    def under(cls, folder: Path, standby: str | None = None) -> Sockets:
        """Name the sockets in one folder; ``standby`` names the further logger."""
        further = None if standby is None else folder / f"{standby}.sock"
        return cls(
            folder / "logger.sock", folder / "signer.sock", folder / "stamper.sock", folder / "issuer.sock", further
        )


def load(directory: Path) -> Settings:
    """Read ``serve.toml`` of a service's directory; raise Misused with the field's name where it is not right."""
    path = directory / FILE
    try:
        settings = msgspec.convert(tomllib.loads(path.read_text("utf-8")), Settings)
        _check(settings, path)
        return settings
    except FileNotFoundError as error:
        raise Misused(
            f"There is no service in {directory}: {FILE} is missing.",
            hint=f"privyseal init --dir {directory} --rehearsal",
        ) from error
    except OSError as error:
        raise Misused(f"{path} cannot be read: {error.strerror}.") from error
    except msgspec.ValidationError as error:
        from privyseal.terms.wrong_settings import expected  # only where something is wrong

        raise Misused(f"{path}: {error}.", hint=expected(error, Settings)) from error
    except (ValueError, RecursionError) as error:  # ValueError also for a number of thousands of digits
        raise Misused(f"{path} is not TOML: {error}.") from error


def check(settings: Settings, directory: Path) -> None:
    """Refuse with Misused what :func:`privy_seal` would refuse; makes no file and connects to nothing."""
    with _about(directory / FILE):
        make_url_or_refuse(settings.records.url)
        for each in settings.gates.overseers:
            each.approver()
        for scanner in settings.scanners:
            catalogue.scanner(scanner, directory.resolve())
        issuer = Sockets.under(directory / "run").issuer
        ca = rehearsal_ca.beside(directory, issuer, None) if settings.service.rehearsal else None
        authorities(settings.authorities, directory.resolve(), ca)
        bind_address(settings.service.bind)


@contextlib.contextmanager
def _about(path: Path) -> Iterator[None]:
    """Let what is refused name the file."""
    try:
        yield
    except Misused as error:
        raise (error if str(path) in error.detail else error.about(str(path))) from error


def _check(settings: Settings, path: Path) -> None:
    node, records = settings.node, settings.records
    with _about(path):
        settings.workloads.known(path.parent)
        settings.attestation.read(path.parent)
        settings.timestamps.parties(path.parent)
    if (node.rooms == "join") != (node.sockets is not None):
        raise Misused(f"{path}: [node] sockets is for a node whose rooms are joined, and it needs them.")
    if node.rooms == "join" and records.url.startswith("sqlite"):
        raise Misused(f"{path}: several nodes need their records in PostgreSQL, not in SQLite.")
    if records.listen is not None and not records.listen.startswith("postgresql"):
        raise Misused(f"{path}: [records] listen is the URL of a PostgreSQL server.")
    names = [each.name for each in settings.scanners]
    if len(set(names)) < len(names):
        raise Misused(f"{path}: two [[scanners]] have one name.", hint='give each its own: name = "..."')
    secret = any(password_in(url) for url in (records.url, records.listen) if url is not None)
    secret = secret or settings.timestamps.secret
    if secret and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise Misused(f"{path} holds a password and others can read it.", hint=f"chmod 600 {path}, or use a .pgpass")


def password_in(url: str) -> bool:
    """Tell whether a database URL holds a password."""
    return "password=" in url or ":" in url.partition("://")[2].rpartition("@")[0]


def node_name(settings: Settings, directory: Path) -> str:
    """Return the node's name; where none is given, one that only this directory on this machine has."""
    if settings.node.name is not None:
        return settings.node.name
    place = f"{platform.node()}\0{directory.resolve()}"
    return "node-" + hashlib.sha256(place.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def sockets_to_join(settings: Settings, directory: Path) -> Sockets | None:
    """Return the sockets of guarded processes that another node has started; None where this one starts its own."""
    if settings.node.sockets is None:
        return None
    return Sockets.under(directory.resolve() / settings.node.sockets)


def bind_address(text: str) -> tuple[str, int]:
    """Split ``host:port``; raise Misused where it is not that. Port 0 means any free one."""
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise Misused(f"{text!r} is not an address to listen on.", hint="host:port, such as 127.0.0.1:8470")
    return host.strip("[]"), int(port)


def records_url(section: RecordsSection, directory: Path) -> str:
    """Return the database's URL with a relative SQLite path resolved against the service's directory."""
    prefix = "sqlite:///"
    url = section.url
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
        scanners=tuple(catalogue.scanner(each, directory.resolve()) for each in settings.scanners),
        infected=section.infected,
    )


def documents(settings: Settings, directory: Path) -> Documents:
    """Return where documents taken in as evidence are kept. Nothing is made yet."""
    section = settings.evidence
    return Documents(directory.resolve() / section.directory, section.largest_document)


def privy_seal(
    settings: Settings,
    directory: Path,
    sockets: Sockets,
    watch: Watch | None = None,
    summon: Callable[[], None] | None = None,
) -> PrivySeal:
    """Build the running service that these settings describe; nothing is connected until it is used.

    ``summon`` starts a rehearsal's CA where it does not run; without it somebody else has to have started it.
    """
    ca = rehearsal_ca.beside(directory, sockets.issuer, summon) if settings.service.rehearsal else None
    looking = watch or Watch()
    logger = LoggerClient(watched(_logger(settings, directory, sockets), looking.step))
    records = open_records(records_url(settings.records, directory))
    return PrivySeal(
        SigningService(settings.service.name, settings.service.affiliation, settings.service.operator),
        records,
        logger,
        SignerClient(watched(SocketAsk(sockets.signer), looking.step)),
        StamperClient(watched(SocketAsk(sockets.stamper), looking.step)),
        node=node_name(settings, directory),
        lease=timedelta(seconds=settings.node.lease_seconds),
        watch=looking,
        premises=premises(settings, directory),
        recollection=recollection(settings, directory, records, size_of(logger)),
        documents=documents(settings, directory),
        overseers=tuple(each.approver() for each in settings.gates.overseers),
        issuers=settings.workloads.known(directory.resolve()),
        post=post(settings.notices, directory, rehearsal=settings.service.rehearsal),
        gatehouse=gatehouse(settings.console, settings.oidc, directory),
        idle_days=settings.keys.idle_days,
        probe_hours=settings.keys.probe_hours,
        each_token=settings.timestamps.each_token,
        authorities=authorities(settings.authorities, directory.resolve(), ca),
        rehearsal_ca=ca,
        attestation_roots=by_format(settings.attestation.read(directory.resolve())),
        parties=settings.timestamps.parties(directory.resolve()),
    )


def recollection(
    settings: Settings, directory: Path, records: Records, size: Callable[[], int] | None = None
) -> Recollection:
    """Return what holds the records against the log; without ``size`` against its published head, as nobody runs."""
    public, policy = DirectoryTileStore(public_log(settings, directory)), log_policy(directory)
    if size is None:
        if policy is None:
            raise Misused(f"{directory / LOG_POLICY} is missing or wrong, so no head of the log can be believed.")
        size = functools.partial(published_size, public.read, policy)
    return Recollection(records, size, public.read, policy)


def log_policy(directory: Path) -> Policy | None:
    """Return the policy that verifiers were given, beside the service; None where there is none that can be read."""
    try:
        with (directory / LOG_POLICY).open("rb") as file:
            return parse_policy(file.read(MAX_POLICY + 1))
    except (OSError, BadInput):
        return None


def _logger(settings: Settings, directory: Path, sockets: Sockets) -> Ask:
    """Return the way to the one logger, or to whichever of several is the active one."""
    own = () if sockets.standby is None else (sockets.standby,)
    paths = (sockets.logger, *own, *(directory.resolve() / each for each in settings.log.loggers))
    if len(paths) == 1:
        return SocketAsk(sockets.logger)
    return ActiveLogger([SocketAsk(path, LOGGER_SECONDS) for path in paths])
