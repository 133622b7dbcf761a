"""``[timestamps]`` of ``serve.toml``: who timestamps what is signed here, and what of it is logged."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from privyseal import __version__
from privyseal.errors import BadInput, Misused
from privyseal.pki import chain
from privyseal.pki.chain import Anchors
from privyseal.signing.timestampers import Party
from privyseal.timestamp.address import Address
from privyseal.timestamp.authorities import MAX_AUTHORITIES, Authorities, Means
from privyseal.timestamp.client import Client, Trusted
from privyseal.timestamp.exchange import Lines, check

T = TypeVar("T")
"""What a file that is read holds a list of."""

OWN = "own"
"""How the service's own stamper is named in the list."""
LARGEST_TRUST = 16 << 20
"""Octets of a file with anchors or revocation lists; as for ``verify``."""


class TimestampsSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[timestamps]``."""

    each_token: bool = False
    """Whether every token of the own stamper has an entry of its own in the log, besides the root of its hour."""
    authorities: Annotated[tuple[str | Address, ...], Meta(min_length=1, max_length=MAX_AUTHORITIES)] = (OWN,)
    """Who is asked, in this order: ``own``, URLs, or tables with ``url``, ``policy`` and ``every_s``."""
    trust: tuple[str, ...] = ()
    """PEM files with the roots under which an authority elsewhere must be; at least one where one is named."""
    crls: tuple[str, ...] = ()
    """Files with revocation lists, PEM or DER; with any, every authority must be covered by one."""

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The authorities elsewhere, in their order."""
        return tuple(_address(each) for each in self.authorities if each != OWN)

    @property
    def own(self) -> bool:
        """Whether the own stamper is asked."""
        return OWN in self.authorities

    @property
    def secret(self) -> bool:
        """Tell whether a password stands in it."""
        return any("@" in urlsplit(each.url).netloc for each in self.addresses)

    def parties(self, directory: Path) -> tuple[Party, ...]:
        """Return who is asked, with neighbours in the list in one group; Misused where the section is not right.

        Nothing is connected yet. Files are relative to ``directory``.
        """
        if self.authorities.count(OWN) > 1:
            raise Misused(f"[timestamps] names {OWN!r} twice.", hint="name it once")
        trusted, means = self._trusted(directory), _means(Lines(agent=f"privyseal/{__version__}"))
        found: list[Party] = []
        for own, several in groupby(self.authorities, lambda each: each == OWN):
            if own:
                found.append("own")
                continue
            try:
                found.append(Authorities([_address(each) for each in several], means, trusted))
            except BadInput as error:
                raise Misused(f"[timestamps]: {error.detail}", hint=error.hint) from None
        return tuple(found)

    def clients(self, directory: Path, lines: Lines) -> list[Client]:
        """Return who asks each of the authorities elsewhere once over ``lines``, without patience."""
        trusted, means = self._trusted(directory), _means(lines)
        return [Client(each, means.post, means.random, means.now, trusted) for each in self.addresses]

    def _trusted(self, directory: Path) -> Trusted:
        for address in self.addresses:
            check(address)
        if not self.addresses:
            return Trusted()
        if not self.trust:
            raise Misused(
                "[timestamps] names authorities and no roots under which they must be.",
                hint='name a PEM file with them: trust = ["tsa-roots.pem"]',
            )
        anchors = [one for each in self.trust for one in _read(directory / each, _anchors)]
        crls = [one for each in self.crls for one in _read(directory / each, chain.read_crls)]
        return Trusted(Anchors(tuple(dict.fromkeys(anchors))), tuple(crls))


def _means(lines: Lines) -> Means:
    return Means(lines.post, secrets.token_bytes, lambda: datetime.now(UTC), time.monotonic, time.sleep)


def _address(each: str | Address) -> Address:
    return each if isinstance(each, Address) else Address(each)


def _anchors(octets: bytes) -> list[bytes]:
    return list(Anchors.from_pem(octets).certificates)


def _read(path: Path, read: Callable[[bytes], list[T]]) -> list[T]:
    try:
        with path.open("rb") as file:
            octets = file.read(LARGEST_TRUST + 1)
        if len(octets) > LARGEST_TRUST:
            raise BadInput(f"It has more than {LARGEST_TRUST >> 20} MiB.")
        return read(octets)
    except OSError as error:
        raise Misused(f"[timestamps]: {path} cannot be read: {error.strerror}.") from error
    except BadInput as error:
        raise Misused(f"[timestamps]: {path}: {error.detail}", hint=error.hint) from None
