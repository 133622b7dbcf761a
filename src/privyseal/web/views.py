"""What goes out: the documents of the native API, made from the nouns, with what is nobody's business left out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from privyseal.errors import Denied, Failed, PrivySealError, from_code
from privyseal.pki import certificates
from privyseal.terms.keys import Approver, KeyPair, KeyProtection, Stage
from privyseal.terms.limits import UseLimits
from privyseal.terms.parties import Actor, Factor, Role
from privyseal.terms.requests import Dossier, State
from privyseal.terms.scans import Scan, Seen
from privyseal.terms.uploads import Upload

NOT_SEEN = "not seen by the service"
"""What is said of a file that stayed with its owner (mode ``local``): a description came of it, and nothing else."""


class _Sight(msgspec.Struct, frozen=True):
    """Of a request's canonical octets, what the service saw; all else in them is passed over."""

    mode: str
    seen: Seen | None = None


_sight = msgspec.json.Decoder(_Sight)


def sight(canonical: bytes) -> tuple[str, tuple[Scan, ...]]:
    """Say of a request, by its canonical octets, whether the service saw the file, and what scanners said of it."""
    found = _sight.decode(canonical)
    if found.mode != "server":
        return NOT_SEEN, ()
    if found.seen is None:
        return "seen by the service, not scanned", ()
    return "seen by the service and scanned", found.seen.scans


class Alive(msgspec.Struct, frozen=True):
    """The process runs."""

    alive: bool = True


class Ready(msgspec.Struct, frozen=True):
    """Every part answers."""

    ready: bool = True


class Whoami(msgspec.Struct, frozen=True, kw_only=True):
    """Who the credential says you are, and by what it was proved."""

    service: str
    subscriber: str
    member: str
    name: str
    roles: tuple[Role, ...]
    factors: tuple[Factor, ...]


