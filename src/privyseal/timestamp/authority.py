"""Our own RFC 3161 authority: templates around one signature, so that the key is what limits it.

Nothing but the imprint, serial number, time and nonce changes from token to token, so all else is encoded once, and
what remains is joining octets: some 12 microseconds where an RSA-3072 signature takes 700 to 2,000.
"""

from __future__ import annotations

import hashlib
import threading
from calendar import monthrange
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import msgspec

from privyseal.errors import BadInput, NotFound, PrivySealError, TimestampUnavailable, Unavailable
from privyseal.pki import algorithms, certificates, cms, der
from privyseal.terms.signatures import DIGEST_SIZES, DigestAlgorithm, ToBeSigned
from privyseal.timestamp import messages
from privyseal.timestamp.messages import Failure, TimestampRequest
from privyseal.timestamp.token import ID_SIGNING_CERTIFICATE_V2, ID_TST_INFO

ACCURACY = timedelta(seconds=2)
"""What each token states: a second for the clock, which may be off by as much, and one for genTime's whole seconds."""
STEP_BACK = timedelta(seconds=1)
"""How far the clock may step back before we wait for it instead of repeating a time."""
USE_MONTHS = 15
"""For how long after its certificate's notBefore a timestamp key signs (CSBR 6.3.2)."""
SERIAL_OCTETS = 20
"""RFC 3161 2.4.2: users must be ready for 160 bits; ours have 158 random ones behind a fixed top."""


_KEYLESS = messages.rejected(Failure.SYSTEM_FAILURE, "No timestamp can be made now; try again later.")


class _Rejection(msgspec.Struct, frozen=True):
    """Why a request gets no token."""

    failure: Failure
    why: str


class _Draft(msgspec.Struct, frozen=True, gc=False):
    """A token that lacks its signature: genTime (DER), TSTInfo, its digest, whether certificates go in."""

    time: bytes
    info: bytes
    digest: bytes
    certificates: bool


class _Template:
    """What all tokens of one authority share, each part already DER."""

    def __init__(self, chain: Sequence[bytes], policies: Sequence[str]) -> None:
        parts = certificates.outline(chain[0])
        scheme = certificates.scheme_of(parts.spki)
        pure = scheme.pure
        # CSBR 6.8: the digest that signs tokens is the one that signed the timestamp certificate. A key that signs
        # octets as they are takes none; then it is that of the content (RFC 9882 3.3).
        self.digest_algorithm: DigestAlgorithm = (
            scheme.default_digest if pure else certificates.signature_digest(chain[0])
        )
        self._hash = getattr(hashlib, self.digest_algorithm)
        self._digest_size = DIGEST_SIZES[self.digest_algorithm]
        self._heads = {policy: b"\x02\x01\x01" + der.oid(policy) for policy in policies}
        self._accuracy = der.sequence(der.integer(int(ACCURACY.total_seconds())))
        issuer_serial = der.sequence(der.sequence(der.explicit(4, parts.issuer)), parts.serial_element)
        named = der.sequence(der.octet_string(hashlib.sha256(chain[0]).digest()), issuer_serial)
        self._signed = (
            cms.attribute(cms.ID_CONTENT_TYPE, der.oid(ID_TST_INFO)),
            cms.attribute(ID_SIGNING_CERTIFICATE_V2, der.sequence(der.sequence(named))),
        )
        digest = algorithms.digest_identifier(self.digest_algorithm, null=False)
        self._signer_head = b"\x02\x01\x01" + der.sequence(parts.issuer, parts.serial_element) + digest
        self._signer_algorithm = (
            algorithms.pure_identifier(scheme.name)
            if pure
            else algorithms.signature_identifier(scheme.family, self.digest_algorithm)
        )
        self._data_head = b"\x02\x01\x03" + der.set_of(digest)
        self._bag = der.implicit(0, b"".join(chain))
        self._attributes = self._cut_attributes()
        self._frame = lru_cache(maxsize=512)(self._build_frame)

    def draft(
        self, policy: str, imprint: bytes, fresh: tuple[bytes, bytes], nonce: bytes, certificates: bool
    ) -> _Draft:
        """Return the token of these parts up to its signature; ``fresh`` is its serial number and its time."""
        serial, time = fresh
        info = der.tlv(der.SEQUENCE, self._heads[policy], imprint, serial, time, self._accuracy, nonce)
        return _Draft(time, info, self._hash(info).digest(), certificates)

    def to_be_signed(self, draft: _Draft) -> ToBeSigned:
        """Return the signed attributes, as the key signs them."""
        return ToBeSigned(draft.digest.join(self._attributes), self.digest_algorithm)

    def finish(self, draft: _Draft, signature: bytes) -> bytes:
        """Return the whole token, DER ContentInfo."""
        first, second, third = self._frame(len(draft.info), len(signature), draft.certificates)
        return b"".join((first, draft.info, second, draft.digest, third, signature))

    def _cut_attributes(self) -> tuple[bytes, bytes]:
        """Return the signed attributes' octets before and after the digest."""
        own = cms.attribute(cms.ID_MESSAGE_DIGEST, der.octet_string(bytes(self._digest_size)))
        # DER sorts a SET OF by its octets, and the attributes differ in their types, long before the digest.
        rows = sorted((*self._signed, own))
        place = rows.index(own)
        before = b"".join(rows[:place]) + own[: -self._digest_size]
        after = b"".join(rows[place + 1 :])
        return der.head(der.SET, len(before) + self._digest_size + len(after)) + before, after

    def _build_frame(self, info_size: int, signature_size: int, with_certificates: bool) -> tuple[bytes, ...]:
        """Return the octets around TSTInfo, digest and signature of these sizes (RFC 5652 5.1, from the inside out)."""
        before, after = self._attributes
        third = after + self._signer_algorithm + der.head(der.OCTET_STRING, signature_size)
        second = self._signer_head + b"\xa0" + before[1:]
        tail = self._digest_size + len(third) + signature_size
        second = der.head(der.SEQUENCE, len(second) + tail) + second
        second = (self._bag if with_certificates else b"") + der.head(der.SET, len(second) + tail) + second
        first = der.head(der.OCTET_STRING, info_size)
        first = der.oid(ID_TST_INFO) + der.head(0xA0, len(first) + info_size) + first
        first = self._data_head + der.head(der.SEQUENCE, len(first) + info_size) + first
        tail += info_size + len(second)
        first = der.head(der.SEQUENCE, len(first) + tail) + first
        first = der.oid(cms.ID_SIGNED_DATA) + der.head(0xA0, len(first) + tail) + first
        return der.head(der.SEQUENCE, len(first) + tail) + first, second, third


