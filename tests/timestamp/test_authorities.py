"""Of several authorities one stamps: who is slow, busy or lying costs a moment, and never a wrong token."""

import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from tests.timestamp import misbehaving
from tests.timestamp.misbehaving import reply

from privyseal.errors import BadInput, TimestampUnavailable, Unavailable
from privyseal.pki.chain import Anchors
from privyseal.timestamp import authorities
from privyseal.timestamp.address import Address
from privyseal.timestamp.authorities import Authorities, Means
from privyseal.timestamp.client import Reply, Trusted

KNOWN = Trusted(Anchors((misbehaving.root().der,)))
Answer = Callable[[bytes], bytes | Reply]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is slow unless a test says when: machines that run tests are."""
    monkeypatch.setattr(authorities, "SLOW_S", (20.0, 30.0))


class Room:
    """A clock that goes on only by resting, and authorities by name that do as they are told."""

    def __init__(self, **ways: Answer | str) -> None:
        self.elapsed = 100.0
        self.rested: list[float] = []
        self.asked: list[str] = []
        self.times: list[float] = []
        self.ways = ways
        self.guard = threading.Lock()

    def rest(self, seconds: float) -> None:
        with self.guard:
            self.rested.append(seconds)
            self.elapsed += seconds

    def post(self, url: str, body: bytes, media_type: str, limit_s: float) -> Reply:
        name = url.removeprefix("http://").partition(".")[0]
        with self.guard:
            self.asked.append(name)
            self.times.append(self.elapsed)
        way = self.ways[name]
        answered = reply(way, body) if isinstance(way, str) else way(body)
        return answered if isinstance(answered, Reply) else Reply(200, answered)

    def opened(self, every_s: float = 0.0, trusted: Trusted = KNOWN) -> Authorities:
        means = Means(self.post, os.urandom, lambda: datetime.now(UTC), lambda: self.elapsed, self.rest)
        addresses = [Address(f"http://{name}.example/", every_s=every_s) for name in self.ways]
        return Authorities(addresses, means, trusted)


def refuses_to_connect(_: bytes) -> bytes:
    raise Unavailable("Connection refused.")


def test_the_first_of_the_list_is_asked_first() -> None:
    """As long as it answers, nobody else hears of it."""
    room = Room(one="good", two="good")
    assert len(room.opened().stamp([b"a", b"b", b"c"], "sha256")) == 3
    assert room.asked == ["one"] * 3 and room.rested == []


@pytest.mark.parametrize(
    "how",
    ["wrong-nonce", "other-imprint", "other-purpose", "stranger", "a-day-late", "garbage", "cut-token", "expired"],
)
def test_who_is_not_believed_is_left_alone_and_named(how: str) -> None:
    """The second one stamps; the first is closed for minutes, and its health says why."""
    room = Room(liar=how, two="good")
    asked = room.opened()
    assert [token.authority for token in asked.stamp([b"a", b"b"], "sha256")] == ["CN=TSU good"] * 2
    assert room.asked == ["liar", "two", "two"]
    liar, two = asked.health()
    assert (liar.open, liar.disbelieved, liar.stamped) == (False, 1, 0) and liar.last_failure
    assert (two.open, two.stamped, two.last_failure) == (True, 2, None)
    room.elapsed += authorities.DISBELIEVED_S + 1
    asked.stamp([b"c"], "sha256")
    assert room.asked[3:] == ["liar", "two"]


def test_one_that_is_busy_is_asked_again_when_it_said() -> None:
    """A Retry-After is waited for, to the second, where nobody else is there."""
    answers = iter([Reply(429, b"", "", 7.0), None])
    room = Room(one=lambda body: next(answers) or reply("good", body))
    room.opened().stamp([b"a"], "sha256")
    assert room.asked == ["one", "one"] and room.times[1] - room.times[0] == pytest.approx(7.0)


def test_while_one_is_closed_the_other_is_asked() -> None:
    """And the first again once its time is over."""
    room = Room(one=lambda _: Reply(503, b"", "", 300.0), two="good")
    asked = room.opened()
    asked.stamp([b"a", b"b"], "sha256")
    assert room.asked == ["one", "two", "two"] and room.rested == []
    room.ways["one"] = "good"
    room.elapsed += 301
    asked.stamp([b"c"], "sha256")
    assert room.asked[-1] == "one"


def test_pauses_double_and_end() -> None:
    """Four times in all, each pause at least twice the last; then it is unavailable, with what was heard."""
    room = Room(one=refuses_to_connect)
    with pytest.raises(TimestampUnavailable, match=r"one\.example: Connection refused\.") as caught:
        room.opened().stamp([b"a"], "sha256")
    assert caught.value.exit == 8 and len(room.asked) == authorities.TRIES
    pauses = [later - earlier for earlier, later in pairwise(room.times)]
    assert [pytest.approx(pause, rel=0.5) for pause in (0.6, 1.2, 2.4)] == pauses
    assert all(later > earlier for earlier, later in pairwise(pauses))


def test_nobody_sleeps_in_our_hands() -> None:
    """An hour of Retry-After is not waited for: the sentence says when to come again."""
    room = Room(one=lambda _: Reply(429, b"", "", 3599.0))
    with pytest.raises(TimestampUnavailable) as caught:
        room.opened().stamp([b"a"], "sha256")
    assert "3599 s" in (caught.value.hint or "") and room.rested == [] and len(room.asked) == 1
    forever = Room(one=lambda _: Reply(429, b"", "", 1e9))
    asked = forever.opened()
    with pytest.raises(TimestampUnavailable):
        asked.stamp([b"a"], "sha256")
    forever.elapsed += authorities.LONGEST_RETRY_S + 1
    forever.ways["one"] = "good"
    assert asked.stamp([b"a"], "sha256")


def test_a_refusal_is_not_repeated_and_closes_nobody() -> None:
    """It would say the same of this value again; of another one it may not."""
    room = Room(one="refuses")
    asked = room.opened()
    with pytest.raises(TimestampUnavailable, match="no such digest here"):
        asked.stamp([b"a"], "sha256")
    assert room.asked == ["one"]
    room.ways["one"] = "good"
    assert asked.stamp([b"b"], "sha256")


def test_all_that_was_heard_is_told() -> None:
    """One sentence for each, and where clocks disagree the hint that it may be ours."""
    room = Room(a=refuses_to_connect, b="a-day-late", c=lambda _: Reply(500, b""), d="refuses")
    with pytest.raises(TimestampUnavailable) as caught:
        room.opened().stamp([b"a"], "sha256")
    for name in room.ways:
        assert f"{name}.example: " in caught.value.detail
    assert "the clock of this machine" in (caught.value.hint or "")


def test_a_slow_one_is_overtaken(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while a second is asked as well, and the first good answer counts; the slow one is waited for no more."""
    monkeypatch.setattr(authorities, "SLOW_S", (0.02, 0.1))
    let_go = threading.Event()

    def slow(body: bytes) -> bytes:
        let_go.wait(20)
        return reply("good", body)

    room = Room(slow=slow, two="good")
    asked = room.opened()
    began = time.monotonic()
    try:
        asked.stamp([b"a"], "sha256")
        assert time.monotonic() - began < 5 and room.asked == ["slow", "two"]
    finally:
        let_go.set()


