"""Catalogues made by hand, as makecat writes them: unsigned, in DER, with members of the second kind."""

from __future__ import annotations

from datetime import UTC, datetime

from privyseal.formats import authenticode
from privyseal.pki import cms, der
from privyseal.terms.signatures import DigestAlgorithm

MEMBER_V2 = "1.3.6.1.4.1.311.12.1.3"
MEMBER_INFO_V2 = "1.3.6.1.4.1.311.12.2.3"
CATALOGUE = "1.3.6.1.4.1.311.12.1.1"


def member(digest: bytes, algorithm: DigestAlgorithm = "sha256") -> bytes:
    """Return the entry of a program with this digest."""
    about = authenticode.indirect_data(authenticode.SUBJECTS["pe"], algorithm, digest)
    info = der.sequence(der.oid(MEMBER_INFO_V2), der.set_of(b"\x80\x00"))
    kind = der.sequence(der.oid(authenticode.ID_INDIRECT_DATA), der.set_of(about))
    return der.sequence(der.octet_string(digest), der.set_of(info, kind))


def trust_list(*members: bytes, usage: str = CATALOGUE) -> bytes:
    """Return a certificate trust list of these members."""
    return der.sequence(
        der.sequence(der.oid(usage)),
        der.octet_string(bytes(range(16))),
        der.utc_time(datetime(2026, 11, 30, tzinfo=UTC)),
        der.sequence(der.oid(MEMBER_V2), der.null()),
        der.sequence(*members) if members else b"",
    )


def catalogue(*members: bytes, usage: str = CATALOGUE) -> bytes:
    """Return an unsigned catalogue of these members."""
    return wrapped(trust_list(*members, usage=usage))


def wrapped(content: bytes, signers: bytes = b"\x31\x00", bag: bytes = b"", digests: bytes = b"\x31\x00") -> bytes:
    """Return the SignedData around a trust list, with whatever stands beside it."""
    listed = der.sequence(der.oid(authenticode.ID_TRUST_LIST), der.explicit(0, content))
    signed = der.sequence(der.integer(1), digests, listed, bag, signers)
    return der.sequence(der.oid(cms.ID_SIGNED_DATA), der.explicit(0, signed))
