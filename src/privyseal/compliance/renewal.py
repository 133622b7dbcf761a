"""When the next certificate of a key is asked for, how long both overlap, and whether the key may go on. Pure.

A code signing certificate lives 460 days at most (CSBR 6.3.2), so renewal never ends. The text sets no time at which
the next one is asked for, and no life of a Subscriber's key: all days here but the 460 are house rules. What the text
does bind is that nothing is signed under a certificate that has ended (9.6.3), and the size of its key (6.1.5.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from msgspec import Struct

from privyseal.compliance import spans, weak_keys
from privyseal.errors import BadInput
from privyseal.terms.certificates import Certificate
from privyseal.terms.life import KeyState
from privyseal.terms.orders import OPEN, Order, OrderState

LONGEST = timedelta(days=460)
"""CSBR 6.3.2, since 2026-03-01; both ends count, so the last second is one less."""
ASK_BEFORE = timedelta(days=90)
"""House rule: validation of an organisation takes weeks, of an EV one sometimes two months."""
HAVE_BEFORE = timedelta(days=30)
"""House rule: for so long both certificates are in force, and products learn the new one before the old one ends."""
KEY_YEARS = 3
"""House rule: after so many years a new certificate gets a new key; the longest certificates ever had 39 months."""
_IN_USE = (KeyState.CERTIFIED, KeyState.ACTIVE, KeyState.SUSPENDED)


class Stage(StrEnum):
    """How a renewal stands; the gravest last."""

    EARLY = "early"
    """There is nothing to do yet."""
    READY = "ready"
    """The next certificate is installed, and both overlap."""
    ORDERED = "ordered"
    """It is asked for, or issued and not accepted."""
    DUE = "due"
    """It is time to ask for it."""
    LATE = "late"
    """Asked for now it is likely to come with less overlap than it should have, or with a gap."""
    ENDED = "ended"
    """The key has no certificate that is in force."""


class Held(Struct, frozen=True, kw_only=True):
    """A Key Pair as far as its renewal hangs on it."""

    subscriber: str
    key: str
    key_id: str
    public_key: bytes
    born: datetime
    state: KeyState
    until: datetime | None = None
    """From when on its charter lets it sign nothing."""
    believed: datetime | None = None
    """Since when it is believed to be compromised."""
    certificates: tuple[Certificate, ...] = ()
    revoked: frozenset[str] = frozenset()
    """Fingerprints of those that their CA has revoked."""
    orders: tuple[Order, ...] = ()


class Renewal(Struct, frozen=True, kw_only=True):
    """The plan for one Key Pair."""

    subscriber: str
    key: str
    stage: Stage
    certificate: str
    """Fingerprint of the certificate that is to be followed by another one."""
    subject: str
    begins: datetime
    ends: datetime
    """When that one ends."""
    ask_from: datetime
    have_by: datetime
    """By when the next one should be in use, so that both overlap long enough."""
    successor: str = ""
    """Fingerprint of the next certificate, where it is here."""
    overlap_from: datetime | None = None
    """Since when, or from when on, both are in force; they are until ``ends``."""
    next_ends_on: date
    """The day, UTC, on which a public certificate that is issued at ``ask_from``, or now if that is past, ends at the
    latest."""
    same_key: bool
    """Whether the same key may be used on under the next certificate."""
    same_key_because: str
    text: str
    """What is to be done, in a sentence."""


def plan(keys: Iterable[Held], at: datetime) -> tuple[Renewal, ...]:
    """Return the plan for every key that is in use and has, or had, a certificate; what is most urgent comes first."""
    found = [_plan(each, at) for each in keys if each.state in _IN_USE and each.certificates]
    order = list(Stage)
    return tuple(sorted(found, key=lambda each: (-order.index(each.stage), each.ends, each.key)))


def _plan(held: Held, at: datetime) -> Renewal:
    good = [each for each in held.certificates if each.fingerprint not in held.revoked]
    in_force = [each for each in good if each.in_force(at)]
    ends_last = max(good or held.certificates, key=lambda each: (each.not_after, each.not_before))
    current = min(in_force, key=lambda each: (each.not_after, each.not_before), default=ends_last)
    successor = ends_last if ends_last is not current else None
    same_key, because = _same_key(held, at)
    ask_from = current.not_after - ASK_BEFORE
    stage = _stage(held, current, successor, at, bool(in_force))
    return Renewal(
        subscriber=held.subscriber,
        key=held.key,
        stage=stage,
        certificate=current.fingerprint,
        subject=current.subject,
        begins=current.not_before,
        ends=current.not_after,
        ask_from=ask_from,
        have_by=current.not_after - HAVE_BEFORE,
        successor="" if successor is None else successor.fingerprint,
        overlap_from=None if successor is None else max(successor.not_before, current.not_before),
        next_ends_on=(max(ask_from, at) + LONGEST - timedelta(seconds=1)).astimezone(UTC).date(),
        same_key=same_key,
        same_key_because=because,
        text=_text(stage, current, successor, at),
    )


def _stage(held: Held, current: Certificate, successor: Certificate | None, at: datetime, in_force: bool) -> Stage:
    if not in_force:
        return Stage.ENDED
    if successor is not None and successor.not_before <= current.not_after:
        return Stage.READY
    if at < current.not_after - ASK_BEFORE:
        return Stage.EARLY
    if any(_is_for_the_next(each, current) for each in held.orders):
        return Stage.ORDERED
    return Stage.DUE if at < current.not_after - HAVE_BEFORE else Stage.LATE


def _is_for_the_next(order: Order, current: Certificate) -> bool:
    """Tell whether something is still to come of an order that was made after the certificate began."""
    return order.asked > current.not_before and (order.state in OPEN or order.state is OrderState.ISSUED)


def _same_key(held: Held, at: datetime) -> tuple[bool, str]:
    """Say whether the key may serve on under the next certificate, and why; the first reason against it counts."""
    if held.believed is not None:
        return False, "It is believed to be compromised."
    flaw = _flaw(held.public_key)
    if flaw:
        return False, flaw
    if held.until is not None and held.until <= at + LONGEST:
        return False, f"Its charter ends its use on {held.until:%Y-%m-%d}, within the life of the next certificate."
    if spans.beginning(spans.months_later(held.born.date(), 12 * KEY_YEARS)) <= at:
        return False, f"It was born on {held.born:%Y-%m-%d}, {KEY_YEARS} years ago or more (house rule)."
    return True, "No requirement ends the life of a Subscriber's key, and nothing speaks against this one."


def _flaw(public_key: bytes) -> str:
    try:
        flaw = weak_keys.size_flaw(weak_keys.key_of(public_key))
    except BadInput as error:
        return error.detail
    return f"No public certificate is issued for it: {flaw} (CSBR 6.1.5.2)." if flaw else ""


def _text(stage: Stage, current: Certificate, successor: Certificate | None, at: datetime) -> str:
    ends = f"{current.not_after:%Y-%m-%d}"
    left = spans.in_words(abs(current.not_after - at))
    if stage is Stage.ENDED:
        if successor is not None or current.not_after >= at:
            return "No certificate of this key is in force; order one."
        return f"The certificate ended on {ends}, {left} ago, and no other one is here; order one."
    if successor is not None and stage is Stage.READY:
        return f"The next certificate is here; both are in force until {ends}. Move everything to it before."
    return {
        Stage.EARLY: f"Ask for the next certificate from {current.not_after - ASK_BEFORE:%Y-%m-%d} on.",
        Stage.ORDERED: f"The next certificate is asked for; this one ends in {left}, on {ends}.",
        Stage.DUE: f"Ask for the next certificate now: this one ends in {left}, on {ends}.",
        Stage.LATE: f"Ask for the next certificate at once: this one ends in {left}, on {ends}.",
    }[stage]


def counted(plans: Sequence[Renewal]) -> dict[str, int]:
    """Count plans by their stage, for a gauge; every stage is there."""
    return {stage.value: sum(each.stage is stage for each in plans) for stage in Stage}
