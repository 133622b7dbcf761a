"""Keys in homes outside the signer: the side of them that the signer holds, the same for every kind of home.

Nothing of a vendor's is loaded here. This file knows which home a key is in, hashes what is to be signed, and asks
that home's worker. A question after which a key may have been used is asked once, whatever becomes of the answer.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import ClassVar, TypeVar

import msgspec

from privyseal.errors import KeyStoreUnavailable, NotFound
from privyseal.keystore.audit import Counted
from privyseal.keystore.homes import Child, Home, Located
from privyseal.keystore.messages import (
    Answer,
    Born,
    Count,
    Destroy,
    Destroyed,
    Generate,
    Hashed,
    Protected,
    Protection,
    PublicKey,
    Sign,
    Signed,
    Spki,
    Told,
)
from privyseal.terms.keys import KeyProtection, TokenState
from privyseal.terms.signatures import Scheme, ToBeSigned

_A = TypeVar("_A", bound=Answer)


class Away:
    """The homes of one kind that a signer has keys in; safe to use from several threads.

    A store is a class below this one that names its section and reads its URIs.
    """

    away: ClassVar[bool] = True
    audited: ClassVar[bool] = True
    """Whether somebody else than us logs the use of its keys (``audit.AuditTrail``)."""
    store: ClassVar[str]
    """With which its URIs begin, and what its sections are called in the settings."""
    section: ClassVar[type[Home]]
    noun: ClassVar[str] = "home"
    """What one of its homes is called in messages."""

    def __init__(self, children: Sequence[Child], end: Callable[[], None] = lambda: None) -> None:
        """Keep keys in these homes; ``end`` ends what their workers come from."""
        self._children = tuple(children)
        self._end = end

    @classmethod
    def locate(cls, uri: str) -> Located:
        """Read a URI that this store gave out; NotFound if it is none."""
        raise NotImplementedError

    @property
    def lost(self) -> bool:
        """Tell whether only a fresh process can have workers again."""
        return any(child.lost for child in self._children)

    def names(self, subscriber: str) -> bool:
        """Tell whether a home of this store is named as that of this Subscriber's new keys."""
        return any(subscriber in child.section.subscribers for child in self._children)

    def generate(self, label: str, scheme: Scheme) -> str:
        """Generate a Key Pair in the Subscriber's home and return its URI; Conflict if the home has the label.

        NotCompliant, and no key is left, if what the home says of it is not so of a key that never leaves.
        """
        child = self._for(label.partition("/")[0])
        return _only(Born, child.ask(Generate(label, scheme.name), again=False, long=True)).uri

    def public_key(self, uri: str) -> bytes:
        """Return the SubjectPublicKeyInfo, DER."""
        key, child = self._of(uri)
        return _only(Spki, child.ask(PublicKey(key.label, key.key), again=True)).der

    def sign(self, uri: str, tbs: Sequence[ToBeSigned]) -> list[bytes]:
        """Sign each in the order given, as ``terms.signatures.Signature`` says for each scheme.

        Asked once: if the answer is lost the signatures may have been made, and an intent is good for no more.
        """
        key, child = self._of(uri)
        hashed = tuple(
            Hashed(
                one.digest_algorithm,
                one.octets if key.pure else hashlib.new(one.digest_algorithm, one.octets).digest(),
                one.padding,
            )
            for one in tbs
        )
        return list(_only(Signed, child.ask(Sign(key.label, key.key, hashed), again=False)).values)

    def destroy(self, uri: str) -> None:
        """Destroy the key in its home; doing it again does nothing. Backups of the home are not reached."""
        key, child = self._of(uri)
        _only(Destroyed, child.ask(Destroy(key.label, key.key), again=True))

    def protection(self, uri: str) -> KeyProtection:
        """Return what the home says of the key at this moment."""
        key, child = self._of(uri)
        return _only(Protected, child.ask(Protection(key.label, key.key), again=True)).protection

    def audit(self, uris: Sequence[str], since: datetime, until: datetime) -> tuple[Counted, ...]:
        """Ask each home of these keys what its own audit log says of them (``audit.AuditTrail``)."""
        sought: dict[Child, dict[str, bytes]] = {}
        for uri in uris:
            key, child = self._of(uri)
            sought.setdefault(child, {})[uri] = key.key
        found = []
        for child, keys in sought.items():
            told = _only(Told, child.ask(Count(tuple(keys.values()), since, until), again=True, long=True))
            if len(told.signed) != len(keys):
                raise KeyStoreUnavailable(f"{len(keys)} keys were asked about and {len(told.signed)} were answered.")
            signed = dict(zip(keys, told.signed, strict=True))
            found.append(Counted(home=child.section.name, log=told.log, signed=signed))
        return tuple(found)

    def tokens(self, uris: Sequence[str]) -> tuple[TokenState, ...]:
        """Say how each home is and how many of these keys are in it, without asking any.

        A home that keys are in and that the settings do not name is missing.
        """
        keys, strangers = Counter[Child](), Counter[str]()
        for uri in uris:
            key = self.locate(uri)
            if (child := self._holding(key)) is not None:
                keys[child] += 1
            else:
                strangers[key.home] += 1
        known = [
            msgspec.structs.replace(state, keys=keys[child]) for child in self._children for state in child.states()
        ]
        known += [TokenState(name, "missing", self._unknown(name), count) for name, count in strangers.items()]
        return tuple(known)

    def close(self) -> None:
        """End all workers."""
        for child in self._children:
            child.close()
        self._end()

    def _of(self, uri: str) -> tuple[Located, Child]:
        key = self.locate(uri)
        if (child := self._holding(key)) is None:
            raise NotFound(self._unknown(key.home), hint=f"add its [[{self.store}]] section")
        return key, child

    def _holding(self, key: Located) -> Child | None:
        return next((child for child in self._children if child.holds(key)), None)

    def _for(self, subscriber: str) -> Child:
        chosen = [child for child in self._children if subscriber in child.section.subscribers]
        chosen += [child for child in self._children if not child.section.subscribers]
        if not chosen:
            raise NotFound(
                f"No {self.noun} takes new keys of Subscriber {subscriber}.", hint="name it under subscribers"
            )
        return chosen[0]

    def _unknown(self, home: str) -> str:
        return f"No {self.noun} called {home!r} is in this signer's settings."


def _only(kind: type[_A], answer: Answer) -> _A:
    if not isinstance(answer, kind):
        raise KeyStoreUnavailable(
            f"A key store's worker answered {type(answer).__name__} where {kind.__name__} was due."
        )
    return answer
