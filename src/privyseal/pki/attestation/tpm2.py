"""TPM 2.0: an attestation key certifies another key of the same TPM (TPM2_Certify), alone or in a certificate request.

Source: TCG, Trusted Platform Module Library, Part 2: 10.12.12 (TPMS_ATTEST), 12.2.4 (TPMT_PUBLIC), 8.3 (TPMA_OBJECT),
11.3.4 (TPMT_SIGNATURE); Part 1, 16 (names). In a request it is the statement tcg-attest-tpm-certify, a SEQUENCE of
TPMS_ATTEST, signature and TPMT_PUBLIC, as in the samples of draft-ietf-lamps-csr-attestation. In files it is what
``tpm2_certify -o ATTEST -s SIGNATURE`` and ``tpm2_readpublic`` write, in any order. There is no single maker whose root
could be shipped: whoever asks pins the CA that vouches for attestation keys.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec import Struct

from privyseal.errors import BadInput, PrivySealError, VerificationFailed
from privyseal.pki import der
from privyseal.pki.attestation import devices, paths, pieces, requests
from privyseal.pki.attestation.devices import Algorithm, DeviceCertificate
from privyseal.pki.attestation.protocol import Attested

STATEMENT = "2.23.133.20.1"
"""tcg-attest-tpm-certify: the statement's type in an attestation bundle."""
AIK_CERTIFICATE = "2.23.133.8.3"
"""tcg-kp-AIKCertificate: the purpose of an attestation key's certificate (TCG EK Credential Profile)."""
MAGIC = b"\xffTCG"
"""TPM_GENERATED_VALUE: only the TPM writes it in front of what it signs with a restricted key."""
CERTIFY = 0x8017
"""TPM_ST_ATTEST_CERTIFY."""
MOST_OCTETS = 4096
"""Octets of one structure; a TPMT_PUBLIC of RSA 4096 has 540."""

FIXED_TPM, FIXED_PARENT, SENSITIVE_DATA_ORIGIN = 1 << 1, 1 << 4, 1 << 5
"""Bits of TPMA_OBJECT that say where a key is from and where it can be."""
USER_WITH_AUTH, RESTRICTED, DECRYPT, SIGN = 1 << 6, 1 << 16, 1 << 17, 1 << 18
"""Bits of TPMA_OBJECT that say what a key is for."""
_RSA, _ECC = 0x0001, 0x0023
_NULL = 0x0010
_HASHES = {0x000B: "sha256", 0x000C: "sha384", 0x000D: "sha512"}
_CURVES: dict[int, ec.EllipticCurve] = {3: ec.SECP256R1(), 4: ec.SECP384R1(), 5: ec.SECP521R1()}
_RSASSA, _ECDSA = 0x0014, 0x0018
_ALGORITHMS = {
    (_RSASSA, "sha256"): "1.2.840.113549.1.1.11",
    (_RSASSA, "sha384"): "1.2.840.113549.1.1.12",
    (_RSASSA, "sha512"): "1.2.840.113549.1.1.13",
    (_ECDSA, "sha256"): "1.2.840.10045.4.3.2",
    (_ECDSA, "sha384"): "1.2.840.10045.4.3.3",
    (_ECDSA, "sha512"): "1.2.840.10045.4.3.4",
}
_EXPONENT = 65537


class _Reader:
    """Takes big-endian numbers and sized buffers out of a structure; BadInput where it ends too early or too late."""

    def __init__(self, octets: bytes, what: str) -> None:
        self._octets, self._at, self._what = octets, 0, what
        if len(octets) > MOST_OCTETS:
            raise BadInput(f"{what} has {len(octets)} octets; at most {MOST_OCTETS} are read.")

    def octets(self, count: int) -> bytes:
        if len(self._octets) - self._at < count:
            raise BadInput(f"{self._what} of the TPM is cut short.")
        self._at += count
        return self._octets[self._at - count : self._at]

    def number(self, count: int) -> int:
        return int.from_bytes(self.octets(count), "big")

    def sized(self) -> bytes:
        return self.octets(self.number(2))

    def end(self) -> None:
        if self._at != len(self._octets):
            raise BadInput(f"{self._what} of the TPM is followed by {len(self._octets) - self._at} octets.")


class Public(Struct, frozen=True, kw_only=True):
    """TPMT_PUBLIC: a key as the TPM names it."""

    octets: bytes
    name_digest: str
    attributes: int
    spki: bytes

    @property
    def name(self) -> bytes:
        """Return the object's name: its algorithm's number, and the digest of its public area."""
        number = next(each for each, name in _HASHES.items() if name == self.name_digest)
        return number.to_bytes(2, "big") + hashlib.new(self.name_digest, self.octets).digest()


class Certified(Struct, frozen=True, kw_only=True):
    """TPMS_ATTEST of TPM2_Certify."""

    octets: bytes
    signer: bytes
    """The qualified name of the key that signed it."""
    extra: bytes
    """What whoever asked gave along."""
    firmware: int
    name: bytes
    """Of the key that is certified."""


