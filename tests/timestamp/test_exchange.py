"""HTTP to authorities on loopback that hang, drip, cut, flood and lead elsewhere: bounded, and one sentence each."""

import os
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from tests.timestamp import misbehaving
from tests.timestamp.misbehaving import Server, serving

from privyseal.errors import Misused, TimestampUnavailable, Unavailable
from privyseal.pki.chain import Anchors
from privyseal.timestamp import client as asking
from privyseal.timestamp.address import Address
from privyseal.timestamp.authorities import Authorities, Means
from privyseal.timestamp.client import Busy, Client, Disbelieved, Refused, Stamped, Trusted
from privyseal.timestamp.exchange import MOST_CONNECTIONS, Lines, split
from privyseal.timestamp.messages import MAX_RESPONSE_OCTETS, QUERY_TYPE, build_request

KNOWN = Trusted(Anchors((misbehaving.root().der,)))


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as state:
        yield state


@pytest.fixture
def lines() -> Iterator[Lines]:
    made = Lines()
    yield made
    made.close()


def client(server: Server, lines: Lines, how: str) -> Client:
    return Client(Address(server.url(how)), lines.post, os.urandom, lambda: datetime.now(UTC), KNOWN)


def test_many_values_go_over_one_connection(server: Server, lines: Lines) -> None:
    """Twenty requests, one connection; the headers are those of RFC 3161 3.4."""
    client(server, lines, "good").stamp([bytes([number]) for number in range(20)], "sha256")
    assert server.asked == {"good": 20} and server.connections == 1
    assert server.seen[0]["Content-Type"] == QUERY_TYPE and server.seen[0]["User-Agent"] == "privyseal"


def test_a_connection_that_was_closed_meanwhile_is_made_anew(server: Server, lines: Lines) -> None:
    """Nobody notices, except that there are more connections."""
    asked = client(server, lines, "closes")
    for number in range(3):
        asked.stamp([bytes([number])], "sha256")
        time.sleep(0.05)
    assert server.asked == {"closes": 3} and server.connections == 3


