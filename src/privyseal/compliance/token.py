"""A timestamp token (RFC 3161) as requirements are judged on it, or a whole TimeStampResp that carries one."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec

from privyseal.compliance.requirement import DatedBy, Kind, Scope
from privyseal.compliance.unwarned import unwarned
from privyseal.errors import BadInput
from privyseal.pki import algorithms, ber, certificates, cms, der
from privyseal.pki.key_facts import DSA, EC, RSA, SignatureFacts, read_signature_algorithm
from privyseal.terms.signatures import DIGEST_SIZES

MAX_TOKEN_OCTETS = 1 << 20
"""Octets of a token; the longest met, with a chain of four RSA-4096 certificates, has 9,000."""
MAX_EXTENSIONS = 32
"""Extensions of a TSTInfo; none is in common use."""

ID_TST_INFO = "1.2.840.113549.1.9.16.1.4"
"""id-ct-TSTInfo (RFC 3161 2.4.2)."""


class Authority(msgspec.Struct, frozen=True):
    """What a token's own certificate says of the key that signed it."""

    certificate: bytes
    """DER."""
    above: tuple[bytes, ...]
    """Other certificates that the token carries, DER; one of them may have issued it."""
    not_before: datetime
    not_after: datetime
    signature_digest: str
    """The digest under the certificate's own signature, as in ``hashlib``; empty where it has none that is known."""


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A timestamp token, with what is wrong with its signature, if anything is."""

    label: str
    octets: bytes
    gen_time: datetime
    policy: str
    serial: int
    imprint_algorithm: str
    """As in ``hashlib``, or the dotted OID of a digest that is not known."""
    digest_algorithm: str
    """With which the token was signed; written as the imprint's."""
    signature: SignatureFacts
    """Of its signer; a bare key type (rsaEncryption) goes with ``digest_algorithm`` (RFC 5652 5.3)."""
    authority: Authority | None
    """None where the token carries no certificate of its signer (the request had no certReq)."""
    flaw: str = ""
    """What is wrong with the signature, one sentence; empty where it holds, or its digest is too weak to be asked."""

    @property
    def kind(self) -> Kind:
        """Say that it is a timestamp token."""
        return Kind.TIMESTAMP_TOKEN

    @property
    def scopes(self) -> frozenset[Scope]:
        """Say that it counts for timestamping."""
        return frozenset({Scope.TIMESTAMP})

    @property
    def unverified(self) -> str:
        """Say why nobody could verify the signature, one sentence; empty where it was, with whatever outcome."""
        if self.authority is None:
            return "the token carries no certificate of its key."
        if self.digest_algorithm not in DIGEST_SIZES:
            return f"it is made with {self.digest_algorithm}, not SHA-2."
        return ""

    @property
    def title(self) -> str:
        """Say which token it is: its serial number."""
        return f"serial number {self.serial:X}"

    @property
    def dated(self) -> str:
        """Say by which day's law it is judged."""
        return f"genTime {self.gen_time:%Y-%m-%d}"

    def when(self, clock: DatedBy) -> datetime | None:
        """Return genTime, which is when the token was signed too."""
        return self.gen_time if clock in (DatedBy.GEN_TIME, DatedBy.SIGNING, DatedBy.ISSUANCE) else None


def read(octets: bytes, label: str) -> Token:
    """Read a TimeStampToken or a TimeStampResp that carries one, DER or BER; BadInput if it is neither."""
    if len(octets) > MAX_TOKEN_OCTETS:
        raise BadInput(f"The timestamp token has {len(octets)} octets; at most {MAX_TOKEN_OCTETS} are read.")
    raw = _token(octets)
    signed = cms.parse(raw)
    if signed.content_type != ID_TST_INFO or signed.content_octets is None:
        raise BadInput("The CMS message is no timestamp token: its content is no TSTInfo.")
    if len(signed.signers) != 1:
        raise BadInput(f"The timestamp token has {len(signed.signers)} signers; one was expected (RFC 3161 2.4.2).")
    [signer] = signed.signers
    policy, imprint, serial, gen_time = _info(signed.content_octets)
    with unwarned():
        own = cms.signer_certificate(signed, signer)
        authority = None if own is None else _authority(own, signed.certificates)
        flaw = _flaw(signed, signer)
    return Token(
        label=label,
        octets=raw,
        gen_time=gen_time,
        policy=policy,
        serial=serial,
        imprint_algorithm=imprint,
        digest_algorithm=signer.digest_algorithm,
        signature=_signature(signer),
        authority=authority,
        flaw=flaw,
    )


