"""Marvell LiquidSecurity, in which Google Cloud HSM and Azure Managed HSM keep keys: attributes, signed by a partition.

Source: Marvell, "Software key attestation"; Google Cloud, "Verifying attestations" (CAVIUM_V1_COMPRESSED and V2), whose
content is compressed by gzip; Microsoft, azure-managed-hsm-key-attestation, whose JSON holds the content and the
certificates. The last 256 octets are an RSA signature of the partition over all before. The partition has two
certificates: by the maker, up to its pinned root, and by whoever owns the module. No genuine attestation is published,
so this was never held against one: it follows the descriptions and is tested with chains of ours.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import zlib
from collections.abc import Sequence
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec import Struct

from privyseal.errors import BadInput, PrivySealError, VerificationFailed
from privyseal.pki import certificates
from privyseal.pki.attestation import devices, paths, pieces, requests
from privyseal.pki.attestation.devices import Algorithm, DeviceCertificate
from privyseal.pki.attestation.protocol import Attested

SIGNATURE_OCTETS = 256
"""Octets of the partition's signature, RSA 2048, at the end of an attestation."""
LARGEST = 64 << 10
"""Octets of an attestation, inflated; those of a key pair have some 2,000."""
MOST_ATTRIBUTES = 128
"""Attributes of one object; there are some 30."""
RESPONSE_OCTETS, INFO_OCTETS, OLD_HEAD = 16, 8, 20
"""Octets of the response's header, of the header of its objects, and of what stands before the one object of firmware
before 3."""
CLASS, KEY_TYPE, SENSITIVE, SIGN, MODULUS, EXPONENT = 0x0000, 0x0100, 0x0103, 0x0108, 0x0120, 0x0122
"""Attributes of a key, by the numbers that Marvell gives them (OBJ_ATTR_*)."""
EXTRACTABLE, LOCAL, NEVER_EXTRACTABLE, CHECK_VALUE = 0x0162, 0x0163, 0x0164, 0x1003
"""CHECK_VALUE (OBJ_ATTR_EKCV) is SHA-256 of the key's SubjectPublicKeyInfo, DER."""
PRIVATE_KEY, RSA, EC = 3, 0, 3
"""Values: the class of a Private Key (OBJ_CLASS_PRIVATE_KEY), and the key types of RSA and EC."""

_GZIP = b"\x1f\x8b"
_SHA256_WITH_RSA = Algorithm("1.2.840.113549.1.1.11", None)
_SMALLEST_EXPONENT = 65537
_CURVES: dict[int, tuple[ec.EllipticCurve, ...]] = {
    65: (ec.SECP256R1(), ec.SECP256K1()),
    97: (ec.SECP384R1(),),
    133: (ec.SECP521R1(),),
}


class Content(Struct, frozen=True):
    """What is signed, and the signature."""

    octets: bytes
    signature: bytes


class Marvell:
    """See the head of this file."""

    name = "marvell"
    title = "Marvell LiquidSecurity (Google Cloud HSM, Azure Managed HSM)"

    def recognises(self, files: Sequence[bytes]) -> bool:
        """Tell whether a compressed attestation, or the JSON of a Managed HSM, is there."""
        try:
            return any(
                each.octets[:2] == _GZIP or _told(each.octets) is not None for each in pieces.unpack(files).others
            )
        except PrivySealError:
            return False

    def read(self, files: Sequence[bytes], anchors: Sequence[bytes], at: datetime) -> Attested:
        """Verify the attestation up to a root of Marvell's; raises as the protocol says."""
        found, held = _unpacked(files)
        if len(found) != 1:
            raise BadInput(f"The files hold {len(found)} LiquidSecurity attestations, and only one can be asked about.")
        content = _content(found[0])
        key = _private(content.octets)
        every = paths.read_all(held)
        partitions = [each for each in every if _signed_by(content, each)]
        if not partitions:
            raise VerificationFailed(
                "No certificate is there of a partition that signed the attestation, or the attestation is damaged."
            )
        path = _path(partitions, every, paths.read_all(anchors), at)
        spki = _spki(key, [requests.read(each).spki for each in pieces.unpack(files).requests])
        return Attested(
            format=Marvell.name,
            maker="Marvell",
            model="LiquidSecurity",
            firmware="",
            serial="",
            spki=spki,
            generated_inside=_flag(key, LOCAL),
            never_extractable=False if _flag(key, EXTRACTABLE) else _flag(key, NEVER_EXTRACTABLE),
            claims=_claims(key, path[0], partitions, every),
            chain=tuple(each.der for each in path),
            anchor=path[-1].fingerprint,
        )


