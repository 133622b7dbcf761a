"""A certificate revocation list (RFC 5280 5) as requirements are judged on it, and what else has to be known for that.

A CRL seldom says which certificates it covers, and never what its issuer's next one will say. Whoever knows, says so in
:class:`Beside`; without it a clause that hangs on it has no verdict, except where every possible answer leads to the
same.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa

from privyseal.compliance.requirement import DatedBy, Kind, Scope
from privyseal.compliance.unwarned import unwarned
from privyseal.errors import BadInput
from privyseal.pki import certificates, der
from privyseal.pki.key_facts import SignatureFacts, read_signature_algorithm

MAX_CRL_OCTETS = der.MAX_OCTETS
"""Octets of a CRL, 16 MiB; OpenSSL's client stops at 32 (OSSL_HTTP_DEFAULT_MAX_CRL_LEN)."""
MAX_ENTRIES = 400_000
"""Entries of a CRL: as many as fit into 16 MiB with a serial number of 64 bits and a reason each (40 octets)."""

_KEYS = (
    rsa.RSAPublicKey,
    ec.EllipticCurvePublicKey,
    dsa.DSAPublicKey,
    ed25519.Ed25519PublicKey,
    ed448.Ed448PublicKey,
)


class Covers(StrEnum):
    """Which certificates a CRL or an OCSP response speaks about."""

    CODE_SIGNING = "code-signing"
    TIMESTAMP = "timestamp"
    SUBORDINATE_CA = "subordinate-ca"


SCOPES: dict[Covers | None, frozenset[Scope]] = {
    Covers.CODE_SIGNING: frozenset({Scope.EV, Scope.NON_EV}),
    Covers.TIMESTAMP: frozenset({Scope.TIMESTAMP}),
    Covers.SUBORDINATE_CA: frozenset(Scope),
    None: frozenset(),
}
"""The kinds of certificates for which a list of each coverage counts; none where nobody knows."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One revoked certificate (RFC 5280 5.3)."""

    serial: int
    revoked: datetime
    reason: str = ""
    """As RFC 5280 5.3.1 writes it (``keyCompromise``); empty where none is stated."""
    invalid_since: datetime | None = None
    """The Invalidity Date extension."""


class Signed(StrEnum):
    """Whose signature a list bears, as far as the certificates at hand show."""

    ISSUER = "issuer"
    UNFIT = "unfit"
    """The issuer's key, whose certificate does not let it sign lists (RFC 5280 6.3.3 f)."""
    FORGED = "forged"
    """Not that of the key in the certificate of that name."""
    UNPROVEN = "unproven"
    """No certificate of the issuer is at hand."""
    UNKNOWN = "unknown"
    """One is, and its kind of key or signature is not verified here."""


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """What is known beside the list itself; every field may be unknown."""

    signed: Signed = Signed.UNPROVEN

    covers: Covers | None = None
    next_issued: datetime | None = None
    """thisUpdate of the list that followed."""
    dropped: tuple[int, ...] | None = None
    """Serial numbers that its predecessor had and it has not; None where no predecessor is at hand."""
    expiries: dict[int, datetime] = {}
    """When certificates of this issuer expire, by serial number, as far as they were seen."""
    lifetime: frozenset[int] = frozenset()
    """Serial numbers of certificates with the Lifetime Signing purpose (1.3.6.1.4.1.311.10.3.13)."""


class RevocationList(msgspec.Struct, frozen=True, kw_only=True):
    """A CRL; whose signature it bears, its ``beside`` says, where the issuer's certificate is at hand."""

    label: str
    octets: bytes
    issuer: bytes
    """The issuer's Name, DER."""
    issuer_key: bytes | None
    """The issuer's key identifier as the list names it (RFC 5280 5.2.1); None where it does not."""
    number: int | None
    """cRLNumber; it tells which list of an issuer follows which."""
    this_update: datetime
    next_update: datetime | None
    entries: tuple[Entry, ...]
    for_cas_only: bool
    """Its issuing distribution point says that it lists CA certificates only."""
    for_users_only: bool
    signature: SignatureFacts
    beside: Beside = Beside()

    @property
    def kind(self) -> Kind:
        """Say that it is a CRL."""
        return Kind.CRL

    @property
    def covers(self) -> Covers | None:
        """Say what it covers: as is known, or as its issuing distribution point says."""
        return Covers.SUBORDINATE_CA if self.for_cas_only else self.beside.covers

    @property
    def scopes(self) -> frozenset[Scope]:
        """Say for which certificates it counts; empty where nobody knows."""
        return SCOPES[self.covers]

    @property
    def suspended(self) -> tuple[int, ...]:
        """Return the serial numbers that it shows as suspended, or as released from suspension (RFC 5280 5.3.1)."""
        return tuple(entry.serial for entry in self.entries if entry.reason in ("certificateHold", "removeFromCRL"))

    @property
    def title(self) -> str:
        """Say which list it is: its number and how many it lists."""
        named = "without a number" if self.number is None else f"number {self.number:X}"
        return f"{named}, with {counted(len(self.entries), 'entry', 'entries')}"

    @property
    def dated(self) -> str:
        """Say by which day's law it is judged."""
        return f"thisUpdate {self.this_update:%Y-%m-%d}"

    def when(self, clock: DatedBy) -> datetime | None:
        """Return thisUpdate, when it was made, by which the law is chosen that it is held against."""
        return self.this_update if clock in (DatedBy.PRODUCTION, DatedBy.ISSUANCE) else None


