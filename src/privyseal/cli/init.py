"""``privyseal init``: a new service in a directory, with everything a rehearsal needs where that is asked for."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from privyseal import config
from privyseal.cli import rehearsal_papers
from privyseal.cli.processes import settings_of
from privyseal.errors import Misused
from privyseal.keystore.homes import Home
from privyseal.keystore.pkcs11 import Pkcs11Section
from privyseal.pki import rehearsal_tls
from privyseal.pki.certificates import pem, pem_certificates
from privyseal.pki.rehearsal import RehearsalAuthority
from privyseal.records import keys
from privyseal.records.database import open_records
from privyseal.records.schema import migrate_for_serve, require_fit
from privyseal.signing import custody, enrol, gates, identities, paper, subscribers
from privyseal.signing.instance import PrivySeal, wall_clock
from privyseal.strongroom import founding
from privyseal.strongroom.acts import Generate
from privyseal.strongroom.client import LoggerClient, SignerClient, StamperClient
from privyseal.strongroom.durable import write_whole
from privyseal.strongroom.rooms import ROOMS
from privyseal.strongroom.settings import Anchor, read_homes
from privyseal.terms.identity import Jurisdiction, LegalIdentity
from privyseal.terms.parties import Affiliation, Member, Role, SigningService
from privyseal.terms.signatures import SCHEMES

SUBSCRIBER, KEY = "demo", "release"
"""What a rehearsal's one Subscriber and its one Key Pair are called (the contract of ``init --rehearsal``)."""
NOBODY = "Rehearsal: there is nobody, and no CA's record of anybody."
IDENTITY = LegalIdentity(
    organization="Rehearsal Subscriber",
    country="XX",
    locality="Rehearsal",
    jurisdiction=Jurisdiction(business_category="Private Organization", country="XX", number="REHEARSAL-1"),
)
"""Who a rehearsal's Subscriber is in law, so that its requests for certificates have a subject."""
PROFILES = ("client.toml", "administrator.toml", "operator.toml", "custodian.toml")
"""Profiles that a rehearsal has: of who asks for signatures, and of who states things (``privyseal evidence``)."""
CERTIFIABLE = [name for name, scheme in SCHEMES.items() if scheme.certifiable]
"""Schemes of a rehearsal's key: those that a public certificate may be for, so that it rehearses what is to come."""
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_PATH = click.Path(path_type=Path, exists=True)

TLS = config.TlsSection(certificate="tls/server.pem", key="tls/server.key", client_authorities="tls/ca.pem")
"""Where ``init --rehearsal --tls`` puts what ``serve`` speaks https with."""


