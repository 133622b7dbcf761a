"""Requests for certificates (PKCS #10, RFC 2986): built around a signature that is made elsewhere, and read strictly.

A request of ours carries the subject that was validated and, as the attribute id-aa-attestation, what attests the key
(draft-ietf-lamps-csr-attestation). What is read has proved that its sender holds the key, or it is refused.
"""

from __future__ import annotations

import base64
import binascii
import re

import msgspec
from cryptography import x509

from privyseal.errors import BadInput, VerificationFailed
from privyseal.pki import algorithms, certificates, der, extensions, names
from privyseal.terms.identity import LegalIdentity
from privyseal.terms.signatures import Family, Scheme, ToBeSigned

EXTENSION_REQUEST = "1.2.840.113549.1.9.14"
"""extensionRequest (RFC 2985 5.4.2)."""
ATTESTATION = "1.2.840.113549.1.9.16.2.59"
"""id-aa-attestation (draft-ietf-lamps-csr-attestation 4.2)."""
TIME_STAMPING = "1.3.6.1.5.5.7.3.8"
"""id-kp-timeStamping (RFC 3161 2.3)."""
MAX_OCTETS = 256 << 10
"""Octets of one request; one with a chain of attestations has some thousands."""
MAX_ATTRIBUTES = 64
"""Attributes of one request; there are one or two."""
MAX_STATEMENTS = 32
"""Statements and certificates of one bundle each; a key has one or two, a chain four."""

_BLOCK = re.compile(
    rb"-----BEGIN (NEW )?CERTIFICATE REQUEST-----([^-]{1,400000})-----END (NEW )?CERTIFICATE REQUEST-----"
)
_RSA_WITH = {"sha256": 11, "sha384": 12, "sha512": 13}
_PRINTABLE = re.compile(r"[A-Za-z0-9 '()+,\-./:=?]*")
_AS_NAME = "it is written as CN=Example TSA 2027,O=Example Ltd,C=DE"
_OF_EV = (
    names.BUSINESS_CATEGORY,
    names.JURISDICTION_COUNTRY,
    names.JURISDICTION_STATE,
    names.JURISDICTION_LOCALITY,
    names.SERIAL_NUMBER,
)


class Statement(msgspec.Struct, frozen=True):
    """One attestation within a bundle: what kind it is, and its value as it stands (DER)."""

    kind: str
    """Dotted object identifier."""
    value: bytes


