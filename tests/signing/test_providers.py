"""Sign-in at a provider that is not ours, on loopback, and every token that must not be believed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from tests.world import World

from privyseal.access import oidc, signed_tokens
from privyseal.access.sealed import Sealer
from privyseal.errors import NotAuthenticated, PrivySealError, Unavailable
from privyseal.signing import enrol, people, signin
from privyseal.signing.gatehouse import Gatehouse, Provider
from privyseal.signing.instance import PrivySeal
from privyseal.terms.parties import Factor, Role

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what the provider is made of, in its thread

REDIRECT = "http://localhost:8470/console/provider/callback"
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
ISSUER = "https://idp.example"
RSA = RSAKey.import_key(rsa.generate_private_key(65537, 2048), {"kid": "r"})
EC = ECKey.import_key(ec.generate_private_key(ec.SECP256R1()), {"kid": "e"})
KEYS = oidc.key_set(json.dumps({"keys": [RSA.as_dict(private=False), EC.as_dict(private=False)]}).encode())


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """Run a real provider on loopback."""
    import oidc_provider_mock

    with oidc_provider_mock.run_server_in_thread() as server:
        yield f"http://localhost:{server.server_port}"


def gate(issuer: str, **more: Any) -> Gatehouse:
    known = Provider(name="idp", issuer=issuer, client_id="seal", client_secret="s3cret")
    return Gatehouse(Sealer(secrets.token_bytes(32), secrets.token_bytes), None, [known], **more)


@pytest.fixture
def seal(world: World, provider: str) -> PrivySeal:
    world.now = datetime.now(UTC)
    world.seal.gatehouse = gate(provider)
    return world.seal


def there(url: str, subject: str) -> dict[str, str]:
    """Sign in at the provider as somebody; return what the browser brings back."""
    answer = httpx2.post(url, data={"sub": subject}, follow_redirects=False, trust_env=False)
    return dict(parse_qsl(urlsplit(answer.headers["location"]).query))


def test_an_identity_opens_for_the_member_it_was_linked_to(seal: PrivySeal) -> None:
    """Linked by an invitation; a stranger's identity opens nothing; a code, a state and a note count once."""
    member = enrol.member(seal, "demo", "ada", (Role.APPROVER,), workload=False)
    invitation = people.invite(seal, None, "demo", member.id, "ada")
    url, note = signin.begin_at_provider(seal, "idp", REDIRECT, after="/console/", invitation=invitation)
    came = there(url, "subject-1")
    found = signin.identity_at_provider(seal, note, came, REDIRECT)
    people.link(seal, member, found.issuer, found.subject, signin.away(seal, note).invitation)
    with pytest.raises(NotAuthenticated):  # the code was used
        signin.identity_at_provider(seal, note, came, REDIRECT)

    url, note = signin.begin_at_provider(seal, "idp", REDIRECT, after="/console/", invitation="")
    came = there(url, "subject-1")
    for wrong in ({"state": "x"}, {"state": ""}, {"iss": "https://evil.example"}, {"code": ""}, {"error": "no"}):
        with pytest.raises(NotAuthenticated):
            signin.identity_at_provider(seal, note, came | wrong, REDIRECT)
    found = signin.identity_at_provider(seal, note, came, REDIRECT)
    proof = signin.by_identity(seal, found, note)
    assert (proof.member.id, proof.factors, proof.whole) == (member.id, (Factor.OIDC,), False)
    for _ in range(20):
        with pytest.raises(NotAuthenticated, match="used already"):
            signin.by_identity(seal, found, note)

    url, note = signin.begin_at_provider(seal, "idp", REDIRECT, after="/console/", invitation="")
    stranger = signin.identity_at_provider(seal, note, there(url, "subject-2"), REDIRECT)
    with pytest.raises(NotAuthenticated, match="not linked"):
        signin.by_identity(seal, stranger, note)
    url, note = signin.begin_at_provider(seal, "idp", REDIRECT, after="/console/", invitation="")
    other_url, other = signin.begin_at_provider(seal, "idp", REDIRECT, after="/console/", invitation="")
    with pytest.raises(NotAuthenticated):  # a code that somebody else's browser asked for
        signin.identity_at_provider(seal, note, there(other_url, "subject-1"), REDIRECT)
    assert other != note


