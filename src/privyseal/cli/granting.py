"""Signing under a grant, from the side of who asks: the proof of who this is, made for one request's digest.

The audience of the token is put together here, of what this machine is configured with and the digest that it computed
itself: a service cannot have a token made for somebody else.
"""

from __future__ import annotations

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from privyseal.cli.client import Service
from privyseal.cli.identity import ambient
from privyseal.cli.output import printable, tell
from privyseal.cli.own_key import octets_of
from privyseal.cli.profile import Profile
from privyseal.errors import Conflict, Denied, NotAuthenticated, NotPermitted, VerificationFailed
from privyseal.signing.forms_of_requests import Fitting, GrantShown, UseAsked
from privyseal.terms.grants import audience, used_octets
from privyseal.terms.requests import State, request_digest
from privyseal.web.views import RequestView
from privyseal.web.views_of_requests import FittingList

_REFUSED = (Denied, NotPermitted, NotAuthenticated, VerificationFailed, Conflict)
"""What a grant or a proof may be refused with; the request then waits for people as any other."""


def under_grant(service: Service, profile: Profile, view: RequestView) -> RequestView:
    """Have a request that waits come under a grant, if there is one for it; return it as it stands then."""
    if view.state is not State.REQUESTED:
        return view
    found = service.get(service.path("requests", view.id, "grants")).read(FittingList).grants
    digest = request_digest(view.request)
    for each in found:
        proof = _proof(profile, each, digest)
        if proof is None:
            continue
        body = msgspec.json.encode(UseAsked(grant=each.id, proof=proof))
        try:
            used = service.post(service.path("requests", view.id, "grant"), body, digest.hex()).read(RequestView)
        except _REFUSED as error:
            tell(f"note     not under grant {printable(each.id)}: {printable(error.detail, 400)}")
            continue
        now = service.get(service.path("grants", each.id)).read(GrantShown)  # others sign under it, too
        left = f"{now.signatures - now.used} of {now.signatures} signatures left"
        tell(f"note     granted under {printable(each.id)}: {left}")
        return used
    return view


def _proof(profile: Profile, each: Fitting, digest: bytes) -> bytes | None:
    """Return the proof that a grant asks for; None where this machine has none."""
    if not each.audience:
        return _signature(profile, each, digest)
    wanted = audience(profile.audience or profile.need("url").rstrip("/"), digest)
    if each.audience != wanted:
        tell(f"note     grant {printable(each.id)} is for tokens of another audience than is configured here")
        return None
    identity = ambient(wanted)
    return None if identity is None else identity.token.encode("ascii")


def _signature(profile: Profile, each: Fitting, digest: bytes) -> bytes | None:
    if profile.client_key is None:
        return None
    try:
        key = load_pem_private_key(octets_of(profile.client_key), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    octets = used_octets(bytes.fromhex(each.digest), digest)
    if public != each.public_key:
        return None
    if isinstance(key, Ed25519PrivateKey):
        return key.sign(octets)
    return key.sign(octets, ec.ECDSA(SHA256())) if isinstance(key, ec.EllipticCurvePrivateKey) else None