class Bundle(msgspec.Struct, frozen=True):
    """AttestationBundle: statements, and certificates in any order that may lead from their signers to an anchor."""

    statements: tuple[Statement, ...]
    certificates: tuple[bytes, ...] = ()

    def encode(self) -> bytes:
        """Return its DER."""
        found = [der.sequence(der.oid(each.kind), each.value) for each in self.statements]
        held = (der.sequence(*self.certificates),) if self.certificates else ()
        return der.sequence(der.sequence(*found), *held)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request whose own signature verifies."""

    der: bytes
    subject: bytes
    """The Name, DER."""
    spki: bytes
    """SubjectPublicKeyInfo, DER."""
    attestation: bytes | None
    """The value of its id-aa-attestation, DER; None if it has none."""

    @property
    def key_id(self) -> str:
        """Return SHA-256 of the public key, 64 lower-case hex digits."""
        return certificates.key_id(self.spki)


# -- writing -----------------------------------------------------------------------------------------------------------
def subject(identity: LegalIdentity, *, ev: bool = False) -> bytes:
    """Return the Name, DER, that a certificate for this Subscriber has (CSBR 7.1.4.2.2 to 7.1.4.2.4).

    commonName is the legal name. BadInput where EV is asked for and the identity was not validated for it.
    """
    found: list[tuple[str, str]] = []
    if ev:
        where = identity.jurisdiction
        if where is None:
            raise BadInput(
                "The Subscriber's identity has no jurisdiction and registration number, which an EV subject needs.",
                hint="have it validated for EV, and state it: privyseal subscriber identity NAME FILE",
            )
        values = (where.business_category, where.country, where.state, where.locality, where.number)
        found += zip(_OF_EV, values, strict=True)
    found += [(names.COUNTRY, identity.country), (names.STATE, identity.state), (names.LOCALITY, identity.locality)]
    found += [(names.ORGANIZATION, identity.organization), (names.COMMON_NAME, identity.organization)]
    return der.sequence(*(_attribute(dotted, text) for dotted, text in found if text))


def named(text: str) -> bytes:
    """Return the Name, DER, that a text names as RFC 4514 has it: ``CN=Example TSA,O=Example Ltd,C=DE``.

    BadInput where it is none, or names no commonName.
    """
    try:
        name = x509.Name.from_rfc4514_string(text)
    except ValueError as error:
        raise BadInput(f"The subject is no distinguished name: {str(error)[:200]}.", hint=_AS_NAME) from None
    if not name.get_attributes_for_oid(x509.NameOID.COMMON_NAME):
        raise BadInput("The subject has no CN.", hint=_AS_NAME)
    return name.public_bytes()


def timestamping() -> bytes:
    """Return the Extensions, DER, that a timestamp certificate is asked for with (CSBR 7.1.2.3; RFC 3161 2.3).

    Both are critical: a keyUsage of digitalSignature, and an extendedKeyUsage of timeStamping and nothing else. How
    long the certificate is good for no request can say; 135 months are the most (CSBR 6.3.2).
    """
    usage = der.bit_string(b"\x80", unused=7)
    purposes = der.sequence(der.oid(TIME_STAMPING))
    return der.sequence(
        _extension(extensions.KEY_USAGE, usage),
        _extension(extensions.EXTENDED_KEY_USAGE, purposes),
    )


def _extension(dotted: str, value: bytes) -> bytes:
    return der.sequence(der.oid(dotted), der.boolean(True), der.octet_string(value))


def information(subject_name: bytes, spki: bytes, attestation: bytes = b"", wanted: bytes = b"") -> bytes:
    """Return the CertificationRequestInfo (RFC 2986 4.1), which is what the key signs.

    ``wanted`` are Extensions, DER, that the certificate is to have. BadInput where the subject is no Name, or the
    attestation no bundle.
    """
    names.read_name(der.read(subject_name))
    if attestation:
        read_bundle(attestation)
    found = [(ATTESTATION, attestation), (EXTENSION_REQUEST, wanted)]
    rows = sorted(der.sequence(der.oid(dotted), der.set_of(value)) for dotted, value in found if value)
    attributes = b"".join(rows)  # DER sorts a SET OF
    return der.sequence(der.integer(0), subject_name, spki, der.implicit(0, attributes))


def to_be_signed(info: bytes, scheme: Scheme) -> ToBeSigned:
    """Return what is handed to the key: a CertificationRequestInfo under the scheme's own digest."""
    _algorithm(scheme)
    return ToBeSigned(info, scheme.default_digest)


def request(info: bytes, scheme: Scheme, value: bytes) -> bytes:
    """Return the whole request, DER, from what was signed and the signature's value."""
    return der.sequence(info, _algorithm(scheme), der.bit_string(value))


def pem(request_der: bytes) -> bytes:
    """Return a request as PEM text (RFC 7468 7)."""
    body = base64.b64encode(request_der)
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    return b"\n".join([b"-----BEGIN CERTIFICATE REQUEST-----", *lines, b"-----END CERTIFICATE REQUEST-----", b""])


def _attribute(dotted: str, text: str) -> bytes:
    """Return one RDN; countries and numbers are PrintableString wherever they can be (X.520 6.3.1, 6.2.9)."""
    plain = dotted in (names.COUNTRY, names.JURISDICTION_COUNTRY, names.SERIAL_NUMBER)
    if plain and _PRINTABLE.fullmatch(text):
        value = der.tlv(der.PRINTABLE_STRING, text.encode("ascii"))
    else:
        value = der.utf8_string(text)
    return der.set_of(der.sequence(der.oid(dotted), value))


def _algorithm(scheme: Scheme) -> bytes:
    """Return the signature's AlgorithmIdentifier (RFC 4055 5, RFC 5758 3.2); BadInput for another family."""
    if scheme.family is Family.RSA:
        dotted = f"1.2.840.113549.1.1.{_RSA_WITH[scheme.default_digest]}"
        return der.sequence(der.oid(dotted), der.null())
    if scheme.family is Family.ECDSA:
        return algorithms.signature_identifier(scheme.family, scheme.default_digest)
    raise BadInput(
        f"No certificate is asked for with a key of scheme {scheme.name}.",
        hint="code signing certificates are for RSA and ECDSA keys (CSBR 6.1.5)",
    )


