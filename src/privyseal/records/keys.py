"""Key Pairs and the certificates installed for them."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache

import msgspec
from sqlalchemy import bindparam, insert, select, update

from privyseal.errors import Conflict, NotFound
from privyseal.records.database import Transaction
from privyseal.records.prepared import Question
from privyseal.records.tables import certificates, key_pairs
from privyseal.terms.keys import KeyPair

# Every batch of the walk reads these two, so they are built once (see ``requests.py``).
_PAIR = Question(
    select(key_pairs.c.document).where(
        key_pairs.c.subscriber == bindparam("p_subscriber"), key_pairs.c.name == bindparam("p_name")
    )
)
_CHAIN = Question(
    select(certificates.c.chain).where(
        certificates.c.subscriber == bindparam("p_subscriber"), certificates.c.fingerprint == bindparam("p_fingerprint")
    )
)

_chain_decoder = msgspec.msgpack.Decoder(tuple[bytes, ...])


@lru_cache(maxsize=256)  # about 5 KiB each
def _chain(stored: bytes) -> tuple[bytes, ...]:
    """Decode a chain; the same one for all that remember it, or each of them would keep a copy of its certificates."""
    return _chain_decoder.decode(stored)


def add_key_pair(tx: Transaction, pair: KeyPair) -> None:
    """Write down a Key Pair that was just born; raise Conflict where its name is taken."""
    require_free(tx, pair.name)
    tx.connection.execute(
        insert(key_pairs).values(
            subscriber=tx.subscriber,
            name=pair.name,
            key_id=pair.key_id,
            frozen=pair.frozen,
            document=msgspec.json.encode(pair),
        )
    )


def require_free(tx: Transaction, name: str) -> None:
    """Raise Conflict where the Subscriber has a Key Pair of that name."""
    if _row(tx, name) is not None:
        raise Conflict(f"There is a Key Pair named {name!r} already.", hint="choose another name")


def key_pair(tx: Transaction, name: str) -> KeyPair:
    """Read one Key Pair of the Subscriber; raise NotFound where it has none of that name."""
    row = _row(tx, name)
    if row is None:
        raise NotFound(f"There is no Key Pair named {name!r}.")
    return msgspec.json.decode(row, type=KeyPair)


def key_pairs_of(tx: Transaction) -> list[KeyPair]:
    """List the Subscriber's Key Pairs by name."""
    rows = tx.connection.execute(
        select(key_pairs.c.document).where(key_pairs.c.subscriber == tx.subscriber).order_by(key_pairs.c.name)
    )
    return [msgspec.json.decode(row.document, type=KeyPair) for row in rows]


def replace_key_pair(tx: Transaction, pair: KeyPair) -> None:
    """Write down what an administrative act made of a Key Pair, such as frozen."""
    tx.connection.execute(
        update(key_pairs)
        .where(key_pairs.c.subscriber == tx.subscriber, key_pairs.c.name == pair.name)
        .values(frozen=pair.frozen, document=msgspec.json.encode(pair))
    )


def install_certificate(
    tx: Transaction, *, fingerprint: str, key_id: str, chain: tuple[bytes, ...], now: datetime
) -> None:
    """Write down the chain of a certificate, DER, the signer's own first; installing it again does nothing."""
    if certificate_chain(tx, fingerprint) is None:
        tx.connection.execute(
            insert(certificates).values(
                fingerprint=fingerprint,
                subscriber=tx.subscriber,
                key_id=key_id,
                installed=now,
                chain=msgspec.msgpack.encode(chain),
            )
        )


def certificate_chain(tx: Transaction, fingerprint: str) -> tuple[bytes, ...] | None:
    """Read the chain of the certificate with this SHA-256 (lower-case hex), or None."""
    row = _CHAIN.first(tx.connection, p_subscriber=tx.subscriber, p_fingerprint=fingerprint)
    return None if row is None else _chain(bytes(row.chain))


def certificate_chains_of(tx: Transaction, key_id: str | None = None) -> list[tuple[bytes, ...]]:
    """List the chains installed for one key, or for all, the newest first."""
    wanted = select(certificates.c.chain).where(certificates.c.subscriber == tx.subscriber)
    if key_id is not None:
        wanted = wanted.where(certificates.c.key_id == key_id)
    rows = tx.connection.execute(wanted.order_by(certificates.c.installed.desc(), certificates.c.fingerprint))
    return [_chain(bytes(row.chain)) for row in rows]


def _row(tx: Transaction, name: str) -> bytes | None:
    row = _PAIR.first(tx.connection, p_subscriber=tx.subscriber, p_name=name)
    return None if row is None else bytes(row.document)
