"""TLS on the client's side: whom to trust, what to present, and what a failed handshake means in words."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import msgspec

from privyseal.cli.output import printable, shown_path
from privyseal.cli.profile import Profile, refuse_if_others_can_read
from privyseal.errors import Misused, NotAuthenticated, PrivySealError, Unavailable

_UNKNOWN_ISSUER = frozenset({2, 18, 19, 20, 21, 24})  # X509_V_ERR_... (openssl/x509_vfy.h)
_NOT_YET, _EXPIRED = 9, 10
_WRONG_HOST = frozenset({62, 64})

REFUSED_US = {
    "TLSV1_ALERT_UNKNOWN_CA": "its issuer is none of those that the service lets in",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "it has expired",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it is not valid, or not yet",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "it is not for clients",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "it was revoked",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the service does not accept it",
    "TLSV1_ALERT_ACCESS_DENIED": "the service does not accept it",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the service asks for one",
}
"""What the service's alert about our certificate means (RFC 8446 6.2, by OpenSSL's names)."""


class Tls(msgspec.Struct, frozen=True):
    """Whom to trust instead of the system's authorities, and the client certificate to present, all PEM files."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    @classmethod
    def of(cls, profile: Profile) -> Tls:
        """Take what a profile says; Misused where it names a certificate without a key or a key without one."""
        if (profile.client_certificate is None) != (profile.client_key is None):
            raise Misused(
                "client_certificate and client_key go together, and one of them is not configured.",
                hint="give both; a key in the certificate's file is named twice",
            )
        return cls(profile.ca, profile.client_certificate, profile.client_key)

    def context(self) -> ssl.SSLContext:
        """Make a client's context; Misused, naming the file, where one cannot be used or others can read the key."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.ca is None:
            context.load_default_certs()
        else:
            try:
                context.load_verify_locations(self.ca)
            except OSError as error:
                raise Misused(f"The authorities in {shown_path(self.ca)} {_why(error)}.") from None
        if self.certificate is not None and self.key is not None:
            self._load_own(context, self.certificate, self.key)
        return context

    def _load_own(self, context: ssl.SSLContext, certificate: Path, key: Path) -> None:
        try:
            refuse_if_others_can_read(key, os.stat(key).st_mode, "is a private key")
            context.load_cert_chain(certificate, key, password=_no_passphrase)
        except OSError as error:
            what = f"The client certificate {shown_path(certificate)} with the key {shown_path(key)}"
            raise Misused(f"{what} {_why(error)}.") from None
        except ValueError:
            raise Misused(f"The key {shown_path(key)} is encrypted; nobody is here to ask.") from None


SYSTEM_TRUST = Tls()
"""Trust whom the system trusts, and present nothing."""


def refusal(url: str, error: Exception) -> PrivySealError | None:
    """Say what a failed handshake means: who does not believe whom, and why; None where it is something else.

    Unavailable where we do not believe the service, NotAuthenticated where it does not believe our certificate.
    """
    where = printable(url)
    if isinstance(error, ssl.SSLCertVerificationError):
        return Unavailable(*_disbelief(where, error))
    if isinstance(error, ssl.SSLError) and error.reason in REFUSED_US:
        why = REFUSED_US[error.reason]
        return NotAuthenticated(
            f"The service at {where} refuses the client certificate: {why}.",
            hint="see client_certificate in the profile",
        )
    if isinstance(error, ssl.SSLError) and error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST"):
        return Unavailable(
            f"The service at {where} does not speak TLS there.", hint="is its url http, or the port another?"
        )
    return None


def _disbelief(where: str, error: ssl.SSLCertVerificationError) -> tuple[str]:
    code = error.verify_code
    if code in _UNKNOWN_ISSUER:
        why = "was issued by nobody we trust; name its CA's file as ca in the profile"
    elif code == _EXPIRED:
        why = "has expired; tell who runs it, and check this machine's clock"
    elif code == _NOT_YET:
        why = "is not in force yet; check this machine's clock"
    elif code in _WRONG_HOST:
        why = "is for another host; use the name that it was issued for"
    else:
        why = f"does not verify: {printable(error.verify_message)}"
    return (f"The certificate of the service at {where} {why}.",)


def _no_passphrase() -> str:
    raise ValueError  # else OpenSSL asks on the terminal


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return "do not belong together" if error.reason == "KEY_VALUES_MISMATCH" else "cannot be used: PEM was expected"
    return f"cannot be read: {error.strerror}"
