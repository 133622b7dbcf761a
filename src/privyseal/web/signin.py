"""How a command line gets its token and gives it back, and how an administrator invites and signs out members."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from litestar import Response
from litestar.params import FromPath, JSONBody
from msgspec import Meta

from privyseal.access.sessions import Session
from privyseal.errors import BadInput
from privyseal.signing import commandline, people, signin
from privyseal.web.desk import TheDesk
from privyseal.web.intake import Incoming
from privyseal.web.views_of_parties import DeviceAnswer, TokenAnswer

Text = Annotated[str, Meta(max_length=4096)]
"""A token or code that came from a client: at most 4096 characters."""
Label = Annotated[str, Meta(max_length=200)]
"""What somebody calls a device: at most 200 characters."""


class DeviceAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A command line without a browser asks to be let in (RFC 8628 3.1)."""

    label: Label = ""


class TokenAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A command line asks for its token: with a code and its verifier (RFC 7636), or with a device code."""

    code: Text = ""
    verifier: Text = ""
    device_code: Text = ""


class InvitationAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """By which name an invited member is to sign in."""

    login: Annotated[str, Meta(min_length=1, max_length=64)]


class Invitation(msgspec.Struct, frozen=True, kw_only=True):
    """An invitation: where its link leads, below the service's address. It is shown this once."""

    path: str
    expires: datetime


async def ask_device(data: JSONBody[DeviceAsked], desk: TheDesk) -> Response[DeviceAnswer]:
    """Take in a command line without a browser, which waits to be let in (RFC 8628)."""
    people.gatehouse(desk.seal)
    device, typed = await desk.file(lambda: commandline.begin_device(desk.seal, data.label))
    answer = DeviceAnswer(
        device_code=device,
        user_code=typed,
        verification_path="/console/device",
        expires_in=int(commandline.DEVICE_LASTS.total_seconds()),
        interval=int(commandline.DEVICE_INTERVAL.total_seconds()),
    )
    return Response(answer, headers={"Cache-Control": "no-store"})


async def ask_token(data: JSONBody[TokenAsked], desk: TheDesk) -> Response[TokenAnswer]:
    """Give a command line its token, once."""

    def given() -> tuple[str, Session] | None:
        people.gatehouse(desk.seal)
        if bool(data.device_code) == bool(data.code):
            raise BadInput("Either a code with its verifier or a device code was expected.")
        if data.device_code:
            return commandline.poll_device(desk.seal, data.device_code)
        return commandline.redeem(desk.seal, data.code, data.verifier)

    got = await desk.file(given)
    answer = TokenAnswer(state="pending")
    if got is not None:
        token, session = got
        answer = TokenAnswer(
            state="in",
            token=token,
            expires=session.ends,
            subscriber=session.member.subscriber,
            name=session.member.name,
            factors=session.factors,
        )
    return Response(answer, headers={"Cache-Control": "no-store"})


async def log_out(request: Incoming, desk: TheDesk) -> None:
    """End the session that asks."""
    actor = request.user
    if not actor.session:
        raise BadInput("This credential is not a session, so it cannot be ended by itself.", hint="revoke it")
    await desk.file(lambda: signin.end(desk.seal, actor.member, actor.session))


async def invite_member(
    subscriber: FromPath[str], member: FromPath[str], data: JSONBody[InvitationAsked], request: Incoming, desk: TheDesk
) -> Response[Invitation]:
    """Invite a member to sign in: the link is shown this once, and the one of before is over."""
    actor = request.user
    token = await desk.file(lambda: people.invite(desk.seal, actor, subscriber, member, data.login))
    expires = desk.seal.clock() + people.INVITATION_LASTS
    answer = Invitation(path=f"/console/welcome?invitation={token}", expires=expires)
    return Response(answer, status_code=201, headers={"Cache-Control": "no-store"})


async def sign_out_member(subscriber: FromPath[str], member: FromPath[str], request: Incoming, desk: TheDesk) -> None:
    """End all sessions of a member who leaves, and take away all by which it signs in."""
    actor = request.user
    await desk.file(lambda: people.sign_out_everywhere(desk.seal, actor, subscriber, member, leaves=True))
