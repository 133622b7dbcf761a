"""``privyseal key``: the Key Pairs that the service keeps for a Subscriber."""

from __future__ import annotations

from datetime import datetime

import click
import msgspec

from privyseal.cli.connection import connect, service_options
from privyseal.cli.key_acts import act, acts, agree, withdraw
from privyseal.cli.key_amend import amend
from privyseal.cli.key_attestation import verify_attestation
from privyseal.cli.key_ceremony import ceremony
from privyseal.cli.key_csr import csr_command
from privyseal.cli.key_evidence import attest, evidence
from privyseal.cli.key_health import health
from privyseal.cli.key_life import destroy, enable, generate, life, limit, resume, retire, suspend
from privyseal.cli.key_reconcile import reconcile
from privyseal.cli.output import Command, JsonMode, Output, fill, json_option, printable
from privyseal.signing.forms_of_keys import LifeList, LifeShown
from privyseal.terms.limits import in_words as limits_in_words
from privyseal.web.views import KeyList, KeyView


@click.group()
def key() -> None:
    """List, show, amend and certify Key Pairs."""


@key.command("list", cls=Command)
@service_options
@json_option
def list_keys(profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None) -> None:
    """List the Subscriber's Key Pairs."""
    service = connect(profile, url, subscriber)
    body = service.get(service.path("keys"))
    output = Output(json_mode)
    lives = service.get(service.path("lives")).read(LifeList).lives
    states = {each.life.name: each.life.state for each in lives}
    for each in body.read(KeyList).keys:
        state = f"{states.get(each.name, 'unknown')}{', frozen' if each.frozen else ''}"
        what = "rehearsal, " if each.rehearsal else ""
        certificates = f"{what}{len(each.certificates)} certificate(s)"
        output.say(f"{printable(each.name):<24} {each.scheme:<11} {state:<18} {certificates}")
    output.result(msgspec.json.decode(body.body))


@key.command("show", cls=Command)
@click.argument("name")
@service_options
@json_option
def show_key(
    name: str, profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None
) -> None:
    """Show one Key Pair and its certificates."""
    service = connect(profile, url, subscriber)
    body = service.get(service.path("keys", name))
    one = body.read(KeyView)
    output = Output(json_mode)
    guard = one.protection
    lines = [f"Key Pair {printable(one.name)}", *fill("scheme", one.scheme), *fill("key id", one.key_id)]
    lines += fill("kept in", f"{guard.store} ({guard.assurance}{', rehearsal only' if one.rehearsal else ''})")
    lines += fill("born", _when(one.born) + (" inside the key store" if guard.generated_inside else ""))
    lines += fill("asks for", f"{one.quorum} approval(s)" + ("; FROZEN" if one.frozen else ""))
    stands = service.get(service.path("lives", name)).read(LifeShown)
    lines += fill("stands", f"{stands.life.state} since {_when(stands.life.since)}")
    for limited in limits_in_words(one.limits):
        lines += fill("limit", limited)
    lines += fill("log tag", one.key_tag)
    for each in one.certificates:
        lines += fill("cert", f"{each.fingerprint} until {_when(each.not_after)}")
    output.say(*lines)
    output.result(msgspec.json.decode(body.body))


key.add_command(amend)
key.add_command(csr_command)
key.add_command(attest)
key.add_command(evidence)
key.add_command(verify_attestation)
key.add_command(reconcile)
for _each in (
    generate,
    enable,
    resume,
    suspend,
    retire,
    destroy,
    limit,
    life,
    acts,
    act,
    agree,
    withdraw,
    ceremony,
    health,
):
    key.add_command(_each)


def _when(time: datetime) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC")
