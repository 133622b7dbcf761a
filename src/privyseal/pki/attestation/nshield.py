"""Entrust nShield: the bundle of ``nfkmattest bundle``, JSON whose values are what the module and its world signed.

Source: Entrust, nShield application notes "Key attestation format", "Warrants", "Wire format" and "nCore key hash"
(nshielddocs.entrust.com/app-notes). Four links, each checked:

* the warrant leads from Entrust's key KWARN-1 to the module's key KLF2 and its serial number (``warrant.py``);
* with KLF2 the module signed its state: its key KML, the hash of its world's officer's key KNSO, and its module keys;
* with KNSO the world signed which module key (KM) is its own: blobs under another one lead to another world;
* with KML the module signed that it generated the key, and the access control list (ACL) with which it did.

The two bundles in Entrust's documents verify so; the variant of a FIPS world, and KML and KNSO on curves, were tested
with bundles of ours only. Nothing in a bundle has a date.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct

from privyseal.errors import BadInput, PrivySealError, VerificationFailed
from privyseal.pki import certificates
from privyseal.pki.attestation import devices, ncore, nshield_acl, pieces, warrant
from privyseal.pki.attestation.ncore import KeyData, Reader
from privyseal.pki.attestation.nshield_acl import Allowed
from privyseal.pki.attestation.protocol import Attested

ALWAYS = ("kcmsg", "kcsig", "modstatemsg", "modstatesig", "pubkeydata", "warrant")
"""Values that every bundle has, beside the root's name."""
SOMETIMES = (
    *("CertKMaKMCbKNSO", "CertKMaKMCaKFIPSbKNSO", "CertKREaKRAbKNSO", "ciphersuite", "hkfips"),
    *("hkm", "hkmc", "hkra", "hkre", "knsopub"),
)
"""Values of keys that are kept, of worlds under FIPS, and of keys that can be recovered."""
KEY_GENERATED, STATE = 2, 4
"""M_ModCertType of the two messages of a module."""
ESN, KML, KNSO, KM_LIST, KLF2 = 2, 3, 5, 6, 13
"""Attributes of a module's state."""
_SUITE = re.compile(r"[A-Za-z0-9]{1,64}")
_RSA_PRIVATE, _ON_CURVE = 2, {45: ncore.EC_PUBLIC, 47: ncore.ECDSA_PUBLIC}
_GIVEN_EXPONENT, _CHECKS, _STRONG_PRIMES = 1, 2, 4  # flags of how an RSA key was generated


class State(Struct, frozen=True, kw_only=True):
    """What a module said of itself, signed with KLF2."""

    serial: str
    kml: KeyData
    officer: bytes
    """The hash of KNSO."""
    module_keys: tuple[bytes, ...]
    """The hashes of every module key that it has."""


class Nshield:
    """See the head of this file."""

    name = "nshield"
    title = "Entrust nShield"

    def recognises(self, files: Sequence[bytes]) -> bool:
        """Tell whether a bundle of ``nfkmattest`` is there, by the names of its values."""
        try:
            return bool(_bundles(files))
        except PrivySealError:
            return False

    def read(self, files: Sequence[bytes], anchors: Sequence[bytes], at: datetime) -> Attested:
        """Verify the bundle up to KWARN-1; raises as the protocol says.

        ``anchors`` are bare keys, SubjectPublicKeyInfo: certificates among them cannot vouch for a warrant. Nothing in
        a bundle has a date, so ``at`` decides nothing.
        """
        found = _bundles(files)
        if len(found) != 1 or len(pieces.unpack(files).others) != 1:
            raise BadInput("Beside one nShield bundle stand others, or something that is no certificate or request.")
        bundle = found[0]
        if strange := sorted(set(bundle) - {*ALWAYS, *SOMETIMES, "root"}):
            raise BadInput(f"The nShield bundle has a value ({strange[0][:40]!r}) that is not known.")
        if bundle.get("root") != warrant.ROOT:
            raise VerificationFailed(f"The nShield bundle names another root than {warrant.ROOT}.")
        warranted, anchor = _warranted(_octets(bundle, "warrant"), anchors)
        state = _state(bundle, warranted)
        officer, module_key = _world(bundle, state)
        key, allowed = _generated(bundle, state)
        leaves = nshield_acl.ways_out(allowed, module_key)
        return Attested(
            format=Nshield.name,
            maker="Entrust",
            model="nShield",
            firmware="",
            serial=warranted.serial,
            spki=key.spki,
            generated_inside=True,
            never_extractable=False if leaves else None if allowed.unknown else True,
            claims=_claims(warranted, allowed, leaves, officer, state),
            chain=(),
            anchor=certificates.key_id(anchor),
        )