def counted(number: int, one: str, more: str) -> str:
    """Return a number with its noun."""
    return f"{number} {one if number == 1 else more}"


def read(octets: bytes, label: str, beside: Beside | None = None) -> RevocationList:
    """Read a CRL, DER; BadInput if it is none, or larger than ``MAX_CRL_OCTETS`` or ``MAX_ENTRIES``."""
    if len(octets) > MAX_CRL_OCTETS:
        raise BadInput(f"The CRL has {len(octets)} octets; at most {MAX_CRL_OCTETS} are read.")
    try:
        with unwarned():
            return _read(x509.load_der_x509_crl(octets), octets, label, beside or Beside())
    except certificates.unreadable() as error:
        raise BadInput(f"The CRL cannot be read: {error}.", hint="expected an X.509 CRL in DER") from None


def _read(loaded: x509.CertificateRevocationList, raw: bytes, label: str, beside: Beside) -> RevocationList:
    if len(loaded) > MAX_ENTRIES:
        raise BadInput(f"The CRL has {len(loaded)} entries; at most {MAX_ENTRIES} are read.")
    number = point = key = None
    for extension in loaded.extensions:
        if isinstance(extension.value, x509.CRLNumber):
            number = extension.value.crl_number
        elif isinstance(extension.value, x509.IssuingDistributionPoint):
            point = extension.value
        elif isinstance(extension.value, x509.AuthorityKeyIdentifier):
            key = extension.value.key_identifier
    return RevocationList(
        label=label,
        octets=raw,
        issuer=_issuer(loaded.tbs_certlist_bytes),
        issuer_key=key,
        number=number,
        this_update=loaded.last_update_utc,
        next_update=loaded.next_update_utc,
        entries=tuple(_entry(each) for each in loaded),
        for_cas_only=point is not None and point.only_contains_ca_certs,
        for_users_only=point is not None and point.only_contains_user_certs,
        signature=read_signature_algorithm(der.children(der.read(raw))[1]),
        beside=beside,
    )


def signed_by(octets: bytes, spki: bytes) -> bool | None:
    """Tell whether a CRL that was read bears the signature of a key; None where its kind is not verified here."""
    try:
        with unwarned():
            key = serialization.load_der_public_key(spki)
            if not isinstance(key, _KEYS):
                return None
            return x509.load_der_x509_crl(octets).is_signature_valid(key)
    except certificates.unreadable():
        return None


def _issuer(signed: bytes) -> bytes:
    """Cut out the issuer's Name as it stands: what ``cryptography`` writes again need not be the same."""
    fields = der.Fields(der.read(signed), "A CRL's content")
    fields.maybe(der.INTEGER)
    fields.take(der.SEQUENCE)
    return fields.take(der.SEQUENCE).raw


def _entry(revoked: x509.RevokedCertificate) -> Entry:
    reason, invalid_since = "", None
    for extension in revoked.extensions:
        if isinstance(extension.value, x509.CRLReason):
            reason = extension.value.reason.value
        elif isinstance(extension.value, x509.InvalidityDate):
            invalid_since = extension.value.invalidity_date_utc
    return Entry(revoked.serial_number, revoked.revocation_date_utc, reason, invalid_since)


def in_succession(lists: Iterable[RevocationList]) -> tuple[RevocationList, ...]:
    """Return the lists with what they say of each other: which followed which, and which entries went.

    Lists of one issuer and one coverage follow each other by thisUpdate; two of the same moment tell nothing.
    """
    found: list[RevocationList] = []
    ordered = sorted(lists, key=lambda each: (each.issuer, each.for_cas_only, each.for_users_only, each.this_update))
    for each in ordered:
        before = found[-1] if found else None
        if before is not None and _follows(each, before):
            here = {entry.serial for entry in each.entries}
            dropped = tuple(entry.serial for entry in before.entries if entry.serial not in here)
            found[-1] = _beside(before, next_issued=each.this_update)
            each = _beside(each, dropped=dropped)
        found.append(each)
    return tuple(found)


def _follows(each: RevocationList, before: RevocationList) -> bool:
    same = (each.issuer, each.for_cas_only, each.for_users_only, each.beside.covers)
    return same == (before.issuer, before.for_cas_only, before.for_users_only, before.beside.covers) and (
        each.this_update > before.this_update
    )


def _beside(each: RevocationList, **known: object) -> RevocationList:
    return msgspec.structs.replace(each, beside=msgspec.structs.replace(each.beside, **known))


def recognise(octets: bytes) -> bool:
    """Tell whether DER has the outer shape of a CRL: a time where a certificate has its validity (RFC 5280 5.1)."""
    try:
        whole = der.children(der.read(octets, MAX_CRL_OCTETS), 3)
        parts = [each.tag for each in der.children(whole[0])]
    except (BadInput, IndexError):
        return False
    head = [tag for tag in parts[:4] if tag != der.INTEGER]
    return head[:2] == [der.SEQUENCE] * 2 and head[2:3] in ([der.UTC_TIME], [der.GENERALIZED_TIME])