@click.command()
@click.option("--dir", "directory", type=click.Path(path_type=Path), required=True, help="Made if it is not there.")
@click.option("--rehearsal", is_flag=True, help="With one Subscriber, a key, a certificate, a timestamp authority.")
@click.option("--scheme", type=click.Choice(CERTIFIABLE), default="rsa-3072", show_default=True, help="Of the key.")
@click.option("--tls", is_flag=True, help="Speak https, and let the client in by a certificate instead of a token.")
@click.option("--name", default="Rehearsal", show_default=True, help="The organisation that runs the service.")
@click.option("--records", metavar="URL", help="PostgreSQL for the records, in place of a file; serve's own role.")
@click.option("--owner", metavar="URL", help="The same database in the role that owns the tables.")
@click.option("--pkcs11-module", type=_FILE, help="Keep the key in a token: path of its PKCS#11 module.")
@click.option("--token", help="Label of the token.")
@click.option("--pin-file", type=_FILE, help="A file, 0600, with the token's user PIN.")
@click.option("--module-env", multiple=True, metavar="NAME=VALUE", help="A variable that the module reads.")
@click.option("--module-reads", type=_PATH, multiple=True, help="A file or directory that the module reads.")
@click.option("--module-writes", type=_PATH, multiple=True, help="One that it also writes.")
@click.option("--keys-in", type=_FILE, help="Keep the key in a cloud: TOML with its section, such as [[gcpkms]].")
@click.option("--timestamp-in-token", is_flag=True, help="Keep the timestamp key in that token too.")
# Each argument is an option of the command line.
def init(  # noqa: PLR0913
    directory: Path,
    rehearsal: bool,
    scheme: str,
    tls: bool,
    name: str,
    records: str | None,
    owner: str | None,
    keys_in: Path | None,
    timestamp_in_token: bool,
    **token: Any,
) -> None:
    """Make a new service in a directory."""
    if not rehearsal:
        raise Misused(
            "Only a rehearsal can be made so far: keys are files, as no publicly trusted key may be (CSBR 6.2.7.3).",
            hint="privyseal init --dir D --rehearsal",
        )
    tokens = _tokens(**token)
    if timestamp_in_token and not tokens:
        raise Misused(
            "--timestamp-in-token needs a token.", hint="name it with --pkcs11-module, --token and --pin-file"
        )
    stamper = tokens[0] if timestamp_in_token else None
    homes: list[tuple[str, Home]] = [("pkcs11", each) for each in tokens]
    homes += [] if keys_in is None else read_homes(keys_in)
    with fresh(directory) as empty:
        section = config.RecordsSection() if records is None else config.RecordsSection(url=records)
        found_rehearsal(empty, scheme, name, section, owner, tls=tls, homes=homes, stamper=stamper)
    click.echo(
        f"A rehearsal service is in {directory}: Subscriber {SUBSCRIBER}, Key Pair {KEY} ({scheme}).\n"
        f"  start it   privyseal serve --dir {directory}\n"
        f"  come in    privyseal invite {SUBSCRIBER} NAME --dir {directory} --role administrator\n"
        f"  sign       privyseal sign setup.exe --profile {directory / 'client.toml'}\n"
        f"  check      privyseal verify setup.exe --profile {directory / 'client.toml'}\n"
        "REHEARSAL: nothing signed with it is for release.",
        err=True,
    )


def _tokens(
    pkcs11_module: Path | None,
    token: str | None,
    pin_file: Path | None,
    module_env: tuple[str, ...],
    module_reads: tuple[Path, ...],
    module_writes: tuple[Path, ...],
) -> tuple[Pkcs11Section, ...]:
    """Return the token that the options name, if any; Misused if they name half of one."""
    if pkcs11_module is None or token is None or pin_file is None:
        if any((pkcs11_module, token, pin_file, module_env, module_reads, module_writes)):
            raise Misused("A token needs --pkcs11-module, --token and --pin-file, all three.")
        return ()
    if any("=" not in each for each in module_env):
        raise Misused("A variable for the module is given as NAME=VALUE.")
    section = Pkcs11Section(
        module=str(pkcs11_module.resolve()),
        token=token,
        pin_file=str(pin_file.resolve()),
        environment=dict(each.split("=", 1) for each in module_env),
        readable=tuple(str(each.resolve()) for each in module_reads),
        writable=tuple(str(each.resolve()) for each in module_writes),
    )
    return (section,)


