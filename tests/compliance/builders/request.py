"""Certificate requests from a case's words: written octet by octet, so that every key can be in one.

The words of ``subject``, all of which may be left out:

``received``   a time; 2026-06-20T00:00:00Z unless said otherwise
``key``        ``rsa-3072`` (any number of bits), ``ec-p256``, ``ec-p384``, ``ec-p521``, ``ec-p224``, ``dsa-2048-256``,
               ``ed25519``; or one that is weak: ``fermat`` (close primes), ``roca``, ``square``, ``small-factor``,
               ``even`` (a modulus), ``off-curve``
``exponent``   of an RSA key; 65537 unless said otherwise
"""

import random
from datetime import UTC, datetime
from functools import cache
from typing import Any

import gmpy2
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.compliance.builders import certificate

from privyseal.compliance.request import CertificateRequest, read
from privyseal.pki import der

DEFAULT = datetime(2026, 6, 20, tzinfo=UTC)
_WORDS = {"received", "key", "exponent"}


def build(words: dict[str, Any]) -> CertificateRequest:
    """Make the request and read it; KeyError or ValueError for a word that is not known."""
    return read(octets(words), "case", words.get("received", DEFAULT))


def octets(words: dict[str, Any]) -> bytes:
    """Make the request's DER; its signature is no good, except that it has the shape of one."""
    if unknown := set(words) - _WORDS:
        raise ValueError(f"a certificate request has no {sorted(unknown)}")
    name = der.sequence(der.set_of(der.sequence(der.oid("2.5.4.3"), der.utf8_string("Acme Ltd"))))
    content = der.sequence(
        der.integer(0), name, spki(words.get("key", "ec-p256"), words.get("exponent", 65537)), b"\xa0\0"
    )
    algorithm = der.sequence(der.oid("1.2.840.10045.4.3.2"))
    return der.sequence(content, algorithm, der.bit_string(der.sequence(der.integer(7), der.integer(7))))


def spki(spec: str, exponent: int = 65537) -> bytes:
    """Return a SubjectPublicKeyInfo."""
    if spec in _MODULI or spec.startswith("rsa-"):
        modulus = _MODULI[spec]() if spec in _MODULI else ordinary(int(spec[4:]))
        numbers = der.sequence(der.integer(modulus), der.integer(exponent))
        return der.sequence(der.sequence(der.oid("1.2.840.113549.1.1.1"), der.null()), der.bit_string(numbers))
    if spec == "off-curve":
        made = bytearray(spki("ec-p256"))
        made[-1] ^= 1
        return bytes(made)
    return bytes(certificate.public_key(spec).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


@cache
def ordinary(bits: int) -> int:
    return rsa.generate_private_key(65537, bits).public_key().public_numbers().n


def _prime(start: int) -> int:
    return int(gmpy2.next_prime(start))


@cache
def _fermat() -> int:
    first = _prime(random.Random(1).getrandbits(1536) | 3 << 1534)
    return first * _prime(first + 1)


@cache
def _square() -> int:
    return _prime(random.Random(2).getrandbits(1536) | 3 << 1534) ** 2


@cache
def _roca() -> int:
    """As Infineon's library made them: p = k * M + (65537^a mod M), M the product of the first primes."""
    dice = random.Random(3)
    product = int(gmpy2.primorial(167))
    found: list[int] = []
    while len(found) < 2:
        k = dice.randrange((3 << 1534) // product, (1 << 1536) // product)
        prime = k * product + pow(65537, dice.getrandbits(64), product)
        if gmpy2.is_prime(prime):
            found.append(prime)
    return found[0] * found[1]


@cache
def _small() -> int:
    return 751 * _prime(random.Random(4).getrandbits(3064) | 3 << 3062)


_MODULI = {
    "fermat": _fermat,
    "roca": _roca,
    "square": _square,
    "small-factor": _small,
    "even": lambda: ordinary(3072) + 1,
}