def test_at_most_four_connections_are_open_to_one(server: Server, lines: Lines) -> None:
    """However many threads ask."""
    server.pause = 0.02
    asked = client(server, lines, "good")
    threads = [threading.Thread(target=asked.stamp, args=([bytes([n])], "sha256")) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.asked == {"good": 16} and server.connections <= MOST_CONNECTIONS


@pytest.mark.parametrize("how", ["hangs", "drips"])
def test_who_does_not_come_to_an_end_is_ended(
    server: Server, lines: Lines, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither silence nor a header octet by octet takes longer than the limit."""
    monkeypatch.setattr(asking, "LIMIT_S", 0.4)
    began = time.monotonic()
    outcome = client(server, lines, how).ask(b"x", "sha256")
    assert isinstance(outcome, Busy) and "did not answer in time" in outcome.why
    assert time.monotonic() - began < 5


def test_an_answer_that_is_cut_short_is_none(server: Server, lines: Lines) -> None:
    """Though what came of it parses as far as it goes."""
    outcome = client(server, lines, "cut").ask(b"x", "sha256")
    assert isinstance(outcome, Busy) and "cut" in outcome.why


def test_fifty_megabytes_are_not_read(server: Server, lines: Lines) -> None:
    """One octet more than the limit is, and the rest stays where it is."""
    request = build_request("sha256", bytes(32), nonce=1)
    got = lines.post(server.url("huge"), request, QUERY_TYPE, 10.0)
    assert len(got.body) == MAX_RESPONSE_OCTETS + 1
    outcome = client(server, lines, "huge").ask(b"x", "sha256")
    assert isinstance(outcome, Disbelieved) and "more than 1048576 octets" in outcome.why


def test_a_retry_after_is_read(server: Server, lines: Lines) -> None:
    """In seconds or as a date, which is held against that of the answer; nonsense is none, a century is a number."""
    in_a_while = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    for said, read in (("7", 7.0), ("-3", 0.0), ("Fri, 31 Dec 1999 23:59:59 GMT", 0.0), ("9" * 30, 1e6), ("", None)):
        server.retry_after = said
        outcome = client(server, lines, "busy").ask(b"x", "sha256")
        assert isinstance(outcome, Busy) and outcome.retry_after == read, said
    server.retry_after = in_a_while
    outcome = client(server, lines, "busy").ask(b"x", "sha256")
    assert isinstance(outcome, Busy) and outcome.retry_after is not None and 90 <= outcome.retry_after <= 100


def test_nobody_is_led_elsewhere(server: Server, lines: Lines) -> None:
    """A redirect is a refusal, and what it leads to hears nothing."""
    outcome = client(server, lines, "moved").ask(b"x", "sha256")
    assert isinstance(outcome, Refused) and "elsewhere" in outcome.why and "good" not in server.asked


def test_nobody_there_is_said(lines: Lines) -> None:
    """A port that nobody listens on, and a name that nobody has."""
    with pytest.raises(Unavailable, match="refused"):
        lines.post("http://127.0.0.1:1/", b"", QUERY_TYPE, 2.0)
    with pytest.raises(Unavailable, match="cannot be reached"):
        lines.post("http://nobody.invalid/", b"", QUERY_TYPE, 5.0)


def test_closing_frees_who_waits(server: Server) -> None:
    """A thread that nobody needs any more does not wait out its limit."""
    lines = Lines()
    outcomes = []
    waiting = threading.Thread(target=lambda: outcomes.append(client(server, lines, "hangs").ask(b"x", "sha256")))
    waiting.start()
    while "hangs" not in server.asked:
        time.sleep(0.01)
    lines.close()
    waiting.join(5)
    assert not waiting.is_alive() and isinstance(outcomes[0], Busy)


def test_credentials_are_sent_and_not_shown(server: Server, lines: Lines) -> None:
    """As Basic, percent-decoded; over plain http to this machine only."""
    url = server.url("good").replace("http://", "http://me:p%40ss@")
    asked = Client(Address(url), lines.post, os.urandom, lambda: datetime.now(UTC), KNOWN)
    assert isinstance(asked.ask(b"x", "sha256"), Stamped)
    assert server.seen[0]["Authorization"] == "Basic bWU6cEBzcw=="
    with pytest.raises(Misused) as caught:
        split("http://me:p%40ss@tsa.example/")
    assert "ss" not in caught.value.detail.replace("password", "")


@pytest.mark.parametrize(
    "url", ["", "tsa.example", "ftp://tsa.example/", "http://", "http://a:b/", "http://x/\n", "http://x/#a"]
)
def test_what_is_no_address_is_said(url: str) -> None:
    """One sentence, before anything is sent."""
    with pytest.raises(Misused):
        split(url)


def test_a_proxy_is_told_the_whole_url(server: Server) -> None:
    """Plain http goes through it by the absolute form (RFC 9112 3.2.2)."""
    lines = Lines(proxy=lambda scheme, host: ("127.0.0.1", server.port))  # type: ignore[attr-defined]
    request = build_request("sha256", bytes(32), nonce=1)
    lines.post("http://tsa.example:81/good", request, QUERY_TYPE, 5.0)
    lines.close()
    assert list(server.asked) == ["http://tsa.example:81/good"] and server.seen[0]["Host"] == "tsa.example:81"


def test_a_whole_list_of_bad_ones_and_one_good(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every way to misbehave stands before the good one; each value is stamped, and every liar is named."""
    monkeypatch.setattr(asking, "LIMIT_S", 1.0)
    monkeypatch.setattr("privyseal.timestamp.authorities.SLOW_S", (0.05, 0.2))
    liars = ("wrong-nonce", "other-imprint", "other-purpose", "expired", "expired-issuer", "a-day-early", "garbage")
    others = ("hangs", "drips", "cut", "huge", "busy", "moved")
    lines = Lines()
    addresses = [Address(server.url(how)) for how in (*liars, *others, "good")]
    means = Means(lines.post, os.urandom, lambda: datetime.now(UTC), time.monotonic, time.sleep)
    asked = Authorities(addresses, means, KNOWN)
    tokens = asked.stamp([b"a", b"b", b"c"], "sha256")
    lines.close()
    assert [token.authority for token in tokens] == ["CN=TSU good"] * 3
    health = dict(zip((*liars, *others, "good"), asked.health(), strict=True))
    assert all(health[how].disbelieved == 1 and not health[how].open for how in (*liars, "huge"))
    assert health["good"].stamped == 3 and all(not health[how].stamped for how in (*liars, *others))


def test_who_fails_twice_is_asked_a_third_time(server: Server, lines: Lines) -> None:
    """With real pauses between, shorter ones here."""
    server.failures = 2
    rested: list[float] = []
    means = Means(lines.post, os.urandom, lambda: datetime.now(UTC), lambda: sum(rested), rested.append)
    asked = Authorities([Address(server.url("flaky"))], means, KNOWN)
    assert asked.stamp([b"a"], "sha256") and server.asked == {"flaky": 3} and len(rested) == 2
    server.failures = 99
    with pytest.raises(TimestampUnavailable, match="503"):
        asked.stamp([b"a"], "sha256")
