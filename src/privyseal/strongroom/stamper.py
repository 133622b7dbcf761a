"""The stamper: the timestamp key, and a clock that may not go back.

The second of every token that is given out is on the disk first, so that neither a restart nor a clock that was
turned back while the machine was off gives a time before one that was given already (CSBR 6.8; RFC 3161 2.1
asks for a trustworthy source of time). That costs one sync for each second in which something is stamped,
however much is.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from privyseal.errors import BadInput, KeyStoreUnavailable, PrivySealError, TimestampUnavailable, TooLarge
from privyseal.keystore.protocol import KeyStore
from privyseal.pki import certificates
from privyseal.strongroom.mark import Mark, MarkFile
from privyseal.strongroom.messages import (
    Answer,
    Question,
    Replied,
    Reply,
    Stamp,
    Stamped,
    StamperHealth,
    StamperState,
)
from privyseal.terms.signatures import ToBeSigned
from privyseal.timestamp.authority import ACCURACY, Authority

MAX_STAMPS = 4096
"""Tokens asked for at once; about ten seconds of one core with an RSA-3072 key, and 12 MiB of answer."""


class Stamper:
    """Answers for the timestamp key; safe to call from several threads."""

    def __init__(
        self,
        store: KeyStore,
        uri: str,
        chain: Sequence[bytes],
        policy: str,
        mark: MarkFile,
        clock: Callable[[], datetime],
    ) -> None:
        """Take the key at ``uri`` in ``store`` and its ``chain``, DER, its own certificate first, without the root.

        ``policy`` is the OID under which tokens are given. BadInput if the certificate is not the key's.
        """
        spki = store.public_key(uri)
        self._certificate = certificates.read(chain[0])
        self._chain = tuple(chain)
        if self._certificate.key_id != certificates.key_id(spki):
            raise BadInput(
                "The stamper's certificate is not for its key.", hint="install the chain that was issued for it"
            )
        self._store = store
        self._uri = uri
        self._mark = mark
        self._clock = clock
        self._guard = threading.Lock()
        self._given = mark.read().number
        self._authority = Authority(chain, self._sign, policy, self._time, os.urandom)
        threads = os.cpu_count() or 1
        shared = store.away or (certificates.scheme_of(spki).long and threads > 1)
        self._pool = ThreadPoolExecutor(2 * threads if store.away else threads, "stamp") if shared else None

    @property
    def lost(self) -> bool:
        """Tell whether a sync failed, or the key store needs a fresh process, so that this one must end."""
        return self._mark.lost or self._store.lost

    def handle(self, question: Question) -> Answer:
        """Answer one question; raises what the client is to be told."""
        if isinstance(question, Stamp):
            self._limit(len(question.digests))
            return Stamped(tuple(self._authority.stamp(question.digest_algorithm, question.digests)))
        if isinstance(question, Reply):
            self._limit(len(question.requests))
            return Replied(tuple(self._authority.replies(question.requests)))
        if isinstance(question, StamperHealth):
            return self._state()
        raise BadInput(f"The stamper does not answer {type(question).__name__}.")

    def close(self) -> None:
        """Finish what is being signed and close the mark."""
        if self._pool is not None:
            self._pool.shutdown()
        self._store.close()
        self._mark.close()

    def _limit(self, count: int) -> None:
        if count > MAX_STAMPS:
            raise TooLarge(f"{count} timestamps were asked for at once; at most {MAX_STAMPS} are given.")

    def _state(self) -> StamperState:
        why = ""
        try:
            if not self._certificate.in_force(self._time()):
                why = "The authority's certificate is not in force now."
            why = why or next((each.why for each in self._store.tokens([self._uri]) if each.keys and each.why), "")
        except PrivySealError as error:
            why = error.detail
        own = self._certificate
        return StamperState(not why, why, own.subject, own.not_after, self._chain)

    def _time(self) -> datetime:
        """Return the time, which stands in the mark before anyone hears of it; TimestampUnavailable if it went back."""
        with self._guard:  # around the clock too: else a thread that slept in between would seem to see it go back
            now = self._clock()
            second = int(now.timestamp())
            if second < self._given - ACCURACY.total_seconds():
                when = datetime.fromtimestamp(self._given, UTC).isoformat()
                raise TimestampUnavailable(
                    f"The clock says {now.isoformat()}, and {when} was given out already.", hint="set the clock right"
                )
            if second > self._given:
                self._mark.raise_to(Mark(second, bytes(32)))
                self._given = second
            return max(now, datetime.fromtimestamp(self._given, UTC))

    def _sign(self, tbs: list[ToBeSigned]) -> list[bytes]:
        """Sign all, shared out where one outlasts the hand-off; TimestampUnavailable where a token is away."""
        try:
            if self._pool is None or len(tbs) < 2:
                return self._store.sign(self._uri, tbs)
            answers = self._pool.map(lambda one: self._store.sign(self._uri, [one]), tbs)
            return [value for answer in answers for value in answer]
        except KeyStoreUnavailable as error:
            raise TimestampUnavailable(error.detail, hint=error.hint) from None
