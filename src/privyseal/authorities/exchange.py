"""One HTTP exchange with a certificate authority: bounded in size and time, and never led elsewhere.

No proxy of the environment is used and no redirect followed, so what answers is whoever the configuration says. Plain
http is spoken to this machine only.
"""

from __future__ import annotations

import http.client
import ssl
import stat
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

import msgspec

from privyseal.authorities.protocol import LARGEST_ANSWER, MOST_CERTIFICATES
from privyseal.errors import BadInput, Misused, TooLarge, Unavailable
from privyseal.pki import bundle

STEP_LIMIT_S = 5.0
"""Seconds without an octet before a connection counts as dead."""
ALL_S = 30.0
"""Seconds for a whole answer, however it dribbles: a CA may think for a while before it issues."""
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
"""Hosts to which plain http goes."""
LONGEST_WORDS = 300
"""Characters of what an authority says that we repeat."""
LONGEST_SECRET = 1 << 16
"""Octets of a file with a credential; a PEM key is under 4 KiB."""


Known = TypeVar("Known")


class Replied(NamedTuple):
    """What came back; status and body, and the headers by lower-case name."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    def json(self, who: str) -> object:
        """Decode the body; BadInput where it is no JSON, as error pages of proxies are not."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            kind = self.headers.get("content-type", "no type").partition(";")[0][:40]
            raise BadInput(f"{who} answered {self.status} with {kind!r} where JSON was expected.") from None

    def read(self, who: str, kind: type[Known]) -> Known:
        """Decode the body as one of our structs, passing over what it does not know; BadInput where it is not so."""
        try:
            return msgspec.convert(self.json(who), kind)
        except msgspec.ValidationError as error:
            raise BadInput(
                f"{who} answered {self.status} with other JSON than expected: {plain(str(error))}."
            ) from None


class Line:
    """The way to one authority; nothing is connected before it is asked, and nothing stays so."""

    def __init__(
        self, who: str, url: str, trust: Path | None = None, certificate: Path | None = None, key: Path | None = None
    ) -> None:
        """Take its address, the anchors that vouch for it in place of the system's, and our client certificate.

        Misused where the URL is neither https nor this machine, or a file is not there; ``who`` names the authority.
        """
        parts = urlsplit(url)
        host = parts.hostname or ""
        if (
            not host
            or parts.query
            or (parts.scheme, host in LOOPBACK)
            not in {
                ("https", True),
                ("https", False),
                ("http", True),
            }
        ):
            raise Misused(f"{who}: {url[:200]!r} is no https address.")
        self.who = who
        self._host, self._port, self._base = host, parts.port, parts.path.rstrip("/")
        self._context = _context(who, trust, certificate, key) if parts.scheme == "https" else None

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Replied:
        """Ask once; Unavailable where nobody answers in time, BadInput for more than LARGEST_ANSWER octets.

        ``path`` follows the path of the URL and starts with a slash. A status of 500 or more is Unavailable too, and
        a redirect BadInput: it would lead elsewhere.
        """
        connection = self._connection()
        until = time.monotonic() + ALL_S
        try:
            said = {"Accept": "application/json", "User-Agent": "privyseal", **(headers or {})}
            connection.request(method, self._base + path, body, said)
            with connection.getresponse() as response:
                octets = bytearray()
                while piece := response.read1(65536):
                    octets += piece
                    if len(octets) > LARGEST_ANSWER:
                        raise BadInput(f"{self.who} answered more than {LARGEST_ANSWER} octets.")
                    if time.monotonic() > until:
                        raise TimeoutError
                if response.length:  # of what was announced: read1 takes a body that is cut short for a whole one
                    raise http.client.IncompleteRead(bytes(octets), response.length)
                return self._judged(Replied(response.status, bytes(octets), _joined(response.getheaders())))
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            raise Unavailable(
                f"{self.who} cannot be reached: {_why(error)}.", hint="the order stays as it is, and is asked again"
            ) from None
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if self._context is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=STEP_LIMIT_S)
        return http.client.HTTPSConnection(self._host, self._port, timeout=STEP_LIMIT_S, context=self._context)

    def _judged(self, replied: Replied) -> Replied:
        if replied.status >= 500 or replied.status == 429:
            raise Unavailable(
                f"{self.who} answered {replied.status}.", hint="the order stays as it is, and is asked again"
            )
        if 300 <= replied.status < 400:
            raise BadInput(
                f"{self.who} answered {replied.status}, which leads elsewhere; its URL is to be the last one."
            )
        return replied


def secret(who: str, path: Path) -> str:
    """Read a credential from a file of its own; Misused where others can read it, or it is not there."""
    try:
        with path.open("rb") as file:
            if stat.S_IMODE(path.stat().st_mode) & 0o077:
                raise Misused(f"{who}: others can read {path}.", hint=f"chmod 600 {path}")
            return file.read(LONGEST_SECRET).decode("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise Misused(f"{who}: {path} cannot be read: {why}.") from None


def plain(words: str, otherwise: str = "it does not say why") -> str:
    """Return what an authority said as it can stand within a sentence of ours: printable, bounded, no full stop."""
    said = " ".join("".join(each if each.isprintable() else " " for each in words[: 4 * LONGEST_WORDS]).split())
    return said[:LONGEST_WORDS].rstrip(" .") or otherwise


def certificates_of(who: str, pem: Iterable[str]) -> tuple[bytes, ...]:
    """Return the certificates, DER, of PEM texts in an authority's answer; BadInput where they are none, or too many.

    The same one twice, as an issuer that is named and stands in the chain too, is taken once.
    """
    try:
        found = bundle.read("\n".join(pem).encode("utf-8", "replace"))
    except (BadInput, TooLarge) as error:
        raise BadInput(f"{who} answered with certificates that cannot be read: {plain(error.detail)}.") from None
    if len(found) > MOST_CERTIFICATES:
        raise BadInput(f"{who} answered with {len(found)} certificates; at most {MOST_CERTIFICATES} are read.")
    return tuple(found)


def _joined(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return headers by lower-case name; several of one name are one list (RFC 9110 5.3)."""
    found: dict[str, str] = {}
    for name, value in headers:
        known = found.get(name.lower())
        found[name.lower()] = value if known is None else f"{known}, {value}"
    return found


def _context(who: str, trust: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=None if trust is None else str(trust))
        if certificate is not None:
            if key is not None:
                secret(who, key)
            context.load_cert_chain(str(certificate), None if key is None else str(key))
        return context
    except (OSError, ssl.SSLError) as error:
        raise Misused(f"{who}: its anchors or our certificate cannot be read: {_why(error)}.") from None


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
