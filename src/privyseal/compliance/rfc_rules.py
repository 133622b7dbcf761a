"""What the RFCs ask of certificate requests (2986), timestamp tokens (3161) and CRLs' signatures, and pkilint does not.

Findings bear names as pkilint's do (``PKIX-csr...``, ``PKIX-tsp...``, ``PKIX-crl...``), so that nobody takes them for
clauses of the Requirements. One that finds nothing says so once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import date

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from privyseal.compliance.crl import RevocationList, Signed
from privyseal.compliance.outcome import Finding, Verdict
from privyseal.compliance.request import CertificateRequest
from privyseal.compliance.token import Token
from privyseal.compliance.unwarned import unwarned
from privyseal.errors import BadInput
from privyseal.pki import algorithms, certificates, cms, der

ID_SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.2.12"
"""id-aa-signingCertificate (RFC 2634 5.4)."""
ID_SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47"
"""id-aa-signingCertificateV2 (RFC 5035 3)."""
MAX_SERIAL_BITS = 160
"""Bits of a token's serial number that everybody has to be able to read (RFC 3161 2.4.2)."""

_UNREAD: tuple[type[Exception], ...] = (x509.ExtensionNotFound, *certificates.unreadable())
_SHA2 = ("sha256", "sha384", "sha512")


def request_findings(request: CertificateRequest) -> Iterator[Finding]:
    """Yield what is wrong with a request's signature, by which its sender proves to have the key (RFC 2986 3)."""
    day = None if request.received is None else request.received.date()
    verdict, text = {
        True: (Verdict.MET, "The request is signed with the key that it asks a certificate for."),
        False: (Verdict.NOT_MET, "The request's signature is not one of the key that it asks a certificate for."),
        None: (Verdict.NOT_EVIDENCED, "The request's signature is of a kind that is not verified here."),
    }[request.possession]
    yield Finding("PKIX-csr.signature", "RFC 2986 4.2", "", request.label, verdict, text, governed=day)


def crl_signature(listed: RevocationList) -> Finding:
    """Say whose signature a CRL bears (RFC 5280 5.1.1.3, 6.3.3 g): without it all the rest is hearsay."""
    verdict, text, mend = _CRL_SIGNED[listed.beside.signed]
    day = listed.this_update.date()
    return Finding("PKIX-crl.signature", "RFC 5280 6.3.3", "", listed.label, verdict, text, mend, day)


_CRL_SIGNED: dict[Signed, tuple[Verdict, str, str]] = {
    Signed.ISSUER: (Verdict.MET, "The CRL is signed with its issuer's key, which its certificate lets sign CRLs.", ""),
    Signed.UNFIT: (
        Verdict.NOT_MET,
        "The CRL is signed with its issuer's key, and the keyUsage of its certificate lacks cRLSign.",
        "sign CRLs with a key that is certified for it",
    ),
    Signed.FORGED: (Verdict.NOT_MET, "The CRL's signature is not one of its issuer's key.", "fetch the CRL again"),
    Signed.UNPROVEN: (
        Verdict.NOT_EVIDENCED,
        "Whose signature the CRL bears was not verified: its issuer's certificate was not given.",
        "give the certificate of the CA that issued it (--issuer)",
    ),
    Signed.UNKNOWN: (Verdict.NOT_EVIDENCED, "The CRL's signature is of a kind that is not verified here.", ""),
}


def token_findings(token: Token) -> Iterator[Finding]:
    """Yield what is wrong with a token, where RFC 3161 or RFC 5816 says MUST."""
    day = token.gen_time.date()
    flaws = list(_token_flaws(token))
    for slug, clause, text in flaws:
        yield _finding(token.label, day, slug, clause, text)
    if token.unverified:
        text = f"Nobody verified the signature here: {token.unverified}"
        yield Finding("PKIX-tsp.signature", "RFC 5652 5.6", "", token.label, Verdict.NOT_EVIDENCED, text, governed=day)
    elif not flaws:
        text = "Nothing is found against RFC 3161 and RFC 5816."
        yield Finding("PKIX-tsp.none", "RFC 3161", "", token.label, Verdict.MET, text, governed=day)


def _finding(label: str, day: date, slug: str, clause: str, text: str) -> Finding:
    return Finding(f"PKIX-tsp.{slug}", clause, "", label, Verdict.NOT_MET, text, governed=day)


def _token_flaws(token: Token) -> Iterator[tuple[str, str, str]]:
    """Yield a slug, a section and a sentence for each."""
    signed = cms.parse(token.octets)
    [signer] = signed.signers
    if signed.version != 3:
        yield "version", "RFC 5652 5.1", f"The SignedData is of version {signed.version}; 3 was expected."
    if token.flaw:
        yield "signature", "RFC 5652 5.6", token.flaw
    if not 0 < token.serial.bit_length() <= MAX_SERIAL_BITS or token.serial < 0:
        yield "serial_number", "RFC 3161 2.4.2", "The serial number is no positive one of at most 160 bits."
    if token.authority is None:
        return
    own = token.authority.certificate
    if not token.authority.not_before <= token.gen_time <= token.authority.not_after:
        yield "outside_validity", "RFC 3161 2.3", "genTime is outside the validity of the timestamp certificate."
    if not _for_timestamps_only(own):
        yield (
            "extended_key_usage",
            "RFC 3161 2.3",
            "The timestamp certificate's extended key usage is not timeStamping alone, and critical.",
        )
    if not _names(signer, own):
        yield "certificate_hash", "RFC 5816 2.2.1", "The token does not state, signed, the hash of its certificate."


def _for_timestamps_only(certificate: bytes) -> bool:
    try:
        with unwarned():
            usage = certificates.load(certificate).extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except _UNREAD:
        return False
    return usage.critical and list(usage.value) == [ExtendedKeyUsageOID.TIME_STAMPING]


def _names(signer: cms.SignerInfo, certificate: bytes) -> bool:
    """Tell whether the first ESSCertID, of either version, is the hash of the certificate (RFC 5035 4)."""
    try:
        stated = [
            _first_hash(values[0], version)
            for kind, version in ((ID_SIGNING_CERTIFICATE_V2, 2), (ID_SIGNING_CERTIFICATE, 1))
            if (values := signer.attributes.get(kind))
        ]
    except (BadInput, IndexError):
        return False
    known = {name: hashlib.new(name, certificate, usedforsecurity=False).digest() for name in ("sha1", *_SHA2)}
    return bool(stated) and all(known.get(name) == digest for name, digest in stated)


def _first_hash(value: bytes, version: int) -> tuple[str, bytes]:
    fields = der.Fields(der.read(value), "A SigningCertificate")
    first = der.Fields(der.children(fields.take(der.SEQUENCE))[0], "An ESSCertID")
    stated = first.maybe(der.SEQUENCE) if version == 2 else None
    name = "sha1" if version == 1 else "sha256" if stated is None else algorithms.digest_name(stated)
    return name, der.octets_of(first.take(der.OCTET_STRING))
