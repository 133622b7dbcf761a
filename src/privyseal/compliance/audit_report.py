"""The lint of an audit report: what CSBR 8.6 asks of one, as far as its words show it.

A report has to name eleven things, each under a clear label. What no label is found for is not met: somebody who has to
search is not served by it either. What a machine cannot tell is for a person to judge, and is said so. This is no
opinion on the audit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import date
from itertools import islice

import msgspec

from privyseal.compliance import audit_report_words as words
from privyseal.compliance import spans
from privyseal.compliance.audit_report_text import ReportText
from privyseal.compliance.outcome import Outcome, Verdict, judgement, met, not_applicable, not_evidenced, not_met

ENOUGH_ENGLISH = 0.12
"""Share of the commonest English words; English reports with many tables have 0.2, German ones 0.02."""
LEAST_TEXT = 20
"""Characters of a page that can be searched; a scanned one has none, or a page number."""
MOST_PLACES = 500
"""Places at which a day is looked for; who has not said it by then does not say it clearly."""
REPORT_MONTHS = 3
"""CSBR 8.6."""

_AUDITED = (
    r"name of (?:the )?(?:audited )?(?:organi[sz]ation|company|entity|ca|tsp)(?: being audited| audited)?"
    r"|audited (?:organi[sz]ation|entity|company|party)|(?:organi[sz]ation|entity|company) (?:being )?audited|auditee"
    r"|trust service provider|name of (?:the )?client"
)
_AUDITOR = (
    r"(?:name(?: and address)? of (?:the )?)?(?:organi[sz]ation performing the audit|auditor|auditing organi[sz]ation"
    r"|audit firm|conformity assessment body|practitioner)"
)
_CRITERIA = (
    r"webtrust(?: principles and criteria)? for certification authorities|webtrust for (?:ca|code signing)\w*"
    r"|code signing baseline requirements|network security|etsi en 319 4\d\d(?:-\d)?|en 319 4\d\d(?:-\d)?"
)
_CRITERIA_VERSION = words.VERSION + r"|\(\d{4}-\d{2}\)"
_POLICY = (
    r"certificate polic(?:y|ies)|certification practices? statements?|(?:time-?stamping |tsa )practices? statement"
    r"|\bcp/cps\b|\bcps\b|\bcp\b|terms of use"
)
_ISSUED = (
    r"(?:report )?issue date|date of (?:the |this )?(?:audit )?report|(?:audit )?report date"
    r"|date (?:the )?(?:audit )?report (?:was )?issued|(?:report )?issued on|date of issue|report issued"
)
_PERIOD = r"period[ -]of[ -]time|audit period|throughout the period|for the period|during the period"
_POINT = r"point[ -]in[ -]time"
_ETSI = re.compile(r"\bETSI\b|\bEN 319 4\d\d", re.IGNORECASE)
_PORTIONS = re.compile(r"\b(?:LCP|NCP\+?|DVCP|OVCP|EVCP\+?|QCP-[a-z]+|EVCG|Part [12])(?![\w+])")
_POLICY_IDS = ("2.23.140.1.3", "2.23.140.1.4.1", "2.23.140.1.4.2")


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of one thing that a report has to have."""

    requirement: str
    item: int | None
    """1 to 11 of the list in 8.6; None for what stands beside it."""
    title: str
    verdict: Verdict
    text: str
    mend: str = ""


class CACertificate(msgspec.Struct, frozen=True):
    """A CA certificate that the report has to cover."""

    fingerprint: str
    """SHA-256, 64 hex digits of either case."""
    name: str
    """How people are told which it is."""


class _Period(msgspec.Struct, frozen=True):
    """The days that an audit is about."""

    first: date | None = None
    last: date | None = None
    point: date | None = None

    @property
    def end(self) -> date | None:
        return self.last or self.point


def lint(report: ReportText, covers: Iterable[CACertificate] = ()) -> list[Item]:
    """Return what the report has and lacks, the eleven items first; ``covers`` are all certificates in scope."""
    text = "\n".join(report.pages)
    period, kind = _period(text)
    found = words.fingerprints(text)
    etsi = bool(_ETSI.search(text))
    return [
        _item(1, "the audited organisation", _audited(text)),
        _item(2, "the auditor, with address", _auditor(text)),
        _item(3, "fingerprints of all CA certificates", _listed(found)),
        _item(4, "criteria with their versions", _with_version(text, _CRITERIA, "criteria", _CRITERIA_VERSION)),
        _item(5, "policy documents with their versions", _with_version(text, _POLICY, "policy documents")),
        _item(6, "period of time or point in time", kind),
        _item(7, "first and last day of the period", _days(text, period)),
        _item(8, "the point in time", _point(text, period)),
        _item(9, "the day on which it was issued", _issued(text, period)),
        _item(10, "full or surveillance audit, and of what (ETSI)", _kind_of_audit(text, etsi)),
        _item(11, "the CA/Browser Forum's criteria (ETSI)", _forum(text, etsi)),
        *(_beside("CSBR-8.6-03", "all given certificates are covered", each) for each in _coverage(found, covers)),
        _beside("CSBR-8.6-02", "covers the reserved policy identifiers", _identifiers(text)),
        _beside("CSBR-8.6-04", "a PDF that can be searched", _searchable(report)),
        _beside("CSBR-8.6-04", "how fingerprints are written", _written(found)),
        _beside("CSBR-8.6-04", "in English", _language(text)),
        _beside("CSBR-8.6-01", "out within three months", _in_three_months(text, period)),
    ]


