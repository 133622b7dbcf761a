"""An nShield module's warrant: a chain of signatures from Entrust's warranting key to a module's own key, KLF2.

Source: Entrust, nShield application note "Warrants" (nshielddocs.entrust.com/app-notes/warrants): a list of the root's
name, delegations, and what is said of one module, each a map of signature and payload, and each payload a map again.
The encoding of lists and maps (DDDS) is read as far as the note's example and genuine warrants use it; the rest is
refused. A warrant has no dates.
"""

from __future__ import annotations

from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from msgspec import Struct

from privyseal.errors import BadInput, VerificationFailed
from privyseal.pki.attestation.ncore import ECDSA_PUBLIC, KeyData

ROOT = "KWARN-1"
"""The name of Entrust's warranting key; there is one for all nShield modules."""
MOST_OCTETS = 16 << 10
"""Octets of a warrant; a genuine one of two certificates has 917."""
MOST_CERTIFICATES = 8
"""Of one warrant; genuine ones have two."""
MOST_DEPTH = 8
"""Of lists and maps within each other; a genuine warrant has 3."""
SIGNATURE_OCTETS = 132
"""Two numbers of 66 octets each, big-endian: ECDSA on NISTP521 with SHA-512."""

_P521 = 6  # M_ECName


class Symbol(Struct, frozen=True):
    """A name of DDDS, as opposed to a text."""

    name: str


Value = int | str | Symbol | bytes | tuple["Value", ...] | dict["Value", "Value"]
"""Whatever can stand in a warrant."""

_MECHANISM: Value = (Symbol("ECDSA"), (Symbol("EMSA1"), Symbol("SHA512")))
_SIGNS_BY = Symbol("SigMech")


class Warrant(Struct, frozen=True, kw_only=True):
    """What a verified warrant says of a module."""

    klf2: KeyData
    serial: str
    """The electronic serial number."""
    kind: str
    """``ModuleInformation`` or ``FieldUpgradeModuleInformation``."""
    approvals: str
    """What the module was made to satisfy, in the maker's words; empty where it says none."""


def read(octets: bytes, roots: Mapping[bytes, ec.EllipticCurvePublicKey]) -> tuple[Warrant, bytes]:
    """Verify a warrant up to one of ``roots``, and return by what name that stands among them.

    BadInput where it is none, VerificationFailed where it does not hold.
    """
    found = decoded(octets, MOST_OCTETS)
    if not isinstance(found, tuple) or not 2 <= len(found) <= MOST_CERTIFICATES + 1 or found[0] != Symbol(ROOT):
        raise BadInput(f"The nShield warrant is not a chain of certificates below {ROOT}.")
    root = next((name for name, key in roots.items() if _is_signed(*_parts(found[1], 1), key)), None)
    if root is None:
        raise VerificationFailed("The nShield warrant is not signed by a pinned root of its maker.")
    key = roots[root]
    *delegations, last = found[1:]
    for number, each in enumerate(delegations, 1):
        said = _verified(each, key, number)
        if said.get(Symbol("WarrantCertificateType")) != Symbol("Delegation") or said.get(_SIGNS_BY) != _MECHANISM:
            raise VerificationFailed(f"Certificate {number} of the nShield warrant delegates nothing.")
        delegate = _key(said.get(Symbol("DelegateKey"))).public_key
        if not isinstance(delegate, ec.EllipticCurvePublicKey):
            raise BadInput("A key in the nShield warrant is not one on NISTP521.")
        key = delegate
    said = _verified(last, key, len(found) - 1)
    return _of_module(said, said.get(Symbol("WarrantCertificateType"))), root


def _verified(certificate: Value, key: ec.EllipticCurvePublicKey, number: int) -> dict[Value, Value]:
    """Return what a certificate says that ``key`` signed."""
    signature, payload = _parts(certificate, number)
    if not _is_signed(signature, payload, key):
        raise VerificationFailed(f"Certificate {number} of the nShield warrant is not signed by the one above it.")
    said = decoded(payload, MOST_OCTETS)
    if not isinstance(said, dict):
        raise BadInput(f"Certificate {number} of the nShield warrant does not say what it is.")
    return said


def _parts(certificate: Value, number: int) -> tuple[bytes, bytes]:
    held = certificate if isinstance(certificate, dict) and len(certificate) == 2 else {}
    signature, payload = held.get(Symbol("Signature")), held.get(Symbol("Payload"))
    if not isinstance(signature, bytes) or not isinstance(payload, bytes) or len(signature) != SIGNATURE_OCTETS:
        raise BadInput(f"Certificate {number} of the nShield warrant is not a payload with its signature.")
    return signature, payload


