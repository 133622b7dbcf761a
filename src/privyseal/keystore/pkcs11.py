"""Keys in hardware modules, spoken to by PKCS#11: the side of it that the signer holds.

No module is loaded here. Each token's module lives in a worker, a process of its own that is thrown away with
whatever state it got into (``strongroom/worker.py``); this file knows which token a key is in, hashes what is to be
signed, and asks. A question after which a key may have been used is asked once, whatever becomes of the answer.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Protocol, TypeVar

import msgspec

from privyseal.errors import KeyStoreUnavailable, NotFound
from privyseal.keystore.pkcs11_messages import (
    Answer,
    Born,
    Destroy,
    Destroyed,
    Generate,
    Hashed,
    Protected,
    Protection,
    PublicKey,
    Question,
    Sign,
    Signed,
    Spki,
)
from privyseal.keystore.pkcs11_uri import KeyUri
from privyseal.terms.keys import KeyProtection, TokenState
from privyseal.terms.signatures import Scheme, ToBeSigned

MAX_SESSIONS = 64
"""Sessions with one token; SoftHSM allows any number, network modules from a few dozen to a few hundred."""
_A = TypeVar("_A", bound=Answer)


class Pkcs11Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[pkcs11]]`` in the signer's settings: one token, and the module that speaks to it.

    Paths in it are relative to the settings file.
    """

    module: str
    """Path of the module, a shared library, such as ``/usr/lib/softhsm/libsofthsm2.so``."""
    token: str | None = None
    """The token's label; this or ``serial``, or both."""
    serial: str | None = None
    pin_file: str | None = None
    """A file, 0600, that holds the user PIN and nothing else; this or ``pin``."""
    pin: str | None = None
    subscribers: tuple[str, ...] = ()
    """Subscribers whose new keys are born in this token; none named: everybody's that no other token names."""
    sessions: int | None = None
    """Threads, each with a session of its own, and as many signatures are asked at once; two a core if not given."""
    timeout: float = 10.0
    """Seconds until a call counts as hung and the worker is killed; an RSA-4096 signature takes 7 ms in software."""
    generate_timeout: float = 120.0
    """The same for generating a key; RSA-4096 takes seconds in software and up to a minute in a small token."""
    environment: dict[str, str] = {}
    """Variables that the module reads, such as SOFTHSM2_CONF."""
    readable: tuple[str, ...] = ()
    """Files and directories that the module reads besides system libraries."""
    writable: tuple[str, ...] = ()
    """Files and directories that it also writes, such as the token directory of SoftHSM."""
    network: bool = False
    """Whether the module may call somebody over TCP, as that of a network HSM must, and make new connections after the
    login. Without it, it may use a Unix socket that it opened before."""

    def __post_init__(self) -> None:
        """Refuse what names no token, or no PIN, or a limit that is none."""
        if self.token is None and self.serial is None:
            raise ValueError("a [[pkcs11]] section names neither token nor serial")
        if (self.pin is None) == (self.pin_file is None):
            raise ValueError("a [[pkcs11]] section needs one of pin and pin_file")
        if self.sessions is not None and not 1 <= self.sessions <= MAX_SESSIONS:
            raise ValueError(f"sessions is {self.sessions}; 1 to {MAX_SESSIONS} are possible")
        if not 0 < self.timeout <= self.generate_timeout <= 3600:
            raise ValueError("timeout and generate_timeout must be positive, in this order, and at most an hour")

    def __repr__(self) -> str:
        """Show which token it is, and no PIN."""
        return f"Pkcs11Section(module={self.module!r}, token={self.token!r}, serial={self.serial!r}, pin=...)"

    @property
    def name(self) -> str:
        """What the token is called in messages."""
        return self.token or self.serial or ""

    def placed(self, beside: Path) -> Pkcs11Section:
        """Return the section with its paths taken from ``beside``, the directory of the settings."""
        return msgspec.structs.replace(
            self,
            module=str(beside / self.module),
            pin_file=None if self.pin_file is None else str(beside / self.pin_file),
            readable=tuple(str(beside / each) for each in self.readable),
            writable=tuple(str(beside / each) for each in self.writable),
        )


