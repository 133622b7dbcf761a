"""Where else a public key was met: in another Key Pair, or in a certificate with which somebody signs in."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, select

from privyseal.records.tables import client_certificates, key_pairs


class Place(msgspec.Struct, frozen=True):
    """A Key Pair that has the key."""

    subscriber: str
    name: str


class Sightings(msgspec.Struct, frozen=True):
    """Everywhere that a key is in the records, but for the certificates of code signing that are installed for it."""

    pairs: tuple[Place, ...]
    client: bool
    """Whether a certificate with it proves some member."""


def of_key_of_all_subscribers(connection: Connection, key_id: str) -> Sightings:
    """Return where a key is met, whoever's records these are."""
    named = select(key_pairs.c.subscriber, key_pairs.c.name).where(key_pairs.c.key_id == key_id)
    clients = select(client_certificates.c.member).where(client_certificates.c.key_digest == bytes.fromhex(key_id))
    return Sightings(
        tuple(Place(row.subscriber, row.name) for row in connection.execute(named)),
        connection.execute(clients.limit(1)).first() is not None,
    )
