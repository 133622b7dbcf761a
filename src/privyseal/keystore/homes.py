"""Homes of keys outside the signer: what the settings say of one, and what its worker is made of.

A home is a token, or an account with a cloud. What speaks to it, a vendor's module or an SDK, lives in a worker, a
process of its own that is thrown away with whatever state it got into (``strongroom/worker.py``). A store's file has
its section of the settings, which knows how to begin in a worker; nothing of the vendor's is imported before that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple, Protocol, Self

from privyseal.errors import PrivySealError
from privyseal.keystore.messages import Answer, Question
from privyseal.terms.keys import TokenState

MAX_SESSIONS = 64
"""Questions at once to one home; SoftHSM allows any number, network modules from a few dozen to a few hundred."""
CLOUD_SILENCE_SECONDS = 60.0
"""How long a cloud may be silent before its watch looks: each look is a call that somebody pays and counts."""

Standing = Literal["away", "missing", "pin", "refused"]
"""Why a home cannot be used (``TokenState``)."""


class Located(NamedTuple):
    """A key, as its URI says."""

    home: str
    """What the home is called, for people."""
    serial: str
    """What the home is known by besides, such as a token's serial number; may be empty."""
    label: str
    key: bytes
    """What the store knows the key by."""
    pure: bool = False
    """It signs octets (``terms.signatures.PURE_FAMILIES``), and is asked with them in place of a digest."""


class Territory(NamedTuple):
    """What a worker may use besides system libraries once it is shut in."""

    readable: frozenset[Path] = frozenset()
    writable: frozenset[Path] = frozenset()
    ports: tuple[int, ...] = ()
    """TCP ports that it calls."""
    network: bool = False
    """It may call any port, and make new connections after it has begun."""
    environment: tuple[tuple[str, str], ...] = ()

    @property
    def calls(self) -> bool:
        """Tell whether it calls anybody by TCP."""
        return self.network or bool(self.ports)


class Desk(Protocol):
    """One thread of a worker, with its own session or connection."""

    def answer(self, question: Question) -> Answer:
        """Answer one question; whatever goes wrong becomes a Failure in our words."""
        ...


class Opening(Protocol):
    """How a worker begins; made, and asked to prepare, before it is shut in."""

    def prepare(self) -> None:
        """Read what only a process that is not shut in can read, such as a PIN; load no foreign code."""
        ...

    def open(self) -> Sequence[Desk]:
        """Reach the home and return a desk for each session; raises our own errors.

        Misused where a person must change something, KeyStoreUnavailable where it may come back.
        """
        ...

    def standing(self, error: PrivySealError) -> Standing:
        """Return the state of a home whose opening ended with this error."""
        ...


class Begin(Protocol):
    """Makes the opening of one home; what is written to ``notes`` outlives the worker."""

    def __call__(self, notes: Path, sessions: int, clock: Callable[[], datetime]) -> Opening:
        """Make it, with so many sessions; ``clock`` tells the time, aware and in UTC."""
        ...


class Home(Protocol):
    """A section of the settings: one home, and how to speak to it. Paths in it are relative to the settings file."""

    silence: ClassVar[float]
    """Seconds without a word after which its watch looks whether it is still there."""

    @property
    def name(self) -> str:
        """What it is called in messages."""
        ...

    @property
    def subscribers(self) -> tuple[str, ...]:
        """Subscribers whose new keys are born in it; none named: everybody's that no other home names."""
        ...

    @property
    def sessions(self) -> int | None:
        """Questions asked at once; two a core if not given."""
        ...

    @property
    def timeout(self) -> float:
        """Seconds until a call counts as hung and the worker is killed."""
        ...

    @property
    def generate_timeout(self) -> float:
        """The same for generating a key."""
        ...

    def placed(self, beside: Path) -> Self:
        """Return the section with its paths taken from ``beside``, the directory of the settings."""
        ...

    def holds(self, key: Located) -> bool:
        """Tell whether a key is in this home, by its URI alone."""
        ...

    def territory(self) -> Territory:
        """Return what its worker may use."""
        ...

    def worker(self) -> Begin:
        """Import what a worker of this home is made of and return how one begins."""
        ...


class Child(Protocol):
    """A home behind a worker."""

    @property
    def section(self) -> Home:
        """What the settings say of it."""
        ...

    @property
    def lost(self) -> bool:
        """Tell whether no worker can be had any more by this process."""
        ...

    def holds(self, key: Located) -> bool:
        """Tell whether a key is in this home, by its URI alone."""
        ...

    def members(self) -> tuple[Child, ...]:
        """Return it, or the tokens that it is put together of, first the one in which keys are born."""
        ...

    def states(self) -> tuple[TokenState, ...]:
        """Return how it is, as far as that is known without asking it; several where it is several tokens."""
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


def check_limits(sessions: int | None, timeout: float, generate_timeout: float) -> None:
    """Refuse, with ValueError, limits of a section that are none."""
    if sessions is not None and not 1 <= sessions <= MAX_SESSIONS:
        raise ValueError(f"sessions is {sessions}; 1 to {MAX_SESSIONS} are possible")
    if not 0 < timeout <= generate_timeout <= 3600:
        raise ValueError("timeout and generate_timeout must be positive, in this order, and at most an hour")
