"""A signed JWT from somebody else's issuer: taken apart, and its signature checked by that issuer's own key set.

What an identity provider gives a person (``oidc.py``) and what a platform gives a run (``workloads.py``) is judged here
alike, in this order (RFC 7515, RFC 8725 3):

* At most 16 KiB, three parts of base64url without padding, each written the one way there is.
* ``alg`` is one with a public key that the caller allows; never ``none``, never an HMAC, for which a public key would
  be the secret. No ``crit``: we know no extension.
* The key is the one of that ``kid`` in the issuer's key set, of the kind that ``alg`` needs, for signatures. What the
  header itself says of keys (``jwk``, ``jku``, ``x5c``, ``x5u``) is not looked at.

Who it is from and for, until when, and what else it must say is the caller's to judge. No message has more of a token
than the names of its algorithm and key.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, NoReturn

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from privyseal.errors import BadInput, NotAuthenticated

LARGEST_TOKEN = 16 * 1024
"""Octets of a token; real ones have 1 to 3 KiB, and header fields of 16 KiB are the most that proxies pass."""
LARGEST_KEY_SET = 1024 * 1024
"""Octets of a key set; real ones have 2 to 20 KiB."""
MOST_KEYS = 100
"""Keys of a key set; real ones have 2 to 8."""
RSA_BITS = (2048, 8192)
"""Sizes of RSA keys that are used: RFC 7518 3.3 asks for the first, and above the second checking costs too much."""


ALGORITHMS: dict[str, tuple[str, str]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("RSA", "")),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
    "Ed25519": ("OKP", "Ed25519"),
}
"""What may sign, and with a key of which ``kty`` and ``crv`` (RFC 7518 3.1, RFC 8037 3.1, RFC 9864 2.2)."""
SIGNATURES = frozenset({"sig"})
"""What ``use`` a key may have, unless the issuer is known to say it in a way of its own."""
_KINDS: dict[str, type[RSAKey | ECKey | OKPKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}

_PART = re.compile(rb"[A-Za-z0-9_-]+")


class Unread(NamedTuple):
    """A token taken apart; nothing of it may be believed yet."""

    header: dict[str, Any]
    claims: dict[str, Any]
    signed: bytes
    """The octets that are signed: header and payload as they came."""
    signature: bytes

    def __repr__(self) -> str:
        """Show no token."""
        return "Unread()"

    @property
    def issuer(self) -> str:
        """Return who claims to have issued it; of a JWT-SVID without ``iss`` its trust domain (SPIFFE JWT-SVID 3)."""
        issuer, subject = self.claims.get("iss"), self.claims.get("sub")
        if issuer is None and isinstance(subject, str) and subject.startswith("spiffe://"):
            return "/".join(subject.split("/")[:3])
        return issuer if isinstance(issuer, str) else ""

    @property
    def fingerprint(self) -> bytes:
        """Return SHA-256 of what is signed: the same for every way to write the same token, as ECDSA has two."""
        return hashlib.sha256(self.signed).digest()

    @property
    def expires(self) -> datetime:
        """Return when it ends, once that was found to be a time."""
        return moment(self.claims["exp"])


def read(token: bytes) -> Unread:
    """Take a token apart; NotAuthenticated where it is no signed JWT."""
    if len(token) > LARGEST_TOKEN:
        _refuse(f"The identity token has {len(token)} octets; at most {LARGEST_TOKEN} were expected.")
    parts = token.split(b".")
    if len(parts) != 3 or not all(_PART.fullmatch(part) for part in parts[:2]):
        _refuse("The identity token is no JWT of three parts.")
    if not parts[2]:
        _refuse("The identity token is not signed.")
    header, claims = _json_object(parts[0], "header"), _json_object(parts[1], "payload")
    return Unread(header, claims, b".".join(parts[:2]), _octets(parts[2], "signature"))


def key_set(octets: bytes) -> list[dict[str, Any]]:
    """Read a JWK Set (RFC 7517 5); BadInput where it is none or beyond its limits."""
    if len(octets) > LARGEST_KEY_SET:
        raise BadInput(f"The key set is larger than {LARGEST_KEY_SET} octets.")
    try:
        document = msgspec.json.decode(octets)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadInput("The key set is not JSON.") from None
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list):
        raise BadInput("The key set has no list of keys.")
    if len(keys) > MOST_KEYS:
        raise BadInput(f"The key set has {len(keys)} keys; at most {MOST_KEYS} were expected.")
    return [key for key in keys if isinstance(key, dict)]


def has_key(keys: Sequence[Mapping[str, Any]], token: Unread) -> bool:
    """Tell whether the key set knows the token's ``kid``: if not, there may be a newer one."""
    return any(key.get("kid") == token.header.get("kid") for key in keys)


