"""What stands in the files of an attestation: certificates, requests, and what only a format can tell.

Devices, and the people who send their files on, mix PEM, DER, bare base64 and PKCS #7, in any order, with words before
and after and certificates of something else among them. All of that is taken. What begins like a piece and is none is
refused: a broken boundary, octets after the end, base64 with stray bits. Nothing is verified here.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

from msgspec import Struct

from privyseal.errors import BadInput, TooLarge
from privyseal.pki import cms, der

MOST_FILES = 32
"""Files of one attestation: a chain of 8 in single files, a request and room for strangers."""
MOST_OCTETS = 1 << 20
"""Octets of all files together; a Luna's confirmation has 7 KiB, a Marvell bundle with its chains some 30."""
MOST_PIECES = 64
"""Pieces in all files together, as of certificates in one signature (``cms.MAX_CERTIFICATES``)."""

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----([A-Za-z0-9+/= \r\n]*)-----END ([A-Z0-9 ]{1,40})-----")
_BASE64 = re.compile(rb"[A-Za-z0-9+/ \r\n]+={0,2}[ \r\n]*")
_CERTIFICATE_LABELS = frozenset({"CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"})
_REQUEST_LABELS = frozenset({"CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"})
_PKCS7_LABELS = frozenset({"PKCS7", "CMS"})


Piece = TypeVar("Piece")
"""A certificate or request, DER, or a piece of another kind."""


class Other(Struct, frozen=True):
    """A piece that is neither certificate nor request: a format knows it or nobody does."""

    label: str
    """Of the PEM block; empty for a whole file."""
    octets: bytes


class Pieces(Struct, frozen=True):
    """All pieces, each once, in the order in which they stood; DER."""

    certificates: tuple[bytes, ...]
    requests: tuple[bytes, ...]
    others: tuple[Other, ...]


def unpack(files: Sequence[bytes]) -> Pieces:
    """Cut files into their pieces; BadInput for one that is broken, TooLarge beyond the limits above."""
    return _unpack(tuple(files))


def certificates_only(files: Sequence[bytes], what: str) -> Pieces:
    """Cut files into their pieces, which may be certificates and requests only; BadInput where another is there.

    A damaged request or certificate is not taken for a stranger and left out: that would leave out what it would have
    said. ``what`` names the attestation: ``Luna confirmation``.
    """
    found = unpack(files)
    if found.others:
        label = found.others[0].label
        named = f"a PEM block {label}" if label else f"a file of {len(found.others[0].octets)} octets"
        raise BadInput(
            f"Beside the {what} stands {named} that is neither certificate nor request.",
            hint="is it damaged? leave out what does not belong there",
        )
    return found


@lru_cache(maxsize=4)
def _unpack(files: tuple[bytes, ...]) -> Pieces:
    if len(files) > MOST_FILES:
        raise TooLarge(f"An attestation came in {len(files)} files; at most {MOST_FILES} are read.")
    if (size := sum(map(len, files))) > MOST_OCTETS:
        raise TooLarge(f"The files of an attestation have {size} octets; at most {MOST_OCTETS} are read.")
    found = _Found()
    for number, octets in enumerate(files, 1):
        try:
            found.file(octets)
        except BadInput as error:
            raise error.about(f"File {number} of {len(files)}") from None
    return Pieces(tuple(found.certificates), tuple(found.requests), tuple(found.others))


