"""Whether the clouds that keys are in log all that is done with them, judged on what was found when they were asked."""

from __future__ import annotations

from datetime import UTC, timedelta

from privyseal.compliance.outcome import Outcome, met, not_evidenced, not_met
from privyseal.compliance.requirement import Asked
from privyseal.compliance.statements_of_clouds import CloudReconciled
from privyseal.compliance.subjects import OrganisationRecord

FRESH = timedelta(days=7)
"""For how long a comparison speaks, and after which a home that is compared no more is one no more; it is daily."""
DOCUMENT = "cloud-configuration-report"
"""The kind of evidence that shows a cloud's configuration."""
REQUIREMENT = "CSBR-6.2.7.3-06"
"""The requirement that asks for the audit log of a cloud."""


def all_logged(organisation: OrganisationRecord, asked: Asked) -> Outcome:
    """Judge whether each cloud's audit log is on and whole, and counts what we count (CSBR 6.2.7.3)."""
    compared = [each for each in organisation.clouds or () if each.until <= asked.at]
    newest = max((each.until for each in compared), default=asked.at)
    fresh = [each for each in compared if newest - each.until <= FRESH]  # what is older was given up since
    for each in fresh:
        if (wrong := _wrong(each)) is not None:
            return wrong
    if not compared:
        said = _judged(organisation, asked)
        if said is not None:
            return said
        return not_evidenced(
            "No cloud's audit log was held against ours; where no key is in a cloud there is none.",
            f"name the audit log in the signer's settings, or add evidence: {DOCUMENT}",
        )
    if asked.at - newest > FRESH:
        return not_evidenced(
            f"The audit logs of clouds were last compared on {newest.date()}.", "let the service run: it does so daily"
        )
    silent = [each for each in fresh if each.trouble]
    if silent:
        return not_evidenced(
            f"The audit log of {_name(silent[0])} could not be asked: {silent[0].trouble}",
            "name it in the signer's settings and let the signer read it",
        )
    signatures, keys = sum(each.signatures for each in fresh), sum(each.keys for each in fresh)
    return met(
        f"{len({_name(each) for each in fresh})} clouds log without exception; up to {_last(fresh)} they counted"
        f" {signatures} signatures of {keys} keys, as many as the signer."
    )


def _wrong(each: CloudReconciled) -> Outcome | None:
    """Return what of one cloud is not as it must be; None where nothing is known to be wrong."""
    if each.trouble:
        return None
    if not each.on:
        return not_met(f"{_name(each)} does not log the use of keys.", "turn its audit log on, for all operations")
    if each.gaps:
        return not_met(f"The audit log of {_name(each)} is not whole: {each.gaps[0]}", "take the exception away")
    if each.more:
        counted, asked_for = sum(one.counted for one in each.more), sum(one.at_most for one in each.more)
        return not_met(
            f"{_name(each)} counted {counted} signatures of {len(each.more)} keys, and the signer asked for"
            f" {asked_for}.",
            "find out who else signed; an incident was opened",
        )
    if each.fewer:
        counted, made = sum(one.counted for one in each.fewer), sum(one.at_least for one in each.fewer)
        return not_met(
            f"{_name(each)} counted {counted} signatures of {len(each.fewer)} keys, and the signer made {made}.",
            "find out why its log lacks some",
        )
    return None


def _judged(organisation: OrganisationRecord, asked: Asked) -> Outcome | None:
    """Return what a named person found in a valid report on a cloud's set-up; None where nobody judged one."""
    day = asked.at.astimezone(UTC).date()
    reviews = [
        review
        for each in organisation.evidence
        if each.kind == DOCUMENT and each.valid_on(day)
        for review in each.reviews
        if review.requirement == REQUIREMENT and review.at <= asked.at
    ]
    newest = max(reviews, key=lambda one: (one.at, one.verdict), default=None)
    if newest is None or newest.verdict == "not-evidenced":
        return None
    why = f": {newest.why.rstrip('.')}" if newest.why else ""
    words = f"{newest.who} judged the report on the cloud's set-up {newest.verdict} on {newest.at.date()}{why}."
    return met(words) if newest.verdict == "met" else not_met(words, "mend what the review names")


def _name(each: CloudReconciled) -> str:
    return f"{each.store} {each.home}"


def _last(compared: list[CloudReconciled]) -> str:
    return max(each.until for each in compared).strftime("%Y-%m-%d %H:%M UTC")
