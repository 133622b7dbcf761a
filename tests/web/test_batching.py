"""The batcher: who waits goes along, two batches in flight at most, each item has its own outcome, nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from privyseal.errors import BadInput, Conflict, Overloaded, PrivySealError, Unavailable
from privyseal.telemetry import CALLS, Call, ids
from privyseal.web import batching
from privyseal.web.batching import Batcher, overloaded


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as made:
        yield made


class Work:
    """Echoes what it is given; waits at a gate, counts batches and how many ran at once."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.batches: list[list[int]] = []
        self.running = self.most_running = 0
        self._guard = threading.Lock()

    def __call__(self, items: list[int]) -> list[int | PrivySealError]:
        with self._guard:
            self.batches.append(items)
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        self.gate.wait(20)
        with self._guard:
            self.running -= 1
        return [Conflict(f"{item} is odd.") if item % 2 else item * 10 for item in items]

    async def begun(self, count: int) -> None:
        """Wait until so many batches are in their threads."""
        while len(self.batches) < count:  # noqa: ASYNC110 - another thread counts them
            await asyncio.sleep(0.001)


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, 30))


def test_those_who_come_while_two_batches_are_away_go_together(pool: ThreadPoolExecutor) -> None:
    """The first goes alone, the second alone, and all the others in one batch when a thread is free again."""
    work = Work()
    work.gate.clear()

    async def story() -> list[int]:
        batcher: Batcher[int, int] = Batcher(work, pool)
        waiting = []
        for item in range(0, 40, 2):
            waiting.append(asyncio.create_task(batcher.put(item)))
            if item < 4:
                await work.begun(item // 2 + 1)
        await asyncio.sleep(0.05)
        assert work.batches == [[0], [2]]
        work.gate.set()
        return await asyncio.gather(*waiting)

    assert run(story()) == [item * 10 for item in range(0, 40, 2)]
    assert work.batches == [[0], [2], list(range(4, 40, 2))]
    assert work.most_running == 2


def test_those_who_come_in_one_turn_of_the_loop_go_together(pool: ThreadPoolExecutor) -> None:
    """A burst is one batch, not one batch of one and one of the rest."""
    work = Work()

    async def story() -> None:
        batcher: Batcher[int, int] = Batcher(work, pool)
        await asyncio.gather(*(batcher.put(item) for item in range(0, 20, 2)))

    run(story())
    assert work.batches == [list(range(0, 20, 2))]


def test_while_a_batch_is_away_the_next_one_gathers_for_a_moment(
    pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who was just answered asks again at once: two who come in two turns of the loop are still one batch."""
    monkeypatch.setattr(batching, "GATHERING_S", 0.2)
    work = Work()
    work.gate.clear()

    async def story() -> list[int]:
        batcher: Batcher[int, int] = Batcher(work, pool)
        waiting = [asyncio.create_task(batcher.put(0))]
        await work.begun(1)
        for item in (2, 4):
            waiting.append(asyncio.create_task(batcher.put(item)))
            await asyncio.sleep(0.01)
        await work.begun(2)
        work.gate.set()
        return await asyncio.gather(*waiting)

    assert run(story()) == [0, 20, 40]
    assert work.batches == [[0], [2, 4]]


def test_where_nothing_is_under_way_nobody_waits_for_company(
    pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One caller after the other, as a build does it: each goes at once."""
    monkeypatch.setattr(batching, "GATHERING_S", 3600)
    work = Work()

    async def story() -> list[int]:
        batcher: Batcher[int, int] = Batcher(work, pool)
        return [await batcher.put(item) for item in (0, 2, 4)]

    assert run(story()) == [0, 20, 40]
    assert work.batches == [[0], [2], [4]]


def test_one_bad_item_has_its_own_error_and_its_neighbours_their_values(pool: ThreadPoolExecutor) -> None:
    """Two items with one error object between them get one each, so that tracebacks do not pile up."""
    shared = BadInput("Wrong.", hint="do right")

    async def story() -> list[Any]:
        batcher: Batcher[int, int] = Batcher(lambda items: [shared if item else 7 for item in items], pool)
        return await asyncio.gather(*(batcher.put(item) for item in (0, 1, 1)), return_exceptions=True)

    value, one, two = run(story())
    assert value == 7
    assert (type(one), one.detail, one.hint) == (BadInput, "Wrong.", "do right")
    assert one is not two and one is not shared


def test_a_batch_that_fails_as_a_whole_fails_for_each(
    pool: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    """An error of ours reaches everyone as such; one that nobody foresaw is logged and is not ours."""

    async def story(raised: Exception | None) -> list[Any]:
        def work(items: list[int]) -> list[int | PrivySealError]:
            if raised is not None:
                raise raised
            return [0]  # one outcome for two items

        batcher: Batcher[int, int] = Batcher(work, pool)
        return await asyncio.gather(batcher.put(1), batcher.put(2), return_exceptions=True)

    ours = run(story(Unavailable("No disk.")))
    assert [(type(each), each.detail) for each in ours] == [(Unavailable, "No disk.")] * 2
    assert [each.retry_after for each in run(story(overloaded("Too much.", 12)))] == [12, 12]
    for raised in (ZeroDivisionError("inside"), None):
        caplog.clear()
        outcomes = run(story(raised))
        assert all(isinstance(each, RuntimeError) for each in outcomes)
        (record,) = caplog.records
        assert record.msg == "a batch failed" and record.__dict__["facts"].items == 2


def test_who_goes_away_takes_nothing_along(pool: ThreadPoolExecutor) -> None:
    """A cancelled caller's item is worked off all the same, and so is everybody else's."""
    work = Work()
    work.gate.clear()

    async def story() -> int:
        batcher: Batcher[int, int] = Batcher(work, pool, in_flight=1)
        first = asyncio.create_task(batcher.put(0))
        await work.begun(1)
        leaver, stayer = asyncio.create_task(batcher.put(2)), asyncio.create_task(batcher.put(4))
        await asyncio.sleep(0)
        first.cancel()
        leaver.cancel()
        work.gate.set()
        return await stayer

    assert run(story()) == 40
    assert work.batches == [[0], [2, 4]]


def test_draining_finishes_what_waits_and_takes_nothing_more(pool: ThreadPoolExecutor) -> None:
    """After drain every outcome is there; who comes later is told to come again."""
    work = Work()
    work.gate.clear()

    async def story() -> tuple[list[Any], Any]:
        batcher: Batcher[int, int] = Batcher(work, pool, in_flight=1, largest=3)
        waiting = [asyncio.create_task(batcher.put(item)) for item in range(0, 20, 2)]
        await asyncio.sleep(0)
        draining = asyncio.create_task(batcher.drain())
        await asyncio.sleep(0.01)
        late = await asyncio.gather(batcher.put(99), return_exceptions=True)
        work.gate.set()
        await draining
        assert all(task.done() for task in waiting)
        return [task.result() for task in waiting], late[0]

    outcomes, late = run(story())
    assert outcomes == [item * 10 for item in range(0, 20, 2)]
    assert isinstance(late, Unavailable)
    assert [len(batch) for batch in work.batches] == [3, 3, 3, 1]


def test_draining_an_idle_batcher_returns_at_once(pool: ThreadPoolExecutor) -> None:
    """Nothing to wait for."""

    async def story() -> None:
        await Batcher[int, int](Work(), pool).drain()

    run(story())


def test_a_queue_that_is_too_long_sends_people_away(pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unavailable, which is retryable, instead of a wait nobody sits out."""
    monkeypatch.setattr(batching, "LONGEST_QUEUE", 3)
    work = Work()
    work.gate.clear()

    async def story() -> list[Any]:
        batcher: Batcher[int, int] = Batcher(work, pool, in_flight=1)
        first = asyncio.create_task(batcher.put(0))
        await work.begun(1)
        more = [asyncio.create_task(batcher.put(item)) for item in (2, 4, 6, 8)]
        await asyncio.sleep(0.01)
        work.gate.set()
        return await asyncio.gather(first, *more, return_exceptions=True)

    outcomes = run(story())
    assert outcomes[:4] == [0, 20, 40, 60]
    assert isinstance(outcomes[4], Unavailable) and outcomes[4].retryable


def test_a_thousand_callers_all_get_their_own(pool: ThreadPoolExecutor) -> None:
    """Many coroutines, arriving in many turns: nothing is lost, swapped or done twice."""
    work = Work()

    async def caller(batcher: Batcher[int, int], item: int) -> bool:
        await asyncio.sleep((item * 7919 % 13) / 1000)
        try:
            return await batcher.put(item) == item * 10 and item % 2 == 0
        except Conflict as error:
            return error.detail == f"{item} is odd." and item % 2 == 1

    async def story() -> list[bool]:
        batcher: Batcher[int, int] = Batcher(work, pool)
        return await asyncio.gather(*(caller(batcher, item) for item in range(1000)))

    assert all(run(story()))
    assert sorted(item for batch in work.batches for item in batch) == list(range(1000))
    assert work.most_running <= 2


def test_who_would_wait_too_long_is_refused_at_once(pool: ThreadPoolExecutor) -> None:
    """By the pace of the last items; the error says when to come again, and nothing waits for it."""
    work = Work()
    work.gate.clear()

    async def story() -> None:
        batcher: Batcher[int, int] = Batcher(work, pool, in_flight=1, largest=2)
        batcher._pace.add(items=64, seconds=192.0)
        first = asyncio.create_task(batcher.put(0, within=0.1))  # nobody is before it: it is tried
        await work.begun(1)
        assert batcher.expected_wait() == 6.0  # the one under way, and its own turn
        await asyncio.sleep(0)
        behind = [asyncio.create_task(batcher.put(item, within=20)) for item in (2, 4, 6, 8)]
        await asyncio.sleep(0)
        assert (batcher.waiting, batcher.expected_wait()) == (4, 18.0)
        with pytest.raises(Overloaded) as refused:
            await batcher.put(10, within=17.9)
        assert (refused.value.retry_after, batcher.refused, batcher.waiting) == (18, 1, 4)
        work.gate.set()
        assert await asyncio.gather(first, *behind) == [0, 20, 40, 60, 80]
        assert batcher.expected_wait() == 0.0

    run(story())


def test_a_large_batch_is_expected_to_take_longer_than_a_small_one(pool: ThreadPoolExecutor) -> None:
    """What is admitted is bounded by items, not by batches: 256 slow items in one batch are a long wait too."""
    work = Work()
    work.gate.clear()

    async def story() -> int:
        batcher: Batcher[int, int] = Batcher(work, pool, in_flight=1)
        batcher._pace.add(items=100, seconds=10.0)
        waiting = [asyncio.create_task(batcher.put(0))]
        await work.begun(1)
        for item in range(2, 202, 2):
            waiting.append(asyncio.create_task(batcher.put(item, within=2.05)))
        await asyncio.sleep(0)
        work.gate.set()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        return sum(not isinstance(outcome, Overloaded) for outcome in outcomes)

    assert run(story()) == 20


@pytest.mark.parametrize(("each", "size"), [(0.0001, 256), (0.00497, 100), (0.1, 32)])
@pytest.mark.parametrize("droppable", [True, False])
def test_slow_items_go_in_smaller_batches(pool: ThreadPoolExecutor, each: float, size: int, droppable: bool) -> None:
    """As many as are done in half a second by the pace so far, between 32 and 256."""
    work = Work()
    work.gate.clear()

    async def story() -> None:
        batcher: Batcher[int, int] = Batcher(work, pool, in_flight=1, droppable=droppable)
        batcher._pace.add(items=10**7, seconds=10**7 * each)  # beside which this test's own seconds are nothing
        waiting = [asyncio.create_task(batcher.put(0))]
        await work.begun(1)
        waiting += [asyncio.create_task(batcher.put(2)) for _ in range(300)]
        await asyncio.sleep(0)
        work.gate.set()
        await work.begun(2)
        assert len(work.batches[1]) == size
        await asyncio.gather(*waiting)

    run(story())


def test_what_has_come_to_a_stop_lets_nobody_in(pool: ThreadPoolExecutor) -> None:
    """Nothing lands, so no pace is measured: the time that the youngest batch is under way counts instead."""
    work = Work()
    work.gate.clear()

    async def story() -> None:
        batcher: Batcher[int, int] = Batcher(work, pool)
        batcher._pace.add(items=1000, seconds=0.001)
        hanging = []
        for count in (1, 2):
            hanging.append(asyncio.create_task(batcher.put(0)))
            await work.begun(count)
        while True:
            await asyncio.sleep(0.01)
            with contextlib.suppress(Overloaded):
                hanging.append(asyncio.create_task(batcher.put(0, within=0.05)))
                await asyncio.sleep(0)
                if not hanging[-1].done():
                    continue
                hanging.pop().result()
            break
        assert batcher.expected_wait() > 0.05
        work.gate.set()
        assert await asyncio.gather(*hanging) == [0] * len(hanging)

    run(story())


def test_the_pace_is_measured_and_forgotten(pool: ThreadPoolExecutor) -> None:
    """One slow batch does not turn people away once quick ones have followed."""

    async def story() -> None:
        batcher: Batcher[int, int] = Batcher(Work(), pool)
        await batcher.put(0)
        assert 0 < batcher._pace.seconds < 5
        batcher._pace.add(items=1, seconds=500.0)
        for _ in range(60):
            await batcher.put(0)
        assert batcher._pace.seconds < 1

    run(story())


@pytest.mark.parametrize("before", [[], [(1, 0.01)] * 4, [(200, 2.0)] * 4])
def test_one_slow_item_is_no_long_queue(pool: ThreadPoolExecutor, before: list[tuple[int, float]]) -> None:
    """Neither the first of a service that has just started, nor one among quick ones, keeps forty others away."""
    work = Work()
    work.gate.clear()

    async def story() -> None:
        batcher: Batcher[int, int] = Batcher(work, pool)
        for each in before:
            batcher._pace.add(*each)
        batcher._pace.add(items=1, seconds=5.0)
        waiting = []
        for count in range(1, 43):
            waiting.append(asyncio.create_task(batcher.put(0)))
            await work.begun(min(count, 2))
        await asyncio.sleep(0)
        assert batcher.waiting == 40 and batcher.expected_wait() < 1
        work.gate.set()
        await asyncio.gather(*waiting)

    run(story())


def test_a_machine_that_became_slow_is_found_out(pool: ThreadPoolExecutor) -> None:
    """Four slow batches suffice, whatever came before."""
    pace = batching._Pace()
    for _ in range(50):
        pace.add(256, 0.256)
    for _ in range(3):
        pace.add(32, 32.0)
    assert pace.seconds == pytest.approx(0.001)
    pace.add(32, 32.0)
    assert pace.seconds == pytest.approx(1.0)


def test_what_nobody_waits_for_is_dropped_only_where_that_is_safe(pool: ThreadPoolExecutor) -> None:
    """An item whose caller hung up, or whose time is over, is not worked off, unless it must not be lost."""

    async def story(droppable: bool) -> list[Any]:
        work = Work()
        work.gate.clear()
        batcher: Batcher[int, int] = Batcher(work, pool, in_flight=1, droppable=droppable)
        first = asyncio.create_task(batcher.put(0))
        await work.begun(1)
        leaver, stayer = Call("Q-leaver"), Call("Q-stayer")

        async def caller(call: Call, item: int, within: float) -> int:
            CALLS.set((call,))
            return await batcher.put(item, within)

        later = [asyncio.create_task(caller(*each)) for each in ((leaver, 2, 60), (stayer, 4, 60), (stayer, 6, 1.0))]
        await asyncio.sleep(1.05)
        leaver.gone = True
        work.gate.set()
        outcomes = await asyncio.gather(first, *later, return_exceptions=True)
        assert batcher.dropped == 2 * droppable
        assert work.batches == [[0], [4] if droppable else [2, 4, 6]]
        return outcomes

    assert run(story(droppable=False)) == [0, 20, 40, 60]
    outcomes = run(story(droppable=True))
    assert (outcomes[0], outcomes[2]) == (0, 40)
    assert all(isinstance(each, Overloaded) for each in (outcomes[1], outcomes[3]))


def test_the_thread_of_a_batch_knows_for_whom_it_works(pool: ThreadPoolExecutor) -> None:
    """The ids of all that share the batch, each once, and none left in the thread afterwards."""
    seen: list[tuple[str, ...]] = []

    def work(items: list[int]) -> list[int]:
        seen.append(ids())
        return items

    async def story() -> None:
        batcher: Batcher[int, int] = Batcher(work, pool, in_flight=1)

        async def caller(name: str) -> None:
            CALLS.set((Call(name),))
            await batcher.put(0)

        await asyncio.gather(*(caller(f"Q-{number}") for number in range(3)))

    run(story())
    assert seen == [("Q-0", "Q-1", "Q-2")]
    assert pool.submit(ids).result() == ()
