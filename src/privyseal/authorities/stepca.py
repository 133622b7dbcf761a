"""step-ca of Smallstep, asked by a JWK provisioner: it signs a CSR at once for whoever brings a one-time token.

The token is a JWT of the provisioner's own key, good for one use and five minutes (smallstep documentation,
"Provisioners: JWK"; ``POST /1.0/sign`` and ``/1.0/revoke`` as in the source, ``api/sign.go`` and ``api/revoke.go``).
What is in the certificate is the provisioner's template: step-ca's own is for TLS, so it needs one for code signing.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from msgspec import Meta

from privyseal.authorities import exchange
from privyseal.authorities.exchange import Line, Replied
from privyseal.authorities.protocol import AuthorityName, Issued, Refused, Revoked, Waiting, Wishes
from privyseal.errors import Misused
from privyseal.pki import certificates, csr
from privyseal.terms.certificates import CODES, Reason

TOKEN_LIFE = timedelta(minutes=5)
"""As long as step-ca lets one live."""
OTHER_CLOCK = timedelta(seconds=30)
"""By how much its clock may be behind ours."""
_CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}


class StepCaSection(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="step-ca"
):
    """``[[authorities]]`` with ``kind = "step-ca"``. Paths are relative to the configuration."""

    name: AuthorityName
    url: str
    """Such as ``https://ca.example:9000``; tokens are made out to it, so it is to be the name that step-ca knows."""
    provisioner: Annotated[str, Meta(min_length=1, max_length=256)]
    """Name of the JWK provisioner."""
    key_file: str
    """A file, 0600, with its private key, a JWK in JSON: what ``step crypto jwe decrypt`` makes of ``encryptedKey``."""
    days: Annotated[int, Meta(ge=1, le=460)] = 365
    """For how long; the provisioner's ``maxTLSCertDuration`` has to allow it, which is a day unless said otherwise."""
    ca_file: str | None = None
    """Certificates, PEM, that step-ca's must chain to instead of the system's: mostly its own root."""


class _Signed(msgspec.Struct):
    crt: str
    ca: str = ""
    chain: Annotated[list[str], Meta(max_length=32)] = msgspec.field(default_factory=list, name="certChain")


class _Error(msgspec.Struct):
    message: str = ""


class StepCa:
    """Signs at once."""

    by_people = False

    def __init__(self, section: StepCaSection, base: Path) -> None:
        """Take the section, whose relative paths start at ``base``; Misused where its address or anchors are none."""
        self.name = section.name
        self._section, self._base = section, base
        self._who = f"step-ca {section.name}"
        trust = None if section.ca_file is None else base / section.ca_file
        self._line = Line(self._who, section.url, trust)

    def ask(self, request: bytes, wishes: Wishes, now: datetime) -> Issued | Refused:
        """Have the CSR signed; its common name is what the token is for."""
        if wishes.ev:
            return Refused(why=f"{self._who} issues no EV certificates: it has validated nobody.")
        subject = csr.common_name(request)
        if not subject:
            return Refused(why=f"{self._who} names certificates by the common name, and the CSR has none.")
        until = now + timedelta(days=self._section.days)
        said = {
            "csr": csr.pem(request).decode("ascii"),
            "ott": self._token("/1.0/sign", subject, now),
            "notAfter": until.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        replied = self._post("/1.0/sign", said)
        if replied.status not in {200, 201}:
            return Refused(why=self._why(replied))
        signed = replied.read(self._who, _Signed)
        chain = [each for each in (signed.crt, *signed.chain, signed.ca) if each]
        return Issued(chain=exchange.certificates_of(self._who, chain))

    def collect(self, order: str, request: bytes, now: datetime) -> Issued | Waiting | Refused:
        """Have it signed: no order waits at step-ca."""
        return self.ask(request, Wishes(reference=order, subscriber="", key=""), now)

    def revoke(self, chain: tuple[bytes, ...], reason: Reason, at: datetime, now: datetime) -> Revoked | Refused:
        """Have it revoked, passively: step-ca no longer renews it, and lists it if its CRL is enabled.

        It knows no moment but its own. That it had revoked before is no refusal.
        """
        serial = str(int(certificates.read(chain[0]).serial, 16))
        said: dict[str, object] = {
            "serial": serial,
            "ott": self._token("/1.0/revoke", serial, now),
            "reasonCode": CODES[reason],
            "reason": reason,
            "passive": True,
        }
        replied = self._post("/1.0/revoke", said)
        if replied.status == 200:
            return Revoked(at=now)
        why = self._why(replied)
        return Revoked(at=now) if "already revoked" in why else Refused(why=why)

    def _post(self, path: str, said: object) -> Replied:
        replied = self._line.ask("POST", path, msgspec.json.encode(said), {"Content-Type": "application/json"})
        if replied.status in {401, 404, 405}:
            raise Misused(
                f"{self._who} does not accept our token: it answered {replied.status}.",
                hint="look at url, provisioner and key_file, and at the clocks",
            )
        return replied

    def _token(self, path: str, subject: str, now: datetime) -> str:
        """Return a token for one call; Misused where the provisioner's key is none."""
        from joserfc import jwt  # and with it all of JWE: only for who asks such a CA

        key = self._key()
        since = int((now - OTHER_CLOCK).timestamp())
        claims = {
            "iss": self._section.provisioner,
            "aud": self._section.url.rstrip("/") + path,
            "sub": subject,
            "sans": [subject],
            "iat": since,
            "nbf": since,
            "exp": int((now + TOKEN_LIFE - OTHER_CLOCK).timestamp()),
            "jti": secrets.token_hex(32),
        }
        algorithm = "RS256" if isinstance(key, RSAKey) else _CURVES.get(str(key.curve_name), "")
        try:
            header = {"alg": algorithm, "typ": "JWT", "kid": key.kid or key.thumbprint()}
            return jwt.encode(header, claims, key, algorithms=[algorithm])
        except (JoseError, ValueError):
            raise self._no_key() from None

    def _key(self) -> RSAKey | ECKey | OKPKey:
        text = exchange.secret(self._who, self._base / self._section.key_file)
        try:
            value = msgspec.json.decode(text, type=dict[str, str | list[str]])
            kinds: dict[object, type[RSAKey] | type[ECKey] | type[OKPKey]]
            kinds = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
            key = kinds[value.get("kty")].import_key(value)
            if not key.is_private:
                raise self._no_key()
            return key
        except (msgspec.DecodeError, JoseError, ValueError, KeyError, TypeError):
            raise self._no_key() from None

    def _no_key(self) -> Misused:
        return Misused(
            f"{self._who}: {self._section.key_file} holds no private JWK.",
            hint="decrypt the provisioner's encryptedKey with: step crypto jwe decrypt",
        )

    def _why(self, replied: Replied) -> str:
        return f"{self._who} says no: {exchange.plain(replied.read(self._who, _Error).message)}."
