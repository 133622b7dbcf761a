"""Bundles as an nShield module and its world write them, under roots of ours; MADE HERE, by no module of Entrust's.

The two bundles in Entrust's documents are in ``nshield_documented.json``. These are for what those do not show: a FIPS
world, keys on curves in the place of DSA, other ACLs, and each thing that can be wrong.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa, utils
from tests.pki import mint
from tests.pki.mint import Key

from privyseal.pki.attestation import ncore, warrant
from privyseal.pki.attestation.ncore import KeyData
from privyseal.pki.attestation.warrant import Symbol

ROOT, DELEGATE, KLF2, KML, OFFICER = (mint.key("ecdsa-p521", 970 + number) for number in range(5))
PRIVATE = mint.key("ecdsa-p256", 975)
SERIAL = "1234-5678-9ABC"
SUITE = "ECp521mAES"
KM, KMC, KFIPS, KRE, KRA = (bytes([number]) * 20 for number in range(1, 6))
MECHANISM = (Symbol("ECDSA"), (Symbol("EMSA1"), Symbol("SHA512")))
EC_NAMES = {"secp256r1": 4, "secp384r1": 5, "secp521r1": 6}

SIGN_AND_REST = 0xB02B
"""The operation permissions of the key in Entrust's second bundle."""


# -- nCore -------------------------------------------------------------------------------------------------------------
def word(value: int) -> bytes:
    return value.to_bytes(4, "little")


