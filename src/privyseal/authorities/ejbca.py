"""EJBCA by its REST interface: it issues at once, or when an administrator there has approved.

``/ejbca/ejbca-rest-api/v1/certificate`` of EJBCA 8 and 9 (Keyfactor's documentation, "EJBCA REST Interface", and the
source, ``CertificateRestResource.java``). We come with a client certificate, whose role there decides what we may. The
order's own id is the end entity's name, so an order that is asked for again is found and not issued twice.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Meta

from privyseal.authorities import exchange
from privyseal.authorities.exchange import Line, Replied
from privyseal.authorities.protocol import MOST_CERTIFICATES, AuthorityName, Issued, Refused, Revoked, Waiting, Wishes
from privyseal.errors import BadInput, Misused
from privyseal.pki import certificates, csr
from privyseal.terms.certificates import Reason

_API = "/ejbca/ejbca-rest-api/v1/certificate"
_AUTHORITIES = "/ejbca/ejbca-rest-api/v1/ca"
_AGAIN = timedelta(minutes=10)
_REASONS: dict[Reason, str] = {
    "unspecified": "UNSPECIFIED",
    "keyCompromise": "KEY_COMPROMISE",
    "affiliationChanged": "AFFILIATION_CHANGED",
    "superseded": "SUPERSEDED",
    "cessationOfOperation": "CESSATION_OF_OPERATION",
    "privilegeWithdrawn": "PRIVILEGES_WITHDRAWN",
}
ProfileName = Annotated[str, Meta(min_length=1, max_length=250)]
"""The name of one of EJBCA's profiles or authorities: 1 to 250 characters."""


class EjbcaSection(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="ejbca"
):
    """``[[authorities]]`` with ``kind = "ejbca"``. Paths are relative to the configuration."""

    name: AuthorityName
    url: str
    """Such as ``https://ejbca.example:8443``, without a path."""
    ca: ProfileName
    """Name of the CA in EJBCA."""
    certificate_profile: ProfileName
    end_entity_profile: ProfileName
    ev_certificate_profile: Annotated[str, Meta(max_length=250)] = ""
    """The profile of EV certificates; without it none are asked for."""
    certificate: str
    """Our client certificate, PEM."""
    key: str
    """Its key, a file, 0600."""
    code_file: str
    """A file, 0600, with the enrolment code that end entities are made with; a long random text."""
    ca_file: str | None = None
    """Certificates, PEM, that EJBCA's must chain to instead of the system's."""
    backdate: bool = False
    """Whether the profile allows a revocation from an earlier moment on; else it is from now on."""


class _Enrolled(msgspec.Struct):
    certificate: Annotated[str, Meta(min_length=1)]
    certificate_chain: Annotated[list[str], Meta(max_length=MOST_CERTIFICATES)] | None = None


class _Found(msgspec.Struct):
    certificates: Annotated[list[_Enrolled], Meta(max_length=MOST_CERTIFICATES)] = []


class _Status(msgspec.Struct):
    revoked: bool = False
    revocation_date: str | None = None


class _Error(msgspec.Struct):
    error_message: str = ""


