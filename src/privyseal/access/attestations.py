"""What a file brings with it: in-toto statements in DSSE envelopes, such as SLSA provenance, and what rules want.

Everything here comes from outside, and is read with limits: an envelope of at most LARGEST_ENVELOPE octets, with few
signatures, over a payload with few subjects. A signature is looked at before the payload is, and only by keys that a
rule names; what an unverified envelope says is never believed.

Sources: DSSE v1.0.2 (``protocol.md``, ``envelope.md``), in-toto Statement v1, SLSA v1 ``provenance``.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key
from msgspec import Meta, Struct

from privyseal.errors import BadInput, TooLarge

LARGEST_ENVELOPE = 256 * 1024
"""Octets; SLSA provenance of a large build has some ten thousand."""
MOST_SIGNATURES = 8
"""Of one envelope; a build service makes one, a release with co-signers a few."""
MOST_SUBJECTS = 1024
"""Artifacts that one statement is about."""
PAYLOAD_TYPE = "application/vnd.in-toto+json"
"""What the payload of an envelope is, as DSSE signs it along (in-toto attestation framework, envelope)."""
STATEMENT = "https://in-toto.io/Statement/v1"
"""The type of an in-toto statement, version 1."""
PROVENANCE = "https://slsa.dev/provenance/v1"
"""The predicate type of SLSA provenance, version 1."""

Base64 = Annotated[str, Meta(max_length=4 * LARGEST_ENVELOPE // 3 + 4)]
"""The octets of an envelope's field, base64."""
Line = Annotated[str, Meta(min_length=1, max_length=400)]
"""A name, a type or an address in a statement, in characters."""


class _Signature(Struct, frozen=True):
    sig: Annotated[str, Meta(max_length=2048)]
    keyid: Annotated[str, Meta(max_length=400)] | None = None


class Envelope(Struct, frozen=True, rename="camel"):
    """A DSSE envelope as it came. Unknown members are passed over, as DSSE asks."""

    payload: Base64
    payload_type: Annotated[str, Meta(max_length=200)]
    signatures: Annotated[tuple[_Signature, ...], Meta(min_length=1, max_length=MOST_SIGNATURES)]


class _Subject(Struct, frozen=True):
    digest: Annotated[dict[str, Annotated[str, Meta(max_length=256)]], Meta(max_length=16)]


class Statement(Struct, frozen=True, rename="camel"):
    """What an envelope's payload states; only the members that rules speak of."""

    type: Annotated[str, Meta(max_length=200)] = msgspec.field(name="_type")
    subject: Annotated[tuple[_Subject, ...], Meta(min_length=1, max_length=MOST_SUBJECTS)]
    predicate_type: Annotated[str, Meta(max_length=400)]
    predicate: dict[str, Any] = {}

    @property
    def subjects(self) -> tuple[str, ...]:
        """Return the SHA-256 of the files it is about, lower-case hex."""
        return tuple(each.digest["sha256"].lower() for each in self.subject if "sha256" in each.digest)


class Wanted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, rename="kebab"):
    """An attestation that a rule wants: of which type, signed by which keys, and what provenance must say."""

    keys: Annotated[tuple[Line, ...], Meta(min_length=1, max_length=8)]
    """SubjectPublicKeyInfo, DER, in base64; a signature by one of them is enough."""
    predicate_type: Line = PROVENANCE
    builder: Line | None = None
    """``runDetails.builder.id`` of SLSA provenance v1; ``*`` stands for any characters, here and below."""
    source: Line | None = None
    """Of where one of ``buildDefinition.resolvedDependencies`` came from (``uri``)."""
    build_type: Line | None = None

    def check(self, place: str) -> None:
        """Refuse keys that are none, and details that only provenance has."""
        for each in self.keys:
            try:
                _public_key(each)
            except BadInput as error:
                raise BadInput(f"{place}: attestations.keys: {error.detail}", hint=error.hint) from None
        if self.predicate_type != PROVENANCE and (self.builder or self.source or self.build_type):
            raise BadInput(
                f"{place}: attestations: builder, source and build-type are for {PROVENANCE}.", hint="leave them out"
            )


def read_envelope(octets: bytes) -> Envelope:
    """Read a DSSE envelope; BadInput where it is none, TooLarge where it is beyond the limits."""
    if len(octets) > LARGEST_ENVELOPE:
        raise TooLarge(f"The attestation has {len(octets)} octets; at most {LARGEST_ENVELOPE} are taken.")
    try:
        return msgspec.json.decode(octets, type=Envelope)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"The attestation is no DSSE envelope: {str(error)[:200]}.") from None


