"""An OCSP response (RFC 6960) as requirements are judged on it, and what else has to be known for that."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp as rfc6960
from cryptography.x509.oid import ExtendedKeyUsageOID, SignatureAlgorithmOID

from privyseal.compliance.crl import SCOPES, Covers, RevocationList
from privyseal.compliance.requirement import DatedBy, Kind, Scope
from privyseal.compliance.unwarned import unwarned
from privyseal.errors import BadInput
from privyseal.pki import certificates, der
from privyseal.pki.key_facts import SignatureFacts, read_signature_algorithm

MAX_RESPONSE_OCTETS = 100 << 10
"""Octets of a response, as in OpenSSL's client (OSSL_HTTP_DEFAULT_MAX_RESP_LEN); one with a certificate has 2,000."""
MAX_SINGLES = 256
"""Certificates that one response speaks about; responders of public CAs answer for one."""
MAX_CERTIFICATES = 16
"""Certificates in one response; one is needed, and OpenSSL's responder sends one or a chain."""


_FAILURES: tuple[type[Exception], ...] = (InvalidSignature, *certificates.unreadable())


class Single(msgspec.Struct, frozen=True, kw_only=True):
    """What a response says of one certificate (RFC 6960 4.2.1)."""

    serial: int
    issuer_name_hash: bytes
    issuer_key_hash: bytes
    hash_name: str
    """With which the two were made, as in ``hashlib``."""
    status: str
    """``good``, ``revoked`` or ``unknown``."""
    reason: str = ""
    this_update: datetime
    next_update: datetime | None


class Signer(StrEnum):
    """Who signed a response, as far as the response and the issuer's certificate, if at hand, show."""

    ISSUER = "issuer"
    """The CA that issued the certificates in question."""
    DELEGATED = "delegated"
    """A responder whose certificate that CA signed."""
    UNPROVEN = "unproven"
    """It names the issuer or one of its responders, and the issuer's certificate to check this is not at hand."""
    STRANGER = "stranger"
    FORGED = "forged"
    """The signature does not verify with the certificate that it names."""


class Responder(msgspec.Struct, frozen=True):
    """The signer, and of a delegated one what its certificate grants."""

    signer: Signer
    certificate: bytes | None = None
    """Of a responder that is not the issuer itself, DER; None where the response carries none that verifies it."""
    for_ocsp: bool = False
    """Its extended key usage includes OCSPSigning (RFC 6960 4.2.2.2)."""
    nocheck: bool = False
    """It has id-pkix-ocsp-nocheck (RFC 6960 4.2.2.2.1)."""


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """What is known beside the response itself; every field may be unknown."""

    covers: Covers | None = None
    issuer: bytes | None = None
    """The certificate of the CA that issued what the response is about, DER."""
    next_issued: datetime | None = None
    """thisUpdate of the response for the same certificate that followed."""
    on_crl: frozenset[int] | None = None
    """Serial numbers on the CRL of the same issuer; None where no CRL is at hand."""


class StatusResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A successful OCSP response of the basic type."""

    label: str
    octets: bytes
    singles: tuple[Single, ...]
    responder: Responder
    signature: SignatureFacts
    beside: Beside = Beside()

    @property
    def kind(self) -> Kind:
        """Say that it is an OCSP response."""
        return Kind.OCSP_RESPONSE

    @property
    def covers(self) -> Covers | None:
        """Say about which certificates it speaks, where that is known."""
        return self.beside.covers

    @property
    def scopes(self) -> frozenset[Scope]:
        """Say for which certificates it counts; empty where nobody knows."""
        return SCOPES[self.covers]

    @property
    def suspended(self) -> tuple[int, ...]:
        """Return the serial numbers that it shows as suspended."""
        return tuple(each.serial for each in self.singles if each.reason in ("certificateHold", "removeFromCRL"))

    @property
    def title(self) -> str:
        """Say which response it is: about which certificate."""
        more = f" and {len(self.singles) - 1} more" if len(self.singles) > 1 else ""
        return f"about serial number {self.singles[0].serial:X}{more}"

    @property
    def dated(self) -> str:
        """Say by which day's law it is judged."""
        return f"thisUpdate {max(each.this_update for each in self.singles):%Y-%m-%d}"

    def when(self, clock: DatedBy) -> datetime | None:
        """Return the latest thisUpdate in it, by which the law is chosen that it is held against."""
        if clock not in (DatedBy.PRODUCTION, DatedBy.ISSUANCE):
            return None
        return max(each.this_update for each in self.singles)


