"""A wrong PIN is tried once, and never again, so that no restart of ours locks a token.

Tokens lock after three to ten wrong tries, and a worker is started anew after every loss of its token. So before
the first login with a PIN a note of it is on the disk, and only a login that went well makes it a note that may
be tried again. A crash between the two leaves ``unknown``, which is not tried either: a person looks.

The note knows the PIN by a salted scrypt digest. A PIN has few digits, so whoever reads the note could find it;
but the note is 0600 in the directory of the settings, which hold the PIN or the way to it anyway.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
from pathlib import Path
from typing import Literal

import msgspec

from privyseal.errors import KeyStoreUnavailable, Misused

State = Literal["unknown", "good", "wrong"]
"""What is known of a PIN: nothing, or what the token said of it."""
_N, _R, _P = 1 << 14, 8, 1  # 16 MiB and a few hundredths of a second (RFC 7914 section 2 explains the three)
MAX_PIN_OCTETS = 256
"""Octets of a PIN that is read from a file; CK_TOKEN_INFO of common modules allows up to 255."""
_MAX_NOTE_OCTETS = 4096


class _Note(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last PIN that was tried at one token."""

    salt: bytes
    digest: bytes
    state: State


class PinNote:
    """The note about one token, in a directory that the worker may write."""

    def __init__(self, directory: Path, token: str, serial: str) -> None:
        """Look after the token with this label and serial number."""
        name = hashlib.sha256(f"{serial}\0{token}".encode()).hexdigest()[:32]
        self.path = directory / f"{name}.json"

    def check(self, pin: bytes) -> None:
        """Write down that this PIN is about to be tried; Misused if it was and did not go well."""
        known = self._read()
        if known is not None and hmac.compare_digest(_digest(pin, known.salt), known.digest):
            if known.state == "good":
                return
            how = "was refused by the token" if known.state == "wrong" else "was tried once and its outcome is unknown"
            raise Misused(
                f"The configured PIN {how}; it is not tried again, so that the token does not lock.",
                hint=f"put the right PIN into the settings, or remove {self.path} to have the same one tried once more",
            )
        self._write(pin, "unknown")

    def good(self, pin: bytes) -> None:
        """Write down that the token took this PIN."""
        known = self._read()
        if known is None or known.state != "good":
            self._write(pin, "good")

    def wrong(self, pin: bytes) -> None:
        """Write down that the token refused this PIN."""
        self._write(pin, "wrong")

    def _read(self) -> _Note | None:
        try:
            with open(os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
                return msgspec.json.decode(file.read(_MAX_NOTE_OCTETS), type=_Note)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            raise KeyStoreUnavailable(
                f"{self.path}, which says which PIN was tried, cannot be read.", hint="look at it, then remove it"
            ) from None

    def _write(self, pin: bytes, state: State) -> None:
        salt = os.urandom(16)
        content = msgspec.json.encode(_Note(salt, _digest(pin, salt), state))
        temporary = self.path.with_suffix(f".{os.getpid()}")
        try:
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)
            directory = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as error:
            raise KeyStoreUnavailable(
                f"{self.path}, which says which PIN was tried, cannot be written: {error.strerror}.",
                hint="no PIN is tried without it",
            ) from None


def read_pin(path: Path) -> bytes:
    """Read a PIN from a file of its own, without the newline at its end; Misused if others can read it."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC), "rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise Misused(f"Others than its owner can read {path}, which holds a PIN.", hint=f"chmod 600 {path}")
            pin = file.read(MAX_PIN_OCTETS + 1).rstrip(b"\r\n")
    except OSError as error:
        raise Misused(f"The PIN file {path} cannot be read: {error.strerror}.") from None
    if not 1 <= len(pin) <= MAX_PIN_OCTETS:
        raise Misused(f"The PIN file {path} does not hold one PIN of 1 to {MAX_PIN_OCTETS} octets.")
    return pin


def _digest(pin: bytes, salt: bytes) -> bytes:
    return hashlib.scrypt(pin, salt=salt, n=_N, r=_R, p=_P, dklen=32)
