"""What happens is told: signed, once for a release, again after a failure, never to where it must not go."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest
from tests.world import SUBSCRIBER, World

from privyseal.errors import BadInput, Conflict, NotFound, NotPermitted, Unavailable
from privyseal.records import deliveries, policies
from privyseal.signing import freezes, notices, posting
from privyseal.signing.freezes import Asked
from privyseal.signing.instance import Post
from privyseal.signing.posting import Message
from privyseal.terms.parties import Actor, Factor, Member, Role

BOSS = Actor(Member("M-boss", SUBSCRIBER, "boss", (Role.ADMINISTRATOR,)), (Factor.PASSKEY,))


class Receiver:
    """A real HTTP server on loopback that takes messages, or answers as it is told."""

    def __init__(self) -> None:
        self.taken: list[tuple[dict[str, str], bytes]] = []
        self.status = 204
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.taken.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(receiver.status)
                if 300 <= receiver.status < 400:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def bodies(self) -> list[dict[str, object]]:
        return [json.loads(body) for _, body in self.taken]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


def hooked(world: World, receiver: Receiver, *topics: str) -> tuple[str, str]:
    world.seal.post = Post(bytes(32), "loopback")
    hook, secret = notices.add_webhook(world.seal, BOSS, receiver.url, topics)
    return hook.id, secret


def tell(world: World) -> int:
    notices.make(world.seal)
    return notices.send(world.seal)


def listed(world: World) -> list[deliveries.Delivery]:
    with world.seal.records.reading(SUBSCRIBER) as tx:
        return deliveries.listed(tx, 50)


def test_one_release_is_told_once_and_signed(world: World, receiver: Receiver) -> None:
    """Five requests of one member become one message, which whoever has the secret can check."""
    _, secret = hooked(world, receiver, "request.released")
    world.ask([world.client(n) for n in range(3)])
    world.now += timedelta(seconds=3)
    world.ask([world.client(n) for n in range(3, 5)])
    assert tell(world) == 0
    world.now += notices.WINDOW
    assert tell(world) == 1
    [(headers, body)] = receiver.taken
    said = json.loads(body)
    assert (said["type"], said["data"]["number"], said["data"]["requester"]) == ("request.released", 5, "M-client")
    assert said["data"]["subscriber"] == SUBSCRIBER
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{mac}"
    assert tell(world) == 0
    assert len(receiver.taken) == 1


def test_standard_webhooks_own_example() -> None:
    """The example of the specification's reference implementations."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    message = Message("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert posting.signature(secret, message) == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_receiver_that_fails_is_tried_again_and_then_dead_and_can_be_replayed(
    world: World, receiver: Receiver
) -> None:
    """The same id and octets each time; after the last pause nobody tries any more, until somebody asks."""
    hooked(world, receiver, "freeze.begun")
    receiver.status = 500
    freezes.freeze(world.seal, BOSS, Asked(kind="policy", name="p", reason="a test"))
    for pause in (0, *notices.BACK_OFF):
        world.now += timedelta(seconds=pause)
        assert tell(world) == 0
        assert notices.send(world.seal) == 0  # not before its time
    [dead] = listed(world)
    assert (dead.state, dead.tries) == ("dead", len(notices.BACK_OFF) + 1)
    assert "status 500" in dead.said
    world.now += timedelta(days=3)
    assert tell(world) == 0
    receiver.status = 200
    notices.replay(world.seal, BOSS, dead.id)
    assert tell(world) == 1
    assert listed(world)[0].state == "done"
    assert len({(headers["webhook-id"], body) for headers, body in receiver.taken}) == 1
    assert len(receiver.taken) == len(notices.BACK_OFF) + 2


def test_no_redirect_is_followed(world: World, receiver: Receiver) -> None:
    """302 is no success, and nobody asks at the other place."""
    hooked(world, receiver, "freeze.begun")
    receiver.status = 302
    freezes.freeze(world.seal, BOSS, Asked(kind="policy", name="p", reason="a test"))
    assert tell(world) == 0
    assert len(receiver.taken) == 1
    assert "status 302" in listed(world)[0].said


@pytest.mark.parametrize(
    "url",
    ["http://example.org/", "ftp://example.org/", "https://", "https://u:p@example.org/", "https://a/#b", "nothing",
     "https://exa mple.org/", "https://[::1", "https://a:99999/", "https://" + "a" * 3000, "https://\u0430.org/",
     "http://127.0.0.1/"],
)  # fmt: skip
def test_urls_that_nobody_is_told_at(url: str) -> None:
    """Only https, without credentials; loopback only where the operator says so."""
    with pytest.raises(BadInput):
        posting.check_url(url, "public")


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "224.0.0.1", "0.1.2.3",
     "::1", "fe80::1%eth0", "fd00::1", "::ffff:10.0.0.1", "2002:0a00:0001::", "::",
     "64:ff9b::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe", "::7f00:1", "fec0::1"],
)  # fmt: skip
def test_addresses_inside_are_refused(address: str) -> None:
    """Whatever the name in the URL resolves to (CWE-918)."""
    with pytest.raises(BadInput, match="not a public one"):
        posting._require_allowed(address, "public")
    posting._require_allowed(address, "private")
    posting._require_allowed("::1", "loopback")
    for each in ("93.184.216.34", "64:ff9b::5db8:d822", "2606:2800:220:1::1"):
        posting._require_allowed(each, "public")


