"""What a Subscriber committed to before its first signature (CSBR 9.6.5)."""

from __future__ import annotations

from datetime import UTC

from privyseal.compliance.outcome import Outcome, met, not_evidenced, not_met
from privyseal.compliance.requirement import Asked, Check
from privyseal.compliance.subjects import SubscriberRecord

TERMS = "signing-service-terms"
"""The kind of document in which a Subscriber commits itself."""


def committed(requirement: str) -> Check:
    """Return the check of one commitment: accepted by somebody, before the first signature."""

    def check(subscriber: SubscriberRecord, asked: Asked) -> Outcome:
        accepted = [each for each in subscriber.commitments or () if each.requirement == requirement]
        accepted = [each for each in accepted if each.accepted <= asked.at]
        if not accepted:
            return _by_document(requirement, subscriber, asked)
        first = min(accepted, key=lambda each: each.accepted)
        if subscriber.first_signature is not None and subscriber.first_signature < first.accepted:
            return not_met(
                f"{first.by} accepted it on {first.accepted.date()}, after the first signature of"
                f" {subscriber.first_signature.date()}.",
                "let nobody sign before it is accepted",
            )
        return met(f"{first.by} accepted it on {first.accepted.date()}, before the first signature.")

    return check


def _by_document(requirement: str, subscriber: SubscriberRecord, asked: Asked) -> Outcome:
    """Judge by terms that a named person has read for this commitment."""
    day = asked.at.astimezone(UTC).date()
    reviews = [
        review
        for each in subscriber.evidence
        if each.kind == TERMS and each.valid_on(day)
        for review in each.reviews
        if review.requirement == requirement and review.at <= asked.at
    ]
    if not reviews:
        return not_evidenced(
            "No acceptance of this commitment is recorded.",
            "have it accepted for the Subscriber before the first signature, and record by whom and when",
        )
    newest = max(reviews, key=lambda one: one.at)
    words = f"{newest.who} judged the Subscriber's terms {newest.verdict} on {newest.at.date()}."
    if newest.verdict == "met":
        return met(words)
    mend = "have the commitment accepted"
    return not_met(words, mend) if newest.verdict == "not-met" else not_evidenced(words, mend)