class Authority:
    """One timestamp authority: a certificate with its chain, somebody who signs with its key, its policies, a clock.

    Safe to use from several threads; the lock guards the clock and the last time given out.
    """

    def __init__(
        self,
        chain: Sequence[bytes],
        sign: Callable[[list[ToBeSigned]], list[bytes]],
        policies: str | Sequence[str],
        clock: Callable[[], datetime],
        random: Callable[[int], bytes],
        account: Callable[[Sequence[str], Sequence[bytes]], None] = lambda times, infos: None,
    ) -> None:
        """Prepare the templates; of several ``policies`` the first is given to whoever asks for none.

        ``chain``: DER, the authority's own certificate first; all of it goes into tokens, so leave the root out.
        ``sign`` returns raw signature values in order. ``clock`` returns an aware time, or raises Unavailable while it
        cannot be trusted. ``random`` returns that many octets from a cryptographic source (serial numbers).
        ``account`` is told of tokens before they are signed, by genTime (``YYYYMMDDHHMMSSZ``) and TSTInfo, DER; where
        it raises Unavailable, none is.
        """
        self._policies = (policies,) if isinstance(policies, str) else tuple(policies)
        self._template = _Template(chain, self._policies)
        self._account = account
        self._certificate = certificates.read(chain[0])
        self._sign = sign
        self._clock = clock
        self._random = random
        self._lock = threading.Lock()
        self._last = datetime.fromtimestamp(0, UTC)
        self._refused: Counter[Failure] = Counter()
        self.used_until = _months_later(self._certificate.not_before, USE_MONTHS)
        """Until when the key signs: 15 months after its certificate's notBefore (CSBR 6.3.2)."""

    def refused(self) -> dict[Failure, int]:
        """Return how many requests got no token since the last time this was asked, by why, and count anew."""
        with self._lock:
            told, self._refused = self._refused, Counter()
        return dict(told)

    def reply(self, request: bytes, policy: str = "") -> bytes:
        """Answer one TimeStampReq with a TimeStampResp, DER: a token or a rejection, never an exception.

        ``policy`` is the one to whose address it came; empty where it came to none's.
        """
        draft = self._draft(request, policy)
        self._count([draft])
        if isinstance(draft, _Rejection):
            return messages.rejected(draft.failure, draft.why)
        try:
            return messages.granted(self._finished([draft])[0])
        except PrivySealError:
            return _KEYLESS

    def replies(self, requests: Sequence[bytes], policies: Sequence[str] = ()) -> list[bytes]:
        """Answer several requests with one use of the key; the answers stand in the order of the requests.

        ``policies``: to whose address each came, if any came to a policy's.
        """
        addressed = policies or [""] * len(requests)
        outcomes = [self._draft(*each) for each in zip(requests, addressed, strict=True)]
        self._count(outcomes)
        drafts = [outcome for outcome in outcomes if isinstance(outcome, _Draft)]
        try:
            granted = iter([messages.granted(token) for token in self._finished(drafts)])
        except PrivySealError:
            granted = iter([_KEYLESS] * len(drafts))
        return [
            next(granted) if isinstance(outcome, _Draft) else messages.rejected(outcome.failure, outcome.why)
            for outcome in outcomes
        ]

    def stamp(self, digest_algorithm: DigestAlgorithm, digests: Sequence[bytes]) -> list[bytes]:
        """Return a token, DER ContentInfo, for each digest; they carry the certificates and no nonce.

        TimestampUnavailable if the time or the key cannot be had; BadInput for a digest of the wrong size.
        """
        time = self._time()
        if isinstance(time, _Rejection):
            raise TimestampUnavailable(time.why)
        imprints = [messages.message_imprint(digest_algorithm, digest) for digest in digests]
        policy = self._policies[0]
        return self._finished(
            [self._template.draft(policy, one, (self._serial(), time), b"", True) for one in imprints]
        )

    def _count(self, outcomes: Sequence[_Draft | _Rejection]) -> None:
        rejections = [each.failure for each in outcomes if isinstance(each, _Rejection)]
        if rejections:
            with self._lock:
                self._refused.update(rejections)

    def _finished(self, drafts: list[_Draft]) -> list[bytes]:
        if not drafts:
            return []
        try:
            self._account([draft.time[2:].decode("ascii") for draft in drafts], [draft.info for draft in drafts])
            values = self._sign([self._template.to_be_signed(draft) for draft in drafts])
        except (Unavailable, NotFound) as error:
            raise TimestampUnavailable(f"No timestamp can be made: {error.detail}") from error
        return [self._template.finish(draft, value) for draft, value in zip(drafts, values, strict=True)]

    def _draft(self, request: bytes, addressed: str) -> _Draft | _Rejection:
        try:
            asked = messages.parse_request(request)
        except BadInput as error:
            return _Rejection(Failure.BAD_DATA_FORMAT, error.detail)
        policy = asked.policy or addressed or self._policies[0]
        time = self._refusal(asked, policy, addressed) or self._time()
        if isinstance(time, _Rejection):
            return time
        nonce = b"" if asked.nonce is None else der.integer(asked.nonce)
        return self._template.draft(policy, asked.imprint, (self._serial(), time), nonce, asked.certificates)

    def _refusal(self, asked: TimestampRequest, policy: str, addressed: str) -> _Rejection | None:
        """Refuse what we do not stamp: weak digests (CSBR 6.8), other policies, any extension (RFC 3161 2.4.1)."""
        if asked.version != 1:
            return _Rejection(
                Failure.BAD_REQUEST, f"The request is of version {asked.version}; version 1 was expected."
            )
        if asked.digest_algorithm not in DIGEST_SIZES:
            why = f"{asked.digest_algorithm} is not stamped; use SHA-256, SHA-384 or SHA-512."
            return _Rejection(Failure.BAD_ALG, why)
        if policy not in self._policies or addressed not in ("", policy):
            here = addressed if addressed in self._policies else " or ".join(self._policies)
            return _Rejection(Failure.UNACCEPTED_POLICY, f"The policy here is {here}.")
        if asked.extensions:
            return _Rejection(Failure.UNACCEPTED_EXTENSION, "No extensions are known here.")
        return None

    def _serial(self) -> bytes:
        octets = self._random(SERIAL_OCTETS)
        return bytes((der.INTEGER, SERIAL_OCTETS, octets[0] & 0x3F | 0x40)) + octets[1:]

    def moment(self) -> datetime:
        """Return the whole second that a timestamp would state now; TimestampUnavailable where none is given."""
        told = self._moment()
        if isinstance(told, _Rejection):
            raise TimestampUnavailable(told.why)
        return told

    def _time(self) -> bytes | _Rejection:
        """Return genTime, DER."""
        told = self._moment()
        return told if isinstance(told, _Rejection) else _generalized_time(told)

    def _moment(self) -> datetime | _Rejection:
        """Return the clock's whole second, never one before the last that was given out."""
        with self._lock:  # around the clock too: else a thread that slept in between would seem to see it go back
            try:
                now = self._clock().replace(microsecond=0)
            except Unavailable as error:
                return _Rejection(Failure.TIME_NOT_AVAILABLE, error.detail)
            if now < self._last - STEP_BACK:
                why = "The clock went back; no time is given until it has caught up."
                return _Rejection(Failure.TIME_NOT_AVAILABLE, why)
            self._last = now = max(now, self._last)
        if not self._certificate.in_force(now):
            return _Rejection(Failure.SYSTEM_FAILURE, "The authority's certificate is not in force now.")
        if now > self.used_until:
            why = f"The authority's key has signed for {USE_MONTHS} months and signs no more; it needs a new one."
            return _Rejection(Failure.SYSTEM_FAILURE, why)
        return now


def _months_later(moment: datetime, months: int) -> datetime:
    """Return the same day and hour so many months later, or the month's last day where it is too short."""
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    return moment.replace(year=year, month=month + 1, day=min(moment.day, monthrange(year, month + 1)[1]))


_generalized_time = lru_cache(maxsize=8)(der.generalized_time)  # hundreds of tokens share a second
