"""The stamper: the timestamp key, a clock that may not go back, and books in which every token stands.

The second of every token that is given out is on the disk first, so that neither a restart nor a clock that was
turned back while the machine was off gives a time before one that was given already (CSBR 6.8; RFC 3161 2.1
asks for a trustworthy source of time). That costs one sync for each second in which something is stamped,
however much is, and the books (``stamps.py``) one for each batch.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from privyseal.errors import (
    BadInput,
    KeyStoreUnavailable,
    Misused,
    NotFound,
    PrivySealError,
    TimestampUnavailable,
    TooLarge,
)
from privyseal.keystore.protocol import KeyStore
from privyseal.pki import certificates
from privyseal.pki.chain import PinnedAnchor, standing
from privyseal.pki.cms import attributes_to_be_signed
from privyseal.strongroom.mark import Mark, MarkFile
from privyseal.strongroom.messages import Answer, Question
from privyseal.strongroom.messages_of_stamps import (
    BooksAsked,
    BooksRead,
    LeavesAsked,
    LeavesRead,
    LegacyReply,
    PlaceAsked,
    PlaceRead,
    Replied,
    Reply,
    Stamp,
    Stamped,
    StamperHealth,
    StamperState,
)
from privyseal.strongroom.older_books import MOST_SHOWN
from privyseal.strongroom.stamps import Stamps
from privyseal.strongroom.timekeeping import Timekeeping
from privyseal.terms.certificates import Standing
from privyseal.terms.keys import KeyProtection
from privyseal.terms.signatures import ToBeSigned
from privyseal.timestamp import legacy
from privyseal.timestamp.authority import STEP_BACK, Authority

MAX_STAMPS = 4096
"""Tokens asked for at once; about ten seconds of one core with an RSA-3072 key, and 12 MiB of answer."""


TALLY = timedelta(hours=1)
"""How often the requests that were refused are written down, by why (CSBR 5.4.1.2)."""


class Books(NamedTuple):
    """What the stamper keeps on the disk."""

    mark: MarkFile
    """The second that was given last."""
    stamps: Stamps | None = None
    """Every token, and what became of the clock; None only where nobody asks for tokens, as while a service is made."""


SHARES = 2
"""Pieces for each thread that a batch is signed in: handing over a single one costs a tenth of a signature, and where
there are few pieces one thread waits for the other."""


class Stamper:
    """Answers for the timestamp key; safe to call from several threads."""

    def __init__(
        self,
        store: KeyStore,
        uri: str,
        chain: Sequence[bytes],
        policy: str | Sequence[str],
        books: Books,
        clock: Callable[[], datetime],
    ) -> None:
        """Take the key at ``uri`` in ``store`` and its ``chain``, DER, its own certificate first, without the root.

        ``policy`` is the OID under which tokens are given, or several, the default first. BadInput if the certificate
        is not the key's. A ``clock`` that is watched raises TimestampUnavailable while it is not believed.
        """
        self.public_key = spki = store.public_key(uri)
        self._certificate = certificates.read(chain[0])
        self._chain = tuple(chain)
        if self._certificate.key_id != certificates.key_id(spki):
            raise BadInput(
                "The stamper's certificate is not for its key.", hint="install the chain that was issued for it"
            )
        self._store = store
        self._uri = uri
        self._mark, self._stamps = books.mark, books.stamps
        self._clock = clock
        self._guard = threading.Lock()
        self._protection: KeyProtection | None = None
        self._legacy_standing: Standing | None = None
        self._given = max(self._mark.read().number, _newest(self._stamps))
        self._tallied = self._wall()
        policies = (policy,) if isinstance(policy, str) else tuple(policy)
        self._authority = Authority(chain, self._sign, policies, self._time, os.urandom, self._account)
        threads = os.cpu_count() or 1
        shared = store.away or (certificates.scheme_of(spki).long and threads > 1)
        self._threads = 2 * threads if store.away else threads
        self._pool = ThreadPoolExecutor(self._threads, "stamp") if shared else None

    @property
    def lost(self) -> bool:
        """Tell whether a sync failed, or the key store needs a fresh process, so that this one must end."""
        clock = self._clock
        watched = isinstance(clock, Timekeeping) and clock.lost
        return self._mark.lost or self._store.lost or watched or (self._stamps is not None and self._stamps.lost)

    def handle(self, question: Question) -> Answer:
        """Answer one question; raises what the client is to be told."""
        if isinstance(question, Stamp):
            self._limit(len(question.digests))
            return Stamped(tuple(self._authority.stamp(question.digest_algorithm, question.digests)))
        if isinstance(question, Reply):
            self._limit(len(question.requests))
            if question.policies and len(question.policies) != len(question.requests):
                raise BadInput("The policies and the requests are not as many.")
            return Replied(tuple(self._authority.replies(question.requests, question.policies)))
        if isinstance(question, LegacyReply):
            return Replied((self._legacy(question.request),))
        if isinstance(question, BooksAsked | LeavesAsked | PlaceAsked):
            return self._read(question)
        if isinstance(question, StamperHealth):
            return self._state()
        raise BadInput(f"The stamper does not answer {type(question).__name__}.")

    def close(self) -> None:
        """Finish what is being signed and close the mark."""
        if self._pool is not None:
            self._pool.shutdown()
        if isinstance(self._clock, Timekeeping):
            self._clock.end()
        self._store.close()
        self._mark.close()
        if self._stamps is not None:
            self._tally(self._wall())
            self._stamps.note(self._wall(), [("stopped", "The stamper stops.")])
            self._stamps.close()

    def offer_legacy(self, anchors: Sequence[PinnedAnchor]) -> None:
        """Answer old requests of Authenticode, too; Misused where the certificate counts as public."""
        if (found := standing(self._chain, anchors)) == "public":
            raise Misused(
                "Old requests of Authenticode are never answered with a publicly trusted key.",
                hint="legacy = false in stamper.toml, or pin the anchor of a private authority in [[anchors]]",
            )
        self._legacy_standing = found

    def _legacy(self, request: bytes) -> bytes:
        if self._legacy_standing is None:
            raise NotFound("Old timestamp requests of Authenticode are not answered here.", hint="ask by RFC 3161")
        signature = legacy.read_request(request)
        moment = self._authority.moment()
        attributes = legacy.signed_attributes(signature, self._chain, moment)
        self._account([f"{moment:%Y%m%d%H%M%SZ}"], [attributes_to_be_signed(attributes)])
        return legacy.answer(signature, self._chain, moment, self._sign)

    def _read(self, question: BooksAsked | LeavesAsked | PlaceAsked) -> Answer:
        if self._stamps is None:
            raise NotFound("This stamper keeps no books.")
        if isinstance(question, PlaceAsked):
            return PlaceRead(*self._stamps.place(question.time, question.leaf))
        if isinstance(question, LeavesAsked):
            if question.logged is not None:
                self._stamps.note_logged(*question.logged)
            return LeavesRead(*self._stamps.unlogged())
        now = self._wall()
        if now - self._tallied >= TALLY:
            self._tally(now)
        self._stamps.compare(question, now)
        batches = self._stamps.batches(question.batch, now)
        return BooksRead(self._stamps.entries(question.entry), batches)

    def _tally(self, now: datetime) -> None:
        """Write down how many requests were refused since the last time, by why; what a crash loses was not counted."""
        if self._stamps is not None and (refused := self._authority.refused()):
            named = ", ".join(f"{each.name.lower()} {count}" for each, count in sorted(refused.items()))
            words = f"Since {self._tallied:%Y-%m-%d %H:%M:%S} UTC: {named}."
            self._stamps.note(now, [("requests refused", words)])
        self._tallied = now

    def _account(self, times: Sequence[str], infos: Sequence[bytes]) -> None:
        """Write tokens down before they are signed; TimestampUnavailable if that may not be on the disk."""
        if self._stamps is not None:
            self._stamps.account(times, infos)

    def _limit(self, count: int) -> None:
        if count > MAX_STAMPS:
            raise TooLarge(f"{count} timestamps were asked for at once; at most {MAX_STAMPS} are given.")

    def _state(self) -> StamperState:
        why = ""
        try:
            now = self._time()
            if not self._certificate.in_force(now):
                why = "The authority's certificate is not in force now."
            elif now > self._authority.used_until:
                why = "The authority's key has signed for 15 months and signs no more."
            why = why or next((each.why for each in self._store.tokens([self._uri]) if each.keys and each.why), "")
        except PrivySealError as error:
            why = error.detail
        own = self._certificate
        clock = self._clock.state() if isinstance(self._clock, Timekeeping) else None
        books, lost = ("", ()) if self._stamps is None else (self._stamps.name, self._stamps.lost_leaves[-MOST_SHOWN:])
        until = self._authority.used_until
        guard = self._guarded()
        return StamperState(not why, why, own.subject, own.not_after, self._chain, clock, until, books, guard, lost)

    def _guarded(self) -> KeyProtection | None:
        """Ask the key store once what guards the key, and again where it did not tell."""
        if self._protection is None:
            with suppress(PrivySealError):
                self._protection = self._store.protection(self._uri)
        return self._protection

    def _wall(self) -> datetime:
        """Return the time of day for the books, right or wrong: the clock that is watched raises where it is wrong."""
        return self._clock.wall() if isinstance(self._clock, Timekeeping) else self._clock()

    def _time(self) -> datetime:
        """Return the time, which stands in the mark before anyone hears of it; TimestampUnavailable if it went back."""
        with self._guard:  # around the clock too: else a thread that slept in between would seem to see it go back
            now = self._clock()
            second = int(now.timestamp())
            if second < self._given - STEP_BACK.total_seconds():
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
            few = max(1, len(tbs) // (self._threads * SHARES))
            shares = [tbs[start : start + few] for start in range(0, len(tbs), few)]
            answers = self._pool.map(lambda share: self._store.sign(self._uri, share), shares)
            return [value for answer in answers for value in answer]
        except KeyStoreUnavailable as error:
            raise TimestampUnavailable(error.detail, hint=error.hint) from None


def _newest(stamps: Stamps | None) -> int:
    """Return the last second in the books: a mark that was put back to an older state does not give it again."""
    last = "" if stamps is None else stamps.newest()
    return int(datetime.strptime(last, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()) if last else 0
