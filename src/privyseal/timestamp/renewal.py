"""Renewal: a timestamp over a timestamp, made while the first one's authority can still be believed.

A token is worth what its authority's certificate and algorithms are. Before they end, another token over the first one
shows that it was there in time; so a chain of them goes on for as long as somebody renews (RFC 3161 4, item 3).

The form is that of ETSI EN 319 122-1: the new token is an unsigned attribute of the old one's signer,
archive-time-stamp-v3 (5.5.3), and names in its own unsigned attribute ats-hash-index-v3 (5.5.2) the hash of every
certificate, every revocation list and every earlier renewal that the old one carries. Verifiers that know nothing of
it, Windows among them, see the old token as it always was, for unsigned attributes are under no signature.

Who judges a chain decades later finds no revocation list of an authority that is gone. So a renewal takes them along:
those of the chains so far are put beside the old token's certificates (SignedData.crls, as 5.5.3 expects of it), which
no signature covers either, and the renewal is over them, which shows that they were there at its time. A list that
came for a later renewal is in the index of that one and of those after it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

import msgspec

from privyseal.errors import BadInput, VerificationFailed
from privyseal.pki import algorithms, cms, der, unsigned
from privyseal.terms.signatures import DIGEST_SIZES, DigestAlgorithm, TimestampToken
from privyseal.timestamp.token import ID_TST_INFO, read_token, verify_token

ID_ARCHIVE_TIMESTAMP = "0.4.0.1733.2.4"
"""id-aa-ets-archiveTimestampV3 (ETSI EN 319 122-1 5.5.3)."""
ID_HASH_INDEX = "0.4.0.19122.1.5"
"""id-aa-ATSHashIndex-v3 (ETSI EN 319 122-1 5.5.2)."""

MAX_RENEWALS = 32
"""Renewals of one token: three centuries, at the 135 months that CSBR 6.3.2 gives a timestamp certificate at most."""


MAX_LISTS = 16
"""Revocation lists in a token that is renewed; two for each of eight authorities."""
MAX_LISTS_OCTETS = 256 << 10
"""Octets that they may have together: a signature in a script may have 1 MiB in all, and those of CAs for timestamps,
which are few, have some kilobytes."""


class Renewal(msgspec.Struct, frozen=True):
    """One renewal, verified."""

    token: TimestampToken
    lists: tuple[bytes, ...]
    """The revocation lists, DER, that it shows to have been there; who made them is not looked at."""


class Archive(msgspec.Struct, frozen=True):
    """What a renewal is about."""

    octets: bytes
    """The octets that are hashed and stamped."""
    index: bytes
    """The ATSHashIndexV3, DER, that goes into the new token."""


def with_lists(token: bytes, crls: Sequence[bytes]) -> bytes:
    """Return a token that carries more revocation lists, DER, as far as there is room for them.

    To be renewed at once: until then nothing covers them. One that it has is not added again. BadInput if it is no
    token, or is not in DER.
    """
    signed, _ = read_token(token)
    if signed.ber:
        raise BadInput("The timestamp is not in DER, so nothing can be added to it.", hint="have a new one made")
    carried = list(signed.crls)
    for one in crls:
        room = len(carried) < MAX_LISTS and sum(map(len, carried)) + len(one) <= MAX_LISTS_OCTETS
        if room and one not in carried:
            carried.append(one)
    if len(carried) == len(signed.crls):
        return token
    return unsigned.with_only(token, signed.signers[0].unsigned, carried)


def archive(token: bytes, algorithm: DigestAlgorithm) -> Archive:
    """Return what to have stamped to renew a token, with all that it carries now.

    BadInput if it is no token, carries too many renewals already, or is not in DER: writing it anew would change it.
    """
    signed, _ = read_token(token)
    if signed.ber:
        raise BadInput("The timestamp is not in DER, so nothing can be added to it.", hint="have a new one made")
    earlier = signed.signers[0].unsigned.get(ID_ARCHIVE_TIMESTAMP, ())
    if len(earlier) >= MAX_RENEWALS:
        raise BadInput(f"The timestamp was renewed {len(earlier)} times already; {MAX_RENEWALS} are read.")
    index = _index(signed, earlier, algorithm)
    return Archive(_hashed(signed, algorithm, index), index)


def renew(token: bytes, archived: Archive, renewal: TimestampToken) -> bytes:
    """Return the token that carries ``renewal``, which is over ``archived.octets``, beside the earlier ones.

    VerificationFailed or BadInput if it does not verify as the newest renewal of this token.
    """
    if read_token(renewal.der)[0].ber:
        raise BadInput("The new timestamp is not in DER, so the index of what it is over cannot be added to it.")
    indexed = cms.with_unsigned_attribute(renewal.der, ID_HASH_INDEX, archived.index, replace=True)
    renewed = cms.with_unsigned_attribute(token, ID_ARCHIVE_TIMESTAMP, indexed)
    if renewals(renewed)[-1].serial != renewal.serial:
        raise VerificationFailed("The new timestamp is not later than the one that is to be renewed.")
    return renewed


def renewals(token: bytes) -> tuple[TimestampToken, ...]:
    """Return the tokens of :func:`chain`."""
    return tuple(each.token for each in chain(token))


def chain(token: bytes) -> tuple[Renewal, ...]:
    """Return the renewals of a token, oldest first, each verified to be over the token and the renewals before it.

    VerificationFailed if one is not, or if the token carries anything else that no signature covers; BadInput if one
    cannot be read. Whether their authorities are believed is for ``worth.py``.
    """
    signed, info = read_token(token)
    carried = signed.signers[0].unsigned
    if others := sorted(carried.keys() - {ID_ARCHIVE_TIMESTAMP}):
        raise VerificationFailed(f"The timestamp carries an attribute that nothing covers ({others[0]}).")
    values = carried.get(ID_ARCHIVE_TIMESTAMP, ())
    if len(values) > MAX_RENEWALS:
        raise BadInput(f"The timestamp was renewed {len(values)} times; at most {MAX_RENEWALS} are read.")
    ordered = sorted(values, key=_place)
    found: list[Renewal] = []
    before, lists = info.time, frozenset[bytes]()
    for number, value in enumerate(ordered):
        verified = _verified(signed, value, ordered[:number])
        if verified.token.time < before:
            raise VerificationFailed("A renewal of the timestamp is older than what it renews.")
        if not lists <= set(verified.lists):
            raise VerificationFailed("A renewal of the timestamp leaves out a revocation list that was there before.")
        before, lists = verified.token.time, frozenset(verified.lists)
        found.append(verified)
    if found and lists != set(signed.crls):
        raise VerificationFailed("The timestamp carries a revocation list that no renewal covers.")
    return tuple(found)


def forms_before(token: bytes) -> tuple[bytes, ...]:
    """Return what a token may have been before it was renewed: which of its revocation lists came then, nobody says.

    Renewals put theirs behind those that were there, so it is one form for each number of them. BadInput if it is none.
    """
    signed, _ = read_token(token)
    if not signed.signers[0].unsigned:
        return (token,)
    return tuple(unsigned.with_only(token, {}, signed.crls[:count]) for count in range(len(signed.crls) + 1))


def _place(value: bytes) -> tuple[datetime, int]:
    """Return what puts renewals in order: their time and, within one second, how many each is over."""
    own, info = read_token(value)
    indexes = own.signers[0].unsigned.get(ID_HASH_INDEX, ())
    return info.time, len(_listed(indexes[0])[3]) if indexes else 0


def _verified(signed: cms.SignedData, value: bytes, earlier: Sequence[bytes]) -> Renewal:
    """Verify one renewal against the token, and the renewals before it, that it must be over."""
    own, info = read_token(value)
    stated = own.signers[0].unsigned
    if set(stated) != {ID_HASH_INDEX} or len(stated[ID_HASH_INDEX]) != 1:
        raise VerificationFailed("A renewal of the timestamp does not name, once, what it is over.")
    if own.crls:
        raise VerificationFailed("A renewal of the timestamp carries a revocation list that nothing covers.")
    if info.digest_algorithm not in DIGEST_SIZES:
        raise VerificationFailed(f"A renewal of the timestamp uses {info.digest_algorithm}; SHA-2 was expected.")
    algorithm: DigestAlgorithm = next(name for name in DIGEST_SIZES if name == info.digest_algorithm)
    (index,) = stated[ID_HASH_INDEX]
    named = set(_listed(index)[2])
    lists = tuple(one for one in signed.crls if hashlib.new(algorithm, one).digest() in named)
    covered = msgspec.structs.replace(signed, crls=lists)
    if _listed(index) != _listed(_index(covered, earlier, algorithm)):
        raise VerificationFailed("A renewal of the timestamp is not over all that the timestamp carries.")
    try:
        return Renewal(verify_token(value, octets=_hashed(signed, algorithm, index)), lists)
    except VerificationFailed as error:
        raise VerificationFailed(f"A renewal of the timestamp does not hold: {error.detail}") from None


def _listed(index: bytes) -> tuple[str, list[bytes], list[bytes], list[bytes]]:
    """Return algorithm and hashes of an ATSHashIndexV3, in no order: its lists stand for sets."""
    fields = der.Fields(der.read(index), "An ATSHashIndexV3")
    # DEFAULT SHA-256 stands in the clause and not in the annex, so both are written.
    stated = fields.maybe(der.SEQUENCE) if _has_algorithm(index) else None
    name = "sha256" if stated is None else algorithms.digest_name(stated)
    certificates, crls, attributes = (_hashes(fields.take(der.SEQUENCE)) for _ in range(3))
    fields.end()
    return name, certificates, crls, attributes


def _has_algorithm(index: bytes) -> bool:
    return len(der.children(der.read(index), 4)) == 4


def _hashes(element: der.Element) -> list[bytes]:
    return sorted(der.octets_of(one) for one in der.children(element, cms.MAX_CERTIFICATES))


def _index(signed: cms.SignedData, earlier: Sequence[bytes], algorithm: DigestAlgorithm) -> bytes:
    """Build the ATSHashIndexV3 over a token: its certificates, its revocation lists, its earlier renewals."""
    kind = der.oid(ID_ARCHIVE_TIMESTAMP)
    lists = (signed.certificates, signed.crls, tuple(kind + value for value in earlier))
    rows = (
        der.sequence(*(der.octet_string(hashlib.new(algorithm, one).digest()) for one in several)) for several in lists
    )
    return der.sequence(algorithms.digest_identifier(algorithm, null=False), *rows)


def _hashed(signed: cms.SignedData, algorithm: DigestAlgorithm, index: bytes) -> bytes:
    """Return what a renewal's imprint is of (5.5.3): type and digest of the content, the signer's fields, the index."""
    content = hashlib.new(algorithm, signed.content_octets or b"").digest()
    fields = [field.raw for field in der.children(der.read(signed.signers[0].raw)) if field.tag != 0xA1]
    return b"".join((der.oid(ID_TST_INFO), content, *fields, index))
