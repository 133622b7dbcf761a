"""Sealed notes: what we hand to a browser to be handed back, unread and unchanged, within its time.

A challenge, the state of a sign-in at a provider, a code for the command line: nothing of it has to be written down
before somebody has proved who they are, so strangers cannot fill the records. That a note counts once is for the
records to see (``records/people.py``), by its digest. The same key seals what must be usable and so cannot be hashed.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Callable
from datetime import datetime, timedelta

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from privyseal.errors import NotAuthenticated

KEY_OCTETS = 32
"""Octets of the key: AES-256-GCM under a key drawn from it for each note's purpose and salt."""
LONGEST_NOTE = 4096
"""Characters of a note; a browser's cookie holds no more (RFC 6265 6.1)."""
_SALT, _NONCE = 16, bytes(12)  # each salt gives another key, so that no key and nonce meet twice


class Sealer:
    """Seals and opens under one key; ``repr`` shows nothing of it."""

    __slots__ = ("_draw", "_key")

    def __init__(self, key: bytes, draw: Callable[[int], bytes]) -> None:
        """Use ``key``, 32 octets."""
        if len(key) != KEY_OCTETS:
            raise ValueError("a sealing key has 32 octets")
        self._key, self._draw = key, draw

    def seal(self, purpose: str, content: bytes) -> bytes:
        """Encrypt ``content`` so that only :meth:`unseal` for the same purpose gives it back."""
        salt = self._draw(_SALT)
        return salt + self._cipher(purpose, salt).encrypt(_NONCE, content, purpose.encode())

    def unseal(self, purpose: str, sealed: bytes) -> bytes:
        """Decrypt; ValueError where it was sealed for something else, under another key, or changed."""
        try:
            return self._cipher(purpose, sealed[:_SALT]).decrypt(_NONCE, sealed[_SALT:], purpose.encode())
        except InvalidTag as error:
            raise ValueError("not sealed by us for this") from error

    def note(self, purpose: str, content: bytes, now: datetime, lasts: timedelta) -> str:
        """Make a note that can be opened for so long, as text for a form or cookie."""
        until = struct.pack(">Q", int((now + lasts).timestamp()))
        return base64.urlsafe_b64encode(self.seal(f"note: {purpose}", until + content)).rstrip(b"=").decode("ascii")

    def read(self, purpose: str, note: str, now: datetime) -> bytes:
        """Open a note; NotAuthenticated where it is not ours, for something else, or too old."""
        try:
            if len(note) > LONGEST_NOTE:
                raise ValueError("too long")
            octets = base64.b64decode(note + "=" * (-len(note) % 4), altchars=b"-_", validate=True)
            if base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii") != note:
                raise ValueError("not the only way to write it")  # or one note could be used once in each spelling
            plain = self.unseal(f"note: {purpose}", octets)
        except ValueError:
            raise NotAuthenticated("This is not something that this service gave out.", hint="begin again") from None
        if struct.unpack(">Q", plain[:8])[0] <= now.timestamp():
            raise NotAuthenticated("This took too long.", hint="begin again")
        return plain[8:]

    def _cipher(self, purpose: str, salt: bytes) -> AESGCM:
        derived = HKDF(SHA256(), 32, salt=salt, info=b"privyseal sealed\0" + purpose.encode()).derive(self._key)
        return AESGCM(derived)


def digest_of(note: str) -> bytes:
    """Return by what it is remembered that a note was used."""
    return hashlib.sha256(note.encode("utf-8", "surrogatepass")).digest()
