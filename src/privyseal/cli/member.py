"""``privyseal member``: who is here, with which roles, who comes, who left, and who looked through them all."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

import click

from privyseal.cli.client import Service
from privyseal.cli.connection import connect, send, service_options
from privyseal.cli.evidence import Day
from privyseal.cli.output import Command, JsonMode, Output, fill, json_option, mark, printable
from privyseal.compliance.statements_of_parties import AccountsReviewed, Left
from privyseal.errors import Misused, NotFound
from privyseal.signing.forms_of_parties import AccountList, NewMember, Reviewed
from privyseal.terms.parties import Account, Member, Role
from privyseal.web.views_of_parties import Leaving, Roles

_ROLE = click.Choice([role.value for role in Role])


@click.group()
def member() -> None:
    """Say who is here, who comes and who left."""


@member.command(cls=Command)
@click.argument("name")
@click.option("--role", "roles", multiple=True, type=_ROLE, required=True, help="What they may do; once for each role.")
@click.option("--person/--workload", "person", default=None, help="A person, or a machine (CSBR 6.2.7.3).")
@click.option("--until", type=Day(), help="The first day on which they come in no more, such as an auditor.")
@service_options
@json_option
def add(  # noqa: PLR0913 - each argument is an option of the command line
    name: str,
    roles: tuple[str, ...],
    person: bool | None,
    until: date | None,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Take in a person or a machine."""
    if person is None:
        raise Misused("Whether this is a person or a machine is not said.", hint="--person or --workload")
    service = connect(profile, url, subscriber)
    end = None if until is None else datetime.combine(until, time(), UTC)
    new = NewMember(name=name, roles=tuple(map(Role, roles)), workload=not person, until=end)
    taken = send(service, "POST", new, "members").read(Member)
    output = Output(json_mode)
    output.say(f"{mark(True)} {printable(taken.name)} is {taken.id}: {', '.join(taken.roles)}")
    output.result({"schema": "privyseal/member/1", "member": taken})


@member.command("list", cls=Command)
@click.option("--all", "everything", is_flag=True, help="Show also who left.")
@service_options
@json_option
def list_members(
    everything: bool, profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None
) -> None:
    """List the accounts, with roles, factors, and the last thing each did that is kept."""
    found = _accounts(connect(profile, url, subscriber))
    output = Output(json_mode)
    output.say(*(_line(each) for each in found.accounts if everything or each.ended is None))
    output.result({"schema": "privyseal/members/1", "accounts": found.accounts, "sha256": found.sha256})


@member.command(cls=Command)
@click.argument("name")
@service_options
@json_option
def show(name: str, profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None) -> None:
    """Show one account, by the member's name or id."""
    accounts = _accounts(connect(profile, url, subscriber)).accounts
    found = [each for each in accounts if name in (each.member.id, each.member.name)]
    if len(found) != 1:
        raise NotFound(f"There are {len(found)} members called {printable(name)}.", hint="privyseal member list --all")
    one, output = found[0], Output(json_mode)
    lines = [printable(one.member.name), *fill("id", one.member.id), *fill("is", _what(one.member))]
    lines += [*fill("roles", ", ".join(one.member.roles) or "none"), *fill("by", ", ".join(one.factors) or "nothing")]
    lines += [*fill("last act", _when(one.last_act)), *fill("left", _when(one.ended))]
    output.say(*lines)
    output.result({"schema": "privyseal/account/1", "account": one})


@member.command(cls=Command)
@click.argument("name")
@click.option(
    "--role", "names", multiple=True, type=_ROLE, help="All roles that they are to have; none takes all away."
)
@service_options
@json_option
def roles(
    name: str,
    names: tuple[str, ...],
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Give a member these roles and no others; nobody changes their own."""
    service = connect(profile, url, subscriber)
    changed = send(service, "PATCH", Roles(roles=tuple(map(Role, names))), "members", name).read(Member)
    output = Output(json_mode)
    output.say(f"{mark(True)} {printable(changed.name)}: {', '.join(changed.roles) or 'no role'}")
    output.result({"schema": "privyseal/member/1", "member": changed})


@member.command(cls=Command)
@click.argument("name")
@click.option("--on", "on", type=Day(), help="The day on which they left.  [default: now]")
@service_options
@json_option
def leave(
    name: str,
    on: date | None,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """End every credential and session of somebody who left, at once (NSR 2.2.1.3: within 24 hours)."""
    service = connect(profile, url, subscriber)
    now = datetime.now(UTC).replace(microsecond=0)
    left = now if on is None else datetime.combine(on, time(), UTC)
    gone = send(service, "DELETE", Leaving(left=left), "members", name).read(Left)
    hours = (gone.ended - gone.left).total_seconds() / 3600
    output = Output(json_mode)
    output.say(f"{mark(hours <= 24)} {gone.member} comes in no more, {hours:.0f} h after leaving; 24 h are allowed")
    output.result({"schema": "privyseal/left/1", "left": gone})


@member.command(cls=Command)
@click.option("--reviewer", help="The person who looked through the accounts; without it they are only listed.")
@click.option("--list", "sha256", help="The digest that the list ended with, to say that it is this list.")
@click.option("--note", default="", help="What was decided.")
@service_options
@json_option
def review(  # noqa: PLR0913 - each argument is an option of the command line
    reviewer: str | None,
    sha256: str | None,
    note: str,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """List all accounts to be looked through, and say who did (NSR 2.2.1.4: every three months)."""
    service, output = connect(profile, url, subscriber), Output(json_mode)
    if reviewer is None:
        found = _accounts(service)
        output.say(*map(_line, found.accounts), f"privyseal member review --reviewer NAME --list {found.sha256}")
        output.result({"schema": "privyseal/members/1", "accounts": found.accounts, "sha256": found.sha256})
        return
    if sha256 is None:
        raise Misused("Which list was looked through is not said.", hint="privyseal member review ends with it")
    done = send(service, "POST", Reviewed(reviewer=reviewer, sha256=sha256, note=note), "members", "reviews")
    reviewed = done.read(AccountsReviewed)
    output.say(f"{mark(True)} {printable(reviewer)} looked through {reviewed.accounts} accounts on {reviewed.on}")
    output.result({"schema": "privyseal/accounts-reviewed/1", "review": reviewed})


def _accounts(service: Service) -> AccountList:
    return service.get(service.path("members")).read(AccountList)


def _line(each: Account) -> str:
    state = "left" if each.ended is not None else _what(each.member)
    factors = ", ".join(each.factors) or "no way in"
    return (
        f"{each.member.id}  {state:<9} {printable(each.member.name):<28} {', '.join(each.member.roles) or 'no role'};"
        f" {factors}; last act {_when(each.last_act)}"
    )


def _what(one: Member) -> str:
    return {True: "machine", False: "person", None: "not said"}[one.workload]


def _when(at: datetime | None) -> str:
    return "never" if at is None else at.strftime("%Y-%m-%d %H:%M UTC")
