"""Public keys that are weak, and how one can tell: by ``badkeys``, and by arithmetic of our own for the plain rules.

Whoever can compute a private key from a public one should not find it in our reports, so no factor is ever repeated.
A key is taken as its SubjectPublicKeyInfo, because ``cryptography`` refuses to load the very keys (an even exponent, a
point off its curve) that have to be judged. ``badkeys`` brings gmpy2 (LGPL) along and is imported only when an RSA or
DSA key is judged.
"""

from __future__ import annotations

import math
import os
from functools import lru_cache
from pathlib import Path

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec

from privyseal.errors import BadInput
from privyseal.pki import certificates, der, key_facts
from privyseal.pki.key_facts import KeyFacts

SMALL_FACTOR_BELOW = 752
"""No prime below this may divide an RSA modulus (CSBR 6.1.6, which has it from NIST SP 800-89 5.3.3)."""

CURVES: dict[str, ec.EllipticCurve] = {
    "1.2.840.10045.3.1.7": ec.SECP256R1(),
    "1.3.132.0.34": ec.SECP384R1(),
    "1.3.132.0.35": ec.SECP521R1(),
}
"""The curves that CSBR 6.1.5 allows: P-256, P-384, P-521."""

_SMALL_PRIMES = tuple(
    odd for odd in range(3, SMALL_FACTOR_BELOW, 2) if all(odd % smaller for smaller in range(3, int(odd**0.5) + 1, 2))
)
_THEIR_PRODUCT = math.prod(_SMALL_PRIMES)

MIN_RSA_BITS = 3072
"""The least RSA modulus of a Subscriber since 2021-06-01 (CSBR 6.1.5.2)."""


# -- plain rules -------------------------------------------------------------------------------------------------------
def key_of(spki: bytes) -> KeyFacts:
    """Cut a SubjectPublicKeyInfo; BadInput if it is none, or longer than any key in use."""
    return key_facts.read_key(der.read(spki, certificates.MAX_KEY_OCTETS))


def size_flaw(key: KeyFacts) -> str | None:
    """Say in what a Subscriber's key breaks CSBR 6.1.5.2, or None."""
    if key.family == "rsa":
        return None if key.bits >= MIN_RSA_BITS else f"it is {key}; {MIN_RSA_BITS} or more were expected"
    if key.family == "ec":
        return None if key.curve in CURVES else f"it is {key}; P-256, P-384 or P-521 was expected"
    if key.family == "dsa":
        fits = key.bits == 2048 and key.subgroup_bits in (224, 256)
        return None if fits else f"it is {key}; 2048 with 224 or 256 was expected"
    return f"it is {key}; RSA, ECDSA or DSA was expected"


def exponent_flaw(key: KeyFacts) -> str | None:
    """Say why an RSA exponent cannot be used (CSBR 6.1.6: odd, and 3 or more), or None."""
    if key.exponent < 3 or key.exponent % 2 == 0:
        return f"the public exponent is {_shown(key.exponent)}; an odd number of 3 or more was expected"
    return None


def advice(key: KeyFacts) -> list[str]:
    """Say where an RSA key leaves what CSBR 6.1.6 advises: exponent in 2^16+1 to 2^256-1, modulus no easy number."""
    found = []
    if not 2**16 + 1 <= key.exponent < 2**256:
        found.append(f"the public exponent is {_shown(key.exponent)}; from 2^16+1 to 2^256-1 was advised")
    if key.modulus < 2 or key.modulus % 2 == 0:
        found.append("the modulus is even, or no modulus at all")
    elif math.gcd(key.modulus, _THEIR_PRODUCT) > 1:
        found.append(f"the modulus has a prime factor below {SMALL_FACTOR_BELOW}")
    elif _is_power(key.modulus):
        found.append("the modulus is a power of a smaller number")
    return found


def point_flaw(spki: bytes, curve: str) -> str | None:
    """Say why a point is no public key on its curve (CSBR 6.1.6, SP 800-56A 5.6.2.3), or None.

    On the three curves, which have cofactor 1, a point in range, on the curve and not at infinity has the right order,
    so this partial validation is as good as the full one. ``curve`` must be one of ``CURVES``.
    """
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(CURVES[curve], _bits(spki))
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return "the public point is not one of its curve"
    return None


