"""What an nShield module writes: little-endian words and numbers, keys, signatures, and the hashes that keys go by.

Source: Entrust, nShield application notes (nshielddocs.entrust.com/app-notes): "Wire format" (primitive types, KeyData,
CipherText, ModCertMsg) and "nCore key hash". A key's hash is SHA-1, as the modules have it: nobody gains by two keys of
one hash here, for every key that is believed was made and hashed by a module that the maker warrants.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec import Struct

from privyseal.errors import BadInput, VerificationFailed

LARGEST = 64 << 10
"""Octets of one structure; a module's state with its keys has some 2,000."""
MOST_NUMBER = 2048
"""Octets of one number; that of RSA 8192 has 1,024."""
HASH_OCTETS = 20
"""Of a key's hash (M_Hash), SHA-1."""

RSA_PUBLIC, DSA_PUBLIC, EC_PUBLIC, ECDSA_PUBLIC = 1, 3, 44, 46
"""M_KeyType of public keys."""
SHA1_HASH, DSA_SHA256, ECDSA_SHA512 = 44, 170, 187
"""M_Mech of a key's hash and of the two kinds of signature that modules and their worlds make."""

_PREFIXES = {RSA_PUBLIC: b"RSA00", DSA_PUBLIC: b"DSA00", EC_PUBLIC: b"EC00", ECDSA_PUBLIC: b"ECDSA00"}


class Curve(Struct, frozen=True):
    """A prime curve and its domain, which is part of a key's hash (SP 800-186, 3.2.1)."""

    curve: ec.EllipticCurve
    domain: tuple[int, int, int, int, int, int]
    """p, a, b, x and y of G, and n; the cofactor is 1."""


def _domain(p: int, b: str, generator: tuple[str, str], n: str) -> tuple[int, int, int, int, int, int]:
    return p, p - 3, int(b, 16), int(generator[0], 16), int(generator[1], 16), int(n, 16)


CURVES: Mapping[int, Curve] = {
    4: Curve(
        ec.SECP256R1(),
        _domain(
            2**256 - 2**224 + 2**192 + 2**96 - 1,
            "5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b",
            (
                "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296",
                "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
            ),
            "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
        ),
    ),
    5: Curve(
        ec.SECP384R1(),
        _domain(
            2**384 - 2**128 - 2**96 + 2**32 - 1,
            "b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aef",
            (
                "aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7",
                "3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f",
            ),
            "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
        ),
    ),
    6: Curve(
        ec.SECP521R1(),
        _domain(
            2**521 - 1,
            "051953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109e156193951ec7e937b1652c0bd3bb1bf073573d"
            "f883d2c34f1ef451fd46b503f00",
            (
                "0c6858e06b70404e9cd9e3ecb662395b4429c648139053fb521f828af606b4d3dbaa14b5e77efe75928fe1dc127a2ffa8de3348"
                "b3c1856a429bf97e7e31c2e5bd66",
                "11839296a789a3bc0045c8a5fb42c7d1bd998f54449579b446817afbd17273e662c97ee72995ef42640c550b9013fad0761353c7"
                "086a272c24088be94769fd16650",
            ),
            "1fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5"
            "c9b8899c47aebb6fb71e91386409",
        ),
    ),
}
"""NISTP256, NISTP384 and NISTP521 by M_ECName."""


class Reader:
    """Takes what a module wrote out of octets; BadInput where it ends too early or too late."""

    def __init__(self, octets: bytes, what: str) -> None:
        """Read ``octets``, which messages call ``what``."""
        self.octets, self.at, self.what = octets, 0, what
        if len(octets) > LARGEST:
            raise BadInput(f"{what} has {len(octets)} octets; at most {LARGEST} are read.")

    def take(self, count: int) -> bytes:
        """Return the next octets."""
        if not 0 <= count <= len(self.octets) - self.at:
            raise BadInput(f"{self.what} of the nShield bundle is cut short.")
        self.at += count
        return self.octets[self.at - count : self.at]

    def word(self) -> int:
        """Return the next M_Word."""
        return int.from_bytes(self.take(4), "little")

    def count(self, least: int) -> int:
        """Return how many items follow, each of at least ``least`` octets."""
        found = self.word()
        if found > (len(self.octets) - self.at) // least:
            raise BadInput(f"{self.what} of the nShield bundle announces more than it has.")
        return found

    def number(self) -> int:
        """Return the next M_Bignum."""
        size = self.word()
        if size > MOST_NUMBER:
            raise BadInput(f"{self.what} has a number of {size} octets; at most {MOST_NUMBER} are read.")
        return int.from_bytes(self.take(size), "little")

    def hash(self) -> bytes:
        """Return the next M_Hash."""
        return self.take(HASH_OCTETS)

    def hash_ex(self) -> bytes:
        """Return the next M_KeyHashEx, which has to be of SHA-1."""
        if (mechanism := self.word()) != SHA1_HASH:
            raise BadInput(f"{self.what} has a key's hash of mechanism {mechanism}; {SHA1_HASH} (SHA-1) was expected.")
        return self.hash()

    def text(self) -> str:
        """Return the next M_ASCIIString: its length counts a last zero octet, and zeros fill it up to a word."""
        size = self.word()
        octets, fill = self.take(size), self.take(-size % 4)
        if octets[-1:] != b"\0" or any(fill) or not octets[:-1].isascii() or 0 in octets[:-1]:
            raise BadInput(f"{self.what} has a text that is not written as modules write it.")
        return octets[:-1].decode("ascii")

    def end(self) -> None:
        """Require that nothing follows."""
        if self.at != len(self.octets):
            left = len(self.octets) - self.at
            raise BadInput(f"{self.what} of the nShield bundle is followed by {left} octets.")


