"""Asking other people's RFC 3161 authorities; no token leaves here unverified."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from privyseal.errors import PrivySealError, TimestampUnavailable, VerificationFailed
from privyseal.terms.signatures import DigestAlgorithm, TimestampToken
from privyseal.timestamp.messages import QUERY_TYPE, build_request, parse_response
from privyseal.timestamp.token import read_token, verify_token

NONCE_OCTETS = 16
"""Octets of randomness in a nonce, beneath a fixed top bit; most clients send 8."""


class Client:
    """One authority at one URL."""

    def __init__(
        self,
        url: str,
        post: Callable[[str, bytes, str], bytes],
        random: Callable[[int], bytes],
        policy: str | None = None,
    ) -> None:
        """Remember where and how to ask.

        ``post`` sends octets of a media type to a URL and returns the body of a successful answer, or raises
        Unavailable. ``random`` returns that many octets from a cryptographic source (nonces). ``policy`` is a dotted
        OID to insist on.
        """
        self._url = url
        self._post = post
        self._random = random
        self._policy = policy

    @property
    def host(self) -> str:
        """The authority's host, to be shown; the URL itself may hold credentials."""
        return urlsplit(self._url).hostname or "the timestamp authority"

    def stamp(self, values: Sequence[bytes], digest_algorithm: DigestAlgorithm) -> list[TimestampToken]:
        """Return one verified token for each of ``values`` (signature values), in order.

        Each is asked for with a nonce and the authority's certificates. TimestampUnavailable if one cannot be had.
        """
        return [self._stamp(value, digest_algorithm) for value in values]

    def _stamp(self, value: bytes, algorithm: DigestAlgorithm) -> TimestampToken:
        nonce = int.from_bytes(b"\x01" + self._random(NONCE_OCTETS), "big")
        digest = hashlib.new(algorithm, value).digest()
        request = build_request(algorithm, digest, nonce=nonce, policy=self._policy, certificates=True)
        try:
            token = parse_response(self._post(self._url, request, QUERY_TYPE))
            verified = verify_token(token, octets=value, nonce=nonce, policy=self._policy)
            if read_token(token)[1].digest_algorithm != algorithm:
                raise VerificationFailed(f"The timestamp is not over the {algorithm} digest that was sent.")
        except PrivySealError as error:
            raise TimestampUnavailable(f"{self.host}: {error.detail}", hint=error.hint) from error
        return verified
