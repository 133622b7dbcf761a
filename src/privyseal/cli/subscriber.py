"""``privyseal subscriber``: take in Subscribers, say how they stand, stop them; for the operator's members."""

from __future__ import annotations

import click

from privyseal.cli.client import Service
from privyseal.cli.connection import connect, send, service_options
from privyseal.cli.output import Command, JsonMode, Output, fill, json_option, mark, printable
from privyseal.cli.subscriber_identity import identity
from privyseal.errors import Misused
from privyseal.signing.forms_of_parties import Enrolled
from privyseal.terms.subscribers import STEPS, Standing
from privyseal.web.views_of_parties import Change, NewSubscriber, SubscriberList, TakenIn


@click.group()
def subscriber() -> None:
    """Take in Subscribers, and say how they stand."""


@subscriber.command(cls=Command)
@click.argument("name")
@click.option("--display-name", required=True, help="What the organisation is called.")
@click.option("--administrator", required=True, help="Who administers it first.")
@service_options
@json_option
def add(  # noqa: PLR0913 - each argument is an option of the command line
    name: str,
    display_name: str,
    administrator: str,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Take in a Subscriber with its first administrator, whose token is shown this once."""
    service = connect(profile, url, subscriber)
    new = NewSubscriber(name=name, display_name=display_name, administrator=administrator)
    taken = send(service, "POST", new, "subscribers").read(TakenIn)
    output = Output(json_mode)
    output.say(f"{mark(True)} {printable(name)} is enrolling", *_steps(taken.subscriber))
    output.say(f"The first administrator's token, good for a day: {taken.token}")
    output.result({"schema": "privyseal/subscriber-added/1", "added": taken})


@subscriber.command("list", cls=Command)
@service_options
@json_option
def list_subscribers(profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None) -> None:
    """List all Subscribers with how each stands."""
    service = connect(profile, url, subscriber)
    found = service.get(service.path("subscribers")).read(SubscriberList).subscribers
    output = Output(json_mode)
    for each in found:
        missing = [step.value for step, words in each.steps.items() if words]
        after = f"  missing: {', '.join(missing)}" if missing else ""
        output.say(f"{each.name:<24} {each.standing:<10} {printable(each.display_name)}{after}")
    output.result({"schema": "privyseal/subscribers/1", "subscribers": found})


@subscriber.command(cls=Command)
@click.argument("name")
@service_options
@json_option
def show(name: str, profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None) -> None:
    """Show how a Subscriber stands, and what its enrolment still lacks; members may ask about their own."""
    service = connect(profile, url, subscriber)
    _tell(service.get(service.path("subscribers", name)).read(Enrolled), json_mode)


@subscriber.command(cls=Command)
@click.argument("name")
@click.option("--because", required=True, help="Why; it stands in the records and in the log.")
@service_options
@json_option
def suspend(
    name: str,
    because: str,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Let nothing be signed for a Subscriber until it is resumed."""
    _change(connect(profile, url, subscriber), name, Change(becomes=Standing.SUSPENDED, because=because), json_mode)


@subscriber.command(cls=Command)
@click.argument("name")
@click.option("--identity", default="", help="How its identity was held against the CA's record; the first step.")
@click.option("--because", default="", help="Why it may sign, or sign again.")
@click.option("--only-identity", is_flag=True, help="Write down the identity and leave it as it stands.")
@service_options
@json_option
def resume(  # noqa: PLR0913 - each argument is an option of the command line
    name: str,
    identity: str,
    because: str,
    only_identity: bool,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Let a Subscriber sign, for the first time or again: all four steps must be done."""
    if only_identity and not identity:
        raise Misused("How the identity was checked is not said.", hint="--identity TEXT")
    becomes = None if only_identity else Standing.ACTIVE
    change = Change(becomes=becomes, because=because, identity=identity)
    _change(connect(profile, url, subscriber), name, change, json_mode)


@subscriber.command(cls=Command)
@click.argument("name")
@click.option("--because", required=True, help="Why; it stands in the records and in the log.")
@click.option("--yes", is_flag=True, help="Closing is final: say that it is meant.")
@service_options
@json_option
def close(  # noqa: PLR0913 - each argument is an option of the command line
    name: str,
    because: str,
    yes: bool,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Let nothing be signed for a Subscriber ever again; its records are kept."""
    if not yes:
        raise Misused("Closing a Subscriber is final; nothing was changed.", hint="say --yes if it is meant")
    _change(connect(profile, url, subscriber), name, Change(becomes=Standing.CLOSED, because=because), json_mode)


subscriber.add_command(identity)


def _change(service: Service, name: str, change: Change, json_mode: JsonMode | None) -> None:
    _tell(send(service, "PATCH", change, "subscribers", name).read(Enrolled), json_mode)


def _tell(found: Enrolled, json_mode: JsonMode | None) -> None:
    output = Output(json_mode)
    output.say(f"{printable(found.name)} ({printable(found.display_name)}) is {found.standing}", *_steps(found))
    output.result({"schema": "privyseal/subscriber/1", "subscriber": found})


def _steps(found: Enrolled) -> list[str]:
    lines = []
    for step, missing in found.steps.items():
        lines += fill(step.value, f"{mark(not missing)} {missing or STEPS[step]}")
    return lines
