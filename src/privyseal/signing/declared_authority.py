"""What people declare of the Timestamp Authority, as evidence: its CAs, its audits, what is watched elsewhere. Pure.

What is declared counts as said by whoever declared it, on that day, and no more than the facts carry: a CA is judged by
what is said of its key, a module by the register, an audit by its scheme. Where a fact is lacking, the record that
would stand for it is lacking too, and the requirement is not evidenced.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal, NamedTuple

import msgspec

from privyseal.compliance.held import Held, Review
from privyseal.compliance.known import SERVICE, of_key
from privyseal.compliance.modules import Validation
from privyseal.compliance.periods import months_after
from privyseal.compliance.spans import beginning, end
from privyseal.compliance.statements import AuditPeriod, Document, ModuleCertificate, Stated
from privyseal.compliance.statements_of_timestamps import AuthorityWatched, TimestampCa, TimestampKeyUsed, Watched

OFFLINE, SIGNED_OFFLINE, AUDITED = "CSBR-6.2.7.2-01", "CSBR-6.2.7.2-02", "CSBR-8.4.3-01"
LONG_MONTHS = 72
"""CSBR 6.2.7.2: a subordinate CA that lives longer has its key offline."""
SINCE = datetime(2025, 4, 15, tzinfo=UTC)
"""CSBR 6.2.7.2: subordinate CAs that are issued from then on."""
MODULE_LEVEL = 3
"""CSBR 6.2.7.1."""
GRACE = timedelta(days=31)
"""House rule: what is watched elsewhere is declared a month after it at the latest."""
KINDS = frozenset({"key-ceremony", "hsm-module-certificate", "physical-security"})
"""What CSBR-6.2.7.2-01 wants."""
WATCHED: dict[Watched, tuple[tuple[str, str], ...]] = {
    "access": (("CSBR-5.4.1.2-01", "log:authentication"), ("CSBR-5.4.1.2-04", "log:authentication")),
    "premises": (("CSBR-5.4.1.2-01", "log:premises"),),
    "tampering": (("CSBR-5.4.1.2-03", "log:alert"),),
    "network": (("CSBR-5.4.1.2-04", "log:network"),),
    "revocations": (("CSBR-5.4.1.2-05", "log:certificate"),),
}
"""Which requirement wants what is declared, and as which kind of entry."""
SCHEMES = (("webtrust", "code signing"), ("319 411-1",))
"""CSBR 8.4.2, 8.4.3: of either complete set the words by which it is known."""

About = tuple[str, Held]
"""Whom or what a record is about, and the record."""
Verdict = Literal["met", "not-met"]
"""What a declaration says of a requirement."""


def records(stated: Sequence[Stated]) -> list[About]:
    """Return what was declared as records; given everything that was stated, of each slot the last one."""
    found = [(SERVICE, record) for each in stated for record in _watched(each)]
    found += _cas(stated)
    return found


def audits(stated: Iterable[Stated]) -> tuple[tuple[datetime, datetime, tuple[Held, ...]], ...]:
    """Return the Timestamp Authority's audit periods: first and last moment, and the report as it was declared."""
    found = []
    for each in stated:
        matter = each.said.matter
        if isinstance(matter, AuditPeriod) and matter.of is not msgspec.UNSET:
            found.append((beginning(matter.start), end(matter.end), _audit(each, matter)))
    return tuple(sorted(found, key=lambda one: one[0]))


# -- what is watched elsewhere -----------------------------------------------------------------------------------------
def _watched(stated: Stated) -> list[Held]:
    matter = stated.said.matter
    if not isinstance(matter, AuthorityWatched):
        return []
    words = f"{matter.events} events from {matter.start} to {matter.end}. {matter.note}"
    until = matter.end + GRACE
    return [
        _record(stated, kind, requirement, words, valid=(matter.start, until))
        for requirement, kind in WATCHED[matter.what]
    ]


# -- CAs ---------------------------------------------------------------------------------------------------------------
def _cas(stated: Sequence[Stated]) -> list[About]:
    """Return what the declared CAs show: not met where one is wrong, met where all that are asked for are whole."""
    declared = {each.said.matter.certificate: each for each in stated if isinstance(each.said.matter, TimestampCa)}
    used = [each.said.matter for each in stated if isinstance(each.said.matter, TimestampKeyUsed)]
    known = _Known.of(stated)
    asked = [(each, ca) for each in declared.values() if isinstance(ca := each.said.matter, TimestampCa)]
    asked = [(each, ca) for each, ca in asked if _is_asked(ca)]
    found: list[About] = []
    for each, ca in asked:
        if (why := _wrong(ca, known, each.said.at.astimezone(UTC).date())) is not None:
            record = _record(each, "key-ceremony", OFFLINE, why[0], "not-met", valid=(why[1], None))
            found.append((SERVICE, record))
    if not found:
        lacking = {kind for _, ca in asked for kind in _lacks(ca, known)}
        above = {one for key in used[-1:] if isinstance(key.issuers, tuple) for one in key.issuers}
        whole = bool(above) and above <= declared.keys() and any(ca.root for _, ca in asked) and not lacking
        for each, ca in asked:
            words = f"{ca.subject}, run by {ca.operator}: its key is offline, in a High Security Zone, in {ca.module}"
            records = [_record(each, kind, OFFLINE, words) for kind in sorted(KINDS - lacking)]
            # Where something is lacking nobody has judged the whole yet, whatever other documents there are.
            found += [(SERVICE, one if whole else msgspec.structs.replace(one, reviews=())) for one in records]
    for key in used:
        found += _of_key(key, declared)
    return found