def is_complete(key: Mapping[str, Any]) -> bool:
    """Tell whether a key of a set is a public one for signatures, with all that its kind has (RFC 7518 6)."""
    needs = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}.get(str(key.get("kty")), ("",))
    return key.get("use", "sig") == "sig" and all(isinstance(key.get(name), str) for name in needs)


def check_signature(
    token: Unread,
    keys: Sequence[Mapping[str, Any]],
    allowed: Collection[str],
    uses: Collection[str] = SIGNATURES,
    *,
    sole: bool = False,
) -> None:
    """Raise NotAuthenticated unless the key that it names, of the set, signed the token with an allowed algorithm.

    With ``sole`` a token need not name the only key that the set has (OpenID Connect Core 10.1).
    """
    if sole and len(keys) == 1 and "kid" not in token.header:
        token, keys = token._replace(header={**token.header, "kid": "sole"}), [{**keys[0], "kid": "sole"}]
    algorithm = _algorithm(token.header, allowed)
    key = _key(token.header, algorithm, keys, uses)
    model = JWSRegistry.algorithms[algorithm]
    try:
        model.check_key(key)
        good = model.verify(token.signed, token.signature, key)
    except (JoseError, ValueError, TypeError):
        good = False
    if not good:
        _refuse("The identity token's signature does not verify with its issuer's key.")


def _algorithm(header: Mapping[str, Any], allowed: Collection[str]) -> str:
    name = header.get("alg")
    if name == "none":
        _refuse("The identity token says alg=none: it is not signed.")
    if not isinstance(name, str) or name not in allowed:
        _refuse(f"The identity token is signed with {str(name)[:20]!r}; one of {', '.join(allowed)} was expected.")
    if "crit" in header:
        _refuse("The identity token's header asks for an extension that we do not know (crit).")
    return name


def _key(
    header: Mapping[str, Any], algorithm: str, keys: Sequence[Mapping[str, Any]], uses: Collection[str]
) -> RSAKey | ECKey | OKPKey:
    kid = header.get("kid")
    if not isinstance(kid, str) or not kid:
        _refuse("The identity token does not say which of its issuer's keys signed it (kid).")
    of_that_name = [key for key in keys if key.get("kid") == kid]
    if not of_that_name:
        _refuse(f"The issuer has no key named {kid[:100]!r}.")
    for each in of_that_name:
        if _fits(each, algorithm, uses):
            try:
                return _KINDS[ALGORITHMS[algorithm][0]].import_key(_public(each))
            except (JoseError, ValueError, TypeError, KeyError, AttributeError):
                continue
    _refuse(f"The issuer's key {kid[:100]!r} is not one for {algorithm} signatures.")


def _fits(key: Mapping[str, Any], algorithm: str, uses: Collection[str]) -> bool:
    """Tell whether a key is for this algorithm by all that it says of itself, and public, and of a sound size."""
    kind, curve = ALGORITHMS[algorithm]
    operations = key.get("key_ops", ["verify"])
    return (
        key.get("kty") == kind
        and (not curve or key.get("crv") == curve)
        and key.get("use", "sig") in uses
        and key.get("alg", algorithm) == algorithm
        and isinstance(operations, list)
        and "verify" in operations
        and "d" not in key
        and (kind != "RSA" or _sound_modulus(key.get("n")))
    )


def _sound_modulus(n: object) -> bool:
    if not isinstance(n, str) or len(n) > RSA_BITS[1] // 4:
        return False
    try:
        bits = int.from_bytes(base64.urlsafe_b64decode(n + "=" * (-len(n) % 4)), "big").bit_length()
    except ValueError:
        return False
    return RSA_BITS[0] <= bits <= RSA_BITS[1]


def _public(key: Mapping[str, Any]) -> dict[str, Any]:
    return {name: key[name] for name in ("kty", "crv", "x", "y", "n", "e") if name in key}


def moment(seconds: float) -> datetime:
    """Return the time that a NumericDate means, UTC (RFC 7519 2)."""
    return datetime.fromtimestamp(seconds, UTC)


def _json_object(part: bytes, what: str) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(_octets(part, what))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = None
    if not isinstance(found, dict):
        _refuse(f"The identity token's {what} is no JSON object.")
    return found


def _octets(part: bytes, what: str) -> bytes:
    """Decode base64url without padding (RFC 7515 2), of which there is one way to write each octet string."""
    octets = b""
    if _PART.fullmatch(part) and len(part) % 4 != 1:
        octets = base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    if base64.urlsafe_b64encode(octets).rstrip(b"=") != part:
        _refuse(f"The identity token's {what} is not base64url.")
    return octets


def _refuse(why: str) -> NoReturn:
    raise NotAuthenticated(why, hint="ask whoever issued it for a new token")
