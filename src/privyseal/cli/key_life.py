"""``privyseal key generate|enable|suspend|retire|destroy|limit|life``: what becomes of a key, proposed to people."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from privyseal.cli.connection import connect, service_options
from privyseal.cli.key_acts import in_words
from privyseal.cli.key_amend import read_approvers
from privyseal.cli.output import Command, JsonMode, Output, fill, json_option, mark, printable
from privyseal.errors import Misused
from privyseal.signing.forms_of_keys import ActShown, LifeList, LifeShown, NewAct, NewKey
from privyseal.terms.limits import UseLimits, read_window

_MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"])


def _limit_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--idle-days", type=int, help="It stops after so many days without a signature."),
        click.option("--signatures", type=int, help="It makes so many signatures, and not one more."),
        click.option("--window", "windows", multiple=True, help="It signs within these: 'mon-fri 08:00-18:00', UTC."),
        click.option("--until", type=_MOMENT, help="It signs nothing from then on, UTC."),
        click.option("--not-before", type=_MOMENT, help="It signs nothing before, UTC."),
    ):
        function = option(function)
    return function


def _reason_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--hours", type=int, default=168, show_default=True, help="How long people may agree; to 720."),
        click.option("--reason", required=True, help="Why, for the log."),
    ):
        function = option(function)
    return function


@click.command("generate", cls=Command)
@click.argument("name")
@click.option("--scheme", required=True, help="Such as rsa-3072 or ecdsa-p256.")
@click.option("--member", "members", multiple=True, metavar="NAME", help="Agrees by the passkeys they have enrolled.")
@click.option(
    "--approver",
    "files",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="A file with approvers as the page 'My approver key' shows them, JSON.",
)
@click.option("--quorum", type=int, default=0, show_default=True, help="How many of them must agree to a signature.")
@_limit_options
@_reason_options
@service_options
@json_option
def generate(name: str, json_mode: JsonMode | None, **given: Any) -> None:
    """Propose that a Key Pair is born inside the service's module.

    It is when the operators agreed: privyseal key agree ACT. It signs nothing before it was enabled.
    """
    people = tuple(one for file in given["files"] for one in read_approvers(file))
    fields = {"name": name, "approvers": msgspec.to_builtins(people)} | {
        each: given[each] for each in ("scheme", "members", "quorum", "reason", "hours")
    }
    limits = _limits(given)
    new = _made(NewKey, fields if limits is None else fields | {"limits": msgspec.to_builtins(limits)})
    service = connect(given["profile"], given["url"], given["subscriber"])
    body = service.post(service.path("lives"), msgspec.json.encode(new), _stamp("generate", name))
    _say(Output(json_mode), body.read(ActShown))


def _purpose(purpose: str, summary: str, detail: str, name: str = "") -> click.Command:
    """Make the command that proposes one thing."""

    def command(name: str, json_mode: JsonMode | None, **given: Any) -> None:
        _propose(purpose, name, given, json_mode)

    command.__doc__ = f"{summary}\n\n{detail}"
    for option in (json_option, service_options, _reason_options, click.argument("name")):
        command = option(command)
    return click.command(name or purpose, cls=Command)(command)


enable = _purpose(
    "enable",
    "Propose that a key signs: one that has its certificate, or that was suspended or retired.",
    "It does when the operators and the key's own approvers agreed: privyseal key agree ACT.",
)
"""``privyseal key enable``."""
resume = _purpose(
    "enable",
    "Propose that a suspended or retired key signs again; the same as `enable`.",
    "It does when the operators and the key's own approvers agreed: privyseal key agree ACT.",
    "resume",
)
"""``privyseal key resume``: ``enable`` by another name."""
suspend = _purpose(
    "suspend",
    "Stop a key at once.",
    "The signer stops as well with the first operator or approver who agrees. It takes all of them to resume it.",
)
"""``privyseal key suspend``."""
retire = _purpose(
    "retire",
    "Take a key out of use at once, for good.",
    "The signer stops as well with the first operator or approver who agrees.",
)
"""``privyseal key retire``."""
destroy = _purpose(
    "destroy",
    "Propose that a key is destroyed in its module, or give up the plan of one.",
    "It is when the operators and the key's own approvers agreed: privyseal key agree ACT. Nothing brings it back.",
)
"""``privyseal key destroy``."""


@click.command("limit", cls=Command)
@click.argument("name")
@click.option("--none", "nothing", is_flag=True, help="Take all limits away.")
@_limit_options
@_reason_options
@service_options
@json_option
def limit(name: str, nothing: bool, json_mode: JsonMode | None, **given: Any) -> None:
    """Propose when and how often a key signs, in place of what was agreed before.

    The signer keeps to it when the operators and the key's own approvers agreed: privyseal key agree ACT.
    """
    limits = _limits(given)
    if (limits is None) != nothing:
        raise Misused("Say what limits the key, or --none.", hint="privyseal key limit --help")
    _propose("limit", name, given | {"limits": limits}, json_mode)


@click.command("life", cls=Command)
@click.argument("name", required=False)
@service_options
@json_option
def life(
    name: str | None, profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None
) -> None:
    """Say how keys stand, also those that are planned or destroyed; of one key, what it was before."""
    service, output = connect(profile, url, subscriber), Output(json_mode)
    if name is None:
        body = service.get(service.path("lives"))
        for each in body.read(LifeList).lives:
            output.say(f"{printable(each.life.name):<24} {each.life.state:<10} since {_when(each.life.since)}")
        output.result({"schema": "privyseal/lives/1", **msgspec.json.decode(body.body)})
        return
    body = service.get(service.path("lives", name))
    one = body.read(LifeShown)
    output.say(f"Key Pair {printable(one.life.name)} is {one.life.state} since {_when(one.life.since)}")
    for change in one.history:
        output.say(f"  {_when(change.at)}  {change.becomes:<10} by {printable(change.by)}")
        output.say(*(fill("", printable(change.because, 200)) if change.because else ()))
    for waiting in one.waiting:
        output.say(f"{mark(None)} waits for people: privyseal key act {printable(waiting)}")
    output.result({"schema": "privyseal/life/1", **msgspec.json.decode(body.body)})


def _propose(purpose: str, name: str, given: dict[str, Any], json_mode: JsonMode | None) -> None:
    fields = {"purpose": purpose, "reason": given["reason"], "hours": given["hours"]}
    if given.get("limits") is not None:
        fields["limits"] = msgspec.to_builtins(given["limits"])
    new = _made(NewAct, fields)
    service = connect(given["profile"], given["url"], given["subscriber"])
    body = service.post(service.path("lives", name), msgspec.json.encode(new), _stamp(purpose, name))
    _say(Output(json_mode), body.read(ActShown))


def _say(output: Output, act: ActShown) -> None:
    output.say(*in_words(act))
    output.result({"schema": "privyseal/key-act/1", "act": msgspec.to_builtins(act)})


def _limits(given: dict[str, Any]) -> UseLimits | None:
    fields = {name: given[name] for name in ("signatures", "idle_days") if given[name] is not None}
    fields |= {name: given[name].replace(tzinfo=UTC) for name in ("not_before", "until") if given[name] is not None}
    if given["windows"]:
        fields["windows"] = [msgspec.to_builtins(read_window(each)) for each in given["windows"]]
    return _made(UseLimits, fields) if fields else None


def _made(kind: Any, fields: dict[str, Any]) -> Any:
    try:
        return msgspec.convert(fields, kind, builtin_types=(bytes, datetime))
    except msgspec.ValidationError as error:
        raise Misused(f"This cannot be proposed: {error}.") from None


def _stamp(purpose: str, name: str) -> str:
    return f"key-{purpose}-{name}-{datetime.now(UTC).timestamp()}"[:255]


def _when(time: datetime) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC")
