"""The clocks of NetSec: what is done again and again, and what a change, an alert or a leaver starts (CSBR 6.7).

Where the document gives no number, ours are house rules, and named so: 30 days for the inventory, 90 for the test after
a significant change. What is called yearly or three-monthly is due on the same day of the month (``spans``).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta

from msgspec.structs import replace

from privyseal.compliance import spans
from privyseal.compliance.due import Clock
from privyseal.compliance.duty_facts import Alert, Change, DutyFacts, Leaver, LogState, Network, Vulnerability
from privyseal.compliance.requirement import Nature

INVENTORY = timedelta(days=30)
"""House rule: a list is up to date (NSR 1) while it is no older."""
INTEGRITY = timedelta(days=31)
"""NSR 3.1.2."""
ANSWER = timedelta(hours=24)
"""NSR 3.2.3, and for leavers 2.2.1.3."""
ACCESS_REVIEW_MONTHS = 3
"""NSR 2.2.1.4."""
TEST_AFTER_CHANGE = timedelta(days=90)
"""House rule: NSR 4.2.1.1 asks for a test after each significant change, and gives no time."""
LEAST_CHANNELS = 2
"""NSR 3.2.2: more than one."""

_WEEK = timedelta(days=7)
_FOUR_HOURS = timedelta(hours=4)


def of_networks(facts: DutyFacts, at: datetime) -> Iterator[Clock]:
    """Yield the clocks of NetSec."""
    yield from _recurring(facts.network)
    yield _integrity(facts.log, at)
    for change in facts.changes:
        yield _approval(change)
        if change.significant:
            yield _test(change, facts.network)
    for alert in facts.alerts:
        yield _channels(alert)
        yield _answer(alert)
    for weakness in facts.vulnerabilities:
        yield _mending(weakness, facts.network)
    yield from map(_leaver, facts.leavers)


def _recurring(network: Network) -> Iterator[Clock]:
    inventory = network.inventory_on
    yield _again("NSR-1-01", "renew the inventory", inventory, inventory and inventory + INVENTORY, Nature.HOUSE_RULE)
    reviewed = network.change_process_reviewed_on
    yield _again("NSR-1.3-01", "review the process of changes", reviewed, reviewed and spans.months_later(reviewed, 12))
    accounts = network.accounts_reviewed_on
    due = accounts and spans.months_later(accounts, ACCESS_REVIEW_MONTHS)
    yield _again("NSR-2.2.1.4-01", "review all accounts", accounts, due)
    tested = network.penetration_tested_on
    due = tested and spans.months_later(tested, 12)
    yield _again("NSR-4.2.1.1-01", "have a penetration test", tested, due, early=timedelta(days=60))


def _again(
    requirement: str,
    what: str,
    last: date | None,
    due: date | None,
    nature: Nature = Nature.TEXT,
    early: timedelta = _WEEK,
) -> Clock:
    return Clock(
        requirement=requirement,
        what=what,
        whom="systems in scope",
        nature=nature,
        starts=None if last is None else spans.beginning(last),
        warning=None if due is None else spans.beginning(due - early),
        due=None if due is None else spans.end(due),
        note="" if last is None else f"It was last done on {last}.",
        unknown="It is not known when it was last done.",
    )


def _integrity(log: LogState, at: datetime) -> Clock:
    clock = Clock(requirement="NSR-3.1.2-01", what="see that the log is intact", whom="log")
    checked = log.checked_at
    if log.intact is False and checked is not None:
        return replace(clock, starts=checked, due=checked, note="The last check found that it is damaged.")
    if log.continuous:
        return replace(clock, starts=at, due=at + INTEGRITY, note="A machine watches it all the time.")
    return replace(
        clock,
        starts=checked,
        warning=None if checked is None else checked + INTEGRITY - _WEEK,
        due=None if checked is None else checked + INTEGRITY,
        unknown="It is not known when it was last checked, or that a machine watches it all the time.",
    )


def _approval(change: Change) -> Clock:
    itself = change.approved_by is not None and change.approved_by == change.made_by
    note = "Whoever made it is also who approved it; another person was expected (house rule)." if itself else ""
    return Clock(
        requirement="NSR-1.3-01",
        what="have a change approved before it is made",
        whom=change.id,
        nature=Nature.HOUSE_RULE if itself else Nature.TEXT,
        starts=_earlier(change.made_at, change.approved_at),
        due=change.made_at,
        done=None if itself else change.approved_at,
        note=note,
        unknown="It is not known when it was made.",
    )


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((each for each in (one, other) if each is not None), default=None)


def _test(change: Change, network: Network) -> Clock:
    made = change.made_at
    tests = (each for each in (change.tested_on, network.penetration_tested_on) if each is not None)
    done = min((each for each in tests if made is not None and spans.end(each) >= made), default=None)
    return Clock(
        requirement="NSR-4.2.1.1-01",
        what="have a penetration test after a change",
        whom=change.id,
        nature=Nature.HOUSE_RULE,
        starts=made,
        warning=None if made is None else made + TEST_AFTER_CHANGE - 4 * _WEEK,
        due=None if made is None else made + TEST_AFTER_CHANGE,
        done=None if done is None else spans.end(done),
        unknown="It is not known when the change was made.",
    )


def _channels(alert: Alert) -> Clock:
    ways = len(set(alert.channels))
    return Clock(
        requirement="NSR-3.2.2-01",
        what="alert by more than one channel",
        whom=alert.id,
        starts=alert.raised_at,
        due=None if alert.raised_at is None else alert.raised_at,
        done=alert.raised_at if ways >= LEAST_CHANNELS else None,
        note="" if ways >= LEAST_CHANNELS else f"It went by {ways}; {LEAST_CHANNELS} were expected.",
        unknown="It is not known when it was raised.",
    )


def _answer(alert: Alert) -> Clock:
    return _within(
        Clock(requirement="NSR-3.2.3-01", what="begin on an alert", whom=alert.id, done=alert.answered_at),
        alert.raised_at,
        ANSWER,
        "It is not known when it was raised.",
    )


def _mending(weakness: Vulnerability, network: Network) -> Clock:
    hours = network.mending_hours.get(weakness.severity)
    why = "It is not known when it was found."
    if hours is None:
        why = f"The policy sets no deadline for {weakness.severity} (mending_hours); NSR 4.3 asks for one."
    clock = Clock(
        requirement="NSR-4.3-01",
        what=f"mend a vulnerability ({weakness.severity})",
        whom=weakness.id,
        done=weakness.mended_at,
    )
    return _within(clock, weakness.found_at, None if hours is None else timedelta(hours=hours), why)


def _leaver(leaver: Leaver) -> Clock:
    return _within(
        Clock(requirement="NSR-2.2.1.3-01", what="end access", whom=leaver.member, done=leaver.disabled_at),
        leaver.left_at,
        ANSWER,
        "It is not known when they left.",
    )


def _within(clock: Clock, starts: datetime | None, span: timedelta | None, unknown: str) -> Clock:
    """Return a clock with a deadline; the warning comes when a quarter of the time is left, four hours at least."""
    if starts is None or span is None:
        return replace(clock, starts=starts, unknown=unknown)
    left = max(span / 4, min(_FOUR_HOURS, span))
    return replace(clock, starts=starts, warning=starts + span - left, due=starts + span)
