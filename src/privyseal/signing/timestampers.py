"""Who timestamps what is signed here, in an order: the service's own stamper, authorities elsewhere, or both.

The own one answers in milliseconds and is asked for a whole batch, within the walk. One elsewhere may take seconds, so
it is asked in a walk that nobody else waits for; until then a request stays where it is, its signature stored. Nothing
is released without the timestamp that was agreed to: where none can be had it waits.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from privyseal.errors import PrivySealError, TimestampUnavailable
from privyseal.strongroom.client import StamperClient
from privyseal.terms.signatures import DigestAlgorithm, TimestampToken
from privyseal.timestamp.authorities import Authorities, Health
from privyseal.timestamp.token import verify_token

LIMIT_S = 20.0
"""Seconds that a walk waits for authorities elsewhere; a client that waits for its signature gives up after 30."""

AT_ONCE = 4
"""Signature values of one walk for which authorities are asked at once; as many connections go to one of them."""

Party = Literal["own"] | Authorities
"""One that is asked: the own stamper, or authorities of which any will do."""
Had = TimestampToken | PrivySealError | None
"""What became of one signature value: its token, why there is none, or that others are still to be asked."""


class Timestampers:
    """All that may be asked. Safe to use from several threads."""

    def __init__(self, stamper: StamperClient, parties: Sequence[Party] = ("own",)) -> None:
        """Ask ``parties`` in their order, of which one may be ``own``, the ``stamper``."""
        self._stamper = stamper
        self._parties = tuple(parties)

    @property
    def elsewhere(self) -> bool:
        """Whether somebody else than the own stamper may be asked."""
        return any(isinstance(each, Authorities) for each in self._parties)

    def stamp(
        self, algorithm: DigestAlgorithm, values: Sequence[bytes], *, elsewhere: bool, within: float = LIMIT_S
    ) -> list[Had]:
        """Say for each signature value what became of it; tokens are verified.

        Without ``elsewhere`` only the own stamper is asked, and only if it is the first. With it everybody is, for
        ``within`` seconds altogether.
        """
        had: list[Had] = [None] * len(values)
        until = time.monotonic() + within
        for party in self._parties:
            left = [place for place, each in enumerate(had) if not isinstance(each, TimestampToken)]
            if not left:
                break
            if isinstance(party, Authorities):
                if not elsewhere:
                    return [each if isinstance(each, TimestampToken) else None for each in had]
                found = _asked(party, algorithm, [values[place] for place in left], until)
            else:
                found = self._own(algorithm, [values[place] for place in left])
            for place, each in zip(left, found, strict=True):
                had[place] = _also(had[place], each)
        return had

    def health(self) -> tuple[Health, ...]:
        """Say how each authority elsewhere did, since this process began."""
        return tuple(each for party in self._parties if isinstance(party, Authorities) for each in party.health())

    def require_open(self) -> None:
        """Raise TimestampUnavailable where only authorities elsewhere are asked and none of them would be asked now."""
        if "own" in self._parties or any(each.open for each in self.health()):
            return
        said = " ".join(f"{each.host}: {each.last_failure}" for each in self.health())
        raise TimestampUnavailable(f"No timestamp authority is asked at the moment. {said}"[:2000])

    def _own(self, algorithm: DigestAlgorithm, values: Sequence[bytes]) -> list[Had]:
        try:
            tokens = iter(self._stamper.stamp(algorithm, [hashlib.new(algorithm, each).digest() for each in values]))
        except PrivySealError as error:
            return [error] * len(values)
        return [_verified(next(tokens, b""), each) for each in values]


def _asked(party: Authorities, algorithm: DigestAlgorithm, values: Sequence[bytes], until: float) -> list[Had]:
    """Ask for several at once; each is given, or says why not, by ``until`` on the monotonic clock."""

    def ask(value: bytes) -> Had:
        try:
            return party.stamp([value], algorithm, max(0.0, until - time.monotonic()))[0]
        except PrivySealError as error:
            return error

    with ThreadPoolExecutor(min(AT_ONCE, len(values)), "timestamp") as pool:
        return list(pool.map(ask, values))


def _verified(octets: bytes, value: bytes) -> Had:
    try:
        return verify_token(octets, octets=value)
    except PrivySealError as error:
        return error


def _also(before: Had, now: Had) -> Had:
    """Join what two parties said where neither gave a token."""
    if isinstance(before, PrivySealError) and isinstance(now, PrivySealError):
        return TimestampUnavailable(f"{before.detail} {now.detail}", hint=now.hint)
    return now
