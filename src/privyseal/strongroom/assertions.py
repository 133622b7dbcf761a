"""Does a passkey's assertion say yes to exactly these octets: the steps of WebAuthn 2, 7.2 that need no session.

The signer judges by this, with nothing but ``cryptography``, and so does the web before it writes an approval down. The
challenge is the SHA-256 of the octets that an Ed25519 key would have signed, so an assertion fits one request, one
stage and one set of earlier approvals. Signature counters are not looked at: synced passkeys have none, and what is
approved is signed once in any case.
"""

from __future__ import annotations

import base64
import hashlib
import json
from functools import lru_cache
from typing import Any, TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from privyseal.terms.keys import Passkey
from privyseal.terms.requests import Assertion

PublicKey: TypeAlias = ec.EllipticCurvePublicKey | Ed25519PublicKey | rsa.RSAPublicKey
"""The public keys of passkeys that can be checked."""

MOST_CLIENT_DATA = 4096
"""Octets of clientDataJSON; browsers write about 200."""
FEWEST_DATA, MOST_DATA = 37, 1024
"""Octets of authenticator data: 37 without extensions, of which an assertion has few."""
MOST_SIGNATURE = 512
"""Octets of a signature: as many as of RSA-4096."""
RSA_BITS = range(2048, 4097)
"""Bits of an RSA key that is accepted."""

_PRESENT, _VERIFIED, _ELIGIBLE, _BACKED_UP, _ATTESTED, _EXTENDED = 0x01, 0x04, 0x08, 0x10, 0x40, 0x80


def why_not(passkey: Passkey, spki: bytes, octets: bytes, signature: bytes, said: Assertion) -> str | None:
    """Return why an assertion is no yes to ``octets``, in one sentence; None where it is one."""
    if len(said.client_data) > MOST_CLIENT_DATA or len(signature) > MOST_SIGNATURE:
        return "The passkey's assertion is larger than any browser makes one."
    return (
        _of_client_data(passkey, octets, said.client_data)
        or _of_authenticator(passkey, said.authenticator_data)
        or _of_signature(spki, signature, said.authenticator_data + hashlib.sha256(said.client_data).digest())
    )


def load(spki: bytes) -> PublicKey | None:
    """Return a passkey's public key; None where it is none of a kind that counts, or not in its one DER form."""
    try:
        return _loaded(spki)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None


@lru_cache(maxsize=1024)
def _loaded(spki: bytes) -> PublicKey | None:
    key = load_der_public_key(spki)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key if isinstance(key.curve, ec.SECP256R1) else None
    if isinstance(key, rsa.RSAPublicKey):
        return key if key.key_size in RSA_BITS else None
    return key if isinstance(key, Ed25519PublicKey) else None


def _of_client_data(passkey: Passkey, octets: bytes, client_data: bytes) -> str | None:
    try:
        said = json.loads(client_data.decode("utf-8"), object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return "The passkey's client data is no JSON object, or names something twice."
    if not isinstance(said, dict) or said.get("type") != "webauthn.get":
        return "The passkey's client data is not of an assertion (webauthn.get)."
    expected = base64.urlsafe_b64encode(hashlib.sha256(octets).digest()).rstrip(b"=").decode("ascii")
    if said.get("challenge") != expected:
        return "The passkey answered another challenge than this request, stage and earlier approvals make."
    if said.get("origin") not in passkey.origins:
        return f"The passkey was asked at {str(said.get('origin'))[:100]!r}, which the charter does not name."
    if said.get("crossOrigin", False) is not False or "topOrigin" in said:
        return "The passkey was asked within a page of somebody else."
    return None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its pairs; ValueError where a name comes twice, for readers differ on which counts."""
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a name comes twice")
    return made


def _of_authenticator(passkey: Passkey, data: bytes) -> str | None:
    if not FEWEST_DATA <= len(data) <= MOST_DATA:
        return f"The passkey's authenticator data has {len(data)} octets, between {FEWEST_DATA} and {MOST_DATA} fit."
    if data[:32] != hashlib.sha256(passkey.rp_id.encode("utf-8")).digest():
        return "The passkey is one for another site than the charter names."
    flags = data[32]
    if not flags & _PRESENT or not flags & _VERIFIED:
        return "The passkey did not verify its user, by a PIN or a finger."
    if flags & _ATTESTED or (flags & _BACKED_UP and not flags & _ELIGIBLE):
        return "The passkey's flags are not those of an assertion."
    if bool(flags & _EXTENDED) != (len(data) > FEWEST_DATA):
        return "The passkey's authenticator data has octets that its flags do not announce, or lacks them."
    return None


def _of_signature(spki: bytes, signature: bytes, octets: bytes) -> str | None:
    key = load(spki)
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, octets, ec.ECDSA(SHA256()))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, octets, padding.PKCS1v15(), SHA256())
        elif key is not None:
            key.verify(signature, octets)
        else:
            return "The passkey's public key is of no kind that counts: P-256, Ed25519, RSA of 2048 to 4096 bits."
    except InvalidSignature:
        return "The passkey's signature does not verify."
    return None


def may_be_copied(data: bytes) -> bool:
    """Tell whether the authenticator data of an assertion that was found good says so of its passkey (BE, 6.1.3)."""
    return bool(data[32] & _ELIGIBLE)
