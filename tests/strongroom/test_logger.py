"""The logger gives each entry one place for ever, proves it, and never signs what it cannot stand by."""

import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.strongroom.logroom import VERIFIER, LogRoom, client, completion, intent, statement, verified

from privyseal.errors import BadInput, Conflict, LogRolledBack, LogUnavailable, TooLarge
from privyseal.strongroom.logger import MAX_SUBMISSIONS, Logger
from privyseal.strongroom.messages import Logged, SignerHealth, Submission
from privyseal.tlog.checkpoint import open_checkpoint
from privyseal.tlog.entry import IntentSubmission, encode
from privyseal.tlog.merkle import EMPTY_ROOT, leaf_hash, verify_consistency, verify_inclusion

Submissions = tuple[Submission, ...]


@pytest.fixture
def room(tmp_path: Path) -> LogRoom:
    return LogRoom(tmp_path)


@pytest.fixture
def logger(room: LogRoom) -> Iterator[Logger]:
    logger = room.logger()
    yield logger
    logger.close()
    assert room.notes == []


def test_entries_get_contiguous_places_and_each_key_its_own_sequence(logger: Logger):
    """Indexes have no gap over all, sequence numbers none for each key; everything is proven."""
    submissions = tuple(intent(n, tag) for n in range(300) for tag in ("one", "two"))
    answer = verified(client(logger).append(submissions, 0), submissions)
    assert [logged.index for logged in answer.items] == list(range(600))
    assert [logged.key_seq for logged in answer.items] == [n for n in range(300) for _ in "12"]
    more = (intent("later", "two"), intent("new", "three"))
    answer = verified(client(logger).append(more, 600), more)
    assert [(logged.index, logged.key_seq) for logged in answer.items] == [(600, 300), (601, 0)]


def test_appending_twice_changes_nothing(logger: Logger):
    """The same submission, alone or beside new ones or twice in a question, keeps its first place."""
    first = client(logger).append((intent("a"), intent("b")), 0)
    again = client(logger).append((intent("b"), intent("c"), intent("c"), intent("a")), 2)
    assert [(one.index, one.key_seq) for one in again.items] == [(1, 1), (2, 2), (2, 2), (0, 0)]
    assert (first.size, again.size) == (2, 3)
    verified(again, (intent("b"), intent("c"), intent("c"), intent("a")))


def test_statements_stand_beside_the_keys_and_in_no_sequence(logger: Logger):
    """They are proven as any entry, keep their first place, and leave each key's numbers as they are."""
    submissions = (intent("a"), statement("x"), statement("x", "finding"), intent("b"), statement("x"))
    answer = verified(client(logger).append(submissions, 0), submissions)
    assert [(one.index, one.key_seq) for one in answer.items] == [(0, 0), (1, None), (2, None), (3, 1), (1, None)]
    again = client(logger).append((statement("y"), statement("x"), completion(0)), 4)
    assert [(one.index, one.key_seq) for one in again.items] == [(4, None), (1, None), (5, None)]
    proven = client(logger).prove([1, 2], 0)
    assert [(one.index, one.key_seq, one.intent_path) for one in proven.items] == [(1, None, ()), (2, None, ())]


def test_a_completion_is_proven_together_with_its_intent(logger: Logger):
    """Both paths lead to the same head, as the receipt needs."""
    client(logger).append((intent("a"), intent("b")), 0)
    submissions = (completion(1),)
    answer = verified(client(logger).append(submissions, 0), submissions)
    head = open_checkpoint(answer.checkpoint, VERIFIER)
    leaf = leaf_hash(encode(intent("b").entry(1)))
    assert answer.items[0].key_seq is None
    assert verify_inclusion(leaf, 1, head.size, answer.items[0].intent_path, head.root)
    assert client(logger).append(submissions, 0).items[0].index == 2


@pytest.mark.parametrize(
    "wrong",
    [
        (completion(7),),  # nothing stands there
        (completion(2),),  # a completion stands there
        (completion(3), statement("z")),  # a statement stands there
        (completion(3, tag=""),),  # a statement stands there, and has no key either
        (completion(0, tag="another"),),  # another key's intent
        (completion(1, "other than before"),),  # completed already, otherwise
        (completion(0, "x"), completion(0, "y")),  # two ways at once
        (intent("good"), completion(7)),  # one bad one spoils its question
    ],
    ids=[
        "unknown",
        "not an intent",
        "a statement",
        "a statement without key",
        "another key",
        "second",
        "two at once",
        "with a good one",
    ],
)
def test_a_completion_that_contradicts_the_log_is_refused_whole(logger: Logger, wrong: Submissions):
    """Conflict, and nothing of the question is logged."""
    client(logger).append((intent("a"), intent("b")), 0)
    client(logger).append((completion(1), statement("said")), 0)
    with pytest.raises(Conflict, match="Submission"):
        client(logger).append(wrong, 0)
    assert client(logger).health().size == 4
    answer = client(logger).append((intent("after"),), 4)
    assert (answer.items[0].index, answer.items[0].key_seq) == (4, 2)


def test_a_submission_that_cannot_be_an_entry_spoils_its_own_question_only(logger: Logger):
    """What was placed before it in the same question is taken back, sequence and all."""
    bad = IntentSubmission(verb="sign", key_tag="no tag", uses=1, commitment=bytes(32))
    with pytest.raises(BadInput):
        client(logger).append((intent("a"), bad), 0)
    assert client(logger).append((intent("b"),), 0).items[0].key_seq == 0