class Token(Protocol):
    """A token behind a worker."""

    @property
    def section(self) -> Pkcs11Section:
        """What the settings say of it."""
        ...

    @property
    def lost(self) -> bool:
        """Tell whether no worker can be had any more by this process."""
        ...

    def state(self) -> TokenState:
        """Return how it is, as far as that is known without asking it."""
        ...

    def ask(self, question: Question, *, again: bool, long: bool = False) -> Answer:
        """Ask and return what is not a Failure.

        Raises the error that a Failure names, KeyStoreUnavailable where no answer came. ``again`` says that the
        question may be asked anew of a fresh worker where the answer was lost; ``long`` that it takes long.
        """
        ...

    def close(self) -> None:
        """End the worker."""
        ...


class Pkcs11:
    """The tokens of one signer; safe to use from several threads."""

    away: ClassVar[bool] = True

    def __init__(self, tokens: Sequence[Token], end: Callable[[], None] = lambda: None) -> None:
        """Keep keys in these tokens; ``end`` ends what their workers come from."""
        self._tokens = tuple(tokens)
        self._end = end

    @property
    def lost(self) -> bool:
        """Tell whether only a fresh process can have workers again."""
        return any(token.lost for token in self._tokens)

    def generate(self, label: str, scheme: Scheme) -> str:
        """Generate a Key Pair in the Subscriber's token and return its URI; Conflict if the token has the label.

        NotCompliant, and no key is left, if its attributes do not read back as those of a key that never leaves.
        """
        token = self._for(label.partition("/")[0])
        return _only(Born, token.ask(Generate(label, scheme.name), again=False, long=True)).uri

    def public_key(self, uri: str) -> bytes:
        """Return the SubjectPublicKeyInfo, DER."""
        key, token = self._of(uri)
        return _only(Spki, token.ask(PublicKey(key.label, key.key), again=True)).der

    def sign(self, uri: str, tbs: Sequence[ToBeSigned]) -> list[bytes]:
        """Sign each in the order given: PKCS#1 or PSS octets for RSA, DER ECDSA-Sig-Value for ECDSA.

        Asked once: if the answer is lost the signatures may have been made, and an intent is good for no more.
        """
        key, token = self._of(uri)
        hashed = tuple(
            Hashed(one.digest_algorithm, hashlib.new(one.digest_algorithm, one.octets).digest(), one.padding)
            for one in tbs
        )
        return list(_only(Signed, token.ask(Sign(key.label, key.key, hashed), again=False)).values)

    def destroy(self, uri: str) -> None:
        """Destroy both halves in the token; doing it again does nothing. Backups of the token are not reached."""
        key, token = self._of(uri)
        _only(Destroyed, token.ask(Destroy(key.label, key.key), again=True))

    def protection(self, uri: str) -> KeyProtection:
        """Return what the token says of the key at this moment."""
        key, token = self._of(uri)
        return _only(Protected, token.ask(Protection(key.label, key.key), again=True)).protection

    def tokens(self, uris: Sequence[str]) -> tuple[TokenState, ...]:
        """Say how each token is and how many of these keys are in it, without asking any.

        A token that keys are in and that the settings do not name is missing.
        """
        keys, strangers = Counter[Token](), Counter[str]()
        for uri in uris:
            key = KeyUri.of(uri)
            if (token := self._holding(key)) is not None:
                keys[token] += 1
            else:
                strangers[key.token] += 1
        known = [msgspec.structs.replace(token.state(), keys=keys[token]) for token in self._tokens]
        known += [TokenState(name, "missing", _unknown(name), count) for name, count in strangers.items()]
        return tuple(known)

    def close(self) -> None:
        """End all workers."""
        for token in self._tokens:
            token.close()
        self._end()

    def _of(self, uri: str) -> tuple[KeyUri, Token]:
        key = KeyUri.of(uri)
        if (token := self._holding(key)) is None:
            raise NotFound(_unknown(key.token), hint="add its [[pkcs11]] section")
        return key, token

    def _holding(self, key: KeyUri) -> Token | None:
        for token in self._tokens:
            section = token.section
            if section.token in (None, key.token) and section.serial in (None, key.serial):
                return token
        return None

    def _for(self, subscriber: str) -> Token:
        chosen = [token for token in self._tokens if subscriber in token.section.subscribers]
        chosen += [token for token in self._tokens if not token.section.subscribers]
        if not chosen:
            raise NotFound(f"No token takes new keys of Subscriber {subscriber}.", hint="name it under subscribers")
        return chosen[0]


def _unknown(token: str) -> str:
    return f"No token called {token!r} is in this signer's settings."


def _only(kind: type[_A], answer: Answer) -> _A:
    if not isinstance(answer, kind):
        raise KeyStoreUnavailable(
            f"A PKCS#11 token's worker answered {type(answer).__name__} where {kind.__name__} was due."
        )
    return answer