def found_rehearsal(  # noqa: PLR0913 - each is one independent wish
    directory: Path,
    scheme: str,
    name: str,
    section: config.RecordsSection = config.RecordsSection(),  # noqa: B008 - it is frozen
    owner: str | None = None,
    *,
    tls: bool = False,
    homes: Sequence[tuple[str, Home]] = (),
    stamper: Pkcs11Section | None = None,
) -> None:
    """Fill an empty directory with a rehearsal service; ``serve.toml``, written last, says that it is whole.

    With ``tls`` it speaks https, and its one member is known by a client certificate and holds no token. Its key is
    born in the first of ``homes``, or in a file if there is none; the timestamp key in ``stamper``, or in a file.
    """
    url = _prepare_records(directory, section, owner)
    now = datetime.now(UTC)
    authority = RehearsalAuthority.create(now, name)
    origin = f"rehearsal.invalid/{directory.resolve().name}"
    vkey = founding.create_logger(directory / "logger", directory / "log", directory / "marks" / "log.mark", origin)
    anchor = Anchor("rehearsal", pem(authority.root).decode("ascii"))
    marks = directory / "marks"
    founding.create_signer(
        directory / "signer", marks / "signer.mark", vkey, [anchor], wall_clock, rehearsal=True, homes=homes
    )
    spki = founding.create_stamper(directory / "stamper", wall_clock, token=stamper)
    chain = (authority.issue_timestamp_authority(spki, now), authority.timestamp_issuer)
    founding.install_stamper_chain(directory / "stamper", spki, chain)
    settings = config.Settings(
        service=config.ServiceSection(name=name, rehearsal=True, operator=SUBSCRIBER),
        records=section,
        tls=TLS if tls else None,
    )
    with _opened(directory, url, name) as seal:
        member, *others = _enrol_demo(seal, authority, scheme)
        if tls:
            credential = _certify_client(seal, member, directory / "tls")
        else:
            credential = {"token": enrol.token(seal, member)}
        theirs = [{"token": enrol.token(seal, each)} | ({"ca": "tls/ca.pem"} if tls else {}) for each in others]
        paper.finish(seal)
        with seal.records.reading(SUBSCRIBER) as tx:
            ((certificate, _),) = keys.certificate_chains_of(tx)
    founding.create_issuer(directory / "issuer", [("timestamping", chain[0]), ("code-signing", certificate)])
    _write_files(directory, authority, vkey, (credential, *theirs), settings)


def _prepare_records(directory: Path, section: config.RecordsSection, owner: str | None) -> str:
    """Make the tables, or the owner's for serve's role; return the URL under which serve will use them."""
    url = config.records_url(section, directory)
    if url.startswith("sqlite"):
        _put(directory / "records.db", b"", 0o600)  # its journal files take over these rights
    migrate_for_serve(url, owner)
    records = open_records(url)
    try:
        require_fit(records)
    finally:
        records.close()
    return url


def _enrol_demo(seal: PrivySeal, authority: RehearsalAuthority, scheme: str) -> tuple[Member, ...]:
    """Take in the Subscriber and who asks, administers and operates; have a key generated and certified."""
    owner = enrol.subscriber(seal, SUBSCRIBER, "Rehearsal Subscriber")
    member = enrol.member(seal, owner.name, "rehearsal client", (Role.REQUESTER,))
    administrator = enrol.member(seal, owner.name, "rehearsal administrator", (Role.ADMINISTRATOR,))
    operator = enrol.member(seal, owner.name, "rehearsal operator", (Role.OPERATOR,))
    custodian = enrol.member(seal, owner.name, "rehearsal custodian", (Role.CUSTODIAN,))
    act = Generate(
        subscriber=owner.name,
        key=KEY,
        scheme=scheme,
        approvers=(),
        quorum=0,
        rehearsal=True,
        tag_key_sha256=enrol.tag_key_digest(owner),
        expires_at=(seal.clock() + custody.LIFE_OF_AN_ACT).replace(microsecond=0),
    )
    pair = custody.generate(seal, act)
    certificate = authority.issue_code_signing(pair.public_key, "Rehearsal Subscriber", seal.clock())
    custody.certify(seal, pair, (certificate, authority.code_signing_issuer))
    rehearsal_papers.agree(seal, owner.name)
    subscribers.identify(seal, None, owner.name, NOBODY)
    identities.validate(seal, None, owner.name, IDENTITY, NOBODY)
    subscribers.activate(seal, None, owner.name, "Rehearsal.")
    gates.begin(seal)
    return member, administrator, operator, custodian


