"""What ``privyseal declare`` states of the Timestamp Authority: its CAs, and what no machine of ours watches."""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path
from typing import Any, get_args

import click
import msgspec

from privyseal.cli.connection import connect, service_options
from privyseal.cli.evidence import Day, state
from privyseal.cli.output import Command, json_option
from privyseal.cli.profile import read_whole
from privyseal.compliance.statements import Matter, require_sound
from privyseal.compliance.statements_of_timestamps import AuthorityWatched, TimestampCa, Watched
from privyseal.errors import BadInput
from privyseal.pki import bundle, certificates

LONGEST_NAME = 200
"""Characters of a CA's name that are stated."""


@click.command("timestamp-ca", cls=Command)
@click.argument("certificate", type=click.Path(path_type=Path))
@click.option("--operator", required=True, help="Who runs it: the organisation itself, or another CA.")
@click.option("--offline/--online", required=True, help="Whether its key is offline or air-gapped.")
@click.option("--zone/--no-zone", required=True, help="Whether its module is in a High Security Zone.")
@click.option("--module", required=True, metavar="SCHEME:NUMBER", help="Of the register, as `FIPS 140-2:4711`.")
@click.option("--ceremony", metavar="SHA256", help="Of the record of its key's ceremony, added as evidence before.")
@service_options
@json_option
def timestamp_ca(
    certificate: Path, operator: str, offline: bool, zone: bool, module: str, ceremony: str | None, **where: Any
) -> None:
    """Declare how a CA above the timestamp keys is kept, a root or a subordinate one (CSBR 6.2.7.2)."""
    found = bundle.read(read_whole(certificate, bundle.LARGEST))
    if len(found) != 1:
        raise BadInput(f"The file holds {len(found)} certificates; one was expected.", hint="declare each CA by itself")
    own = certificates.read(found[0])
    facts = {
        "certificate": hashlib.sha256(found[0]).hexdigest(),
        "subject": own.subject[:LONGEST_NAME],
        "root": own.subject == own.issuer,
        "issued": own.not_before,
        "until": own.not_after,
        "operator": operator,
        "offline": offline,
        "high_security_zone": zone,
        "module": module,
        "ceremony": ceremony,
    }
    _declare(facts, TimestampCa, **where)


@click.command(cls=Command)
@click.argument("what", type=click.Choice(get_args(Watched)))
@click.option("--start", type=Day(), required=True, help="The first day.")
@click.option("--end", type=Day(), required=True, help="The last day.")
@click.option("--events", type=click.IntRange(min=0), required=True, help="How many events there were.")
@click.option("--note", required=True, help="Where they are logged, and who looks at them.")
@click.option("--document", metavar="SHA256", help="Of the log or an extract, added as evidence before.")
@service_options
@json_option
def watched(what: str, start: date, end: date, events: int, note: str, document: str | None, **where: Any) -> None:
    """Declare that what no machine of ours sees of the Timestamp Authority is logged (CSBR 5.4.1.2).

    access: who logged in at its servers. premises: who came to them. tampering: attempts on the logs. network: what
    firewalls and routers did. revocations: of timestamp certificates.
    """
    facts = {"what": what, "start": start, "end": end, "events": events, "note": note, "document": document}
    _declare(facts, AuthorityWatched, **where)


def _declare(facts: dict[str, Any], kind: Any, **where: Any) -> None:
    try:
        matter: Matter = msgspec.convert(facts, kind)
    except msgspec.ValidationError as error:
        raise BadInput(f"{error}.") from error
    require_sound(matter)
    json_mode = where.pop("json_mode")
    state(connect(**where), matter, json_mode)
