"""What a report says, found by its words: labels, versions, dates, fingerprints (CSBR 8.6).

Auditors do not share a form, so each thing has the labels that reports of WebTrust and ETSI use. Every pattern is
bounded and without nested repetition: the text comes from outside.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

import msgspec

_MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
_MONTH = "|".join(f"{name}|{name[:3]}" for name in _MONTHS)

DATE = re.compile(
    rf"\b(?:(?P<d1>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?(?P<m1>{_MONTH})\.?,?\s+(?P<y1>\d{{4}})"
    rf"|(?P<m2>{_MONTH})\.?\s+(?P<d2>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<y2>\d{{4}})"
    r"|(?P<y3>\d{4})-(?P<m3>\d{2})-(?P<d3>\d{2})"
    r"|(?P<d4>\d{1,2})\.(?P<m4>\d{1,2})\.(?P<y4>\d{4}))\b",
    re.IGNORECASE,
)
"""A day as reports write it; 03/04/2025 is not among them, since nobody can tell which day that is."""

VERSION = r"(?:version|ver\.?|v\.?|rev\.?|revision)\s{0,3}\d{1,4}(?:\.\d{1,4}){0,4}"
"""A version number, with the word that says that it is one."""

NUMBER = r"(?<![\d.])\d{1,2}\.\d{1,3}(?:\.\d{1,3})?(?![\d.])"
"""What may be a version number in a table; days and object identifiers are none."""

GOOD = re.compile(r"(?<![0-9A-Za-z])[0-9A-F]{64}(?![0-9A-Za-z])")
"""A SHA-256 fingerprint as 8.6 has it."""
_UNBROKEN = re.compile(r"(?<![0-9A-Za-z])[0-9A-Fa-f]{64}(?![0-9A-Za-z])")
_PAIRED = re.compile(r"(?<![0-9A-Za-z:])[0-9A-Fa-f]{2}(?:[:\- ][0-9A-Fa-f]{2}){31}(?![0-9A-Za-z:])")
_PIECES = re.compile(r"(?<![0-9A-Za-z])[0-9A-Fa-f]{4,63}(?:[:\-]?\s{1,4}[0-9A-Fa-f]{2,63}){1,255}(?![0-9A-Za-z])")


class Fingerprints(msgspec.Struct, frozen=True):
    """The SHA-256 fingerprints in a text, each as 64 upper-case digits."""

    good: frozenset[str]
    """Written as 8.6 asks."""
    bad: dict[str, str]
    """The others, and what is wrong with how they are written."""


def fingerprints(text: str) -> Fingerprints:
    """Find all SHA-256 fingerprints, also those that are written as they must not be."""
    good = frozenset(GOOD.findall(text))
    bad: dict[str, str] = {}
    for found in _UNBROKEN.findall(text):
        if found != found.upper():
            bad.setdefault(found.upper(), "has lower-case letters")
    for found in _PAIRED.findall(text):
        what = "colons" if ":" in found else "hyphens" if "-" in found else "spaces"
        bad.setdefault(re.sub(r"[^0-9A-Fa-f]", "", found).upper(), f"has {what}")
    for found in _PIECES.findall(text):
        for digits in _in_pieces(found):
            bad.setdefault(digits, "is broken by line feeds or spaces")
    return Fingerprints(good, {digits: why for digits, why in bad.items() if digits not in good})


def _in_pieces(found: str) -> Iterator[str]:
    """Yield each run of whole pieces that has 64 digits together."""
    pieces = re.split(r"[^0-9A-Fa-f]+", found)
    begin = 0
    while begin < len(pieces):
        digits, end = "", begin
        while len(digits) < 64 and end < len(pieces):
            digits += pieces[end]
            end += 1
        if len(digits) == 64:
            yield digits.upper()
        begin = end if len(digits) == 64 else begin + 1


def dates(text: str) -> list[date]:
    """Return all days in a text, in its order; what is no day, such as 31 June, is left out."""
    found = []
    for match in DATE.finditer(text):
        parts = {name[0]: value for name, value in match.groupdict().items() if value is not None}
        month = parts["m"].lower()
        number = int(month) if month.isdigit() else next(n for n, m in enumerate(_MONTHS, 1) if m.startswith(month[:3]))
        try:
            found.append(date(int(parts["y"]), number, int(parts["d"])))
        except ValueError:
            continue
    return found


def labelled(text: str, label: str) -> str | None:
    """Return what stands behind a label, on its line or the next that is not empty; None where nothing does.

    ``label`` is a regular expression; the text behind it begins after a colon, which may have
    a few words before it, or at once after a tab, two spaces or a new line.
    """
    pattern = re.compile(
        rf"(?:^|[\n\t|(]|\s{{2}}|\d[.)]\s)\s{{0,8}}(?:{label})\b(?:[^\n:]{{0,60}}:|[ ]?(?:\t|\s{{2}}|\n))", re.I
    )
    for match in pattern.finditer(text):
        behind = text[match.end() : match.end() + 300].lstrip(" \t:\n|")
        value = behind.partition("\n")[0].strip()
        if any(character.isalnum() for character in value):
            return value[:200]
    return None


def near(text: str, first: str, second: str, reach: int = 100) -> list[str]:
    """Return each place where ``second`` follows ``first`` within ``reach`` characters, on one line for people.

    A colon and an empty line end the reach: what is behind them is about something else.
    """
    pattern = re.compile(rf"(?:{first})(?:[^\n:]|\n(?!\s{{0,4}}\n)){{0,{reach}}}?(?:{second})", re.IGNORECASE)
    return [" ".join(match.group().split()) for match in pattern.finditer(text)]


_ENGLISH = frozenset(
    [
        "the",
        "of",
        "and",
        "to",
        "in",
        "for",
        "that",
        "with",
        "by",
        "is",
        "as",
        "on",
        "from",
        "are",
        "this",
        "which",
        "was",
    ]
)


def english(text: str) -> float:
    """Return which share of the words are the commonest of English; in English prose about a third are."""
    words = re.findall(r"[^\W\d_]+", text.lower())
    return sum(word in _ENGLISH for word in words) / len(words) if words else 0.0
