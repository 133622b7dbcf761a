"""Verdicts, what a check answers, and the finding that is kept of it."""

from __future__ import annotations

from datetime import date
from enum import StrEnum

import msgspec


class Verdict(StrEnum):
    """What is found of one requirement for one subject; only ``met`` says that all is well."""

    MET = "met"
    NOT_MET = "not-met"
    NOT_EVIDENCED = "not-evidenced"
    """Nothing that we were given shows it either way."""
    JUDGEMENT = "judgement"
    """A person has to say."""
    NOT_APPLICABLE = "not-applicable"
    BROKEN = "broken"
    """The check failed, which tells nothing about the subject."""


class Outcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a check answers about one subject."""

    verdict: Verdict
    text: str
    """One sentence: what was found, and what was expected."""
    mend: str = ""
    """What to do about it, where anything can be done."""


def met(text: str) -> Outcome:
    """Say that the requirement is met, and by what."""
    return Outcome(Verdict.MET, text)


def not_met(text: str, mend: str = "") -> Outcome:
    """Say that the requirement is broken: what was found, and what was expected."""
    return Outcome(Verdict.NOT_MET, text, mend)


def not_evidenced(text: str, mend: str = "") -> Outcome:
    """Say that nothing shows it, and what would."""
    return Outcome(Verdict.NOT_EVIDENCED, text, mend)


def judgement(text: str) -> Outcome:
    """Say what a person has to judge."""
    return Outcome(Verdict.JUDGEMENT, text)


def not_applicable(text: str) -> Outcome:
    """Say why the requirement does not speak about this subject."""
    return Outcome(Verdict.NOT_APPLICABLE, text)


class Finding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The verdict of one requirement for one subject, with the date that decided whether it was in force."""

    requirement: str
    clause: str
    """As it is cited: ``CSBR 6.3.2``."""
    ballot: str
    subject: str
    """The subject's label: a file, a Key Pair, a request's id."""
    verdict: Verdict
    text: str
    mend: str = ""
    governed: date | None = None
    """The day that decided; None where nobody knows it."""
