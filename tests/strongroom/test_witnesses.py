"""The logger publishes and answers only what a quorum of its witnesses cosigned; who lies is not counted."""

import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from tests.strongroom.logroom import ORIGIN, VERIFIER, LogRoom, client, intent, verified
from tests.strongroom.processes import wait_until
from tests.strongroom.witnessroom import Liar, WitnessProcess, say
from tests.tlog.sumdb_verifier import cosigned_with_go
from tests.tlog.test_witness import signer

from privyseal.errors import LogRolledBack, LogUnavailable, VerificationFailed
from privyseal.tlog.checkpoint import open_checkpoint
from privyseal.tlog.note import KeyType, parse_note
from privyseal.tlog.policy import parse_policy
from privyseal.tlog.witness import cosign, parse_request

LYING = signer("witness.example/liar", KeyType.COSIGNATURE_V1)


class Site:
    """A log and its witnesses."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "log").mkdir()
        self.room = LogRoom(directory / "log")
        self.processes: list[WitnessProcess] = []
        self.liars: list[Liar] = []

    def witness(self, name: str) -> WitnessProcess:
        process = WitnessProcess(self.directory, name)
        process.admit(VERIFIER.vkey)
        self.processes.append(process.start())
        self.room.witnesses.append((process.key, process.url))
        return process

    def liar(self, answer: Callable[[BaseHTTPRequestHandler, bytes], None]) -> Liar:
        self.liars.append(Liar(answer))
        self.room.witnesses.append((LYING.verifier, self.liars[-1].url))
        return self.liars[-1]

    def policy(self) -> str:
        names = [f"w{n}" for n in range(len(self.room.witnesses))]
        lines = [f"witness {name} {key.vkey}\n" for name, (key, _) in zip(names, self.room.witnesses, strict=True)]
        return f"log {VERIFIER.vkey}\n{''.join(lines)}group all {self.room.quorum} {' '.join(names)}\nquorum all\n"

    def close(self) -> None:
        for process in self.processes:
            process.kill()
        for liar in self.liars:
            liar.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.close()


def test_one_of_one_a_head_is_published_and_given_out_with_its_cosignature(site: Site):
    """A policy with the witness holds published head and answers good; the witness knows the newest head, also after
    both were started anew; without it nothing is logged, and what was asked then is completed later."""
    site.witness("w")
    site.room.quorum = 1
    policy = parse_policy(site.policy())
    logged = 0
    for step in (1, 300, 2):
        logger = site.room.logger()
        submissions = tuple(intent(n) for n in range(logged, logged + step))
        answer = verified(client(logger).append(submissions, 0), submissions)
        logged += step
        assert policy.check(answer.checkpoint).witnesses == ("w0",)
        assert (site.room.public / "checkpoint").read_bytes() == answer.checkpoint
        logger.close()
        assert site.room.check() == logged
    (process,) = site.processes
    logger = site.room.logger()
    assert client(logger).append((intent("before"),), 0).size == logged + 1
    process.kill()
    assert process.latest(ORIGIN).size == logged + 1
    for _ in range(2):
        with pytest.raises(LogUnavailable, match=r"0 of the 1 witnesses .*witness\.example/w"):
            client(logger).append((intent("meanwhile"),), 0)
    published = open_checkpoint((site.room.public / "checkpoint").read_bytes(), VERIFIER)
    assert published.size == logged + 1
    with pytest.raises(VerificationFailed):
        parse_policy(site.policy()).check(b"\n".join(answer.checkpoint.split(b"\n")[:-2]) + b"\n")
    process.start()
    after = client(logger).append((intent("after"), intent("meanwhile")), 0)
    assert [one.index for one in after.items] == [logged + 2, logged + 1]
    logger.close()
    assert site.room.check() == logged + 3
    head = site.room.public / "checkpoint"
    assert cosigned_with_go(head, VERIFIER.vkey, process.vkey).startswith("cosigned by witness.example/w at 1")
    head.write_bytes(head.read_bytes().replace(b"\n303\n", b"\n304\n").replace(b"\n306\n", b"\n307\n"))
    with pytest.raises(AssertionError, match="Go refuses"):
        cosigned_with_go(head, VERIFIER.vkey, process.vkey)
    assert [line.split(":")[0] for line in site.room.notes] == [
        "the witness witness.example/w is not counted",
        "the witness witness.example/w cosigns again",
    ]


def test_two_of_three_go_on_without_the_third(site: Site):
    """A dead, then a frozen witness is left out; when it is back it catches up from the size that it remembers."""
    for name in "abc":
        site.witness(name)
    site.room.quorum = 2
    policy = parse_policy(site.policy())
    logger = site.room.logger()
    client(logger).append((intent("first"),), 0)
    third = site.processes[2]
    third.kill()
    for n in range(5):
        assert len(policy.check(client(logger).append((intent(n),), 0).checkpoint).witnesses) == 2
    third.start()
    site.processes[0].signal(signal.SIGSTOP)
    for n in range(5, 10):
        assert policy.check(client(logger).append((intent(n),), 0).checkpoint).witnesses == ("w1", "w2")
    site.processes[0].signal(signal.SIGCONT)
    site.processes[1].kill()
    for n in range(10, 15):
        assert policy.check(client(logger).append((intent(n),), 0).checkpoint).witnesses == ("w0", "w2")
    logger.close()
    assert site.room.check() == 16


def test_a_frozen_witness_is_told_of_while_the_others_suffice(site: Site):
    """Its failure belongs to a round that is long over; an operator hears of it all the same, and of its return."""
    for name in "abc":
        site.witness(name)
    site.room.quorum, site.room.witness_seconds = 2, 0.5
    logger = site.room.logger()
    client(logger).append((intent("first"),), 0)

    def hears(words: str) -> bool:
        client(logger).append((intent(str(time.monotonic())),), 0)
        return any(words in line for line in site.room.notes)

    site.processes[0].signal(signal.SIGSTOP)
    wait_until(lambda: hears("the witness witness.example/a is not counted"))
    site.processes[0].signal(signal.SIGCONT)
    wait_until(lambda: hears("the witness witness.example/a cosigns again"))
    logger.close()


def _flipped(handler: BaseHTTPRequestHandler, octets: bytes) -> None:
    line = bytearray(cosign(parse_note(parse_request(octets).note).body, 1, LYING))
    line[-20] = line[-20] % 2 + 65
    say(handler, 200, bytes(line))


def _another_root(handler: BaseHTTPRequestHandler, octets: bytes) -> None:
    body = parse_note(parse_request(octets).note).body
    say(handler, 200, cosign(body.split(b"\n")[0] + b"\n1\n" + b"A" * 43 + b"=\n", 1, LYING))


def _another_key(handler: BaseHTTPRequestHandler, octets: bytes) -> None:
    other = signer("witness.example/other", KeyType.COSIGNATURE_V1)
    say(handler, 200, cosign(parse_note(parse_request(octets).note).body, 1, other))


def _huge(handler: BaseHTTPRequestHandler, octets: bytes) -> None:
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b"x" * 65536)


def _dripping(handler: BaseHTTPRequestHandler, octets: bytes) -> None:
    while True:
        handler.wfile.write(b"H")
        time.sleep(0.1)


def _ever_behind(handler: BaseHTTPRequestHandler, octets: bytes) -> None:
    body = parse_note(parse_request(octets).note).body
    if body.split(b"\n")[1] == b"0":
        say(handler, 200, cosign(body, 1, LYING))
    else:
        say(handler, 409, b"0\n")


LIES: dict[str, Callable[[BaseHTTPRequestHandler, bytes], None]] = {
    "bad signature": _flipped,
    "another root": _another_root,
    "another key": _another_key,
    "huge": _huge,
    "dripping": _dripping,
    "garbage": lambda handler, octets: handler.wfile.write(b"\0\xff\n" * 100),
    "empty": lambda handler, octets: say(handler, 200, b""),
    "not found": lambda handler, octets: say(handler, 404, b"<html>\x1b[31mno</html>"),
    "no size": lambda handler, octets: say(handler, 409, b"many\n"),
    "ever behind": _ever_behind,
}


@pytest.mark.parametrize("lie", LIES)
def test_a_witness_that_lies_is_never_counted(site: Site, lie: str):
    """Alone it stops the log with a sentence, and nothing is lost; beside an honest one the log goes on."""
    site.liar(LIES[lie])
    site.room.quorum = 1
    site.room.witness_seconds = 1.5
    logger = site.room.logger()
    with pytest.raises(LogUnavailable, match=r"0 of the 1 witnesses .*witness\.example/liar") as refused:
        client(logger).append((intent("a"),), 0)
    assert not isinstance(refused.value, LogRolledBack)
    assert str(refused.value).isprintable()
    logger.close()
    published = site.room.public / "checkpoint"
    assert not published.exists() or open_checkpoint(published.read_bytes(), VERIFIER).size == 0
    site.room.witnesses.insert(0, (signer("witness.example/w", KeyType.COSIGNATURE_V1).verifier, _honest(site).url))
    logger = site.room.logger()
    answer = client(logger).append((intent("b"),), 0)
    assert answer.items[0].index in (0, 1)
    assert parse_policy(site.policy()).check(answer.checkpoint).witnesses == ("w0",)
    logger.close()
    site.room.check()


def _honest(site: Site) -> Liar:
    """A witness without a memory, which a lying one stands beside."""
    own = signer("witness.example/w", KeyType.COSIGNATURE_V1)

    def answer(handler: BaseHTTPRequestHandler, octets: bytes) -> None:
        say(handler, 200, cosign(parse_note(parse_request(octets).note).body, 1, own))

    site.liars.append(Liar(answer))
    return site.liars[-1]


def test_everything_of_the_log_put_back_is_found_out_by_the_witness(site: Site):
    """Journal, mark, tiles and head of yesterday agree with each other; the witness names both sizes, and nothing is
    logged until the newest is restored."""
    site.witness("w")
    site.room.quorum = 1
    logger = site.room.logger()
    client(logger).append(tuple(intent(n) for n in range(5)), 0)
    logger.close()
    places = [site.room.journal, site.room.mark, site.room.public / "checkpoint"]
    yesterday = {each: each.read_bytes() for each in places}
    logger = site.room.logger()
    client(logger).append((intent("today"),), 0)
    logger.close()
    today = {each: each.read_bytes() for each in places}
    for each, content in yesterday.items():
        each.write_bytes(content)
    logger = site.room.logger()
    for _ in range(2):
        with pytest.raises(LogRolledBack, match=r"witness\.example/w has cosigned 6 entries .* journal holds 5"):
            client(logger).append((intent("another today"),), 0)
    logger.close()
    for each, content in today.items():
        each.write_bytes(content)
    logger = site.room.logger()
    assert client(logger).append((intent("tomorrow"),), 0).size == 7
    logger.close()


def test_a_log_that_goes_another_way_after_it_was_put_back_is_found_out(site: Site):
    """Without the witness's word the put-back log grows beside what was cosigned; with it that stops: 422 and 409."""
    process = site.witness("w")
    for count in (1, 2):
        witnesses, site.room.witnesses, site.room.quorum = site.room.witnesses, [], 0
        (site.directory / f"other{count}").mkdir()
        other = LogRoom(site.directory / f"other{count}")
        logger = other.logger()
        client(logger).append(tuple(intent(f"x{n}") for n in range(count)), 0)
        logger.close()
        site.room.witnesses, site.room.quorum = witnesses, 1
        logger = site.room.logger()
        client(logger).append((intent("a"),), 0)
        logger.close()
        other.witnesses, other.quorum = [(process.key, process.url)], 1
        logger = other.logger()
        with pytest.raises(LogRolledBack, match="another history"):
            client(logger).health()
        logger.close()