class KeyData(Struct, frozen=True):
    """M_KeyData of a public key: RSA (e, n), DSA (p, q, g, y), or on a curve (x, y)."""

    kind: int
    curve: int
    """M_ECName; 0 where it is on none."""
    values: tuple[int, ...]

    @property
    def public_key(self) -> rsa.RSAPublicKey | dsa.DSAPublicKey | ec.EllipticCurvePublicKey:
        """Return the key; BadInput where its numbers are none."""
        try:
            if self.kind == RSA_PUBLIC:
                exponent, modulus = self.values
                return rsa.RSAPublicNumbers(exponent, modulus).public_key()
            if self.kind == DSA_PUBLIC:
                p, q, g, y = self.values
                return dsa.DSAPublicNumbers(y, dsa.DSAParameterNumbers(p, q, g)).public_key()
            x, y = self.values
            return ec.EllipticCurvePublicNumbers(x, y, CURVES[self.curve].curve).public_key()
        except ValueError as error:
            raise BadInput(f"A key in the nShield bundle cannot be read: {error}.") from None

    @property
    def spki(self) -> bytes:
        """Return the SubjectPublicKeyInfo, DER; BadInput where the numbers are no key."""
        return self.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @property
    def hash(self) -> bytes:
        """Return the hash by which modules know the key (application note "nCore key hash"), 20 octets."""
        body = b"".join(map(_padded, self.values))
        if self.kind == RSA_PUBLIC and self.values[0].bit_length() > 32:
            raise BadInput("The RSA key in the nShield bundle has an exponent of more than 32 bits.")
        if self.curve:
            found = CURVES[self.curve]
            body = bytes(8) + _word(found.curve.key_size) + b"".join(map(_padded, (*found.domain, 1))) + body
        octets = b"nFast KeyHash\0" + _PREFIXES[self.kind] + b"\0" + body + b"invented by nCipher 1997\0"
        return hashlib.sha1(octets).digest()  # noqa: S324 - as the modules have it; see the head


def key_data(fields: Reader) -> KeyData:
    """Read an M_KeyData of a public key, RSA, DSA or on a NIST curve; BadInput for any other."""
    kind = fields.word()
    if kind == RSA_PUBLIC:
        return KeyData(kind, 0, (fields.number(), fields.number()))
    if kind == DSA_PUBLIC:
        return KeyData(kind, 0, (fields.number(), fields.number(), fields.number(), fields.number()))
    if kind not in (EC_PUBLIC, ECDSA_PUBLIC):
        raise BadInput(f"{fields.what} of the nShield bundle is a key of type {kind}: not RSA, DSA or ECDSA.")
    curve, flags = fields.word(), fields.word()
    if curve not in CURVES or flags:
        raise BadInput(f"{fields.what} of the nShield bundle is a key on a curve (number {curve}) that is not read.")
    return KeyData(kind, curve, (fields.number(), fields.number()))


def verify(key: KeyData, signature: bytes, octets: bytes, what: str) -> None:
    """Check an M_CipherText over octets: DSA with SHA-256 or ECDSA with SHA-512; VerificationFailed if it is wrong.

    ``what`` names the signature.
    """
    fields = Reader(signature, f"The signature of {what}")
    mechanism, value = fields.word(), encode_dss_signature(fields.number(), fields.number())
    fields.end()
    public = key.public_key
    try:
        if isinstance(public, dsa.DSAPublicKey) and mechanism == DSA_SHA256:
            public.verify(value, octets, hashes.SHA256())
        elif isinstance(public, ec.EllipticCurvePublicKey) and mechanism == ECDSA_SHA512:
            public.verify(value, octets, ec.ECDSA(hashes.SHA512()))
        else:
            raise VerificationFailed(f"The signature of {what} is of a kind (mechanism {mechanism}) not taken here.")
    except (InvalidSignature, ValueError):
        raise VerificationFailed(f"The signature of {what} does not verify.") from None


def _word(value: int) -> bytes:
    return value.to_bytes(4, "little")


def _padded(value: int) -> bytes:
    """Return a number in little-endian order, filled up to a multiple of 64 octets."""
    return value.to_bytes(-(-value.bit_length() // 512) * 64, "little")
