"""``pkcs11:`` URIs (RFC 7512): a key named by its token, its label and its CKA_ID. Nothing secret is ever in one."""

from __future__ import annotations

import re
from typing import Self

from msgspec import Struct

from privyseal.errors import NotFound
from privyseal.terms.signatures import SCHEMES

_PREFIX = "pkcs11:"
_KEPT = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")  # unreserved, RFC 3986 2.3
_ATTRIBUTE = re.compile(r"([a-z-]+)=((?:[A-Za-z0-9\-._~:\[\]@!$'()*+,=&]|%[0-9A-Fa-f]{2})*)")
_MAX_OCTETS = 2048
"""Octets of a URI that is looked at; labels have 32 octets in a token's description and a few dozen in a key's."""


class KeyUri(Struct, frozen=True):
    """A Private Key in a token; the first four are there in every URI that this store gives out."""

    token: str
    """CKA label of the token, without its padding."""
    serial: str
    """Serial number of the token, without its padding."""
    label: str
    """CKA_LABEL of the key, ``subscriber/name``."""
    key: bytes
    """CKA_ID of the key."""
    pure: str = ""
    """The scheme of a key that signs octets, so that whoever asks does not hash them; empty for one that signs digests.

    It stands in the URI as ``x-scheme``, a vendor's attribute (RFC 7512 section 2.3)."""

    def __str__(self) -> str:
        """Return the URI, its path attributes in the order of RFC 7512 section 2.3."""
        every = "".join(f"%{octet:02X}" for octet in self.key)  # section 2.3: id should be encoded whole
        return (
            f"{_PREFIX}token={_encoded(self.token)};serial={_encoded(self.serial)};"
            f"object={_encoded(self.label)};id={every};type=private"
            + (f";x-scheme={_encoded(self.pure)}" if self.pure else "")
        )

    @classmethod
    def of(cls, uri: str) -> Self:
        """Read a URI that this store gave out; NotFound if it is none."""
        found: dict[str, bytes] = {}
        if not uri.startswith(_PREFIX) or len(uri) > _MAX_OCTETS:
            raise _unknown()
        for each in uri[len(_PREFIX) :].split(";"):
            attribute = _ATTRIBUTE.fullmatch(each)
            if attribute is None or attribute[1] in found:  # section 2.3: each attribute at most once
                raise _unknown()
            found[attribute[1]] = _decoded(attribute[2])
        pure = found.pop("x-scheme", b"")
        if found.pop("type", b"private") != b"private" or found.keys() != {"token", "serial", "object", "id"}:
            raise _unknown()
        try:
            token, serial, label = (found[name].decode("utf-8") for name in ("token", "serial", "object"))
            scheme = pure.decode("utf-8")
        except UnicodeDecodeError:
            raise _unknown() from None
        if scheme and not (scheme in SCHEMES and SCHEMES[scheme].pure):
            raise _unknown()
        return cls(token, serial, label, found["id"], scheme)


def _encoded(text: str) -> str:
    return "".join(chr(octet) if octet in _KEPT else f"%{octet:02X}" for octet in text.encode("utf-8"))


def _decoded(text: str) -> bytes:
    return re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes.fromhex(found[1].decode()), text.encode("ascii"))


def _unknown() -> NotFound:
    return NotFound("A key URI of the PKCS#11 store names token, serial, object and id.", hint="see RFC 7512")