def _claims(
    key: dict[int, bytes],
    partition: DeviceCertificate,
    partitions: Sequence[DeviceCertificate],
    every: Sequence[DeviceCertificate],
) -> dict[str, str]:
    claims = {"partition": partition.name}
    for name, kind in (("sensitive", SENSITIVE), ("sign", SIGN)):
        if (said := _flag(key, kind)) is not None:
            claims[name] = "yes" if said else "no"
    owners = [
        root
        for each in partitions
        if each.spki == partition.spki and each != partition
        for root in every
        if root.subject == root.issuer and devices.issued(each, root)
    ]
    claims["owner"] = (
        f"{owners[0].name}, root {owners[0].fingerprint}, which is pinned by nobody" if owners else "not said"
    )
    return claims


def _path(
    partitions: Sequence[DeviceCertificate],
    every: Sequence[DeviceCertificate],
    anchors: Sequence[DeviceCertificate],
    at: datetime,
) -> paths.Path:
    """Return the path of the one of a partition's certificates that leads to the maker."""
    wrong: VerificationFailed | None = None
    for each in partitions:
        try:
            return paths.to_anchor(each, [one for one in every if one != each], anchors, at)
        except VerificationFailed as error:
            wrong = error if wrong is None or "No path" in wrong.detail else wrong
    raise wrong or VerificationFailed("No certificate of the partition that signed leads to Marvell.")


def _signed_by(content: Content, certificate: DeviceCertificate) -> bool:
    """Tell whether a partition's key signed; firmware before 3 signs the digest without saying which it is."""
    try:
        devices.verify(certificate.spki, _SHA256_WITH_RSA, content.signature, content.octets)
    except BadInput:
        return False
    except VerificationFailed:
        key = devices.load(certificate.spki)
        if not isinstance(key, rsa.RSAPublicKey) or key.public_numbers().e < _SMALLEST_EXPONENT:
            return False
        try:
            recovered = key.recover_data_from_signature(content.signature, padding.PKCS1v15(), None)
        except (InvalidSignature, ValueError):
            return False
        return recovered == hashlib.sha256(content.octets).digest()
    return True


# -- the public key ----------------------------------------------------------------------------------------------------
def _spki(key: dict[int, bytes], asked: Sequence[bytes]) -> bytes:
    """Return the public key that the attributes name; where they leave it open, that of a request that fits them."""
    check, fitting = key.get(CHECK_VALUE), _candidates(key)
    if check is not None:
        fitting = [each for each in fitting if hashlib.sha256(each).digest() == check]
        if not fitting:
            raise VerificationFailed("The attestation's check value is not that of the public key that it names.")
    if len(fitting) > 1:
        fitting = [each for each in fitting if each in asked] or fitting[:1]
    return fitting[0]


def _candidates(key: dict[int, bytes]) -> list[bytes]:
    kind, value = _number(key, KEY_TYPE), key.get(MODULUS, b"")
    try:
        if kind == RSA:
            exponent = _number(key, EXPONENT)
            return [_der(rsa.RSAPublicNumbers(exponent or 0, int.from_bytes(value, "big")).public_key())]
        curves = _CURVES.get(len(value), ()) if kind == EC else ()
        found = [_der(each) for curve in curves if (each := _on(curve, value)) is not None]
    except ValueError as error:
        raise BadInput(f"The public key in the attestation cannot be read: {error}.") from None
    if not found:
        raise BadInput("The attestation does not say which public key its key has.")
    return found


def _on(curve: ec.EllipticCurve, point: bytes) -> ec.EllipticCurvePublicKey | None:
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
    except ValueError:
        return None