class Statement(Struct, frozen=True):
    """An attestation, a signature over it, and the key that it should be of, as they came."""

    attest: bytes
    signature: bytes
    public: bytes


class Tpm2:
    """See the head of this file."""

    name = "tpm2"
    title = "TPM 2.0"

    def recognises(self, files: Sequence[bytes]) -> bool:
        """Tell whether an attestation of TPM2_Certify is there, in files or in a request."""
        try:
            return bool(_statements(pieces.unpack(files))) or any(_is_attest(each) for each in _loose(files))
        except PrivySealError:
            return False

    def read(self, files: Sequence[bytes], anchors: Sequence[bytes], at: datetime) -> Attested:
        """Verify the attestation up to a root that vouches for attestation keys; raises as the protocol says."""
        cut = pieces.unpack(files)
        found = _statements(cut) or [_assembled(files)]
        if len(found) != 1:
            raise BadInput(f"The files hold {len(found)} TPM attestations, and only one can be asked about.")
        others = paths.read_all([*cut.certificates, *_carried(cut)])
        return _attested(found[0], others, paths.read_all(anchors), at)


def _attested(
    found: Statement, others: Sequence[DeviceCertificate], anchors: Sequence[DeviceCertificate], at: datetime
) -> Attested:
    certified, public = read_attest(found.attest), read_public(found.public)
    if public.name != certified.name:
        raise VerificationFailed("The TPM certified another key than the one whose public part came with it.")
    signer = _signer(found, [*others, *anchors])
    path = paths.to_anchor(signer, [each for each in others if each != signer], anchors, at)
    inside = bool(public.attributes & SENSITIVE_DATA_ORIGIN)
    fixed = bool(public.attributes & FIXED_TPM) and bool(public.attributes & FIXED_PARENT)
    return Attested(
        format=Tpm2.name,
        maker=path[-1].name,
        model="TPM 2.0",
        # The firmware in an attestation is hidden from all keys but those of the endorsement and platform hierarchies.
        firmware="",
        serial="",
        spki=public.spki,
        generated_inside=inside,
        never_extractable=fixed and inside,
        claims=_claims(certified, public),
        chain=tuple(each.der for each in path),
        anchor=path[-1].fingerprint,
    )


def _claims(certified: Certified, public: Public) -> dict[str, str]:
    words = (
        ("fixed-tpm", FIXED_TPM),
        ("fixed-parent", FIXED_PARENT),
        ("made-inside", SENSITIVE_DATA_ORIGIN),
        ("restricted", RESTRICTED),
        ("sign", SIGN),
        ("decrypt", DECRYPT),
    )
    claims = {name: "yes" if public.attributes & bit else "no" for name, bit in words}
    if certified.extra:
        claims["nonce"] = certified.extra.hex()
    return claims


def _signer(found: Statement, known: Sequence[DeviceCertificate]) -> DeviceCertificate:
    """Return the certificate of the attestation key, by the signature that it alone can have made."""
    for each in known:
        try:
            algorithm, value = _signature(found.signature, each)
            devices.verify(each.spki, algorithm, value, found.attest)
        except (VerificationFailed, BadInput):
            continue
        if each.purposes() and AIK_CERTIFICATE not in each.purposes():
            raise VerificationFailed(f"The certificate {each.name!r} is not one of a TPM's attestation key.")
        return each
    raise VerificationFailed(
        "No certificate is there of an attestation key that signed what the TPM certified.",
        hint="give the attestation key's certificate too",
    )


# -- the TPM's structures ----------------------------------------------------------------------------------------------
def read_attest(octets: bytes) -> Certified:
    """Read a TPMS_ATTEST; BadInput where it is none, VerificationFailed where it is of something else than a key."""
    fields = _Reader(octets, "The attestation")
    if fields.octets(4) != MAGIC:
        raise BadInput("The attestation was not written by a TPM: it does not begin as theirs do.")
    if (kind := fields.number(2)) != CERTIFY:
        raise VerificationFailed(f"The TPM attested something else (0x{kind:04x}) than a key.")
    signer, extra = fields.sized(), fields.sized()
    fields.octets(17)  # clock, resets, restarts, safe
    firmware = fields.number(8)
    name = fields.sized()
    fields.sized()  # its qualified name, which depends on the hierarchy above it
    fields.end()
    return Certified(octets=octets, signer=signer, extra=extra, firmware=firmware, name=name)


