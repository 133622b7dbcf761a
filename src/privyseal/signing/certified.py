"""The certificates of a service as they are judged: those of Key Pairs, those above them, the Timestamp Authority's.

A certificate never changes, so it is judged once under one catalogue, by the clauses in force when it was issued, and
not again. Most of these clauses bind its CA and not us; they are judged all the same, for it is the Subscriber's
certificate that gets revoked. Whoever shows such a finding says whom its requirement ``binds``.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, date

import msgspec
from sqlalchemy import Connection

from privyseal.compliance.catalogue import BY_ID, REQUIREMENTS
from privyseal.compliance.certificate import JudgedCertificate
from privyseal.compliance.evaluate import evaluate
from privyseal.compliance.outcome import Finding, Verdict
from privyseal.compliance.requirement import Asked, DatedBy, Kind, Requirement, Scope
from privyseal.errors import BadInput
from privyseal.records import evidence

RULES: tuple[Requirement, ...] = tuple(each for each in REQUIREMENTS if Kind.CERTIFICATE in each.kinds)
"""What a certificate is held against, whomever it binds."""

SCOPE = "CSBR-1.1-01"
"""The one requirement that is asked of a certificate on which no code signing can rest, and of one that is unread."""


_FINGERPRINT = 64
"""Hex digits; whatever else events are about is no certificate."""


class Unread(msgspec.Struct, frozen=True):
    """A certificate of the records that cannot be read: it has one finding, and keeps nobody else's from being made."""

    label: str
    why: str
    kind: Kind = Kind.CERTIFICATE


Judgeable = JudgedCertificate | Unread
Owned = tuple[str | None, Judgeable]
"""A certificate and the name of the Subscriber that has it; None for a CA's, and for the Timestamp Authority's."""


def basis(asked: Asked) -> str:
    """Return on what verdicts depend beside the certificate: the catalogue, and which of its readings are chosen.

    A clause that is dated by the day asked counts where it is in force then, so a day makes no difference but where one
    of these begins or ends.
    """
    today = asked.at.astimezone(UTC).date()
    by_day = [each.id for each in RULES if each.dated_by is DatedBy.DAY and each.binding_since(asked.choices).on(today)]
    texts = [(each.id, each.binding_since(asked.choices), each.text) for each in RULES]
    return hashlib.sha256(msgspec.json.encode((texts, asked.choices, by_day), order="sorted")).hexdigest()


def installed(connection: Connection, only: Collection[str] | None = None) -> Iterator[list[Owned]]:
    """Yield the certificates that are installed, in portions, and once each what stands above them.

    ``only`` those with these fingerprints.
    """
    seen: set[bytes] = set()
    for portion in _chains(connection, only):
        found: list[Owned] = []
        for owner, fingerprint, stored in portion:
            first, *above = read(stored, fingerprint)
            found.append((owner, first))
            for octets, each in zip(stored[1:], above, strict=False):
                name = hashlib.sha256(octets).digest()
                if name not in seen:
                    seen.add(name)
                    found.append((None, each))
        yield found


def _chains(connection: Connection, only: Collection[str] | None) -> Iterator[list[tuple[str, str, tuple[bytes, ...]]]]:
    if only is None:
        yield from evidence.chains_of_all_subscribers(connection)
        return
    names = [each for each in sorted(only) if len(each) == _FINGERPRINT]
    for start in range(0, len(names), evidence.BATCH):
        some = names[start : start + evidence.BATCH]
        yield from evidence.chains_of_all_subscribers(connection, only=some)


def read(chain: Sequence[bytes], fingerprint: str = "") -> Sequence[Judgeable]:
    """Read a chain; of one in which something cannot be read, only its first certificate, if that can be."""
    try:
        return evidence.judged_chain(chain)
    except BadInput as error:
        why = error.detail
    try:
        return evidence.judged_chain(chain[:1])
    except BadInput:
        name = fingerprint or hashlib.sha256(chain[0]).hexdigest()
        return [Unread(f"certificate {name[: evidence.NAMED_BY]}", why)]


def judge(subject: Judgeable, asked: Asked) -> Iterable[Finding]:
    """Give the findings on one certificate; of a clause that does not speak of it there is none."""
    if isinstance(subject, Unread):
        rule = BY_ID[SCOPE]
        text = f"It cannot be read, so nothing is judged of it: {subject.why}"
        return [
            Finding(
                requirement=rule.id,
                clause=rule.cited,
                ballot=rule.source.ballot,
                subject=subject.label,
                verdict=Verdict.BROKEN,
                text=text,
                mend="install the certificate again",
                governed=None,
            )
        ]
    rules: Iterable[Requirement] = (BY_ID[SCOPE],)
    if subject.covered:
        moment = subject.when(DatedBy.ISSUANCE)
        day = asked.at if moment is None else moment
        rules = _binding(subject.scopes, day.astimezone(UTC).date(), tuple(sorted(asked.choices.items())))
    return evaluate(subject, rules, asked)


@functools.lru_cache(maxsize=4096)
def _binding(scopes: frozenset[Scope], issued: date, choices: tuple[tuple[str, str], ...]) -> tuple[Requirement, ...]:
    """Return the rules that can have a verdict on such a certificate, which are half of them."""
    read = dict(choices)
    return tuple(
        each
        for each in RULES
        if (not scopes or not scopes.isdisjoint(each.applies_to))
        and (each.dated_by is not DatedBy.ISSUANCE or each.binding_since(read).on(issued))
    )
