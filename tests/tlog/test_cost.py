"""What appending and proving cost does not depend on how large the log is: counted, so that no other load disturbs.

``./seal test -m nightly -s tests/tlog/test_cost.py`` prints the times as well.
"""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.tlog.growing import Grown, checkpoint_of
from tests.tlog.receipts import POLICY, completed

from privyseal.terms.canonical import canonical_json
from privyseal.tlog import merkle
from privyseal.tlog.entry import Completion, Entry, Intent, commit, encode
from privyseal.tlog.log import append, restore
from privyseal.tlog.proof import CompletionOpening, IntentOpening, build_receipt, read_receipt
from privyseal.tlog.reader import Reader

SMALL, LARGE = 1_000, 1_000_000
BATCH = 64


@pytest.fixture(scope="module")
def logs() -> dict[int, Grown]:
    """Grow one log of a thousand and one of a million short entries."""
    grown = {}
    for size in (SMALL, LARGE):
        log = Grown()
        while log.state.size < size:
            log.append([b"%d" % n for n in range(log.state.size, min(size, log.state.size + 100_000))])
        log.entries.clear()
        grown[size] = log
    return grown


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the inner nodes that are hashed."""
    count = [0]

    def sha256(octets: bytes) -> Any:
        count[0] += octets.startswith(b"\1")
        return hashlib.sha256(octets)

    monkeypatch.setattr(merkle, "_sha256", sha256)
    return count


def _nodes(hashed: list[int], act: Callable[[], object]) -> int:
    hashed[0] = 0
    act()
    return hashed[0]


def test_appending(logs: dict[int, Grown], hashed: list[int]) -> None:
    """One node for each entry and at most 63 for the root, in a log of any size; a few files."""
    counts = {}
    for size, log in logs.items():
        one = _nodes(hashed, lambda log=log: append(log.state, [b"x"]))  # type: ignore[misc]
        many = _nodes(hashed, lambda log=log: append(log.state, [b"x"] * 2560))  # type: ignore[misc]
        files = len(append(log.state, [b"x"])[1])
        counts[size] = (one, many, files)
        assert one <= 2 * size.bit_length()
        assert many <= 2560 + 2 * size.bit_length()
        assert files == 2
    assert counts[LARGE][1] <= 1.02 * counts[SMALL][1]


def test_proving(logs: dict[int, Grown], hashed: list[int]) -> None:
    """A first proof reads at most two tiles a level and hashes each once; the proofs after it hash next to nothing."""
    cold, reads, recent = {}, {}, {}
    for size, log in logs.items():
        log.reads.clear()
        reader = Reader(log.read)
        cold[size] = _nodes(hashed, lambda reader=reader, size=size: reader.inclusion(size // 3, size))  # type: ignore[misc]
        reads[size] = len(log.reads)
        reader.inclusion(size - 1, size)
        recent[size] = _nodes(
            hashed,
            lambda reader=reader, size=size: [reader.inclusion(size - 1 - n, size) for n in range(BATCH)],  # type: ignore[misc]
        )
    assert reads[SMALL] <= 4
    assert reads[LARGE] <= 6
    assert cold[LARGE] <= 2 * cold[SMALL]
    assert recent[LARGE] <= 2 * recent[SMALL], recent
    assert recent[LARGE] <= 12 * BATCH


def test_going_on_after_a_start(logs: dict[int, Grown]) -> None:
    """The state of a million entries is read back from four files."""
    log = logs[LARGE]
    log.reads.clear()
    assert restore(log.head, log.read) == log.state
    assert len(log.reads) <= 4


@pytest.mark.nightly
def test_times(logs: dict[int, Grown], capsys: pytest.CaptureFixture[str]) -> None:
    """The same in microseconds; at a million no more than twice what it is at a thousand."""
    times = {size: _times(log) for size, log in logs.items()}
    with capsys.disabled():
        print(f"\n{'microseconds at a size of':40} {SMALL:>10} {LARGE:>10}  ratio")
        for name, small in times[SMALL].items():
            large = times[LARGE][name]
            print(f"{name:40} {small:10.1f} {large:10.1f}  {large / small:.2f}")
    for name, small in times[SMALL].items():
        assert times[LARGE][name] <= 2 * small, name


def _times(log: Grown) -> dict[str, float]:
    size = log.head.size
    live = Reader(log.files.get)
    live.inclusion(size - 1, size)
    receipt = _receipt(log)
    return {
        "append, one entry in a batch": _microseconds(lambda: append(log.state, [b"x" * 250])),
        "append, an entry of a batch of 256": _microseconds(lambda: append(log.state, [b"x" * 250] * 256)) / 256,
        "inclusion, nothing known": _microseconds(lambda: Reader(log.files.get).inclusion(size // 3, size)),
        "inclusion, one of the newest": _microseconds(lambda: live.inclusion(size - 7, size)),
        "consistency, nothing known": _microseconds(lambda: Reader(log.files.get).consistency(size // 3, size)),
        "consistency, from a little before": _microseconds(lambda: live.consistency(size - 9, size)),
        "receipt, built": _microseconds(lambda: receipt(live)),
        "receipt, verified": _microseconds(lambda: read_receipt(receipt(live), POLICY)),
        "state, read back": _microseconds(lambda: restore(log.head, log.files.get)),
    }


def _receipt(log: Grown) -> Callable[[Reader], str]:
    """Log one request's story at the end of the log, and return what builds its receipt."""
    size, salt, request = log.head.size, bytes(32), b"x" * 1500
    done = canonical_json(completed(size, request=request))
    entries: list[Entry] = [
        Intent(verb="sign", key_tag="ab" * 32, key_seq=0, uses=1, commitment=commit(salt, request)),
        Completion(key_tag="ab" * 32, intent=size, outcome="signed", commitment=commit(salt, done)),
    ]
    _, files, head = append(log.state, [encode(entry) for entry in entries])
    log.files |= dict(files)
    note = checkpoint_of(head)

    def build(reader: Reader) -> str:
        intent = IntentOpening(
            index=size,
            verb="sign",
            key_tag="ab" * 32,
            key_seq=0,
            uses=1,
            salt=salt,
            payload=request,
            path=reader.inclusion(size, size + 2),
        )
        return build_receipt(
            intent=intent,
            completion=CompletionOpening(salt=salt, payload=done),
            index=size + 1,
            path=reader.inclusion(size + 1, size + 2),
            checkpoint=note,
        )

    return build


def _microseconds(act: Callable[[], object]) -> float:
    times = []
    for _ in range(200):
        start = time.perf_counter()
        act()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6