def read_public(octets: bytes) -> Public:
    """Read a TPMT_PUBLIC of a key that signs, RSA or ECC; BadInput where it is none."""
    fields = _Reader(octets, "The public area")
    kind, digest, attributes = fields.number(2), _HASHES.get(fields.number(2)), fields.number(4)
    fields.sized()  # policy
    if digest is None or kind not in (_RSA, _ECC):
        raise BadInput("The TPM's key is neither RSA nor on an elliptic curve, or is named by no SHA-2.")
    _symmetric(fields)
    _scheme(fields)
    key = _rsa_key(fields) if kind == _RSA else _ecc_key(fields)
    fields.end()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Public(octets=octets, name_digest=digest, attributes=attributes, spki=spki)


def _symmetric(fields: _Reader) -> None:
    if fields.number(2) != _NULL:
        fields.octets(4)  # key bits and mode


def _scheme(fields: _Reader) -> None:
    if fields.number(2) != _NULL:
        fields.octets(2)  # its digest


def _rsa_key(fields: _Reader) -> rsa.RSAPublicKey:
    bits, exponent, modulus = fields.number(2), fields.number(4) or _EXPONENT, fields.sized()
    if len(modulus) * 8 != bits or not 1024 <= bits <= 8192:
        raise BadInput("The TPM's RSA key does not have the size that it says.")
    try:
        return rsa.RSAPublicNumbers(exponent, int.from_bytes(modulus, "big")).public_key()
    except ValueError as error:
        raise BadInput(f"The TPM's RSA key cannot be read: {error}.") from None


def _ecc_key(fields: _Reader) -> ec.EllipticCurvePublicKey:
    curve = _CURVES.get(fields.number(2))
    _scheme(fields)  # of key derivation
    x, y = fields.sized(), fields.sized()
    if curve is None:
        raise BadInput("The TPM's key is on a curve that is not read here.")
    try:
        return ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), curve).public_key()
    except ValueError as error:
        raise BadInput(f"The TPM's key cannot be read: {error}.") from None


def _signature(octets: bytes, signer: DeviceCertificate) -> tuple[Algorithm, bytes]:
    """Read a signature: a TPMT_SIGNATURE, or the bare octets as the samples have them, with SHA-256 then."""
    key = devices.load(signer.spki)
    kind = _RSASSA if isinstance(key, rsa.RSAPublicKey) else _ECDSA
    if int.from_bytes(octets[:2], "big") != kind or _HASHES.get(int.from_bytes(octets[2:4], "big")) is None:
        return Algorithm(_ALGORITHMS[kind, "sha256"], None), octets
    fields = _Reader(octets, "The signature")
    fields.octets(2)
    algorithm = Algorithm(_ALGORITHMS[kind, _HASHES[fields.number(2)]], None)
    if kind == _RSASSA:
        value = fields.sized()
    else:
        r, s = fields.sized(), fields.sized()
        value = encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))
    fields.end()
    return algorithm, value


# -- where they stand --------------------------------------------------------------------------------------------------
def _statements(cut: pieces.Pieces) -> list[Statement]:
    """Return the attestations inside the bundles of requests."""
    stated = [each for bundle in requests.bundles(cut.requests) for each in bundle.statements]
    return [_statement(each.value) for each in stated if each.kind == STATEMENT]


def _statement(value: bytes) -> Statement:
    fields = der.Fields(der.read(value, 4 * MOST_OCTETS), "The TPM's statement")
    taken = [der.octets_of(fields.take(der.OCTET_STRING)) for _ in range(3)]
    fields.end()
    return Statement(*taken)


def _carried(cut: pieces.Pieces) -> list[bytes]:
    return [each for bundle in requests.bundles(cut.requests) for each in bundle.certificates]


def _loose(files: Sequence[bytes]) -> list[bytes]:
    return [each.octets for each in pieces.unpack(files).others if not each.label]


def _is_attest(octets: bytes) -> bool:
    """Tell a TPMS_ATTEST, also with the size in front of it that some programs write (TPM2B_ATTEST)."""
    return octets[:4] == MAGIC or (octets[2:6] == MAGIC and int.from_bytes(octets[:2], "big") == len(octets) - 2)


def _assembled(files: Sequence[bytes]) -> Statement:
    """Tell three files apart by content: what the TPM wrote, the key's public area, and the signature."""
    attest = signature = public = None
    for each in _loose(files):
        bare = _unsized(each)
        if _is_attest(each):
            attest = bare
        elif int.from_bytes(bare[:2], "big") in (_RSA, _ECC) and int.from_bytes(bare[2:4], "big") in _HASHES:
            public = bare
        else:
            signature = each
    if attest is None or signature is None or public is None:
        missing = [
            name
            for name, one in (("the signature", signature), ("the public area (tpm2_readpublic)", public))
            if one is None
        ]
        raise BadInput(f"Beside the TPM's attestation is missing: {', '.join(missing)}.", hint="give all three files")
    return Statement(attest, signature, public)


def _unsized(octets: bytes) -> bytes:
    """Return a structure without the size that may stand in front of it (a TPM2B)."""
    return octets[2:] if int.from_bytes(octets[:2], "big") == len(octets) - 2 else octets
