"""TLS for the service: one context, made of files, that takes new certificates without a restart.

Client certificates are asked for where authorities for them are configured, and optional: who has none presents a token
on the same port. OpenSSL verifies the chain and that the peer holds the key before any octet of HTTP is read; what it
refuses ends in the handshake. There is no session resumption, so an identity is proved anew on each connection.
"""

from __future__ import annotations

import os
import ssl
import stat
from pathlib import Path

import msgspec

from privyseal.errors import Misused

CLIENT_CERTIFICATE = "privyseal.client_certificate"
"""Name in the ``extensions`` of an ASGI scope: the peer's verified certificate, DER."""

HANDSHAKE_TIMEOUT_S = 20.0
"""How long a handshake may take; HAProxy's examples give 10 s to a whole request head, nginx 60 s."""

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secrecy and authenticated encryption only (RFC 9325 4.2). TLS 1.3 has no others."""


class TlsFiles(msgspec.Struct, frozen=True):
    """Where the certificate chain and its key are, PEM, and the authorities whose clients are let in."""

    certificate: Path
    key: Path
    client_authorities: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Make a server's context; Misused, which names the file, where one cannot be used or others can read a key."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(CIPHERS)
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
        context.num_tickets = 0
        self.load_into(context)
        if self.client_authorities is not None:
            try:
                context.load_verify_locations(self.client_authorities)
            except OSError as error:  # ssl.SSLError is one, and has no strerror of its own
                raise Misused(f"The authorities for clients in {self.client_authorities} {_why(error)}.") from None
            context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def load_into(self, context: ssl.SSLContext) -> None:
        """Give a context the certificate and key as the files now are; connections that are open keep the old ones."""
        _refuse_open_key(self.key)
        try:
            context.load_cert_chain(self.certificate, self.key, password=_no_passphrase)
        except OSError as error:
            raise Misused(f"The certificate {self.certificate} with the key {self.key} {_why(error)}.") from None
        except ValueError:
            raise Misused(f"The key {self.key} is encrypted.", hint="store it without a passphrase, mode 600") from None

    def reload(self, context: ssl.SSLContext) -> None:
        """As :meth:`load_into`, after trying whether the files can be used, so that a bad one changes nothing."""
        self.load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        self.load_into(context)


def _refuse_open_key(key: Path) -> None:
    try:
        mode = os.stat(key).st_mode
    except OSError as error:
        raise Misused(f"The key {key} cannot be read: {error.strerror}.") from None
    if stat.S_IMODE(mode) & 0o077:
        raise Misused(f"Others than its owner can read the key {key}.", hint=f"chmod 600 {key}")


def _no_passphrase() -> str:
    raise ValueError  # else OpenSSL asks on the terminal, where nobody may be


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        if error.reason == "KEY_VALUES_MISMATCH":
            return "do not belong together"
        return "cannot be used: PEM was expected"
    return f"cannot be read: {error.strerror}"