def read(octets: bytes, label: str, beside: Beside | None = None) -> StatusResponse:
    """Read an OCSP response, DER; BadInput if it is none, says nothing of any certificate, or is too large."""
    if len(octets) > MAX_RESPONSE_OCTETS:
        raise BadInput(f"The OCSP response has {len(octets)} octets; at most {MAX_RESPONSE_OCTETS} are read.")
    try:
        with unwarned():
            return _successful(rfc6960.load_der_ocsp_response(octets), octets, label, beside or Beside())
    except certificates.unreadable() as error:
        raise BadInput(f"The OCSP response cannot be read: {error}.", hint="expected RFC 6960 in DER") from None


def _successful(loaded: rfc6960.OCSPResponse, octets: bytes, label: str, beside: Beside) -> StatusResponse:
    if loaded.response_status is not rfc6960.OCSPResponseStatus.SUCCESSFUL:
        name = loaded.response_status.name.lower().replace("_", " ")
        raise BadInput(f"The OCSP response is of status {name} and says nothing of any certificate.")
    return _read(loaded, octets, label, beside)


def _read(loaded: rfc6960.OCSPResponse, raw: bytes, label: str, beside: Beside) -> StatusResponse:
    singles: list[Single] = []
    for each in loaded.responses:
        if len(singles) == MAX_SINGLES:
            raise BadInput(f"The OCSP response speaks about more than {MAX_SINGLES} certificates; that many are read.")
        singles.append(_single(each))
    if not singles:
        raise BadInput("The OCSP response speaks about no certificate.")
    return StatusResponse(
        label=label,
        octets=raw,
        singles=tuple(singles),
        responder=_responder(loaded, singles[0], beside.issuer),
        signature=_signature(raw),
        beside=beside,
    )


def _signature(raw: bytes) -> SignatureFacts:
    """Cut out the AlgorithmIdentifier of a BasicOCSPResponse (RFC 6960 4.2.1), with its parameters."""
    wrapped = der.children(der.children(der.read(raw))[1])[0]
    basic = der.read(der.octets_of(der.children(wrapped)[1]))
    return read_signature_algorithm(der.children(basic)[1])


def _single(each: rfc6960.OCSPSingleResponse) -> Single:
    reason = each.revocation_reason
    return Single(
        serial=each.serial_number,
        issuer_name_hash=each.issuer_name_hash,
        issuer_key_hash=each.issuer_key_hash,
        hash_name=each.hash_algorithm.name,
        status=each.certificate_status.name.lower(),
        reason="" if reason is None else reason.value,
        this_update=each.this_update_utc,
        next_update=each.next_update_utc,
    )


# -- who signed --------------------------------------------------------------------------------------------------------
def _responder(loaded: rfc6960.OCSPResponse, single: Single, issuer: bytes | None) -> Responder:
    carried = loaded.certificates
    if len(carried) > MAX_CERTIFICATES:
        raise BadInput(f"The OCSP response carries {len(carried)} certificates; at most {MAX_CERTIFICATES} are read.")
    # A certificate of another CA tells nothing.
    known = certificates.load(issuer) if issuer is not None and is_issuer(issuer, single) else None
    if known is not None and _names(loaded, known):
        return Responder(Signer.ISSUER if _signed_by(loaded, known) else Signer.FORGED)
    named = [certificate for certificate in carried if _names(loaded, certificate)]
    for certificate in named:
        if _signed_by(loaded, certificate):
            return _judged(certificate, single, known)
    return Responder(Signer.FORGED if named else Signer.UNPROVEN)


def _judged(certificate: x509.Certificate, single: Single, known: x509.Certificate | None) -> Responder:
    """Judge the certificate that a response carries and that verifies its signature."""
    octets = certificate.public_bytes(Encoding.DER)
    if is_issuer(octets, single):
        return Responder(Signer.ISSUER)
    for_ocsp = nocheck = False
    for extension in certificate.extensions:
        if isinstance(extension.value, x509.ExtendedKeyUsage):
            for_ocsp = ExtendedKeyUsageOID.OCSP_SIGNING in extension.value
        nocheck = nocheck or isinstance(extension.value, x509.OCSPNoCheck)
    named = _hashed(certificates.outline(octets).issuer, single.hash_name) == single.issuer_name_hash
    signer = Signer.UNPROVEN if known is None else Signer.DELEGATED
    if not named or (known is not None and not _issued(certificate, known)):
        signer = Signer.STRANGER
    return Responder(signer, octets, for_ocsp, nocheck)


