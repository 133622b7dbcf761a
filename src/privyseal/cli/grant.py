"""``privyseal grant``: agree beforehand to so many signatures for one workflow, or one key, until a certain time.

As with ``privyseal approve``, what is shown and what is signed comes out of the canonical octets alone, and the digest
is computed on this machine.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from privyseal.access.quorum import Waiting
from privyseal.cli import consent, own_key
from privyseal.cli.connection import connect, service_options
from privyseal.cli.output import Command, JsonMode, Output, fill, json_option, mark, printable, shown_path
from privyseal.cli.own_key import octets_of
from privyseal.errors import BadInput, Denied, Misused, NotPermitted, VerificationFailed
from privyseal.signing.forms_of_requests import GrantShown, NewGrant, Revocation, act_octets
from privyseal.strongroom.acts import act_digest
from privyseal.strongroom.grants import agreement, require_sound
from privyseal.terms.canonical import canonical_json
from privyseal.terms.grants import ForRuns, Grant, grant_digest, read_grant
from privyseal.terms.requests import Approval, approved_octets
from privyseal.web.views import KeyView
from privyseal.web.views_of_requests import GrantList

LIFE_OF_AN_ACT = timedelta(hours=1)
"""How long the act that revokes a grant in the signer may take to arrive."""

_key_option = click.option(
    "--identity-key",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="PRIVYSEAL_IDENTITY_KEY",
    help="Your Ed25519 private key, PEM, that only you can read.",
)


@click.group("grant")
def grant_group() -> None:
    """Agree beforehand to so many signatures for one workflow."""


@grant_group.command("propose", cls=Command)
@click.option("--key", required=True, metavar="NAME", help="The Key Pair.")
@click.option("--signatures", type=int, required=True, help="How many, at most.")
@click.option("--hours", type=int, default=24, show_default=True, help="For how long; 720 at most.")
@click.option("--rule", default="", metavar="ID", help="For the runs that this trust rule lets in.")
@click.option("--where", multiple=True, metavar="CLAIM=VALUE", help="And only where this claim is so, such as one tag.")
@click.option("--public-key", metavar="PEM", help="For whoever holds the private key of this one, instead.")
@click.option("--member", default="", help="With --public-key: in whose name the requests come.")
@click.option("--format", "formats", multiple=True, default=("pe",), show_default=True, help="A code format.")
@click.option("--mode", type=click.Choice(["local", "server"]), default="local", show_default=True)
@click.option("--no-timestamp", is_flag=True, help="For signatures without a timestamp.")
@click.option("-d", "--program-name", default="", metavar="TEXT", help="The program name that requests must give.")
@service_options
@json_option
def propose(where: tuple[str, ...], public_key: str | None, json_mode: JsonMode | None, **given: Any) -> None:
    """Propose a grant; it holds when the key's people have agreed.

    \b
    privyseal grant propose --key release --rule T-... --where ref=refs/tags/v2.4.0 --signatures 60 --hours 24
    """
    claims = dict(each.partition("=")[::2] for each in where)
    if len(claims) != len(where) or not all(each.partition("=")[2] for each in where):
        raise Misused("--where is CLAIM=VALUE, each claim once.")
    if bool(given["rule"]) == bool(public_key) or bool(public_key) != bool(given["member"]):
        raise Misused("A grant is for the runs of --rule, or for a --public-key and its --member.")
    document = {
        **{name: given[name] for name in ("key", "signatures", "hours", "rule", "member", "formats", "mode")},
        "where": claims,
        "public_key": b"" if public_key is None else _spki(Path(public_key)),
        "timestamp": not given["no_timestamp"],
        "publisher": given["program_name"],
    }
    try:
        new = msgspec.convert(document, NewGrant)
    except msgspec.ValidationError as error:
        raise Misused(f"This is no grant: {error}.") from None
    service = connect(given["profile"], given["url"], given["subscriber"])
    body = service.post(service.path("grants"), msgspec.json.encode(new), f"grant-{datetime.now(UTC).timestamp()}")
    seen, output = body.read(GrantShown), Output(json_mode)
    output.say(*in_words(seen, read(seen, service.subscriber)))
    output.result({"schema": "privyseal/grant/1", "grant": msgspec.to_builtins(seen)})


@grant_group.command("list", cls=Command)
@service_options
@json_option
def list_grants(profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None) -> None:
    """List the newest grants, and how many signatures are left of each."""
    service = connect(profile, url, subscriber)
    found = service.get(service.path("grants")).read(GrantList).grants
    output = Output(json_mode)
    for each in found:
        left = f"{each.signatures - each.used} of {each.signatures} left"
        key = printable(read(each, service.subscriber).key)
        output.say(f"{printable(each.id):<27} {each.state:<9} {key:<20} {left}, until {each.until:%Y-%m-%d %H:%M} UTC")
    output.result({"schema": "privyseal/grants/1", "grants": msgspec.to_builtins(found)})


@grant_group.command("show", cls=Command)
@click.argument("grant_id", metavar="ID")
@service_options
@json_option
def show(
    grant_id: str, profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None
) -> None:
    """Show what a grant allows, who agreed to it, and how many signatures are left."""
    service = connect(profile, url, subscriber)
    seen = service.get(service.path("grants", grant_id)).read(GrantShown)
    output = Output(json_mode)
    output.say(*in_words(seen, read(seen, service.subscriber)))
    output.result({"schema": "privyseal/grant/1", "grant": msgspec.to_builtins(seen)})


@grant_group.command("agree", cls=Command)
@click.argument("grant_id", metavar="ID")
@_key_option
@click.option("--yes", is_flag=True, help="Agree without being asked; what is agreed to is shown all the same.")
@service_options
@json_option
def agree(  # noqa: PLR0913 - one argument for each option, as click has it
    grant_id: str,
    identity_key: Path | None,
    yes: bool,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Look at what a grant allows, and agree to it with your own key."""
    private = _private(identity_key)
    service = connect(profile, url, subscriber)
    seen = service.get(service.path("grants", grant_id)).read(GrantShown)
    grant = read(seen, service.subscriber)
    key = service.get(service.path("keys", grant.key)).read(KeyView)
    if key.key_id != grant.key_id:
        raise VerificationFailed("The grant is for another public key than the service has under that name.")
    output = Output(json_mode)
    output.warn(*in_words(seen, grant))
    mine = _mine(seen, grant, private)
    if not yes and not consent.given(printable(mine.approver)):
        raise Denied("You did not agree; nothing was sent.", hint="to end it for good: privyseal grant revoke")
    path = service.path("grants", grant_id, "approvals")
    after = service.post(path, msgspec.json.encode(mine), seen.digest + str(mine.stage)).read(GrantShown)
    output.say(f"{mark(True)} {printable(mine.approver)} agrees; grant {printable(after.id)} is {after.state}.")
    agreed = {"approver": mine.approver, "digest": seen.digest, "stage": mine.stage, "state": after.state}
    output.result({"schema": "privyseal/grant-agreement/1", "grant": after.id, **agreed})


