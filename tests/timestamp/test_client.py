"""The client trusts no answer: each token is verified before anyone sees it, and what goes wrong has a sentence."""

import hashlib
import os
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from tests.pki import mint
from tests.timestamp import misbehaving
from tests.timestamp.clockwork import POLICY
from tests.timestamp.misbehaving import reply

from privyseal.errors import TimestampUnavailable, Unavailable
from privyseal.pki import der
from privyseal.pki.chain import Anchors
from privyseal.timestamp.address import Address
from privyseal.timestamp.client import Busy, Client, Disbelieved, Refused, Reply, Stamped, Trusted
from privyseal.timestamp.messages import parse_request

URL = "https://user:secret@tsa.example.invalid/tsr"
VALUES = [b"signature one", b"signature two"]
KNOWN = Trusted(Anchors((misbehaving.root().der,)))


def now() -> datetime:
    return datetime.now(UTC)


def client(answer: Callable[[bytes], bytes | Reply], policy: str | None = None, trusted: Trusted = KNOWN) -> Client:
    def post(url: str, body: bytes, media_type: str, limit_s: float) -> Reply:
        assert (url, media_type) == (URL, "application/timestamp-query") and limit_s > 0
        answered = answer(body)
        return answered if isinstance(answered, Reply) else Reply(200, answered, "application/timestamp-reply")

    return Client(Address(URL, policy), post, os.urandom, now, trusted)


@pytest.mark.parametrize("digest", mint.DIGESTS)
def test_values_are_stamped_in_order(digest: str) -> None:
    """Each request has a fresh nonce and asks for certificates; each token is for its value."""
    seen = []

    def answer(body: bytes) -> bytes:
        seen.append(parse_request(body))
        return reply("good", body)

    tokens = client(answer, POLICY).stamp(VALUES, digest)  # type: ignore[arg-type]
    assert len(tokens) == 2 and all(token.authority == "CN=TSU good" for token in tokens)
    assert [request.digest for request in seen] == [hashlib.new(digest, value).digest() for value in VALUES]
    nonces = {request.nonce for request in seen}
    assert len(nonces) == 2 and all(nonce is not None and nonce.bit_length() == 129 for nonce in nonces)
    assert all(request.certificates and request.policy == POLICY for request in seen)


@pytest.mark.parametrize(
    ("how", "match"),
    [
        ("wrong-nonce", "nonce"),
        ("other-imprint", "other data"),
        ("other-digest", "other data"),
        ("other-purpose", "timestamping alone"),
        ("stranger", "No path leads"),
        ("expired", "outside its certificate's validity"),
        ("expired-issuer", "expired on"),
        ("a-day-late", "and it is .* here; at most 5 minutes"),
        ("a-day-early", "and it is .* here; at most 5 minutes"),
        ("garbage", "no timestamp response"),
        ("empty", "0 octets .* no timestamp response"),
        ("cut-token", "no timestamp response"),
        ("other-policy", r"under the policy 1\.2\.3\.4"),
    ],
)
def test_what_is_wrong_is_not_believed(how: str, match: str) -> None:
    """Each sentence names the host, and never the credentials in the URL."""
    asked = client(lambda body: reply(how, body), POLICY if how == "other-policy" else None)
    outcome = asked.ask(VALUES[0], "sha256")
    assert isinstance(outcome, Disbelieved), outcome
    with pytest.raises(TimestampUnavailable, match=match) as caught:
        asked.stamp(VALUES[:1], "sha256")
    assert "tsa.example.invalid" in caught.value.detail and "secret" not in caught.value.detail
    assert "secret" not in repr(asked.address)


def unreachable(_: bytes) -> bytes:
    raise Unavailable("connection refused")


@pytest.mark.parametrize(
    ("answer", "kind", "match"),
    [
        (unreachable, Busy, "connection refused"),
        (lambda _: Reply(429, b"", "", 7.0), Busy, "come again in 7 s"),
        (lambda _: Reply(503, b""), Busy, "status 503"),
        (lambda body: reply("no-time", body), Busy, "time source not available, the clock is off"),
        (lambda body: reply("refuses", body), Refused, "no such digest here"),
        (lambda _: Reply(404, b"nothing here"), Refused, "status 404"),
        (lambda _: Reply(301, b""), Refused, "leads elsewhere"),
        (lambda _: der.sequence(der.sequence(der.integer(3))), Busy, "waiting"),
        (lambda _: der.sequence(der.sequence(der.integer(0)), der.sequence()), Disbelieved, "ContentInfo"),
    ],
)
def test_what_passes_is_told_from_what_does_not(
    answer: Callable[[bytes], bytes | Reply], kind: type[Busy | Refused | Disbelieved], match: str
) -> None:
    """Busy is asked again, refused is not, disbelieved is told to people."""
    outcome = client(answer).ask(VALUES[0], "sha256")
    assert isinstance(outcome, kind)
    with pytest.raises(TimestampUnavailable, match=match):
        client(answer).stamp(VALUES[:1], "sha256")


def test_whom_nobody_was_named_for_is_not_judged() -> None:
    """Without anchors the chain is for the verifier; everything else is checked all the same."""
    for how in ("stranger", "expired-issuer"):
        asked = client(lambda body, how=how: reply(how, body), trusted=Trusted())  # type: ignore[misc]
        assert isinstance(asked.ask(VALUES[0], "sha256"), Stamped)
    asked = client(lambda body: reply("a-day-late", body), trusted=Trusted())
    assert isinstance(asked.ask(VALUES[0], "sha256"), Disbelieved)


def test_a_revoked_authority_is_not_used() -> None:
    """With lists, an authority that they revoke is not believed, whatever the token says."""
    serial = misbehaving.unit().loaded.serial_number
    crl = mint.crl(misbehaving.root(), {serial: mint.NOW})
    trusted = Trusted(KNOWN.anchors, (crl,))
    outcome = client(lambda body: reply("good", body), trusted=trusted).ask(VALUES[0], "sha256")
    assert isinstance(outcome, Disbelieved) and "not believed" in outcome.why
    other = Trusted(KNOWN.anchors, (mint.crl(misbehaving.root()),))
    assert isinstance(client(lambda body: reply("good", body), trusted=other).ask(VALUES[0], "sha256"), Stamped)


def test_nothing_asked_is_nothing_sent() -> None:
    """An empty list needs nobody."""
    assert client(unreachable).stamp([], "sha256") == []


def test_our_own_mistakes_are_not_hidden() -> None:
    """A digest nobody knows is the caller's fault, not the authority's."""
    with pytest.raises((ValueError, KeyError)):
        client(lambda body: body).stamp(VALUES, "sha9")  # type: ignore[arg-type]
