"""The client trusts no answer: each token is verified before anyone sees it, and every failure is one kind of error."""

import hashlib
import os
from collections.abc import Callable

import pytest
from tests.pki import mint
from tests.timestamp.clockwork import POLICY, authority, unit

from privyseal.errors import BadInput, TimestampUnavailable, Unavailable
from privyseal.pki import der
from privyseal.timestamp.client import Client
from privyseal.timestamp.messages import Failure, build_request, parse_request, rejected

URL = "https://user:secret@tsa.example.invalid/tsr"
VALUES = [b"signature one", b"signature two"]


def client(answer: Callable[[bytes], bytes], policy: str | None = None) -> Client:
    def post(url: str, body: bytes, media_type: str) -> bytes:
        assert (url, media_type) == (URL, "application/timestamp-query")
        return answer(body)

    return Client(URL, post, os.urandom, policy)


@pytest.mark.parametrize("digest", mint.DIGESTS)
def test_values_are_stamped_in_order(digest: str) -> None:
    """Each request has a fresh nonce and asks for certificates; each token is for its value."""
    ours, seen = authority(unit("ecdsa-p256")), []

    def answer(body: bytes) -> bytes:
        seen.append(parse_request(body))
        return ours.reply(body)

    tokens = client(answer, POLICY).stamp(VALUES, digest)  # type: ignore[arg-type]
    assert [token.time for token in tokens] == [mint.NOW, mint.NOW]
    assert [request.digest for request in seen] == [hashlib.new(digest, value).digest() for value in VALUES]
    nonces = {request.nonce for request in seen}
    assert len(nonces) == 2 and all(nonce is not None and nonce.bit_length() == 129 for nonce in nonces)
    assert all(request.certificates and request.policy == POLICY for request in seen)


def unreachable(_: bytes) -> bytes:
    raise Unavailable("connection refused")


def replayed(_: bytes) -> bytes:
    return authority(unit("ecdsa-p256")).reply(build_request("sha256", hashlib.sha256(VALUES[0]).digest(), nonce=9))


def for_other_data(body: bytes) -> bytes:
    asked = parse_request(body)
    return authority(unit("ecdsa-p256")).reply(build_request("sha256", bytes(32), nonce=asked.nonce))


def with_another_digest(body: bytes) -> bytes:
    asked = parse_request(body)
    hashed = hashlib.sha512(VALUES[0]).digest()
    return authority(unit("ecdsa-p256")).reply(build_request("sha512", hashed, nonce=asked.nonce))


def without_certificate(body: bytes) -> bytes:
    asked = parse_request(body)
    plain = build_request("sha256", asked.digest, nonce=asked.nonce, certificates=False)
    return authority(unit("ecdsa-p256")).reply(plain)


@pytest.mark.parametrize(
    ("answer", "match"),
    [
        (unreachable, "connection refused"),
        (lambda _: b"<html>", "DER"),
        (lambda _: rejected(Failure.TIME_NOT_AVAILABLE, "no time"), "time source not available, no time"),
        (lambda _: der.sequence(der.sequence(der.integer(0)), der.sequence()), "ContentInfo"),
        (replayed, "nonce"),
        (for_other_data, "other data"),
        (with_another_digest, "not over the sha256 digest"),
        (without_certificate, "does not carry"),
    ],
)
def test_every_failure_is_timestamp_unavailable(answer: Callable[[bytes], bytes], match: str) -> None:
    """The walk acts the same on all of them; the sentence names the host, never the credentials in the URL."""
    with pytest.raises(TimestampUnavailable, match=match) as caught:
        client(answer).stamp(VALUES[:1], "sha256")
    assert "tsa.example.invalid" in caught.value.detail and "secret" not in caught.value.detail


def test_the_policy_is_insisted_on() -> None:
    """An authority that stamps under a policy of its own does not serve."""

    def answer(body: bytes) -> bytes:
        asked = parse_request(body)
        return authority(unit("ecdsa-p256")).reply(build_request("sha256", asked.digest, nonce=asked.nonce))

    with pytest.raises(TimestampUnavailable, match="policy"):
        client(answer, "1.2.3").stamp(VALUES[:1], "sha256")
    assert client(answer).stamp([], "sha256") == []


def test_our_own_mistakes_are_not_hidden() -> None:
    """A digest nobody knows is the caller's fault, not the authority's."""
    with pytest.raises((BadInput, ValueError, KeyError)):
        client(lambda body: body).stamp(VALUES, "sha9")  # type: ignore[arg-type]
