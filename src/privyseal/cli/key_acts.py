"""``privyseal key acts|act|agree|withdraw``: acts on keys that wait for people, looked at and agreed to.

As with ``privyseal approve``, what is shown and what is signed comes out of the canonical octets alone, and the digest
is computed on this machine.
"""

from __future__ import annotations

from pathlib import Path

import click
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privyseal.access.quorum import Waiting
from privyseal.cli import consent, own_key
from privyseal.cli.connection import connect, service_options
from privyseal.cli.output import Command, JsonMode, Output, fill, json_option, mark, printable
from privyseal.errors import BadInput, Denied, Misused, NotPermitted, VerificationFailed
from privyseal.pki import names
from privyseal.signing.forms_of_keys import ActList, ActShown, Side
from privyseal.strongroom.acts import Act, Amend, Generate, RequestCertificate, act_digest, decode_act
from privyseal.strongroom.approvals import tally
from privyseal.terms.keys import Approver
from privyseal.terms.limits import UseLimits
from privyseal.terms.limits import in_words as limits_in_words
from privyseal.terms.requests import Approval, approved_octets

_VERBS = {
    "generate": "a key is born in the module",
    "amend": "the key's charter changes",
    "freeze": "the signer signs nothing with it",
    "unfreeze": "the signer signs with it again",
    "destroy": "the key is destroyed in its module, for good",
    "request-certificate": "a request for a certificate is signed with it, and nothing else",
}


@click.command("acts", cls=Command)
@service_options
@json_option
def acts(profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None) -> None:
    """List the acts that were proposed for keys, the newest first, and for whom each waits."""
    service, output = connect(profile, url, subscriber), Output(json_mode)
    found = service.get(service.path("key-acts")).read(ActList).acts
    for each in found:
        whom = printable(", ".join(name for side in each.sides for name in side.waiting_for), 200)
        output.say(f"{printable(each.id):<27} {each.state:<9} {each.purpose:<9} {printable(each.key):<20} {whom}")
    output.result({"schema": "privyseal/key-acts/1", "acts": msgspec.to_builtins(found)})


@click.command("act", cls=Command)
@click.argument("act_id", metavar="ACT")
@service_options
@json_option
def act(act_id: str, profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None) -> None:
    """Show an act: what it does, who agreed, and whom it waits for."""
    service, output = connect(profile, url, subscriber), Output(json_mode)
    seen = service.get(service.path("key-acts", act_id)).read(ActShown)
    output.say(*in_words(seen))
    output.result({"schema": "privyseal/key-act/1", "act": msgspec.to_builtins(seen)})