def _certify_client(seal: PrivySeal, member: Member, folder: Path) -> dict[str, str]:
    """Write certificates for service and client, register the client's; return what a profile says of them."""
    made = rehearsal_tls.create(seal.clock())
    folder.mkdir(mode=0o755)
    _put(folder / "ca.pem", made.authority, 0o644)
    for name, octets, mode in (
        ("server.pem", made.server, 0o644),
        ("server.key", made.server_key, 0o600),
        ("client.pem", made.client, 0o644),
        ("client.key", made.client_key, 0o600),
    ):
        _put(folder / name, octets, mode)
    (certificate,) = pem_certificates(made.client)
    enrol.client_certificate(seal, member, certificate)
    return {"ca": "tls/ca.pem", "client_certificate": "tls/client.pem", "client_key": "tls/client.key"}


def _write_files(
    directory: Path,
    authority: RehearsalAuthority,
    vkey: str,
    credentials: tuple[dict[str, str], ...],
    settings: config.Settings,
) -> None:
    now = datetime.now(UTC)
    (directory / "rehearsal-ca").mkdir(mode=0o700)
    _put(directory / "rehearsal-ca" / "ca.key", authority.private_pem(), 0o600)
    _put(directory / "ca.pem", authority.anchors_pem(), 0o644)
    _put(directory / "ca.crl", authority.crl(now, int(now.timestamp())), 0o644)
    url = f"{'https' if settings.tls else 'http'}://{settings.service.bind}"
    _put(directory / "log-policy", f"log {vkey} {url}/log\nquorum none\n".encode(), 0o644)
    people = ("a client", "an administrator", "an operator", "a key custodian")
    for name, who, credential in zip(PROFILES, people, credentials, strict=True):
        profile = {"url": url, "subscriber": SUBSCRIBER, "key": KEY} | credential
        profile |= {"trust": "ca.pem", "crl": "ca.crl", "log_policy": "log-policy", "rehearsal_anchors": "ca.pem"}
        head = f"# How {who} talks to this rehearsal service. What lets them in is secret: keep it to yourself.\n"
        _put(directory / name, (head + _toml(profile)).encode(), 0o600)
    service = {"name": settings.service.name, "affiliation": settings.service.affiliation.value}
    service |= {"bind": settings.service.bind}
    service |= {"operator": SUBSCRIBER}
    text = f"[service]\n{_toml(service)}rehearsal = true\n\n[records]\nurl = {json.dumps(settings.records.url)}\n"
    text += f"\n[log]\npublic = {json.dumps(settings.log.public)}\n"
    if settings.tls is not None:
        text += f"\n[tls]\n{_toml(msgspec.to_builtins(settings.tls))}"
    holds_secret = config.password_in(settings.records.url)
    _put(directory / config.FILE, text.encode(), 0o600 if holds_secret else 0o644)


def _toml(values: dict[str, str]) -> str:
    """Return TOML; its basic strings are written as JSON's are."""
    return "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in values.items())


def _put(path: Path, octets: bytes, mode: int) -> None:
    write_whole(path, octets)
    path.chmod(mode)


@contextmanager
def _opened(directory: Path, url: str, name: str) -> Iterator[PrivySeal]:
    """Open the new service in this one process: nobody serves it yet, and its rooms' locks are not ours to wait for."""
    rooms = {room: ROOMS[room](settings_of(directory, room).absolute(), wall_clock).room for room in ROOMS}  # type: ignore[arg-type]
    records = open_records(url)
    try:
        yield PrivySeal(
            SigningService(name, Affiliation.UNAFFILIATED, SUBSCRIBER),
            records,
            LoggerClient(rooms["logger"].handle),
            SignerClient(rooms["signer"].handle),
            StamperClient(rooms["stamper"].handle),
        )
    finally:
        records.close()
        for room in rooms.values():
            room.close()


@contextmanager
def fresh(directory: Path) -> Iterator[Path]:
    """Give an empty directory; whatever goes wrong in it, nothing of ours is left."""
    made = not directory.exists()
    try:
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise Misused(f"{directory} is not empty; nothing was changed.", hint="choose a directory that is")
    except (FileExistsError, NotADirectoryError) as error:
        raise Misused(f"{directory} is not a directory.") from error
    try:
        yield directory
    except BaseException:
        for name in os.listdir(directory):
            path = directory / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if made:
            directory.rmdir()
        raise
