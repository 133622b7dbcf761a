"""The handlers of the native API; who may call each stands in ``app.py``, and is settled before it runs."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Sequence
from typing import Annotated, NamedTuple

from litestar import Response
from litestar.params import FromPath, HeaderParameter, JSONBody

from privyseal.errors import BadInput, Failed, Misused, NotFound, PrivySealError
from privyseal.records import keys, requests
from privyseal.records.database import Transaction
from privyseal.signing.submit import Submission
from privyseal.telemetry import Call
from privyseal.terms.parties import Actor
from privyseal.terms.requests import FINAL, Approval, Dossier, SigningRequest, State
from privyseal.web import problem, views
from privyseal.web.desk import Desk, TheDesk
from privyseal.web.intake import Incoming
from privyseal.web.metrics import MEDIA_TYPE

LONGEST_WAIT_S = 50
"""Seconds a request may be kept waiting: below the 60 s after which common proxies give up."""
DEFAULT_WAIT_S = 30
"""Seconds that a POST waits for its signature where it does not say; a signature takes well under one."""
RETRY_AFTER_S = 5
"""Seconds between two looks at a request that waits for people."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 1.0

_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_WAIT = re.compile(r"\s*wait\s*=\s*\"?([0-9]{1,9})\"?\s*(?:;|$)", re.IGNORECASE)

IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        required=True,
        description="1 to 255 printable ASCII characters, chosen by the caller. The same request under the same key is "
        "the same request: sending it again is safe and answers with what became of it.",
    ),
]
"""The header of that name, which each POST has."""
Prefer = Annotated[
    str | None,
    HeaderParameter(
        name="Prefer",
        required=False,
        description=f"RFC 7240 `wait=N`: wait at most N seconds, {LONGEST_WAIT_S} at most.",
    ),
]
"""The header of that name."""


async def livez() -> views.Alive:
    """Tell that the process runs."""
    return views.Alive()


async def readyz(desk: TheDesk) -> views.Ready:
    """Tell whether records, logger, signer and stamper all answer; 503 says which do not."""
    await desk.check_ready()
    return views.Ready()


async def metrics(request: Incoming, desk: TheDesk) -> Response[bytes]:
    """Count what this process does, in Prometheus's text format."""
    client = request.scope.get("client")
    desk.metrics.admit(client[0] if client else None, request.headers)
    return Response(await desk.metrics_text(), media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store"})


async def problem_page(code: FromPath[str]) -> Response[str]:
    """Explain one code of the problem documents: what its ``type`` points to."""
    kind = problem.kinds().get(code)
    if kind is None:
        raise NotFound(f"No problem has the code {code[:100]!r}.")
    again = "The very same request may succeed later." if kind.retryable else "Sending the same again will not help."
    text = f"{kind.code}: {kind.title} (HTTP {kind.status})\n\n{kind.about}\n\n{again}\n"
    return Response(text, media_type="text/plain")


async def whoami(request: Incoming, desk: TheDesk) -> views.Whoami:
    """Tell who the credential says you are."""
    return views.whoami_view(desk.seal.service.name, request.user)


async def list_keys(subscriber: FromPath[str], desk: TheDesk) -> views.KeyList:
    """List the Subscriber's Key Pairs with their certificates."""

    def read(tx: Transaction) -> views.KeyList:
        pairs = keys.key_pairs_of(tx)
        return views.KeyList(tuple(views.key_view(pair, keys.certificate_chains_of(tx, pair.key_id)) for pair in pairs))

    return await desk.read(subscriber, read)


async def read_key(subscriber: FromPath[str], name: FromPath[str], desk: TheDesk) -> views.KeyView:
    """Show a Key Pair and the chains that a client builds its request with, the newest first."""

    def read(tx: Transaction) -> views.KeyView:
        pair = keys.key_pair(tx, name)
        return views.key_view(pair, keys.certificate_chains_of(tx, pair.key_id))

    return await desk.read(subscriber, read)


async def list_certificates(subscriber: FromPath[str], desk: TheDesk) -> views.CertificateList:
    """List the Subscriber's certificates, the newest first."""

    def read(tx: Transaction) -> views.CertificateList:
        return views.CertificateList(tuple(map(views.certificate_view, keys.certificate_chains_of(tx))))

    return await desk.read(subscriber, read)


async def read_certificate(
    subscriber: FromPath[str], fingerprint: FromPath[str], desk: TheDesk
) -> views.CertificateView:
    """Show a certificate by the SHA-256 of its DER, lower-case hex."""

    def read(tx: Transaction) -> views.CertificateView:
        chain = keys.certificate_chain(tx, fingerprint)
        if chain is None:
            raise NotFound(f"There is no certificate with the fingerprint {fingerprint[:64]!r}.")
        return views.certificate_view(chain)

    return await desk.read(subscriber, read)


async def submit_request(
    request: Incoming,
    subscriber: FromPath[str],
    data: JSONBody[SigningRequest],
    desk: TheDesk,
    idempotency_key: IdempotencyKey = None,
    prefer: Prefer = None,
) -> Response[views.RequestView]:
    """Ask for a signature: 201 with the signature, or 202 where it waits for approval or takes longer than asked.

    The same Idempotency-Key with the same request answers with what became of it. A request that ended without a
    signature is answered with the problem that ended it; the request itself can be read all the same.
    """
    # ``idempotency_key`` stands above for the OpenAPI document; of two such headers it would hold one.
    asked = Asked(request.user, subscriber, request.headers.getall("idempotency-key", []), prefer, data)
    status, headers, view = await ask_for(desk, asked, problem.call_of(request.scope))
    return Response(view, status_code=status, headers=headers)


class Asked(NamedTuple):
    """A request for signatures as it came: by whom, where to, under which headers."""

    actor: Actor
    subscriber: str
    """Of the path."""
    keys: Sequence[str]
    """The values of all Idempotency-Key headers."""
    prefer: str | None
    request: SigningRequest


async def ask_for(desk: Desk, asked: Asked, call: Call) -> tuple[int, dict[str, str], views.RequestView]:
    """Have a request signed, or find what became of it: status, header fields and the request as it stands.

    Raises what ended a request without a signature.
    """
    key = _only_key(asked.keys)
    named = asked.request.subscriber
    if named != asked.subscriber:
        raise BadInput(f"The body names Subscriber {named[:63]!r} and the path {asked.subscriber[:63]!r}.")
    dossier = await _asked(desk, Submission(asked.actor, key, asked.request), _seconds(asked.prefer, DEFAULT_WAIT_S))
    call.request, call.state = dossier.id, dossier.state.value
    refused = views.refusal(dossier)
    if refused is not None:
        raise refused
    headers = {"Location": f"/v1/{asked.subscriber}/requests/{dossier.id}"}
    if dossier.state is State.RELEASED:
        return 201, headers, views.request_view(dossier)
    return 202, headers | {"Retry-After": str(RETRY_AFTER_S)}, views.request_view(dossier)


async def read_request(
    subscriber: FromPath[str], request_id: FromPath[str], desk: TheDesk, prefer: Prefer = None
) -> views.RequestView:
    """Show a request; with ``Prefer: wait=N`` not before it ended or N seconds passed."""
    dossier = await _recorded(desk, subscriber, request_id)
    pause = _FIRST_PAUSE_S
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_seconds(prefer, 0)):
            while dossier.state not in FINAL and not await desk.pause(request_id, pause):
                pause = min(2 * pause, _LONGEST_PAUSE_S)
                dossier = await _recorded(desk, subscriber, request_id)
    return views.request_view(dossier)