def _token(octets: bytes) -> bytes:
    """Take the token out of a TimeStampResp, whose first field is a SEQUENCE where a ContentInfo has its type."""
    try:
        outer = der.read(octets, MAX_TOKEN_OCTETS)
    except BadInput:
        outer = der.read(ber.to_der(octets), MAX_TOKEN_OCTETS)
    fields = der.Fields(outer, "A timestamp token or response")
    info = fields.maybe(der.SEQUENCE)
    if info is None:
        return octets
    status = der.integer_of(der.Fields(info, "A PKIStatusInfo").take(der.INTEGER))
    token = fields.rest()
    if token is None or status not in (0, 1):
        raise BadInput(f"The timestamp response has status {status} and no token; 0 or 1 was expected.")
    return token


def _info(octets: bytes) -> tuple[str, str, int, datetime]:
    """Cut a TSTInfo into policy, imprint's digest, serial number and genTime; the rest must only have its shape."""
    fields = der.Fields(der.read(octets, MAX_TOKEN_OCTETS), "A TSTInfo")
    if (version := der.integer_of(fields.take(der.INTEGER))) != 1:
        raise BadInput(f"The timestamp is of version {version}; version 1 was expected.")
    policy = der.oid_of(fields.take(der.OID))
    imprint = der.Fields(fields.take(der.SEQUENCE), "A MessageImprint")
    name = algorithms.digest_name(imprint.take(der.SEQUENCE))
    der.octets_of(imprint.take(der.OCTET_STRING))
    imprint.end()
    serial = der.integer_of(fields.take(der.INTEGER))
    gen_time = der.time_of(fields.take(der.GENERALIZED_TIME))
    fields.maybe(der.SEQUENCE)  # accuracy
    fields.maybe(der.BOOLEAN)  # ordering
    fields.maybe(der.INTEGER)  # nonce
    fields.maybe(0xA0)  # tsa
    extensions = fields.maybe(0xA1)
    fields.end()
    if extensions is not None:
        der.children(extensions, MAX_EXTENSIONS)
    return policy, name, serial, gen_time


def _authority(own: bytes, carried: Iterable[bytes]) -> Authority:
    loaded = certificates.load(own)
    try:
        algorithm = loaded.signature_hash_algorithm
    except certificates.unreadable():
        algorithm = None
    try:
        dates = loaded.not_valid_before_utc, loaded.not_valid_after_utc
    except certificates.unreadable() as error:
        raise BadInput(f"The dates of the timestamp certificate cannot be read: {error}.") from None
    above = tuple(each for each in carried if each != own)
    return Authority(own, above, *dates, "" if algorithm is None else algorithm.name)


def _signature(signer: cms.SignerInfo) -> SignatureFacts:
    kinds = {RSA: "rsa", EC: "ecdsa", DSA: "dsa"}
    if signer.signature_algorithm in kinds:
        return SignatureFacts(signer.signature_algorithm, kinds[signer.signature_algorithm], signer.digest_algorithm)
    identifier = der.sequence(der.oid(signer.signature_algorithm), signer.signature_parameters or b"")
    return read_signature_algorithm(der.read(identifier))


def _flaw(signed: cms.SignedData, signer: cms.SignerInfo) -> str:
    """Say what is wrong with the signature. A weak digest is a clause's matter (CSBR 7.1.3.2), not a flaw here."""
    for flaw in cms.flaws(signed, signer, content=signed.content_octets or b""):
        if flaw.code not in ("weak-digest", "no-signer-certificate"):
            return flaw.text
    return ""


def recognise(octets: bytes) -> bool:
    """Tell whether DER or BER looks like a token or a response with one: the content type stands near its head."""
    return octets[:1] == b"\x30" and der.oid(ID_TST_INFO) in octets[:256]