def claims(**changes: Any) -> dict[str, Any]:
    at = int(NOW.timestamp())
    plain = {"iss": ISSUER, "sub": "s", "aud": "seal", "nonce": "n", "iat": at, "exp": at + 300}
    return {name: value for name, value in (plain | changes).items() if value is not None}


def token(key: Any = RSA, alg: str = "RS256", header: dict[str, Any] | None = None, **changes: Any) -> str:
    return jwt.encode({"alg": alg, "kid": key.kid or ""} | (header or {}), claims(**changes), key, algorithms=[alg])


def believed(given: str, now: datetime = NOW) -> oidc.Identity:
    return oidc.identity(signed_tokens.read(given.encode()), KEYS, issuer=ISSUER, client_id="seal", nonce="n", now=now)


def unsigned(alg: str) -> str:
    parts = [{"alg": alg, "kid": "r"}, claims()]
    return ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in parts) + "."


def confused() -> str:
    """Sign with HMAC under the issuer's public key (RFC 8725 2.1); the library itself would refuse to."""
    pem = RSA.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signed = unsigned("HS256").rstrip(".")
    mac = hmac.new(pem, signed.encode(), hashlib.sha256).digest()
    return signed + "." + base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


AT = int(NOW.timestamp())
BAD = {
    "expired": lambda: token(exp=AT - 121),
    "from the future": lambda: token(iat=AT + 121),
    "not before": lambda: token(nbf=AT + 121),
    "long ago": lambda: token(iat=AT - 3600),
    "without exp": lambda: token(exp=None),
    "without iat": lambda: token(iat=None),
    "times that are none": lambda: token(exp="soon"),
    "a boolean time": lambda: token(exp=True),
    "another audience": lambda: token(aud="other"),
    "no audience": lambda: token(aud=None),
    "many, made for another": lambda: token(aud=["seal", "x"], azp="x"),
    "many, made for nobody": lambda: token(aud=["seal", "x"]),
    "another issuer": lambda: token(iss="https://evil.example"),
    "an issuer with a slash": lambda: token(iss=ISSUER + "/"),
    "another nonce": lambda: token(nonce="m"),
    "no nonce": lambda: token(nonce=None),
    "no subject": lambda: token(sub=None),
    "an endless subject": lambda: token(sub="s" * 256),
    "a subject with NUL": lambda: token(sub="s\0"),
    "unsigned": lambda: token().rpartition(".")[0] + ".",
    "alg none": lambda: unsigned("none"),
    "alg None": lambda: unsigned("None"),
    "key confusion": confused,
    "a stranger's key": lambda: token(RSAKey.generate_key(2048, {"kid": "r"})),
    "its own key": lambda: token(
        own := RSAKey.generate_key(2048, {"kid": "x"}), header={"jwk": own.as_dict(private=False)}
    ),
    "a changed claim": lambda: token()[:60] + "A" + token()[61:],
    "nothing": lambda: "",
    "too large": lambda: "a" * (signed_tokens.LARGEST_TOKEN + 1),
    "not a token": lambda: "a.b.c",
}


@pytest.mark.parametrize("name", BAD)
def test_a_token_that_is_not_right_is_refused_in_one_sentence(name: str) -> None:
    """NotAuthenticated, one sentence, and what to do."""
    with pytest.raises(NotAuthenticated) as told:
        believed(BAD[name]())
    assert told.value.detail.count(". ") == 0 and told.value.detail.endswith(".") and told.value.hint


def test_a_token_need_not_name_the_only_key_and_must_name_one_of_two() -> None:
    """OpenID Connect Core 10.1."""
    nameless = RSAKey.import_key({name: value for name, value in RSA.as_dict(private=True).items() if name != "kid"})
    given = signed_tokens.read(jwt.encode({"alg": "RS256"}, claims(), nameless, algorithms=["RS256"]).encode())
    assert "kid" not in given.header
    known = {"issuer": ISSUER, "client_id": "seal", "nonce": "n", "now": NOW}
    assert oidc.identity(given, KEYS[:1], **known).subject == "s"
    for keys in (KEYS, KEYS[1:], []):
        with pytest.raises(NotAuthenticated):
            oidc.identity(given, keys, **known)