def test_a_slow_one_may_still_win(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second answers with nonsense; the first, late but good, is taken."""
    monkeypatch.setattr(authorities, "SLOW_S", (0.02, 0.05))

    def slow(body: bytes) -> bytes:
        time.sleep(0.3)
        return reply("good", body)

    room = Room(slow=slow, liar="wrong-nonce")
    assert room.opened().stamp([b"a"], "sha256") and room.asked == ["slow", "liar"]


def test_when_it_is_slow_is_learnt() -> None:
    """Twenty answers of an authority say what is late for it."""
    room = Room(one="good", two="good")
    asked = room.opened()
    member = asked._members[0]
    least, most = authorities.SLOW_S
    assert member.slow_after() == most
    asked.stamp([bytes([number]) for number in range(authorities.KNOWN)], "sha256")
    assert member.slow_after() == least
    assert asked.health()[0].median_ms == 0.0


def test_the_pace_of_an_operator_is_kept() -> None:
    """15 s between two requests, whoever asks; the next authority is asked meanwhile."""
    alone = Room(one="good")
    alone.opened(every_s=15.0).stamp([b"a", b"b", b"c"], "sha256")
    assert [later - earlier for earlier, later in pairwise(alone.times)] == [15.0, 15.0]
    both = Room(one="good", two="good")
    both.opened(every_s=15.0).stamp([b"a", b"b", b"c"], "sha256")
    assert both.asked == ["one", "two", "one"]


def test_a_limit_ends_all_waiting() -> None:
    """Within 10 s nobody waits for a pace of 15, for a Retry-After of 11, or for the fourth try of a dead one."""
    paced = Room(one="good")
    asked = paced.opened(every_s=15.0)
    asked.stamp([b"a"], "sha256", within=10.0)
    with pytest.raises(TimestampUnavailable):
        asked.stamp([b"b"], "sha256", within=10.0)
    assert paced.asked == ["one"] and not paced.rested
    asked.stamp([b"b"], "sha256", within=16.0)
    assert paced.rested == [15.0]
    for way in (lambda _: Reply(429, b"", retry_after=11.0), refuses_to_connect):
        busy = Room(one=way)
        with pytest.raises(TimestampUnavailable):
            busy.opened().stamp([b"a"], "sha256", within=1.2 if way is refuses_to_connect else 10.0)
        assert len(busy.asked) == (2 if way is refuses_to_connect else 1) and sum(busy.rested) <= 1.2


def test_who_does_not_answer_in_time_is_left_to_itself() -> None:
    """A second of a real clock, though the one that is asked needs three."""
    gone = threading.Event()
    room = Room(one=lambda body: (gone.wait(3), reply("good", body))[1])
    means = Means(room.post, os.urandom, lambda: datetime.now(UTC), time.monotonic, time.sleep)
    began = time.monotonic()
    with pytest.raises(TimestampUnavailable):
        Authorities([Address("http://one.example/")], means, KNOWN).stamp([b"a"], "sha256", within=0.5)
    took = time.monotonic() - began
    gone.set()
    assert took < 2.5


def test_many_threads_share_one_list() -> None:
    """None loses a token, none gets another's."""
    room = Room(one="good", two="wrong-nonce")
    asked = room.opened()
    found: dict[int, bytes] = {}

    def work(number: int) -> None:
        found[number] = asked.stamp([b"%d" % number], "sha256")[0].der

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found.values())) == 16 and asked.health()[0].stamped == 16


def test_a_list_is_bounded_and_names_each_once() -> None:
    """None, seventeen, or one twice: a sentence."""
    for addresses in ([], [Address("http://a/")] * 2, [Address(f"http://{n}/") for n in range(17)]):
        with pytest.raises(BadInput):
            Authorities(addresses, Means(Room().post, os.urandom, lambda: datetime.now(UTC), lambda: 0.0, time.sleep))


def test_our_own_mistakes_are_not_hidden() -> None:
    """What asking fails with that is no outcome comes to the caller, from whichever thread."""
    with pytest.raises((ValueError, KeyError)):
        Room(one="good").opened().stamp([b"a"], "sha9")  # type: ignore[arg-type]
