"""Key sets from a provider on loopback, which is down, slow, large, or has changed its keys."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.access import platform_tokens as tokens
from tests.provider import Provider, providing

from privyseal.access import signed_tokens, workloads
from privyseal.access.platforms import PLATFORMS
from privyseal.errors import BadInput, Misused, NotAuthenticated, Unavailable
from privyseal.signing import issuers
from privyseal.signing.issuers import Issuer, Issuers, get
from privyseal.signing.workload_settings import IssuerSection, WorkloadsSection


class Clock:
    """Seconds that a test lets pass."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def provider() -> Iterator[Provider]:
    """Run one."""
    with providing() as running:
        yield running


def believed(provider: Provider, clock: Clock) -> tuple[Issuers, Issuer]:
    """Believe the provider on loopback to be GitHub's."""
    known = Issuers(
        [Issuer(platform=PLATFORMS["github"], issuer=provider.url, audience=tokens.AUDIENCE, loopback=True)], tick=clock
    )
    found = known.named(provider.url)
    assert found is not None
    return known, found


def token(kid: str = "k1") -> signed_tokens.Unread:
    """Make a token by a key of this name."""
    return signed_tokens.read(tokens.sign(tokens.claims("github"), kid=kid))


def test_keys_are_fetched_once_an_hour(provider: Provider) -> None:
    """However many tokens come."""
    clock = Clock()
    known, issuer = believed(provider, clock)
    for _ in range(5):
        assert signed_tokens.has_key(known.keys(issuer, token()), token())
    assert provider.asked == ["/.well-known/openid-configuration", "/jwks"]
    clock.now += issuers.KEPT_S
    known.keys(issuer, token())
    assert len(provider.asked) == 4


def test_an_unknown_key_is_asked_for_once_a_minute(provider: Provider) -> None:
    """A new key of the provider's is found; made-up ones cause no more than that."""
    clock = Clock()
    known, issuer = believed(provider, clock)
    known.keys(issuer, token())
    provider.keys.append(tokens.public("RS256", "k2"))
    for _ in range(50):
        assert not signed_tokens.has_key(known.keys(issuer, token("k2")), token("k2"))
    assert len(provider.asked) == 2
    clock.now += issuers.REFRESH_S
    assert signed_tokens.has_key(known.keys(issuer, token("k2")), token("k2"))
    assert len(provider.asked) == 4


def test_a_provider_that_is_down_is_unavailable(provider: Provider) -> None:
    """One sentence, safe to run again; and it is left alone for a while."""
    clock = Clock()
    known, issuer = believed(provider, clock)
    provider.answer = lambda path: (503, b"")
    for _ in range(3):
        with pytest.raises(Unavailable, match=r"could not be had: it answered with HTTP status 503\.") as down:
            known.keys(issuer, token())
        assert down.value.exit == 8
    assert len(provider.asked) == 1
    provider.answer = lambda path: None
    clock.now += issuers.DOWN_S
    assert known.keys(issuer, token())


def test_nobody_there_is_unavailable() -> None:
    """The port is closed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    silent = Provider()
    silent.url = url
    known, issuer = believed(silent, Clock())
    with pytest.raises(Unavailable, match="Connection refused"):
        known.keys(issuer, token())


BAD = {
    "ten megabytes of keys": ("/jwks", 200, b'{"keys": [' + b" " * 10_000_000 + b"]}", "more than 1048576 octets"),
    "too many keys": ("/jwks", 200, msgspec.json.encode({"keys": [{}] * 101}), "at most 100"),
    "a page": ("/jwks", 200, b"<html>", "not JSON"),
    "a redirect": ("/jwks", 302, b"", "HTTP status 302"),
    "another issuer": ("/.well-known/openid-configuration", 200, b'{"issuer": "https://x"}', "another issuer's"),
    "no key set": ("/.well-known/openid-configuration", 200, b"HERE", "names no key set"),
    "a file": ("/.well-known/openid-configuration", 200, b"FILE", "is no https address"),
    "plain http elsewhere": ("/.well-known/openid-configuration", 200, b"HTTP", "is no https address"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_a_provider_must_not_send_is_one_sentence(name: str, provider: Provider) -> None:
    """And never more than the limit is kept of it."""
    where, status, octets, words = BAD[name]
    made = {b"HERE": {}, b"FILE": {"jwks_uri": "file:///etc/passwd"}, b"HTTP": {"jwks_uri": "http://192.0.2.1/keys"}}
    if octets in made:
        octets = msgspec.json.encode({"issuer": provider.url} | made[octets])
    provider.answer = lambda path: (status, octets) if path == where else None
    known, issuer = believed(provider, Clock())
    with pytest.raises(Unavailable) as refused:
        known.keys(issuer, token())
    assert words in refused.value.detail and "\n" not in refused.value.detail


def test_a_provider_that_dribbles_is_given_up(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole document has a limit, not only each octet."""
    monkeypatch.setattr(issuers, "FETCH_LIMIT_S", -1.0)
    with pytest.raises(TimeoutError):
        get(f"{provider.url}/jwks", 1 << 20, True)


def test_plain_http_is_for_rehearsals_on_this_machine(provider: Provider) -> None:
    """Where the configuration says so, and nowhere else."""
    with pytest.raises(BadInput, match="no https address"):
        get(f"{provider.url}/jwks", 1 << 20, False)


def test_an_issuer_is_known_or_not(provider: Provider) -> None:
    """Nothing is fetched from where a token says."""
    known, _ = believed(provider, Clock())
    with pytest.raises(NotAuthenticated, match="which this service does not know"):
        known.of(token())
    assert provider.asked == []


def test_keys_can_be_pinned(tmp_path: Path) -> None:
    """For a cluster that nobody reaches; a SPIFFE trust domain needs it, and a file that is no key set is refused."""
    (tmp_path / "keys.json").write_bytes(msgspec.json.encode({"keys": [tokens.public("ES256", use="jwt-svid")]}))
    section = IssuerSection(platform="spiffe", issuer="spiffe://example.org", keys="keys.json")
    known = WorkloadsSection(audience=tokens.AUDIENCE, issuers=(section,)).known(tmp_path)
    assert known is not None
    read = signed_tokens.read(tokens.run("spiffe"))
    issuer = known.of(read)
    expected = workloads.Expected(issuer.platform, issuer.issuer, issuer.audience, tokens.NOW)
    assert workloads.verify(read, known.keys(issuer, read), expected)["sub"] == "spiffe://example.org/ci/release"
    for wrong in (
        msgspec.structs.replace(section, keys=None),
        msgspec.structs.replace(section, keys="none.json"),
        msgspec.structs.replace(section, platform="nowhere"),
    ):
        with pytest.raises(Misused):
            WorkloadsSection(audience=tokens.AUDIENCE, issuers=(wrong,)).known(tmp_path)
    (tmp_path / "keys.json").write_bytes(b"{}")
    with pytest.raises(Misused, match="no list of keys"):
        WorkloadsSection(audience=tokens.AUDIENCE, issuers=(section,)).known(tmp_path)


def test_without_an_audience_nothing_is_believed(tmp_path: Path) -> None:
    """The default of a service that was not told its own name."""
    assert WorkloadsSection().known(tmp_path) is None
