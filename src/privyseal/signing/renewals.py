"""The next certificate is planned, and whoever has to ask for it is told, once for each step of each certificate."""

from __future__ import annotations

from datetime import datetime

import msgspec
from sqlalchemy import Connection

from privyseal.compliance import duty_facts
from privyseal.compliance.known import Known
from privyseal.compliance.renewal import Held, Renewal, Stage, plan
from privyseal.records import health, renewals
from privyseal.records.database import Transaction
from privyseal.signing import notices
from privyseal.signing.instance import PrivySeal
from privyseal.signing.notices import Notice

TOLD = (Stage.DUE, Stage.LATE, Stage.ENDED)
"""Stages of which people are told."""
TOPIC = "certificate.ending"
"""The notice that a certificate ends."""


def plans(seal: PrivySeal, tx: Transaction) -> tuple[Renewal, ...]:
    """Return the plans of the Subscriber's keys, the most urgent first."""
    with seal.records.reading_all_subscribers() as connection:
        known = seal.stated.known_of_all_subscribers(connection)
    return plan(_with(renewals.held(tx), known), seal.clock())


def plans_of_all_subscribers(seal: PrivySeal, connection: Connection) -> tuple[Renewal, ...]:
    """Return the plans of everybody's keys, the most urgent first."""
    known = seal.stated.known_of_all_subscribers(connection)
    return plan(_with(renewals.held_of_all_subscribers(connection), known), seal.clock())


def remind(seal: PrivySeal) -> int:
    """Tell of each certificate that is to be followed by another one, once for each stage; return of how many.

    That it was told is written down with the notice, so no node tells it a second time.
    """
    with seal.records.reading_all_subscribers() as connection:
        found = [each for each in plans_of_all_subscribers(seal, connection) if each.stage in TOLD]
    told = 0
    for each in found:
        with seal.records.writing(each.subscriber) as tx:
            if health.note_told(tx, each.key, f"{each.stage} {each.certificate}"):
                notices.put(tx, seal, _notice(each))
                told += 1
    return told


def facts_of_all_subscribers(connection: Connection, known: Known, at: datetime) -> tuple[duty_facts.Renewal, ...]:
    """Return what the clocks of duties start from: each certificate that ends, and since when the next one is here."""
    return tuple(
        duty_facts.Renewal(
            key=f"{each.subscriber}/{each.key}",
            certificate=each.certificate,
            begins_at=each.begins,
            ends_at=each.ends,
            renewed_at=each.overlap_from,
        )
        for each in plan(_with(renewals.held_of_all_subscribers(connection), known), at)
        if each.begins <= at
    )


def _with(held: list[Held], known: Known) -> list[Held]:
    """Add what was stated of the keys and certificates."""
    revoked = frozenset(name for name, status in known.status.items() if status.revoked_at is not None)
    return [msgspec.structs.replace(each, believed=known.believed.get(each.key_id), revoked=revoked) for each in held]


def _notice(each: Renewal) -> Notice:
    data = {
        "key": each.key,
        "certificate": each.certificate,
        "ends": each.ends,
        "stage": each.stage.value,
        "same_key": each.same_key,
        "text": each.text,
    }
    return Notice(topic=TOPIC, data=data)
