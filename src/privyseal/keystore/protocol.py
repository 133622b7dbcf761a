"""What a key store is: somewhere a Private Key is born, is used and dies, and never leaves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from privyseal.terms.keys import KeyProtection, TokenState
from privyseal.terms.signatures import Scheme, ToBeSigned


class KeyStore(Protocol):
    """One home for keys. Every method may raise KeyStoreUnavailable; an unknown URI is NotFound."""

    @property
    def away(self) -> bool:
        """Tell whether keys are used in another process or device, so that each use is worth a thread of its own."""
        ...

    @property
    def lost(self) -> bool:
        """Tell whether this process cannot have the store any more, so that a fresh one must."""
        ...

    def names(self, subscriber: str) -> bool:
        """Tell whether this store is named, by the settings of its homes, as that of this Subscriber's new keys."""
        ...

    def generate(self, label: str, scheme: Scheme) -> str:
        """Generate a Key Pair inside and return its URI.

        ``label`` is ``subscriber/name``; a second key of one label is Conflict.
        """
        ...

    def public_key(self, uri: str) -> bytes:
        """Return the SubjectPublicKeyInfo, DER."""
        ...

    def sign(self, uri: str, tbs: Sequence[ToBeSigned]) -> list[bytes]:
        """Sign each: PKCS#1 octets for RSA, DER ECDSA-Sig-Value for ECDSA, in the order given."""
        ...

    def destroy(self, uri: str) -> None:
        """Destroy the Private Key for good; destroying it again does nothing."""
        ...

    def protection(self, uri: str) -> KeyProtection:
        """Say what this module itself can prove of the key."""
        ...

    def tokens(self, uris: Sequence[str]) -> tuple[TokenState, ...]:
        """Say how each token is and how many of these keys are in it, at once and without asking any of them.

        A store that has no tokens has nothing to say.
        """
        ...

    def close(self) -> None:
        """Let go of what the store holds outside this process."""
        ...