def _item(number: int, title: str, outcome: Outcome) -> Item:
    return Item(
        requirement="CSBR-8.6-03",
        item=number,
        title=title,
        verdict=outcome.verdict,
        text=outcome.text,
        mend=outcome.mend,
    )


def _beside(requirement: str, title: str, outcome: Outcome) -> Item:
    return Item(
        requirement=requirement,
        item=None,
        title=title,
        verdict=outcome.verdict,
        text=outcome.text,
        mend=outcome.mend,
    )


def _value(text: str, label: str, what: str) -> Outcome:
    value = words.labelled(text, label)
    if value is None:
        return not_met(f"No label for {what} was found.", "give it a label of its own, and a colon")
    return met(f"It names {value!r}.")


def _audited(text: str) -> Outcome:
    named = _value(text, _AUDITED, "the audited organisation")
    addressed = re.search(r"to (?:the )?management of\s{1,4}([^\n(:]{2,120})", text, re.IGNORECASE)
    if named.verdict is not Verdict.MET and addressed is not None:
        return judgement(f"{named.text} It is addressed to the management of {addressed[1].strip()!r}.")
    return named


def _auditor(text: str) -> Outcome:
    named = _value(text, _AUDITOR, "the auditor")
    if named.verdict is not Verdict.MET:
        return named
    address = words.labelled(text, r"(?:auditor'?s? )?address(?: of (?:the )?auditor)?")
    if address is not None:
        return met(f"{named.text} The address is {address!r}.")
    behind = re.search(rf"(?:{_AUDITOR})\b[^\n]{{0,200}}((?:\n[^\n]{{0,200}}){{0,2}})", text, re.IGNORECASE)
    if behind is not None and re.search(r"\d", words.DATE.sub("", behind[1])):
        return judgement(f"{named.text} No label for the address was found: see whether the lines behind it are one.")
    return not_met(f"{named.text} No address was found.", "add the auditor's address")


def _listed(found: words.Fingerprints) -> Outcome:
    count = len(found.good) + len(found.bad)
    if not count:
        return not_met("No SHA-256 fingerprint was found.", "list each certificate by 64 upper-case hex digits")
    return met(f"It lists {count} fingerprint{'s' * (count > 1)}.")


def _with_version(text: str, what: str, named: str, version: str = words.VERSION) -> Outcome:
    found = words.near(text, what, version)
    if found:
        return met(f"It names {found[0][:120]!r}{f' and {len(found) - 1} more' if len(found) > 1 else ''}.")
    numbered = words.near(text, what, words.NUMBER, 60)
    if numbered:
        return judgement(f"A number without the word version is behind {numbered[0][:120]!r}: see whether it is one.")
    if re.search(what, text, re.IGNORECASE):
        return not_met(f"It names {named} without a version.", "give each its version, as in: version 2.0")
    return not_met(f"No {named} were found.", "list them with their versions")


def _period(text: str) -> tuple[_Period, Outcome]:
    """Return the days that are audited, and whether it is said which kind of audit it is."""
    period = next((days for days in _behind(text, _PERIOD) if len(days) > 1), None)
    point = next((days for days in _behind(text, _POINT) if days), None)
    says_period, says_point = (re.search(each, text, re.IGNORECASE) for each in (_PERIOD, _POINT))
    if says_period and says_point:
        both = judgement("It speaks of a period of time and of a point in time: see which of them this audit is.")
        first, last = (period[0], period[1]) if period else (None, None)
        return _Period(first, last, point[0] if point and not period else None), both
    if says_period:
        first, last = (period[0], period[1]) if period else (None, None)
        return _Period(first, last), met("It is over a period of time.")
    if says_point:
        return _Period(point=point[0] if point else None), met("It is at a point in time.")
    return _Period(), not_met("It does not say whether a period or a point in time was audited.", "say which")


def _behind(text: str, pattern: str, reach: int = 160) -> Iterator[list[date]]:
    """Yield the days behind each of the first places where a pattern is found."""
    for match in islice(re.finditer(pattern, text, re.IGNORECASE), MOST_PLACES):
        yield words.dates(text[match.end() : match.end() + reach])


def _days(text: str, period: _Period) -> Outcome:
    if period.first is not None and period.last is not None:
        if period.last < period.first:
            return not_met(f"The period ends on {period.last}, before it begins on {period.first}.")
        longest = spans.last_day_of_year_from(period.first)
        if period.last > longest:
            return not_met(f"From {period.first} to {period.last} is more than a year (CSBR 8.1).")
        return met(f"From {period.first} to {period.last}.")
    if period.point is not None or not re.search(_PERIOD, text, re.IGNORECASE):
        return not_applicable("No period of time was audited, as far as it says.")
    return not_met("No first and last day were found behind the words for a period.", "write them as 1 January 2026")


