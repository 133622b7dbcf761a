"""Certificate requests beside attestations: whose key they are for, and that whoever made them had that key.

A device may err here as in certificates: a Luna's request names parameters of ECDSA that do not belong there, and
writes its numbers without sign. The signature is verified over the octets as they stand (RFC 2986 4.2).
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from privyseal.errors import BadInput, VerificationFailed
from privyseal.pki import csr, der
from privyseal.pki.attestation import devices
from privyseal.pki.attestation.devices import Algorithm, DeviceCertificate, Extension

MOST_REQUEST_OCTETS = 64 << 10
"""Octets of a certificate request, as of a certificate."""
EXTENSION_REQUESTS = frozenset({"1.2.840.113549.1.9.14", "1.3.6.1.4.1.311.2.1.14"})
"""Attributes that hold the extensions asked for: PKCS #9's and Microsoft's."""


class Request(Struct, frozen=True, kw_only=True):
    """The parts of a PKCS #10 request as they stand."""

    der: bytes
    to_be_signed: bytes
    subject: bytes
    spki: bytes
    algorithm: Algorithm
    signature: bytes
    attributes: dict[str, tuple[bytes, ...]]
    """Dotted OID to raw values."""
    extensions: dict[str, Extension]
    """Those asked for, by dotted OID."""


def read(octets: bytes) -> Request:
    """Cut a DER certificate request into its parts; BadInput where it is not shaped like one."""
    outer = der.Fields(der.read(octets, MOST_REQUEST_OCTETS), "A certificate request")
    content, algorithm, signature = outer.take(der.SEQUENCE), outer.take(der.SEQUENCE), outer.take(der.BIT_STRING)
    outer.end()
    fields = der.Fields(content, "A certificate request's content")
    fields.take(der.INTEGER)
    subject, spki = fields.take(der.SEQUENCE), fields.take(der.SEQUENCE)
    held = fields.maybe(0xA0)
    fields.end()
    attributes: dict[str, tuple[bytes, ...]] = {}
    for each in [] if held is None else der.children(held, devices.MOST_EXTENSIONS):
        parts = der.Fields(each, "An attribute of a certificate request")
        oid, values = der.oid_of(parts.take(der.OID)), der.children(parts.take(der.SET), devices.MOST_EXTENSIONS)
        parts.end()
        if oid in attributes:
            raise BadInput(f"The attribute {oid} stands twice in one certificate request.")
        attributes[oid] = tuple(value.raw for value in values)
    extensions: dict[str, Extension] = {}
    for oid in EXTENSION_REQUESTS & attributes.keys():
        for value in attributes[oid]:
            extensions |= devices.extensions_of(der.read(value, MOST_REQUEST_OCTETS))
    return Request(
        der=octets,
        to_be_signed=content.raw,
        subject=subject.raw,
        spki=spki.raw,
        algorithm=devices.algorithm_of(algorithm),
        signature=devices.whole_octets_of(signature),
        attributes=attributes,
        extensions=extensions,
    )


def bundles(carried: Sequence[bytes]) -> list[csr.Bundle]:
    """Return the attestation bundles in certificate requests, DER; BadInput where one is malformed."""
    held = [read(each).attributes.get(csr.ATTESTATION, ()) for each in carried]
    return [csr.read_bundle(value) for values in held for value in values]


def require_own(request: Request) -> None:
    """Require that the request is signed with its own key; VerificationFailed otherwise (RFC 2986 3)."""
    try:
        devices.verify(request.spki, request.algorithm, request.signature, request.to_be_signed)
    except VerificationFailed:
        raise VerificationFailed(
            "The certificate request's own signature does not verify: whoever made it did not show that they have"
            " the key."
        ) from None


def the_one(candidates: Sequence[DeviceCertificate], requests: Sequence[Request], what: str) -> DeviceCertificate:
    """Return the one attestation that is asked about: that of a request's key, or the only one there is.

    BadInput where there are several and no request tells which; ``what`` names them: ``YubiKey attestation``.
    """
    keys = {each.spki for each in requests}
    asked = [each for each in candidates if each.spki in keys] or list(candidates)
    different = {each.der: each for each in asked}
    if len(different) != 1:
        raise BadInput(
            f"The files hold {len(different)} {what}s, and only one can be asked about.",
            hint="give one of them, or the certificate request of the key that is meant",
        )
    return asked[0]