def _claims(
    warranted: warrant.Warrant, allowed: Allowed, leaves: Sequence[str], officer: KeyData, state: State
) -> dict[str, str]:
    claims = {"warrant": warranted.kind, "world": f"its security officer's key is {officer.hash.hex()}"}
    if warranted.kind != "ModuleInformation":
        claims["warrant"] += ", which by Entrust's word rests on signatures of DSA with 1024 bits"
    if warranted.approvals:
        claims["approvals"] = f"{warranted.approvals}, by its warrant and as of its making"
    claims["protection"] = allowed.protection
    if leaves:
        claims["ways out"] = "; ".join(dict.fromkeys(leaves))
    if allowed.unknown:
        claims["besides"] = f"its ACL allows what is not judged here: {', '.join(dict.fromkeys(allowed.unknown))}"
    claims["worlds"] = f"the module has {len(state.module_keys)} module keys"
    return claims


# -- the four links ----------------------------------------------------------------------------------------------------
def _warranted(octets: bytes, anchors: Sequence[bytes]) -> tuple[warrant.Warrant, bytes]:
    """Verify the warrant under one of the pinned keys, and return that too; certificates among them are passed over."""
    roots: dict[bytes, ec.EllipticCurvePublicKey] = {}
    for each in anchors:
        try:
            key = devices.load(each)
        except BadInput:
            continue
        if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP521R1):
            roots[each] = key
    if not roots:
        raise VerificationFailed("No root is pinned that can vouch for an nShield warrant.")
    return warrant.read(octets, roots)


def _state(bundle: Mapping[str, str], warranted: warrant.Warrant) -> State:
    """Verify the module's state under KLF2, and that it is of the module that the warrant names."""
    octets = _octets(bundle, "modstatemsg")
    ncore.verify(warranted.klf2, _octets(bundle, "modstatesig"), octets, "the module's state (modstatesig)")
    found = read_state(octets)
    if found.serial != warranted.serial:
        raise VerificationFailed(
            f"The module's state is of {found.serial}, and the nShield warrant of {warranted.serial}."
        )
    return found


def read_state(octets: bytes) -> State:
    """Read an M_ModCertMsg of the type StateCert; BadInput where it is none or says what is not read here."""
    fields = Reader(octets, "The module's state")
    if (fields.word(), fields.word()) != (STATE, 0):
        raise BadInput("The module's state (modstatemsg) is not written as one.")
    said: dict[int, Any] = {}
    for _ in range(fields.count(4)):
        tag = fields.word()
        if tag in said:
            raise BadInput(f"The module's state says its attribute {tag} twice.")
        said[tag] = _attribute(fields, tag)
    fields.end()
    if any(each not in said for each in (ESN, KML, KNSO, KM_LIST)):
        raise BadInput("The module's state lacks its serial number, its key, its officer's key or its module keys.")
    return State(serial=said[ESN], kml=said[KML], officer=said[KNSO], module_keys=said[KM_LIST])


def _attribute(fields: Reader, tag: int) -> str | bytes | KeyData | tuple[bytes, ...]:
    if tag == ESN:
        return fields.text()
    if tag in (KML, KLF2):
        fields.hash()
        key = ncore.key_data(fields)
        fields.word()  # the mechanism it signs with, which each signature says as well
        return key
    if tag == KNSO:
        officer = fields.hash()
        fields.word()  # what the officer reserved for himself
        return officer
    if tag == KM_LIST:
        found = []
        for _ in range(fields.count(ncore.HASH_OCTETS + 8)):
            found.append(fields.hash())
            fields.take(8)  # the mechanisms of integrity and confidentiality
        return tuple(found)
    raise BadInput(f"The module's state has an attribute ({tag}) that is not read here.")


