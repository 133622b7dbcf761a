"""Several tokens that hold the same keys, cloned by their maker's own means: where one is lost, another goes on.

Nothing is copied here: a key is born in the first token of a pool, and whoever runs the modules clones it into the
others. A question goes to the first token that is there. It goes to another only if it certainly used no key in this
one, or uses none at all; so one intent never yields more signatures than it allows (``children.py``), and a lost token
costs the requests that were in it. Whether a clone holds the right key is not believed: the signer verifies every
signature under the key that it knows.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import msgspec

from privyseal.errors import KeyStoreUnavailable, NotFound, PrivySealError
from privyseal.keystore.homes import Child, Home, Located
from privyseal.keystore.messages import Answer, Destroy, Generate, Question
from privyseal.keystore.pkcs11 import Pkcs11Section
from privyseal.strongroom.children import PATIENCE_SECONDS, TokenChild, Untouched
from privyseal.terms.keys import TokenState

_PAUSE_SECONDS = 0.05
"""Between two looks for a token that can be asked."""


def pooled(children: Sequence[TokenChild]) -> list[Child]:
    """Put together those whose sections name one pool, each pool in the place of its first token."""
    together: dict[object, list[TokenChild]] = {}
    for child in children:
        pool = child.section.pool if isinstance(child.section, Pkcs11Section) else ""
        together.setdefault(pool or child, []).append(child)
    return [members[0] if len(members) == 1 else Pool(members) for members in together.values()]


class Pool:
    """The tokens of one pool, as one home; safe to use from several threads."""

    def __init__(self, members: Sequence[TokenChild]) -> None:
        """Ask these, in this order."""
        self._members = tuple(members)
        self._reviving = {member: threading.Lock() for member in self._members}

    @property
    def section(self) -> Home:
        """What the settings say of the first token, in which keys are born."""
        return self._members[0].section

    @property
    def lost(self) -> bool:
        """Tell whether no worker can be had any more by this process."""
        return any(member.lost for member in self._members)

    def holds(self, key: Located) -> bool:
        """Tell whether a key was born in one of the tokens."""
        return any(member.holds(key) for member in self._members)

    def members(self) -> tuple[TokenChild, ...]:
        """Return the tokens, first the one in which keys are born."""
        return self._members

    def states(self) -> tuple[TokenState, ...]:
        """Return how each token is, as far as that is known without asking it."""
        name = getattr(self.section, "pool", "")
        return tuple(msgspec.structs.replace(state, pool=name) for each in self._members for state in each.states())

    def ask(self, question: Question, *, again: bool, long: bool = False) -> Answer:
        """Ask, as ``keystore.homes.Child`` promises: the first token about births, all about the end of a key."""
        if isinstance(question, Generate):
            return self._members[0].ask(question, again=again, long=long)
        if isinstance(question, Destroy):
            return self._everywhere(question)
        until = time.monotonic() + PATIENCE_SECONDS
        missing: NotFound | None = None
        while True:
            strangers = 0
            for member in self._members:
                if not member.usable:
                    self._revive(member)
                    continue
                try:
                    return member.ask(question, again=again, long=long, elsewhere=True)
                except NotFound as error:
                    missing, strangers = error, strangers + 1
                except Untouched:
                    self._revive(member)
            if missing is not None and strangers == len(self._members):
                raise missing
            if time.monotonic() >= until or self.lost:
                raise self._none()
            time.sleep(_PAUSE_SECONDS)

    def close(self) -> None:
        """End the workers."""
        for member in self._members:
            member.close()

    def _everywhere(self, question: Destroy) -> Answer:
        """Destroy a key in every token, and only then say that it is gone; raises what kept one from it."""
        refused: PrivySealError | None = None
        for member in self._members:
            try:
                answer = member.ask(question, again=True)
            except PrivySealError as error:
                refused = refused or error
        if refused is not None:
            raise refused
        return answer

    def _revive(self, member: TokenChild) -> None:
        """Have a fresh worker for a token without waiting for it; its own watch would take some seconds."""
        if member.due and self._reviving[member].acquire(blocking=False):
            threading.Thread(target=self._look, args=(member,), name="revive", daemon=True).start()

    def _look(self, member: TokenChild) -> None:
        try:
            member.look(member.section.silence)
        finally:
            self._reviving[member].release()

    def _none(self) -> KeyStoreUnavailable:
        whys = "; ".join(f"{each.name}: {each.why.rstrip('.') or 'the key is not in it'}" for each in self.states())
        return KeyStoreUnavailable(f"No token of the pool can be asked: {whys}.", hint="safe to run again")
