"""``POST /v1/token``: a run's identity token for one of ours (RFC 8693), errors as OAuth has them and as ours.

A refusal is the ``application/json`` of RFC 6749 5.2 with our problem document's members beside it, so that OAuth
clients and ours both find what they know. Parameters that RFC 8693 does not have are ours: ``subscriber``, ``rule``,
``member`` and ``policy``.
"""

from __future__ import annotations

from urllib.parse import parse_qsl

import msgspec
from litestar import Response

from privyseal.access.trust import Named
from privyseal.errors import BadInput, ClaimMismatch, PrivySealError, Unavailable
from privyseal.signing.exchange import LIFE, AskedToken, GivenToken, exchange
from privyseal.web import problem
from privyseal.web.desk import TheDesk
from privyseal.web.intake import Incoming, require_media_type

FORM = "application/x-www-form-urlencoded"
FORM_LIMIT = 32 * 1024
"""Octets of the form: an identity token of 16 KiB, and as much again for how forms write things."""
MOST_FIELDS = 16
"""Fields of the form; RFC 8693 knows eleven."""

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
IDENTITY = ("urn:ietf:params:oauth:token-type:id_token", "urn:ietf:params:oauth:token-type:jwt")
ACCESS = "urn:ietf:params:oauth:token-type:access_token"
"""RFC 8693 2.1 and 3: what is asked, what may come, what is given."""

_OURS = frozenset({"subscriber", "rule", "member", "policy"})
_KNOWN = _OURS | {
    "grant_type",
    "subject_token",
    "subject_token_type",
    "requested_token_type",
    "audience",
    "resource",
    "scope",
}
_LONGEST_NAME = 255


class Exchanged(msgspec.Struct, frozen=True, kw_only=True):
    """A token for a run (RFC 8693 2.2.1), and what it is bound to."""

    access_token: str
    issued_token_type: str = ACCESS
    token_type: str = "Bearer"  # noqa: S105 - RFC 6750's name of the kind
    expires_in: int
    """Seconds."""
    exchange: str
    member: str
    rule: str
    run: str
    attempt: str
    policy: str

    def __repr__(self) -> str:
        """Show no token."""
        return f"Exchanged(exchange={self.exchange!r})"


class Mismatch(msgspec.Struct, frozen=True):
    """One claim of a run and what its trust rule expects of it."""

    claim: str
    came: str
    """Empty where the token has no such claim."""
    expected: str
    same: bool


class ExchangeRefusal(problem.Problem, frozen=True, kw_only=True):
    """Why a token was not exchanged: an error of RFC 6749 5.2, and a problem document."""

    error: str
    error_description: str
    mismatches: tuple[Mismatch, ...] = ()
    """All claims that were compared; there only for a run that names the rule, of the repository that it is about."""


async def exchange_token(request: Incoming, desk: TheDesk) -> Response[Exchanged]:
    """Exchange an identity token of a CI job or another workload for a token that is good for ten minutes (RFC 8693).

    Form-encoded: `grant_type`, `subject_token`, `subject_token_type`, and of ours `subscriber`, and `rule`, `member`
    or `policy` where more than one rule may apply.
    """
    require_media_type(request.headers.get("content-type"), FORM)
    body = await request.body()
    try:
        asked = _asked(body)
        given = await desk.slow(lambda: exchange(desk.seal, asked))
    except PrivySealError as error:
        return _refused(request, error)  # type: ignore[return-value]
    return Response(_view(given), status_code=200, headers={"Cache-Control": "no-store"})


def _asked(body: bytes) -> AskedToken:
    """Read the form; BadInput for a field that comes twice, that is missing, or that asks for what we do not do."""
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            max_num_fields=MOST_FIELDS,
            errors="strict",
        )
    except ValueError:
        raise BadInput("The body is no form of at most 16 fields.", hint=f"send {FORM}") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise BadInput("A field came more than once.", hint="RFC 6749 3.2: each at most once")
    unknown = sorted(form.keys() - _KNOWN)
    if unknown:
        raise BadInput(f"The form has a field that is not known here: {unknown[0][:40]!r}.")
    for name, values in (("grant_type", (GRANT,)), ("subject_token_type", IDENTITY)):
        if form.get(name) not in values:
            raise BadInput(f"The form's {name} is {form.get(name, '')[:80]!r}; {values[0]} was expected.")
    if form.get("requested_token_type", ACCESS) != ACCESS:
        raise BadInput("Another kind of token than an access token was asked for.")
    if not form.get("subscriber") or not form.get("subject_token"):
        raise BadInput("The form lacks subscriber or subject_token.")
    if any(len(form.get(name, "")) > _LONGEST_NAME for name in _OURS):
        raise BadInput(f"A field has more than {_LONGEST_NAME} characters.")
    named = Named(form.get("rule", ""), form.get("member", ""), form.get("policy", ""))
    identity = form["subject_token"].encode("utf-8")
    return AskedToken(identity=identity, subscriber=form["subscriber"], named=named)


def _view(given: GivenToken) -> Exchanged:
    one = given.exchange
    return Exchanged(
        access_token=given.token,
        expires_in=int(LIFE.total_seconds()),
        exchange=one.id,
        member=one.member,
        rule=one.rule,
        run=one.workload.run,
        attempt=one.workload.attempt,
        policy=one.workload.policy,
    )


def _refused(request: Incoming, error: PrivySealError) -> Response[bytes]:
    """Answer as RFC 6749 5.2 has it: 400, or 503 where it is not the run's fault."""
    _, headers, octets = problem.told(request.scope, error)
    document = msgspec.json.decode(octets, type=problem.Problem)
    status, word = 400, "invalid_request"
    if isinstance(error, Unavailable):
        status, word = 503, "temporarily_unavailable"
    elif document.status >= 500:
        status, word = document.status, "server_error"
    compared = error.compared if isinstance(error, ClaimMismatch) else ()
    fields = {name: getattr(document, name) for name in document.__struct_fields__}
    refusal = ExchangeRefusal(
        **(fields | {"status": status}),
        error=word,
        error_description=document.detail,
        mismatches=tuple(Mismatch(*each) for each in compared),
    )
    headers = {name: value for name, value in headers.items() if name != "Content-Type"}
    return Response(msgspec.json.encode(refusal), status_code=status, media_type="application/json", headers=headers)
