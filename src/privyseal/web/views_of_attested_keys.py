"""What goes in and out about requests for certificates, identities, and what attests a key."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from privyseal.terms.identity import LegalIdentity
from privyseal.terms.requests import Approval


class NewCertificateRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request for a certificate is wished for; ``act`` and ``approvals`` where people had to agree to it."""

    ev: bool = False
    """Whether the subject is that of an EV certificate."""
    attested: bool = True
    """Whether what attests the key goes into it, where there is something."""
    act: bytes = b""
    """What the approvals are for: the canonical octets that an answer without a request gave out; empty for none."""
    approvals: Annotated[tuple[Approval, ...], Meta(max_length=64)] = ()


class CertificateRequestView(Struct, frozen=True, kw_only=True):
    """A request for a certificate, or what the key's approvers must agree to before it is signed."""

    key: str
    key_id: str
    subject: str
    """In words, attribute by attribute."""
    attested: tuple[str, ...]
    """What kinds of attestation are in it, by dotted object identifier."""
    request: str = ""
    """PEM; empty while people must agree."""
    proposed: str = ""
    """Id of the act to which they must agree; the request, once it is signed, is that act's outcome."""
    act: bytes = b""
    """What they must agree to, canonical octets; empty where the request is there."""
    digest: str = ""
    """The act's digest, lower-case hex: what is approved."""
    waits_for: int = 0
    """How many people must agree."""


class NewIdentity(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who a Subscriber is in law, and by which record of the CA that is known."""

    identity: LegalIdentity
    how: Annotated[str, Meta(min_length=1, max_length=2000)]


class IdentityView(Struct, frozen=True, kw_only=True):
    """Who a Subscriber is in law, as it was written down last."""

    subscriber: str
    identity: LegalIdentity
    how: str
    by: str
    """Id of the member who wrote it down, or ``service``."""


class NewAttestation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The files of a module's attestation of a key, in any order."""

    files: Annotated[tuple[bytes, ...], Meta(min_length=1, max_length=32)]


class AttestationView(Struct, frozen=True, kw_only=True):
    """What an attestation proved of a key, and what its module amounts to by the operator's register."""

    key: str
    key_id: str
    format: str
    """Empty where none of our formats knows the files; they are kept all the same."""
    module: str
    """In words; empty likewise."""
    generated_inside: bool | None
    never_extractable: bool | None
    claims: dict[str, str]
    root: str
    """Who says that the root in which it ends is the maker's: ``maker``, whose root is shipped, or ``operator``, who
    added it; empty where none of our formats knows the files."""
    anchor: str
    """SHA-256 of that root; empty likewise."""
    evidence: tuple[str, ...]
    """SHA-256 of each file, as it is kept."""
    verdict: str
    text: str


class EvidenceView(Struct, frozen=True, kw_only=True):
    """The file for a CA, and the certificate by which it is believed, both PEM."""

    key: str
    file: str
    attestation_key: str
