"""Asking a service for signatures: one request a file, and whatever happens on the way, never two signatures for one.

The Idempotency-Key is the request's digest without its time, so that a run which was cut short finds its own requests
again. A request that ended without a signature keeps its key for ever; the key after it is SHA-256 over that key and
the id of the request that ended. So every run walks the same way past what failed before, and still nothing is signed
twice.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice

import msgspec

from privyseal.cli.client import Answer, Service
from privyseal.cli.output import printable
from privyseal.cli.pieces import Job, Made, Pending, write_receipt
from privyseal.cli.profile import read_whole
from privyseal.errors import (
    BadInput,
    Failed,
    Misused,
    NotFound,
    PrivySealError,
    Unavailable,
    VerificationFailed,
)
from privyseal.formats.protocol import ENCLOSED, EmbeddedSignature, Identity, Prepared
from privyseal.pki import certificates
from privyseal.terms.canonical import decode_canonical
from privyseal.terms.requests import FINAL, SigningRequest, State, request_digest
from privyseal.terms.signatures import SCHEMES, LogFacts, Options
from privyseal.tlog.entry import Completed, decode_completed
from privyseal.tlog.policy import Policy
from privyseal.tlog.proof import MAX_PROOF, Openings, parse_proof, read_receipt
from privyseal.web.views import KeyView, RequestView, Whoami

LIFE = timedelta(hours=1)
"""How long people have to agree to a request."""

NEW_TRIES = 3
"""Requests that one run lets fail before it gives up on a file."""

MOST_KEYS = 64
"""Requests in a row that ended without a signature and are passed by; more want a person's look."""

LOOKS = 4
"""Times that a signature in the making is waited for, each up to half a minute."""

_ID = re.compile(r"\bRequest (R-[a-z2-7]{8,64})\b")