def is_issuer(certificate: bytes, single: Single) -> bool:
    """Tell whether the hashes of an answer are those of this certificate's name and key (RFC 6960 4.1.1)."""
    outline = certificates.outline(certificate)
    return (
        _hashed(outline.subject, single.hash_name) == single.issuer_name_hash
        and _hashed(_key_bits(outline.spki), single.hash_name) == single.issuer_key_hash
    )


def _key_bits(spki: bytes) -> bytes:
    return der.bits_of(der.children(der.read(spki))[-1])


def _hashed(octets: bytes, name: str) -> bytes | None:
    """Hash with SHA-1 or whatever a response names; None for a digest that nobody has here."""
    try:
        return hashlib.new(name, octets, usedforsecurity=False).digest()
    except ValueError:
        return None


def _names(loaded: rfc6960.OCSPResponse, certificate: x509.Certificate) -> bool:
    """Tell whether the response's ResponderID means this certificate: by name, or by SHA-1 of its key."""
    outline = certificates.outline(certificate.public_bytes(Encoding.DER))
    fields = der.Fields(der.read(loaded.tbs_response_bytes), "An OCSP response's content")
    fields.maybe(0xA0)
    named = fields.take()
    if named.tag == 0xA1:  # by name
        return named.content == outline.subject
    return _hashed(_key_bits(outline.spki), "sha1") == loaded.responder_key_hash


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except _FAILURES:
        return False
    return True


def _signed_by(loaded: rfc6960.OCSPResponse, certificate: x509.Certificate) -> bool:
    algorithm = loaded.signature_hash_algorithm
    if algorithm is None:
        return False
    try:
        _verify(loaded, certificate, algorithm)
    except _FAILURES:
        return False
    return True


def _verify(loaded: rfc6960.OCSPResponse, certificate: x509.Certificate, algorithm: HashAlgorithm) -> None:
    key = certificate.public_key()
    signature, octets = loaded.signature, loaded.tbs_response_bytes
    if isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, octets, ec.ECDSA(algorithm))
    elif isinstance(key, rsa.RSAPublicKey):
        pss = loaded.signature_algorithm_oid == SignatureAlgorithmOID.RSASSA_PSS
        form = padding.PSS(padding.MGF1(algorithm), padding.PSS.AUTO) if pss else padding.PKCS1v15()
        key.verify(signature, octets, form, algorithm)
    else:
        raise InvalidSignature


# -- beside others -----------------------------------------------------------------------------------------------------
def in_succession(responses: Iterable[StatusResponse]) -> tuple[StatusResponse, ...]:
    """Return the responses with when the next one about the same certificates came, as far as it is among them."""
    found: list[StatusResponse] = []
    for each in sorted(responses, key=lambda each: (_about(each), each.singles[0].this_update)):
        before = found[-1] if found else None
        moment = each.singles[0].this_update
        if before is not None and _about(before) == _about(each) and before.singles[0].this_update < moment:
            beside = msgspec.structs.replace(before.beside, next_issued=moment)
            found[-1] = msgspec.structs.replace(before, beside=beside)
        found.append(each)
    return tuple(found)


def _about(response: StatusResponse) -> tuple[tuple[bytes, bytes, int], ...]:
    return tuple((each.issuer_name_hash, each.issuer_key_hash, each.serial) for each in response.singles)


def beside_lists(response: StatusResponse, lists: Iterable[RevocationList]) -> StatusResponse:
    """Return the response with the serial numbers of the latest CRL of the issuer that it names, if one is among them.

    Only a list from no later than the response counts: what was revoked after it, it cannot know.
    """
    single = response.singles[0]
    fitting = [
        each
        for each in lists
        if _hashed(each.issuer, single.hash_name) == single.issuer_name_hash and each.this_update <= single.this_update
    ]
    if not fitting:
        return response
    latest = max(fitting, key=lambda each: each.this_update)
    serials = frozenset(entry.serial for entry in latest.entries)
    return msgspec.structs.replace(response, beside=msgspec.structs.replace(response.beside, on_crl=serials))


def recognise(octets: bytes) -> bool:
    """Tell whether DER has the outer shape of an OCSP response: a status where other things have a SEQUENCE."""
    try:
        whole = der.children(der.read(octets, MAX_RESPONSE_OCTETS), 2)
    except BadInput:
        return False
    return [each.tag for each in whole] in ([der.ENUMERATED], [der.ENUMERATED, 0xA0])
