"""What the signer makes of chains, public, private or rehearsal: it alone has the pinned anchors."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta

from privyseal.strongroom.client import SignerClient
from privyseal.terms.certificates import Standing

BELIEVED = timedelta(seconds=60)
"""How long a standing is believed without asking the signer again: pinned anchors change with a restart of it."""

MOST_CHAINS = 1024
"""Chains whose standing is remembered; beyond it all are forgotten, which costs one question."""

_AT_ONCE = 64
"""Chains in one question to the signer: 4 MiB at the most, of a frame of 16."""

Chain = tuple[bytes, ...]
"""Certificates, DER, the signer's own first."""


class Standings:
    """What the signer said of chains, for a minute."""

    def __init__(self, signer: SignerClient) -> None:
        """Ask ``signer``."""
        self._signer = signer
        self._said: dict[Chain, tuple[datetime, Standing]] = {}
        self._guard = threading.Lock()

    def public(self, chains: Sequence[Chain], now: datetime) -> set[Chain]:
        """Return those of the chains that count as publicly trusted; Unavailable where the signer cannot say."""
        wanted = set(chains)
        known = {chain: standing for chain in wanted if (standing := self._remembered(chain, now)) is not None}
        unknown = [chain for chain in wanted if chain not in known]
        for start in range(0, len(unknown), _AT_ONCE):
            some = unknown[start : start + _AT_ONCE]
            said = dict(zip(some, self._signer.standings(some), strict=True))
            known |= said
            with self._guard:
                if len(self._said) >= MOST_CHAINS:
                    self._said = {}
                self._said |= {chain: (now, standing) for chain, standing in said.items()}
        return {chain for chain, standing in known.items() if standing == "public"}

    def _remembered(self, chain: Chain, now: datetime) -> Standing | None:
        said = self._said.get(chain)
        return said[1] if said is not None and timedelta() <= now - said[0] < BELIEVED else None