@click.command("agree", cls=Command)
@click.argument("act_id", metavar="ACT")
@click.option(
    "--identity-key",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="PRIVYSEAL_IDENTITY_KEY",
    help="Your Ed25519 private key, PEM, that only you can read.",
)
@click.option("--yes", is_flag=True, help="Agree without being asked; what is agreed to is shown all the same.")
@service_options
@json_option
def agree(  # noqa: PLR0913 - one argument for each option, as click has it
    act_id: str,
    identity_key: Path | None,
    yes: bool,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Look at an act on a key, and agree to it with your own key, as an operator or as an approver of the key.

    With the last agreement it is carried out.
    """
    if identity_key is None:
        raise Misused("With which key do you agree?", hint="--identity-key FILE; a passkey agrees at /console/keys")
    private = own_key.read(identity_key)
    service, output = connect(profile, url, subscriber), Output(json_mode)
    seen = service.get(service.path("key-acts", act_id)).read(ActShown)
    output.warn(*in_words(seen))
    mine = _mine(seen, private)
    names = printable(" and ".join(dict.fromkeys(each.approver for each in mine)), 200)
    if not yes and not consent.given(names):
        raise Denied("You did not agree; nothing was sent.", hint="to take it back: privyseal key withdraw")
    for each in mine:
        path = service.path("key-acts", act_id, "agreements")
        seen = service.post(path, msgspec.json.encode(each), f"{seen.digest}{each.stage}{each.approver}"[:255]).read(
            ActShown
        )
    output.say(f"{mark(True)} {names} agrees; act {printable(seen.id)} is {seen.state}.")
    output.result({"schema": "privyseal/key-act/1", "act": msgspec.to_builtins(seen)})


@click.command("withdraw", cls=Command)
@click.argument("act_id", metavar="ACT")
@service_options
@json_option
def withdraw(
    act_id: str, profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None
) -> None:
    """Take a proposed act back; what it stopped stays stopped."""
    service, output = connect(profile, url, subscriber), Output(json_mode)
    seen = service.ask("DELETE", service.path("key-acts", act_id), None, {}).read(ActShown)
    output.say(f"{mark(True)} Act {printable(seen.id)} is {seen.state}.")
    output.result({"schema": "privyseal/key-act/1", "act": msgspec.to_builtins(seen)})


def read(seen: ActShown) -> Act:
    """Read an act out of the octets that came, and hold its digest against the one computed here."""
    try:
        found = decode_act(seen.act)
    except BadInput as error:
        raise VerificationFailed(f"The service showed an act that cannot be read: {error.detail}") from error
    if act_digest(seen.act).hex() != seen.digest:
        raise VerificationFailed(
            "The digest that the service names is not that of the act it shows; nothing was signed.",
            hint="tell the security officer: somebody may be swapping acts",
        )
    return found


def in_words(seen: ActShown) -> list[str]:
    """Return what an act does, as people read it before they agree: out of its octets, not of what stands beside."""
    found = read(seen)
    verb = str(type(found).__struct_config__.tag)
    lines = [f"Act {printable(seen.id)} ({seen.state}), proposed to {seen.purpose} {printable(seen.key)}"]
    lines += fill("does", f"{verb}: {_VERBS.get(verb, verb)}")
    if isinstance(found, Generate):
        born = "rehearsal only" if found.rehearsal else "it signs nothing before it was enabled"
        lines += fill("key", printable(f"{found.subscriber}/{found.key}, {found.scheme}; {born}", 200))
    else:
        lines += fill("key id", f"{printable(found.key_id)}")
    if isinstance(found, Generate | Amend):
        people = printable(", ".join(f"{each.name} ({each.role})" for each in found.approvers), 600) or "nobody"
        lines += fill("approvers", f"{found.quorum} of {people}")
        limits = found.limits
        said = limits_in_words(limits) if isinstance(limits, UseLimits) else []
        lines += fill("limits", printable("; ".join(said), 600) or ("none" if limits is None else "as before"))
    elif isinstance(found, RequestCertificate):
        lines += fill("subject", printable(names.in_words(found.subject), 600))
    else:
        lines += fill("reason", printable(getattr(found, "reason", ""), 600))
    lines += fill("until", f"{found.expires_at:%Y-%m-%d %H:%M:%S} UTC")
    lines += fill("why", printable(seen.why, 600))
    lines += fill("digest", seen.digest)
    lines += fill("agreed", printable(", ".join(each.approver for each in seen.approvals), 400) or "nobody yet")
    if seen.one_is_enough and seen.state == "waiting":
        lines += fill("waits for", "any one of: " + printable(", ".join(each.name for each in _people(seen)), 400))
    elif seen.state == "waiting":
        for side in (each for each in seen.sides if each.waiting_for):
            whom = printable(", ".join(side.waiting_for), 400)
            lines += fill("waits for", f"{side.missing} of the {side.who}: {whom}")
    if seen.state == "done" and isinstance(found, RequestCertificate):
        lines += fill("outcome", f"the request is signed: privyseal key csr {printable(seen.key)} --act {seen.id}")
    elif seen.outcome:
        lines += fill("outcome", printable(seen.outcome, 400))
    return lines


def _people(seen: ActShown) -> list[Approver]:
    return list({(each.name, each.public_key): each for side in seen.sides for each in side.people}.values())


def _mine(seen: ActShown, private: Ed25519PrivateKey) -> list[Approval]:
    """Make the agreement for each side that this key is asked on, once where the same words do for both."""
    public = private.public_key().public_bytes_raw()
    if public not in {each.public_key for each in _people(seen)}:
        whom = printable(", ".join(each.name for each in _people(seen)), 400)
        raise NotPermitted("The identity key is neither an operator's nor that of an approver.", hint=f"asked: {whom}")
    made = {}
    for side in seen.sides:
        for each in (each for each in side.people if each.public_key == public):
            approval = _for_side(seen, side, each, private)
            if approval is not None:
                made[(approval.approver, approval.stage)] = approval
    if not made:
        raise Misused("You are not asked now, or agreed already.", hint=f"privyseal key act {printable(seen.id)}")
    return list(made.values())


def _for_side(seen: ActShown, side: Side, me: Approver, private: Ed25519PrivateKey) -> Approval | None:
    digest = bytes.fromhex(seen.digest)
    counted = tally(seen.approvals, side.people, side.stages, digest)
    outcome = counted.outcome
    if seen.one_is_enough:
        stage, earlier = 0, b""
    elif isinstance(outcome, Waiting) and me.name in outcome.for_whom:
        stage, earlier = outcome.stage, counted.earlier
    else:
        return None
    signature = private.sign(approved_octets(digest, stage, earlier))
    return Approval(approver=me.name, public_key=me.public_key, request_digest=digest, signature=signature, stage=stage)
