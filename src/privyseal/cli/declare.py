"""``privyseal declare``: facts that only people know, stated by an administrator and fixed by the log."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import click
import msgspec

from privyseal.cli.connection import connect, service_options
from privyseal.cli.declare_timestamps import timestamp_ca, watched
from privyseal.cli.evidence import Day, state, told
from privyseal.cli.output import Command, JsonMode, Output, json_option
from privyseal.cli.profile import read_whole
from privyseal.cli.role import read_facts
from privyseal.compliance.modules import LARGEST_REGISTER, read_register
from privyseal.compliance.statements import (
    AuditPeriod,
    Choice,
    Matter,
    ModuleCertificate,
    Organisation,
    require_sound,
)
from privyseal.compliance.statements_of_backups import BackupAllowed, KeyCopied
from privyseal.errors import BadInput
from privyseal.web.views import KeyView


@click.group()
def declare() -> None:
    """State facts that only people know."""


@declare.command("audit-period", cls=Command)
@click.option("--scheme", required=True, help="Such as `WebTrust for Code Signing 3.7`.")
@click.option("--start", type=Day(), required=True, help="Its first day.")
@click.option("--end", type=Day(), required=True, help="Its last day.")
@click.option("--auditor", required=True, help="Who audits.")
@click.option("--report", metavar="SHA256", help="Of the report, added as evidence before.")
@click.option("--published", type=Day(), help="The day on which the report was made public.")
@click.option(
    "--of",
    "whose",
    type=click.Choice(["signing-service", "timestamp-authority"]),
    default="signing-service",
    help="Whose audit it is.  [default: signing-service]",
)
@service_options
@json_option
def audit_period(  # noqa: PLR0913 - each argument is an option of the command line
    scheme: str,
    start: date,
    end: date,
    auditor: str,
    report: str | None,
    published: date | None,
    whose: str,
    **where: Any,
) -> None:
    """Declare an audit period; one of the same party that starts on the same day takes its place."""
    facts: dict[str, object] = {"scheme": scheme, "start": start, "end": end, "auditor": auditor}
    facts |= {} if whose == "signing-service" else {"of": whose}
    _declare({**facts, "report": report, "published": published}, AuditPeriod, **where)


@declare.command(cls=Command)
@click.argument("facts", metavar="FACTS.toml", type=click.Path(path_type=Path))
@service_options
@json_option
def organisation(facts: Path, **where: Any) -> None:
    """Declare what the organisation is: the facts of `privyseal role`."""
    _state(Organisation(facts=read_facts(facts)), **where)


@declare.command(cls=Command)
@click.argument("requirement")
@click.argument("reading")
@click.option("--note", required=True, help="Why this reading.")
@service_options
@json_option
def reading(requirement: str, reading: str, note: str, **where: Any) -> None:
    """Declare which reading of a text that contradicts itself is followed."""
    _declare({"requirement": requirement, "reading": reading, "note": note}, Choice, **where)


@declare.command(cls=Command)
@click.argument("name")
@click.option("--scheme", required=True, help="Such as `FIPS 140-2 Level 3`.")
@click.option("--number", required=True, help="The certificate's number.")
@click.option("--valid-until", type=Day(), help="Its last day.")
@click.option("--document", metavar="SHA256", help="Of the certificate, added as evidence before.")
@service_options
@json_option
def module(name: str, scheme: str, number: str, valid_until: date | None, document: str | None, **where: Any) -> None:
    """Declare the certificate of a cryptographic module in which keys are kept."""
    facts = {"module": name, "scheme": scheme, "number": number, "valid_until": valid_until, "document": document}
    _declare(facts, ModuleCertificate, **where)


@declare.command(cls=Command)
@click.argument("register", metavar="REGISTER.toml", type=click.Path(path_type=Path))
@service_options
@json_option
def modules(
    register: Path, profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None
) -> None:
    """Declare all certificates of a register of modules, by which keys that a module attested are judged.

    Run again it states only what has changed, such as that a certificate became historical.
    """
    found = read_register(read_whole(register, LARGEST_REGISTER))
    if not found:
        raise BadInput("The register holds no module.", hint="expected tables [[module]]")
    service, output = connect(profile, url, subscriber), Output(json_mode)
    matters = [ModuleCertificate(module=e.name, scheme=e.scheme, number=e.number, validation=e) for e in found]
    stated = [told(service, each, output) for each in matters]
    output.result({"schema": "privyseal/statements/1", "statements": stated})


@declare.command(cls=Command)
@click.argument("key")
@click.option("--allowed/--forbidden", required=True, help="Whether its Private Key may be in a backup.")
@click.option("--note", required=True, help="Under which agreement, and who agreed for the Subscriber.")
@click.option("--document", metavar="SHA256", help="Of the signed paper, added as evidence before.")
@service_options
@json_option
# Each argument is an option of the command line.
def backup(  # noqa: PLR0913
    key: str,
    allowed: bool,
    note: str,
    document: str | None,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Declare whether a Key Pair of yours may be in a backup of the service (CSBR 6.1.2).

    Nothing said is no. Of a key in a token or a cloud no backup of ours has anything.
    """
    service = connect(profile, url, subscriber)
    key_id = service.get(service.path("keys", key)).read(KeyView).key_id
    matter = BackupAllowed(key=key, key_id=key_id, allowed=allowed, note=note, document=document)
    require_sound(matter)
    state(service, matter, json_mode)


@declare.command(cls=Command)
@click.argument("key_id", metavar="KEY-ID")
@click.option("--maker", required=True, help="Of the module that gets the copy, as in the register.")
@click.option("--model", required=True, help="As in the register.")
@click.option("--firmware", required=True, help="Its version.")
@click.option("--serial", required=True, help="Of this very module.")
@click.option("--note", required=True, help="By whom, and by which of the module's own means.")
@click.option("--document", metavar="SHA256", help="Of the ceremony's script, added as evidence before.")
@service_options
@json_option
def copy(  # noqa: PLR0913 - one argument for each option, as click has it
    key_id: str,
    maker: str,
    model: str,
    firmware: str,
    serial: str,
    note: str,
    document: str | None,
    **where: Any,
) -> None:
    """Declare that a key is copied by its module's own means into another one; do it afterwards.

    Refused where its Subscriber did not allow it, or the register of modules does not call that module sufficient.
    """
    module = {"maker": maker, "model": model, "firmware": firmware, "serial": serial}
    _declare({"key_id": key_id, "note": note, "document": document, **module}, KeyCopied, **where)


declare.add_command(timestamp_ca)
declare.add_command(watched)


def _declare(facts: Mapping[str, object], kind: type[Matter], **where: Any) -> None:
    try:
        matter = msgspec.convert(facts, kind)
    except msgspec.ValidationError as error:
        raise BadInput(f"{error}.") from error
    _state(matter, **where)


def _state(
    matter: Matter, profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None
) -> None:
    require_sound(matter)
    state(connect(profile, url, subscriber), matter, json_mode)
