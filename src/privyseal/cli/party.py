"""``privyseal party``: CAs, resellers and partners, for the operator's members."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

import click

from privyseal.cli.connection import connect, send, service_options
from privyseal.cli.output import Command, JsonMode, Output, fill, json_option, mark, printable
from privyseal.compliance.statements_of_parties import PartyStands
from privyseal.errors import Misused, NotFound
from privyseal.signing.forms_of_parties import NewParty, Party, due
from privyseal.web.views_of_parties import Link, PartyList

_KINDS: tuple[Literal["ca", "reseller", "partner"], ...] = ("ca", "reseller", "partner")
_TOLD: tuple[Literal["compromise", "suspect-code"], ...] = ("compromise", "suspect-code")


@click.group()
def party() -> None:
    """Keep CAs, resellers and partners."""


@party.command(cls=Command)
@click.argument("name")
@click.option("--kind", type=click.Choice(_KINDS), required=True, help="What it is to the service.")
@click.option("--display-name", required=True, help="What it is called.")
@click.option("--contract", default="", help="SHA-256 of the contract with it, from `evidence add`.")
@click.option("--audit-report", default="", help="SHA-256 of its newest audit report, from `evidence add`.")
@click.option("--report-to", default="", help="Of a CA: where it takes problem reports.")
@service_options
@json_option
def add(  # noqa: PLR0913 - each argument is an option of the command line
    name: str,
    kind: str,
    display_name: str,
    contract: str,
    audit_report: str,
    report_to: str,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Say how a party stands; said again it takes the place of what was said before."""
    service = connect(profile, url, subscriber)
    of_kind = next(each for each in _KINDS if each == kind)
    new = NewParty(
        name=name,
        kind=of_kind,
        display_name=display_name,
        contract=contract,
        audit_report=audit_report,
        report_to=report_to,
    )
    stands = send(service, "POST", new, "parties").read(PartyStands)
    output = Output(json_mode)
    output.say(f"{mark(True)} {stands.kind} {printable(stands.name)}: {printable(stands.display_name)}")
    output.result({"schema": "privyseal/party-added/1", "party": stands})


@party.command("list", cls=Command)
@service_options
@json_option
def list_parties(profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None) -> None:
    """List CAs, resellers and partners, with what each still lacks."""
    service, output = connect(profile, url, subscriber), Output(json_mode)
    found = service.get(service.path("parties")).read(PartyList).parties
    for each in found:
        lacks = [word for word, has in _papers(each) if not has]
        after = f"; lacks {' and '.join(lacks)}" if lacks else ""
        name, number = printable(each.stands.name), len(each.subscribers)
        output.say(f"{name:<24} {each.stands.kind:<9} {number} Subscriber(s){after}")
    output.result({"schema": "privyseal/parties/1", "parties": found})


@party.command(cls=Command)
@click.argument("name")
@service_options
@json_option
def show(name: str, profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None) -> None:
    """Show one party, its Subscribers, and what a CA is to be told until when."""
    service = connect(profile, url, subscriber)
    found = [each for each in service.get(service.path("parties")).read(PartyList).parties if each.stands.name == name]
    if not found:
        raise NotFound(f"There is no party named {printable(name)}.", hint="privyseal party list")
    _tell(found[0], json_mode)


@party.command(cls=Command)
@click.argument("name")
@click.argument("of", metavar="SUBSCRIBER")
@click.option("--tell", type=click.Choice(_TOLD), help="Start the 24 hours of this CA.")
@click.option("--known", type=click.DateTime(["%Y-%m-%dT%H:%M:%SZ"]), help="Since when, UTC.  [default: now]")
@click.option("--told", type=click.DateTime(["%Y-%m-%dT%H:%M:%SZ"]), help="When this CA was told, UTC.")
@service_options
@json_option
def link(  # noqa: PLR0913 - each argument is an option of the command line
    name: str,
    of: str,
    tell: str | None,
    known: datetime | None,
    told: datetime | None,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Say that a Subscriber came through a party, or what its CA is to be told of it, or was told."""
    if told is not None and tell is not None:
        raise Misused("A CA is to be told, or was told; not both at once.", hint="run it twice")
    service = connect(profile, url, subscriber)
    sent = Link(
        subscriber=of,
        tell=next((each for each in _TOLD if each == tell), None),
        known=None if known is None else known.replace(tzinfo=UTC),
        told=None if told is None else told.replace(tzinfo=UTC),
    )
    _tell(send(service, "POST", sent, "parties", name).read(Party), json_mode)


def _tell(found: Party, json_mode: JsonMode | None) -> None:
    output, stands = Output(json_mode), found.stands
    lines = [f"{stands.kind} {printable(stands.name)}: {printable(stands.display_name)}"]
    for word, has in _papers(found):
        lines += fill(word, f"{mark(bool(has))} {has or 'none is named'}")
    lines += fill("report to", printable(stands.report_to) or "not said") if stands.kind == "ca" else []
    lines += fill("of", printable(", ".join(found.subscribers)) or "no Subscriber")
    for each in found.to_tell:
        state = f"told {each.told:%Y-%m-%d %H:%MZ}" if each.told else f"TO TELL until {due(each):%Y-%m-%d %H:%MZ}"
        lines += fill(each.what, f"{printable(each.subscriber)}, known {each.known:%Y-%m-%d %H:%MZ}: {state}")
    output.say(*lines)
    output.result({"schema": "privyseal/party/1", "party": found})


def _papers(found: Party) -> tuple[tuple[str, str], ...]:
    return ("contract", found.stands.contract), ("audit report", found.stands.audit_report)