def _is_signed(signature: bytes, payload: bytes, key: ec.EllipticCurvePublicKey) -> bool:
    half = SIGNATURE_OCTETS // 2
    value = encode_dss_signature(int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big"))
    try:
        key.verify(value, payload, ec.ECDSA(hashes.SHA512()))
    except InvalidSignature:
        return False
    return True


def _of_module(said: dict[Value, Value], kind: Value | None) -> Warrant:
    serial = said.get(Symbol("ElectronicSerialNumber"))
    if not isinstance(kind, Symbol) or kind.name not in ("ModuleInformation", "FieldUpgradeModuleInformation"):
        raise VerificationFailed("The nShield warrant does not end in what is said of a module.")
    if not isinstance(serial, str) or said.get(Symbol("KLF2mech")) != _MECHANISM:
        raise BadInput("The nShield warrant lacks the module's serial number, or its key is not used as expected.")
    approvals = said.get(Symbol("Approvals"), ())
    listed = approvals if isinstance(approvals, tuple) else ()
    words = ", ".join(" ".join(map(_word, each)) for each in listed if isinstance(each, tuple))
    return Warrant(klf2=_key(said.get(Symbol("KLF2pub"))), serial=serial, kind=kind.name, approvals=words)


def _word(value: Value) -> str:
    return value.name if isinstance(value, Symbol) else str(value) if isinstance(value, int | str) else "?"


def _key(value: Value | None) -> KeyData:
    """Return a key as warrants have it: ``('ECDSA', 'Public', 'NISTP521', (x, y))``."""
    named = (Symbol("ECDSA"), Symbol("Public"), Symbol("NISTP521"))
    if isinstance(value, tuple) and len(value) == 4 and value[:3] == named:
        point = value[3]
        if isinstance(point, tuple) and len(point) == 2:
            x, y = point
            if isinstance(x, int) and isinstance(y, int):
                return KeyData(ECDSA_PUBLIC, _P521, (x, y))
    raise BadInput("A key in the nShield warrant is not one on NISTP521.")


# -- DDDS --------------------------------------------------------------------------------------------------------------
def decoded(octets: bytes, most: int) -> Value:
    """Read one value of DDDS, of at most ``most`` octets; BadInput where it is none that warrants use."""
    if len(octets) > most:
        raise BadInput(f"The nShield warrant has {len(octets)} octets; at most {most} are read.")
    value, at = _value(octets, 0, 0)
    if at != len(octets):
        raise BadInput(f"The nShield warrant is followed by {len(octets) - at} octets.")
    return value


def _value(octets: bytes, at: int, depth: int) -> tuple[Value, int]:
    if depth > MOST_DEPTH:
        raise BadInput(f"The nShield warrant nests more than {MOST_DEPTH} lists and maps.")
    tag, at = _take(octets, at, 1)
    high, low = tag[0] >> 4, tag[0] & 15
    if high < 2:
        return tag[0], at
    if high in (2, 3):
        return _named(octets, at, low, symbol=high == 3)
    if high in (9, 11):
        return _several(octets, at, depth, low, of_pairs=high == 11)
    if tag in (b"\xc4", b"\xc5", b"\xd5"):
        size, at = _take(octets, at, 2 if tag == b"\xd5" else 1)
        if tag == b"\xc4":
            return _named(octets, at, int.from_bytes(size, "big"), symbol=True)
        return _take(octets, at, int.from_bytes(size, "big"))
    if tag == b"\xf4":
        inner, at = _value(octets, at, depth + 1)
        if isinstance(inner, bytes):
            return int.from_bytes(inner, "big"), at
    raise BadInput(f"The nShield warrant has a value (0x{tag[0]:02x}) of a kind that is not read.")


def _several(octets: bytes, at: int, depth: int, count: int, *, of_pairs: bool) -> tuple[Value, int]:
    """Read the items of a list, or the names and values of a map, in which no name may stand twice."""
    items: list[Value] = []
    for _ in range(count * 2 if of_pairs else count):
        each, at = _value(octets, at, depth + 1)
        items.append(each)
    if not of_pairs:
        return tuple(items), at
    names = items[::2]
    if any(not isinstance(each, Symbol) for each in names) or len(set(names)) != len(names):
        raise BadInput("The nShield warrant has a map whose names are not names, or stand twice.")
    return dict(zip(names, items[1::2], strict=True)), at


def _named(octets: bytes, at: int, size: int, *, symbol: bool) -> tuple[Value, int]:
    raw, at = _take(octets, at, size)
    if not raw.isascii():
        raise BadInput("The nShield warrant has a text that is not ASCII.")
    text = raw.decode("ascii")
    return Symbol(text) if symbol else text, at


def _take(octets: bytes, at: int, count: int) -> tuple[bytes, int]:
    if count > len(octets) - at:
        raise BadInput("The nShield warrant is cut short.")
    return octets[at : at + count], at + count
