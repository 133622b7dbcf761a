"""Keys, chains and policies as one batch found them: its requests are for a few keys, and each is read once."""

from __future__ import annotations

from datetime import datetime

from privyseal.access.policies import PolicySet
from privyseal.records import keys, policies
from privyseal.records.database import Transaction
from privyseal.terms.keys import KeyPair


class Shelf:
    """What one batch, within one transaction, has read of its keys."""

    def __init__(self, now: datetime) -> None:
        """Begin with nothing; ``now`` is the batch's own moment."""
        self.now = now
        self._pairs: dict[tuple[str, str], KeyPair] = {}
        self._chains: dict[tuple[str, str], tuple[bytes, ...]] = {}
        self._policies: dict[str, PolicySet | None] = {}

    def pair(self, tx: Transaction, name: str) -> KeyPair:
        """Return the Key Pair of that name; NotFound where there is none."""
        place = (tx.subscriber, name)
        if place not in self._pairs:
            self._pairs[place] = keys.key_pair(tx, name)
        return self._pairs[place]

    def chain(self, tx: Transaction, fingerprint: str) -> tuple[bytes, ...]:
        """Return the chain of the certificate with this fingerprint; empty where there is none any more."""
        place = (tx.subscriber, fingerprint)
        if place not in self._chains:
            self._chains[place] = keys.certificate_chain(tx, fingerprint) or ()
        return self._chains[place]

    def policy(self, tx: Transaction) -> PolicySet | None:
        """Return the policy set in force; None where the Subscriber never applied one."""
        if tx.subscriber not in self._policies:
            self._policies[tx.subscriber] = policies.current(tx)
        return self._policies[tx.subscriber]