def test_the_head_is_proven_from_what_the_asker_knows(logger: Logger):
    """Consistency from any earlier size verifies against the head signed then."""
    heads = {0: EMPTY_ROOT}
    for n in range(40):
        answer = client(logger).append(tuple(intent(f"{n}/{m}") for m in range(n % 5 + 1)), 0)
        heads[answer.size] = open_checkpoint(answer.checkpoint, VERIFIER).root
    for size, root in heads.items():
        answer = client(logger).prove((0,), size)
        head = open_checkpoint(answer.checkpoint, VERIFIER)
        assert verify_consistency(size, head.size, answer.consistency, root, head.root)


def test_what_cannot_be_proven_is_refused(logger: Logger):
    """An index beyond the end, a size the log never had, too much at once, somebody else's question."""
    client(logger).append((intent("a"),), 0)
    for indexes in ((1,), (-1,), (2**60,)):
        with pytest.raises(BadInput):
            client(logger).prove(indexes, 0)
    with pytest.raises(LogRolledBack, match=r"2 entries .* has 1"):
        client(logger).prove((0,), 2)
    with pytest.raises(BadInput):
        client(logger).prove((0,), -1)
    with pytest.raises(TooLarge):
        client(logger).prove((0,) * (MAX_SUBMISSIONS + 1), 0)
    with pytest.raises(BadInput):
        logger.handle(SignerHealth())
    assert client(logger).prove((0,), 1).items[0].index == 0


def test_many_who_wait_share_few_batches(room: LogRoom, logger: Logger):
    """Of 200 concurrent appends most wait together: far fewer commits than appends, and no gap."""
    client(logger).health()
    room.faults.seen.clear()
    answers: list[Logged] = []
    start = threading.Barrier(200)

    def append(n: int) -> None:
        start.wait()
        answers.extend(client(logger).append((intent(n, f"key {n % 7}"),), 0).items)

    threads = [threading.Thread(target=append, args=(n,)) for n in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.index for one in answers) == list(range(200))
    assert room.faults.seen.count("journal") == room.faults.seen.count("mark") <= 60
    assert room.check() == 200  # the auditor checks each key's sequence too


def test_full_tiles_become_durable_and_leave_the_journal(
    room: LogRoom, logger: Logger, monkeypatch: pytest.MonkeyPatch
):
    """The journal holds only what is not durable yet; superseded partials are gone; all is provable."""
    monkeypatch.setattr("privyseal.strongroom.logger.MOST_UNSETTLED", 256)
    for n in range(0, 700, 70):
        client(logger).append(tuple(intent(n + m) for m in range(70)), 0)
    client(logger).append((intent("last"),), 0)
    staging = logger._shelves.staging
    assert staging.database.read("SELECT min(entry), count(*) FROM staged") == [(512, 189)]
    assert not (room.public / "tile/0/000.p").exists() and (room.public / "tile/0/002.p").exists()
    assert room.faults.seen.count("archive sync") == 2
    assert room.check() == 701
    submissions = tuple(intent(n) for n in range(0, 700, 3))
    verified(client(logger).append(submissions, 0), submissions)


def test_full_tiles_become_durable_when_nothing_is_asked(
    room: LogRoom, logger: Logger, monkeypatch: pytest.MonkeyPatch
):
    """Fewer than make it worth while are made durable together, once no question waits."""
    monkeypatch.setattr("privyseal.strongroom.logger.QUIET_SECONDS", 0.0)
    done = threading.Event()
    synced = room.faults.pass_through

    def noticing(name: str, effect: Callable[[], None]) -> None:
        synced(name, effect)
        if name == "tiles remove":
            done.set()

    monkeypatch.setattr(room.faults, "pass_through", noticing)
    client(logger).append(tuple(intent(n) for n in range(600)), 0)
    assert done.wait(60)
    assert client(logger).append((intent("last"),), 600).size == 601
    assert room.faults.seen.count("archive sync") == 1
    assert logger._shelves.staging.database.read("SELECT min(entry), count(*) FROM staged") == [(512, 89)]


def test_equal_input_gives_equal_files(tmp_path: Path):
    """Two logs fed the same in the same batches have the same tiles and the same signed heads."""
    contents = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        room = LogRoom(tmp_path / name)
        logger = room.logger()
        for n in range(5):
            client(logger).append(tuple(intent(f"{n}/{m}") for m in range(60)), 0)
        logger.close()
        contents.append({p.relative_to(room.public): p.read_bytes() for p in room.public.rglob("*") if p.is_file()})
    assert contents[0] == contents[1]


def test_a_new_logger_goes_on_where_the_last_one_stopped(room: LogRoom):
    """Everything needed is on the disk: places, sequences, dedup, proofs; sizes around the edges of tiles."""
    logged = 0
    for step in (1, 254, 1, 1, 255, 300, 2):
        logger = room.logger()
        submissions = tuple(intent(n) for n in range(logged, logged + step))
        answer = verified(client(logger).append(submissions, logged), submissions)
        assert [one.key_seq for one in answer.items] == list(range(logged, logged + step))
        old = tuple(intent(n) for n in range(0, logged + step, 50))
        verified(client(logger).append(old, 0), old)
        logged += step
        logger.close()
        assert room.check() == logged


def test_closing_answers_what_waits_and_refuses_what_comes_after(room: LogRoom):
    """Nobody is left hanging: each of many concurrent questions is answered or refused as closing."""
    logger = room.logger()
    outcomes: list[str] = []

    def append(n: int) -> None:
        for m in itertools.count():
            try:
                client(logger).append((intent(f"{n}/{m}"),), 0)
            except LogUnavailable as error:
                outcomes.append(error.detail)
                return

    threads = [threading.Thread(target=append, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    threading.Event().wait(0.2)
    logger.close()
    for thread in threads:
        thread.join(10)
    assert outcomes == ["The logger is closing."] * 16
    assert room.check() > 0
