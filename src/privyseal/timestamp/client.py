"""Asking one RFC 3161 authority; no token leaves here unverified.

What an authority may do is a value and not an exception: it stamps, it is busy, it refuses, or it answers something
that must not be believed. ``authorities.py`` acts differently on each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

import msgspec

from privyseal.errors import BadInput, PrivySealError, TimestampUnavailable, Unavailable, VerificationFailed
from privyseal.pki import certificates, chain
from privyseal.pki.chain import Anchors
from privyseal.terms.signatures import DigestAlgorithm, TimestampToken
from privyseal.timestamp.address import Address
from privyseal.timestamp.messages import MAX_RESPONSE_OCTETS, QUERY_TYPE, build_request, parse_response
from privyseal.timestamp.token import read_token, token_certificates, verify_token
from privyseal.timestamp.worth import CLOCK_SKEW, words

NONCE_OCTETS = 16
"""Octets of randomness in a nonce, beneath a fixed top bit; most clients send 8."""

LIMIT_S = 15.0
"""Seconds for one whole answer, connection and all; jsign waits 10 s for one, public authorities take under 1."""

BUSY_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP statuses after which the same request may be sent again (RFC 9110 15)."""

_PASSING = ("time source not available", "system failure", "waiting")
"""Words of ``messages.py`` for refusals that pass by themselves: timeNotAvailable, systemFailure, status waiting."""


class Reply(NamedTuple):
    """An HTTP answer, whatever its status."""

    status: int
    body: bytes
    media_type: str = ""
    retry_after: float | None = None
    """Seconds, where the answer has a Retry-After (RFC 9110 10.2.3)."""


class Post(Protocol):
    """The way to authorities, handed in."""

    def __call__(self, url: str, body: bytes, media_type: str, limit_s: float) -> Reply:
        """POST octets to a URL and return the whole answer within so many seconds; Unavailable where none comes."""
        ...


class Trusted(msgspec.Struct, frozen=True):
    """Whom to believe before a token is used; None: whoever answers, for somebody else will judge."""

    anchors: Anchors | None = None
    crls: tuple[bytes, ...] = ()
    """DER. If there are any, every certificate below an anchor must be covered by one."""


class Stamped(msgspec.Struct, frozen=True):
    """A token that was verified."""

    token: TimestampToken


class Busy(msgspec.Struct, frozen=True):
    """Nobody answers, or not now: to be asked again, after ``retry_after`` seconds where that is said."""

    why: str
    retry_after: float | None = None


class Refused(msgspec.Struct, frozen=True):
    """An answer that says no, and would again."""

    why: str


class Disbelieved(msgspec.Struct, frozen=True):
    """An answer that is not what was asked for, or comes from whom nobody believes."""

    why: str
    hint: str | None = None


Outcome = Stamped | Busy | Refused | Disbelieved
"""What asking once may come to."""


class Client:
    """One authority at one URL. Safe to use from several threads."""

    def __init__(
        self,
        address: Address,
        post: Post,
        random: Callable[[int], bytes],
        now: Callable[[], datetime],
        trusted: Trusted,
    ) -> None:
        """Remember where and how to ask.

        ``random`` returns that many octets from a cryptographic source (nonces), ``now`` the moment by a clock that
        tokens are held against.
        """
        self.address = address
        self._post = post
        self._random = random
        self._now = now
        self._trusted = trusted

    @property
    def host(self) -> str:
        """The authority's host, to be shown."""
        return self.address.host

    def stamp(self, values: Sequence[bytes], digest_algorithm: DigestAlgorithm) -> list[TimestampToken]:
        """Return one verified token for each of ``values`` (signature values), in order, each asked for once.

        TimestampUnavailable if one cannot be had.
        """
        found: list[TimestampToken] = []
        for value in values:
            outcome = self.ask(value, digest_algorithm)
            if not isinstance(outcome, Stamped):
                hint = outcome.hint if isinstance(outcome, Disbelieved) else None
                raise TimestampUnavailable(f"{self.host}: {outcome.why}", hint=hint)
            found.append(outcome.token)
        return found

    def ask(self, value: bytes, algorithm: DigestAlgorithm) -> Outcome:
        """Ask once, with a nonce and for the authority's certificates, and verify what comes back."""
        nonce = int.from_bytes(b"\x01" + self._random(NONCE_OCTETS), "big")
        digest = hashlib.new(algorithm, value).digest()
        request = build_request(algorithm, digest, nonce=nonce, policy=self.address.policy, certificates=True)
        try:
            reply = self._post(self.address.url, request, QUERY_TYPE, LIMIT_S)
        except Unavailable as error:
            return Busy(error.detail)
        if reply.status >= 300:
            return _no(reply)
        try:
            octets = parse_response(reply.body)
        except TimestampUnavailable as error:
            passing = any(text in error.detail for text in _PASSING)
            return Busy(error.detail, reply.retry_after) if passing else Refused(error.detail)
        except BadInput as error:
            return Disbelieved(f"The answer, {_described(reply)}, is no timestamp response: {error.detail}")
        return self._judged(octets, value, algorithm, nonce)

    def _judged(self, octets: bytes, value: bytes, algorithm: DigestAlgorithm, nonce: int) -> Outcome:
        """Verify a token: nonce, imprint, policy, signature, purpose, clock, and the chain where anchors are known."""
        try:
            token = verify_token(octets, octets=value, nonce=nonce, policy=self.address.policy)
            if read_token(octets)[1].digest_algorithm != algorithm:
                raise VerificationFailed(f"The timestamp is not over the {algorithm} digest that was sent.")
            now = self._now()
            if abs(token.time - now) > CLOCK_SKEW:
                return Disbelieved(
                    f"The timestamp says {words(token.time)}, and it is {words(now)} here; at most "
                    f"{CLOCK_SKEW.total_seconds() / 60:.0f} minutes between two clocks are believed.",
                    "if other authorities say so too, it is the clock of this machine that is wrong",
                )
            self._check_chain(octets, token.time)
        except PrivySealError as error:
            return Disbelieved(error.detail, error.hint)
        return Stamped(token)

    def _check_chain(self, octets: bytes, at: datetime) -> None:
        if self._trusted.anchors is None:
            return
        own, *others = token_certificates(octets)
        certificates.read(own)
        judgement = chain.judge(own, tuple(others), self._trusted.anchors, self._trusted.crls, at, "timestamping")
        if judgement.verdict != "valid":
            raise VerificationFailed(
                f"Its authority is not believed: {judgement.problems[0].text}",
                hint="name its root as well: --trust root.pem",
            )


def _no(reply: Reply) -> Busy | Refused:
    said = f"It answered with HTTP status {reply.status}"
    if reply.status in BUSY_STATUSES:
        after = "" if reply.retry_after is None else f", to come again in {reply.retry_after:.0f} s"
        return Busy(f"{said}{after}.", reply.retry_after)
    if reply.status < 400:
        return Refused(f"{said}, which leads elsewhere; its URL is to be the last one.")
    return Refused(f"{said}.")


def _described(reply: Reply) -> str:
    kind = reply.media_type.partition(";")[0].strip()[:60]
    shown = "".join(character for character in kind if character.isprintable())
    size = f"more than {MAX_RESPONSE_OCTETS}" if len(reply.body) > MAX_RESPONSE_OCTETS else str(len(reply.body))
    return f"{size} octets of {shown or 'no type'}"
