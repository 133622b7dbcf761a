"""How a worker with a PKCS#11 module begins: the PIN is read, the module loaded, the token logged in to once."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from privyseal.errors import PrivySealError
from privyseal.keystore.homes import Standing
from privyseal.keystore.pkcs11 import Pkcs11Section
from privyseal.keystore.pkcs11_module import Opening, open_token
from privyseal.keystore.pkcs11_pin import read_pin
from privyseal.keystore.pkcs11_token import Desk, Shared


class TokenOpening:
    """The beginning of one worker with one token."""

    def __init__(self, section: Pkcs11Section, notes: Path, sessions: int) -> None:
        """Begin with the token that a section names; ``notes`` keeps what is known of PINs."""
        self._section = section
        self._notes = notes
        self._sessions = sessions
        self._opening = Opening()
        self._pin = b""

    def prepare(self) -> None:
        """Read the PIN."""
        section = self._section
        sys.unraisablehook = lambda _: None  # python-pkcs11 ends its searches in __del__, also those of a lost session
        self._pin = (
            read_pin(Path(section.pin_file)) if section.pin_file is not None else (section.pin or "").encode("utf-8")
        )

    def open(self) -> Sequence[Desk]:
        """Load the module, log in, and return a desk for each session."""
        token = open_token(self._section, self._pin, self._notes, self._sessions, self._opening)
        shared = Shared()
        return [Desk(token, session, shared) for session in token.sessions]

    def standing(self, error: PrivySealError) -> Standing:
        """Return the state of a token whose opening ended with this error."""
        return self._opening.standing(error)