class Requester:
    """Has one Key Pair's signatures made by a service. Safe to use from several threads."""

    logs = True
    stamps = True

    def __init__(self, service: Service, key: str, policy: Policy | None) -> None:
        """Fetch the key and its newest certificate; Misused where it has none, VerificationFailed if they do not
        agree."""
        self.service = service
        self._policy = policy
        self.view = service.get(service.path("keys", key)).read(KeyView)
        if not self.view.certificates:
            raise Misused(f"The key {printable(key)} has no certificate yet.", hint="ask who runs the service")
        if self.view.scheme not in SCHEMES:
            raise Misused(f"The key's scheme {printable(self.view.scheme)} is newer than this program.")
        self.identity = Identity(self.view.certificates[0].chain, self.view.scheme)
        try:
            own = certificates.outline(self.identity.chain[0])
        except (IndexError, BadInput) as error:
            raise VerificationFailed("The service's certificate for this key cannot be read.") from error
        if not certificates.key_id(own.spki) == certificates.key_id(self.view.public_key) == self.view.key_id:
            raise VerificationFailed("The service's certificate is not for the key that it names.")
        self._member = self._who() if self.view.quorum else msgspec.UNSET
        self._guard = threading.Lock()
        self._down: Unavailable | None = None

    def make(self, prepared: Prepared, options: Options, *, again: bool) -> Made | Pending:
        """Have one file signed. ``again`` asks for a new signature where this one was made before."""
        post = self.after(lambda: self._enclose(prepared)) if any(prepared.enclosed) else self.post
        return self.ask(self.request(prepared, options), again, post)

    def after(self, send: Callable[[], None]) -> Callable[[bytes, str], Answer]:
        """Return what asks for a signature, and where the service does not have what it needs, sends that and asks
        again."""

        def post(body: bytes, key: str) -> Answer:
            try:
                return self.post(body, key)
            except NotFound:
                send()
                return self.post(body, key)

        return post

    def _enclose(self, prepared: Prepared) -> None:
        """Send what travels beside the descriptions."""
        from privyseal.cli import sending  # few files need it

        for described, octets in zip(prepared.described, prepared.enclosed, strict=True):
            if not octets:
                continue
            code = sending.Octets(octets, described.filename)
            sending.send(self.service, code, str(described.facts[ENCLOSED]), lambda _count: None)

    def make_together(self, prepared: Sequence[Prepared], options: Options, *, again: bool) -> list[Made] | Pending:
        """Have several files signed by one request, which people agree to as a whole and one receipt is for."""
        described = tuple(one for each in prepared for one in each.described)
        beside = tuple(one for each in prepared for one in each.enclosed or (b"",) * len(each.described))
        made = self.make(Prepared(described, prepared[0].layout, beside if any(beside) else ()), options, again=again)
        if isinstance(made, Pending):
            return made
        blobs = iter(made.blobs)
        return [msgspec.structs.replace(made, blobs=tuple(islice(blobs, len(each.described)))) for each in prepared]

    def request(self, prepared: Prepared, options: Options, sha256: str | None = None) -> SigningRequest:
        """Return the request for one file; with its SHA-256, in hex, it is in mode ``server``."""
        return SigningRequest(
            subscriber=self.service.subscriber,
            key=self.view.name,
            key_id=self.view.key_id,
            scheme=self.view.scheme,
            certificate=hashlib.sha256(self.identity.chain[0]).hexdigest(),
            mode="local" if sha256 is None else "server",
            options=options,
            described=prepared.described,
            expires_at=(datetime.now(UTC) + LIFE).replace(microsecond=0),
            input=msgspec.UNSET if sha256 is None else sha256,
            requester=self._member,
        )

    def _who(self) -> str:
        """Ask the service who we are: where people must agree, the request says who asks, and that one is not counted.

        Only there, so that others need no further question, and keep their Idempotency-Keys.
        """
        return self.service.get("/v1/whoami").read(Whoami).member

    def post(self, body: bytes, key: str) -> Answer:
        """Send a request under an Idempotency-Key and return the service's answer."""
        return self.service.post(self.service.path("requests"), body, key)

    def ask(self, request: SigningRequest, again: bool, post: Callable[[bytes, str], Answer]) -> Made | Pending:
        """Have ``post`` ask until there is an answer; once the service is down it is not asked for other files."""
        with self._guard:
            down = self._down
        if down is not None:
            raise down  # a thousand files need not each find out by themselves
        try:
            return self._walk(request, secrets.token_hex(32) if again else request.timeless_digest(), post)
        except Unavailable as error:
            with self._guard:
                self._down = error
            raise

    def _walk(self, request: SigningRequest, key: str, post: Callable[[bytes, str], Answer]) -> Made | Pending:
        """Ask under one key after the other until one answers with a signature."""
        body = request.canonical()
        failures = 0
        for _ in range(MOST_KEYS):
            try:
                answer = post(body, key)
                view = answer.read(RequestView)
                if view.state is State.REQUESTED and self.view.quorum:
                    _check_asked(request, view)  # before anything is proved for it
                    view = self._granted(view)
                made = self._finished(request, self._settled(view))
                return msgspec.structs.replace(made, request_id=answer.request_id) if isinstance(made, Made) else made
            except PrivySealError as refused:
                ended = self._ended(refused)
                if ended is None or ended.state not in (State.FAILED, State.EXPIRED):
                    raise
                if _asked_in(ended) == body:  # it is the one just made, and not one that an earlier run saw fail
                    failures += 1
                    if failures == NEW_TRIES or not isinstance(refused, Failed):
                        raise
                key = hashlib.sha256((key + ended.id).encode("ascii")).hexdigest()
        raise Failed(
            f"{MOST_KEYS} requests for this file ended without a signature.", hint="--again asks under a fresh key"
        )

    def _granted(self, view: RequestView) -> RequestView:
        """Have a request that waits for people come under what they agreed to beforehand, if it does."""
        from privyseal.cli.granting import under_grant  # only where people must agree

        return under_grant(self.service, self.service.profile, view)

    def _settled(self, view: RequestView) -> RequestView:
        """Wait for a signature in the making, but not for people."""
        for _ in range(LOOKS):
            if view.state in FINAL or view.state is State.REQUESTED:
                return view
            path = self.service.path("requests", view.id)
            view = self.service.get(path, {"Prefer": "wait=30"}).read(RequestView)
        raise Unavailable(
            f"The service is still busy with request {view.id}.", hint="run this again: it is found again"
        )

    def _finished(self, request: SigningRequest, view: RequestView) -> Made | Pending:
        """Check that what came is what was asked for."""
        _check_asked(request, view)
        if view.state is State.REQUESTED:
            return Pending(view.id)
        if view.state is not State.RELEASED or len(view.blobs) != len(request.described) or view.receipt is None:
            raise Failed(f"Request {view.id} ended without a signature: it is {view.state}.")
        return Made(view.blobs, view.id, view.receipt, view.request)

    def _ended(self, refused: PrivySealError) -> RequestView | None:
        """Return the request that a refusal is about, as the service keeps it; None where it is about none."""
        named = _ID.search(refused.detail)
        if named is None:
            return None
        return self.service.get(self.service.path("requests", named[1])).read(RequestView)

    def accept(self, made: Made, found: EmbeddedSignature, job: Job) -> LogFacts | None:
        """Check the receipt that came with a signature and write it; VerificationFailed where it does not hold.

        Returns where in the log it stands, which without a log policy nobody can tell: None.
        """
        if made.receipt is None:
            raise VerificationFailed("The service gave no receipt.")
        facts = check_receipt(made.receipt, self._policy, found, made.canonical)
        write_receipt(job.receipt, made.receipt)
        return facts

    def has_receipt(self, found: EmbeddedSignature, job: Job) -> bool:
        """Tell whether the receipt of a signature is there and holds."""
        try:
            check_receipt(read_whole(job.receipt, MAX_PROOF), self._policy, found, None)
        except (BadInput, VerificationFailed):
            return False
        return True