async def approve_request(
    request: Incoming,
    subscriber: FromPath[str],
    request_id: FromPath[str],
    data: JSONBody[Approval],
    desk: TheDesk,
    prefer: Prefer = None,
) -> views.RequestView:
    """Agree to a request by a signature over its digest; when the quorum is there, it is signed at once.

    The answer is the request as it stands then: that something went wrong after the approval was written down is no
    reason to tell the approver that it was not. An approval needs no Idempotency-Key: repeating it
    changes nothing, and once the request no longer waits it is answered with 409.
    """
    dossier = await desk.approve(request.user, request_id, data)
    with contextlib.suppress(PrivySealError):
        dossier = await carry_on(desk, dossier, _seconds(prefer, DEFAULT_WAIT_S))
    return views.request_view(dossier)


async def _asked(desk: Desk, submission: Submission, seconds: float) -> Dossier:
    """Take a request in and to its end, or as far as it comes in ``seconds``; the work goes on without us."""
    if submission.request.mode == "server" or not seconds:
        # A file is read first, for which a batch does not wait; and who does not wait has its request carried out all
        # the same: what only waits at the desk is dropped when its caller goes.
        return await carry_on(desk, await desk.submit(submission), seconds)
    until = asyncio.get_running_loop().time() + seconds
    try:
        async with asyncio.timeout(seconds):
            dossier = await desk.ask(submission, seconds or DEFAULT_WAIT_S)
    except TimeoutError:  # the records know how far it came, if it was begun
        return await carry_on(desk, await desk.submit(submission), 0)
    except Failed:  # and why it failed
        return await desk.submit(submission)
    if dossier.state in FINAL:
        return dossier
    return await carry_on(desk, dossier, max(0.0, until - asyncio.get_running_loop().time()))


async def carry_on(desk: Desk, dossier: Dossier, seconds: float) -> Dossier:
    """Take an approved request to its end, or as far as it comes in ``seconds``; the work goes on without us."""
    pause = _FIRST_PAUSE_S
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while dossier.state not in FINAL and dossier.state is not State.REQUESTED:
                onward = desk.onward(dossier)
                try:
                    dossier = await onward(dossier.subscriber, dossier.id)
                except Failed:  # the records know why it failed, and the caller shall
                    return await _recorded(desk, dossier.subscriber, dossier.id)
                if dossier.state not in FINAL and desk.onward(dossier) != onward:
                    continue  # its timestamp is still to be asked for elsewhere, or its file to be made
                if dossier.state in FINAL or await desk.pause(dossier.id, pause):  # another walk holds it
                    break
                pause = min(2 * pause, _LONGEST_PAUSE_S)
    return dossier


async def _recorded(desk: Desk, subscriber: str, request_id: str) -> Dossier:
    return await desk.read(subscriber, lambda tx: requests.get(tx, request_id))


def _only_key(values: Sequence[str]) -> str:
    """Return the one Idempotency-Key; raise Misused where there is none, more than one, or one that is unusable."""
    hint = "send one header 'Idempotency-Key' of 1 to 255 printable ASCII characters, the same for every retry"
    if not values:
        raise Misused("The Idempotency-Key header is missing.", hint=hint)
    if len(values) > 1:
        raise Misused("More than one Idempotency-Key header was sent.", hint=hint)
    key = values[0].strip()
    if not _KEY.fullmatch(key):
        raise Misused("The Idempotency-Key is empty, longer than 255 characters or not printable ASCII.", hint=hint)
    return key


def _seconds(prefer: str | None, default: int) -> int:
    """Return N of ``Prefer: wait=N``, at most LONGEST_WAIT_S; whatever else is preferred is ignored (RFC 7240 2)."""
    for preference in (prefer or "").split(","):
        found = _WAIT.match(preference)
        if found:
            return min(int(found[1]), LONGEST_WAIT_S)
    return default