def statement_of(envelope: Envelope) -> Statement:
    """Read an envelope's payload, which nobody has verified by that; BadInput where it is no in-toto Statement v1."""
    if envelope.payload_type != PAYLOAD_TYPE:
        raise BadInput(f"The attestation's payload is {envelope.payload_type[:80]!r}; {PAYLOAD_TYPE} was expected.")
    try:
        statement = msgspec.json.decode(_base64(envelope.payload), type=Statement)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"The attestation's payload is no in-toto statement: {str(error)[:200]}.") from None
    if statement.type != STATEMENT:
        raise BadInput(f"The attestation is a {statement.type[:80]!r}; {STATEMENT} was expected.")
    if not statement.subjects:
        raise BadInput("The attestation names no subject by its SHA-256.")
    return statement


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return what a DSSE signature is over (PAE, ``protocol.md``)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def verified_by(envelope: Envelope, keys: tuple[str, ...]) -> bool:
    """Tell whether one of an envelope's signatures is by one of the keys; ``keyid`` decides nothing (DSSE)."""
    octets = pae(envelope.payload_type, _base64(envelope.payload))
    for each in envelope.signatures:
        try:
            signature = _base64(each.sig)
        except BadInput:
            continue
        if any(_verifies(_public_key(key), signature, octets) for key in keys):
            return True
    return False


def differences(wanted: Wanted, brought: tuple[bytes, ...], file: str | None, matches: Any) -> list[str]:
    """Say what is missing of one wanted attestation; nothing where one of those brought is it.

    ``file`` is the SHA-256 of the file, None where the service does not see it; ``matches(value, pattern)`` compares.
    """
    if file is None:
        return ["an attestation is over the file, which the service sees in mode server only"]
    why = [f"the file {file[:16]}... brought no attestation {wanted.predicate_type}"]
    for octets in brought:
        try:
            envelope = read_envelope(octets)
            if not verified_by(envelope, wanted.keys):
                why.append("an attestation is not signed by a key that the rule names")
                continue
            statement = statement_of(envelope)
        except BadInput as error:
            why.append(error.detail.rstrip("."))
            continue
        lacks = _lacks(wanted, statement, file, matches)
        if not lacks:
            return []
        why += lacks
    return [why[-1]]


def _lacks(wanted: Wanted, statement: Statement, file: str, matches: Any) -> list[str]:
    """Say what a verified statement does not say that was wanted."""
    if file not in statement.subjects:
        return ["an attestation is about another file"]
    if statement.predicate_type != wanted.predicate_type:
        return [f"an attestation is a {statement.predicate_type[:80]}, and {wanted.predicate_type} is wanted"]
    definition = _table(statement.predicate, "buildDefinition")
    builder = _table(_table(statement.predicate, "runDetails"), "builder").get("id")
    sources = definition.get("resolvedDependencies")
    uris = [each.get("uri") for each in sources[:1024] if isinstance(each, dict)] if isinstance(sources, list) else []
    lacks = []
    if wanted.builder and not _one(builder, wanted.builder, matches):
        lacks.append(f"the attestation's builder is {str(builder)[:80]!r}, and {wanted.builder!r} is wanted")
    if wanted.source and not any(_one(uri, wanted.source, matches) for uri in uris):
        lacks.append(f"the attestation names no source {wanted.source!r}")
    if wanted.build_type and not _one(definition.get("buildType"), wanted.build_type, matches):
        lacks.append(f"the attestation's build type is not {wanted.build_type!r}")
    return lacks


def _one(value: object, wanted: str, matches: Any) -> bool:
    return isinstance(value, str) and bool(matches(value, (wanted,)))


def _table(of: dict[str, Any], name: str) -> dict[str, Any]:
    found = of.get(name)
    return found if isinstance(found, dict) else {}


def _base64(text: str) -> bytes:
    """Decode base64 as DSSE has it, standard or URL-safe; BadInput where it is none."""
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise BadInput("The attestation's base64 is none.") from None


def _public_key(text: str) -> Any:
    try:
        key = load_der_public_key(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError, UnsupportedAlgorithm, TypeError):
        raise BadInput(
            f"{text[:20]!r}... is no public key.", hint="SubjectPublicKeyInfo, DER, in base64, such as of a PEM file"
        ) from None
    if isinstance(key, ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        return key
    raise BadInput("This kind of public key signs no attestations.", hint="Ed25519, ECDSA or RSA")


def _verifies(key: Any, signature: bytes, octets: bytes) -> bool:
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, octets)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            digest: hashes.HashAlgorithm = hashes.SHA384() if key.curve.key_size == 384 else hashes.SHA256()
            key.verify(signature, octets, ec.ECDSA(digest))
        else:
            try:
                key.verify(signature, octets, padding.PKCS1v15(), hashes.SHA256())
            except InvalidSignature:
                salt = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.AUTO)
                key.verify(signature, octets, salt, hashes.SHA256())
    except InvalidSignature:
        return False
    return True