def _world(bundle: Mapping[str, str], state: State) -> tuple[KeyData, bytes]:
    """Verify which module key is the world's own; return the officer's key and that module key's hash."""
    if "knsopub" not in bundle:
        raise BadInput("The nShield bundle is of a key that is not kept: nothing in it is of a Security World.")
    officer = _whole_key(bundle, "knsopub")
    if officer.hash != state.officer:
        raise VerificationFailed("The officer's key (knsopub) is not the one that the module's state names.")
    own = _hash(bundle, "hkm")
    if own not in state.module_keys:
        raise VerificationFailed("The world's module key (hkm) is not among those that the module's state names.")
    suite = bundle.get("ciphersuite", "")
    if not _SUITE.fullmatch(suite):
        raise BadInput("The nShield bundle does not say its world's cipher suite.")
    hashes = state.officer + own + _hash(bundle, "hkmc")
    names = [each for each in ("CertKMaKMCbKNSO", "CertKMaKMCaKFIPSbKNSO") if each in bundle]
    if len(names) != 1:
        raise BadInput("The nShield bundle needs one signature of its world: CertKMaKMCbKNSO, or that of a FIPS world.")
    if "FIPS" in names[0]:
        hashes += _hash(bundle, "hkfips")
    words = "Module setup, FIPS3" if "FIPS" in names[0] else "Module keys:"
    joined = "; suite = " if "FIPS" in names[0] else " suite = "
    octets = f"{words}{joined}{suite}\0".encode("ascii") + hashes
    ncore.verify(officer, _octets(bundle, names[0]), octets, f"the world ({names[0]})")
    if "CertKREaKRAbKNSO" in bundle:
        octets = b"Card Recovery\0" + state.officer + _hash(bundle, "hkre") + _hash(bundle, "hkra")
        ncore.verify(officer, _octets(bundle, "CertKREaKRAbKNSO"), octets, "the world (CertKREaKRAbKNSO)")
    return officer, own


def _generated(bundle: Mapping[str, str], state: State) -> tuple[KeyData, Allowed]:
    """Verify that the module generated the key; return it, and what its ACL allowed from the beginning."""
    octets = _octets(bundle, "kcmsg")
    ncore.verify(state.kml, _octets(bundle, "kcsig"), octets, "the key's generation (kcsig)")
    key = _whole_key(bundle, "pubkeydata")
    fields = Reader(octets, "The key's generation")
    if (fields.word(), fields.word()) != (KEY_GENERATED, 0):
        raise BadInput("The key's generation (kcmsg) is not written as one.")
    _require_parameters(fields, key)
    allowed = nshield_acl.read(fields, state.officer)
    made = fields.hash()
    fields.end()
    if made != key.hash:
        raise VerificationFailed("The nShield module generated another key than the one whose public half came along.")
    return key, allowed


def _require_parameters(fields: Reader, key: KeyData) -> None:
    """Require that what the module was asked to generate is of the key's kind."""
    kind = fields.word()
    if kind == _RSA_PRIVATE and key.kind == ncore.RSA_PUBLIC:
        flags, bits = fields.word(), fields.word()
        if flags & ~(_GIVEN_EXPONENT | _CHECKS | _STRONG_PRIMES) or bits != key.values[1].bit_length():
            raise BadInput("The parameters with which the RSA key was generated are not its own, or not read here.")
        if flags & _GIVEN_EXPONENT:
            fields.number()
        if flags & _CHECKS:
            fields.word()
    elif _ON_CURVE.get(kind, 0) != key.kind or fields.word() != key.curve:
        raise VerificationFailed("The nShield module was asked to generate a key of another kind.")


# -- the values of a bundle --------------------------------------------------------------------------------------------
def _bundles(files: Sequence[bytes]) -> list[Mapping[str, str]]:
    found = (_bundle(each.octets) for each in pieces.unpack(files).others if not each.label)
    return [each for each in found if each is not None]


def _bundle(octets: bytes) -> Mapping[str, str] | None:
    """Return the texts of a bundle; None where it is something else, also where a name stands twice.

    A value that is no text is empty, which no value of a bundle may be.
    """
    if octets[:64].lstrip()[:1] != b"{" or len(octets) > ncore.LARGEST:
        return None
    try:
        document = json.loads(octets, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or not all(isinstance(document.get(each), str) for each in ALWAYS):
        return None
    return {name: value if isinstance(value, str) else "" for name, value in document.items()}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError
    return dict(pairs)


def _octets(bundle: Mapping[str, str], name: str) -> bytes:
    """Return the octets of a value (RFC 4648 5), written with its last = or without."""
    text = bundle.get(name, "")
    bare = text.rstrip("=")
    try:
        octets = base64.b64decode(bare + "=" * (-len(bare) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        octets = b""
    whole = base64.urlsafe_b64encode(octets).decode("ascii")
    if not octets or text not in (whole, whole.rstrip("=")):
        raise BadInput(f"The nShield bundle lacks {name}, or it is not base64url.")
    return octets


def _hash(bundle: Mapping[str, str], name: str) -> bytes:
    fields = Reader(_octets(bundle, name), f"The hash {name}")
    found = fields.hash_ex()
    fields.end()
    return found


def _whole_key(bundle: Mapping[str, str], name: str) -> KeyData:
    fields = Reader(_octets(bundle, name), f"The key {name}")
    found = ncore.key_data(fields)
    fields.end()
    return found
