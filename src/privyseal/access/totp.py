"""One-time codes from an app (TOTP, RFC 6238), and the recovery codes for the day on which its device is lost.

Codes are SHA-1, six digits, thirty seconds, because these are what the apps support. A code is good in its own step and
in one before and after (RFC 6238 5.2), and no step is accepted twice.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import struct
from collections.abc import Callable
from datetime import datetime
from urllib.parse import quote

SECRET_OCTETS = 20
"""160 bits, as RFC 4226 section 4 (R6) recommends."""
STEP_S = 30
"""Seconds of one step (RFC 6238 5.2)."""
DRIFT = 1
"""Steps that the device's clock may be off, in either direction."""
RECOVERY_CODES = 10
"""Recovery codes given at once; each opens once."""
_RECOVERY = re.compile(r"[a-z2-7]{16}")


def code(secret: bytes, step: int) -> str:
    """Return the six digits of one step (RFC 4226 5.3)."""
    mac = hmac.new(secret, struct.pack(">Q", step), hashlib.sha1).digest()
    at = mac[-1] & 15
    return f"{(struct.unpack('>I', mac[at : at + 4])[0] & 0x7FFFFFFF) % 1_000_000:06d}"


def step_at(now: datetime) -> int:
    """Return the number of the step that a moment is in."""
    return int(now.timestamp()) // STEP_S


def matching_step(secret: bytes, typed: str, now: datetime, last: int) -> int | None:
    """Return the step of which ``typed`` is the code, if it is a newer one than ``last``, which was accepted before."""
    digits = typed.replace(" ", "")
    if not (digits.isascii() and digits.isdigit() and len(digits) == 6):
        return None
    this, found = step_at(now), None
    for step in range(max(this - DRIFT, 0), this + DRIFT + 1):
        if hmac.compare_digest(code(secret, step), digits) and step > last:
            found = step
    return found


def uri(secret: bytes, issuer: str, account: str) -> str:
    """Return the ``otpauth:`` address that apps take (the de facto key URI format)."""
    label = quote(f"{issuer}:{account}", safe="")
    return f"otpauth://totp/{label}?secret={shown(secret)}&issuer={quote(issuer, safe='')}"


def shown(secret: bytes) -> str:
    """Return the secret as people type it into an app."""
    return base64.b32encode(secret).decode("ascii")


def recovery_codes(draw: Callable[[int], bytes]) -> tuple[str, ...]:
    """Draw new recovery codes, 80 bits each, in groups of four characters."""
    drawn = [base64.b32encode(draw(10)).decode("ascii").lower() for _ in range(RECOVERY_CODES)]
    return tuple("-".join(each[n : n + 4] for n in range(0, 16, 4)) for each in drawn)


def recovery_digest(member: str, typed: str) -> bytes | None:
    """Return what is kept of a member's recovery code; None where it is not even shaped like one.

    Eighty random bits are beyond guessing, so SHA-256 is enough; the member is in it, so that one is nobody else's.
    """
    plain = re.sub(r"[\s-]", "", typed.lower())
    if not _RECOVERY.fullmatch(plain):
        return None
    return hashlib.sha256(f"privyseal recovery code\0{member}\0{plain}".encode()).digest()