@grant_group.command("revoke", cls=Command)
@click.argument("grant_id", metavar="ID")
@click.option("--reason", required=True, help="Why, for the log.")
@_key_option
@service_options
@json_option
def revoke(  # noqa: PLR0913 - one argument for each option, as click has it
    grant_id: str,
    reason: str,
    identity_key: Path | None,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Let nothing be signed under a grant any more. One person is enough.

    With an approver's key the signer itself is told, and refuses it whatever becomes of the service's records.
    """
    service = connect(profile, url, subscriber)
    asked, output = Revocation(reason=reason), Output(json_mode)
    if identity_key is not None:
        private = _private(identity_key)
        seen = service.get(service.path("grants", grant_id)).read(GrantShown)
        grant = read(seen, service.subscriber)
        expires = (datetime.now(UTC) + LIFE_OF_AN_ACT).replace(microsecond=0)
        act = act_octets(grant.key_id, seen.digest, reason, expires)
        asked = Revocation(reason=reason, act=act, approval=_signed(seen, private, act_digest(act)))
    body = service.post(
        service.path("grants", grant_id, "revocation"), msgspec.json.encode(asked), f"revoke-{grant_id}"
    )
    after = body.read(GrantShown)
    where = "in the records and in the signer" if asked.act else "in the records"
    output.say(f"{mark(True)} Grant {printable(after.id)} is {after.state} {where}.")
    if not asked.act:
        output.warn(f"{mark(None)} the signer was not told; an approver can: --identity-key FILE, or freeze the key")
    output.result({"schema": "privyseal/grant/1", "grant": msgspec.to_builtins(after)})


def read(seen: GrantShown, subscriber: str) -> Grant:
    """Read a grant out of the octets that came, and hold its digest against the one computed here."""
    try:
        grant = read_grant(seen.grant)
        require_sound(grant)
    except BadInput as error:
        raise VerificationFailed(f"The service showed a grant that cannot be agreed to: {error.detail}") from error
    if grant_digest(seen.grant).hex() != seen.digest:
        raise VerificationFailed(
            "The digest that the service names is not that of the grant it shows; nothing was signed.",
            hint="tell the security officer: somebody may be swapping grants",
        )
    if grant.subscriber != subscriber:
        raise VerificationFailed(f"The service showed a grant of {printable(grant.subscriber)}.")
    return grant


def in_words(seen: GrantShown, grant: Grant) -> list[str]:
    """Return what a grant allows, as people read it before they agree."""
    lines = [f"Grant {printable(seen.id)} ({seen.state}) allows"]
    lines += fill("how many", f"{grant.signatures} signatures, {grant.signatures - seen.used} of them left")
    lines += fill("when", f"{grant.not_before:%Y-%m-%d %H:%M:%S} to {grant.until:%Y-%m-%d %H:%M:%S} UTC")
    lines += fill("key", f"{printable(grant.key)} of {printable(grant.subscriber)}")
    lines += fill("", grant.key_id)
    stamped = "with a timestamp" if grant.timestamp else "without a timestamp"
    lines += fill("what", f"{printable(', '.join(grant.formats))}, mode {grant.mode}, {stamped}")
    lines += fill("program", printable(grant.publisher) or "no program name")
    lines += fill("asked by", printable(grant.requester))
    if isinstance(grant.holder, ForRuns):
        lines += fill("runs of", printable(f"{grant.holder.platform}, {grant.holder.issuer}", 400))
        for claim, value in grant.holder.conditions:
            lines += fill("where", printable(f"{claim} = {value}", 600))
        for each in grant.holder.keys:
            lines += fill("signed by", f"key {printable(each.get('kid', '-'), 60)}, {thumbprint(each)}")
        lines += fill("audience", printable(f"{grant.holder.audience}#sha256:REQUEST", 400))
    else:
        lines += fill("holder of", f"the key sha256 {hashlib.sha256(grant.holder.public_key).hexdigest()}")
    lines += fill("proposed", f"by {printable(grant.proposer)}, {seen.created:%Y-%m-%d %H:%M:%S} UTC")
    lines += fill("digest", seen.digest)
    lines += fill("agreed", printable(", ".join(each.approver for each in seen.approvals), 400) or "nobody yet")
    if seen.waiting_for and seen.state == "proposed":
        lines += fill("waits for", printable(", ".join(seen.waiting_for), 400))
    return lines


def thumbprint(key: dict[str, str]) -> str:
    """Return a public key's JWK thumbprint by SHA-256, in hex (RFC 7638 3)."""
    wanted = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x")}
    members = {name: key.get(name, "") for name in wanted.get(key.get("kty", ""), ())}
    return hashlib.sha256(canonical_json(members)).hexdigest()


def _mine(seen: GrantShown, grant: Grant, private: Ed25519PrivateKey) -> Approval:
    """Make the approval for the stage that is waited for, over the earlier ones as they verify here."""
    counted = agreement(grant, bytes.fromhex(seen.digest), seen.approvals, (seen.approvers, seen.stages))
    outcome = counted.outcome
    if not isinstance(outcome, Waiting):
        raise Misused("Enough people agreed already, or the key's people cannot agree to it at all.")
    mine = _signed(seen, private, bytes.fromhex(seen.digest), outcome.stage, counted.earlier)
    if mine.approver not in outcome.for_whom:
        raise NotPermitted(
            "You are not asked now, agreed already, proposed it or ask under it.",
            hint=f"it waits for {outcome.missing} of: {printable(', '.join(outcome.for_whom), 400)}",
        )
    return mine


def _signed(
    seen: GrantShown, private: Ed25519PrivateKey, digest: bytes, stage: int = 0, earlier: bytes = b""
) -> Approval:
    public = private.public_key().public_bytes_raw()
    approver = next((each for each in seen.approvers if each.public_key == public), None)
    if approver is None:
        raise NotPermitted(
            "The identity key is not that of an approver of this key.",
            hint="who is asked: " + printable(", ".join(each.name for each in seen.approvers), 400),
        )
    signature = private.sign(approved_octets(digest, stage, earlier))
    return Approval(approver=approver.name, public_key=public, request_digest=digest, signature=signature, stage=stage)


def _private(path: Path | None) -> Ed25519PrivateKey:
    if path is None:
        raise Misused("With which key do you agree?", hint="--identity-key FILE")
    return own_key.read(path)


def _spki(path: Path) -> bytes:
    try:
        key = load_pem_public_key(octets_of(path))
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BadInput(f"{shown_path(path)} is no public key in PEM.") from None
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
