"""A Grant: so many signatures until a certain time for one workflow, or one member's key, agreed to beforehand.

It is agreed to like a request, by signatures over its digest under the key's charter, and names everything that the
signer needs to judge a use by itself: the claims that a run must have and the issuer's public keys as they were when
people agreed, or the public key of a member's machine. A use shows a proof over the digest of one request:

* of a run, an identity token that its platform made for this very request: its audience is ``AUDIENCE#sha256:DIGEST``,
* of a key, a signature over ``used_octets``.

So a proof is good for one request, and a request is signed once.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from privyseal.terms.canonical import canonical_json, decode_canonical, tagged_digest
from privyseal.terms.requests import Approval
from privyseal.terms.signatures import Described, Options

GRANT_TAG = "privyseal/grant/v1"
"""Domain tag of a Grant's digest: what those who agree to it sign, as they sign a request's."""
USE_TAG = b"privyseal/grant-use/v1\0"
"""What a member's key signs begins with this; the Grant's digest and the request's follow."""

LONGEST = timedelta(days=30)
"""From ``not_before`` to ``until`` at most; whoever agrees should still know what it was for."""
MOST_SIGNATURES = 10_000
"""Signatures of one Grant; more want another look of the people."""
MOST_KEYS = 16
"""Public keys of an issuer; real ones publish 2 to 8."""
MOST_FORMATS = 64
"""Code formats of one Grant: room for every one that there is; a rule of a policy names as many."""
LARGEST_GRANT = 32 * 1024
"""Octets of a Grant: sixteen RSA-4096 keys and sixteen conditions are half of it, every format's name one in thirty."""
LARGEST_PROOF = 16 * 1024
"""Octets of a proof: of an identity token, at most (``access/workloads.py``)."""

Word = Annotated[str, Meta(min_length=1, max_length=255)]
"""An issuer, an audience, or a claim's name or value, in characters."""
Member = Annotated[str, Meta(min_length=1, max_length=40)]
"""Id of a member."""
Name = Annotated[str, Meta(min_length=1, max_length=63)]
"""A Subscriber's or a Key Pair's name."""
Digest = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
"""SHA-256, 64 lower-case hex digits."""
PublicJwk = dict[Annotated[str, Meta(pattern=r"\A(?:kty|kid|use|alg|crv|n|e|x|y)\Z")], str]
"""A public key of an issuer (RFC 7517), without anything that is not needed to verify with it."""


class ForRuns(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="for", tag="runs"):
    """For the runs of one workflow: what their platform's token must say, and with which keys it must be signed."""

    platform: str
    issuer: Word
    conditions: Annotated[tuple[tuple[Word, Word], ...], Meta(min_length=1, max_length=16)]
    """Claim and expected value, as in a trust rule; held against the token's verified claims."""
    keys: Annotated[tuple[PublicJwk, ...], Meta(min_length=1, max_length=MOST_KEYS)]
    """The issuer's public keys as they were when it was proposed. Others that it uses later do not count."""
    audience: Word
    """What the audience of a token begins with; ``#sha256:`` and the request's digest follow."""


class ForKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="for", tag="key"):
    """For whoever holds a private key, such as that of a machine's client certificate."""

    public_key: Annotated[bytes, Meta(min_length=32, max_length=512)]
    """SubjectPublicKeyInfo, DER: Ed25519 or ECDSA on P-256."""


class Grant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is agreed to, whole."""

    subscriber: Name
    key: Name
    key_id: Digest
    proposer: Member
    """Id of the member who proposes it and is not counted among those who agree."""
    requester: Member
    """Id of the member in whose name the requests come, who is not counted either."""
    holder: ForRuns | ForKey
    formats: Annotated[tuple[Word, ...], Meta(min_length=1, max_length=MOST_FORMATS)]
    mode: Literal["local", "server"]
    timestamp: bool
    publisher: Annotated[str, Meta(max_length=255)]
    """The program name that requests must give; empty for requests that give none."""
    signatures: Annotated[int, Meta(ge=1, le=MOST_SIGNATURES)]
    not_before: Annotated[datetime, Meta(tz=True)]
    until: Annotated[datetime, Meta(tz=True)]
    """From here on it is over. UTC, whole seconds, as is ``not_before``."""
    nonce: Annotated[bytes, Meta(min_length=16, max_length=16)]
    """Random octets, so that the same agreed to twice are two Grants with a count of their own."""

    def __post_init__(self) -> None:
        """Refuse times that could be written in more than one way, or that are too far apart."""
        for each in (self.not_before, self.until):
            if each.utcoffset() != timedelta(0) or each.microsecond:
                raise ValueError("not_before and until must be UTC (Z) and whole seconds")
        if not self.not_before < self.until <= self.not_before + LONGEST:
            raise ValueError(f"until must be after not_before, and at most {LONGEST.days} days")

    def canonical(self) -> bytes:
        """Return the octets that are stored, shown, hashed, agreed to and sent."""
        return canonical_json(self)

    def digest(self) -> bytes:
        """Return the digest of the canonical octets under the domain tag, 32 octets."""
        return grant_digest(self.canonical())


class Use(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Grant as it is handed in with one request: the octets, who agreed to them, and the proof of who asks."""

    grant: bytes
    """Canonical octets."""
    approvals: tuple[Approval, ...]
    proof: bytes

    def __repr__(self) -> str:
        """Show no token."""
        return f"Use(grant={grant_digest(self.grant).hex()[:16]})"


def read_grant(octets: bytes) -> Grant:
    """Read a Grant's canonical octets; BadInput where they are not exactly that."""
    return decode_canonical(octets, Grant)


def grant_digest(canonical: bytes) -> bytes:
    """Return the digest of a Grant's canonical octets, 32 octets."""
    return tagged_digest(GRANT_TAG, canonical)


def audience(grant_audience: str, request_digest: bytes) -> str:
    """Return the audience of a token that proves one request."""
    return f"{grant_audience}#sha256:{request_digest.hex()}"


def used_octets(grant: bytes, request: bytes) -> bytes:
    """Return what a member's key signs to use a Grant for a request; both are given by their digests."""
    return USE_TAG + grant + request


def wrong_pieces(grant: Grant, described: tuple[Described, ...], options: Options) -> str | None:
    """Return what of a request's code and options the Grant is not for, in one sentence; None where it fits."""
    strange = sorted({each.format for each in described} - set(grant.formats))
    if strange:
        return f"It is for {', '.join(grant.formats)}, and the request has {', '.join(strange)[:60]}."
    if options.timestamp != grant.timestamp:
        return f"It is for signatures {'with' if grant.timestamp else 'without'} a timestamp."
    if (options.program_name or "") != grant.publisher:
        said = repr(grant.publisher) if grant.publisher else "no program name"
        return f"It is for {said}, and the request says {options.program_name or 'none'!r:.80}."
    return None
