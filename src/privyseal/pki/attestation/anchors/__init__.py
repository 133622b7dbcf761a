"""Makers' roots that are pinned, and makers' intermediate certificates that save people fetching them.

A root is trusted for the formats of its line and for nothing else: thousands of roots vouch for TPMs, and none of them
for a YubiKey. Where each file is from, the README beside them says; each is checked against the SHA-256 here when it is
read, so a file that was changed is refused.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from msgspec import Struct

from privyseal.errors import Misused
from privyseal.pki import certificates


class Root(Struct, frozen=True):
    """One pinned root."""

    file: str
    maker: str
    formats: tuple[str, ...]
    """By name; what the root can vouch for."""
    sha256: str
    """Of the certificate, DER, or of the SubjectPublicKeyInfo where it is a bare key; 64 lower-case hex digits."""


ROOTS: tuple[Root, ...] = (
    Root(
        "yubico-attestation-root-1.pem",
        "Yubico",
        ("yubikey-piv", "yubihsm2"),
        "62760c6a6ef91679f454c8902b80fd009825b3f25da90f1fbace2ec6586cd5a8",
    ),
    Root(
        "yubico-piv-root-263751.pem",
        "Yubico",
        ("yubikey-piv",),
        "63ece914e54dd87915f34033c85af4c0696ba1512f8add66ced738331207b546",
    ),
    Root(
        "yubico-yubihsm-root.pem",
        "Yubico",
        ("yubihsm2",),
        "094a3ac493c2bdcd65a54bdf40190f52bb03f7156397a3fc69d8aa9a392fb724",
    ),
    Root(
        "thales-luna-rsa-root.pem",
        "Thales",
        ("luna-pkc",),
        "807e1680ab0c933971fe7075595c1072e3183951a5a8ab53506f1093feff66e7",
    ),
    Root(
        "thales-luna-ecc-root.pem",
        "Thales",
        ("luna-pkc",),
        "4cd8f4ea28f9de27b029c4118a4dfb3693b3e679ef8322ba123c93524478dd3e",
    ),
    Root(
        "marvell-liquidsecurity-root.pem",
        "Marvell",
        ("marvell",),
        "230143df00e0b452743e068a5b3fc08df8f06cefc4854ea627aeb7ebd70ee2f4",
    ),
    Root(
        "marvell-liquidsecurity-2-root.pem",
        "Marvell",
        ("marvell",),
        "17644de0d33bc73b2f4ef4c20a11f6c8cc1f723a4cd83ee600361cbb24d8d2e5",
    ),
    Root(
        "entrust-nshield-kwarn-1.pem",
        "Entrust",
        ("nshield",),
        "df8f05a39596bb9c4a8cc4d3b6de10607f362d7182e881ea82a5edc7cdcdf84f",
    ),
)
"""Every root that is shipped."""

INTERMEDIATES: dict[str, str] = {"Yubico": "yubico-intermediates.pem"}
"""Files of certificates between a maker's roots and its devices. They prove nothing that a root has not signed."""

_FOLDER = Path(__file__).parent
_BARE = re.compile(rb"-----BEGIN PUBLIC KEY-----\n([A-Za-z0-9+/=\n]+)-----END PUBLIC KEY-----")


@lru_cache(maxsize=16)
def of_format(name: str) -> tuple[bytes, ...]:
    """Return the roots that can vouch for a format, DER, certificates or bare keys.

    Misused where a file is not the one that was pinned.
    """
    return tuple(_root(each) for each in ROOTS if name in each.formats)


@lru_cache(maxsize=8)
def intermediates(maker: str) -> Sequence[bytes]:
    """Return the certificates between a maker's roots and its devices, DER; none where none are shipped."""
    file = INTERMEDIATES.get(maker)
    return () if file is None else tuple(certificates.pem_certificates((_FOLDER / file).read_bytes()))


def _root(root: Root) -> bytes:
    text = (_FOLDER / root.file).read_bytes()
    bare = _BARE.fullmatch(text.strip())
    found = certificates.pem_certificates(text) if bare is None else [base64.b64decode(bare[1])]
    if len(found) != 1 or hashlib.sha256(found[0]).hexdigest() != root.sha256:
        raise Misused(
            f"The root {root.file} that came with this program is not the one that was pinned.",
            hint="install the program again",
        )
    return found[0]
