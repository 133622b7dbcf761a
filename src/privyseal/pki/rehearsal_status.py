"""The status of what the rehearsal CA issued: OCSP responses by a delegated responder (RFC 6960, RFC 5019).

The responder's key is made at its start and never leaves the process; each of the three CAs certifies it for a week. So
no question from outside makes a CA's own key sign, and a stolen responder soon tells nobody anything.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp

from privyseal.pki import certificates
from privyseal.pki.rehearsal import PARTS, RESPONDER_DAYS, Part, RehearsalAuthority

LARGEST_REQUEST = 4096
"""Octets of an OCSP request; one about one certificate has under 150, with a nonce."""
NONCE = range(1, 33)
"""Octets of a nonce that is answered (RFC 9654 2.1); a request with any other is refused as malformed."""
LARGEST_SERIAL = 1 << 160
"""Serial numbers are smaller, and above zero (RFC 5280 4.1.2.2)."""
TOLD_FOR = timedelta(days=1)
"""From thisUpdate to nextUpdate; CSBR 4.9.10 wants eight hours at least and ten days at most."""

_ALGORITHMS = (hashes.SHA1(), hashes.SHA256(), hashes.SHA384(), hashes.SHA512())  # noqa: S303 - see below
"""By which a request may name an issuer; SHA-1 is what most clients send, and nothing rests on it here."""
_DER = serialization.Encoding.DER


class Known(msgspec.Struct, frozen=True):
    """What the register has on a serial number: who issued it, and since when and why it is revoked."""

    part: Part
    revoked: datetime | None = None
    reason: str = "unspecified"


Lookup = Callable[[int], Known | None]
"""Finds a serial number in the register."""


class Responder:
    """Answers OCSP requests; one thread at a time may make it anew, any may ask it."""

    def __init__(self, authority: RehearsalAuthority, now: datetime) -> None:
        """Make a key, and have it certified by each CA."""
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._until = now + timedelta(days=RESPONDER_DAYS) / 2
        public = self._key.public_key()
        self._own = {part: certificates.load(authority.issue_responder(part, public, now)) for part in PARTS}
        self._issuers = {hashed: part for part, each in authority.certificates().items() for hashed in _names(each)}

    def fresh(self, now: datetime) -> bool:
        """Tell whether it can still answer; otherwise another one is to be made."""
        return now < self._until

    def answer(self, octets: bytes, lookup: Lookup, now: datetime) -> bytes:
        """Return the response, DER, to a request, which may be anything.

        A serial number that was never issued is ``unknown``, never ``good`` (CSBR 4.9.10). An issuer that is none of
        the three, and a request about several certificates, is ``unauthorized`` (RFC 5019 2.2.3).
        """
        try:
            if len(octets) > LARGEST_REQUEST:
                raise ValueError
            asked = ocsp.load_der_ocsp_request(octets)
            algorithm = asked.hash_algorithm
            nonce = _nonce(asked)
            if not 0 < asked.serial_number < LARGEST_SERIAL:
                raise ValueError
        except NotImplementedError:
            return _refusal(ocsp.OCSPResponseStatus.UNAUTHORIZED)
        except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
            return _refusal(ocsp.OCSPResponseStatus.MALFORMED_REQUEST)
        part = self._issuers.get((algorithm.name, asked.issuer_name_hash, asked.issuer_key_hash))
        if part is None:
            return _refusal(ocsp.OCSPResponseStatus.UNAUTHORIZED)
        known = lookup(asked.serial_number)
        return self._told(asked, part, known if known is not None and known.part == part else None, nonce, now)

    def _told(
        self, asked: ocsp.OCSPRequest, part: Part, known: Known | None, nonce: x509.OCSPNonce | None, now: datetime
    ) -> bytes:
        start = now.replace(microsecond=0)
        status, revoked, reason = ocsp.OCSPCertStatus.UNKNOWN, None, None
        if known is not None:
            status, revoked = ocsp.OCSPCertStatus.GOOD, known.revoked
        if known is not None and revoked is not None:
            status = ocsp.OCSPCertStatus.REVOKED
            reason = x509.ReasonFlags(known.reason) if known.reason != "unspecified" else None
        own = self._own[part]
        draft = (
            ocsp.OCSPResponseBuilder()
            .add_response_by_hash(
                issuer_name_hash=asked.issuer_name_hash,
                issuer_key_hash=asked.issuer_key_hash,
                serial_number=asked.serial_number,
                algorithm=asked.hash_algorithm,
                cert_status=status,
                this_update=start,
                next_update=start + TOLD_FOR,
                revocation_time=revoked,
                revocation_reason=reason,
            )
            .responder_id(ocsp.OCSPResponderEncoding.HASH, own)
            .certificates([own])
        )
        if nonce is not None:
            draft = draft.add_extension(nonce, critical=False)
        return draft.sign(self._key, hashes.SHA256()).public_bytes(_DER)


def _nonce(asked: ocsp.OCSPRequest) -> x509.OCSPNonce | None:
    """Return the nonce, if there is one; ValueError where it has a length that nobody may send."""
    for each in asked.extensions:
        if isinstance(each.value, x509.OCSPNonce):
            if len(each.value.nonce) not in NONCE:
                raise ValueError
            return each.value
    return None


def _names(issuer: x509.Certificate) -> list[tuple[str, bytes, bytes]]:
    """Return by what requests name an issuer: algorithm, hash of its name, hash of its key (RFC 6960 4.1.1)."""
    key = issuer.public_key().public_bytes(_DER, serialization.PublicFormat.PKCS1)
    name = issuer.subject.public_bytes()
    return [(each.name, _hash(each, name), _hash(each, key)) for each in _ALGORITHMS]


def _hash(algorithm: hashes.HashAlgorithm, octets: bytes) -> bytes:
    digest = hashes.Hash(algorithm)
    digest.update(octets)
    return digest.finalize()


def _refusal(status: ocsp.OCSPResponseStatus) -> bytes:
    return ocsp.OCSPResponseBuilder.build_unsuccessful(status).public_bytes(_DER)
