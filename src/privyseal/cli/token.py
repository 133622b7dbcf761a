"""``privyseal token``: static tokens of machines, for where no platform vouches for a run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click
import msgspec

from privyseal.access.permissions import OF_MACHINES
from privyseal.cli.connection import connect, service_options
from privyseal.cli.output import Command, JsonMode, Output, fill, json_option, mark, printable
from privyseal.errors import Misused
from privyseal.signing.forms_of_parties import MOST_DAYS, NewToken
from privyseal.web.views_of_parties import TokenList, TokenOnce, TokenView

SINGLE = "a static token is a single factor: it does not meet CSBR 6.2.7.3, so no publicly trusted signature"
"""What is said with each static token."""


@click.group()
def token() -> None:
    """Give machines static tokens, list and revoke them."""


@token.command("new", cls=Command)
@click.option("--member", required=True, help="The machine; taken in if there is none of that name.")
@click.option("--label", default="", help="What it is for.")
@click.option("--key", default="", help="The one Key Pair it may use.")
@click.option("--policy", default="", help="The one policy it may use.")
@click.option("--verb", "verbs", multiple=True, type=click.Choice(OF_MACHINES), help="What it may do.  [default: all]")
@click.option("--days", type=click.IntRange(1, MOST_DAYS), default=1, help="How long it lives.  [default: 1]")
@service_options
@json_option
def new(json_mode: JsonMode | None, verbs: tuple[str, ...], **given: Any) -> None:
    """Give a machine a static token. It is put on stdout, once, and kept nowhere."""
    document = {field: given[field] for field in ("member", "label", "key", "policy", "days")}
    try:
        asked = msgspec.convert(document | {"verbs": verbs or OF_MACHINES}, NewToken)
    except msgspec.ValidationError as error:
        raise Misused(f"This is no token: {error}.") from None
    service = connect(given["profile"], given["url"], given["subscriber"])
    key = f"token-{datetime.now(UTC).timestamp()}"
    once = service.post(service.path("tokens"), msgspec.json.encode(asked), key).read(TokenOnce)
    output = Output(json_mode)
    output.say(f"{mark(True)} {once.about.id}", *_in_words(once.about), *fill("note", SINGLE))
    if json_mode is None:
        click.echo(once.token)
    output.result({"schema": "privyseal/token/1", "token": once.token, "about": once.about})


@token.command("list", cls=Command)
@service_options
@json_option
def list_tokens(profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None) -> None:
    """List static tokens: for whom, for what, until when, when last used."""
    service = connect(profile, url, subscriber)
    found, output = service.get(service.path("tokens")).read(TokenList).tokens, Output(json_mode)
    for each in found:
        output.say(f"{each.id}  {printable(each.label)}".rstrip(), *_in_words(each))
    output.result({"schema": "privyseal/tokens/1", "tokens": found})


@token.command("revoke", cls=Command)
@click.argument("token_id", metavar="ID")
@service_options
@json_option
def revoke(
    token_id: str, profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None
) -> None:
    """End a static token at once."""
    service = connect(profile, url, subscriber)
    service.ask("DELETE", service.path("tokens", token_id), None, {})
    output = Output(json_mode)
    output.say(f"{mark(True)} {printable(token_id)} is revoked")
    output.result({"schema": "privyseal/token-revoked/1", "id": token_id})


def _in_words(one: TokenView) -> list[str]:
    lines = fill("of", printable(one.member)) + fill("may", ", ".join(one.scope.verbs))
    lines += fill("key", printable(one.scope.key)) if one.scope.key else []
    lines += fill("policy", printable(one.scope.policy)) if one.scope.policy else []
    lines += fill("until", f"{one.expires:%Y-%m-%d %H:%M} UTC")
    return lines + fill("used", one.used or "never")