def _check_asked(request: SigningRequest, view: RequestView) -> None:
    """Raise VerificationFailed where a request of the service is not the one that was asked."""
    if request_digest(view.request).hex() != view.digest:
        raise VerificationFailed("The service's digest of the request is not that of its octets.")
    try:
        theirs = decode_canonical(view.request, SigningRequest)
    except BadInput as error:
        raise VerificationFailed("The service answered with a request that cannot be read.") from error
    if theirs.timeless_digest() != request.timeless_digest():
        raise VerificationFailed("The service answered with another request than was asked.")


def _asked_in(view: RequestView) -> bytes:
    """Return the octets that were asked: those of the request without what the service saw of the file."""
    try:
        request = decode_canonical(view.request, SigningRequest)
    except BadInput:
        return view.request
    return msgspec.structs.replace(request, seen=msgspec.UNSET).canonical()


def check_receipt(
    receipt: str | bytes, policy: Policy | None, found: EmbeddedSignature, canonical: bytes | None
) -> LogFacts | None:
    """Check a receipt against a signature, and against a request's canonical octets where they are known."""
    facts = None
    if policy is not None:
        opened = read_receipt(receipt, policy)
        payload, completed = opened.payload, opened.completed
        head = opened.checkpoint
        facts = LogFacts(opened.index, head.origin, head.size, opened.witnesses)
    else:
        payload, completed = _unproven(receipt)
    if canonical is not None and payload != canonical:
        raise VerificationFailed("The receipt is of another request.")
    for digests, octets in ((completed.signatures, found.signature_value), (completed.blobs, found.blob)):
        if hashlib.sha256(octets).hexdigest() not in digests:
            raise VerificationFailed("The receipt is of another signature.")
    return facts


def completed_of(receipt: str | bytes) -> Completed:
    """Return what a receipt's completion commits to, without judging it; VerificationFailed where it is no receipt."""
    return _unproven(receipt)[1]


def _unproven(receipt: str | bytes) -> tuple[bytes, Completed]:
    """Read what a receipt claims, where no policy says whom to believe; VerificationFailed where it is no receipt."""
    try:
        openings = decode_canonical(parse_proof(receipt).extra or b"", Openings)
        return openings.intent.payload, decode_completed(openings.completion.payload)
    except BadInput as error:
        raise VerificationFailed(f"The receipt cannot be read: {error.detail}") from error