def test_a_witness_that_was_put_back_is_told_to_the_operator_and_catches_up(site: Site):
    """It cosigns again only what extends what it remembers, so the log goes on; the operator reads that it forgot."""
    process = site.witness("w")
    site.room.quorum = 1
    logger = site.room.logger()
    client(logger).append((intent("a"),), 0)
    process.kill()
    records = list(process.directory.glob("*records/*"))
    old = [each.read_bytes() for each in records]
    process.start()
    client(logger).append((intent("b"),), 0)
    process.kill()
    for record, content in zip(records, old, strict=True):
        record.write_bytes(content)
    process.start()
    assert client(logger).append((intent("c"),), 0).size == 3
    logger.close()
    assert any("knows 1 entries and had cosigned 2: it was put back" in line for line in site.room.notes)


def test_a_witness_killed_at_random_under_load_forks_nothing(site: Site):
    """kill -9 again and again while heads are cosigned: what it wrote and could not tell its 409 says; every size has
    one root, nothing acknowledged is lost, and its record is the published head."""
    process = site.witness("w")
    site.room.quorum = 1
    logger = site.room.logger()
    roots: dict[int, set[bytes]] = {}
    places: dict[int, int] = {}
    going = threading.Event()

    def load(name: int) -> None:
        for n in itertools.count(name, 4):
            while not going.is_set():
                try:
                    answer = client(logger).append((intent(n),), 0)
                except LogUnavailable as error:
                    assert not isinstance(error, LogRolledBack), error
                    continue
                head = open_checkpoint(answer.checkpoint, VERIFIER)
                roots.setdefault(head.size, set()).add(head.root)
                places[n] = answer.items[0].index
                break
            if going.is_set():
                return

    threads = [threading.Thread(target=load, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(4):
        known = len(places)
        wait_until(lambda known=known: len(places) > known + 5, 60)
        process.kill()
        process.start()
    going.set()
    for thread in threads:
        thread.join(60)
    logger.close()
    assert all(len(each) == 1 for each in roots.values())
    assert len(set(places.values())) == len(places)
    logger = site.room.logger()
    for n, index in places.items():
        assert client(logger).append((intent(n),), 0).items[0].index == index
    logger.close()
    size = site.room.check()
    process.kill()
    assert process.latest(ORIGIN).size == size
    assert not any("put back" in line or "another history" in line for line in site.room.notes)
