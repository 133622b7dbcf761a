"""May this request be signed? Every check of one item, with nothing used and nothing written yet."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache

from msgspec import UNSET, Struct

from privyseal.errors import BadInput, Denied, NotCompliant, NotPermitted
from privyseal.formats import key_side
from privyseal.formats.protocol import Identity
from privyseal.keystore.catalogue import store_name
from privyseal.keystore.protocol import KeyStore
from privyseal.pki import certificates
from privyseal.pki.chain import PinnedAnchor, standing
from privyseal.strongroom.approvals import check_quorum
from privyseal.strongroom.charters import Charters, Holding
from privyseal.strongroom.grants import Judged
from privyseal.strongroom.grants import judge as judge_use
from privyseal.strongroom.heads import check_included
from privyseal.strongroom.mark import Mark
from privyseal.strongroom.messages import SignItem
from privyseal.terms.canonical import decode_canonical
from privyseal.terms.certificates import Standing
from privyseal.terms.keys import Assurance, Charter
from privyseal.terms.limits import why_not
from privyseal.terms.requests import SigningRequest, request_digest
from privyseal.terms.signatures import SCHEMES, Scheme, ToBeSigned
from privyseal.tlog.entry import Intent, commit, encode

MAX_CHAIN = 16
"""Certificates of one chain; OpenSSL's default depth is 100, a public one has three or four."""
MAX_USES = 128
"""Signatures under one request: a build's hundred programs in one; an APK with v1, v2 and v3 needs three, a universal
Mach-O two for each architecture."""
SALT_OCTETS = 32
"""Octets of the salt with which an intent is hashed into the log."""


class Ready(Struct, frozen=True):
    """A request that passed every check: what is needed to spend its intent and then to sign."""

    index: int
    digest: bytes
    expires_at: datetime
    approved: bool
    """Somebody had to agree to it, so it may be signed only once."""
    store: KeyStore
    uri: str
    public_key: bytes
    scheme: Scheme
    tbs: tuple[ToBeSigned, ...]
    charter: Charter
    """Under which it is signed: its limits are counted."""
    granted: Judged | None = None
    """The Grant that its signatures count against; None where people agreed to the request itself."""