def number(value: int) -> bytes:
    size = -(-value.bit_length() // 32) * 4
    return word(size) + value.to_bytes(size, "little")


def text(value: str) -> bytes:
    octets = value.encode() + b"\0"
    return word(len(octets)) + octets + bytes(-len(octets) % 4)


def key_data(private: Key, kind: int = ncore.ECDSA_PUBLIC) -> KeyData:
    """Return a key's public half as a module has it."""
    public = private.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        return KeyData(ncore.RSA_PUBLIC, 0, (public.public_numbers().e, public.public_numbers().n))
    assert isinstance(public, ec.EllipticCurvePublicKey)
    point = public.public_numbers()
    return KeyData(kind, EC_NAMES[public.curve.name], (point.x, point.y))


def marshalled(key: KeyData) -> bytes:
    """Write an M_KeyData."""
    body = b"".join(map(number, key.values))
    return word(key.kind) + (word(key.curve) + word(0) if key.curve else b"") + body


def signed(private: Key, octets: bytes) -> bytes:
    """Write an M_CipherText of ECDSA with SHA-512."""
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    r, s = utils.decode_dss_signature(private.sign(octets, ec.ECDSA(hashes.SHA512())))
    return word(ncore.ECDSA_SHA512) + number(r) + number(s)


# -- the warrant -------------------------------------------------------------------------------------------------------
def ddds(value: Any) -> bytes:
    """Write a value as warrants do."""
    if isinstance(value, Symbol | str):
        octets = (value.name if isinstance(value, Symbol) else value).encode()
        if len(octets) < 16:
            return bytes([(0x30 if isinstance(value, Symbol) else 0x20) + len(octets)]) + octets
        return b"\xc4" + bytes([len(octets)]) + octets
    if isinstance(value, bytes):
        return (b"\xc5" + bytes([len(value)]) if len(value) < 256 else b"\xd5" + len(value).to_bytes(2, "big")) + value
    if isinstance(value, int):
        return bytes([value]) if value < 32 else b"\xf4" + ddds(value.to_bytes(-(-value.bit_length() // 8), "big"))
    if isinstance(value, tuple):
        return bytes([0x90 + len(value)]) + b"".join(map(ddds, value))
    return bytes([0xB0 + len(value)]) + b"".join(ddds(name) + ddds(each) for name, each in value.items())


def warranted_key(private: Key) -> tuple[Any, ...]:
    """Return a key as warrants have it."""
    return Symbol("ECDSA"), Symbol("Public"), Symbol("NISTP521"), key_data(private).values


def certificate(private: Key, **said: Any) -> dict[Symbol, Any]:
    """Return a certificate of a warrant."""
    payload = ddds({Symbol(name): each for name, each in said.items()})
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    r, s = utils.decode_dss_signature(private.sign(payload, ec.ECDSA(hashes.SHA512())))
    return {Symbol("Signature"): r.to_bytes(66, "big") + s.to_bytes(66, "big"), Symbol("Payload"): payload}


def delegation(by: Key = ROOT, to: Key = DELEGATE, **changes: Any) -> dict[Symbol, Any]:
    """Return a certificate that lets another key warrant."""
    said = {"WarrantCertificateType": Symbol("Delegation"), "DelegateKey": warranted_key(to), "SigMech": MECHANISM}
    return certificate(by, **(said | changes))


def module(by: Key = DELEGATE, **changes: Any) -> dict[Symbol, Any]:
    """Return the certificate of a module."""
    said = {
        "WarrantCertificateType": Symbol("ModuleInformation"),
        "ElectronicSerialNumber": SERIAL,
        "KLF2mech": MECHANISM,
        "KLF2pub": warranted_key(KLF2),
        "Approvals": ((Symbol("FIPS140"), 2, 3, Symbol("MultiChipEmbedded")),),
    }
    return certificate(by, **(said | changes))


def a_warrant(*certificates: dict[Symbol, Any], root: str = warrant.ROOT) -> bytes:
    """Write a warrant."""
    return ddds((Symbol(root), *(certificates or (delegation(), module()))))


# -- ACLs --------------------------------------------------------------------------------------------------------------
def operations(permissions: int) -> bytes:
    return word(1) + word(permissions)


def blob(flags: int = 0x5, module_key: bytes = KM, token: int | None = None) -> bytes:
    """Write the action that makes a working blob; ``token`` are the flags of the token that guards it."""
    body = word(2) + word(flags)
    body += module_key if flags & 0x4 else b""
    body += bytes(20) if flags & 0x8 else b""
    return body + (word(token or 0) + bytes(12) if flags & 0x10 else b"")


def group(*actions: bytes, certifier: bytes = b"", limits: bytes = b"") -> bytes:
    head = word(0x1 if certifier else 0) + (word(1) + limits if limits else word(0))
    return head + word(len(actions)) + b"".join(actions) + certifier


def acl(*groups: bytes) -> bytes:
    return word(len(groups)) + b"".join(groups)


ORDINARY = acl(
    group(operations(SIGN_AND_REST)), group(blob(0x1E, token=0x3), limits=word(1) + bytes(20) + word(1)), group(blob())
)
SOFTCARD = acl(group(operations(SIGN_AND_REST)), group(blob(0x1E, token=0x7)))


# -- the bundle --------------------------------------------------------------------------------------------------------
def state(serial: str = SERIAL, module_keys: tuple[bytes, ...] = (bytes(20), KM), kml: Key = KML) -> bytes:
    """Write what a module says of itself."""
    attributes = (
        word(2) + text(serial),
        word(3) + bytes(20) + marshalled(key_data(kml)) + word(ncore.ECDSA_SHA512),
        word(5) + key_data(OFFICER).hash + word(0),
        word(6) + word(len(module_keys)) + b"".join(each + word(0) + word(0) for each in module_keys),
    )
    return word(4) + word(0) + word(len(attributes)) + b"".join(attributes)


def generation(private: Key = PRIVATE, access: bytes = ORDINARY) -> bytes:
    """Write that a module generated a key."""
    key = key_data(private)
    if isinstance(private, rsa.RSAPrivateKey):
        parameters = word(2) + word(0x7) + word(private.key_size) + number(65537) + word(30)
    else:
        parameters = word(47) + word(key.curve)
    return word(2) + word(0) + parameters + access + key.hash


def values(private: Key = PRIVATE, access: bytes = ORDINARY, *, fips: bool = False, **changes: Any) -> dict[str, Any]:
    """Return the values of a bundle, octets and texts; those of ``changes`` take the place of ours, None of none."""
    officer = key_data(OFFICER)
    of_module, of_key = changes.get("modstatemsg", state()), changes.get("kcmsg", generation(private, access))
    words = b"Module setup, FIPS3; suite = " if fips else b"Module keys: suite = "
    world = words + SUITE.encode() + b"\0" + officer.hash + KM + KMC + (KFIPS if fips else b"")
    found: dict[str, Any] = {
        "root": warrant.ROOT,
        "ciphersuite": SUITE,
        "warrant": a_warrant(),
        "modstatemsg": of_module,
        "modstatesig": signed(KLF2, of_module),
        "knsopub": marshalled(officer),
        "hkm": word(44) + KM,
        "hkmc": word(44) + KMC,
        "hkre": word(44) + KRE,
        "hkra": word(44) + KRA,
        "CertKREaKRAbKNSO": signed(OFFICER, b"Card Recovery\0" + officer.hash + KRE + KRA),
        "CertKMaKMCaKFIPSbKNSO" if fips else "CertKMaKMCbKNSO": signed(OFFICER, world),
        "kcmsg": of_key,
        "kcsig": signed(KML, of_key),
        "pubkeydata": marshalled(key_data(private)),
    }
    found |= {"hkfips": word(44) + KFIPS} if fips else {}
    return {name: each for name, each in (found | changes).items() if each is not None}


def file(found: dict[str, Any]) -> bytes:
    """Write the JSON of a bundle."""
    texts = {
        name: each if isinstance(each, str) else base64.urlsafe_b64encode(each).decode() if each else ""
        for name, each in found.items()
    }
    return json.dumps(texts).encode()


def documented(which: str) -> bytes:
    """Return a bundle of Entrust's documents: that of a key guarded by a ``softcard``, or by its ``module`` alone."""
    held = json.loads((Path(__file__).parent / "nshield_documented.json").read_bytes())
    return json.dumps(held["common"] | held[which], indent=2).encode()
