"""Proofs that an ACME server asks for, as far as a signing service can give them.

``http-01`` (RFC 8555 8.3): a file in a directory that a web server shows. ``device-attest-01``
(draft-ietf-acme-device-attest): a program of the operator's has the module attest the key, freshly for this challenge.
Only statements of a TPM are passed on, which its attestation key signs: in the format ``step`` the attested key itself
signs, and no key of a Subscriber signs outside the log.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cbor2
import msgspec

from privyseal.errors import Misused, Unavailable

KEY_AUTHORIZATION = r"[A-Za-z0-9_-]{8,256}\.[A-Za-z0-9_-]{43}"
"""A token and a thumbprint (RFC 8555 8.1): safe in file names, and nothing that a program could stumble over."""
KEY_ID = "{key_id}"
FORMATS = frozenset({"tpm"})
"""Attestation formats (WebAuthn 8) in which the attested key signs nothing."""
ATTESTOR_SECONDS = 30.0
LARGEST_OBJECT = 1 << 16
"""Octets of an attestation object; a TPM's with its chain has some thousands."""


_TOLD = frozenset({"PATH", "LANG", "TZ"})
"""What an attestor knows of our environment, beside where the TPM is."""


class _Payload(msgspec.Struct):
    att_obj: str = msgspec.field(name="attObj")


def put(who: str, webroot: Path, token: str, authorization: str) -> None:
    """Show an answer to ``http-01``; Misused where it cannot be written. Who keeps the directory clears it."""
    folder = webroot / ".well-known" / "acme-challenge"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=folder, prefix=".", delete=False) as file:
            file.write(authorization)
        os.chmod(file.name, 0o644)
        os.replace(file.name, folder / token)
    except OSError as error:
        raise Misused(f"{who}: {webroot} cannot be written: {error.strerror}.") from None


def attest(who: str, attestor: Sequence[str], key_id: str, authorization: str) -> str:
    """Have the attestor attest a key for a challenge; return the attestation object in base64url.

    It reads the key authorization on stdin, and prints the payload, ``{"attObj": "..."}``, within half a minute.
    Unavailable where it fails, Misused where what it prints is of no use.
    """
    argv = [each.replace(KEY_ID, key_id) for each in attestor]
    known = {name: value for name, value in os.environ.items() if name in _TOLD or name.startswith("TPM2")}
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    try:
        ran = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=nothing, env=known, start_new_session=True)
    except FileNotFoundError:
        raise Misused(f"{who}: the attestor {argv[0]} is not there.") from None
    except OSError as error:
        raise Unavailable(f"{who}: the attestor {argv[0]} cannot be run: {error.strerror}.") from None
    with ran:
        try:
            printed, _ = ran.communicate(authorization.encode("ascii"), ATTESTOR_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(ran.pid, signal.SIGKILL)  # and whatever it started
            raise Unavailable(f"{who}: the attestor {argv[0]} did not end in time.") from None
    if ran.returncode != 0:
        raise Unavailable(f"{who}: the attestor {argv[0]} failed with exit code {ran.returncode}.")
    return _checked(f"{who}: the attestor {argv[0]}", printed)


def _checked(what: str, printed: bytes) -> str:
    if len(printed) > 2 * LARGEST_OBJECT:
        raise Misused(f"{what} printed {len(printed)} octets.", hint=f"at most {2 * LARGEST_OBJECT} are taken")
    try:
        text = msgspec.json.decode(printed, type=_Payload).att_obj.rstrip("=")
        if not re.fullmatch(r"[A-Za-z0-9_-]+", text):
            raise ValueError
        found = cbor2.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        kind = found["fmt"]
        if not isinstance(kind, str) or not isinstance(found["attStmt"], dict):
            raise TypeError
    except (msgspec.DecodeError, ValueError, binascii.Error, KeyError, TypeError, RecursionError, cbor2.CBORError):
        raise Misused(
            f"{what} printed no attestation object.", hint='expected {"attObj": "<base64url of CBOR>"}'
        ) from None
    if kind not in FORMATS:
        raise Misused(
            f"{what} printed an attestation in the format {kind[:32]!r}; only tpm is passed on.",
            hint="in others the attested key signs, and no key of a Subscriber signs outside the log",
        )
    return text