class Ejbca:
    """Issues at once, or when people there have approved."""

    by_people = False

    def __init__(self, section: EjbcaSection, base: Path) -> None:
        """Take the section, whose relative paths start at ``base``; Misused where a file of it cannot be read."""
        self.name = section.name
        self._section, self._base = section, base
        self._who = f"EJBCA {section.name}"
        trust = None if section.ca_file is None else base / section.ca_file
        self._line = Line(self._who, section.url, trust, base / section.certificate, base / section.key)

    def ask(self, request: bytes, wishes: Wishes, now: datetime) -> Issued | Waiting | Refused:
        """Enrol, unless the order has its certificate from before."""
        section = self._section
        if wishes.ev and not section.ev_certificate_profile:
            return Refused(why=f"{self._who} has no profile of EV certificates in our configuration.")
        known = self._issued(wishes.reference, request)
        if known is not None:
            return known
        said = {
            "certificate_request": csr.pem(request).decode("ascii"),
            "certificate_profile_name": section.ev_certificate_profile if wishes.ev else section.certificate_profile,
            "end_entity_profile_name": section.end_entity_profile,
            "certificate_authority_name": section.ca,
            "username": wishes.reference,
            "password": self._code(),
            "include_chain": True,
        }
        return self._answered(self._ask("POST", "/pkcs10enroll", said), wishes.reference, now)

    def collect(self, order: str, request: bytes, now: datetime) -> Issued | Waiting | Refused:
        """Enrol again as the end entity that people there have approved meanwhile.

        EJBCA does not say whether they still think about it or have said no: until a person here gives up the order,
        it waits.
        """
        known = self._issued(order, request)
        if known is not None:
            return known
        said = {
            "certificate_request": csr.pem(request).decode("ascii"),
            "certificate_authority_name": self._section.ca,
            "username": order,
            "password": self._code(),
            "include_chain": True,
        }
        replied = self._ask("POST", "/certificaterequest", said, (400, 404, 422))
        if replied.status in {400, 404, 422}:
            return _waiting(order, self._words(replied), now)
        return self._answered(replied, order, now)

    def revoke(
        self, chain: tuple[bytes, ...], reason: Reason, at: datetime, now: datetime
    ) -> Revoked | Waiting | Refused:
        """Have it revoked, from ``at`` on where the profile allows to say so."""
        leaf = certificates.read(chain[0])
        place = f"/{quote(leaf.issuer, safe='')}/{leaf.serial}"
        said = {"reason": _REASONS[reason]}
        if self._section.backdate and at < now:
            said["date"] = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        replied = self._ask("PUT", f"{place}/revoke?{urlencode(said)}")
        if replied.status == 409:  # somebody had done it before
            replied = self._ask("GET", f"{place}/revocationstatus")
        if replied.status == 202:
            return _waiting("", self._words(replied), now)
        if replied.status != 200:
            return Refused(why=f"{self._who} says no: {self._words(replied)}.")
        told = replied.read(self._who, _Status)
        if not told.revoked:
            return _waiting("", "EJBCA has taken the request and not revoked yet", now)
        return Revoked(at=_moment(told.revocation_date, now))

    def _answered(self, replied: Replied, order: str, now: datetime) -> Issued | Waiting | Refused:
        if replied.status == 202:
            return _waiting(order, self._words(replied), now)
        if replied.status not in {200, 201}:
            return Refused(why=f"{self._who} says no: {self._words(replied)}.")
        return Issued(chain=tuple(self._certificates(replied.read(self._who, _Enrolled))))

    def _issued(self, reference: str, request: bytes) -> Issued | None:
        """Return what was issued to the order's end entity for this CSR's key, if anything was."""
        criteria = [{"property": "QUERY", "value": reference, "operation": "EQUAL"}]
        replied = self._ask("POST", "/search", {"max_number_of_results": 10, "criteria": criteria})
        if replied.status != 200:
            raise BadInput(f"{self._who} cannot look for an order's certificate: {self._words(replied)}.")
        wanted = csr.read(request).key_id
        for each in replied.read(self._who, _Found).certificates:
            chain = tuple(self._certificates(each))
            if certificates.read(chain[0]).key_id == wanted:
                return Issued(chain=chain + self._issuers(chain))
        return None

    def _issuers(self, chain: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Return the CA's chain for a certificate that was found alone; none where EJBCA does not give it to us."""
        if len(chain) > 1:
            return ()
        path = f"{_AUTHORITIES}/{quote(certificates.read(chain[0]).issuer, safe='')}/certificate/download"
        replied = self._line.ask("GET", path, headers={"Accept": "application/octet-stream"})
        if replied.status != 200:  # a chain of before, or a person, may complete it
            return ()
        return exchange.certificates_of(self._who, [replied.body.decode("ascii", "replace")])

    def _certificates(self, found: _Enrolled) -> Iterator[bytes]:
        for text in (found.certificate, *(found.certificate_chain or ())):
            yield self._der(text)

    def _der(self, text: str) -> bytes:
        """Decode one certificate: base64 of DER where it was just issued, twice so where it was searched for."""
        octets = text.encode("ascii", "replace")
        try:
            for _ in range(2):
                octets = base64.b64decode(octets, validate=True)
                if octets.startswith(b"\x30"):
                    return octets
        except binascii.Error:
            pass
        raise BadInput(f"{self._who} answered with a certificate that is not base64.")

    def _ask(self, method: str, path: str, said: object = None, known: tuple[int, ...] = ()) -> Replied:
        """Ask; Misused where we are not let, or nothing is there, unless ``known`` has that status."""
        body = None if said is None else msgspec.json.encode(said)
        replied = self._line.ask(method, _API + path, body, {"Content-Type": "application/json"})
        if replied.status in {401, 403, 404, 405} and replied.status not in known:
            why = self._words(replied) if "json" in replied.headers.get("content-type", "") else "it does not say why"
            raise Misused(
                f"{self._who} does not let us: it answered {replied.status}, {why}.",
                hint="look at url, ca and profiles, and at the role of our client certificate",
            )
        return replied

    def _words(self, replied: Replied) -> str:
        return exchange.plain(replied.read(self._who, _Error).error_message)

    def _code(self) -> str:
        return exchange.secret(self._who, self._base / self._section.code_file)


def _waiting(order: str, words: str, now: datetime) -> Waiting:
    return Waiting(order=order, words=f"An administrator of EJBCA decides: {words}.", again=now + _AGAIN)


def _moment(text: str | None, now: datetime) -> datetime:
    """Return when EJBCA revoked; ``now`` where it does not say, or says a moment that has not come."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return now
    found = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    return min(found, now)
