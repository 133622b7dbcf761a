"""Keys, chains and policies as one batch found them: its requests are for a few keys, and each is read once."""

from __future__ import annotations

from datetime import datetime

from privyseal.access.policies import PolicySet
from privyseal.errors import NotFound
from privyseal.records import freezes, keys, lives, parties, policies
from privyseal.records.database import Transaction
from privyseal.terms.freezes import Frozen
from privyseal.terms.keys import KeyPair
from privyseal.terms.life import Life, is_unnoted, require_active
from privyseal.terms.subscribers import Standing, require_signing


class Shelf:
    """What one batch, within one transaction, has read of its keys."""

    def __init__(self, now: datetime) -> None:
        """Begin with nothing; ``now`` is the batch's own moment."""
        self.now = now
        self._pairs: dict[tuple[str, str], KeyPair] = {}
        self._chains: dict[tuple[str, str], tuple[bytes, ...]] = {}
        self._lives: dict[tuple[str, str], Life | None] = {}
        self._frozen: dict[str, list[Frozen]] = {}
        self._standings: dict[str, tuple[Standing, int | None]] = {}
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

    def require_active(self, tx: Transaction, name: str) -> None:
        """Raise Denied or NotPermitted where nothing is signed with the key (``terms/life.py``), and note its use."""
        place = (tx.subscriber, name)
        if place not in self._lives:
            life = self._lives[place] = lives.find(tx, name)
            if life is not None and is_unnoted(life, self.now):
                lives.note_use(tx, name, self.now)
        life = self._lives[place]
        if life is None:
            raise NotFound(f"There is no Key Pair named {name!r}.")
        require_active(life)

    def frozen(self, tx: Transaction) -> list[Frozen]:
        """Return what is frozen of the transaction's Subscriber."""
        if tx.subscriber not in self._frozen:
            self._frozen[tx.subscriber] = freezes.holding(tx)
        return self._frozen[tx.subscriber]

    def papers(self, tx: Transaction) -> int | None:
        """Return the log's entry of the Subscriber's newest acceptance of a paper; None where it accepted none."""
        return self._signs_as(tx)[1]

    def require_signing(self, tx: Transaction) -> None:
        """Raise Denied or NotPermitted where nothing is signed for the Subscriber (``terms/subscribers.py``)."""
        require_signing(tx.subscriber, self._signs_as(tx)[0])

    def _signs_as(self, tx: Transaction) -> tuple[Standing, int | None]:
        if tx.subscriber not in self._standings:
            self._standings[tx.subscriber] = parties.signs_as(tx)
        return self._standings[tx.subscriber]

    def policy(self, tx: Transaction) -> PolicySet | None:
        """Return the policy set in force; None where the Subscriber never applied one."""
        if tx.subscriber not in self._policies:
            self._policies[tx.subscriber] = policies.current(tx)
        return self._policies[tx.subscriber]
