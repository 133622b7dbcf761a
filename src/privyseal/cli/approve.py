"""``privyseal approve``: agree to a request with a key of one's own, over a digest that this machine computes.

The service sends the request's canonical octets. What is shown, and what is signed, comes out of these octets alone; so
a service that shows one thing and has another signed gains nothing (threat model A8). What it says beside them, who
agreed before and what the last release was, is checked as far as that can be done here.
"""

from __future__ import annotations

from pathlib import Path

import click
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privyseal.access.quorum import Granted, Refused, Waiting
from privyseal.cli import consent, own_key
from privyseal.cli.connection import connect, service_options
from privyseal.cli.output import Command, JsonMode, Output, fill, json_option, mark, printable
from privyseal.cli.request import asked_in_words
from privyseal.errors import BadInput, Denied, Misused, NotPermitted, VerificationFailed
from privyseal.signing.review import Review, changes
from privyseal.strongroom.approvals import Tally, tally
from privyseal.terms.canonical import decode_canonical
from privyseal.terms.keys import Approver, Stage
from privyseal.terms.requests import Approval, SigningRequest, State, approved_octets, request_digest
from privyseal.web.views import KeyView, RequestView


@click.command("approve", cls=Command)
@click.argument("request_id", metavar="ID")
@click.option(
    "--identity-key",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="PRIVYSEAL_IDENTITY_KEY",
    help="Your Ed25519 private key, PEM, that only you can read.",
)
@click.option("--yes", is_flag=True, help="Agree without being asked; what is signed is shown all the same.")
@service_options
@json_option
def approve(  # noqa: PLR0913 - one argument for each option, as click has it
    request_id: str,
    identity_key: Path | None,
    yes: bool,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Look at what would be signed, and agree to it with your own key."""
    if identity_key is None:
        raise Misused(
            "With which key do you agree?", hint="--identity-key FILE, or approve with a passkey in the console"
        )
    private = own_key.read(identity_key)
    service = connect(profile, url, subscriber)
    seen = service.get(service.path("requests", request_id, "review")).read(Review)
    request, digest = _read(seen, service.subscriber)
    key = service.get(service.path("keys", request.key)).read(KeyView)
    if key.key_id != request.key_id:
        raise VerificationFailed("The request is for another public key than the service has under that name.")
    output = Output(json_mode)
    output.warn(*in_words(seen, request, digest))
    mine = _mine(seen, request, digest, key.stages, private)
    if not yes and not consent.given(printable(mine.approver)):
        raise Denied("You did not agree; nothing was sent.", hint="to say no for good: privyseal deny")
    path = service.path("requests", request_id, "approvals")
    view = service.post(path, msgspec.json.encode(mine), digest.hex() + str(mine.stage)).read(RequestView)
    output.say(f"{mark(True)} {printable(mine.approver)} agrees; request {printable(view.id)} is {view.state}.")
    approved = {"approver": mine.approver, "digest": digest.hex(), "stage": mine.stage, "state": view.state}
    output.result({"schema": "privyseal/approval/1", "request": view.id, **approved})


def _read(seen: Review, subscriber: str) -> tuple[SigningRequest, bytes]:
    """Read the request out of the octets that came, and compute their digest here."""
    try:
        request = decode_canonical(seen.request, SigningRequest)
    except BadInput as error:
        raise VerificationFailed("The service showed a request that cannot be read.") from error
    digest = request_digest(seen.request)
    if digest.hex() != seen.digest:
        raise VerificationFailed(
            "The digest that the service names is not that of the request it shows; nothing was signed.",
            hint="tell the security officer: somebody may be swapping requests",
        )
    if request.subscriber != subscriber:
        raise VerificationFailed(f"The service showed a request of {printable(request.subscriber)}.")
    if seen.state is not State.REQUESTED:
        over = Denied if seen.state in (State.DENIED, State.EXPIRED) else Misused
        raise over(f"Request {printable(seen.id)} does not wait for approval: it is {seen.state}.")
    return request, digest


def _mine(
    seen: Review, request: SigningRequest, digest: bytes, stages: tuple[Stage, ...], private: Ed25519PrivateKey
) -> Approval:
    """Make the approval for the stage that is waited for, over the earlier approvals as they verify here."""
    public = private.public_key().public_bytes_raw()
    approver = next((each for each in seen.approvers if each.public_key == public), None)
    if approver is None:
        raise NotPermitted(
            f"The identity key is not that of an approver of Key Pair {printable(request.key)}.",
            hint="who is asked: " + printable(", ".join(each.name for each in seen.approvers), 400),
        )
    counted = _counted(seen, request, digest, stages)
    outcome = counted.outcome
    if isinstance(outcome, Refused):
        raise NotPermitted(printable(outcome.why, 400))
    if isinstance(outcome, Granted):
        raise Misused("Enough approvers agreed already.")
    if approver.name not in outcome.for_whom:
        raise NotPermitted(_why_not_asked(approver, outcome, request))
    return Approval(
        approver=approver.name,
        public_key=public,
        request_digest=digest,
        signature=private.sign(approved_octets(digest, outcome.stage, counted.earlier)),
        stage=outcome.stage,
    )


def _counted(seen: Review, request: SigningRequest, digest: bytes, stages: tuple[Stage, ...]) -> Tally:
    asker = None if request.requester is msgspec.UNSET else request.requester
    return tally(seen.approvals, seen.approvers, stages, digest, asker)


def _why_not_asked(approver: Approver, outcome: Waiting, request: SigningRequest) -> str:
    if approver.person == request.requester:
        return "You asked for this signature, so you do not approve it."
    whom = printable(", ".join(outcome.for_whom), 400)
    return f"You are not asked now, or agreed already; the request waits for {outcome.missing} of: {whom}."


def in_words(seen: Review, request: SigningRequest, digest: bytes) -> list[str]:
    """Return what would be signed, as an approver reads it."""
    lines = [f"Request {printable(seen.id)} asks to sign", *asked_in_words(request)]
    lines += fill("digest", digest.hex())
    for place, stage in enumerate(seen.stages):
        who = printable(", ".join(stage.agreed), 400) or "nobody yet"
        lines += fill(f"stage {place + 1}", f"{stage.need} of {printable(', '.join(stage.among), 400)}: {who}")
    if seen.last is None:
        return lines + fill("last", "no release of this key was approved before")
    try:
        found = changes(decode_canonical(seen.last.request, SigningRequest), request)
    except BadInput as error:
        raise VerificationFailed("The service showed an earlier release that cannot be read.") from error
    lines += fill("last", f"compared with {printable(seen.last.id)}, which the service says was the last release:")
    for each in found:
        lines += fill("", f"{printable(each.what)}: {printable(each.before) or '-'} -> {printable(each.after) or '-'}")
    return lines if found else lines + fill("", "nothing but the time differs")