class _Known(NamedTuple):
    """What a CA's declaration points to."""

    modules: dict[str, Validation]
    """By how a declaration names them: scheme and number."""
    ceremonies: frozenset[str]
    """Records of ceremonies that were taken in, by SHA-256."""

    @classmethod
    def of(cls, stated: Sequence[Stated]) -> _Known:
        register = [each.said.matter.validation for each in stated if isinstance(each.said.matter, ModuleCertificate)]
        papers = [each.said.matter for each in stated if isinstance(each.said.matter, Document)]
        return cls(
            {f"{each.scheme}:{each.number}": each for each in register if isinstance(each, Validation)},
            frozenset(each.sha256 for each in papers if each.kind == "key-ceremony"),
        )


def _is_asked(ca: TimestampCa) -> bool:
    """Tell whether its key has to be offline: a root's, and that of a new subordinate CA that lives long."""
    return ca.root or (ca.issued >= SINCE and _lives_long(ca))


def _lives_long(ca: TimestampCa) -> bool:
    return ca.until >= months_after(ca.issued, LONG_MONTHS)


def _wrong(ca: TimestampCa, known: _Known, day: date) -> tuple[str, date] | None:
    """Say what is not as 6.2.7.2 asks, and since when; None where nothing is known to be wrong."""
    if not ca.offline:
        return f"The key of {ca.subject} is not offline.", day
    if not ca.high_security_zone:
        return f"The key of {ca.subject} is not in a High Security Zone.", day
    module = known.modules.get(ca.module)
    if module is None:
        return None
    if not module.suffices(MODULE_LEVEL):
        return f"The module of {ca.subject} is {module.title}, {module.grade}; level 3 or EAL4+ was expected.", day
    revoked = [each.since for each in module.history if each.status == "revoked"]
    return (f"The module of {ca.subject}, {module.title}, was revoked.", min(revoked)) if revoked else None


def _lacks(ca: TimestampCa, known: _Known) -> set[str]:
    """Return the kinds of evidence that its declaration has nothing for."""
    lacking = set() if ca.ceremony in known.ceremonies else {"key-ceremony"}
    return lacking if ca.module in known.modules else lacking | {"hsm-module-certificate"}


def _of_key(key: TimestampKeyUsed, declared: dict[str, Stated]) -> list[About]:
    """Return what is shown of a timestamp key's issuance: by a CA that does not live long, or that is offline."""
    stated = declared.get(key.issuers[0]) if isinstance(key.issuers, tuple) and key.issuers else None
    ca = None if stated is None else stated.said.matter
    if stated is None or not isinstance(ca, TimestampCa):
        return []
    verdict: Verdict = "met"
    if not _lives_long(ca):
        words = f"{ca.subject} lives for {LONG_MONTHS} months or less, so that its key may be online"
    elif not ca.offline:
        words, verdict = f"{ca.subject} lives longer than {LONG_MONTHS} months, and its key is not offline", "not-met"
    elif ca.ceremony is not None:
        words = f"{ca.subject} signs by a key that is offline, in ceremonies such as {ca.ceremony[:16]}..."
    else:
        return []
    return [(of_key(key.key_id), _record(stated, "key-ceremony", SIGNED_OFFLINE, words, verdict))]


# -- audits ------------------------------------------------------------------------------------------------------------
def _audit(stated: Stated, period: AuditPeriod) -> tuple[Held, ...]:
    """Return the report as a record for 8.4.3; nothing before there is one."""
    named = period.scheme.casefold()
    listed = any(all(word in named for word in words) for words in SCHEMES)
    if not listed:
        words = f"{period.scheme} is on neither list"
        return (_record(stated, "audit-report", AUDITED, words, "not-met"),)
    if period.report is None:
        return ()
    words = f"{period.auditor} audited the Timestamp Authority by {period.scheme}: report {period.report[:16]}..."
    return (_record(stated, "audit-report", AUDITED, words),)


def _record(
    stated: Stated,
    kind: str,
    requirement: str,
    words: str,
    verdict: Verdict = "met",
    valid: tuple[date | None, date | None] = (None, None),
) -> Held:
    """Return a record that stands for a document, with what whoever declared it said."""
    since = valid[0]
    at = stated.said.at if verdict == "met" or since is None else datetime.combine(since, time(), UTC)
    review = Review(
        requirement=requirement, verdict=verdict, who=f"{stated.said.by}'s declaration", at=at, why=words[:2000]
    )
    return Held(
        kind=kind,
        sha256=hashlib.sha256(stated.octets).hexdigest(),
        clauses=(requirement,),
        valid_from=since,
        valid_until=valid[1],
        reviews=(review,),
    )
