"""What a certificate authority is: it is handed a CSR, and has issued, has to be asked again, or says no.

Nothing that it answers is believed. A chain may come in any order and with strangers in it; whoever receives it
matches it to the key, completes it, lints it and has a person accept it (``signing/authorities.py``).
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Protocol, TypeAlias

import msgspec

from privyseal.terms.certificates import Reason

LARGEST_ANSWER = 1 << 20
"""Octets of one answer of an authority; a chain of RSA-4096 certificates is under 12 KiB."""
MOST_CERTIFICATES = 32
"""Certificates in one answer; a chain has three or four, and cross-certificates may come along."""

AuthorityName = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
"""What a configured authority is called, in orders and on the command line."""


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for beside the CSR, which holds subject and public key."""

    reference: str
    """Our own id of the order. Asked again with the same one, an authority that can tell answers the same."""
    subscriber: str
    key: str
    """The Key Pair's name, for those who read the order at the CA."""
    ev: bool = False
    """Whether an EV Code Signing Certificate is meant (CSBR 7.1.6.1)."""
    evidence: tuple[bytes, ...] = ()
    """Attestations of the key, as the module or we gave them, where the CA takes them beside the CSR."""


class Issued(msgspec.Struct, frozen=True, kw_only=True):
    """The authority has issued."""

    chain: tuple[bytes, ...]
    """Certificates, DER, in any order; at most MOST_CERTIFICATES."""


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """The authority has not decided, or has not said so."""

    order: str
    """With what :meth:`CertificateAuthority.collect` finds it again: kept in the records, no secret, 2,000 characters
    at most."""
    words: str = ""
    """What it waits for, for people: one sentence."""
    again: datetime | None = None
    """When it is worth asking again; None: whenever the duty comes by."""


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """The authority says no, for good: the order is over."""

    why: str
    """One sentence, with the authority's own words in it, bounded and printable."""


class Revoked(msgspec.Struct, frozen=True, kw_only=True):
    """The authority has revoked, or had done so before."""

    at: datetime
    """From when on the certificate is not to be trusted, as far as the authority says; else when it answered."""


Answer: TypeAlias = Issued | Waiting | Refused
"""What comes of an order."""
RevocationAnswer: TypeAlias = Revoked | Waiting | Refused
"""What comes of asking for a revocation; Waiting where people at the CA decide, and ``order`` may be empty."""


class CertificateAuthority(Protocol):
    """One configured authority. Safe to use from several threads; nothing is connected before a method is called.

    Every method raises Unavailable where nobody answers in time, Misused where our own credential or configuration is
    not accepted, and BadInput where the answer is not what the protocol says (HTML for JSON, beyond LARGEST_ANSWER).
    """

    name: str
    """Of the section that configures it."""
    by_people: bool
    """Whether the answer is brought by a person (``privyseal cert upload``), so that no duty asks."""

    def ask(self, csr: bytes, wishes: Wishes, now: datetime) -> Answer:
        """Hand in a CSR (PKCS #10, DER), whose own signature was checked."""
        ...

    def collect(self, order: str, csr: bytes, now: datetime) -> Answer:
        """Ask what became of an order: ``order`` as Waiting named it, ``csr`` the one that was handed in."""
        ...

    def revoke(self, chain: tuple[bytes, ...], reason: Reason, at: datetime, now: datetime) -> RevocationAnswer:
        """Ask for a revocation: ``chain`` DER, the certificate first and its issuer next; untrusted from ``at`` on."""
        ...