def test_a_token_that_is_right_is_believed_within_the_skew() -> None:
    """Either algorithm, two minutes of skew, several audiences for us; amr and acr are the provider's word."""
    for key, alg in ((RSA, "RS256"), (RSA, "PS256"), (EC, "ES256")):
        assert believed(token(key, alg)).subject == "s"
    assert believed(token(exp=AT - 119)).subject == "s"
    assert believed(token(iat=AT + 119)).subject == "s"
    assert believed(token(aud=["x", "seal"], azp="seal", amr=["pwd", "otp"], acr="high")).said == "amr=pwd,otp acr=high"


@contextmanager
def answering(body: bytes, status: int = 200, delay: float = 0.0) -> Iterator[str]:
    """Run a provider that answers everything with one thing."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(delay)
            said = body.replace(b"ISSUER", issuer.encode())
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(said)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


DISCOVERY = json.dumps(
    dict.fromkeys(("authorization_endpoint", "token_endpoint", "jwks_uri"), "ISSUER/x") | {"issuer": "ISSUER"}
).encode()
BROKEN = {
    "not JSON": (b"<html>", 200),
    "another's": (DISCOVERY.replace(b'"ISSUER"', b'"https://evil.example"'), 200),
    "plain http elsewhere": (DISCOVERY.replace(b"ISSUER/x", b"http://evil.example/x"), 200),
    "an error": (b"{}", 500),
    "a redirect": (b"", 302),
    "ten megabytes": (b"[" * 10_000_000, 200),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_provider_that_is_out_of_order_is_told_in_one_sentence(name: str) -> None:
    """Unavailable, and nobody else's sign-in suffers."""
    body, status = BROKEN[name]
    with answering(body, status) as issuer:
        made = gate(issuer)
        with pytest.raises(Unavailable) as told:
            made.endpoints(made.provider("idp"))
    assert told.value.detail.endswith(".")


def test_a_provider_that_is_down_or_hangs_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens, or nobody answers: within the limit."""
    with answering(b"") as issuer:
        pass
    with pytest.raises(Unavailable, match="does not answer"):
        gate(issuer).endpoints(Provider(name="idp", issuer=issuer, client_id="seal"))
    monkeypatch.setattr("privyseal.signing.gatehouse.TIMEOUT_S", 0.3)
    with answering(DISCOVERY, delay=2.0) as issuer:
        began = time.monotonic()
        with pytest.raises(Unavailable, match="does not answer"):
            gate(issuer).endpoints(Provider(name="idp", issuer=issuer, client_id="seal"))
        assert time.monotonic() - began < 1.5


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys": 1}',
        b'{"keys": []}',
        b'{"keys": [1, null, {"kty": "RSA"}]}',
        b'{"keys": [{"kty": "oct", "k": "AAAA"}]}',
        json.dumps({"keys": [RSA.as_dict(private=False)] * 101}).encode(),
        b'{"keys": ' + b"[" * 100_000,
    ],
    ids=["empty", "list", "none", "number", "no key", "broken keys", "a secret", "too many", "deep"],
)
def test_a_key_set_that_cannot_verify_is_refused(octets: bytes) -> None:
    """Unavailable, never a traceback."""
    with pytest.raises(Unavailable):
        oidc.key_set(octets)


def test_ten_megabytes_of_keys_are_not_read() -> None:
    """The set is cut off at its limit, in one sentence."""
    with answering(b"k" * 10_000_000) as issuer:
        made = gate(issuer)
        with pytest.raises(Unavailable, match="larger than"):
            made._published(issuer + "/keys")


def test_seeded_mutations_of_a_token_are_never_believed() -> None:
    """Of 300 tokens with one octet changed none is believed, and none is a traceback."""
    good = token(EC, "ES256")
    for n in range(300):
        at = (n * 7919) % (len(good) - 1)
        changed = good[:at] + chr(33 + (ord(good[at]) + n) % 90) + good[at + 1 :]
        if changed != good:
            with pytest.raises(PrivySealError):
                believed(changed)


def test_the_way_back_is_open_for_ten_minutes(seal: PrivySeal, world: World) -> None:
    """Then the note is too old, whatever the provider says."""
    _, note = signin.begin_at_provider(seal, "idp", REDIRECT, after="/console/", invitation="")
    world.now += timedelta(minutes=10)
    with pytest.raises(NotAuthenticated, match="too long"):
        signin.away(seal, note)
