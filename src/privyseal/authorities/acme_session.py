"""One visit to an ACME server (RFC 8555), by the optional package ``acme``: its JWS, nonces and messages, our road.

The package's own road follows redirects and takes answers of any size, so its requests leave by
:class:`~privyseal.authorities.exchange.Line`. What comes back is read into structs of ours, for the package knows only
identifiers and challenges of web servers. Nothing is slept for: what takes time is ``Waiting``.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import msgspec
import requests
from acme import client, errors, messages
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from josepy.b64 import b64encode
from josepy.errors import Error as JoseError
from josepy.interfaces import JSONDeSerializable
from josepy.jwa import ES256, ES384, RS256
from josepy.jwk import JWKEC, JWKRSA
from msgspec import Meta
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from privyseal.authorities import exchange
from privyseal.authorities.acme import AcmeSection
from privyseal.authorities.acme_proofs import KEY_AUTHORIZATION, attest, put
from privyseal.authorities.exchange import Line
from privyseal.authorities.protocol import Issued, Refused, Revoked, Waiting
from privyseal.errors import BadInput, Misused, Unavailable
from privyseal.pki import certificates, csr
from privyseal.terms.certificates import CODES, Reason

PAUSE = timedelta(seconds=10)
"""When an order is worth asking about again, where the server does not say."""
LONGEST_PAUSE = timedelta(hours=6)
VISIT_S = 80.0
"""Seconds after which a visit asks nothing more: with its last answer it is shorter than an order's lease."""
LONGEST_ADDRESS = 2000
NONCES = 5
"""How often one message is sent again whose nonce the server no longer likes (RFC 8555 6.5)."""
_FOREIGN = (
    errors.Error,
    JoseError,
    requests.RequestException,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RecursionError,
)
"""What the package raises over answers that are not ACME's."""
_OURS = frozenset(
    {
        "accountDoesNotExist",
        "externalAccountRequired",
        "userActionRequired",
        "invalidContact",
        "unsupportedContact",
        "badPublicKey",
        "badSignatureAlgorithm",
    }
)
"""Errors about our account or configuration (RFC 8555 6.7), after which the order may still be well."""
_LATER = frozenset({"badNonce", "orderNotReady", "rateLimited", "serverInternal"})
T = TypeVar("T")
Address = Annotated[str, Meta(min_length=1, max_length=LONGEST_ADDRESS)]
"""An address that an ACME server sends, of at most LONGEST_ADDRESS characters."""


class _Problem(msgspec.Struct):
    detail: str = ""
    type: str = ""


class _Order(msgspec.Struct):
    status: str
    authorizations: Annotated[list[Address], Meta(max_length=16)] = []
    finalize: Address = ""
    certificate: Address | None = None
    error: _Problem | None = None


class _Challenge(msgspec.Struct):
    type: str
    url: Address
    status: str = "pending"
    token: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{8,256}$")] = ""
    error: _Problem | None = None


class _Identifier(msgspec.Struct):
    type: str
    value: str


class _Authorization(msgspec.Struct):
    status: str
    identifier: _Identifier
    challenges: Annotated[list[_Challenge], Meta(max_length=32)] = []


class _Said(JSONDeSerializable):
    """A message as the package signs it."""

    def __init__(self, **fields: object) -> None:
        self._fields = fields

    def to_partial_json(self) -> dict[str, object]:
        return self._fields

    @classmethod
    def from_json(cls, jobj: Any) -> _Said:
        return cls(**jobj)


class _No(Exception):
    """The server says no, in its words."""

    def __init__(self, why: str, code: str) -> None:
        super().__init__(why)
        self.code = code


class _Known(Exception):
    """The account is there already; says where."""


class _Road(BaseAdapter):
    """Carries the package's requests over our line, to one server only."""

    def __init__(self, who: str, line: Line, origin: str) -> None:
        super().__init__()
        self._who, self._line, self._origin = who, line, origin
        self._until = time.monotonic() + VISIT_S

    def send(self, request: requests.PreparedRequest, *rest: object, **more: object) -> requests.Response:
        """Send one request; BadInput where it leads elsewhere, Unavailable where the visit has taken too long."""
        url = request.url or ""
        path = url.removeprefix(self._origin)
        if path == url or not path.startswith("/"):
            raise BadInput(f"{self._who} leads to another server, {exchange.plain(url[:100])}.")
        if time.monotonic() > self._until:
            raise Unavailable(f"{self._who} takes its time.", hint="the order is gone on with later")
        known = {name: str(request.headers[name]) for name in ("Accept", "Content-Type") if name in request.headers}
        body = request.body.encode("utf-8") if isinstance(request.body, str) else request.body
        whole = body if isinstance(body, bytes) else None
        replied = self._line.ask(request.method or "GET", path, whole, known)
        found = requests.Response()
        found.status_code, found.url, found.request = replied.status, url, request
        found.headers = CaseInsensitiveDict(replied.headers)
        found.raw = io.BytesIO(replied.body)
        return found

    def close(self) -> None:
        """Nothing stays open."""


