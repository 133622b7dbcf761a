"""What the demo says at its end of its own rehearsal service: every verdict counted, and no sum of them.

A rehearsal falls short of the Requirements in many ways, and says so itself. What is printed was found by the service
while it ran, by the same evaluation that judges any other one.
"""

from __future__ import annotations

import textwrap
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from privyseal import config
from privyseal.cli.output import WIDTH, mark, printable
from privyseal.cli.requirement import kept_in
from privyseal.compliance.catalogue import BY_ID
from privyseal.compliance.evidence import KINDS
from privyseal.compliance.outcome import Verdict
from privyseal.compliance.requirement import Kind
from privyseal.errors import Unavailable
from privyseal.records import findings
from privyseal.records.database import Records, open_records
from privyseal.records.released import newest_event_of_all_subscribers, newest_release_of_all_subscribers
from privyseal.web.views_of_findings import FindingView

LONGEST_WAIT = 20.0
"""Seconds that the demo waits for the service to have judged what was signed last."""

MOST_KINDS = 5
"""Kinds of evidence that are named; most requirements want one of a few."""

_SHOWN = (Verdict.MET, Verdict.NOT_MET, Verdict.NOT_EVIDENCED, Verdict.JUDGEMENT, Verdict.BROKEN)
_PAUSE = 0.2


def wait_until_judged(directory: Path) -> bool:
    """Wait until the running service has judged all that happened up to now; False where that takes too long."""
    records = _opened(directory)
    try:
        return all_judged(records, time.monotonic() + LONGEST_WAIT)
    finally:
        records.close()


def first_judged(directory: Path, subscriber: str) -> list[FindingView]:
    """Wait until the running service has judged a new Subscriber and its key; return what it found of them and of
    itself. Unavailable where that takes too long."""
    until = time.monotonic() + LONGEST_WAIT
    while time.monotonic() < until:
        found = kept_in(directory, subscriber)
        if {Kind.SUBSCRIBER, Kind.KEY_PAIR} <= {each.kind for each in found}:
            return found
        time.sleep(_PAUSE)
    raise Unavailable(f"The service did not judge {subscriber} in {LONGEST_WAIT:.0f} s.")


def all_judged(records: Records, until: float) -> bool:
    """Tell whether evaluations passed the newest event and the newest signature of now, at the latest at ``until``."""
    with records.reading_all_subscribers() as connection:
        newest = {
            Kind.KEY_PAIR: newest_event_of_all_subscribers(connection),
            Kind.SIGNATURE: newest_release_of_all_subscribers(connection),
        }
    while True:
        with records.reading_all_subscribers() as connection:
            far = [(findings.progress_of_all_subscribers(connection, kind), event) for kind, event in newest.items()]
        if all(progress is not None and progress.event >= event for progress, event in far):
            return True
        if time.monotonic() >= until:
            return False
        time.sleep(_PAUSE)


def report(found: Sequence[FindingView], *, complete: bool) -> list[str]:
    """Return the lines: counts by what was judged, each requirement that is not met, and which evidence would help."""
    lines = _wrapped(
        "Verdicts on single requirements, by the service's own records. This is no audit opinion, and there is no"
        " verdict on the whole."
    )
    if not complete:
        lines += _wrapped("The evaluation was not done in time: what was signed last is not in these numbers.")
    return [*lines, "", *_counts(found), "", *_not_met(found), *_not_evidenced(found)]


def _opened(directory: Path) -> Records:
    return open_records(config.records_url(config.load(directory).records, directory))


def _counts(found: Sequence[FindingView]) -> list[str]:
    """Return a table of how many requirements have which verdict; one that two keys break counts once."""
    kinds = sorted({each.kind for each in found})
    lines = [f"  {'requirements of':<20}" + "".join(f"{each.replace('-', ' '):>14}" for each in _SHOWN[:-1])]
    for kind in kinds:
        by_verdict = {
            verdict: len({each.requirement for each in found if (each.kind, each.verdict) == (kind, verdict)})
            for verdict in _SHOWN
        }
        line = f"  {kind.replace('-', ' '):<20}" + "".join(f"{by_verdict[each]:>14}" for each in _SHOWN[:-1])
        lines.append(line)
        if by_verdict[Verdict.BROKEN]:
            lines.append(f"  {'':<20}{by_verdict[Verdict.BROKEN]} could not be judged: the check failed")
    return lines


def _not_met(found: Iterable[FindingView]) -> list[str]:
    said: dict[tuple[str, str], list[str]] = {}
    for each in found:
        if each.verdict is Verdict.NOT_MET:
            said.setdefault((each.clause, each.text), []).append(_of(each))
    lines = []
    for (clause, text), subjects in sorted(said.items()):
        of = ", ".join(sorted(set(subjects)))
        lines += textwrap.wrap(
            printable(f"{clause} ({of}): {text}", 600),
            WIDTH - 4,
            initial_indent=f"  {mark(False)} ",
            subsequent_indent="    ",
            break_on_hyphens=False,
        )
    return [*lines, ""] if lines else []


def _of(found: FindingView) -> str:
    if found.kind is Kind.SIGNATURE:
        return "1 signature" if found.number == 1 else f"{found.number} signatures, for example"
    return found.kind.replace("-", " ")


def _not_evidenced(found: Iterable[FindingView]) -> list[str]:
    missing = {each.requirement for each in found if each.verdict is Verdict.NOT_EVIDENCED}
    if not missing:
        return []
    wanted: Counter[str] = Counter()
    for each in sorted(missing):
        known = BY_ID.get(each)
        if known is not None and known.wants is not None:
            wanted.update(known.wants.evidence)
    lines = _wrapped(f"{len(missing)} requirements are not evidenced: nothing shows them met or not met.")
    if wanted:
        lines += _wrapped("Asked for most often:")
        ranked = sorted(wanted.items(), key=lambda each: (-each[1], each[0]))[:MOST_KINDS]
        lines += [f"  {count:>5}  {kind}: {KINDS.get(kind, '')}"[:WIDTH] for kind, count in ranked]
    return lines


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH - 2, initial_indent="  ", subsequent_indent="  ")