# -- reading -----------------------------------------------------------------------------------------------------------
def read(octets: bytes) -> Asked:
    """Read a request in DER or PEM.

    BadInput where it is none; VerificationFailed where its own signature is not made with the key that it names.
    """
    if len(octets) > MAX_OCTETS:
        raise BadInput(f"The request has {len(octets)} octets; at most {MAX_OCTETS} are read.")
    whole = der.read(_binary(octets), MAX_OCTETS)
    fields = der.Fields(whole, "A request for a certificate")
    info = fields.take(der.SEQUENCE)
    algorithm = fields.take(der.SEQUENCE)
    value = der.bits_of(fields.take(der.BIT_STRING))
    fields.end()
    inner = der.Fields(info, "What a request asks")
    if der.integer_of(inner.take(der.INTEGER)) != 0:
        raise BadInput("The request is of another version than PKCS #10 has.")
    subject_name, spki = inner.take(der.SEQUENCE).raw, inner.take(der.SEQUENCE).raw
    attributes = inner.maybe(0xA0)
    inner.end()
    _require_possession(spki, info.raw, algorithm, value)
    found = None if attributes is None else _attestation(attributes)
    return Asked(der=whole.raw, subject=subject_name, spki=spki, attestation=found)


def common_name(request_der: bytes) -> str:
    """Return the last commonName of a request's subject, or the empty string if it has none; BadInput if unreadable."""
    try:
        names = x509.load_der_x509_csr(request_der).subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    except certificates.unreadable() as error:
        raise BadInput(f"The request's subject cannot be read: {error}.") from None
    return str(names[-1].value) if names else ""


def read_bundle(octets: bytes) -> Bundle:
    """Read an AttestationBundle, DER; what follows a statement's value (a hint, in older drafts) is passed over."""
    fields = der.Fields(der.read(octets, MAX_OCTETS), "An attestation bundle")
    said = [_statement(each) for each in der.children(fields.take(der.SEQUENCE), MAX_STATEMENTS)]
    held = fields.maybe(der.SEQUENCE)
    fields.end()
    if not said:
        raise BadInput("An attestation bundle holds no statement.")
    chain = [] if held is None else [each.raw for each in der.children(held, MAX_STATEMENTS)]
    return Bundle(tuple(said), tuple(chain))


def statements(attestation: bytes) -> tuple[Statement, ...]:
    """Return what a request brings to attest its key; empty octets are no attestation."""
    return read_bundle(attestation).statements if attestation else ()


def _statement(element: der.Element) -> Statement:
    fields = der.children(element, MAX_STATEMENTS)
    if len(fields) < 2:
        raise BadInput("An attestation statement has no value.")
    return Statement(der.oid_of(fields[0]), fields[1].raw)


def _binary(octets: bytes) -> bytes:
    if not (found := _BLOCK.search(octets)):
        return octets
    try:
        return base64.b64decode(b"".join(found[2].split()), validate=True)
    except binascii.Error:
        raise BadInput("The request's PEM text is not base64.") from None


def _attestation(attributes: der.Element) -> bytes | None:
    found: list[bytes] = []
    for each in der.children(attributes, MAX_ATTRIBUTES):
        fields = der.Fields(each, "An attribute of a request")
        kind, values = der.oid_of(fields.take(der.OID)), der.children(fields.take(der.SET), MAX_ATTRIBUTES)
        fields.end()
        if kind == ATTESTATION:
            found += [value.raw for value in values]
    if len(found) > 1:
        raise BadInput("The request carries more than one attestation bundle; one was expected.")
    return found[0] if found else None


def _require_possession(spki: bytes, info: bytes, algorithm: der.Element, value: bytes) -> None:
    parts = der.Fields(algorithm, "A signature's AlgorithmIdentifier")
    dotted, family = der.oid_of(parts.take(der.OID)), certificates.family_of(spki)
    digest = algorithms.digest_of(dotted)
    if digest is None:
        raise BadInput(f"The request is signed with {dotted}, which is not read here.", hint="RSA or ECDSA with SHA-2")
    salt = algorithms.signature_salt(dotted, parts.rest(), family, digest)
    if salt is not None:
        raise BadInput("The request is signed with PSS, which is not read here.")
    try:
        certificates.verify(spki, ToBeSigned(info, digest), value)
    except VerificationFailed:
        raise VerificationFailed(
            "The request's own signature does not verify, so nobody has shown that they hold its key."
        ) from None
