"""CRLs from a case's words, made with ``cryptography``.

The words of ``subject``, all of which may be left out:

``this_update``   a time; 2026-06-20T00:00:00Z unless said otherwise
``days``, ``months``, ``seconds``   from thisUpdate to nextUpdate; 7 days unless said otherwise
``no_next``       true: it names no nextUpdate
``covers``        ``code-signing`` (default), ``timestamp``, ``subordinate-ca``, or ``unknown``: what its reader knows
``only``          ``ca`` or ``user``: what its issuing distribution point says
``entries``       what it lists: ``[{ serial = 7, revoked = 2026-06-01T00:00:00Z, reason = "keyCompromise",
                  invalid_since = ... }]``; all but the serial number may be left out
``next_issued``   a time: thisUpdate of the list that followed
``dropped``       serial numbers that the list before had; ``[]``: it had none that are not here
``expiries``      ``{ 7 = 2026-01-01T00:00:00Z }``: when certificates expire
``lifetime``      serial numbers of certificates with the Lifetime Signing purpose
"""

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from privyseal.compliance.crl import Beside, Covers, RevocationList, read
from privyseal.pki import der

DEFAULT = datetime(2026, 6, 20, tzinfo=UTC)
_WORDS = {
    *("this_update", "days", "months", "seconds", "no_next", "covers", "only", "entries", "next_issued", "dropped"),
    *("expiries", "lifetime"),
}


def build(words: dict[str, Any]) -> RevocationList:
    """Make the list and read it; KeyError or ValueError for a word that is not known."""
    covers = words.get("covers", "code-signing")
    dropped = words.get("dropped")
    beside = Beside(
        covers=None if covers == "unknown" else Covers(covers),
        next_issued=words.get("next_issued"),
        dropped=None if dropped is None else tuple(dropped),
        expiries={int(serial): moment for serial, moment in words.get("expiries", {}).items()},
        lifetime=frozenset(words.get("lifetime", ())),
    )
    return read(octets(words), "case", beside)


def octets(words: dict[str, Any]) -> bytes:
    """Make the list's DER."""
    if unknown := set(words) - _WORDS:
        raise ValueError(f"a CRL has no {sorted(unknown)}")
    start = words.get("this_update", DEFAULT)
    builder = x509.CertificateRevocationListBuilder(issuer_name(), start, later(start, words, days=7))
    builder = builder.add_extension(x509.CRLNumber(1), False)
    key = x509.SubjectKeyIdentifier.from_public_key(signer().public_key())
    builder = builder.add_extension(x509.AuthorityKeyIdentifier(key.digest, None, None), False)
    if "only" in words:
        builder = builder.add_extension(_point(words["only"]), True)
    for entry in words.get("entries", ()):
        builder = builder.add_revoked_certificate(_entry(entry, start))
    made = builder.sign(signer(), hashes.SHA256()).public_bytes(Encoding.DER)
    return _without_next(made) if words.get("no_next") else made


def later(start: datetime, words: dict[str, Any], **ordinary: int) -> datetime:
    """Return the moment that ``days``, ``months`` and ``seconds`` lead to; the day of the month has to exist there."""
    given = {unit: words[unit] for unit in ("days", "months", "seconds") if unit in words} or ordinary
    year, month = divmod(start.year * 12 + start.month - 1 + given.get("months", 0), 12)
    moved = start.replace(year=year, month=month + 1)
    return moved + timedelta(days=given.get("days", 0), seconds=given.get("seconds", 0))


def _entry(words: dict[str, Any], start: datetime) -> x509.RevokedCertificate:
    revoked = words.get("revoked", start - timedelta(days=1))
    builder = x509.RevokedCertificateBuilder(words["serial"], revoked)
    if "reason" in words:
        builder = builder.add_extension(x509.CRLReason(x509.ReasonFlags(words["reason"])), False)
    if "invalid_since" in words:
        builder = builder.add_extension(x509.InvalidityDate(words["invalid_since"].replace(tzinfo=None)), False)
    return builder.build()


def _point(only: str) -> x509.IssuingDistributionPoint:
    name = [x509.UniformResourceIdentifier("http://crl.ca.example/1.crl")]
    return x509.IssuingDistributionPoint(name, None, only == "user", only == "ca", None, False, False)


def _without_next(made: bytes) -> bytes:
    signed, *rest = der.children(der.read(made))
    fields = [each.raw for each in der.children(signed)]
    del fields[4]  # version, algorithm, issuer, thisUpdate, nextUpdate
    return der.sequence(der.sequence(*fields), *(each.raw for each in rest))


def issuer_name() -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Example Code Signing CA")])


@cache
def signer() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())
