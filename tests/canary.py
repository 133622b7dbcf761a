"""A Private Key that must be found nowhere: its octets in every encoding in which they could have slipped out."""

from __future__ import annotations

import base64
import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress

from cryptography.hazmat.primitives.asymmetric import ec, rsa

WINDOW = 16
"""Octets that are looked for at a time: any leaked piece of 31 octets and more holds a whole window."""
_BLANKS = re.compile(rb"(?:\\[nrt]|[\s:,\"'\\])+")
_MOST_INFLATED = 64 << 20


class Canary:
    """Tells where a Private Key's secret numbers are: raw in both orders, hex, base64 at any offset, decimal."""

    def __init__(self, *secrets: bytes) -> None:
        windows = {secret[at : at + WINDOW] for secret in secrets for at in range(0, len(secret) - WINDOW + 1, WINDOW)}
        self.raw = {form for window in windows for form in (window, window[::-1])}
        self.hex = {window.hex().encode() for window in windows}
        self.base64 = {form for window in windows for form in _in_base64(window)}
        self.decimal = {str(int.from_bytes(secret, "big")).encode()[:32] for secret in secrets}

    @classmethod
    def of(cls, private: object) -> Canary:
        """Watch for the secret numbers of a key: of RSA d, both primes and what follows from them."""
        if isinstance(private, rsa.RSAPrivateKey):
            n = private.private_numbers()
            return cls(*(_octets(each) for each in (n.d, n.p, n.q, n.dmp1, n.dmq1, n.iqmp)))
        if isinstance(private, ec.EllipticCurvePrivateKey):
            return cls(_octets(private.private_numbers().private_value))
        return cls(private.private_bytes_raw())  # type: ignore[attr-defined]

    def found(self, content: bytes) -> str:
        """Return in which encoding something of the key is in there, also inside of archives; empty if it is not."""
        if any(form in content for form in self.raw):
            return "raw"
        plain = _BLANKS.sub(b"", content)  # PEM's lines, colons between hex digits, JSON's escapes
        if any(form in plain.lower() for form in self.hex):
            return "hex"
        if any(form in plain for form in self.base64) or any(form in plain for form in self.decimal):
            return "base64 or decimal"
        return next((f"packed, {how}" for each in _unpacked(content) if (how := self.found(each))), "")


def _octets(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _in_base64(window: bytes) -> Iterator[bytes]:
    """Yield what of the window stands in base64 whatever stands before and after it, in both alphabets."""
    for before in range(3):
        whole = base64.b64encode(bytes(before) + window)
        first, last = -(-before * 8 // 6), (before + len(window)) * 8 // 6
        yield whole[first:last]
        yield whole[first:last].translate(bytes.maketrans(b"+/", b"-_"))


def _unpacked(content: bytes) -> Iterator[bytes]:
    if content[:2] == b"\x1f\x8b":
        with suppress(OSError, EOFError, zlib.error):
            yield gzip.GzipFile(fileobj=io.BytesIO(content)).read(_MOST_INFLATED)
    if content[:4] == b"PK\x03\x04":
        with suppress(zipfile.BadZipFile), zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist():
                yield archive.read(name)[:_MOST_INFLATED]