class Judge:
    """Judges items; it holds what a judgement rests on and changes nothing."""

    def __init__(
        self,
        charters: Charters,
        stores: Mapping[str, KeyStore],
        anchors: Sequence[PinnedAnchor],
        clock: Callable[[], datetime],
    ) -> None:
        """Judge by these charters, key stores (by URI scheme) and pinned anchors."""
        self._charters = charters
        self._stores = stores
        self._clock = clock

        @lru_cache(maxsize=256)  # verifying a chain costs as much as ten P-256 signatures
        def standing_of(chain: tuple[bytes, ...]) -> Standing:
            return standing(chain, anchors)

        self.standing_of = standing_of
        """What the pinned anchors make of a chain; remembered."""

    def judge(self, item: SignItem, head: Mark) -> Ready:
        """Check one item under a verified head; raises the refusal."""
        now = self._clock()
        request = decode_canonical(item.request, SigningRequest)
        held = self._holding(request)
        charter = held.charter
        identity = self._identity(request, item.chain)
        tbs = _octets(request, identity, item.enclosed)
        if len(item.salt) != SALT_OCTETS:
            raise BadInput(f"The intent's salt has {len(item.salt)} octets; {SALT_OCTETS} were expected.")
        intent = Intent(
            verb="sign",
            key_tag=charter.key_tag,
            key_seq=item.key_seq,
            uses=len(tbs),
            commitment=commit(item.salt, item.request),
        )
        check_included(head, item.index, encode(intent), item.path)
        if charter.frozen:
            raise Denied(f"The key {request.key} is frozen.", hint="it signs again after it was unfrozen")
        limited = why_not(charter.limits, now)
        if limited is not None:
            raise Denied(f"The key {request.key} {limited}.", hint="operators and approvers can amend its limits")
        if now > request.expires_at:
            raise Denied(f"The request expired at {request.expires_at.isoformat()}.", hint="ask anew")
        digest = request_digest(item.request)
        granted = _check_agreed(item, charter, request, digest, now)
        self._check_certificate(held, item.chain, now)
        return Ready(
            index=item.index,
            digest=digest,
            expires_at=request.expires_at,
            approved=bool(charter.in_order),
            store=self.store_of(charter.uri),
            uri=charter.uri,
            public_key=charter.public_key,
            scheme=SCHEMES[charter.scheme],
            tbs=tbs,
            charter=charter,
            granted=granted,
        )

    def store_of(self, uri: str) -> KeyStore:
        """Return the key store that gave out ``uri``; NotPermitted if this signer has none of its kind."""
        name = store_name(uri)
        if name not in self._stores:
            raise NotPermitted(f"This signer has no key store of the kind {name}.")
        return self._stores[name]

    def _holding(self, request: SigningRequest) -> Holding:
        held = self._charters.get(request.key_id)
        charter = held.charter
        if (request.subscriber, request.key, request.scheme) != (charter.subscriber, held.name, charter.scheme):
            raise NotPermitted(
                "The request's Subscriber, key name and scheme are not those of the key that it names by its hash.",
                hint=f"the key is {charter.subscriber}/{held.name}, {charter.scheme}",
            )
        return held

    def _identity(self, request: SigningRequest, chain: tuple[bytes, ...]) -> Identity:
        if not 1 <= len(chain) <= MAX_CHAIN:
            raise BadInput(f"A chain of {len(chain)} certificates was handed in; between 1 and {MAX_CHAIN} are read.")
        if hashlib.sha256(chain[0]).hexdigest() != request.certificate:
            raise BadInput("The first certificate of the chain is not the one that the request names by its hash.")
        return Identity(chain, request.scheme)

    def _check_certificate(self, held: Holding, chain: tuple[bytes, ...], now: datetime) -> None:
        charter = held.charter
        certificate = certificates.read(chain[0])
        if certificates.outline(chain[0]).spki != charter.public_key:
            raise NotPermitted(
                "The certificate is not for this key.", hint="use the certificate that was issued for it"
            )
        if not certificate.in_force(now):
            raise NotPermitted(
                f"The certificate is in force from {certificate.not_before.isoformat()} "
                f"to {certificate.not_after.isoformat()}, and not now.",
                hint="have a new one issued for the key",
            )
        status = self.standing_of(chain)
        if status == "public" and held.protection.assurance is Assurance.SOFTWARE:
            raise NotCompliant(
                "The certificate counts as publicly trusted and the key is kept in software; CSBR 6.2.7.3 asks for a "
                "hardware crypto module.",
                hint="use a key in hardware, or pin the anchor as private or rehearsal if it is that",
            )
        if status == "public" and not SCHEMES[charter.scheme].certifiable:
            raise NotCompliant(
                f"The certificate counts as publicly trusted and the key is of scheme {charter.scheme}; CSBR 6.1.5.2 "
                "allows RSA and ECDSA.",
                hint="use a key of one of those, or pin the anchor as private or rehearsal if it is that",
            )
        if charter.rehearsal and status != "rehearsal":
            raise NotPermitted(
                f"The key was born in rehearsal and the certificate's standing is {status}.",
                hint="such a key signs only under a certificate of a pinned rehearsal anchor",
            )


def _check_agreed(
    item: SignItem, charter: Charter, request: SigningRequest, digest: bytes, now: datetime
) -> Judged | None:
    """Refuse with NotPermitted what the charter's people, without whoever asks, did not agree to.

    Return the Grant by which they agreed beforehand, if it is one.
    """
    if item.granted is not None:
        if charter.grants is False:
            raise NotPermitted("The key's charter allows no grants.", hint="have people approve the request itself")
        return judge_use(item.granted, request, digest, (charter.approvers, charter.in_order), now)
    if not charter.in_order:
        if not charter.rehearsal:
            raise NotPermitted("The key's charter asks for nobody, which only a key that was born in rehearsal may do.")
        return None
    if request.requester is UNSET:
        raise NotPermitted(
            "The request does not say who asks, and who asks must not be counted among those who agree.",
            hint="name the requester in the request",
        )
    check_quorum(item.approvals, charter.approvers, charter.in_order, digest, request.requester)
    return None


def _octets(request: SigningRequest, identity: Identity, enclosed: Sequence[bytes]) -> tuple[ToBeSigned, ...]:
    """Build what is to be signed with the key side of each format, and refuse too much or nothing.

    What is enclosed is held by the format against the digest in the description, which people agreed to.
    """
    if len(request.described) <= MAX_USES:  # a piece has one signature at least
        pieces = key_side.octets(request.described, identity, request.options, enclosed)
        found = tuple([each for piece in pieces for each in piece])
        if not found:
            raise BadInput("The request describes nothing to sign.")
        if len(found) <= MAX_USES:
            return found
    raise BadInput(f"The request needs more than {MAX_USES} signatures.", hint="divide it")
