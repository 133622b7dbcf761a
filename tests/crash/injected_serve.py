"""System calls of a real ``serve`` on its records, and of its stamper, fail one at a time: EIO, ENOSPC, EINTR.

As ``injected_errors.py``, with a whole service: ``strace`` is put on the running process, lets the nth call of one kind
fail while a client asks, and is taken off again. Of ``serve`` only the calls on the records' files are concerned.
``python -m tests.crash.injected_serve`` does all of them.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from tests.crash.injected_errors import _TRACED, CALLS, ERRORS, strace
from tests.crash.kills import Campaign
from tests.crash.victim import Victim, victim

Who = Literal["serve", "stamper"]


class Injection(NamedTuple):
    """The nth call of one kind, of each thread of one process, fails with an error."""

    who: Who
    call: str
    error: str
    nth: int


class Figures(NamedTuple):
    """What was made to fail, and what came of it."""

    by: Counter[str]
    ended: Counter[str]
    answers: int

    def __str__(self) -> str:
        return (
            f"{sum(self.by.values())} injections {dict(sorted(self.by.items()))}; ended: "
            f"{dict(sorted(self.ended.items()))}; {self.answers} answers held, nothing lost"
        )


def campaign(folder: Path, injections: int | None, seed: int = 1) -> Figures:
    """Let so many calls fail, all that there are if None; AssertionError where a promise is broken."""
    (folder / "clients").mkdir(parents=True)
    by, ended = Counter[str](), Counter[str]()
    with victim(folder / "seal", "sqlite") as running:
        running.revive()
        suffering = Campaign(running, folder / "clients")
        assert suffering.client().insist()
        wanted = [each for who in ("serve", "stamper") for each in _watched(suffering, folder, who)]
        random.Random(seed).shuffle(wanted)
        wanted.sort(key=lambda each: each.error != "EIO")  # a sample has those first
        for number, injection in enumerate(wanted[:injections], start=1):
            if _suffer(suffering, folder, injection, ended):
                by[f"{injection.who} {injection.call} {injection.error}"] += 1
            print(f"{number} of {len(wanted)}: {injection}", file=sys.stderr, flush=True)
        return Figures(by, ended, suffering.close().answers)


def _watched(suffering: Campaign, folder: Path, who: Who) -> list[Injection]:
    """Watch while a client is served, and return every call that can fail meanwhile, in each way."""
    output = folder / "watched"
    with strace(_pid(suffering.victim, who), output, *_concerned(suffering.victim, who, CALLS)):
        time.sleep(1.1 if who == "stamper" else 0)  # it raises its mark once in a second
        assert suffering.client().insist()
    counts: dict[str, int] = {}
    for (_, call), count in Counter(_TRACED.findall(output.read_text(errors="replace"))).items():
        counts[call] = max(count, counts.get(call, 0))
    assert counts, f"nothing was seen of the {who}"
    return [
        Injection(who, call, error, nth)
        for call, count in sorted(counts.items())
        for error in ERRORS
        for nth in range(1, count + 1)
    ]


def _suffer(suffering: Campaign, folder: Path, injection: Injection, ended: Counter[str]) -> bool:
    """Let one call fail, and everybody be served and satisfied after it; tell whether it was reached."""
    running, output = suffering.victim, folder / "injected"
    before, client = running.rooms(), suffering.client()
    inject = f"inject={injection.call}:error={injection.error}:when={injection.nth}"
    concerned = _concerned(running, injection.who, (injection.call,))
    with strace(_pid(running, injection.who), output, *concerned, "-e", inject):
        time.sleep(1.1 if injection.who == "stamper" else 0)
        client.insist(time.monotonic() + 5)
    reached = "(INJECTED)" in output.read_text(errors="replace")
    code = running.process.poll()
    assert code is None, f"{injection}: serve ended with {code}: {running.said()[-2000:]}"
    running.revive()
    for room, pid in running.rooms().items():
        if before.get(room) != pid:
            ended[f"{room}, for {injection.who} {injection.call} {injection.error}"] += 1
    assert client.insist(), f"{injection}: a client is not served any more: {running.said()[-2000:]}"
    client.ask_again()
    suffering.look()
    assert "Traceback" not in running.said(), f"{injection}: {running.said()[-3000:]}"
    return reached


def _pid(running: Victim, who: Who) -> int:
    return running.process.pid if who == "serve" else running.rooms()["stamper"]


def _concerned(running: Victim, who: Who, calls: Sequence[str]) -> list[str]:
    """Return how strace is told which calls are meant."""
    options = ["-e", f"trace={','.join(calls)}"]
    if who == "serve":
        for name in ("records.db", "records.db-wal", "records.db-journal"):
            options += ["-P", str(running.directory / name)]
    return options


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="strace-") as name:
        print(campaign(Path(name), int(sys.argv[1]) if len(sys.argv) > 1 else None))
