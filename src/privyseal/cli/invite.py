"""``privyseal invite``: the first way in, for who sits at the service's machine. Later administrators invite."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from privyseal import config
from privyseal.cli.output import Command, JsonMode, Output, json_option
from privyseal.errors import Misused
from privyseal.records import people as records
from privyseal.records import schema
from privyseal.signing import enrol, people
from privyseal.signing.instance import PrivySeal
from privyseal.terms.parties import Member, Role

_ROLES = [each.value for each in Role]


@click.command(cls=Command)
@click.argument("subscriber")
@click.argument("name")
@click.option("--dir", "directory", type=click.Path(path_type=Path), required=True, help="The service's directory.")
@click.option("--role", "roles", multiple=True, type=click.Choice(_ROLES), help="A role of a new member.")
@click.option("--login", metavar="NAME", help="By which name to sign in; else made of the member's.")
@json_option
# Each argument is an option of the command line.
def invite(
    subscriber: str, name: str, directory: Path, roles: tuple[str, ...], login: str | None, json_mode: JsonMode | None
) -> None:
    """Invite a member to sign in, at the service's machine.

    A member of that NAME is invited again, and its older invitation is over; where there is none, a new one is taken in
    with the roles given. The link is shown once, works once, and for three days.
    """
    settings = config.load(directory)
    seal = config.privy_seal(settings, directory, config.Sockets.under(directory / "run"))
    try:
        schema.require_fit(seal.records)
        member = _member(seal, subscriber, name, tuple(Role(each) for each in roles))
        chosen = login or "".join(c if c.isascii() and c.isalnum() else "." for c in name.lower()).strip(".")
        token = people.invite(seal, None, subscriber, member.id, chosen)
    finally:
        seal.records.close()
    address = settings.console.origin or _here(settings)
    link = f"{address}/console/welcome?invitation={token}"
    output = Output(json_mode)
    output.say(
        f"{member.name} of {subscriber} signs in as {chosen}@{subscriber}. Give them this link; it is shown only now:"
    )
    if json_mode is None:
        click.echo(link)
    output.result(msgspec.to_builtins({"member": member.id, "login": chosen, "link": link}))


def _member(seal: PrivySeal, subscriber: str, name: str, roles: tuple[Role, ...]) -> Member:
    with seal.records.reading(subscriber) as tx:
        known = records.members_named(tx, name)
    if len(known) > 1:
        raise Misused(f"{len(known)} members of {subscriber} are named {name!r}.", hint="have an administrator invite")
    if known and roles and set(known[0].roles) != set(roles):
        raise Misused(f"{name!r} is a member already, with other roles.", hint="leave --role out")
    if not known and not roles:
        raise Misused(f"No member of {subscriber} is named {name!r}.", hint="give a --role to take one in")
    return known[0] if known else enrol.member(seal, subscriber, name, roles, workload=False)


def _here(settings: config.Settings) -> str:
    """Return our address on this machine; passkeys need a name, not a number."""
    _, port = config.bind_address(settings.service.bind)
    return f"{'https' if settings.tls else 'http'}://localhost:{port}"