def _der(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> bytes:
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    certificates.public_key(spki)
    return spki


# -- the attributes ----------------------------------------------------------------------------------------------------
def _private(octets: bytes) -> dict[int, bytes]:
    """Return the attributes of the Private Key; BadInput where there is none, or more than one."""
    found = [each for each in _objects(octets) if _number(each, CLASS) == PRIVATE_KEY]
    if len(found) != 1:
        raise BadInput(f"The attestation is of {len(found)} Private Keys, and one was expected.")
    return found[0]


def _objects(octets: bytes) -> list[dict[int, bytes]]:
    """Read the objects: behind two headers that say where they are, or one at a fixed place."""
    total, buffered = _u32(octets, 8), _u32(octets, 12)
    start = total - buffered - SIGNATURE_OCTETS
    if total == len(octets) + SIGNATURE_OCTETS and RESPONSE_OCTETS <= start <= len(octets) - INFO_OCTETS:
        places = [int.from_bytes(octets[start + at : start + at + 2], "big") for at in (4, 6)]
        return [_object(octets, start + place) for place in dict.fromkeys(places) if place >= INFO_OCTETS]
    return [_object(octets, OLD_HEAD)]


def _object(octets: bytes, at: int) -> dict[int, bytes]:
    """Read one object: its handle, how many attributes, their size, and each as type, length and value."""
    count = _u32(octets, at + 4)
    if count > MOST_ATTRIBUTES:
        raise BadInput(f"The attestation names {count} attributes of one key; at most {MOST_ATTRIBUTES} are read.")
    at += 12
    found: dict[int, bytes] = {}
    for _ in range(count):
        kind, size = _u32(octets, at), _u32(octets, at + 4)
        at += 8
        if size > len(octets) - at:
            raise BadInput("The attestation is cut short within an attribute.")
        if kind in found:
            raise BadInput(f"The attribute 0x{kind:04x} stands twice in the attestation of one key.")
        found[kind] = octets[at : at + size]
        at += size
    return found


def _u32(octets: bytes, at: int) -> int:
    if not 0 <= at <= len(octets) - 4:
        raise BadInput("The attestation is cut short.")
    return int.from_bytes(octets[at : at + 4], "big")


def _number(key: dict[int, bytes], kind: int) -> int | None:
    value = key.get(kind)
    return None if value is None or len(value) > 8 else int.from_bytes(value, "big")


def _flag(key: dict[int, bytes], kind: int) -> bool | None:
    value = key.get(kind)
    if value is None:
        return None
    if value not in (b"\0", b"\x01"):
        raise BadInput(f"The attribute 0x{kind:04x} of the attestation is neither yes nor no.")
    return value == b"\x01"


# -- the files ---------------------------------------------------------------------------------------------------------
def _unpacked(files: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Return the attestations and all certificates, of files and of the JSON of a Managed HSM."""
    cut = pieces.unpack(files)
    found, held = [], list(cut.certificates)
    for each in cut.others:
        if each.octets[:2] == _GZIP:
            found.append(each.octets)
        elif (told := _told(each.octets)) is not None:
            found.append(_url_decoded(told[0]))
            held += pieces.unpack((_url_decoded(told[1]),)).certificates
    return list(dict.fromkeys(found)), held


def _told(octets: bytes) -> tuple[str, str] | None:
    """Return the Private Key's attestation and the PEM in a Managed HSM's JSON; None where it is something else."""
    if octets[:64].lstrip()[:1] != b"{":
        return None
    try:
        document = json.loads(octets)
        for step in ("attributes", "attestation"):
            document = document.get(step, document)
        told = document.get("privateKeyAttestation"), document.get("certificatePemFile")
    except (ValueError, AttributeError, RecursionError):
        return None
    return (told[0], told[1]) if all(isinstance(each, str) for each in told) else None


def _url_decoded(text: str) -> bytes:
    plain = text.rstrip("=")
    try:
        octets = base64.urlsafe_b64decode(plain + "=" * (-len(plain) % 4))
    except (binascii.Error, ValueError):
        octets = b""
    if base64.urlsafe_b64encode(octets).rstrip(b"=") != plain.encode("ascii", "replace"):
        raise BadInput("A value in the JSON of the attestation is not base64url.")
    return octets


def _content(octets: bytes) -> Content:
    """Return what is signed and the signature, inflated where it is compressed, and never beyond LARGEST."""
    if octets[:2] == _GZIP:
        inflating = zlib.decompressobj(31)
        try:
            octets = inflating.decompress(octets, LARGEST + 1)
        except zlib.error:
            raise BadInput("The compressed attestation is damaged.") from None
        if len(octets) <= LARGEST and (not inflating.eof or inflating.unused_data):
            raise BadInput("The compressed attestation is cut short, or followed by something else.")
    if not SIGNATURE_OCTETS < len(octets) <= LARGEST:
        raise BadInput(f"The attestation has {len(octets)} octets; {SIGNATURE_OCTETS} to {LARGEST} were expected.")
    return Content(octets[:-SIGNATURE_OCTETS], octets[-SIGNATURE_OCTETS:])
