"""Who we are to Google: a service account by a key of its own, or the machine's by its metadata server.

With a key no server is asked for a token: a service account signs one itself ("Authorizing API access without OAuth",
Google AIP-4111), good for an hour and for Google's clouds alone.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from msgspec import Struct

from privyseal.errors import Misused
from privyseal.keystore.clouds import read_secret
from privyseal.keystore.gcpkms import GcpKmsSection
from privyseal.keystore.rest import Bearer, Grant, granted
from privyseal.keystore.wire import Wire

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
"""What the token is good for, as far as the account may; Cloud KMS has no narrower scope that logging shares."""
SECONDS = 3600
"""How long a token that we sign lasts, the most that Google takes."""
_PATH = "/computeMetadata/v1/instance/service-accounts/default/token"


class _Account(Struct, frozen=True):
    """What is read of a service account's key file."""

    type: str
    client_email: str
    private_key_id: str
    private_key: str

    def __repr__(self) -> str:
        """Show none of it."""
        return "_Account(...)"


def bearer(section: GcpKmsSection, clock: Callable[[], datetime]) -> Bearer:
    """Return the tokens of whom a section says."""
    if section.secret is not None:
        path = Path(section.secret)
        return Bearer(lambda: _signed(path, clock()), clock)
    wire = Wire("Google's metadata server", section.address("metadata"), None, section.timeout / 3)
    return Bearer(lambda: granted(wire, "GET", _PATH, {"Metadata-Flavor": "Google"}), clock, wire)


def _signed(path: Path, now: datetime) -> Grant:
    """Read the key file, which may have been replaced, and sign a token with it (RFC 7519, RS256)."""
    try:
        account = msgspec.json.decode(read_secret(path), type=_Account)
        key = serialization.load_pem_private_key(account.private_key.encode("utf-8"), None)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError, TypeError, UnsupportedAlgorithm):
        raise _no_account(path) from None
    if account.type != "service_account" or not isinstance(key, rsa.RSAPrivateKey):
        raise _no_account(path)
    begun = int(now.timestamp())
    header = {"alg": "RS256", "typ": "JWT", "kid": account.private_key_id}
    claims = {
        "iss": account.client_email,
        "sub": account.client_email,
        "scope": SCOPE,
        "iat": begun,
        "exp": begun + SECONDS,
    }
    text = f"{_url64(msgspec.json.encode(header))}.{_url64(msgspec.json.encode(claims))}"
    value = key.sign(text.encode("ascii"), padding.PKCS1v15(), hashes.SHA256())
    return Grant(f"{text}.{_url64(value)}", SECONDS)


def _url64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def _no_account(path: Path) -> Misused:
    return Misused(
        f"{path} is no key of a service account of Google.",
        hint="JSON with type service_account, client_email, private_key_id and private_key",
    )