class CertificateView(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate installed for a Key Pair, with its chain."""

    fingerprint: str
    """SHA-256 of the certificate, lower-case hex: what a request calls ``certificate``."""
    subject: str
    issuer: str
    serial: str
    not_before: datetime
    not_after: datetime
    key_id: str
    chain: tuple[bytes, ...]
    """DER in base64, the certificate itself first, each followed by its issuer."""


class CertificateList(msgspec.Struct, frozen=True):
    """The Subscriber's certificates, the newest first."""

    certificates: tuple[CertificateView, ...]


class KeyView(msgspec.Struct, frozen=True, kw_only=True):
    """A Key Pair and the certificates installed for it: with the first of them, all that a client signs with."""

    name: str
    key_id: str
    scheme: str
    public_key: bytes
    """SubjectPublicKeyInfo, DER, in base64."""
    key_tag: str
    """The pseudonym under which the log knows the key."""
    protection: KeyProtection
    born: datetime
    rehearsal: bool
    frozen: bool
    quorum: int
    approvers: tuple[Approver, ...]
    certificates: tuple[CertificateView, ...]
    """The newest first."""
    stages: tuple[Stage, ...] = ()
    """The stages in which people agree, one after the other; empty where nobody is asked."""
    limits: UseLimits | msgspec.UnsetType = msgspec.UNSET
    """When and how often it signs; the signer keeps to it."""


class KeyList(msgspec.Struct, frozen=True):
    """The Subscriber's Key Pairs by name."""

    keys: tuple[KeyView, ...]


class RequestView(msgspec.Struct, frozen=True, kw_only=True):
    """A request to sign and what came of it so far."""

    id: str
    state: State
    digest: str
    """Of the canonical bytes under the domain tag, lower-case hex: what an approver signs."""
    request: bytes
    """The canonical bytes, in base64: what was submitted, approved and logged."""
    created: datetime
    file: str = NOT_SEEN
    """Whether the service saw the file, in words, and ``scans`` what scanners said of it."""
    scans: tuple[Scan, ...] = ()
    blobs: tuple[bytes, ...] = ()
    """One signature for each piece of code, in base64; empty until SIGNED."""
    receipt: str | None = None
    """C2SP tlog-proof; there once RELEASED."""
    failure_code: str | None = None
    failure_detail: str | None = None
    policy: str | None = None
    """Digest of the policy set that was in force when it came in, lower-case hex."""
    allowed_by: tuple[str, ...] = ()
    """Names of the policy's rules that allowed it."""
    grant: str | None = None
    """Digest of the grant under which it comes, lower-case hex: it was granted beforehand, and not approved itself."""


class UploadView(msgspec.Struct, frozen=True, kw_only=True):
    """A file on its way in, or there."""

    id: str
    filename: str
    sha256: str
    size: int
    offset: int
    """How many octets are there: where the next piece begins."""
    complete: bool
    """Whether all of it is there and was found to have the SHA-256 announced: its signature can be asked for."""
    expires: datetime
    """When it is deleted unless a request needs it or more of it comes."""


def upload_view(upload: Upload, offset: int) -> UploadView:
    """Show an upload of which ``offset`` octets are there."""
    return UploadView(
        id=upload.id,
        filename=upload.filename,
        sha256=upload.sha256,
        size=upload.size,
        offset=offset,
        complete=upload.complete,
        expires=upload.expires,
    )


def request_view(dossier: Dossier) -> RequestView:
    """Show a request; salts, tokens and fences stay inside, and no blob is shown before its receipt stands."""
    released = dossier.state is State.RELEASED
    file, scans = sight(dossier.canonical)
    return RequestView(
        id=dossier.id,
        state=dossier.state,
        digest=dossier.digest,
        request=dossier.canonical,
        created=dossier.created,
        file=file,
        scans=scans,
        blobs=dossier.blobs if released else (),
        receipt=dossier.receipt if released else None,
        failure_code=dossier.failure_code,
        failure_detail=dossier.failure_detail,
        policy=dossier.policy,
        allowed_by=dossier.allowed_by,
        grant=dossier.grant,
    )


def refusal(dossier: Dossier) -> PrivySealError | None:
    """Return what a requester is told of a request that ended without a signature; None where it did not.

    The signer's own reason where a caller acts on it (a Requirement, the charter); never something retryable, for the
    request is over: Failed or Denied.
    """
    why = dossier.failure_detail or f"it is {dossier.state}"
    detail = f"Request {dossier.id} ended without a signature: {why.rstrip('.')}."
    hint = f"its record is /v1/{dossier.subscriber}/requests/{dossier.id}; to ask anew, use a new Idempotency-Key"
    if dossier.state in (State.DENIED, State.EXPIRED):
        return Denied(detail, hint=hint)
    if dossier.state is State.FAILED:
        named = from_code(dossier.failure_code or Failed.code, detail, hint)
        final = named.code == dossier.failure_code and named.status < 500 and not named.retryable
        return named if final else Failed(detail, hint=hint)
    return None


def certificate_view(chain: Sequence[bytes]) -> CertificateView:
    """Show a certificate by its chain, DER, its own first."""
    facts = certificates.read(chain[0])
    return CertificateView(
        fingerprint=facts.fingerprint,
        subject=facts.subject,
        issuer=facts.issuer,
        serial=facts.serial,
        not_before=facts.not_before,
        not_after=facts.not_after,
        key_id=facts.key_id,
        chain=tuple(chain),
    )


def key_view(pair: KeyPair, chains: Sequence[Sequence[bytes]]) -> KeyView:
    """Show a Key Pair; where its private half is kept stays inside."""
    return KeyView(
        name=pair.name,
        key_id=pair.key_id,
        scheme=pair.scheme,
        public_key=pair.public_key,
        key_tag=pair.key_tag,
        protection=pair.protection,
        born=pair.born,
        rehearsal=pair.rehearsal,
        frozen=pair.frozen,
        quorum=pair.quorum,
        approvers=pair.approvers,
        certificates=tuple(certificate_view(chain) for chain in chains),
        stages=pair.in_order,
        limits=pair.limits,
    )


def whoami_view(service: str, actor: Actor) -> Whoami:
    """Show an Actor to itself."""
    return Whoami(
        service=service,
        subscriber=actor.subscriber,
        member=actor.member.id,
        name=actor.member.name,
        roles=actor.member.roles,
        factors=actor.factors,
    )