class _Found:
    """What was cut out so far; dicts keep the order and each piece once."""

    def __init__(self) -> None:
        self.certificates: dict[bytes, None] = {}
        self.requests: dict[bytes, None] = {}
        self.others: dict[Other, None] = {}
        self._left = MOST_PIECES

    def file(self, octets: bytes) -> None:
        start = octets[:64].lstrip()
        if not start:
            raise BadInput("The file is empty.")
        if start[:1] in (b"{", b"[", b"<"):  # JSON and XML, which may quote PEM
            self._keep(self.others, Other("", octets))
        elif b"-----BEGIN" in octets or b"----" in octets[:200]:
            self._pem(octets)
        elif octets[0] == der.SEQUENCE:
            self._der(der.read(octets, MOST_OCTETS), "")
        elif len(octets) > 64 and _BASE64.fullmatch(octets) and start[:1] == b"M":  # 0x30 and what follows
            self._der(der.read(_decoded(octets), MOST_OCTETS), "")
        else:
            self._keep(self.others, Other("", octets))

    def _pem(self, text: bytes) -> None:
        for block in _BLOCK.finditer(text):
            label = block[1].decode("ascii")
            if block[3] != block[1]:
                raise BadInput(f"A PEM block begins as {label} and ends as {block[3].decode('ascii')}.")
            if label.endswith("PRIVATE KEY"):
                raise BadInput("The file holds a private key, and no attestation needs one.", hint="keep it away")
            self._der(der.read(_decoded(block[2]), MOST_OCTETS), label)
        if b"----" in _BLOCK.sub(b"", text):
            raise BadInput(
                "A PEM block is broken: it lacks a boundary, or something other than base64 stands in it.",
                hint='expected "-----BEGIN ...-----", base64, "-----END ...-----" of the same name',
            )

    def _der(self, element: der.Element, label: str) -> None:
        kind = _kind(element)
        if (label in _CERTIFICATE_LABELS and kind != "certificate") or (label in _REQUEST_LABELS and kind != "request"):
            raise BadInput(f"A PEM block is called {label}, and none is in it.")
        if kind == "certificate":
            self._keep(self.certificates, element.raw)
        elif kind == "request":
            self._keep(self.requests, element.raw)
        elif kind == "pkcs7":
            for each in _carried(element.raw):
                self._keep(self.certificates, each)
        elif label in _PKCS7_LABELS:
            raise BadInput(f"A PEM block is called {label}, and none is in it.")
        else:
            self._keep(self.others, Other(label, element.raw))

    def _keep(self, where: dict[Piece, None], piece: Piece) -> None:
        self._left -= 1
        if self._left < 0:
            raise TooLarge(f"The files of an attestation hold more than {MOST_PIECES} pieces; that many are read.")
        where[piece] = None


def _decoded(text: bytes) -> bytes:
    """Return what base64 stands for; what is not written as an encoder writes it is BadInput, also stray last bits."""
    packed = text.translate(None, b" \r\n")
    try:
        octets = base64.b64decode(packed, validate=True)
    except binascii.Error:
        octets = b""
    if not octets or base64.b64encode(octets) != packed:
        raise BadInput("The base64 in the file is broken or cut short.")
    return octets


def _kind(element: der.Element) -> str:
    """Tell by shape what a SEQUENCE is: ``certificate``, ``request``, ``pkcs7``, or empty."""
    parts = der.children(element) if element.tag == der.SEQUENCE else []
    tags = [each.tag for each in parts]
    if tags == [der.OID, 0xA0] and der.oid_of(parts[0]) == cms.ID_SIGNED_DATA:
        return "pkcs7"
    if tags != [der.SEQUENCE, der.SEQUENCE, der.BIT_STRING]:
        return ""
    inner = [each.tag for each in der.children(parts[0])]
    if (inner[:1] == [0xA0] and len(inner) >= 7) or (inner[:2] == [der.INTEGER, der.SEQUENCE] and len(inner) == 6):
        return "certificate"
    if inner[:3] == [der.INTEGER, der.SEQUENCE, der.SEQUENCE] and len(inner) in (3, 4):
        return "request"
    return ""


def _carried(blob: bytes) -> tuple[bytes, ...]:
    """Return the certificates of a PKCS #7 that carries nothing else; BadInput otherwise.

    Such a one has but one spelling (RFC 5652 5.1: version 1, no content, no signer): it is written anew and compared.
    """
    held = cms.parse(blob).certificates
    parts = [der.integer(1), der.set_of(), der.sequence(der.oid(cms.ID_DATA)), der.implicit(0, b"".join(held))]
    spelt = der.sequence(der.oid(cms.ID_SIGNED_DATA), der.explicit(0, der.sequence(*parts, der.set_of())))
    if spelt != blob or any(_kind(der.read(each)) != "certificate" for each in held):
        raise BadInput("The PKCS #7 holds something other than certificates, or is not written as those are.")
    return held
