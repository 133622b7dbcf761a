"""Which Key Pair of a service ``/n``, ``/i`` and ``/sha1`` mean, as signtool chooses from Windows' store."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from privyseal.cli import profile as profiles
from privyseal.cli.client import Service
from privyseal.cli.output import printable
from privyseal.errors import Misused
from privyseal.web.views import KeyList, KeyView


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What the certificate is to be like; what is None is not asked for."""

    name: str | None
    """In its subject, in upper or lower case."""
    issuer: str | None
    thumbprint: str | None
    """SHA-1 of the certificate, in hex."""
    best: bool
    """Of several, take the one that is valid longest."""


def choose(wanted: Wanted) -> str | None:
    """Return the name of the key; None where none was described, and the configured one is meant.

    Misused where none or several are as described.
    """
    found = profiles.load({}, None)
    described = [wanted.name, wanted.issuer, wanted.thumbprint]
    if not any(described) and (found.key is not None or not wanted.best):
        return found.key
    service = Service(found)
    return pick(service.get(service.path("keys")).read(KeyList).keys, wanted)


def pick(keys: Sequence[KeyView], wanted: Wanted) -> str:
    """Return the name of the one key whose newest certificate is as described."""
    fitting = [each for each in keys if each.certificates and _fits(each, wanted)]
    if not fitting:
        raise Misused("No certificates were found that met all the given criteria.", hint="see: privyseal key list")
    if len(fitting) > 1 and not wanted.best:
        names = ", ".join(printable(each.name) for each in fitting[:5])
        raise Misused(
            f"Multiple certificates were found that meet all the given criteria, those of {names}.",
            hint="use /sha1, or /a for the one that is valid longest",
        )
    return max(fitting, key=lambda each: each.certificates[0].not_after).name


def _fits(key: KeyView, wanted: Wanted) -> bool:
    own = key.certificates[0]
    thumbprint = hashlib.sha1(own.chain[0] if own.chain else b"", usedforsecurity=False).hexdigest()
    asked = (wanted.thumbprint or thumbprint).replace(" ", "").replace(":", "").lower()
    return (
        (wanted.name or "").casefold() in own.subject.casefold()
        and (wanted.issuer or "").casefold() in own.issuer.casefold()
        and asked == thumbprint
    )