class Session:
    """One visit: directory and account are asked for first."""

    def __init__(self, who: str, section: AcmeSection, base: Path, line: Line, origin: str) -> None:
        """Take what to talk to and as whom; nothing is connected yet."""
        self._who, self._section, self._base = who, section, base
        self._origin = origin
        self._key = self._account_key()
        algorithm = RS256
        if isinstance(self._key, JWKEC):
            algorithm = ES256 if self._key.key.curve.name == "secp256r1" else ES384
        self._net = client.ClientNetwork(self._key, alg=algorithm, user_agent="privyseal")
        self._net.session.trust_env = False
        self._net.session.mount("https://", _Road(who, line, origin))
        self._net.session.mount("http://", _Road(who, line, origin))
        self._directory = messages.Directory({})

    def order(self, request: bytes, profile: str, now: datetime) -> Issued | Waiting | Refused:
        """Make an order, and go on with it."""
        said: dict[str, object] = {
            "identifiers": [{"type": each.type, "value": each.value} for each in self._section.identifiers]
        }
        if profile:
            said["profile"] = profile
        try:
            self._enter()
            response = self._post(self._place("newOrder"), _Said(**said))
            place = str(response.headers.get("Location", ""))
            if not place.startswith(f"{self._origin}/") or len(place) > LONGEST_ADDRESS:
                raise BadInput(f"{self._who} does not say where the order is.")
            return self._walked(place, request, now)
        except _No as no:
            return Refused(why=str(no))

    def go_on(self, place: str, request: bytes, now: datetime) -> Issued | Waiting | Refused:
        """Go on with an order."""
        try:
            self._enter()
            return self._walked(place, request, now)
        except _No as no:
            return Refused(why=str(no))

    def revoke(self, certificate: bytes, reason: Reason, now: datetime) -> Revoked | Refused:
        """Have a certificate revoked; that it was so before is no refusal."""
        try:
            talk = self._enter()
            self._told(lambda: talk.revoke(certificates.load(certificate), CODES[reason]))
        except _No as no:
            if no.code != "alreadyRevoked":
                return Refused(why=str(no))
        return Revoked(at=now)

    # -- an order ------------------------------------------------------------------------------------------------------
    def _walked(self, place: str, request: bytes, now: datetime) -> Issued | Waiting | Refused:
        order, again = self._order(place, now)
        words = ""
        if order.status == "pending":
            words = " ".join(filter(None, (self._proved(each, request) for each in order.authorizations)))
            order, again = self._order(place, now)
        if order.status == "ready":
            encoded = b64encode(csr.read(request).der).decode("ascii")
            response = self._post(order.finalize, _Said(csr=encoded))
            order, again = self._read(response, _Order), again_of(response.headers.get("Retry-After", ""), now)
        if order.status == "valid" and order.certificate is not None:
            text = self._get(order.certificate).content.decode("utf-8", "replace")
            return Issued(chain=exchange.certificates_of(self._who, [text]))
        if order.status == "invalid":
            return Refused(why=f"{self._who} says no: {self._why(order)}.")
        if order.status not in {"pending", "ready", "processing", "valid"}:
            raise BadInput(f"{self._who} has an order in the state {exchange.plain(order.status)!r}.")
        return Waiting(order=place, words=words or f"{self._who} is at work on the order.", again=again)

    def _order(self, place: str, now: datetime) -> tuple[_Order, datetime]:
        response = self._get(place)
        return self._read(response, _Order), again_of(response.headers.get("Retry-After", ""), now)

    def _proved(self, place: str, request: bytes) -> str:
        """Prove one identifier, as far as can be; return what is waited for, or nothing where it is proved."""
        found = self._read(self._get(place), _Authorization)
        what = f"{found.identifier.type} {exchange.plain(found.identifier.value)}"
        if found.status != "pending":
            return ""
        if any(each.status == "processing" for each in found.challenges):
            return f"{self._who} looks at the proof of {what}."
        offered = {each.type: each for each in found.challenges if each.status == "pending"}
        device, web = offered.get("device-attest-01"), offered.get("http-01")
        if device is not None and self._section.attestor:
            said = attest(self._who, self._section.attestor, csr.read(request).key_id, self._authorization(device))
            self._post(device.url, _Said(attObj=said))
        elif web is not None and self._section.webroot is not None:
            put(self._who, self._base / self._section.webroot, web.token, self._authorization(web))
            self._post(web.url, _Said())
        else:
            ways = exchange.plain(", ".join(sorted(offered)), "no way at all")
            return f"{self._who} wants {what} proved by {ways}; have it authorised there, or configure a way."
        return f"{self._who} looks at the proof of {what}."

    def _authorization(self, challenge: _Challenge) -> str:
        """Return token and the account key's thumbprint (RFC 8555 8.1)."""
        print_of_key = b64encode(self._key.thumbprint()).decode("ascii")
        whole = f"{challenge.token}.{print_of_key}"
        if not re.fullmatch(KEY_AUTHORIZATION, whole):
            raise BadInput(f"{self._who} has a challenge without a token.")
        return whole

    def _why(self, order: _Order) -> str:
        """Return the reason that stands in an order that is over, or in what it could not prove."""
        problems = [order.error]
        for place in order.authorizations:
            found = self._read(self._get(place), _Authorization)
            problems += [each.error for each in found.challenges]
        return exchange.plain("; ".join(each.detail or each.type for each in problems if each is not None))

    # -- talking -------------------------------------------------------------------------------------------------------
    def _enter(self) -> client.ClientV2:
        """Read the directory, and find or make the account."""
        section = self._section
        directory = self._told(lambda: client.ClientV2.get_directory(section.directory, self._net))
        self._directory, talk = directory, client.ClientV2(directory, self._net)
        binding = None
        if section.eab_file is not None:
            mac = exchange.secret(self._who, self._base / section.eab_file)
            if not re.fullmatch(r"[A-Za-z0-9_-]{22,512}={0,2}", mac):
                raise Misused(f"{self._who}: {section.eab_file} holds no MAC key.", hint="base64url, as the CA gave it")
            binding = self._told(
                lambda: messages.ExternalAccountBinding.from_data(
                    self._key.public_key(), section.eab_kid, mac.rstrip("="), directory
                )
            )
        wanted = messages.NewRegistration(
            contact=section.contact, terms_of_service_agreed=section.terms_agreed, external_account_binding=binding
        )
        try:
            self._told(lambda: talk.new_account(wanted), conflict=_Known)
        except _Known as known:
            body = messages.Registration()
            self._net.account = messages.RegistrationResource(body=body, uri=str(known))
        except _No as no:
            raise Misused(f"{no}", hint="look at account_key, contact, terms_agreed and eab_kid") from None
        return talk

    def _place(self, name: str) -> str:
        return str(self._told(lambda: self._directory[name]))

    def _post(self, place: str, said: _Said | None) -> requests.Response:
        nonces = self._place("newNonce")
        return self._told(lambda: self._net.post(place, said, new_nonce_url=nonces))

    def _get(self, place: str) -> requests.Response:
        """POST-as-GET (RFC 8555 6.3)."""
        return self._post(place, None)

    def _told(self, call: Callable[[], T], conflict: type[_Known] | None = None) -> T:
        """Call the package; what it raises over the answer is said in one sentence of ours.

        ``conflict`` is what is raised where the package says that something is there already, which accounts may be.
        """
        for left in reversed(range(NONCES)):
            try:
                return call()
            except messages.Error as error:
                if error.code == "badNonce" and left:
                    continue
                self._raise(error)
            except errors.ConflictError as error:
                raise (self._foreign() if conflict is None else conflict(str(error.location))) from None
            except _FOREIGN:
                raise self._foreign() from None
        raise AssertionError("unreachable")

    def _raise(self, error: messages.Error) -> NoReturn:
        kind: object = error.typ
        detail: object = error.detail or ""  # the package does not look at what they are
        if not isinstance(kind, str) or not isinstance(detail, str):
            raise self._foreign() from None
        code, words = exchange.plain(error.code or kind), exchange.plain(detail, "no detail")
        if code in _LATER:
            raise Unavailable(f"{self._who} cannot now ({code}): {words}.", hint="the order is asked about again")
        if code in _OURS:
            raise Misused(f"{self._who} does not let us ({code}): {words}.", hint="look at the account there")
        raise _No(f"{self._who} says no ({code}): {words}.", code)

    def _read(self, response: requests.Response, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(response.content, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise self._foreign() from None

    def _foreign(self) -> BadInput:
        return BadInput(f"{self._who} answered otherwise than ACME has it (RFC 8555).")

    def _account_key(self) -> JWKEC | JWKRSA:
        name = self._section.account_key
        text = exchange.secret(self._who, self._base / name)
        try:
            key = load_pem_private_key(text.encode("utf-8"), None)
        except (ValueError, TypeError):
            raise self._no_key() from None
        if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= 2048:
            return JWKRSA(key=key)
        if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in {"secp256r1", "secp384r1"}:
            return JWKEC(key=key)
        raise self._no_key()

    def _no_key(self) -> Misused:
        name = self._section.account_key
        return Misused(
            f"{self._who}: {name} holds no key for an account.",
            hint=f"openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {name}; chmod 600 {name}",
        )


def again_of(text: str, now: datetime) -> datetime:
    """Return when to ask again, as a server says in Retry-After (RFC 8555 7.4): seconds or a date, within bounds."""
    try:
        wait = timedelta(seconds=int(text)) if text.isdigit() else parsedate_to_datetime(text) - now
    except (ValueError, TypeError, OverflowError):
        wait = PAUSE
    return now + min(max(wait, timedelta(seconds=1)), LONGEST_PAUSE)