def _point(text: str, period: _Period) -> Outcome:
    if period.point is not None:
        return met(f"On {period.point}.")
    if period.first is not None or not re.search(_POINT, text, re.IGNORECASE):
        return not_applicable("No point in time was audited, as far as it says.")
    return not_met("No day was found behind the words for a point in time.", "write it as 1 January 2026")


def _issue_date(text: str) -> date | None:
    return next((days[0] for days in _behind(text, _ISSUED, 60) if days), None)


def _issued(text: str, period: _Period) -> Outcome:
    issued = _issue_date(text)
    if issued is None:
        return not_met("No day was found behind a label for the day of issue.", "add: Date of report: 1 January 2026")
    if period.end is not None and issued <= period.end:
        return not_met(f"Issued on {issued}, and what it is about ended on {period.end}; it has to be later.")
    return met(f"Issued on {issued}.")


def _in_three_months(text: str, period: _Period) -> Outcome:
    issued = _issue_date(text)
    if issued is None or period.end is None:
        return not_evidenced("The day of issue or the end of the period was not found.")
    due = spans.months_later(period.end, REPORT_MONTHS)
    if issued > due:
        return not_met(f"Issued on {issued}; it was to be public on {due}.", "publish the auditor's letter")
    return judgement(f"Issued on {issued}; it has to be public on {due} at the latest, which a report cannot show.")


def _kind_of_audit(text: str, etsi: bool) -> Outcome:
    if not etsi:
        return not_applicable("No ETSI standard is named.")
    kind = re.search(r"\b(full|surveillance) audit\b", text, re.IGNORECASE)
    portions = sorted(set(_PORTIONS.findall(text)))
    if kind and portions:
        return met(f"A {kind[1].lower()} audit of {', '.join(portions)}.")
    lacks = [
        what for what, there in (("full or surveillance", kind), ("which portions, as NCP+", portions)) if not there
    ]
    return not_met(f"It does not say {' nor '.join(lacks)}.", "say both")


def _forum(text: str, etsi: bool) -> Outcome:
    if not etsi:
        return not_applicable("No ETSI standard is named.")
    found = words.near(text, r"ca/?b(?:rowser)? forum|baseline requirements", words.VERSION, 200)
    if found:
        return met(f"It refers to {found[0][:120]!r}.")
    return not_met("No criteria of the CA/Browser Forum were found with a version.", "name them with their version")


def _coverage(found: words.Fingerprints, covers: Iterable[CACertificate]) -> Iterator[Outcome]:
    given = {each.fingerprint.upper(): each.name for each in covers}
    if not given:
        yield not_evidenced("No certificates were given.", "name all CA certificates in scope")
        return
    for digits, name in given.items():
        if digits in found.good:
            continue
        if digits in found.bad:
            yield not_met(f"{name} is listed, but its fingerprint {found.bad[digits]}.", "write 64 upper-case digits")
        else:
            yield not_met(f"{name} is not listed ({digits[:16]}...).", "have the report cover it")
    listed = sum(digits in found.good for digits in given)
    more = len((found.good | set(found.bad)) - set(given))
    if listed == len(given):
        yield met(f"All {listed} given certificates are listed; of {more} more that are, none was given.")


def _identifiers(text: str) -> Outcome:
    named = [each for each in _POLICY_IDS if re.search(rf"(?<![\d.]){re.escape(each)}(?!\.?\d)", text)]
    if named:
        return met(f"It names {', '.join(named)}.")
    return not_met("None of the reserved policy identifiers is named.", f"say that it covers {', '.join(_POLICY_IDS)}")


def _searchable(report: ReportText) -> Outcome:
    if not report.pdf:
        return not_evidenced("Text was given, and a report is a PDF.", "give the PDF")
    bare = [number for number, page in enumerate(report.pages, 1) if len(page.strip()) < LEAST_TEXT]
    if bare:
        shown = ", ".join(map(str, bare[:10])) + (" and more" if len(bare) > 10 else "")
        return not_met(f"No text can be found on page {shown}: an image, it seems.", "export text and no scan")
    return met(f"All {len(report.pages)} pages have text.")


def _written(found: words.Fingerprints) -> Outcome:
    if found.bad:
        digits, why = next(iter(found.bad.items()))
        more = f", and {len(found.bad) - 1} more are wrong" if len(found.bad) > 1 else ""
        return not_met(f"{digits[:16]}... {why}{more}.", "64 upper-case hex digits and nothing between them")
    if not found.good:
        return not_evidenced("No fingerprint was found.")
    return met("All are 64 upper-case hex digits.")


def _language(text: str) -> Outcome:
    share = words.english(text)
    if share < ENOUGH_ENGLISH:
        return not_met(f"{share:.0%} of its words are the commonest of English; this is another language.", "translate")
    return judgement("It is in English; whether this is the version that counts is for a person to see.")
