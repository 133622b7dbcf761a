"""``privyseal incident``: report Suspect Code or a compromise, say what was done about it, ask what a date costs."""

from __future__ import annotations

import click
import msgspec

from privyseal.cli import impact as impacts
from privyseal.cli.client import Answer
from privyseal.cli.connection import connect, service_options
from privyseal.cli.output import Command, JsonMode, Output, fill, json_option, mark, printable
from privyseal.compliance.duty_facts import IncidentKind
from privyseal.compliance.incidents import Case
from privyseal.web.views_of_findings import CaseList, read_moment

_STEPS = ("founded", "unfounded", "ca-notified", "revocation-asked")


@click.group()
def incident() -> None:
    """Report Suspect Code or a compromise, and what was done."""


@incident.command("report", cls=Command)
@click.option("--kind", type=click.Choice([each.value for each in IncidentKind]), required=True)
@click.option("--text", required=True, help="What is wrong, in words.")
@click.option("--key", "keys", multiple=True, help="A Key Pair that is concerned.")
@click.option("--digest", "digests", multiple=True, help="Of a file, signature or content that is suspect, in hex.")
@click.option("--since", metavar="TIME", help="Since when, as 2026-11-25T10:00Z.")
@service_options
@json_option
# Each argument is an option of the command line.
def report(  # noqa: PLR0913
    kind: str,
    text: str,
    keys: tuple[str, ...],
    digests: tuple[str, ...],
    since: str | None,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Report it: the clocks run from the answer on."""
    said: dict[str, object] = {"kind": kind, "text": text, "keys": keys}
    said["digests"] = [each.rpartition(":")[2].lower() for each in digests]
    if since is not None:
        said["since"] = read_moment(since)
    service = connect(profile, url, subscriber)
    _one(service.post(service.path("incidents"), msgspec.json.encode(said), "incident-report"), json_mode)


@incident.command("list", cls=Command)
@service_options
@json_option
def list_incidents(profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None) -> None:
    """List the incidents, the newest first."""
    service = connect(profile, url, subscriber)
    body = service.get(service.path("incidents"))
    output = Output(json_mode)
    for each in body.read(CaseList).incidents:
        output.say(*_in_words(each))
    output.result({"schema": "privyseal/incidents/1", **msgspec.json.decode(body.body)})


@incident.command("show", cls=Command)
@click.argument("name", metavar="INCIDENT")
@service_options
@json_option
def show(name: str, profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None) -> None:
    """Show one incident."""
    service = connect(profile, url, subscriber)
    _one(service.get(service.path("incidents", name)), json_mode)


@incident.command("decide", cls=Command)
@click.argument("name", metavar="INCIDENT")
@click.argument("step", type=click.Choice(_STEPS))
@click.option("--note", default="", help="Why, or what was said.")
@click.option("--ca", default="", help="Which CA was told or asked, by its name as the incident has it.")
@service_options
@json_option
# Each argument is an option of the command line.
def decide(  # noqa: PLR0913
    name: str,
    step: str,
    note: str,
    ca: str,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Write down what was decided or done."""
    service = connect(profile, url, subscriber)
    document = msgspec.json.encode({"step": step, "note": note, "ca": ca})
    _one(service.post(service.path("incidents", name, "steps"), document, f"{step}-{name}"[:255]), json_mode)


@incident.command("close", cls=Command)
@click.argument("name", metavar="INCIDENT")
@service_options
@json_option
def close(name: str, profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None) -> None:
    """Close an incident of which it was decided what it is."""
    service = connect(profile, url, subscriber)
    document = msgspec.json.encode({"step": "closed"})
    _one(service.post(service.path("incidents", name, "steps"), document, f"closed-{name}"[:255]), json_mode)


@incident.command("impact", cls=Command)
@click.option("--certificate", required=True, help="Its SHA-256, in hex.")
@click.option("--date", required=True, metavar="TIME", help="As of when it would be revoked.")
@service_options
@json_option
# Each argument is an option of the command line.
def impact(
    certificate: str,
    date: str,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Say which released files die if a certificate is revoked as of a date, and which live on."""
    moment = read_moment(date)
    service = connect(profile, url, subscriber)
    impacts.tell(service, Output(json_mode), certificate, moment)


def _one(body: Answer, json_mode: JsonMode | None) -> None:
    output = Output(json_mode)
    output.say(*_in_words(body.read(Case)))
    output.result({"schema": "privyseal/incident/1", **msgspec.json.decode(body.body)})


def _in_words(case: Case) -> list[str]:
    state = "closed" if case.closed is not None else case.judged
    lines = [f"{mark(None)} {case.id}: {case.kind}, {state}", *fill("text", printable(case.text, 600))]
    lines += fill("reported", f"{case.reported_at:%Y-%m-%d %H:%M:%S} UTC by {printable(case.reported_by)}")
    if case.keys:
        lines += fill("keys", printable(", ".join(case.keys), 400))
    if case.requests:
        lines += fill("signed", f"{len(case.requests)} request(s), the first {case.requests[0]}")
    for ca in case.cas:
        told = next((each.at for each in case.notices if each.ca == ca), None)
        when = "NOT told yet" if told is None else f"told {told:%Y-%m-%d %H:%M} UTC"
        lines += fill("CA", f"{printable(ca)}: {when}")
    return lines
