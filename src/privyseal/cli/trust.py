"""``privyseal trust``: whose runs act as which member, and why a run is not let in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from privyseal.access import platforms, signed_tokens, trust
from privyseal.access.platforms import PLATFORMS
from privyseal.access.trust import NewRule, TrustRule
from privyseal.cli.connection import connect, service_options
from privyseal.cli.identity import table
from privyseal.cli.output import Command, JsonMode, Output, fill, json_option, mark, printable, shown_path
from privyseal.errors import BadInput, ClaimMismatch, Misused, NotAuthenticated
from privyseal.web.views_of_parties import RuleList, RuleView

OPTIONS = {
    "repository_id": ("github", "repository_id"),
    "owner_id": ("github", "repository_owner_id"),
    "workflow": ("github", "workflow_file"),
    "event": ("github", "event_name"),
    "project_id": ("gitlab", "project_id"),
    "namespace_id": ("gitlab", "namespace_id"),
    "ref_protected": ("gitlab", "ref_protected"),
    "environment": ("", "environment"),
    "ref": ("", "ref"),
}
"""Option -> the platform that it is for, empty for several, and the claim; all others are given by ``--where``."""


@click.group(name="trust")
def trust_group() -> None:
    """Say whose runs act as which member, with no stored secret."""


@trust_group.command("add", cls=Command)
@click.argument("platform", type=click.Choice(list(PLATFORMS)))
@click.argument("name")
@click.option("--member", required=True, help="The machine as which they act; taken in if there is none of that name.")
@click.option("--policy", default="", help="The policy that their tokens are for.")
@click.option("--repository-id", help="GitHub: the repository's number.")
@click.option("--owner-id", help="GitHub: the number of its owner.")
@click.option("--workflow", help="GitHub: the workflow's file, such as release.yml.")
@click.option("--event", help="GitHub: what starts it, such as push.")
@click.option("--project-id", help="GitLab: the project's number.")
@click.option("--namespace-id", help="GitLab: the number of its group.")
@click.option("--ref-protected", help="GitLab: true, where only protected refs count.")
@click.option("--environment", help="The environment that the job names.")
@click.option("--ref", help="Branch or tag, such as refs/tags/v*.")
@click.option("--where", multiple=True, metavar="CLAIM=VALUE", help="Any claim of the platform, by its own name.")
@click.option("--issuer", default="", help="The platform's own installation, as serve.toml names it.")
@click.option("--exchanges", type=int, default=1, help="How often one identity token may be exchanged.  [default: 1]")
@service_options
@json_option
def add(platform: str, name: str, where: tuple[str, ...], json_mode: JsonMode | None, **given: Any) -> None:
    """Trust the runs with these claims.

    \b
    privyseal trust add github acme/app --repository-id 1296269 --owner-id 583231 \\
        --workflow release.yml --environment release --member release-bot
    """
    document = {
        "platform": platform,
        "name": name,
        "conditions": _conditions(platform, where, given),
        **{field: given[field] for field in ("member", "policy", "issuer", "exchanges")},
    }
    try:
        new = msgspec.convert(document, NewRule)
    except msgspec.ValidationError as error:
        raise Misused(f"This is no trust rule: {error}.") from None
    trust.require_narrow(new)
    service = connect(given["profile"], given["url"], given["subscriber"])
    body = service.post(service.path("trust"), msgspec.json.encode(new), f"trust-{datetime.now(UTC).timestamp()}")
    rule, output = body.read(RuleView), Output(json_mode)
    output.say(f"{mark(True)} {rule.id} is added", *_in_words(rule))
    output.result({"schema": "privyseal/trust-rule/1", "rule": rule})


@trust_group.command("list", cls=Command)
@service_options
@json_option
def list_rules(profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None) -> None:
    """List the trust rules."""
    output, found = Output(json_mode), _rules(profile, url, subscriber)
    for rule in found:
        output.say(f"{rule.id}  {rule.platform}  {printable(rule.name)}", *_in_words(rule))
    output.result({"schema": "privyseal/trust-rules/1", "rules": found})


@trust_group.command("show", cls=Command)
@click.argument("rule_id", metavar="ID")
@service_options
@json_option
def show(
    rule_id: str, profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None
) -> None:
    """Show one trust rule."""
    service = connect(profile, url, subscriber)
    rule = service.get(service.path("trust", rule_id)).read(RuleView)
    output = Output(json_mode)
    output.say(f"{rule.id}  {rule.platform}  {printable(rule.name)}", *_in_words(rule))
    output.result({"schema": "privyseal/trust-rule/1", "rule": rule})


@trust_group.command("remove", cls=Command)
@click.argument("rule_id", metavar="ID")
@service_options
@json_option
def remove(
    rule_id: str, profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None
) -> None:
    """Trust those runs no longer; tokens that they were given end at once."""
    service = connect(profile, url, subscriber)
    service.ask("DELETE", service.path("trust", rule_id), None, {})
    output = Output(json_mode)
    output.say(f"{mark(True)} {printable(rule_id)} is removed")
    output.result({"schema": "privyseal/trust-removed/1", "id": rule_id})


@trust_group.command("test", cls=Command)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--rule", "rule_id", help="Compare with this rule only.")
@service_options
@json_option
def test(
    file: Path,
    rule_id: str | None,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> int:
    """Compare an identity token, or its claims as JSON, with the trust rules.

    The token stays on this machine, and its signature is not checked: this explains, it lets nobody in.
    """
    claims, issuer = _claims(file)
    rules = [rule for rule in _rules(profile, url, subscriber) if rule_id in (None, rule.id)]
    output, compared = Output(json_mode), []
    for view in rules:
        found = trust.compare(_rule(view), claims)
        good = view.issuer == issuer and all(each.same for each in found)
        compared.append({"rule": view.id, "trusted": good, "issuer": view.issuer, "compared": found})
        error = ClaimMismatch("")
        error.compared = tuple((each.claim, each.came, each.expected, each.same) for each in found)
        wrong = [] if view.issuer == issuer else fill("issuer", f"{printable(issuer)}; {view.issuer} was expected")
        output.say(f"{mark(good)} {view.id}  {printable(view.name)}", *wrong, *table(error))
    output.result({"schema": "privyseal/trust-test/1", "issuer": issuer, "rules": compared})
    if any(each["trusted"] for each in compared):
        return 0
    output.warn(f"{mark(False)} None of {len(compared)} trust rules lets this run in. Do not copy what came into one.")
    return ClaimMismatch.exit


def _conditions(platform: str, where: Sequence[str], given: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for option, (of, claim) in OPTIONS.items():
        value = given[option]
        if value is not None:
            if of not in ("", platform):
                raise Misused(f"--{option.replace('_', '-')} is for {PLATFORMS[of].title}.", hint="use --where")
            found[claim] = value
    for each in where:
        claim, equals, value = each.partition("=")
        if not equals or claim in found:
            raise Misused(f"--where {printable(each)} is not CLAIM=VALUE, or its claim is given twice.")
        found[claim] = value
    return found


def _rules(profile: str | None, url: str | None, subscriber: str | None) -> tuple[RuleView, ...]:
    service = connect(profile, url, subscriber)
    return service.get(service.path("trust")).read(RuleList).rules


def _claims(path: Path) -> tuple[dict[str, str], str]:
    with path.open("rb") as file:
        octets = file.read(signed_tokens.LARGEST_TOKEN + 1).strip()
    if octets.startswith(b"{"):
        try:
            document = msgspec.json.decode(octets)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise BadInput(f"{shown_path(path)} is not JSON.") from None
        token = signed_tokens.Unread({}, document, b"", b"")
    else:
        try:
            token = signed_tokens.read(octets)
        except NotAuthenticated as error:
            raise BadInput(f"{shown_path(path)}: {error.detail}") from None
    return platforms.flat(token.claims), token.issuer


def _rule(view: RuleView) -> TrustRule:
    return TrustRule(
        id=view.id,
        member=view.member,
        platform=view.platform,
        issuer=view.issuer,
        name=view.name,
        conditions=tuple(view.conditions.items()),
        policy=view.policy,
        exchanges=view.exchanges,
    )


def _in_words(rule: RuleView) -> list[str]:
    lines = fill("from", printable(rule.issuer))
    for claim, value in rule.conditions.items():
        lines += fill("where", printable(f"{claim} = {value}"))
    lines += fill("acts as", printable(rule.member))
    if rule.policy:
        lines += fill("policy", printable(rule.policy))
    if rule.exchanges > 1:
        lines += fill("note", f"one identity token may be exchanged {rule.exchanges} times")
    return lines