def test_a_name_that_leads_inside_is_refused_when_it_is_called(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address is judged when it is connected to, so a name that changed meanwhile does not help; it is dead."""
    hooked(world, receiver)
    hook, _ = notices.add_webhook(world.seal, BOSS, "https://hooks.example.org/x", ("webhook.test",))
    notices.try_webhook(world.seal, BOSS, hook.id)
    found = [(2, 1, 6, "", ("10.1.2.3", 443))]
    monkeypatch.setattr(posting.socket, "getaddrinfo", lambda *a, **k: found)
    assert tell(world) == 0
    assert listed(world)[0].state == "dead"
    assert "public" in listed(world)[0].said


def test_the_secret_is_nowhere_in_the_records(world: World, receiver: Receiver) -> None:
    """It is made of the service's own key whenever it is needed."""
    _, secret = hooked(world, receiver)
    stored = world.stored()
    assert secret.encode() not in stored
    assert base64.b64decode(secret.removeprefix("whsec_")) not in stored
    assert b"127.0.0.1" in stored


def test_who_waits_is_told_and_denied_is_told(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frozen key's request under way is told as refused, with the reason."""
    hooked(world, receiver, "request.refused")
    monkeypatch.setattr(policies, "governing", lambda tx, request: ("nightly",))
    freezes.freeze(world.seal, BOSS, Asked(kind="policy", name="nightly", reason="it was copied"))
    world.ask([world.client(1)])
    world.now += notices.WINDOW
    assert tell(world) == 1
    [said] = receiver.bodies()
    assert said["type"] == "request.refused"
    assert "it was copied" in json.dumps(said)


def test_nothing_is_written_where_nobody_listens(world: World) -> None:
    """No webhook, no row: signing pays one question."""
    world.seal.post = Post(bytes(32))
    world.ask([world.client(1)])
    with world.seal.records.reading_all_subscribers() as connection:
        assert deliveries.ripe_of_all_subscribers(connection, world.now + timedelta(days=1), 10) == []


def test_only_administrators_have_webhooks_and_not_without_end(world: World, receiver: Receiver) -> None:
    """Others are refused; a topic that is none, a webhook that is none; and there is a limit."""
    with pytest.raises(BadInput, match="tells nobody"):
        notices.add_webhook(world.seal, BOSS, receiver.url, ())
    hook, _ = hooked(world, receiver)
    with pytest.raises(NotPermitted):
        notices.add_webhook(world.seal, world.actor, receiver.url, ())
    with pytest.raises(BadInput, match="no topic"):
        notices.add_webhook(world.seal, BOSS, receiver.url, ("everything",))
    for _ in range(notices.MOST_WEBHOOKS - 1):
        notices.add_webhook(world.seal, BOSS, receiver.url, ())
    with pytest.raises(Conflict):
        notices.add_webhook(world.seal, BOSS, receiver.url, ())
    notices.remove_webhook(world.seal, BOSS, hook)
    for deed in (notices.remove_webhook, notices.try_webhook, notices.replay):
        with pytest.raises(NotFound):
            deed(world.seal, BOSS, hook)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Apprise imports what Python is about to drop
def test_people_are_told_through_apprise(world: World, receiver: Receiver) -> None:
    """A JSON endpoint stands for mail and chat; the URL with its password is in no record and in no error."""
    place = receiver.url.removeprefix("http://")
    world.seal.post = Post(bytes(32), "public", (f"json://secret:word@{place}",))
    receiver.status = 200
    freezes.freeze(world.seal, BOSS, Asked(kind="policy", name="p", reason="a test"))
    assert tell(world) == 1
    assert "a test" in receiver.taken[0][1].decode()
    world.seal.post = Post(bytes(32), "public", ("json://secret:word@127.0.0.1:1/", "nonsense"))
    freezes.freeze(world.seal, BOSS, Asked(kind="policy", name="q", reason="a test"))
    assert tell(world) == 0
    stored = world.stored()
    assert b"secret:word" not in stored
    assert listed(world) == []
    assert "word" not in repr(world.seal.post)


def test_a_receiver_that_is_not_there_is_no_traceback(world: World, receiver: Receiver) -> None:
    """Refused connections are Unavailable in one sentence."""
    message = Message("msg_1", 1, msgspec.json.encode({}))
    with pytest.raises(Unavailable, match="could not be reached"):
        posting.post("http://127.0.0.1:1/", message, posting.secret(bytes(32), "W-1"), "loopback")
