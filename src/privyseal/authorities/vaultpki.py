"""HashiCorp Vault's and OpenBao's PKI engine: it signs a CSR at once, as its role says, or says no.

Vault HTTP API, "PKI secrets engine" (Sign certificate, Sign verbatim, Revoke certificate) and "AppRole auth method". It
keeps no reason of a revocation and no moment but its own clock's, so ours stand in our statement alone.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from privyseal.authorities import exchange
from privyseal.authorities.exchange import Line, Replied
from privyseal.authorities.protocol import AuthorityName, Issued, Refused, Revoked, Waiting, Wishes
from privyseal.errors import Misused, Unavailable
from privyseal.pki import certificates, csr
from privyseal.terms.certificates import Reason

MountPath = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}(/[A-Za-z0-9_-]{1,64}){0,7}$")]
"""Where something is mounted; it stands in URLs."""
_OTHER_CLOCK = timedelta(minutes=5)


class VaultPkiSection(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="vault-pki"
):
    """``[[authorities]]`` with ``kind = "vault-pki"``. Paths are relative to the configuration."""

    name: AuthorityName
    url: str
    """Such as ``https://vault.example:8200``."""
    role: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,128}$")]
    """The role; it says what is issued: ``code_signing_flag``, no ``server_flag``, ``allow_any_name``."""
    mount: MountPath = "pki"
    namespace: Annotated[str, Meta(max_length=128, pattern=r"^[\x21-\x7e]*$")] = ""
    verbatim: bool = False
    """Whether the CSR's whole subject is taken as it is (``sign-verbatim``), and not only its common name."""
    days: Annotated[int, Meta(ge=1, le=460)] = 365
    """For how long, at most; the role may allow less. CSBR 6.3.2 allows 460."""
    token_file: str | None = None
    """A file, 0600, with a token that may only sign and revoke here."""
    role_id: Annotated[str, Meta(max_length=128)] = ""
    """The AppRole as which to log in, with ``secret_id_file``."""
    secret_id_file: str | None = None
    """A file, 0600, with the AppRole's secret id."""
    ca_file: str | None = None
    """Certificates, PEM, that Vault's must chain to instead of the system's."""

    def __post_init__(self) -> None:
        """Refuse no way or two ways to prove who we are."""
        if (self.token_file is None) == (self.secret_id_file is None) or bool(self.role_id) != bool(
            self.secret_id_file
        ):
            raise ValueError("a vault-pki authority needs token_file, or role_id with secret_id_file")


class _Signed(msgspec.Struct):
    certificate: str
    issuing_ca: str = ""
    ca_chain: Annotated[list[str], Meta(max_length=32)] | None = None


class _Revocation(msgspec.Struct):
    revocation_time: Annotated[int, Meta(ge=0, le=1 << 34)] = 0


class _SignedAnswer(msgspec.Struct):
    data: _Signed


class _RevokedAnswer(msgspec.Struct):
    data: _Revocation


class _Login(msgspec.Struct):
    client_token: Annotated[str, Meta(min_length=1, max_length=4096, pattern=r"^[\x21-\x7e]+$")]


class _LoginAnswer(msgspec.Struct):
    auth: _Login


class _Errors(msgspec.Struct):
    errors: Annotated[list[str], Meta(max_length=64)] = []


class VaultPki:
    """Signs at once."""

    by_people = False

    def __init__(self, section: VaultPkiSection, base: Path) -> None:
        """Take the section, whose relative paths start at ``base``; Misused where its address or anchors are none."""
        self.name = section.name
        self._section, self._base = section, base
        self._who = f"Vault {section.name}"
        trust = None if section.ca_file is None else base / section.ca_file
        self._line = Line(self._who, section.url, trust)

    def ask(self, request: bytes, wishes: Wishes, now: datetime) -> Issued | Refused:
        """Have the CSR signed."""
        if wishes.ev:
            return Refused(why=f"{self._who} issues no EV certificates: it has validated nobody.")
        verb = "sign-verbatim" if self._section.verbatim else "sign"
        said: dict[str, object] = {
            "csr": csr.pem(request).decode("ascii"),
            "format": "pem",
            "ttl": f"{self._section.days * 24}h",
        }
        if self._section.verbatim:
            said |= {"key_usage": ["DigitalSignature"], "ext_key_usage": ["CodeSigning"]}
        replied = self._post(f"/v1/{self._section.mount}/{verb}/{self._section.role}", said)
        if replied.status != 200:
            return Refused(why=self._why(replied))
        signed = replied.read(self._who, _SignedAnswer).data
        chain = [each for each in (signed.certificate, *(signed.ca_chain or ()), signed.issuing_ca) if each]
        return Issued(chain=exchange.certificates_of(self._who, chain))

    def collect(self, order: str, request: bytes, now: datetime) -> Issued | Waiting | Refused:
        """Have it signed: no order waits at Vault."""
        return self.ask(request, Wishes(reference=order, subscriber="", key=""), now)

    def revoke(self, chain: tuple[bytes, ...], reason: Reason, at: datetime, now: datetime) -> Revoked | Refused:
        """Have it revoked; a second time changes nothing, and Vault says when the first one was."""
        serial = certificates.read(chain[0]).serial
        digits = serial.zfill(len(serial) + len(serial) % 2).lower()
        written = ":".join(digits[place : place + 2] for place in range(0, len(digits), 2))
        replied = self._post(f"/v1/{self._section.mount}/revoke", {"serial_number": written})
        if replied.status != 200:
            return Refused(why=self._why(replied))
        told = replied.read(self._who, _RevokedAnswer).data.revocation_time
        when = datetime.fromtimestamp(told, UTC) if told else now
        return Revoked(at=when if when <= now + _OTHER_CLOCK else now)

    def _post(self, path: str, said: dict[str, object], token: str | None = None) -> Replied:
        """Ask with our token; Misused where it is not accepted, or nothing is there."""
        headers = {"Content-Type": "application/json", "X-Vault-Request": "true"}
        if self._section.namespace:
            headers["X-Vault-Namespace"] = self._section.namespace
        known = self._token() if token is None else token
        if known:
            headers["X-Vault-Token"] = known
        replied = self._line.ask("POST", path, msgspec.json.encode(said), headers)
        if replied.status == 412:  # a node that has not heard yet of what another was told
            raise Unavailable(f"{self._who} is behind: it answered 412.", hint="the order is asked about again")
        if replied.status in {401, 403, 404, 405}:
            raise Misused(
                f"{self._who} does not let us: it answered {replied.status}.",
                hint="look at its url, mount and role, and at the policy of our token",
            )
        return replied

    def _token(self) -> str:
        section = self._section
        if section.token_file is not None:
            return _header(self._who, exchange.secret(self._who, self._base / section.token_file))
        secret_id = exchange.secret(self._who, self._base / (section.secret_id_file or ""))
        said: dict[str, object] = {"role_id": section.role_id, "secret_id": secret_id}
        replied = self._post("/v1/auth/approle/login", said, token="")
        if replied.status != 200:
            raise Misused(f"{self._who} does not accept our AppRole.", hint="issue another secret id")
        return replied.read(self._who, _LoginAnswer).auth.client_token

    def _why(self, replied: Replied) -> str:
        said = "; ".join(replied.read(self._who, _Errors).errors)
        return f"{self._who} says no: {exchange.plain(said)}."


def _header(who: str, token: str) -> str:
    if not token or not token.isascii() or not token.isprintable():
        raise Misused(f"{who}: its token file holds no token.", hint="one line of printable ASCII")
    return token