def _bits(spki: bytes) -> bytes:
    return der.bits_of(der.children(der.read(spki, certificates.MAX_KEY_OCTETS))[-1])


def _shown(number: int) -> str:
    return str(number) if number.bit_length() <= 256 else f"a number of {number.bit_length()} bits"


def _is_power(number: int) -> bool:
    """Tell whether a number is a power of a smaller one; prime degrees suffice.

    No factor is small here (see ``advice``), so a power of degree 752 or more would have 7,000 bits and more. A power
    of degree k leaves 0 or a k-th root of 1 modulo a prime m*k + 1, which spares most of the roots.
    """
    for degree, prime in _witnesses():
        if pow(number, prime // degree, prime) <= 1 and _root(number, degree) ** degree == number:
            return True
    return False


@lru_cache(maxsize=1)
def _witnesses() -> tuple[tuple[int, int], ...]:
    """Return with each prime degree k below 752 the least prime m*k + 1."""
    found = []
    for degree in (2, *_SMALL_PRIMES):
        prime = degree + 1
        while any(prime % smaller == 0 for smaller in range(2, int(prime**0.5) + 1)):
            prime += degree
        found.append((degree, prime))
    return tuple(found)


def _root(number: int, degree: int) -> int:
    """Return the whole part of a root, by Newton's method from above."""
    root = 1 << -(-number.bit_length() // degree)
    while (lower := ((degree - 1) * root + number // root ** (degree - 1)) // degree) < root:
        root = lower
    return root


# -- badkeys -----------------------------------------------------------------------------------------------------------
_RSA_BATTERY: dict[str, str] = {
    "fermat": "its two primes lie so close together that Fermat's method finds them",
    "roca": "it bears the fingerprint of ROCA (CVE-2017-15361), so its factors can be computed",
    "rsainvalid": "its exponent is below 3 or not below the modulus",
    "rsapoly": "its modulus has zeros in a pattern by which it can be factored as a polynomial",
    "sharedprimes": "it shares a prime with keys that are publicly known",
    "smalld": "its private exponent is so small that Wiener's attack finds it",
    "smallfactors": "its modulus has a prime factor of 65537 or less",
}
BATTERY = tuple(_RSA_BATTERY)
"""The tests of ``badkeys`` that compute something of an RSA key; its list of known keys is :func:`look_up`."""


@lru_cache(maxsize=4096)
def computable(spki: bytes) -> tuple[str, ...]:
    """Say how a private key can be computed from its public one; empty where no test finds a way, or there is none."""
    key = key_of(spki)
    if key.family == "rsa":
        if key.modulus <= 5 or key.exponent < 1:  # numbers that the tests themselves do not stand
            return ("its numbers make no RSA key at all",)
        from badkeys.checks import checkrsa

        found = checkrsa(key.modulus, key.exponent, checks=BATTERY)
        return tuple(text for name, text in _RSA_BATTERY.items() if name in found)
    return ()


class Lookup(msgspec.Struct, frozen=True):
    """What a list of compromised keys says of one."""

    there: bool
    """Whether there is a list at all."""
    name: str = ""
    """The part of the list that the key is on, such as ``debianssl``; empty where it is on none."""


def look_up(spki: bytes) -> Lookup:
    """Look a key up in ``badkeys``' list of compromised keys, where somebody put it.

    The list is public data that nobody ships: it is read where ``badkeys --update-bl`` leaves it, and never fetched
    from here.
    """
    if not all((_folder() / name).is_file() for name in ("badkeysdata.json", "blocklist.dat")):
        return Lookup(there=False)  # asking nevertheless would end the process
    number = _number(spki)
    if number is None:
        return Lookup(there=True)
    from badkeys.allkeys import blocklist

    found = blocklist(number)
    return Lookup(there=True, name=str(found["subtest"]) if found else "")


def _folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "badkeys"


def _number(spki: bytes) -> int | None:
    """Return the number by which the list knows a key: modulus, x coordinate, or DSA's public value."""
    key = key_of(spki)
    if key.family == "rsa":
        return abs(key.modulus)
    try:
        octets = _bits(spki)
        if key.family == "dsa":
            return abs(der.integer_of(der.read(octets)))
    except BadInput:
        return None
    point = octets[1:] if key.family == "ec" else octets
    return int.from_bytes(point[: len(point) // 2] if octets[:1] == b"\x04" and key.family == "ec" else point, "big")
